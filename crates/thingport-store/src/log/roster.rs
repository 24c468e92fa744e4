//! Who follows the log, and how far each has come.
//!
//! The file is written once a follower exists: two slots in turn, as those of the mark, so that a write
//! that the power cut tore costs the newer of them only. A position is written after what it stands for
//! was passed, so a crash repeats and skips nothing. Without the file, or when neither slot can be
//! read, nobody follows yet, and whoever is named begins where the caller says.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::port::trail::{FOLLOWERS_MAX, FollowerId};
use uuid::Uuid;

use crate::book::Position;
use crate::codec::Cursor;
use crate::disk::{Aligned, BLOCK, Disk, DiskFile};

/// The followers. Shared by the thread that reads for them and the flusher, who gives segments back.
pub(crate) struct Roster {
    state: Mutex<State>,
    disk: Arc<dyn Disk>,
    salt: u64,
}

#[derive(Default)]
struct State {
    standings: BTreeMap<FollowerId, Standing>,
    /// Whether a position is newer than the file.
    is_changed: bool,
    pages: Option<Pages>,
}

/// Where a follower is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Everything before it was passed.
    pub(crate) next: Position,
    /// The same, as the file says, or the log: what was given up is not needed any more.
    kept: Position,
    /// When the group at `next` was written; none when that is not known or nothing is behind.
    pub(crate) since: Option<i64>,
    /// Records that were given up.
    pub(crate) given_up: u64,
}

/// The file.
struct Pages {
    file: Arc<dyn DiskFile>,
    turn: u64,
    block: Aligned,
}

/// What the file holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    positions: Vec<(FollowerId, Position)>,
    /// The newest slot; none when there is no file.
    turn: Option<u64>,
}

/// Reads the file of the log with this salt, 0 for any; changes nothing.
pub(crate) fn read(disk: &dyn Disk, salt: u64) -> io::Result<Found> {
    if !disk.list()?.iter().any(|name| name == NAME) {
        return Ok(Found::default());
    }
    let file = disk.open(NAME)?;
    let mut newest = Found { turn: Some(0), ..Found::default() };
    for slot in 0..SLOTS {
        let mut bytes = [0; BLOCK];
        let len = file.read_at(slot * BLOCK as u64, &mut bytes)?;
        let read = bytes.get(..len).and_then(|bytes| read_slot(bytes, salt));
        if let Some(found) = read.filter(|found| found.turn > newest.turn) {
            newest = found;
        }
    }
    Ok(newest)
}

impl Found {
    /// Groups up to this one were passed by all; none when nobody follows.
    pub(crate) fn passed(&self) -> Option<u64> {
        self.positions.iter().map(|(_, position)| position.lsn.saturating_sub(1)).min()
    }
}

impl Roster {
    /// Goes on from what was found; `salt` is that of the log's groups.
    pub(crate) fn new(disk: Arc<dyn Disk>, salt: u64, found: &Found) -> io::Result<Self> {
        let standing = |next| Standing { next, kept: next, ..Standing::default() };
        let standings = found.positions.iter().map(|(id, next)| (*id, standing(*next)));
        let pages = found.turn.map(|turn| {
            let file = disk.open(NAME)?;
            // What a killed process wrote may be seen and yet not be durable.
            file.settle()?;
            io::Result::Ok(Pages { file, turn, block: Aligned::default() })
        });
        let (standings, pages) = (standings.collect(), pages.transpose()?);
        let state = State { standings, is_changed: false, pages };
        Ok(Self { state: Mutex::new(state), disk, salt })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().standings.is_empty()
    }

    pub(crate) fn standing(&self, follower: FollowerId) -> Option<Standing> {
        self.state.lock().standings.get(&follower).copied()
    }

    /// Groups up to this one are needed by nobody; the highest number when nobody follows.
    pub(crate) fn passed_by_all(&self) -> u64 {
        let state = self.state.lock();
        let passed = state.standings.values().map(|it| it.kept.lsn.saturating_sub(1));
        passed.min().unwrap_or(u64::MAX)
    }

    /// Who follows from now on, each with where it begins if it is new. Durable when it returns.
    pub(crate) fn keep(&self, named: &[(FollowerId, Position)]) -> io::Result<Vec<Position>> {
        let mut state = self.state.lock();
        let mut standings = BTreeMap::new();
        let mut positions = Vec::with_capacity(named.len());
        for (follower, first) in named {
            let new = Standing { next: *first, kept: *first, ..Standing::default() };
            let known = state.standings.get(follower).copied().unwrap_or(new);
            positions.push(known.next);
            standings.insert(*follower, known);
        }
        if standings.is_empty() && state.standings.is_empty() {
            return Ok(positions);
        }
        let before = core::mem::replace(&mut state.standings, standings);
        if let Err(error) = state.save(&*self.disk, self.salt) {
            state.standings = before;
            return Err(error);
        }
        Ok(positions)
    }

