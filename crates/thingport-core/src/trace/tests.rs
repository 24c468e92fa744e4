//! Traces on an invented clock.

use thingport_model::port::ledger::Receipt;
use thingport_model::reading::Reading;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;
use uuid::Uuid;

use super::*;
use crate::fake::FakeClock;

struct House {
    traces: Traces,
    presence: Arc<Presence>,
    clock: Arc<FakeClock>,
    metrics: Arc<Metrics>,
}

fn house() -> House {
    let (metrics, clock) = (Arc::new(Metrics::default()), Arc::new(FakeClock::default()));
    let presence = Arc::new(Presence::new(Arc::clone(&metrics)));
    let traces = Traces::new(Arc::clone(&presence), clock.clone(), Arc::clone(&metrics));
    House { traces, presence, clock, metrics }
}

fn device(n: u128) -> DeviceId {
    DeviceId(Uuid::from_u128(n))
}

fn tenant(n: u128) -> TenantId {
    TenantId(Uuid::from_u128(n))
}

impl House {
    fn begin(&self, n: u128, lasting_ms: u64) -> Result<Arc<Trace>, Error> {
        self.traces.begin(device(n), tenant(1), lasting_ms, &["TOKEN-OF-IT"])
    }

    fn bit(&self, bound: Bound) -> u64 {
        self.metrics.bounds().find(|(it, _)| *it == bound).map_or(0, |(_, n)| n)
    }
}

/// A packet that came in on connection 7.
fn noted(packet_id: u16, payload: &[u8]) -> Noted {
    let payload = Some(Payload::of(payload));
    let fields = vec![("topic", Shown::Text("a/TOKEN-OF-IT".to_owned()))];
    Noted {
        at: Timestamp(1),
        connection: Some(7),
        direction: Direction::In,
        protocol: "MQTT 5",
        packet: Packet { kind: "PUBLISH", size: 10, fields, payload },
        packet_id,
        receipt: None,
        meaning: None,
        verdict: Verdict::Open,
        why: None,
    }
}

fn all(trace: &Trace) -> Vec<Arc<Record>> {
    trace.read(&mut trace.cursor(usize::MAX), usize::MAX).records
}

fn numbers(part: &Part) -> (u64, Vec<u64>, Vec<u64>) {
    let of = |records: &[Arc<Record>]| records.iter().map(|it| it.number).collect();
    (part.missed, of(&part.settled), of(&part.records))
}

#[test]
fn a_trace_marks_the_connection_and_is_over_by_itself() {
    let house = house();
    let mailbox = house.presence.open(device(1));
    assert!(!house.traces.any() && !mailbox.is_traced());
    let trace = house.begin(1, 1_000).expect("room");
    assert!(house.traces.any() && mailbox.is_traced());
    assert_eq!(house.metrics.traces.value(), 1);
    let next = house.presence.open(device(1));
    assert!(!next.is_traced());
    assert!(house.traces.opened(device(1), &next).is_some() && next.is_traced());
    assert!(house.traces.opened(device(2), &next).is_none());
    house.clock.advance(999);
    assert!(house.traces.running(device(1)).is_some());
    house.clock.advance(1);
    assert!(house.traces.running(device(1)).is_none() && !trace.is_running(1_000));
    house.traces.sweep();
    assert!(!house.traces.any() && !next.is_traced());
    assert_eq!(house.metrics.traces.value(), 0);
    assert!(house.traces.find(device(1)).is_some(), "what was recorded stays readable");
    house.clock.advance(KEPT_MS);
    house.traces.sweep();
    assert!(house.traces.find(device(1)).is_none());
}

#[test]
fn a_trace_is_ended_begun_again_and_forgotten() {
    let house = house();
    let trace = house.begin(1, 50).expect("room");
    house.clock.advance(10);
    let _ = house.begin(1, 1_000).expect("it runs already");
    let span =
        |started_at, until| Span { started_at: Timestamp(started_at), until: Timestamp(until) };
    assert_eq!(trace.span(), span(0, 1_010), "it goes on");
    house.clock.advance(10);
    assert!(house.traces.end(device(1)).is_some());
    assert_eq!((trace.span(), house.traces.any()), (span(0, 20), false));
    house.clock.advance(10);
    let again = house.begin(1, u64::MAX).expect("room");
    assert!(Arc::ptr_eq(&trace, &again));
    assert_eq!(trace.span().started_at, Timestamp(30), "it begins anew");
    assert_eq!(trace.until_ms(), 30 + LASTING_MAX_MS);
    house.traces.forget_tenant(tenant(2));
    assert!(house.traces.find(device(1)).is_some());
    house.traces.forget_tenant(tenant(1));
    assert!(house.traces.find(device(1)).is_none() && !house.traces.any());
    assert!(house.traces.end(device(1)).is_none());
}

