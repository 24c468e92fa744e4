//! Calls: what the server asks devices (device API 6.1 to 6.5).
//!
//! Each device has a line of calls that are pending ([`line`]); one desk holds all lines. Connections
//! tell here which device listens, what became of each attempt to deliver a call, and what devices
//! answer. Persistent calls are durable before their maker hears of them, and so are their ends before
//! anybody sees them; everything else about them is written behind.

mod desk;
mod line;
mod unsaved;

use std::sync::Arc;

use thingport_model::device::Device;
use thingport_model::id::{DeviceId, RpcId, TenantId, ordered_id};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::{Entities, Write};
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::reason::Reason;
use thingport_model::rpc::{
    Call, CallFilter, CallProgress, CallStatus, CallToken, CallWay, KeptProgress, PersistentCall,
};
use thingport_model::tenant::OpaqueJson;
use thingport_model::time::Timestamp;
use tokio::sync::{Mutex, oneshot};

use crate::access::{Caller, missing};
use crate::clock::{Clock, Entropy};
use crate::error::Error;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::presence::Presence;
use crate::registry::{DeviceLogin, Registry};
pub use desk::{CALLS_BYTES_MAX, CALLS_MAX, CALLS_PER_DEVICE_MAX};
use desk::{Desk, Full, Waiter, withdraw};
pub use line::{CallRules, Outcome, SubmitStrategy};
use line::{NewCall, Owner, Taken};
use unsaved::{Batch, Created};

/// Every call under way.
pub struct Calls {
    registry: Arc<Registry>,
    entities: Arc<dyn Entities>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    desk: Arc<Desk>,
    /// Held while something is written, so that nothing overtakes.
    saving: Mutex<()>,
}

/// A call as somebody wants it made.
#[derive(Clone)]
pub struct CallDraft {
    /// What is asked for.
    pub method: String,
    /// JSON text.
    pub params: String,
    /// Whether an answer is waited for.
    pub way: CallWay,
    /// When it is of no use any more, milliseconds since 1970; wins over `timeout_ms`.
    pub expires_at: Option<Timestamp>,
    /// How long it is of use; raised to [`TIMEOUT_MIN_MS`].
    pub timeout_ms: Option<u64>,
    /// How often it may be tried again.
    pub retries: Option<u32>,
    /// Its identity, if it is kept.
    pub id: Option<RpcId>,
    /// `additionalInfo` as sent.
    pub additional_info: Option<OpaqueJson>,
}

/// What [`Calls::new`] is made of.
pub struct CallParts {
    /// Who may do what.
    pub registry: Arc<Registry>,
    /// Where persistent calls are kept.
    pub entities: Arc<dyn Entities>,
    /// Which device is there.
    pub presence: Arc<Presence>,
    /// Where it is told why a call came to nothing.
    pub journal: Arc<Journal>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
}

/// For connections.
impl Calls {
    /// No call is pending yet.
    #[must_use]
    pub fn new(parts: CallParts, rules: CallRules) -> Self {
        let CallParts { registry, entities, presence, journal, metrics, clock, entropy } = parts;
        let desk = Desk::new(rules, (presence, journal), (metrics, Arc::clone(&clock)));
        let (desk, saving) = (Arc::new(desk), Mutex::default());
        Self { registry, entities, clock, entropy, desk, saving }
    }

    /// A device subscribed to calls, for the first time or again: what is pending may be sent (RP-031).
    /// Its SUBACK goes out before anything that is told now. Does not block.
    pub fn wanted(&self, device: DeviceId) {
        self.desk.visit(device, |line, scene| {
            line.wanted(scene.present, scene.tokens, scene.out);
        });
    }

    /// A device listens no more: it unsubscribed or its connection ended, and no other took its place
    /// (RP-050). Does not block.
    pub fn unwanted(&self, device: DeviceId) {
        self.desk.visit(device, |line, scene| line.unwanted(scene.present));
    }

