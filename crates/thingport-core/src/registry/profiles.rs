//! Device profiles and their rules (REST API section 7).

mod chains;
pub mod extension;
pub mod forwarding;
pub mod payload;
pub mod said;

use thingport_model::id::{DeviceProfileId, TenantId};
use thingport_model::ota::AssignedPackages;
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::Write;
use thingport_model::profile::{DeviceProfile, MqttTransport, Provisioning, TransportType};
use thingport_model::tenant::OpaqueJson;

use self::extension::ExtensionDraft;
use super::{Registry, lost_race, next_version, page_of, text};
use crate::access::{Caller, missing};
use crate::error::Error;

/// A device profile as somebody wants it saved.
#[derive(Clone, Debug)]
pub struct ProfileDraft {
    /// Which profile to change; none creates one.
    pub id: Option<DeviceProfileId>,
    /// The version the caller read; none overwrites (G-32).
    pub version: Option<i64>,
    /// Name.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Data URL or link, opaque.
    pub image: Option<String>,
    /// Take the default flag from the former default profile. False leaves the flag as it is.
    pub is_default: bool,
    /// Transport with its configuration.
    pub transport: ProfileTransport,
    /// How devices come to be. Keys, secrets and certificates as sent.
    pub provisioning: Provisioning,
    /// What of [`X509Chain`](thingport_model::profile::X509Chain) was not sent: it stays as it is, as long as the CA does. Clients made for
    /// ThingsBoard do not know these settings and must not undo them.
    pub unsaid: Unsaid,
    /// `profileData.alarms`
    pub alarms: Option<OpaqueJson>,
    /// `defaultQueueName`
    pub queue_name: Option<String>,
    /// Packages of its devices that have none of their own (O-4).
    pub packages: AssignedPackages,
    /// `profileData.thingport`
    pub extension: ExtensionDraft,
}

/// Settings of [`X509Chain`](thingport_model::profile::X509Chain) that a request left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsaid {
    /// [`strictness`](thingport_model::profile::X509Chain::strictness)
    pub strictness: bool,
    /// [`crl`](thingport_model::profile::X509Chain::crl)
    pub crl: bool,
}

/// `transportType` with the `transportConfiguration` of the same type (the REST room refuses others).
#[derive(Clone, Debug)]
pub enum ProfileTransport {
    /// `DEFAULT`
    Default,
    /// `MQTT`
    Mqtt(MqttTransport),
    /// `COAP`, `LWM2M` or `SNMP`: stored as sent.
    Opaque(TransportType, OpaqueJson),
}

impl ProfileDraft {
    /// A new profile with the standard topics and no provisioning.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            id: None,
            version: None,
            name: name.to_owned(),
            description: None,
            image: None,
            is_default: false,
            transport: ProfileTransport::Default,
            provisioning: Provisioning::Disabled { configured: true },
            unsaid: Unsaid::default(),
            alarms: None,
            queue_name: None,
            packages: AssignedPackages::default(),
            extension: ExtensionDraft::default(),
        }
    }
}

impl Registry {
    /// One profile, for tenant administrators.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing or foreign one, [`Error::Denied`] by role.
    pub async fn profile(
        &self,
        caller: &Caller,
        id: DeviceProfileId,
    ) -> Result<DeviceProfile, Error> {
        caller.must_be_tenant()?;
        self.owned_profile(caller, id).await
    }

    /// One profile for the short view of it, which customer users may see too.
    ///
    /// # Errors
    /// As [`Self::profile`].
    pub async fn profile_info(
        &self,
        caller: &Caller,
        id: DeviceProfileId,
    ) -> Result<DeviceProfile, Error> {
        caller.must_see_devices()?;
        self.owned_profile(caller, id).await
    }

    /// The profile that devices get when they name none; customer users may see it too.
    ///
    /// # Errors
    /// [`Error::Denied`] for system administrators.
    pub async fn default_profile(&self, caller: &Caller) -> Result<DeviceProfile, Error> {
        caller.must_see_devices()?;
        let profile = self.entities.default_profile(caller.tenant_id).await?;
        profile.ok_or_else(|| missing("device profile"))
    }

