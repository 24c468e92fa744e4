//! The trace of a device (our own endpoints).

use axum::body::Bytes;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use thingport_core::trace::{
    LASTING_MAX_MS, LASTING_MS, Meaning, Part, Payload, Record, Shown, Trace, Verdict, Why,
};
use thingport_model::reading::Reading;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;
use utoipa::ToSchema;

use super::opaque::Opaque;
use super::telemetry::Typed;
use crate::error::Refusal;

/// How long a trace is to last.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = TraceInput)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TraceInput {
    /// Milliseconds from now, at most a day; an hour if absent.
    duration_ms: Option<i64>,
}

impl TraceInput {
    pub(crate) fn lasting_ms(&self) -> Result<u64, Refusal> {
        let Some(ms) = self.duration_ms else { return Ok(LASTING_MS) };
        let ms = u64::try_from(ms).ok().filter(|ms| (1..=LASTING_MAX_MS).contains(ms));
        ms.ok_or_else(|| {
            Refusal::bad_request(format!("durationMs must be from 1 to {LASTING_MAX_MS}"))
        })
    }
}

/// Whether a device is traced, and what was recorded.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Trace)]
pub(crate) struct TraceBody {
    #[serde(flatten)]
    state: TraceStateBody,
    /// The oldest first.
    records: Vec<TraceRecordBody>,
}

/// Whether a device is traced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TraceState)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TraceStateBody {
    /// Whether records are made now.
    running: bool,
    /// When it was begun; null when there is no trace.
    started_at: Option<i64>,
    /// When it ends or ended; null when there is no trace.
    until: Option<i64>,
    /// Records that were made and are gone, the oldest.
    dropped: u64,
}

/// One packet, or something that happened without one.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TraceRecord)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TraceRecordBody {
    /// Counts the records of a device from 1; a number that is missing was dropped.
    number: u64,
    /// When it was read or written.
    at: i64,
    /// Tells connections apart; null where there is none that lasts: HTTP, and refused logins.
    connection: Option<u64>,
    /// `in` from the device, `out` to it, `none` for what is no packet.
    #[schema(value_type = String)]
    direction: &'static str,
    /// `MQTT 3.1.1`, `HTTP`, ...
    #[schema(value_type = String)]
    protocol: &'static str,
    /// The packet's name, such as `PUBLISH` or `POST`; `INCIDENT` for what is no packet.
    #[schema(value_type = String)]
    kind: &'static str,
    /// Bytes of the packet; null where they are not known.
    size: Option<usize>,
    /// Its fields, named as in its protocol.
    fields: Map<String, Value>,
    /// What it carried; null when it carries nothing.
    payload: Option<TracePayloadBody>,
    /// What the device said by it; null when nothing.
    meaning: Option<TraceMeaningBody>,
    /// Why it, or a part of it, was not taken; and what else was noted about it.
    reasons: Vec<TraceReasonBody>,
    verdict: TraceVerdictBody,
    /// The codes it was answered with; empty when it has no such answer, or not yet.
    answered: Vec<u16>,
}

/// What a packet carried.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TracePayload)]
#[serde(rename_all = "camelCase")]
struct TracePayloadBody {
    /// Its length in bytes.
    size: usize,
    /// The bytes that were kept.
    base64: String,
    /// The same as text; null when they are no UTF-8.
    text: Option<String>,
    /// What they say, where that is known; null when they are cut, or say nothing that is understood.
    decoded: Option<Opaque>,
    /// Bytes are missing because there were too many.
    cut: bool,
    /// Something is left out because it is secret.
    redacted: bool,
}

/// What a device said.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TraceMeaning)]
#[serde(rename_all = "camelCase")]
struct TraceMeaningBody {
    /// `telemetry`, `attributes`, `attributesRequest`, `rpcRequest`, `rpcResponse`, `claim`, `firmware`
    /// or `software`.
    #[schema(value_type = String)]
    endpoint: &'static str,
    /// Number of the question or of the call; null when it has none.
    request_id: Option<u32>,
    /// Method of a client call.
    method: Option<String>,
    /// Readings or attributes, the first ones.
    readings: Vec<TraceReadingBody>,
    /// How many there were.
    readings_count: usize,
}

