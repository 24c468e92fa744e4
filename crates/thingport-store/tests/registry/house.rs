//! A registry with two tenants, on an invented clock and an invented source of chance.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use thingport_core::access::Caller;
use thingport_core::clock::{Clock, Entropy};
use thingport_core::error::Error;
use thingport_core::registry::accounts::{CustomerDraft, TenantDraft};
use thingport_core::registry::devices::DeviceDraft;
use thingport_core::registry::first_run::FirstPeople;
use thingport_core::registry::{Registry, RegistryEvents};
use thingport_model::device::Device;
use thingport_model::id::{
    CustomerId, DeviceId, DeviceProfileId, TenantId, TenantProfileId, UserId,
};
use thingport_model::page::PageLink;
use thingport_model::port::entities::Entities;
use thingport_model::time::Timestamp;
use thingport_model::user::Authority;
use thingport_store::entities::SqliteEntities;
use thingport_store::entities::memory::MemoryEntities;

pub(crate) struct House {
    pub(crate) registry: Arc<Registry>,
    pub(crate) heard: Arc<Heard>,
    entities: Arc<dyn Entities>,
    /// Administrator of the first tenant, of another one.
    pub(crate) admin: Caller,
    pub(crate) stranger: Caller,
    /// A customer of the first tenant and one of its users.
    pub(crate) customer: CustomerId,
    pub(crate) customer_user: Caller,
}

impl House {
    pub(crate) async fn in_memory() -> Self {
        Self::over(Arc::new(MemoryEntities::default())).await
    }

    pub(crate) async fn on_disk(dir: &Path) -> Self {
        Self::over(SqliteEntities::open(dir).unwrap()).await
    }

    async fn over(entities: Arc<dyn Entities>) -> Self {
        let clock = Arc::new(Invented::default());
        let heard = Arc::new(Heard::default());
        let chance: Arc<dyn Entropy> = Arc::new(Chance::default());
        let registry = Registry::new(Arc::clone(&entities), clock, chance, heard.clone());
        registry.found(&people(), &|text| format!("hash of {text}")).await.unwrap();
        let everybody = Caller::system();
        let tenant = registry.tenants(&everybody, link()).await.unwrap().rows.remove(0);
        let other = registry.save_tenant(&everybody, TenantDraft::new("Other")).await.unwrap();
        let admin = Caller::tenant(tenant.id);
        let customer = registry.save_customer(&admin, CustomerDraft::new("Acme")).await.unwrap();
        let customer_user = Caller {
            user_id: UserId(uuid::Uuid::from_u128(1)),
            customer_id: Some(customer.id),
            authority: Authority::CustomerUser,
            ..admin
        };
        let stranger = Caller::tenant(other.id);
        heard.0.lock().clear();
        Self {
            registry: Arc::new(registry),
            heard,
            entities,
            admin,
            stranger,
            customer: customer.id,
            customer_user,
        }
    }

    /// A registry over the same store that remembers for itself and tells nobody: what it writes is
    /// like a write whose after-effects were lost.
    pub(crate) fn forgetful(&self) -> Registry {
        let clock = Arc::new(Invented::default());
        Registry::new(Arc::clone(&self.entities), clock, Arc::new(Chance::default()), Arc::new(()))
    }

    pub(crate) async fn device(&self, name: &str, token: &str) -> Device {
        let draft = DeviceDraft::new(name);
        self.registry.save_device(&self.admin, draft, Some(token)).await.unwrap()
    }

    pub(crate) async fn token_of(&self, device: DeviceId) -> String {
        self.registry.credentials(&self.admin, device).await.unwrap().credentials_id
    }

    /// Who logs in with this credentials id.
    pub(crate) async fn login(&self, credentials_id: &str) -> Option<DeviceId> {
        let found = self.registry.login_by_credentials_id(credentials_id).await.unwrap();
        found.map(|login| login.device_id)
    }
}

pub(crate) fn people() -> FirstPeople {
    FirstPeople {
        system_email: "root@example.org".to_owned(),
        system_password: "one".to_owned(),
        tenant_title: "First".to_owned(),
        tenant_email: "admin@example.org".to_owned(),
        tenant_password: "two".to_owned(),
    }
}

pub(crate) fn link() -> PageLink {
    PageLink { page: 0, size: 100, text_search: None, sort: None }
}

pub(crate) fn is_invalid<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Invalid(_)))
}

pub(crate) fn is_denied<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Denied(_)))
}

pub(crate) fn is_missing<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::NotFound(_)))
}

pub(crate) fn is_stale<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::VersionConflict(_)))
}

/// A clock that goes a millisecond further with each look.
#[derive(Default)]
pub(crate) struct Invented(AtomicI64);

impl Clock for Invented {
    fn now(&self) -> Timestamp {
        Timestamp(1_767_225_600_000 + self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed).unsigned_abs()
    }
}

/// Bytes that never repeat, from a counter.
#[derive(Default)]
pub(crate) struct Chance(AtomicU64);

impl Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        for byte in out {
            let next = self.0.fetch_add(1, Ordering::Relaxed);
            let mixed = next.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            *byte = (mixed >> 56) as u8;
        }
    }
}

/// What the registry said.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<Event>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    DeviceDeleted(DeviceId),
    CredentialsChanged(DeviceId),
    DeviceChanged(DeviceId),
    ProfileChanged(DeviceProfileId),
    TenantProfileChanged(TenantProfileId),
    CustomerDeleted(CustomerId),
    TenantDeleted(TenantId),
}

impl RegistryEvents for Heard {
    // What follows from it is told in the stories of activity.
    fn device_created(&self, _: DeviceId) {}
    fn device_deleted(&self, device: DeviceId) {
        self.0.lock().push(Event::DeviceDeleted(device));
    }
    fn credentials_changed(&self, device: DeviceId) {
        self.0.lock().push(Event::CredentialsChanged(device));
    }
    fn device_changed(&self, device: DeviceId) {
        self.0.lock().push(Event::DeviceChanged(device));
    }
    fn profile_changed(&self, profile: DeviceProfileId) {
        self.0.lock().push(Event::ProfileChanged(profile));
    }
    // What follows from it is told in the stories of admission.
    fn revocations_changed(&self) {}
    fn tenant_profile_changed(&self, profile: TenantProfileId) {
        self.0.lock().push(Event::TenantProfileChanged(profile));
    }
    fn customer_deleted(&self, customer: CustomerId) {
        self.0.lock().push(Event::CustomerDeleted(customer));
    }
    fn tenant_deleted(&self, tenant: TenantId) {
        self.0.lock().push(Event::TenantDeleted(tenant));
    }
}
