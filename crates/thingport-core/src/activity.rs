//! Which devices report (device API section 11).
//!
//! Two truths are kept apart. A device is *connected* while a connection of its is open: that is
//! [`presence`](crate::presence). It *reports*, or is active, from its first word until it said nothing for
//! its inactivity timeout, connected or not (AC-007): that is here, and in the device's server attributes,
//! which people read and watch.
//!
//! # What a message costs
//!
//! One relaxed store into the connection's mailbox. A *round* every few seconds takes the moments that
//! were stored and writes them down, a device at a time, so that a message never pays for it; attributes
//! are put in line for the ledger and nobody waits for their commit.
//!
//! # What is remembered
//!
//! Eight bytes and its id for each device that is active, or new. Everything else is in the attributes and
//! is looked up when a device becomes active. [`DeviceActivity`] beside the device says which devices may
//! fall silent, so that a start finds those that never come back, and lists of active devices are
//! questions to an index. A device is `Active` there before its attribute `active` is true and until it is
//! false: the index may name too many after a crash, never too few, and the next start mends it.
//!
//! Everything that changes whether a device is active happens in one turn after the other.

mod known;
mod rounds;
mod table;
#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::activity::DeviceActivity;
use thingport_model::attribute::Scope;
use thingport_model::id::DeviceId;
use thingport_model::port::entities::Entities;
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::{AppendError, Change, Ledger, Receipt};
use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::metrics::{Bound, Metrics};
use crate::presence::{Mailbox, Presence};
use known::Known;
use table::{OwnTimeout, Second, Stage, Standing, Table};

/// What the configuration says of activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivityConfig {
    /// For how long a device may say nothing, in milliseconds, unless it has a timeout of its own.
    pub inactivity_timeout_ms: u64,
    /// How often the last activity of a device is written down, in milliseconds.
    pub report_interval_ms: u64,
}

/// Keeps account of who reports.
pub struct Activity {
    entities: Arc<dyn Entities>,
    ledger: Arc<dyn Ledger>,
    presence: Arc<Presence>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    config: ActivityConfig,
    table: Table,
    /// What the ledger had no room for.
    owed: Mutex<Vec<Owed>>,
    /// Devices that are inactive, and could not be noted so.
    unsettled: Mutex<Vec<DeviceId>>,
    turn: tokio::sync::Mutex<()>,
    /// Notified when a device was heard that is not active.
    newcomers: Notify,
    rounds: AtomicU32,
    /// Some devices found no room.
    turned_away: AtomicBool,
    began_ms: u64,
}

/// What is known of a device's reporting at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reporting {
    /// Whether it said something within its inactivity timeout.
    pub is_active: bool,
    /// When it was last heard, to this very moment; none for never.
    pub heard_at: Option<Timestamp>,
}

/// An attribute that is still to be written.
#[derive(Clone, Copy, Debug)]
struct Owed {
    device: DeviceId,
    key: &'static str,
    at: Timestamp,
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
struct Now {
    at: Timestamp,
    ms: u64,
}

impl Activity {
    /// An account of nobody. [`Self::recall`] finds those that were active before.
    #[must_use]
    pub fn new(
        entities: Arc<dyn Entities>,
        ledger: Arc<dyn Ledger>,
        presence: Arc<Presence>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        config: ActivityConfig,
    ) -> Self {
        Self {
            entities,
            ledger,
            presence,
            began_ms: clock.monotonic_ms(),
            clock,
            metrics,
            config,
            table: Table::new(ACTIVE_DEVICES_MAX),
            owed: Mutex::default(),
            unsettled: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            newcomers: Notify::new(),
            rounds: AtomicU32::new(0),
            turned_away: AtomicBool::new(false),
        }
    }

    /// A device logged in (AC-003), which is activity (LS-061). Does not wait.
    pub fn opened(&self, device: DeviceId, mailbox: &Mailbox) {
        let now = self.now();
        self.pay(Owed { device, key: LAST_CONNECT_TIME, at: now.at });
        if self.table.of(device).is_active(device) {
            mailbox.hear(now.ms);
        } else {
            self.note(device, now.at);
        }
    }

    /// The last connection of a device ended (AC-004): writes that down, and what was heard of it since
    /// the last round. Does not wait.
    pub fn closed(&self, device: DeviceId, mailbox: &Mailbox) {
        let now = self.now();
        if let Some(age_ms) = mailbox.take_heard(now.ms) {
            self.note(device, now.before(age_ms));
        }
        self.pay(Owed { device, key: LAST_DISCONNECT_TIME, at: now.at });
    }

    /// A device was heard in another way than over a connection of its own: by HTTP, or through its
    /// gateway (AC-012). Does not wait.
    pub fn heard(&self, device: DeviceId) {
        self.note(device, self.clock.now());
    }

    /// A device came to be (AC-010). Does not wait.
    pub(crate) fn created(&self, device: DeviceId) {
        let now = self.now();
        let mut shard = self.table.of(device);
        if shard.standing(device).is_some() {
            return;
        }
        // Should the ledger refuse, the next start finds that it is missing.
        let _ = self.append(device, &[(ACTIVE, ValueRef::Bool(false))], now.at);
        let standing = Standing::new(Stage::New, self.second(now), OwnTimeout::default());
        self.remember(shard.put(device, standing));
    }

