//! Which incidents somebody asks for.

use core::net::IpAddr;

use thingport_model::attempt::{Attempt, Fingerprint, UserNameHash};
use thingport_model::id::DeviceId;
use thingport_model::incident::{Incident, address};
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;

use crate::journal::user_name_hash;
use crate::registry::hash_one;

/// What an incident must be like; the default asks for nothing, so everything matches.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Address of the peer. The port differs with each connection, so it is not compared.
    pub address: Option<IpAddr>,
    /// Client id, exactly.
    pub client_id: Option<String>,
    /// User name.
    pub user_name: Option<SoughtUserName>,
    /// One of the certificates presented, by either of its fingerprints.
    pub fingerprint: Option<Fingerprint>,
    /// One of these reasons; any if empty.
    pub reasons: Vec<Reason>,
    /// The device it concerns.
    pub device: Option<DeviceId>,
    /// Happened then or later.
    pub from: Option<Timestamp>,
    /// Happened then or earlier.
    pub to: Option<Timestamp>,
    /// Some text of it contains this, in any letter case.
    pub text: Option<SoughtText>,
}

/// A text that is looked for, in any letter case.
#[derive(Clone, Debug)]
pub struct SoughtText {
    lowercase: String,
}

impl SoughtText {
    /// Looks for `text`, which is at most [`SOUGHT_BYTES_MAX`] long.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { lowercase: text.to_lowercase() }
    }

    fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.lowercase)
    }
}

/// A user name that is looked for. It may be an access token, so it is never printed.
#[derive(Clone)]
pub struct SoughtUserName {
    name: String,
    hash: Option<UserNameHash>,
    masked: String,
}

impl core::fmt::Debug for SoughtUserName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.masked)
    }
}

impl SoughtUserName {
    /// Looks for the attempts of this user name, which may be an access token.
    #[must_use]
    pub fn new(user_name: &str) -> Self {
        let (hash, masked) = (user_name_hash(user_name), Incident::masked(user_name));
        Self { name: user_name.to_owned(), hash, masked }
    }

    /// By the hash where one was kept, otherwise by what is shown of the name.
    fn matches(&self, incident: &Incident) -> bool {
        let kept = incident.attempt.as_deref().and_then(|attempt| attempt.user_name);
        match kept {
            Some(kept) => Some(kept) == self.hash,
            None => incident.user_name == self.masked,
        }
    }
}

impl Search {
    /// Reasons with this id, or of this area: `login` means every `login.` reason.
    #[must_use]
    pub fn reasons(id: &str) -> Vec<Reason> {
        let fits = |it: &Reason| {
            it.id() == id || it.id().split_once('.').is_some_and(|(area, _)| area == id)
        };
        Reason::ALL.iter().copied().filter(fits).collect()
    }

    /// Whether the incident is one of those that are asked for.
    #[must_use]
    pub fn matches(&self, it: &Incident) -> bool {
        self.address.is_none_or(|sought| address(&it.remote) == Some(sought))
            && self.client_id.as_ref().is_none_or(|sought| *sought == it.client_id)
            && self.user_name.as_ref().is_none_or(|sought| sought.matches(it))
            && self.fingerprint.is_none_or(|sought| presented(it, sought))
            && (self.reasons.is_empty() || self.reasons.contains(&it.reason))
            && self.device.is_none_or(|sought| it.device == Some(sought))
            && self.from.is_none_or(|from| it.at >= from)
            && self.to.is_none_or(|to| it.first_at <= to)
            && self.text.as_ref().is_none_or(|sought| contains(it, sought))
    }

    /// By what a device would log in: a token or plain user name, a certificate, a client id.
    pub(super) fn credentials_ids(&self) -> Vec<String> {
        let user_name = self.user_name.as_ref().map(|it| it.name.clone());
        let certificate = self.fingerprint.map(|it| it.to_string());
        let client_id = self.client_id.as_deref().filter(|it| !it.is_empty()).map(hash_one);
        [user_name, certificate, client_id].into_iter().flatten().collect()
    }

    pub(super) const fn names_credentials(&self) -> bool {
        self.user_name.is_some() || self.fingerprint.is_some() || self.client_id.is_some()
    }
}

fn presented(it: &Incident, sought: Fingerprint) -> bool {
    let chain = it.attempt.iter().flat_map(|attempt| &attempt.chain);
    chain.into_iter().any(|one| one.fingerprint == sought || one.sha256 == sought)
}

fn contains(it: &Incident, sought: &SoughtText) -> bool {
    let own = [it.reason.id(), it.reason.sentence(), &it.detail, &it.remote, &it.client_id];
    let more = [it.user_name.as_str(), &it.protocol];
    let attempt = it.attempt.as_deref().map(texts).unwrap_or_default();
    let mut all = own.into_iter().chain(more).chain(attempt);
    all.any(|text| sought.is_in(text))
}

fn texts(attempt: &Attempt) -> Vec<&str> {
    let own = [attempt.tried.as_str(), &attempt.tls_version, &attempt.cipher];
    let chain = attempt.chain.iter();
    let certificates = chain.flat_map(|it| [&*it.subject, &*it.issuer, &*it.serial, &*it.key]);
    own.into_iter().chain(certificates).collect()
}

/// Longest text that people may look for, in bytes: each incident is compared with it.
pub const SOUGHT_BYTES_MAX: usize = 256;
