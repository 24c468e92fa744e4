//! Makes certificates for tests, with whatever fault a test wants.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SignatureAlgorithm, date_time_ymd,
};

use crate::certificate::Certificate;

/// What a certificate shall say.
pub(crate) type Wish = fn(&mut CertificateParams);

/// A CA with its key.
pub(crate) struct Ca {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// Self-signed, valid from 2020 to 2040.
    pub(crate) fn new(name: &str) -> Self {
        Self::wished(name, None, |_| {})
    }

    /// A CA below this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        Self::wished(name, Some(self), |_| {})
    }

    /// A CA of its own or below `parent`, as wished.
    pub(crate) fn wished(name: &str, parent: Option<&Self>, wish: Wish) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wish(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = match parent {
            None => params.self_signed(&key).unwrap(),
            Some(parent) => params.signed_by(&key, &parent.issuer).unwrap(),
        };
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::from_der(self.certificate.der()).unwrap()
    }

    /// A device's certificate.
    pub(crate) fn device(&self, name: &str, wish: Wish) -> Certificate {
        self.device_with(name, &PKCS_ECDSA_P256_SHA256, wish)
    }

    /// A device's certificate with a key of this kind.
    pub(crate) fn device_with(
        &self,
        name: &str,
        kind: &'static SignatureAlgorithm,
        wish: Wish,
    ) -> Certificate {
        let mut params = named(name);
        wish(&mut params);
        let key = KeyPair::generate_for(kind).unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Certificate::from_der(made.der()).unwrap()
    }
}

/// Wishes.
pub(crate) fn expired(params: &mut CertificateParams) {
    params.not_after = date_time_ymd(2024, 1, 1);
}

pub(crate) fn not_yet(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2039, 1, 1);
}

pub(crate) fn no_ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::ExplicitNoCa;
}

pub(crate) fn ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

pub(crate) fn one_level(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
}

pub(crate) fn signs_nothing(params: &mut CertificateParams) {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
}

pub(crate) fn signs_certificates(params: &mut CertificateParams) {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
}

pub(crate) fn enciphers_only(params: &mut CertificateParams) {
    params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
}

pub(crate) fn for_clients(params: &mut CertificateParams) {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

pub(crate) fn for_servers(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
}

pub(crate) fn strange_extension(params: &mut CertificateParams) {
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0x05, 0x00]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}
