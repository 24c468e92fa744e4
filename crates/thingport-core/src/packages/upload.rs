//! An upload: data that become a package's once they are whole.

use bytes::Bytes;
use thingport_model::id::{PackageFileId, PackageId};
use thingport_model::ota::{ChecksumAlgorithm, Package, PackageData};
use thingport_model::port::packages::PackageWriter;
use tokio::sync::SemaphorePermit;

use super::Packages;
use super::checksum::Checksum;
use crate::access::Caller;
use crate::error::Error;
use crate::metrics::Bound;
use crate::registry::packages::must_be_empty;

/// Data on their way into a package. Dropped unfinished they leave nothing.
pub struct Upload<'a> {
    packages: &'a Packages,
    caller: Caller,
    package: Package,
    file: PackageFileId,
    writer: Box<dyn PackageWriter>,
    algorithm: ChecksumAlgorithm,
    checksum: Checksum,
    size: u64,
    /// Bytes that the tenant may still keep (O-3).
    room: Option<u64>,
    _place: SemaphorePermit<'a>,
}

impl Packages {
    /// Begins an upload to a package that has no data yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it has data or a URL (O-2), [`Error::Busy`], [`Error::NotFound`],
    /// [`Error::Denied`] by role, the store's trouble.
    pub async fn upload(
        &self,
        caller: &Caller,
        id: PackageId,
        algorithm: ChecksumAlgorithm,
    ) -> Result<Upload<'_>, Error> {
        caller.must_be_tenant()?;
        let package = self.registry.package(caller, id).await?;
        must_be_empty(&package)?;
        let room = self.registry.package_room(caller).await?;
        let place = self.uploads.try_acquire().map_err(|_| {
            self.metrics.count_bound(Bound::Uploads);
            Error::Busy("too many packages are uploaded at once; try again in a moment".to_owned())
        })?;
        let file = self.registry.new_package_file();
        Ok(Upload {
            packages: self,
            caller: *caller,
            package,
            file,
            writer: self.files.begin(file).await?,
            algorithm,
            checksum: Checksum::new(algorithm),
            size: 0,
            room,
            _place: place,
        })
    }
}

impl Upload<'_> {
    /// Adds bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the tenant may not keep so many (O-3), the store's trouble.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        if let Some(room) = self.room.filter(|room| self.size > *room) {
            return Err(Error::Invalid(format!(
                "the tenant may keep {room} more bytes of packages (maxOtaPackagesInBytes)"
            )));
        }
        self.checksum.update(&bytes);
        Ok(self.writer.write(bytes).await?)
    }

    /// How many bytes there are so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Makes the data those of the package. `expected` is the checksum that they must have, if the
    /// uploader knows it (O-2).
    ///
    /// # Errors
    /// [`Error::Invalid`] for another checksum or no data at all, and as
    /// [`fill_package`](crate::registry::Registry::fill_package); nothing of the data is left then.
    pub async fn finish(
        self,
        file_name: &str,
        content_type: &str,
        expected: Option<&str>,
    ) -> Result<Package, Error> {
        if self.size == 0 {
            return Err(Error::Invalid("the file is empty".to_owned()));
        }
        let checksum = self.checksum.finish();
        if let Some(expected) = expected.filter(|it| !it.eq_ignore_ascii_case(&checksum)) {
            return Err(Error::Invalid(format!(
                "the {} checksum of the data is {checksum}, not {expected}",
                self.algorithm.name()
            )));
        }
        let data = PackageData {
            file: self.file,
            size: self.size,
            algorithm: self.algorithm,
            checksum,
            file_name: file_name.to_owned(),
            content_type: content_type.to_owned(),
        };
        let packages = self.packages;
        let _settles = packages.settling.read().await;
        self.writer.finish().await?;
        let filled = packages.registry.fill_package(&self.caller, self.package, data).await;
        if filled.is_err() {
            // If this fails too, the file is removed as litter at the next start.
            let _ = packages.files.remove(self.file).await;
        }
        filled
    }
}
