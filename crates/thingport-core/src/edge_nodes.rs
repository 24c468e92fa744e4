//! Edge nodes of Sparkplug B that are connected: one connection each, and the state of their host.
//!
//! An edge node is a group id and a node id within a tenant. Whoever holds one has told of its birth and will
//! tell of its death; the next one, of the same device, waits for that, so that a late death never marks a
//! new session (tck-id-topic-structure-namespace-unique-edge-node-descriptor).

use core::sync::atomic::{AtomicI64, Ordering};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::attribute::Scope;
use thingport_model::id::{DeviceId, EntityKind, EntityRef, NIL, TenantId};
use thingport_model::port::ledger::{Change, Keys, Ledger};
use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;
use thingport_model::value::{Value, ValueRef};
use tokio::sync::Notify;

use crate::error::Error;
use crate::telemetry::append;

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
    /// older (tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp). To be called at start.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn begin(&self, ledger: &dyn Ledger, now: Timestamp) -> Result<(), Error> {
        let house = EntityRef { kind: EntityKind::Tenant, id: NIL };
        let keys = Keys::Named(vec![SINCE.to_owned()]);
        let before = ledger.attributes(house, Scope::Server, keys).await?;
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
            Change::SetAttributes { entity: house, scope: Scope::Server, attributes: &attributes };
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
