//! The desk where all lines stand: bounds, deadlines, and the carrying out of what a line decides.

use core::mem;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::downlink::Downlink;
use thingport_model::id::{DeviceId, RpcId, TenantId};
use thingport_model::reason::Reason;
use thingport_model::rpc::{Call, PersistentCall};
use tokio::sync::{Notify, oneshot};

use super::line::{CallRules, Effect, Line, NewCall, Outcome, Present, Tokens};
use super::unsaved::Unsaved;
use crate::clock::Clock;
use crate::journal::{Journal, Report, Subject};
use crate::metrics::{Bound, Metrics};
use crate::presence::Presence;

/// Where a caller is told the outcome.
pub(super) type Waiter = oneshot::Sender<Outcome>;

/// Every line.
pub(super) struct Desk {
    state: Mutex<State>,
    pub(super) rules: CallRules,
    pub(super) unsaved: Unsaved,
    presence: Arc<Presence>,
    journal: Arc<Journal>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    sooner: Notify,
}

#[derive(Default)]
struct State {
    lines: HashMap<DeviceId, Place, foldhash::fast::RandomState>,
    /// When which line is to be looked at.
    dues: BTreeSet<(u64, DeviceId)>,
    tokens: Tokens,
    pending: usize,
    bytes: usize,
    /// When [`Desk::tick`] expects to be called again.
    asleep_until_ms: u64,
}

struct Place {
    line: Line<Waiter>,
    tenant: TenantId,
    due_ms: Option<u64>,
}

/// All that a line's method may touch beside the line.
pub(super) struct Scene<'a> {
    pub(super) present: &'a Present<'a>,
    pub(super) tokens: &'a mut Tokens,
    pub(super) out: &'a mut Vec<Effect<Waiter>>,
}

/// Why a call is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// So many wait for this device.
    Device,
    /// So many wait for all devices together.
    All,
}

impl Desk {
    pub(super) fn new(
        rules: CallRules,
        (presence, journal): (Arc<Presence>, Arc<Journal>),
        (metrics, clock): (Arc<Metrics>, Arc<dyn Clock>),
    ) -> Self {
        Self {
            state: Mutex::default(),
            rules,
            unsaved: Unsaved::default(),
            presence,
            journal,
            metrics,
            clock,
            sooner: Notify::new(),
        }
    }

    /// Puts a call in line and hands its final form to `also` before anything else happens.
    pub(super) fn add(
        &self,
        (device, tenant): (DeviceId, TenantId),
        new: NewCall<Waiter>,
        also: impl FnOnce(&Call),
    ) -> Result<(), Full> {
        let mut state = self.state.lock();
        let weight = new.method.len() + new.params.len();
        self.check_room(&state, (device, tenant), weight)?;
        state.make_room_for_line(device);
        let line = Line::default();
        state.lines.entry(device).or_insert(Place { line, tenant, due_ms: None });
        let lost = self.visit_locked(&mut state, device, |line, scene| {
            also(&line.add(new, scene.present, scene.tokens, scene.out));
        });
        drop(state);
        self.record(lost.map(|(lost, ())| lost).unwrap_or_default());
        Ok(())
    }

    /// The number of a call that is over before it is put in line (RP-003).
    pub(super) fn take_number(&self, device: DeviceId, tenant: TenantId) -> u32 {
        let mut state = self.state.lock();
        state.make_room_for_line(device);
        let line = Line::default();
        let place = state.lines.entry(device).or_insert(Place { line, tenant, due_ms: None });
        place.line.take_number()
    }

    /// Puts kept calls back in line and sends those whose devices are there already.
    pub(super) fn restore(&self, kept: Vec<PersistentCall>) {
        let (now, now_ms) = (self.clock.now(), self.clock.monotonic_ms());
        let mut devices = BTreeSet::new();
        let mut state = self.state.lock();
        for call in kept {
            let (device, tenant) = (call.device_id, call.tenant_id);
            let left = u64::try_from(call.expires_at.ms().saturating_sub(now.ms())).unwrap_or(0);
            let retries = self.retries(call.retries);
            let line = Line::default();
            let place = state.lines.entry(device).or_insert(Place { line, tenant, due_ms: None });
            let before = (place.line.len(), place.line.bytes());
            place.line.restore(call, now_ms.saturating_add(left), retries);
            let after = (place.line.len(), place.line.bytes());
            state.pending += after.0 - before.0;
            state.bytes += after.1.saturating_sub(before.1);
            devices.insert(device);
        }
        self.metrics.calls_pending.add(state.pending as u64);
        drop(state);
        for device in devices {
            // What was delivered waits for its answer, until the device subscribes anew.
            self.visit(device, |line, scene| {
                line.polled(scene.present, scene.tokens, scene.out);
            });
        }
    }

