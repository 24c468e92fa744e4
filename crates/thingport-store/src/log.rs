//! The ingest log: segments of commit groups, written once, synced, and used again after the flush.
//!
//! Owned by the writer thread. A group is one write at a block boundary; a block that belongs to a
//! committed group is never written again until its whole segment is recycled. Recovery lives in
//! [`recovery`], the form of a group in [`group`].

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::book::Clock;
use crate::disk::{Aligned, Disk, DiskFile, is_full};
use mark::Marker;

pub(crate) mod group;
pub(crate) mod mark;
pub(crate) mod recovery;
pub(crate) mod roster;
pub(crate) mod trail;
mod window;

/// The writing end of the log.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    yard: Arc<Yard>,
    marker: Arc<Marker>,
    now: Clock,
    salt: u64,
    start: u32,
    current: Option<Segment>,
    next_segment: u64,
    next_lsn: u64,
    buffer: Aligned,
}

struct Segment {
    file: Arc<dyn DiskFile>,
    number: u64,
    /// Where the next group goes.
    at: u64,
    last_lsn: u64,
    bytes: u64,
}

/// Segments that are not being written: those still needed and those that may be used again.
/// Shared by the writer, who takes, and the flusher, who gives back.
pub(crate) struct Yard {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    spares_wanted: usize,
    /// Groups up to this one were passed by everybody who follows; the highest number for nobody.
    passed: AtomicU64,
    /// Bytes of the segment being written that hold groups.
    written: AtomicU64,
    state: Mutex<YardState>,
}

#[derive(Default)]
struct YardState {
    /// Full segments in order, with the number of their last group.
    closed: VecDeque<Closed>,
    /// Number of the segment being written; 0 for none.
    current: u64,
    /// Groups up to this one are flushed.
    flushed: u64,
    spares: Vec<String>,
    /// Short segments with nothing in them: to be removed.
    surplus: Vec<String>,
    next_spare: u64,
}

/// A segment that holds something not flushed, or not passed by somebody who follows.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) name: String,
    /// Number of its last group.
    pub(crate) last_lsn: u64,
    pub(crate) bytes: u64,
    /// Of these, those that may hold groups.
    pub(crate) used: u64,
}

/// Where groups are to be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    /// Number of the segment.
    pub(crate) segment: u64,
    /// Nothing stands behind so many bytes.
    pub(crate) bytes: u64,
}

/// Why a group was not written.
#[derive(Debug)]
pub(crate) enum LogError {
    /// No space; later groups may succeed.
    Full(io::Error),
    /// Nobody knows what is on the disk now; the log must not be written any more.
    Failed(io::Error),
}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Self::Full(error) } else { Self::Failed(error) }
    }
}

impl Log {
    /// A log that goes on after what recovery found; always in a fresh segment, so that the remains of
    /// a torn group are never mistaken for part of a later one.
    pub(crate) fn resume(
        (disk, yard, marker): (Arc<dyn Disk>, Arc<Yard>, Arc<Marker>),
        found: &recovery::Found,
        now: Clock,
    ) -> Self {
        Self {
            disk,
            yard,
            salt: marker.mark().salt,
            marker,
            now,
            start: found.last_start.wrapping_add(1),
            current: None,
            next_segment: found.next_segment,
            next_lsn: found.next_lsn,
            buffer: Aligned::default(),
        }
    }

    /// Number of the newest group, 0 when there never was one.
    pub(crate) const fn last_lsn(&self) -> u64 {
        self.next_lsn - 1
    }

    /// Writes and syncs one group of framed records. Durable when it returns; answers its number.
    ///
    /// After an error the next group takes the same place, so that an unfinished one is overwritten.
    pub(crate) fn append(&mut self, parts: &[&[u8]]) -> Result<u64, LogError> {
        let body_len = parts.iter().map(|part| part.len()).sum();
        let stride = group::stride(body_len);
        let (file, number, at) = self.room(stride as u64)?;
        let salt = self.salt;
        let whole = self.buffer.reset(stride);
        let mut rest = &mut whole[group::HEADER..];
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
        let body = &mut whole[group::HEADER..group::HEADER + body_len];
        let place = group::Place { salt, segment: number, at: at + group::HEADER as u64 };
        let records = group::seal(body, place);
        let body_len = body_len as u32; // bounded by the segment, which is far below 4 GiB
        let (version, lsn) = (group::VERSION, self.next_lsn);
        let (start, at_ms) = (self.start, (self.now)().ms());
        let header = group::Header {
            version,
            start,
            segment: number,
            lsn,
            body_len,
            records,
            salt,
            at: at_ms,
        };
        header.write(whole);
        file.write_at(at, self.buffer.filled())?;
        file.sync()?;
        self.advance(stride as u64);
        Ok(lsn)
    }

