//! What leaves the house: which messages of which devices go to which targets, and how far each target
//! has come.
//!
//! A target belongs to a device profile. It follows the ledger's log from a place of its own, so a slow
//! one costs nobody else anything, and whatever is not delivered when the process ends is delivered by
//! the next one. Each message is delivered at least once: its place is passed after the target has it.
//!
//! Here is decided what is due and what is counted; the roof lends whoever speaks to targets.

mod origins;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use thingport_model::id::{DeviceId, DeviceProfileId, TenantId};
use thingport_model::page::PageLink;
use thingport_model::port::entities::Entities;
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::Committed;
use thingport_model::port::trail::{FOLLOWERS_MAX, FollowerId, Place, StretchMax, Trail};
use thingport_model::profile::DeviceProfile;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use tokio::sync::Notify;

use crate::access::Caller;
use crate::clock::Clock;
use crate::error::Error;
use crate::journal::{Journal, Report, Subject};
use crate::metrics::{Bound, Metrics};

pub use origins::Origin;
use origins::{Filter, Origins};
pub use target::{Target, TargetState};

/// The targets of all profiles.
pub struct Forwarding {
    entities: Arc<dyn Entities>,
    journal: Arc<Journal>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    trail: OnceLock<Arc<dyn Trail>>,
    origins: Arc<Origins>,
    targets: RwLock<BTreeMap<FollowerId, Arc<Target>>>,
    news: Mutex<News>,
    /// Notified when targets may have changed.
    pub changed: Notify,
}

/// What may have changed since targets were looked at.
#[derive(Debug)]
enum News {
    /// Anything: nothing was looked at yet, or a tenant went.
    Everything,
    /// These profiles, and where new targets of theirs begin.
    Profiles(BTreeSet<DeviceProfileId>, Option<Place>),
}

/// A message that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Whose, and what whoever gets it should know of the device.
    pub origin: Arc<Origin>,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// Readings, or client attributes that were set or removed.
    pub change: Committed,
    /// The place behind it: a number of its own that is the same however often it is delivered.
    pub next: Place,
}

/// What is due at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Messages in the order in which they were committed; may be empty.
    pub messages: Vec<Message>,
    /// Where to go on when all of them are delivered.
    pub next: Place,
}

