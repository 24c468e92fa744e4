//! Promises of the ledger, on a simulated disk and a shelf in memory unless a test says otherwise.

use super::*;

use std::sync::atomic::AtomicI64;

use thingport_model::id::DeviceId;
use thingport_model::port::ledger::{Committed, committed};
use thingport_model::reading::Readings;
use thingport_model::time::TimeRange;
use thingport_model::value::ValueRef;
use uuid::Uuid;

use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::shelf::{MemoryShelf, Shelf};

mod clock;
mod crash;
mod damage;
mod follow;
mod kill;
mod missing;
mod model;
mod promises;

/// A disk, a shelf and a clock that outlive the ledgers opened on them.
#[derive(Clone)]
struct Bed {
    disk: SimDisk,
    shelf: Arc<MemoryShelf>,
    now: Arc<AtomicI64>,
    config: LedgerConfig,
}

impl Bed {
    fn new() -> Self {
        Self {
            disk: SimDisk::new(),
            shelf: Arc::default(),
            now: Arc::new(AtomicI64::new(1_000_000)),
            config: small(),
        }
    }

    fn try_open(&self) -> Result<Arc<LogLedger>, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let shelf: Arc<dyn Shelf> = Arc::clone(&self.shelf) as Arc<dyn Shelf>;
        let now = Arc::clone(&self.now);
        let clock: Clock = Arc::new(move || Timestamp(now.load(Ordering::Relaxed)));
        LogLedger::open_on(self.config.clone(), disk, || Ok(shelf), clock, &mut |_| {})
    }

    fn open(&self) -> Arc<LogLedger> {
        self.try_open().expect("a sound directory")
    }

    /// What is left when the power fails now.
    fn after_cut(&self, seed: u64) -> Self {
        Self {
            disk: self.disk.after_cut(seed),
            shelf: Arc::new(self.shelf.survivor()),
            ..self.clone()
        }
    }
}

/// Small enough that segments change often.
fn small() -> LedgerConfig {
    LedgerConfig {
        segment_bytes: 64 * 1024,
        commit_queue_max_bytes: 32 * 1024,
        reserve_bytes: 0,
        readers: 1,
        ..LedgerConfig::default()
    }
}

fn device(number: u128) -> EntityRef {
    DeviceId(Uuid::from_u128(number)).entity()
}

fn batch(rows: &[(i64, &str, ValueRef<'_>)]) -> Readings {
    let mut readings = Readings::default();
    rows.iter().for_each(|(at, key, value)| readings.push(Timestamp(*at), key, *value));
    readings
}

/// Runs a future to its end; the ledger's own threads make it move.
fn block<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a small runtime");
    runtime.block_on(future)
}

fn try_put(ledger: &LogLedger, change: Change<'_>) -> Result<(), AppendError> {
    let receipt = ledger.append(change)?;
    block(committed(ledger, receipt))
}

fn put(ledger: &LogLedger, change: Change<'_>) {
    try_put(ledger, change).expect("a healthy disk with room");
}

fn put_points(ledger: &LogLedger, entity: EntityRef, rows: &[(i64, &str, ValueRef<'_>)]) {
    put(ledger, Change::Telemetry { entity, readings: &batch(rows), ttl_s: 0 });
}

fn flush(ledger: &LogLedger) {
    let before = ledger.flushes();
    ledger.flush_soon();
    while ledger.flushes() == before {
        std::thread::yield_now();
    }
}

fn range(ledger: &LogLedger, entity: EntityRef, key: &str) -> Vec<(i64, Value)> {
    let query = query(entity, key, TimeRange::ALL, false, usize::MAX);
    let found = block(ledger.range(query)).expect("readable");
    found.into_iter().map(|(at, value)| (at.ms(), value)).collect()
}

fn query(
    entity: EntityRef,
    key: &str,
    range: TimeRange,
    descending: bool,
    limit: usize,
) -> RangeQuery {
    RangeQuery { entity, key: key.to_owned(), range, descending, limit }
}

fn latest(ledger: &LogLedger, entity: EntityRef) -> Vec<(String, i64, Value)> {
    let found = block(ledger.latest(entity, Keys::All)).expect("readable");
    found.into_iter().map(|it| (it.key, it.at.ms(), it.value)).collect()
}

const fn span(start: i64, end: i64) -> TimeRange {
    TimeRange { start: Timestamp(start), end: Timestamp(end) }
}
