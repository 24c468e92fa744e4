//! What all connections of a listener share.

use std::sync::Arc;

use parking_lot::Mutex;
use thingport_core::guard::crowd::Crowd;
use thingport_core::node::Node;
use thingport_device::dialect::Dialect;
use thingport_model::id::DeviceProfileId;
use thingport_model::profile::DeviceProfile;
use thingport_mqtt::limits::Bounds;

use crate::config::Config;
use crate::drain::Drain;
use crate::timers::Timers;

/// What all connections of a listener share.
pub(crate) struct Shared {
    pub(crate) node: Arc<Node>,
    pub(crate) config: Config,
    pub(crate) bounds: Arc<Bounds>,
    pub(crate) timers: Timers,
    pub(crate) drain: Arc<Drain>,
    pub(crate) dialects: Dialects,
    /// Places for connections whose PROXY header is waited for.
    pub(crate) proxy_headers: Arc<Crowd>,
}

/// A place among the handshakes under way; given back when it is dropped.
pub(crate) struct HandshakeSlot(Arc<Node>);

impl HandshakeSlot {
    /// None when `max` are taken.
    pub(crate) fn take(node: &Arc<Node>, max: u64) -> Option<Self> {
        if node.metrics.tls_handshakes.value() >= max {
            return None;
        }
        node.metrics.tls_handshakes.add(1);
        Some(Self(Arc::clone(node)))
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        self.0.metrics.tls_handshakes.sub(1);
    }
}

/// A profile's topics and payload form, compiled once and shared by all its devices.
#[derive(Default)]
pub(crate) struct Dialects {
    compiled: Mutex<Vec<Compiled>>,
}

type Compiled = (DeviceProfileId, Arc<DeviceProfile>, Arc<Dialect>);

impl Dialects {
    /// The dialect of a profile in its present state.
    pub(crate) fn of(&self, profile: &Arc<DeviceProfile>) -> Arc<Dialect> {
        if let Some(dialect) = self.known(profile) {
            return dialect;
        }
        // Schemas take their time, some 50 us each and 10 ms at most, so nobody waits for the table
        // meanwhile. Two connections may do it both; the later one is kept.
        let dialect = Arc::new(Dialect::compile(profile));
        let mut compiled = self.compiled.lock();
        compiled.retain(|(id, ..)| *id != profile.id);
        if compiled.len() >= DIALECTS_MAX {
            compiled.remove(0);
        }
        compiled.push((profile.id, Arc::clone(profile), Arc::clone(&dialect)));
        dialect
    }

    /// The dialect of a profile, if it was compiled in this state.
    fn known(&self, profile: &Arc<DeviceProfile>) -> Option<Arc<Dialect>> {
        let compiled = self.compiled.lock();
        let (_, of, dialect) = compiled.iter().find(|(id, ..)| *id == profile.id)?;
        (Arc::ptr_eq(of, profile) || of == profile).then(|| Arc::clone(dialect))
    }
}

/// Profiles whose dialect is remembered; the oldest is compiled again when it is needed.
const DIALECTS_MAX: usize = 4096;
