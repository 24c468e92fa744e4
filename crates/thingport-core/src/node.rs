//! The whole house, built once from ports, clock and random source.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use thingport_model::downlink::Downlink;
use thingport_model::id::{
    CustomerId, DeviceId, DeviceProfileId, EntityKind, TenantId, TenantProfileId,
};
use thingport_model::port::entities::Entities;
use thingport_model::port::ledger::Ledger;
use thingport_model::reason::Reason;
use tokio::sync::Notify;

use crate::activity::{Activity, ActivityConfig};
use crate::admit::Entrance;
use crate::attributes::Attributes;
use crate::calls::{CallParts, CallRules, Calls};
use crate::claims::{ClaimParts, ClaimRules, Claims};
use crate::client_calls::ClientCalls;
use crate::client_calls::applications::Applications;
use crate::clock::{Clock, Entropy};
use crate::edge_nodes::EdgeNodes;
use crate::error::Error;
use crate::forwarding::Forwarding;
use crate::guard::{Guard, GuardConfig};
use crate::journal::Journal;
use crate::latencies::Latencies;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::packages::Packages;
use crate::presence::{EarBounds, Presence};
use crate::provision::Provisions;
use crate::query::Queries;
use crate::reception::Reception;
use crate::registry::{Registry, RegistryEvents};
use crate::sessions::{SessionRules, Sessions};
use crate::telemetry::Telemetry;
use crate::trace::Traces;
use crate::watch::Watches;

/// What the configuration says about the domain.
#[derive(Clone, Debug, Default)]
pub struct NodeConfig {
    /// Seconds that readings are kept where the tenant profile says nothing; 0 for ever.
    pub default_ttl_s: u32,
    /// What strangers may do.
    pub guard: GuardConfig,
    /// Whether a device's certificate may be out of its period (AU-045).
    pub skip_client_validity: bool,
    /// How devices are called.
    pub calls: CallRules,
    /// When devices count as active.
    pub activity: ActivityConfig,
    /// How devices become a customer's.
    pub claims: ClaimRules,
    /// Which sessions are kept over connections.
    pub sessions: SessionRules,
    /// How many requests may wait for devices beside their connections.
    pub ears: EarBounds,
}

/// Every part of the domain, wired.
pub struct Node {
    /// Tenants, people, profiles, devices, credentials.
    pub registry: Arc<Registry>,
    /// Readings for people.
    pub telemetry: Telemetry,
    /// Questions about many entities at once.
    pub queries: Queries,
    /// Attributes for people and for devices.
    pub attributes: Arc<Attributes>,
    /// What the server asks devices.
    pub calls: Arc<Calls>,
    /// Sessions that outlive their connections.
    pub sessions: Arc<Sessions>,
    /// Edge nodes of Sparkplug B that are connected.
    pub edge_nodes: Arc<EdgeNodes>,
    /// What devices ask the server.
    pub client_calls: ClientCalls,
    /// What leaves the house.
    pub forwarding: Arc<Forwarding>,
    /// Devices that may become a customer's.
    pub claims: Claims,
    /// Firmware and software.
    pub packages: Packages,
    /// The door for devices.
    pub reception: Reception,
    /// How long readings are on their way through gateways.
    pub latencies: Arc<Latencies>,
    /// What devices and tenants may send.
    pub limits: Limits,
    /// Who may open connections.
    pub guard: Guard,
    /// The door for peers that want to become devices.
    pub provisions: Provisions,
    /// Who reports.
    pub activity: Arc<Activity>,
    /// Who is connected.
    pub presence: Arc<Presence>,
    /// Devices whose packets somebody looks at.
    pub traces: Arc<Traces>,
    /// Live interest of people.
    pub watches: Arc<Watches>,
    /// Why things were refused.
    pub journal: Arc<Journal>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where readings are kept.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Notified when something was deleted and must be purged, or packages were assigned and devices
    /// must be told.
    pub deleted: Arc<Notify>,
    skip_client_validity: bool,
}

