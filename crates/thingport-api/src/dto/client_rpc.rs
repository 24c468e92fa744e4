//! Client calls for applications: what devices ask, and what is answered. Our own.

use serde::{Deserialize, Serialize};
use thingport_core::client_calls::applications::{Answer, Request, Terms, WINDOW_MAX};
use thingport_model::id::DeviceProfileId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::opaque::Opaque;
use crate::error::Refusal;
use crate::extract::Params;

/// How requests are taken.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TakeInput {
    /// How long to wait for the first one: 20000 if absent, at most 60000.
    timeout_ms: Option<u64>,
    /// Most requests at once: 1 if absent, at most 256.
    max: Option<u32>,
    /// How long they are this application's alone: 10000 if absent, 100 to 60000. Then they are given to
    /// another one.
    lease_ms: Option<u64>,
    /// Only those of devices of this profile.
    device_profile_id: Option<Uuid>,
}

/// What devices ask.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ClientRpcRequests)]
pub(crate) struct TakenBody {
    /// In the order in which they were asked; empty when nobody asked in time.
    pub(crate) requests: Vec<RequestBody>,
}

/// What a device asks.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ClientRpcRequest)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestBody {
    /// By which it is answered.
    id: Uuid,
    /// When it was asked.
    ts: i64,
    device_id: Uuid,
    device_profile_id: Uuid,
    device_profile_name: String,
    /// Whose device it is; null when it is no customer's.
    customer_id: Option<Uuid>,
    method: String,
    /// Any JSON.
    params: Opaque,
}

/// What is answered: one of the two.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[schema(as = ClientRpcAnswer)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerInput {
    /// Any JSON, given to the device as it is; up to 64 KiB.
    #[serde(default, deserialize_with = "present")]
    answer: Option<Opaque>,
    /// Why there is no answer; the device gets `{"error":"..."}`.
    error: Option<String>,
}

/// What an application says over WebSocket.
#[derive(Clone, Deserialize)]
pub(crate) struct AnswerMessage {
    /// Which request.
    pub(crate) id: Uuid,
    #[serde(default, deserialize_with = "present")]
    answer: Option<Opaque>,
    error: Option<String>,
}

/// What an application is told over WebSocket.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ToldMessage {
    /// A device asks.
    Request(RequestBody),
    /// An answer was not taken.
    Refused {
        /// Which request, if it was said.
        id: Option<Uuid>,
        /// Why.
        message: String,
    },
}

/// Tells `null` from what is absent.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Opaque>, D::Error> {
    Opaque::deserialize(deserializer).map(Some)
}

impl TakeInput {
    /// From the parameters of a WebSocket's address.
    pub(crate) fn of(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            timeout_ms: None,
            max: Some(params.parsed("max")?.unwrap_or(LASTING_WINDOW)),
            lease_ms: params.parsed("leaseMs")?,
            device_profile_id: params.parsed("deviceProfileId")?,
        })
    }

    pub(crate) fn timeout_ms(&self) -> Result<u64, Refusal> {
        within("timeoutMs", self.timeout_ms, 20_000, 0, 60_000)
    }

    /// `is_lasting`: see [`Terms`].
    pub(crate) fn terms(&self, is_lasting: bool) -> Result<Terms, Refusal> {
        let max = within("max", self.max.map(u64::from), 1, 1, u64::from(WINDOW_MAX))?;
        Ok(Terms {
            profile: self.device_profile_id.map(DeviceProfileId),
            window: u32::try_from(max).unwrap_or(1),
            lease_ms: within("leaseMs", self.lease_ms, 10_000, 100, 60_000)?,
            is_lasting,
        })
    }
}

fn within(
    name: &str,
    sent: Option<u64>,
    otherwise: u64,
    min: u64,
    max: u64,
) -> Result<u64, Refusal> {
    let value = sent.unwrap_or(otherwise);
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(Refusal::bad_request(format!("{name} is {min} to {max}, not {value}")))
}

impl AnswerInput {
    pub(crate) fn into_answer(self) -> Result<Answer, Refusal> {
        answer(self.answer, self.error)
    }
}

impl AnswerMessage {
    pub(crate) fn into_answer(self) -> Result<Answer, Refusal> {
        answer(self.answer, self.error)
    }
}

fn answer(answer: Option<Opaque>, error: Option<String>) -> Result<Answer, Refusal> {
    let answer = match (answer, error) {
        (Some(answer), None) => Answer::Json(answer.into_text()),
        (None, Some(error)) => Answer::Error(error),
        _ => return Err(Refusal::bad_request("either answer or error is due")),
    };
    let (Answer::Json(text) | Answer::Error(text)) = &answer else { return Ok(answer) };
    if text.len() > ANSWER_MAX {
        return Err(Refusal::bad_request(format!("an answer has at most {ANSWER_MAX} bytes")));
    }
    Ok(answer)
}

impl From<&Request> for RequestBody {
    fn from(it: &Request) -> Self {
        Self {
            id: it.id,
            ts: it.asked_at.ms(),
            device_id: it.device_id.0,
            device_profile_id: it.profile_id.0,
            device_profile_name: it.profile_name.clone(),
            customer_id: it.customer_id.map(|it| it.0),
            method: it.method.clone(),
            params: it.params.clone().into(),
        }
    }
}

impl ToldMessage {
    /// Its text.
    pub(crate) fn text(&self) -> String {
        // The parameters were JSON when they were read.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Bytes of an answer to a device.
const ANSWER_MAX: usize = 64 * 1024;
/// Requests that an application holds which does not say how many.
const LASTING_WINDOW: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_or_an_error_and_not_too_long() {
        let long = format!(r#"{{"answer":"{}"}}"#, "x".repeat(ANSWER_MAX));
        let rows = [
            (r#"{"answer":{"a": 1.50}}"#, Some(Answer::Json(r#"{"a": 1.50}"#.to_owned()))),
            (r#"{"answer":null}"#, Some(Answer::Json("null".to_owned()))),
            (r#"{"error":"no"}"#, Some(Answer::Error("no".to_owned()))),
            (r#"{"answer":1,"error":"no"}"#, None),
            ("{}", None),
            (&long, None),
        ];
        for (sent, expected) in rows {
            let input: AnswerInput = serde_json::from_str(sent).expect(sent);
            assert_eq!(input.into_answer().ok(), expected, "{sent}");
        }
        assert!(serde_json::from_str::<AnswerInput>(r#"{"value":1}"#).is_err());
    }

    #[test]
    fn what_is_not_said_about_taking_has_a_default_and_the_rest_a_range() {
        let input = TakeInput::default();
        let terms = input.terms(false).expect("accepted");
        assert_eq!((terms.window, terms.lease_ms, terms.profile), (1, 10_000, None));
        assert_eq!(input.timeout_ms().ok(), Some(20_000));
        let params = Params::of(Some("leaseMs=100&token=x")).expect("well formed");
        let terms = TakeInput::of(&params).and_then(|it| it.terms(true)).expect("accepted");
        assert_eq!((terms.window, terms.lease_ms, terms.is_lasting), (16, 100, true));
        for wrong in ["max=0", "max=257", "leaseMs=99", "leaseMs=60001", "deviceProfileId=x"] {
            let params = Params::of(Some(wrong)).expect("well formed");
            assert!(TakeInput::of(&params).and_then(|it| it.terms(true)).is_err(), "{wrong}");
        }
        let late = TakeInput { timeout_ms: Some(60_001), ..TakeInput::default() };
        assert!(late.timeout_ms().is_err());
    }
}
