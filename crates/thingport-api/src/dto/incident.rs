//! Why something was refused (our own endpoints).

use serde::{Deserialize, Serialize};
use thingport_core::explain::{Explanation, SoughtDevice};
use thingport_model::attempt::{Attempt, PresentedCertificate};
use thingport_model::incident::Incident;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use utoipa::ToSchema;

use super::id::EntityId;

/// One refusal, rejected message or disconnect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Incident)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IncidentBody {
    /// When it last happened.
    at: i64,
    /// When it first happened.
    first_at: i64,
    /// How often since then.
    count: u32,
    /// Stable id of the reason.
    #[schema(value_type = String, example = "login.unknown")]
    reason: &'static str,
    /// Whose move it is: `device`, `operator`, `server`, `network` or `nobody`.
    #[schema(value_type = String)]
    fault: &'static str,
    /// What was wrong and what was expected.
    #[schema(value_type = String)]
    sentence: &'static str,
    /// What to do about it; empty when nothing needs to be done.
    #[schema(value_type = String)]
    remedy: &'static str,
    /// What exactly was wrong this time.
    detail: String,
    /// The device it concerns; null when no device was found.
    device_id: Option<EntityId>,
    /// Address of the peer.
    remote: String,
    /// MQTT client id as sent; empty when unknown.
    client_id: String,
    /// User name as sent, all but its beginning hidden; empty when unknown.
    user_name: String,
    /// Protocol and version; empty when unknown.
    protocol: String,
    /// What a refused CONNECT showed; null for everything else.
    attempt: Option<AttemptBody>,
}

/// What a refused CONNECT showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Attempt)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptBody {
    /// `TLS 1.2` or `TLS 1.3`; empty on a plain connection.
    tls_version: String,
    /// Cipher suite; empty on a plain connection.
    cipher: String,
    /// Certificates as presented, the device's first; at most five.
    certificates: Vec<PresentedCertificateBody>,
    /// How many were presented.
    certificates_presented: u8,
    /// Which credentials or profile were tried, and where it stopped.
    tried: String,
    /// The device profile that was tried; null when none was.
    device_profile_id: Option<EntityId>,
}

/// A certificate that a client presented. Nothing of it was believed but that, for the first, the
/// client holds its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PresentedCertificate)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PresentedCertificateBody {
    /// Whose it is; empty when it could not be read.
    subject: String,
    /// Who signed it.
    issuer: String,
    /// Serial number in hexadecimal.
    serial: String,
    /// Valid from; null when it could not be read.
    not_before: Option<i64>,
    /// Valid until; null when it could not be read.
    not_after: Option<i64>,
    /// Kind of its key.
    key: String,
    /// The credentials id by which a device with this certificate is known.
    fingerprint: String,
    /// SHA-256 as openssl prints it.
    sha256: String,
}

/// Why something does not connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Explanation)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExplanationBody {
    /// `connected`, `refused`, `none_from_address`, `none_with_credentials`, `none_of_device` or `none`.
    #[schema(value_type = String)]
    finding: &'static str,
    /// What the attempts, or their absence, mean.
    #[schema(value_type = String)]
    sentence: &'static str,
    /// What to do about it.
    #[schema(value_type = String)]
    remedy: &'static str,
    /// What the caller cannot see; empty when nothing is hidden.
    #[schema(value_type = String)]
    note: &'static str,
    /// Matching attempts, newest first; the same of the same peer as one, with their number.
    attempts: Vec<IncidentBody>,
    /// The device that the question names, by its id or by what it logs in with; null when there is
    /// none that the caller may see.
    device: Option<SoughtDeviceBody>,
    /// Older attempts were pushed out by newer ones; null when none were.
    kept_since: Option<i64>,
}

/// The device that a question names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SoughtDevice)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SoughtDeviceBody {
    /// Which.
    id: EntityId,
    /// Its name.
    name: String,
    /// Whether it is connected now.
    connected: bool,
}

