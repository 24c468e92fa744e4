//! Changes to records, on the caller's thread, into a buffer of that thread.

use std::cell::RefCell;

use parking_lot::RwLock;
use thingport_model::id::EntityRef;
use thingport_model::port::ledger::{AppendError, Change};
use thingport_model::value::ValueRef;

use crate::codec::put_varint;
use crate::line::Line;
use crate::log::group::framed;
use crate::names::Names;
use crate::record;

/// Encodes `change` and hands the framed record to `use_it`. New names are put in line first.
///
/// # Errors
/// `TooLarge` when the record, or what it may bring of new names, is longer than `bytes_max`.
pub(super) fn with_record<T>(
    names: &RwLock<Names>,
    line: &Line,
    change: Change<'_>,
    bytes_max: usize,
    use_it: impl FnOnce(&[u8]) -> Result<T, AppendError>,
) -> Result<T, AppendError> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        if write(&names.read(), change, scratch).is_none() {
            if weight(change) > bytes_max {
                return Err(AppendError::TooLarge); // before its names are in line
            }
            line.add_names(|log| learn(&mut names.write(), change, log));
            scratch.clear();
            let complete = write(&names.read(), change, scratch);
            debug_assert!(complete.is_some(), "all names were just learned");
        }
        let fits = scratch.len() <= bytes_max;
        let answer = if fits { use_it(scratch) } else { Err(AppendError::TooLarge) };
        scratch.shrink_to(SCRATCH_KEPT);
        answer
    })
}

/// None when a name has no number yet.
fn write(names: &Names, change: Change<'_>, out: &mut Vec<u8>) -> Option<()> {
    let entity = names.entity(entity_of(change))?;
    let mut complete = Some(());
    framed(out, |out| complete = write_body(names, entity, change, out));
    complete
}

fn write_body(names: &Names, entity: u32, change: Change<'_>, out: &mut Vec<u8>) -> Option<()> {
    let key_of = |key: &str| names.key(key);
    match change {
        Change::Telemetry { readings, ttl_s, .. } => {
            return record::write_telemetry(out, entity, ttl_s, readings, key_of);
        }
        Change::SetAttributes { scope, attributes, .. } => {
            return record::write_set_attributes(out, entity, scope, attributes, key_of);
        }
        Change::DeleteAttributes { scope, keys, .. } => {
            record::write_delete_attributes(out, entity, scope);
            write_known_keys(names, keys, out);
        }
        Change::DeleteTelemetry { keys, range, latest, .. } => {
            record::write_delete_telemetry(out, entity, latest, range);
            write_known_keys(names, keys, out);
        }
        Change::Incident { incident, .. } => record::write_incident(out, entity, incident),
        Change::Purge { .. } => record::write_purge(out, entity),
    }
    Some(())
}

/// A key nobody ever used has nothing to remove.
fn write_known_keys(names: &Names, keys: &[String], out: &mut Vec<u8>) {
    let known = keys.iter().filter_map(|key| names.key(key));
    known.for_each(|key| put_varint(out, u64::from(key)));
}

fn learn(names: &mut Names, change: Change<'_>, log: &mut Vec<u8>) {
    names.intern_entity(entity_of(change), log);
    if let Change::Telemetry { readings: items, .. }
    | Change::SetAttributes { attributes: items, .. } = change
    {
        for item in items.iter() {
            names.intern_key(item.key, log);
        }
    }
}

/// Bytes of a change, names in full, roughly.
fn weight(change: Change<'_>) -> usize {
    let (Change::Telemetry { readings: items, .. }
    | Change::SetAttributes { attributes: items, .. }) = change
    else {
        return 0; // it brings no names but its entity's
    };
    let text = |value| match value {
        ValueRef::String(it) | ValueRef::Json(it) => it.len(),
        ValueRef::Bool(_) | ValueRef::Long(_) | ValueRef::Double(_) => 0,
    };
    items.iter().map(|item| item.key.len() + text(item.value) + ITEM_BYTES).sum()
}

const fn entity_of(change: Change<'_>) -> EntityRef {
    match change {
        Change::Telemetry { entity, .. }
        | Change::SetAttributes { entity, .. }
        | Change::DeleteAttributes { entity, .. }
        | Change::DeleteTelemetry { entity, .. }
        | Change::Incident { entity, .. }
        | Change::Purge { entity } => entity,
    }
}

/// What an item and the frame of its name take beside texts.
const ITEM_BYTES: usize = 16;
/// Bytes of buffer that a thread keeps between changes.
const SCRATCH_KEPT: usize = 64 * 1024;

thread_local! {
    /// Given back when it had to grow for a large change: there is one per thread.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
