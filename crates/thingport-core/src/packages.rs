//! Packages: firmware and software that devices download in parts (device API 7.3, REST API 15.2).
//!
//! What is known of a package is the registry's; here are its data. They lie in files that are written
//! once. Parts are read from there as devices ask for them, so that a package needs no memory however
//! many devices download it; only one that is asked for as a whole is in memory, once for all who wait.

mod announce;
mod checksum;
pub mod memory;
mod upload;

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use thingport_model::id::{PackageFileId, PackageId};
use thingport_model::ota::{Package, PackageContent, PackageData, PackageError, PackageKind};
use thingport_model::port::packages::{PackageBites, PackageFiles};
use thingport_model::uplink::PackageRequest;
use tokio::sync::{RwLock, Semaphore};

use crate::access::Caller;
use crate::attributes::Attributes;
use crate::clock::Clock;
use crate::error::Error;
use crate::metrics::{Bound, Metrics};
use crate::registry::{DeviceLogin, Registry};

use announce::Pace;
pub use upload::Upload;

/// Every package.
pub struct Packages {
    registry: Arc<Registry>,
    attributes: Arc<Attributes>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    files: Arc<dyn PackageFiles>,
    chunk_max: u32,
    pace: Mutex<Pace>,
    /// Whether files may lie about that no package has.
    litter: Arc<AtomicBool>,
    /// Held for writing while litter is looked for, and for reading while a file has no package yet.
    settling: RwLock<()>,
    uploads: Semaphore,
    whole: Mutex<BTreeMap<PackageFileId, Weak<Whole>>>,
}

/// The downloads of one connection: each has a kind and a number that the device chose (OT-016).
#[derive(Debug, Default)]
pub struct Downloads {
    begun: Mutex<Vec<Download>>,
}

#[derive(Clone, Debug)]
struct Download {
    name: (PackageKind, u32),
    /// The size that was named last (OT-011).
    size: Option<u32>,
    /// The package that the first request found (OT-015).
    package: Option<Arc<Package>>,
}

/// Why a device that names title and version does not get its package (H-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotServed {
    /// No package is assigned.
    NotAssigned,
    /// Another title or version is assigned.
    Other,
    /// The package lies elsewhere.
    Elsewhere,
    /// The store does not answer.
    Unavailable,
}

/// A package in memory as a whole.
struct Whole(tokio::sync::OnceCell<Vec<u8>>);

/// One of those who share it.
struct Share(Arc<Whole>);

impl AsRef<[u8]> for Share {
    fn as_ref(&self) -> &[u8] {
        self.0.0.get().map_or(&[], Vec::as_slice)
    }
}

impl Packages {
    /// Packages whose data lie in `files`. Devices may ask for parts of `chunk_max` bytes at most.
    pub(crate) fn new(
        registry: Arc<Registry>,
        attributes: Arc<Attributes>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        litter: Arc<AtomicBool>,
    ) -> Self {
        Self {
            registry,
            attributes,
            clock,
            metrics,
            files: Arc::new(memory::MemoryPackageFiles::default()),
            chunk_max: CHUNK_MAX,
            pace: Mutex::default(),
            litter,
            settling: RwLock::new(()),
            uploads: Semaphore::new(UPLOADS_MAX),
            whole: Mutex::default(),
        }
    }

    /// How often bounds on the files bit.
    #[must_use]
    pub fn bites(&self) -> PackageBites {
        self.files.bites()
    }

    /// Says where data are kept, and how large the parts are at most that devices may ask for.
    pub fn set_files(&mut self, files: Arc<dyn PackageFiles>, chunk_max: u32) {
        self.files = files;
        self.chunk_max = chunk_max;
    }

