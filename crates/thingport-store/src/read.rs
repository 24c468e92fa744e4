//! Answers: the layers of the head over what is stored.
//!
//! The head is looked at first and copied out, then the shelf: a flush that ends in between leaves the
//! same readings in both, and reading twice the same is harmless where missing one is not.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use thingport_model::aggregate::Fold;
use thingport_model::attribute::{Attribute, Scope};
use thingport_model::id::EntityRef;
use thingport_model::incident::Incident;
use thingport_model::port::ledger::{Keys, RangeQuery};
use thingport_model::reading::Reading;
use thingport_model::time::{TimeRange, Timestamp};
use thingport_model::value::Value;

use crate::book::Book;
use crate::chunk;
use crate::codec::Cursor;
use crate::flush::{floor_start, readable, series_end};
use crate::head::{Sample, series_id};
use crate::layout::{self, Row};
use crate::points::{Point, Points};
use crate::record::read_incident;
use crate::ring::{self, Ring};
use crate::shelf::{Order, ShelfError, Space};

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
    pub(crate) fn latest(
        &self,
        entity: EntityRef,
        keys: &Keys,
    ) -> Result<Vec<Reading>, ShelfError> {
        let Some(entity) = self.names.read().entity(entity) else { return Ok(Vec::new()) };
        let above = self.keys_above(entity);
        let mut wanted: BTreeMap<u32, Option<Sample>> = BTreeMap::new();
        match keys {
            Keys::Named(named) => {
                let numbers: Vec<u32> = {
                    let names = self.names.read();
                    named.iter().filter_map(|name| names.key(name)).collect()
                };
                for key in numbers {
                    wanted.insert(key, self.latest_of(entity, key)?);
                }
            }
            Keys::All => {
                for key in above {
                    wanted.insert(key, self.latest_of(entity, key)?);
                }
                self.stored_latest(entity, &mut wanted)?;
            }
        }
        let names = self.names.read();
        let named = wanted.into_iter().filter_map(|(key, sample)| {
            let (sample, key) = (sample?, names.key_name(key)?.to_string());
            Some(Reading { at: sample.at, key, value: sample.value })
        });
        let mut readings: Vec<_> = named.collect();
        readings.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(readings)
    }

    /// Adds the latest values of stored series that the head says nothing about.
    fn stored_latest(
        &self,
        entity: u32,
        wanted: &mut BTreeMap<u32, Option<Sample>>,
    ) -> Result<(), ShelfError> {
        if self.head.view(entity, |shard| shard.layers().any(|layer| layer.hides(entity))) {
            return Ok(());
        }
        let (from, to) = layout::entity_keys(entity);
        let mut sound = Some(());
        self.shelf.scan(Space::Rows, &from, &to, Order::Ascending, &mut |key, value| {
            let key = layout::row_series(key).map_or(0, |series| series as u32); // its low half
            if let std::collections::btree_map::Entry::Vacant(entry) = wanted.entry(key) {
                match Row::read(value) {
                    Some(row) => drop(entry.insert(row.latest)),
                    None => sound = None,
                }
            }
            ControlFlow::Continue(())
        })?;
        readable(sound)
    }

    /// The latest value of a series.
    pub(crate) fn latest_of(&self, entity: u32, key: u32) -> Result<Option<Sample>, ShelfError> {
        let claims: Vec<_> = self.head.view(entity, |shard| {
            let claims = shard.layers().map(|layer| layer.claim(entity, key));
            claims.collect()
        });
        let hidden = claims.iter().any(|claim| claim.hides);
        let stored = if hidden { None } else { self.row(series_id(entity, key))? };
        let below = stored.and_then(|row| row.latest);
        Ok(claims.into_iter().fold(below, |below, claim| claim.over(below)))
    }

    fn row(&self, series: u64) -> Result<Option<Row>, ShelfError> {
        let stored = self.shelf.get(Space::Rows, &layout::row_key(series))?;
        stored.map(|bytes| readable(Row::read(&bytes))).transpose()
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
        let Some((entity, key)) = self.numbers(query.entity, &query.key) else {
            return Ok(Vec::new());
        };
        if query.limit == 0 {
            return Ok(Vec::new());
        }
        let mut readings = Vec::with_capacity(query.limit.min(READINGS_AHEAD));
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
        let mut merge = Merge { next: 0, descending, now: (self.now)().ms(), above, visit };
        if !merge.above.hidden {
            let done =
                self.stored(series_id(entity, key), range, descending, &mut |points, point| {
                    merge.stored(points, point)
                })?;
            if done.is_break() {
                return Ok(());
            }
        }
        let _ = merge.rest();
        Ok(())
    }

    /// Visits stored readings in order of time: tail and chunks.
    fn stored(
        &self,
        id: u64,
        range: TimeRange,
        descending: bool,
        visit: &mut dyn FnMut(&Points, &Point) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ShelfError> {
        // The row before the chunks: what a flush seals meanwhile is then seen twice, never not at all.
        let Some(row) = self.row(id)? else { return Ok(ControlFlow::Continue(())) };
        let mut flow = ControlFlow::Continue(());
        let mut last = None;
        let mut run = |points: &Points, descending: bool| {
            let inside = |point: &&Point| range.contains(Timestamp(point.at));
            let mut each = |point: &Point| {
                let again =
                    last.is_some_and(
                        |last| if descending { point.at >= last } else { point.at <= last },
                    );
                if again {
                    return ControlFlow::Continue(());
                }
                last = Some(point.at);
                visit(points, point)
            };
            let mut items = points.items.iter().filter(inside);
            if descending {
                items.rev().try_for_each(&mut each)
            } else {
                items.try_for_each(&mut each)
            }
        };
        if descending {
            flow = run(&row.tail, true);
        }
        if flow.is_continue() && row.sealed.is_some_and(|end| end >= range.start.ms()) {
            flow = self.chunks(id, range, descending, &mut |points| run(points, descending))?;
        }
        if flow.is_continue() && !descending {
            flow = run(&row.tail, false);
        }
        Ok(flow)
    }

    fn chunks(
        &self,
        id: u64,
        range: TimeRange,
        descending: bool,
        visit: &mut dyn FnMut(&Points) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ShelfError> {
        let start = range.start.ms();
        let floor = if start <= 0 { None } else { floor_start(&*self.shelf, id, start)? };
        let low = layout::chunk_key(id, floor.unwrap_or(i64::MIN));
        let high = if range.end == Timestamp::MAX {
            series_end(id)
        } else {
            layout::chunk_key(id, range.end.ms()).to_vec()
        };
        let order = if descending { Order::Descending } else { Order::Ascending };
        let (mut flow, mut sound) = (ControlFlow::Continue(()), Some(()));
        self.shelf.scan(Space::Chunks, &low, &high, order, &mut |_, bytes| {
            let Some(points) = chunk::decode(bytes) else {
                sound = None;
                return ControlFlow::Break(());
            };
            flow = visit(&points);
            flow
        })?;
        readable(sound).map(|()| flow)
    }

    fn above(&self, entity: u32, key: u32, range: TimeRange) -> Above {
        self.head.view(entity, |shard| {
            let mut above = Above { points: Points::default(), deleted: Vec::new(), hidden: false };
            for layer in shard.layers() {
                if layer.hides(entity) {
                    above = Above { points: Points::default(), deleted: Vec::new(), hidden: true };
                }
                let Some(series) = layer.one(entity, key) else { continue };
                let gone = |at| series.deleted().iter().any(|range| range.contains(Timestamp(at)));
                above.points.items.retain(|point| !gone(point.at));
                above.deleted.extend(series.deleted());
                let inside =
                    series.points.items.iter().filter(|it| range.contains(Timestamp(it.at)));
                let mut own = Points::default();
                inside.for_each(|point| own.push_from(&series.points, point));
                own.settle();
                above.points =
                    if above.points.is_empty() { own } else { Points::merged(&above.points, &own) };
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
        let (mut found, mut hidden) = (BTreeMap::new(), false);
        self.head.view(entity, |shard| {
            for layer in shard.layers() {
                let Some(own) = layer.entities.get(&entity) else { continue };
                if own.purged {
                    found.clear();
                    hidden = true;
                }
                let own = own.attributes.iter().filter(|it| it.scope == scope as u8);
                found.extend(own.map(|it| (it.key, it.sample.clone())));
            }
        });
        if !hidden {
            self.stored_attributes(entity, scope, &mut found)?;
        }
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
        let (mut found, mut hidden) = (Ring::new(), false);
        self.head.view(entity, |shard| {
            for layer in shard.layers() {
                let Some(own) = layer.entities.get(&entity) else { continue };
                if own.purged {
                    found.clear();
                    hidden = true;
                }
                found.extend(own.incidents().map(|(at, body)| (at, body.clone())));
            }
        });
        if !hidden {
            let stored =
                self.shelf.get(Space::Incidents, &entity.to_be_bytes())?.unwrap_or_default();
            found.extend(layout::read_incidents(&stored));
        }
        ring::trim(&mut found, self.incidents_max(entity));
        let newest = found.values().rev().take(limit);
        Ok(newest.filter_map(|body| read_incident(body)).collect())
    }

    fn stored_attributes(
        &self,
        entity: u32,
        scope: Scope,
        found: &mut BTreeMap<u32, Option<Sample>>,
    ) -> Result<(), ShelfError> {
        let (from, to) = layout::entity_keys(entity);
        self.shelf.scan(Space::Attributes, &from, &to, Order::Ascending, &mut |key, value| {
            let place = layout::attribute_place(key).filter(|(its, _)| *its == scope as u8);
            if let Some((_, key)) = place {
                found.entry(key).or_insert_with(|| layout::read_sample(&mut Cursor(value)));
            }
            ControlFlow::Continue(())
        })
    }

    fn keys_above(&self, entity: u32) -> Vec<u32> {
        self.head.view(entity, |shard| {
            let own = shard.layers().filter_map(|layer| layer.entities.get(&entity));
            own.flat_map(|own| own.series.iter().map(|series| series.key)).collect()
        })
    }

    fn numbers(&self, entity: EntityRef, key: &str) -> Option<(u32, u32)> {
        let names = self.names.read();
        Some((names.entity(entity)?, names.key(key)?))
    }
}

/// Stored readings and those of the head becoming one sequence.
struct Merge<'a> {
    above: Above,
    /// The next of the head's, counted in the direction of the question.
    next: usize,
    descending: bool,
    now: i64,
    visit: &'a mut dyn FnMut(Timestamp, Value) -> bool,
}

impl Merge<'_> {
    /// The next stored reading; those of the head that come before it go first.
    fn stored(&mut self, points: &Points, point: &Point) -> ControlFlow<()> {
        let at = Timestamp(point.at);
        let hidden = self.above.deleted.iter().any(|range| range.contains(at));
        while let Some(own) = self.peek() {
            let (own_at, expired) = (own.at, own.expires_at() < self.now);
            let before = if self.descending { own_at > point.at } else { own_at < point.at };
            if own_at == point.at {
                return ControlFlow::Continue(()); // the head's is newer and takes its turn later
            }
            if !before {
                break;
            }
            self.take(expired)?;
        }
        if hidden || point.expires_at() < self.now {
            return ControlFlow::Continue(());
        }
        flow((self.visit)(at, points.value(point).to_owned()))
    }

    fn rest(&mut self) -> ControlFlow<()> {
        while let Some(own) = self.peek() {
            let expired = own.expires_at() < self.now;
            self.take(expired)?;
        }
        ControlFlow::Continue(())
    }

    fn peek(&self) -> Option<&Point> {
        let items = &self.above.points.items;
        let index =
            if self.descending { items.len().checked_sub(self.next + 1)? } else { self.next };
        items.get(index)
    }

    fn take(&mut self, expired: bool) -> ControlFlow<()> {
        let shown = self
            .peek()
            .filter(|_| !expired)
            .map(|point| (Timestamp(point.at), self.above.points.value(point).to_owned()));
        self.next += 1;
        shown.map_or(ControlFlow::Continue(()), |(at, value)| flow((self.visit)(at, value)))
    }
}

/// Readings that an answer has room for from the start.
const READINGS_AHEAD: usize = 1024;

const fn flow(goes_on: bool) -> ControlFlow<()> {
    if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}
