//! The ledger on one machine: an ingest log with group commit, a head in memory, chunks behind it.
//!
//! A change is encoded by whoever appends it, put in [`crate::line::Line`], written and synced with
//! its group by the writer thread, made readable, told to the observer, and only then acknowledged.
//! A second thread moves the head into chunks; a few more answer questions.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
use tokio::sync::Notify;
use uuid::Uuid;

use crate::book::Book;
pub use crate::book::Clock;
use crate::config::LedgerConfig;
use crate::line::Line;
use crate::log::Yard;
use crate::log::mark::{Bond, Marker};
use crate::log::roster::Roster;
use crate::shelf::ShelfError;

mod encode;
mod evidence;
mod flusher;
mod format;
mod latency;
mod loss;
mod open;
mod readers;
mod replay;
mod thread;
mod trail;
mod writer;

pub use loss::Loss;
pub(crate) use loss::{Whose, code as loss_code, report as report_losses};
pub use open::{OpenError, Progress};
use writer::change;

/// The ledger on one machine. See the module.
pub struct LogLedger {
    shared: Arc<Shared>,
    readers: readers::Readers,
    desk: trail::Desk,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// Held until the ledger is dropped.
    _lock: Box<dyn Any + Send + Sync>,
}

/// What all threads share.
pub(crate) struct Shared {
    config: LedgerConfig,
    line: Line,
    book: Book,
    yard: Arc<Yard>,
    marker: Arc<Marker>,
    roster: Roster,
    /// Wakes who follows the log.
    followed: Notify,
    /// Number of the newest committed group.
    committed: AtomicU64,
    observer: OnceLock<Arc<dyn Observer>>,
    latency: latency::Latency,
    commits: AtomicU64,
    head_full: AtomicU64,
    /// Bytes of log not yet in chunks.
    backlog: AtomicU64,
    backlog_full: AtomicU64,
    damaged: u64,
    /// Whether a frozen layer is on its way to the shelf.
    flushing: AtomicBool,
    flush_wanted: AtomicBool,
    flushes: AtomicU64,
    stopping: AtomicBool,
}

