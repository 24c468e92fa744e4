//! Promises to whoever follows the log: what is acknowledged is read at least once, whatever fails; who
//! does not keep up costs nobody else anything but disk, and that only up to a bound.

use super::*;

use std::collections::BTreeSet;

use thingport_model::port::trail::{
    FollowerId, Lag, Logged, Place, Stretch, StretchMax, Subject, Trail, Wants,
};

use crate::disk::sim::{Dice, Plan};

const A: FollowerId = FollowerId(Uuid::from_u128(0xa));
const B: FollowerId = FollowerId(Uuid::from_u128(0xb));

struct Everything;

impl Wants for Everything {
    fn wants(&self, _: EntityRef, _: Subject) -> bool {
        true
    }
}

/// Readings of one device alone.
struct Of(EntityRef);

impl Wants for Of {
    fn wants(&self, entity: EntityRef, subject: Subject) -> bool {
        entity == self.0 && subject == Subject::Telemetry
    }
}

const MANY: StretchMax = StretchMax { changes: 1_000, bytes: 1 << 20 };

fn try_keep(ledger: &LogLedger, followers: &[(FollowerId, Place)]) -> Option<Vec<Place>> {
    block(ledger.keep(followers.to_vec())).ok()
}

fn keep(ledger: &LogLedger, followers: &[(FollowerId, Place)]) -> Vec<Place> {
    try_keep(ledger, followers).expect("a healthy disk with room")
}

fn read_some(
    ledger: &LogLedger,
    from: Place,
    wants: impl Wants + 'static,
    changes: usize,
) -> Stretch {
    let max = StretchMax { changes, ..MANY };
    block(ledger.read(A, from, Arc::new(wants), max)).expect("readable")
}

/// Everything up to the newest commit, in stretches of a few changes.
fn read_all(ledger: &LogLedger, follower: FollowerId, from: Place) -> Vec<Logged> {
    let (mut next, mut all) = (from, Vec::new());
    while next < ledger.here() {
        let max = StretchMax { changes: 3, bytes: 20_000 };
        let read = block(ledger.read(follower, next, Arc::new(Everything), max));
        let stretch = read.expect("readable");
        assert!(stretch.next > next, "it goes on");
        next = stretch.next;
        all.extend(stretch.changes);
    }
    all
}

fn times(changes: &[Logged]) -> BTreeSet<i64> {
    let readings = changes.iter().filter_map(|it| match &it.change {
        Committed::Telemetry(readings) => Some(readings),
        _ => None,
    });
    readings.flatten().map(|reading| reading.at.ms()).collect()
}

/// What a target and its devices know.
#[derive(Default)]
struct Journal {
    acknowledged: BTreeSet<i64>,
    delivered: BTreeSet<i64>,
    /// Whether the follower is known: only then is anything promised to it.
    is_kept: bool,
    next: Place,
}

/// Devices send, one follower reads and passes, the log is flushed and its segments used again.
fn script(ledger: &LogLedger, journal: &mut Journal, seed: u64, from: i64) {
    let mut dice = Dice(seed);
    let Some(places) = try_keep(ledger, &[(A, Place::OLDEST)]) else { return };
    (journal.is_kept, journal.next) = (true, places[0]);
    for turn in from..from + TURNS {
        let text = "x".repeat(dice.below(3000) as usize);
        let rows = batch(&[(turn, "k", ValueRef::String(&text))]);
        let change = Change::Telemetry { entity: device(1), readings: &rows, ttl_s: 0 };
        if try_put(ledger, change).is_err() {
            return;
        }
        journal.acknowledged.insert(turn);
        if turn % 3 == 0 && journal.next < ledger.here() {
            let max = StretchMax { changes: 1 + dice.below(6) as usize, bytes: 1 << 20 };
            let read = block(ledger.read(A, journal.next, Arc::new(Everything), max));
            let Ok(stretch) = read else { return };
            journal.delivered.extend(times(&stretch.changes));
            journal.next = stretch.next;
            ledger.passed(A, stretch.next);
        }
        if turn % 8 == 7 && ledger.shared.roster.save().is_ok() {
            ledger.shared.yard.set_passed(ledger.shared.roster.passed_by_all());
        }
        if turn % 20 == 19 {
            ledger.flush_soon();
        }
    }
}

