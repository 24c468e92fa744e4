//! What bytes that are no certificate may be instead.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::error::NotACertificate;

/// What bytes that are no certificate are, as far as that can be told.
pub(crate) fn what_else(der: &[u8]) -> NotACertificate {
    if is_private_key(der) {
        NotACertificate::PrivateKey
    } else if outer_length(der).is_some_and(|length| length > der.len()) {
        NotACertificate::Truncated
    } else if X509CertificationRequest::from_der(der).is_ok() {
        NotACertificate::Request
    } else if CertificateRevocationList::from_der(der).is_ok() {
        NotACertificate::RevocationList
    } else if SubjectPublicKeyInfo::from_der(der).is_ok() {
        NotACertificate::PublicKey
    } else {
        NotACertificate::Malformed
    }
}

/// PKCS#8, PKCS#1 or SEC 1: a SEQUENCE that begins with the version 0 or 1, then a SEQUENCE, a long
/// INTEGER or an OCTET STRING. A certificate begins with a SEQUENCE instead; so does a request's
/// or a CRL's outer part.
fn is_private_key(der: &[u8]) -> bool {
    let Some(content) = content(der) else { return false };
    match content {
        [0x02, 0x01, 0x00, 0x30, ..] | [0x02, 0x01, 0x00, 0x02, 0x80..=0xff, ..] => true,
        [0x02, 0x01, 0x01, 0x04, ..] | [0x02, 0x01, 0x01, 0x30, ..] => true,
        // Encrypted PKCS#8: the algorithm is of PKCS#5 or PKCS#12.
        [0x30, _, 0x06, _, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05 | 0x0c, ..] => true,
        _ => false,
    }
}

/// What stands inside the outer SEQUENCE.
pub(crate) fn content(der: &[u8]) -> Option<&[u8]> {
    match der {
        [0x30, 0x82, _, _, rest @ ..] | [0x30, 0x81, _, rest @ ..] => Some(rest),
        [0x30, 0..=0x7f, rest @ ..] => Some(rest),
        _ => None,
    }
}

/// How many bytes the outer SEQUENCE has, frame included.
fn outer_length(der: &[u8]) -> Option<usize> {
    match der {
        [0x30, 0x82, high, low, ..] => Some(usize::from(u16::from_be_bytes([*high, *low])) + 4),
        [0x30, 0x81, low, ..] => Some(usize::from(*low) + 3),
        [0x30, short @ 0..=0x7f, ..] => Some(usize::from(*short) + 2),
        _ => None,
    }
}
