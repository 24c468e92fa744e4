//! What is in the log and not yet in chunks, in memory, readable as soon as it is committed.
//!
//! Two layers: the active one grows, the frozen one is being flushed. A question looks through active
//! and frozen to what is stored; each layer may also hide what lies below it (deletions, purges).
//! Split in shards by entity, so that a question never stalls the writer for long.

use core::num::NonZeroU32;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use thingport_model::attribute::Scope;
use thingport_model::time::{TimeRange, Timestamp};
use thingport_model::value::{Value, ValueRef};

use crate::few::{Few, Keyed};
use crate::points::{Point, Points};
use crate::record::{Items, KeyList};
use crate::ring::{self, Ring};

/// All shards.
pub(crate) struct Head {
    shards: Vec<RwLock<Shard>>,
    active_bytes: AtomicUsize,
    frozen_bytes: AtomicUsize,
}

/// The layers of some entities.
#[derive(Default)]
pub(crate) struct Shard {
    pub(crate) active: Layer,
    pub(crate) frozen: Option<Arc<Layer>>,
}

/// Changes of some stretch of the log.
#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) entities: HashMap<u32, EntityLayer, RandomState>,
    bytes: usize,
}

/// Changes of one key of one entity. Every device has some of them, so they are kept small.
pub(crate) struct Series {
    pub(crate) key: u32,
    /// One more than the place of the newest point since the last deletion.
    newest: Option<NonZeroU32>,
    /// In order of arrival.
    pub(crate) points: Points,
    /// Few series have any.
    deletions: Option<Box<Deletions>>,
}

/// What was deleted of one key of one entity.
#[derive(Default)]
struct Deletions {
    /// Times whose readings below this layer are gone.
    ranges: Vec<TimeRange>,
    /// The latest value as a deletion left it; what lies below does not matter then.
    latest: Option<Option<Sample>>,
}

/// An attribute as it was left.
pub(crate) struct Attribute {
    pub(crate) key: u32,
    /// Number of its scope.
    pub(crate) scope: u8,
    /// None for a removed one.
    pub(crate) sample: Option<Sample>,
}

/// Changes of one entity.
#[derive(Default)]
pub(crate) struct EntityLayer {
    pub(crate) series: Few<Series>,
    pub(crate) attributes: Few<Attribute>,
    /// Few entities have any.
    incidents: Option<Box<Ring>>,
    /// Everything below this layer is gone.
    pub(crate) purged: bool,
}

/// One value with its time, on its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    pub(crate) value: Value,
}

/// The number of a series: its entity and its key.
pub(crate) const fn series_id(entity: u32, key: u32) -> u64 {
    (entity as u64) << 32 | key as u64
}

