//! Calls to devices: what is asked, and what is kept of it (REST API 15.1).

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use thingport_core::calls::CallDraft;
use thingport_model::id::RpcId;
use thingport_model::rpc::{Call, CallResponse, CallWay, PersistentCall};
use thingport_model::time::Timestamp;
use utoipa::ToSchema;
use uuid::Uuid;

use super::id::{EntityId, parse_id};
use super::opaque::{Opaque, stored, text};
use crate::error::Refusal;

/// A call to a device.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallInput {
    /// What is asked for; required, up to 255 characters.
    #[schema(required)]
    method: Option<String>,
    /// Any JSON value; required, may be null.
    #[serde(default, deserialize_with = "present")]
    #[schema(required)]
    params: Option<Opaque>,
    /// Milliseconds that the call is of use: 10000 if absent, at least 5000.
    timeout: Option<i64>,
    /// When the call is of no use any more, milliseconds since 1970; wins over `timeout`.
    expiration_time: Option<i64>,
    /// Keep the call until it ends, and answer at once with its id.
    #[serde(default)]
    persistent: Option<bool>,
    /// How often a call that the device did not acknowledge may be tried again; 5 if absent.
    retries: Option<i64>,
    /// Stored and shown with a persistent call.
    additional_info: Option<Opaque>,
    /// Becomes the id of a persistent call.
    #[serde(rename = "requestUUID")]
    request_uuid: Option<String>,
}

/// Tells `null` from what is absent (R-4).
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Opaque>, D::Error> {
    Opaque::deserialize(deserializer).map(Some)
}

impl CallInput {
    /// Whether the call is to be kept.
    pub(crate) fn is_persistent(&self) -> bool {
        self.persistent.unwrap_or(false)
    }

    /// The call as core wants it.
    pub(crate) fn draft(self, way: CallWay) -> Result<CallDraft, Refusal> {
        let wrong = |text: &str| Refusal::bad_request(text);
        let method = self.method.ok_or_else(|| wrong("method is missing; a text is due"))?;
        if method.is_empty() || method.contains('\0') {
            return Err(wrong("method must not be empty and not contain the NUL character"));
        }
        if method.chars().count() > METHOD_CHARS_MAX {
            return Err(wrong("method must not be longer than 255 characters"));
        }
        let params = self.params.ok_or_else(|| {
            wrong("params is missing; any JSON value is due, null if there is nothing to say")
        })?;
        let id = self.request_uuid.filter(|it| !it.is_empty());
        Ok(CallDraft {
            method,
            params: compact(params.text()),
            way,
            expires_at: self.expiration_time.map(Timestamp),
            timeout_ms: self.timeout.map(|ms| u64::try_from(ms).unwrap_or(0)),
            retries: self.retries.map(|n| u32::try_from(n.max(0)).unwrap_or(u32::MAX)),
            id: id.map(|it| parse_id(&it)).transpose()?.map(RpcId),
            additional_info: text(self.additional_info),
        })
    }
}

/// The answer to a persistent call (R-8).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcIdBody {
    /// By which the call is found.
    pub(crate) rpc_id: Uuid,
}

/// A persistent call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcBody {
    id: EntityId,
    created_time: i64,
    tenant_id: EntityId,
    device_id: EntityId,
    expiration_time: i64,
    request: RpcRequestBody,
    /// What the device answered, or why the call failed.
    response: Option<Opaque>,
    /// `QUEUED`, `SENT`, `DELIVERED`, `SUCCESSFUL`, `TIMEOUT`, `EXPIRED` or `FAILED`.
    #[schema(value_type = String)]
    status: &'static str,
    additional_info: Option<Opaque>,
}

/// What was asked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RpcRequestBody {
    id: Uuid,
    tenant_id: EntityId,
    device_id: EntityId,
    oneway: bool,
    expiration_time: i64,
    body: MethodBody,
    persisted: bool,
    retries: Option<u32>,
}

/// Method and parameters; those are JSON within a text.
#[derive(Serialize, ToSchema)]
struct MethodBody {
    method: String,
    params: String,
}

