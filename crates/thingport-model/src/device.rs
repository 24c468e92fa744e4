//! Devices (REST API section 8).

use crate::id::{CustomerId, DeviceId, DeviceProfileId, TenantId};
use crate::ota::AssignedPackages;
use crate::tenant::OpaqueJson;
use crate::time::Timestamp;

/// A registered thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Identity.
    pub id: DeviceId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Owner.
    pub tenant_id: TenantId,
    /// The customer it is assigned to.
    pub customer_id: Option<CustomerId>,
    /// Its profile.
    pub profile_id: DeviceProfileId,
    /// Name, unique per tenant (D-1).
    pub name: String,
    /// The profile's name; kept with the device so that lists need no join.
    pub profile_name: String,
    /// Free text.
    pub label: Option<String>,
    /// `additionalInfo.gateway`: may use the gateway topics.
    pub is_gateway: bool,
    /// `additionalInfo` as sent.
    pub additional_info: Option<OpaqueJson>,
    /// `deviceData` as stored: configuration and transport configuration.
    pub device_data: OpaqueJson,
    /// Packages of its own; its profile's count where it has none.
    pub packages: AssignedPackages,
    /// Optimistic lock.
    pub version: i64,
}

/// A device with what lists show beside it (REST API 8.1, `DeviceInfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceOverview {
    /// The device.
    pub device: Device,
    /// Title of its customer.
    pub customer_title: Option<String>,
    /// Whether that is the public customer.
    pub customer_is_public: bool,
    /// Whether it said something within its inactivity timeout.
    pub is_active: bool,
}

/// Which devices a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFilter {
    /// Devices of this tenant only. Not optional: nobody lists across tenants.
    pub tenant_id: TenantId,
    /// Devices of this customer only.
    pub customer_id: Option<CustomerId>,
    /// Devices whose profile has this name.
    pub profile_name: Option<String>,
    /// Devices of this profile.
    pub profile_id: Option<DeviceProfileId>,
    /// Devices that are active, or those that are not.
    pub active: Option<bool>,
    /// Gateways, or those that are none.
    pub gateway: Option<bool>,
    /// Devices whose certificate expires before this moment.
    pub certificate_before: Option<Timestamp>,
    /// Devices of a list, or those that are not on it.
    pub among: Option<Among>,
}

/// Devices that are on a list, or all that are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Among {
    /// The list.
    pub ids: Vec<DeviceId>,
    /// Whether those on it are wanted, or all others.
    pub wanted: bool,
}
