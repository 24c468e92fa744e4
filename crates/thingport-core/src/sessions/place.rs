//! One kept session, with or without a connection.

use thingport_model::session::{About, KeptSession, SessionState};
use thingport_model::time::Timestamp;

use super::{KEYS_OWED_MAX, Opened, Room};
use crate::journal::Subject;
use crate::presence::ConnectionNumber;

/// A kept session. While it has a connection, the messages on their way are the connection's.
pub(super) struct Place {
    /// As it is written. While there is a connection, `told` is the floor: should the process be killed,
    /// everything behind that is told again.
    pub(super) session: KeptSession,
    pub(super) holder: Option<ConnectionNumber>,
    /// When it ends, unless its client comes back.
    pub(super) due_ms: Option<u64>,
    /// Some change did not reach the connection.
    pub(super) is_missing: bool,
    /// What it counts for in the bytes of all.
    pub(super) counted_bytes: usize,
    /// Changes up to this one do not concern it. 0 after a restart: then changes that were told before may
    /// be told again.
    pub(super) floor: u64,
    /// How many keys it may be owed at most.
    noted: usize,
    owes_all: bool,
}

impl Place {
    pub(super) const fn new(session: KeptSession, holder: Option<ConnectionNumber>) -> Self {
        let floor = if holder.is_some() { session.state.told } else { 0 };
        Self {
            session,
            holder,
            due_ms: None,
            is_missing: false,
            counted_bytes: 0,
            floor,
            noted: 0,
            owes_all: false,
        }
    }

    pub(super) const fn subject(&self) -> Subject {
        Subject::Device(self.session.device_id, self.session.tenant_id)
    }

    /// Weighs it anew.
    pub(super) fn weight(&mut self) -> usize {
        self.counted_bytes = self.session.state.weight() + self.session.client_id.len();
        self.counted_bytes
    }

    /// Its client is back.
    pub(super) fn resume(&mut self, expiry_s: u32, connection: ConnectionNumber) -> Opened {
        self.holder = Some(connection);
        self.session.expiry_s = expiry_s;
        self.session.left_at = None;
        let state = self.session.state.clone();
        self.session.state = SessionState {
            told: self.floor,
            messages: Vec::new(),
            open_ids: Vec::new(),
            ..core::mem::take(&mut self.session.state)
        };
        Opened { is_kept: true, expiry_s, told: state.told, state: Some(state) }
    }

    /// Its connection ended. How many messages found no room in so many bytes; changes of attributes
    /// among them are told again, and calls are sent again.
    pub(super) fn leave(
        &mut self,
        state: Option<SessionState>,
        now: Timestamp,
        room: usize,
    ) -> u32 {
        self.holder = None;
        self.session.left_at = Some(now);
        if let Some(state) = state {
            self.session.state = state;
        }
        let has_room = self.session.state.weight() <= room;
        if core::mem::take(&mut self.is_missing) || !has_room {
            self.session.state.told = self.floor;
        }
        if has_room {
            return 0;
        }
        let messages = core::mem::take(&mut self.session.state.messages);
        let lost = messages.iter().filter(|it| it.about == About::Other).count();
        u32::try_from(lost).unwrap_or(u32::MAX)
    }

    /// Changes up to this one do not concern it.
    pub(super) const fn begin_updates(&mut self, mark: u64) {
        self.floor = mark;
        self.session.state.told = mark;
    }

    /// More keys are to be noted.
    pub(super) const fn note(&mut self, keys: usize) -> Room {
        if self.owes_all {
            return Room::AllOwed;
        }
        self.noted = self.noted.saturating_add(keys);
        if self.noted > KEYS_OWED_MAX { Room::Unknown } else { Room::Enough }
    }

    /// So many keys are noted; whether there is room for more. Otherwise it is owed all.
    pub(super) const fn counted(&mut self, noted: usize, more: usize) -> bool {
        self.noted = noted.saturating_add(more);
        self.owes_all = self.noted > KEYS_OWED_MAX;
        !self.owes_all
    }

    /// So many keys are left that it is owed.
    pub(super) const fn settled(&mut self, left: usize) {
        self.noted = left;
        self.owes_all = self.owes_all && left > 0;
    }
}
