//! Live interest of people in entities.
//!
//! The ledger's writer tells [`Watches`] about every commit; each [`Watch`] of the entity gets a share of
//! the same change. The writer never waits: a reader that falls [`WATCH_QUEUE_MAX`] updates behind finds
//! its queue collapsed to the newest value per key, and is ended when even that has more than
//! [`WATCH_KEYS_MAX`] keys.
//!
//! Order that loses nothing (REST API W-20): open the watch, then read the present, then take updates.
//! An update may repeat what the read already showed; it never comes out of order.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use thingport_model::attribute::{Attribute, Scope};
use thingport_model::id::EntityRef;
use thingport_model::port::ledger::{Committed, Observer};
use thingport_model::reading::Reading;
use tokio::sync::Notify;

use crate::metrics::{Bound, Metrics};

/// All watches of this process.
#[derive(Debug)]
pub struct Watches {
    by_entity: RwLock<HashMap<EntityRef, Vec<Weak<Shared>>>>,
    open: AtomicUsize,
    metrics: Arc<Metrics>,
}

/// One reader's interest in one entity. Dropping it ends the interest.
#[derive(Debug)]
pub struct Watch {
    entity: EntityRef,
    shared: Arc<Shared>,
    watches: Arc<Watches>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    changes: VecDeque<Arc<Committed>>,
    ended: bool,
}

impl Watches {
    /// Nobody watches anything yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { by_entity: RwLock::default(), open: AtomicUsize::new(0), metrics })
    }

    /// Opens a watch: every change committed from now on is delivered to it.
    #[must_use]
    pub fn watch(self: &Arc<Self>, entity: EntityRef) -> Watch {
        let shared = Arc::new(Shared::default());
        self.by_entity.write().entry(entity).or_default().push(Arc::downgrade(&shared));
        self.open.fetch_add(1, Ordering::SeqCst);
        self.metrics.watches.add(1);
        Watch { entity, shared, watches: Arc::clone(self) }
    }

    fn forget(&self, entity: EntityRef, shared: &Arc<Shared>) {
        let mut by_entity = self.by_entity.write();
        if let Some(list) = by_entity.get_mut(&entity) {
            list.retain(|it| !core::ptr::eq(it.as_ptr(), Arc::as_ptr(shared)));
            if list.is_empty() {
                by_entity.remove(&entity);
            }
        }
        drop(by_entity);
        self.open.fetch_sub(1, Ordering::SeqCst);
        self.metrics.watches.sub(1);
    }

    fn deliver(&self, shared: &Shared, change: &Arc<Committed>) {
        let mut queue = shared.queue.lock();
        if queue.ended {
            return;
        }
        queue.changes.push_back(Arc::clone(change));
        if queue.changes.len() > WATCH_QUEUE_MAX {
            self.metrics.count_bound(Bound::WatchQueue);
            self.collapse(&mut queue);
        }
        drop(queue);
        shared.wake.notify_one();
    }

    fn collapse(&self, queue: &mut Queue) {
        let newest = Newest::of(&queue.changes);
        if newest.keys() > WATCH_KEYS_MAX {
            self.metrics.count_bound(Bound::WatchKeys);
            queue.ended = true;
            queue.changes.clear();
        } else {
            queue.changes = newest.into_changes();
        }
    }
}

impl Observer for Watches {
    fn is_idle(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0
    }

    fn wants(&self, entity: EntityRef) -> bool {
        self.by_entity.read().contains_key(&entity)
    }

    fn committed(&self, entity: EntityRef, change: &Committed) {
        let readers: Vec<_> = {
            let by_entity = self.by_entity.read();
            by_entity.get(&entity).into_iter().flatten().filter_map(Weak::upgrade).collect()
        };
        let change = Arc::new(change.clone());
        for shared in readers {
            self.deliver(&shared, &change);
        }
    }
}

impl Watch {
    /// The next change; none when the watch was ended because its reader is too slow.
    pub async fn next(&mut self) -> Option<Arc<Committed>> {
        loop {
            let notified = self.shared.wake.notified();
            {
                let mut queue = self.shared.queue.lock();
                if let Some(change) = queue.changes.pop_front() {
                    return Some(change);
                }
                if queue.ended {
                    return None;
                }
            }
            notified.await;
        }
    }

    /// The next change if one is waiting.
    pub fn try_next(&mut self) -> Option<Arc<Committed>> {
        self.shared.queue.lock().changes.pop_front()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.forget(self.entity, &self.shared);
    }
}

/// The newest state of each key touched by a run of changes.
#[derive(Default)]
struct Newest {
    readings: BTreeMap<String, Option<Reading>>,
    attributes: BTreeMap<(Scope, String), Option<Attribute>>,
    purged: bool,
}

impl Newest {
    fn of(changes: &VecDeque<Arc<Committed>>) -> Self {
        let mut newest = Self::default();
        for change in changes {
            newest.take(change);
        }
        newest
    }

    fn keys(&self) -> usize {
        self.readings.len() + self.attributes.len()
    }

