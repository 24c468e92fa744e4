//! The mark: what is known to be durable, kept apart from what it is about.
//!
//! A log that was cut off by hand looks like one that ended there. So a file of its own says how far the
//! log and the chunk store had come, which segment was begun, and to which directory all parts belong.
//! Whatever it says was true and durable when it was written, so a crash never contradicts it. Written
//! when a segment is begun, after a flush, and every few seconds while something is committed.
//!
//! Two slots are written in turn: a write that the power cut tore costs the newer of them only.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::book::Clock;
use crate::codec::Cursor;
use crate::disk::{Aligned, BLOCK, Disk, DiskFile};

/// What is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Which data directory this is. All its parts carry the same.
    pub(crate) identity: Uuid,
    /// Salt of the groups of its log, never 0.
    pub(crate) salt: u64,
    /// Groups up to this one were committed.
    pub(crate) lsn: u64,
    /// Of these, what the present start of the process found; the last one of them may be torn.
    pub(crate) opened: u64,
    /// Groups up to this one are in the chunk store.
    pub(crate) flushed: u64,
    /// Groups up to this one may be missing: somebody said so.
    pub(crate) forgiven: u64,
    /// The segment that was begun last, and its bytes; 0 for none that has to be there.
    pub(crate) segment: u64,
    pub(crate) segment_bytes: u64,
    /// When this was written, wall time.
    pub(crate) at: i64,
    pub(crate) entities: Bond,
    /// Whether the chunk store carries the identity.
    pub(crate) is_signed: bool,
}

/// What is known of the entities beside the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bond {
    /// Nothing yet: there may be none.
    #[default]
    None = 0,
    /// They must be there, but do not carry the identity yet.
    Expected = 1,
    /// They must be there and carry the identity.
    Sealed = 2,
}

/// What the disk holds of the mark.
#[derive(Debug)]
pub(crate) enum Found {
    Absent,
    /// The file is there, and neither slot can be read.
    Damaged,
    /// The newest readable slot, and its turn.
    Sound(Mark, u64),
}

/// Writes the mark. Shared by the writer, the flusher and the entities.
pub(crate) struct Marker {
    state: Mutex<State>,
    now: Clock,
}

struct State {
    file: Arc<dyn DiskFile>,
    mark: Mark,
    /// Number of the newest slot that was written, so that the other one is next.
    turn: u64,
    block: Aligned,
}

/// Reads the mark; changes nothing.
pub(crate) fn read(disk: &dyn Disk) -> io::Result<Found> {
    if !disk.list()?.iter().any(|name| name == NAME) {
        return Ok(Found::Absent);
    }
    let file = disk.open(NAME)?;
    let mut slots = Vec::new();
    for slot in 0..SLOTS {
        let mut bytes = [0; BLOCK];
        let len = file.read_at(slot * BLOCK as u64, &mut bytes)?;
        slots.extend(bytes.get(..len).and_then(Mark::read));
    }
    let newest = slots.into_iter().max_by_key(|(_, turn)| *turn);
    Ok(newest.map_or(Found::Damaged, |(mark, turn)| Found::Sound(mark, turn)))
}

impl Marker {
    /// Replaces what was `found` by `mark`; durable when it returns.
    pub(crate) fn start(
        disk: &dyn Disk,
        found: &Found,
        mark: Mark,
        now: Clock,
    ) -> io::Result<Self> {
        let mark = Mark { at: now().ms(), ..mark };
        let state = match found {
            Found::Sound(_, turn) => State::resume(disk, *turn, mark)?,
            Found::Absent | Found::Damaged => State::create(disk, mark)?,
        };
        Ok(Self { state: Mutex::new(state), now })
    }

    pub(crate) fn mark(&self) -> Mark {
        self.state.lock().mark
    }

    /// Changes the mark; durable when it returns. What it is changed to must be durable already.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Mark)) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut mark = state.mark;
        change(&mut mark);
        if mark == state.mark {
            return Ok(());
        }
        mark.at = (self.now)().ms();
        state.write(mark)
    }
}

impl State {
    fn create(disk: &dyn Disk, mark: Mark) -> io::Result<Self> {
        let file = disk.allocate(TEMPORARY, SLOTS * BLOCK as u64)?;
        let mut state = Self { file, mark, turn: 0, block: Aligned::default() };
        state.write(mark)?;
        disk.rename(TEMPORARY, NAME)?;
        disk.sync_dir()?;
        Ok(state)
    }

    fn resume(disk: &dyn Disk, turn: u64, mark: Mark) -> io::Result<Self> {
        let file = disk.open(NAME)?;
        // What a killed process wrote may be seen and yet not be durable; the older slot, which is
        // written next, would be all there is.
        file.settle()?;
        let mut state = Self { file, mark, turn, block: Aligned::default() };
        state.write(mark)?;
        Ok(state)
    }

    /// After an error the next write takes the same slot, so that the other one stays sound.
    fn write(&mut self, mark: Mark) -> io::Result<()> {
        let turn = self.turn + 1;
        mark.write(turn, self.block.reset(BLOCK));
        self.file.write_at(turn % SLOTS * BLOCK as u64, self.block.filled())?;
        self.file.sync()?;
        (self.mark, self.turn) = (mark, turn);
        Ok(())
    }
}

