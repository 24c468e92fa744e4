//! A whole node over an engine of entities, with a ledger in memory and a clock that is moved by hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use parking_lot::Mutex;
use thingport_core::access::Caller;
use thingport_core::clock::Clock;
use thingport_core::node::{Node, NodeConfig};
use thingport_core::registry::DeviceLogin;
use thingport_core::registry::accounts::CustomerDraft;
use thingport_core::registry::devices::DeviceDraft;
use thingport_model::aggregate::Fold;
use thingport_model::attribute::{Attribute, Scope};
use thingport_model::device::Device;
use thingport_model::id::{CustomerId, DeviceId, EntityRef, UserId};
use thingport_model::incident::Incident;
use thingport_model::port::entities::Entities;
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::{
    AppendError, Change, Keys, Ledger, LedgerState, LedgerStats, Observer, RangeQuery, Receipt,
    Waiter,
};
use thingport_model::reading::{Reading, Readings};
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::user::Authority;
use thingport_model::value::{Value, ValueRef};
use thingport_store::entities::SqliteEntities;
use thingport_store::entities::memory::MemoryEntities;

use crate::house::{Chance, link, people};

pub(crate) struct Home {
    pub(crate) node: Node,
    pub(crate) entities: Arc<dyn Entities>,
    pub(crate) ledger: Arc<Shelf>,
    pub(crate) clock: Arc<Hands>,
    chance: Arc<Chance>,
    config: NodeConfig,
    pub(crate) admin: Caller,
    pub(crate) customer: CustomerId,
    pub(crate) customer_user: Caller,
}

impl Home {
    pub(crate) async fn in_memory(config: NodeConfig) -> Self {
        Self::over(Arc::new(MemoryEntities::default()), config).await
    }

    pub(crate) async fn on_disk(dir: &Path, config: NodeConfig) -> Self {
        Self::over(SqliteEntities::open(dir).unwrap(), config).await
    }

    async fn over(entities: Arc<dyn Entities>, config: NodeConfig) -> Self {
        let (ledger, clock) = (Arc::new(Shelf::default()), Arc::new(Hands::default()));
        let chance = Arc::new(Chance::default());
        let node = build(&entities, &ledger, &clock, &chance, &config);
        node.registry.found(&people(), &|text| format!("hash of {text}")).await.unwrap();
        let everybody = Caller::system();
        let tenant = node.registry.tenants(&everybody, link()).await.unwrap().rows.remove(0);
        let admin = Caller::tenant(tenant.id);
        let draft = CustomerDraft::new("Acme");
        let customer = node.registry.save_customer(&admin, draft).await.unwrap().id;
        let customer_user = user_of(admin, customer, 1);
        Self { node, entities, ledger, clock, chance, config, admin, customer, customer_user }
    }

    /// The same house after its process ended and began anew, `ms` later.
    pub(crate) fn restart(&mut self, ms: u64) {
        self.clock.advance(ms);
        self.clock.begin_anew();
        self.node = build(&self.entities, &self.ledger, &self.clock, &self.chance, &self.config);
    }

    pub(crate) async fn device(&self, name: &str) -> Device {
        let draft = DeviceDraft::new(name);
        let token = format!("token of {name}");
        self.node.registry.save_device(&self.admin, draft, Some(&token)).await.unwrap()
    }

    pub(crate) async fn login(&self, name: &str) -> Arc<DeviceLogin> {
        let token = format!("token of {name}");
        self.node.registry.login_by_credentials_id(&token).await.unwrap().unwrap()
    }

    /// A server attribute, as people write it.
    pub(crate) async fn write(&self, device: DeviceId, key: &str, value: ValueRef<'_>) {
        let mut attributes = Readings::default();
        attributes.push(self.clock.now(), key, value);
        let (entity, scope) = (device.entity(), Scope::Server);
        self.node.attributes.write(&self.admin, entity, scope, &attributes).await.unwrap();
    }

    pub(crate) fn of(&self, device: DeviceId, key: &str) -> Option<Value> {
        self.ledger.attributes.lock().get(&(device.entity(), key.to_owned())).cloned()
    }

    /// The reasons of a device's incidents, newest first.
    pub(crate) async fn reasons(&self, device: DeviceId) -> Vec<Reason> {
        let incidents = self.node.journal.incidents(device.entity()).await.unwrap();
        incidents.into_iter().map(|incident| incident.reason).collect()
    }
}

/// A user of a customer.
pub(crate) fn user_of(admin: Caller, customer: CustomerId, number: u128) -> Caller {
    Caller {
        user_id: UserId(uuid::Uuid::from_u128(number)),
        customer_id: Some(customer),
        authority: Authority::CustomerUser,
        ..admin
    }
}

fn build(
    entities: &Arc<dyn Entities>,
    ledger: &Arc<Shelf>,
    clock: &Arc<Hands>,
    chance: &Arc<Chance>,
    config: &NodeConfig,
) -> Node {
    let (entities, ledger) = (Arc::clone(entities), Arc::clone(ledger));
    Node::new(entities, ledger, Arc::clone(clock) as _, Arc::clone(chance) as _, config.clone())
}

/// Two clocks that stand still until they are moved.
pub(crate) struct Hands {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicU64,
}

