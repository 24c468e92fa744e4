//! Updates over the air: firmware and software packages.

/// What is updated. The numbers are part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
