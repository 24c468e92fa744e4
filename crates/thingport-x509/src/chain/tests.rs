use super::*;
use crate::input::{read_chain, read_one};
use crate::workshop::{self as make, Ca};

/// 1 July 2026.
const NOW: i64 = 1_782_864_000_000;

const STRICT: Rules<'_> =
    Rules { strictness: Strictness::Strict, now_ms: NOW, skip_leaf_validity: false, crl: None };
const COMPATIBLE: Rules<'_> = Rules { strictness: Strictness::Compatible, ..STRICT };

fn judged(
    presented: &[Certificate],
    ca: &Certificate,
    rules: &Rules<'_>,
) -> Result<(), ChainError> {
    verify(presented, ca, rules, &mut Budget::of_a_login())
}

/// What a verdict is called in the tables below.
fn word(verdict: &Result<(), ChainError>) -> &'static str {
    match verdict {
        Ok(()) => "ok",
        Err(ChainError::Empty) => "empty",
        Err(ChainError::IssuerMissing { .. }) => "issuer missing",
        Err(ChainError::Signature { .. }) => "signature",
        Err(ChainError::Algorithm { .. }) => "algorithm",
        Err(ChainError::Expired { .. }) => "expired",
        Err(ChainError::NotYetValid { .. }) => "not yet valid",
        Err(ChainError::NotACa { .. }) => "not a ca",
        Err(ChainError::MayNotSign { .. }) => "may not sign",
        Err(ChainError::PathTooLong { .. }) => "path too long",
        Err(ChainError::LeafIsCa { .. }) => "leaf is ca",
        Err(ChainError::LeafUsage { .. }) => "leaf usage",
        Err(ChainError::CriticalExtension { .. }) => "critical extension",
        Err(ChainError::Revoked { .. }) => "revoked",
        Err(ChainError::StaleList) => "stale list",
        Err(ChainError::TooMuchWork) => "too much work",
    }
}

#[test]
fn the_commands_that_users_are_told_make_a_chain_that_passes() {
    let chain = read_chain(include_bytes!("../../testdata/chain.pem")).unwrap();
    let now_ms = chain[0].facts().not_before_ms + 86_400_000;
    let rules = Rules { now_ms, ..STRICT };
    let (device, intermediate, root) = (&chain[0], &chain[1], &chain[2]);
    assert_eq!((device.facts().version, &device.facts().key_usage), (1, &None));
    // The CA of the profile may be the intermediate or the root; it may be presented or not.
    assert_eq!(judged(&chain, intermediate, &rules), Ok(()));
    assert_eq!(judged(&chain, root, &rules), Ok(()));
    assert_eq!(judged(&chain[..1], intermediate, &rules), Ok(()));
    assert_eq!(judged(&chain[..2], root, &rules), Ok(()));
    assert_eq!(word(&judged(&chain[..1], root, &rules)), "issuer missing");
}

#[test]
fn self_signed_certificates_are_told_from_issued_ones() {
    for (pem, expected) in [
        (include_bytes!("../../testdata/rsa.pem").as_slice(), true),
        (include_bytes!("../../testdata/ec.pem"), true),
        (include_bytes!("../../testdata/ed25519.pem"), true),
        (include_bytes!("../../testdata/p384.pem"), true),
        (include_bytes!("../../testdata/device.pem"), false),
    ] {
        assert_eq!(is_self_signed(&read_one(pem).unwrap()), expected);
    }
    let twin = Ca::new("Root").below("Root").certificate();
    assert!(twin.facts().is_self_issued && !is_self_signed(&twin));
}

#[test]
fn a_leaf_is_judged_strictly_or_as_thingsboard_does() {
    let ca = Ca::new("CA");
    // Wish, strict verdict, compatible verdict.
    let rows: [(make::Wish, &str, &str); 10] = [
        (|_| {}, "ok", "ok"),
        (make::no_ca, "ok", "ok"),
        (make::for_clients, "ok", "ok"),
        (make::expired, "expired", "ok"),
        (make::not_yet, "not yet valid", "ok"),
        (make::ca, "leaf is ca", "ok"),
        (make::signs_certificates, "leaf is ca", "ok"),
        (make::enciphers_only, "leaf usage", "ok"),
        (make::for_servers, "leaf usage", "ok"),
        (make::strange_extension, "critical extension", "ok"),
    ];
    for (place, (wish, strict, compatible)) in rows.into_iter().enumerate() {
        let chain = [ca.device("pump", wish)];
        let root = ca.certificate();
        assert_eq!(word(&judged(&chain, &root, &STRICT)), strict, "row {place}");
        assert_eq!(word(&judged(&chain, &root, &COMPATIBLE)), compatible, "row {place}");
    }
    let skipping = Rules { skip_leaf_validity: true, ..STRICT };
    let expired = [ca.device("pump", make::expired)];
    assert_eq!(judged(&expired, &ca.certificate(), &skipping), Ok(()));
}

