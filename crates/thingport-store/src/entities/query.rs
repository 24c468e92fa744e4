//! Questions, as SQL, and rows read back into entities.

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Row, ToSql};
use thingport_model::activity::DeviceActivity;
use thingport_model::credentials::{CredentialsType, DeviceCertificate, DeviceCredentials};
use thingport_model::device::{Device, DeviceOverview};
use thingport_model::id::{
    ApiKeyId, CredentialsId, CustomerId, DeviceId, DeviceProfileId, EntityKind, EntityRef,
    PackageId, TenantId, TenantProfileId, UserId,
};
use thingport_model::ota::AssignedPackages;
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::profile::{DeviceProfile, TransportType};
use thingport_model::tenant::{Address, Customer, Tenant, TenantProfile};
use thingport_model::time::Timestamp;
use thingport_model::user::{ApiKey, Authority, EndedSession, User, UserCredentials};
use uuid::Uuid;

use super::document::{
    CredentialsDocument, DeviceDocument, Document, LoginDocument, PersonDocument, PlaceDocument,
    ProfileDocument, TenantProfileDocument,
};
use super::fault::port_error;

/// Reads an entity from a row that has the columns of its table.
pub(super) type Read<T> = fn(&Row<'_>) -> Result<T, PortError>;

/// The row that `sql` finds, if any.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    read: Read<T>,
) -> Result<Option<T>, PortError> {
    let mut statement = connection.prepare_cached(sql).map_err(fault)?;
    let row = statement.query_row(values, |row| Ok(read(row))).optional().map_err(fault)?;
    row.transpose()
}

