//! Certificate revocation lists: which certificates an issuer has called back.

use core::fmt;

use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::certificate::{Certificate, serial};
use crate::error::NotACertificate;
use crate::input::{INPUT_MAX, Wanted, read_blocks};
use crate::{name, signature};

/// A revocation list of one issuer, as it was read; [`RevocationList::verify`] says whether the issuer
/// made it.
#[derive(Clone, PartialEq, Eq)]
pub struct RevocationList {
    der: Box<[u8]>,
    issuer_der: Box<[u8]>,
    issuer: String,
    next_update_ms: Option<i64>,
    /// Serial numbers in the form of [`crate::certificate::Facts::serial`], sorted.
    revoked: Vec<Box<str>>,
}

/// Why a revocation list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrlError {
    /// It is longer than is looked at.
    TooLong,
    /// Nothing, or blanks.
    Empty,
    /// It is no list, or its end is missing.
    NotAList,
    /// It is a part of a list only: a delta, or indirect (RFC 5280, section 5.2).
    Partial,
    /// It is made by somebody else than the CA it was given for.
    OtherIssuer {
        /// The name in the list.
        found: String,
        /// The name of the CA.
        expected: String,
    },
    /// The signature is not the CA's, or its algorithm is not accepted.
    Signature,
}

impl RevocationList {
    /// The list in PEM text, its base64 body or DER; of several the first.
    ///
    /// # Errors
    /// What was wrong with the input.
    pub fn read(input: &[u8]) -> Result<Self, CrlError> {
        let blocks = read_blocks(input, Wanted::RevocationList).map_err(|found| match found {
            NotACertificate::TooLong { .. } => CrlError::TooLong,
            NotACertificate::Empty => CrlError::Empty,
            _ => CrlError::NotAList,
        })?;
        // read_blocks answers with at least one.
        let der = blocks.first().ok_or(CrlError::Empty)?;
        Self::from_der(der)
    }

    fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        let (rest, parsed) =
            CertificateRevocationList::from_der(der).map_err(|_| CrlError::NotAList)?;
        if !rest.is_empty() {
            return Err(CrlError::NotAList);
        }
        if parsed.extensions().iter().any(|extension| extension.critical) {
            return Err(CrlError::Partial);
        }
        let revoked = parsed.iter_revoked_certificates();
        let mut revoked: Vec<Box<str>> =
            revoked.map(|one| serial(one.raw_serial()).into()).collect();
        revoked.sort_unstable();
        let next = parsed.next_update();
        Ok(Self {
            der: der.into(),
            issuer_der: parsed.issuer().as_raw().into(),
            issuer: name::text(parsed.issuer()),
            next_update_ms: next.map(|at| at.timestamp().saturating_mul(1_000)),
            revoked,
        })
    }

    /// Checks that `ca` made the list.
    ///
    /// # Errors
    /// [`CrlError::OtherIssuer`] or [`CrlError::Signature`].
    pub fn verify(&self, ca: &Certificate) -> Result<(), CrlError> {
        let parsed = ca.parsed();
        if *parsed.subject().as_raw() != *self.issuer_der {
            return Err(CrlError::OtherIssuer {
                found: self.issuer.clone(),
                expected: ca.facts().subject.clone(),
            });
        }
        // Parsed once before, from the same bytes.
        let (_, list) =
            CertificateRevocationList::from_der(&self.der).map_err(|_| CrlError::NotAList)?;
        // RFC 5280, section 5.1.1.2: what stands outside the signature must repeat what is inside.
        if list.signature_algorithm != list.tbs_cert_list.signature {
            return Err(CrlError::Signature);
        }
        signature::verify(
            parsed.public_key(),
            &list.signature_algorithm,
            list.tbs_cert_list.as_ref(),
            list.signature_value.data.as_ref(),
        )
        .map_err(|_| CrlError::Signature)
    }

    /// Whether the issuer of this list has called `certificate` back; another issuer's certificates
    /// are never on it.
    #[must_use]
    pub fn revokes(&self, certificate: &Certificate) -> bool {
        let serial = certificate.facts().serial.as_str();
        *certificate.parsed().issuer().as_raw() == *self.issuer_der
            && self.revoked.binary_search_by(|one| (**one).cmp(serial)).is_ok()
    }

    /// Whether a newer list should exist at `now_ms`.
    #[must_use]
    pub fn is_stale(&self, now_ms: i64) -> bool {
        self.next_update_ms.is_some_and(|next| now_ms > next)
    }

    /// How many certificates are on it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("issuer", &self.issuer)
            .field("revoked", &self.revoked.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for CrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => {
                write!(f, "the revocation list is longer than {INPUT_MAX} bytes")
            }
            Self::Empty => write!(f, "the revocation list is empty: {EXPECTED}"),
            Self::NotAList => write!(f, "this is not a whole revocation list: {EXPECTED}"),
            Self::Partial => f.write_str(
                "the revocation list is a delta or an indirect one: a complete list of the CA itself is \
                 expected",
            ),
            Self::OtherIssuer { found, expected } => write!(
                f,
                "the revocation list is made by {found}, but the CA of the profile is {expected}: give \
                 the list of that CA"
            ),
            Self::Signature => f.write_str(
                "the revocation list is not signed by the CA of the profile, or with an algorithm that \
                 is no longer trusted, such as SHA-1",
            ),
        }
    }
}

