//! What was acknowledged and is taken away is told at the next start, and never silently done without.

use super::*;

use std::collections::BTreeSet;

use crate::ledger::Loss;
use crate::log::mark;
use crate::shelf::Space;

/// Nine readings in three segments, not flushed.
fn written(ending: Ending) -> Bed {
    let bed = Bed::new();
    let ledger = bed.open();
    // Names stand in the group that first uses them; these are on the shelf.
    put_points(&ledger, device(1), &[(-1, "k", ValueRef::Bool(true))]);
    flush(&ledger);
    let text = "x".repeat(18 * 1024);
    for at in 0..READINGS {
        put_points(&ledger, device(1), &[(at, "k", ValueRef::String(&text))]);
    }
    if ending == Ending::Cut {
        return bed.after_cut(0);
    }
    let shelf = Arc::new(bed.shelf.survivor());
    ledger.shared.stopping.store(true, Ordering::Release); // no last flush
    drop(ledger);
    Bed { shelf, ..bed }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The power failed; the mark was written when the last segment was begun.
    Cut,
    /// The process ended, but for the flush, in good order; the mark is complete.
    Stopped,
}

/// Something done to the files of a directory behind the back of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mischief {
    Removed(usize),
    Emptied(usize),
    Halved(usize),
    Zeroed(usize),
    Swapped(usize, usize),
    Foreign(usize),
    ZeroedMiddle(usize),
}

fn segments(bed: &Bed) -> Vec<String> {
    let names = bed.disk.list().expect("alive");
    names.into_iter().filter(|name| name.ends_with(".log")).collect()
}

fn hurt(bed: &Bed, mischief: Mischief) -> Bed {
    let disk = bed.disk.copy();
    let names = segments(bed);
    let content = |index: usize| disk.content(&names[index]).expect("it is there");
    match mischief {
        Mischief::Removed(index) => disk.remove(&names[index]).expect("healthy"),
        Mischief::Emptied(index) => disk.put(&names[index], Vec::new()),
        Mischief::Halved(index) => {
            let mut bytes = content(index);
            bytes.truncate(bytes.len() / 2);
            disk.put(&names[index], bytes);
        }
        Mischief::Zeroed(index) => disk.put(&names[index], vec![0; content(index).len()]),
        Mischief::ZeroedMiddle(index) => {
            let mut bytes = content(index);
            bytes[20 * 1024..40 * 1024].fill(0);
            disk.put(&names[index], bytes);
        }
        Mischief::Swapped(one, other) => {
            let (first, second) = (content(one), content(other));
            disk.put(&names[one], second);
            disk.put(&names[other], first);
        }
        Mischief::Foreign(index) => {
            let other = written(Ending::Stopped);
            disk.put(&names[index], other.disk.content(&names[index]).expect("it is there"));
        }
    }
    with_disk(bed, disk)
}

fn with_disk(bed: &Bed, disk: SimDisk) -> Bed {
    Bed { disk, shelf: Arc::new(bed.shelf.survivor()), ..bed.clone() }
}

fn losses(bed: &Bed) -> (Vec<Loss>, String) {
    match bed.try_open().err().expect("it must be refused") {
        OpenError::Lost { losses, code, .. } => (losses, code),
        other => panic!("{other}"),
    }
}

fn readings(ledger: &LogLedger) -> BTreeSet<i64> {
    range(ledger, device(1), "k").into_iter().map(|row| row.0).filter(|at| *at >= 0).collect()
}

/// Refused and left alone; accepted with the code only, and then for good.
fn refused_then_accepted(bed: &Bed, what: &str) -> BTreeSet<i64> {
    let before = bed.disk.calls();
    let (losses, code) = losses(bed);
    assert_eq!(bed.disk.calls(), before, "{what}: nothing is written before somebody decides");
    let mut accepting = bed.clone();
    accepting.config.accept_loss = "00000000".to_owned();
    assert_eq!(self::losses(&accepting), (losses, code.clone()), "{what}: another word");
    accepting.config.accept_loss = code;
    let left = {
        let ledger = accepting.open();
        put_points(&ledger, device(1), &[(1000, "k", ValueRef::Bool(true))]);
        assert!(ledger.stats().damaged_records > 0, "{what}: it stays visible");
        readings(&ledger)
    };
    for seed in [0, 1] {
        assert_eq!(readings(&accepting.after_cut(seed).open()), left, "{what}: no second question");
    }
    assert_eq!(readings(&bed.open()), left, "{what}: also without the word");
    left
}