/// The rows that `sql` finds, in its order.
pub(super) fn many<T>(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    read: Read<T>,
) -> Result<Vec<T>, PortError> {
    let mut statement = connection.prepare_cached(sql).map_err(fault)?;
    let mut rows = statement.query(values).map_err(fault)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The number that `sql` counts.
pub(super) fn count(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
) -> Result<u64, PortError> {
    let rows = one(connection, sql, values, |row| at::<i64>(row, 0))?;
    Ok(rows.unwrap_or_default().unsigned_abs())
}

pub(super) fn fault(error: rusqlite::Error) -> PortError {
    port_error(&error, Conflict::Reference)
}

/// The first column, a text.
pub(super) fn text(row: &Row<'_>) -> Result<String, PortError> {
    at(row, 0)
}

pub(super) fn tenant(row: &Row<'_>) -> Result<Tenant, PortError> {
    let place = document::<PlaceDocument>(row)?;
    Ok(Tenant {
        id: TenantId(id(row, "id")?),
        created_at: moment(row)?,
        title: get(row, "title")?,
        region: place.region.clone(),
        tenant_profile_id: TenantProfileId(id(row, "tenant_profile_id")?),
        additional_info: place.additional_info.clone(),
        address: address(row, place)?,
        version: get(row, "version")?,
    })
}

pub(super) fn tenant_profile(row: &Row<'_>) -> Result<TenantProfile, PortError> {
    let document = document::<TenantProfileDocument>(row)?;
    Ok(TenantProfile {
        id: TenantProfileId(id(row, "id")?),
        created_at: moment(row)?,
        name: get(row, "name")?,
        description: get(row, "description")?,
        is_default: get(row, "is_default")?,
        isolated_rule_engine: document.isolated_rule_engine,
        rate_limits: document.rate_limits()?,
        profile_data: document.profile_data,
        storage_ttl_days: document.storage_ttl_days,
        rpc_ttl_days: document.rpc_ttl_days,
        devices_max: document.devices_max,
        customers_max: document.customers_max,
        users_max: document.users_max,
        package_bytes_max: document.package_bytes_max,
    })
}

pub(super) fn customer(row: &Row<'_>) -> Result<Customer, PortError> {
    let place = document::<PlaceDocument>(row)?;
    Ok(Customer {
        id: CustomerId(id(row, "id")?),
        created_at: moment(row)?,
        tenant_id: TenantId(id(row, "tenant_id")?),
        title: get(row, "title")?,
        is_public: get(row, "is_public")?,
        additional_info: place.additional_info.clone(),
        address: address(row, place)?,
        version: get(row, "version")?,
    })
}

pub(super) fn user(row: &Row<'_>) -> Result<User, PortError> {
    let authority: String = get(row, "authority")?;
    let authority = Authority::from_name(&authority);
    Ok(User {
        id: UserId(id(row, "id")?),
        created_at: moment(row)?,
        tenant_id: TenantId(id(row, "tenant_id")?),
        customer_id: maybe_id(row, "customer_id")?.map(CustomerId),
        email: get(row, "email")?,
        authority: authority.ok_or_else(|| corrupt("an unknown authority"))?,
        first_name: get(row, "first_name")?,
        last_name: get(row, "last_name")?,
        phone: get(row, "phone")?,
        additional_info: document::<PersonDocument>(row)?.additional_info,
        version: get(row, "version")?,
    })
}

pub(super) fn login(row: &Row<'_>) -> Result<UserCredentials, PortError> {
    let mut document = document::<LoginDocument>(row)?;
    Ok(UserCredentials {
        former_passwords: document.former_passwords(),
        user_id: UserId(id(row, "person_id")?),
        enabled: document.enabled,
        password_hash: document.password_hash,
        tokens_valid_from: Timestamp(document.tokens_valid_from),
        last_login_at: document.last_login_at.map(Timestamp),
        password_set_at: document.password_set_at.map(Timestamp),
    })
}

pub(super) fn api_key(row: &Row<'_>) -> Result<ApiKey, PortError> {
    Ok(ApiKey {
        id: ApiKeyId(id(row, "id")?),
        created_at: moment(row)?,
        tenant_id: TenantId(id(row, "tenant_id")?),
        user_id: UserId(id(row, "person_id")?),
        description: get(row, "description")?,
        enabled: get(row, "enabled")?,
        expires_at: get::<Option<i64>>(row, "expires_at")?.map(Timestamp),
        hash: get(row, "hash")?,
        version: get(row, "version")?,
    })
}

pub(super) fn ended_session(row: &Row<'_>) -> Result<EndedSession, PortError> {
    Ok(EndedSession { session: id(row, "id")?, expires_at: Timestamp(get(row, "expires_at")?) })
}

pub(super) fn profile(row: &Row<'_>) -> Result<DeviceProfile, PortError> {
    let mut document = document::<ProfileDocument>(row)?;
    let transport: String = get(row, "transport")?;
    let transport = TransportType::from_name(&transport);
    Ok(DeviceProfile {
        id: DeviceProfileId(id(row, "id")?),
        created_at: moment(row)?,
        tenant_id: TenantId(id(row, "tenant_id")?),
        name: get(row, "name")?,
        description: get(row, "description")?,
        is_default: get(row, "is_default")?,
        transport: transport.ok_or_else(|| corrupt("an unknown transport type"))?,
        mqtt: document.mqtt(),
        extension: document.extension()?,
        provisioning: document.provisioning(get(row, "provision_key")?, get(row, "ca_name")?)?,
        image: document.image,
        opaque_transport: document.opaque_transport,
        alarms: document.alarms,
        queue_name: document.queue_name,
        packages: assigned_packages(row)?,
        version: get(row, "version")?,
    })
}

/// A device joined with `profile_name`.
pub(super) fn device(row: &Row<'_>) -> Result<Device, PortError> {
    let document = document::<DeviceDocument>(row)?;
    Ok(Device {
        id: DeviceId(id(row, "id")?),
        created_at: moment(row)?,
        tenant_id: TenantId(id(row, "tenant_id")?),
        customer_id: maybe_id(row, "customer_id")?.map(CustomerId),
        profile_id: DeviceProfileId(id(row, "profile_id")?),
        name: get(row, "name")?,
        profile_name: get(row, "profile_name")?,
        label: get(row, "label")?,
        is_gateway: get(row, "is_gateway")?,
        additional_info: document.additional_info,
        device_data: document.device_data,
        packages: assigned_packages(row)?,
        version: get(row, "version")?,
    })
}

/// A device joined with `customer_title` and `customer_is_public` too.
pub(super) fn overview(row: &Row<'_>) -> Result<DeviceOverview, PortError> {
    Ok(DeviceOverview {
        device: device(row)?,
        customer_title: get(row, "customer_title")?,
        customer_is_public: get::<Option<bool>>(row, "customer_is_public")?.unwrap_or_default(),
        is_active: get::<u8>(row, "activity")? == DeviceActivity::Active as u8,
    })
}

pub(super) fn credentials(row: &Row<'_>) -> Result<DeviceCredentials, PortError> {
    let kind = CredentialsType::from_number(get(row, "kind")?);
    Ok(DeviceCredentials {
        id: CredentialsId(id(row, "id")?),
        created_at: moment(row)?,
        device_id: DeviceId(id(row, "device_id")?),
        kind: kind.ok_or_else(|| corrupt("an unknown credentials type"))?,
        credentials_id: get(row, "credentials_id")?,
        value: document::<CredentialsDocument>(row)?.value,
        expires_at: get::<Option<i64>>(row, "expires_at")?.map(Timestamp),
        version: get(row, "version")?,
    })
}

/// Credentials joined with `device_name`, `customer_id` and `profile_name`.
pub(super) fn certificate(row: &Row<'_>) -> Result<DeviceCertificate, PortError> {
    let customer: Option<Vec<u8>> = get(row, "customer_id")?;
    Ok(DeviceCertificate {
        device_name: get(row, "device_name")?,
        profile_name: get(row, "profile_name")?,
        customer_id: customer.map(|_| id(row, "customer_id")).transpose()?.map(CustomerId),
        credentials: credentials(row)?,
    })
}

pub(super) fn note(row: &Row<'_>) -> Result<EntityRef, PortError> {
    let kind = EntityKind::from_number(get(row, "kind")?);
    Ok(EntityRef {
        kind: kind.ok_or_else(|| corrupt("an unknown entity kind"))?,
        id: id(row, "id")?,
    })
}

fn address(row: &Row<'_>, place: PlaceDocument) -> Result<Address, PortError> {
    Ok(Address {
        country: get(row, "country")?,
        state: place.state,
        city: get(row, "city")?,
        address: place.address,
        address2: place.address2,
        zip: place.zip,
        phone: place.phone,
        email: get(row, "email")?,
    })
}

pub(super) fn document<T: Document>(row: &Row<'_>) -> Result<T, PortError> {
    T::read(&get::<String>(row, "document")?)
}

/// The packages of a row of `device` or `device_profile`.
fn assigned_packages(row: &Row<'_>) -> Result<AssignedPackages, PortError> {
    Ok(AssignedPackages {
        firmware: maybe_id(row, "firmware_id")?.map(PackageId),
        software: maybe_id(row, "software_id")?.map(PackageId),
    })
}

pub(super) fn moment(row: &Row<'_>) -> Result<Timestamp, PortError> {
    get(row, "created_at").map(Timestamp)
}

pub(super) fn id(row: &Row<'_>, column: &str) -> Result<Uuid, PortError> {
    get(row, column).map(Uuid::from_bytes)
}

pub(super) fn maybe_id(row: &Row<'_>, column: &str) -> Result<Option<Uuid>, PortError> {
    Ok(get::<Option<[u8; 16]>>(row, column)?.map(Uuid::from_bytes))
}

pub(super) fn get<T: FromSql>(row: &Row<'_>, column: &str) -> Result<T, PortError> {
    row.get(column).map_err(fault)
}

fn at<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T, PortError> {
    row.get(column).map_err(fault)
}

pub(super) fn corrupt(what: &str) -> PortError {
    PortError::Corrupt(format!("the entity database holds {what}"))
}
