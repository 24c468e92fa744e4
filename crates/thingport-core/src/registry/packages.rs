//! What is known of packages, and their rules (REST API 15.2). Their data are `crate::packages`'.

use thingport_model::device::Device;
use thingport_model::id::{DeviceId, DeviceProfileId, PackageFileId, PackageId};
use thingport_model::ota::{
    Announcement, AnnouncementStage, AssignedPackages, Package, PackageContent, PackageData,
    PackageKind, PackageUrl,
};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::Write;
use thingport_model::port::error::PortError;
use thingport_model::port::packages::PackageFilter;
use thingport_model::profile::DeviceProfile;
use thingport_model::tenant::OpaqueJson;
use thingport_model::time::Timestamp;

use super::{Registry, text};
use crate::access::{Caller, missing};
use crate::error::Error;

/// A package as somebody wants it saved, without its data.
#[derive(Clone, Debug)]
pub struct PackageDraft {
    /// Which package to change; none creates one.
    pub id: Option<PackageId>,
    /// For devices of this profile.
    pub profile_id: DeviceProfileId,
    /// What it updates.
    pub kind: PackageKind,
    /// Title.
    pub title: String,
    /// Version.
    pub version: String,
    /// Free text.
    pub tag: Option<String>,
    /// `additionalInfo` as sent.
    pub additional_info: Option<OpaqueJson>,
    /// Where it lies, when it lies elsewhere (`usesUrl`).
    pub url: Option<PackageUrl>,
}

impl Registry {
    /// One package, as customer users may see it too.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing or foreign one, [`Error::Denied`] for system administrators.
    pub async fn package(&self, caller: &Caller, id: PackageId) -> Result<Package, Error> {
        caller.must_see_devices()?;
        let package = self.entities.package(id).await?;
        let package = package.filter(|found| found.tenant_id == caller.tenant_id);
        package.ok_or_else(|| missing("package"))
    }

    /// A page of packages, or of those that devices of a profile may be given; text search on the
    /// title.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a page that cannot be, [`Error::Denied`] for system administrators.
    pub async fn packages(
        &self,
        caller: &Caller,
        ready_for: Option<(DeviceProfileId, PackageKind)>,
        link: PageLink,
    ) -> Result<Page<Package>, Error> {
        caller.must_see_devices()?;
        let link = text::page(link, PACKAGE_SORTS)?;
        let filter = PackageFilter { tenant_id: caller.tenant_id, ready_for };
        Ok(self.entities.packages(filter, link).await?)
    }

    /// How many devices of a profile have no package of this kind of their own.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing or foreign profile, [`Error::Denied`] for system
    /// administrators.
    pub async fn devices_without_package(
        &self,
        caller: &Caller,
        profile: DeviceProfileId,
        kind: PackageKind,
    ) -> Result<u64, Error> {
        self.profile_info(caller, profile).await?;
        Ok(self.entities.devices_without_package(profile, kind).await?)
    }

    /// Creates or changes what is known of a package. Once it has data or an address, only title, tag
    /// and `additionalInfo` may change (O-2).
    ///
    /// # Errors
    /// [`Error::Invalid`] when a rule O-1 or O-2 is broken, [`Error::NotFound`], [`Error::Denied`] by
    /// role.
    pub async fn save_package(
        &self,
        caller: &Caller,
        draft: PackageDraft,
    ) -> Result<Package, Error> {
        caller.must_be_tenant()?;
        check(&draft)?;
        let saved = match draft.id {
            Some(id) => changed(self.package(caller, id).await?, draft)?,
            None => self.new_package(caller, draft),
        };
        self.profile(caller, saved.profile_id)
            .await
            .map_err(|_| invalid("the device profile does not exist"))?;
        self.write(vec![Write::Package(saved.clone())]).await?;
        Ok(saved)
    }

