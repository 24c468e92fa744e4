//! Sessions that outlive their connections: what a device that comes back finds as it left it.
//!
//! Plain values. What filters, packet identifiers and fingerprints mean is known to the room that speaks
//! the protocol; everybody else hands them back unread.

use core::fmt;

use crate::id::{DeviceId, TenantId};
use crate::rpc::CallToken;
use crate::time::Timestamp;

/// The kept session of a device. A device has at most one, which belongs to the client id it was opened
/// with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSession {
    /// Whose.
    pub device_id: DeviceId,
    /// Whose device.
    pub tenant_id: TenantId,
    /// Under which it is taken up again.
    pub client_id: String,
    /// Seconds it outlives a connection.
    pub expiry_s: u32,
    /// When its last connection ended; none while there is one, or when the server ended without a word.
    pub left_at: Option<Timestamp>,
    /// What is in it.
    pub state: SessionState,
}

/// What is in a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionState {
    /// Changes of shared attributes up to this one were told, or are among the messages.
    pub told: u64,
    /// Whether changes of shared attributes are waited for, to be acknowledged.
    pub wants_updates: bool,
    /// What the client subscribed to, in the order in which it did for the first time.
    pub subscriptions: Vec<KeptSubscription>,
    /// What the client did not acknowledge, in the order in which it is sent again.
    pub messages: Vec<KeptMessage>,
    /// Publications of quality of service 2 that wait for their release.
    pub open_ids: Vec<OpenPacketId>,
    /// The packet identifier given last.
    pub last_packet_id: u16,
}

/// A filter of a kept session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSubscription {
    /// The filter.
    pub filter: String,
    /// Quality of service 1 was granted, otherwise 0.
    pub is_acknowledged: bool,
    /// The latest of its kind, so its form is used (device API LS-089).
    pub is_chosen: bool,
    /// The subscription identifier; 0 for none.
    pub id: u32,
}

/// A message that was not acknowledged.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptMessage {
    /// Under which it was sent; 0 when it never was.
    pub packet_id: u16,
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Box<[u8]>,
    /// What it is about.
    pub about: About,
    /// When it is of no use any more, on the clock that only moves forward. Not stored: only calls have
    /// it, which are not stored here either.
    pub expires_ms: Option<u64>,
}

/// What a kept message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A question of the device, or anything else that nobody asks after.
    Other,
    /// A change of shared attributes.
    Update,
    /// An attempt to deliver a call. Calls have their own place where they are kept.
    Call(CallToken),
}

/// A publication that was acknowledged and not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenPacketId {
    /// Its packet identifier.
    pub packet_id: u16,
    /// Tells a repetition from another publication.
    pub fingerprint: u64,
}

impl SessionState {
    /// What it costs in memory, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        let filters: usize = self.subscriptions.iter().map(|it| it.filter.len()).sum();
        let messages: usize =
            self.messages.iter().map(|it| it.topic.len() + it.payload.len()).sum();
        size_of::<KeptSession>()
            + filters
            + messages
            + self.subscriptions.len() * size_of::<KeptSubscription>()
            + self.messages.len() * size_of::<KeptMessage>()
            + self.open_ids.len() * size_of::<OpenPacketId>()
    }
}

impl fmt::Debug for KeptMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a device is told is its owner's business.
        let Self { packet_id, topic, about, .. } = self;
        f.debug_struct("KeptMessage")
            .field("packet_id", packet_id)
            .field("topic", topic)
            .field("about", about)
            .finish_non_exhaustive()
    }
}
