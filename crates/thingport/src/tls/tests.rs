//! Promises about the server's certificate, on fixtures of openssl (testdata/tls) and an invented clock.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;

use super::issue::{DAY_MS, KeyType, Order, Purpose, issue, new_key};
use super::material::{Material, PemFile};
use super::problem::Problem;
use super::{Tls, facts, machine, made};
use crate::config::{Config, TlsSettings};

/// 2026-11-25.
const NOW: i64 = 1_795_600_000_000;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tls").join(name)
}

/// `certificate+another` puts files behind each other.
fn bytes(names: &str) -> Vec<u8> {
    names.split('+').flat_map(|name| fs::read(fixture(name)).unwrap()).collect()
}

fn read(certificate: &str, key: &str, passphrase: Option<&str>) -> Result<Material, Problem> {
    let (chain, key_bytes) =
        (bytes(certificate), bytes(if key.is_empty() { "ec.pem" } else { key }));
    let (path, key_path) = (PathBuf::from("c.pem"), PathBuf::from("k.pem"));
    let file = PemFile { path: &path, bytes: &chain };
    let key = (!key.is_empty()).then_some(PemFile { path: &key_path, bytes: &key_bytes });
    Material::read(file, key, passphrase)
}

#[test]
fn keys_are_read_in_every_form_openssl_writes() {
    for (certificate, key, passphrase) in [
        ("ec.pem", "sec1.pem", None),
        ("ec.pem", "pkcs8.pem", None),
        ("ec.pem+sec1.pem", "", None),
        ("sec1.pem+ec.pem", "", None),
        ("ec.pem", "sealed-aes.pem", Some("secret")),
        ("ec.pem", "sealed-3des.pem", Some("secret")),
        ("ec.pem", "sealed-scrypt.pem", Some("secret")),
        ("ec.pem+sealed-aes.pem", "", Some("secret")),
        ("ec.pem", "pkcs8.pem", Some("not needed")),
        ("rsa.pem", "rsa-pkcs8.pem", None),
        ("rsa.pem", "pkcs1.pem", None),
        ("v1.pem", "sec1.pem", None),
        ("ec.pem+rsa.pem", "sec1.pem", None),
    ] {
        let read = read(certificate, key, passphrase);
        assert!(read.is_ok(), "{certificate} {key}: {:?}", read.err());
    }
}

#[test]
fn what_cannot_be_used_is_told_by_its_own_case() {
    let (c, k) = (PathBuf::from("c.pem"), PathBuf::from("k.pem"));
    for (certificate, key, passphrase, expected) in [
        (
            "sec1.pem",
            "",
            None,
            Problem::NoCertificate(
                c.clone(),
                vec!["EC PARAMETERS".into(), "EC PRIVATE KEY".into()],
            ),
        ),
        ("ec.der", "sec1.pem", None, Problem::NoCertificate(c.clone(), vec![])),
        ("ec.pem", "", None, Problem::NoKey(c.clone(), vec!["CERTIFICATE".into()])),
        ("ec.pem", "rsa.pem", None, Problem::NoKey(k.clone(), vec!["CERTIFICATE".into()])),
        ("ec.pem", "pkcs1.pem", None, Problem::OtherKey(c.clone(), k.clone())),
        ("rsa.pem+ec.pem", "sec1.pem", None, Problem::NotFirst(c.clone(), 2)),
        ("ec.pem", "sealed-aes.pem", None, Problem::NoPassphrase(k.clone())),
        ("ec.pem", "sealed-aes.pem", Some("wrong"), Problem::WrongPassphrase(k.clone())),
        ("ec.pem", "sealed-3des.pem", Some("wrong"), Problem::WrongPassphrase(k.clone())),
        ("ec.pem", "sealed-pbes1.pem", Some("secret"), Problem::UnknownEncryption(k.clone())),
        ("ec.pem", "legacy.pem", Some("secret"), Problem::LegacyEncryption(k)),
        ("weak.pem", "weak-key.pem", None, Problem::WeakKey(c, 1024)),
    ] {
        let found = read(certificate, key, passphrase).err();
        assert_eq!(found, Some(expected), "{certificate} {key}");
    }
}

