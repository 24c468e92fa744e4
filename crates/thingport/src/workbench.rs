//! Lends what the room of device dialects knows of schemas and topics to the people's side.

use std::sync::Arc;

use async_trait::async_trait;
use thingport_api::workbench::{
    CheckedSchema, ReadField, ReadPayload, SchemaFinding, SchemaText, SchemaUse, TopicFilters,
    TriedTopic, Workbench,
};
use thingport_core::registry::profiles::payload::PayloadCheck;
use thingport_device::dialect::{Dialect, schemas};
use thingport_device::payload::Typing;
use thingport_device::payload::protobuf::dissect::dissect;
use thingport_device::payload::protobuf::{Diagnostic, Schema, SchemaKind, Walk};
use thingport_device::reject::Reject;
use thingport_device::topic::Endpoint;
use thingport_device::topic::filter::Filter;
use thingport_model::profile::{MqttTransport, ProtobufPayload};
use thingport_model::reading::{Reading, Readings};
use thingport_model::time::Timestamp;

/// What the device dialects know.
pub(crate) struct Dialects {
    /// The rules that are in force for devices.
    pub(crate) typing: Typing,
}

#[async_trait]
impl PayloadCheck for Dialects {
    async fn check(&self, payload: &ProtobufPayload) -> Result<(), String> {
        let payload = payload.clone();
        let compiled = tokio::task::spawn_blocking(move || first_fault(&payload)).await;
        compiled.unwrap_or_else(|error| Err(format!("the schemas cannot be compiled: {error}")))
    }
}

/// The first schema that does not compile, and all that is wrong with it.
fn first_fault(payload: &ProtobufPayload) -> Result<(), String> {
    for (kind, compiled) in schemas(payload) {
        if let Err(found) = compiled {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            return Err(format!("invalid {} proto schema: {}", kind.name(), found.join("; ")));
        }
    }
    Ok(())
}

impl Workbench for Dialects {
    fn check(&self, schema: &SchemaText) -> CheckedSchema {
        compile(schema).map_or_else(wrong, |schema| right(&schema))
    }

    fn read(
        &self,
        schema: &SchemaText,
        payloads: &[Vec<u8>],
        now: Timestamp,
    ) -> (CheckedSchema, Vec<ReadPayload>) {
        match compile(schema) {
            Err(found) => (wrong(found), Vec::new()),
            Ok(compiled) => {
                let mut walk = Walk::default();
                let read = |payload: &Vec<u8>| {
                    self.read_one((schema.kind, &compiled), payload, now, &mut walk)
                };
                let read = payloads.iter().map(read).collect();
                (right(&compiled), read)
            }
        }
    }

    fn topic(&self, filters: &TopicFilters, topic: &str) -> TriedTopic {
        let matches = |filter: &str| Filter::new(filter).matches(topic);
        let dialect = Dialect::of(&MqttTransport {
            telemetry_topic: filters.telemetry.clone(),
            attributes_topic: filters.attributes.clone(),
            attributes_subscribe_topic: filters.attributes_subscribe.clone(),
            ..MqttTransport::default()
        });
        let (meaning, refused) = match dialect.endpoint(topic) {
            Ok(endpoint) => (meaning(endpoint), None),
            Err(Reject { reason, detail }) => ("NOTHING", Some((reason, detail))),
        };
        TriedTopic {
            telemetry: matches(&filters.telemetry),
            attributes: matches(&filters.attributes),
            attributes_subscribe: matches(&filters.attributes_subscribe),
            meaning,
            refused,
        }
    }
}

impl Dialects {
    /// The knowledge, with the rules that are in force for devices.
    pub(crate) fn new(typing: Typing) -> Arc<Self> {
        Arc::new(Self { typing })
    }

    fn read_one(
        &self,
        (kind, schema): (SchemaUse, &Schema),
        payload: &[u8],
        now: Timestamp,
        walk: &mut Walk,
    ) -> ReadPayload {
        let mut readings = Readings::default();
        let read = match kind {
            SchemaUse::Telemetry => {
                walk.telemetry(schema, payload, now, &self.typing, &mut readings)
            }
            SchemaUse::Attributes => {
                walk.attributes(schema, payload, now, &self.typing, &mut readings)
            }
            SchemaUse::RpcRequest | SchemaUse::RpcResponse => Ok(()),
        };
        let json = walk.text(schema, payload).map(str::to_owned);
        let refused = match (read, &json) {
            (Err(reject), _) => Some((reject.reason, reject.detail)),
            (Ok(()), Err(reject)) => Some((reject.reason, reject.detail.clone())),
            (Ok(()), Ok(_)) => None,
        };
        let owned = |it: thingport_model::reading::ReadingRef<'_>| Reading {
            at: it.at,
            key: it.key.to_owned(),
            value: it.value.to_owned(),
        };
        ReadPayload {
            fields: dissect(schema, payload).into_iter().map(field).collect(),
            readings: readings.iter().map(owned).collect(),
            json: json.unwrap_or_default(),
            refused,
        }
    }
}

fn compile(schema: &SchemaText) -> Result<Schema, Vec<Diagnostic>> {
    let kind = match schema.kind {
        SchemaUse::Telemetry => SchemaKind::Telemetry,
        SchemaUse::Attributes => SchemaKind::Attributes,
        SchemaUse::RpcRequest => SchemaKind::RpcRequest,
        SchemaUse::RpcResponse => SchemaKind::RpcResponse,
    };
    Schema::compile(kind, &schema.text, schema.root.as_deref())
}

fn right(schema: &Schema) -> CheckedSchema {
    CheckedSchema { root: Some(schema.root_name().to_owned()), diagnostics: Vec::new() }
}

fn wrong(found: Vec<Diagnostic>) -> CheckedSchema {
    let diagnostics = found.into_iter().map(|it| {
        let Diagnostic { line, column, what, expected } = it;
        SchemaFinding { line, column, what, expected }
    });
    CheckedSchema { root: None, diagnostics: diagnostics.collect() }
}

fn field(it: thingport_device::payload::protobuf::dissect::Dissected) -> ReadField {
    ReadField {
        offset: it.offset,
        length: it.length,
        number: it.number,
        wire: it.wire,
        path: it.path,
        kind: it.kind,
        value: it.value,
    }
}

const fn meaning(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Telemetry(_) => "TELEMETRY",
        Endpoint::Attributes(_) => "ATTRIBUTES",
        Endpoint::AttributesRequest { .. } => "ATTRIBUTES_REQUEST",
        Endpoint::RpcResponse { .. } => "RPC_RESPONSE",
        Endpoint::RpcRequest { .. } => "RPC_REQUEST",
        Endpoint::Claim(_) => "CLAIM",
        Endpoint::Package { .. } => "PACKAGE_REQUEST",
        Endpoint::Gateway(_) => "GATEWAY",
        Endpoint::Sparkplug => "SPARKPLUG",
        Endpoint::Provision => "PROVISION",
    }
}
