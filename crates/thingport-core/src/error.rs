//! What the domain answers instead of doing what a person asked, by whose fault.
//!
//! Each text is meant for the caller: what was wrong, what was expected. Details for the log travel
//! separately. The one map to HTTP lives in `thingport-api`.

use thingport_model::id::EntityKind;
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::port::ledger::AppendError;

/// Why the domain refused a person's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The caller's role or ownership does not allow it.
    Denied(String),
    /// There is no such thing, or it belongs to another tenant: both answer alike (G-51).
    NotFound(String),
    /// The thing was changed meanwhile; the caller's version is old (G-31).
    VersionConflict(String),
    /// The request contradicts a rule.
    Invalid(String),
    /// The tenant's limit of such entities is reached (REST API 1.6, code 41).
    EntityLimit {
        /// Of which kind.
        kind: EntityKind,
        /// How many are allowed.
        limit: u64,
    },
    /// So much is under way that no more is taken; the caller may retry. The text is for the caller.
    Busy(String),
    /// The world failed; the caller may retry. The text is for the log, not for the caller.
    Unavailable(String),
    /// No space is left; the caller may retry once there is.
    StorageFull,
}

impl From<PortError> for Error {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Full => Self::StorageFull,
            PortError::Conflict(conflict) => conflict.into(),
            PortError::Unavailable(_) | PortError::Failed(_) | PortError::Corrupt(_) => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Self {
        let text = match conflict {
            Conflict::Version => {
                return Self::VersionConflict(
                    "the item was changed by somebody else; read it again and repeat the change"
                        .to_owned(),
                );
            }
            Conflict::Missing => return Self::NotFound("the item does not exist".to_owned()),
            Conflict::DeviceName => "a device of this name exists already",
            Conflict::ProfileName => "a device profile of this name exists already",
            Conflict::TenantProfileName => "a tenant profile of this name exists already",
            Conflict::CustomerTitle => "a customer of this title exists already",
            Conflict::UserEmail => "a user with this e-mail address exists already",
            Conflict::CredentialsId => "these credentials are used by another device already",
            Conflict::ProvisionKey => "this provisioning key is used by another profile already",
            Conflict::ApiKeyHash => "another API key has this value already",
            Conflict::RpcId => "a persistent call with this requestUUID exists already",
            Conflict::PackageName => {
                "a package of this type with the same title and version exists already"
            }
            Conflict::PackageBytes => {
                "the tenant's packages would be larger together than maxOtaPackagesInBytes allows"
            }
            Conflict::TooMany => "the tenant has as many of these as it may",
            Conflict::InUse => "the item is still in use and cannot be deleted",
            Conflict::Reference => "the item refers to something that does not exist",
        };
        Self::Invalid(text.to_owned())
    }
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => Self::StorageFull,
            AppendError::Busy => Self::Unavailable("the commit queue is full".to_owned()),
            AppendError::Failed => Self::Unavailable("the ledger failed".to_owned()),
            AppendError::TooLarge => Self::Invalid(
                "the request carries more data than can be kept at once; split it".to_owned(),
            ),
        }
    }
}