fn check(ledger: &LogLedger, journal: &Journal, what: &str) {
    if !journal.is_kept {
        return;
    }
    let place = keep(ledger, &[(A, Place::OLDEST)])[0];
    assert!(place <= journal.next.max(ledger.here()), "{what}: never ahead of what was passed");
    let mut seen = times(&read_all(ledger, A, place));
    seen.extend(&journal.delivered);
    let lost: Vec<_> = journal.acknowledged.difference(&seen).collect();
    assert!(lost.is_empty(), "{what}: acknowledged and never read: {lost:?}");
    assert_eq!(ledger.lag(A).given_up, 0, "{what}");
}

fn tiny() -> Bed {
    let config =
        LedgerConfig { segment_bytes: 32 * 1024, commit_queue_max_bytes: 16 * 1024, ..small() };
    Bed { config, ..Bed::new() }
}

fn calls_of_a_run() -> u64 {
    let bed = tiny();
    let mut journal = Journal::default();
    let ledger = bed.open();
    script(&ledger, &mut journal, 1, 0);
    check(&ledger, &journal, "healthy");
    assert_eq!(journal.acknowledged.len() as i64, TURNS);
    assert!(journal.delivered.len() > 10, "it was read on the way");
    drop(ledger);
    bed.disk.calls()
}

#[test]
fn a_power_cut_at_any_call_costs_a_follower_nothing_acknowledged() {
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
            // A second life goes on from there.
            let mut second = Journal { is_kept: journal.is_kept, ..Journal::default() };
            second.acknowledged.clone_from(&journal.acknowledged);
            second.delivered.clone_from(&journal.delivered);
            script(&ledger, &mut second, 3, 1_000);
            drop(ledger);
            check(&after.after_cut(seed).open(), &second, &format!("{what}, and once more"));
        }
    }
}

#[test]
fn an_error_at_any_call_costs_a_follower_nothing_acknowledged() {
    for call in 1..calls_of_a_run() + 2 {
        let bed = tiny();
        bed.disk.set_plan(Plan::FailOnce(call));
        let mut journal = Journal::default();
        if let Ok(ledger) = bed.try_open() {
            script(&ledger, &mut journal, 1, 0);
        }
        bed.disk.set_plan(Plan::Healthy);
        check(&bed.open(), &journal, &format!("error at call {call}"));
    }
}

/// Segments go round many times; each follower reads everything once, in order, at its own pace.
#[test]
fn each_follower_reads_everything_in_order_at_its_own_pace_while_segments_are_used_again() {
    let bed = tiny();
    let ledger = bed.open();
    let mut places = keep(&ledger, &[(A, Place::OLDEST), (B, Place::OLDEST)]);
    let mut seen: [Vec<i64>; 2] = [Vec::new(), Vec::new()];
    for turn in 0..300_i64 {
        let text = "x".repeat(2_000);
        put_points(&ledger, device(1), &[(turn, "k", ValueRef::String(&text))]);
        for (index, follower) in [A, B].into_iter().enumerate() {
            if turn % (3 + 40 * index as i64) == 0 {
                let changes = read_all(&ledger, follower, places[index]);
                places[index] = changes.last().map_or(places[index], |it| it.next);
                seen[index].extend(times(&changes));
                ledger.passed(follower, places[index]);
            }
        }
        if turn % 10 == 9 {
            flush(&ledger);
        }
    }
    block(ledger.close()).expect("healthy");
    drop(ledger);
    let ledger = bed.open();
    let kept = keep(&ledger, &[(A, Place::OLDEST), (B, Place::OLDEST)]);
    assert_eq!(kept, places, "an orderly end repeats nothing");
    for (index, follower) in [A, B].into_iter().enumerate() {
        seen[index].extend(times(&read_all(&ledger, follower, kept[index])));
        assert_eq!(seen[index], (0..300).collect::<Vec<_>>());
    }
    // A position is written down, then the flusher finds it.
    ledger.passed(A, ledger.here());
    ledger.passed(B, ledger.here());
    ledger.shared.roster.save().expect("healthy");
    ledger.shared.yard.set_passed(ledger.shared.roster.passed_by_all());
    flush_until(&ledger, || ledger.shared.yard.closed() == 0);
}

fn flush_until(ledger: &LogLedger, done: impl Fn() -> bool) {
    for at in 0.. {
        put_points(ledger, device(9), &[(at, "other", ValueRef::Long(at))]);
        flush(ledger);
        if done() {
            return;
        }
    }
}

