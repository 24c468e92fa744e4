//! Everything the server may tell a connected device or do to its connection. A closed list.

use std::sync::Arc;

use bytes::Bytes;

use crate::attribute::Attribute;
use crate::limit::{LimitKind, RateLimit};
use crate::ota::{PackageError, PackageKind};
use crate::reason::Reason;
use crate::rpc::{Call, CallToken, ReplyTo};
use crate::time::Timestamp;

/// One thing told to a device's connection. Small and cheap to clone: what thousands of devices are
/// told is shared among them.
#[derive(Clone, Debug, PartialEq)]
pub enum Downlink {
    /// Close the connection for this reason (take-over, credentials changed, device deleted).
    Close(Reason),
    /// Shared attributes were set, all of one save (JS-091). For devices that subscribed.
    AttributesSet(Arc<[Attribute]>),
    /// Shared attributes were removed: the keys that were asked to be (JS-093). For devices that
    /// subscribed.
    AttributesDeleted(Arc<[String]>),
    /// The answer to an attribute request, whether the device subscribed or not (JS-081).
    AttributesAnswer {
        /// From the request.
        reply_to: ReplyTo,
        /// What was found.
        found: Box<FoundAttributes>,
    },
    /// A call (device API 6.1). For devices that subscribed.
    Call {
        /// What is asked of the device.
        call: Arc<Call>,
        /// Comes back with what becomes of it.
        token: CallToken,
        /// When it is of no use any more, on the clock that only moves forward.
        expires_ms: u64,
    },
    /// The answer to a client call, whether the device subscribed or not (CR-010).
    ClientAnswer {
        /// From the client call.
        reply_to: ReplyTo,
        /// What is answered.
        answer: Box<ClientAnswer>,
    },
    /// A part of a package, whether the device subscribed or not (OT-012).
    PackageChunk {
        /// Of which package.
        kind: PackageKind,
        /// From the request.
        request: u32,
        /// From the request.
        chunk: u32,
        /// A slice of the one copy in memory. Empty beyond the end of the package (OT-013).
        bytes: Bytes,
    },
    /// There is no such part. The connection is closed behind it (OT-017).
    PackageError {
        /// Of which package.
        kind: PackageKind,
        /// Why.
        error: PackageError,
    },
}

/// What an attribute request found; each sorted by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundAttributes {
    /// Of the client scope.
    pub client: Vec<Attribute>,
    /// Of the shared scope.
    pub shared: Vec<Attribute>,
}

/// What is answered to a client call.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientAnswer {
    /// This JSON text, as whoever answered wrote it (CR-005).
    Json(String),
    /// That it failed, in words (CR-006).
    Error(String),
    /// To `getSessionLimits` (CR-022).
    Limits(Box<SessionLimits>),
    /// To `getCurrentTime`: the server's time.
    Time(Timestamp),
}

/// What one session may send (device API 6.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Largest packet in bytes.
    pub max_payload_size: u32,
    /// Publications in work at once.
    pub max_inflight_messages: u16,
    /// Of the device, or of the gateway for what it says about itself; in order of
    /// [`LimitKind::ALL`].
    pub rates: [RateLimit; LimitKind::ALL.len()],
    /// Of all devices behind a gateway together; none for a device that is no gateway (CR-023).
    pub gateway_rates: Option<[RateLimit; LimitKind::ALL.len()]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_downlink_is_small() {
        assert!(size_of::<Downlink>() <= 48, "{}", size_of::<Downlink>());
    }
}
