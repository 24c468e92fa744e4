//! Device profiles (REST API section 7).

pub mod extension;
pub mod forwarding;

use self::extension::ProfileExtension;
use crate::id::{DeviceProfileId, TenantId};
use crate::ota::AssignedPackages;
use crate::tenant::OpaqueJson;
use crate::time::Timestamp;

/// How devices of a profile talk. The numbers are part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportType {
    /// `DEFAULT`: MQTT and HTTP with ThingsBoard's standard topics.
    Default = 1,
    /// `MQTT`: MQTT with topics and payload form of the profile.
    Mqtt = 2,
    /// `COAP`: stored, not acted upon.
    Coap = 3,
    /// `LWM2M`: stored, not acted upon.
    Lwm2m = 4,
    /// `SNMP`: stored, not acted upon.
    Snmp = 5,
}

impl TransportType {
    /// Every type.
    pub const ALL: [Self; 5] = [Self::Default, Self::Mqtt, Self::Coap, Self::Lwm2m, Self::Snmp];

    /// ThingsBoard's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "DEFAULT",
            Self::Mqtt => "MQTT",
            Self::Coap => "COAP",
            Self::Lwm2m => "LWM2M",
            Self::Snmp => "SNMP",
        }
    }

    /// The type with ThingsBoard's word `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether devices of such a profile may use the MQTT listener (AU-009).
    #[must_use]
    pub const fn speaks_mqtt(self) -> bool {
        matches!(self, Self::Default | Self::Mqtt)
    }
}

/// What a profile of transport type MQTT says about topics and payloads (REST API 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttTransport {
    /// Topic filter for telemetry publishes.
    pub telemetry_topic: String,
    /// Topic filter for attribute publishes.
    pub attributes_topic: String,
    /// Topic on which shared-attribute changes are pushed.
    pub attributes_subscribe_topic: String,
    /// Form of the bodies.
    pub payload: PayloadType,
    /// Sparkplug B.
    pub sparkplug: bool,
    /// Metric names that become attributes.
    pub sparkplug_attribute_metrics: Option<Vec<String>>,
    /// "Send PUBACK on PUBLISH message validation failure" for MQTT 3.x.
    pub ack_on_validation_exception: bool,
}

/// Form of the bodies on the profile's topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadType {
    /// Plain JSON.
    Json,
    /// Protocol Buffers with four schemas.
    Protobuf(Box<ProtobufPayload>),
    /// CBOR that says what JSON would say.
    Cbor,
    /// MessagePack that says what JSON would say.
    MessagePack,
}

/// The four schemas and two switches of a Protobuf profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtobufPayload {
    /// `deviceTelemetryProtoSchema`
    pub telemetry_schema: String,
    /// `deviceAttributesProtoSchema`
    pub attributes_schema: String,
    /// `deviceRpcRequestProtoSchema`
    pub rpc_request_schema: String,
    /// `deviceRpcResponseProtoSchema`
    pub rpc_response_schema: String,
    /// Try JSON when a body is not valid Protobuf.
    pub json_compatibility: bool,
    /// Downlinks on the standard topics stay JSON.
    pub json_for_default_downlinks: bool,
    /// Which messages are the roots.
    pub roots: ProtobufRoots,
}

/// The root message of each schema; without a name it is the last at top level, as ThingsBoard has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtobufRoots {
    /// Of the telemetry schema.
    pub telemetry: Option<String>,
    /// Of the attributes schema.
    pub attributes: Option<String>,
    /// Of the schema of calls.
    pub rpc_request: Option<String>,
    /// Of the schema of answers to calls.
    pub rpc_response: Option<String>,
}

impl Default for MqttTransport {
    fn default() -> Self {
        Self {
            telemetry_topic: TELEMETRY_TOPIC.to_owned(),
            attributes_topic: ATTRIBUTES_TOPIC.to_owned(),
            attributes_subscribe_topic: ATTRIBUTES_TOPIC.to_owned(),
            payload: PayloadType::Json,
            sparkplug: false,
            sparkplug_attribute_metrics: None,
            ack_on_validation_exception: false,
        }
    }
}

