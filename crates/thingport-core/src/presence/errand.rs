//! Errands: what is looked up for a connection while it goes on.

use std::sync::Arc;

use thingport_model::downlink::Downlink;
use thingport_model::reason::Reason;

use super::{Letter, Mailbox, Presence};

/// What came of an errand: something to tell the device or nothing, or why it failed.
pub type Outcome = Result<Option<Downlink>, Failure>;

/// Why an errand failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason.
    pub reason: Reason,
    /// What is known beyond it, for incidents; often empty.
    pub detail: String,
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: String::new() }
    }
}

/// Something that is found out, or done, for a connection by a task of its own. The connection is told
/// of its end exactly once, whatever becomes of the task; how many are under way is bounded by the
/// connection that begins them, so a full mailbox does not matter.
#[derive(Debug)]
pub struct Errand {
    presence: Arc<Presence>,
    mailbox: Arc<Mailbox>,
    ticket: u32,
    is_done: bool,
}

impl Errand {
    /// An errand of the connection with this mailbox, which will know it by `ticket`.
    #[must_use]
    pub const fn new(presence: Arc<Presence>, mailbox: Arc<Mailbox>, ticket: u32) -> Self {
        Self { presence, mailbox, ticket, is_done: false }
    }

    /// The errand has ended.
    pub fn done(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        self.is_done = true;
        let letter = Letter::Done { ticket: self.ticket, outcome };
        self.presence.put(&self.mailbox, letter, usize::MAX);
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if !self.is_done {
            self.tell(Err(Reason::Internal.into()));
        }
    }
}
