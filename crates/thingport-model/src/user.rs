//! People who log in (REST API sections 2, 3 and 5).

use crate::id::{CustomerId, TenantId, UserId};
use crate::tenant::OpaqueJson;
use crate::time::Timestamp;

/// Role. The numbers are part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Authority {
    /// `SYS_ADMIN`: tenants and installation; no access to devices.
    SysAdmin = 1,
    /// `TENANT_ADMIN`: everything of its tenant.
    TenantAdmin = 2,
    /// `CUSTOMER_USER`: the devices of its customer.
    CustomerUser = 3,
}

impl Authority {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::SysAdmin, Self::TenantAdmin, Self::CustomerUser];

    /// ThingsBoard's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SysAdmin => "SYS_ADMIN",
            Self::TenantAdmin => "TENANT_ADMIN",
            Self::CustomerUser => "CUSTOMER_USER",
        }
    }

    /// The role with ThingsBoard's word `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|authority| authority.name() == name)
    }
}

/// A person who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Identity.
    pub id: UserId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Owner; the system tenant for system administrators.
    pub tenant_id: TenantId,
    /// Only for customer users.
    pub customer_id: Option<CustomerId>,
    /// Login name, unique in the installation, compared case-insensitively.
    pub email: String,
    /// Role.
    pub authority: Authority,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// Opaque.
    pub additional_info: Option<OpaqueJson>,
    /// Optimistic lock.
    pub version: i64,
}

/// How a person proves who they are. Kept apart from [`User`] so that no listing can carry it.
#[derive(Clone, PartialEq, Eq)]
pub struct UserCredentials {
    /// Whose.
    pub user_id: UserId,
    /// Locked or not.
    pub enabled: bool,
    /// Argon2id hash in its PHC text form; none until the account is activated.
    pub password_hash: Option<String>,
    /// Tokens issued before this moment no longer work (password change, REST API A-4).
    pub tokens_valid_from: Timestamp,
    /// Last successful login.
    pub last_login_at: Option<Timestamp>,
}

impl core::fmt::Debug for UserCredentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The hash is a secret: never printed.
        f.debug_struct("UserCredentials")
            .field("user_id", &self.user_id)
            .field("enabled", &self.enabled)
            .field("activated", &self.password_hash.is_some())
            .finish_non_exhaustive()
    }
}
