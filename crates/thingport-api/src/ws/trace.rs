//! A live trace: first the last records, then each new one, without gap or repetition.
//!
//! Nothing is put in line that the reader has no room for: it is read from the trace when there is. A
//! reader that is too slow for long is told how many records are gone.

use std::sync::Arc;
use std::time::Duration;

use thingport_core::access::Caller;
use thingport_core::metrics::Bound;
use thingport_core::trace::{RECORDS_MAX, Trace};
use thingport_model::id::DeviceId;
use tokio::time::sleep;

use super::feed::Feed;
use crate::dto::id::parse_id;
use crate::dto::trace::TraceStateBody;
use crate::error::Refusal;

impl Feed {
    /// The trace of a device, as long as there is one.
    pub(crate) async fn trace(self) {
        match self.begin_trace().await {
            Ok((device, trace)) => self.follow_trace(device, &trace).await,
            Err(refusal) => self.refuse(&refusal),
        }
    }

    async fn begin_trace(&self) -> Result<(DeviceId, Arc<Trace>), Refusal> {
        let (kind, id) = self.command.entity().unwrap_or_default();
        if kind != "DEVICE" {
            return Err(Refusal::bad_request("entityId must be the id of a device"));
        }
        let device = DeviceId(parse_id(id)?);
        let found = self.find_trace(&self.caller, device).await?;
        let trace = found.ok_or_else(|| Refusal::bad_request("the device is not traced"))?;
        Ok((device, trace))
    }

    async fn find_trace(
        &self,
        caller: &Caller,
        device: DeviceId,
    ) -> Result<Option<Arc<Trace>>, Refusal> {
        let node = self.api.node();
        Ok(node.traces.find_for(&node.registry, caller, device).await?)
    }

    async fn follow_trace(&self, device: DeviceId, trace: &Arc<Trace>) {
        let node = self.api.node();
        let last = self.command.limit().and_then(|it| usize::try_from(it).ok());
        let mut cursor = trace.cursor(last.unwrap_or(RECORDS_MAX));
        let mut bell = trace.follow();
        let mut told = None;
        loop {
            self.make_way().await;
            bell.mark_unchanged();
            let part = trace.read(&mut cursor, BATCH_MAX);
            let state = TraceStateBody::of(trace, node.clock.monotonic_ms());
            let is_news = told.as_ref() != Some(&state);
            if is_news || !(part.records.is_empty() && part.settled.is_empty()) {
                self.outbox.send(state.message(self.command.cmd_id, &part));
            }
            let is_running = state.is_running();
            told = Some(state);
            if part.has_more {
                continue;
            }
            let left_ms = trace.until_ms().saturating_sub(node.clock.monotonic_ms());
            tokio::select! {
                _ = bell.changed() => {}
                () = sleep(Duration::from_millis(left_ms)), if is_running => {}
            }
            // Several packets come and go in one turn, and share a message.
            sleep(GATHER).await;
            let now = node.traces.find(device);
            if !now.is_some_and(|it| Arc::ptr_eq(&it, trace)) {
                return;
            }
        }
    }

    /// Waits until the reader has room, and until another update is allowed (W-7).
    async fn make_way(&self) {
        loop {
            self.outbox.room(ROOM_BYTES).await;
            let node = self.api.node();
            if self.allowance.take(node.clock.monotonic_ms()) {
                return;
            }
            node.metrics.count_bound(Bound::WebSocketUpdates);
            sleep(PATIENCE).await;
        }
    }
}

/// Records of one message.
const BATCH_MAX: usize = 50;
/// Bytes that may wait for a reader before it gets no more for now.
const ROOM_BYTES: usize = 128 * 1024;
/// For how long records are gathered.
const GATHER: Duration = Duration::from_millis(20);
/// How long is waited where the tenant profile allows no more updates.
const PATIENCE: Duration = Duration::from_millis(500);
