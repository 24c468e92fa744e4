//! The journal of incidents: every refusal, rejected message and disconnect, once in the log and kept
//! with the device it concerns and with its tenant; with the installation when no device was found.
//!
//! A device that fails in a loop must not fill the disk: the first incident of a kind is written at
//! once, repetitions rarely and with their count (see [`groups`](self)); what is held back is part
//! of every answer all the same.

mod groups;

use std::sync::Arc;

use parking_lot::Mutex;
use sha3::{Digest, Sha3_256};
use thingport_model::attempt::{Attempt, UserNameHash, chain_line};
use thingport_model::id::{DeviceId, EntityRef, TenantId};
use thingport_model::incident::Incident;
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::{Change, Ledger};
use thingport_model::reason::Reason;

use crate::clock::Clock;
use crate::metrics::{Bound, Metrics};
use groups::Groups;

pub use groups::{
    COARSE_MAX, PEERS_MAX, RECENT_MAX, REPEAT_MAX_MS, REPEAT_MS, SHARE_MAX, SHARE_MS,
};

/// Whom an incident concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A known device of a known tenant.
    Device(DeviceId, TenantId),
    /// A peer that matched no device, but something else of this tenant: a device profile.
    Tenant(TenantId),
    /// A peer that matched nothing.
    Stranger,
}

/// What the place that refused knows. Texts may be of any length; they are cut here.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Whom it concerns.
    pub subject: Subject,
    /// Why.
    pub reason: Reason,
    /// What exactly was wrong, without secrets.
    pub detail: &'a str,
    /// Address of the peer.
    pub remote: &'a str,
    /// Client id as sent; empty when unknown.
    pub client_id: &'a str,
    /// User name as sent; empty when unknown. Masked here.
    pub user_name: &'a str,
    /// `MQTT 3.1.1`, `MQTT 5`, ...; empty when unknown.
    pub protocol: &'a str,
    /// What a refused CONNECT showed; its hash of the user name is set here.
    pub attempt: Option<&'a Attempt>,
}

/// Keeps incidents.
pub struct Journal {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    groups: Mutex<Groups>,
}

impl Journal {
    /// An empty journal.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self { ledger, clock, metrics, groups: Mutex::default() }
    }

    /// Counts, logs and keeps one incident.
    pub fn record(&self, report: &Report<'_>) {
        self.metrics.count_reason(report.reason);
        let (incident, now_ms) = (self.incident(report), self.clock.monotonic_ms());
        let (due, is_bounded) = self.groups.lock().take(report.subject, incident, now_ms);
        if is_bounded {
            self.metrics.count_bound(Bound::Incidents);
        }
        if let Some((subject, incident)) = due {
            self.write(subject, &incident);
        }
    }

    /// Writes what was held back long enough. To be called about once a second.
    pub fn tick(&self) {
        let due = self.groups.lock().ripe(self.clock.monotonic_ms());
        due.iter().for_each(|(subject, incident)| self.write(*subject, incident));
    }

    /// Writes everything that was held back. To be called before the ledger is closed.
    pub fn flush(&self) {
        let held = self.groups.lock().drain();
        held.iter().for_each(|(subject, incident)| self.keep(*subject, incident));
    }

    /// All incidents kept of an entity, newest first, repetitions up to this moment among them.
    ///
    /// # Errors
    /// Whatever the ledger answers.
    pub async fn incidents(&self, entity: EntityRef) -> Result<Vec<Incident>, PortError> {
        let mut incidents = self.groups.lock().held(entity);
        incidents.extend(self.ledger.incidents(entity, usize::MAX).await?);
        incidents.sort_by_key(|incident| core::cmp::Reverse(incident.at));
        Ok(incidents)
    }

    fn incident(&self, report: &Report<'_>) -> Incident {
        let at = self.clock.now();
        Incident {
            at,
            reason: report.reason,
            detail: Incident::bounded(report.detail),
            device: match report.subject {
                Subject::Device(device, _) => Some(device),
                Subject::Tenant(_) | Subject::Stranger => None,
            },
            remote: Incident::bounded(report.remote),
            client_id: Incident::bounded(report.client_id),
            user_name: Incident::masked(report.user_name),
            protocol: Incident::bounded(report.protocol),
            count: 1,
            first_at: at,
            attempt: report.attempt.map(|attempt| {
                let user_name = user_name_hash(report.user_name);
                Box::new(Attempt { user_name, ..attempt.bounded() })
            }),
        }
    }

    fn write(&self, subject: Subject, incident: &Incident) {
        log(incident);
        self.keep(subject, incident);
    }

    /// Appends without waiting for the commit: an incident is not promised to anybody. When the ledger
    /// refuses, the log line remains.
    fn keep(&self, subject: Subject, incident: &Incident) {
        for entity in subject.keepers(incident.reason).into_iter().flatten() {
            if self.ledger.append(Change::Incident { entity, incident }).is_err() {
                self.metrics.count_bound(Bound::Incidents);
            }
        }
    }
}

impl Subject {
    /// Whose rings keep it: the device's and, unless it is ordinary, its tenant's; the tenant's; or
    /// the installation's.
    fn keepers(self, reason: Reason) -> [Option<EntityRef>; 2] {
        match self {
            Self::Device(device, tenant) => {
                [Some(device.entity()), (!reason.is_ordinary()).then(|| tenant.entity())]
            }
            Self::Tenant(tenant) => [Some(tenant.entity()), None],
            Self::Stranger => [Some(TenantId::SYSTEM.entity()), None],
        }
    }
}

/// What is kept of a user name so that its attempts can be found; none of an empty one.
#[must_use]
pub fn user_name_hash(user_name: &str) -> Option<UserNameHash> {
    let digest = Sha3_256::new().chain_update(HASH_PURPOSE).chain_update(user_name).finalize();
    let start = digest.first_chunk().filter(|_| !user_name.is_empty());
    start.map(|start| UserNameHash(*start))
}

fn log(incident: &Incident) {
    let device = incident.device.map(|device| device.to_string()).unwrap_or_default();
    let reason = incident.reason;
    if reason.is_ordinary() {
        tracing::debug!(reason = reason.id(), device, remote = incident.remote, "session ended");
        return;
    }
    let none = Attempt::default();
    let attempt = incident.attempt.as_deref().unwrap_or(&none);
    tracing::info!(
        reason = reason.id(),
        device,
        remote = incident.remote,
        protocol = incident.protocol,
        client_id = incident.client_id,
        user_name = incident.user_name,
        tls = attempt.tls_version,
        cipher = attempt.cipher,
        certificates = chain_line(attempt),
        tried = attempt.tried,
        detail = incident.detail,
        count = incident.count,
        "{}",
        reason.sentence()
    );
}

/// Sets the hash apart from every other hash of the same text, credentials ids above all.
const HASH_PURPOSE: &str = "thingport incident user name:";

#[cfg(test)]
mod tests;