#[test]
fn every_problem_is_one_sentence_for_a_person_without_anything_secret() {
    let file = || PathBuf::from("f.pem");
    for (problem, part) in [
        (Problem::Missing(file()), "f.pem does not exist"),
        (Problem::TooLarge(file()), "larger than 262144 bytes"),
        (Problem::NoCertificate(file(), vec![]), "openssl x509 -inform DER -in f.pem"),
        (Problem::NoKey(file(), vec!["CERTIFICATE".into()]), "but CERTIFICATE; name the file"),
        (Problem::LegacyEncryption(file()), "openssl pkcs8 -topk8 -v2 aes-256-cbc -in f.pem"),
        (Problem::UnknownEncryption(file()), "openssl pkcs8 -topk8 -v2 aes-256-cbc -in f.pem"),
        (Problem::NoPassphrase(file()), "set tls.key_passphrase_file"),
        (Problem::WrongPassphrase(file()), "check tls.key_passphrase"),
        (Problem::WeakKey(file(), 1024), "1024 bits is too weak; expected at least 2048"),
        (Problem::OtherKey(file(), file()), "does not belong"),
        (Problem::NotFirst(file(), 2), "certificate 2 of the file; put the server's"),
        (Problem::NoCaKey(file()), "put f.pem back"),
        (Problem::Exists(file()), "--force"),
        (Problem::NoCa(file()), "thingport certs ca"),
    ] {
        let sentence = problem.to_string();
        assert!(sentence.contains(part), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
    }
}

#[test]
fn the_root_is_the_last_of_the_chain_or_a_certificate_that_stands_for_itself() {
    let root = |material: Material| material.root().map(|it| it.facts().subject.clone());
    assert_eq!(root(read("ec.pem", "sec1.pem", None).unwrap()).as_deref(), Some("CN=localhost"));
    assert_eq!(root(read("ec.pem+rsa.pem", "sec1.pem", None).unwrap()).as_deref(), Some("CN=rsa"));

    // One certificate that a CA elsewhere issued: there is nothing to give.
    let folder = tempfile::tempdir().unwrap();
    let made = made::prepare(folder.path(), &["localhost".to_owned()], NOW).unwrap();
    assert_eq!(root(made.material), None);
}

fn names() -> Vec<String> {
    ["localhost", "127.0.0.1", "iot.example"].map(str::to_owned).to_vec()
}

fn content(folder: &Path) -> [Option<String>; 3] {
    made::files(folder).map(|path| fs::read_to_string(path).ok())
}

fn verifies(made: &made::Made, name: &str, now_ms: i64) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.ca.der().to_vec().into()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
    let now = std::time::Duration::from_millis(u64::try_from(now_ms).unwrap());
    let chain = made.material.chain();
    rustls::client::danger::ServerCertVerifier::verify_server_cert(
        &*verifier.build().unwrap(),
        &chain[0],
        &chain[1..],
        &ServerName::try_from(name.to_owned()).unwrap(),
        &[],
        rustls::pki_types::UnixTime::since_unix_epoch(now),
    )
    .is_ok()
}

#[test]
fn the_first_run_makes_a_ca_and_a_certificate_that_clients_accept_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("tls");
    let made = made::prepare(&folder, &names(), NOW).unwrap();
    for (name, is_accepted) in
        [("localhost", true), ("127.0.0.1", true), ("iot.example", true), ("other.example", false)]
    {
        assert_eq!(verifies(&made, name, NOW), is_accepted, "{name}");
    }
    // Clocks of devices are late, and the certificate lasts.
    assert!(verifies(&made, "localhost", NOW - DAY_MS / 2));
    assert!(verifies(&made, "localhost", NOW + 364 * DAY_MS));
    assert!(!verifies(&made, "localhost", NOW + 366 * DAY_MS));
    assert!(made.ca.facts().not_after_ms > NOW + 10 * 365 * DAY_MS);

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(made::files(&folder).map(|path| mode(&path)), [0o600, 0o644, 0o600]);
    assert_eq!(mode(&folder), 0o700);
    assert!(!content(&folder)[1].as_ref().unwrap().contains("PRIVATE"));
}

#[test]
fn what_was_made_stays_and_whatever_a_crash_left_out_is_made_from_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = made::prepare(folder, &names(), NOW).unwrap();
    let before = content(folder);
    made::prepare(folder, &names()[..1], NOW + DAY_MS).unwrap();
    assert_eq!(content(folder), before, "nothing to do");

    let [ca_key, ca, server] = made::files(folder);
    // Between any two of the renames; and a half-written temporary file does no harm.
    for lost in [vec![&ca, &server], vec![&server], vec![&ca]] {
        for path in lost {
            fs::remove_file(path).unwrap();
        }
        fs::write(folder.join("server.pem.new"), "half").unwrap();
        let again = made::prepare(folder, &names(), NOW).unwrap();
        assert_eq!(again.ca, first.ca);
        assert!(verifies(&again, "localhost", NOW));
        assert_eq!(content(folder)[..2], before[..2]);
    }
    // Our own server certificate may be made anew when it is damaged; a CA never is.
    fs::write(&server, "damaged").unwrap();
    assert!(verifies(&made::prepare(folder, &names(), NOW).unwrap(), "localhost", NOW));
    fs::write(&ca_key, "damaged").unwrap();
    assert!(matches!(made::prepare(folder, &names(), NOW), Err(Problem::NoCertificate(..))));
}