    /// Gives back the memory that large groups needed.
    pub(crate) fn shrink(&mut self) {
        self.buffer.shrink(BUFFER_KEPT);
    }

    fn advance(&mut self, stride: u64) {
        let lsn = self.next_lsn;
        self.next_lsn += 1;
        if let Some(segment) = &mut self.current {
            segment.at += stride;
            segment.last_lsn = lsn;
            self.yard.written.store(segment.at, Ordering::Release);
        }
    }

    /// Where a group of `stride` bytes goes.
    fn room(&mut self, stride: u64) -> Result<(Arc<dyn DiskFile>, u64, u64), LogError> {
        if let Some(segment) = &self.current
            && segment.at + stride <= segment.bytes
        {
            return Ok((Arc::clone(&segment.file), segment.number, segment.at));
        }
        let number = self.next_segment;
        let file = self.yard.take(&segment_name(number), stride)?;
        let bytes = file.len()?;
        self.disk.sync_dir()?;
        let last_lsn = self.last_lsn();
        // Before anything in it is acknowledged: from now on the file has to be there.
        self.marker.change(|mark| {
            (mark.segment, mark.segment_bytes) = (number, bytes);
            mark.lsn = mark.lsn.max(last_lsn);
        })?;
        self.next_segment += 1;
        let fresh = Segment { file: Arc::clone(&file), number, at: 0, last_lsn, bytes };
        let old = self.current.replace(fresh).map(|old| Closed {
            name: segment_name(old.number),
            last_lsn: old.last_lsn,
            bytes: old.bytes,
            used: old.at,
        });
        self.yard.begin(number, old);
        Ok((file, number, 0))
    }
}

impl Yard {
    pub(crate) fn new(disk: Arc<dyn Disk>, segment_bytes: u64, spares_wanted: usize) -> Self {
        let (passed, written) = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
        Self { disk, segment_bytes, spares_wanted, passed, written, state: Mutex::default() }
    }

    /// Takes over the segments that recovery found, with groups flushed up to `flushed`.
    pub(crate) fn adopt(&self, found: &recovery::Found, flushed: u64) {
        let mut state = self.state.lock();
        state.flushed = flushed;
        state.closed = found.held.iter().chain(&found.live).cloned().collect();
        let whole = |(_, bytes): &&(String, u64)| *bytes == self.segment_bytes;
        state.spares.extend(found.free.iter().filter(whole).map(|it| it.0.clone()));
        state.surplus.extend(found.free.iter().filter(|it| !whole(it)).map(|it| it.0.clone()));
        let numbers = found.free.iter().filter_map(|(name, _)| spare_number(name));
        state.next_spare = numbers.max().map_or(0, |number| number + 1);
    }

    /// Segments that hold something not flushed or not passed.
    pub(crate) fn closed(&self) -> usize {
        self.state.lock().closed.len()
    }

