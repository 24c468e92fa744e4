//! The schema workbench: what the roof lends, since what schemas, messages and topics are is known to
//! the room of device dialects alone. Plain words go in and out.

use thingport_model::reading::Reading;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;

/// Compiles schemas and tries them. Every call may take some milliseconds of computing.
pub trait Workbench: Send + Sync {
    /// Compiles a schema.
    fn check(&self, schema: &SchemaText) -> CheckedSchema;

    /// Compiles a schema and reads payloads with it, received `now`; none when it does not compile.
    fn read(
        &self,
        schema: &SchemaText,
        payloads: &[Vec<u8>],
        now: Timestamp,
    ) -> (CheckedSchema, Vec<ReadPayload>);

    /// What a profile with these filters makes of a topic.
    fn topic(&self, filters: &TopicFilters, topic: &str) -> TriedTopic;
}

/// A schema as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaText {
    /// What it is for.
    pub kind: SchemaUse,
    /// `syntax = "proto3"; ...`
    pub text: String,
    /// The root message; the last at top level without a name.
    pub root: Option<String>,
}

/// What a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaUse {
    /// Telemetry.
    Telemetry,
    /// Client attributes.
    Attributes,
    /// Calls to the device.
    RpcRequest,
    /// Answers of the device.
    RpcResponse,
}

/// What became of a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedSchema {
    /// Full name of the root; none when the schema does not compile.
    pub root: Option<String>,
    /// What is wrong with it.
    pub diagnostics: Vec<SchemaFinding>,
}

/// One thing wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFinding {
    /// Line, from 1.
    pub line: u32,
    /// Character in the line, from 1.
    pub column: u32,
    /// What is wrong.
    pub what: String,
    /// What was expected; may be empty.
    pub expected: String,
}

/// What became of a payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadPayload {
    /// Its fields in order of appearance.
    pub fields: Vec<ReadField>,
    /// What would be stored; of other schemas than telemetry and attributes nothing.
    pub readings: Vec<Reading>,
    /// The message as JSON; empty when it cannot be read.
    pub json: String,
    /// Why it would be refused, and the detail.
    pub refused: Option<(Reason, String)>,
}

/// One field of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadField {
    /// Where it begins.
    pub offset: usize,
    /// Its bytes, tag included.
    pub length: usize,
    /// Its number.
    pub number: u32,
    /// How it is written.
    pub wire: &'static str,
    /// Names from the root on; empty when the schema does not know it.
    pub path: String,
    /// Its type; empty when the schema does not know it.
    pub kind: String,
    /// Its value as JSON.
    pub value: String,
}

/// The topic filters of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFilters {
    /// `deviceTelemetryTopic`
    pub telemetry: String,
    /// `deviceAttributesTopic`
    pub attributes: String,
    /// `deviceAttributesSubscribeTopic`
    pub attributes_subscribe: String,
}

/// What a profile makes of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedTopic {
    /// Whether each filter matches it.
    pub telemetry: bool,
    /// See [`Self::telemetry`].
    pub attributes: bool,
    /// See [`Self::telemetry`].
    pub attributes_subscribe: bool,
    /// What a message published there would be: `TELEMETRY`, `ATTRIBUTES`, `CLAIM` and so on.
    pub meaning: &'static str,
    /// Why a message published there would be refused, and the detail.
    pub refused: Option<(Reason, String)>,
}
