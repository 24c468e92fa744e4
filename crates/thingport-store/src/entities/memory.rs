//! The port over plain maps: the reference that SQLite is held to, and what simulations run on.

mod activity;
mod calls;
mod packages;
mod relations;
mod rules;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use parking_lot::Mutex;
use thingport_model::activity::{DeviceActivity, WatchedDevice};
use thingport_model::credentials::{DeviceCertificate, DeviceCredentials};
use thingport_model::device::{Device, DeviceFilter, DeviceOverview};
use thingport_model::id::{
    ApiKeyId, CredentialsId, CustomerId, DeviceId, DeviceProfileId, EntityRef, PackageId, RpcId,
    TenantId, TenantProfileId, UserId,
};
use thingport_model::ota::{Announcement, Package, PackageKind};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::{Entities, Write};
use thingport_model::port::error::PortError;
use thingport_model::profile::DeviceProfile;
use thingport_model::relation::{Relation, RelationKey};
use thingport_model::rpc::{CallFilter, PersistentCall};
use thingport_model::session::KeptSession;
use thingport_model::tenant::{Address, Customer, Tenant, TenantProfile};
use thingport_model::time::Timestamp;
use thingport_model::user::{ApiKey, EndedSession, KeyHash, User, UserCredentials};
use uuid::Uuid;

use self::calls::{call_key, call_words};
use super::document::{ca_name, provision_key};
use super::search::{contains, searchable};

/// Entities that are gone when it is dropped. A write copies all of them, so keep them few.
#[derive(Default)]
pub struct MemoryEntities {
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    tenants: BTreeMap<TenantId, Tenant>,
    tenant_profiles: BTreeMap<TenantProfileId, TenantProfile>,
    customers: BTreeMap<CustomerId, Customer>,
    users: BTreeMap<UserId, User>,
    logins: BTreeMap<UserId, UserCredentials>,
    user_settings: BTreeMap<UserId, String>,
    api_keys: BTreeMap<ApiKeyId, ApiKey>,
    /// Session and when its last token expires.
    ended: BTreeMap<Uuid, Timestamp>,
    profiles: BTreeMap<DeviceProfileId, DeviceProfile>,
    /// The name of the profile inside is not kept up to date; it is filled in when read.
    devices: BTreeMap<DeviceId, Device>,
    /// Those that are not new.
    activities: BTreeMap<DeviceId, DeviceActivity>,
    credentials: BTreeMap<CredentialsId, DeviceCredentials>,
    calls: BTreeMap<RpcId, PersistentCall>,
    packages: BTreeMap<PackageId, Package>,
    announcements: BTreeMap<(DeviceId, PackageKind), Announcement>,
    relations: BTreeMap<RelationKey, Relation>,
    kept_sessions: BTreeMap<DeviceId, KeptSession>,
    settings: BTreeMap<String, String>,
    outbox: BTreeSet<EntityRef>,
}

impl State {
    fn named(&self, device: &Device) -> Device {
        let profile = self.profiles.get(&device.profile_id);
        let profile_name = profile.map(|profile| profile.name.clone()).unwrap_or_default();
        Device { profile_name, ..device.clone() }
    }

    fn overview(&self, device: &Device) -> DeviceOverview {
        let customer = device.customer_id.and_then(|id| self.customers.get(&id));
        DeviceOverview {
            device: self.named(device),
            customer_title: customer.map(|customer| customer.title.clone()),
            customer_is_public: customer.is_some_and(|customer| customer.is_public),
            is_active: self.activity(device.id) == DeviceActivity::Active,
        }
    }

