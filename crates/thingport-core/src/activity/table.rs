//! What is remembered of the devices that report: a few dozen bytes each.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};
use thingport_model::id::DeviceId;
use thingport_model::time::Timestamp;

/// Every device that is active, or new, or was just heard; in shards, so that nobody waits for long.
pub(super) struct Table {
    shards: Vec<Mutex<Shard>>,
}

/// Some of the devices.
#[derive(Default)]
pub(super) struct Shard {
    standings: HashMap<DeviceId, Standing, RandomState>,
    /// Devices that were heard without a connection that remembers it, and when.
    heard: HashMap<DeviceId, Timestamp, RandomState>,
    max: usize,
}

/// What is remembered of one device. Seconds suffice: what is told to people carries milliseconds, and
/// comes from the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// When it was last heard, or created.
    heard: Second,
    /// The stage in the two highest bits, below it the device's own timeout in seconds, or zero.
    packed: u32,
}

/// A moment of the monotonic clock in seconds since the process began; negative before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Second(pub(super) i32);

/// How a device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was heard, and what is kept of it is still to be looked up.
    Unknown,
    /// It was never heard, and nobody said so yet (AC-010).
    New,
    /// It is active.
    Active,
}

/// There is no room for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Table {
    pub(super) fn new(devices_max: usize) -> Self {
        let max = devices_max.div_ceil(SHARDS);
        let shard = |_| Mutex::new(Shard { max, ..Shard::default() });
        Self { shards: (0..SHARDS).map(shard).collect() }
    }

    /// Where a device is, or would be.
    pub(super) fn of(&self, device: DeviceId) -> MutexGuard<'_, Shard> {
        self.part(usize::try_from(device.0.as_u128() % SHARDS as u128).unwrap_or(0))
    }

    /// Parts that can be looked at one by one, see [`Self::part`].
    pub(super) const fn parts(&self) -> usize {
        SHARDS
    }

    pub(super) fn part(&self, at: usize) -> MutexGuard<'_, Shard> {
        self.shards[at % SHARDS].lock()
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(Mutex::lock)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards().map(|shard| shard.len()).sum()
    }
}

impl Shard {
    /// How many devices are remembered here.
    pub(super) fn len(&self) -> usize {
        self.standings.len()
    }

    pub(super) fn is_active(&self, device: DeviceId) -> bool {
        self.standings.get(&device).is_some_and(is_active)
    }

    pub(super) fn standing(&self, device: DeviceId) -> Option<Standing> {
        self.standings.get(&device).copied()
    }

    /// Notes how a device stands.
    ///
    /// # Errors
    /// When it was not known and there is no room.
    pub(super) fn put(&mut self, device: DeviceId, standing: Standing) -> Result<(), Full> {
        if self.standings.len() >= self.max && !self.standings.contains_key(&device) {
            return Err(Full);
        }
        self.standings.insert(device, standing);
        Ok(())
    }

    pub(super) fn remove(&mut self, device: DeviceId) -> Option<Standing> {
        let removed = self.standings.remove(&device);
        // A storm of devices that is over need not be paid for ever.
        if self.standings.len() * 4 < self.standings.capacity() {
            self.standings.shrink_to(self.standings.len() * 2);
        }
        removed
    }

    /// Notes that a device was heard by somebody who will not remember.
    ///
    /// # Errors
    /// When so many were heard since the last round that there is no room.
    pub(super) fn hear(&mut self, device: DeviceId, at: Timestamp) -> Result<(), Full> {
        if self.heard.len() >= self.max && !self.heard.contains_key(&device) {
            return Err(Full);
        }
        let heard = self.heard.entry(device).or_insert(at);
        *heard = at.max(*heard);
        Ok(())
    }

    /// When a device was heard so, if nobody took note yet.
    pub(super) fn heard(&self, device: DeviceId) -> Option<Timestamp> {
        self.heard.get(&device).copied()
    }

    /// Takes the devices that were heard so: those whose turn it is, and those that are not active yet.
    pub(super) fn take_heard(
        &mut self,
        is_due: impl Fn(DeviceId) -> bool,
    ) -> Vec<(DeviceId, Timestamp)> {
        if self.heard.is_empty() {
            return Vec::new();
        }
        let Self { standings, heard, .. } = self;
        let is_wanted =
            |device: &DeviceId| is_due(*device) || !standings.get(device).is_some_and(is_active);
        let taken = heard.extract_if(|device, _| is_wanted(device)).collect();
        if self.heard.is_empty() {
            self.heard = HashMap::default();
        }
        taken
    }

    pub(super) fn forget_heard(&mut self, device: DeviceId) {
        self.heard.remove(&device);
    }

    /// Devices whose time is over, and those that are still to be looked up.
    pub(super) fn due(
        &self,
        now: Second,
        default_s: u32,
    ) -> (Vec<DeviceId>, Vec<(DeviceId, Second)>) {
        let (mut silent, mut unknown) = (Vec::new(), Vec::new());
        for (device, standing) in &self.standings {
            match standing.stage() {
                Stage::Unknown => unknown.push((*device, standing.heard)),
                _ if standing.is_due(now, default_s) => silent.push(*device),
                Stage::New | Stage::Active => {}
            }
        }
        (silent, unknown)
    }
}

fn is_active(standing: &Standing) -> bool {
    standing.stage() == Stage::Active
}

impl Standing {
    pub(super) const fn new(stage: Stage, heard: Second, timeout: OwnTimeout) -> Self {
        Self { heard, packed: (stage as u32) << STAGE_SHIFT | timeout.0 }
    }

    pub(super) const fn stage(self) -> Stage {
        match self.packed >> STAGE_SHIFT {
            0 => Stage::Unknown,
            1 => Stage::New,
            _ => Stage::Active,
        }
    }

    pub(super) const fn heard(self) -> Second {
        self.heard
    }

    pub(super) const fn timeout(self) -> OwnTimeout {
        OwnTimeout(self.packed & TIMEOUT_MASK)
    }

    /// The same, heard at another moment if that is later.
    pub(super) fn heard_at(self, heard: Second) -> Self {
        Self { heard: heard.max(self.heard), ..self }
    }

    /// The same with another timeout.
    pub(super) const fn with_timeout(self, timeout: OwnTimeout) -> Self {
        Self::new(self.stage(), self.heard, timeout)
    }

    /// Whether the device said nothing for its timeout (AC-007). Never a moment too early: the second in
    /// which it was heard counts as a whole.
    pub(super) const fn is_due(self, now: Second, default_s: u32) -> bool {
        let timeout_s = match self.packed & TIMEOUT_MASK {
            0 => default_s,
            own => own,
        };
        now.0 as i64 - self.heard.0 as i64 > timeout_s as i64
    }
}

/// A device's own inactivity timeout in whole seconds, rounded up; zero for the default (AC-002).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnTimeout(u32);

impl OwnTimeout {
    /// From milliseconds; nothing and less mean the default. At most 34 years.
    pub(super) fn of_ms(ms: i64) -> Self {
        let seconds = u64::try_from(ms).unwrap_or(0).div_ceil(1_000);
        Self(u32::try_from(seconds).unwrap_or(u32::MAX).min(TIMEOUT_MASK))
    }
}

const SHARDS: usize = 64;
const STAGE_SHIFT: u32 = 30;
const TIMEOUT_MASK: u32 = (1 << STAGE_SHIFT) - 1;