    /// A follower reads on from here, where the group was written at that time.
    pub(crate) fn reads(&self, follower: FollowerId, since: Option<i64>) {
        if let Some(standing) = self.state.lock().standings.get_mut(&follower) {
            standing.since = since;
        }
    }

    pub(crate) fn passes(&self, follower: FollowerId, next: Position) {
        let mut state = self.state.lock();
        let Some(standing) = state.standings.get_mut(&follower) else { return };
        if next > standing.next {
            (standing.next, standing.since) = (next, None);
            state.is_changed = true;
        }
    }

    /// Groups up to `lsn` will not be there any more. `lost` says how many records that costs whoever
    /// is at a group.
    pub(crate) fn give_up(&self, lsn: u64, lost: &dyn Fn(u64) -> u64) -> Vec<(FollowerId, u64)> {
        let mut state = self.state.lock();
        let end = Position { lsn: lsn + 1, index: 0 };
        let mut told = Vec::new();
        for (follower, standing) in &mut state.standings {
            standing.kept = standing.kept.max(end);
            if standing.next < end {
                let records = lost(standing.next.lsn);
                standing.given_up += records;
                (standing.next, standing.since) = (end, None);
                told.push((*follower, records));
            }
        }
        state.is_changed |= !told.is_empty();
        told
    }

    /// Counts records that a follower looked for and did not find.
    pub(crate) fn misses(&self, follower: FollowerId, records: u64) {
        if let Some(standing) = self.state.lock().standings.get_mut(&follower) {
            standing.given_up += records;
        }
    }

    /// Writes down how far everybody is, if that is news. Durable when it returns.
    pub(crate) fn save(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.is_changed { state.save(&*self.disk, self.salt) } else { Ok(()) }
    }
}

impl State {
    /// After an error the next write takes the same slot, so that the other one stays sound.
    fn save(&mut self, disk: &dyn Disk, salt: u64) -> io::Result<()> {
        if self.pages.is_none() {
            let file = disk.allocate(NAME, SLOTS * BLOCK as u64)?;
            disk.sync_dir()?;
            self.pages = Some(Pages { file, turn: 0, block: Aligned::default() });
        }
        let positions = self.standings.iter().map(|(follower, it)| (*follower, it.next));
        let positions: Vec<_> = positions.collect();
        let Some(pages) = &mut self.pages else { return Ok(()) };
        let turn = pages.turn + 1;
        write_slot(pages.block.reset(BLOCK), turn, salt, &positions);
        pages.file.write_at(turn % SLOTS * BLOCK as u64, pages.block.filled())?;
        pages.file.sync()?;
        pages.turn = turn;
        self.is_changed = false;
        self.standings.values_mut().for_each(|it| it.kept = it.next);
        Ok(())
    }
}

fn write_slot(out: &mut [u8], turn: u64, salt: u64, positions: &[(FollowerId, Position)]) {
    let positions = positions.get(..FOLLOWERS_MAX).unwrap_or(positions);
    let mut bytes = Vec::with_capacity(BLOCK);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(positions.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&turn.to_le_bytes());
    bytes.extend_from_slice(&salt.to_le_bytes());
    for (follower, position) in positions {
        bytes.extend_from_slice(follower.0.as_bytes());
        bytes.extend_from_slice(&position.number().to_le_bytes());
    }
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    out[..bytes.len()].copy_from_slice(&bytes);
}

/// None when the slot is damaged, was never written, or belongs to another log.
fn read_slot(bytes: &[u8], salt: u64) -> Option<Found> {
    let mut rest = Cursor(bytes.strip_prefix(MAGIC)?);
    let version = u16::from_le_bytes(rest.array()?);
    let count = usize::from(u16::from_le_bytes(rest.array()?));
    let len = HEAD + count * ENTRY;
    let crc = bytes.get(len..len + CRC)?;
    if crc32c::crc32c(bytes.get(..len)?).to_le_bytes() != crc || version != VERSION {
        return None;
    }
    rest.bytes(4)?;
    let turn = u64::from_le_bytes(rest.array()?);
    let written_for = u64::from_le_bytes(rest.array()?);
    if salt != 0 && written_for != salt {
        return None;
    }
    let mut positions = Vec::with_capacity(count);
    for _ in 0..count {
        let follower = FollowerId(Uuid::from_bytes(rest.array()?));
        positions.push((follower, Position::from_number(u64::from_le_bytes(rest.array()?))));
    }
    Some(Found { positions, turn: Some(turn) })
}

