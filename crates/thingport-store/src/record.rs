//! What the log says: one record per change, and one per new name.
//!
//! Entities and keys appear as small numbers; a name record gives each number its meaning before its
//! first use. The forms are listed in docs/storage-format.md; types are never reused.

use thingport_model::attribute::Scope;
use thingport_model::id::{DeviceId, EntityKind, EntityRef, NIL};
use thingport_model::incident::Incident;
use thingport_model::port::ledger::LatestAfterDelete;
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::{TimeRange, Timestamp};
use thingport_model::value::ValueRef;
use uuid::Uuid;

use crate::codec::{Cursor, put_bytes, put_signed, put_value, put_varint};

mod attempt;

/// A record as read back; texts and items are still bytes of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    EntityName {
        entity: u32,
        name: EntityRef,
    },
    KeyName {
        key: u32,
        name: &'a str,
    },
    Telemetry {
        entity: u32,
        ttl_s: u32,
        items: Items<'a>,
    },
    SetAttributes {
        entity: u32,
        scope: Scope,
        items: Items<'a>,
    },
    DeleteAttributes {
        entity: u32,
        scope: Scope,
        keys: KeyList<'a>,
    },
    DeleteTelemetry {
        entity: u32,
        latest: LatestAfterDelete,
        range: TimeRange,
        keys: KeyList<'a>,
    },
    Incident {
        entity: u32,
        body: &'a [u8],
    },
    Purge {
        entity: u32,
    },
    /// The ledger was closed in good order here.
    Closed,
}

/// Key, time and value, repeated to the end of the record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Items<'a> {
    base: i64,
    rest: Cursor<'a>,
}

/// Keys, repeated to the end of the record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyList<'a>(Cursor<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = (u32, i64, ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.rest.varint_u32()?;
        let at = self.base.wrapping_add(self.rest.signed()?);
        Some((key, at, self.rest.value()?))
    }
}

impl Iterator for KeyList<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0.varint_u32()
    }
}

impl<'a> Record<'a> {
    /// Reads a record without its frame. None when it makes no sense.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Cursor(bytes);
        let kind = rest.byte()?;
        if kind == CLOSED {
            return Some(Self::Closed);
        }
        let number = rest.varint_u32()?;
        Some(match kind {
            ENTITY_NAME => Self::EntityName { entity: number, name: read_entity(&mut rest)? },
            KEY_NAME => Self::KeyName { key: number, name: core::str::from_utf8(rest.0).ok()? },
            TELEMETRY => {
                let ttl_s = rest.varint_u32()?;
                let base = rest.signed()?;
                Self::Telemetry { entity: number, ttl_s, items: Items { base, rest } }
            }
            SET_ATTRIBUTES => {
                let scope = Scope::from_number(rest.byte()?)?;
                let base = rest.signed()?;
                Self::SetAttributes { entity: number, scope, items: Items { base, rest } }
            }
            DELETE_ATTRIBUTES => {
                let scope = Scope::from_number(rest.byte()?)?;
                Self::DeleteAttributes { entity: number, scope, keys: KeyList(rest) }
            }
            DELETE_TELEMETRY => {
                let latest = read_latest(rest.byte()?)?;
                let (start, end) = (Timestamp(rest.signed()?), Timestamp(rest.signed()?));
                let (range, keys) = (TimeRange { start, end }, KeyList(rest));
                Self::DeleteTelemetry { entity: number, latest, range, keys }
            }
            INCIDENT => Self::Incident { entity: number, body: rest.0 },
            PURGE => Self::Purge { entity: number },
            _ => return None,
        })
    }
}

impl Record<'_> {
    /// The entity a change is of.
    pub(crate) const fn entity(&self) -> Option<u32> {
        match *self {
            Self::Telemetry { entity, .. }
            | Self::SetAttributes { entity, .. }
            | Self::DeleteAttributes { entity, .. }
            | Self::DeleteTelemetry { entity, .. }
            | Self::Incident { entity, .. }
            | Self::Purge { entity } => Some(entity),
            Self::EntityName { .. } | Self::KeyName { .. } | Self::Closed => None,
        }
    }
}

pub(crate) fn write_entity_name(out: &mut Vec<u8>, entity: u32, name: EntityRef) {
    start(out, ENTITY_NAME, entity);
    out.push(name.kind as u8);
    out.extend_from_slice(name.id.as_bytes());
}

pub(crate) fn write_key_name(out: &mut Vec<u8>, key: u32, name: &str) {
    start(out, KEY_NAME, key);
    out.extend_from_slice(name.as_bytes());
}

/// `key_of` must know every key.
pub(crate) fn write_telemetry(
    out: &mut Vec<u8>,
    entity: u32,
    ttl_s: u32,
    readings: &Readings,
    key_of: impl FnMut(&str) -> Option<u32>,
) -> Option<()> {
    start(out, TELEMETRY, entity);
    put_varint(out, u64::from(ttl_s));
    write_items(out, readings, key_of)
}

