//! Calls: what the server asks devices (device API 6.1 to 6.5).
//!
//! Connections tell here which device listens, what became of each attempt to deliver a call, and what
//! devices answer. A call is delivered with [`Presence::tell`](crate::presence::Presence::tell).

use std::sync::Arc;

use thingport_model::id::DeviceId;
use thingport_model::reason::Reason;
use thingport_model::rpc::{CallProgress, CallToken};

use crate::registry::DeviceLogin;

/// Every call under way. So far nobody makes any.
#[derive(Debug, Default)]
pub struct Calls;

impl Calls {
    /// A device subscribed to calls, for the first time or again: what is pending may be sent (RP-031).
    /// Its SUBACK goes out before anything that is told now. Must not block.
    pub const fn wanted(&self, _login: &Arc<DeviceLogin>) {}

    /// A device listens no more: it unsubscribed or its connection ended, and no other took its place
    /// (RP-050). Must not block.
    pub const fn unwanted(&self, _device: DeviceId) {}

    /// What became of an attempt to deliver a call. Must not block.
    pub const fn progress(&self, _device: DeviceId, _token: CallToken, _progress: CallProgress) {}

    /// A device answered a call; returns when that is kept, and is acknowledged then (RP-009). Answers
    /// to calls nobody waits for are ignored (RP-007).
    ///
    /// # Errors
    /// Why the answer could not be kept; the device may send it again.
    #[expect(clippy::unused_async, reason = "keeping the answer of a persistent call waits")]
    pub async fn answered(
        &self,
        _login: &DeviceLogin,
        _id: u32,
        _body: String,
    ) -> Result<(), Reason> {
        Ok(())
    }
}