#[test]
fn a_made_certificate_is_renewed_before_it_expires_and_when_names_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let serial = |made: &made::Made| made.material.certificate.facts().serial.clone();
    let first = made::prepare(folder, &names(), NOW).unwrap();
    assert_eq!(first.renew_at_ms / 1000, (NOW + 335 * DAY_MS) / 1000);
    for (now, names, is_renewed) in [
        (NOW + 334 * DAY_MS, names(), false),
        (NOW + 336 * DAY_MS, names(), true),
        (NOW + 336 * DAY_MS, [names(), vec!["10.0.0.7".to_owned()]].concat(), true),
        // A clock that was wrong when the certificate was made.
        (NOW, names(), true),
    ] {
        let before = made::prepare(folder, &[], now.max(NOW)).map(|it| serial(&it)).unwrap();
        let now_serial = serial(&made::prepare(folder, &names, now).unwrap());
        assert!(is_renewed || before == now_serial, "{now}");
        let covered =
            facts::names(made::prepare(folder, &names, now).unwrap().material.certificate.der());
        assert!(names.iter().all(|name| covered.contains(name)), "{covered:?}");
    }
    assert_ne!(serial(&made::prepare(folder, &names(), NOW).unwrap()), serial(&first));
}

#[test]
fn without_its_key_the_ca_serves_as_long_as_the_server_certificate_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = made::prepare(folder, &names(), NOW).unwrap();
    let [ca_key, ..] = made::files(folder);
    fs::remove_file(&ca_key).unwrap();
    let kept = made::prepare(folder, &["new.example".to_owned()], NOW + 350 * DAY_MS).unwrap();
    assert_eq!(kept.material.certificate, made.material.certificate);
    let refused = made::prepare(folder, &names(), NOW + 400 * DAY_MS).err();
    assert_eq!(refused, Some(Problem::NoCaKey(ca_key)));
}

#[test]
fn a_clock_that_was_never_set_makes_certificates_that_last() {
    let folder = tempfile::tempdir().unwrap();
    let made = made::prepare(folder.path(), &names(), 0).unwrap();
    assert!(made.ca.facts().not_after_ms > NOW + 10 * 365 * DAY_MS);
}

#[test]
fn the_machine_has_names_without_repetition_and_the_given_ones_first() {
    let names = machine::names(&["iot.example".to_owned(), "localhost".to_owned()]);
    assert_eq!(names[..2], ["iot.example", "localhost"]);
    for name in ["127.0.0.1", "::1"] {
        assert!(names.iter().any(|it| it == name), "{names:?}");
    }
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), names.len(), "{names:?}");
}

/// A certificate and its key in one file, in the name of `name`.
fn pair(name: &str, days: i64) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let moment = |ms: i64| time::OffsetDateTime::from_unix_timestamp(ms / 1000).unwrap();
    params.not_before = moment(NOW - 10 * DAY_MS);
    params.not_after = moment(NOW + days * DAY_MS);
    let made = params.self_signed(&key).unwrap();
    format!("{}{}", made.pem(), key.serialize_pem())
}

fn settings(certificate: &Path) -> TlsSettings {
    let mut settings = Config::default().tls;
    settings.certificate.0 = Some(certificate.to_owned());
    settings
}

fn served(tls: &Tls) -> Vec<String> {
    tls.standing().names.clone()
}

#[test]
fn changed_files_are_taken_up_when_they_are_whole_and_quiet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.pem");
    fs::write(&path, pair("one.example", 1)).unwrap();
    let tls = Tls::open(&settings(&path), folder.path(), NOW).unwrap();
    assert_eq!(served(&tls), ["one.example"]);
    let look = |expected: &str, counts: (u64, u64, bool)| {
        tls.look(NOW, false);
        assert_eq!((served(&tls), tls.reloads()), (vec![expected.to_owned()], counts));
    };
    look("one.example", (0, 0, false));

    fs::write(&path, pair("two.example", 1)).unwrap();
    look("one.example", (0, 0, false)); // perhaps somebody is still writing
    look("two.example", (1, 0, false));
    look("two.example", (1, 0, false));

    fs::write(&path, "nothing of use").unwrap();
    look("two.example", (1, 0, false));
    look("two.example", (1, 1, true));
    look("two.example", (1, 1, true)); // told once

    fs::remove_file(&path).unwrap();
    look("two.example", (1, 1, true));
    look("two.example", (1, 2, true));

    let another = folder.path().join("another.pem");
    fs::write(&another, pair("three.example", 1)).unwrap();
    std::os::unix::fs::symlink(&another, &path).unwrap();
    look("two.example", (1, 2, true));
    look("three.example", (2, 2, false));
}

