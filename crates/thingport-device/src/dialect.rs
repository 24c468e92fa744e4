//! What a device profile changes about the device API, prepared once for all its devices.

use thingport_model::profile::{
    ATTRIBUTES_TOPIC, DeviceProfile, MqttTransport, PayloadType, ProtobufPayload, TELEMETRY_TOPIC,
    TransportType,
};
use thingport_model::reason::Reason;

use crate::payload::protobuf::{Diagnostic, Schema, SchemaKind};
use crate::reject::Reject;
use crate::topic::filter::Filter;
use crate::topic::{Endpoint, Family, Form, GATEWAY_PREFIX};

/// One profile's topics and forms. Make one per profile and version, share it among its devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialect {
    telemetry: Filter,
    attributes: Filter,
    attributes_subscribe: Filter,
    payload: Payload,
    acks_invalid: bool,
}

/// What bodies on topics without a form of their own are.
#[derive(Clone, Debug, PartialEq)]
enum Payload {
    Json,
    Protobuf(Box<Protobuf>),
    Cbor,
    MessagePack,
}

/// The compiled schemas of a Protobuf profile.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Protobuf {
    /// In order of [`SchemaKind::ALL`]; what is wrong with one that does not compile.
    schemas: [Result<Schema, String>; 4],
    /// Bodies that are no Protobuf are tried as JSON (TP-003).
    json_up: bool,
    /// What goes down on topics of the first family is JSON (TP-004).
    json_down: bool,
}

/// How one body is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BodyForm<'d> {
    Json,
    /// With the schemas of the profile, if it has any.
    Protobuf(Option<&'d Protobuf>),
    /// As Protobuf, or as JSON where that fails (PB-040).
    Either(&'d Protobuf),
    Cbor,
    MessagePack,
}

impl Dialect {
    /// Prepares a profile. Topics of its own count for transport type MQTT only; blank ones are the
    /// standard ones (TP-010).
    #[must_use]
    pub fn compile(profile: &DeviceProfile) -> Self {
        let is_mqtt = profile.transport == TransportType::Mqtt;
        profile.mqtt.as_ref().filter(|_| is_mqtt).map(Self::of).unwrap_or_default()
    }

    /// Whether a body that cannot be decoded is acknowledged to MQTT 3 clients (P-11).
    #[must_use]
    pub const fn acks_invalid(&self) -> bool {
        self.acks_invalid
    }

    /// What a publish topic stands for, in the order of 3.5: gateway topics, the profile's own, the
    /// table.
    ///
    /// # Errors
    /// As [`Endpoint::of`]. The standard topics are unknown where the profile has its own (TP-011).
    pub fn endpoint(&self, topic: &str) -> Result<Endpoint, Reject> {
        let is_gateway_topic = topic.starts_with(GATEWAY_PREFIX);
        if !is_gateway_topic && self.attributes.matches(topic) {
            return Ok(Endpoint::Attributes(Form::Profile));
        }
        if !is_gateway_topic && self.telemetry.matches(topic) {
            return Ok(Endpoint::Telemetry(Form::Profile));
        }
        if topic == TELEMETRY_TOPIC || topic == ATTRIBUTES_TOPIC {
            let what = "the device profile has a topic of its own for this";
            return Err(Reject::new(Reason::TopicUnknown, what));
        }
        Endpoint::of(topic)
    }

    /// Whether a filter asks for attribute updates through the profile's own topic (TP-012, LS-081).
    #[must_use]
    pub fn is_attributes_subscribe(&self, filter: &str) -> bool {
        self.attributes_subscribe.matches(filter)
    }

    /// The topics and forms of a profile of transport type MQTT.
    #[must_use]
    pub fn of(mqtt: &MqttTransport) -> Self {
        Self {
            telemetry: filter(&mqtt.telemetry_topic, TELEMETRY_TOPIC),
            attributes: filter(&mqtt.attributes_topic, ATTRIBUTES_TOPIC),
            attributes_subscribe: filter(&mqtt.attributes_subscribe_topic, ATTRIBUTES_TOPIC),
            payload: Payload::of(&mqtt.payload),
            acks_invalid: mqtt.ack_on_validation_exception,
        }
    }

    /// How bodies of `form` are read (TP-001 to TP-003, TP-005).
    pub(crate) fn up(&self, form: Form) -> BodyForm<'_> {
        match (form, &self.payload) {
            (Form::Json, _) | (Form::Profile, Payload::Json) => BodyForm::Json,
            (Form::Profile, Payload::Protobuf(it)) if it.json_up => BodyForm::Either(it),
            (Form::Profile | Form::Protobuf, Payload::Protobuf(it)) => BodyForm::Protobuf(Some(it)),
            (Form::Protobuf, _) => BodyForm::Protobuf(None),
            (Form::Profile, Payload::Cbor) => BodyForm::Cbor,
            (Form::Profile, Payload::MessagePack) => BodyForm::MessagePack,
        }
    }

    /// How what goes down on topics of `family` is written (TP-001 to TP-005); never `Either`.
    pub(crate) fn down(&self, family: Family) -> BodyForm<'_> {
        match (family, &self.payload) {
            (Family::V1, Payload::Protobuf(it)) if it.json_down => BodyForm::Json,
            (family, _) => match self.up(family.form()) {
                BodyForm::Either(it) => BodyForm::Protobuf(Some(it)),
                form => form,
            },
        }
    }
}

