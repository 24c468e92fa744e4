//! A device profile as clients send it, and its way to the registry's draft.

use serde::Deserialize;
use thingport_core::registry::profiles::{ProfileDraft, ProfileTransport, Unsaid};
use thingport_model::id::{DeviceProfileId, EntityKind};
use thingport_model::profile::{
    ChainStrictness, MqttTransport, PayloadType, ProtobufPayload, ProtobufRoots, Provisioning,
    TransportType, X509Chain,
};
use utoipa::ToSchema;

use super::extension::{self, ExtensionInput};
use super::said::said;
use super::{ALLOW_CREATE, CHECK, DISABLED, KIND, X509};
use crate::dto::id::{IdInput, must_be_absent, optional_id};
use crate::dto::opaque::{self, Opaque};
use crate::dto::package::assigned;
use crate::error::Refusal;

/// A device profile to be created (without `id`) or changed.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = DeviceProfileInput)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceProfileInput {
    id: Option<IdInput>,
    version: Option<i64>,
    /// Unique in the tenant; not blank.
    name: Option<String>,
    description: Option<String>,
    image: Option<String>,
    /// `DEFAULT`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// `DEFAULT`, `MQTT`, `COAP`, `LWM2M` or `SNMP`.
    transport_type: Option<String>,
    /// `DISABLED` when absent.
    provision_type: Option<String>,
    provision_device_key: Option<String>,
    /// Must be null: this server has no rule chains.
    default_rule_chain_id: Option<IdInput>,
    /// Must be null: this server has no dashboards.
    default_dashboard_id: Option<IdInput>,
    /// Must be null: this server has no rule chains.
    default_edge_rule_chain_id: Option<IdInput>,
    default_queue_name: Option<String>,
    /// A firmware package of this profile that has data or a URL.
    firmware_id: Option<IdInput>,
    /// A software package of this profile that has data or a URL.
    software_id: Option<IdInput>,
    profile_data: Option<ProfileDataInput>,
    #[serde(rename = "default")]
    is_default: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProfileDataInput {
    /// Its `type` equals `transportType`.
    transport_configuration: Option<Opaque>,
    provision_configuration: Option<ProvisionInput>,
    alarms: Option<Opaque>,
    /// Ours. When absent it stays as it is; null clears it.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<ExtensionInput>)]
    thingport: Option<Option<ExtensionInput>>,
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProvisionInput {
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The secret; for `X509_CERTIFICATE_CHAIN` the CA's certificate in PEM.
    provision_device_secret: Option<String>,
    /// `X509_CERTIFICATE_CHAIN`: its first group, found in the common name of a device's certificate, is
    /// the device's name.
    #[serde(rename = "certificateRegExPattern")]
    certificate_pattern: Option<String>,
    /// `X509_CERTIFICATE_CHAIN`: whether unknown devices are created.
    #[serde(rename = "allowCreateNewDevicesByX509Certificate")]
    allow_create: Option<bool>,
    /// Ours, `X509_CERTIFICATE_CHAIN`: `STRICT` (the default) or `COMPATIBLE`, which looks at signatures
    /// alone as ThingsBoard does. When absent it stays as it is.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    chain_verification: Option<Option<String>>,
    /// Ours, `X509_CERTIFICATE_CHAIN`: the CA's revocation list in PEM. When absent it stays as it is.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    certificate_revocation_list: Option<Option<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tagged {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MqttInput {
    device_telemetry_topic: Option<String>,
    device_attributes_topic: Option<String>,
    device_attributes_subscribe_topic: Option<String>,
    transport_payload_type_configuration: Option<PayloadInput>,
    sparkplug: Option<bool>,
    sparkplug_attributes_metric_names: Option<Vec<String>>,
    send_ack_on_validation_exception: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PayloadInput {
    transport_payload_type: Option<String>,
    device_telemetry_proto_schema: Option<String>,
    device_attributes_proto_schema: Option<String>,
    device_rpc_request_proto_schema: Option<String>,
    device_rpc_response_proto_schema: Option<String>,
    enable_compatibility_with_json_payload_format: Option<bool>,
    use_json_payload_format_for_default_downlink_topics: Option<bool>,
    device_telemetry_proto_root: Option<String>,
    device_attributes_proto_root: Option<String>,
    device_rpc_request_proto_root: Option<String>,
    device_rpc_response_proto_root: Option<String>,
}

impl DeviceProfileInput {
    /// What the registry is asked to save.
    pub(crate) fn into_draft(self) -> Result<ProfileDraft, Refusal> {
        self.check_references()?;
        let data = self.profile_data.unwrap_or_default();
        let transport = self.transport_type.as_deref();
        let provision_type = self.provision_type.as_deref();
        let configuration = data.provision_configuration;
        let unsaid = unsaid(configuration.as_ref());
        Ok(ProfileDraft {
            id: optional_id(self.id.as_ref(), EntityKind::DeviceProfile, DeviceProfileId)?,
            version: self.version,
            name: self.name.unwrap_or_default(),
            description: self.description,
            image: self.image,
            is_default: self.is_default.unwrap_or(false),
            transport: transport_of(transport, data.transport_configuration)?,
            provisioning: provisioning(provision_type, self.provision_device_key, configuration)?,
            unsaid,
            packages: assigned(self.firmware_id.as_ref(), self.software_id.as_ref())?,
            alarms: opaque::text(data.alarms),
            queue_name: self.default_queue_name.filter(|name| !name.is_empty()),
            extension: extension::draft(data.thingport)?,
        })
    }

    fn check_references(&self) -> Result<(), Refusal> {
        if self.kind.as_deref().is_some_and(|kind| kind != KIND) {
            return Err(Refusal::bad_request("the type of a device profile is DEFAULT"));
        }
        must_be_absent("the rule chain", self.default_rule_chain_id.as_ref())?;
        must_be_absent("the dashboard", self.default_dashboard_id.as_ref())?;
        must_be_absent("the rule chain", self.default_edge_rule_chain_id.as_ref())
    }
}

/// `transportType` with a configuration of the same type (7.3); a missing configuration is the empty
/// one of that type.
fn transport_of(
    name: Option<&str>,
    configuration: Option<Opaque>,
) -> Result<ProfileTransport, Refusal> {
    let name = name.ok_or_else(|| Refusal::bad_request("transportType is missing"))?;
    let kind = TransportType::from_name(name)
        .ok_or_else(|| Refusal::bad_request(format!("{name:?} is not a transport type")))?;
    let Some(configuration) = configuration else {
        let empty = Opaque::from(format!(r#"{{"type":"{name}"}}"#));
        return read_transport(kind, empty);
    };
    let tagged: Tagged = read("transportConfiguration", configuration.text())?;
    if tagged.kind.as_deref() != Some(name) {
        return Err(Refusal::bad_request(format!(
            "the type of transportConfiguration must be the transportType {name}"
        )));
    }
    read_transport(kind, configuration)
}

fn read_transport(kind: TransportType, sent: Opaque) -> Result<ProfileTransport, Refusal> {
    match kind {
        TransportType::Default => Ok(ProfileTransport::Default),
        TransportType::Mqtt => {
            let input: MqttInput = read("transportConfiguration", sent.text())?;
            input.into_transport().map(ProfileTransport::Mqtt)
        }
        TransportType::Coap | TransportType::Lwm2m | TransportType::Snmp => {
            Ok(ProfileTransport::Opaque(kind, sent.into_text()))
        }
    }
}

impl MqttInput {
    fn into_transport(self) -> Result<MqttTransport, Refusal> {
        let standard = MqttTransport::default();
        let subscribe = self.device_attributes_subscribe_topic;
        Ok(MqttTransport {
            telemetry_topic: self.device_telemetry_topic.unwrap_or(standard.telemetry_topic),
            attributes_topic: self.device_attributes_topic.unwrap_or(standard.attributes_topic),
            attributes_subscribe_topic: subscribe
                .filter(|topic| !topic.trim().is_empty())
                .unwrap_or(standard.attributes_subscribe_topic),
            payload: self
                .transport_payload_type_configuration
                .unwrap_or_default()
                .into_payload()?,
            sparkplug: self.sparkplug.unwrap_or(false),
            sparkplug_attribute_metrics: self.sparkplug_attributes_metric_names,
            ack_on_validation_exception: self.send_ack_on_validation_exception.unwrap_or(false),
        })
    }
}

impl PayloadInput {
    fn into_payload(self) -> Result<PayloadType, Refusal> {
        match self.transport_payload_type.as_deref() {
            None | Some("JSON") => Ok(PayloadType::Json),
            Some("PROTOBUF") => Ok(PayloadType::Protobuf(Box::new(self.into_protobuf()))),
            Some("CBOR") => Ok(PayloadType::Cbor),
            Some("MSGPACK") => Ok(PayloadType::MessagePack),
            Some(other) => Err(Refusal::bad_request(format!(
                "transportPayloadType is JSON, PROTOBUF, CBOR or MSGPACK, not {other:?}"
            ))),
        }
    }

    /// Blank schemas of calls stand for the built-in ones (7.3).
    fn into_protobuf(self) -> ProtobufPayload {
        let or_built_in = |schema: Option<String>, built_in: &str| {
            schema.filter(|it| !it.trim().is_empty()).unwrap_or_else(|| built_in.to_owned())
        };
        let json = self.enable_compatibility_with_json_payload_format.unwrap_or(false);
        let downlinks = self.use_json_payload_format_for_default_downlink_topics.unwrap_or(false);
        ProtobufPayload {
            telemetry_schema: self.device_telemetry_proto_schema.unwrap_or_default(),
            attributes_schema: self.device_attributes_proto_schema.unwrap_or_default(),
            rpc_request_schema: or_built_in(self.device_rpc_request_proto_schema, RPC_REQUEST),
            rpc_response_schema: or_built_in(self.device_rpc_response_proto_schema, RPC_RESPONSE),
            json_compatibility: json,
            json_for_default_downlinks: json && downlinks,
            roots: ProtobufRoots {
                telemetry: self.device_telemetry_proto_root,
                attributes: self.device_attributes_proto_root,
                rpc_request: self.device_rpc_request_proto_root,
                rpc_response: self.device_rpc_response_proto_root,
            },
        }
    }
}

/// `provisionType` with a configuration of the same type (7.4); without one it is DISABLED.
fn provisioning(
    kind: Option<&str>,
    key: Option<String>,
    configuration: Option<ProvisionInput>,
) -> Result<Provisioning, Refusal> {
    let kind = kind.unwrap_or(DISABLED);
    let configured = configuration.is_some();
    let configuration = configuration.unwrap_or_default();
    let named = configuration.kind.as_deref().unwrap_or(if configured { kind } else { DISABLED });
    if named != kind {
        return Err(Refusal::bad_request(format!(
            "provisionType {kind} and the type {named} of provisionConfiguration differ"
        )));
    }
    let key = key.unwrap_or_default();
    if kind == X509 {
        return configuration.into_chain();
    }
    let secret = configuration.provision_device_secret.unwrap_or_default();
    match kind {
        DISABLED => Ok(Provisioning::Disabled { configured }),
        ALLOW_CREATE => Ok(Provisioning::AllowCreate { key, secret }),
        CHECK => Ok(Provisioning::CheckPreProvisioned { key, secret }),
        other => Err(Refusal::bad_request(format!("{other:?} is not a provision type"))),
    }
}

impl ProvisionInput {
    /// The key is worked out from the certificate (7.4).
    fn into_chain(self) -> Result<Provisioning, Refusal> {
        let strictness = match self.chain_verification.flatten() {
            None => ChainStrictness::default(),
            Some(name) => ChainStrictness::from_name(&name).ok_or_else(|| {
                Refusal::bad_request(format!(
                    "chainVerification is STRICT or COMPATIBLE, not {name:?}"
                ))
            })?,
        };
        Ok(Provisioning::X509Chain(Box::new(X509Chain {
            chain: self.provision_device_secret.unwrap_or_default(),
            cn_pattern: self.certificate_pattern.unwrap_or_default(),
            allow_create: self.allow_create.unwrap_or(false),
            strictness,
            crl: self.certificate_revocation_list.flatten(),
            ..X509Chain::default()
        })))
    }
}

/// What a request without our own members leaves as it is.
fn unsaid(configuration: Option<&ProvisionInput>) -> Unsaid {
    configuration.map_or_else(Unsaid::default, |it| Unsaid {
        strictness: it.chain_verification.is_none(),
        crl: it.certificate_revocation_list.is_none(),
    })
}

fn read<T: for<'de> Deserialize<'de>>(what: &str, text: &str) -> Result<T, Refusal> {
    serde_json::from_str(text)
        .map_err(|error| Refusal::bad_request(format!("{what} is not what is due: {error}")))
}

const RPC_REQUEST: &str = "syntax = \"proto3\";\n\nmessage RpcRequest {\n  \
    optional string method = 1;\n  optional int32 requestId = 2;\n  optional string params = 3;\n}\n";
const RPC_RESPONSE: &str =
    "syntax = \"proto3\";\n\nmessage RpcResponse {\n  optional string payload = 1;\n}\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dto::profile::{DeviceProfileBody, chain_configuration};
    use thingport_model::id::TenantId;
    use thingport_model::profile::DeviceProfile;
    use thingport_model::time::Timestamp;
    use uuid::Uuid;

    fn draft(json: &str) -> Result<ProfileDraft, Refusal> {
        let input: DeviceProfileInput = serde_json::from_str(json).expect("an object");
        input.into_draft()
    }

    #[test]
    fn what_contradicts_itself_or_refers_to_nothing_is_refused() {
        let id = r#"{"entityType":"RULE_CHAIN","id":"0b5f3a10-5a7e-11f0-9a01-0f2d5c7e8a11"}"#;
        let rows = [
            r#"{"name":"p"}"#.to_owned(),
            r#"{"transportType":"ZIGBEE"}"#.to_owned(),
            r#"{"transportType":"DEFAULT","type":"OTHER"}"#.to_owned(),
            r#"{"transportType":"MQTT","profileData":{"transportConfiguration":{"type":"DEFAULT"}}}"#
                .to_owned(),
            r#"{"transportType":"MQTT","profileData":{"transportConfiguration":{}}}"#.to_owned(),
            r#"{"transportType":"DEFAULT","provisionType":"ALLOW_CREATE_NEW_DEVICES"}"#.to_owned(),
            r#"{"transportType":"DEFAULT","profileData":{"provisionConfiguration":{"type":"X"}}}"#
                .to_owned(),
            format!(r#"{{"transportType":"DEFAULT","defaultRuleChainId":{id}}}"#),
            format!(r#"{{"transportType":"DEFAULT","firmwareId":{id}}}"#),
        ];
        for row in rows {
            assert_eq!(draft(&row).expect_err(&row).code(), 31, "{row}");
        }
    }

    #[test]
    fn missing_parts_get_their_defaults() {
        let json = r#"{"name":"p","transportType":"MQTT","provisionType":null,"profileData":
            {"transportConfiguration":{"type":"MQTT","deviceAttributesSubscribeTopic":" ",
             "transportPayloadTypeConfiguration":null}}}"#;
        let draft = draft(json).expect("accepted");
        let ProfileTransport::Mqtt(mqtt) = draft.transport else { panic!("not MQTT") };
        assert_eq!(mqtt, MqttTransport::default());
        assert_eq!(draft.provisioning, Provisioning::Disabled { configured: false });
    }

    #[test]
    fn our_own_members_of_a_chain_are_shown_only_when_they_say_something() {
        let sent = |more: &str| {
            let json = format!(
                r#"{{"name":"p","transportType":"DEFAULT","provisionType":"X509_CERTIFICATE_CHAIN",
                "provisionDeviceKey":"ignored","profileData":{{"provisionConfiguration":{{
                "type":"X509_CERTIFICATE_CHAIN","provisionDeviceSecret":"PEM",
                "certificateRegExPattern":"(.*)",
                "allowCreateNewDevicesByX509Certificate":true{more}}}}}}}"#
            );
            draft(&json)
        };
        let plain = sent("").expect("accepted");
        assert_eq!(plain.unsaid, Unsaid { strictness: true, crl: true });
        let Provisioning::X509Chain(chain) = plain.provisioning else { panic!("not a chain") };
        assert!(chain.allow_create && chain.key.is_empty());
        let shown = chain_configuration(&chain).to_string();
        let expected = r#"{"type":"X509_CERTIFICATE_CHAIN","provisionDeviceSecret":"PEM","certificateRegExPattern":"(.*)","allowCreateNewDevicesByX509Certificate":true}"#;
        assert_eq!(shown, expected, "7.4");
        let more = r#","chainVerification":"COMPATIBLE","certificateRevocationList":"CRL""#;
        let rich = sent(more).expect("accepted");
        assert_eq!(rich.unsaid, Unsaid::default());
        let Provisioning::X509Chain(chain) = rich.provisioning else { panic!("not a chain") };
        let shown = chain_configuration(&chain).to_string();
        assert!(shown.ends_with(&format!("{more}}}")), "{shown}");
        let cleared = sent(r#","chainVerification":null,"certificateRevocationList":null"#);
        assert_eq!(cleared.expect("accepted").unsaid, Unsaid::default());
        assert!(sent(r#","chainVerification":"LOOSE""#).is_err());
    }

    #[test]
    fn a_saved_profile_comes_back_as_it_was_sent() {
        let sent = r#"{"name":"p","transportType":"COAP","profileData":{
            "transportConfiguration":{"type":"COAP","x":[1.50]},
            "provisionConfiguration":{"type":"DISABLED","provisionDeviceSecret":null},
            "alarms":[{"id":"a"}]}}"#;
        let draft = draft(sent).expect("accepted");
        let ProfileTransport::Opaque(transport, opaque) = draft.transport else {
            panic!("not COAP")
        };
        let profile = DeviceProfile {
            id: DeviceProfileId(Uuid::nil()),
            created_at: Timestamp(1),
            tenant_id: TenantId(Uuid::nil()),
            name: draft.name,
            description: None,
            image: None,
            is_default: false,
            transport,
            mqtt: None,
            opaque_transport: Some(opaque),
            provisioning: draft.provisioning,
            alarms: draft.alarms,
            queue_name: None,
            packages: thingport_model::ota::AssignedPackages::default(),
            extension: thingport_model::profile::extension::ProfileExtension::default(),
            version: 1,
        };
        let body = serde_json::to_string(&DeviceProfileBody::from(profile)).expect("serializes");
        assert!(body.contains(r#""transportConfiguration":{"type":"COAP","x":[1.50]}"#), "{body}");
        assert!(body.contains(r#""alarms":[{"id":"a"}]"#), "{body}");
    }
}