    /// How often a call may be tried again.
    pub(super) fn retries(&self, wanted: Option<u32>) -> u32 {
        wanted.unwrap_or(u32::MAX).min(self.rules.retries_max)
    }

    /// Lets something happen to the line of a device; none if it has no line.
    pub(super) fn visit<R>(
        &self,
        device: DeviceId,
        visit: impl FnOnce(&mut Line<Waiter>, &mut Scene<'_>) -> R,
    ) -> Option<R> {
        let mut state = self.state.lock();
        let visited = self.visit_locked(&mut state, device, visit);
        drop(state);
        let (lost, result) = visited?;
        self.record(lost);
        Some(result)
    }

    /// Ends all calls of a device that is gone.
    pub(super) fn dissolve(&self, device: DeviceId) {
        self.visit(device, |line, scene| line.dissolve(scene.out));
        self.state.lock().lines.remove(&device);
    }

    /// Ends all calls of a tenant that is gone.
    pub(super) fn dissolve_tenant(&self, tenant: TenantId) {
        let state = self.state.lock();
        let places = state.lines.iter().filter(|(_, place)| place.tenant == tenant);
        let devices: Vec<_> = places.map(|(device, _)| *device).collect();
        drop(state);
        devices.into_iter().for_each(|device| self.dissolve(device));
    }

    /// Does what is due, and says when to come back at the latest.
    pub(super) fn tick(&self) -> Option<u64> {
        loop {
            let now_ms = self.clock.monotonic_ms();
            let mut state = self.state.lock();
            let next = state.dues.first().copied();
            let Some((due_ms, device)) = next.filter(|(due_ms, _)| *due_ms <= now_ms) else {
                let next_ms = next.map(|(due_ms, _)| due_ms);
                state.asleep_until_ms = next_ms.unwrap_or(u64::MAX);
                return next_ms;
            };
            debug_assert!(due_ms <= now_ms, "what is due is looked at");
            let visited = self.visit_locked(&mut state, device, |line, scene| {
                line.tick(scene.present, scene.tokens, scene.out);
            });
            drop(state);
            self.record(visited.map(|(lost, ())| lost).unwrap_or_default());
        }
    }

    /// Waits until something is due sooner than [`Self::tick`] said.
    pub(super) async fn sooner(&self) {
        self.sooner.notified().await;
    }

    fn check_room(
        &self,
        state: &State,
        (device, tenant): (DeviceId, TenantId),
        weight: usize,
    ) -> Result<(), Full> {
        let waiting = state.lines.get(&device).map_or(0, |place| place.line.len());
        if waiting >= CALLS_PER_DEVICE_MAX {
            self.metrics.count_bound(Bound::CallsPerDevice);
            self.journal_lost(device, tenant, Reason::CallsFull, "");
            return Err(Full::Device);
        }
        if state.pending >= CALLS_MAX || state.bytes.saturating_add(weight) > CALLS_BYTES_MAX {
            self.metrics.count_bound(Bound::Calls);
            return Err(Full::All);
        }
        Ok(())
    }

    fn visit_locked<R>(
        &self,
        state: &mut State,
        device: DeviceId,
        visit: impl FnOnce(&mut Line<Waiter>, &mut Scene<'_>) -> R,
    ) -> Option<(Vec<Lost>, R)> {
        let State { lines, dues, tokens, pending, bytes, asleep_until_ms } = state;
        let place = lines.get_mut(&device)?;
        let before = (place.line.len(), place.line.bytes());
        let found = self.presence.connection(device);
        let present = Present {
            now_ms: self.clock.monotonic_ms(),
            connection: found.map(|(connection, _)| connection),
            listens: found.is_some_and(|(_, wants)| wants.calls),
            rules: &self.rules,
        };
        let mut out = Vec::new();
        let mut scene = Scene { present: &present, tokens, out: &mut out };
        let result = visit(&mut place.line, &mut scene);
        let lost = self.carry_out(device, place, out);
        let after = (place.line.len(), place.line.bytes());
        *pending = *pending + after.0 - before.0;
        *bytes = (*bytes + after.1).saturating_sub(before.1);
        self.metrics.calls_pending.add(after.0 as u64);
        self.metrics.calls_pending.sub(before.0 as u64);
        let due_ms = place.line.due_ms();
        if let Some(former) = mem::replace(&mut place.due_ms, due_ms) {
            dues.remove(&(former, device));
        }
        if let Some(due_ms) = due_ms {
            dues.insert((due_ms, device));
            if due_ms < *asleep_until_ms {
                *asleep_until_ms = due_ms;
                self.sooner.notify_one();
            }
        }
        Some((lost, result))
    }

    /// Does what a line decided. Within the lock, so that calls reach the connection in order.
    fn carry_out(
        &self,
        device: DeviceId,
        place: &mut Place,
        effects: Vec<Effect<Waiter>>,
    ) -> Vec<Lost> {
        let mut lost = Vec::new();
        let mut is_refused = false;
        for effect in effects {
            match effect {
                Effect::Tell { call, token, expires_ms } => {
                    let downlink = Downlink::Call { call, token, expires_ms };
                    // What comes behind one that was refused must not overtake it.
                    let told = (!is_refused).then(|| self.presence.tell_whom(device, downlink));
                    match told.flatten() {
                        Some(connection) => place.line.told(token, connection),
                        None => {
                            is_refused = true;
                            place.line.refused(token, self.clock.monotonic_ms());
                        }
                    }
                }
                // Who asked may have gone.
                Effect::Answer(waiter, outcome) => drop(waiter.send(outcome)),
                Effect::Keep(id, progress) => self.unsaved.step(device, id, progress),
                Effect::Close => {
                    let close = Downlink::Close(Reason::CallNotAcknowledged);
                    self.presence.tell(device, close);
                }
                Effect::Lost(reason, call) => {
                    lost.push(Lost { device, tenant: place.tenant, reason, call });
                }
                Effect::Ended(ending) => self.metrics.count_call(ending),
            }
        }
        lost
    }

    fn record(&self, lost: Vec<Lost>) {
        for Lost { device, tenant, reason, call } in lost {
            self.journal_lost(device, tenant, reason, &call.method);
        }
    }

    pub(super) fn journal_lost(
        &self,
        device: DeviceId,
        tenant: TenantId,
        reason: Reason,
        method: &str,
    ) {
        let detail = if method.is_empty() { String::new() } else { format!("method {method}") };
        self.journal.record(&Report {
            subject: Subject::Device(device, tenant),
            reason,
            detail: &detail,
            remote: "",
            client_id: "",
            user_name: "",
            protocol: "",
            attempt: None,
        });
    }
}

impl State {
    /// Forgets the numbers of devices that have not been called lately, when there are too many.
    fn make_room_for_line(&mut self, device: DeviceId) {
        if self.lines.len() >= LINES_MAX && !self.lines.contains_key(&device) {
            self.lines.retain(|_, place| place.line.len() > 0);
        }
    }
}

/// A call that came to nothing.
struct Lost {
    device: DeviceId,
    tenant: TenantId,
    reason: Reason,
    call: Arc<Call>,
}

/// Whether a persistent call is withdrawn from its line, if it is still there.
pub(super) fn withdraw(desk: &Desk, device: DeviceId, number: u32, id: RpcId) {
    desk.visit(device, |line, scene| {
        line.withdraw((number, id), scene.present, scene.tokens, scene.out);
    });
}

/// Calls that may be pending for one device; the next one is refused.
pub const CALLS_PER_DEVICE_MAX: usize = 1_000;
/// Calls that may be pending for all devices together; the next one is refused.
pub const CALLS_MAX: usize = 100_000;
/// Bytes of those; the next one is refused.
pub const CALLS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Devices whose next number is remembered, beside those with calls.
const LINES_MAX: usize = 100_000;
