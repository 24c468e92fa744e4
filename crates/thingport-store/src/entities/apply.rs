//! One step of a write, as SQL. The caller holds a transaction around all steps.

use rusqlite::{Connection, ToSql};
use thingport_model::credentials::DeviceCredentials;
use thingport_model::device::Device;
use thingport_model::id::{ApiKeyId, EntityKind, EntityRef, TenantId, UserId};
use thingport_model::port::entities::Write;
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::profile::DeviceProfile;
use thingport_model::tenant::{Customer, Tenant, TenantProfile};
use thingport_model::time::Timestamp;
use thingport_model::user::{ApiKey, EndedSession, LoginChange, User, UserCredentials};

use super::activity;
use super::calls;
use super::document::{
    CredentialsDocument, DeviceDocument, Document, LoginDocument, PersonDocument, PlaceDocument,
    ProfileDocument, TenantProfileDocument, ca_name, provision_key,
};
use super::packages;
use super::query::{count, login, one};
use super::relations;
use super::search::searchable;
use super::sessions;
use super::statement::{put, remove, run, table};

/// Applies one step.
pub(super) fn apply(connection: &Connection, write: &Write) -> Result<(), PortError> {
    match write {
        Write::Tenant(tenant) => put_tenant(connection, tenant),
        Write::TenantProfile(profile) => put_tenant_profile(connection, profile),
        Write::Customer(customer) => put_customer(connection, customer),
        Write::User(user) => put_user(connection, user),
        Write::UserCredentials(credentials) => put_login(connection, credentials),
        Write::ChangeLogin(user, change) => change_login(connection, *user, change),
        Write::ApiKey(key) => put_api_key(connection, key),
        Write::DeleteApiKey(id) => delete_api_key(connection, *id),
        Write::EndSession(ended, now) => end_session(connection, *ended, *now),
        Write::UserSettings(user, value) => put_user_settings(connection, *user, value),
        Write::AtMost(tenant, kind, max) => at_most(connection, *tenant, *kind, *max),
        Write::DeviceProfile(profile) => put_profile(connection, profile),
        Write::Device(device) => put_device(connection, device),
        Write::DeviceActivity(device, state) => activity::put(connection, *device, *state),
        Write::DeviceCredentials(credentials) => put_credentials(connection, credentials),
        Write::Delete(entity) => delete(connection, *entity),
        Write::Call(call) => calls::put(connection, call),
        Write::CallProgress(id, progress) => calls::progress(connection, *id, progress),
        Write::DeleteCall(id) => calls::delete(connection, *id),
        Write::ForgetCalls(tenant, before, limit) => {
            calls::forget(connection, *tenant, *before, *limit)
        }
        Write::KeepSession(session) => sessions::put(connection, session),
        Write::ForgetSession(device) => sessions::delete(connection, *device),
        Write::Relation(relation) => relations::put(connection, relation),
        Write::DeleteRelation(key) => relations::delete(connection, key),
        Write::DeleteRelations(entity, group) => relations::delete_of(connection, *entity, *group),
        Write::Package(package) => packages::put_package(connection, package),
        Write::DeletePackage(id) => packages::delete_package(connection, *id),
        Write::PackageBytesAtMost(tenant, max) => {
            packages::bytes_at_most(connection, *tenant, *max)
        }
        Write::Announce(one) => packages::announce(connection, one),
        Write::AnnounceToFleet(profile, kind, turn) => {
            packages::announce_to_fleet(connection, *profile, *kind, *turn)
        }
        Write::AnnouncementQueued(one) => packages::queued(connection, one),
        Write::Announced(one) => packages::announced(connection, one),
        Write::Setting(key, value) => put_setting(connection, key, value),
        Write::Purged(entity) => purged(connection, *entity),
    }
}

fn put_tenant(connection: &Connection, tenant: &Tenant) -> Result<(), PortError> {
    let document = PlaceDocument::from(tenant).write()?;
    let columns: &[(&str, &dyn ToSql)] = &[
        ("created_at", &tenant.created_at.ms()),
        ("title", &tenant.title),
        ("tenant_profile_id", tenant.tenant_profile_id.0.as_bytes()),
        ("email", &tenant.address.email),
        ("country", &tenant.address.country),
        ("city", &tenant.address.city),
        ("search", &searchable([Some(tenant.title.as_str())])),
        ("document", &document),
    ];
    put(connection, "tenant", tenant.id.0, tenant.version, columns)
}

