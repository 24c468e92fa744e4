//! The readable state of the ledger: names, head and shelf, and what a record does to them.
//!
//! Recovery and the writer apply records through the same function, in log order.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use thingport_model::port::ledger::{INCIDENTS_MAX, LatestAfterDelete, incidents_max};
use thingport_model::time::{TimeRange, Timestamp};

use crate::head::Head;
use crate::layout;
use crate::names::Names;
use crate::record::Record;
use crate::shelf::{Order, Shelf, ShelfError, Space};

/// Wall time, as an argument.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Everything a question may look at.
pub(crate) struct Book {
    pub(crate) names: RwLock<Names>,
    pub(crate) head: Head,
    pub(crate) shelf: Arc<dyn Shelf>,
    pub(crate) now: Clock,
    pub(crate) changes: AtomicU64,
    pub(crate) points: AtomicU64,
}

/// Where a record stands in the log: its group and its index in the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) lsn: u64,
    pub(crate) index: u32,
}

/// What records added, counted once for many of them: those who apply and those who ask how much there
/// is share a cache line.
#[derive(Default)]
struct Tally {
    changes: u64,
    points: u64,
    /// Bytes of the head.
    bytes: usize,
}

impl Position {
    /// One ascending number for both.
    pub(crate) const fn number(self) -> u64 {
        self.lsn << 24 | (self.index as u64 & 0xff_ffff)
    }

    /// The position with this number.
    pub(crate) const fn from_number(number: u64) -> Self {
        Self { lsn: number >> 24, index: (number & 0xff_ffff) as u32 }
    }
}

impl Book {
    pub(crate) fn new(shelf: Arc<dyn Shelf>, now: Clock) -> Self {
        Self {
            names: RwLock::default(),
            head: Head::new(),
            shelf,
            now,
            changes: AtomicU64::new(0),
            points: AtomicU64::new(0),
        }
    }