    /// A device began to listen beside its connection, for one call, or ended to: what is pending may be
    /// sent to whoever listens now. Unlike [`Self::wanted`] it sends nothing again that a device was
    /// given, since a device that polls begins anew after each call. Does not block.
    pub fn polled(&self, login: &DeviceLogin) {
        self.desk.visit(login.device_id, |line, scene| {
            line.polled(scene.present, scene.tokens, scene.out);
        });
    }

    /// Those of these attempts whose calls have not ended: only they are worth to be sent again.
    #[must_use]
    pub fn open_attempts(&self, device: DeviceId, attempts: Vec<CallToken>) -> Vec<CallToken> {
        if attempts.is_empty() {
            return attempts;
        }
        let open = self.desk.visit(device, |line, _| {
            attempts.into_iter().filter(|token| line.is_open(*token)).collect()
        });
        open.unwrap_or_default()
    }

    /// A device took up its session again, in which it listens to calls. Its connection repeats the
    /// attempts `again` by itself. Unlike [`Self::wanted`] it gives the device nothing again that it
    /// acknowledged. Does not block.
    pub fn resumed(&self, login: &DeviceLogin, again: &[CallToken]) {
        self.desk.visit(login.device_id, |line, scene| {
            line.resumed(again, scene.present, scene.tokens, scene.out);
        });
    }

    /// A device that took up its session subscribed again to calls, to which it listened already. Does
    /// not block.
    pub fn renewed(&self, login: &DeviceLogin) {
        self.desk.visit(login.device_id, |line, scene| {
            line.renewed(scene.present, scene.tokens, scene.out);
        });
    }

    /// What became of an attempt to deliver a call. Does not block.
    pub fn progress(&self, device: DeviceId, token: CallToken, progress: CallProgress) {
        self.desk.visit(device, |line, scene| {
            line.progress((token, progress), scene.present, scene.tokens, scene.out);
        });
    }

    /// A device answered a call; returns when that is kept, and is acknowledged then (RP-009). Answers
    /// to calls nobody waits for are ignored (RP-007).
    ///
    /// # Errors
    /// Why the answer could not be kept; the device may send it again.
    pub async fn answered(&self, device: DeviceId, id: u32, body: String) -> Result<(), Reason> {
        let taken = self.desk.visit(device, |line, scene| {
            line.answered((id, body), scene.present, scene.tokens, scene.out)
        });
        if taken.flatten() == Some(Taken::ByCaller) {
            return Ok(());
        }
        // One that was answered before may be a repetition of what is not durable yet.
        let is_kept = match self.desk.unsaved.settled(device) {
            None => true,
            Some(waits) => all(waits).await,
        };
        if is_kept { Ok(()) } else { Err(Reason::StorageBusy) }
    }
}

/// For people.
impl Calls {
    /// Calls a device and waits for what comes of it.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::Denied`] by role or ownership, [`Error::Busy`] when too many
    /// calls are pending already.
    pub async fn call(
        &self,
        caller: &Caller,
        device: DeviceId,
        draft: CallDraft,
    ) -> Result<Outcome, Error> {
        let device = self.callable(caller, device).await?;
        let Some(expires_ms) = self.deadline(&device, &draft) else { return Ok(Outcome::Overdue) };
        let (waiter, outcome) = oneshot::channel();
        let new = self.new_call(&draft, expires_ms, Owner::Waits(waiter));
        self.desk.add((device.id, device.tenant_id), new, |_| {}).map_err(busy)?;
        let lost = |_| Error::Unavailable("a call was dropped without an outcome".to_owned());
        outcome.await.map_err(lost)
    }