impl From<PersistentCall> for RpcBody {
    fn from(it: PersistentCall) -> Self {
        let (tenant, device) = (it.tenant_id.entity(), it.device_id.entity());
        let response = it.progress.response.as_ref();
        Self {
            id: EntityId::rpc(it.id),
            created_time: it.created_at.ms(),
            tenant_id: tenant.into(),
            device_id: device.into(),
            expiration_time: it.expires_at.ms(),
            response: response.map(|response| self::response(response, &it.call)),
            status: it.progress.status.name(),
            additional_info: stored(it.additional_info.as_ref()),
            request: RpcRequestBody {
                id: it.id.0,
                tenant_id: tenant.into(),
                device_id: device.into(),
                oneway: it.way == CallWay::OneWay,
                expiration_time: it.expires_at.ms(),
                body: MethodBody { method: it.call.method, params: it.call.params },
                persisted: true,
                retries: it.retries,
            },
        }
    }
}

/// The response as JSON, in the words that the contract's clients know (RP-030, RP-036, RP-060).
fn response(response: &CallResponse, call: &Call) -> Opaque {
    match response {
        CallResponse::Answer(text) if is_json(text) => Opaque::from(text.clone()),
        CallResponse::Answer(text) => json!({ "error": text }).to_string().into(),
        CallResponse::NotAcknowledged(retries) => error(&format!(
            "There was a Timeout and all retry attempts have been exhausted. Retry attempts set: \
             {retries}"
        )),
        CallResponse::NotAnswered => {
            error("There was a timeout awaiting for RPC response from device.")
        }
        CallResponse::Impossible => impossible(&call.method, &call.params),
    }
}

/// What is answered when a call cannot be sent to a device (RP-060).
pub(crate) fn impossible(method: &str, params: &str) -> Opaque {
    let text = format!("Failed to convert device RPC command to MQTT msg: {method}{params}");
    json!({ "result": "INVALID_ARGUMENTS", "error": text }).to_string().into()
}

fn error(text: &str) -> Opaque {
    json!({ "error": text }).to_string().into()
}

/// Whether a device's answer is JSON, however deep.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// JSON text without the blanks between its tokens (R-1); numbers and texts stay as they are written.
fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut in_text, mut is_escaped) = (false, false);
    for letter in json.chars() {
        if in_text || !matches!(letter, ' ' | '\t' | '\n' | '\r') {
            compact.push(letter);
        }
        in_text ^= letter == '"' && !is_escaped;
        is_escaped = in_text && letter == '\\' && !is_escaped;
    }
    compact
}

const METHOD_CHARS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_go_and_everything_else_stays() {
        let rows = [
            ("true", "true"),
            (" { \"a\" : [ 1.0e+5 ,\n\t2 ] } ", "{\"a\":[1.0e+5,2]}"),
            ("\"a b\\\" c \\\\\" ", "\"a b\\\" c \\\\\""),
            ("[\"\\\\\", \" \"]", "[\"\\\\\",\" \"]"),
            ("{\"a\": \"\\u0020 \"}", "{\"a\":\"\\u0020 \"}"),
        ];
        for (sent, expected) in rows {
            assert_eq!(compact(sent), expected, "{sent}");
        }
    }

    #[test]
    fn only_what_is_json_in_full_is_json() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in ["1", "\"a\"", "null", " {\"a\":1} ", "[]", &deep] {
            assert!(is_json(text));
        }
        for text in ["", " ", "ok", "{\"a\":1}x", "{a:1}", "01", "\u{0}"] {
            assert!(!is_json(text), "{text}");
        }
    }

    #[test]
    fn a_call_needs_method_and_params_and_null_is_something() {
        let draft = |text: &str| {
            let input: CallInput = serde_json::from_str(text).map_err(|_| "no such form")?;
            input.draft(CallWay::TwoWay).map_err(|_| "refused")
        };
        for wrong in [
            "{}",
            r#"{"method":"m"}"#,
            r#"{"params":1}"#,
            r#"{"method":"","params":1}"#,
            r#"{"method":null,"params":1}"#,
            r#"{"method":1,"params":1}"#,
            r#"{"method":"m","params":1,"requestUUID":"x"}"#,
            r#"{"method":"m","params":1,"timeout":"x"}"#,
        ] {
            assert!(draft(wrong).is_err(), "{wrong}");
        }
        let fine = draft(r#"{"method":"m","params":null,"timeout":-1,"retries":-1}"#);
        let fine = fine.expect("a call");
        assert_eq!(
            (fine.params.as_str(), fine.timeout_ms, fine.retries),
            ("null", Some(0), Some(0))
        );
    }
}
