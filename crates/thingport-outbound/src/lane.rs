//! How many requests are under way at once: in each lane, so that a slow receiver costs only those who
//! call it, and in all.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_core::metrics::{Bound, Metrics};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// The lanes that have anybody in them.
pub(crate) struct Lanes {
    metrics: Arc<Metrics>,
    lane_max: usize,
    all: Arc<Semaphore>,
    lanes: Mutex<HashMap<Uuid, Lane>>,
}

struct Lane {
    places: Arc<Semaphore>,
    /// Requests that wait or are under way.
    within: usize,
}

/// A request that is in a lane until this is dropped.
pub(crate) struct InLane<'a> {
    lanes: &'a Lanes,
    lane: Uuid,
    places: Arc<Semaphore>,
}

/// Too many wait in the lane already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneFull;

/// Held while a request is under way.
pub(crate) struct Turn {
    _in_lane: OwnedSemaphorePermit,
    _in_all: OwnedSemaphorePermit,
}

impl Lanes {
    pub(crate) fn new(lane_max: u32, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            lane_max: usize::try_from(lane_max).unwrap_or(usize::MAX).clamp(1, ALL_MAX),
            all: Arc::new(Semaphore::new(ALL_MAX)),
            lanes: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn enter(&self, lane: Uuid) -> Result<InLane<'_>, LaneFull> {
        let mut lanes = self.lanes.lock();
        let new = || Lane { places: Arc::new(Semaphore::new(self.lane_max)), within: 0 };
        let found = lanes.entry(lane).or_insert_with(new);
        if found.within >= self.lane_max + WAITING_MAX {
            self.metrics.count_bound(Bound::WebhookLine);
            return Err(LaneFull);
        }
        found.within += 1;
        Ok(InLane { lanes: self, lane, places: Arc::clone(&found.places) })
    }
}

impl InLane<'_> {
    /// Waits for a place in the lane, then for one among all. Those who wait are served in order.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        if self.places.available_permits() == 0 {
            self.lanes.metrics.count_bound(Bound::WebhookRequestsPerLane);
        }
        let in_lane = Arc::clone(&self.places).acquire_owned().await.ok()?;
        if self.lanes.all.available_permits() == 0 {
            self.lanes.metrics.count_bound(Bound::WebhookRequests);
        }
        let in_all = Arc::clone(&self.lanes.all).acquire_owned().await.ok()?;
        Some(Turn { _in_lane: in_lane, _in_all: in_all })
    }
}

impl Drop for InLane<'_> {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.lane) else { return };
        lane.within -= 1;
        if lane.within == 0 {
            lanes.remove(&self.lane);
        }
    }
}

/// Requests under way in all lanes together (`webhook_requests_max`): each may hold an open file.
const ALL_MAX: usize = 512;
/// Requests that wait in one lane (`webhook_line_max`).
const WAITING_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    const fn lane(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn bitten(metrics: &Metrics, bound: Bound) -> u64 {
        metrics.bounds().find(|(it, _)| *it == bound).map_or(0, |(_, n)| n)
    }

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(it) => Some(it),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_full_lane_makes_nobody_in_another_one_wait() {
        let metrics = Arc::new(Metrics::default());
        let lanes = Lanes::new(1, Arc::clone(&metrics));
        let (a, b, c) = (lanes.enter(lane(1)), lanes.enter(lane(1)), lanes.enter(lane(2)));
        let (a, b, c) = (a.expect("room"), b.expect("room"), c.expect("room"));
        let turn = now(a.turn()).flatten().expect("a place");
        assert!(now(b.turn()).is_none());
        assert_eq!(bitten(&metrics, Bound::WebhookRequestsPerLane), 1);
        assert!(now(c.turn()).flatten().is_some());
        drop(turn);
        assert!(now(b.turn()).flatten().is_some());
        drop((a, b, c));
        assert!(lanes.lanes.lock().is_empty(), "nobody is in any lane");
    }

    #[test]
    fn a_line_has_an_end() {
        let metrics = Arc::new(Metrics::default());
        let lanes = Lanes::new(2, Arc::clone(&metrics));
        let within: Vec<_> = (0..2 + WAITING_MAX).map(|_| lanes.enter(lane(1))).collect();
        assert!(within.iter().all(Result::is_ok));
        assert_eq!(lanes.enter(lane(1)).err(), Some(LaneFull));
        assert_eq!(bitten(&metrics, Bound::WebhookLine), 1);
        drop(within);
        assert!(lanes.enter(lane(1)).is_ok());
    }
}
