//! What a session is owed of changes of shared attributes, as far as memory knows: the numbers of changes,
//! and whether their keys can be noted. The notes themselves are in the ledger ([`crate::attributes`]).

use thingport_model::id::DeviceId;
use thingport_model::reason::Reason;

use super::Sessions;
use crate::metrics::Bound;
use crate::presence::ConnectionNumber;

/// A change of shared attributes that a session is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Counts up.
    pub(crate) number: u64,
    /// The connection of the session, if there is one.
    pub(crate) holder: Option<ConnectionNumber>,
    /// Whether there is room to note the keys, as far as is known.
    pub(crate) room: Room,
}

/// Whether the keys of another change can be noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is.
    Enough,
    /// Those that are noted must be counted first.
    Unknown,
    /// There is none: the session is owed all attributes anyway.
    AllOwed,
}

/// What is to be done when a connection told all it was given, and was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settling {
    /// It is not the session's connection any more.
    Nothing,
    /// What it told is not owed any more.
    Told,
    /// Some changes found no room on their way: everything behind this one is told again.
    Again(u64),
}

/// For the attributes.
impl Sessions {
    /// Shared attributes of a device change; none when no session is owed that. To be called in the
    /// device's turn.
    pub(crate) fn mark(&self, device: DeviceId, keys: usize) -> Option<Mark> {
        let now_us = self.now_us();
        let mut state = self.state.lock();
        if !state.kept.get(&device)?.session.state.wants_updates {
            return None;
        }
        let number = state.next_mark(now_us);
        let place = state.kept.get_mut(&device)?;
        Some(Mark { number, holder: place.holder, room: place.note(keys) })
    }

    /// So many keys are noted; whether there is room for more of them.
    pub(crate) fn counted(&self, device: DeviceId, noted: usize, more: usize) -> bool {
        let mut state = self.state.lock();
        let Some(place) = state.kept.get_mut(&device) else { return true };
        let has_room = place.counted(noted, more);
        let subject = place.subject();
        drop(state);
        if !has_room {
            self.metrics.count_bound(Bound::SessionKeys);
            self.record(subject, Reason::SessionKeysFull, "");
        }
        has_room
    }

    /// A mark of an earlier process was found: later ones count up from there.
    pub(crate) fn saw(&self, number: u64) {
        let mut state = self.state.lock();
        state.newest_mark = state.newest_mark.max(number);
    }

    /// The connection of a device's session.
    pub(crate) fn holder(&self, device: DeviceId) -> Option<ConnectionNumber> {
        self.state.lock().kept.get(&device)?.holder
    }

    /// All that a connection was given to tell is acknowledged.
    pub(crate) fn settling(&self, device: DeviceId, connection: ConnectionNumber) -> Settling {
        let mut state = self.state.lock();
        let place = state.kept.get_mut(&device).filter(|it| it.holder == Some(connection));
        let Some(place) = place else { return Settling::Nothing };
        if core::mem::take(&mut place.is_missing) {
            Settling::Again(place.floor)
        } else {
            Settling::Told
        }
    }

    /// So many keys are left that the session is owed.
    pub(crate) fn settled(&self, device: DeviceId, left: usize) {
        if let Some(place) = self.state.lock().kept.get_mut(&device) {
            place.settled(left);
        }
    }

    /// Up to which change a device's session is not concerned; none when it has no session.
    pub(crate) fn floor(&self, device: DeviceId) -> Option<u64> {
        Some(self.state.lock().kept.get(&device)?.floor)
    }
}
