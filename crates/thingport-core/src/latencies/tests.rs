//! What gateways say of their latencies is told once a period.

use thingport_model::id::NIL;

use super::*;
use crate::fake::FakeLedger;

fn passage(connector: &str, received: i64, published: i64) -> Passage {
    let (received_at, published_at) = (Timestamp(received), Timestamp(published));
    Passage { connector: connector.into(), received_at, published_at }
}

/// GW-071 to GW-073
#[test]
fn shortest_longest_and_mean_of_a_period_are_told_once() {
    let (latencies, metrics) = (Latencies::default(), Metrics::default());
    let gateway = (DeviceId(NIL), 7);
    let note = |passages: &[Passage], now_ms: i64| {
        let now = (Timestamp(now_ms), now_ms.unsigned_abs());
        latencies.note(gateway, passages, now, &metrics);
    };
    note(&[passage("modbus", 1_000, 1_001), passage("modbus", 1_000, 1_002)], 1_006);
    note(&[passage("opc", 2_000, 1_990)], 2_000);
    let told = latencies.0.lock().get(&gateway.0).map(Period::told);
    let expected = concat!(
        r#"{"modbus":{"avgGwLatency":1,"minGwLatency":1,"maxGwLatency":2,"#,
        r#""avgTransportLatency":4,"minTransportLatency":4,"maxTransportLatency":5},"#,
        r#""opc":{"avgGwLatency":-10,"minGwLatency":-10,"maxGwLatency":-10,"#,
        r#""avgTransportLatency":10,"minTransportLatency":10,"maxTransportLatency":10}}"#,
    );
    assert_eq!(told.as_deref(), Some(expected));
    let ledger = FakeLedger::default();
    latencies.tick(&ledger, (Timestamp(61_005), 61_005));
    assert_eq!(ledger.take(), [""; 0], "the period is not over");
    *ledger.refuses.lock() = Some(thingport_model::port::ledger::AppendError::Busy);
    latencies.tick(&ledger, (Timestamp(61_006), 61_006));
    *ledger.refuses.lock() = None;
    latencies.tick(&ledger, (Timestamp(62_000), 62_000));
    assert_eq!(ledger.take(), ["telemetry 1 ttl 7"]);
    latencies.tick(&ledger, (Timestamp(200_000), 200_000));
    assert_eq!(ledger.take(), [""; 0], "nothing is told of a silent period");
    note(&[passage("modbus", 1, 2)], 3);
    latencies.forget(gateway.0);
    latencies.tick(&ledger, (Timestamp(900_000), 900_000));
    assert_eq!(ledger.take(), [""; 0], "it was deleted");
}

#[test]
fn connectors_are_bounded() {
    let (latencies, metrics) = (Latencies::default(), Metrics::default());
    let passages: Vec<_> = (0..=CONNECTORS_MAX).map(|n| passage(&n.to_string(), 1, 2)).collect();
    latencies.note((DeviceId(NIL), 0), &passages, (Timestamp(3), 3), &metrics);
    assert_eq!(latencies.0.lock()[&DeviceId(NIL)].connectors.len(), CONNECTORS_MAX);
    assert_eq!(metrics.bounds().map(|(_, n)| n).sum::<u64>(), 1);
}
