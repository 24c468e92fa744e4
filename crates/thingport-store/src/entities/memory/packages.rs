//! Packages over plain maps, and the announcements that wait.

use async_trait::async_trait;
use thingport_model::id::{DeviceId, DeviceProfileId, PackageFileId, PackageId, TenantId};
use thingport_model::ota::{
    Announcement, AnnouncementStage, AssignedPackages, Package, PackageKind,
};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::Write;
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::port::packages::{PackageFilter, PackageRecords};
use uuid::Uuid;

use super::rules::{follows, free, known};
use super::{Key, MemoryEntities, State, page, text};
use crate::entities::search::searchable;

impl State {
    /// Applies a step about packages; any other step is none.
    pub(super) fn apply_to_packages(&mut self, write: Write) -> Result<(), Conflict> {
        match write {
            Write::Package(row) => self.put_package(row),
            Write::DeletePackage(id) => self.delete_package(id),
            Write::PackageBytesAtMost(tenant, max) => {
                free(self.bytes_of_packages(tenant) <= max, Conflict::PackageBytes)
            }
            Write::Announce(one) => self.announce(one),
            Write::AnnounceToFleet(profile, kind, turn) => {
                self.announce_to_fleet(profile, kind, turn);
                Ok(())
            }
            Write::AnnouncementQueued(one) => {
                self.announcement_queued(&one);
                Ok(())
            }
            Write::Announced(one) => {
                self.announced(&one);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn put_package(&mut self, row: Package) -> Result<(), Conflict> {
        known(&self.tenants, &row.tenant_id)?;
        known(&self.profiles, &row.profile_id)?;
        follows(self.packages.get(&row.id).map(|old| old.revision), row.revision)?;
        let name = |it: &Package| (it.tenant_id, it.kind, it.title.clone(), it.version.clone());
        let mut others = self.packages.values().filter(|old| old.id != row.id);
        free(!others.any(|old| name(old) == name(&row)), Conflict::PackageName)?;
        self.packages.insert(row.id, row);
        Ok(())
    }

    fn delete_package(&mut self, id: PackageId) -> Result<(), Conflict> {
        let has = |it: &AssignedPackages| PackageKind::ALL.iter().any(|k| it.of(*k) == Some(id));
        let used = self.devices.values().any(|row| has(&row.packages))
            || self.profiles.values().any(|row| has(&row.packages));
        free(!used, Conflict::InUse)?;
        free(self.packages.remove(&id).is_some(), Conflict::Missing)
    }

    pub(super) fn known_packages(&self, packages: &AssignedPackages) -> Result<(), Conflict> {
        let mut ids = PackageKind::ALL.into_iter().filter_map(|kind| packages.of(kind));
        ids.try_for_each(|id| known(&self.packages, &id))
    }

    fn bytes_of_packages(&self, tenant: TenantId) -> u64 {
        let own = self.packages.values().filter(|row| row.tenant_id == tenant);
        own.filter_map(|row| row.content.data()).map(|data| data.size).sum()
    }

    fn announce(&mut self, one: Announcement) -> Result<(), Conflict> {
        known(&self.devices, &one.device_id)?;
        self.announcements.insert((one.device_id, one.kind), one);
        Ok(())
    }

    fn announce_to_fleet(&mut self, profile: DeviceProfileId, kind: PackageKind, turn: Uuid) {
        for device_id in self.without_package(profile, kind) {
            let stage = AnnouncementStage::Fleet;
            let one = Announcement { device_id, kind, stage, turn };
            self.announcements.insert((device_id, kind), one);
        }
    }

    fn announcement_queued(&mut self, one: &Announcement) {
        let waiting = self.announcements.get_mut(&(one.device_id, one.kind));
        if let Some(waiting) = waiting.filter(|it| it.turn == one.turn) {
            waiting.stage = AnnouncementStage::Queued;
        }
    }

    fn announced(&mut self, one: &Announcement) {
        self.announcements.retain(|_, it| {
            (it.device_id, it.kind, it.turn) != (one.device_id, one.kind, one.turn)
        });
    }

    fn without_package(&self, profile: DeviceProfileId, kind: PackageKind) -> Vec<DeviceId> {
        let fits = |row: &&thingport_model::device::Device| {
            row.profile_id == profile && row.packages.of(kind).is_none()
        };
        self.devices.values().filter(fits).map(|row| row.id).collect()
    }
}

#[async_trait]
impl PackageRecords for MemoryEntities {
    async fn package(&self, id: PackageId) -> Result<Option<Package>, PortError> {
        Ok(self.state.lock().packages.get(&id).cloned())
    }

    async fn packages(
        &self,
        filter: PackageFilter,
        link: PageLink,
    ) -> Result<Page<Package>, PortError> {
        let fits = |row: &&Package| {
            let is_ready_for = |(profile, kind)| {
                (row.profile_id, row.kind) == (profile, kind) && row.content.is_ready()
            };
            row.tenant_id == filter.tenant_id && filter.ready_for.is_none_or(is_ready_for)
        };
        let rows = self.state.lock().packages.values().filter(fits).cloned().collect();
        Ok(page(rows, &link, |row| searchable([Some(&*row.title)]), package_key))
    }

    async fn package_bytes(&self, tenant: TenantId) -> Result<u64, PortError> {
        Ok(self.state.lock().bytes_of_packages(tenant))
    }

    async fn package_files(&self) -> Result<Vec<PackageFileId>, PortError> {
        let state = self.state.lock();
        let data = state.packages.values().filter_map(|row| row.content.data());
        Ok(data.map(|data| data.file).collect())
    }

    async fn devices_without_package(
        &self,
        profile: DeviceProfileId,
        kind: PackageKind,
    ) -> Result<u64, PortError> {
        Ok(self.state.lock().without_package(profile, kind).len() as u64)
    }

    async fn announcements(
        &self,
        of_fleets: bool,
        limit: u32,
    ) -> Result<Vec<Announcement>, PortError> {
        let state = self.state.lock();
        let fits = |row: &&Announcement| (row.stage == AnnouncementStage::Queued) == of_fleets;
        let mut rows: Vec<_> = state.announcements.values().filter(fits).copied().collect();
        rows.sort_by_key(|row| (row.turn, row.device_id));
        rows.truncate(limit as usize);
        Ok(rows)
    }
}

fn package_key(row: &Package, property: &str) -> Option<Key> {
    match property {
        "createdTime" => Some(Key::Number(row.created_at.ms())),
        "title" | "name" => Some(text(Some(&row.title))),
        "version" => Some(text(Some(&row.version))),
        "tag" => Some(text(row.tag.as_deref())),
        "type" => Some(Key::Number(row.kind as i64)),
        "dataSize" => {
            let size = row.content.data().map_or(0, |data| data.size);
            Some(Key::Number(i64::try_from(size).unwrap_or(i64::MAX)))
        }
        _ => None,
    }
}
