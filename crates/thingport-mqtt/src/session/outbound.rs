//! Publications towards the client: packet identifiers, the window, and those that wait for it.

use std::collections::VecDeque;

use crate::packet::PacketType;
use crate::packet::ack::Recipient;
use crate::property::{PropertyId, PropertyValue, write_property};
use crate::topic::TopicName;
use crate::version::Qos;
use crate::wire::{packet_len, variable_len, write_binary, write_header, write_variable};

/// A message for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Where; the caller chooses a topic name the client subscribed to (O-2).
    pub topic: TopicName<'a>,
    /// What.
    pub payload: &'a [u8],
    /// The quality of service, at most 1. `None`: that of the subscription that matches, and 1
    /// when none does (O-1).
    pub qos: Option<Qos>,
    /// Comes back in [`Delivered`](crate::session::Delivered) when the client acknowledges.
    pub token: u64,
    /// When it is of no use any more, if it ever is. Version 5 clients are told what is left; one that
    /// waits so long is not sent.
    pub expires_ms: Option<u64>,
    /// Marked as retained: the client learns that it is the present state, not news (O-3).
    pub retain: bool,
}

/// What became of a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Written with quality of service 0: nothing more will be heard of it.
    Unacknowledged,
    /// Written with quality of service 1; its acknowledgement will be an event.
    InFlight,
    /// Waits for the window; it will be written, and acknowledged, later.
    Waiting,
    /// The client does not accept packets of that size. It counts as sent (O-5).
    TooLarge,
    /// Too many wait already. Nothing was kept.
    Full,
    /// The connection is not open. Nothing was kept.
    Closed,
}

/// Unacknowledged and waiting publications.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// In the order in which they were sent.
    in_flight: Vec<InFlight>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Bytes of what is in flight and remembered.
    remembered_bytes: usize,
}

#[derive(Debug)]
struct InFlight {
    packet_id: u16,
    token: u64,
    /// To be sent again on the next connection of a session that is kept.
    remembered: Option<Box<Waiting>>,
}

/// A publication that waits for the window, or to be sent again.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) topic: Box<str>,
    pub(super) payload: Box<[u8]>,
    pub(super) token: u64,
    pub(super) expires_ms: Option<u64>,
    /// Under which it was sent before; 0 when it never was.
    pub(super) packet_id: u16,
    pub(super) retain: bool,
}

impl Outbound {
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Opens a place in the window and gives its packet identifier: not 0, not in use, wrapping
    /// from 65,535 to 1 (F-10). `last` is the identifier given before.
    /// `kept`: the message is remembered, unless the remembered ones would have more bytes than that.
    pub(super) fn start(
        &mut self,
        last: u16,
        token: u64,
        kept: Option<(&Message<'_>, u32)>,
    ) -> u16 {
        let packet_id = self.next_id(last);
        match kept {
            Some((message, bytes_max)) => {
                let id = PublishId::First(packet_id);
                self.put_in_flight(id, Waiting::of(message), Some(bytes_max));
            }
            None => self.in_flight.push(InFlight { packet_id, token, remembered: None }),
        }
        packet_id
    }

    /// The next identifier that nothing of ours has.
    pub(super) fn next_id(&self, last: u16) -> u16 {
        let is_taken = |id: u16| {
            self.in_flight.iter().any(|other| other.packet_id == id)
                || self.waiting.iter().any(|other| other.packet_id == id)
        };
        let mut packet_id = next_id(last);
        while is_taken(packet_id) {
            packet_id = next_id(packet_id);
        }
        packet_id
    }

    /// A message was written. `bytes_max`: it is remembered within these bytes.
    pub(super) fn put_in_flight(
        &mut self,
        id: PublishId,
        message: Waiting,
        bytes_max: Option<u32>,
    ) {
        let (packet_id, token, bytes) = (id.number(), message.token, message.bytes());
        let fits = |max: u32| self.remembered_bytes + bytes <= max as usize;
        let remembered = bytes_max.is_some_and(fits).then(|| {
            self.remembered_bytes += bytes;
            Box::new(Waiting { packet_id, ..message })
        });
        self.in_flight.push(InFlight { packet_id, token, remembered });
    }

    /// The client acknowledged; gives the token, or nothing for an unknown identifier.
    pub(super) fn finish(&mut self, packet_id: u16) -> Option<u64> {
        let at = self.in_flight.iter().position(|other| other.packet_id == packet_id)?;
        // In order, since that is the order in which they would be sent again (MQTT 5, 4.6.0-1).
        let done = self.in_flight.remove(at);
        self.remembered_bytes -= done.remembered.map_or(0, |it| it.bytes());
        Some(done.token)
    }

    /// Keeps a message for later; `false` when the bounds are reached.
    pub(super) fn wait(&mut self, message: &Message<'_>, max: u16, bytes_max: u32) -> bool {
        let bytes = message.topic.as_str().len() + message.payload.len();
        if self.waiting.len() >= usize::from(max) || self.waiting_bytes + bytes > bytes_max as usize
        {
            return false;
        }
        self.push_waiting(Waiting::of(message));
        true
    }

    /// Adds to those that wait, whatever their bound: what was kept over a connection was within it.
    pub(super) fn push_waiting(&mut self, message: Waiting) {
        self.waiting_bytes += message.bytes();
        self.waiting.push_back(message);
    }

    /// Everything that is not acknowledged, in the order in which it is to be sent again, and how many
    /// are not among it because they were not remembered.
    pub(super) fn into_messages(self) -> (Vec<Waiting>, u32) {
        let all = self.in_flight.len() + self.waiting.len();
        let sent = self.in_flight.into_iter().filter_map(|it| it.remembered.map(|it| *it));
        let messages: Vec<_> = sent.chain(self.waiting).collect();
        let lost = u32::try_from(all - messages.len()).unwrap_or(u32::MAX);
        (messages, lost)
    }

    pub(super) fn take_waiting(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.waiting_bytes -= waiting.bytes();
        Some(waiting)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty()
    }
}

impl Waiting {
    fn of(message: &Message<'_>) -> Self {
        Self {
            topic: message.topic.as_str().into(),
            payload: message.payload.into(),
            token: message.token,
            expires_ms: message.expires_ms,
            packet_id: 0,
            retain: message.retain,
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// The packet identifier of a PUBLISH of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublishId {
    /// Quality of service 0 has none.
    None,
    /// It is sent for the first time.
    First(u16),
    /// It was sent on an earlier connection and not acknowledged: DUP is set.
    Again(u16),
}

impl PublishId {
    const fn number(self) -> u16 {
        match self {
            Self::None => 0,
            Self::First(id) | Self::Again(id) => id,
        }
    }
}

/// A PUBLISH of the server. No topic alias is used (O-6).
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerPublish<'a, I> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    /// Subscription identifiers to name (U-9); version 5 only.
    pub(super) ids: I,
    /// Seconds for which it is of use; version 5 only.
    pub(super) expiry_s: Option<u32>,
    pub(super) retain: bool,
}

impl<I: Iterator<Item = u32> + Clone> ServerPublish<'_, I> {
    /// Whether the client takes a packet of that size.
    pub(super) fn fits(&self, with_packet_id: bool, to: Recipient) -> bool {
        to.takes(self.remaining(with_packet_id, to))
    }

