//! A commit group as bytes: one header, framed records, zeros up to the next block.
//!
//! Each record proves itself with a CRC seeded by the log's salt, its segment and its offset, so that
//! bytes left over in a recycled segment, or bytes of a record inside a device's text, never pass.

use crate::codec::{Cursor, put_varint};
use crate::disk::BLOCK;

/// What stands in front of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u16,
    /// Which start of the process wrote it. A group that is unsound and the last of its start was torn.
    pub(crate) start: u32,
    pub(crate) segment: u64,
    /// Number of the group, one more than that of the group before.
    pub(crate) lsn: u64,
    pub(crate) body_len: u32,
    pub(crate) records: u32,
    pub(crate) salt: u64,
    /// When it was written, wall time; 0 when unknown.
    pub(crate) at: i64,
}

/// Where records lie; seeds their checksums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) salt: u64,
    pub(crate) segment: u64,
    /// Offset in the segment.
    pub(crate) at: u64,
}

/// One step through the body of a group.
pub(crate) enum Step<'a> {
    /// A sound record.
    Record(&'a [u8]),
    /// Bytes that are no record, skipped up to the next sound one.
    Damage,
}

/// Appends a record with an empty checksum; [`seal`] fills it in.
pub(crate) fn framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; CRC + 1]);
    write(out);
    let len = out.len() - start - CRC - 1;
    if len < 0x80 {
        out[start + CRC] = len as u8;
        return;
    }
    // Rare and short: the length needs more bytes than were left for it.
    let mut digits = Vec::with_capacity(5);
    put_varint(&mut digits, len as u64);
    out.splice(start + CRC..=start + CRC, digits);
}

impl Header {
    pub(crate) fn write(&self, out: &mut [u8]) {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.start.to_le_bytes());
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.lsn.to_le_bytes());
        bytes.extend_from_slice(&self.body_len.to_le_bytes());
        bytes.extend_from_slice(&self.records.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&self.at.to_le_bytes());
        bytes.resize(HEADER - CRC, 0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        out[..HEADER].copy_from_slice(&bytes);
    }

    /// Reads a header; None when there is none or it is damaged. The version may be any.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        let mut rest = Cursor(bytes.strip_prefix(MAGIC)?);
        let (body, crc) = bytes.split_at_checked(HEADER - CRC)?;
        if crc32c::crc32c(body).to_le_bytes() != crc {
            return None;
        }
        let version = u16::from_le_bytes(rest.array()?);
        rest.bytes(2)?;
        Some(Self {
            version,
            start: u32::from_le_bytes(rest.array()?),
            segment: u64::from_le_bytes(rest.array()?),
            lsn: u64::from_le_bytes(rest.array()?),
            body_len: u32::from_le_bytes(rest.array()?),
            records: u32::from_le_bytes(rest.array()?),
            salt: u64::from_le_bytes(rest.array()?),
            at: i64::from_le_bytes(rest.array()?),
        })
    }

    /// Bytes from this group's start to the next one's.
    pub(crate) const fn stride(&self) -> u64 {
        stride(self.body_len as usize) as u64
    }
}

/// Bytes that a group with this body takes, whole blocks.
pub(crate) const fn stride(body_len: usize) -> usize {
    (HEADER + body_len).next_multiple_of(BLOCK)
}

impl Place {
    const fn seed(self) -> u32 {
        let mixed = (self.salt ^ self.segment.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_add(self.at)
            .wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed >> 32) as u32
    }

    const fn plus(self, bytes: usize) -> Self {
        Self { at: self.at + bytes as u64, ..self }
    }
}

/// Fills in the checksums of all records of `body`, which lies at `place`; answers how many.
pub(crate) fn seal(body: &mut [u8], place: Place) -> u32 {
    let (mut at, mut count) = (0, 0);
    while let Some(len) = body.get(at + CRC..).and_then(frame_len) {
        let crc = crc32c::crc32c_append(place.plus(at).seed(), &body[at + CRC..at + CRC + len]);
        body[at..at + CRC].copy_from_slice(&crc.to_le_bytes());
        at += CRC + len;
        count += 1;
    }
    count
}

/// Walks through the records of `body`, which lies at `place`, whatever state it is in.
pub(crate) fn walk<'a>(body: &'a [u8], place: Place, visit: &mut dyn FnMut(Step<'a>)) {
    let mut at = 0;
    while at < body.len() {
        if let Some((record, len)) = record_at(&body[at..], place.plus(at)) {
            visit(Step::Record(record));
            at += len;
        } else {
            visit(Step::Damage);
            at = resume(body, at, place);
        }
    }
}

/// Where the walk goes on behind the damaged record at `at`: behind its length when that leads to a
/// sound record, else at the next offset where one is found.
fn resume(body: &[u8], at: usize, place: Place) -> usize {
    let behind = body.get(at + CRC..).and_then(frame_len).map(|len| at + CRC + len);
    let sound = |next: &usize| {
        *next == body.len() || record_at(&body[*next..], place.plus(*next)).is_some()
    };
    behind.filter(sound).unwrap_or_else(|| {
        let found = (at + 1..body.len()).find(|next| {
            is_plausible(&body[*next..]) && record_at(&body[*next..], place.plus(*next)).is_some()
        });
        found.unwrap_or(body.len())
    })
}

/// Cheap signs of a record, so that searching megabytes of damage stays quick.
fn is_plausible(bytes: &[u8]) -> bool {
    let content = bytes.get(CRC..).and_then(|rest| Cursor(rest).counted());
    content.is_some_and(|it| it.len() <= SEARCHED_MAX && it.first().is_some_and(|kind| *kind < 16))
}

/// The records of a body that was just sealed, without proving them again.
pub(crate) fn trusted(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let rest = body.get(at + CRC..)?;
        let len = frame_len(rest)?;
        at += CRC + len;
        let mut rest = Cursor(rest);
        rest.counted()
    })
}

fn record_at(bytes: &[u8], place: Place) -> Option<(&[u8], usize)> {
    let rest = bytes.get(CRC..)?;
    let len = frame_len(rest)?;
    let framed = rest.get(..len)?;
    let crc = crc32c::crc32c_append(place.seed(), framed);
    if crc.to_le_bytes() != bytes[..CRC] {
        return None;
    }
    Some((Cursor(framed).counted()?, CRC + len))
}

/// Bytes of length and content, when both are there and the record is not empty.
fn frame_len(rest: &[u8]) -> Option<usize> {
    let mut cursor = Cursor(rest);
    let content = cursor.counted().filter(|content| !content.is_empty())?;
    Some(rest.len() - cursor.0.len()).filter(|len| *len > content.len())
}

/// Bytes of a header.
pub(crate) const HEADER: usize = 64;
/// The layout this code writes.
pub(crate) const VERSION: u16 = 1;
const CRC: usize = 4;
/// Longest record that is found again behind damage that also hit a length.
const SEARCHED_MAX: usize = 64 * 1024;
const MAGIC: &[u8] = b"TPGROUP\n";
