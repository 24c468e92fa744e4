//! One promise per test.

use super::*;

use thingport_model::aggregate::{Aggregation, Buckets};
use thingport_model::port::ledger::LatestAfterDelete;
use thingport_model::reason::Reason;

use crate::log;

fn incident(number: i64) -> Incident {
    Incident {
        at: Timestamp(number),
        reason: Reason::CredentialsUnknown,
        detail: format!("number {number}"),
        device: (number % 2 == 0).then(|| DeviceId(Uuid::from_u128(7))),
        remote: "192.0.2.1:5".to_owned(),
        client_id: String::new(),
        user_name: "***".to_owned(),
        protocol: "MQTT 5".to_owned(),
        count: 1,
        first_at: Timestamp(number),
        attempt: None,
    }
}

#[test]
fn what_was_committed_is_there_after_a_power_cut() {
    let bed = Bed::new();
    let ledger = bed.open();
    put_points(
        &ledger,
        device(1),
        &[(1, "t", ValueRef::Double(21.5)), (2, "s", ValueRef::String("on"))],
    );
    let after = bed.after_cut(0).open();
    let expected = [
        ("s".to_owned(), 2, Value::String("on".to_owned())),
        ("t".to_owned(), 1, Value::Double(21.5)),
    ];
    assert_eq!(latest(&after, device(1)), expected);
    assert_eq!(range(&after, device(1), "t"), [(1, Value::Double(21.5))]);
    assert_eq!(after.stats().damaged_records, 0);
}

/// Several hands put it back then, each some entities.
#[test]
fn a_long_log_is_put_back_whole_and_the_records_of_an_entity_in_order() {
    let mut bed = Bed::new();
    bed.config.segment_bytes = 8 * 1024 * 1024;
    let ledger = bed.open();
    let text = "x".repeat(1_000);
    for round in 0..30 {
        for number in 0..17_u32 {
            let value = ValueRef::Long(round * 100 + i64::from(number));
            let rows = [(round, "n", value), (round / 2, "t", ValueRef::String(&text))];
            put_points(&ledger, device(number.into()), &rows);
        }
        let entity = device(round.unsigned_abs().into());
        put(&ledger, Change::Purge { entity });
        let (keys, range) = (["n".to_owned()], span(round - 3, round));
        let (keys, latest) = (&keys[..], LatestAfterDelete::Rewrite);
        put(&ledger, Change::DeleteTelemetry { entity: device(3), keys, range, latest });
        put(&ledger, Change::Incident { entity: device(4), incident: &incident(round) });
    }
    let told = |ledger: &LogLedger| {
        let of = |number: u128| {
            let entity = device(number);
            let points = ["n", "t"].map(|key| range(ledger, entity, key));
            let incidents = block(ledger.incidents(entity, 100)).expect("readable");
            (latest(ledger, entity), points, incidents)
        };
        let stats = ledger.stats();
        (stats.changes, stats.points, stats.head_bytes, (0..17).map(of).collect::<Vec<_>>())
    };
    let after = bed.after_cut(0).open();
    assert!(after.stats().head_bytes > 500_000 && after.stats().damaged_records == 0);
    assert_eq!(told(&after), told(&ledger));
}

/// A start makes no whole segment before it serves, so the first ones are short; they are read back
/// like whole ones, and never used again.
#[test]
fn the_first_segments_are_short_and_leave_with_the_flush() {
    let mut bed = Bed::new();
    bed.config.segment_bytes = 8 * 1024 * 1024;
    bed.config.commit_queue_max_bytes = 4 * 1024 * 1024;
    let ledger = bed.open();
    let text = "x".repeat(700_000);
    for at in 0..4 {
        put_points(&ledger, device(1), &[(at, "k", ValueRef::String(&text))]);
    }
    let lens = |bed: &Bed| -> Vec<u64> {
        let names = bed.disk.list().expect("listed").into_iter();
        let segments = names.filter(|name| log::segment_number(name).is_some());
        segments.map(|it| bed.disk.open(&it).expect("there").len().expect("known")).collect()
    };
    assert_eq!(lens(&bed), [1024 * 1024; 4]);
    let after = bed.after_cut(0);
    let ledger = after.open();
    assert_eq!(range(&ledger, device(1), "k").len(), 4);
    flush(&ledger);
    assert_eq!(lens(&after), [] as [u64; 0]);
    assert_eq!(range(&ledger, device(1), "k").len(), 4);
}