impl Head {
    pub(crate) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, active_bytes: AtomicUsize::new(0), frozen_bytes: AtomicUsize::new(0) }
    }

    /// Bytes of both layers, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.active_bytes.load(Ordering::Relaxed) + self.frozen_bytes.load(Ordering::Relaxed)
    }

    /// Looks at the layers of an entity.
    pub(crate) fn view<T>(&self, entity: u32, look: impl FnOnce(&Shard) -> T) -> T {
        look(&self.shard(entity).read())
    }

    /// Changes the active layer of an entity. By how much it grew is added to `grown`, and has to be told
    /// with [`Self::count`].
    pub(crate) fn change<T>(
        &self,
        entity: u32,
        grown: &mut usize,
        change: impl FnOnce(&mut Layer) -> T,
    ) -> T {
        let mut shard = self.shard(entity).write();
        let before = shard.active.bytes;
        let answer = change(&mut shard.active);
        *grown += shard.active.bytes - before;
        answer
    }

    /// The active layers grew by so much.
    pub(crate) fn count(&self, bytes: usize) {
        self.active_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Looks at what changes of these entities are about to touch. With a hundred thousand entities none
    /// of it is in the processor's cache; looking at many at once lets the fetches overlap, where
    /// applying one change after the other would wait for each. Step by step for the same reason: what
    /// one step fetches says where the next looks.
    pub(crate) fn touch(&self, entities: &[u32]) {
        let mut shards = [const { None }; SHARDS];
        for entity in entities {
            let place = *entity as usize % SHARDS;
            shards[place].get_or_insert_with(|| self.shards[place].read());
        }
        let own = entities.iter().filter_map(|entity| {
            let shard = shards[*entity as usize % SHARDS].as_ref()?;
            shard.active.entities.get(entity)
        });
        let own: Vec<&EntityLayer> = own.collect();
        let keys = own.iter().map(|own| own.first_keys());
        core::hint::black_box(keys.fold(0, u32::wrapping_add));
        let times = own.iter().map(|own| own.newest_times());
        core::hint::black_box(times.fold(0, i64::wrapping_add));
    }

    /// Freezes the active layers for a flush. Called between groups, when nothing is frozen.
    pub(crate) fn freeze(&self) -> Vec<Arc<Layer>> {
        let layers = self.shards.iter().map(|shard| {
            let mut shard = shard.write();
            let next = Layer::sized_as(&shard.active);
            let layer = Arc::new(core::mem::replace(&mut shard.active, next));
            shard.frozen = Some(Arc::clone(&layer));
            layer
        });
        let layers = layers.collect();
        self.frozen_bytes.store(self.active_bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        layers
    }

    /// Forgets the frozen layers: they are stored now.
    pub(crate) fn thaw(&self) {
        let layers: Vec<_> = self.shards.iter().map(|shard| shard.write().frozen.take()).collect();
        self.frozen_bytes.store(0, Ordering::Relaxed);
        drop(layers); // freeing millions of readings must not happen under a lock
    }

    /// Gives back the room that empty active layers were made with.
    pub(crate) fn shrink(&self) {
        for shard in &self.shards {
            let mut shard = shard.write();
            if shard.active.entities.is_empty() && shard.active.entities.capacity() > 0 {
                shard.active = Layer::default();
            }
        }
    }

    fn shard(&self, entity: u32) -> &RwLock<Shard> {
        &self.shards[entity as usize % SHARDS]
    }
}

impl Layer {
    /// An empty layer with room for as much as `other` holds: growing maps step by step costs more.
    fn sized_as(other: &Self) -> Self {
        let hasher = RandomState::default();
        let entities = HashMap::with_capacity_and_hasher(other.entities.len(), hasher);
        Self { entities, bytes: 0 }
    }

    /// Answers how many readings there were.
    pub(crate) fn put(&mut self, entity: u32, ttl_s: u32, items: Items<'_>) -> u64 {
        let own = self.entities.entry(entity).or_default();
        let (mut count, before) = (0, own.series.len());
        for (key, at, value) in items {
            own.series_of(key).put(at, ttl_s, value);
            self.bytes += size_of::<Point>() + text_len(value);
            count += 1;
        }
        self.bytes += (own.series.len() - before) * (size_of::<Series>() + ENTRY_BYTES);
        count
    }

    pub(crate) fn set_attributes(&mut self, entity: u32, scope: Scope, items: Items<'_>) {
        for (key, at, value) in items {
            self.bytes += ENTRY_BYTES + text_len(value);
            let sample = Sample { at: Timestamp(at), value: value.to_owned() };
            self.entity(entity).set(scope, key, Some(sample));
        }
    }

    pub(crate) fn delete_attributes(&mut self, entity: u32, scope: Scope, keys: KeyList<'_>) {
        for key in keys {
            self.bytes += ENTRY_BYTES;
            self.entity(entity).set(scope, key, None);
        }
    }

    pub(crate) fn add_incident(&mut self, entity: u32, position: u64, body: &[u8], max: usize) {
        self.bytes += ENTRY_BYTES + body.len();
        let incidents = self.entity(entity).incidents.get_or_insert_default();
        incidents.insert(position, body.to_vec());
        if incidents.len() > 2 * max {
            ring::trim(incidents, max);
        }
    }

    /// Removes readings; the latest value has to be told with [`Self::know_latest`].
    pub(crate) fn delete_range(&mut self, entity: u32, key: u32, range: TimeRange) {
        self.bytes += size_of::<TimeRange>();
        let series = self.series(entity, key);
        series.points.items.retain(|point| !range.contains(Timestamp(point.at)));
        series.newest = None;
        series.deletions.get_or_insert_default().ranges.push(range);
    }

    pub(crate) fn know_latest(&mut self, entity: u32, key: u32, latest: Option<Sample>) {
        let series = self.series(entity, key);
        series.newest = None;
        series.deletions.get_or_insert_default().latest = Some(latest);
    }

    pub(crate) fn purge(&mut self, entity: u32) {
        self.bytes += ENTRY_BYTES;
        *self.entity(entity) = EntityLayer { purged: true, ..EntityLayer::default() };
    }

    /// Whether everything of the entity below this layer is gone.
    pub(crate) fn hides(&self, entity: u32) -> bool {
        self.entities.get(&entity).is_some_and(|it| it.purged)
    }

    /// What this layer says about the latest value of a series.
    pub(crate) fn claim(&self, entity: u32, key: u32) -> Claim {
        let claim = self.one(entity, key).map(Series::claim).unwrap_or_default();
        Claim { hides: self.hides(entity), ..claim }
    }

    pub(crate) fn one(&self, entity: u32, key: u32) -> Option<&Series> {
        self.entities.get(&entity)?.series.get(key)
    }

    fn entity(&mut self, entity: u32) -> &mut EntityLayer {
        self.entities.entry(entity).or_default()
    }

    fn series(&mut self, entity: u32, key: u32) -> &mut Series {
        self.bytes += size_of::<Series>();
        self.entity(entity).series_of(key)
    }
}

impl EntityLayer {
    /// A number in which each of the first series takes part.
    fn first_keys(&self) -> u32 {
        self.series.iter().take(TOUCHED).fold(0, |sum, it| sum.wrapping_add(it.key))
    }

    /// A number in which the newest point of each of the first series takes part.
    fn newest_times(&self) -> i64 {
        let newest = self.series.iter().take(TOUCHED).filter_map(|it| it.points.items.last());
        newest.fold(0, |sum, point| sum.wrapping_add(point.at))
    }

    /// Incidents by position in the log.
    pub(crate) fn incidents(&self) -> impl Iterator<Item = (u64, &Vec<u8>)> {
        self.incidents.iter().flat_map(|ring| ring.iter()).map(|(position, body)| (*position, body))
    }

    /// The series of a key, made if needed.
    fn series_of(&mut self, key: u32) -> &mut Series {
        self.series.of(key, || Series::new(key))
    }

    fn set(&mut self, scope: Scope, key: u32, sample: Option<Sample>) {
        let scope = scope as u8;
        self.attributes.of((scope, key), || Attribute { key, scope, sample: None }).sample = sample;
    }
}

impl Keyed for Series {
    type Key = u32;

    fn key(&self) -> u32 {
        self.key
    }
}

impl Keyed for Attribute {
    type Key = (u8, u32);

    fn key(&self) -> (u8, u32) {
        (self.scope, self.key)
    }
}

impl Series {
    fn new(key: u32) -> Self {
        Self { key, newest: None, points: Points::default(), deletions: None }
    }

    /// Times whose readings below this layer are gone.
    pub(crate) fn deleted(&self) -> &[TimeRange] {
        self.deletions.as_ref().map_or(&[], |it| &it.ranges)
    }

    fn put(&mut self, at: i64, ttl_s: u32, value: ValueRef<'_>) {
        let is_newest = self.newest_point().is_none_or(|newest| at >= newest.at);
        self.points.push(at, ttl_s, value);
        if is_newest {
            self.newest = NonZeroU32::new(self.points.len() as u32); // bounded by head_bytes_max
        }
    }

    fn newest_point(&self) -> Option<&Point> {
        self.points.items.get(self.newest?.get() as usize - 1)
    }

    /// What this series says about its latest value.
    pub(crate) fn claim(&self) -> Claim {
        let newest = self.newest_point().map(|point| Sample {
            at: Timestamp(point.at),
            value: self.points.value(point).to_owned(),
        });
        let known = self.deletions.as_ref().and_then(|it| it.latest.clone());
        Claim { hides: false, known, newest }
    }
}

/// What one layer says about the latest value of a series.
#[derive(Default)]
pub(crate) struct Claim {
    pub(crate) hides: bool,
    known: Option<Option<Sample>>,
    newest: Option<Sample>,
}

impl Claim {
    /// The latest value above `below`: the largest time, of one time the later written.
    pub(crate) fn over(self, below: Option<Sample>) -> Option<Sample> {
        let below = self.known.unwrap_or(if self.hides { None } else { below });
        match (self.newest, below) {
            (Some(newest), Some(below)) if newest.at < below.at => Some(below),
            (newest, below) => newest.or(below),
        }
    }
}

impl Shard {
    /// The layers from below to above.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.frozen.as_deref().into_iter().chain([&self.active])
    }
}

fn text_len(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::String(it) | ValueRef::Json(it) => it.len(),
        ValueRef::Bool(_) | ValueRef::Long(_) | ValueRef::Double(_) => 0,
    }
}

/// What every device has must not grow without anybody's noticing.
const _: () = {
    assert!(size_of::<EntityLayer>() == 80 && size_of::<Attribute>() == 48);
    assert!(size_of::<Series>() == 48 && size_of::<Point>() == 24);
};

const SHARDS: usize = 16;
/// Series of one entity that are looked at ahead.
const TOUCHED: usize = 8;
/// What an entry of a map or list costs beside its content, roughly.
const ENTRY_BYTES: usize = 64;
