//! What a refused request is answered with, and the one map from [`core::error::Error`](Error) to it.
//!
//! A refusal travels as data in the response's extensions; [`render`](crate::render) gives it its body at the door of
//! the API, because the error object carries the time (REST API 1.6) and only the node knows it. The
//! telemetry plugin answers with plain text instead (1.7): [`Plain`].

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use thingport_core::error::Error;
use thingport_model::time::Timestamp;

/// A refused request: status, ThingsBoard's `errorCode` and a sentence for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    code: u16,
    message: String,
    /// Members that only some codes have, such as `limit` of code 41.
    extra: Vec<(&'static str, Value)>,
    /// In how many seconds trying again may help (`Retry-After`).
    retry_after_s: Option<u64>,
}

impl Refusal {
    /// 400, code 31: the request itself is wrong.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 31, message)
    }

    /// 401, code 10: no usable credential, or wrong user or password.
    #[must_use]
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 10, message)
    }

    /// 401, code 11: the token was good once; a refresh or a new login helps.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 11, message)
    }

    /// 401, code 15: the password is right and too old; `reset_token` allows to set a new one.
    #[must_use]
    pub fn password_expired(reset_token: &str) -> Self {
        let text = "the password has expired; set a new one";
        Self::new(StatusCode::UNAUTHORIZED, 15, text).with("resetToken", reset_token)
    }

    /// 401, code 45: the password is right and breaks the policy of today.
    #[must_use]
    pub fn password_too_weak(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 45, message)
    }

    /// 429, code 33: more requests than the tenant or customer may send.
    #[must_use]
    pub fn too_many_requests(message: impl Into<String>, retry_after_s: u64) -> Self {
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, 33, message);
        Self { retry_after_s: Some(retry_after_s.max(1)), ..refusal }
    }

    /// 408, code 31: the request took too long to arrive.
    #[must_use]
    pub fn too_slow(message: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, 31, message)
    }

    /// 406: what the device answered is not JSON (RP-023).
    #[must_use]
    pub fn answer_not_json() -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, 31, "the device answered something that is not JSON")
    }

    /// 409, code 31: a link that leads nowhere.
    #[must_use]
    pub fn stale_link(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, 31, message)
    }

    /// 403, code 20: authenticated, but not allowed.
    #[must_use]
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, 20, message)
    }

    /// 404, code 32.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, 32, message)
    }

    /// 405 with the error object (G-5).
    #[must_use]
    pub fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, 31, "this path exists, but not for this method")
    }

    /// 503, code 2: try again later.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, 2, message)
    }

    /// 500, code 2: a fault of ours.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, 2, message)
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// In how many seconds trying again may help, if it may.
    #[must_use]
    pub const fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    /// ThingsBoard's `errorCode`.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The sentence for the caller.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    fn new(status: StatusCode, code: u16, message: impl Into<String>) -> Self {
        let retry_after_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { status, code, message: message.into(), extra: Vec::new(), retry_after_s }
    }

    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    /// The error object.
    pub(crate) fn body(&self, now: Timestamp) -> Value {
        let mut body = Map::new();
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("message".to_owned(), json!(self.message));
        body.insert("errorCode".to_owned(), json!(self.code));
        body.insert("timestamp".to_owned(), json!(now.ms()));
        body.extend(self.extra.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Value::Object(body)
    }
}

/// Which contract a call without an outcome is answered by: of 408 and 409, or of 504 (RP-023).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoOutcome {
    /// `/api/plugins/rpc`
    First,
    /// `/api/rpc`
    Second,
}

impl NoOutcome {
    /// The device was given the call and did not answer.
    pub(crate) fn timed_out(self) -> Refusal {
        self.too_late("the device did not answer before the time of the call was over")
    }

    /// The time of the call had passed before it was made.
    pub(crate) fn overdue(self) -> Refusal {
        self.too_late(
            "the expirationTime of the call has passed already, so the device was not asked; it is \
             a moment in milliseconds since 1970 (UTC)",
        )
    }

    fn too_late(self, text: &'static str) -> Refusal {
        let status = match self {
            Self::First => StatusCode::REQUEST_TIMEOUT,
            Self::Second => StatusCode::GATEWAY_TIMEOUT,
        };
        Refusal::new(status, 31, text)
    }

