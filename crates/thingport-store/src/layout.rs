//! Keys and small values on the shelf. The document docs/storage-format.md lists them.
//!
//! Keys are big-endian so that they sort as their numbers do.

use thingport_model::id::{EntityKind, EntityRef};
use thingport_model::time::Timestamp;
use uuid::Uuid;

use crate::chunk;
use crate::codec::{Cursor, put_bytes, put_signed, put_value, put_varint};
use crate::head::Sample;
use crate::points::Points;
use crate::shelf::Space;

/// What is stored of a series beside its full chunks.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) latest: Option<Sample>,
    /// No reading in a full chunk is newer; every one of `tail` is.
    pub(crate) sealed: Option<i64>,
    /// The newest readings, settled.
    pub(crate) tail: Points,
}

impl Row {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let last = self.tail.items.last().map(|point| Sample {
            at: Timestamp(point.at),
            value: self.tail.value(point).to_owned(),
        });
        let implied = last.is_some() && last == self.latest;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(
            VERSION << 4
                | flag(implied, LATEST_IS_LAST)
                | flag(self.latest.is_some() && !implied, LATEST)
                | flag(self.sealed.is_some(), SEALED),
        );
        self.sealed.iter().for_each(|sealed| put_signed(out, *sealed));
        if let Some(latest) = self.latest.as_ref().filter(|_| !implied) {
            write_sample(out, latest);
        }
        if !self.tail.is_empty() {
            chunk::encode(&self.tail, 0, self.tail.len(), out);
        }
    }

    /// None when damaged or of an unknown layout.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Cursor(bytes);
        let head = rest.byte().filter(|head| head >> 4 == VERSION)?;
        let sealed = if head & SEALED != 0 { Some(rest.signed()?) } else { None };
        let mut latest = if head & LATEST != 0 { Some(read_sample(&mut rest)?) } else { None };
        let tail = if rest.is_empty() { Points::default() } else { chunk::decode(rest.0)? };
        if head & LATEST_IS_LAST != 0 {
            let point = tail.items.last()?;
            latest = Some(Sample { at: Timestamp(point.at), value: tail.value(point).to_owned() });
        }
        Some(Self { latest, sealed, tail })
    }
}

pub(crate) fn write_sample(out: &mut Vec<u8>, sample: &Sample) {
    put_signed(out, sample.at.ms());
    put_value(out, sample.value.borrowed());
}

pub(crate) fn read_sample(rest: &mut Cursor<'_>) -> Option<Sample> {
    let at = Timestamp(rest.signed()?);
    Some(Sample { at, value: rest.value()?.to_owned() })
}

/// Key of a row; also the prefix of the keys of the series' chunks.
pub(crate) const fn row_key(series: u64) -> [u8; 8] {
    series.to_be_bytes()
}

/// The series of a row's key.
pub(crate) fn row_series(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

/// Key of a chunk whose first reading is at `first`.
pub(crate) fn chunk_key(series: u64, first: i64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&series.to_be_bytes());
    key[8..].copy_from_slice(&sorted(first).to_be_bytes());
    key
}

/// Series and first time of a chunk by its key.
pub(crate) fn chunk_place(key: &[u8]) -> Option<(u64, i64)> {
    let mut rest = Cursor(key);
    let series = u64::from_be_bytes(rest.array()?);
    Some((series, unsorted(u64::from_be_bytes(rest.array()?))))
}

/// Key of the note that a chunk expires within `hour` since 1970.
pub(crate) fn expiry_key(hour: u32, series: u64, first: i64) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&hour.to_be_bytes());
    key[4..].copy_from_slice(&chunk_key(series, first));
    key
}

/// The hour in which something expires; None for never, or so far ahead that it is as good as never.
pub(crate) fn expiry_hour(expires_at: i64) -> Option<u32> {
    u32::try_from(expires_at.max(0) / HOUR_MS).ok()
}

/// First and end of the keys of an entity, in a space whose keys start with it.
pub(crate) fn entity_keys(entity: u32) -> ([u8; 4], Vec<u8>) {
    let end =
        entity.checked_add(1).map_or_else(|| vec![0xff; 20], |next| next.to_be_bytes().to_vec());
    (entity.to_be_bytes(), end)
}

pub(crate) fn attribute_key(entity: u32, scope: u8, key: u32) -> [u8; 9] {
    let mut bytes = [0; 9];
    bytes[..4].copy_from_slice(&entity.to_be_bytes());
    bytes[4] = scope;
    bytes[5..].copy_from_slice(&key.to_be_bytes());
    bytes
}

/// Scope and key number of an attribute's key.
pub(crate) fn attribute_place(bytes: &[u8]) -> Option<(u8, u32)> {
    let mut rest = Cursor(bytes.get(4..)?);
    Some((rest.byte()?, u32::from_be_bytes(rest.array()?)))
}

pub(crate) fn write_incidents<'a>(
    incidents: impl Iterator<Item = (&'a u64, &'a Vec<u8>)>,
) -> Vec<u8> {
    let mut out = Vec::new();
    for (position, body) in incidents {
        put_varint(&mut out, *position);
        put_bytes(&mut out, body);
    }
    out
}

pub(crate) fn read_incidents(bytes: &[u8]) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let mut rest = Cursor(bytes);
    core::iter::from_fn(move || Some((rest.varint()?, rest.counted()?.to_vec())))
}

pub(crate) fn name_key(kind: u8, number: u32) -> [u8; 5] {
    let mut key = [kind; 5];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Number of a name by its key.
pub(crate) fn name_number(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

pub(crate) fn write_entity(name: EntityRef) -> [u8; 17] {
    let mut bytes = [name.kind as u8; 17];
    bytes[1..].copy_from_slice(name.id.as_bytes());
    bytes
}

pub(crate) fn read_entity(bytes: &[u8]) -> Option<EntityRef> {
    let mut rest = Cursor(bytes);
    let kind = EntityKind::from_number(rest.byte()?)?;
    Some(EntityRef { kind, id: Uuid::from_bytes(rest.array()?) })
}

const fn sorted(at: i64) -> u64 {
    at.cast_unsigned() ^ 1 << 63
}

const fn unsorted(at: u64) -> i64 {
    (at ^ 1 << 63).cast_signed()
}

/// Prefix of entity names in the meta space.
pub(crate) const ENTITY: u8 = b'e';
/// Prefix of key names in the meta space.
pub(crate) const KEY: u8 = b'k';
/// Number of the newest group whose changes are on the shelf.
pub(crate) const FLUSHED: &[u8] = b"flushed";
/// Which data directory the shelf belongs to. Not within the prefixes above.
pub(crate) const IDENTITY: &[u8] = b"identity";
/// Behind all other keys of every space but meta: the newest group that was ingested there, or nothing.
pub(crate) const LAST: &[u8] = &[0xff; 24];

/// In meta, what [`LAST`] of a space has to say at least.
pub(crate) fn ingested_key(space: Space) -> Vec<u8> {
    [b"ingested ", space.name().as_bytes()].concat()
}

/// Time up to which expired chunks were removed.
pub(crate) const SWEPT: &[u8] = b"swept";
pub(crate) const HOUR_MS: i64 = 3_600_000;
const VERSION: u8 = 1;
const LATEST: u8 = 1;
const LATEST_IS_LAST: u8 = 2;
const SEALED: u8 = 4;