impl Node {
    /// Builds the house and lets the watches hear of every commit.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a few lines for each part of the house")]
    pub fn new(
        entities: Arc<dyn Entities>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        config: NodeConfig,
    ) -> Self {
        let metrics = Arc::new(Metrics::default());
        let watches = Watches::new(Arc::clone(&metrics));
        ledger.set_observer(watches.clone());
        let presence = Presence::new(Arc::clone(&metrics)).with_ears(config.ears);
        let presence = Arc::new(presence);
        let traces = Traces::new(Arc::clone(&presence), Arc::clone(&clock), Arc::clone(&metrics));
        let traces = Arc::new(traces);
        let deleted = Arc::new(Notify::new());
        let journal = Journal::new(Arc::clone(&ledger), Arc::clone(&clock), Arc::clone(&metrics));
        let journal = Arc::new(journal);
        let activity = Arc::new(Activity::new(
            Arc::clone(&entities),
            Arc::clone(&ledger),
            Arc::clone(&presence),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            config.activity,
        ));
        // A crash may have left files of packages.
        let litter = Arc::new(AtomicBool::new(true));
        let sessions = Arc::new(Sessions::new(
            (Arc::clone(&entities), Arc::clone(&journal)),
            (Arc::clone(&metrics), Arc::clone(&clock)),
            config.sessions,
        ));
        let forwarding = Arc::new(Forwarding::new(
            Arc::clone(&entities),
            Arc::clone(&journal),
            Arc::clone(&metrics),
            Arc::clone(&clock),
        ));
        let latencies = Arc::new(Latencies::default());
        let changes = Arc::new(Changes {
            latencies: Arc::clone(&latencies),
            forwarding: Arc::clone(&forwarding),
            sessions: Arc::clone(&sessions),
            presence: Arc::clone(&presence),
            traces: Arc::clone(&traces),
            activity: Arc::clone(&activity),
            deleted: Arc::clone(&deleted),
            litter: Arc::clone(&litter),
            calls: OnceLock::new(),
        });
        let registry = Registry::new(
            Arc::clone(&entities),
            Arc::clone(&clock),
            Arc::clone(&entropy),
            changes.clone(),
        );
        let registry = Arc::new(registry.with_default_ttl(config.default_ttl_s));
        let calls = CallParts {
            registry: Arc::clone(&registry),
            entities,
            presence: Arc::clone(&presence),
            journal: Arc::clone(&journal),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
        };
        let calls = Arc::new(Calls::new(calls, config.calls));
        // Nobody else knows of the slot yet, so it is free.
        let _ = changes.calls.set(Arc::downgrade(&calls));
        let attributes = Arc::new(Attributes::new(
            Arc::clone(&registry),
            Arc::clone(&ledger),
            Arc::clone(&presence),
            Arc::clone(&activity),
            (Arc::clone(&sessions), Arc::clone(&clock)),
        ));
        let claims = ClaimParts {
            registry: Arc::clone(&registry),
            attributes: Arc::clone(&attributes),
            ledger: Arc::clone(&ledger),
            journal: Arc::clone(&journal),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
        };
        let applications = Arc::new(Applications::new(
            Arc::clone(&clock),
            Arc::clone(&entropy),
            Arc::clone(&metrics),
        ));
        Self {
            telemetry: Telemetry::new(Arc::clone(&registry), Arc::clone(&ledger)),
            queries: Queries::new(Arc::clone(&registry), Arc::clone(&ledger)),
            packages: Packages::new(
                Arc::clone(&registry),
                Arc::clone(&attributes),
                Arc::clone(&clock),
                Arc::clone(&metrics),
                litter,
            ),
            attributes,
            calls,
            sessions,
            edge_nodes: Arc::new(EdgeNodes::default()),
            client_calls: ClientCalls::new(Arc::clone(&clock), applications),
            forwarding,
            claims: Claims::new(claims, config.claims),
            provisions: Provisions::new(
                Arc::clone(&registry),
                Arc::clone(&ledger),
                Arc::clone(&clock),
                Arc::clone(&metrics),
            ),
            reception: Reception::new(Arc::clone(&ledger), Arc::clone(&metrics)),
            journal,
            latencies,
            limits: Limits::new(Arc::clone(&metrics)),
            guard: Guard::new(config.guard, Arc::clone(&metrics)),
            registry,
            activity,
            presence,
            traces,
            watches,
            metrics,
            ledger,
            clock,
            entropy,
            deleted,
            skip_client_validity: config.skip_client_validity,
        }
    }

