//! The schema workbench (our own endpoints): what is tried, and what came of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thingport_core::registry::profiles::filter_problem;
use thingport_core::trace::Why;
use thingport_model::profile::{ATTRIBUTES_TOPIC, TELEMETRY_TOPIC};
use utoipa::ToSchema;
use uuid::Uuid;

use super::opaque::Opaque;
use super::trace::{TraceReadingBody, TraceReasonBody};
use crate::error::Refusal;
use crate::workbench::{
    CheckedSchema, ReadField, ReadPayload, SchemaFinding, SchemaText, SchemaUse, TopicFilters,
    TriedTopic,
};

/// A schema to be compiled.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = SchemaInput)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SchemaInput {
    /// `TELEMETRY`, `ATTRIBUTES`, `RPC_REQUEST` or `RPC_RESPONSE`.
    kind: String,
    /// The text of the schema.
    schema: String,
    /// The root message; the last at top level if absent.
    root: Option<String>,
}

/// A schema, and what is to be read with it: a payload, or what a device sent while it was traced.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = SchemaTrialInput)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrialInput {
    /// `TELEMETRY`, `ATTRIBUTES`, `RPC_REQUEST` or `RPC_RESPONSE`.
    kind: String,
    /// The text of the schema.
    schema: String,
    /// The root message; the last at top level if absent.
    root: Option<String>,
    /// Bytes in hexadecimal digits, blanks between them allowed, or in base64.
    payload: Option<String>,
    /// `HEX` or `BASE64`; when absent it is hexadecimal if it can be.
    encoding: Option<String>,
    /// The device whose last traced publications are read when there is no payload.
    pub(crate) device_id: Option<Uuid>,
    /// How many of them, 1 to 50; 10 if absent.
    limit: Option<usize>,
}

/// Topic filters of a profile and a topic to try.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = TopicTrialInput)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopicInput {
    /// As in the profile; the standard one if absent.
    device_telemetry_topic: Option<String>,
    /// As in the profile; the standard one if absent.
    device_attributes_topic: Option<String>,
    /// As in the profile; the standard one if absent.
    device_attributes_subscribe_topic: Option<String>,
    /// A topic as a device would publish to.
    pub(crate) topic: String,
}

/// What became of a schema.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CheckedSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SchemaBody {
    /// Whether it compiles.
    valid: bool,
    /// Full name of the root message; null when it does not compile.
    root: Option<String>,
    /// What is wrong, in order of place.
    diagnostics: Vec<FindingBody>,
}

/// One thing wrong with a schema.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SchemaDiagnostic)]
pub(crate) struct FindingBody {
    /// From 1.
    line: u32,
    /// Character in the line, from 1.
    column: u32,
    /// What is wrong.
    message: String,
    /// What was expected; may be empty.
    expected: String,
}

/// What became of a schema and the payloads read with it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SchemaTrial)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrialBody {
    /// What became of the schema.
    #[serde(flatten)]
    schema: SchemaBody,
    /// What became of each payload; empty when the schema does not compile.
    packets: Vec<PacketBody>,
}

/// One payload, read with a schema.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SchemaTrialPacket)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PacketBody {
    /// When the device sent it; null for a pasted one.
    at: Option<i64>,
    /// Where it sent it; null for a pasted one.
    topic: Option<String>,
    /// Its bytes in base64.
    payload: String,
    /// Fields the schema knows, in order of appearance.
    fields: Vec<FieldBody>,
    /// Fields the schema does not know.
    leftovers: Vec<FieldBody>,
    /// What would be stored.
    readings: Vec<TraceReadingBody>,
    /// The message as JSON; null when it cannot be read.
    json: Option<Opaque>,
    /// Why it would be refused; null when it would not.
    refused: Option<TraceReasonBody>,
}

/// One field of a payload.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SchemaTrialField)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FieldBody {
    /// Where it begins.
    offset: usize,
    /// Its bytes, tag included.
    length: usize,
    /// Its number.
    number: u32,
    /// Names from the root on; empty for leftovers.
    name: String,
    /// Its type in the schema; empty for leftovers.
    #[serde(rename = "type")]
    kind: String,
    /// `VARINT`, `I64`, `LEN`, `GROUP` or `I32`.
    #[schema(value_type = String)]
    wire_type: &'static str,
    /// Its value as JSON text, cut when long; of leftovers what it may be.
    value: String,
}

/// What a profile with these filters makes of a topic.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TopicTrial)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopicBody {
    /// The filters, in order of the request.
    filters: Vec<FilterBody>,
    /// What a message published to the topic would be: `TELEMETRY`, `ATTRIBUTES`, `RPC_RESPONSE` and so
    /// on, or `NOTHING`.
    #[schema(value_type = String)]
    meaning: &'static str,
    /// Why such a message would be refused; null when it would not.
    refused: Option<TraceReasonBody>,
}

/// One filter.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TopicTrialFilter)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilterBody {
    /// Its member in the profile.
    #[schema(value_type = String)]
    member: &'static str,
    /// The filter.
    filter: String,
    /// Whether it matches the topic.
    matches: bool,
    /// Why a profile with it could not be saved; null when it could.
    problem: Option<String>,
}

impl SchemaInput {
    pub(crate) fn into_text(self) -> Result<SchemaText, Refusal> {
        Ok(SchemaText { kind: use_of(&self.kind)?, text: self.schema, root: self.root })
    }
}

impl TrialInput {
    pub(crate) fn text(&self) -> Result<SchemaText, Refusal> {
        let (text, root) = (self.schema.clone(), self.root.clone());
        Ok(SchemaText { kind: use_of(&self.kind)?, text, root })
    }

