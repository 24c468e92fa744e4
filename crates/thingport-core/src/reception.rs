//! The one door for what devices say.
//!
//! An uplink goes in, a receipt comes out; nothing waits here. The caller acknowledges the device when
//! the ledger's commit has passed the receipt.

use std::sync::Arc;

use thingport_model::attribute::Scope;
use thingport_model::id::DeviceId;
use thingport_model::port::ledger::{AppendError, Change, Ledger, Receipt};
use thingport_model::reading::Readings;
use thingport_model::uplink::Uplink;

use crate::metrics::{Bound, Metrics};
use crate::registry::DeviceLogin;

/// Takes uplinks.
pub struct Reception {
    ledger: Arc<dyn Ledger>,
    metrics: Arc<Metrics>,
}

impl Reception {
    /// A door to `ledger`.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, metrics: Arc<Metrics>) -> Self {
        Self { ledger, metrics }
    }

    /// Puts what a device said in line for the next commit. None: there is nothing to keep, so it may
    /// be acknowledged at once (JS-018, JS-052).
    ///
    /// # Errors
    /// When nothing can be promised: [`AppendError::Busy`] may be tried again when
    /// [`Ledger::poll_ready`] says so.
    pub fn receive(
        &self,
        login: &DeviceLogin,
        uplink: Uplink<'_>,
    ) -> Result<Option<Receipt>, AppendError> {
        self.receive_of(login.device_id, login.ttl_s, uplink)
    }

    /// The same of a device that did not log in by itself; `ttl_s` as in [`DeviceLogin::ttl_s`].
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn receive_of(
        &self,
        device: DeviceId,
        ttl_s: u32,
        uplink: Uplink<'_>,
    ) -> Result<Option<Receipt>, AppendError> {
        let entity = device.entity();
        let (change, points, messages) = match uplink {
            Uplink::Telemetry(readings) => (
                Change::Telemetry { entity, readings, ttl_s },
                readings.len(),
                &self.metrics.telemetry_messages,
            ),
            Uplink::Attributes(attributes) => (
                Change::SetAttributes { entity, scope: Scope::Client, attributes },
                attributes.len(),
                &self.metrics.attribute_messages,
            ),
            // Questions and answers of devices are other doors' affair: nothing of them is kept here.
            _ => return Ok(None),
        };
        let receipt = if points == 0 { None } else { Some(self.append(change)?) };
        messages.add(1);
        self.metrics.points.add(points as u64);
        Ok(receipt)
    }

    /// Puts attributes of the shared scope in line that a device reported itself (SP-043): it is not told
    /// of them. None: there are none.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn receive_shared(
        &self,
        device: DeviceId,
        attributes: &Readings,
    ) -> Result<Option<Receipt>, AppendError> {
        if attributes.is_empty() {
            return Ok(None);
        }
        let entity = device.entity();
        let receipt =
            self.append(Change::SetAttributes { entity, scope: Scope::Shared, attributes })?;
        self.metrics.attribute_messages.add(1);
        self.metrics.points.add(attributes.len() as u64);
        Ok(Some(receipt))
    }

    fn append(&self, change: Change<'_>) -> Result<Receipt, AppendError> {
        self.ledger.append(change).inspect_err(|error| {
            if *error == AppendError::Busy {
                self.metrics.count_bound(Bound::CommitQueue);
            }
        })
    }
}