pub(crate) fn write_set_attributes(
    out: &mut Vec<u8>,
    entity: u32,
    scope: Scope,
    attributes: &Readings,
    key_of: impl FnMut(&str) -> Option<u32>,
) -> Option<()> {
    start(out, SET_ATTRIBUTES, entity);
    out.push(scope as u8);
    write_items(out, attributes, key_of)
}

pub(crate) fn write_delete_attributes(out: &mut Vec<u8>, entity: u32, scope: Scope) {
    start(out, DELETE_ATTRIBUTES, entity);
    out.push(scope as u8);
}

pub(crate) fn write_delete_telemetry(
    out: &mut Vec<u8>,
    entity: u32,
    latest: LatestAfterDelete,
    range: TimeRange,
) {
    start(out, DELETE_TELEMETRY, entity);
    out.push(match latest {
        LatestAfterDelete::Keep => 0,
        LatestAfterDelete::Remove => 1,
        LatestAfterDelete::Rewrite => 2,
    });
    put_signed(out, range.start.ms());
    put_signed(out, range.end.ms());
}

pub(crate) fn write_incident(out: &mut Vec<u8>, entity: u32, incident: &Incident) {
    start(out, INCIDENT, entity);
    put_signed(out, incident.at.ms());
    put_signed(out, incident.first_at.ms());
    put_varint(out, u64::from(incident.reason.number()));
    put_varint(out, u64::from(incident.count));
    let texts = [
        &incident.detail,
        &incident.remote,
        &incident.client_id,
        &incident.user_name,
        &incident.protocol,
    ];
    texts.iter().for_each(|text| put_bytes(out, text.as_bytes()));
    match (incident.device, &incident.attempt) {
        (None, None) => {}
        (device, attempt) => {
            out.extend_from_slice(device.map_or(NIL, |device| device.0).as_bytes());
            attempt.iter().for_each(|attempt| attempt::write(out, attempt));
        }
    }
}

/// Reads the body of an incident record. None when damaged, or when its reason is no longer known.
pub(crate) fn read_incident(body: &[u8]) -> Option<Incident> {
    let mut rest = Cursor(body);
    let (at, first_at) = (Timestamp(rest.signed()?), Timestamp(rest.signed()?));
    let reason = Reason::from_number(u16::try_from(rest.varint()?).ok()?)?;
    let count = rest.varint_u32()?;
    let mut text = || rest.text().map(str::to_owned);
    let (detail, remote, client_id) = (text()?, text()?, text()?);
    let (user_name, protocol) = (text()?, text()?);
    let device = rest.array().map(Uuid::from_bytes).filter(|id| *id != NIL).map(DeviceId);
    Some(Incident {
        at,
        reason,
        detail,
        device,
        remote,
        client_id,
        user_name,
        protocol,
        count,
        first_at,
        attempt: attempt::read(&mut rest).map(Box::new),
    })
}

pub(crate) fn write_purge(out: &mut Vec<u8>, entity: u32) {
    start(out, PURGE, entity);
}

/// The record of an orderly end, whole.
pub(crate) const CLOSED_RECORD: &[u8] = &[CLOSED];

fn start(out: &mut Vec<u8>, kind: u8, number: u32) {
    out.push(kind);
    put_varint(out, u64::from(number));
}

fn write_items(
    out: &mut Vec<u8>,
    readings: &Readings,
    mut key_of: impl FnMut(&str) -> Option<u32>,
) -> Option<()> {
    let base = readings.iter().next().map_or(0, |first| first.at.ms());
    put_signed(out, base);
    for reading in readings.iter() {
        put_varint(out, u64::from(key_of(reading.key)?));
        put_signed(out, reading.at.ms().wrapping_sub(base));
        put_value(out, reading.value);
    }
    Some(())
}

fn read_entity(rest: &mut Cursor<'_>) -> Option<EntityRef> {
    let kind = EntityKind::from_number(rest.byte()?)?;
    Some(EntityRef { kind, id: Uuid::from_bytes(rest.array()?) })
}

const fn read_latest(number: u8) -> Option<LatestAfterDelete> {
    Some(match number {
        0 => LatestAfterDelete::Keep,
        1 => LatestAfterDelete::Remove,
        2 => LatestAfterDelete::Rewrite,
        _ => return None,
    })
}

const ENTITY_NAME: u8 = 1;
const KEY_NAME: u8 = 2;
const TELEMETRY: u8 = 3;
const SET_ATTRIBUTES: u8 = 4;
const DELETE_ATTRIBUTES: u8 = 5;
const DELETE_TELEMETRY: u8 = 6;
const INCIDENT: u8 = 7;
const PURGE: u8 = 8;
const CLOSED: u8 = 9;

#[cfg(test)]
mod tests;