impl Forwarding {
    /// Targets that nobody looked at yet.
    #[must_use]
    pub fn new(
        entities: Arc<dyn Entities>,
        journal: Arc<Journal>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            origins: Arc::new(Origins::new(Arc::clone(&entities))),
            entities,
            journal,
            metrics,
            clock,
            trail: OnceLock::new(),
            targets: RwLock::default(),
            news: Mutex::new(News::Everything),
            changed: Notify::new(),
        }
    }

    /// Sets what is followed. Called once, before the first device.
    pub fn set_trail(&self, trail: Arc<dyn Trail>) {
        let is_first = self.trail.set(trail).is_ok();
        debug_assert!(is_first, "it is set once");
    }

    /// Looks at what changed; answers all targets there are now, each with the place where it is. One
    /// that is the same as before is the same object.
    ///
    /// # Errors
    /// The store's or the log's trouble; the same is looked at again next time.
    pub async fn refresh(&self) -> Result<Vec<(Arc<Target>, Place)>, PortError> {
        let trail = self.trail()?;
        let here = trail.here();
        let none = News::Profiles(BTreeSet::new(), None);
        let news = core::mem::replace(&mut *self.news.lock(), none);
        match self.look(&news, here).await {
            Ok(targets) => Ok(targets),
            Err(error) => {
                self.tell(news);
                Err(error)
            }
        }
    }

    /// What is due for a target from a place on; waits until something is committed. At most
    /// `messages_max` messages.
    ///
    /// # Errors
    /// The store's or the log's trouble; the same may be asked again.
    pub async fn next(
        &self,
        target: &Target,
        from: Place,
        messages_max: usize,
    ) -> Result<Batch, PortError> {
        let wants = Filter::new(&self.origins, target);
        let max = StretchMax { changes: messages_max, bytes: READ_BYTES_MAX };
        let stretch = self.trail()?.read(target.follower, from, Arc::new(wants), max).await?;
        let mut messages = Vec::with_capacity(stretch.changes.len());
        for change in stretch.changes {
            let device = DeviceId(change.entity.id);
            let Some(origin) = self.origins.of(device).await? else {
                target.counts.orphaned.add(1);
                continue;
            };
            if origin.profile_id == target.profile_id {
                let (committed_at, next) = (change.committed_at, change.next);
                messages.push(Message { origin, committed_at, change: change.change, next });
            }
        }
        self.look_after(target);
        Ok(Batch { messages, next: stretch.next })
    }

    /// Everything before `next` was delivered, or is nothing for this target.
    pub fn passed(&self, target: &Target, next: Place, delivered: u64) {
        if let Some(trail) = self.trail.get() {
            trail.passed(target.follower, next);
        }
        if delivered > 0 {
            target.delivered(delivered, self.clock.now());
        }
    }

    /// The target does not take anything now. It is tried again; nothing is lost by it.
    pub fn failed(&self, target: &Target, why: &str) {
        target.failed(why, self.clock.now());
        self.report(Subject::Tenant(target.tenant_id), Reason::ForwardingFailed, target, why);
        self.look_after(target);
    }

    /// The target will never take this message: it is set aside, so that the others go on.
    pub fn set_aside(&self, target: &Target, message: &Message, why: &str) {
        target.counts.set_aside.add(1);
        let subject = Subject::Device(message.origin.device_id, target.tenant_id);
        self.report(subject, Reason::ForwardingRefused, target, why);
    }

    /// How a tenant's targets are doing, in the order of profiles and names.
    ///
    /// # Errors
    /// [`Error::Denied`] for everybody but tenant administrators.
    pub fn states_for(&self, caller: &Caller) -> Result<Vec<TargetState>, Error> {
        caller.must_be_tenant()?;
        let mut states = self.states();
        states.retain(|state| state.target.tenant_id == caller.tenant_id);
        Ok(states)
    }

    /// How all targets are doing, in the order of profiles and names.
    #[must_use]
    pub fn states(&self) -> Vec<TargetState> {
        let targets: Vec<Arc<Target>> = self.targets.read().values().cloned().collect();
        let lag = |follower| self.trail.get().map(|trail| trail.lag(follower)).unwrap_or_default();
        let mut states: Vec<TargetState> =
            targets.into_iter().map(|it| TargetState::of(&it, lag(it.follower))).collect();
        states.sort_by(|a, b| {
            let key =
                |it: &TargetState| (it.target.profile_name.clone(), it.target.spec.name.clone());
            key(a).cmp(&key(b))
        });
        states
    }

    /// Name or profile of a device changed.
    pub fn device_changed(&self, device: DeviceId) {
        self.origins.forget(device);
    }

    /// A profile was saved or deleted. What is committed from now on goes to its new targets.
    pub fn profile_changed(&self, profile: DeviceProfileId) {
        self.origins.forget_all();
        let here = self.trail.get().map(|trail| trail.here());
        self.tell(News::Profiles(BTreeSet::from([profile]), here));
    }

    /// A tenant went, and its targets with it.
    pub fn tenant_deleted(&self) {
        self.tell(News::Everything);
    }

    fn tell(&self, more: News) {
        let mut news = self.news.lock();
        let old = core::mem::replace(&mut *news, News::Everything);
        *news = old.and(more);
        drop(news);
        self.changed.notify_one();
    }

    fn trail(&self) -> Result<&Arc<dyn Trail>, PortError> {
        let none = || PortError::Unavailable("nothing can be followed".to_owned());
        self.trail.get().ok_or_else(none)
    }

    async fn look(&self, news: &News, here: Place) -> Result<Vec<(Arc<Target>, Place)>, PortError> {
        let known = self.targets.read().clone();
        let (mut targets, first) = match news {
            // Whoever is not known to the log by now was made just before a crash.
            News::Everything => (self.targets_of_all().await?, Place::OLDEST),
            News::Profiles(profiles, since) => {
                let mut targets = known.clone();
                targets.retain(|_, target| !profiles.contains(&target.profile_id));
                for profile in profiles {
                    let profile = self.entities.profile(*profile).await?;
                    profile.iter().for_each(|it| targets.extend(targets_of(it)));
                }
                (targets, since.unwrap_or(here))
            }
        };
        for (follower, target) in &mut targets {
            if let Some(old) = known.get(follower) {
                *target = Target::going_on(old, target);
            }
        }
        self.bound(&mut targets);
        let named = targets.keys().map(|follower| (*follower, first)).collect();
        let places = self.trail()?.keep(named).await?;
        *self.targets.write() = targets.clone();
        Ok(targets.into_values().zip(places).collect())
    }

    async fn targets_of_all(&self) -> Result<BTreeMap<FollowerId, Arc<Target>>, PortError> {
        let mut targets = BTreeMap::new();
        let (mut page, mut left) = (0, true);
        while left {
            let tenants = self.entities.tenants(link(page)).await?;
            left = tenants.rows.len() == PAGE as usize;
            page += 1;
            for tenant in tenants.rows {
                self.targets_of_tenant(tenant.id, &mut targets).await?;
            }
        }
        Ok(targets)
    }

    async fn targets_of_tenant(
        &self,
        tenant: TenantId,
        targets: &mut BTreeMap<FollowerId, Arc<Target>>,
    ) -> Result<(), PortError> {
        let (mut page, mut left) = (0, true);
        while left {
            let profiles = self.entities.profiles(tenant, link(page)).await?;
            left = profiles.rows.len() == PAGE as usize;
            page += 1;
            profiles.rows.iter().for_each(|profile| targets.extend(targets_of(profile)));
        }
        Ok(())
    }

    /// More targets than the log can have followers: some are left out, and said so.
    fn bound(&self, targets: &mut BTreeMap<FollowerId, Arc<Target>>) {
        while targets.len() > FOLLOWERS_MAX {
            if let Some((_, target)) = targets.pop_last() {
                self.metrics.count_bound(Bound::ForwardingTargets);
                let why = format!("the installation has more than {FOLLOWERS_MAX} targets");
                let subject = Subject::Tenant(target.tenant_id);
                self.report(subject, Reason::ForwardingFailed, &target, &why);
            }
        }
    }

    /// Tells what the log gave up for a target since it was last looked at.
    fn look_after(&self, target: &Target) {
        let Some(trail) = self.trail.get() else { return };
        let given_up = trail.lag(target.follower).given_up;
        let before = target.counts.given_up.value();
        if given_up > before {
            target.counts.given_up.set(given_up);
            let why = format!("at most {} records of all devices", given_up - before);
            self.metrics.count_bound(Bound::ForwardingBacklog);
            self.report(Subject::Tenant(target.tenant_id), Reason::ForwardingGivenUp, target, &why);
        }
    }

    fn report(&self, subject: Subject, reason: Reason, target: &Target, why: &str) {
        let (profile, name) = (&target.profile_name, &target.spec.name);
        let detail = format!("target {name:?} of profile {profile:?}: {why}");
        self.journal.record(&Report {
            subject,
            reason,
            detail: &detail,
            remote: "",
            client_id: "",
            user_name: "",
            protocol: target.spec.destination.name(),
            attempt: None,
        });
    }
}

impl News {
    fn and(self, more: Self) -> Self {
        match (self, more) {
            (Self::Profiles(mut all, since), Self::Profiles(more, later)) => {
                all.extend(more);
                let since = [since, later].into_iter().flatten().min();
                if all.len() > NEWS_MAX { Self::Everything } else { Self::Profiles(all, since) }
            }
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
        }
    }
}

fn targets_of(profile: &DeviceProfile) -> impl Iterator<Item = (FollowerId, Arc<Target>)> {
    profile.extension.forwarding.iter().map(|spec| {
        let target = Target::new(profile, spec.clone());
        (target.follower, Arc::new(target))
    })
}

const fn link(page: u32) -> PageLink {
    PageLink { page, size: PAGE, text_search: None, sort: None }
}

/// Rows read at once.
const PAGE: u32 = 500;
/// Profiles that are looked at one by one; when there are more, all are.
const NEWS_MAX: usize = 500;
/// Bytes of log that are read at once for a target.
const READ_BYTES_MAX: u64 = 1024 * 1024;
