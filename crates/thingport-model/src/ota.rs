//! Updates over the air: firmware and software packages (REST API 15.2).

use uuid::Uuid;

use crate::id::{DeviceId, DeviceProfileId, PackageFileId, PackageId, TenantId};
use crate::tenant::OpaqueJson;
use crate::time::Timestamp;

/// What is updated. The numbers are part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackageKind {
    /// `FIRMWARE`; `fw` in topics and keys.
    Firmware = 1,
    /// `SOFTWARE`; `sw` in topics and keys.
    Software = 2,
}

/// Why a device does not get a part of a package (OT-017).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageError {
    /// The part it asked for is larger than it may be.
    PayloadTooLarge,
    /// No package is assigned.
    NotFound,
    /// The package lies elsewhere, or cannot be read now.
    Failure,
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Identity.
    pub id: PackageId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Owner.
    pub tenant_id: TenantId,
    /// For devices of this profile.
    pub profile_id: DeviceProfileId,
    /// What it updates.
    pub kind: PackageKind,
    /// Title; with version and kind unique in the tenant (O-1).
    pub title: String,
    /// Version, a text.
    pub version: String,
    /// Free text.
    pub tag: Option<String>,
    /// `additionalInfo` as sent.
    pub additional_info: Option<OpaqueJson>,
    /// What devices download.
    pub content: PackageContent,
    /// Optimistic lock; the contract does not show it.
    pub revision: i64,
}

/// What devices download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageContent {
    /// Nothing yet: the data are still to be uploaded.
    Missing,
    /// Data that are kept here.
    Data(PackageData),
    /// Something that lies elsewhere.
    Url(PackageUrl),
}

/// Data that are kept here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageData {
    /// Where they are kept.
    pub file: PackageFileId,
    /// Bytes.
    pub size: u64,
    /// How the checksum is made.
    pub algorithm: ChecksumAlgorithm,
    /// The checksum, lower-case hexadecimal.
    pub checksum: String,
    /// The name the file was uploaded with.
    pub file_name: String,
    /// The media type it was uploaded with.
    pub content_type: String,
}

/// Something that lies elsewhere, with what its owner says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageUrl {
    /// Where.
    pub url: String,
    /// Bytes.
    pub size: Option<u64>,
    /// How the checksum is made.
    pub algorithm: Option<ChecksumAlgorithm>,
    /// The checksum.
    pub checksum: Option<String>,
}

/// How the checksum of a package is made. The numbers are part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// `MD5`
    Md5 = 1,
    /// `SHA256`
    Sha256 = 2,
    /// `SHA384`
    Sha384 = 3,
    /// `SHA512`
    Sha512 = 4,
    /// `CRC32`: that of zip, its lowest byte first.
    Crc32 = 5,
    /// `MURMUR3_32`: seed 0, its lowest byte first.
    Murmur32 = 6,
    /// `MURMUR3_128`: the x64 form, seed 0, each half with its lowest byte first.
    Murmur128 = 7,
}

/// The packages that a device or a profile was given; at most one of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssignedPackages {
    /// `firmwareId`
    pub firmware: Option<PackageId>,
    /// `softwareId`
    pub software: Option<PackageId>,
}

/// A device that is still to be told of the package it should have, or that it should have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Who is told.
    pub device_id: DeviceId,
    /// Of what.
    pub kind: PackageKind,
    /// How far it has come.
    pub stage: AnnouncementStage,
    /// Ordered by time; tells this announcement from a later one of the same device and kind.
    pub turn: Uuid,
}

/// How far an announcement has come. The numbers are part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnouncementStage {
    /// The device is told as soon as possible: it was given a package of its own.
    Direct = 0,
    /// The device's profile was given a package; that it is queued is not written yet.
    Fleet = 1,
    /// It is written that the device is queued; it is told when its turn has come (OT-004).
    Queued = 2,
}

impl AssignedPackages {
    /// The one of this kind.
    #[must_use]
    pub const fn of(&self, kind: PackageKind) -> Option<PackageId> {
        match kind {
            PackageKind::Firmware => self.firmware,
            PackageKind::Software => self.software,
        }
    }

    /// What a device with these packages, in a profile with `profile`'s, should have (O-4).
    #[must_use]
    pub fn beside(&self, profile: &Self) -> Self {
        Self {
            firmware: self.firmware.or(profile.firmware),
            software: self.software.or(profile.software),
        }
    }
}

impl PackageContent {
    /// Whether devices may be given the package (D-6).
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        !matches!(self, Self::Missing)
    }

    /// The data that are kept here.
    #[must_use]
    pub const fn data(&self) -> Option<&PackageData> {
        match self {
            Self::Data(data) => Some(data),
            Self::Missing | Self::Url(_) => None,
        }
    }
}

impl ChecksumAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 7] = [
        Self::Md5,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Crc32,
        Self::Murmur32,
        Self::Murmur128,
    ];

    /// ThingsBoard's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
            Self::Crc32 => "CRC32",
            Self::Murmur32 => "MURMUR3_32",
            Self::Murmur128 => "MURMUR3_128",
        }
    }

    /// The algorithm with ThingsBoard's word `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The algorithm with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| *algorithm as u8 == number)
    }
}

impl AnnouncementStage {
    /// The stage with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Direct, Self::Fleet, Self::Queued].into_iter().find(|it| *it as u8 == number)
    }
}

impl PackageKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Firmware, Self::Software];

    /// ThingsBoard's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firmware => "FIRMWARE",
            Self::Software => "SOFTWARE",
        }
    }

    /// How keys of the device begin: `fw_title`, `sw_title`.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Firmware => "fw",
            Self::Software => "sw",
        }
    }

    /// The kind with ThingsBoard's word `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl PackageError {
    /// The text the device gets (OT-017).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::NotFound => "NOT_FOUND",
            Self::Failure => "FAILURE",
        }
    }
}
