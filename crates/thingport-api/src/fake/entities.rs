//! Tenants, people, profiles and devices in memory: enough for the registry to work, without the
//! checks of uniqueness that a store makes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use thingport_model::activity::{DeviceActivity, WatchedDevice};
use thingport_model::credentials::{DeviceCertificate, DeviceCredentials};
use thingport_model::device::{Device, DeviceFilter, DeviceOverview};
use thingport_model::id::{
    ApiKeyId, CustomerId, DeviceId, DeviceProfileId, EntityKind, EntityRef, PackageFileId,
    PackageId, RpcId, TenantId, TenantProfileId, UserId,
};
use thingport_model::ota::{Announcement, Package, PackageKind};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::{Entities, Write};
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::port::packages::{PackageFilter, PackageRecords};
use thingport_model::port::sessions::SessionRecords;
use thingport_model::profile::DeviceProfile;
use thingport_model::relation::{Relation, RelationKey};
use thingport_model::rpc::{CallFilter, PersistentCall};
use thingport_model::session::KeptSession;
use thingport_model::tenant::{Customer, Tenant, TenantProfile};
use thingport_model::time::Timestamp;
use thingport_model::user::{ApiKey, EndedSession, KeyHash, User, UserCredentials};
use uuid::Uuid;

#[derive(Default)]
pub(super) struct FakeEntities(pub(super) Mutex<Tables>);

#[derive(Clone, Default)]
pub(super) struct Tables {
    tenants: BTreeMap<TenantId, Tenant>,
    tenant_profiles: BTreeMap<TenantProfileId, TenantProfile>,
    pub(super) customers: BTreeMap<CustomerId, Customer>,
    users: BTreeMap<UserId, User>,
    logins: BTreeMap<UserId, UserCredentials>,
    profiles: BTreeMap<DeviceProfileId, DeviceProfile>,
    pub(super) devices: BTreeMap<DeviceId, Device>,
    credentials: BTreeMap<DeviceId, DeviceCredentials>,
    settings: BTreeMap<String, String>,
    user_settings: BTreeMap<UserId, String>,
    api_keys: BTreeMap<ApiKeyId, ApiKey>,
    ended: BTreeMap<Uuid, Timestamp>,
    activities: BTreeMap<DeviceId, DeviceActivity>,
    calls: BTreeMap<RpcId, PersistentCall>,
    packages: BTreeMap<PackageId, Package>,
    announcements: BTreeMap<(DeviceId, PackageKind), Announcement>,
    pub(super) relations: BTreeMap<RelationKey, Relation>,
}