#[test]
fn a_segment_that_is_hurt_stops_the_start_and_costs_only_itself() {
    use Mischief::{Emptied, Foreign, Halved, Removed, Swapped, Zeroed, ZeroedMiddle};
    for ending in [Ending::Cut, Ending::Stopped] {
        let bed = written(ending);
        assert_eq!(segments(&bed).len(), 3, "{ending:?}");
        assert_eq!(readings(&with_disk(&bed, bed.disk.copy()).open()).len() as i64, READINGS);
        for index in 0..3 {
            for make in [Removed, Emptied, Halved, Zeroed, ZeroedMiddle, Foreign] {
                let mischief = make(index);
                if ending == Ending::Cut && index == 2 && matches!(mischief, Zeroed(_)) {
                    continue; // below
                }
                let left = refused_then_accepted(&hurt(&bed, mischief), &format!("{mischief:?}"));
                let others = (0..READINGS).filter(|at| at / 3 != index as i64);
                let whole: BTreeSet<i64> = others.chain([1000]).collect();
                assert!(left.is_superset(&whole), "{mischief:?}, {ending:?}: {left:?}");
            }
        }
        for (one, other) in [(0, 1), (1, 2), (0, 2)] {
            let what = format!("{one} and {other} swapped, {ending:?}");
            refused_then_accepted(&hurt(&bed, Swapped(one, other)), &what);
        }
    }
}

/// The limit of what can be told: everything behind the newest mark may as well never have been written.
#[test]
fn what_came_after_the_newest_mark_cannot_be_missed() {
    let bed = hurt(&written(Ending::Cut), Mischief::Zeroed(2));
    assert_eq!(readings(&bed.open()), (0..6).collect());
}

#[test]
fn messages_say_what_is_missing_since_when_and_what_to_do() {
    let bed = written(Ending::Stopped);
    bed.now.store(1_800_000_000_000, Ordering::Relaxed);
    for (mischief, expected) in [
        (Mischief::Removed(2), "the log segment 0000000000000003.log is missing;"),
        (Mischief::Halved(2), "0000000000000003.log was cut from 65536 to 32768 bytes;"),
        (Mischief::Foreign(1), "0000000000000002.log belongs to another data directory;"),
        (
            Mischief::Zeroed(1),
            "3 commits of the log (5 to 7) are missing, written after 1970-01-01 00:16:40 UTC",
        ),
        (
            Mischief::Zeroed(0),
            "3 commits of the log (2 to 4) are missing, written before 1970-01-01 00:16:40 UTC",
        ),
    ] {
        let error = hurt(&bed, mischief).try_open().err().expect("refused");
        let text = error.to_string();
        for part in [expected, "the simulated disk", "from a backup", "--set storage.accept_loss="]
        {
            assert!(text.contains(part), "{mischief:?}: {part} is not in {text}");
        }
    }
}

#[test]
fn a_missing_or_older_or_foreign_chunk_store_is_told() {
    let bed = written(Ending::Stopped);
    let ledger = bed.open();
    flush(&ledger);
    let older = bed.shelf.survivor();
    put_points(&ledger, device(1), &[(9, "k", ValueRef::Bool(true))]);
    flush(&ledger);
    drop(ledger);
    let with =
        |shelf: MemoryShelf| Bed { shelf: Arc::new(shelf), ..with_disk(&bed, bed.disk.copy()) };
    assert_eq!(readings(&with(bed.shelf.survivor()).open()).len() as i64, READINGS + 1);
    for (shelf, expected) in [
        (
            MemoryShelf::default(),
            "chunks is missing or empty, so everything written before 1970-01-01",
        ),
        (older, "chunks is an older one: it ends with commit"),
    ] {
        let hurt = with(shelf);
        let text = hurt.try_open().err().expect("refused").to_string();
        assert!(text.contains(expected), "{text}");
        let mut accepting = hurt.clone();
        accepting.config.accept_loss = losses(&hurt).1;
        put_points(&accepting.open(), device(1), &[(1000, "k", ValueRef::Bool(true))]);
        assert!(readings(&hurt.after_cut(0).open()).contains(&1000), "no second question");
    }
    let other = written(Ending::Stopped);
    flush(&other.open());
    let text = with(other.shelf.survivor()).try_open().err().expect("refused").to_string();
    assert!(text.contains("chunks belong to different data directories"), "{text}");
}

