//! API keys (REST API 2.4): their value, and the hash that is kept of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sha3::{Digest, Sha3_256};
use thingport_core::clock::Entropy;
use thingport_model::user::KeyHash;

/// A new value: a prefix by which leaked keys are recognised, and 512 random bits.
pub(crate) fn fresh(entropy: &dyn Entropy) -> String {
    let mut random = [0; 64];
    entropy.fill(&mut random);
    format!("{PREFIX}{}", BASE64.encode(random))
}

/// What is kept of a value. One fast hash suffices: nobody guesses 512 random bits.
pub(crate) fn hash(value: &str) -> KeyHash {
    Sha3_256::digest(value.as_bytes()).into()
}

const PREFIX: &str = "tp_";

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;
    impl Entropy for Sevens {
        fn fill(&self, out: &mut [u8]) {
            out.fill(7);
        }
    }

    #[test]
    fn a_value_has_its_prefix_and_86_letters_that_need_no_escape() {
        let value = fresh(&Sevens);
        let letters = value.strip_prefix("tp_").expect("the prefix");
        assert_eq!(letters.len(), 86);
        assert!(letters.chars().all(|it| it.is_ascii_alphanumeric() || "-_".contains(it)));
        assert_eq!(hash(&value), hash(&value.clone()));
        assert_ne!(hash(&value), hash(letters));
    }
}