/// What somebody asks for; everything that is given must fit.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = Search)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SearchInput {
    /// Address of the peer, with or without port; the port is not compared.
    pub(crate) address: Option<String>,
    /// Client id, exactly.
    pub(crate) client_id: Option<String>,
    /// User name or access token in full.
    pub(crate) user_name: Option<String>,
    /// Fingerprint of a certificate, of either kind, with or without colons.
    pub(crate) fingerprint: Option<String>,
    /// Id of a reason, or its part before the dot.
    pub(crate) reason: Option<String>,
    /// UUID of a device.
    pub(crate) device_id: Option<String>,
    /// Happened then or later.
    pub(crate) from: Option<i64>,
    /// Happened then or earlier.
    pub(crate) to: Option<i64>,
    /// Some text contains this, in any letter case.
    pub(crate) text: Option<String>,
    /// At most so many.
    pub(crate) limit: Option<usize>,
}

impl From<Incident> for IncidentBody {
    fn from(it: Incident) -> Self {
        Self {
            at: it.at.ms(),
            first_at: it.first_at.ms(),
            count: it.count,
            reason: it.reason.id(),
            fault: it.reason.fault().name(),
            sentence: it.reason.sentence(),
            remedy: it.reason.remedy(),
            detail: it.detail,
            device_id: it.device.map(|device| device.entity().into()),
            remote: it.remote,
            client_id: it.client_id,
            user_name: it.user_name,
            protocol: it.protocol,
            attempt: it.attempt.map(|attempt| (*attempt).into()),
        }
    }
}

impl From<Attempt> for AttemptBody {
    fn from(it: Attempt) -> Self {
        Self {
            tls_version: it.tls_version,
            cipher: it.cipher,
            certificates: it.chain.into_iter().map(Into::into).collect(),
            certificates_presented: it.presented,
            tried: it.tried,
            device_profile_id: it.profile.map(|profile| profile.entity().into()),
        }
    }
}

impl From<PresentedCertificate> for PresentedCertificateBody {
    fn from(it: PresentedCertificate) -> Self {
        Self {
            subject: it.subject,
            issuer: it.issuer,
            serial: it.serial,
            not_before: it.not_before.map(Timestamp::ms),
            not_after: it.not_after.map(Timestamp::ms),
            key: it.key,
            fingerprint: it.fingerprint.to_string(),
            sha256: it.sha256.with_colons(),
        }
    }
}

impl From<Explanation> for ExplanationBody {
    fn from(it: Explanation) -> Self {
        Self {
            finding: it.finding.id(),
            sentence: it.finding.sentence(),
            remedy: it.finding.remedy(),
            note: if it.strangers_seen { "" } else { HIDDEN },
            attempts: it.attempts.into_iter().map(Into::into).collect(),
            device: it.device.map(Into::into),
            kept_since: it.kept_since.map(Timestamp::ms),
        }
    }
}

impl From<SoughtDevice> for SoughtDeviceBody {
    fn from(it: SoughtDevice) -> Self {
        Self { id: it.id.entity().into(), name: it.name, connected: it.is_connected }
    }
}

const HIDDEN: &str = "Attempts that matched no device were not looked through; in an installation \
    with several tenants the system administrator sees them.";

/// One reason of the closed list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Reason)]
pub(crate) struct ReasonBody {
    /// Stable id.
    #[schema(value_type = String)]
    id: &'static str,
    /// Whose move it is.
    #[schema(value_type = String)]
    fault: &'static str,
    /// What was wrong and what was expected.
    #[schema(value_type = String)]
    sentence: &'static str,
    /// What to do about it.
    #[schema(value_type = String)]
    remedy: &'static str,
}

impl From<Reason> for ReasonBody {
    fn from(it: Reason) -> Self {
        let fault = it.fault().name();
        Self { id: it.id(), fault, sentence: it.sentence(), remedy: it.remedy() }
    }
}
