//! What the watchers of one entity have still to read: kept once for all of them.
//!
//! Notices are numbered. A reader is a number too, that of the notice it reads next, so a reader that
//! keeps up costs nothing. A notice goes when all have read it; or, when there are [`WATCH_QUEUE_MAX`],
//! the oldest one is folded into the newest value per key, which is what a reader that has fallen behind
//! finds then. More than [`WATCH_KEYS_MAX`] keys end those who are behind.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use thingport_model::attribute::{Attribute, Scope};
use thingport_model::port::ledger::Committed;
use thingport_model::reading::Reading;

use super::notice::Notice;

/// Notices of one entity, and how many have still to read them.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Number of the oldest notice that is kept as it came.
    first: u64,
    notices: VecDeque<Kept>,
    readers: usize,
    /// Readers whose next notice is older than the first one.
    behind: usize,
    /// What those have missed.
    newest: Newest,
    /// Readers whose next notice is older than this one are ended.
    ended_before: u64,
}

#[derive(Debug)]
struct Kept {
    notice: Arc<Notice>,
    /// How many readers have still to read it.
    unread: usize,
}

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Found {
    /// Its next notice.
    Notice(Arc<Notice>),
    /// It has read everything.
    Nothing,
    /// It had fallen behind: what it missed, in few notices; there may be none.
    Missed(VecDeque<Arc<Notice>>),
    /// It missed more than it can be told.
    Ended,
}

/// What became of older notices when one was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pressed {
    /// The oldest one was folded.
    pub(super) folded: bool,
    /// Readers were ended.
    pub(super) ended: bool,
}

impl Backlog {
    /// One more reader, who reads what comes from now on.
    pub(super) fn join(&mut self) -> u64 {
        self.readers += 1;
        self.first + self.notices.len() as u64
    }

    /// One reader less.
    pub(super) fn leave(&mut self, next: u64) {
        self.readers -= 1;
        if next < self.first {
            self.caught_up();
        }
        let read = usize::try_from(next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        for kept in self.notices.iter_mut().skip(read) {
            kept.unread -= 1;
        }
        self.trim();
    }

    pub(super) const fn is_deserted(&self) -> bool {
        self.readers == 0
    }

    pub(super) fn push(&mut self, notice: Arc<Notice>) -> Pressed {
        let mut pressed = Pressed::default();
        if self.readers == 0 {
            return pressed;
        }
        self.notices.push_back(Kept { notice, unread: self.readers });
        if self.notices.len() > WATCH_QUEUE_MAX
            && let Some(oldest) = self.notices.pop_front()
        {
            pressed.folded = true;
            self.newest.take(self.first, &oldest.notice.change);
            self.first += 1;
            // Whoever was behind has not read it either.
            self.behind = oldest.unread;
            if self.newest.keys() > WATCH_KEYS_MAX {
                pressed.ended = true;
                self.ended_before = self.first;
                self.newest = Newest::default();
            }
        }
        pressed
    }

    /// What the reader of the notice `next` finds, and moves it on.
    pub(super) fn read(&mut self, next: &mut u64) -> Found {
        if *next < self.first {
            if *next < self.ended_before {
                return Found::Ended;
            }
            let missed = self.newest.since(*next);
            *next = self.first;
            self.caught_up();
            return Found::Missed(missed);
        }
        let at = usize::try_from(*next - self.first).unwrap_or(usize::MAX);
        let Some(kept) = self.notices.get_mut(at) else { return Found::Nothing };
        *next += 1;
        kept.unread -= 1;
        let notice = Arc::clone(&kept.notice);
        self.trim();
        Found::Notice(notice)
    }

    fn caught_up(&mut self) {
        self.behind -= 1;
        if self.behind == 0 {
            self.newest = Newest::default();
        }
    }

    /// Lets go of what everybody has read.
    fn trim(&mut self) {
        while self.notices.front().is_some_and(|kept| kept.unread == 0) {
            self.notices.pop_front();
            self.first += 1;
        }
    }
}

/// The newest state of each key touched by a run of notices, with the number of the one it comes from.
#[derive(Debug, Default)]
struct Newest {
    readings: BTreeMap<String, (u64, Option<Reading>)>,
    attributes: BTreeMap<(Scope, String), (u64, Option<Attribute>)>,
    purged: bool,
}

impl Newest {
    fn keys(&self) -> usize {
        self.readings.len() + self.attributes.len()
    }

    fn take(&mut self, number: u64, change: &Committed) {
        match change {
            Committed::Telemetry(readings) => {
                readings.iter().for_each(|it| self.take_reading(number, it));
            }
            Committed::TelemetryDeleted(keys) => {
                self.readings.extend(keys.iter().map(|key| (key.clone(), (number, None))));
            }
            Committed::AttributesSet(scope, attributes) => {
                let set = attributes.iter();
                let set = set.map(|it| ((*scope, it.key.clone()), (number, Some(it.clone()))));
                self.attributes.extend(set);
            }
            Committed::AttributesDeleted(scope, keys) => {
                let gone = keys.iter().map(|key| ((*scope, key.clone()), (number, None)));
                self.attributes.extend(gone);
            }
            Committed::Purged => self.purged = true,
        }
    }

    fn take_reading(&mut self, number: u64, reading: &Reading) {
        let (at, kept) = self.readings.entry(reading.key.clone()).or_default();
        if kept.as_ref().is_none_or(|kept| kept.at <= reading.at) {
            (*at, *kept) = (number, Some(reading.clone()));
        }
    }

    /// What the notices from this number on changed.
    fn since(&self, number: u64) -> VecDeque<Arc<Notice>> {
        let mut changes = Vec::new();
        let (mut gone, mut readings) = (Vec::new(), Vec::new());
        for (key, (_, reading)) in self.readings.iter().filter(|(_, (at, _))| *at >= number) {
            match reading {
                Some(reading) => readings.push(reading.clone()),
                None => gone.push(key.clone()),
            }
        }
        if !gone.is_empty() {
            changes.push(Committed::TelemetryDeleted(gone));
        }
        if !readings.is_empty() {
            changes.push(Committed::Telemetry(readings));
        }
        for scope in Scope::ALL {
            changes.extend(self.attributes_since(number, scope));
        }
        changes.extend(self.purged.then_some(Committed::Purged));
        changes.into_iter().map(|change| Arc::new(Notice::new(change))).collect()
    }

    fn attributes_since(&self, number: u64, scope: Scope) -> impl Iterator<Item = Committed> {
        let (mut gone, mut set) = (Vec::new(), Vec::new());
        let of_scope = self.attributes.iter().filter(|((its, _), _)| *its == scope);
        for ((_, key), (_, attribute)) in of_scope.filter(|(_, (at, _))| *at >= number) {
            match attribute {
                Some(attribute) => set.push(attribute.clone()),
                None => gone.push(key.clone()),
            }
        }
        let gone = (!gone.is_empty()).then_some(Committed::AttributesDeleted(scope, gone));
        let set = (!set.is_empty()).then_some(Committed::AttributesSet(scope, set));
        gone.into_iter().chain(set)
    }
}

/// Notices of one entity that are kept as they came.
pub const WATCH_QUEUE_MAX: usize = 256;
/// Different keys that those who have fallen behind may have missed.
pub const WATCH_KEYS_MAX: usize = 10_000;
