//! Devices and their rules (REST API section 8).

use thingport_model::activity::DeviceActivity;
use thingport_model::device::{Among, Device, DeviceFilter, DeviceOverview};
use thingport_model::id::{CustomerId, DeviceId, DeviceProfileId, EntityKind, TenantId};
use thingport_model::ota::AssignedPackages;
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::Write;
use thingport_model::profile::DeviceProfile;
use thingport_model::tenant::OpaqueJson;
use thingport_model::time::Timestamp;
use thingport_model::user::Authority;

use super::credentials::{CredentialsDraft, Secret, changed};
use super::{Registry, lost_race, next_version, text};
use crate::access::{Caller, missing};
use crate::error::Error;

/// A device as somebody wants it saved.
#[derive(Clone, Debug)]
pub struct DeviceDraft {
    /// Which device to change; none creates one.
    pub id: Option<DeviceId>,
    /// The version the caller read; none overwrites (G-32).
    pub version: Option<i64>,
    /// Name.
    pub name: String,
    /// Free text.
    pub label: Option<String>,
    /// Its profile (D-3).
    pub profile: ProfileChoice,
    /// The customer it shall belong to; not looked at when a customer user saves (D-5).
    pub customer_id: Option<CustomerId>,
    /// `additionalInfo` as sent.
    pub additional_info: Option<OpaqueJson>,
    /// `additionalInfo.gateway`
    pub is_gateway: bool,
    /// `deviceData.configuration` as sent.
    pub configuration: Option<OpaqueJson>,
    /// `deviceData.transportConfiguration`: its `type` and the whole object as sent.
    pub transport: Option<(String, OpaqueJson)>,
    /// Packages of its own (D-6).
    pub packages: AssignedPackages,
    /// What to do when the name is taken (D-2).
    pub on_conflict: NamePolicy,
}

/// Which profile a device shall have (D-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileChoice {
    /// The one with this id; it must exist.
    Id(DeviceProfileId),
    /// The one of this name, created when missing.
    Name(String),
    /// The tenant's default one.
    Default,
}

/// What to do when a name is taken (D-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePolicy {
    /// Refuse.
    Fail,
    /// Add the separator and random letters and digits.
    Random(String),
    /// Add the separator and the first free number from 1.
    Incremental(String),
}

impl NamePolicy {
    /// The `number`th name to try after the wanted one; none when the wanted one is the only one.
    pub(super) fn name(
        &self,
        wanted: &str,
        number: u32,
        random: impl FnOnce(usize) -> String,
    ) -> Option<String> {
        match self {
            _ if number > NAMES_TRIED_MAX => None,
            Self::Fail => None,
            Self::Random(separator) => Some(format!("{wanted}{separator}{}", random(SUFFIX_CHARS))),
            Self::Incremental(separator) => Some(format!("{wanted}{separator}{number}")),
        }
    }
}

impl DeviceDraft {
    /// A new device of the default profile, with nothing but a name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            id: None,
            version: None,
            name: name.to_owned(),
            label: None,
            profile: ProfileChoice::Default,
            customer_id: None,
            additional_info: None,
            is_gateway: false,
            configuration: None,
            transport: None,
            packages: AssignedPackages::default(),
            on_conflict: NamePolicy::Fail,
        }
    }
}

impl Registry {
    /// One device.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing or foreign one, [`Error::Denied`] by role or customer.
    pub async fn device(&self, caller: &Caller, id: DeviceId) -> Result<Device, Error> {
        caller.must_see_devices()?;
        let device = self.entities.device(id).await?.ok_or_else(|| missing("device"))?;
        caller.may_read_device(&device)?;
        Ok(device)
    }

