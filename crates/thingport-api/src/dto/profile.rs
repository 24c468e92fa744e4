//! Device profiles (REST API section 7), the answer side. The request side is `profile/input.rs`.

mod extension;
mod forwarding;
mod input;
mod said;

use serde::Serialize;
use serde_json::{Value, json};
use thingport_model::profile::{
    ChainStrictness, DeviceProfile, MqttTransport, PayloadType, ProtobufPayload, Provisioning,
    TransportType, X509Chain,
};
use utoipa::ToSchema;

use self::extension::ExtensionBody;
use super::id::EntityId;
use super::opaque::{self, Opaque};

pub(crate) use input::DeviceProfileInput;

/// A device profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeviceProfile)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceProfileBody {
    id: EntityId,
    created_time: i64,
    tenant_id: EntityId,
    /// Unique in the tenant; the `type` of its devices.
    name: String,
    description: Option<String>,
    image: Option<String>,
    /// Always `DEFAULT`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    /// `DEFAULT`, `MQTT`, `COAP`, `LWM2M` or `SNMP`.
    #[schema(value_type = String)]
    transport_type: &'static str,
    #[schema(value_type = String)]
    provision_type: &'static str,
    default_rule_chain_id: Option<EntityId>,
    default_dashboard_id: Option<EntityId>,
    default_queue_name: Option<String>,
    profile_data: ProfileDataBody,
    provision_device_key: Option<String>,
    firmware_id: Option<EntityId>,
    software_id: Option<EntityId>,
    default_edge_rule_chain_id: Option<EntityId>,
    external_id: Option<EntityId>,
    version: i64,
    #[serde(rename = "default")]
    is_default: bool,
}

/// The inner part of a device profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeviceProfileData)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProfileDataBody {
    #[schema(value_type = Object)]
    configuration: Value,
    /// Its `type` equals the profile's `transportType`.
    transport_configuration: Opaque,
    #[schema(value_type = Option<Object>)]
    provision_configuration: Option<Value>,
    /// Stored and returned.
    alarms: Option<Opaque>,
    /// Ours; absent unless it says something.
    #[serde(skip_serializing_if = "Option::is_none")]
    thingport: Option<ExtensionBody>,
}

/// What lists and pickers show of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeviceProfileInfo)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProfileOverviewBody {
    id: EntityId,
    name: String,
    image: Option<String>,
    default_dashboard_id: Option<EntityId>,
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    #[schema(value_type = String)]
    transport_type: &'static str,
    tenant_id: EntityId,
}

impl From<DeviceProfile> for DeviceProfileBody {
    fn from(it: DeviceProfile) -> Self {
        let (provision_type, key, configuration) = provisioning(&it.provisioning);
        Self {
            id: it.id.entity().into(),
            created_time: it.created_at.ms(),
            tenant_id: it.tenant_id.entity().into(),
            kind: KIND,
            transport_type: it.transport.name(),
            provision_type,
            default_rule_chain_id: None,
            default_dashboard_id: None,
            default_queue_name: it.queue_name.clone(),
            profile_data: ProfileDataBody {
                configuration: json!({"type": KIND}),
                transport_configuration: transport(&it),
                provision_configuration: configuration,
                alarms: opaque::stored(it.alarms.as_ref()),
                thingport: ExtensionBody::of(&it.extension),
            },
            provision_device_key: key,
            firmware_id: it.packages.firmware.map(EntityId::package),
            software_id: it.packages.software.map(EntityId::package),
            default_edge_rule_chain_id: None,
            external_id: None,
            version: it.version,
            is_default: it.is_default,
            name: it.name,
            description: it.description,
            image: it.image,
        }
    }
}

impl From<DeviceProfile> for ProfileOverviewBody {
    fn from(it: DeviceProfile) -> Self {
        Self {
            id: it.id.entity().into(),
            name: it.name,
            image: it.image,
            default_dashboard_id: None,
            kind: KIND,
            transport_type: it.transport.name(),
            tenant_id: it.tenant_id.entity().into(),
        }
    }
}

fn transport(profile: &DeviceProfile) -> Opaque {
    let mqtt = profile.mqtt.as_ref().filter(|_| profile.transport == TransportType::Mqtt);
    match (mqtt, &profile.opaque_transport) {
        (Some(mqtt), _) => Opaque::from(mqtt_transport(mqtt).to_string()),
        (None, Some(opaque)) => Opaque::from(opaque.clone()),
        (None, None) => Opaque::from(json!({"type": profile.transport.name()}).to_string()),
    }
}

