//! Sessions that outlive their connections (conformance S-1, C-13).
//!
//! A session belongs to a device and the client id it was opened with; a device has at most one that is
//! kept. A login under another client id leaves it alone, unless that one is to be kept too: then it takes
//! its place. Changed credentials do not end it, since only who can log in as the device gets at it.
//!
//! # Where it is
//!
//! All kept sessions are in memory, bounded in number and bytes, and written behind to the store, one row
//! each: when it is opened, when its subscriptions change (SUBACK waits for that), when its connection ends.
//! What is on its way while a connection lasts is the connection's; a process that is killed loses that.
//! Changes of shared attributes are not lost: they are *owed*, durably, from before whoever made them hears
//! of it until the device has acknowledged them ([`crate::attributes`]); calls are kept on their own.

mod owing;
mod place;
mod shares;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::id::{DeviceId, TenantId};
use thingport_model::port::entities::{Entities, Write};
use thingport_model::reason::Reason;
use thingport_model::session::{KeptSession, KeptSubscription, SessionState};
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::error::Error;
use crate::journal::{Journal, Report, Subject};
use crate::metrics::{Bound, Metrics};
use crate::presence::ConnectionNumber;
use crate::registry::DeviceLogin;
pub(crate) use owing::{Mark, Room, Settling};
use place::Place;
use shares::Shares;

/// What the configuration says about sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// How long a session outlives its connection at most, in seconds; 0 keeps none.
    pub expiry_max_s: u32,
    /// Sessions that are kept at once, with and without a connection.
    pub kept_max: usize,
    /// The same for one tenant.
    pub kept_per_tenant_max: usize,
}

impl Default for SessionRules {
    fn default() -> Self {
        Self { expiry_max_s: 7 * 24 * 60 * 60, kept_max: 100_000, kept_per_tenant_max: usize::MAX }
    }
}

/// Every session that is kept.
pub struct Sessions {
    state: Mutex<State>,
    entities: Arc<dyn Entities>,
    journal: Arc<Journal>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    rules: SessionRules,
    /// There may be something to write.
    more: Notify,
    /// A connection let go of its session.
    moved: Notify,
    /// Held while something is written, so that nothing overtakes.
    saving: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    kept: HashMap<DeviceId, Place, foldhash::fast::RandomState>,
    /// When which session ends that has no connection.
    dues: BTreeSet<(u64, DeviceId)>,
    /// What is not written yet, and who waits for that. At most one for each session that is or was.
    unsaved: BTreeMap<DeviceId, Vec<oneshot::Sender<bool>>>,
    /// Devices whose sessions ended, and what they were owed is still there.
    ended: BTreeSet<DeviceId>,
    shares: Shares,
    newest_mark: u64,
}

/// What a CONNECT asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionWish {
    /// A new session, whatever was before.
    pub clean_start: bool,
    /// Seconds the session is to outlive the connection; as many as can be for ever.
    pub expiry_s: u32,
}

/// What a CONNECT gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The session is kept when the connection ends, or at least was until now.
    pub is_kept: bool,
    /// Seconds it will outlive the connection.
    pub expiry_s: u32,
    /// What was kept: session present.
    pub state: Option<SessionState>,
    /// The newest change of shared attributes that does not concern this session any more.
    pub told: u64,
}

/// What a connection leaves behind.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    /// What is in the session; none when it was never used.
    pub state: Option<SessionState>,
    /// Seconds it is to outlive this connection, if the client changed its mind.
    pub expiry_s: Option<u32>,
    /// Messages that were on their way and are too large to be kept.
    pub lost: u32,
}

/// For connections.
impl Sessions {
    /// No session is kept yet; [`Self::recall`] finds those of before.
    #[must_use]
    pub fn new(
        (entities, journal): (Arc<dyn Entities>, Arc<Journal>),
        (metrics, clock): (Arc<Metrics>, Arc<dyn Clock>),
        rules: SessionRules,
    ) -> Self {
        Self {
            state: Mutex::default(),
            entities,
            journal,
            metrics,
            clock,
            rules,
            more: Notify::new(),
            moved: Notify::new(),
            saving: tokio::sync::Mutex::default(),
        }
    }

    /// Whether another connection has the session that this CONNECT would take up. It must be told to let
    /// go of it; see [`Self::let_go`].
    #[must_use]
    pub fn is_held(&self, device: DeviceId, client_id: &str) -> bool {
        let state = self.state.lock();
        let mine = state.kept.get(&device).filter(|it| it.session.client_id == client_id);
        mine.is_some_and(|it| it.holder.is_some())
    }

