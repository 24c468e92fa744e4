//! Reading the log back, whatever state it is in. Changes nothing on the disk.
//!
//! A segment is read group by group. Where no sound group stands, the search goes on block by block:
//! a later sound group of the segment, or a gap in the numbers towards the next segment, means that
//! something in the middle is damaged, which is counted and told; nothing behind it means that the log
//! simply ended there, perhaps with a group that a power cut tore, which is normal. Either way every
//! record that still proves itself is used.

use std::io;

use super::group::{self, Header, Place, Step};
use super::{is_spare, segment_name, segment_number};
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
    /// Segments with something to replay, in order, with the number of their last group.
    pub(crate) live: Vec<(String, u64)>,
    /// Segments with nothing to replay.
    pub(crate) free: Vec<String>,
    /// Bytes of groups to replay.
    pub(crate) bytes: u64,
    /// Places in the middle of the log that held no sound record.
    pub(crate) damaged: u64,
    /// Places where a process ended that held no sound record: an unfinished write.
    pub(crate) torn: u64,
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

/// Reads every record behind group `flushed`, in order. `progress` hears of (bytes done, bytes in all).
pub(crate) fn recover(
    disk: &dyn Disk,
    flushed: u64,
    group_max: usize,
    visit: &mut Visit<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Found, RecoveryError> {
    let names = disk.list()?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut found = Found { next_lsn: flushed + 1, ..Found::default() };
    found.next_segment = numbers.last().map_or(1, |last| last + 1);
    found.free.extend(names.into_iter().filter(|name| is_spare(name)));
    let mut reader =
        Reader { flushed, group_max, expected: None, found, visit, tail: None, newest: 0 };
    let skipped = flushed_segments(disk, &numbers, flushed)?;
    for (index, number) in numbers.iter().enumerate() {
        progress(index as u64, numbers.len() as u64);
        if index < skipped {
            reader.found.free.push(segment_name(*number));
        } else {
            reader.segment(disk, *number)?;
        }
    }
    progress(numbers.len() as u64, numbers.len() as u64);
    Ok(reader.finish())
}

/// How many of the first segments need not be read: the one behind them starts within what is flushed.
fn flushed_segments(disk: &dyn Disk, numbers: &[u64], flushed: u64) -> io::Result<usize> {
    let mut skipped = 0;
    for (index, number) in numbers.iter().enumerate().skip(1) {
        let mut bytes = [0; group::HEADER];
        disk.open(&segment_name(*number))?.read_at(0, &mut bytes)?;
        let first = Header::read(&bytes).filter(|header| header.segment == *number);
        if first.is_some_and(|header| header.lsn <= flushed + 1) {
            skipped = index;
        }
    }
    Ok(skipped)
}

/// Reads on until `bytes` reaches `end`, or the file ends; answers how far it reaches.
fn fill(bytes: &mut Vec<u8>, file: &dyn DiskFile, end: usize) -> io::Result<usize> {
    let from = bytes.len();
    let to = usize::try_from(file.len()?).unwrap_or(usize::MAX).min(end.max(from + WINDOW));
    if end > from && to > from {
        bytes.resize(to, 0);
        let read = file.read_at(from as u64, &mut bytes[from..])?;
        bytes.truncate(from + read);
    }
    Ok(bytes.len())
}

/// Whether a group only says that the process ended in good order.
fn is_end(bytes: &[u8], header: &Header) -> bool {
    let end = group::HEADER.saturating_add(header.body_len as usize);
    let body = bytes.get(group::HEADER..end).unwrap_or_default();
    header.records == 1 && group::trusted(body).eq([CLOSED_RECORD])
}

/// Bytes read at once.
const WINDOW: usize = 4 * 1024 * 1024;

struct Reader<'a, 'b> {
    flushed: u64,
    group_max: usize,
    /// Number the next group should have.
    expected: Option<u64>,
    found: Found,
    visit: &'a mut Visit<'b>,
    /// Start number and unsound places of the newest group: torn if no group of that start follows.
    tail: Option<(u32, u64)>,
    /// Newest group of the segment being read that has something to replay.
    newest: u64,
}

impl Reader<'_, '_> {
    fn segment(&mut self, disk: &dyn Disk, number: u64) -> Result<(), RecoveryError> {
        let name = segment_name(number);
        let file = disk.open(&name)?;
        self.newest = 0;
        self.groups(&*file, number)?;
        if self.newest > self.flushed {
            self.found.live.push((name, self.newest));
        } else {
            self.found.free.push(name);
        }
        Ok(())
    }

    fn groups(&mut self, file: &dyn DiskFile, number: u64) -> Result<(), RecoveryError> {
        let (mut at, mut gap_from, mut bytes) = (0, None, Vec::new());
        while at + BLOCK <= fill(&mut bytes, file, at + BLOCK)? {
            let header = Header::read(&bytes[at..]).filter(|header| header.segment == number);
            let Some(header) = header else {
                gap_from = gap_from.or(Some(at));
                at += BLOCK;
                continue;
            };
            if header.version > group::VERSION {
                return Err(RecoveryError::NewerFormat(header.version));
            }
            let stride = usize::try_from(header.stride()).unwrap_or(usize::MAX);
            fill(&mut bytes, file, at.saturating_add(stride))?;
            self.found.salt = header.salt;
            let from = gap_from.take().unwrap_or(at);
            self.gap(&bytes[from..at], &header, from);
            self.group(&bytes[at..], &header, at);
            if is_end(&bytes[at..], &header) {
                return Ok(()); // the next start went on in another segment
            }
            at = at.saturating_add(stride).min(bytes.len());
        }
        if let Some(from) = gap_from {
            let rest = &bytes[from..];
            self.end(&rest[..rest.len().min(self.group_max)], number, from);
        }
        Ok(())
    }

    /// A sound group follows. What was unsound before it is damage if it was ever committed.
    fn gap(&mut self, bytes: &[u8], next: &Header, from: usize) {
        if let Some((start, unsound)) = self.tail.take() {
            let counter =
                if start == next.start { &mut self.found.damaged } else { &mut self.found.torn };
            *counter += unsound;
        }
        let expected = self.expected.unwrap_or(self.flushed + 1).max(self.flushed + 1);
        if next.lsn > expected {
            self.salvage(bytes, next.segment, from, next.lsn - 1);
            // How many records were lost is unknown; each missing group counts.
            self.found.damaged += next.lsn - expected;
        }
    }

    /// Nothing sound follows in this segment. Records may still stand in an unfinished group.
    fn end(&mut self, bytes: &[u8], segment: u64, from: usize) {
        let lsn = self.found.next_lsn;
        if self.found.salt != 0 && self.salvage(bytes, segment, from, lsn) > 0 {
            self.found.torn += 1;
        }
    }

    fn group(&mut self, bytes: &[u8], header: &Header, at: usize) {
        self.expected = Some(header.lsn + 1);
        self.found.next_lsn = self.found.next_lsn.max(header.lsn + 1);
        self.found.last_start = self.found.last_start.max(header.start);
        if header.lsn <= self.flushed {
            return;
        }
        self.newest = self.newest.max(header.lsn);
        self.found.bytes += header.stride();
        let end = (group::HEADER + header.body_len as usize).min(bytes.len());
        let body = bytes.get(group::HEADER..end).unwrap_or_default();
        let (_, unsound) = self.records(body, header.segment, at + group::HEADER, header.lsn);
        self.tail = (unsound > 0).then_some((header.start, unsound));
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
        self.found.torn += self.tail.take().map_or(0, |(_, unsound)| unsound);
        self.found
    }
}
