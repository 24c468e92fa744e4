//! A connection that has not logged in yet: strangers are few, in total and from one address (L-11).

use std::net::IpAddr;
use std::sync::Arc;

use thingport_core::node::Node;
use thingport_model::reason::Reason;

/// A place among those that have not logged in; given back when it is dropped. Boxed, since most
/// connections are without one most of the time.
pub(crate) struct Guest {
    node: Arc<Node>,
    ip: IpAddr,
}

impl Guest {
    /// Takes a place for a connection that was just accepted.
    ///
    /// # Errors
    /// The reason to close it at once.
    pub(crate) fn enter(node: &Arc<Node>, ip: IpAddr) -> Result<Box<Self>, Reason> {
        node.guard.enter(ip, node.clock.monotonic_ms())?;
        Ok(Box::new(Self { node: Arc::clone(node), ip }))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.node.guard.leave(self.ip);
    }
}