    /// A part of the package that is assigned to a device, and empty bytes beyond its end (OT-013). The
    /// first request of a download pins the package (OT-015) and a size once given is remembered
    /// (OT-011), both in `downloads`.
    ///
    /// # Errors
    /// Why there is no such part; the connection is closed then (OT-017).
    pub async fn chunk(
        &self,
        login: &DeviceLogin,
        downloads: &Downloads,
        request: PackageRequest,
    ) -> Result<Bytes, PackageError> {
        if request.size.is_some_and(|size| size > self.chunk_max) {
            return Err(PackageError::PayloadTooLarge);
        }
        let Download { size, package, .. } = downloads.of(request, &self.metrics);
        let package = match package {
            Some(pinned) => pinned,
            None => downloads.pin(request, self.assigned(login, request.kind).await?),
        };
        let data = package.content.data().ok_or(PackageError::Failure)?;
        match size {
            Some(size) => self.part(data, size, request.chunk).await,
            None => self.whole(data).await,
        }
    }

    /// The package of a device, if it has this title and version, for a device that asks over HTTP
    /// (H-7).
    ///
    /// # Errors
    /// Why it does not get it.
    pub async fn named(
        &self,
        login: &DeviceLogin,
        kind: PackageKind,
        title: &str,
        version: &str,
    ) -> Result<PackageData, NotServed> {
        let package = self.assigned(login, kind).await.map_err(|error| match error {
            PackageError::NotFound => NotServed::NotAssigned,
            PackageError::PayloadTooLarge | PackageError::Failure => NotServed::Unavailable,
        })?;
        if (package.title.as_str(), package.version.as_str()) != (title, version) {
            return Err(NotServed::Other);
        }
        package.content.data().cloned().ok_or(NotServed::Elsewhere)
    }

    /// The part `chunk` of data that are cut into parts of `size` bytes; empty beyond the end.
    ///
    /// # Errors
    /// [`PackageError::Failure`]: the file cannot be read.
    pub async fn part(
        &self,
        data: &PackageData,
        size: u32,
        chunk: u32,
    ) -> Result<Bytes, PackageError> {
        // Two numbers of 32 bits have a product of 64 (OT-022).
        let at = u64::from(size) * u64::from(chunk);
        self.read(data, at, size as usize).await.map_err(|_| PackageError::Failure)
    }

    /// At most `len` bytes of data from `at`; fewer at their end only.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn read(&self, data: &PackageData, at: u64, len: usize) -> Result<Bytes, Error> {
        if at >= data.size {
            return Ok(Bytes::new());
        }
        let len = usize::try_from(data.size - at).unwrap_or(usize::MAX).min(len);
        let bytes = self.files.read(data.file, at, len).await?;
        if bytes.len() < len {
            // Never a short part in the middle: devices take it for the end (OT-023).
            return Err(Error::Unavailable(format!("the file {} is cut off", data.file.0)));
        }
        Ok(bytes)
    }

    /// A package with data, for its owner to download.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it has none here; [`Error::NotFound`], [`Error::Denied`] by role.
    pub async fn download(
        &self,
        caller: &Caller,
        id: PackageId,
    ) -> Result<(Package, PackageData), Error> {
        caller.must_be_tenant()?;
        let package = self.registry.package(caller, id).await?;
        let data = match &package.content {
            PackageContent::Data(data) => data.clone(),
            PackageContent::Url(_) => {
                return Err(Error::Invalid(
                    "the package lies at its URL; load it there".to_owned(),
                ));
            }
            PackageContent::Missing => {
                return Err(Error::Invalid("no data were uploaded to the package yet".to_owned()));
            }
        };
        Ok((package, data))
    }

    /// Removes files that no package has, when there may be some. To be called at start and now and
    /// then.
    ///
    /// # Errors
    /// The store's trouble; the rest is removed next time.
    pub async fn sweep(&self) -> Result<(), Error> {
        if !self.litter.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let swept = self.remove_litter().await;
        if swept.is_err() {
            self.litter.store(true, Ordering::Release);
        }
        swept
    }

    async fn remove_litter(&self) -> Result<(), Error> {
        let _nobody_settles = self.settling.write().await;
        let known = self.registry.package_files().await?;
        for file in self.files.list().await? {
            if !known.contains(&file) {
                self.files.remove(file).await?;
            }
        }
        Ok(())
    }

    async fn assigned(
        &self,
        login: &DeviceLogin,
        kind: PackageKind,
    ) -> Result<Package, PackageError> {
        let found = self.registry.assigned_package(login.device_id, kind).await;
        found.map_err(|_| PackageError::Failure)?.ok_or(PackageError::NotFound)
    }

    /// All of it, shared by all who want it at the same time (OT-021).
    async fn whole(&self, data: &PackageData) -> Result<Bytes, PackageError> {
        if data.size > WHOLE_MAX {
            return Err(PackageError::PayloadTooLarge);
        }
        let whole = self.whole_of(data.file);
        let read = whole.0.get_or_try_init(|| self.read_whole(data)).await;
        read.map_err(|_| PackageError::Failure)?;
        Ok(Bytes::from_owner(Share(whole)))
    }

    fn whole_of(&self, file: PackageFileId) -> Arc<Whole> {
        let mut shared = self.whole.lock();
        shared.retain(|_, whole| whole.strong_count() > 0);
        if let Some(whole) = shared.get(&file).and_then(Weak::upgrade) {
            return whole;
        }
        let whole = Arc::new(Whole(tokio::sync::OnceCell::new()));
        shared.insert(file, Arc::downgrade(&whole));
        whole
    }

    async fn read_whole(&self, data: &PackageData) -> Result<Vec<u8>, Error> {
        let mut whole = Vec::with_capacity(usize::try_from(data.size).unwrap_or_default());
        while (whole.len() as u64) < data.size {
            whole.extend_from_slice(&self.read(data, whole.len() as u64, READ_BYTES).await?);
        }
        Ok(whole)
    }
}