#[test]
fn there_are_so_many_traces_and_old_ones_make_room() {
    let house = house();
    for n in 0..TRACES_PER_TENANT_MAX as u128 {
        assert!(house.begin(n, 1_000).is_ok());
    }
    assert!(matches!(house.begin(99, 1_000), Err(Error::Busy(_))));
    assert_eq!(house.bit(Bound::TracesPerTenant), 1);
    assert!(house.begin(0, 1_000).is_ok(), "one that runs may be prolonged");
    for n in TRACES_PER_TENANT_MAX as u128..TRACES_MAX as u128 {
        assert!(house.traces.begin(device(n), tenant(2), 2_000, &[]).is_ok());
    }
    assert!(house.traces.begin(device(99), tenant(3), 1_000, &[]).is_err());
    assert_eq!(house.bit(Bound::Traces), 1);
    house.clock.advance(1_000);
    assert!(house.traces.begin(device(99), tenant(3), 1_000, &[]).is_ok());
    assert_eq!(house.traces.of.lock().len(), TRACES_MAX);
}

#[test]
fn records_are_bounded_by_number_and_bytes_and_readers_are_told_what_is_missing() {
    let house = house();
    let trace = house.begin(1, 1_000).expect("room");
    let mut slow = trace.cursor(0);
    for _ in 0..RECORDS_MAX + 5 {
        trace.note(noted(0, b"1"));
    }
    assert_eq!((trace.dropped(), house.bit(Bound::TraceRecords)), (5, 5));
    let part = trace.read(&mut slow, 2);
    assert_eq!((numbers(&part), part.has_more), ((5, vec![], vec![6, 7]), true));
    assert_eq!(trace.read(&mut slow, usize::MAX).records.len(), RECORDS_MAX - 2);
    assert_eq!(numbers(&trace.read(&mut slow, 9)), (0, vec![], vec![]));
    for _ in 0..BYTES_MAX / PAYLOAD_MAX {
        trace.note(noted(0, &[b'x'; PAYLOAD_MAX + 1]));
    }
    assert!(house.bit(Bound::TraceBytes) > 0 && trace.dropped() > 1_000);
    assert_eq!(house.bit(Bound::TracePayload), (BYTES_MAX / PAYLOAD_MAX) as u64);
    let kept: usize = all(&trace).iter().map(|it| it.packet.weight()).sum();
    assert!(kept <= BYTES_MAX, "{kept}");
    let payload = all(&trace).pop().and_then(|it| it.packet.payload.clone()).expect("a payload");
    assert_eq!((payload.size, payload.bytes.len()), (PAYLOAD_MAX + 1, PAYLOAD_MAX));
    assert!(payload.is_cut && !payload.is_redacted);
}

#[test]
fn first_the_last_then_the_new_without_gap_or_repetition() {
    let house = house();
    let trace = house.begin(1, 1_000).expect("room");
    let mut bell = trace.follow();
    bell.mark_unchanged();
    for packet_id in 1..=4 {
        trace.note(noted(packet_id, b"{}"));
    }
    assert!(bell.has_changed().expect("it is there"));
    let mut cursor = trace.cursor(2);
    assert_eq!(numbers(&trace.read(&mut cursor, 9)), (0, vec![], vec![3, 4]));
    trace.note(noted(5, b"{}"));
    trace.answered(Some(7), Direction::In, 4, &[0], true);
    trace.answered(Some(8), Direction::In, 3, &[0], true);
    let part = trace.read(&mut cursor, 9);
    assert_eq!(numbers(&part), (0, vec![4], vec![5]));
    assert_eq!(
        (part.settled[0].verdict, &*part.settled[0].answered),
        (Verdict::Accepted, &[0][..])
    );
    trace.answered(Some(7), Direction::In, 5, &[0x87], false);
    assert_eq!(numbers(&trace.read(&mut cursor, 9)), (0, vec![5], vec![]));
    assert_eq!(numbers(&trace.read(&mut cursor, 9)), (0, vec![], vec![]));
}