impl Protobuf {
    /// The schema of a kind.
    ///
    /// # Errors
    /// `SchemaMissing` when it does not compile, which saving a profile refuses.
    pub(crate) fn schema(&self, kind: SchemaKind) -> Result<&Schema, Reject> {
        let at = SchemaKind::ALL.iter().position(|it| *it == kind).unwrap_or_default();
        match self.schemas.get(at) {
            Some(Ok(schema)) => Ok(schema),
            Some(Err(why)) => Err(Reject::new(Reason::SchemaMissing, why.as_str())),
            None => Err(Reject::new(Reason::SchemaMissing, kind.name())),
        }
    }

    fn of(payload: &ProtobufPayload) -> Self {
        Self {
            schemas: schemas(payload).map(|(kind, compiled)| {
                compiled.map_err(|found| {
                    let first = found.first().map(ToString::to_string).unwrap_or_default();
                    format!("the {} schema does not compile: {first}", kind.name())
                })
            }),
            json_up: payload.json_compatibility,
            json_down: payload.json_compatibility && payload.json_for_default_downlinks,
        }
    }
}

/// Compiles the schemas of a profile, in order of [`SchemaKind::ALL`].
pub fn schemas(payload: &ProtobufPayload) -> [(SchemaKind, Result<Schema, Vec<Diagnostic>>); 4] {
    SchemaKind::ALL.map(|kind| {
        let roots = &payload.roots;
        let (text, root) = match kind {
            SchemaKind::Telemetry => (&payload.telemetry_schema, &roots.telemetry),
            SchemaKind::Attributes => (&payload.attributes_schema, &roots.attributes),
            SchemaKind::RpcRequest => (&payload.rpc_request_schema, &roots.rpc_request),
            SchemaKind::RpcResponse => (&payload.rpc_response_schema, &roots.rpc_response),
        };
        (kind, Schema::compile(kind, text, root.as_deref()))
    })
}

impl Default for Dialect {
    /// The standard topics and JSON: a profile of transport type DEFAULT.
    fn default() -> Self {
        Self::of(&MqttTransport::default())
    }
}

impl Payload {
    fn of(payload: &PayloadType) -> Self {
        match payload {
            PayloadType::Json => Self::Json,
            PayloadType::Protobuf(it) => Self::Protobuf(Box::new(Protobuf::of(it))),
            PayloadType::Cbor => Self::Cbor,
            PayloadType::MessagePack => Self::MessagePack,
        }
    }
}

fn filter(own: &str, standard: &str) -> Filter {
    Filter::new(if own.trim().is_empty() { standard } else { own })
}