    /// Makes a call that is kept until it ends; returns when it is durable. It goes on even if
    /// nobody waits for this to return.
    ///
    /// # Errors
    /// As [`Self::call`], [`Error::Invalid`] when its id is taken, or the store's trouble.
    pub async fn call_persistently(
        &self,
        caller: &Caller,
        device: DeviceId,
        draft: CallDraft,
    ) -> Result<RpcId, Error> {
        let device = self.callable(caller, device).await?;
        let id = draft.id.unwrap_or_else(|| self.new_id());
        let kept = match self.deadline(&device, &draft) {
            Some(expires_ms) => self.add_kept(&device, id, &draft, expires_ms)?,
            None => {
                // Over before it began (RP-020).
                let number = self.desk.take_number(device.id, device.tenant_id);
                let over = KeptProgress::of(CallStatus::Expired);
                let call = call(number, &draft);
                self.desk.unsaved.create(self.record(&device, id, (call, over), &draft))
            }
        };
        let ended = |_| Error::Unavailable("the writer of calls has ended".to_owned());
        match kept.await.map_err(ended)? {
            Ok(()) => Ok(id),
            Err(PortError::Conflict(Conflict::Reference)) => Err(missing("device")),
            Err(error) => Err(error.into()),
        }
    }

    /// One persistent call.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`] by role or customer, or the store's trouble.
    pub async fn kept(&self, caller: &Caller, id: RpcId) -> Result<PersistentCall, Error> {
        caller.must_see_devices()?;
        let found = self.entities.call(id).await?;
        let call = found.filter(|call| call.tenant_id == caller.tenant_id);
        let call = call.ok_or_else(|| missing("persistent call"))?;
        self.registry.device(caller, call.device_id).await?;
        Ok(call)
    }

    /// A page of a device's persistent calls; text search on method and parameters.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`], [`Error::Invalid`] for a page that cannot be or the
    /// status `DELETED`, or the store's trouble.
    pub async fn kept_of(
        &self,
        caller: &Caller,
        filter: CallFilter,
        link: PageLink,
    ) -> Result<Page<PersistentCall>, Error> {
        self.registry.device(caller, filter.device_id).await?;
        if filter.status == Some(CallStatus::Deleted) {
            return Err(Error::Invalid("deleted calls are not kept".to_owned()));
        }
        let link = crate::registry::page(link, SORTS)?;
        Ok(self.entities.calls(filter, link).await?)
    }

    /// Deletes a persistent call; one that is pending is not sent any more (RP-057).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`] for everybody but tenant administrators, or the store's
    /// trouble.
    pub async fn delete(&self, caller: &Caller, id: RpcId) -> Result<(), Error> {
        caller.must_be_tenant()?;
        let call = self.kept(caller, id).await?;
        self.entities.write(vec![Write::DeleteCall(id)]).await?;
        withdraw(&self.desk, call.device_id, call.call.id, id);
        Ok(())
    }

    async fn callable(&self, caller: &Caller, device: DeviceId) -> Result<Device, Error> {
        let device = self.registry.device(caller, device).await?;
        caller.may_write_device(&device)?;
        Ok(device)
    }

    /// When a call is of no use any more, on the clock that only moves forward; none if it is already.
    fn deadline(&self, device: &Device, draft: &CallDraft) -> Option<u64> {
        let left = match draft.expires_at {
            Some(at) => u64::try_from(at.ms().saturating_sub(self.clock.now().ms())).unwrap_or(0),
            None => timeout_ms(draft),
        };
        if left == 0 {
            let reason = Reason::CallOverdue;
            self.desk.journal_lost(device.id, device.tenant_id, reason, &draft.method);
            return None;
        }
        Some(self.clock.monotonic_ms().saturating_add(left))
    }

    fn new_call(
        &self,
        draft: &CallDraft,
        expires_ms: u64,
        owner: Owner<Waiter>,
    ) -> NewCall<Waiter> {
        NewCall {
            method: draft.method.clone(),
            params: draft.params.clone(),
            way: draft.way,
            expires_ms,
            retries_max: self.desk.retries(draft.retries),
            owner,
        }
    }