    /// Forgets a device that was deleted, and ends its connection. To be called before the ledger is
    /// purged of it, so that nothing is written behind that.
    pub(crate) fn forget(&self, device: DeviceId) {
        self.presence.evict(device);
        let mut shard = self.table.of(device);
        shard.forget_heard(device);
        if shard.remove(device).is_some_and(|it| it.stage() == Stage::Active) {
            self.metrics.devices_active.sub(1);
        }
    }

    /// How a device stands now. The right to see it has been checked.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn reporting(&self, device: DeviceId) -> Result<Reporting, PortError> {
        let known = Known::of(&*self.ledger, device).await?;
        let now = self.now();
        let heard = self.presence.heard(device, now.ms).map(|age_ms| now.before(age_ms));
        let heard = heard.max(self.table.of(device).heard(device));
        let is_active = known.active.unwrap_or(false);
        Ok(Reporting { is_active, heard_at: heard.max(known.heard_at) })
    }

    fn note(&self, device: DeviceId, at: Timestamp) {
        let mut shard = self.table.of(device);
        let noted = shard.hear(device, at);
        let is_active = shard.is_active(device);
        drop(shard);
        self.remember(noted);
        if !is_active {
            self.newcomers.notify_one();
        }
    }

    fn remember(&self, result: Result<(), table::Full>) {
        if result.is_err() {
            self.metrics.count_bound(Bound::ActiveDevices);
            self.turned_away.store(true, core::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Puts a moment in line, or keeps it for the next round.
    fn pay(&self, owed: Owed) {
        let Owed { device, key, at } = owed;
        if self.append(device, &[(key, ValueRef::Long(at.ms()))], at).is_ok() {
            return;
        }
        let mut waiting = self.owed.lock();
        if waiting.len() < OWED_MAX {
            waiting.push(owed);
        } else {
            self.metrics.count_bound(Bound::ActivityOwed);
        }
    }

    fn append(
        &self,
        device: DeviceId,
        pairs: &[(&str, ValueRef<'_>)],
        at: Timestamp,
    ) -> Result<Receipt, AppendError> {
        let mut attributes = Readings::default();
        pairs.iter().for_each(|(key, value)| attributes.push(at, key, *value));
        let (entity, attributes) = (device.entity(), &attributes);
        self.ledger.append(Change::SetAttributes { entity, scope: Scope::Server, attributes })
    }

    fn now(&self) -> Now {
        Now { at: self.clock.now(), ms: self.clock.monotonic_ms() }
    }

    fn second(&self, now: Now) -> Second {
        self.second_before(now, 0)
    }

    /// The second in which something happened that is `age_ms` old.
    fn second_before(&self, now: Now, age_ms: i64) -> Second {
        let since_ms = i64::try_from(now.ms - self.began_ms.min(now.ms)).unwrap_or(i64::MAX);
        let second = since_ms.saturating_sub(age_ms).div_euclid(1_000);
        Second(i32::try_from(second).unwrap_or(if second < 0 { i32::MIN } else { i32::MAX }))
    }

    /// The second of a moment that was written down. What lies ahead, since the clock was set back,
    /// counts as now.
    fn second_of(&self, now: Now, at: Timestamp) -> Second {
        self.second_before(now, now.at.since_ms(at).max(0))
    }

    fn default_s(&self) -> u32 {
        let seconds = self.config.inactivity_timeout_ms.div_ceil(1_000);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

impl Default for ActivityConfig {
    fn default() -> Self {
        Self {
            inactivity_timeout_ms: INACTIVITY_TIMEOUT_MS,
            report_interval_ms: REPORT_INTERVAL_MS,
        }
    }
}

impl Now {
    fn before(self, age_ms: u64) -> Timestamp {
        self.at.plus_ms(-i64::try_from(age_ms).unwrap_or(i64::MAX))
    }
}

/// Whether a change of these keys of a device's server scope may change whether it is active.
#[must_use]
pub(crate) fn concerns(mut keys: impl Iterator<Item = impl AsRef<str>>) -> bool {
    keys.any(|key| matches!(key.as_ref(), ACTIVE | INACTIVITY_TIMEOUT))
}

/// For how long a device may say nothing, unless the operator or the device's attribute says otherwise.
pub const INACTIVITY_TIMEOUT_MS: u64 = 600_000;
/// How often the last activity is written down, unless the operator decides otherwise.
pub const REPORT_INTERVAL_MS: u64 = 3_000;
/// Time between two rounds.
pub const ROUND_MS: u64 = 3_000;
/// Devices remembered as active or new (`active_devices_max`). Some more are looked for again after a
/// while; until then they show as what they were.
pub const ACTIVE_DEVICES_MAX: usize = 1_000_000;
/// Moments of connecting and leaving that wait for a ledger without room (`activity_owed_max`).
pub const OWED_MAX: usize = 10_000;

/// Server attributes, by ThingsBoard's names (AC-001, AC-002).
pub const ACTIVE: &str = "active";
/// When a device was last heard, in milliseconds.
pub const LAST_ACTIVITY_TIME: &str = "lastActivityTime";
/// When a device last logged in, in milliseconds.
pub const LAST_CONNECT_TIME: &str = "lastConnectTime";
/// When the last connection of a device ended, in milliseconds.
pub const LAST_DISCONNECT_TIME: &str = "lastDisconnectTime";
/// When a device became inactive, in milliseconds.
pub const INACTIVITY_ALARM_TIME: &str = "inactivityAlarmTime";
/// A device's own timeout, in milliseconds.
pub const INACTIVITY_TIMEOUT: &str = "inactivityTimeout";
