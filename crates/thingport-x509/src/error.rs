//! Why something pasted or presented is not a certificate, in words for whoever pasted it.

use core::fmt;

/// What was found where a certificate was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotACertificate {
    /// Nothing, or blanks.
    Empty,
    /// More bytes than are looked at.
    TooLong {
        /// The bound in bytes.
        max: usize,
    },
    /// More certificates than a chain may have.
    TooMany {
        /// The bound.
        max: usize,
    },
    /// A private key; whoever pasted it must regard it as exposed.
    PrivateKey,
    /// A certificate request.
    Request,
    /// A public key.
    PublicKey,
    /// A certificate revocation list.
    RevocationList,
    /// A PKCS#7 bundle.
    Pkcs7,
    /// A certificate in OpenSSL's own "trusted" form.
    Trusted,
    /// A fingerprint instead of the certificate.
    Fingerprint,
    /// Another PEM block, by its label.
    OtherBlock(String),
    /// The end is missing.
    Truncated,
    /// A letter that base64 does not have.
    NotBase64 {
        /// The letter; none when the length or the padding is wrong.
        letter: Option<char>,
    },
    /// Bytes that are no certificate.
    Malformed,
    /// Something follows the certificate within the same block.
    Trailing,
}

impl fmt::Display for NotACertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the certificate is missing: {EXPECTED}"),
            Self::TooLong { max } => {
                write!(f, "this is longer than {max} bytes, so it is no certificate: {EXPECTED}")
            }
            Self::TooMany { max } => write!(f, "a chain has at most {max} certificates"),
            Self::PrivateKey => f.write_str(
                "this contains a private key, which belongs to the device alone: paste only the \
                 certificate, and replace the key, because it is no longer secret",
            ),
            Self::Request => f.write_str(
                "this is a certificate signing request, not a certificate: paste the certificate that \
                 the CA made from it (openssl x509 -req ...)",
            ),
            Self::PublicKey => {
                write!(f, "this is a public key without a certificate around it: {EXPECTED}")
            }
            Self::RevocationList => {
                write!(f, "this is a certificate revocation list, not a certificate: {EXPECTED}")
            }
            Self::Pkcs7 => f.write_str(
                "this is a PKCS#7 bundle: take the certificates out of it with \
                 openssl pkcs7 -print_certs, then paste them",
            ),
            Self::Trusted => f.write_str(
                "this is a certificate in OpenSSL's TRUSTED form: convert it with \
                 openssl x509 -in FILE, then paste the result",
            ),
            Self::Fingerprint => write!(f, "this is a fingerprint, not the certificate: {EXPECTED}"),
            Self::OtherBlock(label) => {
                write!(f, "this is a PEM block of type {label}, not a certificate: {EXPECTED}")
            }
            Self::Truncated => {
                f.write_str("the end of the certificate is missing: paste the whole file")
            }
            Self::NotBase64 { letter: Some(letter) } => write!(
                f,
                "this is not base64 text, it contains {}: {EXPECTED}",
                letter.escape_debug()
            ),
            Self::NotBase64 { letter: None } => {
                write!(f, "this is not whole base64 text, letters are missing: {EXPECTED}")
            }
            Self::Malformed => write!(f, "this is not an X.509 certificate: {EXPECTED}"),
            Self::Trailing => {
                f.write_str("something follows the certificate within its block: paste it alone")
            }
        }
    }
}

impl core::error::Error for NotACertificate {}

const EXPECTED: &str =
    "a PEM text is expected, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----";
