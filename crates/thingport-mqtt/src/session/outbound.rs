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
    in_flight: Vec<InFlight>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
}

#[derive(Debug)]
struct InFlight {
    packet_id: u16,
    token: u64,
}

/// A publication that waits for the window.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) topic: Box<str>,
    pub(super) payload: Box<[u8]>,
    pub(super) token: u64,
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
    pub(super) fn start(&mut self, last: u16, token: u64) -> u16 {
        let mut packet_id = next_id(last);
        while self.in_flight.iter().any(|other| other.packet_id == packet_id) {
            packet_id = next_id(packet_id);
        }
        self.in_flight.push(InFlight { packet_id, token });
        packet_id
    }

    /// The client acknowledged; gives the token, or nothing for an unknown identifier.
    pub(super) fn finish(&mut self, packet_id: u16) -> Option<u64> {
        let at = self.in_flight.iter().position(|other| other.packet_id == packet_id)?;
        Some(self.in_flight.swap_remove(at).token)
    }

    /// Keeps a message for later; `false` when the bounds are reached.
    pub(super) fn wait(&mut self, message: &Message<'_>, max: u16, bytes_max: u32) -> bool {
        let bytes = message.topic.as_str().len() + message.payload.len();
        if self.waiting.len() >= usize::from(max) || self.waiting_bytes + bytes > bytes_max as usize
        {
            return false;
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back(Waiting {
            topic: message.topic.as_str().into(),
            payload: message.payload.into(),
            token: message.token,
        });
        true
    }

    pub(super) fn take_waiting(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.waiting_bytes -= waiting.topic.len() + waiting.payload.len();
        Some(waiting)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty()
    }
}

/// A PUBLISH of the server. DUP and RETAIN are 0 (O-3), no topic alias is used (O-6).
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerPublish<'a, I> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    /// Subscription identifiers to name (U-9); version 5 only.
    pub(super) ids: I,
}

impl<I: Iterator<Item = u32> + Clone> ServerPublish<'_, I> {
    /// Whether the client takes a packet of that size.
    pub(super) fn fits(&self, with_packet_id: bool, to: Recipient) -> bool {
        to.takes(self.remaining(with_packet_id, to))
    }

    /// Appends the packet; packet identifier 0 stands for quality of service 0.
    pub(super) fn write(&self, packet_id: u16, to: Recipient, out: &mut Vec<u8>) {
        let acknowledged = packet_id != 0;
        let first = (PacketType::Publish as u8) << 4 | u8::from(acknowledged) << 1;
        let remaining = self.remaining(acknowledged, to);
        out.reserve(packet_len(remaining));
        write_header(out, first, remaining);
        write_binary(out, self.topic.as_bytes());
        if acknowledged {
            out.extend_from_slice(&packet_id.to_be_bytes());
        }
        if to.version.is_v5() {
            write_variable(out, self.property_bytes());
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
        self.ids.clone().map(|id| 1 + variable_len(id) as u32).sum()
    }
}

const fn next_id(packet_id: u16) -> u16 {
    if packet_id == u16::MAX { 1 } else { packet_id + 1 }
}
