//! People who log in (REST API sections 2, 3 and 5).

use uuid::Uuid;

use crate::id::{ApiKeyId, CustomerId, TenantId, UserId};
use crate::port::error::Conflict;
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
    /// When the password was set.
    pub password_set_at: Option<Timestamp>,
    /// Passwords used before, newest first, at most [`FORMER_PASSWORDS_MAX`].
    pub former_passwords: Vec<FormerPassword>,
}

/// A password that is no longer in use.
#[derive(Clone, PartialEq, Eq)]
pub struct FormerPassword {
    /// Its hash.
    pub hash: String,
    /// When another one took its place.
    pub used_until: Timestamp,
}

/// What changes of a [`UserCredentials`]; members that are none or empty stay as they are. Applied by
/// the engine inside one transaction, so that two changes never undo each other.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LoginChange {
    /// Lock or unlock.
    pub enabled: Option<bool>,
    /// Hash of a new password and when it was set.
    pub password: Option<(String, Timestamp)>,
    /// Tokens issued before this moment shall no longer work.
    pub tokens_valid_from: Option<Timestamp>,
    /// A login succeeded.
    pub last_login_at: Option<Timestamp>,
    /// Refuse with [`Conflict::Version`] unless `tokens_valid_from` still is this: what a token was
    /// judged by has not changed since, so that nobody uses one twice.
    pub only_if_valid_from: Option<Timestamp>,
}

impl LoginChange {
    /// `stored` with this change.
    ///
    /// # Errors
    /// [`Conflict::Version`] when the condition does not hold.
    pub fn apply(&self, stored: UserCredentials) -> Result<UserCredentials, Conflict> {
        if self.only_if_valid_from.is_some_and(|expected| expected != stored.tokens_valid_from) {
            return Err(Conflict::Version);
        }
        let mut changed = UserCredentials {
            enabled: self.enabled.unwrap_or(stored.enabled),
            tokens_valid_from: self.tokens_valid_from.unwrap_or(stored.tokens_valid_from),
            last_login_at: self.last_login_at.or(stored.last_login_at),
            ..stored
        };
        if let Some((hash, set_at)) = &self.password {
            if let Some(hash) = changed.password_hash.replace(hash.clone()) {
                let former = FormerPassword { hash, used_until: *set_at };
                changed.former_passwords.insert(0, former);
                changed.former_passwords.truncate(FORMER_PASSWORDS_MAX);
            }
            changed.password_set_at = Some(*set_at);
        }
        Ok(changed)
    }
}

impl core::fmt::Debug for LoginChange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The hash is a secret: never printed.
        f.debug_struct("LoginChange").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// A long-lived credential that acts with the rights of its user (REST API 2.4). Its value is shown
/// once and not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Identity.
    pub id: ApiKeyId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Owner of its user.
    pub tenant_id: TenantId,
    /// Whose rights it has; it is deleted with them.
    pub user_id: UserId,
    /// What it is for, not blank.
    pub description: String,
    /// Works or not.
    pub enabled: bool,
    /// From this moment on it does not work; none for never.
    pub expires_at: Option<Timestamp>,
    /// SHA3-256 of its value, unique.
    pub hash: KeyHash,
    /// Optimistic lock, so that no change brings back what another one took away.
    pub version: i64,
}

/// SHA3-256 of the value of an API key. The value has 512 random bits, so nothing slower is needed.
pub type KeyHash = [u8; 32];

impl core::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The hash is never printed.
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("user_id", &self.user_id)
            .field("enabled", &self.enabled)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A session that a logout ended before its tokens expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedSession {
    /// Which session.
    pub session: Uuid,
    /// When its last token expires by itself, and this note is of no more use.
    pub expires_at: Timestamp,
}

/// Former passwords remembered per user.
pub const FORMER_PASSWORDS_MAX: usize = 8;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> UserCredentials {
        UserCredentials {
            user_id: UserId(Uuid::from_u128(1)),
            enabled: false,
            password_hash: Some("h0".to_owned()),
            tokens_valid_from: Timestamp(5),
            last_login_at: Some(Timestamp(6)),
            password_set_at: None,
            former_passwords: Vec::new(),
        }
    }

    #[test]
    fn a_change_touches_what_it_names() {
        let nothing = LoginChange::default().apply(stored());
        assert!(nothing == Ok(stored()));
        let enabled = LoginChange { enabled: Some(true), ..LoginChange::default() };
        assert!(enabled.apply(stored()) == Ok(UserCredentials { enabled: true, ..stored() }));
        let at = |only_if_valid_from| LoginChange {
            last_login_at: Some(Timestamp(9)),
            only_if_valid_from: Some(Timestamp(only_if_valid_from)),
            ..LoginChange::default()
        };
        assert!(at(4).apply(stored()) == Err(Conflict::Version));
        let login = UserCredentials { last_login_at: Some(Timestamp(9)), ..stored() };
        assert!(at(5).apply(stored()) == Ok(login));
    }

    #[test]
    fn former_passwords_are_remembered_newest_first_within_their_bound() {
        let mut now = stored();
        for n in 1..=10 {
            let password = Some((format!("h{n}"), Timestamp(n)));
            now = LoginChange { password, ..LoginChange::default() }.apply(now).expect("applies");
        }
        assert_eq!(now.password_hash.as_deref(), Some("h10"));
        assert_eq!(now.password_set_at, Some(Timestamp(10)));
        let former: Vec<_> = now.former_passwords.iter().map(|it| it.hash.as_str()).collect();
        assert_eq!(former, ["h9", "h8", "h7", "h6", "h5", "h4", "h3", "h2"]);
        assert_eq!(now.former_passwords[0].used_until, Timestamp(10));
    }
}
