//! Rate limits on one connection: it is slowed first, and refused only when that does not suffice
//! (device API section 10; conformance P-22).

use core::pin::Pin;
use core::time::Duration;

use thingport_core::limits::Bite;
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_mqtt::session::Delivery;
use tokio::time::Sleep;

use super::{Connection, Stage, Stalled, Then};
use crate::mqtt::scratch::Desk;

impl Connection {
    /// Takes the tokens of a message with so many values.
    pub(super) fn charge(&self, points: usize) -> Result<Option<Bite>, Bite> {
        match &self.stage {
            Stage::Open(open) => match &open.quota {
                Some(quota) => quota.charge(points, self.shared.node.clock.monotonic_ms()),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// As [`Self::charge`], for what counts for no month.
    pub(super) fn charge_uncounted(&self) -> Result<Option<Bite>, Bite> {
        match &self.stage {
            Stage::Open(open) => match &open.quota {
                Some(quota) => quota.charge_uncounted(self.shared.node.clock.monotonic_ms()),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// Keeps an uplink until the tokens it was promised are there. Nothing is read meanwhile.
    pub(super) fn slow_uplink(
        &mut self,
        delivery: Delivery,
        is_telemetry: bool,
        readings: Readings,
        bite: Bite,
    ) {
        self.record(Reason::RateSlowed, &bite.to_string());
        let then = Then::Receive { delivery, is_telemetry, readings };
        self.stalled = Some(Box::new(Stalled { turn: Some(turn(bite)), then }));
    }

    /// Reads nothing until the tokens that were promised are there.
    pub(super) fn slow(&mut self, bite: Bite) {
        self.record(Reason::RateSlowed, &bite.to_string());
        self.stalled = Some(Box::new(Stalled { turn: Some(turn(bite)), then: Then::Read }));
    }

    /// Refuses a publication once all that came before it are answered: a client that pipelines would
    /// otherwise send those again and again, and never get further.
    pub(super) fn reject_in_turn(&mut self, delivery: Delivery, bite: Bite, desk: &mut Desk) {
        self.refuse_in_turn((bite.reason(), bite.to_string()), delivery, desk);
    }

    /// The same for any reason.
    pub(super) fn refuse_in_turn(
        &mut self,
        (reason, detail): (Reason, String),
        delivery: Delivery,
        desk: &mut Desk,
    ) {
        if self.pending.is_empty() {
            self.reject(reason, &detail, delivery, desk);
        } else {
            let then = Then::Reject { delivery, reason, detail };
            self.stalled = Some(Box::new(Stalled { turn: None, then }));
        }
    }

    /// Whether a refusal waited for its turn and has it now.
    pub(super) fn is_due_to_reject(&self) -> bool {
        let waits = self.stalled.as_ref().is_some_and(|it| matches!(it.then, Then::Reject { .. }));
        waits && self.pending.is_empty()
    }
}

fn turn(bite: Bite) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(Duration::from_millis(bite.wait_ms.unwrap_or(0))))
}
