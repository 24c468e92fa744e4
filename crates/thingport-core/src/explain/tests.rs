//! What a search finds, and what is said when it finds nothing.

use super::*;
use thingport_model::attempt::{Attempt, PresentedCertificate};
use uuid::Uuid;

use crate::journal::user_name_hash;

fn incident() -> Incident {
    Incident {
        at: Timestamp(200),
        reason: Reason::CredentialsUnknown,
        detail: "Nothing Fits".to_owned(),
        device: None,
        remote: "192.0.2.7:5123".to_owned(),
        client_id: "meter-1".to_owned(),
        user_name: Incident::masked(TOKEN),
        protocol: "MQTT 5".to_owned(),
        count: 2,
        first_at: Timestamp(100),
        attempt: None,
    }
}

fn with_attempt() -> Incident {
    let certificate = |subject: &str, byte| PresentedCertificate {
        subject: subject.to_owned(),
        fingerprint: Fingerprint([byte; 32]),
        sha256: Fingerprint([byte + 1; 32]),
        ..PresentedCertificate::default()
    };
    let attempt = Attempt {
        tls_version: "TLS 1.3".to_owned(),
        chain: vec![certificate("CN=Meter", 1), certificate("CN=Maker", 5)],
        user_name: user_name_hash(TOKEN),
        ..Attempt::default()
    };
    Incident { attempt: Some(Box::new(attempt)), ..incident() }
}

const TOKEN: &str = "A_TOKEN_OF_MANY_LETTERS";
const ALIKE: &str = "A_TOKEN_OF_OTHERLETTERS";

fn by_user_name(name: &str) -> Search {
    Search { user_name: Some(SoughtUserName::new(name)), ..Search::default() }
}

fn by_address(text: &str) -> Search {
    Search { address: Some(text.parse().unwrap()), ..Search::default() }
}

fn by_fingerprint(byte: u8) -> Search {
    Search { fingerprint: Some(Fingerprint([byte; 32])), ..Search::default() }
}

fn by_text(text: &str) -> Search {
    Search { text: Some(SoughtText::new(text)), ..Search::default() }
}

fn by_reason(id: &str) -> Search {
    Search { reasons: Search::reasons(id), ..Search::default() }
}

fn by_client_id(id: &str) -> Search {
    Search { client_id: Some(id.to_owned()), ..Search::default() }
}

fn between(from: i64, to: i64) -> Search {
    Search { from: Some(Timestamp(from)), to: Some(Timestamp(to)), ..Search::default() }
}

#[test]
fn a_search_finds_what_it_describes() {
    let device = DeviceId(Uuid::from_u128(1));
    // Search, whether it finds the plain incident, and the one with an attempt.
    let rows = [
        (Search::default(), true, true),
        (by_address("192.0.2.7"), true, true),
        (by_address("192.0.2.8"), false, false),
        (by_client_id("meter-1"), true, true),
        (by_client_id("meter"), false, false),
        (by_client_id(""), false, false),
        (by_user_name(TOKEN), true, true),
        // Where only the mask was kept, two names that look alike are both found.
        (by_user_name(ALIKE), true, false),
        (by_user_name("another"), false, false),
        (by_fingerprint(1), false, true),
        (by_fingerprint(2), false, true),
        (by_fingerprint(6), false, true),
        (by_fingerprint(9), false, false),
        (by_reason("login.unknown"), true, true),
        (by_reason("login"), true, true),
        (by_reason("payload"), false, false),
        (Search { device: Some(device), ..Search::default() }, false, false),
        (between(200, 300), true, true),
        (between(0, 100), true, true),
        (between(201, 300), false, false),
        (between(0, 99), false, false),
        (by_text("nothing fits"), true, true),
        (by_text("LOGIN.UNKNOWN"), true, true),
        (by_text("maker"), false, true),
        (by_text("elsewhere"), false, false),
    ];
    for (search, plain, attempted) in rows {
        assert_eq!(search.matches(&incident()), plain, "{search:?}");
        assert_eq!(search.matches(&with_attempt()), attempted, "{search:?}");
    }
}

#[test]
fn an_unknown_reason_is_told_from_an_area() {
    assert!(Search::reasons("login").len() > 5);
    assert_eq!(Search::reasons("login.unknown"), [Reason::CredentialsUnknown]);
    assert!(Search::reasons("login.").is_empty() && Search::reasons("").is_empty());
}

#[test]
fn a_user_name_that_is_looked_for_is_not_printed() {
    assert!(!format!("{:?}", by_user_name(TOKEN)).contains(TOKEN));
}

#[test]
fn the_same_failure_of_the_same_peer_is_one_with_its_number() {
    let at = |at: i64, port: u16, client_id: &str| Incident {
        at: Timestamp(at),
        first_at: Timestamp(at),
        remote: format!("192.0.2.7:{port}"),
        client_id: client_id.to_owned(),
        ..incident()
    };
    let merged = merged([at(9, 1, "a"), at(8, 2, "b"), at(7, 3, "a")].into_iter());
    let told: Vec<_> =
        merged.iter().map(|it| (&*it.client_id, it.count, it.first_at.ms())).collect();
    assert_eq!(told, [("a", 4, 7), ("b", 2, 8)]);
    assert_eq!(merged[0].remote, "192.0.2.7:1");
}

#[test]
fn the_absence_of_attempts_is_explained_too() {
    let device = |is_connected| SoughtDevice {
        id: DeviceId(Uuid::from_u128(1)),
        name: String::new(),
        is_connected,
    };
    let (online, offline) = (device(true), device(false));
    let of_device = Search { device: Some(offline.id), ..Search::default() };
    let both = Search { address: Some("::1".parse().unwrap()), ..by_user_name(TOKEN) };
    let rows = [
        (&by_user_name(TOKEN), Some(&online), 0, Finding::Connected),
        (&of_device, Some(&online), 1, Finding::Connected),
        (&of_device, Some(&offline), 1, Finding::Refused),
        (&of_device, Some(&offline), 0, Finding::NoneOfDevice),
        (&by_address("::1"), None, 0, Finding::NoneFromAddress),
        (&both, None, 0, Finding::NoneFromAddress),
        (&by_user_name(TOKEN), Some(&offline), 0, Finding::NoneWithCredentials),
        (&by_fingerprint(1), None, 0, Finding::NoneWithCredentials),
        (&by_client_id("a"), None, 0, Finding::NoneWithCredentials),
        (&Search::default(), None, 0, Finding::None),
        (&Search::default(), None, 1, Finding::Refused),
    ];
    for (search, device, count, wanted) in rows {
        let attempts = vec![incident(); count];
        let found = finding(search, device, &attempts);
        assert_eq!(found, wanted, "{search:?}");
        assert!(found.sentence().ends_with('.') && found.remedy().ends_with('.'));
    }
}
