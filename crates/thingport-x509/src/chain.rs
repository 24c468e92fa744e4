//! Whether a device's certificate was issued below a CA.
//!
//! The path is looked for among the certificates that were presented, in whatever order they came; the
//! CA itself may be among them or not. In strict judgement (RFC 5280, section 6.1, as far as it
//! concerns us) every certificate must be in its period, every issuer must be a CA that may sign
//! certificates, and the device's own must not be one.

use core::fmt;

use x509_parser::prelude::{ParsedExtension, X509Certificate};

use crate::certificate::{Certificate, Validity};
use crate::crl::RevocationList;
use crate::moment::rfc3339;
use crate::signature::{self, Flaw};

/// How much of a chain is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Strictness {
    /// Path, period, CA flag, key usage, path length, unknown critical extensions.
    #[default]
    Strict,
    /// Signatures alone, as ThingsBoard does (AU-041).
    Compatible,
}

/// What a chain is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// How much is judged.
    pub strictness: Strictness,
    /// The moment of the judgement, milliseconds since 1970.
    pub now_ms: i64,
    /// Whether the device's own certificate may be out of its period; those of CAs may not.
    pub skip_leaf_validity: bool,
    /// What the CA has called back.
    pub crl: Option<&'a RevocationList>,
}

/// Why a chain does not count. Names are as in [`crate::certificate::Facts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// Nothing was presented.
    Empty,
    /// The issuer is neither among the presented certificates nor the CA.
    IssuerMissing {
        /// Whose certificate.
        subject: String,
        /// Who should have signed it.
        issuer: String,
        /// The CA that was expected in the end.
        ca: String,
    },
    /// The issuer of that name did not sign it.
    Signature {
        /// Whose certificate.
        subject: String,
        /// Who should have signed it.
        issuer: String,
    },
    /// Signed by an algorithm or key that is not accepted.
    Algorithm {
        /// Whose certificate.
        subject: String,
        /// The algorithm or kind of key.
        algorithm: String,
    },
    /// The period is over.
    Expired {
        /// Whose certificate.
        subject: String,
        /// Since when, milliseconds since 1970.
        not_after_ms: i64,
    },
    /// The period has not begun.
    NotYetValid {
        /// Whose certificate.
        subject: String,
        /// Begin of the period, milliseconds since 1970.
        not_before_ms: i64,
    },
    /// An issuer's certificate lacks CA:TRUE.
    NotACa {
        /// The issuer.
        subject: String,
    },
    /// An issuer's keyUsage lacks keyCertSign.
    MayNotSign {
        /// The issuer.
        subject: String,
    },
    /// More CAs below an issuer than it allows.
    PathTooLong {
        /// The issuer.
        subject: String,
        /// What it allows.
        path_len: u32,
    },
    /// The device's certificate is one of a CA.
    LeafIsCa {
        /// Whose certificate.
        subject: String,
    },
    /// The usages of the device's certificate leave out logging in as a TLS client.
    LeafUsage {
        /// Whose certificate.
        subject: String,
    },
    /// An extension that must be understood and is not.
    CriticalExtension {
        /// Whose certificate.
        subject: String,
        /// Its object identifier.
        oid: String,
    },
    /// The CA has called it back.
    Revoked {
        /// Whose certificate.
        subject: String,
        /// Its serial number.
        serial: String,
    },
    /// The revocation list is older than it may be.
    StaleList,
    /// More signatures would have to be checked than one login is worth.
    TooMuchWork,
}

/// How many signatures may still be checked for one login, however many CAs it is judged against.
#[derive(Debug)]
pub struct Budget(usize);

impl Budget {
    /// What one login is worth.
    #[must_use]
    pub const fn of_a_login() -> Self {
        Self(SIGNATURE_CHECKS_MAX)
    }

    /// Takes one check; false when none is left.
    const fn spend(&mut self) -> bool {
        let is_left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        is_left
    }
}

/// Judges the certificates that a device presented, its own first, against a CA.
///
/// # Errors
/// The first thing that is wrong: that no path of signatures leads to the CA
/// ([`ChainError::is_unsigned`]), or else from the device upward.
pub fn verify(
    presented: &[Certificate],
    ca: &Certificate,
    rules: &Rules<'_>,
    budget: &mut Budget,
) -> Result<(), ChainError> {
    let leaf = presented.first().ok_or(ChainError::Empty)?;
    let issuers = path(presented, ca, budget)?;
    if rules.strictness == Strictness::Strict {
        judge_leaf(leaf, rules)?;
        judge_issuers(&issuers, rules)?;
    }
    judge_revocation(leaf, &issuers, rules)
}

/// Whether the certificate's own key signed it.
#[must_use]
pub fn is_self_signed(certificate: &Certificate) -> bool {
    certificate.facts().is_self_issued && signed_by(certificate, certificate).is_ok()
}

