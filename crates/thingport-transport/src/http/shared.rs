//! What the device API over HTTP works with, and what every route of it is given.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::ExtensionRejection;
use axum::extract::{ConnectInfo, FromRequestParts, Query, State};
use axum::http::request::Parts;
use thingport_core::client_calls::SessionBounds;
use thingport_core::node::Node;
use thingport_device::payload::Typing;
use thingport_model::rpc::ReplyTo;
use tokio::sync::Semaphore;

use super::tap::Tap;
use crate::drain::Drain;

/// What the device API over HTTP works with.
pub struct DeviceHttp {
    pub(super) node: Arc<Node>,
    pub(super) drain: Arc<Drain>,
    /// Bytes of bodies that may arrive now.
    pub(super) bodies: Semaphore,
    pub(super) typing: Typing,
    pub(super) granted: SessionBounds,
    pub(super) bounds: DeviceHttpBounds,
}

/// What an operator says about the device API over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceHttpBounds {
    /// Bytes of the largest body but those about calls and claims (H-6).
    pub body_max: usize,
    /// How long a request waits that names no time or 0, in milliseconds (H-2).
    pub poll_ms: u64,
    /// How long it waits at most.
    pub poll_max_ms: u64,
}

impl Default for DeviceHttpBounds {
    fn default() -> Self {
        Self { body_max: 1024 * 1024, poll_ms: 60_000, poll_max_ms: 300_000 }
    }
}

impl DeviceHttp {
    /// For the devices of `node`, until `drain` begins. `granted` is what is answered to
    /// `getSessionLimits`.
    #[must_use]
    pub fn new(
        node: Arc<Node>,
        drain: Arc<Drain>,
        typing: Typing,
        granted: SessionBounds,
        bounds: DeviceHttpBounds,
    ) -> Self {
        // One body always finds room.
        let bodies = Semaphore::new(BODIES_MAX.max(bounds.body_max));
        Self { node, drain, bodies, typing, granted, bounds }
    }
}

/// What every route is given.
pub(super) type Http = State<Arc<DeviceHttp>>;
/// Who asks, and who looks on.
pub(super) struct Remote {
    pub(super) address: SocketAddr,
    /// None while nothing is traced.
    pub(super) tap: Option<Arc<Tap>>,
}

impl<S: Send + Sync> FromRequestParts<S> for Remote {
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ExtensionRejection> {
        let ConnectInfo(address) = ConnectInfo::from_request_parts(parts, state).await?;
        Ok(Self { address, tap: parts.extensions.get().cloned() })
    }
}

/// Members of the query, in order.
pub(super) type Members = Query<Vec<(String, String)>>;

/// The last member of this name.
pub(super) fn member<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().rev().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
}

/// The answer goes where the question came from.
pub(super) const NOWHERE: ReplyTo = ReplyTo { way: 0, id: 0 };
/// Bytes of all bodies of devices at once (`device_bodies_max`).
const BODIES_MAX: usize = 64 * 1024 * 1024;
