//! Tenants, people, profiles, devices and credentials in SQLite: the port [`Entities`].
//!
//! One thread writes, each commit is synced before it is answered, and writes that wait share a
//! commit. A few threads read snapshots and never wait for the writer. Nothing here needs a runtime.

mod activity;
mod apply;
mod beside;
mod calls;
mod document;
mod fault;
mod list;
pub mod memory;
mod packages;
mod query;
mod readers;
mod relations;
mod schema;
mod search;
mod sessions;
mod statement;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use thingport_model::activity::{DeviceActivity, WatchedDevice};
use thingport_model::credentials::{DeviceCertificate, DeviceCredentials};
use thingport_model::device::{Device, DeviceFilter, DeviceOverview};
use thingport_model::id::{
    ApiKeyId, CustomerId, DeviceId, DeviceProfileId, EntityRef, RpcId, TenantId, TenantProfileId,
    UserId,
};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::{Entities, Write};
use thingport_model::port::error::PortError;
use thingport_model::profile::DeviceProfile;
use thingport_model::rpc::{CallFilter, PersistentCall};
use thingport_model::tenant::{Customer, Tenant, TenantProfile};
use thingport_model::time::Timestamp;
use thingport_model::user::{ApiKey, EndedSession, KeyHash, User, UserCredentials};
use uuid::Uuid;

pub use fault::OpenError;
use list::List;
use query::{count, many, one};
use readers::Readers;
use writer::Writer;

/// Entities in the file `entities.db` of a data directory. Dropping it finishes the writes that wait.
pub struct SqliteEntities {
    // Readers end first, so that the writer's connection is the last one and tidies up the log file.
    readers: Readers,
    writer: Writer,
}

impl SqliteEntities {
    /// Opens or creates the database in `dir`, which must exist, and brings it to the newest form.
    ///
    /// # Errors
    /// When the file belongs to a newer program or to another one, before it is touched; or when the
    /// file system refuses.
    pub fn open(dir: &Path) -> Result<Arc<Self>, OpenError> {
        Self::open_as(dir, None)
    }

    /// The same with the identity of the data directory.
    fn open_as(dir: &Path, identity: Option<&str>) -> Result<Arc<Self>, OpenError> {
        let path = dir.join(FILE);
        schema::gate(&path)?;
        let mut connection = Connection::open(&path)?;
        schema::tune(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        schema::migrate(&mut connection, identity)?;
        let readers = Readers::start(&path)?;
        Ok(Arc::new(Self { readers, writer: Writer::start(connection)? }))
    }

    async fn by_id<T: Send + 'static>(
        &self,
        sql: &'static str,
        id: Uuid,
        read: query::Read<T>,
    ) -> Result<Option<T>, PortError> {
        self.readers.ask(move |connection| one(connection, sql, &[id.as_bytes()], read)).await
    }

    async fn by_name<T: Send + 'static>(
        &self,
        sql: &'static str,
        tenant: TenantId,
        name: &str,
        read: query::Read<T>,
    ) -> Result<Option<T>, PortError> {
        let name = name.to_owned();
        let ask = move |connection: &Connection| {
            one(connection, sql, &[tenant.0.as_bytes(), &name], read)
        };
        self.readers.ask(ask).await
    }

    async fn by_text<T: Send + 'static>(
        &self,
        sql: &'static str,
        text: String,
        read: query::Read<T>,
    ) -> Result<Option<T>, PortError> {
        self.readers.ask(move |connection| one(connection, sql, &[&text], read)).await
    }

    async fn counted(&self, sql: &'static str, id: Uuid) -> Result<u64, PortError> {
        self.readers.ask(move |connection| count(connection, sql, &[id.as_bytes()])).await
    }
}