/// Whether the key ids that the certificate and a possible issuer carry fit each other (RFC 5280,
/// sections 4.2.1.1 and 4.2.1.2); none unless both carry one. Anybody can write any key id, so this
/// tells only whom to try first.
#[must_use]
pub fn key_ids_fit(certificate: &Certificate, issuer: &Certificate) -> Option<bool> {
    let (certificate, issuer) = (certificate.parsed(), issuer.parsed());
    let wanted = certificate.extensions().iter().find_map(|one| match one.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    })?;
    let carried = issuer.extensions().iter().find_map(|one| match one.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })?;
    Some(wanted == carried)
}

/// The issuers of `presented[0]`, nearest first, up to and including `ca`.
fn path<'a>(
    presented: &'a [Certificate],
    ca: &'a Certificate,
    budget: &mut Budget,
) -> Result<Vec<&'a Certificate>, ChainError> {
    let mut issuers = Vec::new();
    let mut left: Vec<&Certificate> = presented.iter().skip(1).filter(|one| *one != ca).collect();
    let mut current = &presented[0];
    while current != ca {
        let (issuer, is_ca) = next(current, &left, ca, budget)?;
        issuers.push(issuer);
        if is_ca {
            break;
        }
        left.retain(|one| *one != issuer);
        current = issuer;
    }
    Ok(issuers)
}

/// Who signed `current`: the CA before any other of that name.
fn next<'a>(
    current: &Certificate,
    left: &[&'a Certificate],
    ca: &'a Certificate,
    budget: &mut Budget,
) -> Result<(&'a Certificate, bool), ChainError> {
    let parsed = current.parsed();
    let wanted = parsed.issuer().as_raw();
    let mut refusal = ChainError::IssuerMissing {
        subject: current.facts().subject.clone(),
        issuer: current.facts().issuer.clone(),
        ca: ca.facts().subject.clone(),
    };
    let candidates = core::iter::once(ca).chain(left.iter().copied());
    for (place, issuer) in candidates.enumerate() {
        if issuer.parsed().subject().as_raw() != wanted {
            continue;
        }
        if !budget.spend() {
            return Err(ChainError::TooMuchWork);
        }
        match signed_by(current, issuer) {
            Ok(()) => return Ok((issuer, place == 0)),
            Err(flaw) => refusal = flawed(current, flaw),
        }
    }
    Err(refusal)
}

fn signed_by(certificate: &Certificate, issuer: &Certificate) -> Result<(), Flaw> {
    let (parsed, issuer) = (certificate.parsed(), issuer.parsed());
    if parsed.signature_algorithm != parsed.tbs_certificate.signature {
        return Err(Flaw::Wrong);
    }
    signature::verify(
        issuer.public_key(),
        &parsed.signature_algorithm,
        parsed.tbs_certificate.as_ref(),
        parsed.signature_value.data.as_ref(),
    )
}

fn flawed(certificate: &Certificate, flaw: Flaw) -> ChainError {
    let subject = certificate.facts().subject.clone();
    match flaw {
        Flaw::Algorithm(algorithm) => ChainError::Algorithm { subject, algorithm },
        Flaw::Wrong => {
            ChainError::Signature { subject, issuer: certificate.facts().issuer.clone() }
        }
    }
}

fn judge_leaf(leaf: &Certificate, rules: &Rules<'_>) -> Result<(), ChainError> {
    let facts = leaf.facts();
    let subject = || facts.subject.clone();
    if !rules.skip_leaf_validity {
        judge_period(leaf, rules.now_ms)?;
    }
    let may = |word: &str| facts.key_usage.as_ref().is_none_or(|usage| usage.contains(&word));
    if facts.is_ca() || facts.key_usage.is_some() && may(CERT_SIGN) {
        return Err(ChainError::LeafIsCa { subject: subject() });
    }
    let parsed = leaf.parsed();
    if !(may("digitalSignature") || may("keyAgreement")) || !is_for_clients(&parsed) {
        return Err(ChainError::LeafUsage { subject: subject() });
    }
    judge_extensions(leaf, &parsed)
}

/// Issuers from the nearest to the CA.
fn judge_issuers(issuers: &[&Certificate], rules: &Rules<'_>) -> Result<(), ChainError> {
    // CAs between the one at hand and the device; those that only renew a name do not count.
    let mut below = 0;
    for issuer in issuers {
        let facts = issuer.facts();
        let subject = || facts.subject.clone();
        judge_period(issuer, rules.now_ms)?;
        if !facts.is_ca() {
            return Err(ChainError::NotACa { subject: subject() });
        }
        if facts.key_usage.as_ref().is_some_and(|usage| !usage.contains(&CERT_SIGN)) {
            return Err(ChainError::MayNotSign { subject: subject() });
        }
        let path_len = facts.basic_constraints.and_then(|constraints| constraints.path_len);
        if let Some(path_len) = path_len.filter(|most| below > *most) {
            return Err(ChainError::PathTooLong { subject: subject(), path_len });
        }
        judge_extensions(issuer, &issuer.parsed())?;
        below += u32::from(!facts.is_self_issued);
    }
    Ok(())
}

fn judge_period(certificate: &Certificate, now_ms: i64) -> Result<(), ChainError> {
    let facts = certificate.facts();
    let subject = facts.subject.clone();
    match facts.validity_at(now_ms) {
        Validity::Valid => Ok(()),
        Validity::Expired => Err(ChainError::Expired { subject, not_after_ms: facts.not_after_ms }),
        Validity::NotYet => {
            Err(ChainError::NotYetValid { subject, not_before_ms: facts.not_before_ms })
        }
    }
}