    /// Reads names from the shelf; answers the newest flushed group.
    pub(crate) fn load(&self) -> Result<u64, ShelfError> {
        let mut names = self.names.write();
        self.shelf.scan(Space::Meta, b"e", b"l", Order::Ascending, &mut |key, value| {
            let number = layout::name_number(key);
            match (key.first(), number, layout::read_entity(value), core::str::from_utf8(value)) {
                (Some(&layout::ENTITY), Some(number), Some(name), _) if key.len() == 5 => {
                    names.learn_entity(number, name);
                }
                (Some(&layout::KEY), Some(number), _, Ok(name)) if key.len() == 5 => {
                    names.learn_key(number, name);
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        self.flushed()
    }

    pub(crate) fn flushed(&self) -> Result<u64, ShelfError> {
        let stored = self.shelf.get(Space::Meta, layout::FLUSHED)?;
        Ok(stored.and_then(|it| it.try_into().ok()).map_or(0, u64::from_le_bytes))
    }

    /// Makes committed records readable, in order. What makes no sense is passed over.
    pub(crate) fn apply_all<'a>(
        &self,
        records: impl Iterator<Item = (&'a [u8], Position)>,
    ) -> Result<(), ShelfError> {
        let mut tally = Tally::default();
        let applied = self.apply_counted(records, &mut tally);
        self.count(&tally);
        applied
    }

    fn apply_counted<'a>(
        &self,
        records: impl Iterator<Item = (&'a [u8], Position)>,
        tally: &mut Tally,
    ) -> Result<(), ShelfError> {
        let mut records = records.filter_map(|(bytes, at)| Some((Record::read(bytes)?, at)));
        let mut next: Vec<(Record<'_>, Position)> = Vec::with_capacity(TOGETHER);
        loop {
            next.extend(records.by_ref().take(TOGETHER));
            if next.is_empty() {
                return Ok(());
            }
            if next.len() > FEW {
                let entities = next.iter().filter_map(|(record, _)| record.entity());
                self.head.touch(&entities.collect::<Vec<_>>());
            }
            for (record, position) in next.drain(..) {
                self.apply(&record, position, tally)?;
            }
        }
    }

    fn apply(
        &self,
        record: &Record<'_>,
        position: Position,
        tally: &mut Tally,
    ) -> Result<(), ShelfError> {
        let grown = &mut tally.bytes;
        tally.changes += u64::from(record.entity().is_some());
        match *record {
            Record::EntityName { .. } | Record::KeyName { .. } | Record::Closed => {
                self.learn(record);
            }
            Record::Telemetry { entity, ttl_s, items } => {
                tally.points +=
                    self.head.change(entity, grown, |layer| layer.put(entity, ttl_s, items));
            }
            Record::SetAttributes { entity, scope, items } => {
                self.head.change(entity, grown, |layer| layer.set_attributes(entity, scope, items));
            }
            Record::DeleteAttributes { entity, scope, keys } => {
                self.head
                    .change(entity, grown, |layer| layer.delete_attributes(entity, scope, keys))
            }
            Record::DeleteTelemetry { entity, latest, range, keys } => {
                for key in keys {
                    self.delete((entity, key), range, latest, grown)?;
                }
            }
            Record::Incident { entity, body } => {
                let max = self.incidents_max(entity);
                self.head.change(entity, grown, |layer| {
                    layer.add_incident(entity, position.number(), body, max);
                });
            }
            Record::Purge { entity } => {
                self.head.change(entity, grown, |layer| layer.purge(entity));
            }
        }
        Ok(())
    }

    /// Takes over the name in a record, if it holds one.
    pub(crate) fn learn(&self, record: &Record<'_>) {
        match *record {
            Record::EntityName { entity, name } => self.names.write().learn_entity(entity, name),
            Record::KeyName { key, name } => self.names.write().learn_key(key, name),
            _ => {}
        }
    }

    fn count(&self, tally: &Tally) {
        self.changes.fetch_add(tally.changes, Ordering::Relaxed);
        self.points.fetch_add(tally.points, Ordering::Relaxed);
        self.head.count(tally.bytes);
    }

    /// How many incidents of an entity are kept.
    pub(crate) fn incidents_max(&self, entity: u32) -> usize {
        self.names.read().entity_name(entity).map_or(INCIDENTS_MAX, incidents_max)
    }

    /// Whether all numbers in a record have names; those of a lost name record have none.
    pub(crate) fn knows(&self, record: &Record<'_>) -> bool {
        let names = self.names.read();
        let Some(entity) = record.entity() else { return true };
        let known = |key: u32| names.key_name(key).is_some();
        names.knows_entity(entity)
            && match *record {
                Record::Telemetry { items, .. } | Record::SetAttributes { items, .. } => {
                    items.into_iter().all(|(key, ..)| known(key))
                }
                Record::DeleteAttributes { mut keys, .. }
                | Record::DeleteTelemetry { mut keys, .. } => keys.all(known),
                _ => true,
            }
    }

    fn delete(
        &self,
        (entity, key): (u32, u32),
        range: TimeRange,
        mode: LatestAfterDelete,
        grown: &mut usize,
    ) -> Result<(), ShelfError> {
        let before = self.latest_of(entity, key)?;
        self.head.change(entity, grown, |layer| layer.delete_range(entity, key, range));
        let hit = before.as_ref().is_some_and(|latest| range.contains(latest.at));
        let after = match mode {
            LatestAfterDelete::Remove if hit => None,
            LatestAfterDelete::Rewrite if hit => self.newest_of(entity, key)?,
            _ => before,
        };
        self.head.change(entity, grown, |layer| layer.know_latest(entity, key, after));
        Ok(())
    }
}

/// Records that are looked at together before they are applied.
const TOGETHER: usize = 64;
/// So few are not worth a look ahead.
const FEW: usize = 8;
