//! A target, and how it is doing.

use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use thingport_model::id::{DeviceProfileId, TenantId};
use thingport_model::port::trail::{FollowerId, Lag};
use thingport_model::profile::DeviceProfile;
use thingport_model::profile::forwarding::ForwardTarget;
use thingport_model::time::Timestamp;

use crate::metrics::Counter;

/// A target of a profile, as it is configured now.
#[derive(Debug)]
pub struct Target {
    /// By which its place in the log is kept: made of profile and name alone, so that it stays when
    /// anything else changes.
    pub follower: FollowerId,
    /// Whose.
    pub tenant_id: TenantId,
    /// Of which profile.
    pub profile_id: DeviceProfileId,
    /// What the profile is called.
    pub profile_name: String,
    /// What is configured.
    pub spec: ForwardTarget,
    pub(super) counts: Arc<Counts>,
}

/// What became of messages since the process started.
#[derive(Debug, Default)]
pub(super) struct Counts {
    delivered: Counter,
    failures: Counter,
    pub(super) set_aside: Counter,
    /// Messages of devices that were deleted meanwhile.
    pub(super) orphaned: Counter,
    pub(super) given_up: Counter,
    latest: Mutex<Latest>,
}

#[derive(Clone, Debug, Default)]
struct Latest {
    error: Option<(Timestamp, String)>,
    is_failing: bool,
    delivered_at: Option<Timestamp>,
}

/// How a target is doing.
#[derive(Clone, Debug)]
pub struct TargetState {
    /// Which.
    pub target: Arc<Target>,
    /// What it has not passed yet.
    pub lag: Lag,
    /// Messages that it took since the process started.
    pub delivered: u64,
    /// How often it did not take anything.
    pub failures: u64,
    /// Messages that it will never take.
    pub set_aside: u64,
    /// Messages of devices that were deleted before they were delivered.
    pub orphaned: u64,
    /// Records of all devices that were given up, because it was too far behind.
    pub given_up: u64,
    /// When it took something last.
    pub delivered_at: Option<Timestamp>,
    /// Whether it did not take what it was given last.
    pub is_failing: bool,
    /// When and why it did not take something last.
    pub error: Option<(Timestamp, String)>,
}

impl Target {
    pub(super) fn new(profile: &DeviceProfile, spec: ForwardTarget) -> Self {
        Self {
            follower: follower(profile.id, &spec.name),
            tenant_id: profile.tenant_id,
            profile_id: profile.id,
            profile_name: profile.name.clone(),
            spec,
            counts: Arc::default(),
        }
    }

    /// The old one, unless it was changed; then the new one, which goes on counting.
    pub(super) fn going_on(old: &Arc<Self>, new: &Arc<Self>) -> Arc<Self> {
        if old.spec == new.spec && old.profile_name == new.profile_name {
            return Arc::clone(old);
        }
        Arc::new(Self {
            follower: new.follower,
            tenant_id: new.tenant_id,
            profile_id: new.profile_id,
            profile_name: new.profile_name.clone(),
            spec: new.spec.clone(),
            counts: Arc::clone(&old.counts),
        })
    }

    pub(super) fn delivered(&self, messages: u64, at: Timestamp) {
        self.counts.delivered.add(messages);
        let mut latest = self.counts.latest.lock();
        (latest.delivered_at, latest.is_failing) = (Some(at), false);
    }

    pub(super) fn failed(&self, why: &str, at: Timestamp) {
        self.counts.failures.add(1);
        let mut latest = self.counts.latest.lock();
        let why = why.chars().take(WHY_MAX).collect();
        (latest.error, latest.is_failing) = (Some((at, why)), true);
    }
}

impl TargetState {
    pub(super) fn of(target: &Arc<Target>, lag: Lag) -> Self {
        let counts = &target.counts;
        let latest = counts.latest.lock().clone();
        Self {
            target: Arc::clone(target),
            lag,
            delivered: counts.delivered.value(),
            failures: counts.failures.value(),
            set_aside: counts.set_aside.value(),
            orphaned: counts.orphaned.value(),
            given_up: lag.given_up,
            delivered_at: latest.delivered_at,
            is_failing: latest.is_failing,
            error: latest.error,
        }
    }
}

fn follower(profile: DeviceProfileId, name: &str) -> FollowerId {
    let digest = Sha256::new().chain_update(profile.0.as_bytes()).chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
    FollowerId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// Characters of an error that are kept.
const WHY_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    /// Positions on disk are kept by it.
    #[test]
    fn a_target_is_known_by_profile_and_name_for_ever() {
        let profile = DeviceProfileId(Uuid::from_u128(7));
        let expected = "b6140de2-86dd-8613-afda-2e04b6c36ff0";
        assert_eq!(follower(profile, "lake").0.to_string(), expected);
        assert_ne!(follower(profile, "lake"), follower(profile, "lakes"));
        assert_ne!(
            follower(profile, "lake"),
            follower(DeviceProfileId(Uuid::from_u128(8)), "lake")
        );
    }
}