fn put_tenant_profile(connection: &Connection, profile: &TenantProfile) -> Result<(), PortError> {
    if profile.is_default {
        let sql = "UPDATE tenant_profile SET is_default = 0 WHERE is_default = 1 AND id <> $1";
        run(connection, sql, &[profile.id.0.as_bytes()])?;
    }
    let sql = "INSERT INTO tenant_profile \
               (id, created_at, name, description, is_default, search, document) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET \
               name = excluded.name, description = excluded.description, \
               is_default = excluded.is_default, search = excluded.search, \
               document = excluded.document";
    let values: &[&dyn ToSql] = &[
        profile.id.0.as_bytes(),
        &profile.created_at.ms(),
        &profile.name,
        &profile.description,
        &i16::from(profile.is_default),
        &searchable([Some(profile.name.as_str())]),
        &TenantProfileDocument::from(profile).write()?,
    ];
    run(connection, sql, values).map(drop)
}

fn put_customer(connection: &Connection, customer: &Customer) -> Result<(), PortError> {
    let document = PlaceDocument::from(customer).write()?;
    let columns: &[(&str, &dyn ToSql)] = &[
        ("created_at", &customer.created_at.ms()),
        ("tenant_id", customer.tenant_id.0.as_bytes()),
        ("title", &customer.title),
        ("is_public", &i16::from(customer.is_public)),
        ("email", &customer.address.email),
        ("country", &customer.address.country),
        ("city", &customer.address.city),
        ("search", &searchable([Some(customer.title.as_str())])),
        ("document", &document),
    ];
    put(connection, "customer", customer.id.0, customer.version, columns)
}

fn put_user(connection: &Connection, user: &User) -> Result<(), PortError> {
    let document = PersonDocument::from(user).write()?;
    let names = [Some(user.email.as_str()), user.first_name.as_deref(), user.last_name.as_deref()];
    let columns: &[(&str, &dyn ToSql)] = &[
        ("created_at", &user.created_at.ms()),
        ("tenant_id", user.tenant_id.0.as_bytes()),
        ("customer_id", &user.customer_id.map(|id| id.0.into_bytes())),
        ("email", &user.email),
        ("email_lower", &user.email.to_lowercase()),
        ("authority", &user.authority.name()),
        ("first_name", &user.first_name),
        ("last_name", &user.last_name),
        ("phone", &user.phone),
        ("search", &searchable(names)),
        ("document", &document),
    ];
    put(connection, "person", user.id.0, user.version, columns)
}

fn put_login(connection: &Connection, credentials: &UserCredentials) -> Result<(), PortError> {
    let sql = "INSERT INTO person_login (person_id, document) VALUES ($1, $2) \
               ON CONFLICT (person_id) DO UPDATE SET document = excluded.document";
    let document = LoginDocument::from(credentials).write()?;
    run(connection, sql, &[credentials.user_id.0.as_bytes(), &document]).map(drop)
}

fn change_login(
    connection: &Connection,
    user: UserId,
    change: &LoginChange,
) -> Result<(), PortError> {
    let sql = "SELECT * FROM person_login WHERE person_id = $1";
    let stored = one(connection, sql, &[user.0.as_bytes()], login)?;
    let stored = stored.ok_or(PortError::Conflict(Conflict::Missing))?;
    put_login(connection, &change.apply(stored).map_err(PortError::Conflict)?)
}

fn put_api_key(connection: &Connection, key: &ApiKey) -> Result<(), PortError> {
    let columns: &[(&str, &dyn ToSql)] = &[
        ("created_at", &key.created_at.ms()),
        ("tenant_id", key.tenant_id.0.as_bytes()),
        ("person_id", key.user_id.0.as_bytes()),
        ("description", &key.description),
        ("enabled", &i16::from(key.enabled)),
        ("expires_at", &key.expires_at.map(Timestamp::ms)),
        ("hash", &key.hash),
        ("search", &searchable([Some(key.description.as_str())])),
    ];
    put(connection, "api_key", key.id.0, key.version, columns)
}

fn delete_api_key(connection: &Connection, id: ApiKeyId) -> Result<(), PortError> {
    match remove(connection, "DELETE FROM api_key WHERE id = $1", &[id.0.as_bytes()])? {
        0 => Err(PortError::Conflict(Conflict::Missing)),
        _ => Ok(()),
    }
}

fn end_session(
    connection: &Connection,
    ended: EndedSession,
    now: Timestamp,
) -> Result<(), PortError> {
    run(connection, "DELETE FROM ended_session WHERE expires_at <= $1", &[&now.ms()])?;
    let sql = "INSERT INTO ended_session (id, expires_at) VALUES ($1, $2) \
               ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at";
    run(connection, sql, &[ended.session.as_bytes(), &ended.expires_at.ms()]).map(drop)
}