    /// The pasted bytes; none when there are none.
    pub(crate) fn bytes(&self) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(payload) = &self.payload else { return Ok(None) };
        let plain: String = payload.chars().filter(|it| !it.is_whitespace()).collect();
        let found = match self.encoding.as_deref() {
            Some("HEX") => hex(&plain),
            Some("BASE64") => STANDARD.decode(&plain).ok(),
            None => hex(&plain).or_else(|| STANDARD.decode(&plain).ok()),
            Some(other) => {
                let what = format!("encoding is HEX or BASE64, not {other:?}");
                return Err(Refusal::bad_request(what));
            }
        };
        let wrong = || {
            Refusal::bad_request(
                "the payload is neither an even number of hexadecimal digits nor base64",
            )
        };
        found.map(Some).ok_or_else(wrong)
    }

    /// How many traced publications are wanted.
    pub(crate) fn wanted(&self) -> usize {
        self.limit.unwrap_or(PACKETS).clamp(1, PACKETS_MAX)
    }
}

impl TopicInput {
    pub(crate) fn filters(&self) -> TopicFilters {
        let or = |sent: &Option<String>, standard: &str| {
            sent.clone().unwrap_or_else(|| standard.to_owned())
        };
        TopicFilters {
            telemetry: or(&self.device_telemetry_topic, TELEMETRY_TOPIC),
            attributes: or(&self.device_attributes_topic, ATTRIBUTES_TOPIC),
            attributes_subscribe: or(&self.device_attributes_subscribe_topic, ATTRIBUTES_TOPIC),
        }
    }
}

impl TopicBody {
    pub(crate) fn of(filters: TopicFilters, tried: TriedTopic) -> Self {
        let rows = [
            ("deviceTelemetryTopic", filters.telemetry, tried.telemetry),
            ("deviceAttributesTopic", filters.attributes, tried.attributes),
            (
                "deviceAttributesSubscribeTopic",
                filters.attributes_subscribe,
                tried.attributes_subscribe,
            ),
        ];
        let filters = rows.into_iter().map(|(member, filter, matches)| {
            let problem = filter_problem(member, &filter);
            FilterBody { member, filter, matches, problem }
        });
        Self {
            filters: filters.collect(),
            meaning: tried.meaning,
            refused: tried.refused.map(reason),
        }
    }
}

impl From<CheckedSchema> for SchemaBody {
    fn from(it: CheckedSchema) -> Self {
        let diagnostics = it.diagnostics.into_iter().map(|it| {
            let SchemaFinding { line, column, what, expected } = it;
            FindingBody { line, column, message: what, expected }
        });
        Self { valid: it.root.is_some(), root: it.root, diagnostics: diagnostics.collect() }
    }
}

impl TrialBody {
    pub(crate) fn of(schema: CheckedSchema, packets: Vec<PacketBody>) -> Self {
        Self { schema: schema.into(), packets }
    }
}

impl PacketBody {
    /// What became of a payload that was sent at this time to this topic.
    pub(crate) fn of(
        sent: Option<(i64, Option<String>)>,
        payload: &[u8],
        read: ReadPayload,
    ) -> Self {
        let (known, unknown): (Vec<_>, Vec<_>) =
            read.fields.into_iter().partition(|it| !it.kind.is_empty());
        let (at, topic) = sent.map_or((None, None), |(at, topic)| (Some(at), topic));
        Self {
            at,
            topic,
            payload: STANDARD.encode(payload),
            fields: known.into_iter().map(FieldBody::from).collect(),
            leftovers: unknown.into_iter().map(FieldBody::from).collect(),
            readings: read.readings.iter().map(TraceReadingBody::from).collect(),
            json: Some(read.json).filter(|json| !json.is_empty()).map(Opaque::from),
            refused: read.refused.map(reason),
        }
    }
}

impl From<ReadField> for FieldBody {
    fn from(it: ReadField) -> Self {
        let ReadField { offset, length, number, wire, path, kind, value } = it;
        Self { offset, length, number, name: path, kind, wire_type: wire, value }
    }
}

fn reason((reason, detail): (thingport_model::reason::Reason, String)) -> TraceReasonBody {
    (&Why { reason, detail }).into()
}

fn use_of(kind: &str) -> Result<SchemaUse, Refusal> {
    match kind {
        "TELEMETRY" => Ok(SchemaUse::Telemetry),
        "ATTRIBUTES" => Ok(SchemaUse::Attributes),
        "RPC_REQUEST" => Ok(SchemaUse::RpcRequest),
        "RPC_RESPONSE" => Ok(SchemaUse::RpcResponse),
        other => Err(Refusal::bad_request(format!(
            "kind is TELEMETRY, ATTRIBUTES, RPC_REQUEST or RPC_RESPONSE, not {other:?}"
        ))),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

/// Traced publications that are read unless told.
const PACKETS: usize = 10;
/// Most traced publications that are read at once.
const PACKETS_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_pasted_in_hexadecimal_digits_or_base64() {
        let rows = [
            ("08 01\n", None, Some(vec![8, 1])),
            ("0x0801", None, Some(vec![8, 1])),
            ("CAE=", None, Some(vec![8, 1])),
            ("0801", Some("BASE64"), Some(vec![0xD3, 0xCD, 0x35])),
            ("CAE=", Some("HEX"), None),
            ("080", None, None),
            ("", None, Some(Vec::new())),
            ("0801", Some("TEXT"), None),
        ];
        for (payload, encoding, expected) in rows {
            let input = TrialInput {
                kind: "TELEMETRY".to_owned(),
                schema: String::new(),
                root: None,
                payload: Some(payload.to_owned()),
                encoding: encoding.map(str::to_owned),
                device_id: None,
                limit: None,
            };
            assert_eq!(input.bytes().ok().flatten(), expected, "{payload:?} {encoding:?}");
        }
    }
}
