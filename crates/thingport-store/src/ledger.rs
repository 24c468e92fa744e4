//! The ledger on one machine: an ingest log with group commit, a head in memory, chunks behind it.
//!
//! A change is encoded by whoever appends it, put in [`crate::line::Line`], written and synced with
//! its group by the writer thread, made readable, told to the observer, and only then acknowledged.
//! A second thread moves the head into chunks; a few more answer questions.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::Mutex;
use thingport_model::aggregate::Fold;
use thingport_model::attribute::{Attribute, Scope};
use thingport_model::id::EntityRef;
use thingport_model::incident::Incident;
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::{
    AppendError, Change, Keys, Ledger, LedgerState, LedgerStats, Observer, RangeQuery, Receipt,
    Waiter,
};
use thingport_model::reading::Reading;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;

use crate::book::Book;
pub use crate::book::Clock;
use crate::config::LedgerConfig;
use crate::line::Line;
use crate::log::Yard;
use crate::shelf::ShelfError;

mod encode;
mod latency;
mod open;
mod writer;

pub use open::{OpenError, Progress};

/// The ledger on one machine. See the module.
pub struct LogLedger {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held until the ledger is dropped.
    _lock: Box<dyn Any + Send + Sync>,
}

/// What all threads share.
pub(crate) struct Shared {
    config: LedgerConfig,
    line: Line,
    book: Book,
    yard: Arc<Yard>,
    observer: OnceLock<Arc<dyn Observer>>,
    latency: latency::Latency,
    commits: AtomicU64,
    head_full: AtomicU64,
    damaged: u64,
}

#[async_trait]
impl Ledger for LogLedger {
    fn append(&self, change: Change<'_>) -> Result<Receipt, AppendError> {
        let shared = &*self.shared;
        if shared.book.head.bytes() >= shared.config.head_bytes_max {
            shared.head_full.fetch_add(1, Ordering::Relaxed);
            return Err(AppendError::Busy);
        }
        encode::with_record(&shared.book.names, &shared.line, change, |record| {
            shared.line.append(record)
        })
    }

    fn poll_committed(
        &self,
        receipt: Receipt,
        waiter: &mut Waiter,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), AppendError>> {
        self.shared.line.poll(receipt, waiter, cx)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &*self.shared;
        let has_room = || shared.book.head.bytes() < shared.config.head_bytes_max;
        shared.line.poll_ready(cx, has_room)
    }

    fn set_observer(&self, observer: Arc<dyn Observer>) {
        if self.shared.observer.set(observer).is_err() {
            tracing::error!("the observer was set twice; the first one stays");
        }
    }

    async fn latest(&self, entity: EntityRef, keys: Keys) -> Result<Vec<Reading>, PortError> {
        Ok(self.shared.book.latest(entity, &keys)?)
    }

    async fn range(&self, query: RangeQuery) -> Result<Vec<(Timestamp, Value)>, PortError> {
        Ok(self.shared.book.range(&query)?)
    }

    async fn aggregate(
        &self,
        entity: EntityRef,
        key: String,
        fold: Fold,
    ) -> Result<Fold, PortError> {
        Ok(self.shared.book.aggregate(entity, &key, fold)?)
    }

    async fn keys(&self, entity: EntityRef) -> Result<Vec<String>, PortError> {
        Ok(self.shared.book.keys(entity)?)
    }

    async fn attributes(
        &self,
        entity: EntityRef,
        scope: Scope,
        keys: Keys,
    ) -> Result<Vec<Attribute>, PortError> {
        Ok(self.shared.book.attributes(entity, scope, &keys)?)
    }

    async fn incidents(&self, entity: EntityRef, limit: usize) -> Result<Vec<Incident>, PortError> {
        Ok(self.shared.book.incidents(entity, limit)?)
    }

    fn state(&self) -> LedgerState {
        self.shared.line.state()
    }

    fn stats(&self) -> LedgerStats {
        self.shared.stats()
    }

    async fn close(&self) -> Result<(), PortError> {
        self.shut();
        Ok(())
    }
}

impl LogLedger {
    fn shut(&self) {
        self.shared.line.close();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the ledger panicked");
            }
        }
    }
}

impl Drop for LogLedger {
    fn drop(&mut self) {
        self.shut();
    }
}

impl Shared {
    fn stats(&self) -> LedgerStats {
        let (commit_us_buckets, commit_us_sum) = self.latency.read();
        LedgerStats {
            commits: self.commits.load(Ordering::Relaxed),
            changes: self.book.changes.load(Ordering::Relaxed),
            points: self.book.points.load(Ordering::Relaxed),
            queue_bytes: self.line.bytes() as u64,
            queue_bytes_max: self.config.commit_queue_max_bytes as u64,
            queue_full: self.line.full_count(),
            head_bytes: self.book.head.bytes() as u64,
            head_bytes_max: self.config.head_bytes_max as u64,
            head_full: self.head_full.load(Ordering::Relaxed),
            log_segments: self.yard.closed() as u64 + 1,
            disk_bytes: self.yard.bytes() + self.config.segment_bytes + self.book.shelf.disk_bytes(),
            commit_us_buckets,
            commit_us_sum,
            damaged_records: self.damaged,
        }
    }
}

impl From<ShelfError> for PortError {
    fn from(error: ShelfError) -> Self {
        match error {
            ShelfError::Full => Self::Full,
            ShelfError::Failed(why) => Self::Unavailable(why),
        }
    }
}

#[cfg(test)]
mod tests;