/// A critical extension that is not understood forbids the use (RFC 5280, section 4.2).
fn judge_extensions(
    certificate: &Certificate,
    parsed: &X509Certificate<'_>,
) -> Result<(), ChainError> {
    let strange = parsed.extensions().iter().find(|extension| {
        let understood = matches!(
            extension.parsed_extension(),
            ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::CertificatePolicies(_)
        );
        extension.critical && !understood
    });
    match strange {
        None => Ok(()),
        Some(extension) => Err(ChainError::CriticalExtension {
            subject: certificate.facts().subject.clone(),
            oid: extension.oid.to_id_string(),
        }),
    }
}

fn is_for_clients(parsed: &X509Certificate<'_>) -> bool {
    parsed.extensions().iter().all(|extension| match extension.parsed_extension() {
        ParsedExtension::ExtendedKeyUsage(usage) => usage.client_auth || usage.any,
        _ => true,
    })
}

/// The CA's own certificate is trusted because somebody put it into the profile.
fn judge_revocation(
    leaf: &Certificate,
    issuers: &[&Certificate],
    rules: &Rules<'_>,
) -> Result<(), ChainError> {
    let Some(crl) = rules.crl else { return Ok(()) };
    let below_ca = &issuers[..issuers.len().saturating_sub(1)];
    let revoked = core::iter::once(&leaf).chain(below_ca).find(|one| crl.revokes(one));
    if let Some(one) = revoked {
        let facts = one.facts();
        return Err(ChainError::Revoked {
            subject: facts.subject.clone(),
            serial: facts.serial.clone(),
        });
    }
    if rules.strictness == Strictness::Strict && crl.is_stale(rules.now_ms) {
        return Err(ChainError::StaleList);
    }
    Ok(())
}

impl ChainError {
    /// Whether no path of signatures was found from the device's certificate to the CA, so that the
    /// chain has nothing to do with it as far as anybody can tell.
    #[must_use]
    pub const fn is_unsigned(&self) -> bool {
        matches!(
            self,
            Self::Empty
                | Self::IssuerMissing { .. }
                | Self::Signature { .. }
                | Self::Algorithm { .. }
                | Self::TooMuchWork
        )
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no certificate was presented"),
            Self::IssuerMissing { subject, issuer, ca } => write!(
                f,
                "the certificate of {subject} is issued by {issuer}, which was not presented and is not \
                 the profile's CA {ca}"
            ),
            Self::Signature { subject, issuer } => write!(
                f,
                "the certificate of {subject} names {issuer} as issuer, but is not signed with that \
                 issuer's key"
            ),
            Self::Algorithm { subject, algorithm } => write!(
                f,
                "the certificate of {subject} is signed with {algorithm}, which is not trusted: SHA-256 \
                 or better with RSA of at least 2048 bits, P-256, P-384, P-521 or Ed25519 is expected"
            ),
            Self::Expired { subject, not_after_ms } => {
                write!(f, "the certificate of {subject} expired at {}", rfc3339(*not_after_ms))
            }
            Self::NotYetValid { subject, not_before_ms } => {
                write!(f, "the certificate of {subject} is valid from {} on", rfc3339(*not_before_ms))
            }
            Self::NotACa { subject } => write!(
                f,
                "the certificate of {subject} has issued another one but is not a CA's: \
                 basicConstraints=CA:TRUE is missing"
            ),
            Self::MayNotSign { subject } => write!(
                f,
                "the certificate of {subject} has issued another one, but its keyUsage lacks keyCertSign"
            ),
            Self::PathTooLong { subject, path_len } => write!(
                f,
                "the CA {subject} allows {path_len} CAs below itself (pathLenConstraint), and there are \
                 more"
            ),
            Self::LeafIsCa { subject } => write!(
                f,
                "the certificate of {subject} is one of a CA (CA:TRUE or keyCertSign), which no device \
                 may log in with"
            ),
            Self::LeafUsage { subject } => write!(
                f,
                "the certificate of {subject} is not made for logging in: a keyUsage has \
                 digitalSignature, an extendedKeyUsage clientAuth"
            ),
            Self::CriticalExtension { subject, oid } => write!(
                f,
                "the certificate of {subject} has the critical extension {oid}, which is not understood"
            ),
            Self::Revoked { subject, serial } => write!(
                f,
                "the certificate of {subject} with serial number {serial} is on the profile's revocation \
                 list"
            ),
            Self::StaleList => f.write_str("the profile's revocation list is past its next update"),
            Self::TooMuchWork => f.write_str(
                "too many of the presented certificates have the same names: only those between the \
                 device and the CA are expected",
            ),
        }
    }
}

impl core::error::Error for ChainError {}

const CERT_SIGN: &str = "keyCertSign";
/// Most signatures checked for one login, against all CAs together: it must not cost much more than a
/// handshake or two.
const SIGNATURE_CHECKS_MAX: usize = 32;

#[cfg(test)]
mod tests;
