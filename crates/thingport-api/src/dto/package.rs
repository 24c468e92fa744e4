//! Packages (REST API 15.2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thingport_core::fleet::Rollout;
use thingport_core::registry::packages::PackageDraft;
use thingport_model::id::{DeviceProfileId, EntityKind, PackageId};
use thingport_model::ota::{
    AssignedPackages, ChecksumAlgorithm, Package, PackageContent, PackageKind, PackageUrl,
};
use utoipa::ToSchema;

use super::id::{EntityId, IdInput, optional_id};
use super::opaque::{self, Opaque};
use crate::error::Refusal;

/// How far a package has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Rollout)]
pub(crate) struct RolloutBody {
    /// Devices that should have it: by themselves, or by their profile.
    devices: u64,
    /// Of these, how many were not told of it yet.
    untold: u64,
    /// Of all others, how many are in which state; what is none of the known ones is `OTHER`.
    states: BTreeMap<String, u64>,
    /// Some of those that failed, at most 50.
    failed: Vec<FailedUpdateBody>,
}

/// A device whose update failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FailedUpdate)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailedUpdateBody {
    device_id: EntityId,
    name: String,
    /// What the device said about it; empty when it said nothing.
    error: String,
}

impl From<Rollout> for RolloutBody {
    fn from(it: Rollout) -> Self {
        let failed = it.failed.into_iter().map(|one| FailedUpdateBody {
            device_id: one.device_id.entity().into(),
            name: one.name,
            error: one.error,
        });
        Self { devices: it.devices, untold: it.untold, states: it.states, failed: failed.collect() }
    }
}

/// What is known of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OtaPackageInfo)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PackageBody {
    id: EntityId,
    /// Milliseconds since 1970.
    created_time: i64,
    additional_info: Option<Opaque>,
    tenant_id: EntityId,
    /// For devices of this profile.
    device_profile_id: EntityId,
    /// `FIRMWARE` or `SOFTWARE`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    title: String,
    version: String,
    tag: Option<String>,
    /// Where it lies, when it lies elsewhere.
    url: Option<String>,
    /// Whether data were uploaded.
    has_data: bool,
    file_name: Option<String>,
    content_type: Option<String>,
    #[schema(value_type = Option<String>)]
    checksum_algorithm: Option<&'static str>,
    /// Lower-case hexadecimal.
    checksum: Option<String>,
    /// Bytes.
    data_size: Option<u64>,
    external_id: Option<EntityId>,
    /// The title.
    name: String,
}

impl From<Package> for PackageBody {
    fn from(it: Package) -> Self {
        let id = EntityId::package(it.id);
        let empty = Self {
            id,
            created_time: it.created_at.ms(),
            additional_info: it.additional_info.map(Opaque::from),
            tenant_id: it.tenant_id.entity().into(),
            device_profile_id: it.profile_id.entity().into(),
            kind: it.kind.name(),
            name: it.title.clone(),
            title: it.title,
            version: it.version,
            tag: it.tag,
            url: None,
            has_data: false,
            file_name: None,
            content_type: None,
            checksum_algorithm: None,
            checksum: None,
            data_size: None,
            external_id: None,
        };
        match it.content {
            PackageContent::Missing => empty,
            PackageContent::Data(data) => Self {
                has_data: true,
                file_name: Some(data.file_name),
                content_type: Some(data.content_type),
                checksum_algorithm: Some(data.algorithm.name()),
                checksum: Some(data.checksum),
                data_size: Some(data.size),
                ..empty
            },
            PackageContent::Url(it) => Self {
                url: Some(it.url),
                checksum_algorithm: it.algorithm.map(ChecksumAlgorithm::name),
                checksum: it.checksum,
                data_size: it.size,
                ..empty
            },
        }
    }
}

/// A package to be created (without `id`) or changed; its data are uploaded afterwards.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = SaveOtaPackageInfoRequest)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PackageInput {
    id: Option<IdInput>,
    device_profile_id: Option<IdInput>,
    /// `FIRMWARE` or `SOFTWARE`.
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<String>,
    version: Option<String>,
    tag: Option<String>,
    additional_info: Option<Opaque>,
    /// Whether the package lies at `url` and no data are uploaded.
    uses_url: Option<bool>,
    url: Option<String>,
    /// With a URL: what devices are told of the data there.
    data_size: Option<u64>,
    checksum_algorithm: Option<String>,
    checksum: Option<String>,
}

impl PackageInput {
    /// What the registry is asked to save.
    pub(crate) fn into_draft(self) -> Result<PackageDraft, Refusal> {
        let due = |what: &str| Refusal::bad_request(format!("{what} is required"));
        let profile = self.device_profile_id.as_ref();
        let profile = optional_id(profile, EntityKind::DeviceProfile, DeviceProfileId)?;
        let kind = self.kind.as_deref().ok_or_else(|| due("type"))?;
        let algorithm = self.checksum_algorithm.as_deref().filter(|it| !it.is_empty());
        let algorithm = algorithm.map(checksum_algorithm).transpose()?;
        let text = |text: Option<String>| text.filter(|it| !it.is_empty());
        // Clients that change a package send all that they read.
        let uses_url = self.uses_url.unwrap_or_else(|| self.url.is_some());
        Ok(PackageDraft {
            id: optional_package(self.id.as_ref())?,
            profile_id: profile.ok_or_else(|| due("deviceProfileId"))?,
            kind: package_kind(kind)?,
            title: self.title.unwrap_or_default(),
            version: self.version.unwrap_or_default(),
            tag: text(self.tag),
            additional_info: opaque::object(self.additional_info)?,
            url: uses_url.then(|| PackageUrl {
                url: self.url.unwrap_or_default(),
                size: self.data_size,
                algorithm,
                checksum: text(self.checksum),
            }),
        })
    }
}

/// The packages of a device or a profile that is to be saved.
pub(crate) fn assigned(
    firmware: Option<&IdInput>,
    software: Option<&IdInput>,
) -> Result<AssignedPackages, Refusal> {
    Ok(AssignedPackages {
        firmware: optional_package(firmware)?,
        software: optional_package(software)?,
    })
}

/// `FIRMWARE` or `SOFTWARE`.
pub(crate) fn package_kind(name: &str) -> Result<PackageKind, Refusal> {
    PackageKind::from_name(name).ok_or_else(|| {
        Refusal::bad_request(format!("the type of a package is FIRMWARE or SOFTWARE, not {name:?}"))
    })
}

/// An algorithm by its name.
pub(crate) fn checksum_algorithm(name: &str) -> Result<ChecksumAlgorithm, Refusal> {
    ChecksumAlgorithm::from_name(name).ok_or_else(|| {
        let known: Vec<_> = ChecksumAlgorithm::ALL.iter().map(|it| it.name()).collect();
        Refusal::bad_request(format!("{name:?} is no checksum algorithm of {}", known.join(", ")))
    })
}

/// The id in `input`, if there is one; the nil id counts as none.
fn optional_package(input: Option<&IdInput>) -> Result<Option<PackageId>, Refusal> {
    let id = input.map(IdInput::package).transpose()?;
    Ok(id.filter(|id| id.0 != thingport_model::id::NIL))
}
