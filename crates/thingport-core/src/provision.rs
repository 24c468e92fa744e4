//! Provisioning: how a peer that knows a profile's key and secret becomes a device
//! (device API 7.2, REST API section 11).
//!
//! # What a crash may leave
//!
//! A device is kept in two places: itself and its credentials among the entities, its server attribute
//! `provisionState` in the ledger. There is no transaction over both, so each strategy has one write that
//! decides, and it comes last:
//!
//! - *New devices*: the attribute is committed first, under the identity that the device will have. Then
//!   device and credentials are stored in one transaction, which decides. A crash in between leaves an
//!   attribute of nobody and no device, so the peer may ask again under the same name. A write that is
//!   refused purges the attribute.
//! - *Devices that exist*: the credentials are read first; then the attribute is committed, which decides.
//!   A crash before it leaves the device as it was.
//!
//! What no order can prevent is an answer that is lost on its way: the device is then provisioned and
//! does not know. [`Reason::ProvisionNameTaken`] and [`Reason::ProvisionedAlready`] say what to do.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use thingport_model::attribute::Scope;
use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::id::{DeviceId, TenantId};
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::{Change, Keys, Ledger};
use thingport_model::profile::{DeviceProfile, Provisioning};
use thingport_model::provision::{
    PROVISION, PROVISION_STATE, PROVISIONED, ProvisionRequest, Supplied,
};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::value::ValueRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::error::Error;
use crate::journal::Subject;
use crate::metrics::{Bound, Metrics};
use crate::registry::Registry;
use crate::registry::credentials::Secret;
use crate::registry::provisioning::{NotMade, Wish};
use crate::telemetry::append;

/// Whether a CONNECT asks for a provisioning session (AU-001).
#[must_use]
pub fn asks_for_it(client_id: &str, user_name: Option<&str>) -> bool {
    client_id == PROVISION || user_name == Some(PROVISION)
}

/// Why a peer was not provisioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotProvisioned {
    /// The reason.
    pub reason: Reason,
    /// The owner of the profile whose key was sent, when there is one.
    pub tenant: Option<TenantId>,
    /// The device that was asked for, when it is one of the profile.
    pub device: Option<DeviceId>,
    /// What exactly was wrong, without secrets.
    pub detail: String,
}

impl NotProvisioned {
    /// Who shall read of it: the device and its tenant, the tenant, or the installation.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match (self.device, self.tenant) {
            (Some(device), Some(tenant)) => Subject::Device(device, tenant),
            (None, Some(tenant)) => Subject::Tenant(tenant),
            (_, None) => Subject::Stranger,
        }
    }

    fn of(profile: &DeviceProfile, reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, tenant: Some(profile.tenant_id), device: None, detail: detail.into() }
    }

    fn unknown(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, tenant: None, device: None, detail: detail.into() }
    }
}

/// Makes devices of peers.
pub struct Provisions {
    registry: Arc<Registry>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    /// Devices that exist and are being provisioned; at most [`PROVISIONS_MAX`].
    in_work: Mutex<HashSet<DeviceId>>,
}

