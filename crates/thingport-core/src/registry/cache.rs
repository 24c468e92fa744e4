//! What is remembered between logins: who a credentials id belongs to, or that nobody has it.
//!
//! A look-up that misses reads the store without holding anything, so a write may overtake it. Each
//! write therefore counts the cache's generation up after it is durable, and an answer read under an
//! older generation is used but not kept: the cache never holds what a later write has replaced.

use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use thingport_model::credentials::CredentialsType;
use thingport_model::id::{CustomerId, DeviceId, DeviceProfileId, TenantId};
use thingport_model::limit::RateLimits;
use thingport_model::profile::DeviceProfile;

use super::basic::Basic;

/// All that a connection must know about its device. One allocation, shared by cache and connection;
/// the profile is shared by all its devices.
#[derive(Debug, PartialEq, Eq)]
pub struct DeviceLogin {
    /// Which device.
    pub device_id: DeviceId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// The customer it is assigned to.
    pub customer_id: Option<CustomerId>,
    /// Its profile.
    pub profile: Arc<DeviceProfile>,
    /// What must match beside the credentials id; present exactly for `MQTT_BASIC`.
    pub basic: Option<Box<Basic>>,
    /// Seconds that its readings are kept (tenant profile), 0 for ever.
    pub ttl_s: u32,
    /// Its tenant's rate limits; none when nothing is limited.
    pub limits: Option<Arc<RateLimits>>,
    /// Type of its credentials.
    pub kind: CredentialsType,
    /// May use the gateway topics.
    pub is_gateway: bool,
    /// A gateway whose children count as active while it is (GW-063).
    pub keeps_children_active: bool,
}

/// What the cache says about a credentials id.
pub(super) type Found = Option<Arc<DeviceLogin>>;

/// Moment of a look-up, to be shown when its answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

pub(super) struct LoginCache {
    logins: Cache<Box<str>, Found>,
    profiles: Cache<DeviceProfileId, Arc<DeviceProfile>>,
    tenants: Cache<TenantId, TenantLimits>,
    generation: Mutex<Generation>,
}

/// What a tenant's profile says, as far as it is asked for often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TenantLimits {
    pub(super) ttl_s: u32,
    pub(super) devices_max: u64,
    /// None when nothing is limited.
    pub(super) rates: Option<Arc<RateLimits>>,
}

impl LoginCache {
    pub(super) fn new(logins_max: usize) -> Self {
        Self {
            logins: Cache::new(logins_max),
            profiles: Cache::new(PROFILES_CACHED_MAX),
            tenants: Cache::new(TENANTS_CACHED_MAX),
            generation: Mutex::new(Generation(0)),
        }
    }

    /// To be asked before the store is read.
    pub(super) fn generation(&self) -> Generation {
        *self.generation.lock()
    }

    pub(super) fn login(&self, credentials_id: &str) -> Option<Found> {
        self.logins.get(credentials_id)
    }

    pub(super) fn keep_login(&self, read_at: Generation, credentials_id: &str, found: Found) {
        self.keep(read_at, || self.logins.insert(credentials_id.into(), found));
    }

    pub(super) fn profile(&self, id: DeviceProfileId) -> Option<Arc<DeviceProfile>> {
        self.profiles.get(&id)
    }

    pub(super) fn keep_profile(&self, read_at: Generation, profile: &Arc<DeviceProfile>) {
        self.keep(read_at, || self.profiles.insert(profile.id, Arc::clone(profile)));
    }

    pub(super) fn limits(&self, id: TenantId) -> Option<TenantLimits> {
        self.tenants.get(&id)
    }

    pub(super) fn keep_limits(&self, read_at: Generation, id: TenantId, limits: TenantLimits) {
        self.keep(read_at, || self.tenants.insert(id, limits));
    }

    /// Forgets what was known of these credentials ids, found or not (AU-034).
    pub(super) fn forget_logins<'a>(&self, credentials_ids: impl IntoIterator<Item = &'a str>) {
        let mut generation = self.generation.lock();
        generation.0 += 1;
        for id in credentials_ids {
            self.logins.remove(id);
        }
    }

    /// Forgets what was known of these credentials ids, and every login of the device, by whatever
    /// credentials id: also what a write left behind whose after-effects were lost.
    pub(super) fn forget_device<'a>(
        &self,
        device: DeviceId,
        credentials_ids: impl IntoIterator<Item = &'a str>,
    ) {
        let mut generation = self.generation.lock();
        generation.0 += 1;
        for id in credentials_ids {
            self.logins.remove(id);
        }
        self.logins.retain(|_, found| found.as_ref().is_none_or(|it| it.device_id != device));
    }

    /// Forgets everything: a profile, tenant or customer changed and with it any number of logins.
    pub(super) fn forget_all(&self) {
        let mut generation = self.generation.lock();
        generation.0 += 1;
        self.logins.clear();
        self.profiles.clear();
        self.tenants.clear();
    }

    /// How many logins are remembered, found or not.
    pub(super) fn len(&self) -> usize {
        self.logins.len()
    }

    fn keep(&self, read_at: Generation, insert: impl FnOnce()) {
        // Held while inserting, so that no write can slip between the comparison and the insertion.
        let generation = self.generation.lock();
        if *generation == read_at {
            insert();
        }
    }
}

const PROFILES_CACHED_MAX: usize = 10_000;
const TENANTS_CACHED_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_older_than_a_write_is_not_kept() {
        let cache = LoginCache::new(10);
        let before = cache.generation();
        cache.forget_logins(["other"]);
        cache.keep_login(before, "token", None);
        assert!(cache.login("token").is_none());
        cache.keep_login(cache.generation(), "token", None);
        assert!(matches!(cache.login("token"), Some(None)), "absence is remembered too");
        cache.forget_logins(["token"]);
        assert!(cache.login("token").is_none());
    }

    #[test]
    fn the_cache_stays_within_its_bound() {
        let cache = LoginCache::new(100);
        for number in 0..10_000 {
            cache.keep_login(cache.generation(), &number.to_string(), None);
        }
        assert!(cache.len() <= 100);
    }

    #[test]
    fn a_login_fits_the_memory_budget_of_an_idle_connection() {
        assert!(size_of::<DeviceLogin>() <= 80, "{}", size_of::<DeviceLogin>());
    }
}