#[test]
fn a_person_who_asks_does_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.pem");
    fs::write(&path, pair("one.example", 1)).unwrap();
    let tls = Tls::open(&settings(&path), folder.path(), NOW).unwrap();
    fs::write(&path, pair("two.example", 1)).unwrap();
    tls.look(NOW, true);
    assert_eq!((served(&tls), tls.reloads()), (vec!["two.example".to_owned()], (1, 0, false)));
}

#[test]
fn made_certificates_are_renewed_while_running_and_retried_rarely() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::open(&Config::default().tls, folder.path(), NOW).unwrap();
    let serial = || tls.standing().server.facts().serial.clone();
    let first = serial();
    tls.look(NOW + 300 * DAY_MS, false);
    assert_eq!((serial(), tls.reloads()), (first.clone(), (0, 0, false)));
    let due = NOW + 336 * DAY_MS;
    tls.look(due, false);
    assert_eq!(tls.reloads(), (1, 0, false));
    assert_ne!(serial(), first);
    tls.look(due + 1_000, false);
    assert_eq!(tls.reloads(), (1, 0, false), "what was written by us is no change");

    // A renewal that cannot be written leaves the former certificate in force.
    let second = serial();
    let key = made::files(&folder.path().join("tls"))[0].clone();
    fs::write(&key, "damaged").unwrap();
    tls.look(due + 2_000, false);
    tls.look(due + 3_000, false);
    assert_eq!((serial(), tls.reloads()), (second, (1, 1, true)));
    let due_again = due + 340 * DAY_MS;
    tls.look(due_again, false);
    tls.look(due_again + 60_000, false);
    assert_eq!(tls.reloads(), (1, 2, true), "not every second");
    tls.look(due_again + 3_700_000, false);
    assert_eq!(tls.reloads(), (1, 3, true));
}

#[test]
fn an_expired_certificate_is_served_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.pem");
    fs::write(&path, pair("old.example", -1)).unwrap();
    let tls = Tls::open(&settings(&path), folder.path(), NOW).unwrap();
    assert_eq!(served(&tls), ["old.example"]);
}

#[test]
fn the_file_to_hand_out_never_carries_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.pem");
    fs::write(&path, pair("one.example", 1)).unwrap();
    let mut settings = settings(&path);
    let implied = Tls::open(&settings, folder.path(), NOW).unwrap().standing().ca_pem.clone();
    settings.ca.0 = Some(path);
    let named = Tls::open(&settings, folder.path(), NOW).unwrap().standing().ca_pem.clone();
    assert_eq!(implied, named);
    assert!(!named.unwrap().contains("PRIVATE"));
}

#[test]
fn a_passphrase_is_the_first_line_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    let mut settings = settings(&fixture("ec.pem"));
    settings.key.0 = Some(fixture("sealed-aes.pem"));
    settings.key_passphrase_file.0 = Some(secret.clone());
    for (text, is_right) in
        [("secret", true), ("secret\n", true), ("secret\r\nmore\n", true), (" secret", false)]
    {
        fs::write(&secret, text).unwrap();
        assert_eq!(Tls::open(&settings, folder.path(), NOW).is_ok(), is_right, "{text:?}");
    }
    fs::remove_file(&secret).unwrap();
    let missing = Tls::open(&settings, folder.path(), NOW).err();
    assert_eq!(missing, Some(Problem::Missing(secret)));
}

#[test]
fn every_kind_of_key_can_be_made_and_served() {
    for kind in [KeyType::P256, KeyType::P384, KeyType::Ed25519, KeyType::Rsa2048] {
        let purpose = Purpose::Server(vec!["localhost".to_owned()]);
        let order = Order { name: "localhost", purpose, now_ms: NOW, days: 1 };
        let made = issue(&order, new_key(kind).unwrap(), None).unwrap();
        let text = format!("{}{}", made.pem, made.key.serialize_pem());
        let path = Path::new("f.pem");
        let read = Material::read(PemFile { path, bytes: text.as_bytes() }, None, None);
        assert!(read.is_ok(), "{kind:?}: {:?}", read.err());
    }
}
