//! Applications that answer what devices ask: they take requests and give answers, over REST or WebSocket.
//!
//! A request lives as long as its device waits: when the asking future is dropped the request is gone,
//! and an answer that comes later is refused. Who gets which request is the [`rota`]'s business.

mod rota;

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::downlink::ClientAnswer;
use thingport_model::id::{CustomerId, DeviceId, DeviceProfileId, TenantId};
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use self::rota::Rota;
use super::Question;
use crate::access::{Caller, missing};
use crate::clock::{Clock, Entropy};
use crate::error::Error;
use crate::metrics::{Bound, Metrics};
use crate::presence::Failure;
use crate::registry::DeviceLogin;

/// What an application answers.
pub type Answer = ClientAnswer;

/// The requests of all tenants, and who takes them.
pub struct Applications {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tenants: HashMap<TenantId, Rota>,
    requests: usize,
    bytes: usize,
    takers: usize,
    last_taker: u64,
}

/// What a device asked, as applications are told.
#[derive(PartialEq, Eq)]
pub struct Request {
    /// By which it is answered.
    pub id: Uuid,
    /// Who asks.
    pub device_id: DeviceId,
    /// Of which profile.
    pub profile_id: DeviceProfileId,
    /// Name of that profile.
    pub profile_name: String,
    /// Whose device it is, if a customer's.
    pub customer_id: Option<CustomerId>,
    /// What is asked for.
    pub method: String,
    /// Compact JSON text.
    pub params: String,
    /// When it was asked.
    pub asked_at: Timestamp,
}

/// How somebody takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Only those of devices of this profile.
    pub profile: Option<DeviceProfileId>,
    /// Most requests held at once, 1 to [`WINDOW_MAX`].
    pub window: u32,
    /// How long a request is held until it is given to somebody else.
    pub lease_ms: u64,
    /// Whether the taker goes on after the first requests. What it holds when it ends is given to
    /// somebody else at once.
    pub is_lasting: bool,
}

/// Somebody who takes requests, until this is dropped.
pub struct Taker {
    applications: Arc<Applications>,
    tenant: TenantId,
    number: u64,
    wake: Arc<Notify>,
}

/// A device's interest in an answer. Dropped, the request is gone.
struct Asked<'a> {
    applications: &'a Applications,
    tenant: TenantId,
    id: Uuid,
}

impl Applications {
    /// Nobody asks and nobody takes yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, metrics: Arc<Metrics>) -> Self {
        Self { clock, entropy, metrics, state: Mutex::default() }
    }

    /// Asks the applications of the device's tenant. Waits for an answer for as long as the caller does.
    ///
    /// # Errors
    /// Nobody takes such requests (`ClientCallNoApplication`), or too many wait (`ClientCallsFull`).
    pub async fn ask(&self, login: &DeviceLogin, asked: Question) -> Result<Answer, Failure> {
        let (answer, answered) = oneshot::channel();
        let _asked = self.put(login, asked, answer)?;
        // Only the end of the request drops the other half, and that ends with this.
        answered.await.map_err(|_| Reason::ClientCallNotAnswered.into())
    }

    fn put(
        &self,
        login: &DeviceLogin,
        asked: Question,
        answer: oneshot::Sender<Answer>,
    ) -> Result<Asked<'_>, Failure> {
        let (tenant, profile) = (login.tenant_id, &*login.profile);
        let now_ms = self.clock.monotonic_ms();
        let request = Request {
            id: self.new_id(),
            device_id: login.device_id,
            profile_id: profile.id,
            profile_name: profile.name.clone(),
            customer_id: login.customer_id,
            method: asked.method,
            params: asked.params,
            asked_at: self.clock.now(),
        };
        let mut state = self.state.lock();
        let of_tenant = state.tenants.get(&tenant);
        if !of_tenant.is_some_and(|it| it.is_attended(profile.id, now_ms)) {
            return Err(Reason::ClientCallNoApplication.into());
        }
        let is_full = of_tenant.is_some_and(|it| it.len() >= REQUESTS_PER_TENANT_MAX)
            || state.requests >= REQUESTS_MAX
            || state.bytes + request.bytes() > REQUEST_BYTES_MAX;
        if is_full {
            self.metrics.count_bound(Bound::ClientCallRequests);
            return Err(Reason::ClientCallsFull.into());
        }
        let asked = Asked { applications: self, tenant, id: request.id };
        state.requests += 1;
        state.bytes += request.bytes();
        state.tenants.entry(tenant).or_default().ask(Arc::new(request), answer, now_ms);
        Ok(asked)
    }

    /// Lets `caller` take requests of its tenant's devices.
    ///
    /// # Errors
    /// [`Error::Denied`] for anybody but tenant administrators: an answer is the tenant's word to a
    /// device, whoever's the device is. [`Error::Busy`] when too many take already.
    pub fn open(self: &Arc<Self>, caller: &Caller, terms: Terms) -> Result<Taker, Error> {
        caller.must_be_tenant()?;
        let (tenant, now_ms) = (caller.tenant_id, self.clock.monotonic_ms());
        let mut state = self.state.lock();
        let of_tenant = state.tenants.get(&tenant).map_or(0, Rota::takers);
        if of_tenant >= TAKERS_PER_TENANT_MAX || state.takers >= TAKERS_MAX {
            self.metrics.count_bound(Bound::ClientCallTakers);
            return Err(Error::Busy(format!(
                "{of_tenant} applications of this tenant take requests already; let each take \
                 several at once"
            )));
        }
        if state.tenants.len() >= TENANTS_SWEPT {
            state.tenants.retain(|_, rota| !rota.is_idle(now_ms));
        }
        state.takers += 1;
        state.last_taker += 1;
        let (number, wake) = (state.last_taker, Arc::new(Notify::new()));
        let rota = state.tenants.entry(tenant).or_default();
        rota.open(number, terms, Arc::clone(&wake), now_ms);
        Ok(Taker { applications: Arc::clone(self), tenant, number, wake })
    }

    /// Answers a request. The first answer counts, whoever holds the request.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no device of the caller's tenant waits for this answer, or not any more.
    /// [`Error::Denied`] by role.
    pub fn answer(&self, caller: &Caller, id: Uuid, answer: Answer) -> Result<(), Error> {
        caller.must_be_tenant()?;
        let sender = self.take_out(caller.tenant_id, id).ok_or_else(|| missing("request"))?;
        // The device may have hung up in this moment.
        sender.send(answer).map_err(|_| missing("request"))
    }

    fn take_out(&self, tenant: TenantId, id: Uuid) -> Option<oneshot::Sender<Answer>> {
        let now_ms = self.clock.monotonic_ms();
        let mut state = self.state.lock();
        let (request, sender) = state.tenants.get_mut(&tenant)?.take_out(id, now_ms)?;
        state.requests -= 1;
        state.bytes -= request.bytes();
        Some(sender)
    }

    fn new_id(&self) -> Uuid {
        let mut random = [0; 16];
        self.entropy.fill(&mut random);
        uuid::Builder::from_random_bytes(random).into_uuid()
    }
}