    /// Bytes of all segments but the one being written.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.state.lock();
        let closed: u64 = state.closed.iter().map(|segment| segment.bytes).sum();
        closed + state.spares.len() as u64 * self.segment_bytes
    }

    /// Groups up to this one were passed by everybody who follows.
    pub(crate) fn set_passed(&self, lsn: u64) {
        self.passed.store(lsn, Ordering::Release);
    }

    /// The segment in which group `lsn` stands if it is not in one up to number `after`.
    pub(crate) fn find(&self, lsn: u64, after: u64) -> Option<Area> {
        let state = self.state.lock();
        let closed = state.closed.iter().filter(|it| it.last_lsn >= lsn).find_map(|it| {
            let segment = segment_number(&it.name).filter(|number| *number > after)?;
            Some(Area { segment, bytes: it.used })
        });
        closed.or_else(|| {
            let bytes = self.written.load(Ordering::Acquire);
            (state.current > after).then_some(Area { segment: state.current, bytes })
        })
    }

    /// About how many bytes the groups from `lsn` to `committed` take.
    pub(crate) fn bytes_from(&self, lsn: u64, committed: u64) -> u64 {
        let state = self.state.lock();
        let (mut first, mut bytes) = (0, 0);
        let current = (committed, self.written.load(Ordering::Acquire));
        let closed = state.closed.iter().map(|it| (it.last_lsn, it.used));
        for (last, used) in closed.chain((state.current > 0).then_some(current)) {
            // Within a segment groups count as equally large; where the first one begins is unknown.
            let groups = if first == 0 { 1 } else { last.saturating_sub(first) + 1 };
            let behind = last.saturating_add(1).saturating_sub(lsn).min(groups);
            bytes += (u128::from(used) * u128::from(behind) / u128::from(groups)) as u64;
            first = last.saturating_add(1);
        }
        bytes
    }

    /// The oldest segment, when those that are flushed and kept for whoever follows take more than
    /// `bytes_max`.
    pub(crate) fn excess(&self, bytes_max: u64) -> Option<Closed> {
        let state = self.state.lock();
        let held = state.closed.iter().take_while(|it| it.last_lsn <= state.flushed);
        let bytes: u64 = held.map(|it| it.bytes).sum();
        state.closed.front().filter(|_| bytes > bytes_max).cloned()
    }

    /// Gives back all segments whose groups are flushed, up to `lsn` or further, and passed by whoever
    /// follows; removes more than are wanted, and short ones.
    pub(crate) fn release(&self, lsn: u64) -> io::Result<()> {
        {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            state.flushed = state.flushed.max(lsn);
            let gone = state.flushed.min(self.passed.load(Ordering::Acquire));
            while let Some(front) = state.closed.pop_front_if(|front| front.last_lsn <= gone) {
                let is_whole = front.bytes == self.segment_bytes;
                if is_whole { &mut state.spares } else { &mut state.surplus }.push(front.name);
            }
            let wanted = self.spares_wanted.min(state.spares.len());
            state.surplus.extend(state.spares.drain(wanted..));
        }
        self.remove_surplus()
    }

    fn remove_surplus(&self) -> io::Result<()> {
        let surplus = core::mem::take(&mut self.state.lock().surplus);
        surplus.iter().try_for_each(|name| self.disk.remove(name))
    }

    /// Makes sure that the writer finds a spare segment. Slow; not for the writer's thread.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        self.remove_surplus()?;
        let name = {
            let mut state = self.state.lock();
            if state.spares.len() >= self.spares_wanted.min(1) {
                return Ok(());
            }
            state.next_spare += 1;
            format!("spare-{:x}", state.next_spare)
        };
        self.disk.allocate(&name, self.segment_bytes)?;
        self.state.lock().spares.push(name);
        Ok(())
    }

    /// Segment `number` is written from now on, and the `old` one not any more.
    fn begin(&self, number: u64, old: Option<Closed>) {
        let mut state = self.state.lock();
        state.closed.extend(old);
        state.current = number;
        self.written.store(0, Ordering::Release);
    }

    /// A spare segment under a new name, or a new file with room for `need` bytes: a short one, because
    /// commits wait for it. The name is not durable yet.
    fn take(&self, name: &str, need: u64) -> io::Result<Arc<dyn DiskFile>> {
        let spare = self.state.lock().spares.pop();
        let Some(spare) = spare else {
            return self.disk.allocate(name, SHORT_BYTES.max(need).min(self.segment_bytes));
        };
        self.disk.rename(&spare, name)?;
        self.disk.open(name)
    }
}

/// Bytes of a segment that is made while commits wait: a few milliseconds of zeros.
const SHORT_BYTES: u64 = 1024 * 1024;
/// Bytes of buffer that stay when it is quiet.
const BUFFER_KEPT: usize = 64 * 1024;

/// A number nobody can foresee, never 0: the standard library seeds its hashers from the system.
pub(crate) fn fresh_salt() -> u64 {
    RandomState::new().hash_one(()) | 1
}

/// Name of a segment's file.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:016x}.log")
}

/// Number of a segment by its file name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

fn spare_number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("spare-")?, 16).ok()
}

/// Whether a file is a segment that was made ahead.
pub(crate) fn is_spare(name: &str) -> bool {
    spare_number(name).is_some()
}
