//! The one map from reasons to what a device is told over HTTP.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use thingport_model::reason::Reason;

/// The answer to a request that is refused for `reason`: a status and no body (REST API section 16).
pub(super) fn refused(reason: Reason) -> Response {
    status(reason).into_response()
}

/// Everything is in order, and there is nothing to say.
pub(super) fn done() -> Response {
    StatusCode::OK.into_response()
}

/// What was found, or is told.
pub(super) fn json(body: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Why a request does not get what it asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failed {
    /// It is refused; the reason is kept already.
    Refused(Reason),
    /// Nothing happened in time (H-2), which is nobody's fault.
    TooLate,
}

impl From<Reason> for Failed {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(reason) => refused(reason),
            Self::TooLate => StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    }
}

const fn status(reason: Reason) -> StatusCode {
    match reason {
        // H-1
        Reason::TokenMalformed
        | Reason::CredentialsUnknown
        | Reason::CredentialsTypeUnsupported
        | Reason::CredentialsChanged
        | Reason::ProfileNotHttp => StatusCode::UNAUTHORIZED,
        // H-8
        Reason::DeviceDeleted => StatusCode::FORBIDDEN,
        Reason::PackageNotFound => StatusCode::NOT_FOUND,
        Reason::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::RateLimited
        | Reason::QuotaReached
        | Reason::TooManyPolls
        | Reason::AddressBlocked
        | Reason::TooManyFromAddress
        | Reason::AcceptRateReached => StatusCode::TOO_MANY_REQUESTS,
        Reason::TooManyGuests
        | Reason::ProvisionFailed
        | Reason::StorageFull
        | Reason::StorageFailed
        | Reason::StorageBusy
        | Reason::AnswerFailed
        | Reason::PackageFailed
        | Reason::LoginStoreUnavailable
        | Reason::ServerShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Reason::PacketTimeout | Reason::CallNotAcknowledged => StatusCode::REQUEST_TIMEOUT,
        Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_say_whose_fault_it_is() {
        for (reason, expected) in [
            (Reason::PayloadNotJson, 400),
            (Reason::CredentialsUnknown, 401),
            (Reason::ProfileNotHttp, 401),
            (Reason::DeviceDeleted, 403),
            (Reason::PackageNotFound, 404),
            (Reason::MessageTooLarge, 413),
            (Reason::RateLimited, 429),
            (Reason::QuotaReached, 429),
            (Reason::StorageBusy, 503),
            (Reason::ProvisionMalformed, 400),
            (Reason::PacketTimeout, 408),
            (Reason::AddressBlocked, 429),
            (Reason::ProvisionFailed, 503),
            (Reason::StorageFull, 503),
            (Reason::Internal, 500),
        ] {
            assert_eq!(status(reason).as_u16(), expected, "{reason:?}");
        }
        for reason in Reason::ALL.iter().copied() {
            assert!(!status(reason).is_success(), "{reason:?}");
        }
    }
}