#[async_trait]
impl Ledger for LogLedger {
    fn append(&self, change: Change<'_>) -> Result<Receipt, AppendError> {
        let shared = &*self.shared;
        if let Some(counter) = shared.no_room() {
            counter.fetch_add(1, Ordering::Relaxed);
            return Err(AppendError::Busy);
        }
        let bytes_max = (shared.config.segment_bytes / 2) as usize;
        encode::with_record(&shared.book.names, &shared.line, change, bytes_max, |record| {
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
        shared.line.poll_ready(cx, || shared.no_room().is_none())
    }

    fn set_observer(&self, observer: Arc<dyn Observer>) {
        if self.shared.observer.set(observer).is_err() {
            tracing::error!("the observer was set twice; the first one stays");
        }
    }

    async fn latest(&self, entity: EntityRef, keys: Keys) -> Result<Vec<Reading>, PortError> {
        self.readers.ask_small(move |book| book.latest(entity, &keys)).await
    }

    async fn range(&self, query: RangeQuery) -> Result<Vec<(Timestamp, Value)>, PortError> {
        if query.limit > SMALL_LIMIT {
            return self.readers.ask(move |book| book.range(&query)).await;
        }
        self.readers.ask_small(move |book| book.range(&query)).await
    }

    async fn aggregate(
        &self,
        entity: EntityRef,
        key: String,
        fold: Fold,
    ) -> Result<Fold, PortError> {
        self.readers.ask(move |book| book.aggregate(entity, &key, fold)).await
    }

    async fn keys(&self, entity: EntityRef) -> Result<Vec<String>, PortError> {
        self.readers.ask(move |book| book.keys(entity)).await
    }

    async fn attributes(
        &self,
        entity: EntityRef,
        scope: Scope,
        keys: Keys,
    ) -> Result<Vec<Attribute>, PortError> {
        self.readers.ask_small(move |book| book.attributes(entity, scope, &keys)).await
    }

    async fn incidents(&self, entity: EntityRef, limit: usize) -> Result<Vec<Incident>, PortError> {
        self.readers.ask(move |book| book.incidents(entity, limit)).await
    }

    fn state(&self) -> LedgerState {
        self.shared.line.state()
    }

    fn stats(&self) -> LedgerStats {
        self.shared.stats()
    }

    async fn close(&self) -> Result<(), PortError> {
        self.stop();
        let (done, waiting) = tokio::sync::oneshot::channel();
        let threads = Arc::clone(&self.threads);
        let join = move || {
            join_all(&threads);
            let _ = done.send(()); // nobody waits any more
        };
        let failed = |why: &str| PortError::Failed(why.to_owned());
        thread::spawn("ledger-close", join).map_err(|error| failed(&error.to_string()))?;
        waiting.await.map_err(|_| failed("a thread of the ledger died"))?;
        match self.shared.line.state() {
            LedgerState::Failed => Err(failed("the log failed earlier")),
            LedgerState::Healthy | LedgerState::Full => Ok(()),
        }
    }
}

impl LogLedger {
    /// Asks for a flush without waiting for it; for tests and measurements.
    #[doc(hidden)]
    pub fn flush_soon(&self) {
        self.shared.flush_wanted.store(true, Ordering::Release);
        self.shared.line.nudge();
    }

    /// Flushes since the start; for tests and measurements.
    #[doc(hidden)]
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.shared.flushes.load(Ordering::Acquire)
    }

    /// Which data directory this is; all its parts carry the same.
    #[must_use]
    pub fn identity(&self) -> Uuid {
        self.shared.marker.mark().identity
    }

    /// What is known of the entities beside the ledger.
    pub(crate) fn entities(&self) -> Bond {
        self.shared.marker.mark().entities
    }

    /// Which directory this is, for what is found missing beside the ledger: that goes on with each
    /// start, also with one that is refused, so it says nothing of the state.
    pub(crate) fn whose(&self) -> Whose {
        Whose { identity: self.identity(), lsn: 0 }
    }

    /// Whether something was accepted as lost and nothing was committed since.
    pub(crate) fn has_just_lost(&self) -> bool {
        let mark = self.shared.marker.mark();
        mark.forgiven > 0 && mark.forgiven == mark.opened
    }

    /// From now on the entities have to be there and carry the identity.
    pub(crate) fn expect_entities(&self) -> std::io::Result<()> {
        self.shared.marker.change(|mark| mark.entities = Bond::Sealed)
    }

    fn stop(&self) {
        self.shared.line.close();
        self.readers.close();
        self.desk.close();
        self.shared.followed.notify_waiters();
    }
}

impl Drop for LogLedger {
    fn drop(&mut self) {
        self.stop();
        self.shared.stopping.store(true, Ordering::Release);
        join_all(&self.threads);
    }
}

/// A range of at most so many readings is a small question: a handful of chunks.
const SMALL_LIMIT: usize = 2_000;

fn join_all(threads: &Mutex<Vec<JoinHandle<()>>>) {
    for thread in threads.lock().drain(..) {
        if thread.join().is_err() {
            tracing::error!("a thread of the ledger panicked");
        }
    }
}

impl Shared {
    /// The counter of the bound that is reached, if one is.
    fn no_room(&self) -> Option<&AtomicU64> {
        if self.book.head.bytes() >= self.config.head_bytes_max {
            return Some(&self.head_full);
        }
        let backlog = self.backlog.load(Ordering::Relaxed);
        (backlog >= self.config.backlog_bytes_max).then_some(&self.backlog_full)
    }

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
            backlog_bytes: self.backlog.load(Ordering::Relaxed),
            backlog_bytes_max: self.config.backlog_bytes_max,
            backlog_full: self.backlog_full.load(Ordering::Relaxed),
            log_segments: self.yard.closed() as u64 + 1,
            disk_bytes: self.yard.bytes()
                + self.config.segment_bytes
                + self.book.shelf.disk_bytes(),
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