impl Tables {
    fn apply(&mut self, write: Write) -> Result<(), PortError> {
        match write {
            Write::Tenant(it) => drop(self.tenants.insert(it.id, it)),
            Write::TenantProfile(it) => drop(self.tenant_profiles.insert(it.id, it)),
            Write::Customer(it) => drop(self.customers.insert(it.id, it)),
            Write::User(it) => drop(self.users.insert(it.id, it)),
            Write::UserCredentials(it) => drop(self.logins.insert(it.user_id, it)),
            Write::ChangeLogin(user, change) => {
                let stored = self.logins.get(&user).cloned();
                let stored = stored.ok_or(PortError::Conflict(Conflict::Missing))?;
                let changed = change.apply(stored).map_err(PortError::Conflict)?;
                self.logins.insert(user, changed);
            }
            Write::ApiKey(it) => drop(self.api_keys.insert(it.id, it)),
            Write::DeleteApiKey(id) => drop(self.api_keys.remove(&id)),
            Write::EndSession(it, _) => drop(self.ended.insert(it.session, it.expires_at)),
            Write::UserSettings(user, text) => drop(self.user_settings.insert(user, text)),
            Write::AtMost(tenant, kind, max) => {
                if self.count(tenant, kind) > max {
                    return Err(PortError::Conflict(Conflict::TooMany));
                }
            }
            Write::DeviceProfile(it) => drop(self.profiles.insert(it.id, it)),
            Write::Device(it) => {
                let taken = |other: &Device| other.name == it.name && other.id != it.id;
                if self.devices.values().any(taken) {
                    return Err(PortError::Conflict(Conflict::DeviceName));
                }
                self.devices.insert(it.id, it);
            }
            Write::DeviceActivity(device, state) => drop(self.activities.insert(device, state)),
            Write::DeviceCredentials(it) => drop(self.credentials.insert(it.device_id, it)),
            Write::Delete(entity) => self.delete(entity),
            Write::Setting(key, text) => drop(self.settings.insert(key, text)),
            Write::Call(it) => {
                if self.calls.contains_key(&it.id) {
                    return Err(PortError::Conflict(Conflict::RpcId));
                }
                self.calls.insert(it.id, it);
            }
            Write::CallProgress(id, progress) => {
                self.calls.entry(id).and_modify(|call| call.progress = progress);
            }
            Write::DeleteCall(id) => drop(self.calls.remove(&id)),
            Write::KeepSession(_) | Write::ForgetSession(_) => {}
            Write::Relation(it) => drop(self.relations.insert(it.key.clone(), it)),
            Write::DeleteRelation(key) => drop(self.relations.remove(&key)),
            Write::DeleteRelations(entity, group) => self
                .relations
                .retain(|key, _| key.group != group || ![key.from, key.to].contains(&entity)),
            Write::Package(it) => drop(self.packages.insert(it.id, it)),
            Write::DeletePackage(id) => {
                let used = self.devices.values().map(|it| it.packages);
                let mut used = used.chain(self.profiles.values().map(|it| it.packages));
                if used.any(|it| [it.firmware, it.software].contains(&Some(id))) {
                    return Err(PortError::Conflict(Conflict::InUse));
                }
                self.packages.remove(&id);
            }
            Write::Announce(it) => drop(self.announcements.insert((it.device_id, it.kind), it)),
            Write::Announced(it) => drop(self.announcements.remove(&(it.device_id, it.kind))),
            Write::PackageBytesAtMost(..)
            | Write::AnnounceToFleet(..)
            | Write::AnnouncementQueued(_)
            | Write::Purged(_)
            | Write::ForgetCalls(..) => {}
        }
        Ok(())
    }

    fn count(&self, tenant: TenantId, kind: EntityKind) -> u64 {
        let count = match kind {
            EntityKind::Device => self.devices.values().filter(|it| it.tenant_id == tenant).count(),
            EntityKind::Customer => {
                self.customers.values().filter(|it| it.tenant_id == tenant).count()
            }
            EntityKind::User => self.users.values().filter(|it| it.tenant_id == tenant).count(),
            _ => 0,
        };
        count as u64
    }

    fn delete(&mut self, entity: EntityRef) {
        match entity.kind {
            EntityKind::Tenant => drop(self.tenants.remove(&TenantId(entity.id))),
            EntityKind::TenantProfile => {
                self.tenant_profiles.remove(&TenantProfileId(entity.id));
            }
            EntityKind::Customer => drop(self.customers.remove(&CustomerId(entity.id))),
            EntityKind::User => {
                self.api_keys.retain(|_, key| key.user_id.0 != entity.id);
                self.users.remove(&UserId(entity.id));
            }
            EntityKind::Device => drop(self.devices.remove(&DeviceId(entity.id))),
            EntityKind::DeviceProfile => drop(self.profiles.remove(&DeviceProfileId(entity.id))),
        }
    }

    fn overview(&self, device: &Device) -> DeviceOverview {
        let customer = device.customer_id.and_then(|id| self.customers.get(&id));
        DeviceOverview {
            device: device.clone(),
            customer_title: customer.map(|it| it.title.clone()),
            customer_is_public: customer.is_some_and(|it| it.is_public),
            is_active: self.activities.get(&device.id) == Some(&DeviceActivity::Active),
        }
    }
}