    /// Puts a persistent call in line and has it kept. Both in one step, so that calls are kept in the
    /// order of their numbers.
    fn add_kept(
        &self,
        device: &Device,
        id: RpcId,
        draft: &CallDraft,
        expires_ms: u64,
    ) -> Result<oneshot::Receiver<Result<(), PortError>>, Error> {
        let new = self.new_call(draft, expires_ms, Owner::Kept(id));
        let mut kept = None;
        let also = |call: &Call| {
            let queued = KeptProgress::of(CallStatus::Queued);
            let record = self.record(device, id, (call.clone(), queued), draft);
            kept = Some(self.desk.unsaved.create(record));
        };
        self.desk.add((device.id, device.tenant_id), new, also).map_err(busy)?;
        kept.ok_or_else(|| Error::Unavailable("a call found no line".to_owned()))
    }

    fn record(
        &self,
        device: &Device,
        id: RpcId,
        (call, progress): (Call, KeptProgress),
        draft: &CallDraft,
    ) -> PersistentCall {
        let created_at = self.clock.now();
        let timeout = i64::try_from(timeout_ms(draft)).unwrap_or(i64::MAX);
        let until = || Timestamp(created_at.ms().saturating_add(timeout));
        PersistentCall {
            id,
            created_at,
            tenant_id: device.tenant_id,
            device_id: device.id,
            call,
            way: draft.way,
            expires_at: draft.expires_at.unwrap_or_else(until),
            retries: draft.retries,
            additional_info: draft.additional_info.clone(),
            progress,
        }
    }

    fn new_id(&self) -> RpcId {
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        RpcId(ordered_id(self.clock.now(), &random))
    }
}

/// For the roof.
impl Calls {
    /// Puts the persistent calls that are open back in line. To be called before the first device is
    /// let in, so that answers find their calls.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn recall(&self) -> Result<(), Error> {
        let limit = u32::try_from(CALLS_MAX).unwrap_or(u32::MAX);
        self.desk.restore(self.entities.open_calls(limit).await?);
        Ok(())
    }

    /// Ends what has taken too long; returns the moment, on the clock that only moves forward, when it
    /// is to be called again at the latest. [`Self::sooner`] tells when earlier.
    #[must_use]
    pub fn tick(&self) -> Option<u64> {
        self.desk.tick()
    }

    /// Waits until something is due sooner than [`Self::tick`] said.
    pub async fn sooner(&self) {
        self.desk.sooner().await;
    }

    /// Waits until there may be something for [`Self::save`].
    pub async fn unsaved(&self) {
        self.desk.unsaved.more().await;
    }

    /// Writes everything that is not durable yet.
    ///
    /// # Errors
    /// The store's trouble. What was new is refused to whoever made it; the rest is written next time.
    pub async fn save(&self) -> Result<(), Error> {
        let _turn = self.saving.lock().await;
        while let Some(batch) = self.desk.unsaved.take() {
            self.write(batch).await?;
        }
        Ok(())
    }

    /// Forgets calls that ended longer ago than the tenant profile says (`rpcTtlDays`). To be called now
    /// and then; each time only so many are forgotten.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn forget_old(&self) -> Result<(), Error> {
        for page in 0.. {
            let link = PageLink { page, size: TENANTS_PAGE, text_search: None, sort: None };
            let tenants = self.entities.tenants(link).await?.rows;
            for tenant in &tenants {
                let profile = self.entities.tenant_profile(tenant.tenant_profile_id).await?;
                let days = profile.map_or(0, |profile| profile.rpc_ttl_days);
                if days > 0 {
                    self.forget(tenant.id, days).await?;
                }
            }
            if tenants.len() < TENANTS_PAGE as usize {
                break;
            }
        }
        Ok(())
    }

    /// A device was deleted: whoever waits for it is told.
    pub fn device_deleted(&self, device: DeviceId) {
        self.desk.dissolve(device);
    }

    /// A tenant was deleted with all its devices.
    pub fn tenant_deleted(&self, tenant: TenantId) {
        self.desk.dissolve_tenant(tenant);
    }

    async fn forget(&self, tenant: TenantId, days: u32) -> Result<(), Error> {
        let life = i64::from(days).saturating_mul(MS_PER_DAY);
        let before = Timestamp(self.clock.now().ms().saturating_sub(life));
        Ok(self.entities.write(vec![Write::ForgetCalls(tenant, before, FORGOTTEN_MAX)]).await?)
    }

    async fn write(&self, mut batch: Batch) -> Result<(), Error> {
        let created = core::mem::take(&mut batch.created);
        let records = created.iter().map(|created| Write::Call(created.call.clone()));
        let writes = records.chain(batch.steps()).collect();
        let outcome = match self.entities.write(writes).await {
            // One of them breaks a rule: each is to fail alone.
            Err(PortError::Conflict(_)) => return self.write_singly(created, batch).await,
            other => other,
        };
        match &outcome {
            Ok(()) => self.desk.unsaved.kept(&batch),
            Err(_) => self.desk.unsaved.failed(&batch),
        }
        created.into_iter().for_each(|created| self.created(created, outcome.clone()));
        Ok(outcome?)
    }

    async fn write_singly(&self, created: Vec<Created>, batch: Batch) -> Result<(), Error> {
        for one in created {
            let outcome = self.entities.write(vec![Write::Call(one.call.clone())]).await;
            self.created(one, outcome);
        }
        let outcome = self.entities.write(batch.steps().collect()).await;
        match &outcome {
            Ok(()) => self.desk.unsaved.kept(&batch),
            Err(_) => self.desk.unsaved.failed(&batch),
        }
        Ok(outcome?)
    }

    /// A new call is durable or refused. Who made it is told first: it may be answered at once.
    fn created(&self, created: Created, outcome: Result<(), PortError>) {
        let Created { call, done } = created;
        let is_kept = outcome.is_ok();
        // Who made it may have gone.
        let _ = done.send(outcome);
        if !is_kept {
            return withdraw(&self.desk, call.device_id, call.call.id, call.id);
        }
        self.desk.visit(call.device_id, |line, scene| {
            line.saved((call.call.id, call.id), scene.present, scene.tokens, scene.out);
        });
    }
}

