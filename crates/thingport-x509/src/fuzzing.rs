//! Doors for the fuzzer: arbitrary bytes in, promises checked inside. A broken promise panics, which
//! only the fuzzer and the replay of its corpus ever see.

use crate::certificate::Certificate;
use crate::chain::{Budget, Rules, Strictness, is_self_signed, verify};
use crate::crl::RevocationList;
use crate::input::{CERTIFICATES_MAX, read_chain};

/// Reads `bytes` as whatever somebody may paste, and judges what was found.
pub fn certificate(bytes: &[u8]) {
    let crl = RevocationList::read(bytes).ok();
    let Ok(chain) = read_chain(bytes) else { return };
    assert!(!chain.is_empty() && chain.len() <= CERTIFICATES_MAX, "bounded");
    for one in &chain {
        check(one);
    }
    for strictness in [Strictness::Strict, Strictness::Compatible] {
        let rules =
            Rules { strictness, now_ms: NOW_MS, skip_leaf_validity: false, crl: crl.as_ref() };
        for ca in &chain {
            if let Err(refused) = verify(&chain, ca, &rules, &mut Budget::of_a_login()) {
                assert!(!refused.to_string().is_empty());
            }
        }
    }
}

fn check(one: &Certificate) {
    let facts = one.facts();
    let shown = format!("{facts:?}{} {}", facts.subject, facts.issuer);
    assert!(!facts.subject.contains(char::is_control), "{shown}");
    assert!(!facts.issuer.contains(char::is_control), "{shown}");
    assert_eq!((one.credentials_id().len(), one.sha256().len()), (64, 95));
    let again = read_chain(one.to_pem().as_bytes());
    assert_eq!(again.as_deref(), Ok(core::slice::from_ref(one)), "what is written is read again");
    let _ = is_self_signed(one);
}

/// 1 July 2026.
const NOW_MS: i64 = 1_782_864_000_000;