fn page<T: Clone>(
    rows: impl Iterator<Item = T>,
    link: &PageLink,
    name: impl Fn(&T) -> &str,
) -> Page<T> {
    let wanted = link.text_search.clone().unwrap_or_default().to_lowercase();
    let rows: Vec<_> = rows.filter(|it| name(it).to_lowercase().contains(&wanted)).collect();
    let total = rows.len() as u64;
    let skipped = link.page as usize * link.size as usize;
    Page { rows: rows.into_iter().skip(skipped).take(link.size as usize).collect(), total }
}

#[async_trait]
impl PackageRecords for FakeEntities {
    async fn package(&self, id: PackageId) -> Found<Package> {
        Ok(self.0.lock().packages.get(&id).cloned())
    }

    async fn packages(&self, filter: PackageFilter, link: PageLink) -> Rows<Package> {
        let tables = self.0.lock();
        let fits = |it: &&Package| {
            it.tenant_id == filter.tenant_id
                && filter.ready_for.is_none_or(|ready_for| {
                    (it.profile_id, it.kind) == ready_for && it.content.is_ready()
                })
        };
        Ok(page(tables.packages.values().filter(fits).cloned(), &link, |it| &it.title))
    }

    async fn package_bytes(&self, tenant: TenantId) -> Result<u64, PortError> {
        let tables = self.0.lock();
        let mine = tables.packages.values().filter(|it| it.tenant_id == tenant);
        Ok(mine.filter_map(|it| it.content.data()).map(|data| data.size).sum())
    }

    async fn package_files(&self) -> Result<Vec<PackageFileId>, PortError> {
        let tables = self.0.lock();
        let data = tables.packages.values().filter_map(|it| it.content.data());
        Ok(data.map(|data| data.file).collect())
    }

    async fn devices_without_package(
        &self,
        profile: DeviceProfileId,
        kind: PackageKind,
    ) -> Result<u64, PortError> {
        let tables = self.0.lock();
        let mine = tables.devices.values().filter(|it| it.profile_id == profile);
        Ok(mine.filter(|it| it.packages.of(kind).is_none()).count() as u64)
    }

    async fn announcements(&self, of_fleets: bool, _: u32) -> Result<Vec<Announcement>, PortError> {
        let all = self.0.lock().announcements.values().copied().collect();
        Ok(if of_fleets { Vec::new() } else { all })
    }
}

type Found<T> = Result<Option<T>, PortError>;
type Rows<T> = Result<Page<T>, PortError>;

