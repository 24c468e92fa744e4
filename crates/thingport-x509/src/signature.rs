//! Signatures of certificates and revocation lists. What is broken (MD5, SHA-1) or rare is refused.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::certificate::algorithm_name;
use crate::key::KeyKind;

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The algorithm, by its name, is not accepted.
    Algorithm(String),
    /// The signature was not made with this key, or the signed bytes were changed.
    Wrong,
}

/// Whether the owner of `key` signed `signed`.
///
/// RSA from 2048 to 8192 bits (PKCS#1 and PSS), P-256, P-384, P-521 and Ed25519; SHA-256, SHA-384 and
/// SHA-512.
pub(crate) fn verify(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    signed: &[u8],
    signature: &[u8],
) -> Result<(), Flaw> {
    let oid = algorithm.algorithm.to_id_string();
    let kind = KeyKind::of(key);
    let chosen = chosen(&kind, &oid, algorithm);
    let chosen = chosen.ok_or_else(|| match kind {
        KeyKind::Rsa(bits) if !RSA_BITS.contains(&bits) => Flaw::Algorithm(kind.to_string()),
        _ if is_weak(&oid) || !is_known(&oid) => Flaw::Algorithm(algorithm_name(&oid)),
        // A sound algorithm, but not one for this kind of key: another key signed.
        _ => Flaw::Wrong,
    })?;
    let key = UnparsedPublicKey::new(chosen, key.subject_public_key.data.as_ref());
    key.verify(signed, signature).map_err(|_| Flaw::Wrong)
}

fn chosen(
    kind: &KeyKind,
    oid: &str,
    algorithm: &AlgorithmIdentifier<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (kind, oid) {
        (KeyKind::Rsa(bits), _) if !RSA_BITS.contains(bits) => return None,
        (KeyKind::Rsa(_), RSA_SHA256) => &RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa(_), RSA_SHA384) => &RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa(_), RSA_SHA512) => &RSA_PKCS1_2048_8192_SHA512,
        (KeyKind::Rsa(_), RSA_PSS) => return pss(algorithm),
        (KeyKind::P256, ECDSA_SHA256) => &ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, ECDSA_SHA384) => &ECDSA_P256_SHA384_ASN1,
        (KeyKind::P384, ECDSA_SHA256) => &ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, ECDSA_SHA384) => &ECDSA_P384_SHA384_ASN1,
        (KeyKind::P521, ECDSA_SHA256) => &ECDSA_P521_SHA256_ASN1,
        (KeyKind::P521, ECDSA_SHA384) => &ECDSA_P521_SHA384_ASN1,
        (KeyKind::P521, ECDSA_SHA512) => &ECDSA_P521_SHA512_ASN1,
        (KeyKind::Ed25519, SIG_ED25519) => &ED25519,
        _ => return None,
    })
}

/// PSS with the same hash inside and outside, as every tool makes it.
fn pss(algorithm: &AlgorithmIdentifier<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let parameters = RsaSsaPssParams::try_from(algorithm.parameters.as_ref()?).ok()?;
    Some(match parameters.hash_algorithm_oid().to_id_string().as_str() {
        "2.16.840.1.101.3.4.2.1" => &RSA_PSS_2048_8192_SHA256,
        "2.16.840.1.101.3.4.2.2" => &RSA_PSS_2048_8192_SHA384,
        "2.16.840.1.101.3.4.2.3" => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn is_weak(oid: &str) -> bool {
    let name = algorithm_name(oid);
    name.contains("md5") || name.contains("sha1") || name.contains("SHA1")
}

fn is_known(oid: &str) -> bool {
    [RSA_SHA256, RSA_SHA384, RSA_SHA512, ECDSA_SHA256, ECDSA_SHA384, ECDSA_SHA512, SIG_ED25519]
        .contains(&oid)
}

const RSA_BITS: core::ops::RangeInclusive<usize> = 2_048..=8_192;

const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const RSA_SHA256: &str = "1.2.840.113549.1.1.11";
const RSA_SHA384: &str = "1.2.840.113549.1.1.12";
const RSA_SHA512: &str = "1.2.840.113549.1.1.13";
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
const ECDSA_SHA384: &str = "1.2.840.10045.4.3.3";
const ECDSA_SHA512: &str = "1.2.840.10045.4.3.4";
const SIG_ED25519: &str = "1.3.101.112";
