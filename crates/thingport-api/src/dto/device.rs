//! Devices (REST API 8.1).

use serde::{Deserialize, Serialize};
use thingport_core::fleet::Sight;
use thingport_model::device::{Device, DeviceOverview};
use thingport_model::id::EntityRef;
use thingport_model::time::Timestamp;
use utoipa::ToSchema;

use super::id::{EntityId, IdInput};
use super::opaque::Opaque;

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Device)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceBody {
    id: EntityId,
    /// Milliseconds since 1970.
    created_time: i64,
    /// Any JSON object; `gateway` and `description` have a meaning.
    additional_info: Option<Opaque>,
    tenant_id: EntityId,
    /// The nil id when the device is not assigned.
    customer_id: EntityId,
    /// Unique in the tenant.
    name: String,
    /// The name of its profile.
    #[serde(rename = "type")]
    kind: String,
    label: Option<String>,
    device_profile_id: EntityId,
    /// Firmware package of its own; its profile's counts where this is null.
    firmware_id: Option<EntityId>,
    /// Software package of its own; its profile's counts where this is null.
    software_id: Option<EntityId>,
    external_id: Option<EntityId>,
    /// One more per save.
    version: i64,
    /// Configuration and transport configuration.
    device_data: Opaque,
}

impl From<Device> for DeviceBody {
    fn from(device: Device) -> Self {
        Self {
            id: device.id.entity().into(),
            created_time: device.created_at.ms(),
            additional_info: device.additional_info.map(Opaque::from),
            tenant_id: device.tenant_id.entity().into(),
            customer_id: EntityId::customer(device.customer_id),
            name: device.name,
            kind: device.profile_name,
            label: device.label,
            device_profile_id: device.profile_id.entity().into(),
            firmware_id: device.packages.firmware.map(EntityId::package),
            software_id: device.packages.software.map(EntityId::package),
            external_id: None,
            version: device.version,
            device_data: Opaque::from(device.device_data),
        }
    }
}

/// A device with what lists show beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeviceInfo)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceOverviewBody {
    #[serde(flatten)]
    device: DeviceBody,
    /// Null when the device is not assigned.
    customer_title: Option<String>,
    customer_is_public: bool,
    device_profile_name: String,
    /// Whether the device was heard lately (8.3).
    active: bool,
}

impl From<DeviceOverview> for DeviceOverviewBody {
    fn from(overview: DeviceOverview) -> Self {
        Self {
            device_profile_name: overview.device.profile_name.clone(),
            device: overview.device.into(),
            customer_title: overview.customer_title,
            customer_is_public: overview.customer_is_public,
            active: overview.is_active,
        }
    }
}

/// A device of the fleet, with what people look for first when it is quiet.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FleetDevice)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FleetDeviceBody {
    #[serde(flatten)]
    overview: DeviceOverviewBody,
    /// Whether a connection of the device is open.
    connected: bool,
    /// Time of its newest reading, in milliseconds; null for never.
    last_reading_time: Option<i64>,
    /// The newest refusal, rejected message or disconnect that somebody should look at; null for none.
    last_refusal: Option<LastRefusalBody>,
}

/// What a device was last refused for; its events say more.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LastRefusal)]
pub(crate) struct LastRefusalBody {
    /// When, in milliseconds.
    at: i64,
    /// Stable id of the reason.
    #[schema(value_type = String, example = "payload.not_json")]
    reason: &'static str,
    /// What was wrong and what was expected.
    #[schema(value_type = String)]
    sentence: &'static str,
}

impl From<Sight> for FleetDeviceBody {
    fn from(sight: Sight) -> Self {
        Self {
            overview: sight.overview.into(),
            connected: sight.is_connected,
            last_reading_time: sight.last_reading.map(Timestamp::ms),
            last_refusal: sight.last_refusal.map(|incident| LastRefusalBody {
                at: incident.at.ms(),
                reason: incident.reason.id(),
                sentence: incident.reason.sentence(),
            }),
        }
    }
}

/// A device to be created (without `id`) or changed. Computed members are ignored.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceInput {
    pub(crate) id: Option<IdInput>,
    pub(crate) additional_info: Option<Opaque>,
    pub(crate) customer_id: Option<IdInput>,
    /// Unique in the tenant; not blank.
    pub(crate) name: Option<String>,
    /// Name of the profile when `deviceProfileId` is absent; created when missing.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) device_profile_id: Option<IdInput>,
    /// A firmware package of its profile that has data or a URL.
    pub(crate) firmware_id: Option<IdInput>,
    /// A software package of its profile that has data or a URL.
    pub(crate) software_id: Option<IdInput>,
    /// When given, the save is refused unless it is the stored one.
    pub(crate) version: Option<i64>,
    pub(crate) device_data: Option<Opaque>,
}

/// A kind of device in use: the name of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EntitySubtype)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceTypeBody {
    tenant_id: EntityId,
    #[schema(value_type = String)]
    entity_type: &'static str,
    #[serde(rename = "type")]
    kind: String,
}

impl DeviceTypeBody {
    pub(crate) fn of(tenant: EntityRef, kind: String) -> Self {
        Self { tenant_id: tenant.into(), entity_type: "DEVICE", kind }
    }
}
