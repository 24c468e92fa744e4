//! How targets of forwarding are doing. Our own.

use serde::Serialize;
use thingport_core::forwarding::TargetState;
use utoipa::ToSchema;
use uuid::Uuid;

/// How a target of forwarding is doing. Numbers count from the start of the process.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ForwardTargetState)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TargetStateBody {
    /// By which its position is kept.
    id: Uuid,
    name: String,
    device_profile_id: Uuid,
    device_profile_name: String,
    /// `WEBHOOK`, `KAFKA` or `MQTT`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// `UP_TO_DATE`, `BEHIND`, or `FAILING` when it did not take what it was given last.
    status: &'static str,
    /// Commits that it has not passed.
    lag_commits: u64,
    /// Bytes of log that they take, of all devices.
    lag_bytes: u64,
    /// How long ago the oldest of them was committed; 0 when there is none or it was not read yet.
    lag_ms: i64,
    /// Messages that it took.
    delivered: u64,
    /// When it took one last.
    delivered_ts: Option<i64>,
    /// How often it did not take anything.
    failures: u64,
    /// Messages that it refused for good.
    set_aside: u64,
    /// Messages of devices that were deleted before.
    orphaned: u64,
    /// Records of all devices that were given up because it was too far behind, at most.
    given_up: u64,
    /// Why it did not take something last.
    last_error: Option<String>,
    last_error_ts: Option<i64>,
}

impl TargetStateBody {
    pub(crate) fn of(it: &TargetState, now_ms: i64) -> Self {
        let status = match (it.is_failing, it.lag.commits) {
            (true, _) => "FAILING",
            (false, 0) => "UP_TO_DATE",
            (false, _) => "BEHIND",
        };
        Self {
            id: it.target.follower.0,
            name: it.target.spec.name.clone(),
            device_profile_id: it.target.profile_id.0,
            device_profile_name: it.target.profile_name.clone(),
            kind: it.target.spec.destination.name(),
            status,
            lag_commits: it.lag.commits,
            lag_bytes: it.lag.bytes,
            lag_ms: it.lag.since.map_or(0, |since| now_ms.saturating_sub(since.ms()).max(0)),
            delivered: it.delivered,
            delivered_ts: it.delivered_at.map(|at| at.ms()),
            failures: it.failures,
            set_aside: it.set_aside,
            orphaned: it.orphaned,
            given_up: it.given_up,
            last_error: it.error.as_ref().map(|(_, why)| why.clone()),
            last_error_ts: it.error.as_ref().map(|(at, _)| at.ms()),
        }
    }
}