#[async_trait]
impl Entities for SqliteEntities {
    async fn write(&self, writes: Vec<Write>) -> Result<(), PortError> {
        self.writer.write(writes).await
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, PortError> {
        self.by_id("SELECT * FROM tenant WHERE id = $1", id.0, query::tenant).await
    }

    async fn tenants(&self, link: PageLink) -> Result<Page<Tenant>, PortError> {
        let ask = move |connection: &Connection| {
            let list = List::of("tenant").searched(link.text_search.as_deref());
            list.page(connection, &link, list::tenant_sort, query::tenant)
        };
        self.readers.ask(ask).await
    }

    async fn tenant_profile(
        &self,
        id: TenantProfileId,
    ) -> Result<Option<TenantProfile>, PortError> {
        let sql = "SELECT * FROM tenant_profile WHERE id = $1";
        self.by_id(sql, id.0, query::tenant_profile).await
    }

    async fn default_tenant_profile(&self) -> Result<Option<TenantProfile>, PortError> {
        let sql = "SELECT * FROM tenant_profile WHERE is_default = 1";
        self.readers.ask(move |connection| one(connection, sql, &[], query::tenant_profile)).await
    }

    async fn tenant_profiles(&self, link: PageLink) -> Result<Page<TenantProfile>, PortError> {
        let ask = move |connection: &Connection| {
            let list = List::of("tenant_profile").searched(link.text_search.as_deref());
            list.page(connection, &link, list::tenant_profile_sort, query::tenant_profile)
        };
        self.readers.ask(ask).await
    }

    async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, PortError> {
        self.by_id("SELECT * FROM customer WHERE id = $1", id.0, query::customer).await
    }

    async fn customer_by_title(
        &self,
        tenant: TenantId,
        title: &str,
    ) -> Result<Option<Customer>, PortError> {
        let sql = "SELECT * FROM customer WHERE tenant_id = $1 AND title = $2";
        self.by_name(sql, tenant, title, query::customer).await
    }

    async fn customers(
        &self,
        tenant: TenantId,
        link: PageLink,
    ) -> Result<Page<Customer>, PortError> {
        let ask = move |connection: &Connection| {
            let list = List::of("customer").belonging("tenant_id", Some(tenant.0));
            let list = list.searched(link.text_search.as_deref());
            list.page(connection, &link, list::customer_sort, query::customer)
        };
        self.readers.ask(ask).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, PortError> {
        self.by_id("SELECT * FROM person WHERE id = $1", id.0, query::user).await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>, PortError> {
        let sql = "SELECT * FROM person WHERE email_lower = $1";
        self.by_text(sql, email.to_lowercase(), query::user).await
    }

    async fn user_credentials(&self, id: UserId) -> Result<Option<UserCredentials>, PortError> {
        self.by_id("SELECT * FROM person_login WHERE person_id = $1", id.0, query::login).await
    }

    async fn users(
        &self,
        tenant: TenantId,
        customer: Option<CustomerId>,
        link: PageLink,
    ) -> Result<Page<User>, PortError> {
        let ask = move |connection: &Connection| {
            let list = List::of("person")
                .belonging("tenant_id", Some(tenant.0))
                .belonging("customer_id", customer.map(|id| id.0))
                .searched(link.text_search.as_deref());
            list.page(connection, &link, list::user_sort, query::user)
        };
        self.readers.ask(ask).await
    }

    async fn user_settings(&self, id: UserId) -> Result<Option<String>, PortError> {
        let sql = "SELECT value FROM person_settings WHERE person_id = $1";
        self.by_id(sql, id.0, query::text).await
    }

    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, PortError> {
        self.by_id("SELECT * FROM api_key WHERE id = $1", id.0, query::api_key).await
    }

    async fn api_key_by_hash(&self, hash: KeyHash) -> Result<Option<ApiKey>, PortError> {
        let sql = "SELECT * FROM api_key WHERE hash = $1";
        self.readers.ask(move |connection| one(connection, sql, &[&hash], query::api_key)).await
    }

    async fn api_keys(&self, user: UserId, link: PageLink) -> Result<Page<ApiKey>, PortError> {
        let ask = move |connection: &Connection| {
            let list = List::of("api_key").belonging("person_id", Some(user.0));
            let list = list.searched(link.text_search.as_deref());
            list.page(connection, &link, list::api_key_sort, query::api_key)
        };
        self.readers.ask(ask).await
    }

    async fn ended_sessions(&self) -> Result<Vec<EndedSession>, PortError> {
        let sql = "SELECT * FROM ended_session ORDER BY expires_at, id";
        self.readers.ask(move |connection| many(connection, sql, &[], query::ended_session)).await
    }

    async fn profile(&self, id: DeviceProfileId) -> Result<Option<DeviceProfile>, PortError> {
        self.by_id("SELECT * FROM device_profile WHERE id = $1", id.0, query::profile).await
    }

    async fn profile_by_name(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<DeviceProfile>, PortError> {
        let sql = "SELECT * FROM device_profile WHERE tenant_id = $1 AND name = $2";
        self.by_name(sql, tenant, name, query::profile).await
    }

    async fn profile_by_provision_key(
        &self,
        key: &str,
    ) -> Result<Option<DeviceProfile>, PortError> {
        let sql = "SELECT * FROM device_profile WHERE provision_key = $1";
        self.by_text(sql, key.to_owned(), query::profile).await
    }

    async fn profiles_by_ca_name(
        &self,
        ca_name: &str,
        limit: u32,
    ) -> Result<Vec<DeviceProfile>, PortError> {
        let sql = "SELECT * FROM device_profile WHERE ca_name = $1 ORDER BY \
                   row_number() OVER (PARTITION BY tenant_id ORDER BY id), id LIMIT $2";
        let name = ca_name.to_owned();
        let ask =
            move |connection: &Connection| many(connection, sql, &[&name, &limit], query::profile);
        self.readers.ask(ask).await
    }

    async fn default_profile(&self, tenant: TenantId) -> Result<Option<DeviceProfile>, PortError> {
        let sql = "SELECT * FROM device_profile WHERE tenant_id = $1 AND is_default = 1";
        self.by_id(sql, tenant.0, query::profile).await
    }

    async fn profiles(
        &self,
        tenant: TenantId,
        link: PageLink,
    ) -> Result<Page<DeviceProfile>, PortError> {
        let ask = move |connection: &Connection| {
            let list = List::of("device_profile").belonging("tenant_id", Some(tenant.0));
            let list = list.searched(link.text_search.as_deref());
            list.page(connection, &link, list::profile_sort, query::profile)
        };
        self.readers.ask(ask).await
    }

    async fn profile_use(&self, id: DeviceProfileId) -> Result<u64, PortError> {
        self.counted("SELECT COUNT(*) FROM device WHERE profile_id = $1", id.0).await
    }

    async fn device(&self, id: DeviceId) -> Result<Option<Device>, PortError> {
        self.by_id(DEVICE_BY_ID, id.0, query::device).await
    }

    async fn device_by_name(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Device>, PortError> {
        self.by_name(DEVICE_BY_NAME, tenant, name, query::device).await
    }

    async fn devices_by_names(
        &self,
        tenant: TenantId,
        names: Vec<String>,
    ) -> Result<Vec<Device>, PortError> {
        let ask = move |connection: &Connection| {
            let mut found = Vec::new();
            for name in names {
                let values: [&dyn rusqlite::ToSql; 2] = [tenant.0.as_bytes(), &name];
                found.extend(one(connection, DEVICE_BY_NAME, &values, query::device)?);
            }
            Ok(found)
        };
        self.readers.ask(ask).await
    }

    async fn devices(
        &self,
        filter: DeviceFilter,
        link: PageLink,
    ) -> Result<Page<DeviceOverview>, PortError> {
        self.readers.ask(move |connection| list::devices(connection, &filter, &link)).await
    }

    async fn devices_by_ids(&self, mut ids: Vec<DeviceId>) -> Result<Vec<Device>, PortError> {
        ids.sort_unstable();
        ids.dedup();
        let ask = move |connection: &Connection| {
            let mut devices = Vec::new();
            for id in ids {
                devices.extend(one(connection, DEVICE_BY_ID, &[id.0.as_bytes()], query::device)?);
            }
            Ok(devices)
        };
        self.readers.ask(ask).await
    }

    async fn device_activity(&self, id: DeviceId) -> Result<Option<DeviceActivity>, PortError> {
        self.readers.ask(move |connection| activity::of(connection, id)).await
    }

    async fn watched_devices(
        &self,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<WatchedDevice>, PortError> {
        self.readers.ask(move |connection| activity::watched(connection, after, limit)).await
    }

    async fn device_types(&self, tenant: TenantId) -> Result<Vec<String>, PortError> {
        let sql = "SELECT p.name FROM device_profile p WHERE p.tenant_id = $1 AND EXISTS \
                   (SELECT 1 FROM device d WHERE d.profile_id = p.id) ORDER BY p.name";
        let ask = move |connection: &Connection| {
            many(connection, sql, &[tenant.0.as_bytes()], query::text)
        };
        self.readers.ask(ask).await
    }

    async fn device_count(&self, tenant: TenantId) -> Result<u64, PortError> {
        self.counted("SELECT COUNT(*) FROM device WHERE tenant_id = $1", tenant.0).await
    }

    async fn credentials_of(
        &self,
        device: DeviceId,
    ) -> Result<Option<DeviceCredentials>, PortError> {
        let sql = "SELECT * FROM device_credentials WHERE device_id = $1";
        self.by_id(sql, device.0, query::credentials).await
    }

    async fn credentials_by_id(
        &self,
        credentials_id: &str,
    ) -> Result<Option<DeviceCredentials>, PortError> {
        let sql = "SELECT * FROM device_credentials WHERE credentials_id = $1";
        self.by_text(sql, credentials_id.to_owned(), query::credentials).await
    }

    async fn certificates_by_expiry(
        &self,
        tenant: TenantId,
        customer: Option<CustomerId>,
        before: Timestamp,
        link: PageLink,
    ) -> Result<Page<DeviceCertificate>, PortError> {
        let ask = move |connection: &Connection| {
            list::certificates(connection, tenant, customer, before, &link)
        };
        self.readers.ask(ask).await
    }

    async fn call(&self, id: RpcId) -> Result<Option<PersistentCall>, PortError> {
        self.readers.ask(move |connection| calls::by_id(connection, id)).await
    }

    async fn calls(
        &self,
        filter: CallFilter,
        link: PageLink,
    ) -> Result<Page<PersistentCall>, PortError> {
        self.readers.ask(move |connection| calls::page(connection, filter, &link)).await
    }

    async fn open_calls(&self, limit: u32) -> Result<Vec<PersistentCall>, PortError> {
        self.readers.ask(move |connection| calls::open(connection, limit)).await
    }

    async fn setting(&self, key: &str) -> Result<Option<String>, PortError> {
        let sql = "SELECT value FROM setting WHERE key = $1";
        self.by_text(sql, key.to_owned(), query::text).await
    }

    async fn outbox(&self) -> Result<Vec<EntityRef>, PortError> {
        let sql = "SELECT kind, id FROM outbox ORDER BY kind, id";
        self.readers.ask(move |connection| many(connection, sql, &[], query::note)).await
    }
}

/// Name of the database in the data directory.
pub const FILE: &str = crate::premises::ENTITIES;

const DEVICE_BY_ID: &str = "SELECT t.*, p.name AS profile_name FROM device t \
                            JOIN device_profile p ON p.id = t.profile_id WHERE t.id = $1";
const DEVICE_BY_NAME: &str = "SELECT t.*, p.name AS profile_name FROM device t \
                              JOIN device_profile p ON p.id = t.profile_id \
                              WHERE t.tenant_id = $1 AND t.name = $2";
