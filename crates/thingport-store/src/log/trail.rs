//! Committed groups read back, forward, for whoever follows.
//!
//! Only groups that were committed before the reading began are looked at, and each record proves
//! itself, so neither a write under way nor a segment that was meanwhile used again is ever taken for
//! something that was said. Damage is stepped over, as recovery does.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use thingport_model::port::trail::FollowerId;

use super::group::{self, Header, Place, Step};
use super::window::Window;
use super::{Area, Yard, segment_name};
use crate::book::Position;
use crate::disk::{BLOCK, Disk, DiskFile};

/// Reads for all followers, one after the other. Remembers where each one is in its segment.
pub(crate) struct TrailReader {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) yard: Arc<Yard>,
    pub(crate) salt: u64,
    cursors: HashMap<FollowerId, Cursor>,
}

struct Cursor {
    segment: u64,
    file: Arc<dyn DiskFile>,
    /// Where to look for the group.
    at: u64,
    lsn: u64,
}

/// How a reading ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// Where to read on.
    pub(crate) next: Position,
    /// When the first group was written; none when none was read.
    pub(crate) since: Option<i64>,
    /// Groups that should have been there.
    pub(crate) missing: u64,
}

/// A record on its way to a follower, with the time its group was written and the position behind it.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], i64, Position) -> ControlFlow<()> + 'a;

impl TrailReader {
    pub(crate) fn new(disk: Arc<dyn Disk>, yard: Arc<Yard>, salt: u64) -> Self {
        Self { disk, yard, salt, cursors: HashMap::new() }
    }

    /// Forgets where all but these are.
    pub(crate) fn retain(&mut self, followers: &[FollowerId]) {
        self.cursors.retain(|follower, _| followers.contains(follower));
    }

    /// Visits records from `from` on, up to group `committed` and about `bytes_max` bytes.
    pub(crate) fn read(
        &mut self,
        follower: FollowerId,
        from: Position,
        (committed, bytes_max): (u64, u64),
        visit: &mut Visit<'_>,
    ) -> io::Result<End> {
        let mut end = End { next: from, ..End::default() };
        let (mut after, mut bytes) = (0, 0);
        while end.next.lsn <= committed {
            let Some(area) = self.yard.find(end.next.lsn, after) else {
                // Nothing of it is left; what was never asked for is not missed.
                end.missing += if end.next.lsn == 0 { 0 } else { committed + 1 - end.next.lsn };
                end.next = Position { lsn: committed + 1, index: 0 };
                break;
            };
            after = area.segment;
            let cursor = self.cursor(follower, area, end.next.lsn)?;
            let mut window = Window::of_first(&*cursor.file, area.bytes)?;
            let mut segment = Segment { number: area.segment, salt: self.salt, at: cursor.at };
            let mut flow = ControlFlow::Continue(());
            while flow.is_continue() && end.next.lsn <= committed && bytes < bytes_max {
                let Some(header) = segment.seek(&mut window, end.next.lsn)? else { break };
                bytes += header.stride();
                flow = segment.group(&mut window, &header, &mut end, visit)?;
            }
            let ended = flow.is_break() || bytes >= bytes_max || end.next.lsn > committed;
            let (at, file) = (segment.at, cursor.file);
            let place = Cursor { segment: area.segment, file, at, lsn: end.next.lsn };
            self.cursors.insert(follower, place);
            if ended {
                break;
            }
        }
        Ok(end)
    }

    fn cursor(&mut self, follower: FollowerId, area: Area, lsn: u64) -> io::Result<Cursor> {
        let known = self.cursors.remove(&follower);
        match known.filter(|it| it.segment == area.segment && it.lsn == lsn) {
            Some(cursor) => Ok(cursor),
            None => {
                let file = self.disk.open(&segment_name(area.segment))?;
                Ok(Cursor { segment: area.segment, file, at: 0, lsn })
            }
        }
    }
}

/// A segment on the way through it.
struct Segment {
    number: u64,
    salt: u64,
    at: u64,
}

impl Segment {
    /// The header of group `lsn`, or of the first one behind it that is here.
    fn seek(&mut self, window: &mut Window<'_>, lsn: u64) -> io::Result<Option<Header>> {
        while self.at as usize + BLOCK <= window.len {
            let header = Header::read(window.slice(self.at as usize, BLOCK)?);
            let header = header.filter(|it| it.segment == self.number && it.salt == self.salt);
            match header {
                Some(header) if header.lsn >= lsn => return Ok(Some(header)),
                Some(header) => self.at += header.stride(),
                None => self.at += BLOCK as u64,
            }
        }
        Ok(None)
    }

    /// Visits the records of the group here, and goes on behind it unless the visitor has enough.
    fn group(
        &mut self,
        window: &mut Window<'_>,
        header: &Header,
        end: &mut End,
        visit: &mut Visit<'_>,
    ) -> io::Result<ControlFlow<()>> {
        let lsn = header.lsn;
        if lsn > end.next.lsn {
            end.missing += if end.next.lsn == 0 { 0 } else { lsn - end.next.lsn };
            end.next = Position { lsn, index: 0 };
        }
        end.since = end.since.or(Some(header.at));
        let stride = usize::try_from(header.stride()).unwrap_or(usize::MAX);
        let bytes = window.slice(self.at as usize, stride)?;
        let len = group::HEADER + header.body_len as usize;
        let body = bytes.get(group::HEADER..len.min(bytes.len())).unwrap_or_default();
        let at = self.at + group::HEADER as u64;
        let place = Place { salt: self.salt, segment: self.number, at };
        let (mut index, mut flow) = (0, ControlFlow::Continue(()));
        group::walk(body, place, &mut |step| {
            let Step::Record(record) = step else { return };
            index += 1;
            if flow.is_continue() && index > end.next.index {
                end.next.index = index;
                flow = visit(record, header.at, end.next);
            }
        });
        if flow.is_continue() || end.next.index == index {
            end.next = Position { lsn: lsn + 1, index: 0 };
            self.at += header.stride();
        }
        Ok(flow)
    }
}

/// How many records the groups of a segment hold from group `lsn` on, as far as headers say.
pub(crate) fn records_from(disk: &dyn Disk, number: u64, salt: u64, lsn: u64) -> io::Result<u64> {
    let file = disk.open(&segment_name(number))?;
    let mut window = Window::new(&*file)?;
    let (mut segment, mut records, mut next) = (Segment { number, salt, at: 0 }, 0, lsn);
    while let Some(header) = segment.seek(&mut window, next)? {
        records += u64::from(header.records);
        next = header.lsn + 1;
    }
    Ok(records)
}