/// No session is kept.
#[async_trait]
impl SessionRecords for FakeEntities {
    async fn kept_sessions(
        &self,
        _: Option<DeviceId>,
        _: u32,
    ) -> Result<Vec<KeptSession>, PortError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Entities for FakeEntities {
    async fn write(&self, writes: Vec<Write>) -> Result<(), PortError> {
        let mut tables = self.0.lock();
        let mut next = tables.clone();
        writes.into_iter().try_for_each(|write| next.apply(write))?;
        *tables = next;
        Ok(())
    }

    async fn tenant(&self, id: TenantId) -> Found<Tenant> {
        Ok(self.0.lock().tenants.get(&id).cloned())
    }

    async fn tenants(&self, link: PageLink) -> Rows<Tenant> {
        Ok(page(self.0.lock().tenants.values().cloned(), &link, |it| &it.title))
    }

    async fn tenant_profile(&self, id: TenantProfileId) -> Found<TenantProfile> {
        Ok(self.0.lock().tenant_profiles.get(&id).cloned())
    }

    async fn default_tenant_profile(&self) -> Found<TenantProfile> {
        Ok(self.0.lock().tenant_profiles.values().find(|it| it.is_default).cloned())
    }

    async fn tenant_profiles(&self, link: PageLink) -> Rows<TenantProfile> {
        Ok(page(self.0.lock().tenant_profiles.values().cloned(), &link, |it| &it.name))
    }

    async fn customer(&self, id: CustomerId) -> Found<Customer> {
        Ok(self.0.lock().customers.get(&id).cloned())
    }

    async fn customer_by_title(&self, tenant: TenantId, title: &str) -> Found<Customer> {
        let tables = self.0.lock();
        let found = |it: &&Customer| it.tenant_id == tenant && it.title == title;
        Ok(tables.customers.values().find(found).cloned())
    }

    async fn customers(&self, tenant: TenantId, link: PageLink) -> Rows<Customer> {
        let tables = self.0.lock();
        let mine = tables.customers.values().filter(|it| it.tenant_id == tenant);
        Ok(page(mine.cloned(), &link, |it| &it.title))
    }

    async fn user(&self, id: UserId) -> Found<User> {
        Ok(self.0.lock().users.get(&id).cloned())
    }

    async fn user_by_email(&self, email: &str) -> Found<User> {
        let tables = self.0.lock();
        Ok(tables.users.values().find(|it| it.email.eq_ignore_ascii_case(email)).cloned())
    }

    async fn user_credentials(&self, id: UserId) -> Found<UserCredentials> {
        Ok(self.0.lock().logins.get(&id).cloned())
    }

    async fn users(
        &self,
        tenant: TenantId,
        customer: Option<CustomerId>,
        link: PageLink,
    ) -> Rows<User> {
        let tables = self.0.lock();
        let mine = tables.users.values().filter(|it| it.tenant_id == tenant);
        let mine = mine.filter(|it| customer.is_none() || it.customer_id == customer);
        Ok(page(mine.cloned(), &link, |it| &it.email))
    }

    async fn user_settings(&self, id: UserId) -> Found<String> {
        Ok(self.0.lock().user_settings.get(&id).cloned())
    }

    async fn api_key(&self, id: ApiKeyId) -> Found<ApiKey> {
        Ok(self.0.lock().api_keys.get(&id).cloned())
    }

    async fn api_key_by_hash(&self, hash: KeyHash) -> Found<ApiKey> {
        Ok(self.0.lock().api_keys.values().find(|it| it.hash == hash).cloned())
    }

    async fn api_keys(&self, user: UserId, link: PageLink) -> Rows<ApiKey> {
        let tables = self.0.lock();
        let mine = tables.api_keys.values().filter(|it| it.user_id == user);
        Ok(page(mine.cloned(), &link, |it| &it.description))
    }

    async fn ended_sessions(&self) -> Result<Vec<EndedSession>, PortError> {
        let tables = self.0.lock();
        let ended = tables.ended.iter();
        Ok(ended.map(|(id, at)| EndedSession { session: *id, expires_at: *at }).collect())
    }

    async fn profile(&self, id: DeviceProfileId) -> Found<DeviceProfile> {
        Ok(self.0.lock().profiles.get(&id).cloned())
    }

    async fn profile_by_name(&self, tenant: TenantId, name: &str) -> Found<DeviceProfile> {
        let tables = self.0.lock();
        let found = |it: &&DeviceProfile| it.tenant_id == tenant && it.name == name;
        Ok(tables.profiles.values().find(found).cloned())
    }

    async fn profile_by_provision_key(&self, _: &str) -> Found<DeviceProfile> {
        Ok(None)
    }

    async fn profiles_by_ca_name(&self, _: &str, _: u32) -> Result<Vec<DeviceProfile>, PortError> {
        Ok(Vec::new())
    }

    async fn default_profile(&self, tenant: TenantId) -> Found<DeviceProfile> {
        let tables = self.0.lock();
        let found = |it: &&DeviceProfile| it.tenant_id == tenant && it.is_default;
        Ok(tables.profiles.values().find(found).cloned())
    }

    async fn profiles(&self, tenant: TenantId, link: PageLink) -> Rows<DeviceProfile> {
        let tables = self.0.lock();
        let mine = tables.profiles.values().filter(|it| it.tenant_id == tenant);
        Ok(page(mine.cloned(), &link, |it| &it.name))
    }

    async fn profile_use(&self, id: DeviceProfileId) -> Result<u64, PortError> {
        let tables = self.0.lock();
        Ok(tables.devices.values().filter(|it| it.profile_id == id).count() as u64)
    }

    async fn device(&self, id: DeviceId) -> Found<Device> {
        Ok(self.0.lock().devices.get(&id).cloned())
    }

    async fn device_by_name(&self, tenant: TenantId, name: &str) -> Found<Device> {
        let tables = self.0.lock();
        let found = |it: &&Device| it.tenant_id == tenant && it.name == name;
        Ok(tables.devices.values().find(found).cloned())
    }

    async fn devices(&self, filter: DeviceFilter, link: PageLink) -> Rows<DeviceOverview> {
        let tables = self.0.lock();
        let mine = tables.devices.values().filter(|it| it.tenant_id == filter.tenant_id);
        let mine = mine
            .filter(|it| filter.customer_id.is_none() || it.customer_id == filter.customer_id)
            .filter(|it| filter.profile_name.as_ref().is_none_or(|name| *name == it.profile_name));
        let rows = mine.map(|it| tables.overview(it));
        let rows = rows.filter(|it| filter.active.is_none_or(|active| it.is_active == active));
        let among = |it: &DeviceOverview| {
            filter.among.as_ref().is_none_or(|them| them.ids.contains(&it.device.id) == them.wanted)
        };
        let rows = rows.filter(among);
        Ok(page(rows.collect::<Vec<_>>().into_iter(), &link, |it| &it.device.name))
    }

    async fn devices_by_ids(&self, ids: Vec<DeviceId>) -> Result<Vec<Device>, PortError> {
        let tables = self.0.lock();
        Ok(tables.devices.values().filter(|it| ids.contains(&it.id)).cloned().collect())
    }

    async fn device_types(&self, tenant: TenantId) -> Result<Vec<String>, PortError> {
        let tables = self.0.lock();
        let mine = tables.devices.values().filter(|it| it.tenant_id == tenant);
        let mut names: Vec<_> = mine.map(|it| it.profile_name.clone()).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn device_count(&self, tenant: TenantId) -> Result<u64, PortError> {
        let tables = self.0.lock();
        Ok(tables.devices.values().filter(|it| it.tenant_id == tenant).count() as u64)
    }

    async fn credentials_of(&self, device: DeviceId) -> Found<DeviceCredentials> {
        Ok(self.0.lock().credentials.get(&device).cloned())
    }

    async fn credentials_by_id(&self, credentials_id: &str) -> Found<DeviceCredentials> {
        let tables = self.0.lock();
        let found = |it: &&DeviceCredentials| it.credentials_id == credentials_id;
        Ok(tables.credentials.values().find(found).cloned())
    }

    async fn certificates_by_expiry(
        &self,
        _: TenantId,
        _: Option<CustomerId>,
        _: Timestamp,
        _: PageLink,
    ) -> Rows<DeviceCertificate> {
        Ok(Page { rows: Vec::new(), total: 0 })
    }

    async fn device_activity(&self, id: DeviceId) -> Found<DeviceActivity> {
        let tables = self.0.lock();
        let known = tables.activities.get(&id).copied().unwrap_or(DeviceActivity::New);
        Ok(tables.devices.contains_key(&id).then_some(known))
    }

    async fn watched_devices(
        &self,
        _: Option<DeviceId>,
        _: u32,
    ) -> Result<Vec<WatchedDevice>, PortError> {
        Ok(Vec::new())
    }

    async fn call(&self, id: RpcId) -> Found<PersistentCall> {
        Ok(self.0.lock().calls.get(&id).cloned())
    }

    async fn calls(&self, filter: CallFilter, link: PageLink) -> Rows<PersistentCall> {
        let tables = self.0.lock();
        let mine = tables.calls.values().filter(|it| it.device_id == filter.device_id);
        let mine = mine.filter(|it| filter.status.is_none_or(|one| it.progress.status == one));
        Ok(page(mine.cloned(), &link, |it| &it.call.method))
    }

    async fn open_calls(&self, _: u32) -> Result<Vec<PersistentCall>, PortError> {
        Ok(self.0.lock().calls.values().filter(|it| it.is_open()).cloned().collect())
    }

    async fn setting(&self, key: &str) -> Found<String> {
        Ok(self.0.lock().settings.get(key).cloned())
    }

    async fn outbox(&self) -> Result<Vec<EntityRef>, PortError> {
        Ok(Vec::new())
    }
}
