//! The CA and the server certificate made at the first start, and their renewal.
//!
//! Three files, each replaced in one step, so that a crash between any two leaves a usable state:
//! `ca-key.pem` is the CA, key and certificate together; `ca.pem` its public copy; `server.pem` the
//! server certificate and its key together. What is missing or damaged is made from what is there, so
//! only the first is worth waiting for the disk. A CA is never replaced: every device would have to be
//! given the new one.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rcgen::{Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use thingport_x509::certificate::{Certificate, Validity};

use super::facts;
use super::file::{self, Readers};
use super::issue::{DAY_MS, KeyType, Order, Purpose, cannot, issue, new_key};
use super::key;
use super::material::{Material, PemFile, blocks, certificates};
use super::problem::Problem;

/// The made certificates, ready to be served.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// What the server shows.
    pub(crate) material: Material,
    /// The CA that devices trust.
    pub(crate) ca: Certificate,
    /// From when on the server certificate should be made anew, milliseconds since 1970.
    pub(crate) renew_at_ms: i64,
}

/// Reads the certificates of `folder`; makes what is missing, outdated or not good for all `names`.
pub(crate) fn prepare(folder: &Path, names: &[String], now_ms: i64) -> Result<Made, Problem> {
    // A clock that was never set would make certificates that have expired when it is.
    let now_ms = now_ms.max(RELEASED_MS);
    let mut options = DirBuilder::new();
    options.recursive(true).mode(0o700).create(folder).map_err(|error| {
        Problem::Inaccessible(folder.to_owned(), format!("cannot be created: {error}"))
    })?;
    let authority = Authority::open(folder, now_ms)?;
    let path = folder.join(SERVER);
    let present = present(&path)?.filter(|material| is_of(material, &authority.certificate));
    let material = match present {
        Some(material) if is_good(&material, names, now_ms) => material,
        present => match (authority.issuer, present) {
            (Some(issuer), _) => renew(&path, &issuer, names, now_ms)?,
            // Without the CA's key, what is there is served as long as it lasts.
            (None, Some(material)) if is_valid(&material, now_ms) => material,
            (None, _) => return Err(Problem::NoCaKey(folder.join(CA_KEY))),
        },
    };
    let renew_at_ms = material.certificate.facts().not_after_ms - RENEW_BEFORE_MS;
    Ok(Made { material, ca: authority.certificate, renew_at_ms })
}

/// The files this module reads.
pub(crate) fn files(folder: &Path) -> [PathBuf; 3] {
    [folder.join(CA_KEY), folder.join(CA), folder.join(SERVER)]
}

/// Where the file lies that devices are given.
pub(crate) fn ca_file(folder: &Path) -> PathBuf {
    folder.join(CA)
}

/// The CA, with the power to sign unless its key was taken away.
struct Authority {
    certificate: Certificate,
    issuer: Option<Issuer<'static, KeyPair>>,
}

impl Authority {
    fn open(folder: &Path, now_ms: i64) -> Result<Self, Problem> {
        let (secret, public) = (folder.join(CA_KEY), folder.join(CA));
        match file::read(&secret) {
            Ok(bytes) => {
                let authority = Self::read(&secret, &bytes)?;
                let pem = authority.certificate.to_pem();
                if file::read(&public).ok().as_deref() != Some(pem.as_bytes()) {
                    file::replace_derived(&public, pem.as_bytes(), Readers::Everybody)?;
                }
                Ok(authority)
            }
            Err(Problem::Missing(_)) => match file::read(&public) {
                Ok(bytes) => Ok(Self { certificate: first(&public, &bytes)?, issuer: None }),
                Err(Problem::Missing(_)) => Self::make(&secret, &public, now_ms),
                Err(other) => Err(other),
            },
            Err(other) => Err(other),
        }
    }

    fn read(path: &Path, bytes: &[u8]) -> Result<Self, Problem> {
        let certificate = first(path, bytes)?;
        let key = key::find(path, &blocks(PemFile { path, bytes })?, None)?;
        let issuer = issuer(path, &certificate, &key)?;
        Ok(Self { certificate, issuer: Some(issuer) })
    }

