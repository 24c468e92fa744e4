//! Claims: devices that may become a customer's (device API 7.1, REST API section 10).
//!
//! A device, or its gateway, says that it may be claimed by whoever knows a secret, for a while; a
//! customer's user then claims it by its name. What devices say so is kept in memory and is gone after a
//! restart; the server attribute `claimingData`, which people write, is not. Of the secret only a hash is
//! kept. A device never learns what became of its words (CL-003), so every refusal is an incident of the
//! device.

mod held;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::attribute::Scope;
use thingport_model::device::Device;
use thingport_model::id::{CustomerId, DeviceId, TenantId};
use thingport_model::port::ledger::{Keys, Ledger};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::{Value, ValueRef};

use crate::access::Caller;
use crate::attributes::Attributes;
use crate::clock::Clock;
use crate::error::Error;
use crate::journal::{Journal, Report, Subject};
use crate::metrics::{Bound, Metrics};
use crate::registry::Registry;
use held::{Held, Registration, SecretHash};

pub use held::{CLAIMS_MAX, WRONG_MAX, WRONG_MS};

/// What the operator decides about claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimRules {
    /// Whether a device may be claimed without the server attribute `claimingAllowed` (CL-008).
    pub allowed_by_default: bool,
    /// For how many milliseconds a device may be claimed that names no time (CL-005).
    pub duration_ms: u64,
}

/// What a claim is made of; shared with whoever needs the same.
pub(crate) struct ClaimParts {
    pub(crate) registry: Arc<Registry>,
    pub(crate) attributes: Arc<Attributes>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Every claim that is held.
pub struct Claims {
    parts: ClaimParts,
    rules: ClaimRules,
    held: Mutex<Held>,
}

/// What the server attribute `claimingData` of a device says (CL-009).
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimingData {
    /// What the user must give; empty when absent.
    pub secret: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// What came of a user's claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The device is the caller's customer's now.
    Success(Box<Device>),
    /// It belongs to a customer already.
    Taken,
    /// Nothing is held for it, or the secret is wrong or too old; the user is not told which.
    Failure,
}

impl Claims {
    pub(crate) fn new(parts: ClaimParts, rules: ClaimRules) -> Self {
        Self { parts, rules, held: Mutex::default() }
    }

    /// A device may be claimed by whoever knows `secret`, for so long; none: for the default time
    /// (CL-005). It takes the place of what the device said before: a device that starts anew, or whose
    /// button is pressed again, means its newest word. The original keeps the first (CL-006).
    ///
    /// What is refused is an incident of the device, which is answered as if it had been kept.
    ///
    /// # Errors
    /// Why it could not be found out; the device may say it again.
    pub async fn offer(
        &self,
        (device, tenant): (DeviceId, TenantId),
        secret: String,
        duration_ms: Option<u64>,
    ) -> Result<(), Reason> {
        let stored = self.parts.registry.device(&Caller::tenant(tenant), device).await;
        let is_owned = stored.map_err(|_| Reason::AnswerFailed)?.customer_id.is_some();
        if is_owned {
            self.record(device, tenant, Reason::ClaimOwned, "");
            return Ok(());
        }
        if !self.is_allowed(device).await.map_err(|_| Reason::AnswerFailed)? {
            self.record(device, tenant, Reason::ClaimNotAllowed, "");
            return Ok(());
        }
        let now_ms = self.parts.clock.monotonic_ms();
        let duration_ms = duration_ms.filter(|ms| *ms > 0).unwrap_or(self.rules.duration_ms);
        let registration = Registration {
            tenant,
            secret: SecretHash::of(&secret),
            since_ms: now_ms,
            expires_ms: now_ms.saturating_add(duration_ms),
        };
        let is_full = self.held.lock().put(device, registration, now_ms);
        if is_full {
            self.parts.metrics.count_bound(Bound::Claims);
        }
        Ok(())
    }

    /// A customer's user claims the device of this name. `read` understands the value of the attribute
    /// `claimingData`. Connections of the device go on (CL-010).
    ///
    /// # Errors
    /// [`Error::NotFound`] when the tenant has no such device, [`Error::Denied`] for everybody but
    /// customer users, or the store's trouble.
    pub async fn claim(
        &self,
        caller: &Caller,
        name: &str,
        secret: &str,
        read: impl Fn(&str) -> Option<ClaimingData>,
    ) -> Result<Claimed, Error> {
        let customer = caller.must_claim()?;
        let device = self.parts.registry.device_to_claim(caller, name).await?;
        if device.customer_id.is_some() {
            return Ok(self.refuse(&device, Reason::ClaimTaken, Claimed::Taken));
        }
        let data = self.claiming_data(device.id, read).await?;
        let (now_ms, now) = (self.parts.clock.monotonic_ms(), self.parts.clock.now());
        let secret = SecretHash::of(secret);
        let judged = self.held.lock().judge(device.id, secret, now_ms, |secret| match data {
            None => Err(Reason::ClaimNotOffered),
            Some(data) if SecretHash::of(&data.secret) != secret => Err(Reason::ClaimWrongSecret),
            Some(data) if data.expires_at <= now => Err(Reason::ClaimExpired),
            Some(_) => Ok(()),
        });
        if let Err(reason) = judged {
            return Ok(self.refuse(&device, reason, Claimed::Failure));
        }
        self.assign(caller, device, customer).await
    }