    fn take(&mut self, change: &Committed) {
        match change {
            Committed::Telemetry(readings) => readings.iter().for_each(|it| self.take_reading(it)),
            Committed::TelemetryDeleted(keys) => {
                self.readings.extend(keys.iter().map(|key| (key.clone(), None)));
            }
            Committed::AttributesSet(scope, attributes) => {
                let set = attributes.iter().map(|it| ((*scope, it.key.clone()), Some(it.clone())));
                self.attributes.extend(set);
            }
            Committed::AttributesDeleted(scope, keys) => {
                let gone = keys.iter().map(|key| ((*scope, key.clone()), None));
                self.attributes.extend(gone);
            }
            Committed::Purged => self.purged = true,
        }
    }

    fn take_reading(&mut self, reading: &Reading) {
        let kept = self.readings.entry(reading.key.clone()).or_default();
        if kept.as_ref().is_none_or(|kept| kept.at <= reading.at) {
            *kept = Some(reading.clone());
        }
    }

    fn into_changes(self) -> VecDeque<Arc<Committed>> {
        let mut changes = VecDeque::new();
        let (mut gone, mut readings) = (Vec::new(), Vec::new());
        for (key, reading) in self.readings {
            match reading {
                Some(reading) => readings.push(reading),
                None => gone.push(key),
            }
        }
        if !gone.is_empty() {
            changes.push_back(Arc::new(Committed::TelemetryDeleted(gone)));
        }
        if !readings.is_empty() {
            changes.push_back(Arc::new(Committed::Telemetry(readings)));
        }
        let mut attributes = self.attributes.into_iter().peekable();
        while let Some(((scope, key), first)) = attributes.next() {
            let (mut set, mut gone) = (Vec::new(), Vec::new());
            match first {
                Some(attribute) => set.push(attribute),
                None => gone.push(key),
            }
            while let Some(((_, key), attribute)) = attributes.next_if(|((s, _), _)| *s == scope) {
                match attribute {
                    Some(attribute) => set.push(attribute),
                    None => gone.push(key),
                }
            }
            if !gone.is_empty() {
                changes.push_back(Arc::new(Committed::AttributesDeleted(scope, gone)));
            }
            if !set.is_empty() {
                changes.push_back(Arc::new(Committed::AttributesSet(scope, set)));
            }
        }
        if self.purged {
            changes.push_back(Arc::new(Committed::Purged));
        }
        changes
    }
}

/// Updates that may wait for one reader before they collapse.
pub const WATCH_QUEUE_MAX: usize = 256;
/// Different keys a collapsed queue may hold.
pub const WATCH_KEYS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::id::{DeviceId, NIL};
    use thingport_model::time::Timestamp;
    use thingport_model::value::Value;

    fn telemetry(at: i64, key: &str, value: i64) -> Committed {
        let reading = Reading { at: Timestamp(at), key: key.into(), value: Value::Long(value) };
        Committed::Telemetry(vec![reading])
    }

    fn watches() -> (Arc<Watches>, EntityRef) {
        (Watches::new(Arc::new(Metrics::default())), DeviceId(NIL).entity())
    }

    #[test]
    fn a_watch_gets_what_is_committed_while_it_lives() {
        let (watches, entity) = watches();
        assert!(watches.is_idle());
        let mut watch = watches.watch(entity);
        assert!(!watches.is_idle() && watches.wants(entity));
        watches.committed(entity, &telemetry(1, "a", 1));
        assert_eq!(watch.try_next().as_deref(), Some(&telemetry(1, "a", 1)));
        assert!(watch.try_next().is_none());
        drop(watch);
        assert!(watches.is_idle() && !watches.wants(entity));
    }

    #[test]
    fn a_slow_reader_finds_the_newest_value_per_key() {
        let (watches, entity) = watches();
        let mut watch = watches.watch(entity);
        for n in 0..=WATCH_QUEUE_MAX as i64 {
            watches.committed(entity, &telemetry(n, if n % 2 == 0 { "even" } else { "odd" }, n));
        }
        let expected = vec![
            Reading { at: Timestamp(256), key: "even".into(), value: Value::Long(256) },
            Reading { at: Timestamp(255), key: "odd".into(), value: Value::Long(255) },
        ];
        assert_eq!(watch.try_next().as_deref(), Some(&Committed::Telemetry(expected)));
        assert!(watch.try_next().is_none());
    }

    #[test]
    fn a_deletion_is_not_lost_when_the_queue_collapses() {
        let (watches, entity) = watches();
        let mut watch = watches.watch(entity);
        let gone = Committed::AttributesDeleted(Scope::Shared, vec!["k".into()]);
        watches.committed(entity, &gone);
        for n in 0..WATCH_QUEUE_MAX as i64 {
            watches.committed(entity, &telemetry(n, "a", n));
        }
        let first = watch.try_next().expect("telemetry");
        assert!(matches!(&*first, Committed::Telemetry(all) if all.len() == 1));
        assert_eq!(watch.try_next().as_deref(), Some(&gone));
    }

    #[tokio::test]
    async fn a_reader_that_cannot_be_helped_is_ended() {
        let (watches, entity) = watches();
        let mut watch = watches.watch(entity);
        for n in 0..=WATCH_QUEUE_MAX {
            let many = (0..50).map(|k| Reading {
                at: Timestamp(0),
                key: format!("{n}-{k}"),
                value: Value::Long(0),
            });
            watches.committed(entity, &Committed::Telemetry(many.collect()));
        }
        assert_eq!(watch.next().await, None);
    }
}
