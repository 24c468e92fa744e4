//! Who listens for a device beside its connection, for a while: a request over HTTP that waits for one
//! thing to be told. It displaces no connection, and no connection displaces it; whether a device is
//! connected does not depend on it.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::id::DeviceId;

use super::{ConnectionNumber, Mailbox, Presence, Wants};
use crate::metrics::Bound;

/// Everybody who listens so.
#[derive(Debug, Default)]
pub(super) struct Listening {
    /// How many there are: nobody looks further while there is none.
    count: AtomicUsize,
    of: Mutex<HashMap<DeviceId, Vec<Arc<Mailbox>>, foldhash::fast::RandomState>>,
}

/// How many may listen so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarBounds {
    /// In total (`long_polls_max`).
    pub all: usize,
    /// For one device (`long_polls_per_device_max`).
    pub per_device: usize,
}

/// Fewer than HTTP connections there may be by default, so that devices that wait do not keep people out.
impl Default for EarBounds {
    fn default() -> Self {
        Self { all: 4_000, per_device: 4 }
    }
}

/// One of them; ends to listen when it is dropped.
#[derive(Debug)]
pub struct Ear {
    presence: Arc<Presence>,
    device: DeviceId,
    mailbox: Arc<Mailbox>,
}

impl Listening {
    /// Those of a device, the oldest first.
    pub(super) fn of(&self, device: DeviceId) -> Vec<Arc<Mailbox>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        self.of.lock().get(&device).cloned().unwrap_or_default()
    }

    fn begin(
        &self,
        device: DeviceId,
        mailbox: &Arc<Mailbox>,
        bounds: EarBounds,
    ) -> Result<(), Bound> {
        let mut of = self.of.lock();
        if self.count.load(Ordering::Acquire) >= bounds.all {
            return Err(Bound::LongPolls);
        }
        let ears = of.entry(device).or_default();
        if ears.len() >= bounds.per_device {
            return Err(Bound::LongPollsPerDevice);
        }
        ears.push(Arc::clone(mailbox));
        self.count.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn end(&self, device: DeviceId, mailbox: &Arc<Mailbox>) {
        let mut of = self.of.lock();
        let Some(ears) = of.get_mut(&device) else { return };
        let before = ears.len();
        ears.retain(|it| !Arc::ptr_eq(it, mailbox));
        self.count.fetch_sub(before - ears.len(), Ordering::AcqRel);
        if ears.is_empty() {
            of.remove(&device);
        }
    }
}

impl Presence {
    /// Listens for a device beside its connection. None when too many do so already, in total or for
    /// this device.
    #[must_use]
    pub fn listen(self: &Arc<Self>, device: DeviceId, wants: Wants) -> Option<Ear> {
        let number = ConnectionNumber(self.opened.fetch_add(1, Ordering::Relaxed));
        let mailbox = Arc::new(Mailbox::new(number, wants));
        match self.listening.begin(device, &mailbox, self.ears) {
            Ok(()) => Some(Ear { presence: Arc::clone(self), device, mailbox }),
            Err(bound) => {
                self.metrics.count_bound(bound);
                None
            }
        }
    }
}

impl Ear {
    /// Where it finds what it is told.
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.presence.listening.end(self.device, &self.mailbox);
    }
}
