//! The public CAs, whose certificates no profile may name as its own (P-11): whoever buys a certificate
//! from one of them could name any device in it.

use crate::certificate::Certificate;
use crate::guess::content;

/// Whether the key is that of a root CA which browsers trust, under whatever name.
#[must_use]
pub fn is_public_root(certificate: &Certificate) -> bool {
    let parsed = certificate.parsed();
    let key = content(parsed.public_key().raw);
    key.is_some_and(|key| {
        webpki_roots::TLS_SERVER_ROOTS
            .iter()
            .any(|root| *root.subject_public_key_info.as_ref() == *key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::read_one;

    #[test]
    fn public_roots_are_known_and_our_own_are_not() {
        let public = read_one(include_bytes!("../testdata/public_root.pem")).unwrap();
        assert!(is_public_root(&public), "{public:?}");
        let own = read_one(include_bytes!("../testdata/root.pem")).unwrap();
        assert!(!is_public_root(&own));
    }
}
