//! The devices' way in: from what a CONNECT carries to the device, its profile and its limits.
//!
//! The hot path of a reconnect storm: one cache look-up, no allocation, when the device is known.

use std::sync::Arc;

use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::device::Device;
use thingport_model::id::{DeviceId, DeviceProfileId, TenantId};
use thingport_model::port::error::PortError;
use thingport_model::profile::DeviceProfile;

use super::Registry;
use super::basic::Basic;
use super::cache::{DeviceLogin, Generation, TenantLimits};
use super::children::keeps_children_active;
use super::credentials::CREDENTIALS_ID_BYTES_MAX;

impl Registry {
    /// Who logs in with this credentials id: a token or plain user name as it is, [`hash_one`](thingport_x509::fingerprint::hash_one) of a
    /// client id, [`hash_two`](thingport_x509::fingerprint::hash_two) of client id and user name. Answers, also "nobody", are remembered
    /// until a write touches them (AU-034).
    ///
    /// # Errors
    /// Whatever the store answers; nothing is remembered then.
    pub async fn login_by_credentials_id(
        &self,
        credentials_id: &str,
    ) -> Result<Option<Arc<DeviceLogin>>, PortError> {
        // Nobody can have it, so there is nothing to ask or to remember: strangers send up to 64 KiB.
        if credentials_id.len() > CREDENTIALS_ID_BYTES_MAX {
            return Ok(None);
        }
        if let Some(found) = self.logins.login(credentials_id) {
            return Ok(found);
        }
        let read_at = self.logins.generation();
        let found = match self.entities.credentials_by_id(credentials_id).await? {
            Some(credentials) => self.read_login(read_at, &credentials).await?,
            None => None,
        };
        self.logins.keep_login(read_at, credentials_id, found.clone());
        Ok(found)
    }

    /// The present state of a device for a session that is open already; none when it is gone.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn login_of(&self, device: DeviceId) -> Result<Option<Arc<DeviceLogin>>, PortError> {
        match self.entities.credentials_of(device).await? {
            Some(credentials) => self.login_by_credentials_id(&credentials.credentials_id).await,
            None => Ok(None),
        }
    }

    /// Counts writes that logins depend on. Whoever decides by what a look-up found asks before the
    /// look-up and again once changes reach it (its mailbox is open): when the answers are equal,
    /// nothing was missed in between.
    #[must_use]
    pub fn logins_generation(&self) -> Generation {
        self.logins.generation()
    }

    /// Forgets who a credentials id belongs to: the next look-up asks the store.
    pub(crate) fn forget_login(&self, credentials_id: &str) {
        self.logins.forget_logins([credentials_id]);
    }

    /// Profiles of whatever tenants whose CA has this name; the oldest few.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub(crate) async fn profiles_by_ca_name(
        &self,
        ca_name: &str,
        limit: u32,
    ) -> Result<Vec<DeviceProfile>, PortError> {
        self.entities.profiles_by_ca_name(ca_name, limit).await
    }

    /// Seconds that a tenant's readings are kept unless the writer says otherwise, 0 for ever.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn storage_ttl_s(&self, tenant: TenantId) -> Result<u32, PortError> {
        Ok(self.limits(self.logins.generation(), tenant).await?.ttl_s)
    }

    /// How many logins are remembered now, at most `registry_cache_max`.
    #[must_use]
    pub fn logins_remembered(&self) -> usize {
        self.logins.len()
    }

    async fn read_login(
        &self,
        read_at: Generation,
        credentials: &DeviceCredentials,
    ) -> Result<Option<Arc<DeviceLogin>>, PortError> {
        let Some(device) = self.entities.device(credentials.device_id).await? else {
            return Ok(None);
        };
        let profile = self.shared_profile(read_at, device.profile_id).await?;
        let limits = self.limits(read_at, device.tenant_id).await?;
        Ok(Some(Arc::new(login(&device, credentials, profile, limits)?)))
    }

    async fn shared_profile(
        &self,
        read_at: Generation,
        id: DeviceProfileId,
    ) -> Result<Arc<DeviceProfile>, PortError> {
        if let Some(profile) = self.logins.profile(id) {
            return Ok(profile);
        }
        let profile = self.entities.profile(id).await?;
        let profile = Arc::new(profile.ok_or_else(|| lost("a device without its profile"))?);
        self.logins.keep_profile(read_at, &profile);
        Ok(profile)
    }

    /// What the tenant's profile says, remembered.
    pub(super) async fn limits(
        &self,
        read_at: Generation,
        id: TenantId,
    ) -> Result<TenantLimits, PortError> {
        if let Some(limits) = self.logins.limits(id) {
            return Ok(limits);
        }
        let tenant = self.entities.tenant(id).await?;
        let tenant = tenant.ok_or_else(|| lost("a device without its tenant"))?;
        let profile = self.entities.tenant_profile(tenant.tenant_profile_id).await?;
        let profile = profile.ok_or_else(|| lost("a tenant without its profile"))?;
        let limits = TenantLimits {
            ttl_s: profile.storage_ttl_days.saturating_mul(SECONDS_PER_DAY),
            devices_max: profile.devices_max,
            rates: (!profile.rate_limits.is_unlimited()).then(|| Arc::new(profile.rate_limits)),
        };
        self.logins.keep_limits(read_at, id, limits.clone());
        Ok(limits)
    }
}

fn login(
    device: &Device,
    credentials: &DeviceCredentials,
    profile: Arc<DeviceProfile>,
    limits: TenantLimits,
) -> Result<DeviceLogin, PortError> {
    let basic = match (credentials.kind, credentials.value.as_deref()) {
        (CredentialsType::MqttBasic, Some(value)) => {
            let basic = Basic::from_json(value);
            Some(Box::new(basic.ok_or_else(|| lost("basic credentials of another form"))?))
        }
        (CredentialsType::MqttBasic, None) => return Err(lost("basic credentials without value")),
        _ => None,
    };
    Ok(DeviceLogin {
        device_id: device.id,
        tenant_id: device.tenant_id,
        customer_id: device.customer_id,
        profile,
        basic,
        ttl_s: limits.ttl_s,
        limits: limits.rates,
        kind: credentials.kind,
        is_gateway: device.is_gateway,
        keeps_children_active: device.is_gateway
            && keeps_children_active(device.additional_info.as_deref()),
    })
}

fn lost(what: &str) -> PortError {
    PortError::Corrupt(what.to_owned())
}

const SECONDS_PER_DAY: u32 = 86_400;
