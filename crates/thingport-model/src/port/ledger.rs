//! What the house asks of whoever keeps readings, attributes and incidents.
//!
//! Writing is two steps, because devices must not wait for each other: [`Ledger::append`] puts a change
//! in line and returns a [`Receipt`], a plain number; [`Ledger::poll_committed`] says when the
//! commit has passed that number. One commit serves everybody who appended since the last one, and wakes
//! each waiting task once.

use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use async_trait::async_trait;

use crate::aggregate::Fold;
use crate::attribute::{Attribute, Scope};
use crate::id::{EntityKind, EntityRef, TenantId};
use crate::incident::Incident;
use crate::port::error::PortError;
use crate::reading::{Reading, Readings};
use crate::time::{TimeRange, Timestamp};
use crate::value::Value;

/// A change to be kept. Borrowed: `append` copies what it needs.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Readings; the newest per key becomes its latest value.
    Telemetry {
        /// Whose.
        entity: EntityRef,
        /// What; may not be empty.
        readings: &'a Readings,
        /// How long the readings are kept after their own time, in seconds; 0 for ever.
        ttl_s: u32,
    },
    /// Attributes to be set; the time of each item is its update time.
    SetAttributes {
        /// Whose.
        entity: EntityRef,
        /// In which scope.
        scope: Scope,
        /// Keys and values.
        attributes: &'a Readings,
    },
    /// Attributes to be removed; unknown keys are no error.
    DeleteAttributes {
        /// Whose.
        entity: EntityRef,
        /// In which scope.
        scope: Scope,
        /// Which keys.
        keys: &'a [String],
    },
    /// Readings to be removed.
    DeleteTelemetry {
        /// Whose.
        entity: EntityRef,
        /// Which keys.
        keys: &'a [String],
        /// Which times.
        range: TimeRange,
        /// What becomes of the latest value when it lies in the range.
        latest: LatestAfterDelete,
    },
    /// An incident of a device, or of a tenant or the system tenant when no device was found. As many as
    /// [`incidents_max`] says are kept; when there are more, the source that has the most loses its
    /// oldest (see [`crate::incident::Source`]).
    Incident {
        /// Whose.
        entity: EntityRef,
        /// What happened.
        incident: &'a Incident,
    },
    /// Everything of an entity is removed: it was deleted.
    Purge {
        /// Whose.
        entity: EntityRef,
    },
}

/// What becomes of a latest value that lies in a deleted range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatestAfterDelete {
    /// It stays.
    Keep,
    /// It is removed.
    Remove,
    /// The newest remaining reading takes its place; removed when none remains.
    Rewrite,
}

/// A promise: the change is kept once the commit has passed this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt(pub u64);

/// Memory of one waiting task: the commit it is already registered for. Start with the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiter {
    /// Private to the engine; a plain number so that an idle connection owns no allocation.
    pub registered: u64,
}

/// Why a change was not put in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The line is full: `commit_queue_max`. Wait with [`Ledger::poll_ready`] and append again.
    Busy,
    /// The disk is full; nothing is promised until there is space.
    Full,
    /// The disk failed; nothing is promised until a restart.
    Failed,
    /// This one change is larger than the ledger takes, and always will be. Split it.
    TooLarge,
}

/// State of the ledger, for health and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerState {
    /// Keeps what it is given.
    Healthy,
    /// No space: refuses changes, answers reads, resumes by itself.
    Full,
    /// The disk failed: refuses changes until a restart, answers reads.
    Failed,
}

/// Which keys a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// All of them.
    All,
    /// These.
    Named(Vec<String>),
}

/// A question for single readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeQuery {
    /// Whose.
    pub entity: EntityRef,
    /// Which key.
    pub key: String,
    /// Which times.
    pub range: TimeRange,
    /// Newest first.
    pub descending: bool,
    /// At most so many.
    pub limit: usize,
}

/// Told about every change once it is kept and readable, in order, on the writer's own thread: must not
/// block.
pub trait Observer: Send + Sync {
    /// Whether anybody is interested in anything at all; asked once per commit.
    fn is_idle(&self) -> bool;
    /// Whether anybody is interested in this entity.
    fn wants(&self, entity: EntityRef) -> bool;
    /// A change of a wanted entity was committed.
    fn committed(&self, entity: EntityRef, change: &Committed);
}

/// A committed change with text of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Committed {
    /// One message's readings.
    Telemetry(Vec<Reading>),
    /// One message's attributes.
    AttributesSet(Scope, Vec<Attribute>),
    /// Removed attributes.
    AttributesDeleted(Scope, Vec<String>),
    /// Removed readings.
    TelemetryDeleted(Vec<String>),
    /// The entity is gone.
    Purged,
}