    /// A page of full profiles, for tenant administrators; text search on the name.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a page that cannot be, [`Error::Denied`] by role.
    pub async fn profiles(
        &self,
        caller: &Caller,
        link: PageLink,
    ) -> Result<Page<DeviceProfile>, Error> {
        caller.must_be_tenant()?;
        let link = text::page(link, PROFILE_SORTS)?;
        Ok(self.entities.profiles(caller.tenant_id, link).await?)
    }

    /// A page for the short view, optionally of one transport type; customer users may see it too.
    ///
    /// # Errors
    /// As [`Self::profiles`].
    pub async fn profile_infos(
        &self,
        caller: &Caller,
        transport: Option<TransportType>,
        link: PageLink,
    ) -> Result<Page<DeviceProfile>, Error> {
        caller.must_see_devices()?;
        let link = text::page(link, PROFILE_SORTS)?;
        let Some(transport) = transport else {
            return Ok(self.entities.profiles(caller.tenant_id, link).await?);
        };
        let every = PageLink { page: 0, size: u32::MAX, ..link.clone() };
        let mut rows = self.entities.profiles(caller.tenant_id, every).await?.rows;
        rows.retain(|profile| profile.transport == transport);
        Ok(page_of(rows, &link))
    }

    /// The profiles with these ids; foreign and missing ones are left out.
    ///
    /// # Errors
    /// [`Error::Denied`] for system administrators.
    pub async fn profiles_by_ids(
        &self,
        caller: &Caller,
        ids: &[DeviceProfileId],
    ) -> Result<Vec<DeviceProfile>, Error> {
        caller.must_see_devices()?;
        let mut profiles = Vec::new();
        for id in ids {
            let profile = self.entities.profile(*id).await?;
            profiles.extend(profile.filter(|found| found.tenant_id == caller.tenant_id));
        }
        Ok(profiles)
    }

    /// Ids and names sorted by name; `active_only` leaves out profiles without a device.
    ///
    /// # Errors
    /// [`Error::Denied`] for system administrators.
    pub async fn profile_names(
        &self,
        caller: &Caller,
        active_only: bool,
    ) -> Result<Vec<(DeviceProfileId, String)>, Error> {
        caller.must_see_devices()?;
        let every = PageLink { page: 0, size: u32::MAX, text_search: None, sort: None };
        let mut rows = self.entities.profiles(caller.tenant_id, every).await?.rows;
        if active_only {
            let used = self.entities.device_types(caller.tenant_id).await?;
            rows.retain(|profile| used.binary_search(&profile.name).is_ok());
        }
        let mut names: Vec<_> =
            rows.into_iter().map(|profile| (profile.id, profile.name)).collect();
        names.sort_by(|left, right| left.1.cmp(&right.1));
        Ok(names)
    }

    /// Creates or changes a profile. Renaming changes the `type` of its devices.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a rule of REST API 7 is broken, [`Error::VersionConflict`] (G-31),
    /// [`Error::NotFound`], [`Error::Denied`] by role.
    pub async fn save_profile(
        &self,
        caller: &Caller,
        draft: ProfileDraft,
    ) -> Result<DeviceProfile, Error> {
        caller.must_be_tenant()?;
        check(&draft)?;
        let mut attempt = 0;
        loop {
            let saved = self.save_profile_once(caller, draft.clone()).await;
            attempt += 1;
            if !lost_race(&saved, draft.version, attempt) {
                return saved;
            }
        }
    }

    /// Makes a profile the one that devices get when they name none; the former one loses the flag.
    ///
    /// # Errors
    /// As [`Self::save_profile`].
    pub async fn make_profile_default(
        &self,
        caller: &Caller,
        id: DeviceProfileId,
    ) -> Result<DeviceProfile, Error> {
        let stored = self.profile(caller, id).await?;
        if stored.is_default {
            return Ok(stored);
        }
        let version = next_version(stored.version, None)?;
        let saved = DeviceProfile { is_default: true, version, ..stored };
        self.write_profile(vec![Write::DeviceProfile(saved.clone())], saved.id).await?;
        Ok(saved)
    }

    /// Deletes a profile that is neither the default one nor in use.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the default profile or one in use, [`Error::NotFound`],
    /// [`Error::Denied`] by role.
    pub async fn delete_profile(&self, caller: &Caller, id: DeviceProfileId) -> Result<(), Error> {
        let stored = self.profile(caller, id).await?;
        if stored.is_default {
            return Err(Error::Invalid("the default device profile cannot be deleted".to_owned()));
        }
        if self.entities.profile_use(id).await? > 0 {
            return Err(Error::Invalid("devices still use this device profile".to_owned()));
        }
        self.write(vec![Write::Delete(id.entity())]).await?;
        self.logins.forget_all();
        self.events.profile_changed(id);
        self.events.packages_deleted();
        Ok(())
    }