impl Downloads {
    /// Whether a request is the first of its download, which alone counts as a message (OT-020). Of many
    /// downloads on one connection the oldest is forgotten.
    pub fn begin(&self, request: PackageRequest, metrics: &Metrics) -> bool {
        let name = (request.kind, request.request);
        let mut begun = self.begun.lock();
        if begun.iter().any(|download| download.name == name) {
            return false;
        }
        if begun.len() >= DOWNLOADS_MAX {
            metrics.count_bound(Bound::Downloads);
            begun.remove(0);
        }
        begun.push(Download { name, size: None, package: None });
        true
    }

    /// The download of a request, which may name another size.
    fn of(&self, request: PackageRequest, metrics: &Metrics) -> Download {
        self.begin(request, metrics);
        self.with(request, |download| {
            download.size = request.size.or(download.size);
            download.clone()
        })
    }

    /// Remembers the package that was found, unless another request was faster.
    fn pin(&self, request: PackageRequest, found: Package) -> Arc<Package> {
        let found = Arc::new(found);
        self.with(request, |download| {
            Arc::clone(download.package.get_or_insert_with(|| Arc::clone(&found)))
        })
    }

    /// What `change` makes of a download; of one that was forgotten meanwhile nothing is kept.
    fn with<T>(&self, request: PackageRequest, change: impl FnOnce(&mut Download) -> T) -> T {
        let name = (request.kind, request.request);
        let mut begun = self.begun.lock();
        match begun.iter_mut().find(|download| download.name == name) {
            Some(download) => change(download),
            None => change(&mut Download { name, size: request.size, package: None }),
        }
    }
}

/// `downloads_per_connection_max`: downloads remembered of one connection; the oldest is forgotten.
const DOWNLOADS_MAX: usize = 8;
/// `uploads_max`: uploads at once; the next one is refused.
const UPLOADS_MAX: usize = 16;
/// Bytes of the largest part that a device may ask for, unless told otherwise (OT-017).
const CHUNK_MAX: u32 = 65_536;
/// Bytes of the largest package that a device gets as a whole: what an MQTT packet holds, less its
/// header.
const WHOLE_MAX: u64 = 268_435_455 - 65_536;
/// Bytes read at once where more are wanted.
pub const READ_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests;
