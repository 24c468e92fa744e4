//! Reading the log back, whatever state it is in. Changes nothing on the disk.
//!
//! A segment is read group by group. Where no sound group stands, the search goes on block by block:
//! a later sound group of the segment, or a gap in the numbers towards the next segment, means that
//! something in the middle is damaged, which is counted and told; nothing behind it means that the log
//! simply ended there, perhaps with a group that a power cut tore, which is normal. Either way every
//! record that still proves itself is used. Groups of which nothing is left, though they were committed,
//! are told as holes, and whoever starts decides.

use std::io;

use super::group::{self, Header, Place, Step};
use super::window::Window;
use super::{Closed, is_spare, segment_name, segment_number};
use crate::disk::{BLOCK, Disk, DiskFile};
use crate::record::CLOSED_RECORD;

/// What recovery found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) salt: u64,
    pub(crate) next_segment: u64,
    pub(crate) next_lsn: u64,
    /// Highest number of a start of the process that wrote here.
    pub(crate) last_start: u32,
    /// Segments with something to replay, in order.
    pub(crate) live: Vec<Closed>,
    /// Segments with nothing to replay that somebody who follows has not passed, in order; all before
    /// `live`.
    pub(crate) held: Vec<Closed>,
    /// Segments with nothing to replay, and their bytes.
    pub(crate) free: Vec<(String, u64)>,
    /// Bytes of groups to replay.
    pub(crate) bytes: u64,
    /// Places in the middle of the log that held no sound record.
    pub(crate) damaged: u64,
    /// Places where a process ended that held no sound record: an unfinished write.
    pub(crate) torn: u64,
    /// Committed groups of which nothing was found, in order.
    pub(crate) holes: Vec<Hole>,
    /// Segments with groups of another log.
    pub(crate) foreign: Vec<String>,
}

/// What is known about the log beforehand. `Default` is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// Groups up to this one are in the chunk store.
    pub(crate) flushed: u64,
    /// Groups up to this one were committed.
    pub(crate) committed: u64,
    /// Of these, those that were there when the process that committed the rest began.
    pub(crate) opened: u64,
    /// Salt of the log's groups; 0 for that of the first one found.
    pub(crate) salt: u64,
    /// The segment that was begun last.
    pub(crate) segment: u64,
    /// Groups behind this one are still to be read by somebody who follows; none for nobody.
    pub(crate) followed: Option<u64>,
}

/// Groups that were committed and are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// When the groups around were written; 0 for unknown.
    pub(crate) after: i64,
    pub(crate) before: i64,
}

/// Why the log cannot be read.
#[derive(Debug)]
pub(crate) enum RecoveryError {
    Io(io::Error),
    /// A group of this newer layout was found.
    NewerFormat(u16),
}

impl From<io::Error> for RecoveryError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A group's record on its way to the head: number of its group, its index there, its content.
pub(crate) type Visit<'a> = dyn FnMut(u64, u32, &[u8]) + 'a;

