//! Which incidents are the same one again.
//!
//! Of a device, and of a tenant's or the installation's peers, equal reasons are one group. Peers are
//! told apart by address and by what they call themselves, as far as there is room; see [`Group`].
//! The first of a group is to be written at once; repetitions are held back for [`REPEAT_MS`], then
//! for twice as long, up to [`REPEAT_MAX_MS`], and counted meanwhile.

use std::collections::HashMap;

use thingport_model::id::EntityRef;
use thingport_model::incident::{Incident, Source};
use thingport_model::reason::Reason;

use super::Subject;

/// An incident to be written now; none for one that is held back or dropped.
type Due = Option<(Subject, Incident)>;

/// The groups that are remembered.
#[derive(Default)]
pub(super) struct Groups {
    recent: HashMap<Group, Recent>,
    shares: HashMap<Source, Share>,
    peers: usize,
    coarse: usize,
}

/// What makes incidents the same. For peers that matched no device three grains, from fine to coarse:
/// with `source` and `who`, with `source` alone, with neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Group {
    subject: Subject,
    reason: Reason,
    source: Option<Source>,
    /// Fingerprint of the certificate, or client id.
    who: Option<Box<str>>,
}

/// The last incident of one group and what was held back since it was written.
struct Recent {
    written_ms: u64,
    interval_ms: u64,
    held: Option<Incident>,
}

/// How many fine groups one source began in its present window.
struct Share {
    began_ms: u64,
    groups: usize,
}

impl Groups {
    /// Takes one incident, and gives it back when it is to be written now, about the subject told with
    /// it. The flag says whether a bound made its group coarser, or dropped it.
    pub(super) fn take(&mut self, subject: Subject, it: Incident, now_ms: u64) -> (Due, bool) {
        let fine = Group::of(subject, &it);
        if let Some(recent) = self.recent.get_mut(&fine) {
            recent.hold(it);
            return (None, false);
        }
        if self.has_room(&fine, now_ms) {
            return (Some(self.begin(fine, it, now_ms)), false);
        }
        let mut coarser = fine.coarser();
        while let Some(group) = coarser {
            if let Some(recent) = self.recent.get_mut(&group) {
                recent.hold(it);
                return (None, true);
            }
            if self.has_room(&group, now_ms) {
                return (Some(self.begin(group, it, now_ms)), true);
            }
            coarser = group.coarser();
        }
        (None, true)
    }

    /// What was held back long enough; groups that were quiet for that long are forgotten.
    pub(super) fn ripe(&mut self, now_ms: u64) -> Vec<(Subject, Incident)> {
        let mut due = Vec::new();
        self.recent.retain(|group, recent| {
            if now_ms.saturating_sub(recent.written_ms) < recent.interval_ms {
                return true;
            }
            let Some(incident) = recent.held.take() else { return false };
            due.push((group.subject, incident));
            recent.written_ms = now_ms;
            recent.interval_ms = (2 * recent.interval_ms).min(REPEAT_MAX_MS);
            true
        });
        self.shares.retain(|_, share| now_ms.saturating_sub(share.began_ms) < SHARE_MS);
        self.peers = self.recent.keys().filter(|group| group.source.is_some()).count();
        self.coarse = self.recent.keys().filter(|group| group.is_coarse()).count();
        due
    }

    /// Everything that is held back; nothing is remembered afterwards.
    pub(super) fn drain(&mut self) -> Vec<(Subject, Incident)> {
        let recent = core::mem::take(self).recent.into_iter();
        recent.filter_map(|(group, recent)| Some((group.subject, recent.held?))).collect()
    }

    /// What is held back of this entity's incidents, in no order.
    pub(super) fn held(&self, entity: EntityRef) -> Vec<Incident> {
        let recent = self.recent.iter();
        let own = recent.filter(|(it, _)| it.subject.keepers(it.reason).contains(&Some(entity)));
        own.filter_map(|(_, recent)| recent.held.clone()).collect()
    }

