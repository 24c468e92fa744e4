//! What a refused CONNECT showed, as a record for the journal.

use thingport_model::attempt::{Attempt, Fingerprint, PresentedCertificate};
use thingport_model::security::Security;
use thingport_model::time::Timestamp;
use thingport_x509::certificate::Certificate;
use thingport_x509::fingerprint::digests;

/// How the connection was secured and which certificates were presented; what was tried is the
/// caller's to add.
#[must_use]
pub fn shown(security: Option<&Security>) -> Attempt {
    let Some(security) = security else { return Attempt::default() };
    let chain = security.chain.iter().take(Attempt::CHAIN_MAX);
    Attempt {
        tls_version: security.version.to_owned(),
        cipher: security.cipher.to_owned(),
        chain: chain.map(|der| facts(der)).collect(),
        presented: u8::try_from(security.chain.len()).unwrap_or(u8::MAX),
        ..Attempt::default()
    }
}

/// The facts of one certificate; of one that cannot be read, its fingerprints.
pub(crate) fn facts(der: &[u8]) -> PresentedCertificate {
    let [fingerprint, sha256] = digests(der).map(Fingerprint);
    let unread = PresentedCertificate { fingerprint, sha256, ..PresentedCertificate::default() };
    let Ok(certificate) = Certificate::from_der(der) else { return unread };
    let said = certificate.facts();
    PresentedCertificate {
        subject: said.subject.clone(),
        issuer: said.issuer.clone(),
        serial: said.serial.clone(),
        not_before: Some(Timestamp(said.not_before_ms)),
        not_after: Some(Timestamp(said.not_after_ms)),
        key: said.key.to_string(),
        ..unread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_kept_as_far_as_it_may_be_and_unreadable_ones_by_their_hash() {
        let security = Security {
            version: "TLS 1.3",
            cipher: "TLS13_AES_256_GCM_SHA384",
            chain: (0..9).map(|byte| vec![byte; 40].into_boxed_slice()).collect(),
        };
        let attempt = shown(Some(&security));
        assert_eq!((attempt.chain.len(), attempt.presented), (Attempt::CHAIN_MAX, 9));
        let leaf = &attempt.chain[0];
        assert_eq!((&*leaf.subject, leaf.not_after), ("", None));
        assert_ne!(leaf.sha256, attempt.chain[1].sha256);
        assert_eq!(shown(None), Attempt::default());
    }

    #[test]
    fn what_is_kept_of_a_certificate_is_what_it_says() {
        let chain = include_bytes!("../../thingport-x509/testdata/chain.pem");
        let chain = thingport_x509::input::read_chain(chain).unwrap();
        let ders = chain.iter().map(|it| it.der().into()).collect();
        let security = Security { version: "TLS 1.3", cipher: "any", chain: ders };
        let kept = shown(Some(&security)).chain;
        assert_eq!(kept.len(), chain.len());
        for (kept, certificate) in kept.iter().zip(&chain) {
            assert_eq!(kept.subject, certificate.facts().subject);
            assert_eq!(kept.fingerprint.to_string(), certificate.credentials_id());
            assert_eq!(kept.sha256.with_colons(), certificate.sha256());
            assert!(kept.not_before < kept.not_after && !kept.key.is_empty());
        }
    }
}
