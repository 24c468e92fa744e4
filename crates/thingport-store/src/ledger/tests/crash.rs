//! A script of changes with the power cut, or an I/O error, at every single call.
//!
//! Checked each time: everything acknowledged is there, nothing is there that was never sent, no
//! damage is reported, and the ledger works on.

use super::*;

use std::collections::{BTreeMap, BTreeSet};

use crate::disk::sim::{Dice, Plan};

/// What a device knows: what it sent, and what was acknowledged. Each reading has a time of its own.
#[derive(Default)]
struct Journal {
    sent: BTreeMap<(u128, i64), Value>,
    acknowledged: BTreeSet<(u128, i64)>,
}

/// Sends until the end of the script or the first refusal; flushes on the way.
fn script(ledger: &LogLedger, journal: &mut Journal, seed: u64, from: i64) {
    let mut dice = Dice(seed);
    for turn in from..from + TURNS {
        let number = u128::from(dice.below(3));
        let text = "x".repeat(dice.below(1500) as usize);
        let rows: Vec<_> = (0..1 + dice.below(4) as i64)
            .map(|it| (turn * 10 + it, "k", ValueRef::String(&text)))
            .collect();
        for (at, _, value) in &rows {
            journal.sent.insert((number, *at), ValueRef::to_owned(*value));
        }
        let readings = batch(&rows);
        let change = Change::Telemetry { entity: device(number), readings: &readings, ttl_s: 0 };
        if try_put(ledger, change).is_err() {
            return;
        }
        journal.acknowledged.extend(rows.iter().map(|row| (number, row.0)));
        if turn % 25 == 24 {
            ledger.flush_soon();
        }
    }
}

fn check(ledger: &LogLedger, journal: &Journal, what: &str) {
    let mut found = BTreeSet::new();
    for number in 0..3 {
        for (at, value) in range(ledger, device(number), "k") {
            assert_eq!(journal.sent.get(&(number, at)), Some(&value), "{what}: never sent");
            found.insert((number, at));
        }
    }
    let lost: Vec<_> = journal.acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "{what}: acknowledged and lost: {lost:?}");
    assert_eq!(ledger.stats().damaged_records, 0, "{what}");
}

fn tiny() -> Bed {
    let config =
        LedgerConfig { segment_bytes: 32 * 1024, commit_queue_max_bytes: 16 * 1024, ..small() };
    Bed { config, ..Bed::new() }
}

/// Counted calls of a whole healthy run.
fn calls_of_a_run() -> u64 {
    let bed = tiny();
    let mut journal = Journal::default();
    {
        let ledger = bed.open();
        script(&ledger, &mut journal, 1, 0);
        check(&ledger, &journal, "healthy");
    }
    assert_eq!(journal.acknowledged.len(), journal.sent.len());
    bed.disk.calls()
}

#[test]
fn a_power_cut_at_any_call_loses_nothing_acknowledged() {
    for call in 1..calls_of_a_run() + 2 {
        let bed = tiny();
        bed.disk.set_plan(Plan::CutAt(call));
        let mut journal = Journal::default();
        if let Ok(ledger) = bed.try_open() {
            script(&ledger, &mut journal, 1, 0);
        }
        for seed in [0, call, call * 77 + 5] {
            let after = bed.after_cut(seed);
            let what = format!("cut at call {call}, seed {seed}");
            let ledger = after.open();
            check(&ledger, &journal, &what);
            // A second life, a second cut, now in the middle of nothing special.
            let mut second = Journal { sent: journal.sent.clone(), ..Journal::default() };
            second.acknowledged.clone_from(&journal.acknowledged);
            put_points(&ledger, device(1), &[(5_000_000, "k", ValueRef::Long(1))]);
            second.sent.insert((1, 5_000_000), Value::Long(1));
            second.acknowledged.insert((1, 5_000_000));
            let again = after.after_cut(seed + 1).open();
            check(&again, &second, &format!("{what}, and once more"));
        }
    }
}