#[test]
fn issuers_are_judged_strictly_or_as_thingsboard_does() {
    let root = Ca::new("Root");
    let rows: [(make::Wish, &str, &str); 8] = [
        (|_| {}, "ok", "ok"),
        (make::one_level, "ok", "ok"),
        (make::signs_certificates, "ok", "ok"),
        (make::expired, "expired", "ok"),
        (make::not_yet, "not yet valid", "ok"),
        // WK-040: any certificate below the CA could otherwise name any device.
        (make::no_ca, "not a ca", "ok"),
        (make::signs_nothing, "may not sign", "ok"),
        (make::strange_extension, "critical extension", "ok"),
    ];
    for (place, (wish, strict, compatible)) in rows.into_iter().enumerate() {
        let middle = Ca::wished("Middle", Some(&root), wish);
        let leaf = middle.device("pump", |_| {});
        // As a certificate between, and as the profile's own.
        for (chain, ca) in [
            (vec![leaf.clone(), middle.certificate()], root.certificate()),
            (vec![leaf.clone()], middle.certificate()),
        ] {
            assert_eq!(word(&judged(&chain, &ca, &STRICT)), strict, "row {place}");
            assert_eq!(word(&judged(&chain, &ca, &COMPATIBLE)), compatible, "row {place}");
        }
    }
}

#[test]
fn the_path_length_counts_cas_below() {
    let root = Ca::wished("Root", None, make::one_level);
    let middle = root.below("Middle");
    let leaf = middle.device("pump", |_| {});
    let chain = [leaf, middle.certificate()];
    assert_eq!(word(&judged(&chain, &root.certificate(), &STRICT)), "path too long");
    let direct = [root.device("pump", |_| {})];
    assert_eq!(judged(&direct, &root.certificate(), &STRICT), Ok(()));
}

#[test]
fn the_path_is_found_in_any_order_and_beside_strangers() {
    let (root, stranger) = (Ca::new("Root"), Ca::new("Stranger"));
    let one = root.below("One");
    let two = one.below("Two");
    let leaf = two.device("pump", |_| {});
    let certificates = [&root, &stranger, &one, &two].map(Ca::certificate);
    let [root, stranger, one, two] = certificates;
    let chain = [leaf, stranger, one, root.clone(), two];
    assert_eq!(judged(&chain, &root, &STRICT), Ok(()));
}

#[test]
fn a_stranger_below_the_same_names_is_refused() {
    let (ours, theirs) = (Ca::new("CA"), Ca::new("CA"));
    let chain = [theirs.device("pump", |_| {}), theirs.certificate()];
    // The other CA is a candidate too, but leads nowhere.
    let verdict = judged(&chain, &ours.certificate(), &STRICT);
    assert!(["signature", "issuer missing"].contains(&word(&verdict)), "{verdict:?}");
    assert_eq!(word(&judged(&chain[..1], &ours.certificate(), &COMPATIBLE)), "signature");
    assert_eq!(word(&judged(&[], &ours.certificate(), &STRICT)), "empty");
}

#[test]
fn a_changed_certificate_is_refused() {
    let ca = Ca::new("CA");
    let der = ca.device("pump-a", |_| {}).der().to_vec();
    let place = der.windows(6).rposition(|six| six == b"pump-a").unwrap();
    let mut changed = der;
    changed[place + 5] = b'b';
    let chain = [Certificate::from_der(&changed).unwrap()];
    assert_eq!(chain[0].facts().common_name.as_deref(), Some("pump-b"));
    for rules in [STRICT, COMPATIBLE] {
        assert_eq!(word(&judged(&chain, &ca.certificate(), &rules)), "signature");
    }
}

#[test]
fn broken_algorithms_are_refused_in_every_strictness() {
    let chain = read_chain(include_bytes!("../../testdata/chain.pem")).unwrap();
    let sha1 = [read_one(include_bytes!("../../testdata/sha1.pem")).unwrap()];
    for rules in [STRICT, COMPATIBLE] {
        let refused = judged(&sha1, &chain[1], &rules).unwrap_err();
        assert!(matches!(refused, ChainError::Algorithm { .. }));
        assert!(refused.to_string().contains("sha1WithRSAEncryption"), "{refused}");
    }
}

