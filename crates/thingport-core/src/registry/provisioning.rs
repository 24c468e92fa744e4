//! What provisioning needs of the registry: the profile of a key, and devices that are made without a
//! person (device API 7.2). Its rules stand in [`crate::provision`].

use thingport_model::credentials::DeviceCredentials;
use thingport_model::device::Device;
use thingport_model::id::{DeviceId, EntityKind, TenantId};
use thingport_model::ota::AssignedPackages;
use thingport_model::port::entities::Write;
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::profile::DeviceProfile;

use super::credentials::Secret;
use super::devices::{DeviceDraft, device_data};
use super::{Registry, text};
use crate::error::Error;

/// A device that is wanted.
pub struct Wish {
    /// Its name, not blank; none asks for a random one.
    pub name: Option<String>,
    /// What it shall log in with.
    pub secret: Secret,
    /// Whether it shall be a gateway.
    pub is_gateway: bool,
}

/// A device that is not stored yet, with its credentials.
pub struct NewDevice {
    device: Device,
    credentials: DeviceCredentials,
    devices_max: u64,
}

/// Why a device was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotMade {
    /// The name cannot be one; the text says why.
    Name(String),
    /// A device of the tenant has this name.
    NameTaken,
    /// The credentials cannot be any; the text says why, without secrets.
    Credentials(String),
    /// Another device of the installation has these credentials.
    CredentialsTaken,
    /// The tenant has as many devices as it may.
    Limit(u64),
    /// The world failed; the text is for the log.
    Failed(String),
}

impl NewDevice {
    /// The identity it will have.
    #[must_use]
    pub const fn id(&self) -> DeviceId {
        self.device.id
    }
}

impl Registry {
    /// The profile that provisions with this key, of whatever tenant (P-10). Not remembered: a key
    /// that was changed is worth nothing at once (P-12).
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn profile_by_provision_key(
        &self,
        key: &str,
    ) -> Result<Option<DeviceProfile>, PortError> {
        self.entities.profile_by_provision_key(key).await
    }

    /// The device of a tenant with this name, and its credentials.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn named_device(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<(Device, DeviceCredentials)>, PortError> {
        let Some(device) = self.entities.device_by_name(tenant, name).await? else {
            return Ok(None);
        };
        let credentials = self.entities.credentials_of(device.id).await?;
        Ok(credentials.map(|credentials| (device, credentials)))
    }

    /// Checks everything that can be known before [`Self::make_device`], which stores the device.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub async fn draft_device(
        &self,
        profile: &DeviceProfile,
        wish: Wish,
    ) -> Result<NewDevice, NotMade> {
        let tenant = profile.tenant_id;
        let name = wish.name.unwrap_or_else(|| self.random_text(RANDOM_NAME_CHARS));
        text::required("deviceName", &name).map_err(name_refused)?;
        let created_at = self.now();
        let id = DeviceId(self.new_id(created_at));
        let credentials =
            self.new_credentials(id, created_at, &wish.secret).map_err(credentials_refused)?;
        if self.entities.device_by_name(tenant, &name).await?.is_some() {
            return Err(NotMade::NameTaken);
        }
        if self.entities.credentials_by_id(&credentials.credentials_id).await?.is_some() {
            return Err(NotMade::CredentialsTaken);
        }
        let devices_max = self.limits(self.logins.generation(), tenant).await?.devices_max;
        if devices_max > 0 && self.entities.device_count(tenant).await? >= devices_max {
            return Err(NotMade::Limit(devices_max));
        }
        let device = Device {
            id,
            created_at,
            tenant_id: tenant,
            customer_id: None,
            device_data: device_data(&DeviceDraft::new(&name), profile),
            name,
            profile_id: profile.id,
            profile_name: profile.name.clone(),
            label: None,
            is_gateway: wish.is_gateway,
            packages: AssignedPackages::default(),
            additional_info: wish.is_gateway.then(|| r#"{"gateway":true}"#.to_owned()),
            version: 1,
        };
        Ok(NewDevice { device, credentials, devices_max })
    }

    /// Stores a device and its credentials, both or none; the store checks name, credentials and limit
    /// again, because somebody may have been faster.
    ///
    /// # Errors
    /// Why it was not made; nothing of it is left then.
    pub async fn make_device(&self, new: NewDevice) -> Result<DeviceCredentials, NotMade> {
        let NewDevice { device, credentials, devices_max } = new;
        let tenant = device.tenant_id;
        let (id, created_at) = (device.id, device.created_at);
        let packages = (AssignedPackages::default(), self.packages_of(&device).await?);
        let mut writes = vec![Write::Device(device), Write::DeviceCredentials(credentials.clone())];
        let announced = self.announcements(id, packages, created_at);
        let is_announced = !announced.is_empty();
        writes.extend(announced);
        if devices_max > 0 {
            writes.push(Write::AtMost(tenant, EntityKind::Device, devices_max));
        }
        self.entities.write(writes).await.map_err(|error| match error {
            PortError::Conflict(Conflict::TooMany) => NotMade::Limit(devices_max),
            other => other.into(),
        })?;
        // The id may be remembered as nobody's (AU-034).
        self.logins.forget_logins([credentials.credentials_id.as_str()]);
        self.packages_assigned(is_announced);
        self.events.device_created(id);
        Ok(credentials)
    }
}

fn name_refused(error: Error) -> NotMade {
    refused(error, NotMade::Name)
}

fn credentials_refused(error: Error) -> NotMade {
    refused(error, NotMade::Credentials)
}

fn refused(error: Error, as_invalid: fn(String) -> NotMade) -> NotMade {
    match error {
        Error::Invalid(text) => as_invalid(text),
        other => NotMade::Failed(format!("{other:?}")),
    }
}

impl From<PortError> for NotMade {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Conflict(Conflict::DeviceName) => Self::NameTaken,
            PortError::Conflict(Conflict::CredentialsId) => Self::CredentialsTaken,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Length of the name that a device is given when it names none.
const RANDOM_NAME_CHARS: usize = 20;
