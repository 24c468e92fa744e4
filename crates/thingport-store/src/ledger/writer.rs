//! The writer thread: takes what is in line, makes it durable, readable, known and acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::task::Waker;
use std::time::{Duration, Instant};

use thingport_model::attribute::Attribute;
use thingport_model::port::ledger::{Committed, LedgerState, Observer};
use thingport_model::reading::Reading;
use thingport_model::time::Timestamp;

use super::Shared;
use crate::book::{Book, Position};
use crate::flush::Job;
use crate::line::{Batch, Call};
use crate::log::group::{framed, trusted};
use crate::log::{Log, LogError};
use crate::names::NameCount;
use crate::pace::Pace;
use crate::record::{CLOSED_RECORD, Items, KeyList, Record};

/// The writer's own things.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Log,
    pub(super) batch: Batch,
    pub(super) pace: Pace,
    pub(super) woken: Vec<Waker>,
    pub(super) jobs: SyncSender<Job>,
    /// Bytes of log since the last freeze, and when the first of them came.
    pub(super) unflushed: u64,
    pub(super) unflushed_since: Option<Instant>,
    /// Names that are on the shelf or on their way.
    pub(super) names: NameCount,
}

impl Writer {
    pub(super) fn run(mut self) {
        // A panic here must not leave tasks waiting for ever; the next start reads the log again.
        let _guard = FailOnUnwind(Arc::clone(&self.shared));
        loop {
            match self.shared.line.take(&mut self.batch, PATIENCE, &mut self.pace) {
                Call::Work => self.commit(),
                Call::Idle => self.rest(),
                Call::Close => break,
            }
            self.freeze_when_due();
        }
        self.mark_end();
        self.last_flush();
    }

    /// Nothing came for a while: what a burst needed is given back.
    fn rest(&mut self) {
        self.look_for_space();
        self.batch.shrink();
        self.log.shrink();
        self.shared.line.shrink();
        self.woken.shrink_to(0);
        if self.unflushed == 0 {
            self.shared.book.head.shrink();
        }
    }

    fn commit(&mut self) {
        // Names stand twice: what damages one of them must not cost every reading that uses it.
        let parts = [&self.batch.names[..], &self.batch.names, &self.batch.changes];
        match self.log.append(&parts) {
            Ok(lsn) => self.publish(lsn),
            Err(LogError::Full(error)) => {
                tracing::warn!(%error, "the disk is full; nothing is acknowledged until there is space");
                self.batch.changes.clear(); // the names stay: later records rely on them
                self.batch.count = 0;
                self.shared.line.set_full();
            }
            Err(LogError::Failed(error)) => self.fail(&error.to_string()),
        }
    }

    /// Hands the head to the flusher when there is enough of it, or it is old enough.
    fn freeze_when_due(&mut self) {
        let config = &self.shared.config;
        let old = self.unflushed_since.is_some_and(|since| since.elapsed() >= config.flush_age);
        let large = self.unflushed >= config.flush_bytes
            || self.shared.book.head.bytes() >= config.head_bytes_max / 2;
        let wanted = self.shared.flush_wanted.load(Ordering::Acquire);
        let busy = self.shared.flushing.load(Ordering::Acquire);
        if !busy && (wanted || old || large && self.unflushed > 0) {
            self.freeze();
        }
    }

    fn freeze(&mut self) {
        self.shared.flush_wanted.store(false, Ordering::Release);
        self.shared.flushing.store(true, Ordering::Release);
        let known = self.shared.book.names.read().count();
        let names = (self.names, known);
        let layers = self.shared.book.head.freeze();
        let job = Job { layers, lsn: self.log.last_lsn(), bytes: self.unflushed, names };
        self.names = known;
        self.unflushed = 0;
        self.unflushed_since = None;
        // One job at a time, and the flusher lives as long as this sender.
        let _ = self.jobs.send(job);
    }

    /// At an orderly end the head is small enough to be flushed, so that the next start is quick.
    fn last_flush(&mut self) {
        let stopping = || self.shared.stopping.load(Ordering::Acquire);
        while self.shared.flushing.load(Ordering::Acquire) && !stopping() {
            std::thread::sleep(Duration::from_millis(2)); // the flusher is at its last but one
        }
        let healthy = self.shared.line.state() != LedgerState::Failed;
        if self.unflushed > 0 && healthy && !stopping() {
            self.freeze();
        }
    }

