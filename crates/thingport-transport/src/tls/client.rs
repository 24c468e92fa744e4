//! Certificates of clients: any is taken whose key the client holds (AU-040, AU-043, AU-044).
//!
//! Whether the certificate belongs to a device, whether its chain holds together and whether it has
//! expired is judged at CONNECT, where a refusal has a code and a reason. That leaves one question to
//! the handshake, which nobody else can answer: does the client hold the key of its certificate?
//!
//! The usual library for certificates refuses X.509 version 1, which `openssl x509 -req` makes unless it
//! is told otherwise. Therefore only the key is read here, and the signature verified with it.

use core::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    SignatureScheme,
};
use thingport_model::security::Security;
use x509_parser::asn1_rs::{FromDer, Sequence};
use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Asks every client for a certificate, demands none, and takes any whose key the client holds.
#[derive(Debug)]
pub struct AnyClient {
    algorithms: WebPkiSupportedAlgorithms,
}

/// Why nothing can be done with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is no X.509.
    Unreadable,
    /// RSA of fewer than 2048 bits.
    ShortKey(usize),
    /// A kind of key that cannot sign handshakes here.
    KeyType,
    /// More certificates than [`Security::CHAIN_MAX`].
    TooMany(usize),
    /// More bytes than [`CHAIN_BYTES_MAX`].
    TooLarge(usize),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the certificate is not X.509 in DER"),
            Self::ShortKey(bits) => write!(f, "its RSA key has {bits} bits; 2048 are the least"),
            Self::KeyType => f.write_str(
                "its key is of another kind than RSA, EC on P-256, P-384 or P-521, and Ed25519",
            ),
            Self::TooMany(count) => {
                write!(
                    f,
                    "the chain has {count} certificates; {} are the most",
                    Security::CHAIN_MAX
                )
            }
            Self::TooLarge(bytes) => {
                write!(f, "the chain has {bytes} bytes; {CHAIN_BYTES_MAX} are the most")
            }
        }
    }
}

impl std::error::Error for Unusable {}

impl From<Unusable> for Error {
    fn from(unusable: Unusable) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(unusable))))
    }
}

impl AnyClient {
    /// Verifies signatures with these algorithms.
    #[must_use]
    pub const fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { algorithms }
    }

    fn of_scheme(
        &self,
        scheme: SignatureScheme,
    ) -> Result<&'static [&'static dyn SignatureVerificationAlgorithm], Error> {
        let found = self.algorithms.mapping.iter().find(|(known, _)| *known == scheme);
        found.map(|(_, algorithms)| *algorithms).ok_or_else(unadvertised)
    }

    fn is_usable(&self, key: &SubjectPublicKeyInfo<'_>) -> Result<(), Unusable> {
        if let Ok(PublicKey::RSA(rsa)) = key.parsed()
            && rsa.key_size() < RSA_BITS_MIN
        {
            return Err(Unusable::ShortKey(rsa.key_size()));
        }
        let id = algorithm_of(key).ok_or(Unusable::Unreadable)?;
        let known = self.algorithms.all.iter().any(|it| it.public_key_alg_id().as_ref() == id);
        if known { Ok(()) } else { Err(Unusable::KeyType) }
    }
}

impl ClientCertVerifier for AnyClient {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let count = 1 + intermediates.len();
        if count > Security::CHAIN_MAX {
            return Err(Unusable::TooMany(count).into());
        }
        let bytes = end_entity.len() + intermediates.iter().map(|it| it.len()).sum::<usize>();
        if bytes > CHAIN_BYTES_MAX {
            return Err(Unusable::TooLarge(bytes).into());
        }
        self.is_usable(&read(end_entity)?.tbs_certificate.subject_pki)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // In TLS 1.2 the scheme does not fix the curve.
        verify(self.of_scheme(dss.scheme)?, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if is_pkcs1(dss.scheme) {
            return Err(unadvertised());
        }
        let algorithms = self.of_scheme(dss.scheme)?;
        verify(algorithms.get(..1).unwrap_or_default(), message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies with the first of the algorithms that is for the certificate's kind of key.
fn verify(
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let cert = read(cert)?;
    let key = &cert.tbs_certificate.subject_pki;
    let id = algorithm_of(key).ok_or(Unusable::Unreadable)?;
    let algorithm = algorithms.iter().find(|it| it.public_key_alg_id().as_ref() == id);
    // A signature of another kind than the key's is as wrong as any.
    let algorithm = algorithm.ok_or(CertificateError::BadSignature)?;
    algorithm
        .verify_signature(&key.subject_public_key.data, message, dss.signature())
        .map_err(|_| CertificateError::BadSignature)?;
    Ok(HandshakeSignatureValid::assertion())
}

fn read<'a>(cert: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Unusable> {
    match X509Certificate::from_der(cert) {
        Ok(([], read)) => Ok(read),
        _ => Err(Unusable::Unreadable),
    }
}

/// Kind and parameters of a key, as they are encoded, without the header around them.
fn algorithm_of<'a>(key: &SubjectPublicKeyInfo<'a>) -> Option<&'a [u8]> {
    let inside = contents(key.raw)?;
    contents(inside)
}

/// What is inside the SEQUENCE at the beginning.
fn contents(der: &[u8]) -> Option<&[u8]> {
    let (rest, sequence) = Sequence::from_der(der).ok()?;
    let end = der.len().checked_sub(rest.len())?;
    der.get(end.checked_sub(sequence.content.len())?..end)
}

/// TLS 1.3 has no signatures of this kind in handshakes.
const fn is_pkcs1(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::RSA_PKCS1_SHA1
            | SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
    )
}

fn unadvertised() -> Error {
    PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into()
}

/// Bytes of a client's chain; ten certificates of RSA 4096 have about as many.
const CHAIN_BYTES_MAX: usize = 20 * 1024;
/// What the library for cryptography works with at least.
const RSA_BITS_MIN: usize = 2048;