    /// Waits until no connection has the session.
    pub async fn let_go(&self, device: DeviceId, client_id: &str) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if !self.is_held(device, client_id) {
                return;
            }
            moved.await;
        }
    }

    /// A device logged in. Does not block; what is new is durable at the latest with
    /// [`Self::subscribed`].
    #[must_use]
    pub fn open(
        &self,
        login: &DeviceLogin,
        client_id: &str,
        wish: SessionWish,
        connection: ConnectionNumber,
    ) -> Opened {
        let expiry_s = wish.expiry_s.min(self.rules.expiry_max_s);
        let (device, now_ms) = (login.device_id, self.clock.monotonic_ms());
        let mut state = self.state.lock();
        let Some(place) = state.kept.get_mut(&device) else {
            return if expiry_s == 0 {
                Opened::default()
            } else {
                self.begin(state, login, (client_id, expiry_s), connection)
            };
        };
        if place.session.client_id != client_id {
            if expiry_s == 0 {
                return Opened::default();
            }
            let detail = format!("by client id {client_id:?}");
            let former = state.end(device, &self.metrics);
            drop(state);
            self.record_end(former.as_ref(), Reason::SessionReplaced, &detail);
            return self.begin(self.state.lock(), login, (client_id, expiry_s), connection);
        }
        let is_over = place.due_ms.is_some_and(|due_ms| due_ms <= now_ms);
        if wish.clean_start || is_over {
            let former = state.end(device, &self.metrics);
            drop(state);
            self.more.notify_one();
            if is_over {
                self.record_end(former.as_ref(), Reason::SessionExpired, "");
            }
            return if expiry_s == 0 {
                Opened::default()
            } else {
                self.begin(self.state.lock(), login, (client_id, expiry_s), connection)
            };
        }
        let opened = place.resume(expiry_s, connection);
        if let Some(due_ms) = place.due_ms.take() {
            state.dues.remove(&(due_ms, device));
        }
        state.changed(device);
        drop(state);
        self.more.notify_one();
        opened
    }

    /// The client changed its subscriptions. What changes of attributes it is not owed, and when it is
    /// durable; none when this connection does not have the session any more.
    #[must_use]
    pub fn subscribed(
        &self,
        device: DeviceId,
        connection: ConnectionNumber,
        subscriptions: Vec<KeptSubscription>,
        wants_updates: bool,
    ) -> Option<(u64, oneshot::Receiver<bool>)> {
        let now_us = self.now_us();
        let mut state = self.state.lock();
        let mark = state.next_mark(now_us);
        let place = state.kept.get_mut(&device).filter(|it| it.holder == Some(connection))?;
        // What changed before it subscribed is not for it (JS-095).
        if wants_updates && !place.session.state.wants_updates {
            place.begin_updates(mark);
        }
        place.session.state.wants_updates = wants_updates;
        place.session.state.subscriptions = subscriptions;
        let told = place.floor;
        state.changed(device);
        let (sender, saved) = oneshot::channel();
        state.unsaved.entry(device).or_default().push(sender);
        drop(state);
        self.more.notify_one();
        Some((told, saved))
    }

    /// A connection ended. Does not block; what it left is written behind.
    pub fn left(&self, device: DeviceId, connection: ConnectionNumber, leaving: Leaving) {
        let now_ms = self.clock.monotonic_ms();
        let mut state = self.state.lock();
        let State { kept, shares, .. } = &mut *state;
        let found = kept.get_mut(&device).filter(|it| it.holder == Some(connection));
        let Some(place) = found else { return };
        let expiry_s = leaving.expiry_s.unwrap_or(place.session.expiry_s);
        let expiry_s = expiry_s.min(self.rules.expiry_max_s);
        let mut lost = leaving.lost;
        let subject = place.subject();
        if expiry_s == 0 {
            state.end(device, &self.metrics);
            lost = 0;
        } else {
            place.session.expiry_s = expiry_s;
            let room = shares.room(place.session.tenant_id);
            lost = lost.saturating_add(place.leave(leaving.state, self.clock.now(), room));
            let due_ms = now_ms.saturating_add(u64::from(expiry_s) * 1_000);
            place.due_ms = Some(due_ms);
            state.dues.insert((due_ms, device));
            state.changed(device);
        }
        drop(state);
        self.moved.notify_waiters();
        self.more.notify_one();
        if lost > 0 {
            self.metrics.count_bound(Bound::SessionMessages);
            let detail = format!("{lost} messages that were not acknowledged");
            self.record(subject, Reason::SessionMessagesLost, &detail);
        }
    }

    /// A change of shared attributes did not reach the connection.
    pub fn missed(&self, device: DeviceId) {
        if let Some(place) = self.state.lock().kept.get_mut(&device) {
            place.is_missing = true;
        }
    }

    fn begin(
        &self,
        mut state: parking_lot::MutexGuard<'_, State>,
        login: &DeviceLogin,
        (client_id, expiry_s): (&str, u32),
        connection: ConnectionNumber,
    ) -> Opened {
        let device = login.device_id;
        if let Some((bound, detail)) = self.full(&state, login.tenant_id) {
            drop(state);
            self.metrics.count_bound(bound);
            let subject = Subject::Device(device, login.tenant_id);
            self.record(subject, Reason::SessionNotKept, detail);
            return Opened::default();
        }
        let told = state.next_mark(self.now_us());
        let session = KeptSession {
            device_id: device,
            tenant_id: login.tenant_id,
            client_id: client_id.to_owned(),
            expiry_s,
            left_at: None,
            state: SessionState { told, ..SessionState::default() },
        };
        state.shares.enter(login.tenant_id);
        state.kept.insert(device, Place::new(session, Some(connection)));
        state.changed(device);
        self.metrics.kept_sessions.add(1);
        drop(state);
        self.more.notify_one();
        Opened { is_kept: true, expiry_s, state: None, told }
    }

    /// Which bound another session of this tenant would break, and whose it is.
    fn full(&self, state: &State, tenant: TenantId) -> Option<(Bound, &'static str)> {
        if state.kept.len() >= self.rules.kept_max {
            Some((Bound::KeptSessions, "of all tenants together"))
        } else if state.shares.sessions(tenant) >= self.rules.kept_per_tenant_max {
            Some((Bound::KeptSessionsPerTenant, "of this tenant"))
        } else {
            None
        }
    }

    fn record_end(&self, former: Option<&Place>, reason: Reason, detail: &str) {
        self.more.notify_one();
        if let Some(former) = former {
            self.record(former.subject(), reason, detail);
        }
    }

    fn record(&self, subject: Subject, reason: Reason, detail: &str) {
        self.journal.record(&Report {
            subject,
            reason,
            detail,
            remote: "",
            client_id: "",
            user_name: "",
            protocol: "",
            attempt: None,
        });
    }

    /// Marks begin where no earlier process can have come, as long as the clock does.
    fn now_us(&self) -> u64 {
        u64::try_from(self.clock.now().ms()).unwrap_or(0).saturating_mul(1_000)
    }
}

