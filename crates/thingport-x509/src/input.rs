//! What people paste where a certificate is expected: PEM with or without text around it, its bare
//! base64, or DER; one certificate or a whole chain.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

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