    fn publish(&mut self, lsn: u64) {
        self.shared.committed.store(lsn, Ordering::Release);
        let bytes = (self.batch.changes.len() + self.batch.names.len()) as u64;
        self.unflushed += bytes;
        self.shared.backlog.fetch_add(bytes, Ordering::Relaxed);
        self.unflushed_since = self.unflushed_since.or_else(|| Some(Instant::now()));
        if let Err(error) = self.apply(lsn) {
            self.fail(&format!("{error:?}"));
            return;
        }
        self.observe();
        self.shared.followed.notify_waiters();
        if let Some(since) = self.batch.since.take() {
            self.shared.latency.record(since.elapsed());
        }
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.batch.names.clear();
        self.batch.changes.clear();
        self.batch.count = 0;
        self.shared.line.committed(&mut self.woken);
    }

    fn apply(&self, lsn: u64) -> Result<(), crate::shelf::ShelfError> {
        let records = trusted(&self.batch.changes).zip(0..);
        self.shared.book.apply_all(records.map(|(it, index)| (it, Position { lsn, index })))
    }

    fn observe(&self) {
        let Some(observer) = self.shared.observer.get().filter(|it| !it.is_idle()) else { return };
        for record in trusted(&self.batch.changes).filter_map(Record::read) {
            tell(&self.shared, &**observer, &record);
        }
    }

    fn fail(&self, error: &str) {
        tracing::error!(error, "the log failed; nothing is acknowledged until a restart");
        self.shared.line.set_failed();
    }

    /// On a full disk: a group without changes shows whether there is space again.
    fn look_for_space(&mut self) {
        if self.shared.line.state() != LedgerState::Full {
            return;
        }
        let names = core::mem::take(&mut self.batch.names);
        match self.log.append(&[&names, &names]) {
            Ok(lsn) => {
                self.shared.committed.store(lsn, Ordering::Release);
                tracing::info!("there is space again");
                self.shared.line.set_healthy();
            }
            Err(LogError::Full(_)) => self.batch.names = names,
            Err(LogError::Failed(error)) => self.fail(&error.to_string()),
        }
    }

    /// So that the next start can tell an orderly end from a torn group.
    fn mark_end(&mut self) {
        if self.shared.line.state() != LedgerState::Healthy {
            return;
        }
        let mut record = Vec::new();
        framed(&mut record, |out| out.extend_from_slice(CLOSED_RECORD));
        match self.log.append(&[&record]) {
            Ok(lsn) => self.shared.committed.store(lsn, Ordering::Release),
            Err(error) => tracing::warn!(?error, "the end of the log could not be marked"),
        }
    }
}

/// Tells the observer about one change, with text instead of numbers.
fn tell(shared: &Shared, observer: &dyn Observer, record: &Record<'_>) {
    let entity = match record.entity() {
        Some(entity) if !matches!(record, Record::Incident { .. }) => entity,
        _ => return,
    };
    let name = shared.book.names.read().entity_name(entity);
    let Some(name) = name.filter(|name| observer.wants(*name)) else { return };
    observer.committed(name, &change(&shared.book, record));
}

/// The change in a record that has an entity and is no incident, with text instead of numbers.
pub(super) fn change(book: &Book, record: &Record<'_>) -> Committed {
    match *record {
        Record::Telemetry { items, .. } => Committed::Telemetry(readings(book, items)),
        Record::SetAttributes { scope, items, .. } => {
            let attributes = readings(book, items).into_iter().map(|it| Attribute {
                key: it.key,
                value: it.value,
                updated_at: it.at,
            });
            Committed::AttributesSet(scope, attributes.collect())
        }
        Record::DeleteAttributes { scope, keys, .. } => {
            Committed::AttributesDeleted(scope, texts(book, keys))
        }
        Record::DeleteTelemetry { keys, .. } => Committed::TelemetryDeleted(texts(book, keys)),
        _ => Committed::Purged,
    }
}

fn readings(book: &Book, items: Items<'_>) -> Vec<Reading> {
    let names = book.names.read();
    let named = items.map(|(key, at, value)| Reading {
        at: Timestamp(at),
        key: names.key_name(key).map(|it| it.to_string()).unwrap_or_default(),
        value: value.to_owned(),
    });
    named.collect()
}

fn texts(book: &Book, keys: KeyList<'_>) -> Vec<String> {
    let names = book.names.read();
    keys.filter_map(|key| names.key_name(key).map(|it| it.to_string())).collect()
}

struct FailOnUnwind(Arc<Shared>);

impl Drop for FailOnUnwind {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.line.set_failed();
        }
    }
}

/// How long the writer sleeps when nothing comes; also how soon a full disk is tried again.
const PATIENCE: Duration = Duration::from_secs(1);