impl Mark {
    fn write(&self, turn: u64, out: &mut [u8]) {
        let mut bytes = Vec::with_capacity(LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[self.entities as u8, u8::from(self.is_signed)]);
        bytes.extend_from_slice(self.identity.as_bytes());
        let numbers = [turn, self.salt, self.lsn, self.opened, self.flushed, self.forgiven];
        for number in numbers.into_iter().chain([self.segment, self.segment_bytes]) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.at.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        out[..bytes.len()].copy_from_slice(&bytes);
    }

    /// The mark of a slot and its turn; None when it is damaged or was never written.
    fn read(bytes: &[u8]) -> Option<(Self, u64)> {
        let (body, crc) = bytes.get(..LEN)?.split_at_checked(LEN - CRC)?;
        if crc32c::crc32c(body).to_le_bytes() != crc {
            return None;
        }
        let mut rest = Cursor(body.strip_prefix(MAGIC)?);
        let version = u16::from_le_bytes(rest.array()?);
        let [entities, signed] = rest.array()?;
        let entities = match entities {
            0 => Bond::None,
            1 => Bond::Expected,
            _ => Bond::Sealed,
        };
        let identity = Uuid::from_bytes(rest.array()?);
        let mut number = || Some(u64::from_le_bytes(rest.array()?));
        let turn = number()?;
        let mark = Self {
            identity,
            salt: number()?,
            lsn: number()?,
            opened: number()?,
            flushed: number()?,
            forgiven: number()?,
            segment: number()?,
            segment_bytes: number()?,
            at: number()?.cast_signed(),
            entities,
            is_signed: signed != 0,
        };
        (version == VERSION).then_some((mark, turn))
    }
}

/// Name of the file.
pub(crate) const NAME: &str = "mark";
const TEMPORARY: &str = "mark.new";
const MAGIC: &[u8] = b"TPMARK\n\0";
const VERSION: u16 = 1;
const SLOTS: u64 = 2;
const CRC: usize = 4;
const LEN: usize = 8 + 2 + 2 + 16 + 9 * 8 + CRC;

#[cfg(test)]
mod tests {
    use super::*;

    use thingport_model::time::Timestamp;

    use crate::disk::sim::{Plan, SimDisk};

    fn clock() -> Clock {
        Arc::new(|| Timestamp(7))
    }

    fn numbered(lsn: u64) -> Mark {
        Mark {
            identity: Uuid::from_u128(5),
            salt: 9,
            lsn,
            entities: Bond::Sealed,
            ..Mark::default()
        }
    }

    fn start(disk: &SimDisk) -> Marker {
        let found = read(disk).expect("readable");
        Marker::start(disk, &found, numbered(1), clock()).expect("room")
    }

    fn lsn(disk: &SimDisk) -> Option<u64> {
        match read(disk).expect("readable") {
            Found::Sound(mark, _) => Some(mark.lsn),
            Found::Absent | Found::Damaged => None,
        }
    }

    #[test]
    fn the_bytes_of_a_slot_stay_as_they_are() {
        let mark = Mark {
            is_signed: true,
            opened: 10,
            flushed: 2,
            forgiven: 8,
            segment: 3,
            segment_bytes: 4,
            at: -5,
            ..numbered(1)
        };
        let mut bytes = vec![0; BLOCK];
        mark.write(6, &mut bytes);
        let text: String = bytes[..LEN].iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = "54504d41524b0a00010002010000000000000000000000000000000506000000000000000900\
                      0000000000000100000000000000\
                      0a0000000000000002000000000000000800000000000000\
                      03000000000000000400000000000000\
                      fbffffffffffffff";
        assert_eq!(text[..text.len() - 8], golden.replace(' ', ""));
        assert_eq!(Mark::read(&bytes), Some((mark, 6)));
    }

    #[test]
    fn a_damaged_slot_costs_what_it_said_and_two_cost_the_mark() {
        let disk = SimDisk::new();
        assert_eq!(lsn(&disk), None);
        let marker = start(&disk);
        assert_eq!(lsn(&disk), Some(1));
        for number in 2..6 {
            marker.change(|mark| mark.lsn = number).expect("healthy");
            assert_eq!(lsn(&disk), Some(number));
            let bytes = disk.content(NAME).expect("there");
            let newest = (number % SLOTS) as usize * BLOCK;
            let hurt = SimDisk::new();
            let mut copy = bytes.clone();
            copy[newest + 40] ^= 1;
            hurt.put(NAME, copy.clone());
            assert_eq!(lsn(&hurt), Some(number - 1));
            copy[BLOCK - newest + 40] ^= 1;
            hurt.put(NAME, copy);
            assert!(matches!(read(&hurt), Ok(Found::Damaged)));
        }
    }

    #[test]
    fn a_write_that_fails_leaves_the_slot_before_it_alone() {
        let disk = SimDisk::new();
        let marker = start(&disk);
        for (number, call) in [(2, 1), (3, 2), (4, 1), (5, 2)] {
            let before = lsn(&disk.after_cut(0));
            disk.set_plan(Plan::FailOnce(call));
            assert!(marker.change(|mark| mark.lsn = number).is_err());
            assert_eq!(lsn(&disk.after_cut(0)), before, "what was synced");
            assert!(lsn(&disk.after_cut(3)) >= before, "and what may be there besides");
            disk.set_plan(Plan::Healthy);
            marker.change(|mark| mark.lsn = number).expect("healthy again");
            assert_eq!(lsn(&disk.after_cut(0)), Some(number));
        }
    }
}
