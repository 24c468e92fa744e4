//! The one map from reasons to what a device is told over HTTP.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use thingport_model::reason::Reason;

/// The answer to a request that is refused for `reason`: a status and no body (REST API section 16).
pub(super) fn refused(reason: Reason) -> Response {
    status(reason).into_response()
}

const fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::RateLimited
        | Reason::AddressBlocked
        | Reason::TooManyFromAddress
        | Reason::AcceptRateReached => StatusCode::TOO_MANY_REQUESTS,
        Reason::TooManyGuests
        | Reason::ProvisionFailed
        | Reason::StorageFull
        | Reason::StorageFailed
        | Reason::StorageBusy
        | Reason::ServerShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Reason::PacketTimeout => StatusCode::REQUEST_TIMEOUT,
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
