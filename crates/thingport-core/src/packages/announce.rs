//! Devices are told of the package they should have (OT-001 to OT-004, O-5, O-6).
//!
//! That a device is to be told is written together with the assignment, so that a restart goes on where
//! it was. A device that is given a package of its own is told at once; the devices of a profile in
//! turn, so that a fleet does not download all at once.

use thingport_model::attribute::Scope;
use thingport_model::device::Device;
use thingport_model::id::EntityRef;
use thingport_model::ota::{Announcement, AnnouncementStage, Package, PackageContent, PackageKind};
use thingport_model::port::entities::Write;
use thingport_model::port::ledger::{Change, Keys, Ledger};
use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use super::Packages;
use crate::error::Error;
use crate::telemetry::append;

/// How many devices of fleets were told in the present minute (OT-004).
#[derive(Debug, Default)]
pub(super) struct Pace {
    began_ms: Option<u64>,
    told: u32,
}

impl Pace {
    /// How many may be told now.
    fn room(&mut self, now_ms: u64) -> u32 {
        let is_over = |began: u64| now_ms.saturating_sub(began) >= FLEET_PERIOD_MS;
        if self.began_ms.is_none_or(is_over) {
            *self = Self { began_ms: Some(now_ms), told: 0 };
        }
        FLEET_AT_ONCE.saturating_sub(self.told)
    }
}

impl Packages {
    /// Tells the devices whose turn has come. To be called at start, when packages were assigned, and
    /// now and then; by one task at a time.
    ///
    /// # Errors
    /// The store's trouble; the rest is told next time.
    pub async fn announce(&self, ledger: &dyn Ledger) -> Result<(), Error> {
        loop {
            let waiting = self.registry.waiting_announcements(false, BATCH).await?;
            if waiting.is_empty() {
                break;
            }
            let mut done = Vec::with_capacity(waiting.len());
            for one in waiting {
                done.push(self.begin_announcement(ledger, one).await?);
            }
            self.registry.note_announcements(done).await?;
        }
        let room = self.pace.lock().room(self.clock.monotonic_ms());
        if room == 0 {
            return Ok(());
        }
        let waiting = self.registry.waiting_announcements(true, room).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        self.pace.lock().told += u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        let mut done = Vec::with_capacity(waiting.len());
        for one in waiting {
            self.tell_or_untell(ledger, one).await?;
            done.push(Write::Announced(one));
        }
        Ok(self.registry.note_announcements(done).await?)
    }

    /// Everything that need not wait for the device's turn.
    async fn begin_announcement(
        &self,
        ledger: &dyn Ledger,
        one: Announcement,
    ) -> Result<Write, Error> {
        let Some(device) = self.registry.announced_device(one.device_id).await? else {
            return Ok(Write::Announced(one));
        };
        let Some(package) = self.registry.assigned_package(device.id, one.kind).await? else {
            self.untell(device.id.entity(), one.kind).await?;
            return Ok(Write::Announced(one));
        };
        self.write_target(ledger, &device, &package).await?;
        if one.stage == AnnouncementStage::Fleet {
            return Ok(Write::AnnouncementQueued(one));
        }
        self.tell(ledger, &device, &package).await?;
        Ok(Write::Announced(one))
    }

    async fn tell_or_untell(&self, ledger: &dyn Ledger, one: Announcement) -> Result<(), Error> {
        let Some(device) = self.registry.announced_device(one.device_id).await? else {
            return Ok(());
        };
        match self.registry.assigned_package(device.id, one.kind).await? {
            Some(package) => self.tell(ledger, &device, &package).await,
            None => self.untell(device.id.entity(), one.kind).await,
        }
    }

