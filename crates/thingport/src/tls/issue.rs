//! Making keys and certificates: what the first run and `thingport certs` have in common.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, RsaKeySize, SanType,
};
use time::OffsetDateTime;

use super::problem::Problem;

/// Kind of a key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum KeyType {
    /// ECDSA on P-256: small, quick, and known to every device.
    #[value(name = "p256")]
    P256,
    /// ECDSA on P-384.
    #[value(name = "p384")]
    P384,
    /// Ed25519; many devices do not know it.
    #[value(name = "ed25519")]
    Ed25519,
    /// RSA with 2048 bits.
    #[value(name = "rsa2048")]
    Rsa2048,
    /// RSA with 4096 bits; making one takes seconds.
    #[value(name = "rsa4096")]
    Rsa4096,
}

/// A new key.
pub(crate) fn new_key(kind: KeyType) -> Result<KeyPair, Problem> {
    let made = match kind {
        KeyType::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        KeyType::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        KeyType::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyType::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
    };
    made.map_err(cannot)
}

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Signs others; how many CAs may stand below it.
    Authority(u8),
    /// Shown by a server under these names and addresses.
    Server(Vec<String>),
    /// Shown by a device.
    Device,
}

/// A certificate to be made.
#[derive(Clone, Debug)]
pub(crate) struct Order<'a> {
    /// The common name.
    pub(crate) name: &'a str,
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// When it is ordered, milliseconds since 1970.
    pub(crate) now_ms: i64,
    /// How long it is good.
    pub(crate) days: u32,
}

/// A certificate in PEM with its key.
pub(crate) struct Issued {
    /// The certificate, PEM.
    pub(crate) pem: String,
    /// The certificate, DER.
    pub(crate) der: Vec<u8>,
    /// Its key.
    pub(crate) key: KeyPair,
}

impl Issued {
    /// The power to sign others with this certificate.
    pub(crate) fn into_issuer(self) -> Result<Issuer<'static, KeyPair>, Problem> {
        Issuer::from_ca_cert_der(&self.der.into(), self.key).map_err(cannot)
    }
}

/// Makes the certificate of `order` for `key`, signed by `issuer`, or by itself.
pub(crate) fn issue(
    order: &Order<'_>,
    key: KeyPair,
    issuer: Option<&Issuer<'_, KeyPair>>,
) -> Result<Issued, Problem> {
    let params = params(order)?;
    let made = match issuer {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    let made = made.map_err(cannot)?;
    Ok(Issued { pem: made.pem(), der: made.der().to_vec(), key })
}

fn params(order: &Order<'_>) -> Result<CertificateParams, Problem> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // The standard allows 64 letters in a common name.
    let name: String = order.name.chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, name);
    // Clocks of devices are late.
    params.not_before = moment(order.now_ms - DAY_MS)?;
    params.not_after = moment(order.now_ms.saturating_add(i64::from(order.days) * DAY_MS))?;
    params.use_authority_key_identifier_extension = true;
    match &order.purpose {
        Purpose::Authority(below) => {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(*below));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
        Purpose::Server(names) => {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages =
                vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.subject_alt_names =
                names.iter().map(|name| alternative(name)).collect::<Result<_, _>>()?;
        }
        Purpose::Device => {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
    }
    Ok(params)
}

fn alternative(name: &str) -> Result<SanType, Problem> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => name.try_into().map(SanType::DnsName).map_err(cannot),
    }
}

fn moment(ms: i64) -> Result<OffsetDateTime, Problem> {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000))
        .map_err(|_| Problem::CannotMake("its dates are out of range".to_owned()))
}

pub(crate) fn cannot(error: rcgen::Error) -> Problem {
    Problem::CannotMake(error.to_string())
}

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;