impl Default for Hands {
    fn default() -> Self {
        let (wall_ms, monotonic_ms) = (AtomicI64::new(1_767_225_600_000), AtomicU64::new(5_000));
        Self { wall_ms, monotonic_ms }
    }
}

impl Hands {
    pub(crate) fn advance(&self, ms: u64) {
        self.set(i64::try_from(ms).unwrap());
        self.monotonic_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Somebody sets the clock on the wall.
    pub(crate) fn set(&self, by_ms: i64) {
        self.wall_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    fn begin_anew(&self) {
        self.monotonic_ms.store(77, Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall_ms.load(Ordering::Relaxed))
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms.load(Ordering::Relaxed)
    }
}

/// A ledger that keeps server attributes, incidents and keys of readings, and commits at once.
#[derive(Default)]
pub(crate) struct Shelf {
    attributes: Mutex<BTreeMap<(EntityRef, String), Value>>,
    incidents: Mutex<Vec<(EntityRef, Incident)>>,
    /// What the next appends answer, one each.
    refuses: Mutex<Vec<AppendError>>,
    appended: Mutex<BTreeMap<String, usize>>,
    readings: Mutex<Vec<(EntityRef, String)>>,
}

impl Shelf {
    pub(crate) fn refuse(&self, errors: &[AppendError]) {
        self.refuses.lock().extend(errors);
    }

    pub(crate) fn put(&self, entity: EntityRef, key: &str, value: Option<Value>) {
        let key = (entity, key.to_owned());
        match value {
            Some(value) => drop(self.attributes.lock().insert(key, value)),
            None => drop(self.attributes.lock().remove(&key)),
        }
    }

    /// Whether anything is kept of it.
    pub(crate) fn knows(&self, entity: EntityRef) -> bool {
        self.attributes.lock().keys().any(|(it, _)| *it == entity)
    }

    /// Keys of the readings of an entity, in their order.
    pub(crate) fn readings(&self, entity: EntityRef) -> Vec<String> {
        let all = self.readings.lock();
        all.iter().filter(|(it, _)| *it == entity).map(|(_, key)| key.clone()).collect()
    }

    /// How often this key was written.
    pub(crate) fn count(&self, key: &str) -> usize {
        self.appended.lock().get(key).copied().unwrap_or(0)
    }
}

#[async_trait]
impl Ledger for Shelf {
    fn append(&self, change: Change<'_>) -> Result<Receipt, AppendError> {
        if let Some(error) = self.refuses.lock().pop() {
            return Err(error);
        }
        match change {
            Change::SetAttributes { entity, scope: Scope::Server, attributes } => {
                for it in attributes.iter() {
                    *self.appended.lock().entry(it.key.to_owned()).or_default() += 1;
                    self.put(entity, it.key, Some(it.value.to_owned()));
                }
            }
            Change::Telemetry { entity, readings, .. } => {
                let keys = readings.iter().map(|it| (entity, it.key.to_owned()));
                self.readings.lock().extend(keys);
            }
            Change::DeleteAttributes { entity, keys, .. } => {
                keys.iter().for_each(|key| self.put(entity, key, None));
            }
            Change::Incident { entity, incident } => {
                self.incidents.lock().push((entity, incident.clone()));
            }
            Change::Purge { entity } => self.attributes.lock().retain(|(it, _), _| *it != entity),
            other => unreachable!("{other:?}"),
        }
        Ok(Receipt(1))
    }

    fn poll_committed(
        &self,
        _: Receipt,
        _: &mut Waiter,
        _: &mut Context<'_>,
    ) -> Poll<Result<(), AppendError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn set_observer(&self, _: Arc<dyn Observer>) {}

    async fn latest(&self, _: EntityRef, _: Keys) -> Result<Vec<Reading>, PortError> {
        Ok(Vec::new())
    }

    async fn range(&self, _: RangeQuery) -> Result<Vec<(Timestamp, Value)>, PortError> {
        Ok(Vec::new())
    }

    async fn aggregate(&self, _: EntityRef, _: String, fold: Fold) -> Result<Fold, PortError> {
        Ok(fold)
    }

    async fn keys(&self, _: EntityRef) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    async fn attributes(
        &self,
        entity: EntityRef,
        scope: Scope,
        keys: Keys,
    ) -> Result<Vec<Attribute>, PortError> {
        // Somebody else's turn, as with a real store.
        tokio::task::yield_now().await;
        let is_wanted = |key: &String| match &keys {
            Keys::All => true,
            Keys::Named(names) => names.contains(key),
        };
        let all = self.attributes.lock();
        let own = all.iter().filter(|((it, key), _)| *it == entity && is_wanted(key));
        let found = own.map(|((_, key), value)| Attribute {
            key: key.clone(),
            value: value.clone(),
            updated_at: Timestamp(1),
        });
        Ok(if scope == Scope::Server { found.collect() } else { Vec::new() })
    }

    async fn incidents(&self, entity: EntityRef, _: usize) -> Result<Vec<Incident>, PortError> {
        let all = self.incidents.lock();
        let own = all.iter().filter(|(it, _)| *it == entity);
        Ok(own.map(|(_, incident)| incident.clone()).rev().collect())
    }

    fn state(&self) -> LedgerState {
        LedgerState::Healthy
    }

    fn stats(&self) -> LedgerStats {
        LedgerStats::default()
    }

    async fn close(&self) -> Result<(), PortError> {
        Ok(())
    }
}