#[test]
fn every_kind_of_key_may_sign() {
    for kind in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
    ] {
        let key = rcgen::KeyPair::generate_for(kind).unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let made = params.self_signed(&key).unwrap();
        let certificate = Certificate::from_der(made.der()).unwrap();
        assert!(is_self_signed(&certificate), "{}", certificate.facts().signature_algorithm);
    }
}

#[test]
fn many_namesakes_do_not_cost_many_signatures() {
    let ours = Ca::new("CA").certificate();
    let theirs: Vec<_> = (0..9).map(|_| Ca::new("CA")).collect();
    let mut chain = vec![Ca::wished("CA", Some(&theirs[8]), |_| {}).certificate()];
    chain.extend(theirs.iter().map(Ca::certificate));
    // Each of them names itself as its issuer, so one CA is tried with all of them.
    let mut budget = Budget(16);
    assert_eq!(word(&verify(&chain, &ours, &STRICT, &mut budget)), "too much work");
    let good = [ours.clone()];
    assert_eq!(
        word(&verify(&good, &theirs[0].certificate(), &COMPATIBLE, &mut budget)),
        "too much work"
    );
}

#[test]
fn all_cas_of_a_login_share_its_signatures() {
    let (ours, theirs) = (Ca::new("CA"), Ca::new("CA").certificate());
    let leaf = [Ca::wished("leaf", Some(&ours), |_| {}).certificate()];
    let mut budget = Budget::of_a_login();
    for _ in 1..SIGNATURE_CHECKS_MAX {
        assert_eq!(word(&verify(&leaf, &theirs, &COMPATIBLE, &mut budget)), "signature");
    }
    assert_eq!(word(&verify(&leaf, &ours.certificate(), &COMPATIBLE, &mut budget)), "ok");
    let spent = verify(&leaf, &ours.certificate(), &COMPATIBLE, &mut budget);
    assert_eq!(word(&spent), "too much work");
    assert!(spent.is_err_and(|problem| problem.is_unsigned()));
}

#[test]
fn key_ids_tell_namesakes_apart() {
    let (ours, theirs) = (Ca::new("CA"), Ca::new("CA"));
    let with_id =
        |it: &mut rcgen::CertificateParams| it.use_authority_key_identifier_extension = true;
    let leaf = Ca::wished("leaf", Some(&ours), with_id).certificate();
    assert_eq!(key_ids_fit(&leaf, &ours.certificate()), Some(true));
    assert_eq!(key_ids_fit(&leaf, &theirs.certificate()), Some(false));
    let silent = Ca::wished("leaf", Some(&ours), |_| {}).certificate();
    assert_eq!(key_ids_fit(&silent, &ours.certificate()), None);
}

#[test]
fn what_was_called_back_is_refused() {
    let chain = read_chain(include_bytes!("../../testdata/chain.pem")).unwrap();
    let crl = RevocationList::read(include_bytes!("../../testdata/crl.pem")).unwrap();
    let now_ms = chain[0].facts().not_before_ms + 86_400_000;
    let late = Rules { now_ms: i64::MAX, skip_leaf_validity: true, ..COMPATIBLE };
    for (rules, place, expected) in [
        (Rules { now_ms, crl: Some(&crl), ..STRICT }, 0, "revoked"),
        (Rules { now_ms, crl: Some(&crl), ..COMPATIBLE }, 0, "revoked"),
        (Rules { now_ms, ..STRICT }, 0, "ok"),
        // A device below the intermediate that is not on its list.
        (Rules { crl: Some(&crl), ..late }, 1, "ok"),
    ] {
        let verdict = judged(&chain[place..], &chain[place + 1], &rules);
        assert_eq!(word(&verdict), expected);
    }
}

#[test]
fn a_list_past_its_next_update_stops_strict_judgement() {
    let ca = Ca::new("CA");
    let crl = RevocationList::read(include_bytes!("../../testdata/crl.pem")).unwrap();
    let far = Rules { now_ms: 2_200_000_000_000, ..STRICT };
    assert!(!crl.is_stale(far.now_ms));
    let chain = [ca.device("pump", |_| {})];
    let in_time = Rules { crl: Some(&crl), ..STRICT };
    assert_eq!(judged(&chain, &ca.certificate(), &in_time), Ok(()));
    assert!(crl.is_stale(i64::MAX));
    let leaf = &chain[0];
    let late = Rules { now_ms: i64::MAX, crl: Some(&crl), ..STRICT };
    assert_eq!(judge_revocation(leaf, &[leaf], &late), Err(ChainError::StaleList));
}
