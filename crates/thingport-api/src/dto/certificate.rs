//! A row of the certificate board, and what a pasted certificate is (our own endpoints).

use serde::{Deserialize, Serialize};
use thingport_core::registry::certificates::{BoardRow, Holder, Sight, Validity};
use thingport_model::time::Timestamp;
use utoipa::ToSchema;

use super::id::EntityId;

/// A certificate and when it expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Certificate)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CertificateBody {
    /// Whose: `DEVICE`, `DEVICE_PROFILE`, `SERVER` or `SERVER_CA`.
    #[schema(value_type = String)]
    kind: &'static str,
    /// The device or device profile; null for the server's.
    id: Option<EntityId>,
    /// Name of the device or device profile; empty for the server's.
    name: String,
    /// Whose it is by its own words; empty when it could not be read.
    subject: String,
    /// Who signed it.
    issuer: String,
    /// Serial number in hexadecimal.
    serial: String,
    /// Valid from.
    not_before: Option<i64>,
    /// Valid until.
    not_after: Option<i64>,
    /// Whole days until it expires; negative when it did.
    days_left: i64,
    /// `VALID`, `EXPIRING` within 30 days, `EXPIRED` or `NOT_YET_VALID`.
    #[schema(value_type = String)]
    state: &'static str,
    /// Kind of its key.
    key: String,
    /// The credentials id by which a device with this certificate is known.
    fingerprint: String,
    /// SHA-256 as openssl prints it.
    sha256: String,
}

impl CertificateBody {
    pub(crate) fn of(row: BoardRow, now: Timestamp) -> Self {
        let (days_left, state) = (row.days_left(now), state(row.validity(now)));
        let (kind, id, name) = match row.holder {
            Holder::Device(id, name) => ("DEVICE", Some(id.entity().into()), name),
            Holder::Profile(id, name) => ("DEVICE_PROFILE", Some(id.entity().into()), name),
            Holder::Server => ("SERVER", None, String::new()),
            Holder::ServerCa => ("SERVER_CA", None, String::new()),
        };
        let it = row.certificate;
        Self {
            kind,
            id,
            name,
            subject: it.subject,
            issuer: it.issuer,
            serial: it.serial,
            not_before: it.not_before.map(Timestamp::ms),
            not_after: it.not_after.map(Timestamp::ms),
            days_left,
            state,
            key: it.key,
            fingerprint: it.fingerprint.to_string(),
            sha256: it.sha256.with_colons(),
        }
    }
}

/// A certificate as somebody pasted it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = CertificateInput)]
pub(crate) struct SightInput {
    /// PEM with or without its frame, or a chain.
    pub(crate) certificate: String,
}

/// What a pasted certificate is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CertificateSight)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SightBody {
    /// Whose it is.
    subject: String,
    /// Who signed it.
    issuer: String,
    /// Hexadecimal.
    serial: String,
    /// Milliseconds.
    not_before: Option<i64>,
    /// Milliseconds.
    not_after: Option<i64>,
    /// `RSA 2048`, `P-256`, ...
    key: String,
    /// What a device that has it gets as credentials id.
    fingerprint: String,
    /// Over the DER bytes, as other programs show it.
    sha256: String,
    /// `VALID`, `EXPIRING`, `EXPIRED` or `NOT_YET_VALID`.
    #[schema(value_type = String)]
    state: &'static str,
    /// Whether it may sign others.
    is_ca: bool,
    is_self_signed: bool,
    /// How many certificates were pasted; the first counts.
    count: usize,
}

impl SightBody {
    pub(crate) fn of(sight: Sight, now: Timestamp) -> Self {
        let row = BoardRow { holder: Holder::Server, certificate: sight.certificate };
        let state = state(row.validity(now));
        let it = row.certificate;
        Self {
            subject: it.subject,
            issuer: it.issuer,
            serial: it.serial,
            not_before: it.not_before.map(Timestamp::ms),
            not_after: it.not_after.map(Timestamp::ms),
            key: it.key,
            fingerprint: it.fingerprint.to_string(),
            sha256: it.sha256.with_colons(),
            state,
            is_ca: sight.is_ca,
            is_self_signed: sight.is_self_signed,
            count: sight.count,
        }
    }
}

const fn state(validity: Validity) -> &'static str {
    match validity {
        Validity::Valid => "VALID",
        Validity::Expiring => "EXPIRING",
        Validity::Expired => "EXPIRED",
        Validity::NotYetValid => "NOT_YET_VALID",
    }
}
