//! Traces: what a device sent and was sent, packet by packet, for whoever asked for it.
//!
//! Off for every device until somebody with the right to administer it begins a trace, for a time; kept
//! in memory alone and gone with the process. A connection that is not traced pays for one number that
//! all share and that hardly ever changes; while anything is traced, for one byte in its mailbox besides.
//!
//! A trace that is over stays readable for a while, so that one can be begun in the evening and read in
//! the morning.

mod kept;
mod people;
mod record;
mod scrub;

use core::sync::atomic::{AtomicUsize, Ordering, fence};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::id::{DeviceId, TenantId};

pub use kept::{BYTES_MAX, Cursor, INCIDENT, Noted, Part, RECORDS_MAX, Span, Trace};
pub use record::{
    Direction, Meaning, PAYLOAD_MAX, Packet, Payload, READINGS_MAX, Record, Shown, Verdict, Why,
};
pub use scrub::REDACTED;

use crate::clock::Clock;
use crate::error::Error;
use crate::metrics::{Bound, Metrics};
use crate::presence::{Mailbox, Presence};

/// Every trace of this process.
pub struct Traces {
    /// How many are running, to the next look.
    running: AtomicUsize,
    of: Mutex<HashMap<DeviceId, Arc<Trace>, foldhash::fast::RandomState>>,
    presence: Arc<Presence>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Traces {
    /// Nothing is traced yet.
    #[must_use]
    pub fn new(presence: Arc<Presence>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let of = Mutex::default();
        Self { running: AtomicUsize::new(0), of, presence, clock, metrics }
    }

    /// Whether anything is traced. One relaxed load.
    #[must_use]
    pub fn any(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    /// Begins to trace a device of `tenant` for so many milliseconds, at most [`LASTING_MAX_MS`]; a trace
    /// that runs goes on for that time from now. `secrets` will not show in it.
    ///
    /// # Errors
    /// [`Error::Busy`] when as many devices are traced as may be.
    pub fn begin(
        &self,
        device: DeviceId,
        tenant: TenantId,
        lasting_ms: u64,
        secrets: &[&str],
    ) -> Result<Arc<Trace>, Error> {
        let (now, now_ms) = (self.clock.now(), self.clock.monotonic_ms());
        let mut of = self.of.lock();
        if !of.get(&device).is_some_and(|it| it.is_running(now_ms)) {
            self.must_have_room(&of, tenant, now_ms)?;
        }
        if !of.contains_key(&device) && of.len() >= TRACES_MAX {
            forget_one(&mut of, now_ms);
        }
        let new = || Arc::new(Trace::new(tenant, Arc::clone(&self.metrics)));
        let trace = Arc::clone(of.entry(device).or_insert_with(new));
        secrets.iter().for_each(|secret| trace.learn_secret(secret));
        trace.begin(now, now_ms, lasting_ms.min(LASTING_MAX_MS));
        self.count(&of, now_ms);
        // Whoever opens a mailbox looks for a trace afterwards, so one of both sees the other.
        fence(Ordering::SeqCst);
        // Under the lock: a trace that ends just now must not take the mark away again.
        self.presence.set_traced(device, true);
        drop(of);
        Ok(trace)
    }

    /// Ends the trace of a device; what was recorded stays for [`KEPT_MS`]. None when there is none.
    pub fn end(&self, device: DeviceId) -> Option<Arc<Trace>> {
        let (now, now_ms) = (self.clock.now(), self.clock.monotonic_ms());
        let of = self.of.lock();
        let trace = Arc::clone(of.get(&device)?);
        trace.end(now, now_ms);
        self.count(&of, now_ms);
        self.presence.set_traced(device, false);
        drop(of);
        Some(trace)
    }

    /// Ends the trace of a device and forgets what was recorded.
    pub fn forget(&self, device: DeviceId) {
        if self.end(device).is_some() {
            self.of.lock().remove(&device);
        }
    }

    /// Does so with all of a tenant.
    pub fn forget_tenant(&self, tenant: TenantId) {
        let devices: Vec<_> = {
            let of = self.of.lock();
            of.iter().filter(|(_, it)| it.tenant == tenant).map(|(device, _)| *device).collect()
        };
        devices.into_iter().for_each(|device| self.forget(device));
    }

    /// The trace of a device, running or over.
    #[must_use]
    pub fn find(&self, device: DeviceId) -> Option<Arc<Trace>> {
        self.of.lock().get(&device).map(Arc::clone)
    }

    /// The trace of a device, if it is running. Cheap while nothing is traced.
    #[must_use]
    pub fn running(&self, device: DeviceId) -> Option<Arc<Trace>> {
        if !self.any() {
            return None;
        }
        self.find(device).filter(|it| it.is_running(self.clock.monotonic_ms()))
    }

    /// The same for a connection with this mailbox, which is marked if so.
    #[must_use]
    pub fn opened(&self, device: DeviceId, mailbox: &Mailbox) -> Option<Arc<Trace>> {
        fence(Ordering::SeqCst);
        let trace = self.running(device)?;
        mailbox.set_traced(true);
        Some(trace)
    }

    /// Takes note of traces whose time is over, and forgets those that are over for long. To be called
    /// now and then.
    pub fn sweep(&self) {
        let now_ms = self.clock.monotonic_ms();
        let mut of = self.of.lock();
        of.retain(|_, it| now_ms < it.until_ms().saturating_add(KEPT_MS));
        let over = of.iter().filter(|(_, it)| !it.is_running(now_ms)).map(|(device, _)| *device);
        let over: Vec<_> = over.collect();
        self.count(&of, now_ms);
        over.into_iter().for_each(|device| self.presence.set_traced(device, false));
    }

    fn must_have_room(&self, of: &OfDevices, tenant: TenantId, now_ms: u64) -> Result<(), Error> {
        let running = |it: &&Arc<Trace>| it.is_running(now_ms);
        let bound = if of.values().filter(running).count() >= TRACES_MAX {
            Bound::Traces
        } else if of.values().filter(running).filter(|it| it.tenant == tenant).count()
            >= TRACES_PER_TENANT_MAX
        {
            Bound::TracesPerTenant
        } else {
            return Ok(());
        };
        self.metrics.count_bound(bound);
        Err(Error::Busy(
            "as many devices are traced as may be at once; end a trace that is not needed, or wait \
             until one is over"
                .to_owned(),
        ))
    }

    fn count(&self, of: &OfDevices, now_ms: u64) {
        let running = of.values().filter(|it| it.is_running(now_ms)).count();
        self.running.store(running, Ordering::Relaxed);
        self.metrics.traces.set(running as u64);
    }
}

type OfDevices = HashMap<DeviceId, Arc<Trace>, foldhash::fast::RandomState>;

/// Makes room: the one that is over for longest goes.
fn forget_one(of: &mut OfDevices, now_ms: u64) {
    let over = of.iter().filter(|(_, it)| !it.is_running(now_ms));
    let oldest = over.min_by_key(|(_, it)| it.until_ms()).map(|(device, _)| *device);
    if let Some(device) = oldest {
        of.remove(&device);
    }
}

/// Devices traced at once (`traces_max`), those included whose trace is over and still there. With the
/// bytes of one trace it bounds the bytes of all.
pub const TRACES_MAX: usize = 32;
/// The same of one tenant (`traces_per_tenant_max`), running ones alone.
pub const TRACES_PER_TENANT_MAX: usize = 16;
/// How long a trace lasts when nobody says so, in milliseconds.
pub const LASTING_MS: u64 = 60 * 60 * 1000;
/// How long it lasts at most.
pub const LASTING_MAX_MS: u64 = 24 * 60 * 60 * 1000;
/// How long what was recorded stays after the end.
pub const KEPT_MS: u64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests;