/// Reads every record behind what is flushed, in order. `progress` hears of (segments done, in all).
pub(crate) fn recover(
    disk: &dyn Disk,
    known: Known,
    group_max: usize,
    visit: &mut Visit<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Found, RecoveryError> {
    let names = disk.list()?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut found = Found { next_lsn: known.flushed + 1, salt: known.salt, ..Found::default() };
    found.next_segment = numbers.last().map_or(0, |last| *last).max(known.segment) + 1;
    for spare in names.into_iter().filter(|name| is_spare(name)) {
        let bytes = disk.open(&spare)?.len()?;
        found.free.push((spare, bytes));
    }
    let mut reader = Reader::new(known, group_max, found, visit);
    let flushed = flushed_segments(disk, &numbers, &known)?;
    for (index, number) in numbers.iter().enumerate() {
        progress(index as u64, numbers.len() as u64);
        if let Some(last_lsn) = flushed.get(index) {
            let name = segment_name(*number);
            let bytes = disk.open(&name)?.len()?;
            reader.put_away(Closed { name, last_lsn: *last_lsn, bytes, used: bytes });
        } else {
            reader.segment(disk, *number)?;
        }
    }
    progress(numbers.len() as u64, numbers.len() as u64);
    Ok(reader.finish())
}

/// The first segments that need not be read, each with the number that its last group has at most: the
/// one behind them starts within what is flushed.
fn flushed_segments(disk: &dyn Disk, numbers: &[u64], known: &Known) -> io::Result<Vec<u64>> {
    let mut last = Vec::new();
    for (index, number) in numbers.iter().enumerate().skip(1) {
        let mut bytes = [0; group::HEADER];
        disk.open(&segment_name(*number))?.read_at(0, &mut bytes)?;
        let first = Header::read(&bytes)
            .filter(|header| header.segment == *number && is_ours(known.salt, header));
        if let Some(first) = first.filter(|header| header.lsn <= known.flushed + 1) {
            last.resize(index, first.lsn - 1);
        }
    }
    Ok(last)
}

const fn is_ours(salt: u64, header: &Header) -> bool {
    salt == 0 || header.salt == salt
}

/// Blocks in which no sound group starts.
#[derive(Clone, Copy)]
struct Gap {
    from: usize,
    /// Behind the last block that is not all zeros.
    end: usize,
}

impl Gap {
    const fn at(from: usize) -> Self {
        Self { from, end: from }
    }

    fn add(&mut self, at: usize, block: &[u8]) {
        if block.iter().any(|byte| *byte != 0) {
            self.end = at + block.len();
        }
    }
}

/// Whether a group only says that the process ended in good order.
fn is_end(bytes: &[u8], header: &Header) -> bool {
    let end = group::HEADER.saturating_add(header.body_len as usize);
    let body = bytes.get(group::HEADER..end).unwrap_or_default();
    header.records == 1 && group::trusted(body).eq([CLOSED_RECORD])
}

struct Reader<'a, 'b> {
    known: Known,
    group_max: usize,
    /// Number the next group should have.
    expected: Option<u64>,
    found: Found,
    visit: &'a mut Visit<'b>,
    /// The newest group when it has unsound places: torn if no group of that start follows.
    tail: Option<Tail>,
    /// Newest group of the segment being read that has something to replay.
    newest: u64,
    /// Its newest group.
    last: u64,
    /// When the newest sound group was written.
    before: i64,
    /// Records found behind it.
    unfinished: u32,
}

struct Tail {
    start: u32,
    lsn: u64,
    at: i64,
    unsound: u64,
    /// Whether none of several records is left.
    is_hollow: bool,
}

impl<'a, 'b> Reader<'a, 'b> {
    fn new(known: Known, group_max: usize, found: Found, visit: &'a mut Visit<'b>) -> Self {
        Self {
            known,
            group_max,
            expected: None,
            found,
            visit,
            tail: None,
            newest: 0,
            last: 0,
            before: 0,
            unfinished: 0,
        }
    }

    fn segment(&mut self, disk: &dyn Disk, number: u64) -> Result<(), RecoveryError> {
        let name = segment_name(number);
        let file = disk.open(&name)?;
        let bytes = file.len()?;
        (self.newest, self.last) = (0, 0);
        self.groups(&*file, number)?;
        if self.newest > self.known.flushed {
            self.found.live.push(Closed { name, last_lsn: self.newest, bytes, used: bytes });
        } else {
            self.put_away(Closed { name, last_lsn: self.last, bytes, used: bytes });
        }
        Ok(())
    }

    /// A segment with nothing to replay.
    fn put_away(&mut self, segment: Closed) {
        if self.known.followed.is_some_and(|passed| segment.last_lsn > passed) {
            self.found.held.push(segment);
        } else {
            self.found.free.push((segment.name, segment.bytes));
        }
    }

    fn groups(&mut self, file: &dyn DiskFile, number: u64) -> Result<(), RecoveryError> {
        let mut window = Window::new(file)?;
        let (mut at, mut gap) = (0, None);
        while at + BLOCK <= window.len {
            let block = window.slice(at, BLOCK)?;
            let header = Header::read(block).filter(|header| header.segment == number);
            let foreign = header.is_some_and(|header| !is_ours(self.found.salt, &header));
            if foreign && self.found.foreign.last().is_none_or(|it| *it != segment_name(number)) {
                self.found.foreign.push(segment_name(number));
            }
            let Some(header) = header.filter(|_| !foreign) else {
                gap.get_or_insert_with(|| Gap::at(at)).add(at, block);
                at += BLOCK;
                continue;
            };
            if header.version > group::VERSION {
                return Err(RecoveryError::NewerFormat(header.version));
            }
            self.found.salt = header.salt;
            self.gap(&mut window, gap.take().unwrap_or_else(|| Gap::at(at)), &header)?;
            let stride = usize::try_from(header.stride()).unwrap_or(usize::MAX);
            let bytes = window.slice(at, stride)?;
            self.group(bytes, &header, at);
            if is_end(bytes, &header) {
                return Ok(()); // the next start went on in another segment
            }
            at = at.saturating_add(stride);
        }
        match gap {
            Some(gap) => self.end(&mut window, gap, number),
            None => Ok(()),
        }
    }

    /// A sound group follows. What was unsound before it is damage if it was ever committed.
    fn gap(
        &mut self,
        window: &mut Window<'_>,
        gap: Gap,
        next: &Header,
    ) -> Result<(), RecoveryError> {
        if let Some(tail) = self.tail.take() {
            self.count(&tail, tail.start == next.start);
        }
        let expected = self.expected();
        if next.lsn > expected {
            let bytes = window.slice(gap.from, gap.end - gap.from)?;
            let found = self.salvage(bytes, next.segment, gap.from, next.lsn - 1);
            let before = core::mem::take(&mut self.unfinished);
            // What looked like the end of a segment was none.
            self.found.torn -= u64::from(before > 0);
            self.lost(expected, next.lsn - 1, found + before, next.at);
        }
        Ok(())
    }

    /// Number of the first group that is neither flushed nor read yet.
    fn expected(&self) -> u64 {
        self.expected.unwrap_or(0).max(self.known.flushed + 1)
    }

    /// Unsound places of a group are damage if it was ever committed.
    fn count(&mut self, tail: &Tail, followed: bool) {
        let Known { opened, committed, .. } = self.known;
        let committed = followed || tail.lsn > opened && tail.lsn <= committed;
        let counter = if committed { &mut self.found.damaged } else { &mut self.found.torn };
        *counter += tail.unsound;
        if committed && tail.is_hollow {
            let (first, last) = (tail.lsn, tail.lsn);
            self.found.holes.push(Hole { first, last, after: tail.at, before: tail.at });
        }
    }

    /// Groups `first..=last` have no header any more, and of them `records` were found. How many were
    /// lost is unknown; each missing group counts. When there are fewer records than groups, nothing
    /// at all is left of some.
    fn lost(&mut self, first: u64, last: u64, records: u32, before: i64) {
        let missing = last + 1 - first;
        self.found.damaged += missing;
        if missing > u64::from(records) {
            self.found.holes.push(Hole { first, last, after: self.before, before });
        }
    }

    /// Nothing sound follows in this segment. Records may still stand in an unfinished group.
    fn end(
        &mut self,
        window: &mut Window<'_>,
        gap: Gap,
        segment: u64,
    ) -> Result<(), RecoveryError> {
        if self.found.salt == 0 {
            return Ok(());
        }
        let bytes = window.slice(gap.from, (gap.end - gap.from).min(self.group_max))?;
        let lsn = self.found.next_lsn;
        let found = self.salvage(bytes, segment, gap.from, lsn);
        if found > 0 {
            self.found.torn += 1;
        }
        self.unfinished = found;
        Ok(())
    }

    fn group(&mut self, bytes: &[u8], header: &Header, at: usize) {
        self.expected = Some(header.lsn + 1);
        self.last = self.last.max(header.lsn);
        self.before = header.at;
        self.unfinished = 0;
        self.found.next_lsn = self.found.next_lsn.max(header.lsn + 1);
        self.found.last_start = self.found.last_start.max(header.start);
        if header.lsn <= self.known.flushed {
            return;
        }
        self.newest = self.newest.max(header.lsn);
        self.found.bytes += header.stride();
        let end = (group::HEADER + header.body_len as usize).min(bytes.len());
        let body = bytes.get(group::HEADER..end).unwrap_or_default();
        let (sound, unsound) = self.records(body, header.segment, at + group::HEADER, header.lsn);
        let unsound = unsound.max(u64::from(header.records.saturating_sub(sound)));
        let is_hollow = sound == 0 && header.records > 1;
        let (start, lsn) = (header.start, header.lsn);
        self.tail = (unsound > 0).then_some(Tail { start, lsn, at: header.at, unsound, is_hollow });
    }

    /// Looks for records where no header is; answers how many there were.
    fn salvage(&mut self, bytes: &[u8], segment: u64, from: usize, lsn: u64) -> u32 {
        let (sound, _) = self.records(bytes, segment, from, lsn);
        if sound > 0 {
            self.newest = self.newest.max(lsn);
        }
        sound
    }

    /// Visits the records of `bytes`, which lie at `at`; answers how many, and how many places were
    /// unsound.
    fn records(&mut self, bytes: &[u8], segment: u64, at: usize, lsn: u64) -> (u32, u64) {
        let place = Place { salt: self.found.salt, segment, at: at as u64 };
        let (mut index, mut unsound) = (0, 0);
        let visit = &mut self.visit;
        group::walk(bytes, place, &mut |step| match step {
            Step::Record(record) => {
                visit(lsn, index, record);
                index += 1;
            }
            Step::Damage => unsound += 1,
        });
        (index, unsound)
    }

    fn finish(mut self) -> Found {
        if let Some(tail) = self.tail.take() {
            self.count(&tail, false);
        }
        let expected = self.expected();
        if self.known.committed >= expected {
            self.lost(expected, self.known.committed, self.unfinished, 0);
        }
        self.found.next_lsn = self.found.next_lsn.max(self.known.committed + 1);
        self.found
    }
}