#[test]
fn verdicts_come_from_promises_reasons_and_answers() {
    let house = house();
    let trace = house.begin(1, 1_000).expect("room");
    let verdict = |number: u64| all(&trace)[number as usize - 1].verdict;
    let committed = Verdict::Committed { at: Timestamp(9) };
    // A promise that is known at once, one that comes later, and one that is broken.
    trace.note(Noted { receipt: Some(Receipt(5)), ..noted(0, b"") });
    trace.note(noted(2, b""));
    trace.promised(Some(7), 2, Receipt(6));
    trace.note(Noted { receipt: Some(Receipt(7)), ..noted(3, b"") });
    assert_eq!([1, 2, 3].map(verdict), [Verdict::Open; 3]);
    for (receipt, ok) in [(5, true), (6, true), (7, false)] {
        trace.committed(Some(7), Receipt(receipt), Timestamp(9), ok);
    }
    trace.answered(Some(7), Direction::In, 2, &[0], true);
    assert_eq!([1, 2, 3].map(verdict), [committed, committed, Verdict::Refused]);
    // A reason goes to the next packet of its connection that comes in, and to no other.
    trace.give_reason(Some(7), "MQTT 5", Reason::PayloadNotJson, "at TOKEN-OF-IT");
    trace.give_reason(Some(8), "MQTT 5", Reason::ConnectionLost, "");
    trace.note(Noted { direction: Direction::Out, ..noted(0, b"") });
    trace.note(noted(0, b""));
    assert_eq!([4, 5].map(verdict), [Verdict::Open, Verdict::Refused]);
    let why = all(&trace)[4].reasons.clone();
    assert_eq!(why, [Why { reason: Reason::PayloadNotJson, detail: "at ***".to_owned() }]);
    // What is slowed is taken all the same.
    trace.give_reason(Some(7), "MQTT 5", Reason::RateSlowed, "");
    trace.note(noted(6, b""));
    assert_eq!((verdict(6), all(&trace)[5].reasons.len()), (Verdict::Open, 1));
    trace.give_reason(Some(7), "MQTT 5", Reason::StorageFull, "");
    trace.refused(Some(7), 6);
    assert_eq!((verdict(6), all(&trace)[5].reasons.len()), (Verdict::Refused, 2));
    // Reasons without a packet are a record of their own.
    trace.note_reasons(Some(7), Timestamp(9));
    assert_eq!(all(&trace).len(), 6);
    trace.note_reasons(Some(8), Timestamp(9));
    let last = all(&trace).pop().expect("a record");
    assert_eq!((last.packet.kind, last.direction), (INCIDENT, Direction::None));
    assert_eq!(last.reasons[0].reason, Reason::ConnectionLost);
}

#[test]
fn secrets_are_nowhere_in_a_record() {
    let house = house();
    let trace = house.begin(1, 1_000).expect("room");
    trace.learn_secret("A-PASSWORD");
    let secret = "TOKEN-OF-IT or A-PASSWORD";
    let reading = Reading {
        at: Timestamp(0),
        key: secret.to_owned(),
        value: Value::String(secret.to_owned()),
    };
    let meaning = Meaning {
        method: Some(secret.to_owned()),
        readings: vec![reading],
        readings_count: 1,
        ..Meaning::named("telemetry")
    };
    let mut noted = noted(0, format!("{} {secret}", "x".repeat(PAYLOAD_MAX - 4)).as_bytes());
    noted.packet.fields.push(("filters", Shown::Texts(vec![secret.to_owned()])));
    if let Some(payload) = &mut noted.packet.payload {
        payload.decoded = Some(secret.to_owned());
    }
    noted.meaning = Some(meaning);
    noted.why = Some(Why { reason: Reason::PayloadNotJson, detail: secret.to_owned() });
    let number = trace.note(noted);
    trace.amend(number, |it| {
        it.reasons.push(Why { reason: Reason::Internal, detail: secret.to_owned() });
    });
    let record = all(&trace).pop().expect("a record");
    let payload = record.packet.payload.clone().expect("a payload");
    assert!(payload.is_redacted && payload.is_cut);
    let shown = format!("{record:?} {}", String::from_utf8_lossy(&payload.bytes));
    assert!(shown.contains("***"), "{shown}");
    for part in ["TOKEN-OF-IT", "A-PASSWORD", "TOKE", "A-PA"] {
        assert!(!shown.contains(part), "{shown}");
    }
    assert!(!format!("{trace:?}").contains("A-PASSWORD"));
}

#[test]
fn long_texts_and_lists_are_cut() {
    let house = house();
    let trace = house.begin(1, 1_000).expect("room");
    let mut noted = noted(0, b"");
    noted.packet.fields = vec![
        ("topic", Shown::Text("\u{e4}".repeat(60_000))),
        ("filters", Shown::Texts(vec!["f".to_owned(); 5_000])),
        ("codes", Shown::Numbers(vec![0; 5_000])),
    ];
    let reading = Reading { at: Timestamp(0), key: "k".repeat(999), value: Value::Long(1) };
    let readings = vec![reading; READINGS_MAX + 1];
    noted.meaning = Some(Meaning { readings, readings_count: 51, ..Meaning::named("telemetry") });
    trace.note(noted);
    let record = all(&trace).pop().expect("a record");
    assert!(record.packet.weight() < 2_000 + 64 * 40, "{}", record.packet.weight());
    let meaning = record.meaning.clone().expect("a meaning");
    assert_eq!((meaning.readings.len(), meaning.readings_count), (READINGS_MAX, 51));
    assert_eq!(meaning.readings[0].key.len(), 515);
}

#[test]
fn an_idle_connection_pays_nothing() {
    assert!(size_of::<Mailbox>() <= 48, "{}", size_of::<Mailbox>());
}
