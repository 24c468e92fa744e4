//! Children: devices that speak through the connection of another, of a gateway or an edge node.
//!
//! A dialect translates one message into a [`ChildBatch`]: who says what, by name. Which devices those
//! are, whether they have to be made and who may be told what is the domain's affair. What one child says
//! stands or falls alone: a part that could not be read is an [`Unread`] of that child.

use core::fmt;

use crate::port::ledger::Keys;
use crate::reading::Readings;
use crate::reason::Reason;
use crate::rpc::ReplyTo;
use crate::time::Timestamp;

/// What one message says about children, in the order of the message. Texts and readings are its own: it
/// may have to wait until a child is found.
#[derive(Clone, Debug, Default)]
pub struct ChildBatch {
    /// Who says what. Bounded by the packet it came in.
    pub said: Vec<ChildSaid>,
    /// How long readings were on their way, where the message tells (GW-070).
    pub passages: Vec<Passage>,
}

/// What one child says.
#[derive(Clone, Debug)]
pub struct ChildSaid {
    /// As it is called: compared byte by byte, not trimmed (GW-018).
    pub name: Box<str>,
    /// Name of the profile that it gets if it has to be made; none for the one called `default`
    /// (GW-011, GW-016). A device that exists keeps its own (GW-017).
    pub kind: Option<Box<str>>,
    /// What it says, or why that could not be read.
    pub said: Result<ChildUplink, Unread>,
}

/// One thing a child says.
#[derive(Clone)]
pub enum ChildUplink {
    /// It is there. Whatever else a child says implies it.
    Connected,
    /// It has gone.
    Disconnected,
    /// Readings to be kept.
    Telemetry(Readings),
    /// Client-scope attributes.
    Attributes(Readings),
    /// Shared-scope attributes: metrics of an edge node that its profile says are such (SP-043).
    SharedAttributes(Readings),
    /// It asks for attributes; none of a scope it did not name.
    AttributeRequest {
        /// Where the answer goes.
        reply_to: ReplyTo,
        /// Those it wrote itself.
        client: Option<Keys>,
        /// Those people wrote for it.
        shared: Option<Keys>,
    },
    /// It answers a call.
    CallAnswer {
        /// The number the call was sent with.
        id: u32,
        /// Any text; not interpreted.
        body: String,
    },
    /// It may be claimed by whoever knows the secret.
    Claim {
        /// The user must give the same; empty when absent.
        secret: String,
        /// For how many milliseconds; none lets the server decide.
        duration_ms: Option<u64>,
    },
}

/// Why what a child says is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The reason.
    pub reason: Reason,
    /// Position, key or number at fault; short and printable. May be empty.
    pub detail: String,
}

/// When readings of a child passed its gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Which of the gateway's ways to devices they took.
    pub connector: Box<str>,
    /// When the gateway had them from the device.
    pub received_at: Timestamp,
    /// When it sent them on.
    pub published_at: Timestamp,
}

impl ChildSaid {
    /// A child of the profile `default` that says this.
    #[must_use]
    pub fn new(name: &str, said: ChildUplink) -> Self {
        Self { name: name.into(), kind: None, said: Ok(said) }
    }
}

/// Secrets, questions and answers of devices are their own business: only what kind of word it is.
impl fmt::Debug for ChildUplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "Connected",
            Self::Disconnected => "Disconnected",
            Self::Telemetry(_) => "Telemetry",
            Self::Attributes(_) => "Attributes",
            Self::SharedAttributes(_) => "SharedAttributes",
            Self::AttributeRequest { .. } => "AttributeRequest",
            Self::CallAnswer { .. } => "CallAnswer",
            Self::Claim { .. } => "Claim",
        })
    }
}