    /// Gives a package its data; the store counts the tenant's bytes within the same transaction
    /// (O-3).
    ///
    /// # Errors
    /// [`Error::Invalid`] when it has some, or when the tenant would have too many; the store's
    /// trouble.
    pub async fn fill_package(
        &self,
        caller: &Caller,
        package: Package,
        data: PackageData,
    ) -> Result<Package, Error> {
        caller.must_be_tenant()?;
        must_be_empty(&package)?;
        let max = self.profile_of_tenant(caller.tenant_id).await?.package_bytes_max;
        let content = PackageContent::Data(data);
        let filled = Package { content, revision: package.revision + 1, ..package };
        let mut writes = vec![Write::Package(filled.clone())];
        if max > 0 {
            writes.push(Write::PackageBytesAtMost(caller.tenant_id, max));
        }
        self.write(writes).await?;
        Ok(filled)
    }

    /// How many bytes of data the tenant may still keep; none when that is not limited (O-3).
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn package_room(&self, caller: &Caller) -> Result<Option<u64>, Error> {
        let max = self.profile_of_tenant(caller.tenant_id).await?.package_bytes_max;
        if max == 0 {
            return Ok(None);
        }
        let used = self.entities.package_bytes(caller.tenant_id).await?;
        Ok(Some(max.saturating_sub(used)))
    }

    /// Deletes a package that no device and no profile has.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one in use, [`Error::NotFound`], [`Error::Denied`] by role.
    pub async fn delete_package(&self, caller: &Caller, id: PackageId) -> Result<(), Error> {
        caller.must_be_tenant()?;
        self.package(caller, id).await?;
        self.write(vec![Write::DeletePackage(id)]).await?;
        self.events.packages_deleted();
        Ok(())
    }

    /// The package that a device should have: its own, else its profile's (O-4).
    ///
    /// # Errors
    /// Whatever the store answers.
    pub(crate) async fn assigned_package(
        &self,
        device: DeviceId,
        kind: PackageKind,
    ) -> Result<Option<Package>, PortError> {
        let Some(device) = self.entities.device(device).await? else { return Ok(None) };
        let assigned = self.packages_of(&device).await?;
        match assigned.of(kind) {
            Some(id) => self.entities.package(id).await,
            None => Ok(None),
        }
    }

    /// Where a device stands whose announcement is due; none when it is gone.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub(crate) async fn announced_device(&self, id: DeviceId) -> Result<Option<Device>, PortError> {
        self.entities.device(id).await
    }

    /// The oldest announcements that wait.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub(crate) async fn waiting_announcements(
        &self,
        of_fleets: bool,
        limit: u32,
    ) -> Result<Vec<Announcement>, PortError> {
        self.entities.announcements(of_fleets, limit).await
    }

    /// Notes how far announcements have come.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub(crate) async fn note_announcements(&self, writes: Vec<Write>) -> Result<(), PortError> {
        self.entities.write(writes).await
    }

    /// Files that packages have.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub(crate) async fn package_files(&self) -> Result<Vec<PackageFileId>, PortError> {
        self.entities.package_files().await
    }

    /// Another file for data.
    pub(crate) fn new_package_file(&self) -> PackageFileId {
        PackageFileId(self.new_id(self.now()))
    }

    /// What a device should have of each kind.
    pub(super) async fn packages_of(&self, device: &Device) -> Result<AssignedPackages, PortError> {
        let profile = self.entities.profile(device.profile_id).await?;
        let of_profile = profile.map(|profile| profile.packages).unwrap_or_default();
        Ok(device.packages.beside(&of_profile))
    }

    /// Whether devices of a profile may be given these packages (D-6).
    pub(super) async fn check_packages(
        &self,
        packages: &AssignedPackages,
        profile: DeviceProfileId,
    ) -> Result<(), Error> {
        for kind in PackageKind::ALL {
            let Some(id) = packages.of(kind) else { continue };
            let found = self.entities.package(id).await?;
            let fits = found.is_some_and(|it| {
                (it.profile_id, it.kind) == (profile, kind) && it.content.is_ready()
            });
            if !fits {
                return Err(Error::Invalid(format!(
                    "there is no {} package {} of this device profile that has data or a URL",
                    kind.name(),
                    id.0
                )));
            }
        }
        Ok(())
    }

    /// What is to be written when a device that should have had `before` now should have `now`.
    pub(super) fn announcements(
        &self,
        device_id: DeviceId,
        (before, now): (AssignedPackages, AssignedPackages),
        at: Timestamp,
    ) -> Vec<Write> {
        let differs = |kind: &PackageKind| before.of(*kind) != now.of(*kind);
        let announce = |kind| {
            let (stage, turn) = (AnnouncementStage::Direct, self.new_id(at));
            Write::Announce(Announcement { device_id, kind, stage, turn })
        };
        PackageKind::ALL.into_iter().filter(differs).map(announce).collect()
    }

    /// What is to be written when a profile's packages change.
    pub(super) fn fleet_announcements(
        &self,
        before: &DeviceProfile,
        now: &DeviceProfile,
    ) -> Vec<Write> {
        let differs = |kind: &PackageKind| before.packages.of(*kind) != now.packages.of(*kind);
        let announce = |kind| Write::AnnounceToFleet(now.id, kind, self.new_id(self.now()));
        PackageKind::ALL.into_iter().filter(differs).map(announce).collect()
    }

    pub(super) fn packages_assigned(&self, any: bool) {
        if any {
            self.events.packages_assigned();
        }
    }

    fn new_package(&self, caller: &Caller, draft: PackageDraft) -> Package {
        let created_at = self.now();
        Package {
            id: PackageId(self.new_id(created_at)),
            created_at,
            tenant_id: caller.tenant_id,
            profile_id: draft.profile_id,
            kind: draft.kind,
            title: draft.title,
            version: draft.version,
            tag: draft.tag,
            additional_info: draft.additional_info,
            content: draft.url.map_or(PackageContent::Missing, PackageContent::Url),
            revision: 1,
        }
    }
}