/// Whether everything waited for became durable.
async fn all(waits: Vec<oneshot::Receiver<bool>>) -> bool {
    let mut is_kept = true;
    for wait in waits {
        is_kept &= wait.await.unwrap_or(false);
    }
    is_kept
}

fn call(number: u32, draft: &CallDraft) -> Call {
    Call { id: number, method: draft.method.clone(), params: draft.params.clone() }
}

fn timeout_ms(draft: &CallDraft) -> u64 {
    draft.timeout_ms.unwrap_or(TIMEOUT_MS).max(TIMEOUT_MIN_MS)
}

fn busy(full: Full) -> Error {
    Error::Busy(match full {
        Full::Device => format!(
            "{CALLS_PER_DEVICE_MAX} calls wait for this device already; try again when it has \
             answered some, or delete some"
        ),
        Full::All => "as many calls as may be are waiting for devices; try again later".to_owned(),
    })
}

impl core::fmt::Debug for CallDraft {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Parameters may hold secrets.
        let Self { method, way, .. } = self;
        let mut shown = f.debug_struct("CallDraft");
        shown.field("method", method).field("way", way).finish_non_exhaustive()
    }
}

/// Life of a call that names none (device API 6.2).
pub const TIMEOUT_MS: u64 = 10_000;
/// Shortest life that may be asked for; less is raised to it.
pub const TIMEOUT_MIN_MS: u64 = 5_000;
/// Properties that persistent calls are sorted by.
const SORTS: &[&str] = &["createdTime", "expirationTime", "request", "response"];
/// Ended calls of one tenant that are forgotten at a time.
const FORGOTTEN_MAX: u32 = 10_000;
const TENANTS_PAGE: u32 = 1_000;
const MS_PER_DAY: i64 = 24 * 60 * 60 * 1_000;