impl core::error::Error for CrlError {}

const EXPECTED: &str = "a PEM text is expected, from -----BEGIN X509 CRL----- to \
                        -----END X509 CRL-----";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::read_chain;

    const CRL: &[u8] = include_bytes!("../testdata/crl.pem");
    const CHAIN: &[u8] = include_bytes!("../testdata/chain.pem");

    #[test]
    fn a_list_names_what_its_issuer_called_back() {
        let chain = read_chain(CHAIN).unwrap();
        let list = RevocationList::read(CRL).unwrap();
        assert_eq!((list.verify(&chain[1]), list.len()), (Ok(()), 1));
        let revoked: Vec<_> = chain.iter().map(|one| list.revokes(one)).collect();
        assert_eq!(revoked, [true, false, false]);
        let sha1 = crate::input::read_one(include_bytes!("../testdata/sha1.pem")).unwrap();
        assert!(!list.revokes(&sha1), "same issuer, another serial number");
        assert!(!list.is_stale(chain[0].facts().not_before_ms) && list.is_stale(i64::MAX));
    }

    #[test]
    fn a_list_of_somebody_else_is_refused() {
        let chain = read_chain(CHAIN).unwrap();
        let list = RevocationList::read(CRL).unwrap();
        assert!(matches!(list.verify(&chain[2]), Err(CrlError::OtherIssuer { .. })));
        let namesake = crate::workshop::Ca::new("Intermediate").certificate();
        assert_eq!(list.verify(&namesake), Err(CrlError::Signature));
    }

    #[test]
    fn what_is_beside_the_signature_may_not_differ_from_what_is_inside() {
        let ca = read_chain(CHAIN).unwrap().swap_remove(1);
        let mut der = RevocationList::read(CRL).unwrap().der.to_vec();
        // The NULL behind the algorithm outside: the last one before the BIT STRING.
        let null = der.windows(5).position(|bytes| bytes == [5, 0, 3, 0x82, 2]).unwrap();
        der[null] = 0;
        assert_eq!(RevocationList::read(&der).unwrap().verify(&ca), Err(CrlError::Signature));
    }

    #[test]
    fn what_is_no_list_is_called_so() {
        let rows: [(&[u8], CrlError); 4] = [
            (b" ", CrlError::Empty),
            (CHAIN, CrlError::NotAList),
            (&CRL[..CRL.len() / 2], CrlError::NotAList),
            (&[b'A'; INPUT_MAX + 1], CrlError::TooLong),
        ];
        for (input, expected) in rows {
            assert_eq!(RevocationList::read(input), Err(expected));
        }
    }

    mod never_panics {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn on_damaged_lists(at in 0usize..800, byte: u8, cut in 0usize..800) {
                let ca = read_chain(CHAIN).unwrap().swap_remove(1);
                let mut der = RevocationList::read(CRL).unwrap().der.to_vec();
                let place = at % der.len();
                der[place] = byte;
                if let Ok(list) = RevocationList::read(&der) {
                    let genuine = RevocationList::read(CRL).unwrap();
                    prop_assert!(list == genuine || list.verify(&ca).is_err(), "forged at {}", place);
                    let _ = (list.revokes(&ca), list.is_stale(0));
                }
                der.truncate(cut);
                let _ = RevocationList::read(&der);
            }
        }
    }
}