/// For the roof.
impl Sessions {
    /// Finds the sessions of before. To be called before the first device is let in.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn recall(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self.entities.kept_sessions(after, RECALL_PAGE).await?;
            let is_last = page.len() < RECALL_PAGE as usize;
            after = page.last().map(|it| it.device_id);
            page.into_iter().for_each(|session| self.restore(session));
            if is_last {
                return Ok(());
            }
        }
    }

    fn restore(&self, mut session: KeptSession) {
        let (now, now_ms) = (self.clock.now(), self.clock.monotonic_ms());
        let device = session.device_id;
        // One that has no end was killed with the process: its time begins now.
        let is_new = session.left_at.is_none();
        let left_at = *session.left_at.get_or_insert(now);
        let life_ms = u64::from(session.expiry_s.min(self.rules.expiry_max_s)) * 1_000;
        let gone_ms = u64::try_from(now.ms().saturating_sub(left_at.ms())).unwrap_or(0);
        let due_ms = now_ms.saturating_add(life_ms.saturating_sub(gone_ms));
        let mut state = self.state.lock();
        state.newest_mark = state.newest_mark.max(session.state.told);
        let mut place = Place::new(session, None);
        place.due_ms = Some(due_ms);
        let (tenant, weight) = (place.session.tenant_id, place.weight());
        state.shares.enter(tenant);
        state.shares.weigh(tenant, 0, weight);
        state.kept.insert(device, place);
        if is_new {
            state.unsaved.entry(device).or_default();
        }
        state.dues.insert((due_ms, device));
        drop(state);
        self.more.notify_one();
        self.metrics.kept_sessions.add(1);
    }

    /// Ends the sessions whose time is over.
    pub fn expire(&self) {
        loop {
            let now_ms = self.clock.monotonic_ms();
            let mut state = self.state.lock();
            let due = state.dues.first().copied().filter(|(due_ms, _)| *due_ms <= now_ms);
            let Some((_, device)) = due else { return };
            let former = state.end(device, &self.metrics);
            drop(state);
            self.record_end(former.as_ref(), Reason::SessionExpired, "");
        }
    }

    /// Waits until there may be something for [`Self::save`].
    pub async fn unsaved(&self) {
        self.more.notified().await;
    }

    /// Writes everything that is not durable yet.
    ///
    /// # Errors
    /// The store's trouble. Whoever waits is told; the rest is written next time.
    pub async fn save(&self) -> Result<(), Error> {
        let _turn = self.saving.lock().await;
        loop {
            let batch = self.state.lock().take_unsaved();
            if batch.is_empty() {
                return Ok(());
            }
            let writes = batch.iter().map(|it| it.write.clone()).collect();
            let outcome = self.entities.write(writes).await;
            if outcome.is_err() {
                let mut state = self.state.lock();
                for it in &batch {
                    state.unsaved.entry(it.device).or_default();
                }
            }
            for waiting in batch.into_iter().flat_map(|it| it.waiting) {
                // Who waited may have gone.
                let _ = waiting.send(outcome.is_ok());
            }
            outcome?;
        }
    }

    /// Devices whose sessions ended, once: what they were owed is to be forgotten.
    pub(crate) fn take_ended(&self) -> BTreeSet<DeviceId> {
        core::mem::take(&mut self.state.lock().ended)
    }

    /// A device was deleted, and all that is kept of it with it.
    pub(crate) fn device_deleted(&self, device: DeviceId) {
        let mut state = self.state.lock();
        if state.end(device, &self.metrics).is_some() {
            state.ended.remove(&device);
        }
    }

    /// A tenant was deleted with all its devices.
    pub(crate) fn tenant_deleted(&self, tenant: TenantId) {
        let mut state = self.state.lock();
        let of_tenant = state.kept.iter().filter(|(_, it)| it.session.tenant_id == tenant);
        let devices: Vec<_> = of_tenant.map(|(device, _)| *device).collect();
        for device in devices {
            state.end(device, &self.metrics);
            state.ended.remove(&device);
        }
    }
}

