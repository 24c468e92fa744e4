use super::*;

use std::sync::Arc;

use thingport_model::id::DeviceId;
use thingport_model::port::ledger::committed;
use thingport_model::reading::Readings;
use thingport_model::time::TimeRange;
use thingport_model::value::ValueRef;
use uuid::Uuid;

use crate::disk::Disk;
use crate::disk::sim::SimDisk;

/// Small enough that segments change often.
pub(crate) fn small() -> LedgerConfig {
    LedgerConfig {
        segment_bytes: 64 * 1024,
        commit_queue_max_bytes: 32 * 1024,
        reserve_bytes: 0,
        ..LedgerConfig::default()
    }
}

pub(crate) fn device(number: u128) -> EntityRef {
    DeviceId(Uuid::from_u128(number)).entity()
}

pub(crate) fn batch(rows: &[(i64, &str, ValueRef<'_>)]) -> Readings {
    let mut readings = Readings::default();
    rows.iter().for_each(|(at, key, value)| readings.push(Timestamp(*at), key, *value));
    readings
}

fn clock() -> Clock {
    Arc::new(|| Timestamp(1_000_000))
}

fn open(disk: &SimDisk) -> Arc<LogLedger> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    LogLedger::open(small(), disk, clock(), &mut |_| {}).expect("a sound directory")
}

async fn put(ledger: &LogLedger, change: Change<'_>) {
    let receipt = ledger.append(change).expect("room");
    committed(ledger, receipt).await.expect("a healthy disk");
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_power_cut() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    let readings = batch(&[(1, "t", ValueRef::Double(21.5)), (2, "s", ValueRef::String("on"))]);
    put(&ledger, Change::Telemetry { entity: device(1), readings: &readings, ttl_s: 0 }).await;
    let after = open(&disk.after_cut(0));
    let latest = after.latest(device(1), Keys::All).await.expect("readable");
    let rows: Vec<_> = latest.into_iter().map(|it| (it.key, it.at.ms(), it.value)).collect();
    assert_eq!(
        rows,
        [
            ("s".to_owned(), 2, Value::String("on".to_owned())),
            ("t".to_owned(), 1, Value::Double(21.5)),
        ]
    );
    let query = RangeQuery {
        entity: device(1),
        key: "t".to_owned(),
        range: TimeRange::ALL,
        descending: false,
        limit: 10,
    };
    assert_eq!(after.range(query).await, Ok(vec![(Timestamp(1), Value::Double(21.5))]));
    assert_eq!(after.stats().damaged_records, 0);
}