    /// One device with the title of its customer.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub async fn device_overview(
        &self,
        caller: &Caller,
        id: DeviceId,
    ) -> Result<DeviceOverview, Error> {
        let device = self.device(caller, id).await?;
        let customer = match device.customer_id {
            Some(customer) => self.entities.customer(customer).await?,
            None => None,
        };
        let customer_is_public = customer.as_ref().is_some_and(|found| found.is_public);
        let customer_title = customer.map(|found| found.title);
        let activity = self.entities.device_activity(id).await?;
        let is_active = activity == Some(DeviceActivity::Active);
        Ok(DeviceOverview { device, customer_title, customer_is_public, is_active })
    }

    /// The device of the caller's tenant with this name.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub async fn device_by_name(&self, caller: &Caller, name: &str) -> Result<Device, Error> {
        caller.must_see_devices()?;
        let device = self.entities.device_by_name(caller.tenant_id, name).await?;
        let device = device.ok_or_else(|| missing("device"))?;
        caller.may_read_device(&device)?;
        Ok(device)
    }

    /// A page of devices: of the tenant, or for a customer user of its customer. Text search on name,
    /// label, profile name and customer title.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a page that cannot be, [`Error::NotFound`] or [`Error::Denied`] for a
    /// customer that is not the caller's business.
    pub async fn devices(
        &self,
        caller: &Caller,
        choice: DeviceChoice,
        link: PageLink,
    ) -> Result<Page<DeviceOverview>, Error> {
        caller.must_see_devices()?;
        let link = text::page(link, DEVICE_SORTS)?;
        if let Some(id) = choice.customer_id {
            self.customer(caller, id).await?;
        }
        let filter = DeviceFilter {
            tenant_id: caller.tenant_id,
            customer_id: choice.customer_id.or(caller.customer_id),
            profile_name: choice.profile_name.filter(|name| !name.is_empty()),
            profile_id: choice.profile_id,
            active: choice.active,
            gateway: choice.gateway,
            certificate_before: choice.certificate_before,
            among: choice.among,
        };
        Ok(self.entities.devices(filter, link).await?)
    }

    /// Devices with these ids in order of id; missing and foreign ones are left out.
    ///
    /// # Errors
    /// [`Error::Denied`] for system administrators.
    pub async fn devices_by_ids(
        &self,
        caller: &Caller,
        ids: Vec<DeviceId>,
    ) -> Result<Vec<Device>, Error> {
        caller.must_see_devices()?;
        let mut devices = self.entities.devices_by_ids(ids).await?;
        devices.retain(|device| caller.may_read_device(device).is_ok());
        Ok(devices)
    }

    /// Names of the profiles that the tenant's devices use, sorted.
    ///
    /// # Errors
    /// [`Error::Denied`] for system administrators.
    pub async fn device_types(&self, caller: &Caller) -> Result<Vec<String>, Error> {
        caller.must_see_devices()?;
        Ok(self.entities.device_types(caller.tenant_id).await?)
    }

    /// Creates or changes a device. A new one gets `access_token`, or a random one when that is
    /// absent or empty (D-4); the token of an existing device stays as it is.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a rule D-1 to D-5 is broken, [`Error::EntityLimit`] (D-7),
    /// [`Error::VersionConflict`] (G-31), [`Error::NotFound`], [`Error::Denied`] by role or customer.
    pub async fn save_device(
        &self,
        caller: &Caller,
        draft: DeviceDraft,
        access_token: Option<&str>,
    ) -> Result<Device, Error> {
        if draft.id.is_some() {
            return self.save_device_and(caller, draft, None).await;
        }
        let token = CredentialsDraft::access_token(access_token.unwrap_or_default());
        self.save_device_and(caller, draft, Some(token)).await
    }

    /// Creates or changes a device together with its credentials, both or none.
    ///
    /// # Errors
    /// As [`Self::save_device`] and [`Self::save_credentials`].
    pub async fn save_device_with_credentials(
        &self,
        caller: &Caller,
        draft: DeviceDraft,
        credentials: CredentialsDraft,
    ) -> Result<Device, Error> {
        caller.must_be_tenant()?;
        self.save_device_and(caller, draft, Some(credentials)).await
    }

    /// Deletes a device with its credentials; its sessions end and its readings are purged (D-9).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`] for everybody but tenant administrators.
    pub async fn delete_device(&self, caller: &Caller, id: DeviceId) -> Result<(), Error> {
        let device = self.device(caller, id).await;
        if matches!(device, Err(Error::NotFound(_))) && self.entities.device(id).await?.is_none() {
            // A device that is gone must not log in either, whatever became of its deletion.
            self.logins.forget_device(id, []);
            self.events.device_deleted(id);
        }
        caller.may_administer_device(&device?)?;
        let credentials = self.entities.credentials_of(id).await?;
        self.write(vec![Write::Delete(id.entity())]).await?;
        let ids = credentials.iter().map(|found| found.credentials_id.as_str());
        self.logins.forget_device(id, ids);
        self.events.device_deleted(id);
        Ok(())
    }

    /// Gives the device to a customer of the tenant.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing device or customer, [`Error::Denied`] for everybody but
    /// tenant administrators.
    pub async fn assign_device(
        &self,
        caller: &Caller,
        id: DeviceId,
        customer: CustomerId,
    ) -> Result<Device, Error> {
        let device = self.administered(caller, id).await?;
        self.customer(caller, customer).await?;
        self.move_device(device, Some(customer)).await
    }

    /// Gives the device to the tenant's public customer, which is created at its first use.
    ///
    /// # Errors
    /// As [`Self::assign_device`].
    pub async fn assign_device_to_public(
        &self,
        caller: &Caller,
        id: DeviceId,
    ) -> Result<Device, Error> {
        let device = self.administered(caller, id).await?;
        let customer = self.public_customer(caller).await?;
        self.move_device(device, Some(customer.id)).await
    }

    /// Takes the device from its customer.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it has none, [`Error::NotFound`], [`Error::Denied`] for everybody but
    /// tenant administrators.
    pub async fn unassign_device(&self, caller: &Caller, id: DeviceId) -> Result<Device, Error> {
        let device = self.administered(caller, id).await?;
        if device.customer_id.is_none() {
            return Err(Error::Invalid("the device is not assigned to a customer".to_owned()));
        }
        self.move_device(device, None).await
    }

    async fn administered(&self, caller: &Caller, id: DeviceId) -> Result<Device, Error> {
        let device = self.device(caller, id).await?;
        caller.may_administer_device(&device)?;
        Ok(device)
    }

    pub(super) async fn move_device(
        &self,
        device: Device,
        customer_id: Option<CustomerId>,
    ) -> Result<Device, Error> {
        if device.customer_id == customer_id {
            return Ok(device);
        }
        let version = next_version(device.version, None)?;
        let moved = Device { customer_id, version, ..device };
        self.write(vec![Write::Device(moved.clone())]).await?;
        self.device_written(&moved).await?;
        Ok(moved)
    }

    async fn save_device_and(
        &self,
        caller: &Caller,
        draft: DeviceDraft,
        credentials: Option<CredentialsDraft>,
    ) -> Result<Device, Error> {
        caller.must_see_devices()?;
        caller.must_write()?;
        check(&draft)?;
        let known = draft.version;
        let mut attempt = 0;
        loop {
            let saved = match draft.id {
                Some(id) => self.change_device(caller, id, &draft, credentials.as_ref()).await,
                None => self.create_device(caller, &draft, credentials.as_ref()).await,
            };
            attempt += 1;
            if !lost_race(&saved, known, attempt) {
                return saved;
            }
        }
    }

    async fn create_device(
        &self,
        caller: &Caller,
        draft: &DeviceDraft,
        credentials: Option<&CredentialsDraft>,
    ) -> Result<Device, Error> {
        let limit = self.limits(self.logins.generation(), caller.tenant_id).await?.devices_max;
        let created_at = self.now();
        let id = DeviceId(self.new_id(created_at));
        let random = Secret::AccessToken(String::new());
        let secret = credentials.map_or(&random, |draft| &draft.secret);
        let credentials = self.new_credentials(id, created_at, secret)?;
        let profile = self.chosen_profile(caller.tenant_id, &draft.profile).await?;
        self.check_packages(&draft.packages, profile.id).await?;
        let packages = (AssignedPackages::default(), draft.packages.beside(&profile.packages));
        let announced = self.announcements(id, packages, created_at);
        let device = Device {
            id,
            created_at,
            tenant_id: caller.tenant_id,
            customer_id: self.chosen_customer(caller, draft.customer_id).await?,
            name: self.free_name(caller.tenant_id, None, draft).await?,
            device_data: device_data(draft, &profile),
            packages: draft.packages,
            profile_id: profile.id,
            profile_name: profile.name,
            label: draft.label.clone(),
            is_gateway: draft.is_gateway,
            additional_info: draft.additional_info.clone(),
            version: 1,
        };
        let mut writes =
            vec![Write::Device(device.clone()), Write::DeviceCredentials(credentials.clone())];
        let is_announced = !announced.is_empty();
        writes.extend(announced);
        self.write_within(writes, caller.tenant_id, EntityKind::Device, limit).await?;
        // The id may be remembered as nobody's (AU-034).
        self.logins.forget_logins([credentials.credentials_id.as_str()]);
        self.packages_assigned(is_announced);
        self.events.device_created(device.id);
        Ok(device)
    }

    async fn change_device(
        &self,
        caller: &Caller,
        id: DeviceId,
        draft: &DeviceDraft,
        credentials: Option<&CredentialsDraft>,
    ) -> Result<Device, Error> {
        let stored = self.device(caller, id).await?;
        caller.may_write_device(&stored)?;
        let version = next_version(stored.version, draft.version)?;
        let profile = self.chosen_profile(caller.tenant_id, &draft.profile).await?;
        self.check_packages(&draft.packages, profile.id).await?;
        let before = self.packages_of(&stored).await?;
        let packages = (before, draft.packages.beside(&profile.packages));
        let announced = self.announcements(id, packages, self.now());
        let device = Device {
            customer_id: self.chosen_customer(caller, draft.customer_id).await?,
            name: self.free_name(caller.tenant_id, Some(id), draft).await?,
            device_data: device_data(draft, &profile),
            packages: draft.packages,
            profile_id: profile.id,
            profile_name: profile.name,
            label: draft.label.clone(),
            is_gateway: draft.is_gateway,
            additional_info: draft.additional_info.clone(),
            version,
            ..stored
        };
        let mut writes = vec![Write::Device(device.clone())];
        let old = self.credentials_of(id).await?;
        let new = credentials.map(|draft| changed(&old, draft)).transpose()?;
        writes.extend(new.clone().map(Write::DeviceCredentials));
        let is_announced = !announced.is_empty();
        writes.extend(announced);
        self.write(writes).await?;
        self.device_written(&device).await?;
        if let Some(new) = new {
            self.credentials_written(&old, &new);
        }
        self.packages_assigned(is_announced);
        Ok(device)
    }

    async fn device_written(&self, device: &Device) -> Result<(), Error> {
        match self.entities.credentials_of(device.id).await {
            Ok(found) => {
                let ids = found.iter().map(|found| found.credentials_id.as_str());
                self.logins.forget_device(device.id, ids);
            }
            // Which login to forget is unknown: forget all rather than keep a wrong one.
            Err(_) => self.logins.forget_all(),
        }
        self.events.device_changed(device.id);
        Ok(())
    }

    async fn chosen_profile(
        &self,
        tenant: TenantId,
        choice: &ProfileChoice,
    ) -> Result<DeviceProfile, Error> {
        match choice {
            ProfileChoice::Id(id) => {
                let profile = self.entities.profile(*id).await?;
                let profile = profile.filter(|found| found.tenant_id == tenant);
                profile.ok_or_else(|| invalid("the device profile does not exist"))
            }
            ProfileChoice::Name(name) => self.profile_named(tenant, name).await,
            ProfileChoice::Default => {
                let profile = self.entities.default_profile(tenant).await?;
                profile.ok_or_else(|| invalid("the tenant has no default device profile"))
            }
        }
    }

    async fn chosen_customer(
        &self,
        caller: &Caller,
        wanted: Option<CustomerId>,
    ) -> Result<Option<CustomerId>, Error> {
        if caller.authority == Authority::CustomerUser {
            return Ok(caller.customer_id);
        }
        match wanted {
            Some(id) => Ok(Some(self.customer(caller, id).await?.id)),
            None => Ok(None),
        }
    }

    /// The wanted name, or one made from it when it is taken by another device (D-2).
    async fn free_name(
        &self,
        tenant: TenantId,
        own: Option<DeviceId>,
        draft: &DeviceDraft,
    ) -> Result<String, Error> {
        if draft.on_conflict == NamePolicy::Fail {
            return Ok(draft.name.clone());
        }
        let mut name = draft.name.clone();
        for number in 1.. {
            let taken = self.entities.device_by_name(tenant, &name).await?;
            if taken.is_none_or(|other| Some(other.id) == own) {
                text::required("name", &name)?;
                return Ok(name);
            }
            let next =
                draft.on_conflict.name(&draft.name, number, |length| self.random_text(length));
            let Some(next) = next else { break };
            name = next;
        }
        Err(invalid("too many devices have names like this one"))
    }
}