    fn chosen(&self, filter: &DeviceFilter) -> Vec<DeviceOverview> {
        let fits = |device: &&Device| {
            let expires_at = || {
                let own = self.credentials.values().find(|it| it.device_id == device.id);
                own.and_then(|it| it.expires_at)
            };
            device.tenant_id == filter.tenant_id
                && filter.gateway.is_none_or(|gateway| device.is_gateway == gateway)
                && filter.certificate_before.is_none_or(|it| expires_at().is_some_and(|at| at < it))
                && filter.among.as_ref().is_none_or(|it| it.ids.contains(&device.id) == it.wanted)
                && filter.customer_id.is_none_or(|id| device.customer_id == Some(id))
                && filter.profile_id.is_none_or(|id| device.profile_id == id)
        };
        let devices = self.devices.values().filter(fits).map(|device| self.overview(device));
        let named = |row: &DeviceOverview| {
            filter.profile_name.as_ref().is_none_or(|name| row.device.profile_name == *name)
                && filter.active.is_none_or(|active| row.is_active == active)
        };
        devices.filter(named).collect()
    }
}

#[async_trait]
impl Entities for MemoryEntities {
    async fn write(&self, writes: Vec<Write>) -> Result<(), PortError> {
        let mut state = self.state.lock();
        let mut next = state.clone();
        for write in writes {
            next.apply(write).map_err(PortError::Conflict)?;
        }
        *state = next;
        Ok(())
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, PortError> {
        Ok(self.state.lock().tenants.get(&id).cloned())
    }

    async fn tenants(&self, link: PageLink) -> Result<Page<Tenant>, PortError> {
        let rows: Vec<_> = self.state.lock().tenants.values().cloned().collect();
        Ok(page(rows, &link, |tenant| searchable([Some(&*tenant.title)]), tenant_key))
    }

    async fn tenant_profile(
        &self,
        id: TenantProfileId,
    ) -> Result<Option<TenantProfile>, PortError> {
        Ok(self.state.lock().tenant_profiles.get(&id).cloned())
    }

    async fn default_tenant_profile(&self) -> Result<Option<TenantProfile>, PortError> {
        let state = self.state.lock();
        Ok(state.tenant_profiles.values().find(|profile| profile.is_default).cloned())
    }

    async fn tenant_profiles(&self, link: PageLink) -> Result<Page<TenantProfile>, PortError> {
        let rows: Vec<_> = self.state.lock().tenant_profiles.values().cloned().collect();
        Ok(page(rows, &link, |row| searchable([Some(&*row.name)]), tenant_profile_key))
    }

    async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, PortError> {
        Ok(self.state.lock().customers.get(&id).cloned())
    }

    async fn customer_by_title(
        &self,
        tenant: TenantId,
        title: &str,
    ) -> Result<Option<Customer>, PortError> {
        let state = self.state.lock();
        let fits = |row: &&Customer| row.tenant_id == tenant && row.title == title;
        Ok(state.customers.values().find(fits).cloned())
    }

    async fn customers(
        &self,
        tenant: TenantId,
        link: PageLink,
    ) -> Result<Page<Customer>, PortError> {
        let state = self.state.lock();
        let rows = state.customers.values().filter(|row| row.tenant_id == tenant).cloned();
        Ok(page(rows.collect(), &link, |row| searchable([Some(&*row.title)]), customer_key))
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, PortError> {
        Ok(self.state.lock().users.get(&id).cloned())
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>, PortError> {
        let email = email.to_lowercase();
        let state = self.state.lock();
        Ok(state.users.values().find(|user| user.email.to_lowercase() == email).cloned())
    }

    async fn user_credentials(&self, id: UserId) -> Result<Option<UserCredentials>, PortError> {
        Ok(self.state.lock().logins.get(&id).cloned())
    }

    async fn users(
        &self,
        tenant: TenantId,
        customer: Option<CustomerId>,
        link: PageLink,
    ) -> Result<Page<User>, PortError> {
        let state = self.state.lock();
        let fits = |user: &&User| {
            user.tenant_id == tenant && customer.is_none_or(|id| user.customer_id == Some(id))
        };
        let rows = state.users.values().filter(fits).cloned().collect();
        let words = |user: &User| {
            let names = [user.first_name.as_deref(), user.last_name.as_deref()];
            searchable([Some(&*user.email), names[0], names[1]])
        };
        Ok(page(rows, &link, words, user_key))
    }

    async fn user_settings(&self, id: UserId) -> Result<Option<String>, PortError> {
        Ok(self.state.lock().user_settings.get(&id).cloned())
    }

    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, PortError> {
        Ok(self.state.lock().api_keys.get(&id).cloned())
    }

    async fn api_key_by_hash(&self, hash: KeyHash) -> Result<Option<ApiKey>, PortError> {
        Ok(self.state.lock().api_keys.values().find(|key| key.hash == hash).cloned())
    }

    async fn api_keys(&self, user: UserId, link: PageLink) -> Result<Page<ApiKey>, PortError> {
        let state = self.state.lock();
        let rows = state.api_keys.values().filter(|key| key.user_id == user).cloned();
        let words = |key: &ApiKey| searchable([Some(&*key.description)]);
        Ok(page(rows.collect(), &link, words, api_key_key))
    }

    async fn ended_sessions(&self) -> Result<Vec<EndedSession>, PortError> {
        let state = self.state.lock();
        let ended = |(session, at): (&Uuid, &Timestamp)| EndedSession {
            session: *session,
            expires_at: *at,
        };
        let mut rows: Vec<_> = state.ended.iter().map(ended).collect();
        rows.sort_by_key(|row| row.expires_at);
        Ok(rows)
    }

    async fn profile(&self, id: DeviceProfileId) -> Result<Option<DeviceProfile>, PortError> {
        Ok(self.state.lock().profiles.get(&id).cloned())
    }

    async fn profile_by_name(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<DeviceProfile>, PortError> {
        let state = self.state.lock();
        let fits = |row: &&DeviceProfile| row.tenant_id == tenant && row.name == name;
        Ok(state.profiles.values().find(fits).cloned())
    }

    async fn profile_by_provision_key(
        &self,
        key: &str,
    ) -> Result<Option<DeviceProfile>, PortError> {
        let state = self.state.lock();
        let fits = |row: &&DeviceProfile| provision_key(&row.provisioning) == Some(key);
        Ok(state.profiles.values().find(fits).cloned())
    }

    async fn profiles_by_ca_name(
        &self,
        name: &str,
        limit: u32,
    ) -> Result<Vec<DeviceProfile>, PortError> {
        let state = self.state.lock();
        let fits = |row: &&DeviceProfile| ca_name(&row.provisioning) == Some(name);
        let mut turns: BTreeMap<TenantId, usize> = BTreeMap::new();
        let mut found: Vec<_> = state.profiles.values().filter(fits).collect();
        found.sort_by_cached_key(|row| {
            let turn = turns.entry(row.tenant_id).or_default();
            *turn += 1;
            (*turn, row.id)
        });
        Ok(found.into_iter().take(limit as usize).cloned().collect())
    }

    async fn default_profile(&self, tenant: TenantId) -> Result<Option<DeviceProfile>, PortError> {
        let state = self.state.lock();
        let fits = |row: &&DeviceProfile| row.tenant_id == tenant && row.is_default;
        Ok(state.profiles.values().find(fits).cloned())
    }

    async fn profiles(
        &self,
        tenant: TenantId,
        link: PageLink,
    ) -> Result<Page<DeviceProfile>, PortError> {
        let state = self.state.lock();
        let rows = state.profiles.values().filter(|row| row.tenant_id == tenant).cloned();
        Ok(page(rows.collect(), &link, |row| searchable([Some(&*row.name)]), profile_key))
    }

    async fn profile_use(&self, id: DeviceProfileId) -> Result<u64, PortError> {
        let state = self.state.lock();
        Ok(state.devices.values().filter(|device| device.profile_id == id).count() as u64)
    }

    async fn device(&self, id: DeviceId) -> Result<Option<Device>, PortError> {
        let state = self.state.lock();
        Ok(state.devices.get(&id).map(|device| state.named(device)))
    }

    async fn device_by_name(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Device>, PortError> {
        let state = self.state.lock();
        let fits = |device: &&Device| device.tenant_id == tenant && device.name == name;
        Ok(state.devices.values().find(fits).map(|device| state.named(device)))
    }

    async fn devices(
        &self,
        filter: DeviceFilter,
        link: PageLink,
    ) -> Result<Page<DeviceOverview>, PortError> {
        let rows = self.state.lock().chosen(&filter);
        let words = |row: &DeviceOverview| {
            let device = &row.device;
            let profile = Some(&*device.profile_name);
            let title = row.customer_title.as_deref();
            searchable([Some(&*device.name), device.label.as_deref(), profile, title])
        };
        Ok(page(rows, &link, words, device_key))
    }

    async fn devices_by_ids(&self, ids: Vec<DeviceId>) -> Result<Vec<Device>, PortError> {
        let state = self.state.lock();
        let ids: BTreeSet<DeviceId> = ids.into_iter().collect();
        let found = ids.iter().filter_map(|id| state.devices.get(id));
        Ok(found.map(|device| state.named(device)).collect())
    }

    async fn device_activity(&self, id: DeviceId) -> Result<Option<DeviceActivity>, PortError> {
        let state = self.state.lock();
        Ok(state.devices.contains_key(&id).then(|| state.activity(id)))
    }

    async fn watched_devices(
        &self,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<WatchedDevice>, PortError> {
        Ok(self.state.lock().watched(after, limit))
    }

    async fn device_types(&self, tenant: TenantId) -> Result<Vec<String>, PortError> {
        let state = self.state.lock();
        let own = state.devices.values().filter(|device| device.tenant_id == tenant);
        let names: BTreeSet<String> = own.map(|device| state.named(device).profile_name).collect();
        Ok(names.into_iter().collect())
    }

    async fn device_count(&self, tenant: TenantId) -> Result<u64, PortError> {
        let state = self.state.lock();
        Ok(state.devices.values().filter(|device| device.tenant_id == tenant).count() as u64)
    }

    async fn credentials_of(
        &self,
        device: DeviceId,
    ) -> Result<Option<DeviceCredentials>, PortError> {
        let state = self.state.lock();
        Ok(state.credentials.values().find(|row| row.device_id == device).cloned())
    }

    async fn credentials_by_id(
        &self,
        credentials_id: &str,
    ) -> Result<Option<DeviceCredentials>, PortError> {
        let state = self.state.lock();
        Ok(state.credentials.values().find(|row| row.credentials_id == credentials_id).cloned())
    }

    async fn certificates_by_expiry(
        &self,
        tenant: TenantId,
        customer: Option<CustomerId>,
        before: Timestamp,
        link: PageLink,
    ) -> Result<Page<DeviceCertificate>, PortError> {
        let state = self.state.lock();
        let rows = state.credentials.values().filter_map(|row| {
            let device = state.named(state.devices.get(&row.device_id)?);
            let fits = device.tenant_id == tenant
                && customer.is_none_or(|id| device.customer_id == Some(id))
                && row.expires_at.is_some_and(|at| at < before);
            fits.then(|| DeviceCertificate {
                device_name: device.name,
                profile_name: device.profile_name,
                customer_id: device.customer_id,
                credentials: row.clone(),
            })
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|row| (row.credentials.expires_at, row.credentials.id));
        let link = PageLink { text_search: None, sort: None, ..link };
        Ok(page(rows, &link, |_| String::new(), |_, _| None))
    }

    async fn call(&self, id: RpcId) -> Result<Option<PersistentCall>, PortError> {
        Ok(self.state.lock().calls.get(&id).cloned())
    }

    async fn calls(
        &self,
        filter: CallFilter,
        link: PageLink,
    ) -> Result<Page<PersistentCall>, PortError> {
        Ok(page(self.state.lock().chosen_calls(filter), &link, call_words, call_key))
    }

    async fn open_calls(&self, limit: u32) -> Result<Vec<PersistentCall>, PortError> {
        Ok(self.state.lock().open_calls(limit))
    }

    async fn setting(&self, key: &str) -> Result<Option<String>, PortError> {
        Ok(self.state.lock().settings.get(key).cloned())
    }

    async fn outbox(&self) -> Result<Vec<EntityRef>, PortError> {
        Ok(self.state.lock().outbox.iter().copied().collect())
    }
}

/// What rows are sorted by: a number or a text, both compared as such.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Text(String),
}

/// A page of rows that come in order of id.
fn page<T>(
    mut rows: Vec<T>,
    link: &PageLink,
    words: impl Fn(&T) -> String,
    key: impl Fn(&T, &str) -> Option<Key>,
) -> Page<T> {
    rows.retain(|row| contains(&words(row), link.text_search.as_deref()));
    if let Some(sort) = &link.sort {
        // Both sorts are stable, so that ties stay in order of id.
        if sort.descending {
            rows.sort_by_key(|row| core::cmp::Reverse(key(row, &sort.property)));
        } else {
            rows.sort_by_key(|row| key(row, &sort.property));
        }
    }
    let (size, total) = (link.size as usize, rows.len() as u64);
    let rows = rows.into_iter().skip((link.page as usize).saturating_mul(size)).take(size);
    Page { rows: rows.collect(), total }
}

fn tenant_key(row: &Tenant, property: &str) -> Option<Key> {
    place_key(row.created_at.ms(), &row.title, &row.address, property)
}

fn customer_key(row: &Customer, property: &str) -> Option<Key> {
    place_key(row.created_at.ms(), &row.title, &row.address, property)
}

fn place_key(created: i64, title: &str, address: &Address, property: &str) -> Option<Key> {
    match property {
        "createdTime" => Some(Key::Number(created)),
        "title" | "name" => Some(Key::Text(title.to_owned())),
        "email" => Some(text(address.email.as_deref())),
        "country" => Some(text(address.country.as_deref())),
        "city" => Some(text(address.city.as_deref())),
        _ => None,
    }
}

fn tenant_profile_key(row: &TenantProfile, property: &str) -> Option<Key> {
    match property {
        "createdTime" => Some(Key::Number(row.created_at.ms())),
        "name" => Some(text(Some(&row.name))),
        "description" => Some(text(row.description.as_deref())),
        "isDefault" => Some(Key::Number(row.is_default.into())),
        _ => None,
    }
}

fn profile_key(row: &DeviceProfile, property: &str) -> Option<Key> {
    match property {
        "createdTime" => Some(Key::Number(row.created_at.ms())),
        "name" => Some(text(Some(&row.name))),
        "description" => Some(text(row.description.as_deref())),
        "isDefault" => Some(Key::Number(row.is_default.into())),
        "transportType" => Some(text(Some(row.transport.name()))),
        _ => None,
    }
}

fn user_key(row: &User, property: &str) -> Option<Key> {
    match property {
        "createdTime" => Some(Key::Number(row.created_at.ms())),
        "email" | "name" => Some(text(Some(&row.email))),
        "firstName" => Some(text(row.first_name.as_deref())),
        "lastName" => Some(text(row.last_name.as_deref())),
        "phone" => Some(text(row.phone.as_deref())),
        "authority" => Some(text(Some(row.authority.name()))),
        _ => None,
    }
}

fn api_key_key(row: &ApiKey, property: &str) -> Option<Key> {
    match property {
        "createdTime" => Some(Key::Number(row.created_at.ms())),
        "description" => Some(text(Some(&row.description))),
        "enabled" => Some(Key::Number(row.enabled.into())),
        "expirationTime" => Some(Key::Number(row.expires_at.map_or(0, Timestamp::ms))),
        _ => None,
    }
}

fn device_key(row: &DeviceOverview, property: &str) -> Option<Key> {
    match property {
        "createdTime" => Some(Key::Number(row.device.created_at.ms())),
        "name" => Some(text(Some(&row.device.name))),
        "label" => Some(text(row.device.label.as_deref())),
        "active" => Some(Key::Number(row.is_active.into())),
        "type" | "deviceProfileName" => Some(text(Some(&row.device.profile_name))),
        "customerTitle" => Some(text(row.customer_title.as_deref())),
        _ => None,
    }
}

fn text(text: Option<&str>) -> Key {
    Key::Text(text.unwrap_or_default().to_owned())
}
