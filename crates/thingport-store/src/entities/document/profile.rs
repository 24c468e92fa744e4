//! The stored form of device profiles.

use serde::{Deserialize, Serialize};
use thingport_model::port::error::PortError;
use thingport_model::profile::extension::ProfileExtension;
use thingport_model::profile::{
    ChainStrictness, DeviceProfile, MqttTransport, PayloadType, ProtobufPayload, ProtobufRoots,
    Provisioning, X509Chain,
};

use super::Document;
use super::extension::ExtensionForm;

/// Beside the columns of `device_profile`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::entities) struct ProfileDocument {
    pub(in crate::entities) image: Option<String>,
    mqtt: Option<MqttForm>,
    pub(in crate::entities) opaque_transport: Option<String>,
    provisioning: ProvisioningForm,
    pub(in crate::entities) alarms: Option<String>,
    pub(in crate::entities) queue_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extension: Option<ExtensionForm>,
}

impl Document for ProfileDocument {}

impl ProfileDocument {
    pub(in crate::entities) fn mqtt(&mut self) -> Option<MqttTransport> {
        self.mqtt.take().map(MqttForm::into_model)
    }

    pub(in crate::entities) fn extension(&mut self) -> Result<ProfileExtension, PortError> {
        let extension = self.extension.take().map(ExtensionForm::into_model);
        Ok(extension.transpose()?.unwrap_or_default())
    }

    /// The provisioning key is a column because it is unique, the name of the CA because it is looked
    /// up.
    pub(in crate::entities) fn provisioning(
        &self,
        key: Option<String>,
        ca_name: Option<String>,
    ) -> Result<Provisioning, PortError> {
        let key = key.unwrap_or_default();
        Ok(match self.provisioning.clone() {
            ProvisioningForm::Disabled { configured } => Provisioning::Disabled { configured },
            ProvisioningForm::AllowCreate { secret } => Provisioning::AllowCreate { key, secret },
            ProvisioningForm::CheckPreProvisioned { secret } => {
                Provisioning::CheckPreProvisioned { key, secret }
            }
            ProvisioningForm::X509Chain { chain, cn_pattern, allow_create, strictness, crl } => {
                Provisioning::X509Chain(Box::new(X509Chain {
                    key,
                    ca_name: ca_name.unwrap_or_default(),
                    chain,
                    cn_pattern,
                    allow_create,
                    strictness: known_strictness(strictness.as_deref())?,
                    crl,
                }))
            }
        })
    }
}

impl From<&DeviceProfile> for ProfileDocument {
    fn from(profile: &DeviceProfile) -> Self {
        Self {
            image: profile.image.clone(),
            mqtt: profile.mqtt.as_ref().map(MqttForm::of),
            opaque_transport: profile.opaque_transport.clone(),
            provisioning: ProvisioningForm::of(&profile.provisioning),
            alarms: profile.alarms.clone(),
            queue_name: profile.queue_name.clone(),
            extension: ExtensionForm::of(&profile.extension),
        }
    }
}

/// The unique key of a profile's provisioning, if it has one.
pub(in crate::entities) fn provision_key(provisioning: &Provisioning) -> Option<&str> {
    match provisioning {
        Provisioning::Disabled { .. } => None,
        Provisioning::AllowCreate { key, .. } | Provisioning::CheckPreProvisioned { key, .. } => {
            Some(key)
        }
        Provisioning::X509Chain(chain) => Some(&chain.key),
    }
}

/// By which a presented chain finds the profile when it leaves the CA out.
pub(in crate::entities) fn ca_name(provisioning: &Provisioning) -> Option<&str> {
    match provisioning {
        Provisioning::X509Chain(chain) => Some(&chain.ca_name),
        _ => None,
    }
}