/// A reading or an attribute.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TraceReading)]
pub(super) struct TraceReadingBody {
    key: String,
    /// `BOOLEAN`, `LONG`, `DOUBLE`, `STRING` or `JSON`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    value: Opaque,
    ts: i64,
}

/// A reason, and what exactly was wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TraceReason)]
pub(super) struct TraceReasonBody {
    number: u16,
    #[schema(value_type = String)]
    id: &'static str,
    #[schema(value_type = String)]
    fault: &'static str,
    #[schema(value_type = String)]
    sentence: &'static str,
    #[schema(value_type = String)]
    remedy: &'static str,
    detail: String,
}

/// What became of a packet.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TraceVerdict)]
struct TraceVerdictBody {
    /// `none`, `open`, `accepted`, `committed` or `refused`.
    #[schema(value_type = String)]
    outcome: &'static str,
    /// Since when it is durable; null unless committed.
    at: Option<i64>,
}

/// A record that has another verdict than before.
#[derive(Clone, Debug, Serialize)]
struct TraceSettled {
    number: u64,
    verdict: TraceVerdictBody,
    reasons: Vec<TraceReasonBody>,
    answered: Vec<u16>,
}

impl TraceBody {
    pub(crate) const fn of(state: TraceStateBody, records: Vec<TraceRecordBody>) -> Self {
        Self { state, records }
    }

    /// Each record as one line.
    pub(crate) fn lines(&self) -> Bytes {
        let line = |record| serde_json::to_string(record).unwrap_or_default() + "\n";
        self.records.iter().map(line).collect::<String>().into()
    }
}

impl TraceStateBody {
    pub(crate) fn of(trace: &Trace, now_ms: u64) -> Self {
        let span = trace.span();
        Self {
            running: trace.is_running(now_ms),
            started_at: Some(span.started_at.ms()),
            until: Some(span.until.ms()),
            dropped: trace.dropped(),
        }
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.running
    }

    /// The message of a live trace.
    pub(crate) fn message(&self, id: i64, part: &Part) -> String {
        let settled: Vec<_> = part.settled.iter().map(|it| TraceSettled::from(&**it)).collect();
        let records: Vec<_> = part.records.iter().map(|it| TraceRecordBody::from(&**it)).collect();
        json!({
            "cmdId": id, "cmdUpdateType": "TRACE", "errorCode": 0, "errorMsg": null,
            "trace": self, "missed": part.missed, "records": records, "settled": settled,
        })
        .to_string()
    }
}

impl From<&Record> for TraceRecordBody {
    fn from(it: &Record) -> Self {
        let fields = it.packet.fields.iter();
        Self {
            number: it.number,
            at: it.at.ms(),
            connection: it.connection,
            direction: it.direction.name(),
            protocol: it.protocol,
            kind: it.packet.kind,
            size: Some(it.packet.size).filter(|size| *size > 0),
            fields: fields.map(|(name, shown)| ((*name).to_owned(), shown_as(shown))).collect(),
            payload: it.packet.payload.as_ref().map(TracePayloadBody::from),
            meaning: it.meaning.as_ref().map(TraceMeaningBody::from),
            reasons: it.reasons.iter().map(TraceReasonBody::from).collect(),
            verdict: it.verdict.into(),
            answered: it.answered.clone(),
        }
    }
}

fn shown_as(shown: &Shown) -> Value {
    match shown {
        Shown::Text(text) => json!(text),
        Shown::Number(number) => json!(number),
        Shown::Flag(flag) => json!(flag),
        Shown::Texts(texts) => json!(texts),
        Shown::Numbers(numbers) => json!(numbers),
    }
}

impl From<&Payload> for TracePayloadBody {
    fn from(it: &Payload) -> Self {
        let text = core::str::from_utf8(&it.bytes).ok();
        let is_json = |text: &&str| serde_json::from_str::<&RawValue>(text).is_ok();
        let own = text.filter(|_| !it.is_cut).filter(is_json);
        let decoded = own.or_else(|| it.decoded.as_deref().filter(is_json));
        Self {
            size: it.size,
            base64: BASE64_STANDARD.encode(&it.bytes),
            text: text.or_else(|| cut_text(it)).map(str::to_owned),
            decoded: decoded.map(|text| Opaque::from(text.trim().to_owned())),
            cut: it.is_cut,
            redacted: it.is_redacted,
        }
    }
}