/// A place among the requests that are worked at, until it is dropped.
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Provisions {
    /// Provisioning over `registry` and `ledger`.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(PROVISIONS_MAX));
        Self { registry, ledger, clock, metrics, places, in_work: Mutex::default() }
    }

    /// Waits for a place: only [`PROVISIONS_MAX`] requests are worked at at once. None: there will be
    /// no more.
    pub async fn place(&self) -> Option<Place> {
        if self.places.available_permits() == 0 {
            self.metrics.count_bound(Bound::Provisions);
        }
        let permit = Arc::clone(&self.places).acquire_owned().await;
        permit.ok().map(|_permit| Place { _permit })
    }

    /// Makes a device of the peer, or gives out the credentials of the device it names. Nothing is made
    /// once `deadline_ms`, of the monotonic clock, has passed.
    ///
    /// A caller that stops waiting must let this run to its end all the same, or the login cache may
    /// miss what was written.
    ///
    /// # Errors
    /// Why not; no device is left behind then (PR-024).
    pub async fn provision(
        &self,
        _place: Place,
        request: &ProvisionRequest,
        deadline_ms: u64,
    ) -> Result<DeviceCredentials, NotProvisioned> {
        let profile = self.profile(request).await?;
        let provisioned = match profile.provisioning {
            Provisioning::CheckPreProvisioned { .. } => {
                self.hand_over(&profile, request, deadline_ms).await?
            }
            _ => self.create(&profile, request, deadline_ms).await?,
        };
        self.metrics.provisioned.add(1);
        Ok(provisioned)
    }

    /// Makes a device that showed a certificate below the profile's CA (AU-053).
    ///
    /// # Errors
    /// Why not; no device is left behind then.
    pub(crate) async fn make(
        &self,
        profile: &DeviceProfile,
        wish: Wish,
    ) -> Result<DeviceCredentials, NotMade> {
        let new = self.registry.draft_device(profile, wish).await?;
        let id = new.id();
        self.mark(id).await.map_err(|error| NotMade::Failed(format!("{error:?}")))?;
        let made = self.registry.make_device(new).await.inspect_err(|_| self.unmark(id))?;
        self.metrics.provisioned.add(1);
        Ok(made)
    }

    /// PR-020, PR-029.
    async fn profile(&self, request: &ProvisionRequest) -> Result<DeviceProfile, NotProvisioned> {
        if request.key.is_empty() || request.secret.is_empty() {
            return Err(NotProvisioned::unknown(Reason::ProvisionKeyEmpty, ""));
        }
        let found = self.registry.profile_by_provision_key(&request.key).await;
        let found = found
            .map_err(|error| NotProvisioned::unknown(Reason::ProvisionFailed, error.to_string()))?;
        let unknown = || NotProvisioned::unknown(Reason::ProvisionKeyUnknown, "");
        let profile = found.ok_or_else(unknown)?;
        let secret = match &profile.provisioning {
            Provisioning::AllowCreate { secret, .. }
            | Provisioning::CheckPreProvisioned { secret, .. } => secret,
            Provisioning::X509Chain { .. } => {
                let detail = format!("device profile {}", profile.name);
                let reason = Reason::ProvisionByCertificate;
                return Err(NotProvisioned::of(&profile, reason, detail));
            }
            Provisioning::Disabled { .. } => return Err(unknown()),
        };
        if bool::from(secret.as_bytes().ct_eq(request.secret.as_bytes())) {
            return Ok(profile);
        }
        let detail = format!("device profile {}", profile.name);
        Err(NotProvisioned::of(&profile, Reason::ProvisionSecretWrong, detail))
    }

    /// PR-021 to PR-025, PR-030, PR-032.
    async fn create(
        &self,
        profile: &DeviceProfile,
        request: &ProvisionRequest,
        deadline_ms: u64,
    ) -> Result<DeviceCredentials, NotProvisioned> {
        let refused = |why| not_made(profile, request, why);
        let name = request.device_name.as_deref().map(str::trim);
        if name == Some("") {
            return Err(refused(NotMade::Name("the name is blank".to_owned())));
        }
        let wish = Wish {
            name: name.map(str::to_owned),
            secret: secret_of(request.kind, &request.supplied).map_err(refused)?,
            is_gateway: request.is_gateway,
        };
        let new = self.registry.draft_device(profile, wish).await.map_err(refused)?;
        let id = new.id();
        self.mark(id).await.map_err(|error| ledger_failed(profile, &error))?;
        if self.is_late(deadline_ms) {
            self.unmark(id);
            return Err(refused(NotMade::Failed(TOO_LATE.to_owned())));
        }
        self.registry.make_device(new).await.map_err(|why| {
            self.unmark(id);
            refused(why)
        })
    }

    /// PR-026 to PR-028, PR-031.
    async fn hand_over(
        &self,
        profile: &DeviceProfile,
        request: &ProvisionRequest,
        deadline_ms: u64,
    ) -> Result<DeviceCredentials, NotProvisioned> {
        let failed = |error: PortError| {
            NotProvisioned::of(profile, Reason::ProvisionFailed, error.to_string())
        };
        let name = request.device_name.as_deref().unwrap_or_default().trim();
        let found = self.registry.named_device(profile.tenant_id, name).await.map_err(failed)?;
        let found = found.filter(|(device, _)| device.profile_id == profile.id);
        let Some((device, credentials)) = found else {
            let detail = format!("device {name} of device profile {}", profile.name);
            return Err(NotProvisioned::of(profile, Reason::ProvisionDeviceUnknown, detail));
        };
        let already = |detail: &str| NotProvisioned {
            device: Some(device.id),
            ..NotProvisioned::of(profile, Reason::ProvisionedAlready, detail)
        };
        let _claim = Claim::of(&self.in_work, device.id)
            .ok_or_else(|| already("another request is being answered"))?;
        if self.is_marked(device.id).await.map_err(failed)? {
            return Err(already(""));
        }
        if self.is_late(deadline_ms) {
            return Err(NotProvisioned::of(profile, Reason::ProvisionFailed, TOO_LATE));
        }
        self.mark(device.id).await.map_err(|error| ledger_failed(profile, &error))?;
        Ok(credentials)
    }

    /// Whether the peer was told already that it failed.
    fn is_late(&self, deadline_ms: u64) -> bool {
        self.clock.monotonic_ms() >= deadline_ms
    }

    async fn is_marked(&self, device: DeviceId) -> Result<bool, PortError> {
        let keys = Keys::Named(vec![PROVISION_STATE.to_owned()]);
        let found = self.ledger.attributes(device.entity(), Scope::Server, keys).await?;
        let done = ValueRef::String(PROVISIONED);
        Ok(found.iter().any(|attribute| attribute.value.borrowed() == done))
    }

    /// Sets the server attribute; returns when that is durable.
    async fn mark(&self, device: DeviceId) -> Result<(), Error> {
        let mut attributes = Readings::default();
        attributes.push(self.clock.now(), PROVISION_STATE, ValueRef::String(PROVISIONED));
        let (entity, scope) = (device.entity(), Scope::Server);
        let change = Change::SetAttributes { entity, scope, attributes: &attributes };
        append(&*self.ledger, change).await
    }

    /// Takes back the mark of a device that was not made. When the ledger refuses, what stays is an
    /// attribute that nobody can reach.
    fn unmark(&self, device: DeviceId) {
        let _ = self.ledger.append(Change::Purge { entity: device.entity() });
    }
}