/// Absent is strict.
fn known_strictness(name: Option<&str>) -> Result<ChainStrictness, PortError> {
    let Some(name) = name else { return Ok(ChainStrictness::Strict) };
    ChainStrictness::from_name(name)
        .ok_or_else(|| PortError::Corrupt(format!("the unknown strictness {name:?}")))
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ProvisioningForm {
    Disabled {
        configured: bool,
    },
    AllowCreate {
        secret: String,
    },
    CheckPreProvisioned {
        secret: String,
    },
    X509Chain {
        chain: String,
        cn_pattern: String,
        allow_create: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strictness: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        crl: Option<String>,
    },
}

impl ProvisioningForm {
    fn of(model: &Provisioning) -> Self {
        match model.clone() {
            Provisioning::Disabled { configured } => Self::Disabled { configured },
            Provisioning::AllowCreate { secret, .. } => Self::AllowCreate { secret },
            Provisioning::CheckPreProvisioned { secret, .. } => {
                Self::CheckPreProvisioned { secret }
            }
            Provisioning::X509Chain(it) => Self::X509Chain {
                chain: it.chain,
                cn_pattern: it.cn_pattern,
                allow_create: it.allow_create,
                strictness: (it.strictness != ChainStrictness::Strict)
                    .then(|| it.strictness.name().to_owned()),
                crl: it.crl,
            },
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MqttForm {
    telemetry_topic: String,
    attributes_topic: String,
    attributes_subscribe_topic: String,
    /// None is JSON, unless another form is named.
    protobuf: Option<ProtobufForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    form: Option<BodyForm>,
    sparkplug: bool,
    sparkplug_attribute_metrics: Option<Vec<String>>,
    ack_on_validation_exception: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProtobufForm {
    telemetry_schema: String,
    attributes_schema: String,
    rpc_request_schema: String,
    rpc_response_schema: String,
    json_compatibility: bool,
    json_for_default_downlinks: bool,
    #[serde(default, skip_serializing_if = "RootsForm::is_empty")]
    roots: RootsForm,
}

/// The root messages that were named.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RootsForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    telemetry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc_request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc_response: Option<String>,
}

impl RootsForm {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A form of bodies that has no settings.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum BodyForm {
    Cbor,
    MessagePack,
}

impl MqttForm {
    fn of(model: &MqttTransport) -> Self {
        let model = model.clone();
        Self {
            telemetry_topic: model.telemetry_topic,
            attributes_topic: model.attributes_topic,
            attributes_subscribe_topic: model.attributes_subscribe_topic,
            form: match model.payload {
                PayloadType::Json | PayloadType::Protobuf(_) => None,
                PayloadType::Cbor => Some(BodyForm::Cbor),
                PayloadType::MessagePack => Some(BodyForm::MessagePack),
            },
            protobuf: match model.payload {
                PayloadType::Protobuf(payload) => Some(ProtobufForm::of(*payload)),
                PayloadType::Json | PayloadType::Cbor | PayloadType::MessagePack => None,
            },
            sparkplug: model.sparkplug,
            sparkplug_attribute_metrics: model.sparkplug_attribute_metrics,
            ack_on_validation_exception: model.ack_on_validation_exception,
        }
    }

    fn into_model(self) -> MqttTransport {
        let payload = match (self.protobuf, self.form) {
            (Some(protobuf), _) => PayloadType::Protobuf(Box::new(protobuf.into_model())),
            (None, Some(BodyForm::Cbor)) => PayloadType::Cbor,
            (None, Some(BodyForm::MessagePack)) => PayloadType::MessagePack,
            (None, None) => PayloadType::Json,
        };
        MqttTransport {
            telemetry_topic: self.telemetry_topic,
            attributes_topic: self.attributes_topic,
            attributes_subscribe_topic: self.attributes_subscribe_topic,
            payload,
            sparkplug: self.sparkplug,
            sparkplug_attribute_metrics: self.sparkplug_attribute_metrics,
            ack_on_validation_exception: self.ack_on_validation_exception,
        }
    }
}

impl ProtobufForm {
    fn of(model: ProtobufPayload) -> Self {
        Self {
            telemetry_schema: model.telemetry_schema,
            attributes_schema: model.attributes_schema,
            rpc_request_schema: model.rpc_request_schema,
            rpc_response_schema: model.rpc_response_schema,
            json_compatibility: model.json_compatibility,
            json_for_default_downlinks: model.json_for_default_downlinks,
            roots: RootsForm {
                telemetry: model.roots.telemetry,
                attributes: model.roots.attributes,
                rpc_request: model.roots.rpc_request,
                rpc_response: model.roots.rpc_response,
            },
        }
    }

    fn into_model(self) -> ProtobufPayload {
        ProtobufPayload {
            telemetry_schema: self.telemetry_schema,
            attributes_schema: self.attributes_schema,
            rpc_request_schema: self.rpc_request_schema,
            rpc_response_schema: self.rpc_response_schema,
            json_compatibility: self.json_compatibility,
            json_for_default_downlinks: self.json_for_default_downlinks,
            roots: ProtobufRoots {
                telemetry: self.roots.telemetry,
                attributes: self.roots.attributes,
                rpc_request: self.roots.rpc_request,
                rpc_response: self.roots.rpc_response,
            },
        }
    }
}