#[test]
fn who_does_not_keep_up_holds_disk_up_to_a_bound_and_is_told_how_much_it_lost() {
    let mut bed = tiny();
    bed.config.follow_bytes_max = 4 * bed.config.segment_bytes;
    let ledger = bed.open();
    let first = keep(&ledger, &[(A, Place::OLDEST)])[0];
    let text = "x".repeat(4_000);
    for turn in 0..400_i64 {
        put_points(&ledger, device(1), &[(turn, "k", ValueRef::String(&text))]);
        if turn % 5 == 4 {
            flush(&ledger);
        }
        let bytes_max = bed.config.follow_bytes_max + 4 * bed.config.segment_bytes;
        assert!(ledger.shared.yard.bytes() <= bytes_max, "turn {turn}");
    }
    let lag = ledger.lag(A);
    assert!(lag.given_up > 0 && lag.bytes > 0 && lag.commits > 0, "{lag:?}");
    let seen = times(&read_all(&ledger, A, first));
    assert_eq!(seen.last(), Some(&399), "the newest is there");
    // Names stand beside readings, so this is no more than the most it can be.
    assert!(seen.len() as u64 + lag.given_up >= 400, "{} and {lag:?}", seen.len());
    assert!(lag.given_up < 400, "{lag:?}");
    assert_eq!(seen.len() as i64, 400 - seen.first().expect("some"), "one gap, at the beginning");
    let found = range(&ledger, device(1), "k");
    assert_eq!(found.len(), 400, "nothing is lost for whoever asks");
}

/// Devices need the space more than targets do.
#[test]
fn a_full_disk_takes_from_followers_first() {
    let mut bed = tiny();
    bed.config.segment_bytes = 1024 * 1024;
    bed.config.commit_queue_max_bytes = 256 * 1024;
    let ledger = bed.open();
    keep(&ledger, &[(A, Place::OLDEST)]);
    let text = "x".repeat(60_000);
    bed.disk.set_space(Some(6 * 1024 * 1024));
    for turn in 0..300_i64 {
        let rows = batch(&[(turn, "k", ValueRef::String(&text))]);
        let change = || Change::Telemetry { entity: device(1), readings: &rows, ttl_s: 0 };
        while try_put(&ledger, change()).is_err() {
            assert_ne!(ledger.state(), LedgerState::Failed);
            ledger.shared.retire(&bed.disk, true);
            std::thread::yield_now();
        }
        if turn % 10 == 9 {
            flush(&ledger);
        }
    }
    assert!(ledger.lag(A).given_up > 0);
    assert_eq!(range(&ledger, device(1), "k").len(), 300);
}

#[test]
fn only_what_is_wanted_is_decoded_and_the_rest_is_passed_over() {
    let bed = Bed::new();
    let ledger = bed.open();
    put_points(&ledger, device(1), &[(1, "before", ValueRef::Long(1))]);
    let here = ledger.here();
    assert_eq!(keep(&ledger, &[(A, here)]), [here]);
    bed.now.store(5_000_000, Ordering::Relaxed);
    put_points(&ledger, device(2), &[(2, "k", ValueRef::Long(1))]);
    put_points(&ledger, device(1), &[(3, "k", ValueRef::Long(7)), (4, "m", ValueRef::Bool(true))]);
    put(
        &ledger,
        Change::SetAttributes {
            entity: device(1),
            scope: Scope::Client,
            attributes: &batch(&[(5, "a", ValueRef::Long(2))]),
        },
    );
    let stretch = read_some(&ledger, here, Of(device(1)), 100);
    let reading = |at, key: &str, value| Reading { at: Timestamp(at), key: key.to_owned(), value };
    assert_eq!(
        stretch.changes.iter().map(|it| (it.entity, it.change.clone())).collect::<Vec<_>>(),
        [(
            device(1),
            Committed::Telemetry(vec![
                reading(3, "k", Value::Long(7)),
                reading(4, "m", Value::Bool(true))
            ])
        )]
    );
    assert_eq!(stretch.changes[0].committed_at, Timestamp(5_000_000));
    assert_eq!(stretch.next, ledger.here());
    let all = read_all(&ledger, A, here);
    assert_eq!(all.len(), 3);
    assert!(matches!(all[2].change, Committed::AttributesSet(Scope::Client, _)));
}

