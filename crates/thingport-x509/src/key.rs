//! What kind of public key a certificate holds.

use core::fmt;

use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Kind and size of a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with this many bits of modulus.
    Rsa(usize),
    /// The curve P-256.
    P256,
    /// The curve P-384.
    P384,
    /// The curve P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// Something else, by its object identifier.
    Other(String),
}

impl KeyKind {
    pub(crate) fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = key.algorithm.algorithm.to_id_string();
        match algorithm.as_str() {
            "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => match key.parsed() {
                Ok(PublicKey::RSA(rsa)) => Self::Rsa(bits(rsa.modulus)),
                _ => Self::Other(algorithm),
            },
            "1.2.840.10045.2.1" => {
                let curve = key.algorithm.parameters.as_ref();
                let curve = curve.and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
                match curve.as_deref() {
                    Some("1.2.840.10045.3.1.7") => Self::P256,
                    Some("1.3.132.0.34") => Self::P384,
                    Some("1.3.132.0.35") => Self::P521,
                    _ => Self::Other(curve.unwrap_or(algorithm)),
                }
            }
            "1.3.101.112" => Self::Ed25519,
            _ => Self::Other(algorithm),
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::P256 => f.write_str("P-256"),
            Self::P384 => f.write_str("P-384"),
            Self::P521 => f.write_str("P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(oid) => write!(f, "key type {oid}"),
        }
    }
}

fn bits(modulus: &[u8]) -> usize {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let rest = &modulus[zeros..];
    rest.first().map_or(0, |first| 8 * rest.len() - first.leading_zeros() as usize)
}