fn put_user_settings(connection: &Connection, user: UserId, value: &str) -> Result<(), PortError> {
    let sql = "INSERT INTO person_settings (person_id, value) VALUES ($1, $2) \
               ON CONFLICT (person_id) DO UPDATE SET value = excluded.value";
    run(connection, sql, &[user.0.as_bytes(), &value]).map(drop)
}

fn at_most(
    connection: &Connection,
    tenant: TenantId,
    kind: EntityKind,
    max: u64,
) -> Result<(), PortError> {
    let table = match kind {
        EntityKind::Device | EntityKind::Customer | EntityKind::User => table(kind),
        EntityKind::Tenant | EntityKind::TenantProfile | EntityKind::DeviceProfile => return Ok(()),
    };
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE tenant_id = $1");
    if count(connection, &sql, &[tenant.0.as_bytes()])? > max {
        return Err(PortError::Conflict(Conflict::TooMany));
    }
    Ok(())
}

fn put_profile(connection: &Connection, profile: &DeviceProfile) -> Result<(), PortError> {
    if profile.is_default {
        let sql = "UPDATE device_profile SET is_default = 0 \
                   WHERE tenant_id = $1 AND is_default = 1 AND id <> $2";
        run(connection, sql, &[profile.tenant_id.0.as_bytes(), profile.id.0.as_bytes()])?;
    }
    let document = ProfileDocument::from(profile).write()?;
    let [firmware, software] = packages::columns(&profile.packages);
    let columns: &[(&str, &dyn ToSql)] = &[
        ("created_at", &profile.created_at.ms()),
        ("tenant_id", profile.tenant_id.0.as_bytes()),
        ("name", &profile.name),
        ("description", &profile.description),
        ("transport", &profile.transport.name()),
        ("is_default", &i16::from(profile.is_default)),
        ("provision_key", &provision_key(&profile.provisioning)),
        ("ca_name", &ca_name(&profile.provisioning)),
        ("firmware_id", &firmware),
        ("software_id", &software),
        ("search", &searchable([Some(profile.name.as_str())])),
        ("document", &document),
    ];
    put(connection, "device_profile", profile.id.0, profile.version, columns)
}

fn put_device(connection: &Connection, device: &Device) -> Result<(), PortError> {
    let document = DeviceDocument::from(device).write()?;
    let [firmware, software] = packages::columns(&device.packages);
    let columns: &[(&str, &dyn ToSql)] = &[
        ("created_at", &device.created_at.ms()),
        ("tenant_id", device.tenant_id.0.as_bytes()),
        ("customer_id", &device.customer_id.map(|id| id.0.into_bytes())),
        ("profile_id", device.profile_id.0.as_bytes()),
        ("name", &device.name),
        ("label", &device.label),
        ("is_gateway", &i16::from(device.is_gateway)),
        ("firmware_id", &firmware),
        ("software_id", &software),
        ("search", &searchable([Some(device.name.as_str()), device.label.as_deref()])),
        ("document", &document),
    ];
    put(connection, "device", device.id.0, device.version, columns)
}

fn put_credentials(
    connection: &Connection,
    credentials: &DeviceCredentials,
) -> Result<(), PortError> {
    let document = CredentialsDocument::from(credentials).write()?;
    let columns: &[(&str, &dyn ToSql)] = &[
        ("created_at", &credentials.created_at.ms()),
        ("device_id", credentials.device_id.0.as_bytes()),
        ("kind", &(credentials.kind as u8)),
        ("credentials_id", &credentials.credentials_id),
        ("expires_at", &credentials.expires_at.map(Timestamp::ms)),
        ("document", &document),
    ];
    put(connection, "device_credentials", credentials.id.0, credentials.version, columns)
}

fn put_setting(connection: &Connection, key: &str, value: &str) -> Result<(), PortError> {
    let sql = "INSERT INTO setting (key, value) VALUES ($1, $2) \
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    run(connection, sql, &[&key, &value]).map(drop)
}

fn purged(connection: &Connection, entity: EntityRef) -> Result<(), PortError> {
    let sql = "DELETE FROM outbox WHERE kind = $1 AND id = $2";
    run(connection, sql, &[&(entity.kind as u8), entity.id.as_bytes()]).map(drop)
}

