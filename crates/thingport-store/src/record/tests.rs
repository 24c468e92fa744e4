//! Incidents are read in every form that was ever written.

use thingport_model::attempt::{Attempt, Fingerprint, PresentedCertificate, UserNameHash};
use thingport_model::id::DeviceProfileId;

use super::*;

fn incident(device: Option<u128>, attempt: Option<Attempt>) -> Incident {
    Incident {
        at: Timestamp(2000),
        reason: Reason::CredentialsUnknown,
        detail: "d".to_owned(),
        device: device.map(|it| DeviceId(Uuid::from_u128(it))),
        remote: "192.0.2.1:5".to_owned(),
        client_id: "c".to_owned(),
        user_name: "***".to_owned(),
        protocol: "MQTT 5".to_owned(),
        count: 3,
        first_at: Timestamp(1000),
        attempt: attempt.map(Box::new),
    }
}

fn attempt() -> Attempt {
    let leaf = PresentedCertificate {
        subject: "CN=meter".to_owned(),
        issuer: "CN=ca".to_owned(),
        serial: "1f".to_owned(),
        not_before: Some(Timestamp(-1)),
        not_after: Some(Timestamp(5)),
        key: "P-256".to_owned(),
        fingerprint: Fingerprint([1; 32]),
        sha256: Fingerprint([2; 32]),
    };
    let unreadable = PresentedCertificate { sha256: Fingerprint([3; 32]), ..Default::default() };
    Attempt {
        tls_version: "TLS 1.3".to_owned(),
        cipher: "TLS13_AES_128_GCM_SHA256".to_owned(),
        chain: vec![leaf, unreadable],
        presented: 7,
        tried: "X.509".to_owned(),
        profile: Some(DeviceProfileId(Uuid::from_u128(9))),
        user_name: Some(UserNameHash([4; 8])),
    }
}

/// What the first release wrote, byte for byte: five texts, then the device or nothing.
const OLD: &[u8] = b"\xa0\x1f\xd0\x0f\xca\x01\x03\x01d\x0b192.0.2.1:5\x01c\x03***\x06MQTT 5";

#[test]
fn what_the_first_release_wrote_is_read() {
    assert_eq!(read_incident(OLD), Some(incident(None, None)));
    let mut with_device = OLD.to_vec();
    with_device.extend_from_slice(Uuid::from_u128(7).as_bytes());
    assert_eq!(read_incident(&with_device), Some(incident(Some(7), None)));
}

#[test]
fn ordinary_incidents_are_written_as_they_were() {
    let mut out = Vec::new();
    write_incident(&mut out, 1, &incident(None, None));
    assert_eq!(out.get(2..), Some(OLD));
}

#[test]
fn an_attempt_comes_back_with_and_without_a_device() {
    for device in [None, Some(7)] {
        for attempt in [attempt(), Attempt::default()] {
            let written = incident(device, Some(attempt));
            let mut out = Vec::new();
            write_incident(&mut out, 1, &written);
            let Some(Record::Incident { body, .. }) = Record::read(&out) else {
                panic!("not an incident")
            };
            assert_eq!(read_incident(body), Some(written));
        }
    }
}

#[test]
fn an_attempt_of_a_later_version_or_cut_short_costs_the_attempt_alone() {
    let mut out = Vec::new();
    write_incident(&mut out, 1, &incident(Some(7), Some(attempt())));
    let body = &out[2..];
    let start = OLD.len() + 16;
    let mut later = body.to_vec();
    later[start] = 2;
    assert_eq!(read_incident(&later), Some(incident(Some(7), None)));
    for end in start..body.len() {
        assert_eq!(read_incident(&body[..end]), Some(incident(Some(7), None)), "cut at {end}");
    }
}
