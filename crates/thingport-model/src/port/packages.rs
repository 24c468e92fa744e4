//! What the house asks of whoever keeps packages: what is known of them, and their data.

use async_trait::async_trait;
use bytes::Bytes;

use crate::id::{DeviceProfileId, PackageFileId, PackageId, TenantId};
use crate::ota::{Announcement, Package, PackageKind};
use crate::page::{Page, PageLink};
use crate::port::error::PortError;

/// What is known of packages, beside the other entities: part of
/// [`Entities`](crate::port::entities::Entities).
#[async_trait]
pub trait PackageRecords: Send + Sync {
    /// One package.
    async fn package(&self, id: PackageId) -> Result<Option<Package>, PortError>;
    /// A page of packages; text search on the title.
    async fn packages(
        &self,
        filter: PackageFilter,
        link: PageLink,
    ) -> Result<Page<Package>, PortError>;
    /// Bytes of data that a tenant's packages have together.
    async fn package_bytes(&self, tenant: TenantId) -> Result<u64, PortError>;
    /// Files that packages have, of whatever tenants.
    async fn package_files(&self) -> Result<Vec<PackageFileId>, PortError>;
    /// How many devices of a profile have no package of this kind of their own.
    async fn devices_without_package(
        &self,
        profile: DeviceProfileId,
        kind: PackageKind,
    ) -> Result<u64, PortError>;
    /// The oldest announcements that wait, at most `limit`: those of fleets that may now be told, or all
    /// others.
    async fn announcements(
        &self,
        of_fleets: bool,
        limit: u32,
    ) -> Result<Vec<Announcement>, PortError>;
}

/// Which packages a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageFilter {
    /// Of this tenant only. Not optional: nobody lists across tenants.
    pub tenant_id: TenantId,
    /// For devices of this profile and of this kind, and ready to be downloaded.
    pub ready_for: Option<(DeviceProfileId, PackageKind)>,
}

/// The data of packages: files that are written once and never change.
#[async_trait]
pub trait PackageFiles: Send + Sync {
    /// Begins a new file; nothing of it is there before it was finished.
    async fn begin(&self, file: PackageFileId) -> Result<Box<dyn PackageWriter>, PortError>;
    /// At most `len` bytes of a file from `at`; fewer at its end only.
    async fn read(&self, file: PackageFileId, at: u64, len: usize) -> Result<Bytes, PortError>;
    /// Every finished file, in any order.
    async fn list(&self) -> Result<Vec<PackageFileId>, PortError>;
    /// Removes a file; no error when there is none. What reads it may go on for a while.
    async fn remove(&self, file: PackageFileId) -> Result<(), PortError>;
    /// How often bounds bit since the start.
    fn bites(&self) -> PackageBites {
        PackageBites::default()
    }
}

/// How often bounds on the files of packages bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackageBites {
    /// Files that were closed so that another one could stay open (`packages_open_max`).
    pub open: u64,
    /// Reads and writes that were refused because as many waited as may (`package_jobs_waiting_max`).
    pub jobs: u64,
}

/// A file that is being written. Dropped unfinished it leaves nothing.
#[async_trait]
pub trait PackageWriter: Send {
    /// Adds bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), PortError>;
    /// Makes the file durable and readable.
    async fn finish(self: Box<Self>) -> Result<(), PortError>;
}
