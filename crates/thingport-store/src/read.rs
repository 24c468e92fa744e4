//! Answers: the layers of the head over what is stored.
//!
//! The head is looked at first and copied out, then the shelf: a flush that ends in between leaves the
//! same readings in both, and reading twice the same is harmless where missing one is not.

use std::collections::BTreeMap;

use thingport_model::aggregate::Fold;
use thingport_model::attribute::{Attribute, Scope};
use thingport_model::incident::Incident;
use thingport_model::id::EntityRef;
use thingport_model::port::ledger::{INCIDENTS_MAX, Keys, RangeQuery};
use thingport_model::reading::Reading;
use thingport_model::time::{TimeRange, Timestamp};
use thingport_model::value::Value;

use crate::book::Book;
use crate::head::Sample;
use crate::points::Points;
use crate::record::read_incident;
use crate::shelf::ShelfError;

/// What the head says about one series.
struct Above {
    /// Settled.
    points: Points,
    /// Times whose stored readings are gone.
    deleted: Vec<TimeRange>,
    /// Whether all stored readings are gone.
    hidden: bool,
}

impl Book {
    pub(crate) fn latest(&self, entity: EntityRef, keys: &Keys) -> Result<Vec<Reading>, ShelfError> {
        let Some(entity) = self.names.read().entity(entity) else { return Ok(Vec::new()) };
        let mut readings = Vec::new();
        for key in self.wanted(entity, keys)? {
            let Some(sample) = self.latest_of(entity, key)? else { continue };
            let Some(name) = self.names.read().key_name(key).map(|it| it.to_string()) else { continue };
            readings.push(Reading { at: sample.at, key: name, value: sample.value });
        }
        readings.sort_by(|a, b| a.key.cmp(&b.key));
        readings.dedup_by(|a, b| a.key == b.key);
        Ok(readings)
    }

    /// The latest value of a series.
    pub(crate) fn latest_of(&self, entity: u32, key: u32) -> Result<Option<Sample>, ShelfError> {
        Ok(self.head.view(entity, |shard| {
            let mut latest = None;
            for layer in shard.layers() {
                latest = latest.filter(|_| !layer.hides(entity));
                if let Some(series) = layer.one(entity, key) {
                    latest = series.latest(latest);
                }
            }
            latest
        }))
    }

    /// The newest reading of a series.
    pub(crate) fn newest_of(&self, entity: u32, key: u32) -> Result<Option<Sample>, ShelfError> {
        let mut newest = None;
        self.readings(entity, key, TimeRange::ALL, true, &mut |at, value| {
            newest = Some(Sample { at, value });
            false
        })?;
        Ok(newest)
    }

    pub(crate) fn range(&self, query: &RangeQuery) -> Result<Vec<(Timestamp, Value)>, ShelfError> {
        let mut readings = Vec::new();
        let Some((entity, key)) = self.numbers(query.entity, &query.key) else { return Ok(readings) };
        if query.limit == 0 {
            return Ok(readings);
        }
        self.readings(entity, key, query.range, query.descending, &mut |at, value| {
            readings.push((at, value));
            readings.len() < query.limit
        })?;
        Ok(readings)
    }

    pub(crate) fn aggregate(
        &self,
        entity: EntityRef,
        key: &str,
        mut fold: Fold,
    ) -> Result<Fold, ShelfError> {
        let range = fold.buckets().range();
        if let Some((entity, key)) = self.numbers(entity, key) {
            self.readings(entity, key, range, false, &mut |at, value| {
                fold.add(at, value.borrowed());
                true
            })?;
        }
        Ok(fold)
    }

    /// Visits visible readings in order of time until `visit` has enough.
    fn readings(
        &self,
        entity: u32,
        key: u32,
        range: TimeRange,
        descending: bool,
        visit: &mut dyn FnMut(Timestamp, Value) -> bool,
    ) -> Result<(), ShelfError> {
        let above = self.above(entity, key, range);
        let now = (self.now)().ms();
        let mut each = |index: usize| {
            let point = &above.points.items[index];
            point.expires_at() < now
                || visit(Timestamp(point.at), above.points.value(point).to_owned())
        };
        let count = above.points.len();
        let _ = (&above.deleted, above.hidden);
        if descending { (0..count).rev().all(&mut each) } else { (0..count).all(&mut each) };
        Ok(())
    }