/// How devices of a profile come to be (REST API 7.4).
#[derive(Clone, PartialEq, Eq)]
pub enum Provisioning {
    /// `DISABLED`; `configured` is false when the request left the configuration out.
    Disabled {
        /// Whether a configuration object is stored.
        configured: bool,
    },
    /// `ALLOW_CREATE_NEW_DEVICES`
    AllowCreate {
        /// `provisionDeviceKey`, unique in the installation.
        key: String,
        /// `provisionDeviceSecret`
        secret: String,
    },
    /// `CHECK_PRE_PROVISIONED_DEVICES`
    CheckPreProvisioned {
        /// `provisionDeviceKey`, unique in the installation.
        key: String,
        /// `provisionDeviceSecret`
        secret: String,
    },
    /// `X509_CERTIFICATE_CHAIN`
    X509Chain(Box<X509Chain>),
}

/// Devices come with certificates below a CA (device API 2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct X509Chain {
    /// SHA3-256 of the CA's certificate (AU-010), unique in the installation.
    pub key: String,
    /// SHA3-256 of the CA's name, by which a device that presents its own certificate alone finds the
    /// profile.
    pub ca_name: String,
    /// PEM: the CA's certificate, and whatever was pasted behind it.
    pub chain: String,
    /// Regular expression over the common name of a device's certificate; its first group is the name
    /// of the device.
    pub cn_pattern: String,
    /// Whether unknown devices are created.
    pub allow_create: bool,
    /// How presented certificates are judged.
    pub strictness: ChainStrictness,
    /// PEM: what the CA has called back.
    pub crl: Option<String>,
}

/// How the certificates that a device presents are judged. ThingsBoard has no such setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChainStrictness {
    /// Path, periods, CA flags, key usages and path lengths.
    #[default]
    Strict,
    /// Signatures alone, as ThingsBoard does (AU-041).
    Compatible,
}

impl ChainStrictness {
    /// Every strictness.
    pub const ALL: [Self; 2] = [Self::Strict, Self::Compatible];

    /// Our word in REST and in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "STRICT",
            Self::Compatible => "COMPATIBLE",
        }
    }

    /// The strictness with this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strictness| strictness.name() == name)
    }
}

impl core::fmt::Debug for Provisioning {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Keys and secrets are not printed.
        f.write_str(match self {
            Self::Disabled { .. } => "Disabled",
            Self::AllowCreate { .. } => "AllowCreate",
            Self::CheckPreProvisioned { .. } => "CheckPreProvisioned",
            Self::X509Chain(_) => "X509Chain",
        })
    }
}

/// A device profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProfile {
    /// Identity.
    pub id: DeviceProfileId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Owner.
    pub tenant_id: TenantId,
    /// Name, unique per tenant; it is the `type` of its devices.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Data URL or link, opaque.
    pub image: Option<String>,
    /// Whether devices that name no profile get it; one per tenant.
    pub is_default: bool,
    /// How its devices talk.
    pub transport: TransportType,
    /// Details when `transport` is MQTT; none for every other type.
    pub mqtt: Option<MqttTransport>,
    /// `transportConfiguration` of COAP, LWM2M and SNMP as sent; none for DEFAULT and MQTT.
    pub opaque_transport: Option<OpaqueJson>,
    /// How its devices come to be.
    pub provisioning: Provisioning,
    /// `profileData.alarms` as sent.
    pub alarms: Option<OpaqueJson>,
    /// `defaultQueueName` as sent.
    pub queue_name: Option<String>,
    /// Packages of its devices that have none of their own.
    pub packages: AssignedPackages,
    /// What ThingsBoard's profiles do not have.
    pub extension: ProfileExtension,
    /// Optimistic lock.
    pub version: i64,
}

impl DeviceProfile {
    /// Whether a v3 client gets PUBACK for a body that could not be decoded (device API 0.2, E-FORMAT).
    #[must_use]
    pub fn acks_invalid(&self) -> bool {
        self.mqtt.as_ref().is_some_and(|mqtt| mqtt.ack_on_validation_exception)
    }
}

/// Standard telemetry topic.
pub const TELEMETRY_TOPIC: &str = "v1/devices/me/telemetry";
/// Standard attributes topic.
pub const ATTRIBUTES_TOPIC: &str = "v1/devices/me/attributes";
