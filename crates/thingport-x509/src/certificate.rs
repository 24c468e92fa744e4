//! One certificate and what it says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use crate::error::NotACertificate;
use crate::fingerprint::{hash_bytes, hash_one, hex, sha256};
use crate::guess::what_else;
use crate::name;

pub use crate::key::KeyKind;

/// A certificate whose structure has been read; nothing of it is judged yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Box<[u8]>,
    facts: Facts,
}

/// What a certificate says about itself. Texts are safe to show and to log: control characters are
/// escaped, lengths are bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// 1, 2 or 3; extensions exist from 3 on.
    pub version: u8,
    /// Whose it is, as RFC 4514 writes names.
    pub subject: String,
    /// Who signed it, as RFC 4514 writes names.
    pub issuer: String,
    /// The first common name of the subject, as it is.
    pub common_name: Option<String>,
    /// Serial number, lower-case hexadecimal digits without leading zeros.
    pub serial: String,
    /// Valid from this moment on, milliseconds since 1970.
    pub not_before_ms: i64,
    /// Valid up to and including this moment, milliseconds since 1970.
    pub not_after_ms: i64,
    /// The public key.
    pub key: KeyKind,
    /// Name of the algorithm of the issuer's signature, such as `sha256WithRSAEncryption`.
    pub signature_algorithm: String,
    /// basicConstraints, when the extension is there.
    pub basic_constraints: Option<BasicConstraints>,
    /// keyUsage by the words of RFC 5280, when the extension is there.
    pub key_usage: Option<Vec<&'static str>>,
    /// Whether issuer and subject are the same name; the signature may still be another's.
    pub is_self_issued: bool,
}

/// The basicConstraints extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the subject may sign certificates.
    pub ca: bool,
    /// How many CA certificates may stand between this one and a device's.
    pub path_len: Option<u32>,
}

impl Facts {
    /// Whether the certificate says that its subject is a CA.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.basic_constraints.is_some_and(|constraints| constraints.ca)
    }

    /// Where a moment stands to the period in which the certificate is valid.
    #[must_use]
    pub const fn validity_at(&self, now_ms: i64) -> Validity {
        if now_ms < self.not_before_ms {
            Validity::NotYet
        } else if now_ms > self.not_after_ms {
            Validity::Expired
        } else {
            Validity::Valid
        }
    }
}

/// Outcome of [`Facts::validity_at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// The period has not begun.
    NotYet,
    /// Within the period.
    Valid,
    /// The period is over.
    Expired,
}

impl Certificate {
    /// Reads the DER form; `der` holds one certificate and nothing else.
    ///
    /// # Errors
    /// What was found instead.
    pub fn from_der(der: &[u8]) -> Result<Self, NotACertificate> {
        if der.len() > CERTIFICATE_DER_MAX {
            return Err(NotACertificate::TooLong { max: CERTIFICATE_DER_MAX });
        }
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| what_else(der))?;
        if !rest.is_empty() {
            return Err(NotACertificate::Trailing);
        }
        let facts = facts(&parsed)?;
        Ok(Self { der: der.into(), facts })
    }

    /// The parser's view of the same bytes.
    pub(crate) fn parsed(&self) -> X509Certificate<'_> {
        let (_, parsed) =
            X509Certificate::from_der(&self.der).expect("the same bytes were read before");
        parsed
    }

    /// What it says.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The DER bytes.
    #[must_use]
    pub const fn der(&self) -> &[u8] {
        &self.der
    }

    /// Base64 of the DER bytes in one line: the value that device credentials keep (device API 2.2).
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.der)
    }

    /// PEM with lines of 64 letters.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let body = self.to_base64();
        let mut pem = String::with_capacity(body.len() + body.len() / 64 + 64);
        pem.push_str(BEGIN);
        pem.push('\n');
        // Base64 is ASCII, so every index is a letter's beginning.
        for start in (0..body.len()).step_by(64) {
            pem.push_str(&body[start..body.len().min(start + 64)]);
            pem.push('\n');
        }
        pem.push_str(END);
        pem.push('\n');
        pem
    }

    /// The id under which device credentials and profiles know it: SHA3-256 of the base64 text
    /// (AU-010).
    #[must_use]
    pub fn credentials_id(&self) -> String {
        hash_one(&self.to_base64())
    }

    /// SHA3-256 of the subject's name as it is encoded, lower-case hexadecimal.
    #[must_use]
    pub fn subject_id(&self) -> String {
        hash_bytes(self.parsed().subject().as_raw())
    }

    /// SHA3-256 of the issuer's name as it is encoded: the [`Self::subject_id`] of the issuer.
    #[must_use]
    pub fn issuer_id(&self) -> String {
        hash_bytes(self.parsed().issuer().as_raw())
    }

    /// SHA-256 of the DER bytes as openssl prints fingerprints.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256(&self.der)
    }
}

