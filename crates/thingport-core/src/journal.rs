//! The journal of incidents: every refusal, rejected message and disconnect, once in the log and kept
//! with the device it concerns and with its tenant; with the installation when no device was found.
//!
//! A device that fails in a loop must not fill the disk: the same reason for the same subject is
//! written at once the first time and then at most every [`REPEAT_MS`], with the count of what
//! happened meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::id::{DeviceId, EntityRef, TenantId};
use thingport_model::incident::Incident;
use thingport_model::port::ledger::{Change, Ledger};
use thingport_model::reason::Reason;

use crate::clock::Clock;
use crate::metrics::{Bound, Metrics};

/// Whom an incident concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A known device of a known tenant.
    Device(DeviceId, TenantId),
    /// A peer that matched no device.
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
}

/// Keeps incidents.
pub struct Journal {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    recent: Mutex<HashMap<(Subject, Reason), Recent>>,
}

/// The last incident of one kind and what was held back since it was written.
struct Recent {
    written_ms: u64,
    held: Option<Incident>,
}

impl Journal {
    /// An empty journal.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self { ledger, clock, metrics, recent: Mutex::default() }
    }

    /// Counts, logs and keeps one incident.
    pub fn record(&self, report: &Report<'_>) {
        self.metrics.count_reason(report.reason);
        if let Some(incident) = self.due(report) {
            log(report.subject, &incident);
            self.keep(report.subject, &incident);
        }
    }

    /// Writes what was held back long enough. To be called about once a second.
    pub fn tick(&self) {
        let now_ms = self.clock.monotonic_ms();
        let mut due = Vec::new();
        self.recent.lock().retain(|(subject, _), recent| {
            let ripe = now_ms.saturating_sub(recent.written_ms) >= REPEAT_MS;
            if ripe && let Some(incident) = recent.held.take() {
                due.push((*subject, incident));
                recent.written_ms = now_ms;
                return true;
            }
            !ripe
        });
        for (subject, incident) in due {
            log(subject, &incident);
            self.keep(subject, &incident);
        }
    }

    /// Writes everything that was held back. To be called before the ledger is closed.
    pub fn flush(&self) {
        let recent = core::mem::take(&mut *self.recent.lock());
        for ((subject, _), recent) in recent {
            if let Some(incident) = recent.held {
                self.keep(subject, &incident);
            }
        }
    }

    /// The incident to be written now; none when it is a repetition that is held back.
    fn due(&self, report: &Report<'_>) -> Option<Incident> {
        let now_ms = self.clock.monotonic_ms();
        let incident = self.incident(report);
        let mut recent = self.recent.lock();
        if let Some(recent) = recent.get_mut(&(report.subject, report.reason)) {
            recent.hold(incident);
            return None;
        }
        if recent.len() >= RECENT_MAX {
            self.metrics.count_bound(Bound::Incidents);
            return None;
        }
        recent.insert((report.subject, report.reason), Recent { written_ms: now_ms, held: None });
        Some(incident)
    }

    fn incident(&self, report: &Report<'_>) -> Incident {
        let at = self.clock.now();
        Incident {
            at,
            reason: report.reason,
            detail: Incident::bounded(report.detail),
            device: match report.subject {
                Subject::Device(device, _) => Some(device),
                Subject::Stranger => None,
            },
            remote: Incident::bounded(report.remote),
            client_id: Incident::bounded(report.client_id),
            user_name: Incident::masked(report.user_name),
            protocol: Incident::bounded(report.protocol),
            count: 1,
            first_at: at,
        }
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

impl Recent {
    fn hold(&mut self, incident: Incident) {
        match &mut self.held {
            None => self.held = Some(incident),
            Some(held) => {
                let (count, first_at) = (held.count.saturating_add(1), held.first_at);
                *held = Incident { count, first_at, ..incident };
            }
        }
    }
}

impl Subject {
    /// Whose rings keep it: the device's and, unless it is ordinary, its tenant's; or the
    /// installation's.
    fn keepers(self, reason: Reason) -> [Option<EntityRef>; 2] {
        match self {
            Self::Device(device, tenant) => {
                [Some(device.entity()), (!reason.is_ordinary()).then(|| tenant.entity())]
            }
            Self::Stranger => [Some(TenantId::SYSTEM.entity()), None],
        }
    }
}

fn log(subject: Subject, incident: &Incident) {
    let device = match subject {
        Subject::Device(device, _) => device.to_string(),
        Subject::Stranger => String::new(),
    };
    let reason = incident.reason;
    if reason.is_ordinary() {
        tracing::debug!(reason = reason.id(), device, remote = incident.remote, "session ended");
        return;
    }
    tracing::info!(
        reason = reason.id(),
        device,
        remote = incident.remote,
        client_id = incident.client_id,
        user_name = incident.user_name,
        detail = incident.detail,
        count = incident.count,
        "{}",
        reason.sentence()
    );
}

/// How long repetitions are held back.
pub const REPEAT_MS: u64 = 10_000;
/// Different (subject, reason) pairs remembered at once.
pub const RECENT_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeClock, FakeLedger};
    use thingport_model::id::NIL;

    struct Bench {
        ledger: Arc<FakeLedger>,
        clock: Arc<FakeClock>,
        metrics: Arc<Metrics>,
        journal: Journal,
    }

    fn bench() -> Bench {
        let (ledger, clock) = (Arc::new(FakeLedger::default()), Arc::new(FakeClock::default()));
        let metrics = Arc::new(Metrics::default());
        let journal = Journal::new(ledger.clone(), clock.clone(), Arc::clone(&metrics));
        Bench { ledger, clock, metrics, journal }
    }

    fn report(subject: Subject, reason: Reason) -> Report<'static> {
        Report {
            subject,
            reason,
            detail: "",
            remote: "192.0.2.1:5",
            client_id: "",
            user_name: "",
            protocol: "",
        }
    }

    const DEVICE: Subject = Subject::Device(DeviceId(NIL), TenantId(NIL));

    #[test]
    fn a_rejection_is_kept_with_device_and_tenant_a_goodbye_with_the_device_only() {
        let bench = bench();
        bench.journal.record(&report(DEVICE, Reason::PayloadNotJson));
        assert_eq!(
            bench.ledger.take(),
            ["DEVICE payload.not_json x1", "TENANT payload.not_json x1"]
        );
        bench.journal.record(&report(DEVICE, Reason::ClientDisconnected));
        assert_eq!(bench.ledger.take(), ["DEVICE disconnect.client x1"]);
        bench.journal.record(&report(Subject::Stranger, Reason::CredentialsUnknown));
        assert_eq!(bench.ledger.take(), ["TENANT login.unknown x1"]);
    }

    #[test]
    fn repetitions_are_counted_and_written_once_in_a_while() {
        let bench = bench();
        for _ in 0..1000 {
            bench.journal.record(&report(Subject::Stranger, Reason::CredentialsUnknown));
        }
        assert_eq!(bench.ledger.take(), ["TENANT login.unknown x1"]);
        bench.clock.advance(REPEAT_MS - 1);
        bench.journal.tick();
        assert!(bench.ledger.take().is_empty());
        bench.clock.advance(1);
        bench.journal.tick();
        assert_eq!(bench.ledger.take(), ["TENANT login.unknown x999"]);
        bench.journal.record(&report(Subject::Stranger, Reason::CredentialsUnknown));
        bench.journal.flush();
        assert_eq!(bench.ledger.take(), ["TENANT login.unknown x1"]);
        let counted = bench.metrics.reasons().find(|(it, _)| *it == Reason::CredentialsUnknown);
        assert_eq!(counted, Some((Reason::CredentialsUnknown, 1001)));
    }

    #[test]
    fn a_quiet_subject_is_forgotten_so_that_its_next_incident_is_written_at_once() {
        let bench = bench();
        bench.journal.record(&report(DEVICE, Reason::ClientDisconnected));
        bench.clock.advance(REPEAT_MS);
        bench.journal.tick();
        bench.journal.record(&report(DEVICE, Reason::ClientDisconnected));
        assert_eq!(bench.ledger.take().len(), 2);
    }

    #[test]
    fn the_memory_of_repetitions_is_bounded() {
        let bench = bench();
        for n in 0..=RECENT_MAX {
            let subject =
                Subject::Device(DeviceId(uuid::Uuid::from_u128(n as u128)), TenantId(NIL));
            bench.journal.record(&report(subject, Reason::ClientDisconnected));
        }
        assert_eq!(bench.ledger.take().len(), RECENT_MAX);
        assert_eq!(bench.metrics.bounds().map(|(_, n)| n).sum::<u64>(), 1);
    }
}