fn mqtt_transport(it: &MqttTransport) -> Value {
    json!({
        "type": "MQTT",
        "deviceTelemetryTopic": it.telemetry_topic,
        "deviceAttributesTopic": it.attributes_topic,
        "deviceAttributesSubscribeTopic": it.attributes_subscribe_topic,
        "transportPayloadTypeConfiguration": payload(&it.payload),
        "sparkplug": it.sparkplug,
        "sparkplugAttributesMetricNames": it.sparkplug_attribute_metrics,
        "sendAckOnValidationException": it.ack_on_validation_exception,
    })
}

fn payload(it: &PayloadType) -> Value {
    match it {
        PayloadType::Json => json!({"transportPayloadType": "JSON"}),
        PayloadType::Protobuf(it) => protobuf(it),
        PayloadType::Cbor => json!({"transportPayloadType": "CBOR"}),
        PayloadType::MessagePack => json!({"transportPayloadType": "MSGPACK"}),
    }
}

/// The members that ThingsBoard does not have are there only when they say something (G-21).
fn protobuf(it: &ProtobufPayload) -> Value {
    let mut configuration = json!({
        "transportPayloadType": "PROTOBUF",
        "deviceTelemetryProtoSchema": it.telemetry_schema,
        "deviceAttributesProtoSchema": it.attributes_schema,
        "deviceRpcRequestProtoSchema": it.rpc_request_schema,
        "deviceRpcResponseProtoSchema": it.rpc_response_schema,
        "enableCompatibilityWithJsonPayloadFormat": it.json_compatibility,
        "useJsonPayloadFormatForDefaultDownlinkTopics": it.json_for_default_downlinks,
    });
    let roots = [
        ("deviceTelemetryProtoRoot", &it.roots.telemetry),
        ("deviceAttributesProtoRoot", &it.roots.attributes),
        ("deviceRpcRequestProtoRoot", &it.roots.rpc_request),
        ("deviceRpcResponseProtoRoot", &it.roots.rpc_response),
    ];
    for (member, root) in roots {
        if let Some(root) = root {
            configuration[member] = root.as_str().into();
        }
    }
    configuration
}

/// `provisionType`, `provisionDeviceKey` and `provisionConfiguration` (7.4).
fn provisioning(it: &Provisioning) -> (&'static str, Option<String>, Option<Value>) {
    let secret = |kind: &'static str, key: &str, secret: &str| {
        let configuration = json!({"type": kind, "provisionDeviceSecret": secret});
        (kind, Some(key.to_owned()), Some(configuration))
    };
    match it {
        Provisioning::Disabled { configured: false } => (DISABLED, None, None),
        Provisioning::Disabled { configured: true } => {
            (DISABLED, None, Some(json!({"type": DISABLED, "provisionDeviceSecret": null})))
        }
        Provisioning::AllowCreate { key, secret: it } => secret(ALLOW_CREATE, key, it),
        Provisioning::CheckPreProvisioned { key, secret: it } => secret(CHECK, key, it),
        Provisioning::X509Chain(chain) => {
            (X509, Some(chain.key.clone()), Some(chain_configuration(chain)))
        }
    }
}

/// The members that ThingsBoard does not have are there only when they say something: its clients
/// choke on members they do not know (G-21).
fn chain_configuration(it: &X509Chain) -> Value {
    let mut configuration = json!({
        "type": X509,
        "provisionDeviceSecret": it.chain,
        "certificateRegExPattern": it.cn_pattern,
        "allowCreateNewDevicesByX509Certificate": it.allow_create,
    });
    if it.strictness != ChainStrictness::default() {
        configuration["chainVerification"] = it.strictness.name().into();
    }
    if let Some(crl) = &it.crl {
        configuration["certificateRevocationList"] = crl.as_str().into();
    }
    configuration
}

const KIND: &str = "DEFAULT";
const DISABLED: &str = "DISABLED";
const ALLOW_CREATE: &str = "ALLOW_CREATE_NEW_DEVICES";
const CHECK: &str = "CHECK_PRE_PROVISIONED_DEVICES";
const X509: &str = "X509_CERTIFICATE_CHAIN";