#[test]
fn a_change_larger_than_half_a_segment_is_refused_at_once_and_leaves_nothing_behind() {
    let bed = Bed::new();
    let ledger = bed.open();
    let many: Vec<String> = (0..2_000).map(|number| format!("key number {number}")).collect();
    let text = "x".repeat(32 * 1024);
    let keys = batch(&many.iter().map(|it| (1, &**it, ValueRef::Bool(true))).collect::<Vec<_>>());
    let long = batch(&[(1, "k", ValueRef::String(&text))]);
    put_points(&ledger, device(1), &[(1, "k", ValueRef::Bool(true))]);
    for readings in [&keys, &long] {
        let change = Change::Telemetry { entity: device(1), readings, ttl_s: 0 };
        assert_eq!(ledger.append(change), Err(AppendError::TooLarge));
        assert_eq!(ledger.stats().queue_bytes, 0);
    }
    let fits = "x".repeat(31 * 1024);
    put_points(&ledger, device(1), &[(2, "k", ValueRef::String(&fits))]);
    assert_eq!(range(&bed.after_cut(0).open(), device(1), "k").len(), 2);
}

#[test]
fn a_change_larger_than_the_line_is_taken_when_the_line_is_empty_also_with_new_names() {
    let bed =
        Bed { config: LedgerConfig { commit_queue_max_bytes: 4096, ..small() }, ..Bed::new() };
    let ledger = bed.open();
    let text = "x".repeat(30 * 1024);
    put_points(&ledger, device(1), &[(1, "new", ValueRef::String(&text))]);
    put_points(&ledger, device(1), &[(2, "new", ValueRef::String(&text))]);
    assert_eq!(range(&bed.after_cut(0).open(), device(1), "new").len(), 2);
}

/// The shelf refuses, so nothing can be flushed; what a start would have to read stays bounded.
#[test]
fn a_backlog_of_the_flush_makes_appends_wait_until_it_shrinks() {
    let mut bed = Bed::new();
    bed.config.backlog_bytes_max = 64 * 1024;
    bed.shelf.fail_from(Some(1));
    let ledger = bed.open();
    let text = "x".repeat(8 * 1024);
    let readings = batch(&[(1, "k", ValueRef::String(&text))]);
    let change = Change::Telemetry { entity: device(1), readings: &readings, ttl_s: 0 };
    let refused = (0..100).map(|_| try_put(&ledger, change)).find(Result::is_err);
    assert_eq!(refused, Some(Err(AppendError::Busy)));
    let stats = ledger.stats();
    assert!((64 * 1024..80 * 1024).contains(&stats.backlog_bytes), "{}", stats.backlog_bytes);
    assert_eq!((stats.backlog_full, stats.head_full), (1, 0));
    bed.shelf.fail_from(None);
    block(core::future::poll_fn(|cx| ledger.poll_ready(cx)));
    put(&ledger, change);
}

#[test]
fn an_older_reading_never_replaces_the_latest_and_of_one_time_the_later_wins() {
    for flushed in [false, true] {
        let bed = Bed::new();
        let ledger = bed.open();
        for (at, number) in [(5, 1), (3, 2), (5, 3)] {
            put_points(&ledger, device(1), &[(at, "k", ValueRef::Long(number))]);
            if flushed {
                flush(&ledger);
            }
        }
        assert_eq!(latest(&ledger, device(1)), [("k".to_owned(), 5, Value::Long(3))]);
        let all = [(3, Value::Long(2)), (5, Value::Long(3))];
        assert_eq!(range(&ledger, device(1), "k"), all);
    }
}

