//! What a store may answer instead of doing its work.

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortError {
    /// It cannot be reached or is busy; trying again may help. The text is for the log.
    Unavailable(String),
    /// No space is left; trying again helps once there is.
    Full,
    /// The disk failed; nothing is written any more until a restart. The text is for the log.
    Failed(String),
    /// What is stored cannot be read. The text is for the log.
    Corrupt(String),
    /// A rule of uniqueness or reference would be broken.
    Conflict(Conflict),
}

/// Which rule would be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The entity was changed by somebody else meanwhile (G-31).
    Version,
    /// The entity does not exist (any more).
    Missing,
    /// A device of that name exists in the tenant (D-1).
    DeviceName,
    /// A device profile of that name exists in the tenant.
    ProfileName,
    /// A tenant profile of that name exists.
    TenantProfileName,
    /// A customer of that title exists in the tenant.
    CustomerTitle,
    /// The login name is taken.
    UserEmail,
    /// Another device has these credentials, in whatever tenant (C-2).
    CredentialsId,
    /// Another profile has this provisioning key.
    ProvisionKey,
    /// Another API key has this value.
    ApiKeyHash,
    /// Another persistent call has this id.
    RpcId,
    /// A package of that kind, title and version exists in the tenant (O-1).
    PackageName,
    /// The tenant's packages would have more data than they may (O-3).
    PackageBytes,
    /// The tenant would have more of a kind than it may.
    TooMany,
    /// Something else still refers to the entity.
    InUse,
    /// The entity refers to something that does not exist.
    Reference,
}

impl core::fmt::Display for PortError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the store is not available: {why}"),
            Self::Full => f.write_str("no space is left on the disk"),
            Self::Failed(why) => write!(f, "the store failed and must be restarted: {why}"),
            Self::Corrupt(why) => write!(f, "stored data cannot be read: {why}"),
            Self::Conflict(which) => write!(f, "a rule would be broken: {which:?}"),
        }
    }
}

impl std::error::Error for PortError {}