#[test]
fn a_missing_part_of_the_chunk_store_is_told() {
    let bed = Bed::new();
    let ledger = bed.open();
    let rows: Vec<_> = (0..600).map(|at| (at, "k", ValueRef::Long(at))).collect();
    put(&ledger, Change::Telemetry { entity: device(1), readings: &batch(&rows), ttl_s: 99_999 });
    for _ in 0..2 {
        put_points(&ledger, device(1), &[(1000, "k", ValueRef::Bool(true))]);
        flush(&ledger);
    }
    let whole = bed.after_cut(0);
    drop(ledger);
    for space in Space::ALL {
        let hurt =
            Bed { shelf: Arc::new(whole.shelf.survivor()), ..with_disk(&whole, whole.disk.copy()) };
        hurt.shelf.forget(space);
        let (losses, code) = losses(&hurt);
        let part = Loss::ChunksPart { space: space.name() };
        assert!(losses.contains(&part), "{space:?}: {losses:?}");
        let mut accepting = hurt.clone();
        accepting.config.accept_loss = code;
        put_points(&accepting.open(), device(1), &[(2000, "k", ValueRef::Bool(true))]);
        let again = hurt.after_cut(0).open();
        flush(&again);
        drop(again);
        assert!(readings(&hurt.open()).contains(&2000), "{space:?}: no second question");
    }
}

#[test]
fn a_missing_or_damaged_mark_is_told_and_half_a_mark_is_enough() {
    let bed = written(Ending::Stopped);
    let whole = bed.disk.content(mark::NAME).expect("there");
    let with_mark = |bytes: Option<Vec<u8>>| {
        let disk = bed.disk.copy();
        match bytes {
            Some(bytes) => disk.put(mark::NAME, bytes),
            None => disk.remove(mark::NAME).expect("healthy"),
        }
        with_disk(&bed, disk)
    };
    for (bytes, what) in
        [(None, "removed"), (Some(Vec::new()), "emptied"), (Some(vec![0; whole.len()]), "zeroed")]
    {
        refused_then_accepted(&with_mark(bytes), what);
    }
    let foreign = with_mark(written(Ending::Stopped).disk.content(mark::NAME));
    let text = foreign.try_open().err().expect("refused").to_string();
    assert!(text.contains("belong to different data directories"), "{text}");
    for slot in [0, 4096] {
        let mut bytes = whole.clone();
        bytes[slot..slot + 4096].fill(0);
        assert_eq!(readings(&with_mark(Some(bytes)).open()).len() as i64, READINGS, "slot {slot}");
    }
}

#[test]
fn a_directory_of_the_format_without_a_mark_gets_one() {
    let bed = written(Ending::Stopped);
    let text = "thingport ledger 1";
    let line = format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()));
    bed.disk.put("format", line.into_bytes());
    bed.disk.remove(mark::NAME).expect("healthy");
    for mischief in [None, Some(Mischief::Zeroed(1))] {
        let bed = mischief.map_or_else(|| with_disk(&bed, bed.disk.copy()), |it| hurt(&bed, it));
        if mischief.is_some() {
            assert!(matches!(bed.try_open(), Err(OpenError::Lost { .. })), "gaps were told before");
            continue;
        }
        assert_eq!(readings(&bed.open()).len() as i64, READINGS);
        let again = bed.after_cut(0);
        assert_eq!(readings(&again.open()).len() as i64, READINGS);
        bed.disk.remove(mark::NAME).expect("healthy");
        assert!(matches!(losses(&bed).0[..], [Loss::Mark { is_there: false }, ..]));
    }
}

#[test]
fn a_lost_format_file_is_written_anew() {
    let bed = written(Ending::Stopped);
    bed.disk.remove("format").expect("healthy");
    assert_eq!(readings(&bed.open()).len() as i64, READINGS);
    assert!(bed.disk.content("format").is_some());
}

const READINGS: i64 = 9;