impl core::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.facts.subject)
            .field("issuer", &self.facts.issuer)
            .field("serial", &self.facts.serial)
            .finish_non_exhaustive()
    }
}

fn facts(parsed: &X509Certificate<'_>) -> Result<Facts, NotACertificate> {
    let extensions = Extensions::of(parsed)?;
    Ok(Facts {
        version: u8::try_from(parsed.version().0).map_or(u8::MAX, |zero| zero.saturating_add(1)),
        subject: name::text(parsed.subject()),
        issuer: name::text(parsed.issuer()),
        common_name: name::common_name(parsed.subject()),
        serial: serial(parsed.raw_serial()),
        not_before_ms: parsed.validity().not_before.timestamp().saturating_mul(1_000),
        // The last second counts in full (RFC 5280, section 4.1.2.5).
        not_after_ms: parsed.validity().not_after.timestamp().saturating_mul(1_000) + 999,
        key: KeyKind::of(parsed.public_key()),
        signature_algorithm: algorithm_name(&parsed.signature_algorithm.algorithm.to_id_string()),
        basic_constraints: extensions.basic_constraints,
        key_usage: extensions.key_usage,
        is_self_issued: parsed.subject().as_raw() == parsed.issuer().as_raw(),
    })
}

struct Extensions {
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<Vec<&'static str>>,
}

impl Extensions {
    fn of(parsed: &X509Certificate<'_>) -> Result<Self, NotACertificate> {
        let mut found = Self { basic_constraints: None, key_usage: None };
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => {
                    let read = BasicConstraints {
                        ca: constraints.ca,
                        path_len: constraints.path_len_constraint,
                    };
                    once(&mut found.basic_constraints, read)?;
                }
                ParsedExtension::KeyUsage(usage) => {
                    let words = USAGES.iter().enumerate();
                    let words = words.filter(|(bit, _)| usage.flags >> bit & 1 == 1);
                    once(&mut found.key_usage, words.map(|(_, word)| *word).collect())?;
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// An extension stands in a certificate at most once (RFC 5280, section 4.2).
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), NotACertificate> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(NotACertificate::Malformed),
    }
}

pub(crate) fn serial(bytes: &[u8]) -> String {
    let digits = hex(bytes);
    let bare = digits.trim_start_matches('0');
    if bare.is_empty() { "0".to_owned() } else { bare.to_owned() }
}

/// The name that RFCs and openssl use, or the object identifier itself.
pub(crate) fn algorithm_name(oid: &str) -> String {
    let known = ALGORITHMS.iter().find(|(known, _)| *known == oid);
    known.map_or(oid, |(_, name)| name).to_owned()
}

/// Longest certificate in bytes of DER.
pub const CERTIFICATE_DER_MAX: usize = 16_384;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// By bit (RFC 5280, section 4.2.1.3).
const USAGES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

const ALGORITHMS: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    ("1.2.840.113549.1.1.10", "rsassaPss"),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
];

#[cfg(test)]
mod tests;