/// Refuses a second upload (O-2).
pub(crate) fn must_be_empty(package: &Package) -> Result<(), Error> {
    match &package.content {
        PackageContent::Missing => Ok(()),
        PackageContent::Data(_) => {
            Err(invalid("the package has data already; create another package for other data"))
        }
        PackageContent::Url(_) => Err(invalid("the package has a URL; no data can be uploaded")),
    }
}

/// A stored package with the changes of a draft, if they are allowed (O-2).
fn changed(stored: Package, draft: PackageDraft) -> Result<Package, Error> {
    let content = match (&stored.content, draft.url) {
        (PackageContent::Missing, Some(url)) => PackageContent::Url(url),
        (PackageContent::Url(old), Some(new)) if *old != new => {
            return Err(invalid("the URL of a package cannot be changed"));
        }
        (PackageContent::Data(_), Some(_)) => {
            return Err(invalid("a package that has data cannot be given a URL"));
        }
        _ => stored.content.clone(),
    };
    let is_same = (stored.kind, stored.profile_id, &stored.version)
        == (draft.kind, draft.profile_id, &draft.version);
    if stored.content.is_ready() && !is_same {
        return Err(invalid(
            "type, version and device profile of a package that has data or a URL cannot be changed",
        ));
    }
    Ok(Package {
        profile_id: draft.profile_id,
        kind: draft.kind,
        title: draft.title,
        version: draft.version,
        tag: draft.tag,
        additional_info: draft.additional_info,
        content,
        revision: stored.revision + 1,
        ..stored
    })
}

fn check(draft: &PackageDraft) -> Result<(), Error> {
    text::required("title", &draft.title)?;
    text::required("version", &draft.version)?;
    text::optional("tag", draft.tag.as_deref())?;
    text::opaque("additionalInfo", draft.additional_info.as_deref())?;
    let Some(url) = &draft.url else { return Ok(()) };
    if url.url.trim().is_empty() {
        return Err(invalid("a package that uses a URL needs the url"));
    }
    text::printable("url", &url.url)?;
    text::optional("checksum", url.checksum.as_deref())
}

fn invalid(text: &str) -> Error {
    Error::Invalid(text.to_owned())
}

const PACKAGE_SORTS: &[&str] =
    &["createdTime", "title", "name", "version", "tag", "type", "dataSize"];