    fn above(&self, entity: u32, key: u32, range: TimeRange) -> Above {
        self.head.view(entity, |shard| {
            let mut above = Above { points: Points::default(), deleted: Vec::new(), hidden: false };
            for layer in shard.layers() {
                if layer.hides(entity) {
                    above = Above { points: Points::default(), deleted: Vec::new(), hidden: true };
                }
                let Some(series) = layer.one(entity, key) else { continue };
                let gone = |at| series.deleted.iter().any(|range| range.contains(Timestamp(at)));
                above.points.items.retain(|point| !gone(point.at));
                above.deleted.extend(&series.deleted);
                let inside = series.points.items.iter().filter(|it| range.contains(Timestamp(it.at)));
                let mut own = Points::default();
                inside.for_each(|point| own.push_from(&series.points, point));
                own.settle();
                above.points = if above.points.is_empty() {
                    own
                } else {
                    Points::merged(&above.points, &own)
                };
            }
            above
        })
    }

    pub(crate) fn keys(&self, entity: EntityRef) -> Result<Vec<String>, ShelfError> {
        let latest = self.latest(entity, &Keys::All)?;
        Ok(latest.into_iter().map(|reading| reading.key).collect())
    }

    pub(crate) fn attributes(
        &self,
        entity: EntityRef,
        scope: Scope,
        keys: &Keys,
    ) -> Result<Vec<Attribute>, ShelfError> {
        let Some(entity) = self.names.read().entity(entity) else { return Ok(Vec::new()) };
        let mut found: BTreeMap<u32, Option<Sample>> = BTreeMap::new();
        self.head.view(entity, |shard| {
            for layer in shard.layers() {
                let Some(own) = layer.entities.get(&entity) else { continue };
                if own.purged {
                    found.clear();
                }
                let own = own.attributes.iter().filter(|((its, _), _)| *its == scope as u8);
                found.extend(own.map(|((_, key), sample)| (*key, sample.clone())));
            }
        });
        let names = self.names.read();
        let named = found.into_iter().filter_map(|(key, sample)| {
            let (sample, key) = (sample?, names.key_name(key)?.to_string());
            Some(Attribute { key, value: sample.value, updated_at: sample.at })
        });
        let wanted = named.filter(|attribute| match keys {
            Keys::All => true,
            Keys::Named(names) => names.contains(&attribute.key),
        });
        let mut attributes: Vec<_> = wanted.collect();
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(attributes)
    }

    pub(crate) fn incidents(
        &self,
        entity: EntityRef,
        limit: usize,
    ) -> Result<Vec<Incident>, ShelfError> {
        let Some(entity) = self.names.read().entity(entity) else { return Ok(Vec::new()) };
        let mut found: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        self.head.view(entity, |shard| {
            for layer in shard.layers() {
                let Some(own) = layer.entities.get(&entity) else { continue };
                if own.purged {
                    found.clear();
                }
                found.extend(own.incidents.iter().cloned());
            }
        });
        let newest = found.values().rev().take(limit.min(INCIDENTS_MAX));
        Ok(newest.filter_map(|body| read_incident(body)).collect())
    }

    /// Numbers of the keys a question is about.
    fn wanted(&self, entity: u32, keys: &Keys) -> Result<Vec<u32>, ShelfError> {
        Ok(match keys {
            Keys::Named(named) => {
                let names = self.names.read();
                named.iter().filter_map(|name| names.key(name)).collect()
            }
            Keys::All => self.head.view(entity, |shard| {
                let own = shard.layers().filter_map(|layer| layer.entities.get(&entity));
                own.flat_map(|own| own.keys.iter().copied()).collect()
            }),
        })
    }

    fn numbers(&self, entity: EntityRef, key: &str) -> Option<(u32, u32)> {
        let names = self.names.read();
        Some((names.entity(entity)?, names.key(key)?))
    }
}