#[test]
fn late_readings_find_their_place_in_chunks() {
    let bed = Bed::new();
    let ledger = bed.open();
    let even: Vec<_> = (0..1500).map(|i| (i * 2, "k", ValueRef::Long(i * 2))).collect();
    even.chunks(400).for_each(|part| {
        put_points(&ledger, device(1), part);
        flush(&ledger);
    });
    let odd: Vec<_> = (-5..1400).map(|i| (i * 2 + 1, "k", ValueRef::Long(-1))).collect();
    put_points(&ledger, device(1), &odd);
    let mut expected: Vec<_> = even.iter().map(|it| (it.0, it.2.to_owned())).collect();
    expected.extend(odd.iter().map(|it| (it.0, it.2.to_owned())));
    expected.sort_by_key(|it| it.0);
    assert_eq!(range(&ledger, device(1), "k"), expected);
    flush(&ledger);
    assert_eq!(range(&ledger, device(1), "k"), expected);
    let newest = query(device(1), "k", span(100, 2000), true, 3);
    let newest = block(ledger.range(newest)).expect("readable");
    let expected: Vec<_> =
        expected.into_iter().filter(|it| (100..2000).contains(&it.0)).rev().take(3).collect();
    assert_eq!(
        newest.into_iter().map(|(at, value)| (at.ms(), value)).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn an_aggregate_sees_head_and_chunks() {
    let ledger = Bed::new().open();
    for part in 0..4 {
        let rows: Vec<_> = (0..300).map(|i| (part * 300 + i, "k", ValueRef::Long(1))).collect();
        put_points(&ledger, device(1), &rows);
        if part < 3 {
            flush(&ledger);
        }
    }
    let buckets = Buckets::equal(span(0, 1200), 600, 10).expect("two buckets");
    let fold = Fold::new(Aggregation::Sum, buckets);
    let fold = block(ledger.aggregate(device(1), "k".to_owned(), fold)).expect("readable");
    assert_eq!(
        fold.finish(),
        [(Timestamp(300), Value::Long(600)), (Timestamp(900), Value::Long(600))]
    );
}

#[test]
fn a_deletion_does_to_the_latest_value_what_was_asked() {
    let rows: [(LatestAfterDelete, Option<i64>); 3] = [
        (LatestAfterDelete::Keep, Some(3)),
        (LatestAfterDelete::Remove, None),
        (LatestAfterDelete::Rewrite, Some(1)),
    ];
    for (mode, expected) in rows {
        for flushed in [false, true] {
            let bed = Bed::new();
            let ledger = bed.open();
            for at in 1..=3 {
                put_points(&ledger, device(1), &[(at, "k", ValueRef::Long(at))]);
            }
            if flushed {
                flush(&ledger);
            }
            let (keys, range_) = (["k".to_owned()], span(2, 4));
            put(
                &ledger,
                Change::DeleteTelemetry {
                    entity: device(1),
                    keys: &keys,
                    range: range_,
                    latest: mode,
                },
            );
            let check = |ledger: &LogLedger| {
                let at: Option<i64> = latest(ledger, device(1)).first().map(|it| it.1);
                assert_eq!(at, expected, "{mode:?}, flushed: {flushed}");
                assert_eq!(range(ledger, device(1), "k"), [(1, Value::Long(1))]);
            };
            check(&ledger);
            check(&bed.after_cut(0).open());
            flush(&ledger);
            check(&ledger);
            check(&bed.after_cut(0).open());
        }
    }
}

#[test]
fn attributes_and_incidents_are_kept_and_a_purge_removes_everything() {
    let bed = Bed::new();
    let ledger = bed.open();
    let values = batch(&[(9, "b", ValueRef::Bool(true)), (9, "a", ValueRef::Json("[1]"))]);
    let entity = device(3);
    put(&ledger, Change::SetAttributes { entity, scope: Scope::Server, attributes: &values });
    for number in 0..300 {
        put(&ledger, Change::Incident { entity, incident: &incident(number) });
        if number % 100 == 0 {
            flush(&ledger);
        }
    }
    put_points(&ledger, entity, &[(1, "k", ValueRef::Long(1))]);
    let keys = ["b".to_owned()];
    put(&ledger, Change::DeleteAttributes { entity, scope: Scope::Server, keys: &keys });
    let check = |ledger: &LogLedger| {
        let found = block(ledger.attributes(entity, Scope::Server, Keys::All)).expect("readable");
        let expected = Attribute {
            key: "a".to_owned(),
            value: Value::Json("[1]".to_owned()),
            updated_at: Timestamp(9),
        };
        assert_eq!(found, [expected]);
        assert_eq!(block(ledger.attributes(entity, Scope::Client, Keys::All)), Ok(Vec::new()));
        let found = block(ledger.incidents(entity, 1000)).expect("readable");
        let expected: Vec<_> = (172..300).rev().map(incident).collect();
        assert_eq!(found, expected);
    };
    check(&ledger);
    check(&bed.after_cut(0).open());
    flush(&ledger);
    check(&bed.after_cut(0).open());
    put(&ledger, Change::Purge { entity });
    put_points(&ledger, entity, &[(2, "new", ValueRef::Long(2))]);
    for _ in 0..2 {
        assert_eq!(latest(&ledger, entity), [("new".to_owned(), 2, Value::Long(2))]);
        assert_eq!(range(&ledger, entity, "k"), []);
        assert_eq!(block(ledger.attributes(entity, Scope::Server, Keys::All)), Ok(Vec::new()));
        assert_eq!(block(ledger.incidents(entity, 10)), Ok(Vec::new()));
        flush(&ledger);
    }
}

#[test]
fn expired_readings_are_invisible_at_once_and_removed_by_a_sweep_that_distrusts_the_clock() {
    use std::time::Duration;
    const HOUR: i64 = 3_600_000;
    let bed = Bed::new();
    let ledger = bed.open();
    let rows: Vec<_> = (0..300).map(|i| (i, "k", ValueRef::Long(i))).collect();
    put(&ledger, Change::Telemetry { entity: device(1), readings: &batch(&rows), ttl_s: 36_000 });
    flush(&ledger);
    let book = &ledger.shared.book;
    let sweep = |real_hours: u64| {
        crate::retention::sweep(book, Duration::from_secs(3600 * real_hours))
            .expect("a sound shelf")
    };
    bed.now.store(HOUR, Ordering::Relaxed);
    assert_eq!(sweep(0), 0, "the first sweep only notes the time");
    bed.now.store(HOUR * 10, Ordering::Relaxed);
    assert_eq!(range(&ledger, device(1), "k").len(), 300, "readings at the edge are still there");
    bed.now.store(HOUR * 24 * 3650, Ordering::Relaxed);
    assert_eq!(range(&ledger, device(1), "k"), [], "what expired is not shown");
    assert_eq!(sweep(0), 0, "ten years ahead count as one hour");
    bed.now.store(HOUR, Ordering::Relaxed);
    assert_eq!(
        range(&ledger, device(1), "k").len(),
        300,
        "a corrected clock shows everything again"
    );
    bed.now.store(HOUR * 13, Ordering::Relaxed);
    assert_eq!(sweep(2), 0, "three hours ahead at most");
    assert_eq!(sweep(8), 1, "with the time, everything that expired goes");
    bed.now.store(0, Ordering::Relaxed);
    assert_eq!(range(&ledger, device(1), "k"), [], "removed for good");
}

#[test]
fn a_full_line_answers_busy_and_tells_when_there_is_room() {
    let bed = Bed { config: LedgerConfig { head_bytes_max: 4096, ..small() }, ..Bed::new() };
    let ledger = bed.open();
    let rows: Vec<_> = (0..200).map(|i| (i, "k", ValueRef::Long(i))).collect();
    put_points(&ledger, device(1), &rows);
    block(std::future::poll_fn(|cx| ledger.poll_ready(cx)));
    put_points(&ledger, device(1), &rows);
    assert_eq!(range(&ledger, device(1), "k").len(), 200);
}

#[test]
fn a_full_disk_refuses_keeps_answering_and_resumes_by_itself() {
    let bed = Bed::new();
    let ledger = bed.open();
    let long = "x".repeat(3000);
    let row = |at| [(at, "k", ValueRef::String(&long))];
    put_points(&ledger, device(1), &row(0));
    while ledger.shared.yard.prepare().is_err() {}
    bed.disk.set_space(Some(0));
    let mut at = 0;
    let error = loop {
        at += 1;
        let change = Change::Telemetry { entity: device(1), readings: &batch(&row(at)), ttl_s: 0 };
        if let Err(error) = try_put(&ledger, change) {
            break error;
        }
    };
    assert_eq!(error, AppendError::Full);
    assert_eq!(range(&ledger, device(1), "k").len() as i64, at, "acknowledged, and only that");
    bed.disk.set_space(None);
    while ledger.state() != LedgerState::Healthy {
        std::thread::yield_now();
    }
    put_points(&ledger, device(1), &row(10_000));
    put_points(&ledger, device(2), &[(1, "new key", ValueRef::Bool(true))]);
    let after = bed.after_cut(0).open();
    assert_eq!(range(&after, device(1), "k").len() as i64, at + 1);
    assert_eq!(latest(&after, device(2)).len(), 1);
    assert_eq!(after.stats().damaged_records, 0);
}

#[test]
fn segments_are_used_again_and_the_log_does_not_grow() {
    let bed = Bed::new();
    let ledger = bed.open();
    let long = "x".repeat(20_000);
    for at in 0..200 {
        put_points(&ledger, device(1), &[(at, "k", ValueRef::String(&long))]);
        if at % 10 == 0 {
            flush(&ledger);
        }
    }
    let segments = bed.disk.list().expect("alive").len();
    assert!(segments < 12, "{segments} files");
    let after = bed.after_cut(0).open();
    assert_eq!(range(&after, device(1), "k").len(), 200);
    assert_eq!(after.stats().damaged_records, 0);
}

#[test]
fn an_orderly_end_leaves_nothing_to_replay_and_refuses_further_changes() {
    let bed = Bed::new();
    let ledger = bed.open();
    put_points(&ledger, device(1), &[(1, "k", ValueRef::Long(1))]);
    block(ledger.close()).expect("healthy");
    let change = Change::Purge { entity: device(1) };
    assert_eq!(ledger.append(change), Err(AppendError::Failed));
    drop(ledger);
    let again = bed.open();
    assert_eq!(again.shared.book.head.bytes(), 0);
    assert_eq!(range(&again, device(1), "k"), [(1, Value::Long(1))]);
}

#[test]
fn a_newer_format_is_refused_before_anything_is_changed() {
    let bed = Bed::new();
    let text = "thingport ledger 3";
    let line = format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()));
    bed.disk.put("format", line.into_bytes());
    let before = bed.disk.calls();
    let error = bed.try_open().err().expect("refused");
    assert!(matches!(error, OpenError::NewerFormat { found: 3, known: 2, .. }), "{error}");
    assert_eq!(bed.disk.calls(), before);
}