    /// Takes a claimed device from its customer: the device may be claimed again. One that has no customer
    /// stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the tenant has no such device, [`Error::Denied`] for everybody but
    /// administrators of the tenant and users of its customer, or the store's trouble.
    pub async fn reclaim(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        let device = self.parts.registry.device_to_claim(caller, name).await?;
        caller.may_reclaim_device(&device)?;
        self.held.lock().forget(device.id);
        if device.customer_id.is_none() {
            return Ok(());
        }
        let device = self.parts.registry.hand_over(device, None).await?;
        if self.rules.allowed_by_default {
            return Ok(());
        }
        let mut allowed = Readings::default();
        allowed.push(self.parts.clock.now(), CLAIMING_ALLOWED, ValueRef::Bool(true));
        self.parts.attributes.set(device.id.entity(), Scope::Server, &allowed).await
    }

    async fn assign(
        &self,
        caller: &Caller,
        device: Device,
        customer: CustomerId,
    ) -> Result<Claimed, Error> {
        let (id, name) = (device.id, device.name.clone());
        let assigned = match self.parts.registry.hand_over(device, Some(customer)).await {
            Err(Error::VersionConflict(_)) => {
                // Somebody changed it meanwhile; who claimed it first has it.
                let device = self.parts.registry.device_to_claim(caller, &name).await?;
                if device.id != id || device.customer_id.is_some() {
                    return Ok(self.refuse(&device, Reason::ClaimTaken, Claimed::Taken));
                }
                self.parts.registry.hand_over(device, Some(customer)).await?
            }
            other => other?,
        };
        self.held.lock().forget(id);
        let used = [CLAIMING_ALLOWED.to_owned(), CLAIMING_DATA.to_owned()];
        if let Err(error) = self.parts.attributes.remove(id.entity(), Scope::Server, &used).await {
            // The device has its customer, which is what counts; nobody else can use these.
            tracing::warn!(device = %id, ?error, "attributes of a claim could not be removed");
        }
        Ok(Claimed::Success(Box::new(assigned)))
    }

    async fn is_allowed(&self, device: DeviceId) -> Result<bool, Error> {
        if self.rules.allowed_by_default {
            return Ok(true);
        }
        Ok(self.attribute(device, CLAIMING_ALLOWED).await? == Some(Value::Bool(true)))
    }

    async fn claiming_data(
        &self,
        device: DeviceId,
        read: impl Fn(&str) -> Option<ClaimingData>,
    ) -> Result<Option<ClaimingData>, Error> {
        Ok(match self.attribute(device, CLAIMING_DATA).await? {
            Some(Value::Json(text) | Value::String(text)) => read(&text),
            _ => None,
        })
    }

    async fn attribute(&self, device: DeviceId, key: &str) -> Result<Option<Value>, Error> {
        let keys = Keys::Named(vec![key.to_owned()]);
        let found = self.parts.ledger.attributes(device.entity(), Scope::Server, keys).await?;
        Ok(found.into_iter().next().map(|attribute| attribute.value))
    }

    fn refuse(&self, device: &Device, reason: Reason, answer: Claimed) -> Claimed {
        self.record(device.id, device.tenant_id, reason, "");
        answer
    }

    fn record(&self, device: DeviceId, tenant: TenantId, reason: Reason, detail: &str) {
        self.parts.journal.record(&Report {
            subject: Subject::Device(device, tenant),
            reason,
            detail,
            remote: "",
            client_id: "",
            user_name: "",
            protocol: "",
            attempt: None,
        });
    }
}

impl Default for ClaimRules {
    fn default() -> Self {
        Self { allowed_by_default: true, duration_ms: CLAIM_DURATION_MS }
    }
}

impl core::fmt::Debug for ClaimingData {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The secret is not printed.
        f.debug_struct("ClaimingData").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// For how long a device may be claimed that names no time, unless the operator decides otherwise.
pub const CLAIM_DURATION_MS: u64 = 86_400_000;
/// The server attribute that allows a claim where that is demanded (CL-008).
const CLAIMING_ALLOWED: &str = "claimingAllowed";
/// The server attribute that allows a claim with a secret of its own (CL-009).
const CLAIMING_DATA: &str = "claimingData";