/// Numbers for metrics and health.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LedgerStats {
    /// Commits since the start.
    pub commits: u64,
    /// Changes kept since the start.
    pub changes: u64,
    /// Readings kept since the start.
    pub points: u64,
    /// Bytes waiting for the next commit.
    pub queue_bytes: u64,
    /// Bound of the above.
    pub queue_bytes_max: u64,
    /// How often the queue was full.
    pub queue_full: u64,
    /// Bytes of the head: kept in the log, not yet in chunks.
    pub head_bytes: u64,
    /// Bound of the above.
    pub head_bytes_max: u64,
    /// How often appends waited because the head was full.
    pub head_full: u64,
    /// Bytes of log that are not yet in chunks: what a start would have to read again.
    pub backlog_bytes: u64,
    /// Bound of the above.
    pub backlog_bytes_max: u64,
    /// How often appends waited because the above was reached.
    pub backlog_full: u64,
    /// Segments of the log in use.
    pub log_segments: u64,
    /// Bytes of all files.
    pub disk_bytes: u64,
    /// Commit latency in microseconds: pairs of (upper bound, commits at or below), cumulative, then
    /// the sum of all latencies in microseconds in `commit_us_sum`.
    pub commit_us_buckets: Vec<(u64, u64)>,
    /// Sum of all commit latencies in microseconds.
    pub commit_us_sum: u64,
    /// Records of the log that were damaged and skipped at the last start.
    pub damaged_records: u64,
}

/// Keeps readings, attributes and incidents. One instance per process.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Puts a change in line for the next commit. Does not block and does not wait.
    ///
    /// # Errors
    /// When nothing can be promised; the change is then not kept.
    fn append(&self, change: Change<'_>) -> Result<Receipt, AppendError>;

    /// Ready once `receipt` is committed and readable, or can never be. Registers the task once per
    /// commit, remembering that in `waiter`.
    fn poll_committed(
        &self,
        receipt: Receipt,
        waiter: &mut Waiter,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), AppendError>>;

    /// Ready when an append that was refused as [`AppendError::Busy`] may be tried again.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Sets who is told about commits. Called once, before the first append.
    fn set_observer(&self, observer: Arc<dyn Observer>);

    /// Latest values of an entity, sorted by key; keys without data are left out.
    async fn latest(&self, entity: EntityRef, keys: Keys) -> Result<Vec<Reading>, PortError>;

    /// Single readings of one key.
    async fn range(&self, query: RangeQuery) -> Result<Vec<(Timestamp, Value)>, PortError>;

    /// Folds all readings of one key in the fold's buckets.
    async fn aggregate(
        &self,
        entity: EntityRef,
        key: String,
        fold: Fold,
    ) -> Result<Fold, PortError>;

    /// Keys that have readings, sorted.
    async fn keys(&self, entity: EntityRef) -> Result<Vec<String>, PortError>;

    /// Attributes of one scope, sorted by key; unknown keys are left out.
    async fn attributes(
        &self,
        entity: EntityRef,
        scope: Scope,
        keys: Keys,
    ) -> Result<Vec<Attribute>, PortError>;

    /// Newest incidents of an entity, newest first.
    async fn incidents(&self, entity: EntityRef, limit: usize) -> Result<Vec<Incident>, PortError>;

    /// State for health and metrics.
    fn state(&self) -> LedgerState;

    /// Numbers for metrics.
    fn stats(&self) -> LedgerStats;

    /// Commits what is in line, flushes what is cheap to flush and refuses further appends.
    async fn close(&self) -> Result<(), PortError>;
}

/// Incidents kept of an entity.
#[must_use]
pub fn incidents_max(entity: EntityRef) -> usize {
    match entity.kind {
        EntityKind::Tenant if entity == TenantId::SYSTEM.entity() => STRANGER_INCIDENTS_MAX,
        EntityKind::Tenant => TENANT_INCIDENTS_MAX,
        _ => INCIDENTS_MAX,
    }
}

/// Incidents kept per device.
pub const INCIDENTS_MAX: usize = 128;
/// Incidents kept per tenant, of all its devices.
pub const TENANT_INCIDENTS_MAX: usize = 512;
/// Incidents kept of peers that matched no device, in the whole installation.
pub const STRANGER_INCIDENTS_MAX: usize = 2048;

/// Waits until `receipt` is committed. May be polled by one task after another.
///
/// # Errors
/// When it can never be.
pub async fn committed(ledger: &dyn Ledger, receipt: Receipt) -> Result<(), AppendError> {
    let mut waiter = Waiter::default();
    let mut waker: Option<Waker> = None;
    core::future::poll_fn(|cx| {
        // A waiter remembers that it is registered, but not for whom.
        if waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            waiter = Waiter::default();
            waker = Some(cx.waker().clone());
        }
        ledger.poll_committed(receipt, &mut waiter, cx)
    })
    .await
}