impl Taker {
    /// What was given since this was last asked, at most the window of its terms.
    #[must_use]
    pub fn fetch(&self) -> Vec<Arc<Request>> {
        let now_ms = self.applications.clock.monotonic_ms();
        let mut state = self.applications.state.lock();
        let rota = state.tenants.get_mut(&self.tenant);
        rota.map(|it| it.fetch(self.number, now_ms)).unwrap_or_default()
    }

    /// Waits until [`Self::fetch`] may give something. Leases of others that lapse meanwhile are only
    /// found after [`Self::lapse_in_ms`].
    pub async fn given(&self) {
        self.wake.notified().await;
    }

    /// In how many milliseconds a lease of anybody in the tenant lapses; then [`Self::fetch`] may give
    /// something.
    #[must_use]
    pub fn lapse_in_ms(&self) -> Option<u64> {
        let now_ms = self.applications.clock.monotonic_ms();
        let state = self.applications.state.lock();
        let next_ms = state.tenants.get(&self.tenant)?.next_lapse_ms()?;
        Some(next_ms.saturating_sub(now_ms))
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        let now_ms = self.applications.clock.monotonic_ms();
        let mut state = self.applications.state.lock();
        state.takers -= 1;
        if let Some(rota) = state.tenants.get_mut(&self.tenant) {
            rota.close(self.number, now_ms);
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        // It is gone already when it was answered.
        let _ = self.applications.take_out(self.tenant, self.id);
    }
}

impl Request {
    const fn bytes(&self) -> usize {
        REQUEST_BYTES + self.method.len() + self.params.len() + self.profile_name.len()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a device asks with is its own business.
        f.debug_struct("Request").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Taker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taker").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Most requests one taker may hold.
pub const WINDOW_MAX: u32 = 256;
/// Requests of one tenant that wait for an answer (`client_call_requests_max`).
const REQUESTS_PER_TENANT_MAX: usize = 1_000;
/// The same of all tenants.
const REQUESTS_MAX: usize = 10_000;
/// Bytes of all of them.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What one costs beside its texts.
const REQUEST_BYTES: usize = 512;
/// Takers of one tenant (`client_call_takers_max`).
const TAKERS_PER_TENANT_MAX: usize = 64;
/// The same of all tenants.
const TAKERS_MAX: usize = 4_096;
/// With so many tenants, those that have nothing are looked for and forgotten.
const TENANTS_SWEPT: usize = 256;

#[cfg(test)]
mod tests;
