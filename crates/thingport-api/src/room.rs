//! Room for request bodies, for people and for strangers apart.

use std::sync::Arc;
use std::time::Duration;

use thingport_core::metrics::{Bound, Metrics};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Somebody who has not signed in.
    Stranger,
    /// Somebody who has.
    Person,
}

/// Bytes of bodies that may be held at once; strangers cannot take the room of people.
#[derive(Debug)]
pub(crate) struct Rooms {
    people: Arc<Semaphore>,
    people_units: usize,
    strangers: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Rooms {
    /// Room for `bodies_max` bytes of people, and some for strangers.
    pub(crate) fn new(bodies_max: usize, metrics: Arc<Metrics>) -> Self {
        let people_units = (bodies_max / ROOM_UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            people: Arc::new(Semaphore::new(people_units)),
            people_units,
            strangers: Arc::new(Semaphore::new(STRANGER_BODIES_MAX / ROOM_UNIT)),
            metrics,
        }
    }

    async fn take(&self, sender: Sender, units: u32) -> Option<OwnedSemaphorePermit> {
        let (room, bound) = match sender {
            Sender::Stranger => (&self.strangers, Bound::StrangerBodies),
            Sender::Person => (&self.people, Bound::RequestBodies),
        };
        if let Ok(taken) = Arc::clone(room).try_acquire_many_owned(units) {
            return Some(taken);
        }
        self.metrics.count_bound(bound);
        if sender == Sender::Stranger {
            return None;
        }
        // Those who wait may each hold a part and need another, so waiting has an end.
        let waiting = Arc::clone(room).acquire_many_owned(units);
        tokio::time::timeout(ROOM_WAIT, waiting).await.ok()?.ok()
    }
}

/// The share of one body.
#[derive(Debug, Default)]
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// Makes it large enough for `length` bytes; false when there is no room for them.
    pub(crate) async fn grow(&mut self, rooms: &Rooms, sender: Sender, length: usize) -> bool {
        let units = length.saturating_sub(FREE_BYTES).div_ceil(ROOM_UNIT);
        // One body may take all the room, so that none is refused for ever.
        let units = units.min(rooms.people_units);
        let held = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Ok(more @ 1..) = u32::try_from(units.saturating_sub(held)) else { return true };
        let Some(taken) = rooms.take(sender, more).await else { return false };
        match &mut self.0 {
            Some(room) => room.merge(taken),
            none => *none = Some(taken),
        }
        true
    }
}

/// Bytes of all bodies of strangers at once.
pub(crate) const STRANGER_BODIES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of each body that take no room: the number of connections bounds them.
pub(crate) const FREE_BYTES: usize = 4 * 1024;
const ROOM_UNIT: usize = 1024;
/// How long a body of somebody who signed in waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(5);