/// Many changes of one commit are read one by one, also after a restart in their middle.
#[test]
fn a_commit_is_read_in_pieces() {
    let bed = Bed::new();
    let ledger = bed.open();
    keep(&ledger, &[(A, Place::OLDEST)]);
    let receipts: Vec<Receipt> = (0..200)
        .map(|at| {
            let rows = batch(&[(at, "k", ValueRef::Long(at))]);
            let change = Change::Telemetry { entity: device(1), readings: &rows, ttl_s: 0 };
            ledger.append(change).expect("room")
        })
        .collect();
    block(committed(&*ledger, receipts[199])).expect("healthy");
    let (mut next, mut seen) = (Place::OLDEST, Vec::new());
    for _ in 0..50 {
        let stretch = read_some(&ledger, next, Everything, 1);
        seen.extend(times(&stretch.changes));
        next = stretch.next;
    }
    ledger.passed(A, next);
    block(ledger.close()).expect("healthy");
    drop(ledger);
    let ledger = bed.open();
    assert_eq!(keep(&ledger, &[(A, Place::OLDEST)]), [next]);
    seen.extend(times(&read_all(&ledger, A, next)));
    assert_eq!(seen, (0..200).collect::<Vec<_>>());
}

#[test]
fn a_follower_waits_for_the_next_commit_and_for_nothing_after_the_end() {
    let bed = Bed::new();
    let ledger = bed.open();
    put_points(&ledger, device(1), &[(1, "k", ValueRef::Long(1))]);
    let here = ledger.here();
    keep(&ledger, &[(A, here)]);
    assert_eq!(ledger.lag(A), Lag::default());
    assert_eq!(ledger.lag(B), Lag::default());
    let waiting = Arc::clone(&ledger);
    let reader = std::thread::spawn(move || {
        let first = read_some(&waiting, here, Everything, 10);
        let last = block(waiting.read(A, first.next, Arc::new(Everything), MANY));
        (times(&first.changes), last.is_err())
    });
    put_points(&ledger, device(1), &[(2, "k", ValueRef::Long(1))]);
    while ledger.lag(A).since.is_none() {
        std::thread::yield_now(); // until it was read
    }
    let lag = ledger.lag(A);
    assert_eq!((lag.commits, lag.since, lag.given_up), (1, Some(Timestamp(1_000_000)), 0));
    block(ledger.close()).expect("healthy");
    // The mark of an orderly end is a commit with nothing to read in it.
    let (seen, _) = reader.join().expect("no panic");
    assert_eq!(seen, BTreeSet::from([2]));
}

#[test]
fn nobody_who_follows_costs_neither_a_file_nor_a_thread() {
    let bed = Bed::new();
    let ledger = bed.open();
    assert_eq!(keep(&ledger, &[]), []);
    put_points(&ledger, device(1), &[(1, "k", ValueRef::Long(1))]);
    flush(&ledger);
    assert!(bed.disk.content("followers").is_none());
    assert_eq!(ledger.threads.lock().len(), 3, "writer, flusher and one reader");
    keep(&ledger, &[(A, ledger.here())]);
    assert!(bed.disk.content("followers").is_some());
    assert_eq!(ledger.threads.lock().len(), 4);
}

#[test]
fn damage_in_the_log_is_stepped_over_and_counted() {
    let bed = Bed::new();
    {
        let ledger = bed.open();
        keep(&ledger, &[(A, Place::OLDEST)]);
        for at in 0..20 {
            put_points(&ledger, device(1), &[(at, "k", ValueRef::Long(at))]);
        }
        flush(&ledger);
        block(ledger.close()).expect("healthy");
    }
    let name = "0000000000000001.log";
    let mut bytes = bed.disk.content(name).expect("kept for the follower");
    bytes[4 * 4096 + 20] ^= 1; // the header of the fifth group
    bed.disk.put(name, bytes);
    let ledger = bed.open();
    let place = keep(&ledger, &[(A, Place::OLDEST)])[0];
    let seen = times(&read_all(&ledger, A, place));
    assert_eq!(seen, (0..20).filter(|at| *at != 4).collect::<BTreeSet<_>>());
    assert_eq!(ledger.lag(A).given_up, 1);
}

const TURNS: i64 = 60;