#[test]
fn a_directory_has_one_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = LedgerConfig { dir: dir.path().to_owned(), ..small() };
    let clock: Clock = Arc::new(|| Timestamp(0));
    let open = || LogLedger::open_dir(config.clone(), Arc::clone(&clock), &mut |_| {});
    let first = open().expect("free");
    let error = open().err().expect("taken");
    let text = error.to_string();
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    put_points(&first, device(1), &[(1, "k", ValueRef::Long(1))]);
    drop(first);
    assert_eq!(range(&open().expect("free again"), device(1), "k"), [(1, Value::Long(1))]);
}

#[test]
fn the_observer_hears_of_committed_changes_in_order() {
    #[derive(Default)]
    struct Ear(Mutex<Vec<String>>);
    impl Observer for Ear {
        fn is_idle(&self) -> bool {
            false
        }
        fn wants(&self, entity: EntityRef) -> bool {
            entity == device(1)
        }
        fn committed(&self, _: EntityRef, change: &Committed) {
            self.0.lock().push(format!("{change:?}"));
        }
    }
    let ledger = Bed::new().open();
    let ear = Arc::new(Ear::default());
    ledger.set_observer(Arc::clone(&ear) as Arc<dyn Observer>);
    put_points(&ledger, device(2), &[(1, "k", ValueRef::Long(1))]);
    put_points(&ledger, device(1), &[(1, "k", ValueRef::Long(1))]);
    put(&ledger, Change::Purge { entity: device(1) });
    let heard = ear.0.lock();
    assert_eq!(heard.len(), 2);
    assert!(heard[0].starts_with("Telemetry([Reading {") && heard[0].contains("\"k\""));
    assert_eq!(heard[1], "Purged");
}