    /// The device was not there.
    pub(crate) fn not_connected(self) -> Refusal {
        let status = match self {
            Self::First => StatusCode::CONFLICT,
            Self::Second => StatusCode::GATEWAY_TIMEOUT,
        };
        let text = "the device was not connected, or did not subscribe to calls, in time";
        Refusal::new(status, 31, text)
    }
}

/// The one map from what the domain answers to what HTTP answers.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(text) => Self::denied(text),
            Error::NotFound(text) => Self::not_found(text),
            Error::VersionConflict(text) => Self::new(StatusCode::CONFLICT, 35, text),
            Error::Invalid(text) => Self::bad_request(text),
            Error::EntityLimit { kind, limit } => entity_limit(kind.name(), limit),
            Error::Busy(text) => Self::unavailable(text),
            Error::StorageFull => {
                Self::unavailable("no space is left to store this; nothing was changed")
            }
            Error::Unavailable(detail) => {
                tracing::warn!(detail, "a request met a store that does not answer");
                Self::unavailable("the storage does not answer at the moment; try again later")
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A refusal of the telemetry plugin: plain text, unless it is about authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plain(pub(crate) Refusal);

impl<T: Into<Refusal>> From<T> for Plain {
    fn from(refusal: T) -> Self {
        Self(refusal.into())
    }
}

impl IntoResponse for Plain {
    fn into_response(self) -> Response {
        if self.0.status == StatusCode::UNAUTHORIZED {
            return self.0.into_response();
        }
        (self.0.status, self.0.message).into_response()
    }
}

/// The body was larger than allowed: 413 with a JSON string, not an object (G-4).
#[must_use]
pub(crate) fn too_large(limit: usize) -> Response {
    let text = Value::String(format!("the request body is larger than {limit} bytes"));
    let json = HeaderValue::from_static("application/json");
    (StatusCode::PAYLOAD_TOO_LARGE, [(header::CONTENT_TYPE, json)], text.to_string())
        .into_response()
}

/// A claim that came to nothing: 400 with a JSON string, not an object (REST API section 10).
#[must_use]
pub(crate) fn unclaimed(result: &'static str) -> Response {
    (StatusCode::BAD_REQUEST, axum::Json(result)).into_response()
}

/// Leads a browser on, with GET whatever it asked with (303).
#[must_use]
pub(crate) fn see_other(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => Refusal::bad_request("the link has characters that no link has").into_response(),
    }
}

/// A page in place of one that does not exist.
#[must_use]
pub(crate) fn missing_page(page: Response) -> Response {
    (StatusCode::NOT_FOUND, page).into_response()
}

fn entity_limit(kind: &'static str, limit: u64) -> Refusal {
    let message = format!("the limit of {limit} entities of type {kind} is reached");
    Refusal::new(StatusCode::FORBIDDEN, 41, message).with("entityType", kind).with("limit", limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::id::EntityKind;

    #[test]
    fn each_error_of_the_domain_has_its_status_and_code() {
        let text = || "why".to_owned();
        let rows = [
            (Error::Denied(text()), 403, 20),
            (Error::NotFound(text()), 404, 32),
            (Error::VersionConflict(text()), 409, 35),
            (Error::Invalid(text()), 400, 31),
            (Error::EntityLimit { kind: EntityKind::Device, limit: 5 }, 403, 41),
            (Error::Unavailable(text()), 503, 2),
            (Error::StorageFull, 503, 2),
        ];
        for (error, status, code) in rows {
            let refusal = Refusal::from(error.clone());
            assert_eq!((refusal.status().as_u16(), refusal.code()), (status, code), "{error:?}");
        }
    }

    #[test]
    fn the_error_object_has_exactly_the_members_of_the_contract() {
        let body = Refusal::bad_request("free text").body(Timestamp(1_767_225_600_000));
        let expected =
            r#"{"status":400,"message":"free text","errorCode":31,"timestamp":1767225600000}"#;
        assert_eq!(body.to_string(), expected);
        let limit = Refusal::from(Error::EntityLimit { kind: EntityKind::Device, limit: 5 });
        let body = limit.body(Timestamp(1));
        assert_eq!((&body["entityType"], &body["limit"]), (&json!("DEVICE"), &json!(5)));
    }

    #[test]
    fn a_failure_of_the_store_tells_the_caller_nothing_of_its_detail() {
        let refusal = Refusal::from(Error::Unavailable("table devices is locked".into()));
        assert!(!refusal.message().contains("devices"));
    }
}