    fn has_room(&self, group: &Group, now_ms: u64) -> bool {
        if group.is_coarse() {
            return self.coarse < COARSE_MAX;
        }
        let Some(source) = group.source else { return self.recent.len() < RECENT_MAX };
        if self.peers >= PEERS_MAX || self.recent.len() >= RECENT_MAX {
            return false;
        }
        group.who.is_none()
            || match self.shares.get(&source) {
                Some(share) => !share.is_used_up(now_ms),
                None => self.shares.len() < PEERS_MAX,
            }
    }

    fn begin(&mut self, group: Group, it: Incident, now_ms: u64) -> (Subject, Incident) {
        let subject = group.subject;
        self.peers += usize::from(group.source.is_some());
        self.coarse += usize::from(group.is_coarse());
        if let (Some(source), Some(_)) = (group.source, &group.who) {
            let new = Share { began_ms: now_ms, groups: 0 };
            self.shares.entry(source).or_insert(new).add(now_ms);
        }
        let recent = Recent { written_ms: now_ms, interval_ms: REPEAT_MS, held: None };
        self.recent.insert(group, recent);
        (subject, it)
    }
}

impl Group {
    fn of(subject: Subject, it: &Incident) -> Self {
        if matches!(subject, Subject::Device(..)) {
            return Self { subject, reason: it.reason, source: None, who: None };
        }
        let leaf = it.attempt.as_deref().and_then(|attempt| attempt.chain.first());
        let who = leaf.map_or_else(|| it.client_id.clone(), |leaf| leaf.fingerprint.to_string());
        let source = Some(Source::of(None, &it.remote));
        Self { subject, reason: it.reason, source, who: Some(who.into()) }
    }

    /// The next coarser group, when there is no room for this one. A device's is its tenant's.
    fn coarser(&self) -> Option<Self> {
        let reason = self.reason;
        match (self.subject, self.source, &self.who) {
            (Subject::Device(_, tenant), ..) => {
                let subject = Subject::Tenant(tenant);
                Some(Self { subject, reason, source: None, who: None })
            }
            (subject, source @ Some(_), Some(_)) => {
                Some(Self { subject, reason, source, who: None })
            }
            (subject, Some(_), None) => Some(Self { subject, reason, source: None, who: None }),
            (_, None, _) => None,
        }
    }

    const fn is_coarse(&self) -> bool {
        self.source.is_none() && !matches!(self.subject, Subject::Device(..))
    }
}

impl Recent {
    fn hold(&mut self, incident: Incident) {
        match &mut self.held {
            None => self.held = Some(incident),
            Some(held) => {
                let (count, first_at) = (held.count.saturating_add(1), held.first_at);
                *held = Incident { count, first_at, ..incident };
            }
        }
    }
}

impl Share {
    const fn is_used_up(&self, now_ms: u64) -> bool {
        self.groups >= SHARE_MAX && now_ms.saturating_sub(self.began_ms) < SHARE_MS
    }

    const fn add(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.began_ms) >= SHARE_MS {
            *self = Self { began_ms: now_ms, groups: 0 };
        }
        self.groups += 1;
    }
}

/// How long repetitions are held back at first.
pub const REPEAT_MS: u64 = 10_000;
/// How long repetitions of what does not stop are held back.
pub const REPEAT_MAX_MS: u64 = 600_000;
/// Groups remembered at once. When full, devices are grouped by tenant, peers as below.
pub const RECENT_MAX: usize = 10_000;
/// Of these, groups of peers that matched no device. When full, they are grouped by reason alone.
pub const PEERS_MAX: usize = 2_048;
/// Groups that one address begins within [`SHARE_MS`]. After that it is one group per reason.
pub const SHARE_MAX: usize = 64;
/// See [`SHARE_MAX`].
pub const SHARE_MS: u64 = 60_000;
/// Groups by reason alone, beside [`RECENT_MAX`]. When full, incidents are counted only.
pub const COARSE_MAX: usize = 1_000;
