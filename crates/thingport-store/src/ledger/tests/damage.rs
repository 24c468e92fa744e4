//! Damaged bytes cost what they hit, and are told.

use super::*;

use std::collections::BTreeSet;

/// Six times three records in one segment, closed in good order, nothing flushed.
fn written() -> Bed {
    // Room for a group per record, so that there is one segment however the writer gathers.
    let bed = Bed { config: LedgerConfig { segment_bytes: 96 * 1024, ..small() }, ..Bed::new() };
    let ledger = bed.open();
    for group in 0..GROUPS {
        let receipts: Vec<_> = (0..3)
            .map(|record| {
                let at = group * 3 + record;
                let readings = batch(&[(at, "k", ValueRef::Long(at))]);
                let change = Change::Telemetry { entity: device(1), readings: &readings, ttl_s: 0 };
                ledger.append(change).expect("room")
            })
            .collect();
        block(committed(&*ledger, receipts[2])).expect("a healthy disk");
    }
    // The shelf of the copy stays empty, so that a start has to read the whole log.
    let shelf = Arc::new(bed.shelf.survivor());
    ledger.shared.stopping.store(true, Ordering::Release); // no last flush
    drop(ledger);
    Bed { shelf, ..bed }
}

fn found(bed: &Bed) -> (BTreeSet<i64>, u64) {
    let ledger = bed.open();
    let rows = range(&ledger, device(1), "k");
    for (at, value) in &rows {
        assert_eq!(value, &Value::Long(*at), "a wrong value");
    }
    (rows.into_iter().map(|row| row.0).collect(), ledger.stats().damaged_records)
}

fn segment(bed: &Bed) -> String {
    let names = bed.disk.list().expect("alive");
    names.into_iter().find(|name| name.ends_with("1.log")).expect("the first segment")
}

fn damaged(bed: &Bed, change: impl FnOnce(&mut Vec<u8>)) -> Bed {
    let disk = bed.disk.copy();
    let name = segment(bed);
    let mut bytes = disk.content(&name).expect("it is there");
    change(&mut bytes);
    disk.put(&name, bytes);
    Bed { disk, shelf: Arc::new(bed.shelf.survivor()), ..bed.clone() }
}

#[test]
fn a_flipped_bit_costs_one_record_at_most_and_is_told() {
    let bed = written();
    let whole: BTreeSet<i64> = (0..GROUPS * 3).collect();
    assert_eq!(found(&bed), (whole.clone(), 0));
    let blocks = 0..2 * GROUPS as usize;
    for at in blocks.flat_map(|block| (0..150).step_by(5).map(move |at| block * 4096 + at)) {
        let hurt = damaged(&bed, |bytes| bytes[at] ^= 1 << (at % 8));
        let (rows, reported) = found(&hurt);
        let lost = whole.difference(&rows).count();
        assert!(lost <= 1, "{lost} records lost by one bit at {at}");
        assert!(lost == 0 || reported > 0, "a loss by a bit at {at} was not told");
    }
}

#[test]
fn a_damaged_name_costs_nothing_because_it_stands_twice() {
    let bed = written();
    for at in (64..200).step_by(3) {
        let hurt = damaged(&bed, |bytes| bytes[at] ^= 0x10);
        let (rows, _) = found(&hurt);
        assert!(rows.len() as i64 >= GROUPS * 3 - 1, "{} rows left, byte {at}", rows.len());
    }
}

#[test]
fn a_truncated_segment_is_told_and_gives_what_stands_before_the_cut() {
    let bed = written();
    let whole = bed.disk.content(&segment(&bed)).expect("it is there").len();
    let mut before = 0;
    for len in (0..=whole).step_by(512) {
        let mut cut = damaged(&bed, |bytes| bytes.truncate(len));
        if len < whole {
            let Err(OpenError::Lost { code, .. }) = cut.try_open() else {
                panic!("{len} of {whole} bytes were taken for all");
            };
            cut.config.accept_loss = code;
        }
        let (rows, _) = found(&cut);
        let count = rows.len() as i64;
        assert_eq!(rows, (0..count).collect(), "no gaps in {len} bytes");
        assert!(count >= before, "{count} rows in {len} bytes, {before} in less");
        before = count;
    }
    assert_eq!(before, GROUPS * 3);
}

#[test]
fn what_an_older_life_left_in_a_recycled_segment_never_comes_back() {
    let bed = Bed::new();
    let ledger = bed.open();
    let long = "x".repeat(2000);
    for at in 0..400 {
        put_points(&ledger, device(1), &[(at, "old", ValueRef::String(&long))]);
        if at % 15 == 0 {
            flush(&ledger);
        }
    }
    let keys = ["old".to_owned()];
    let latest_too = thingport_model::port::ledger::LatestAfterDelete::Remove;
    let gone = Change::DeleteTelemetry {
        entity: device(1),
        keys: &keys,
        range: TimeRange::ALL,
        latest: latest_too,
    };
    put(&ledger, gone);
    flush(&ledger);
    put_points(&ledger, device(1), &[(1, "new", ValueRef::Long(1))]);
    let disk = bed.disk.copy();
    let recycled = disk.list().expect("alive").into_iter().filter(|name| {
        let bytes = disk.content(name).unwrap_or_default();
        name.ends_with(".log") && bytes.windows(8).filter(|it| it == b"TPGROUP\n").count() > 1
    });
    assert!(recycled.count() > 0, "the test means nothing without stale groups");
    let after = Bed { disk, shelf: Arc::new(bed.shelf.survivor()), ..bed.clone() }.open();
    assert_eq!(range(&after, device(1), "old"), []);
    assert_eq!(range(&after, device(1), "new"), [(1, Value::Long(1))]);
    assert_eq!(after.stats().damaged_records, 0);
}

const GROUPS: i64 = 6;
