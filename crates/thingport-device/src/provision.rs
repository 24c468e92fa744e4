//! Provisioning: what a peer that is no device yet may say, and what it is answered (device API 7.2).
//!
//! A body is tried as JSON and then as Protobuf; the answer has the form of its request (PR-005). The
//! same body comes over HTTP (REST API section 11), as JSON only.

mod json;
mod protobuf;

use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::provision::ProvisionRequest;
use thingport_model::reason::Reason;

use crate::reject::{Reject, quoted};
use crate::topic::filter::is_well_formed;
pub use crate::topic::{PROVISION_REQUEST_TOPIC, PROVISION_RESPONSE_TOPIC};

/// The form of one request, and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvisionForm {
    /// JSON.
    Json,
    /// `ProvisionRequest` and `ProvisionResponse` of the fixed Protobuf messages (5.4).
    Protobuf,
}

/// What a peer is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvisionAnswer<'a> {
    /// `SUCCESS`: what the device has to log in with from now on.
    Granted(&'a DeviceCredentials),
    /// `NOT_FOUND`: no profile has this key and secret (PR-020, PR-029).
    NotFound,
    /// `FAILURE`: anything else that was refused.
    Failure,
}

impl ProvisionAnswer<'_> {
    /// What a refusal is answered; none when there is no answer to give, because the request was not
    /// understood or the server could not do its part (PR-006).
    #[must_use]
    pub const fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::ProvisionKeyEmpty
            | Reason::ProvisionKeyUnknown
            | Reason::ProvisionSecretWrong
            | Reason::ProvisionByCertificate => Some(Self::NotFound),
            Reason::ProvisionNameInvalid
            | Reason::ProvisionNameTaken
            | Reason::ProvisionDeviceUnknown
            | Reason::ProvisionedAlready
            | Reason::ProvisionCredentialsInvalid
            | Reason::ProvisionCredentialsTaken
            | Reason::ProvisionDeviceLimit
            | Reason::RateLimited => Some(Self::Failure),
            _ => None,
        }
    }

    /// The answer as a body of `form`.
    #[must_use]
    pub fn write(&self, form: ProvisionForm) -> Vec<u8> {
        match form {
            ProvisionForm::Json => json::write(self).into_bytes(),
            ProvisionForm::Protobuf => protobuf::write(self),
        }
    }
}

/// Reads a request published to `topic`.
///
/// # Errors
/// `ProvisionTopic` for another topic than [`PROVISION_REQUEST_TOPIC`] (PR-003); otherwise as [`read`].
pub fn publication(
    topic: &str,
    payload: &[u8],
) -> Result<(ProvisionForm, ProvisionRequest), Reject> {
    if topic != PROVISION_REQUEST_TOPIC {
        return Err(Reject::new(Reason::ProvisionTopic, quoted(topic)));
    }
    read(payload)
}

/// Reads a request of either form.
///
/// # Errors
/// `PayloadNotJson`, `PayloadShape` and the like when it has neither form; `ProvisionMalformed` when it
/// has one and a member is missing, null or of the wrong kind (PR-006).
pub fn read(payload: &[u8]) -> Result<(ProvisionForm, ProvisionRequest), Reject> {
    let refused = match read_json(payload) {
        Ok(request) => return Ok((ProvisionForm::Json, request)),
        Err(reject) if reject.reason == Reason::ProvisionMalformed => return Err(reject),
        Err(reject) => reject,
    };
    match protobuf::read(payload) {
        Ok(request) => Ok((ProvisionForm::Protobuf, request)),
        Err(reject) if reject.reason == Reason::ProvisionMalformed => Err(reject),
        Err(_) => {
            let detail = format!("{}; nor is it a Protobuf ProvisionRequest", refused.detail);
            Err(Reject::new(refused.reason, detail))
        }
    }
}

/// Reads a request that can only be JSON.
///
/// # Errors
/// As [`read`].
pub fn read_json(payload: &[u8]) -> Result<ProvisionRequest, Reject> {
    json::read(payload)
}

/// Grants the one filter there is (PR-002, TP-019). Granted QoS is the caller's affair.
///
/// # Errors
/// `FilterShared`, `FilterInvalid` or `ProvisionFilter`.
pub fn subscribe(filter: &str) -> Result<(), Reject> {
    let reason = match filter {
        PROVISION_RESPONSE_TOPIC => return Ok(()),
        "$share" => Reason::FilterShared,
        _ if filter.starts_with("$share/") => Reason::FilterShared,
        _ if !is_well_formed(filter) => Reason::FilterInvalid,
        _ => Reason::ProvisionFilter,
    };
    Err(Reject::new(reason, quoted(filter)))
}

/// What the device has to send from now on; the text of basic credentials is JSON.
fn value_of(credentials: &DeviceCredentials) -> &str {
    match credentials.kind {
        CredentialsType::AccessToken => &credentials.credentials_id,
        _ => credentials.value.as_deref().unwrap_or_default(),
    }
}

/// A request that has a form and is of no use all the same (PR-006).
fn malformed(detail: impl Into<String>) -> Reject {
    Reject::new(Reason::ProvisionMalformed, detail)
}

/// `errorMsg` of the two refusals: clients read it without looking whether it is there (CD-013).
const NOT_FOUND: &str = "Provision data was not found!";
const FAILURE: &str = "Failed to provision device!";

#[cfg(test)]
mod tests;
