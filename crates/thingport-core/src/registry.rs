//! What the house knows about tenants, people, profiles, devices and credentials.
//!
//! Every method for people takes a [`Caller`](crate::access::Caller) and checks it; methods without
//! one serve devices at login, the login of people, and the roof. A write first reads what is stored,
//! checks caller, version and rules, and then hands all its steps to the port at once; the port
//! refuses if somebody was faster. After the write the login cache forgets what the write touched and
//! [`RegistryEvents`] hears about it.

pub mod accounts;
mod basic;
mod cache;
pub mod certificates;
mod children;
mod claims;
mod connectivity;
pub mod credentials;
pub mod devices;
pub mod first_run;
mod logins;
pub mod packages;
pub mod profiles;
pub mod provisioning;
pub mod relations;
mod text;

pub use cache::{DeviceLogin, Generation};
pub use children::{ChildWish, FoundChild};
pub(crate) use text::page;
pub use thingport_x509::fingerprint::{hash_one, hash_two};

use std::sync::{Arc, OnceLock};

use thingport_model::id::{
    CustomerId, DeviceId, DeviceProfileId, EntityKind, EntityRef, TenantId, TenantProfileId,
    ordered_id,
};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::{Entities, Write};
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::time::Timestamp;
use uuid::Uuid;

use crate::clock::{Clock, Entropy};
use crate::error::Error;

use accounts::KeyCache;
use cache::LoginCache;
use profiles::payload::PayloadCheck;

/// Who wants to hear about changes: presence closes or updates sessions, the ledger is purged.
///
/// Called after the change is durable and the login cache forgot the old state. Calls may come from
/// several tasks at once and must not wait.
pub trait RegistryEvents: Send + Sync {
    /// A new device: it is not active (AC-010).
    fn device_created(&self, device: DeviceId);
    /// The device is gone: end its sessions (D-9) and purge what the ledger keeps of it.
    fn device_deleted(&self, device: DeviceId);
    /// The credentials have another type, id or secret: end sessions that used the old ones (C-7).
    fn credentials_changed(&self, device: DeviceId);
    /// Name, profile, customer or gateway flag changed: update sessions (D-8).
    fn device_changed(&self, device: DeviceId);
    /// The profile changed: update sessions of its devices.
    fn profile_changed(&self, profile: DeviceProfileId);
    /// Its revocation list did, too: sessions whose certificates were called back end at once.
    fn revocations_changed(&self);
    /// Limits or storage time changed: update sessions of all tenants with this profile.
    fn tenant_profile_changed(&self, profile: TenantProfileId);
    /// The customer is gone and its devices are unassigned.
    fn customer_deleted(&self, customer: CustomerId);
    /// The tenant and all its devices are gone.
    fn tenant_deleted(&self, tenant: TenantId);
    /// Devices are to be told of packages: announcements wait.
    fn packages_assigned(&self) {}
    /// Packages are gone: their files can be removed.
    fn packages_deleted(&self) {}
}

/// Nobody listens.
impl RegistryEvents for () {
    fn device_created(&self, _: DeviceId) {}
    fn device_deleted(&self, _: DeviceId) {}
    fn credentials_changed(&self, _: DeviceId) {}
    fn device_changed(&self, _: DeviceId) {}
    fn profile_changed(&self, _: DeviceProfileId) {}
    fn revocations_changed(&self) {}
    fn tenant_profile_changed(&self, _: TenantProfileId) {}
    fn customer_deleted(&self, _: CustomerId) {}
    fn tenant_deleted(&self, _: TenantId) {}
}

/// Tenants, people, profiles, devices and credentials, with their rules.
pub struct Registry {
    entities: Arc<dyn Entities>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    events: Arc<dyn RegistryEvents>,
    logins: LoginCache,
    keys: KeyCache,
    default_ttl_s: u32,
    payload_check: OnceLock<Arc<dyn PayloadCheck>>,
}

impl Registry {
    /// A registry over `entities` that remembers [`REGISTRY_CACHE_MAX`] logins.
    #[must_use]
    pub fn new(
        entities: Arc<dyn Entities>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        events: Arc<dyn RegistryEvents>,
    ) -> Self {
        let logins = LoginCache::new(REGISTRY_CACHE_MAX);
        let keys = KeyCache::new();
        let payload_check = OnceLock::new();
        Self { entities, clock, entropy, events, logins, keys, default_ttl_s: 0, payload_check }
    }

