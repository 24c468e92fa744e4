//! The wall clock jumps: forward, back, to 1970 on a board without a battery. What is stored is what was
//! sent, under its own times; only removal and what a question hides look at the clock, and a wrong one
//! does no lasting harm within an hour (R7).

use super::*;

use std::time::Duration;

use thingport_model::reason::Reason;

use crate::disk::sim::Dice;

const HOUR: i64 = 3_600_000;
const YEAR: i64 = 8_766 * HOUR;
const NOON: i64 = 1_800_000_000_000;

fn set(bed: &Bed, now: i64) {
    bed.now.store(now, Ordering::Relaxed);
}

fn incident(at: i64, number: i64) -> Incident {
    Incident {
        at: Timestamp(at),
        reason: Reason::CredentialsUnknown,
        detail: format!("number {number}"),
        device: None,
        remote: String::new(),
        client_id: String::new(),
        user_name: String::new(),
        protocol: String::new(),
        count: 1,
        first_at: Timestamp(at),
        attempt: None,
    }
}

/// Where the clock is at each step; by hours, by decades, to and fro.
const WALKS: [&[i64]; 4] = [
    &[0, 3 * HOUR, -2 * HOUR, 5 * HOUR, 0],
    &[0, 10 * YEAR, 0, -10 * YEAR, 0],
    &[-NOON, 0, -NOON, 0],
    &[0, 1, 0, -1, 0, i64::MAX - NOON - 10, 0, i64::MIN + NOON, 0],
];

#[test]
fn readings_attributes_and_incidents_survive_every_jump_flush_and_restart() {
    for walk in WALKS {
        for restart in [false, true] {
            let mut bed = Bed::new();
            let mut ledger = bed.open();
            let mut expected = Vec::new();
            for (turn, offset) in (0..).zip(walk) {
                set(&bed, NOON.saturating_add(*offset));
                // What a device says of its own time, and what the server stamps with the wrong one.
                let stamped = NOON.saturating_add(*offset).saturating_add(turn);
                for at in [turn, stamped] {
                    put_points(&ledger, device(1), &[(at, "k", ValueRef::Long(turn))]);
                    expected.retain(|(other, _)| *other != at);
                    expected.push((at, Value::Long(turn)));
                }
                let attributes = batch(&[(stamped, "a", ValueRef::Long(turn))]);
                let (entity, scope) = (device(1), Scope::Client);
                put(&ledger, Change::SetAttributes { entity, scope, attributes: &attributes });
                let told = incident(stamped, turn);
                put(&ledger, Change::Incident { entity, incident: &told });
                if turn % 2 == 1 {
                    flush(&ledger);
                    crate::retention::sweep(&ledger.shared.book, Duration::from_secs(3600))
                        .expect("a sound shelf");
                }
                if restart {
                    let cut = bed.after_cut(turn.unsigned_abs());
                    drop(ledger);
                    bed = cut;
                    ledger = bed.open();
                }
            }
            expected.sort_by_key(|row| row.0);
            let what = format!("{walk:?}, restart {restart}");
            assert_eq!(range(&ledger, device(1), "k"), expected, "{what}");
            let turns = walk.len() as i64;
            let stored = block(ledger.attributes(device(1), Scope::Client, Keys::All));
            assert_eq!(stored.expect("readable")[0].value, Value::Long(turns - 1), "{what}");
            let told = block(ledger.incidents(device(1), 100)).expect("readable");
            let order: Vec<_> = told.into_iter().map(|it| it.detail).collect();
            let newest_first: Vec<_> =
                (0..turns).rev().map(|turn| format!("number {turn}")).collect();
            assert_eq!(order, newest_first, "in the order of what happened, {what}");
            assert_eq!(ledger.stats().damaged_records, 0, "{what}");
        }
    }
}

#[test]
fn readings_with_a_life_come_back_when_the_clock_does() {
    let bed = Bed::new();
    set(&bed, NOON);
    let ledger = bed.open();
    let rows: Vec<_> = (0..600).map(|it| (NOON + it, "k", ValueRef::Long(it))).collect();
    let readings = batch(&rows);
    put(&ledger, Change::Telemetry { entity: device(1), readings: &readings, ttl_s: 200 * 3600 });
    let mut dice = Dice(3);
    for turn in 0..60 {
        // To and fro by up to ten years, with a sweep each time: each may go too far by an hour.
        set(&bed, NOON + (dice.below(20) as i64 - 10) * YEAR);
        crate::retention::sweep(&ledger.shared.book, Duration::ZERO).expect("a sound shelf");
        if turn == 20 {
            flush(&ledger);
        }
        set(&bed, NOON + HOUR);
        crate::retention::sweep(&ledger.shared.book, Duration::ZERO).expect("a sound shelf");
        assert_eq!(range(&ledger, device(1), "k").len(), 600, "turn {turn}");
    }
    set(&bed, NOON + 201 * HOUR);
    assert_eq!(range(&ledger, device(1), "k"), [], "and expire when their time has come");
}

#[test]
fn a_start_with_the_clock_in_1970_or_far_ahead_is_an_ordinary_start() {
    let mut bed = Bed::new();
    for (turn, now) in
        [NOON, 0, -1, NOON + 100 * YEAR, i64::MAX, i64::MIN, NOON].into_iter().enumerate()
    {
        set(&bed, now);
        let ledger = bed.open();
        put_points(&ledger, device(1), &[(turn as i64, "k", ValueRef::Bool(true))]);
        if turn % 2 == 0 {
            flush(&ledger);
        }
        assert_eq!(range(&ledger, device(1), "k").len(), turn + 1, "{now}");
        let cut = bed.after_cut(1);
        drop(ledger);
        bed = cut;
    }
}