/// Name of the file.
pub(crate) const NAME: &str = "followers";
const MAGIC: &[u8] = b"TPFOLLOW";
const VERSION: u16 = 1;
const SLOTS: u64 = 2;
const HEAD: usize = 8 + 2 + 2 + 4 + 8 + 8;
const ENTRY: usize = 16 + 8;
const CRC: usize = 4;
const _: () = assert!(HEAD + FOLLOWERS_MAX * ENTRY + CRC <= BLOCK);

#[cfg(test)]
mod tests {
    use super::*;

    use crate::disk::sim::{Plan, SimDisk};

    const A: FollowerId = FollowerId(Uuid::from_u128(0xa));
    const B: FollowerId = FollowerId(Uuid::from_u128(0xb));

    const fn at(lsn: u64, index: u32) -> Position {
        Position { lsn, index }
    }

    fn open(disk: &SimDisk) -> Roster {
        let found = read(disk, 9).expect("readable");
        Roster::new(Arc::new(disk.clone()), 9, &found).expect("usable")
    }

    #[test]
    fn the_bytes_of_a_slot_stay_as_they_are() {
        let mut bytes = vec![0; BLOCK];
        write_slot(&mut bytes, 6, 9, &[(A, at(3, 4)), (B, at(5, 0))]);
        let text: String = bytes[..HEAD + 2 * ENTRY].iter().map(|it| format!("{it:02x}")).collect();
        let golden = "5450464f4c4c4f57 0100 0200 00000000 0600000000000000 0900000000000000\
                      0000000000000000000000000000000a 0400000300000000\
                      0000000000000000000000000000000b 0000000500000000";
        assert_eq!(text, golden.replace(' ', ""));
        let found = read_slot(&bytes, 9).expect("sound");
        assert_eq!((found.positions, found.turn), (vec![(A, at(3, 4)), (B, at(5, 0))], Some(6)));
        assert!(read_slot(&bytes, 8).is_none(), "of another log");
        bytes[40] ^= 1;
        assert!(read_slot(&bytes, 9).is_none(), "damaged");
    }

    #[test]
    fn nobody_costs_no_file_and_whoever_is_not_named_is_forgotten() {
        let disk = SimDisk::new();
        let roster = open(&disk);
        assert_eq!(roster.keep(&[]).expect("nothing to do"), []);
        assert_eq!((disk.calls(), roster.passed_by_all()), (0, u64::MAX));
        let named = [(A, at(7, 0)), (B, at(9, 2))];
        assert_eq!(roster.keep(&named).expect("room"), [at(7, 0), at(9, 2)]);
        assert_eq!(roster.passed_by_all(), 6);
        roster.passes(A, at(8, 1));
        roster.passes(A, at(8, 0)); // late
        assert_eq!(roster.passed_by_all(), 6, "not durable yet");
        roster.save().expect("healthy");
        assert_eq!(roster.passed_by_all(), 7);
        let roster = open(&disk.after_cut(0));
        assert_eq!(roster.keep(&[(A, at(0, 0))]).expect("room"), [at(8, 1)]);
        assert_eq!((roster.standing(B), roster.passed_by_all()), (None, 7));
    }

    #[test]
    fn whoever_is_given_up_is_told_how_many_records_and_goes_on_behind_them() {
        let roster = open(&SimDisk::new());
        roster.keep(&[(A, at(3, 1)), (B, at(9, 0))]).expect("room");
        let told = roster.give_up(5, &|lsn| 100 + lsn);
        assert_eq!(told, [(A, 103)]);
        let standing = roster.standing(A).expect("it follows");
        assert_eq!((standing.next, standing.given_up), (at(6, 0), 103));
        assert_eq!(roster.passed_by_all(), 5, "the rest is needed");
    }

    #[test]
    fn a_write_that_fails_leaves_the_slot_before_it_alone() {
        let disk = SimDisk::new();
        let roster = open(&disk);
        roster.keep(&[(A, at(1, 0))]).expect("room");
        for (lsn, call) in [(2, 1), (3, 2), (4, 1), (5, 2)] {
            let before = open(&disk.after_cut(0)).standing(A);
            disk.set_plan(Plan::FailOnce(call));
            roster.passes(A, at(lsn, 0));
            assert!(roster.save().is_err());
            assert_eq!(open(&disk.after_cut(0)).standing(A), before, "what was synced");
            disk.set_plan(Plan::Healthy);
            roster.save().expect("healthy again");
            let after = open(&disk.after_cut(0)).standing(A).expect("kept");
            assert_eq!(after.next, at(lsn, 0));
        }
    }
}