    /// OT-003: the goal, and that the device is queued.
    async fn write_target(
        &self,
        ledger: &dyn Ledger,
        device: &Device,
        package: &Package,
    ) -> Result<(), Error> {
        let (now, prefix) = (self.clock.now(), package.kind.prefix());
        let mut readings = Readings::default();
        let mut text = |key: &str, value: &str| {
            readings.push(now, &format!("target_{prefix}_{key}"), ValueRef::String(value));
        };
        text("title", &package.title);
        text("version", &package.version);
        if let Some(tag) = &package.tag {
            text("tag", tag);
        }
        readings.push(now, &format!("target_{prefix}_ts"), ValueRef::Long(now.ms()));
        push_state(&mut readings, now, package.kind, "QUEUED");
        self.write_readings(ledger, device, &readings).await
    }

    /// OT-001: what the package is; then that the update was initiated. What the package before had
    /// goes first, and nobody hears of the end of what never was: ThingsBoard's own client takes the
    /// last message for the announcement, so a deletion behind it costs the download its checksum.
    async fn tell(
        &self,
        ledger: &dyn Ledger,
        device: &Device,
        package: &Package,
    ) -> Result<(), Error> {
        let (now, entity) = (self.clock.now(), device.id.entity());
        let (told, absent) = attributes(package, now);
        let stale = ledger.attributes(entity, Scope::Shared, Keys::Named(absent)).await?;
        if !stale.is_empty() {
            let stale: Vec<String> = stale.into_iter().map(|it| it.key).collect();
            self.attributes.remove(entity, Scope::Shared, &stale).await?;
        }
        self.attributes.set(entity, Scope::Shared, &told).await?;
        let mut readings = Readings::default();
        push_state(&mut readings, now, package.kind, "INITIATED");
        self.write_readings(ledger, device, &readings).await
    }

    /// OT-002: there is no package any more.
    async fn untell(&self, entity: EntityRef, kind: PackageKind) -> Result<(), Error> {
        let keys: Vec<String> = KEYS.iter().map(|key| format!("{}_{key}", kind.prefix())).collect();
        self.attributes.remove(entity, Scope::Shared, &keys).await
    }

    async fn write_readings(
        &self,
        ledger: &dyn Ledger,
        device: &Device,
        readings: &Readings,
    ) -> Result<(), Error> {
        let ttl_s = self.registry.storage_ttl_s(device.tenant_id).await?;
        append(ledger, Change::Telemetry { entity: device.id.entity(), readings, ttl_s }).await
    }
}

/// The attributes that a package has, and the keys of those that it has not.
fn attributes(package: &Package, now: Timestamp) -> (Readings, Vec<String>) {
    let (size, algorithm, checksum, url) = match &package.content {
        PackageContent::Data(data) => {
            (Some(data.size), Some(data.algorithm), Some(&data.checksum), None)
        }
        PackageContent::Url(it) => (it.size, it.algorithm, it.checksum.as_ref(), Some(&it.url)),
        PackageContent::Missing => (None, None, None, None),
    };
    let size = size.map(|size| ValueRef::Long(i64::try_from(size).unwrap_or(i64::MAX)));
    let values = [
        Some(ValueRef::String(&package.title)),
        Some(ValueRef::String(&package.version)),
        package.tag.as_deref().map(ValueRef::String),
        size,
        algorithm.map(|it| ValueRef::String(it.name())),
        checksum.map(|it| ValueRef::String(it)),
        url.map(|it| ValueRef::String(it)),
    ];
    let (mut told, mut absent) = (Readings::default(), Vec::new());
    for (key, value) in KEYS.iter().zip(values) {
        let key = format!("{}_{key}", package.kind.prefix());
        match value {
            Some(value) => told.push(now, &key, value),
            None => absent.push(key),
        }
    }
    (told, absent)
}

fn push_state(readings: &mut Readings, now: Timestamp, kind: PackageKind, state: &str) {
    readings.push(now, &format!("{}_state", kind.prefix()), ValueRef::String(state));
}

/// Keys of the attributes behind `fw_` or `sw_`.
const KEYS: [&str; 7] =
    ["title", "version", "tag", "size", "checksum_algorithm", "checksum", "url"];
/// Announcements worked at between two notes of how far that came.
const BATCH: u32 = 100;
/// Devices of fleets that are told in a period (OT-004).
const FLEET_AT_ONCE: u32 = 100;
const FLEET_PERIOD_MS: u64 = 60_000;
