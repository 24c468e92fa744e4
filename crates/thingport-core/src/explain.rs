//! Answers to "why can my device not connect?": search over incidents, and what it means when there
//! are none.
//!
//! Who sees what: system administrators see peers that matched nothing; tenant administrators see
//! their devices, peers that matched one of their profiles, and peers that matched nothing as long as
//! there is no other tenant whose peers these could be; customer users see their devices.

mod search;

use std::collections::{HashMap, HashSet};

use thingport_model::attempt::Fingerprint;
use thingport_model::device::Device;
use thingport_model::id::{DeviceId, EntityRef, TenantId};
use thingport_model::incident::{Incident, Source};
use thingport_model::page::PageLink;
use thingport_model::port::ledger::incidents_max;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::user::Authority;

use crate::access::Caller;
use crate::error::Error;
use crate::node::Node;

pub use search::{SOUGHT_BYTES_MAX, Search, SoughtText, SoughtUserName};

/// What is known about why something does not connect.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What the attempts, or their absence, mean.
    pub finding: Finding,
    /// Matching attempts, newest first; the same of the same peer as one, with their number.
    pub attempts: Vec<Incident>,
    /// The device that the question names, if there is one that the caller may see.
    pub device: Option<SoughtDevice>,
    /// Whether peers that matched nothing were looked through.
    pub strangers_seen: bool,
    /// How far back incidents are kept: older ones were pushed out. None when all are kept.
    pub kept_since: Option<Timestamp>,
}

/// The device that a question names, by its id or by what it logs in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoughtDevice {
    /// Which.
    pub id: DeviceId,
    /// Its name.
    pub name: String,
    /// Whether it is connected now.
    pub is_connected: bool,
}

/// What the attempts, or their absence, mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The device is connected now.
    Connected,
    /// There are attempts, and each says why it failed.
    Refused,
    /// There is no attempt from the address.
    NoneFromAddress,
    /// There is no attempt with the client id, user name or certificate.
    NoneWithCredentials,
    /// There is no attempt that matched the device.
    NoneOfDevice,
    /// There is no attempt at all.
    None,
}

impl Finding {
    /// Stable word for REST.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Refused => "refused",
            Self::NoneFromAddress => "none_from_address",
            Self::NoneWithCredentials => "none_with_credentials",
            Self::NoneOfDevice => "none_of_device",
            Self::None => "none",
        }
    }

    /// What it means, one or two sentences.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Connected => "The device is connected now. The attempts listed are past.",
            Self::Refused => {
                "The attempts listed reached the server and failed. Each says why, newest first."
            }
            Self::NoneFromAddress => {
                "No failed attempt from this address reached the server. Either nothing from there \
                 arrived here, or it came in by another address."
            }
            Self::NoneWithCredentials => {
                "No failed attempt with this client id, user name or certificate reached the server."
            }
            Self::NoneOfDevice => "No failed attempt that names this device reached the server.",
            Self::None => "No failed attempt is known.",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Connected => "Look at the device's readings, or at what it was refused since.",
            Self::Refused => "Do what the newest attempt's remedy says.",
            Self::NoneFromAddress => {
                "Check host name, port and firewall as the device sees them, and whether a proxy or a \
                 router stands between: the server then sees its address."
            }
            Self::NoneWithCredentials => {
                "Check host name, port and firewall as the device sees them; then search by its \
                 address, since it may send something else than you expect."
            }
            Self::NoneOfDevice => {
                "Search by the device's address or client id: an attempt with credentials of no device \
                 cannot be told to be this device's. If there is none, check host name, port and \
                 firewall."
            }
            Self::None => "Let the device connect again, and check host name, port and firewall.",
        }
    }
}

impl Node {
    /// Incidents of one device, newest first.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`] or the store's trouble.
    pub async fn device_incidents(
        &self,
        caller: &Caller,
        device: DeviceId,
        limit: usize,
    ) -> Result<Vec<Incident>, Error> {
        self.registry.device(caller, device).await?;
        let mut incidents = self.journal.incidents(device.entity()).await?;
        incidents.truncate(limit);
        Ok(incidents)
    }

    /// Incidents that match, newest first, of those that the caller may see.
    ///
    /// # Errors
    /// [`Error::Denied`] or [`Error::NotFound`] for a device that is not the caller's, or the store's
    /// trouble.
    pub async fn incidents(
        &self,
        caller: &Caller,
        search: &Search,
        limit: usize,
    ) -> Result<Vec<Incident>, Error> {
        let mut found = self.visible(caller, search.device).await?.incidents;
        found.retain(|incident| search.matches(incident));
        found.truncate(limit);
        Ok(found)
    }

    /// Why what the search describes does not connect.
    ///
    /// # Errors
    /// As [`Self::incidents`].
    pub async fn explain(
        &self,
        caller: &Caller,
        search: &Search,
        limit: usize,
    ) -> Result<Explanation, Error> {
        let visible = self.visible(caller, search.device).await?;
        let failures = visible.incidents.into_iter();
        let failures = failures.filter(|it| !it.reason.is_ordinary() && search.matches(it));
        let mut attempts = merged(failures);
        attempts.truncate(limit);
        let device = self.sought_device(caller, search).await?;
        Ok(Explanation {
            finding: finding(search, device.as_ref(), &attempts),
            attempts,
            device,
            strangers_seen: visible.has_strangers,
            kept_since: visible.kept_since,
        })
    }

