//! What a session tells its caller.

use std::sync::Arc;

use crate::packet::connect::Connect;
use crate::packet::disconnect::Disconnect;
use crate::packet::publish::PublishPacket;
use crate::packet::subscribe::{Subscribe, Unsubscribe};
use crate::property::{Properties, PropertyId};
use crate::reason::{ReasonCode, ReturnCode};
use crate::session::inbound::Delivery;
use crate::version::Qos;
use crate::violation::Violation;

/// Everything that can come out of a session. What borrows, borrows from the input.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The client wants to connect. Nothing more is read until
    /// [`accept`](crate::session::Session::accept) or [`refuse`](crate::session::Session::refuse).
    ///
    /// Boxed, because it comes once and every other event is moved around more cheaply without it.
    Connect(Box<Connect<'a>>),
    /// A publication. Unless its quality of service is 0, it waits for
    /// [`acknowledge`](crate::session::Session::acknowledge).
    Publish(Publish<'a>),
    /// A subscription that waits for
    /// [`answer_subscribe`](crate::session::Session::answer_subscribe).
    Subscribe(Subscribe<'a>),
    /// Waits for [`answer_unsubscribe`](crate::session::Session::answer_unsubscribe).
    Unsubscribe(Unsubscribe<'a>),
    /// The client acknowledged a message of ours.
    Delivered(Delivered),
    /// The client sent PINGREQ; PINGRESP is in the output already.
    Ping,
    /// A publication was answered, or dropped, by the session itself. There is nothing to do.
    Answered(Notice),
    /// The client said goodbye. The session is closed; close the connection.
    Disconnect(Disconnect<'a>),
    /// The client broke a rule. What it may be told is in the output already; the session is
    /// closed: write the output, then close the connection.
    Violation(Violation),
}

/// A publication of the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish<'a> {
    /// The topic, its alias resolved.
    pub topic: Topic<'a>,
    /// The application message.
    pub payload: &'a [u8],
    /// Quality of service and the token to acknowledge with.
    pub delivery: Delivery,
    /// Sent before, says the client. A repetition of an open quality of service 2 publication does
    /// not come here: it is [`Notice::Repeated`].
    pub dup: bool,
    /// RETAIN; ignored here (P-19).
    pub retain: bool,
    /// Version 5 properties.
    pub properties: Properties<'a>,
}

impl Publish<'_> {
    /// Whether the payload claims to be text and is not UTF-8 (P-13). Whether that matters is the
    /// caller's decision.
    pub fn breaks_its_format(&self) -> bool {
        !self.properties.is_empty()
            && self.properties.number(PropertyId::PayloadFormatIndicator) == Some(1)
            && core::str::from_utf8(self.payload).is_err()
    }

    pub(super) fn new<'a>(
        packet: &PublishPacket<'a>,
        topic: Topic<'a>,
        delivery: Delivery,
    ) -> Publish<'a> {
        Publish {
            topic,
            payload: packet.payload,
            delivery,
            dup: packet.dup,
            retain: packet.retain,
            properties: packet.properties,
        }
    }
}

/// A topic name of the client, checked.
#[derive(Clone, Debug)]
pub enum Topic<'a> {
    /// As it stands in the packet.
    Sent(&'a str),
    /// What a topic alias stands for (P-14).
    Alias(Arc<str>),
}

impl Topic<'_> {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sent(name) => name,
            Self::Alias(name) => name,
        }
    }
}

impl PartialEq for Topic<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// The client has a message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The token the message was sent with.
    pub token: u64,
    /// What the client says; `Success` from version 3.
    pub reason: ReasonCode,
}

/// What the session answered by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A publication of quality of service 2 came again before its release: PUBREC again, and it is
    /// not to be stored twice (P-4).
    Repeated {
        /// Its packet identifier.
        packet_id: u16,
    },
    /// Another publication under an identifier that is not released: refused (0x91).
    PacketIdInUse {
        /// Its packet identifier.
        packet_id: u16,
    },
    /// The topic name is longer or deeper than L-3 allows: dropped, and refused (0x90) where the
    /// client can be told.
    TopicTooLong {
        /// Quality of service of the publication.
        qos: Qos,
    },
}

/// Why a deadline is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// CONNECT is due (L-1).
    Connect,
    /// The packet begun is due (F-14).
    Packet,
    /// Any packet is due (K-1).
    KeepAlive,
    /// Any packet is due, whatever the keep alive (K-3).
    Inactivity,
}

impl Timer {
    /// The rule that is broken when the time has come.
    pub const fn violation(self) -> Violation {
        match self {
            Self::Connect => Violation::ConnectTimeout,
            Self::Packet => Violation::PacketTimeout,
            Self::KeepAlive => Violation::KeepAlive,
            Self::Inactivity => Violation::Inactivity,
        }
    }
}

/// The terms on which a client is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acceptance<'a> {
    /// Whether state of an earlier connection was really kept (C-13, S-1).
    pub session_present: bool,
    /// The name given to a version 5 client that came without one (C-9).
    pub assigned_client_id: Option<&'a str>,
    /// Seconds the session will outlive the connection. Version 5 clients are told when they asked
    /// for another time.
    pub session_expiry: u32,
    /// Whether [`take_state`](crate::session::Session::take_state) will be asked for what is to outlive
    /// the connection; a session that is not kept remembers no message it has sent.
    pub is_kept: bool,
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// For version 5; one of the CONNACK column of section 1 (C-19).
    pub reason: ReasonCode,
    /// For version 3. `None`: [`ReasonCode::return_code`] of the reason.
    pub return_code: Option<ReturnCode>,
    /// A sentence for version 5, sent when it fits.
    pub sentence: Option<&'a str>,
}

impl<'a> Refusal<'a> {
    /// A refusal with the usual return code and no words.
    pub const fn new(reason: ReasonCode) -> Self {
        Self { reason, return_code: None, sentence: None }
    }

    /// The same, in words.
    pub const fn because(reason: ReasonCode, sentence: &'a str) -> Self {
        Self { reason, return_code: None, sentence: Some(sentence) }
    }
}