    fn make(secret: &Path, public: &Path, now_ms: i64) -> Result<Self, Problem> {
        let key = new_key(KeyType::P256)?;
        // Part of the name, so that the CAs of two installations are not taken for each other.
        let id: String = key.public_key_raw()[1..5].iter().map(|it| format!("{it:02x}")).collect();
        let name = format!("Thingport CA {id}");
        let order = Order { name: &name, purpose: Purpose::Authority(0), now_ms, days: CA_DAYS };
        let made = issue(&order, key, None)?;
        let text = format!("{}{}", made.pem, made.key.serialize_pem());
        file::replace(secret, text.as_bytes(), Readers::Owner)?;
        file::replace_derived(public, made.pem.as_bytes(), Readers::Everybody)?;
        tracing::info!(file = %public.display(), "a CA was made: give this file to your devices");
        let certificate = first(secret, made.pem.as_bytes())?;
        Ok(Self { certificate, issuer: Some(made.into_issuer()?) })
    }
}

/// The power to sign in the name of `certificate`, whose key must be `key`.
pub(crate) fn issuer(
    path: &Path,
    certificate: &Certificate,
    key: &PrivateKeyDer<'_>,
) -> Result<Issuer<'static, KeyPair>, Problem> {
    let pair = KeyPair::try_from(key).map_err(|_| Problem::BadKey(path.to_owned()))?;
    let public = rcgen::PublicKeyData::subject_public_key_info(&pair);
    if facts::public_key(certificate.der()).as_deref() != Some(public.as_slice()) {
        return Err(Problem::OtherKey(path.to_owned(), path.to_owned()));
    }
    Issuer::from_ca_cert_der(&certificate.der().into(), pair).map_err(cannot)
}

fn first(path: &Path, bytes: &[u8]) -> Result<Certificate, Problem> {
    let chain = certificates(path, &blocks(PemFile { path, bytes })?)?;
    Certificate::from_der(&chain[0])
        .map_err(|why| Problem::BadCertificate(path.to_owned(), 1, why.to_string()))
}

/// The server certificate that is there, if it can be used at all; it is ours, so it can be remade.
fn present(path: &Path) -> Result<Option<Material>, Problem> {
    match file::read(path) {
        Ok(bytes) => match Material::read(PemFile { path, bytes: &bytes }, None, None) {
            Ok(material) => Ok(Some(material)),
            Err(problem) => {
                tracing::warn!(%problem, "the made server certificate is damaged and made anew");
                Ok(None)
            }
        },
        Err(Problem::Missing(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

fn is_of(material: &Material, ca: &Certificate) -> bool {
    material.certificate.facts().issuer == ca.facts().subject
}

fn is_valid(material: &Material, now_ms: i64) -> bool {
    material.certificate.facts().validity_at(now_ms) == Validity::Valid
}

fn is_good(material: &Material, names: &[String], now_ms: i64) -> bool {
    let facts = material.certificate.facts();
    let covered = facts::names(material.certificate.der());
    is_valid(material, now_ms)
        && now_ms < facts.not_after_ms - RENEW_BEFORE_MS
        && names.iter().all(|name| covered.contains(name))
}

fn renew(
    path: &Path,
    issuer: &Issuer<'_, KeyPair>,
    names: &[String],
    now_ms: i64,
) -> Result<Material, Problem> {
    let name = names.first().map_or("localhost", String::as_str);
    let purpose = Purpose::Server(names.to_vec());
    let order = Order { name, purpose, now_ms, days: SERVER_DAYS };
    let made = issue(&order, new_key(KeyType::P256)?, Some(issuer))?;
    let text = format!("{}{}", made.pem, made.key.serialize_pem());
    file::replace_derived(path, text.as_bytes(), Readers::Owner)?;
    tracing::info!(names = names.join(", "), days = SERVER_DAYS, "a server certificate was made");
    Material::read(PemFile { path, bytes: text.as_bytes() }, None, None)
}

/// Twenty years: longer than most devices live, because replacing it means visiting each.
const CA_DAYS: u32 = 7_305;
/// Clients of today distrust server certificates that last longer than about a year.
const SERVER_DAYS: u32 = 365;
const RENEW_BEFORE_MS: i64 = 30 * DAY_MS;
/// 2026-01-01; no clock that is right shows less.
const RELEASED_MS: i64 = 1_767_225_600_000;

const CA_KEY: &str = "ca-key.pem";
const CA: &str = "ca.pem";
const SERVER: &str = "server.pem";
