//! A ledger and a clock for tests: remembers what was appended, commits at once, says what it is told.

use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};
use std::sync::Arc;

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

use crate::clock::Clock;

/// A clock that stands still until it is moved; both clocks show the same number.
#[derive(Default)]
pub(crate) struct FakeClock(AtomicU64);

impl FakeClock {
    pub(crate) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.monotonic_ms()).unwrap())
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct FakeLedger {
    /// One line per appended change.
    pub(crate) lines: Mutex<Vec<String>>,
    /// What the next appends answer.
    pub(crate) refuses: Mutex<Option<AppendError>>,
}

impl FakeLedger {
    pub(crate) fn take(&self) -> Vec<String> {
        core::mem::take(&mut *self.lines.lock())
    }
}

fn line(change: Change<'_>) -> String {
    match change {
        Change::Telemetry { readings, ttl_s, .. } => {
            format!("telemetry {} ttl {ttl_s}", readings.len())
        }
        Change::SetAttributes { scope, attributes, .. } => {
            format!("set {} {}", scope.name(), attributes.len())
        }
        Change::DeleteAttributes { keys, .. } => format!("delete attributes {keys:?}"),
        Change::DeleteTelemetry { keys, .. } => format!("delete telemetry {keys:?}"),
        Change::Incident { entity, incident } => {
            format!("{} {} x{}", entity.kind.name(), incident.reason.id(), incident.count)
        }
        Change::Purge { entity } => format!("purge {}", entity.kind.name()),
    }
}

#[async_trait]
impl Ledger for FakeLedger {
    fn append(&self, change: Change<'_>) -> Result<Receipt, AppendError> {
        if let Some(error) = *self.refuses.lock() {
            return Err(error);
        }
        let mut lines = self.lines.lock();
        lines.push(line(change));
        Ok(Receipt(lines.len() as u64))
    }

    fn poll_committed(
        &self,
        _: Receipt,
        _: &mut Waiter,
        _: &mut Context<'_>,
    ) -> Poll<Result<(), AppendError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn set_observer(&self, _: Arc<dyn Observer>) {}

    async fn latest(&self, _: EntityRef, _: Keys) -> Result<Vec<Reading>, PortError> {
        Ok(Vec::new())
    }

    async fn range(&self, _: RangeQuery) -> Result<Vec<(Timestamp, Value)>, PortError> {
        Ok(Vec::new())
    }

    async fn aggregate(&self, _: EntityRef, _: String, fold: Fold) -> Result<Fold, PortError> {
        Ok(fold)
    }

    async fn keys(&self, _: EntityRef) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    async fn attributes(
        &self,
        _: EntityRef,
        _: Scope,
        _: Keys,
    ) -> Result<Vec<Attribute>, PortError> {
        Ok(Vec::new())
    }

    async fn incidents(&self, _: EntityRef, _: usize) -> Result<Vec<Incident>, PortError> {
        Ok(Vec::new())
    }

    fn state(&self) -> LedgerState {
        LedgerState::Healthy
    }

    fn stats(&self) -> LedgerStats {
        LedgerStats::default()
    }

    async fn close(&self) -> Result<(), PortError> {
        Ok(())
    }
}
