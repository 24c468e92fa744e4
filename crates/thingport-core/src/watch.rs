//! Live interest of people in entities.
//!
//! The ledger's writer tells [`Watches`] about every commit. What it costs the writer does not depend on
//! how many watch: it adds one [`Notice`] to the backlog of the entity, which all its watchers share, and
//! wakes one of them. Each that is woken wakes the next, so that thousands of them never stand in line
//! before a device that wants to be served. The writer never waits: a reader that falls
//! [`WATCH_QUEUE_MAX`] notices behind finds the newest value per key instead, and is ended when even that
//! has more than [`WATCH_KEYS_MAX`] keys.
//!
//! Order that loses nothing (REST API W-20): open the watch, then read the present, then take notices.
//! A notice may repeat what the read already showed; it never comes out of order.

mod backlog;
mod notice;

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use thingport_model::attribute::Scope;
use thingport_model::id::EntityRef;
use thingport_model::port::ledger::{Committed, Observer};
use tokio::sync::Notify;

use crate::metrics::{Bound, Metrics};
use backlog::{Backlog, Found, Pressed};
pub use backlog::{WATCH_KEYS_MAX, WATCH_QUEUE_MAX};
pub use notice::{Notice, TEXTS_MAX, TextKey};

/// All watches of this process.
#[derive(Debug)]
pub struct Watches {
    by_entity: RwLock<HashMap<EntityRef, Arc<Topic>>>,
    open: AtomicUsize,
    metrics: Arc<Metrics>,
}

/// One reader's interest in one entity. Dropping it ends the interest.
#[derive(Debug)]
pub struct Watch {
    entity: EntityRef,
    topic: Arc<Topic>,
    /// Number of the notice that is read next.
    next: u64,
    /// What comes before it, to a reader that has fallen behind.
    missed: VecDeque<Arc<Notice>>,
    watches: Arc<Watches>,
}

/// What the watchers of one entity share.
#[derive(Debug, Default)]
struct Topic {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    backlog: Backlog,
    /// A call goes round: one reader was woken, and wakes the next one when it has looked.
    calling: bool,
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
        let mut by_entity = self.by_entity.write();
        let topic = Arc::clone(by_entity.entry(entity).or_default());
        let next = topic.state.lock().backlog.join();
        drop(by_entity);
        self.open.fetch_add(1, Ordering::SeqCst);
        self.metrics.watches.add(1);
        Watch { entity, topic, next, missed: VecDeque::new(), watches: Arc::clone(self) }
    }

    fn forget(&self, watch: &Watch) {
        // Held throughout, so that nobody joins a topic that is about to go.
        let mut by_entity = self.by_entity.write();
        let is_deserted = {
            let mut state = watch.topic.state.lock();
            state.backlog.leave(watch.next);
            state.backlog.is_deserted()
        };
        if is_deserted {
            by_entity.remove(&watch.entity);
        }
        drop(by_entity);
        self.open.fetch_sub(1, Ordering::SeqCst);
        self.metrics.watches.sub(1);
    }

    fn count(&self, pressed: Pressed) {
        if pressed.folded {
            self.metrics.count_bound(Bound::WatchQueue);
        }
        if pressed.ended {
            self.metrics.count_bound(Bound::WatchKeys);
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
        // What a session is owed is nobody's business.
        if let Committed::AttributesSet(Scope::Owed, _)
        | Committed::AttributesDeleted(Scope::Owed, _) = change
        {
            return;
        }
        let topic = self.by_entity.read().get(&entity).cloned();
        if let Some(topic) = topic {
            self.count(topic.add(Arc::new(Notice::new(change.clone()))));
        }
    }
}

impl Topic {
    fn add(&self, notice: Arc<Notice>) -> Pressed {
        let (pressed, must_call) = {
            let mut state = self.state.lock();
            let pressed = state.backlog.push(notice);
            (pressed, !core::mem::replace(&mut state.calling, true))
        };
        if must_call {
            self.wake.notify_one();
        }
        pressed
    }

    /// What the reader finds. If it was woken, it passes the call on to whoever waits longest, until
    /// that is one who finds nothing.
    ///
    /// Nobody is forgotten: who waits longer looked earlier, since everybody stands in line before
    /// looking. So when one finds nothing, those behind it would find nothing either.
    fn read(&self, next: &mut u64, was_woken: bool) -> Found {
        let (found, must_pass_on) = {
            let mut state = self.state.lock();
            let found = state.backlog.read(next);
            if was_woken {
                state.calling = !matches!(found, Found::Nothing);
            }
            (found, was_woken && state.calling)
        };
        if must_pass_on {
            self.wake.notify_one();
        }
        found
    }
}

impl Watch {
    /// The next notice; none when the watch was ended because its reader is too slow.
    pub async fn next(&mut self) -> Option<Arc<Notice>> {
        if let Some(notice) = self.missed.pop_front() {
            return Some(notice);
        }
        let topic = Arc::clone(&self.topic);
        let mut was_woken = false;
        loop {
            // In line before looking, so that whatever is added behind the look wakes it. A call that
            // reaches it here and is not heard, because there was something to find, goes to the next.
            let mut notified = core::pin::pin!(topic.wake.notified());
            was_woken |= notified.as_mut().enable();
            match self.look(was_woken) {
                Look::Notice(notice) => return Some(notice),
                Look::Ended => return None,
                Look::Nothing => notified.await,
            }
            was_woken = true;
        }
    }

    /// The next notice if one is waiting.
    pub fn try_next(&mut self) -> Option<Arc<Notice>> {
        match self.look(false) {
            Look::Notice(notice) => Some(notice),
            Look::Nothing | Look::Ended => None,
        }
    }

    fn look(&mut self, mut was_woken: bool) -> Look {
        loop {
            if let Some(notice) = self.missed.pop_front() {
                return Look::Notice(notice);
            }
            match self.topic.read(&mut self.next, was_woken) {
                Found::Notice(notice) => return Look::Notice(notice),
                Found::Nothing => return Look::Nothing,
                Found::Missed(missed) => self.missed = missed,
                Found::Ended => return Look::Ended,
            }
            // The call was passed on.
            was_woken = false;
        }
    }
}

enum Look {
    Notice(Arc<Notice>),
    Nothing,
    Ended,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.forget(self);
    }
}

#[cfg(test)]
mod tests;
