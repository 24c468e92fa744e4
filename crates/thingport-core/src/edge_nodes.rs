//! Edge nodes of Sparkplug B that are connected: one connection each, and the state of their host.
//!
//! An edge node is a group id and a node id within a tenant. Whoever holds one has told of its birth and will
//! tell of its death; the next one, of the same device, waits for that, so that a late death never marks a
//! new session (tck-id-topic-structure-namespace-unique-edge-node-descriptor).
//!
//! Whoever shows as online is *marked*, from shortly before its birth is acknowledged until its death is in
//! line for the ledger. A start finds marks only when the server was killed, and tells of the deaths that
//! nobody told of. There may be a mark too many, which costs a look; the latest state decides.

use core::sync::atomic::{AtomicI64, Ordering};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::attribute::Scope;
use thingport_model::edge_node::{OFFLINE, ONLINE, STATE_KEY};
use thingport_model::id::{DeviceId, EntityKind, EntityRef, NIL, TenantId};
use thingport_model::port::ledger::{AppendError, Change, Keys, Ledger, Receipt};
use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;
use thingport_model::value::{Value, ValueRef};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::error::Error;
use crate::telemetry::{append, put};

/// Which edge node: of which tenant, in which group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EdgeNodeKey {
    /// Whose.
    pub tenant: TenantId,
    /// Its group id.
    pub group: Box<str>,
    /// Its edge node id.
    pub node: Box<str>,
}

/// Every edge node that is connected; at most one per connection.
#[derive(Debug, Default)]
pub struct EdgeNodes {
    held: Mutex<Held>,
    let_go: Notify,
    /// Since when the host is there, in milliseconds; 0 before it is.
    since_ms: AtomicI64,
}

#[derive(Debug, Default)]
struct Held {
    by_key: HashMap<EdgeNodeKey, DeviceId, foldhash::fast::RandomState>,
    by_device: HashMap<DeviceId, EdgeNodeKey, foldhash::fast::RandomState>,
}

/// An edge node that is held; let go when this is dropped.
#[derive(Debug)]
pub struct EdgeNodeHold {
    nodes: Arc<EdgeNodes>,
    device: DeviceId,
}

/// Why an edge node cannot be held now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// Another device is connected as it.
    Taken(DeviceId),
    /// The device's connection before holds one still.
    Held,
}

impl EdgeNodes {
    /// Holds an edge node for a connection of `device`.
    ///
    /// # Errors
    /// When it is held, or the device holds one.
    pub fn hold(
        self: &Arc<Self>,
        key: EdgeNodeKey,
        device: DeviceId,
    ) -> Result<EdgeNodeHold, NotNow> {
        let mut held = self.held.lock();
        if let Some(holder) = held.by_key.get(&key).filter(|holder| **holder != device) {
            return Err(NotNow::Taken(*holder));
        }
        if held.by_device.contains_key(&device) {
            return Err(NotNow::Held);
        }
        held.by_key.insert(key.clone(), device);
        held.by_device.insert(device, key);
        Ok(EdgeNodeHold { nodes: Arc::clone(self), device })
    }

    /// Waits until the device holds none.
    pub async fn let_go(&self, device: DeviceId) {
        loop {
            let next = self.let_go.notified();
            if !self.held.lock().by_device.contains_key(&device) {
                return;
            }
            next.await;
        }
    }

    /// The host is there from now on, or later than it ever said before, since edge nodes ignore what is
    /// older (tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp). Edge nodes and devices that
    /// showed as online when the server was killed are dead since now. To be called at start.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn begin(&self, ledger: &dyn Ledger, now: Timestamp) -> Result<(), Error> {
        self.appear(ledger, now).await?;
        bury(ledger, now).await
    }

    async fn appear(&self, ledger: &dyn Ledger, now: Timestamp) -> Result<(), Error> {
        let keys = Keys::Named(vec![SINCE.to_owned()]);
        let before = ledger.attributes(HOUSE, Scope::Server, keys).await?;
        let before = before.first().map(|it| &it.value);
        let floor = match before {
            Some(Value::Long(ms)) => ms.saturating_add(1),
            _ => 0,
        };
        let since_ms = now.ms().max(floor);
        self.since_ms.store(since_ms, Ordering::Release);
        let mut attributes = Readings::default();
        attributes.push(now, SINCE, ValueRef::Long(since_ms));
        let change =
            Change::SetAttributes { entity: HOUSE, scope: Scope::Server, attributes: &attributes };
        append(ledger, change).await
    }

    /// The host was away for a while and is back: what edge nodes are told from now on is newer. Not kept:
    /// the next start is later still.
    pub fn renew(&self, now: Timestamp) {
        self.since_ms.fetch_max(now.ms(), Ordering::AcqRel);
    }

    /// Since when the host is there; the same for every session.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        Timestamp(self.since_ms.load(Ordering::Acquire))
    }
}

