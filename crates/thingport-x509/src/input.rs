//! What people paste where a certificate is expected: PEM with or without text around it, its bare
//! base64, or DER; one certificate or a whole chain.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::certificate::Certificate;
use crate::error::NotACertificate;

/// The first certificate of `input`: for a device's credentials the leaf of a pasted chain is what
/// counts.
///
/// # Errors
/// As [`read_chain`].
pub fn read_one(input: &[u8]) -> Result<Certificate, NotACertificate> {
    read_chain(input).map(|mut chain| chain.swap_remove(0))
}

/// All certificates of `input` in their order, at least one and at most [`CERTIFICATES_MAX`].
///
/// Understood are DER, PEM blocks with whatever text between them, a body without its frame, and any
/// line ends, also the two letters `\n` of a text copied from JSON.
///
/// # Errors
/// What was found instead of a certificate. A private key anywhere in the input is refused.
pub fn read_chain(input: &[u8]) -> Result<Vec<Certificate>, NotACertificate> {
    let ders = read_blocks(input, Wanted::Certificate)?;
    ders.iter().map(|der| Certificate::from_der(der)).collect()
}

/// What a caller wants to find in PEM text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Certificate,
    RevocationList,
}

/// The DER bytes of every wanted block, at least one.
pub(crate) fn read_blocks(input: &[u8], wanted: Wanted) -> Result<Vec<Vec<u8>>, NotACertificate> {
    if input.len() > INPUT_MAX {
        return Err(NotACertificate::TooLong { max: INPUT_MAX });
    }
    if is_der(input) {
        return Ok(vec![input.to_vec()]);
    }
    let text = String::from_utf8_lossy(input);
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(NotACertificate::Empty);
    }
    if text.contains(BEGIN) {
        return framed(text, wanted);
    }
    if is_fingerprint(text) {
        return Err(NotACertificate::Fingerprint);
    }
    // The end of a frame without its beginning: the beginning was not copied.
    let text = text.split_once(END).map_or(text, |(before, _)| before);
    Ok(vec![decode(text)?])
}

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

fn framed(text: &str, wanted: Wanted) -> Result<Vec<Vec<u8>>, NotACertificate> {
    let mut found = Vec::new();
    let mut others = None;
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once(BEGIN) {
        let (label, behind) = behind.split_once(DASHES).ok_or(NotACertificate::Truncated)?;
        if label.contains("PRIVATE KEY") {
            return Err(NotACertificate::PrivateKey);
        }
        let (body, behind) = behind.split_once(END).ok_or(NotACertificate::Truncated)?;
        if body.contains(BEGIN) {
            return Err(NotACertificate::Truncated);
        }
        rest = behind;
        if is_wanted(label, wanted) {
            if found.len() == CERTIFICATES_MAX {
                return Err(NotACertificate::TooMany { max: CERTIFICATES_MAX });
            }
            found.push(decode(body)?);
        } else {
            others.get_or_insert_with(|| block_named(label));
        }
    }
    match (found.is_empty(), others) {
        (false, _) => Ok(found),
        (true, Some(other)) => Err(other),
        (true, None) => Err(NotACertificate::Empty),
    }
}

fn is_wanted(label: &str, wanted: Wanted) -> bool {
    match wanted {
        Wanted::Certificate => ["CERTIFICATE", "X509 CERTIFICATE"].contains(&label),
        Wanted::RevocationList => label == "X509 CRL",
    }
}

fn block_named(label: &str) -> NotACertificate {
    match label {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => NotACertificate::Request,
        "PUBLIC KEY" | "RSA PUBLIC KEY" => NotACertificate::PublicKey,
        "X509 CRL" => NotACertificate::RevocationList,
        "PKCS7" | "CMS" => NotACertificate::Pkcs7,
        "TRUSTED CERTIFICATE" => NotACertificate::Trusted,
        other => {
            let shown = other.chars().filter(|letter| !letter.is_control()).take(LABEL_SHOWN);
            NotACertificate::OtherBlock(shown.collect())
        }
    }
}

/// Base64 with whatever blanks in it, padded or not.
fn decode(body: &str) -> Result<Vec<u8>, NotACertificate> {
    let body = body.replace("\\r", "").replace("\\n", "");
    let letters: String = body.chars().filter(|letter| !letter.is_whitespace()).collect();
    if letters.is_empty() {
        return Err(NotACertificate::Empty);
    }
    let strange =
        letters.chars().find(|letter| !letter.is_ascii_alphanumeric() && !"+/=".contains(*letter));
    if strange.is_some() {
        return Err(NotACertificate::NotBase64 { letter: strange });
    }
    BASE64.decode(letters.as_bytes()).map_err(|_| NotACertificate::NotBase64 { letter: None })
}

/// Whether the input is binary: a SEQUENCE with a length of two bytes, as every certificate has, is
/// never text.
fn is_der(input: &[u8]) -> bool {
    matches!(input, [0x30, 0x80..=0x84, ..])
}

fn is_fingerprint(text: &str) -> bool {
    let hex = text.split_once('=').map_or(text, |(_, digits)| digits);
    let digits = hex.chars().filter(|letter| *letter != ':');
    let all_hex = hex.chars().all(|letter| letter.is_ascii_hexdigit() || letter == ':');
    all_hex && [40, 64].contains(&digits.count())
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

/// Longest input in bytes.
pub const INPUT_MAX: usize = 65_536;
/// Most certificates of one input.
pub const CERTIFICATES_MAX: usize = 10;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const LABEL_SHOWN: usize = 40;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests;