/// Which devices a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceChoice {
    /// Of this customer only.
    pub customer_id: Option<CustomerId>,
    /// Whose profile has this name (`type`).
    pub profile_name: Option<String>,
    /// Of this profile.
    pub profile_id: Option<DeviceProfileId>,
    /// Active ones, or those that are not.
    pub active: Option<bool>,
    /// Gateways, or those that are none.
    pub gateway: Option<bool>,
    /// Whose certificate expires before this moment.
    pub certificate_before: Option<Timestamp>,
    /// On a list, or not on it.
    pub among: Option<Among>,
}

fn check(draft: &DeviceDraft) -> Result<(), Error> {
    text::required("name", &draft.name)?;
    text::optional("label", draft.label.as_deref())?;
    text::opaque("additionalInfo", draft.additional_info.as_deref())?;
    text::opaque("deviceData.configuration", draft.configuration.as_deref())?;
    let transport = draft.transport.as_ref().map(|(_, json)| json.as_str());
    text::opaque("deviceData.transportConfiguration", transport)
}

/// `deviceData` with both parts; one that is missing, or of another transport than the profile's, is
/// replaced by an empty one (REST API 8.1).
pub(super) fn device_data(draft: &DeviceDraft, profile: &DeviceProfile) -> OpaqueJson {
    let kind = profile.transport.name();
    let configuration = draft.configuration.as_deref().unwrap_or(r#"{"type":"DEFAULT"}"#);
    let transport = match &draft.transport {
        Some((sent, json)) if sent == kind => json.clone(),
        _ => format!(r#"{{"type":"{kind}"}}"#),
    };
    format!(r#"{{"configuration":{configuration},"transportConfiguration":{transport}}}"#)
}

fn invalid(text: &str) -> Error {
    Error::Invalid(text.to_owned())
}

const DEVICE_SORTS: &[&str] =
    &["createdTime", "name", "deviceProfileName", "label", "customerTitle", "active", "type"];
const NAMES_TRIED_MAX: u32 = 1_000;
const SUFFIX_CHARS: usize = 6;
