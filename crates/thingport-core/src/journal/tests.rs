//! What the journal writes, holds back and answers.

use super::*;
use crate::fake::{FakeClock, FakeLedger};
use thingport_model::attempt::{Fingerprint, PresentedCertificate};
use thingport_model::id::NIL;

struct Bench {
    ledger: Arc<FakeLedger>,
    clock: Arc<FakeClock>,
    metrics: Arc<Metrics>,
    journal: Journal,
}

fn bench() -> Bench {
    let (ledger, clock) = (Arc::new(FakeLedger::default()), Arc::new(FakeClock::default()));
    let metrics = Arc::new(Metrics::default());
    let journal = Journal::new(ledger.clone(), clock.clone(), Arc::clone(&metrics));
    Bench { ledger, clock, metrics, journal }
}

impl Bench {
    fn pass(&self, ms: u64) {
        self.clock.advance(ms);
        self.journal.tick();
    }

    fn bounds_hit(&self) -> u64 {
        self.metrics.bounds().map(|(_, n)| n).sum()
    }
}

fn report(subject: Subject, reason: Reason) -> Report<'static> {
    Report {
        subject,
        reason,
        detail: "",
        remote: "192.0.2.1:5",
        client_id: "",
        user_name: "",
        protocol: "",
        attempt: None,
    }
}

fn stranger<'a>(remote: &'a str, client_id: &'a str) -> Report<'a> {
    Report { remote, client_id, ..report(Subject::Stranger, Reason::CredentialsUnknown) }
}

const DEVICE: Subject = Subject::Device(DeviceId(NIL), TenantId(NIL));

#[test]
fn a_rejection_is_kept_with_device_and_tenant_a_goodbye_with_the_device_only() {
    let rows: [(_, _, &[&str]); 4] = [
        (
            DEVICE,
            Reason::PayloadNotJson,
            &["DEVICE payload.not_json x1", "TENANT payload.not_json x1"],
        ),
        (DEVICE, Reason::ClientDisconnected, &["DEVICE disconnect.client x1"]),
        (Subject::Stranger, Reason::CredentialsUnknown, &["TENANT login.unknown x1"]),
        (Subject::Tenant(TenantId(NIL)), Reason::CredentialsUnknown, &["TENANT login.unknown x1"]),
    ];
    for (subject, reason, lines) in rows {
        let bench = bench();
        bench.journal.record(&report(subject, reason));
        assert_eq!(bench.ledger.take(), lines);
    }
}

#[test]
fn repetitions_are_counted_and_written_ever_more_rarely() {
    let bench = bench();
    for _ in 0..1000 {
        bench.journal.record(&stranger("192.0.2.1:5", ""));
    }
    assert_eq!(bench.ledger.take(), ["TENANT login.unknown x1"]);
    bench.pass(REPEAT_MS - 1);
    assert!(bench.ledger.take().is_empty());
    bench.pass(1);
    assert_eq!(bench.ledger.take(), ["TENANT login.unknown x999"]);
    bench.journal.record(&stranger("192.0.2.1:6", ""));
    bench.pass(2 * REPEAT_MS - 1);
    assert!(bench.ledger.take().is_empty(), "the second pause is twice as long");
    bench.pass(1);
    assert_eq!(bench.ledger.take(), ["TENANT login.unknown x1"]);
    bench.journal.record(&stranger("192.0.2.1:7", ""));
    bench.journal.flush();
    assert_eq!(bench.ledger.take(), ["TENANT login.unknown x1"]);
    let counted = bench.metrics.reasons().find(|(it, _)| *it == Reason::CredentialsUnknown);
    assert_eq!(counted, Some((Reason::CredentialsUnknown, 1002)));
}

#[test]
fn what_never_stops_is_written_six_times_an_hour() {
    let bench = bench();
    for second in 0..4 * 3600 {
        bench.journal.record(&stranger("192.0.2.1:5", ""));
        bench.pass(1000);
        if second == 3600 {
            bench.ledger.take();
        }
    }
    let written = bench.ledger.take().len();
    assert!((17..=19).contains(&written), "{written} in three hours");
}

#[test]
fn a_quiet_subject_is_forgotten_so_that_its_next_incident_is_written_at_once() {
    let bench = bench();
    bench.journal.record(&report(DEVICE, Reason::ClientDisconnected));
    bench.pass(REPEAT_MS);
    bench.journal.record(&report(DEVICE, Reason::ClientDisconnected));
    assert_eq!(bench.ledger.take().len(), 2);
}