/// A text whose last character was cut in two is a text all the same.
fn cut_text(payload: &Payload) -> Option<&str> {
    let wrong = core::str::from_utf8(&payload.bytes).err().filter(|_| payload.is_cut)?;
    let text = payload.bytes.get(..wrong.valid_up_to())?;
    core::str::from_utf8(text).ok().filter(|_| wrong.error_len().is_none())
}

impl From<&Meaning> for TraceMeaningBody {
    fn from(it: &Meaning) -> Self {
        Self {
            endpoint: it.endpoint,
            request_id: it.number,
            method: it.method.clone(),
            readings: it.readings.iter().map(TraceReadingBody::from).collect(),
            readings_count: it.readings_count,
        }
    }
}

impl From<&Reading> for TraceReadingBody {
    fn from(it: &Reading) -> Self {
        let value = it.value.borrowed();
        let kind = match value {
            ValueRef::Bool(_) => "BOOLEAN",
            ValueRef::Long(_) => "LONG",
            ValueRef::Double(_) => "DOUBLE",
            ValueRef::String(_) => "STRING",
            ValueRef::Json(_) => "JSON",
        };
        let value = Opaque::from(json_text(value));
        Self { key: it.key.clone(), kind, value, ts: it.at.ms() }
    }
}

/// The value in its own JSON type; a JSON text that was cut is shown as text.
fn json_text(value: ValueRef<'_>) -> String {
    let typed = serde_json::to_string(&Typed(value));
    typed.unwrap_or_else(|_| json!(value.to_string()).to_string())
}

impl From<&Why> for TraceReasonBody {
    fn from(it: &Why) -> Self {
        Self {
            number: it.reason.number(),
            id: it.reason.id(),
            fault: it.reason.fault().name(),
            sentence: it.reason.sentence(),
            remedy: it.reason.remedy(),
            detail: it.detail.clone(),
        }
    }
}

impl From<Verdict> for TraceVerdictBody {
    fn from(verdict: Verdict) -> Self {
        let at = match verdict {
            Verdict::Committed { at } => Some(Timestamp::ms(at)),
            _ => None,
        };
        Self { outcome: verdict.name(), at }
    }
}

impl From<&Record> for TraceSettled {
    fn from(it: &Record) -> Self {
        Self {
            number: it.number,
            verdict: it.verdict.into(),
            reasons: it.reasons.iter().map(TraceReasonBody::from).collect(),
            answered: it.answered.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_shown_as_bytes_text_and_what_they_say() {
        let payload = |bytes: &[u8]| Payload { size: bytes.len(), ..Payload::of(bytes) };
        let decoded = Some("{\"a\":1}".to_owned());
        let rows = [
            (payload(b" {\"a\":1.5}"), json!([" {\"a\":1.5}", {"a": 1.5}, false])),
            (payload(b"{\"a\":"), json!(["{\"a\":", null, false])),
            (payload(b"\xFF\x00"), json!([null, null, false])),
            (Payload { decoded, ..payload(b"\xFF") }, json!([null, {"a": 1}, false])),
            (Payload { is_cut: true, ..payload(b"12\xC3") }, json!(["12", null, true])),
            (Payload { is_cut: true, ..payload(b"12") }, json!(["12", null, true])),
        ];
        for (payload, expected) in rows {
            let body = serde_json::to_value(TracePayloadBody::from(&payload)).expect("JSON");
            let shown = json!([body["text"], body["decoded"], body["cut"]]);
            assert_eq!(shown.to_string(), expected.to_string());
        }
    }

    #[test]
    fn a_trace_lasts_an_hour_unless_somebody_says_so() {
        for (ms, lasting) in [
            (None, Some(3_600_000)),
            (Some(1), Some(1)),
            (Some(86_400_000), Some(86_400_000)),
            (Some(86_400_001), None),
            (Some(0), None),
            (Some(-1), None),
        ] {
            assert_eq!(TraceInput { duration_ms: ms }.lasting_ms().ok(), lasting, "{ms:?}");
        }
    }
}
