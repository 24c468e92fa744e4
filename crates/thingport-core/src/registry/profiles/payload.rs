//! The form of bodies in a profile: what can be said of it without knowing the forms, and who is asked
//! for the rest.

use std::sync::Arc;

use async_trait::async_trait;
use thingport_model::profile::{
    DeviceProfile, MqttTransport, PayloadType, ProtobufPayload, ProtobufRoots,
};

use super::super::{Registry, text};
use crate::error::Error;

/// Says whether bodies of a profile could be read: whether its schemas compile. What a schema is, the
/// room of device dialects knows; the roof lends its knowledge.
#[async_trait]
pub trait PayloadCheck: Send + Sync {
    /// Compiles what is to be compiled, without holding up others.
    ///
    /// # Errors
    /// What is wrong and where, in words for whoever wrote it.
    async fn check(&self, payload: &ProtobufPayload) -> Result<(), String>;
}

impl Registry {
    /// From now on profiles are saved only if `check` finds their schemas good. The first call counts.
    pub fn check_payloads_with(&self, check: Arc<dyn PayloadCheck>) {
        // A second one would come from a second roof.
        let _ = self.payload_check.set(check);
    }

    /// Refuses schemas that do not compile (PB-001 to PB-006).
    pub(super) async fn check_payload(&self, profile: &DeviceProfile) -> Result<(), Error> {
        let payload = profile.mqtt.as_ref().map(|mqtt| &mqtt.payload);
        let (Some(PayloadType::Protobuf(payload)), Some(check)) =
            (payload, self.payload_check.get())
        else {
            return Ok(());
        };
        check.check(payload).await.map_err(|what| {
            // ThingsBoard's words, which its page looks for.
            Error::Invalid(format!("[Transport Configuration] {what}"))
        })
    }
}

/// Refuses what is no schema whatever schemas are.
pub(super) fn check(payload: &PayloadType) -> Result<(), Error> {
    let PayloadType::Protobuf(it) = payload else { return Ok(()) };
    check_schema("deviceTelemetryProtoSchema", &it.telemetry_schema)?;
    check_schema("deviceAttributesProtoSchema", &it.attributes_schema)?;
    text::opaque("deviceRpcRequestProtoSchema", Some(&it.rpc_request_schema))?;
    text::opaque("deviceRpcResponseProtoSchema", Some(&it.rpc_response_schema))?;
    let roots = &it.roots;
    for root in [&roots.telemetry, &roots.attributes, &roots.rpc_request, &roots.rpc_response] {
        text::opaque("the name of a root message", root.as_deref())?;
    }
    Ok(())
}

fn check_schema(field: &str, schema: &str) -> Result<(), Error> {
    if schema.trim().is_empty() {
        return Err(Error::Invalid(format!("{field} must not be empty")));
    }
    text::opaque(field, Some(schema))
}

/// A root that was not named stays what it is, as long as its schema does: clients made for ThingsBoard
/// do not know roots and must not undo them. A blank one stands for the last message.
pub(super) fn settled(mut sent: MqttTransport, stored: Option<&MqttTransport>) -> MqttTransport {
    let PayloadType::Protobuf(payload) = &mut sent.payload else { return sent };
    let before = stored.and_then(|stored| match &stored.payload {
        PayloadType::Protobuf(before) => Some(before),
        _ => None,
    });
    type Part = (fn(&ProtobufPayload) -> &String, fn(&mut ProtobufRoots) -> &mut Option<String>);
    let parts: [Part; 4] = [
        (|it| &it.telemetry_schema, |it| &mut it.telemetry),
        (|it| &it.attributes_schema, |it| &mut it.attributes),
        (|it| &it.rpc_request_schema, |it| &mut it.rpc_request),
        (|it| &it.rpc_response_schema, |it| &mut it.rpc_response),
    ];
    for (schema, root) in parts {
        let same = before.filter(|before| schema(before) == schema(payload));
        let kept = same.and_then(|before| root(&mut before.roots.clone()).clone());
        let place = root(&mut payload.roots);
        *place = match place.take() {
            None => kept,
            Some(name) => Some(name.trim().to_owned()).filter(|name| !name.is_empty()),
        };
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_stays_while_its_schema_does() {
        // The schema and root that are sent, and the root that results, where "s" and "R" are stored.
        let rows = [
            ("s", None, Some("R")),
            ("s", Some(" "), None),
            ("s", Some("Q"), Some("Q")),
            ("t", None, None),
            ("t", Some("R"), Some("R")),
        ];
        for (schema, root, expected) in rows {
            let stored = profile("s", Some("R"));
            let settled = settled(profile(schema, root), Some(&stored));
            assert_eq!(settled, profile(schema, expected), "{schema} {root:?}");
        }
        assert_eq!(settled(profile("s", None), None), profile("s", None));
        let json = MqttTransport::default();
        assert_eq!(settled(json.clone(), Some(&profile("s", Some("R")))), json);
    }

    fn profile(telemetry: &str, root: Option<&str>) -> MqttTransport {
        let payload = ProtobufPayload {
            telemetry_schema: telemetry.to_owned(),
            attributes_schema: "a".to_owned(),
            rpc_request_schema: "q".to_owned(),
            rpc_response_schema: "r".to_owned(),
            json_compatibility: false,
            json_for_default_downlinks: false,
            roots: ProtobufRoots { telemetry: root.map(str::to_owned), ..ProtobufRoots::default() },
        };
        MqttTransport { payload: PayloadType::Protobuf(Box::new(payload)), ..Default::default() }
    }
}
