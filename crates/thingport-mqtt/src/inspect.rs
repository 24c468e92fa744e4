//! What packets say, for somebody who looks on: the bytes that a session has read or written are read a
//! second time, so that a session nobody looks at does nothing for it.
//!
//! Nothing is judged here: a packet that breaks a rule is shown as far as it can be read. CONNECT is not
//! read at all, since it holds secrets.

use crate::client::{ServerPacket, decode};
use crate::packet::ack::Ack;
use crate::packet::disconnect::Disconnect;
use crate::packet::publish::PublishPacket;
use crate::packet::subscribe::{Subscribe, Unsubscribe};
use crate::packet::{Frame, PacketType};
use crate::version::Version;
use crate::violation::Violation;
use crate::wire::VARIABLE_MAX;

/// One packet in a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected<P> {
    /// The word of the standard for its type; `UNKNOWN` for a type that does not exist.
    pub name: &'static str,
    /// Bytes of the packet, or of what is there of it.
    pub size: usize,
    /// What it says; none when it cannot be read.
    pub packet: Option<P>,
}

/// A packet of a client that is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPacket<'a> {
    /// PUBLISH, its topic alias not resolved.
    Publish(PublishPacket<'a>),
    /// PUBACK.
    Puback(Ack),
    /// PUBREC.
    Pubrec(Ack),
    /// PUBREL.
    Pubrel(Ack),
    /// PUBCOMP.
    Pubcomp(Ack),
    /// SUBSCRIBE.
    Subscribe(Subscribe<'a>),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe<'a>),
    /// PINGREQ.
    Pingreq,
    /// DISCONNECT.
    Disconnect(Disconnect<'a>),
}

/// Takes the next packet of a client off the front; none at the end.
pub fn client_packet<'a>(
    input: &mut &'a [u8],
    version: Version,
) -> Option<Inspected<ClientPacket<'a>>> {
    next(input, |frame| client_frame(frame, version))
}

/// Takes the next packet of a server off the front; none at the end.
pub fn server_packet<'a>(
    input: &mut &'a [u8],
    version: Version,
) -> Option<Inspected<ServerPacket<'a>>> {
    let whole = *input;
    next(input, |frame| {
        let mut packet = whole.get(..frame.size).unwrap_or_default();
        decode(&mut packet, version)?.ok_or(Violation::BodyTooShort)
    })
}

fn next<'a, P>(
    input: &mut &'a [u8],
    read: impl FnOnce(Frame<'a>) -> Result<P, Violation>,
) -> Option<Inspected<P>> {
    let whole = *input;
    let first = *whole.first()?;
    let name = PacketType::of(first).map_or(UNKNOWN, PacketType::name);
    match Frame::find(whole, VARIABLE_MAX) {
        Ok(Some(frame)) => {
            *input = whole.get(frame.size..).unwrap_or_default();
            Some(Inspected { name, size: frame.size, packet: read(frame).ok() })
        }
        // Where the next one begins cannot be known.
        Ok(None) | Err(_) => {
            *input = &[];
            Some(Inspected { name, size: whole.len(), packet: None })
        }
    }
}

fn client_frame(frame: Frame<'_>, version: Version) -> Result<ClientPacket<'_>, Violation> {
    let Frame { first, body, .. } = frame;
    let ack = || Ack::decode_any(body, version);
    Ok(match PacketType::of(first).ok_or(Violation::UnknownPacketType)? {
        PacketType::Publish => ClientPacket::Publish(PublishPacket::decode(first, body, version)?),
        PacketType::Puback => ClientPacket::Puback(ack()?),
        PacketType::Pubrec => ClientPacket::Pubrec(ack()?),
        PacketType::Pubrel => ClientPacket::Pubrel(ack()?),
        PacketType::Pubcomp => ClientPacket::Pubcomp(ack()?),
        PacketType::Subscribe => ClientPacket::Subscribe(Subscribe::decode(body, version)?),
        PacketType::Unsubscribe => ClientPacket::Unsubscribe(Unsubscribe::decode(body, version)?),
        PacketType::Pingreq => ClientPacket::Pingreq,
        PacketType::Disconnect => ClientPacket::Disconnect(Disconnect::decode(body, version)?),
        PacketType::Connect
        | PacketType::Connack
        | PacketType::Suback
        | PacketType::Unsuback
        | PacketType::Pingresp
        | PacketType::Auth => return Err(Violation::ServerPacket),
    })
}

const UNKNOWN: &str = "UNKNOWN";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{self, plain_connect, plain_publish, properties};
    use crate::reason::ReasonCode;
    use crate::version::Qos;

    fn names(mut bytes: &[u8]) -> Vec<(&'static str, usize, bool)> {
        core::iter::from_fn(|| client_packet(&mut bytes, Version::V5))
            .map(|it| (it.name, it.size, it.packet.is_some()))
            .collect()
    }

    #[test]
    fn what_a_client_sent_is_read_packet_by_packet() {
        let mut bytes = Vec::new();
        let publish = plain_publish("a", b"payload", Qos::AtLeastOnce, 7);
        client::publish(&mut bytes, Version::V5, &publish);
        client::pubrel(&mut bytes, Version::V5, Ack { packet_id: 7, reason: ReasonCode::Success });
        client::subscribe(&mut bytes, Version::V5, 8, properties(&[]), &[("f", 1)]);
        client::pingreq(&mut bytes);
        let mut rest = &bytes[..];
        let first = client_packet(&mut rest, Version::V5).and_then(|it| it.packet);
        assert_eq!(first, Some(ClientPacket::Publish(publish)));
        let rows = [
            ("PUBLISH", 15, true),
            ("PUBREL", 4, true),
            ("SUBSCRIBE", 9, true),
            ("PINGREQ", 2, true),
        ];
        assert_eq!(names(&bytes), rows);
    }

    #[test]
    fn what_cannot_be_read_has_a_name_and_a_size() {
        let mut connect = Vec::new();
        client::connect(&mut connect, &plain_connect(Version::V5, "c"));
        type Named<'a> = &'a [(&'a str, usize, bool)];
        let rows: [(&[u8], Named<'_>); 6] = [
            (&[], &[]),
            (&[0x00, 0], &[("UNKNOWN", 2, false)]),
            (&[0x30, 5, 0], &[("PUBLISH", 3, false)]),
            (&[0x36, 0, 0xC0, 0], &[("PUBLISH", 2, false), ("PINGREQ", 2, true)]),
            (&[0x82, 0xFF, 0xFF, 0xFF, 0xFF, 1], &[("SUBSCRIBE", 6, false)]),
            (&connect, &[("CONNECT", 16, false)]),
        ];
        for (bytes, expected) in rows {
            assert_eq!(names(bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn what_a_server_wrote_is_read_too() {
        let mut bytes: &[u8] = &[0x20, 2, 0, 5, 0x40, 2, 0, 7, 0xE0, 0];
        let read = core::iter::from_fn(|| server_packet(&mut bytes, Version::V311));
        let read: Vec<_> = read.map(|it| (it.name, it.size, it.packet.is_some())).collect();
        assert_eq!(read, [("CONNACK", 4, true), ("PUBACK", 4, true), ("DISCONNECT", 2, true)]);
    }
}