fn delete(connection: &Connection, entity: EntityRef) -> Result<(), PortError> {
    let id = entity.id.as_bytes();
    for sql in cascade(entity.kind) {
        remove(connection, sql, &[id])?;
    }
    let table = table(entity.kind);
    if remove(connection, &format!("DELETE FROM {table} WHERE id = $1"), &[id])? == 0 {
        return Err(PortError::Conflict(Conflict::Missing));
    }
    let sql = "INSERT INTO outbox (kind, id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    run(connection, sql, &[&(entity.kind as u8), id]).map(drop)
}

/// What goes before the row itself, in an order that breaks no reference. The numbers are those of
/// [`EntityKind`].
const fn cascade(kind: EntityKind) -> &'static [&'static str] {
    match kind {
        EntityKind::TenantProfile => &[],
        // Its packages are for nobody else.
        EntityKind::DeviceProfile => &[
            RELATIONS,
            "UPDATE device_profile SET firmware_id = NULL, software_id = NULL WHERE id = $1",
            "DELETE FROM package WHERE profile_id = $1",
        ],
        EntityKind::Device => &[
            RELATIONS,
            "DELETE FROM announcement WHERE device_id = $1",
            "DELETE FROM device_credentials WHERE device_id = $1",
            "DELETE FROM rpc WHERE device_id = $1",
            "DELETE FROM kept_session WHERE device_id = $1",
        ],
        EntityKind::User => &[
            RELATIONS,
            "DELETE FROM person_login WHERE person_id = $1",
            "DELETE FROM person_settings WHERE person_id = $1",
            "DELETE FROM api_key WHERE person_id = $1",
        ],
        EntityKind::Customer => &[
            RELATIONS,
            "DELETE FROM relation WHERE from_id IN (SELECT id FROM person WHERE customer_id = $1) \
             OR to_id IN (SELECT id FROM person WHERE customer_id = $1)",
            "INSERT INTO outbox (kind, id) SELECT 4, id FROM person WHERE customer_id = $1 \
             ON CONFLICT DO NOTHING",
            "DELETE FROM person_login WHERE person_id IN \
             (SELECT id FROM person WHERE customer_id = $1)",
            "DELETE FROM person_settings WHERE person_id IN \
             (SELECT id FROM person WHERE customer_id = $1)",
            "DELETE FROM api_key WHERE person_id IN \
             (SELECT id FROM person WHERE customer_id = $1)",
            "DELETE FROM person WHERE customer_id = $1",
            "UPDATE device SET customer_id = NULL, version = version + 1 WHERE customer_id = $1",
        ],
        EntityKind::Tenant => &[
            "DELETE FROM relation WHERE tenant_id = $1",
            "INSERT INTO outbox (kind, id) SELECT 5, id FROM device WHERE tenant_id = $1 \
             ON CONFLICT DO NOTHING",
            "INSERT INTO outbox (kind, id) SELECT 6, id FROM device_profile WHERE tenant_id = $1 \
             ON CONFLICT DO NOTHING",
            "INSERT INTO outbox (kind, id) SELECT 4, id FROM person WHERE tenant_id = $1 \
             ON CONFLICT DO NOTHING",
            "INSERT INTO outbox (kind, id) SELECT 3, id FROM customer WHERE tenant_id = $1 \
             ON CONFLICT DO NOTHING",
            "DELETE FROM device_credentials WHERE device_id IN \
             (SELECT id FROM device WHERE tenant_id = $1)",
            "DELETE FROM rpc WHERE device_id IN (SELECT id FROM device WHERE tenant_id = $1)",
            "DELETE FROM kept_session WHERE device_id IN \
             (SELECT id FROM device WHERE tenant_id = $1)",
            "DELETE FROM announcement WHERE device_id IN \
             (SELECT id FROM device WHERE tenant_id = $1)",
            "DELETE FROM device WHERE tenant_id = $1",
            "UPDATE device_profile SET firmware_id = NULL, software_id = NULL \
             WHERE tenant_id = $1",
            "DELETE FROM package WHERE tenant_id = $1",
            "DELETE FROM device_profile WHERE tenant_id = $1",
            "DELETE FROM person_login WHERE person_id IN \
             (SELECT id FROM person WHERE tenant_id = $1)",
            "DELETE FROM person_settings WHERE person_id IN \
             (SELECT id FROM person WHERE tenant_id = $1)",
            "DELETE FROM api_key WHERE person_id IN \
             (SELECT id FROM person WHERE tenant_id = $1)",
            "DELETE FROM person WHERE tenant_id = $1",
            "DELETE FROM customer WHERE tenant_id = $1",
        ],
    }
}

/// Ids of whatever kinds are different.
const RELATIONS: &str = "DELETE FROM relation WHERE from_id = $1 OR to_id = $1";