#[test]
fn an_error_at_any_call_is_refused_cleanly_and_loses_nothing_acknowledged() {
    for call in 1..calls_of_a_run() + 2 {
        let bed = tiny();
        bed.disk.set_plan(Plan::FailOnce(call));
        let mut journal = Journal::default();
        let what = format!("error at call {call}");
        if let Ok(ledger) = bed.try_open() {
            script(&ledger, &mut journal, 1, 0);
            for (number, at) in &journal.acknowledged {
                let one = query(device(*number), "k", span(*at, at + 1), false, 1);
                assert_eq!(
                    block(ledger.range(one)).map(|it| it.len()),
                    Ok(1),
                    "{what}: reads go on"
                );
            }
            if ledger.state() == LedgerState::Failed {
                let change = Change::Purge { entity: device(0) };
                assert_eq!(ledger.append(change), Err(AppendError::Failed), "{what}");
            }
        }
        check(&bed.after_cut(call).open(), &journal, &what);
    }
}

/// What a process wrote and did not live to sync is seen by the next one, and must not be relied on
/// before it is durable.
#[test]
fn a_kill_at_any_call_and_then_a_power_cut_loses_nothing_acknowledged() {
    for call in 1..calls_of_a_run() + 2 {
        let bed = tiny();
        bed.disk.set_plan(Plan::FailOnce(call));
        let mut journal = Journal::default();
        if let Ok(ledger) = bed.try_open() {
            script(&ledger, &mut journal, 1, 0);
            ledger.shared.stopping.store(true, Ordering::Release);
        }
        let what = format!("killed at call {call}");
        let killed = Bed { shelf: Arc::new(bed.shelf.survivor()), ..bed };
        killed.disk.set_plan(Plan::Healthy);
        let ledger = killed.open();
        check(&ledger, &journal, &what);
        put_points(&ledger, device(1), &[(5_000_000, "k", ValueRef::Long(1))]);
        journal.sent.insert((1, 5_000_000), Value::Long(1));
        journal.acknowledged.insert((1, 5_000_000));
        for seed in [0, call] {
            let after = killed.after_cut(seed);
            check(&after.open(), &journal, &format!("{what}, then cut with seed {seed}"));
            check(&after.after_cut(seed + 1).open(), &journal, &format!("{what}, cut twice"));
        }
    }
}

#[test]
fn a_failing_shelf_loses_nothing_acknowledged() {
    for call in 1..30 {
        let bed = tiny();
        let ledger = bed.open();
        bed.shelf.fail_from(Some(call));
        let mut journal = Journal::default();
        script(&ledger, &mut journal, call, 0);
        check(&ledger, &journal, "while the shelf fails");
        let after = bed.after_cut(0);
        drop(ledger);
        let ledger = after.open();
        check(&ledger, &journal, &format!("shelf failed from call {call}"));
        flush(&ledger);
        check(&ledger, &journal, &format!("shelf failed from call {call}, flushed again"));
    }
}

#[test]
fn cuts_in_the_middle_of_flushes_converge_to_what_a_naive_store_has() {
    for seed in 1..40 {
        let mut dice = Dice(seed * 0x1234_5677);
        let (mut bed, mut naive) = (Bed::new(), model::Naive::default());
        let mut ledger = bed.open();
        for turn in 0..120 {
            model::step(&mut naive, &ledger, &mut dice, turn);
            if turn % 30 == 29 {
                bed.shelf.fail_from(Some(1 + dice.below(4)));
                ledger.flush_soon();
                while bed.shelf.calls() == 0 {
                    std::thread::yield_now();
                }
                let cut = bed.after_cut(dice.roll());
                drop(ledger);
                bed = cut;
                ledger = bed.open();
            }
        }
        for ((entity, key), series) in &naive.readings {
            let expected: Vec<_> = series.iter().map(|(at, value)| (*at, value.clone())).collect();
            assert_eq!(range(&ledger, device(*entity), key), expected, "seed {seed}");
        }
    }
}

const TURNS: i64 = 60;