    /// The incidents that the caller may see, of one device or of all.
    async fn visible(&self, caller: &Caller, device: Option<DeviceId>) -> Result<Visible, Error> {
        let mut visible = Visible::default();
        if let Some(device) = device {
            self.registry.device(caller, device).await?;
            visible.add(device.entity(), self.journal.incidents(device.entity()).await?);
            return Ok(visible);
        }
        if caller.authority != Authority::SysAdmin {
            let tenant = caller.tenant_id.entity();
            visible.add(tenant, self.journal.incidents(tenant).await?);
        }
        if caller.authority == Authority::CustomerUser {
            self.keep_own_devices(caller, &mut visible.incidents).await?;
        } else if self.sees_strangers(caller).await? {
            let strangers = TenantId::SYSTEM.entity();
            visible.add(strangers, self.journal.incidents(strangers).await?);
            visible.has_strangers = true;
        }
        Ok(visible)
    }

    /// Peers that matched nothing belong to no tenant: a system administrator sees them, and a tenant
    /// administrator does when there is no other tenant whose peers they could be.
    async fn sees_strangers(&self, caller: &Caller) -> Result<bool, Error> {
        if caller.authority == Authority::SysAdmin {
            return Ok(true);
        }
        let link = PageLink { page: 0, size: 1, text_search: None, sort: None };
        Ok(self.registry.tenants(&Caller::system(), link).await?.total == 1)
    }

    async fn keep_own_devices(
        &self,
        caller: &Caller,
        incidents: &mut Vec<Incident>,
    ) -> Result<(), Error> {
        let named: HashSet<_> = incidents.iter().filter_map(|it| it.device).collect();
        let own = self.registry.devices_by_ids(caller, named.into_iter().collect()).await?;
        let own: HashSet<_> = own.iter().map(|device| device.id).collect();
        incidents.retain(|it| it.device.is_some_and(|device| own.contains(&device)));
        Ok(())
    }

    /// The device that a search names, by its id or by what it logs in with; none when there is none
    /// or it is not the caller's.
    async fn sought_device(
        &self,
        caller: &Caller,
        search: &Search,
    ) -> Result<Option<SoughtDevice>, Error> {
        if caller.authority == Authority::SysAdmin {
            return Ok(None);
        }
        for id in search.credentials_ids() {
            if let Some(login) = self.registry.login_by_credentials_id(&id).await? {
                return self.own_device(caller, login.device_id).await;
            }
        }
        match search.device {
            Some(device) => self.own_device(caller, device).await,
            None => Ok(None),
        }
    }

    async fn own_device(
        &self,
        caller: &Caller,
        device: DeviceId,
    ) -> Result<Option<SoughtDevice>, Error> {
        match self.registry.device(caller, device).await {
            Ok(Device { id, name, .. }) => {
                let is_connected = self.presence.is_connected(id);
                Ok(Some(SoughtDevice { id, name, is_connected }))
            }
            Err(Error::NotFound(_) | Error::Denied(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What a caller may see.
#[derive(Default)]
struct Visible {
    incidents: Vec<Incident>,
    has_strangers: bool,
    kept_since: Option<Timestamp>,
}

impl Visible {
    fn add(&mut self, entity: EntityRef, incidents: Vec<Incident>) {
        if incidents.len() >= incidents_max(entity) {
            let oldest = incidents.last().map(|it| it.first_at);
            self.kept_since = self.kept_since.max(oldest);
        }
        let is_first = self.incidents.is_empty();
        self.incidents.extend(incidents);
        if !is_first {
            self.incidents.sort_by_key(|incident| core::cmp::Reverse(incident.at));
        }
    }
}

fn finding(search: &Search, device: Option<&SoughtDevice>, attempts: &[Incident]) -> Finding {
    if device.is_some_and(|device| device.is_connected) {
        return Finding::Connected;
    }
    if !attempts.is_empty() {
        return Finding::Refused;
    }
    if search.address.is_some() {
        Finding::NoneFromAddress
    } else if search.names_credentials() {
        Finding::NoneWithCredentials
    } else if search.device.is_some() {
        Finding::NoneOfDevice
    } else {
        Finding::None
    }
}

/// The same failure of the same peer as one, with the newest's facts; `incidents` are newest first.
fn merged(incidents: impl Iterator<Item = Incident>) -> Vec<Incident> {
    let mut merged: Vec<Incident> = Vec::new();
    let mut places = HashMap::new();
    for incident in incidents {
        let place = *places.entry(Same::of(&incident)).or_insert(merged.len());
        match merged.get_mut(place) {
            Some(newest) => {
                newest.count = newest.count.saturating_add(incident.count);
                newest.first_at = newest.first_at.min(incident.first_at);
            }
            None => merged.push(incident),
        }
    }
    merged
}

/// What makes failures the same for whoever asks.
#[derive(PartialEq, Eq, Hash)]
struct Same {
    reason: Reason,
    source: Source,
    client_id: String,
    user_name: String,
    leaf: Option<Fingerprint>,
}

impl Same {
    fn of(it: &Incident) -> Self {
        let chain = it.attempt.as_deref().map(|attempt| &attempt.chain);
        Self {
            reason: it.reason,
            source: Source::of(None, &it.remote),
            client_id: it.client_id.clone(),
            user_name: it.user_name.clone(),
            leaf: chain.and_then(|chain| chain.first()).map(|leaf| leaf.fingerprint),
        }
    }
}

#[cfg(test)]
mod tests;
