//! What a device profile changes about the device API, prepared once for all its devices.

use thingport_model::profile::{
    ATTRIBUTES_TOPIC, DeviceProfile, MqttTransport, PayloadType, TELEMETRY_TOPIC, TransportType,
};
use thingport_model::reason::Reason;

use crate::reject::Reject;
use crate::topic::filter::Filter;
use crate::topic::{Endpoint, Family, Form, GATEWAY_PREFIX};

/// One profile's topics and forms. Make one per profile and version, share it among its devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    telemetry: Filter,
    attributes: Filter,
    attributes_subscribe: Filter,
    profile_form: ProfileForm,
    acks_invalid: bool,
}

/// What bodies on topics without a form of their own are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProfileForm {
    Json,
    /// Protobuf, or JSON where that fails (TP-003).
    Either {
        /// What goes down on topics of the first family is JSON (TP-004).
        json_down: bool,
    },
    Protobuf,
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

    fn of(mqtt: &MqttTransport) -> Self {
        Self {
            telemetry: filter(&mqtt.telemetry_topic, TELEMETRY_TOPIC),
            attributes: filter(&mqtt.attributes_topic, ATTRIBUTES_TOPIC),
            attributes_subscribe: filter(&mqtt.attributes_subscribe_topic, ATTRIBUTES_TOPIC),
            profile_form: ProfileForm::of(&mqtt.payload),
            acks_invalid: mqtt.ack_on_validation_exception,
        }
    }

    /// Checks that bodies of `form` can be read as JSON.
    ///
    /// # Errors
    /// `PayloadNotProtobuf` for Protobuf, which needs a schema.
    pub fn check_json(&self, form: Form) -> Result<(), Reject> {
        let is_json = match form {
            Form::Json => true,
            Form::Protobuf => false,
            Form::Profile => self.profile_form != ProfileForm::Protobuf,
        };
        if is_json { Ok(()) } else { Err(no_protobuf()) }
    }

    /// Checks that what goes down on topics of `family` is written as JSON (TP-001 to TP-005).
    ///
    /// # Errors
    /// `PayloadNotProtobuf` for Protobuf, which needs a schema.
    pub(crate) fn check_json_down(&self, family: Family) -> Result<(), Reject> {
        let is_json = match family {
            Family::V2Json => true,
            Family::V2Proto => false,
            Family::V1 if self.profile_form == ProfileForm::Either { json_down: true } => true,
            Family::V1 | Family::V2 => self.profile_form == ProfileForm::Json,
        };
        if is_json { Ok(()) } else { Err(no_protobuf()) }
    }
}

impl Default for Dialect {
    /// The standard topics and JSON: a profile of transport type DEFAULT.
    fn default() -> Self {
        Self::of(&MqttTransport::default())
    }
}

impl ProfileForm {
    fn of(payload: &PayloadType) -> Self {
        match payload {
            PayloadType::Json => Self::Json,
            PayloadType::Protobuf(schemas) if schemas.json_compatibility => {
                Self::Either { json_down: schemas.json_for_default_downlinks }
            }
            PayloadType::Protobuf(_) => Self::Protobuf,
        }
    }
}

fn no_protobuf() -> Reject {
    Reject::new(Reason::PayloadNotProtobuf, "Protobuf bodies are not served by this version")
}

fn filter(own: &str, standard: &str) -> Filter {
    Filter::new(if own.trim().is_empty() { standard } else { own })
}