    /// Appends the packet.
    pub(super) fn write(&self, id: PublishId, to: Recipient, out: &mut Vec<u8>) {
        let packet_id = id.number();
        let acknowledged = packet_id != 0;
        let dup = u8::from(matches!(id, PublishId::Again(_)));
        let first = (PacketType::Publish as u8) << 4 | dup << 3 | u8::from(acknowledged) << 1;
        let first = first | u8::from(self.retain);
        let remaining = self.remaining(acknowledged, to);
        out.reserve(packet_len(remaining));
        write_header(out, first, remaining);
        write_binary(out, self.topic.as_bytes());
        if acknowledged {
            out.extend_from_slice(&packet_id.to_be_bytes());
        }
        if to.version.is_v5() {
            write_variable(out, self.property_bytes());
            if let Some(seconds) = self.expiry_s {
                let value = PropertyValue::FourBytes(seconds);
                write_property(out, PropertyId::MessageExpiryInterval, value);
            }
            for id in self.ids.clone() {
                let value = PropertyValue::Variable(id);
                write_property(out, PropertyId::SubscriptionIdentifier, value);
            }
        }
        out.extend_from_slice(self.payload);
    }

    fn remaining(&self, with_packet_id: bool, to: Recipient) -> usize {
        let mut remaining = 2 + self.topic.len() + self.payload.len();
        if with_packet_id {
            remaining += 2;
        }
        if to.version.is_v5() {
            let properties = self.property_bytes();
            remaining += variable_len(properties) + properties as usize;
        }
        remaining
    }

    fn property_bytes(&self) -> u32 {
        let ids: u32 = self.ids.clone().map(|id| 1 + variable_len(id) as u32).sum();
        ids + if self.expiry_s.is_some() { EXPIRY_BYTES } else { 0 }
    }
}

/// Seconds until `at_ms`, begun ones counted; none when there are none left.
pub(super) fn seconds_left(at_ms: u64, now_ms: u64) -> Option<u32> {
    let left = at_ms.saturating_sub(now_ms).div_ceil(1_000);
    (left > 0).then(|| u32::try_from(left).unwrap_or(u32::MAX))
}

const fn next_id(packet_id: u16) -> u16 {
    if packet_id == u16::MAX { 1 } else { packet_id + 1 }
}

/// Bytes of a Message Expiry Interval.
const EXPIRY_BYTES: u32 = 5;
