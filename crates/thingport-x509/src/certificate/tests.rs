use super::*;
use crate::input::{read_chain, read_one};

#[test]
fn facts_are_those_that_openssl_prints() {
    let rsa = read_one(include_bytes!("../../testdata/rsa.pem")).unwrap();
    let facts = rsa.facts();
    assert_eq!(facts.subject, "CN=pump-17,O=ACME\\, Inc.,C=DE");
    assert_eq!(facts.issuer, facts.subject);
    assert_eq!(facts.common_name.as_deref(), Some("pump-17"));
    assert_eq!(facts.serial, "718bd698c245ab3d3ff2dbca7f0a0f6da5f447b5");
    assert_eq!(facts.version, 3);
    assert_eq!(facts.key.to_string(), "RSA 4096");
    assert_eq!(facts.signature_algorithm, "sha256WithRSAEncryption");
    assert!(facts.is_self_issued && facts.is_ca() && facts.key_usage.is_none());
    assert_eq!(
        rsa.sha256(),
        "84:41:AB:21:C7:FF:27:7C:D7:D6:97:F1:5A:F5:A9:BB:7B:01:35:9A:80:C5:93:87:F1:14:52:18:DC:CA:1C:F8"
    );
    assert_eq!(
        rsa.credentials_id(),
        "c0d2b35a005f7509f8b2213c445ba0156c00258f7a5b8bc7b481d1f6534c86a1"
    );
}

#[test]
fn keys_and_algorithms_have_their_usual_names() {
    let rows: [(&[u8], &str, &str); 3] = [
        (include_bytes!("../../testdata/ec.pem"), "P-256", "ecdsa-with-SHA256"),
        (include_bytes!("../../testdata/p384.pem"), "P-384", "ecdsa-with-SHA384"),
        (include_bytes!("../../testdata/ed25519.pem"), "Ed25519", "Ed25519"),
    ];
    for (pem, key, algorithm) in rows {
        let one = read_one(pem).unwrap();
        assert_eq!(one.facts().key.to_string(), key);
        assert_eq!(one.facts().signature_algorithm, algorithm);
    }
}

#[test]
fn a_version_one_certificate_has_no_extensions() {
    let chain = read_chain(include_bytes!("../../testdata/chain.pem")).unwrap();
    let of: Vec<_> = chain
        .iter()
        .map(|one| {
            let facts = one.facts();
            (facts.version, facts.is_ca(), facts.is_self_issued, facts.issuer.as_str())
        })
        .collect();
    let expected = [
        (1, false, false, "CN=Intermediate"),
        (3, true, false, "CN=Root"),
        (3, true, true, "CN=Root"),
    ];
    assert_eq!(of, expected);
}

#[test]
fn the_period_ends_with_its_last_second() {
    let one = read_one(include_bytes!("../../testdata/ec.pem")).unwrap();
    let facts = one.facts();
    let rows = [
        (facts.not_before_ms - 1, Validity::NotYet),
        (facts.not_before_ms, Validity::Valid),
        (facts.not_after_ms, Validity::Valid),
        (facts.not_after_ms + 1, Validity::Expired),
        (i64::MIN, Validity::NotYet),
        (i64::MAX, Validity::Expired),
    ];
    for (now, expected) in rows {
        assert_eq!(facts.validity_at(now), expected, "{now}");
    }
    assert_eq!(facts.not_after_ms % 1_000, 999);
}

#[test]
fn names_are_escaped_so_that_they_cannot_break_a_line() {
    // SET { SEQUENCE { commonName, UTF8String } } within a SEQUENCE.
    let check = |value: &str, expected: &str| {
        let length = |extra: usize| u8::try_from(value.len() + extra).unwrap();
        let mut der = vec![0x30, length(11), 0x31, length(9), 0x30, length(7)];
        der.extend([0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, length(0)]);
        der.extend(value.as_bytes());
        let parsed = name::parse(&der).unwrap();
        assert_eq!(name::text(&parsed), expected);
        assert_eq!(name::common_name(&parsed).as_deref(), Some(value));
    };
    check("pump 17", "CN=pump 17");
    check("a,b+c\"\\<>;", "CN=a\\,b\\+c\\\"\\\\\\<\\>\\;");
    check(" #", "CN=\\ #");
    check("#x ", "CN=\\#x\\ ");
    check("a\nb\0", "CN=a\\0ab\\00");
}