/// A device that nobody else provisions meanwhile.
struct Claim<'a> {
    in_work: &'a Mutex<HashSet<DeviceId>>,
    device: DeviceId,
}

impl<'a> Claim<'a> {
    fn of(in_work: &'a Mutex<HashSet<DeviceId>>, device: DeviceId) -> Option<Self> {
        let is_free = in_work.lock().insert(device);
        // Only a claim that was made may be dropped.
        is_free.then(|| Self { in_work, device })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.in_work.lock().remove(&self.device);
    }
}

/// What the device shall log in with: what it brings along, or a random token (PR-030).
fn secret_of(kind: CredentialsType, supplied: &Supplied) -> Result<Secret, NotMade> {
    if supplied.is_empty() {
        return Ok(Secret::AccessToken(String::new()));
    }
    let lacks = |what: &str| NotMade::Credentials(format!("{} lacks {what}", kind.name()));
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    match kind {
        CredentialsType::AccessToken if supplied.token.is_empty() => Err(lacks("the token")),
        CredentialsType::AccessToken => Ok(Secret::AccessToken(supplied.token.clone())),
        CredentialsType::MqttBasic => Ok(Secret::MqttBasic {
            client_id: text(&supplied.client_id),
            user_name: text(&supplied.user_name),
            password: text(&supplied.password),
        }),
        CredentialsType::X509Certificate if supplied.certificate.is_empty() => {
            Err(lacks("the certificate in the member hash"))
        }
        CredentialsType::X509Certificate => {
            Ok(Secret::X509Certificate(supplied.certificate.clone()))
        }
        CredentialsType::Lwm2m => {
            Err(NotMade::Credentials("LWM2M credentials cannot be used here".to_owned()))
        }
    }
}

fn not_made(profile: &DeviceProfile, request: &ProvisionRequest, why: NotMade) -> NotProvisioned {
    let name = || request.device_name.as_deref().unwrap_or_default().trim().to_owned();
    let (reason, detail) = match why {
        NotMade::Name(text) => (Reason::ProvisionNameInvalid, text),
        NotMade::NameTaken => (Reason::ProvisionNameTaken, format!("device {}", name())),
        NotMade::Credentials(text) => (Reason::ProvisionCredentialsInvalid, text),
        NotMade::CredentialsTaken => {
            (Reason::ProvisionCredentialsTaken, format!("device {}", name()))
        }
        NotMade::Limit(limit) => (Reason::ProvisionDeviceLimit, format!("maxDevices is {limit}")),
        NotMade::Failed(text) => (Reason::ProvisionFailed, text),
    };
    NotProvisioned::of(profile, reason, detail)
}

fn ledger_failed(profile: &DeviceProfile, error: &Error) -> NotProvisioned {
    NotProvisioned::of(profile, Reason::ProvisionFailed, format!("{error:?}"))
}

const TOO_LATE: &str = "it took too long";
/// Requests worked at at once; the next one waits.
pub const PROVISIONS_MAX: usize = 64;
