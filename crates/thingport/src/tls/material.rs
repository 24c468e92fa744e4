//! From PEM files to what a TLS server shows and signs with. Everything here is a function of bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pem::Pem;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use thingport_x509::certificate::{Certificate, KeyKind};

use super::facts;
use super::key;
use super::problem::{Problem, RSA_BITS_MIN};

/// A PEM file by name and content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PemFile<'a> {
    /// As the person named it; only for messages.
    pub(crate) path: &'a Path,
    /// What stands in it.
    pub(crate) bytes: &'a [u8],
}

/// A certificate with its chain and its key, checked to fit.
#[derive(Clone, Debug)]
pub(crate) struct Material {
    /// For the TLS library.
    pub(crate) certified: Arc<CertifiedKey>,
    /// The server's certificate.
    pub(crate) certificate: Certificate,
}

impl Material {
    /// Reads the chain of `certificate`, server first, and the key of `key`, or of the same file.
    pub(crate) fn read(
        certificate: PemFile<'_>,
        key: Option<PemFile<'_>>,
        passphrase: Option<&str>,
    ) -> Result<Self, Problem> {
        let blocks = blocks(certificate)?;
        let chain = certificates(certificate.path, &blocks)?;
        let server = understood(certificate.path, 1, &chain[0])?;
        let (key_path, key) = match key {
            None => (certificate.path, key::find(certificate.path, &blocks, passphrase)?),
            Some(file) => (file.path, key::find(file.path, &self::blocks(file)?, passphrase)?),
        };
        if let KeyKind::Rsa(bits) = server.facts().key
            && bits < RSA_BITS_MIN
        {
            return Err(Problem::WeakKey(certificate.path.to_owned(), bits));
        }
        let key = signing_key(key_path, &key)?;
        belongs(certificate.path, key_path, &chain, &*key)?;
        Ok(Self { certified: Arc::new(CertifiedKey::new(chain, key)), certificate: server })
    }

    /// The chain, server first; never empty.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The certificate a client would trust to trust this one: the last of the chain. None when a
    /// single certificate was issued by somebody else, who is not here.
    pub(crate) fn root(&self) -> Option<Certificate> {
        let last = self.chain().last()?;
        let is_alone = self.chain().len() == 1;
        let is_root = !is_alone || self.certificate.facts().is_self_issued;
        is_root.then(|| Certificate::from_der(last).ok()).flatten()
    }
}

/// All blocks of a PEM file.
pub(crate) fn blocks(file: PemFile<'_>) -> Result<Vec<Pem>, Problem> {
    pem::parse_many(file.bytes)
        .map_err(|error| Problem::NotPem(file.path.to_owned(), error.to_string()))
}

/// The certificates among `blocks`; at least one, and each can be read.
pub(crate) fn certificates(
    path: &Path,
    blocks: &[Pem],
) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let of_kind = blocks.iter().filter(|block| CERTIFICATE_TAGS.contains(&block.tag()));
    let chain: Vec<_> =
        of_kind.map(|block| CertificateDer::from(block.contents().to_vec())).collect();
    if chain.is_empty() {
        let found = blocks.iter().map(|block| block.tag().to_owned()).collect();
        return Err(Problem::NoCertificate(path.to_owned(), found));
    }
    for (index, one) in chain.iter().enumerate() {
        understood(path, index + 1, one)?;
    }
    Ok(chain)
}

fn understood(path: &Path, number: usize, der: &[u8]) -> Result<Certificate, Problem> {
    Certificate::from_der(der)
        .map_err(|why| Problem::BadCertificate(path.to_owned(), number, why.to_string()))
}

fn signing_key(path: &Path, key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, Problem> {
    rustls::crypto::aws_lc_rs::sign::any_supported_type(key)
        .map_err(|_| Problem::BadKey(path.to_owned()))
}

/// Checks that the first certificate carries the public half of `key`. The TLS library would ask this
/// too, but has no eyes for certificates of version 1, which openssl still makes.
fn belongs(
    certificate: &Path,
    key_path: &Path,
    chain: &[CertificateDer<'_>],
    key: &dyn SigningKey,
) -> Result<(), Problem> {
    let public = key.public_key().ok_or_else(|| Problem::BadKey(key_path.to_owned()))?;
    let holds = |one: &CertificateDer<'_>| {
        facts::public_key(one).is_some_and(|found| found == public.as_ref())
    };
    match chain.iter().position(holds) {
        Some(0) => Ok(()),
        Some(index) => Err(Problem::NotFirst(certificate.to_owned(), index + 1)),
        None => Err(Problem::OtherKey(certificate.to_owned(), PathBuf::from(key_path))),
    }
}

const CERTIFICATE_TAGS: [&str; 2] = ["CERTIFICATE", "X509 CERTIFICATE"];
