//! Which application of one tenant gets which request: a state machine on an invented clock.
//!
//! A request is given to the taker that has the fewest, and is that taker's for as long as its lease. A
//! taker that hangs up, or lets the lease lapse, loses it, and the request is given again, to another one
//! if there is any. Nobody gets a request while somebody else holds it.

use core::mem;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use thingport_model::id::DeviceProfileId;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::{Answer, Request, Terms};

/// The requests and takers of one tenant.
#[derive(Default)]
pub(super) struct Rota {
    requests: HashMap<Uuid, Entry>,
    /// Those nobody holds, in the order in which they were asked.
    waiting: BTreeMap<u64, Uuid>,
    /// Those somebody holds, by the end of the lease.
    leases: BTreeSet<(u64, Uuid)>,
    takers: BTreeMap<u64, Place>,
    /// Until when whoever took such requests is expected to come back.
    expected: HashMap<Option<DeviceProfileId>, u64>,
    order: u64,
}

struct Entry {
    order: u64,
    request: Arc<Request>,
    answer: oneshot::Sender<Answer>,
    held: Option<Held>,
    /// Who held it last and lost it.
    lost_by: Option<u64>,
}

#[derive(Clone, Copy)]
struct Held {
    taker: u64,
    until_ms: u64,
}

struct Place {
    terms: Terms,
    held: u32,
    /// When it was given something, in turns of everybody.
    served: u64,
    /// Given and not yet fetched.
    inbox: VecDeque<Uuid>,
    wake: Arc<Notify>,
}

impl Rota {
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn takers(&self) -> usize {
        self.takers.len()
    }

    /// Whether nothing is lost when this is forgotten.
    pub(super) fn is_idle(&self, now_ms: u64) -> bool {
        self.requests.is_empty()
            && self.takers.is_empty()
            && self.expected.values().all(|until_ms| *until_ms <= now_ms)
    }

    /// Whether anybody takes requests of devices of this profile, or is expected back.
    pub(super) fn is_attended(&self, profile: DeviceProfileId, now_ms: u64) -> bool {
        let takes = |filter: Option<DeviceProfileId>| filter.is_none_or(|it| it == profile);
        let mut expected = self.expected.iter().filter(|(_, until_ms)| **until_ms > now_ms);
        self.takers.values().any(|it| takes(it.terms.profile))
            || expected.any(|(filter, _)| takes(*filter))
    }

    pub(super) fn ask(
        &mut self,
        request: Arc<Request>,
        answer: oneshot::Sender<Answer>,
        now_ms: u64,
    ) {
        self.order += 1;
        let (id, order) = (request.id, self.order);
        self.waiting.insert(order, id);
        self.requests.insert(id, Entry { order, request, answer, held: None, lost_by: None });
        self.assign(now_ms);
    }

    /// Somebody takes requests. Another `taker` has another number.
    pub(super) fn open(&mut self, taker: u64, terms: Terms, wake: Arc<Notify>, now_ms: u64) {
        let inbox = VecDeque::new();
        self.takers.insert(taker, Place { terms, held: 0, served: 0, inbox, wake });
        self.tick(now_ms);
    }

    /// Somebody takes no more. What a lasting taker holds is free at once; one that polls has what it
    /// fetched, and holds that for the time of its lease.
    pub(super) fn close(&mut self, taker: u64, now_ms: u64) {
        let Some(place) = self.takers.remove(&taker) else { return };
        let lost: Vec<_> = if place.terms.is_lasting {
            let is_its = |entry: &&Entry| entry.held.is_some_and(|held| held.taker == taker);
            self.requests.values().filter(is_its).map(|entry| entry.request.id).collect()
        } else {
            self.expect(place.terms.profile, now_ms);
            place.inbox.into_iter().collect()
        };
        for id in lost {
            self.release(id);
        }
        self.assign(now_ms);
    }