    /// The same registry remembering at most `entries` logins (`registry_cache_max`).
    #[must_use]
    pub fn with_cache_max(mut self, entries: usize) -> Self {
        self.logins = LoginCache::new(entries);
        self
    }

    /// The same registry with a time in seconds that readings are kept where the tenant profile names
    /// none (`storage.ttl`); 0 keeps them for ever.
    #[must_use]
    pub const fn with_default_ttl(mut self, seconds: u32) -> Self {
        self.default_ttl_s = seconds;
        self
    }

    /// An installation-wide setting, such as the key that signs tokens.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, PortError> {
        self.entities.setting(key).await
    }

    /// Stores an installation-wide setting.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn put_setting(&self, key: &str, value: &str) -> Result<(), PortError> {
        self.entities.write(vec![Write::Setting(key.to_owned(), value.to_owned())]).await
    }

    /// Deleted entities whose readings the ledger has not confirmed as purged; the roof works through
    /// them at start and after each deletion.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn outbox(&self) -> Result<Vec<EntityRef>, PortError> {
        self.entities.outbox().await
    }

    /// Notes that the ledger has purged `entity`.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn purged(&self, entity: EntityRef) -> Result<(), PortError> {
        self.entities.write(vec![Write::Purged(entity)]).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), Error> {
        Ok(self.entities.write(writes).await?)
    }

    /// A write that must leave the tenant with at most `limit` of a kind; 0 is unlimited. The store
    /// counts within the same transaction, so the limit holds exactly.
    async fn write_within(
        &self,
        mut writes: Vec<Write>,
        tenant: TenantId,
        kind: EntityKind,
        limit: u64,
    ) -> Result<(), Error> {
        if limit > 0 {
            writes.push(Write::AtMost(tenant, kind, limit));
        }
        self.entities.write(writes).await.map_err(|error| match error {
            PortError::Conflict(Conflict::TooMany) => Error::EntityLimit { kind, limit },
            other => other.into(),
        })
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn new_id(&self, at: Timestamp) -> Uuid {
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        ordered_id(at, &random)
    }

    /// `length` random letters and digits, each equally likely.
    fn random_text(&self, length: usize) -> String {
        let mut text = String::with_capacity(length);
        let mut random = [0; 32];
        while text.len() < length {
            self.entropy.fill(&mut random);
            // 248 is the largest multiple of 62 in a byte: larger values would favour some letters.
            let fair = random.iter().filter(|byte| **byte < 248);
            let letters = fair.map(|byte| char::from(LETTERS[usize::from(*byte % 62)]));
            text.extend(letters.take(length - text.len()));
        }
        text
    }
}

/// What a save of something already stored finds.
///
/// # Errors
/// [`Error::VersionConflict`] when the caller knows another version (G-31).
fn next_version(stored: i64, known: Option<i64>) -> Result<i64, Error> {
    match known {
        Some(known) if known != stored => Err(Error::VersionConflict(format!(
            "your version is {known}, the stored one is {stored}; read it again and repeat the change"
        ))),
        _ => Ok(stored.saturating_add(1)),
    }
}

/// Whether a save without a known version lost a race and shall simply be done again (G-32).
fn lost_race<T>(result: &Result<T, Error>, known: Option<i64>, attempt: usize) -> bool {
    known.is_none() && attempt < ATTEMPTS_MAX && matches!(result, Err(Error::VersionConflict(_)))
}

/// Cuts one page out of rows that are few by nature.
fn page_of<T>(rows: Vec<T>, link: &PageLink) -> Page<T> {
    let total = rows.len() as u64;
    let skip = link.page as usize * link.size as usize;
    Page { rows: rows.into_iter().skip(skip).take(link.size as usize).collect(), total }
}

/// Logins remembered (`registry_cache_max`). Few on purpose: a connected device keeps its own, so this
/// serves those that come and go; every further entry would be memory for devices that are elsewhere.
pub const REGISTRY_CACHE_MAX: usize = 4_096;

const ATTEMPTS_MAX: usize = 8;
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