/// Marks a device as one that shows as online.
///
/// # Errors
/// As [`Ledger::append`].
pub fn mark(ledger: &dyn Ledger, device: DeviceId, now: Timestamp) -> Result<Receipt, AppendError> {
    let mut marks = Readings::default();
    marks.push(now, &mark_of(device), ValueRef::Bool(true));
    ledger.append(Change::SetAttributes { entity: HOUSE, scope: Scope::Server, attributes: &marks })
}

/// Takes marks away, from the last device on; those that are done are taken from `devices`.
///
/// # Errors
/// As [`Ledger::append`].
pub fn unmark(ledger: &dyn Ledger, devices: &mut Vec<DeviceId>) -> Result<(), AppendError> {
    while !devices.is_empty() {
        let keys: Vec<String> =
            devices.iter().rev().take(MARKS_AT_ONCE).copied().map(mark_of).collect();
        let (entity, scope) = (HOUSE, Scope::Server);
        ledger.append(Change::DeleteAttributes { entity, scope, keys: &keys })?;
        devices.truncate(devices.len() - keys.len());
    }
    Ok(())
}

/// Tells of the deaths of those that are marked, which is all that is known of when they died.
async fn bury(ledger: &dyn Ledger, now: Timestamp) -> Result<(), Error> {
    let kept = ledger.attributes(HOUSE, Scope::Server, Keys::All).await?;
    let marked = kept.iter().filter_map(|it| Uuid::try_parse(it.key.strip_prefix(MARK)?).ok());
    let mut marked: Vec<DeviceId> = marked.map(DeviceId).collect();
    for device in &marked {
        let entity = device.entity();
        let state = ledger.latest(entity, Keys::Named(vec![STATE_KEY.to_owned()])).await?;
        let Some(last) = state.first().filter(|it| it.value == Value::String(ONLINE.into())) else {
            continue;
        };
        let mut readings = Readings::default();
        // Not before the birth, by whatever clock: the newest word counts.
        readings.push(now.max(last.at), STATE_KEY, ValueRef::String(OFFLINE));
        put(ledger, Change::Telemetry { entity, readings: &readings, ttl_s: 0 }).await?;
    }
    loop {
        match unmark(ledger, &mut marked) {
            Err(AppendError::Busy) => core::future::poll_fn(|cx| ledger.poll_ready(cx)).await,
            done => return Ok(done?),
        }
    }
}

fn mark_of(device: DeviceId) -> String {
    format!("{MARK}{}", device.0)
}

impl Drop for EdgeNodeHold {
    fn drop(&mut self) {
        let mut held = self.nodes.held.lock();
        if let Some(key) = held.by_device.remove(&self.device) {
            held.by_key.remove(&key);
        }
        drop(held);
        self.nodes.let_go.notify_waiters();
    }
}

/// Whose attributes keep what is said of no tenant.
const HOUSE: EntityRef = EntityRef { kind: EntityKind::Tenant, id: NIL };
/// What the keys of marks begin with.
const MARK: &str = "sparkplugOnline:";
/// Marks that are taken away in one change.
const MARKS_AT_ONCE: usize = 1_000;
/// Where the newest beginning is kept.
const SINCE: &str = "sparkplugHostOnlineSince";

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(tenant: u128, node: &str) -> EdgeNodeKey {
        let tenant = TenantId(Uuid::from_u128(tenant));
        EdgeNodeKey { tenant, group: "G".into(), node: node.into() }
    }

    fn device(number: u128) -> DeviceId {
        DeviceId(Uuid::from_u128(number))
    }

    #[test]
    fn an_edge_node_has_one_holder() {
        let nodes = Arc::new(EdgeNodes::default());
        let first = nodes.hold(key(1, "E"), device(1)).unwrap();
        assert_eq!(nodes.hold(key(1, "E"), device(2)).unwrap_err(), NotNow::Taken(device(1)));
        assert_eq!(nodes.hold(key(1, "E"), device(1)).unwrap_err(), NotNow::Held);
        assert_eq!(nodes.hold(key(1, "F"), device(1)).unwrap_err(), NotNow::Held, "one each");
        let other = nodes.hold(key(2, "E"), device(2));
        assert!(other.is_ok(), "another tenant's is another one");
        drop(first);
        assert!(nodes.hold(key(1, "E"), device(3)).is_ok());
        assert!(nodes.held.lock().by_key.len() == 1 && nodes.held.lock().by_device.len() == 1);
    }
}