    fn expect(&mut self, profile: Option<DeviceProfileId>, now_ms: u64) {
        self.expected.retain(|_, until_ms| *until_ms > now_ms);
        // Profiles are what clients write, whether there are such or not.
        if self.expected.len() < EXPECTED_MAX || self.expected.contains_key(&profile) {
            self.expected.insert(profile, now_ms + EXPECTED_MS);
        }
    }

    /// What was given to `taker` since it last asked.
    pub(super) fn fetch(&mut self, taker: u64, now_ms: u64) -> Vec<Arc<Request>> {
        self.tick(now_ms);
        let Some(place) = self.takers.get_mut(&taker) else { return Vec::new() };
        let given = mem::take(&mut place.inbox);
        given
            .iter()
            .filter_map(|id| self.requests.get(id))
            .map(|it| Arc::clone(&it.request))
            .collect()
    }

    /// When a lease lapses next.
    pub(super) fn next_lapse_ms(&self) -> Option<u64> {
        self.leases.first().map(|(until_ms, _)| *until_ms)
    }

    /// Takes lapsed leases back and gives what waits to whoever has room.
    pub(super) fn tick(&mut self, now_ms: u64) {
        while let Some(&(until_ms, id)) = self.leases.first() {
            if until_ms > now_ms {
                break;
            }
            self.release(id);
        }
        self.assign(now_ms);
    }

    /// Takes a request out: it is answered, or nobody waits for its answer any more.
    pub(super) fn take_out(
        &mut self,
        id: Uuid,
        now_ms: u64,
    ) -> Option<(Arc<Request>, oneshot::Sender<Answer>)> {
        self.unlease(id);
        let entry = self.requests.remove(&id)?;
        self.waiting.remove(&entry.order);
        self.assign(now_ms);
        Some((entry.request, entry.answer))
    }

    /// A held request waits again, in its place.
    fn release(&mut self, id: Uuid) {
        let Some(held) = self.unlease(id) else { return };
        if let Some(entry) = self.requests.get_mut(&id) {
            entry.lost_by = Some(held.taker);
            self.waiting.insert(entry.order, id);
        }
    }

    fn unlease(&mut self, id: Uuid) -> Option<Held> {
        let held = self.requests.get_mut(&id)?.held.take()?;
        self.leases.remove(&(held.until_ms, id));
        if let Some(place) = self.takers.get_mut(&held.taker) {
            place.held -= 1;
            place.inbox.retain(|it| *it != id);
        }
        Some(held)
    }

    fn assign(&mut self, now_ms: u64) {
        let mut room: u32 = self.takers.values().map(Place::room).sum();
        let mut given = Vec::new();
        for (order, id) in &self.waiting {
            if room == 0 {
                break;
            }
            let Some(entry) = self.requests.get_mut(id) else { continue };
            let profile = entry.request.profile_id;
            let fit = self.takers.iter_mut().filter(|(_, it)| it.room() > 0 && it.takes(profile));
            let lost_by = entry.lost_by;
            let least = |(number, it): &(&u64, &mut Place)| {
                (lost_by == Some(**number), it.held, it.served, **number)
            };
            let Some((taker, place)) = fit.min_by_key(least) else { continue };
            let until_ms = now_ms.saturating_add(place.terms.lease_ms);
            entry.held = Some(Held { taker: *taker, until_ms });
            self.leases.insert((until_ms, *id));
            self.order += 1;
            place.served = self.order;
            place.held += 1;
            place.inbox.push_back(*id);
            place.wake.notify_one();
            room -= 1;
            given.push(*order);
        }
        for order in given {
            self.waiting.remove(&order);
        }
    }
}

impl Place {
    /// How many more it may hold.
    const fn room(&self) -> u32 {
        self.terms.window.saturating_sub(self.held)
    }

    fn takes(&self, profile: DeviceProfileId) -> bool {
        self.terms.profile.is_none_or(|it| it == profile)
    }
}

/// How long whoever polled may be away until nobody is thought to take requests.
const EXPECTED_MS: u64 = 30_000;

/// Profiles whose takers are expected back.
const EXPECTED_MAX: usize = 64;

#[cfg(test)]
mod tests;