/// One session to be written.
struct Unsaved {
    device: DeviceId,
    write: Write,
    waiting: Vec<oneshot::Sender<bool>>,
}

impl State {
    fn next_mark(&mut self, now_us: u64) -> u64 {
        self.newest_mark = now_us.max(self.newest_mark.saturating_add(1));
        self.newest_mark
    }

    /// Forgets a session; it is removed from the store with the next write.
    fn end(&mut self, device: DeviceId, metrics: &Metrics) -> Option<Place> {
        let place = self.kept.remove(&device)?;
        if let Some(due_ms) = place.due_ms {
            self.dues.remove(&(due_ms, device));
        }
        self.shares.leave(place.session.tenant_id, place.counted_bytes);
        self.unsaved.entry(device).or_default();
        self.ended.insert(device);
        metrics.kept_sessions.sub(1);
        Some(place)
    }

    /// A session changed: it is weighed and written anew.
    fn changed(&mut self, device: DeviceId) {
        let Some(place) = self.kept.get_mut(&device) else { return };
        let before = place.counted_bytes;
        self.shares.weigh(place.session.tenant_id, before, place.weight());
        self.unsaved.entry(device).or_default();
    }

    fn take_unsaved(&mut self) -> Vec<Unsaved> {
        let mut batch = Vec::new();
        while batch.len() < BATCH_MAX
            && let Some((device, waiting)) = self.unsaved.pop_first()
        {
            let write = match self.kept.get(&device) {
                Some(place) => Write::KeepSession(place.session.clone()),
                None => Write::ForgetSession(device),
            };
            batch.push(Unsaved { device, write, waiting });
        }
        batch
    }
}

/// Keys of shared attributes that a session is owed; more than that, and it is owed all of them.
pub const KEYS_OWED_MAX: usize = 1_000;
/// Bytes of all kept sessions in memory; then messages that were not acknowledged are not kept.
pub const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same for the sessions of one tenant, so that the others can keep some.
pub const TENANT_BYTES_MAX: usize = KEPT_BYTES_MAX / 4 * 3;
/// Sessions that are written at once.
const BATCH_MAX: usize = 500;
const RECALL_PAGE: u32 = 1_000;