    /// Where devices log in.
    #[must_use]
    pub fn entrance(&self) -> Entrance<'_> {
        Entrance {
            registry: &self.registry,
            provisions: &self.provisions,
            clock: &*self.clock,
            skip_client_validity: self.skip_client_validity,
        }
    }

    /// Writes what is not durable yet of kept sessions, ends those whose time is over, and forgets what
    /// sessions that ended were owed. To be called often, and at the end.
    ///
    /// # Errors
    /// The store's trouble; what is not done is done next time, but for what ended sessions were owed,
    /// which no later session takes for its own.
    pub async fn keep_sessions(&self) -> Result<(), Error> {
        self.sessions.expire();
        self.sessions.save().await?;
        for device in self.sessions.take_ended() {
            self.attributes.forget_owed(device).await?;
        }
        Ok(())
    }

    /// Purges the ledger of everything that was deleted and confirms it. To be called at start and
    /// whenever [`Self::deleted`] was notified.
    ///
    /// # Errors
    /// The store's trouble; what was not confirmed is tried again next time.
    pub async fn purge_deleted(&self) -> Result<(), Error> {
        for entity in self.registry.outbox().await? {
            if entity.kind == EntityKind::Device {
                self.activity.forget(DeviceId(entity.id));
            }
            let change = thingport_model::port::ledger::Change::Purge { entity };
            crate::telemetry::append(&*self.ledger, change).await?;
            self.registry.purged(entity).await?;
        }
        Ok(())
    }
}

/// Carries changes of the registry to live connections, to calls and to the purge.
struct Changes {
    latencies: Arc<Latencies>,
    forwarding: Arc<Forwarding>,
    sessions: Arc<Sessions>,
    presence: Arc<Presence>,
    traces: Arc<Traces>,
    activity: Arc<Activity>,
    deleted: Arc<Notify>,
    /// Whether packages were deleted whose files are still there.
    litter: Arc<AtomicBool>,
    /// Set as soon as there are calls, which need the registry themselves; the node holds them.
    calls: OnceLock<Weak<Calls>>,
}

impl RegistryEvents for Changes {
    fn device_created(&self, device: DeviceId) {
        self.activity.created(device);
    }

    fn device_deleted(&self, device: DeviceId) {
        self.presence.tell(device, Downlink::Close(Reason::DeviceDeleted));
        self.traces.forget(device);
        self.latencies.forget(device);
        if let Some(calls) = self.calls.get().and_then(Weak::upgrade) {
            calls.device_deleted(device);
        }
        self.sessions.device_deleted(device);
        self.deleted.notify_one();
    }

    fn credentials_changed(&self, device: DeviceId) {
        self.presence.tell(device, Downlink::Close(Reason::CredentialsChanged));
    }

    fn device_changed(&self, device: DeviceId) {
        self.presence.bump_epoch();
        self.forwarding.device_changed(device);
    }

    fn profile_changed(&self, profile: DeviceProfileId) {
        self.presence.bump_epoch();
        self.forwarding.profile_changed(profile);
    }

    fn revocations_changed(&self) {
        self.presence.wake_everybody();
    }

    fn tenant_profile_changed(&self, _: TenantProfileId) {
        self.presence.bump_epoch();
    }

    fn customer_deleted(&self, _: CustomerId) {
        self.presence.bump_epoch();
        self.deleted.notify_one();
    }

    fn tenant_deleted(&self, tenant: TenantId) {
        self.traces.forget_tenant(tenant);
        if let Some(calls) = self.calls.get().and_then(Weak::upgrade) {
            calls.tenant_deleted(tenant);
        }
        self.sessions.tenant_deleted(tenant);
        self.forwarding.tenant_deleted();
        self.presence.bump_epoch();
        self.packages_deleted();
    }

    fn packages_assigned(&self) {
        self.deleted.notify_one();
    }

    fn packages_deleted(&self) {
        self.litter.store(true, Ordering::Release);
        self.deleted.notify_one();
    }
}
