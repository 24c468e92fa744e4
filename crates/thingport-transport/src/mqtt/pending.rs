//! Publications whose commit has not happened yet, oldest first.
//!
//! Their number is bounded by the session, which stops reading at its receive maximum. The first
//! one lies in place, so a device that waits for each PUBACK costs no allocation.

use std::collections::VecDeque;

use thingport_model::port::ledger::Receipt;
use thingport_mqtt::session::Delivery;

/// One publication and the promise it waits for.
pub(super) type Waiting = (Receipt, Delivery);

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Pending {
    first: Option<Waiting>,
    // Boxed on purpose: one word in the many connections that never pipeline.
    #[allow(clippy::box_collection)]
    rest: Option<Box<VecDeque<Waiting>>>,
    /// The newest promise of this connection, whether anything waits for it or not; 0 at first.
    newest: u64,
}

impl Pending {
    pub(super) fn push(&mut self, waiting: Waiting) {
        if self.first.is_none() {
            self.first = Some(waiting);
        } else {
            self.rest.get_or_insert_default().push_back(waiting);
        }
    }

    /// Notes a promise. Questions wait for the newest, so that a device finds what it wrote before it
    /// asked.
    pub(super) const fn note(&mut self, receipt: Receipt) {
        self.newest = receipt.0;
    }

    /// The newest promise; none before the first.
    pub(super) const fn newest(&self) -> Option<Receipt> {
        if self.newest == 0 { None } else { Some(Receipt(self.newest)) }
    }

    /// The oldest.
    pub(super) const fn first(&self) -> Option<Waiting> {
        self.first
    }

    /// Removes the oldest.
    pub(super) fn pop(&mut self) {
        self.first = self.rest.as_mut().and_then(|rest| rest.pop_front());
        // A window that was used once is likely to be used again; an idle connection gives it back.
        if self.first.is_none() && self.rest.as_ref().is_some_and(|rest| rest.capacity() > KEEP) {
            self.rest = None;
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Places an emptied queue may keep.
const KEEP: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_costs_two_words_beyond_its_first_place() {
        assert!(size_of::<Pending>() <= size_of::<Option<Waiting>>() + 16);
    }
}