    /// The profile named by a device's `type`, created when missing (D-3).
    pub(super) async fn profile_named(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<DeviceProfile, Error> {
        if let Some(found) = self.entities.profile_by_name(tenant, name).await? {
            return Ok(found);
        }
        let draft = ProfileDraft::new(name);
        check(&draft)?;
        let created = self.profile_from(tenant, None, draft)?;
        match self.write(vec![Write::DeviceProfile(created.clone())]).await {
            Ok(()) => Ok(created),
            // Somebody else created it in between; or the fault is another one.
            Err(fault) => {
                let found = self.entities.profile_by_name(tenant, name).await?;
                found.ok_or(fault)
            }
        }
    }

    /// A profile of this draft as it would be stored, new or over `stored`.
    pub(super) fn profile_from(
        &self,
        tenant: TenantId,
        stored: Option<&DeviceProfile>,
        draft: ProfileDraft,
    ) -> Result<DeviceProfile, Error> {
        let (id, created_at, version, was_default) = match stored {
            Some(old) => {
                (old.id, old.created_at, next_version(old.version, draft.version)?, old.is_default)
            }
            None => {
                let now = self.now();
                (DeviceProfileId(self.new_id(now)), now, 1, false)
            }
        };
        let (transport, mqtt, opaque_transport) = split(draft.transport);
        let stored_mqtt = stored.and_then(|old| old.mqtt.as_ref());
        let mqtt = mqtt.map(|sent| payload::settled(sent, stored_mqtt));
        let kept = stored.map(|old| (&old.provisioning, draft.unsaid));
        Ok(DeviceProfile {
            id,
            created_at,
            tenant_id: tenant,
            name: draft.name,
            description: draft.description,
            image: draft.image,
            is_default: draft.is_default || was_default,
            transport,
            mqtt,
            opaque_transport,
            provisioning: chains::settled(draft.provisioning, kept)?,
            alarms: draft.alarms,
            queue_name: draft.queue_name,
            packages: draft.packages,
            extension: extension::settled(draft.extension, stored.map(|it| &it.extension))?,
            version,
        })
    }

    async fn save_profile_once(
        &self,
        caller: &Caller,
        draft: ProfileDraft,
    ) -> Result<DeviceProfile, Error> {
        let stored = match draft.id {
            Some(id) => Some(self.owned_profile(caller, id).await?),
            None => None,
        };
        let saved = self.profile_from(caller.tenant_id, stored.as_ref(), draft)?;
        self.check_payload(&saved).await?;
        self.check_packages(&saved.packages, saved.id).await?;
        let mut writes = vec![Write::DeviceProfile(saved.clone())];
        let mut has_new_list = false;
        if let Some(stored) = stored {
            has_new_list = chains::has_other_list(&stored.provisioning, &saved.provisioning);
            self.check_transport_change(&stored, &saved).await?;
            writes.extend(self.fleet_announcements(&stored, &saved));
        }
        let is_announced = writes.len() > 1;
        self.write_profile(writes, saved.id).await?;
        if has_new_list {
            self.events.revocations_changed();
        }
        self.packages_assigned(is_announced);
        Ok(saved)
    }

    async fn write_profile(&self, writes: Vec<Write>, id: DeviceProfileId) -> Result<(), Error> {
        self.write(writes).await?;
        self.logins.forget_all();
        self.events.profile_changed(id);
        Ok(())
    }

    async fn check_transport_change(
        &self,
        stored: &DeviceProfile,
        saved: &DeviceProfile,
    ) -> Result<(), Error> {
        if stored.transport == saved.transport || self.entities.profile_use(stored.id).await? == 0 {
            return Ok(());
        }
        Err(Error::Invalid(
            "the transport type cannot change while devices use this device profile".to_owned(),
        ))
    }

    async fn owned_profile(
        &self,
        caller: &Caller,
        id: DeviceProfileId,
    ) -> Result<DeviceProfile, Error> {
        let profile = self.entities.profile(id).await?;
        profile
            .filter(|found| found.tenant_id == caller.tenant_id)
            .ok_or_else(|| missing("device profile"))
    }
}

fn split(
    transport: ProfileTransport,
) -> (TransportType, Option<MqttTransport>, Option<OpaqueJson>) {
    match transport {
        ProfileTransport::Default => (TransportType::Default, None, None),
        ProfileTransport::Mqtt(mqtt) => (TransportType::Mqtt, Some(mqtt), None),
        ProfileTransport::Opaque(kind, json) => (kind, None, Some(json)),
    }
}

fn check(draft: &ProfileDraft) -> Result<(), Error> {
    text::required("name", &draft.name)?;
    text::opaque("description", draft.description.as_deref())?;
    text::opaque("image", draft.image.as_deref())?;
    text::opaque("alarms", draft.alarms.as_deref())?;
    check_queue(draft.queue_name.as_deref())?;
    match &draft.transport {
        ProfileTransport::Default => {}
        ProfileTransport::Mqtt(mqtt) => check_mqtt(mqtt)?,
        ProfileTransport::Opaque(_, json) => text::opaque("transportConfiguration", Some(json))?,
    }
    check_provisioning(&draft.provisioning)
}

fn check_queue(name: Option<&str>) -> Result<(), Error> {
    match name {
        Some(name) if !QUEUES.contains(&name) => {
            let known = QUEUES.join(", ");
            Err(Error::Invalid(format!("there is no queue {name}; known queues are {known}")))
        }
        _ => Ok(()),
    }
}

/// Topics as MQTT allows them (REST API 7.3, TP-016): the reference checks only in its web form.
fn check_mqtt(mqtt: &MqttTransport) -> Result<(), Error> {
    check_filter("deviceTelemetryTopic", &mqtt.telemetry_topic)?;
    check_filter("deviceAttributesTopic", &mqtt.attributes_topic)?;
    check_filter("deviceAttributesSubscribeTopic", &mqtt.attributes_subscribe_topic)?;
    if mqtt.telemetry_topic == mqtt.attributes_topic {
        return Err(Error::Invalid(
            "deviceTelemetryTopic and deviceAttributesTopic must differ".to_owned(),
        ));
    }
    payload::check(&mqtt.payload)
}

/// What is wrong with a topic filter of a profile, in words; none when it may be saved. `member` names
/// it.
#[must_use]
pub fn filter_problem(member: &str, filter: &str) -> Option<String> {
    match check_filter(member, filter) {
        Err(Error::Invalid(what)) => Some(what),
        _ => None,
    }
}

fn check_filter(field: &str, filter: &str) -> Result<(), Error> {
    let wrong = |rule: &str| Err(Error::Invalid(format!("{field} {rule}: {filter}")));
    if filter.trim().is_empty() {
        return Err(Error::Invalid(format!("{field} must not be empty")));
    }
    if filter.len() > TOPIC_BYTES_MAX {
        return Err(Error::Invalid(format!("{field} is longer than {TOPIC_BYTES_MAX} bytes")));
    }
    if filter.contains('\0') {
        return Err(Error::Invalid(format!("{field} must not contain the NUL character")));
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('+') && level != "+" {
            return wrong("may contain + only as a whole level");
        }
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return wrong("may contain # only as the whole last level");
        }
    }
    Ok(())
}

/// What a chain says is checked when it is known what stays of the stored one.
fn check_provisioning(provisioning: &Provisioning) -> Result<(), Error> {
    let (key, secret) = match provisioning {
        Provisioning::Disabled { .. } | Provisioning::X509Chain(_) => return Ok(()),
        Provisioning::AllowCreate { key, secret }
        | Provisioning::CheckPreProvisioned { key, secret } => (key, secret),
    };
    text::required("provisionDeviceKey", key)?;
    if secret.trim().is_empty() {
        return Err(Error::Invalid("provisionDeviceSecret must not be empty".to_owned()));
    }
    text::opaque("provisionDeviceSecret", Some(secret))
}

const PROFILE_SORTS: &[&str] =
    &["createdTime", "name", "type", "transportType", "description", "isDefault"];

const QUEUES: [&str; 3] = ["Main", "HighPriority", "SequentialByOriginator"];
const TOPIC_BYTES_MAX: usize = 65_535;

#[cfg(test)]
mod tests;