#[test]
fn strangers_are_told_apart_by_address_and_by_what_they_call_themselves() {
    let certificate = |byte| Attempt {
        chain: vec![PresentedCertificate {
            fingerprint: Fingerprint([byte; 32]),
            ..PresentedCertificate::default()
        }],
        ..Attempt::default()
    };
    let (one, two) = (certificate(1), certificate(2));
    let with = |attempt| Report { attempt: Some(attempt), ..stranger("192.0.2.1:1", "a") };
    let rows = [
        (stranger("192.0.2.1:1", "a"), true),
        (stranger("192.0.2.1:2", "a"), false),
        (stranger("192.0.2.2:1", "a"), true),
        (stranger("192.0.2.1:1", "b"), true),
        (with(&one), true),
        (with(&two), true),
        (with(&one), false),
        (Report { reason: Reason::TokenMissing, ..stranger("192.0.2.1:1", "a") }, true),
        (Report { subject: Subject::Tenant(TenantId(NIL)), ..stranger("192.0.2.1:1", "a") }, true),
    ];
    let bench = bench();
    for (number, (report, is_new)) in rows.iter().enumerate() {
        bench.journal.record(report);
        assert_eq!(!bench.ledger.take().is_empty(), *is_new, "row {number}");
    }
}

#[test]
fn a_scanner_is_merged_by_address_and_others_are_still_told_apart() {
    let bench = bench();
    for number in 0..10 * SHARE_MAX {
        bench.journal.record(&stranger("198.51.100.9:1", &format!("id{number}")));
    }
    assert_eq!(bench.ledger.take().len(), SHARE_MAX + 1);
    assert_eq!(bench.bounds_hit(), 9 * SHARE_MAX as u64);
    bench.journal.record(&stranger("192.0.2.1:1", "meter"));
    assert_eq!(bench.ledger.take().len(), 1);
    // Its share comes back with the next minute.
    bench.pass(SHARE_MS);
    bench.ledger.take();
    bench.journal.record(&stranger("198.51.100.9:1", "another"));
    assert_eq!(bench.ledger.take().len(), 1);
}

#[test]
fn a_scan_from_everywhere_is_merged_by_reason() {
    let bench = bench();
    for number in 0..2 * PEERS_MAX {
        let remote = format!("198.51.{}.{}:1", number / 256, number % 256);
        bench.journal.record(&stranger(&remote, ""));
    }
    assert_eq!(bench.ledger.take().len(), PEERS_MAX + 1);
    assert_eq!(bench.bounds_hit(), PEERS_MAX as u64);
}

#[test]
fn the_memory_of_repetitions_is_bounded_and_a_full_one_still_tells_the_tenant() {
    let bench = bench();
    let tenant = TenantId(uuid::Uuid::from_u128(1));
    let device = |n: usize| Subject::Device(DeviceId(uuid::Uuid::from_u128(n as u128)), tenant);
    for n in 0..RECENT_MAX {
        bench.journal.record(&report(device(n), Reason::ClientDisconnected));
    }
    assert_eq!(bench.ledger.take().len(), RECENT_MAX);
    bench.journal.record(&report(device(RECENT_MAX), Reason::PayloadNotJson));
    bench.journal.record(&report(device(RECENT_MAX + 1), Reason::PayloadNotJson));
    assert_eq!(bench.ledger.take(), ["TENANT payload.not_json x1"]);
    bench.journal.record(&stranger("192.0.2.1:1", "meter"));
    assert_eq!(bench.ledger.take(), ["TENANT login.unknown x1"]);
    assert_eq!(bench.bounds_hit(), 3);
    bench.pass(REPEAT_MS);
    assert_eq!(bench.ledger.take(), ["TENANT payload.not_json x1"]);
}

#[tokio::test]
async fn an_answer_counts_up_to_this_moment() {
    let bench = bench();
    for _ in 0..5 {
        bench.journal.record(&report(DEVICE, Reason::PayloadNotJson));
        bench.clock.advance(1);
    }
    let entities = [DeviceId(NIL).entity(), TenantId(NIL).entity()];
    for entity in entities {
        let found = bench.journal.incidents(entity).await.unwrap();
        let counts: Vec<_> =
            found.iter().map(|it| (it.count, it.first_at.ms(), it.at.ms())).collect();
        assert_eq!(counts, [(4, 1, 4)], "beside what is in the ledger");
    }
    let other = DeviceId(uuid::Uuid::from_u128(1)).entity();
    assert_eq!(bench.journal.incidents(other).await, Ok(Vec::new()));
}

#[test]
fn a_user_name_leaves_a_hash_that_finds_it_again() {
    let hash = user_name_hash("A1_TEST_TOKEN");
    assert!(hash.is_some() && hash == user_name_hash("A1_TEST_TOKEN"));
    assert_ne!(hash, user_name_hash("A1_TEST_TOKE"));
    assert_eq!(user_name_hash(""), None);
    assert!(!format!("{hash:?}").contains(|it: char| it.is_ascii_digit()), "never shown");
}
