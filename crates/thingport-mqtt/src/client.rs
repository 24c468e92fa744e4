//! The client's half, for tests and the load generator.
//!
//! Encodes what a client sends and decodes what a server sends, in all versions. Encoders write what
//! they are given: to break a rule, hand in what breaks it.

use crate::packet::ack::Ack;
use crate::packet::connect::{Connect, Will};
use crate::packet::disconnect::Disconnect;
use crate::packet::publish::PublishPacket;
use crate::packet::{Frame, PacketType};
use crate::property::{Place, Properties, PropertyId, PropertyValue, write_property};
use crate::reason::ReasonCode;
use crate::version::{Qos, Version};
use crate::violation::Violation;
use crate::wire::{Reader, VARIABLE_MAX, packet_len, write_binary, write_header, write_variable};

/// A packet of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPacket<'a> {
    /// CONNACK.
    Connack(Connack<'a>),
    /// PUBLISH.
    Publish(PublishPacket<'a>),
    /// PUBACK.
    Puback(Ack),
    /// PUBREC.
    Pubrec(Ack),
    /// PUBREL.
    Pubrel(Ack),
    /// PUBCOMP.
    Pubcomp(Ack),
    /// SUBACK.
    Suback(Codes<'a>),
    /// UNSUBACK; without codes in version 3.
    Unsuback(Codes<'a>),
    /// PINGRESP.
    Pingresp,
    /// DISCONNECT.
    Disconnect(Disconnect<'a>),
}

/// The answer to CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack<'a> {
    /// Session Present.
    pub session_present: bool,
    /// Reason code of version 5, return code of version 3.
    pub code: u8,
    /// Version 5 properties.
    pub properties: Properties<'a>,
}

/// One code per filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes<'a> {
    /// The packet identifier of the request.
    pub packet_id: u16,
    /// The codes in the order of the filters.
    pub codes: &'a [u8],
}

/// Takes the next packet off the front. `Ok(None)`: bytes are missing.
pub fn decode<'a>(
    input: &mut &'a [u8],
    version: Version,
) -> Result<Option<ServerPacket<'a>>, Violation> {
    let Some(frame) = Frame::find(input, VARIABLE_MAX)? else { return Ok(None) };
    *input = input.get(frame.size..).unwrap_or_default();
    decode_frame(frame, version).map(Some)
}

fn decode_frame(frame: Frame<'_>, version: Version) -> Result<ServerPacket<'_>, Violation> {
    let Frame { first, body, .. } = frame;
    let ack = || Ack::decode_any(body, version);
    let packet = PacketType::of(first).ok_or(Violation::UnknownPacketType)?;
    if packet != PacketType::Publish && first != packet.first_byte() {
        return Err(Violation::FixedHeaderFlags);
    }
    Ok(match packet {
        PacketType::Connack => ServerPacket::Connack(decode_connack(body, version)?),
        PacketType::Publish => ServerPacket::Publish(PublishPacket::decode_from(
            first,
            body,
            version,
            Place::SERVER_PUBLISH,
        )?),
        PacketType::Puback => ServerPacket::Puback(ack()?),
        PacketType::Pubrec => ServerPacket::Pubrec(ack()?),
        PacketType::Pubrel => ServerPacket::Pubrel(ack()?),
        PacketType::Pubcomp => ServerPacket::Pubcomp(ack()?),
        PacketType::Suback => ServerPacket::Suback(decode_codes(body, version)?),
        PacketType::Unsuback => ServerPacket::Unsuback(decode_codes(body, version)?),
        PacketType::Pingresp => {
            Reader::new(body).finish()?;
            ServerPacket::Pingresp
        }
        PacketType::Disconnect => {
            let place = Place::SERVER_DISCONNECT;
            ServerPacket::Disconnect(Disconnect::decode_from(body, version, place)?)
        }
        PacketType::Connect
        | PacketType::Subscribe
        | PacketType::Unsubscribe
        | PacketType::Pingreq
        | PacketType::Auth => return Err(Violation::ServerPacket),
    })
}

fn decode_connack(body: &[u8], version: Version) -> Result<Connack<'_>, Violation> {
    let mut reader = Reader::new(body);
    let session_present = reader.byte()? == 1;
    let code = reader.byte()?;
    let properties = match version {
        Version::V5 => Properties::read(&mut reader, Place::CONNACK)?,
        Version::V31 | Version::V311 => Properties::default(),
    };
    reader.finish()?;
    Ok(Connack { session_present, code, properties })
}

fn decode_codes(body: &[u8], version: Version) -> Result<Codes<'_>, Violation> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    if version.is_v5() {
        Properties::read(&mut reader, Place::ACK)?;
    }
    Ok(Codes { packet_id, codes: reader.rest() })
}

/// A plain CONNECT: clean start, keep alive 60 s, no login, no will.
pub const fn plain_connect(version: Version, client_id: &str) -> Connect<'_> {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id,
        will: None,
        user_name: None,
        password: None,
        properties: Properties::unchecked(&[]),
    }
}

/// A plain PUBLISH.
pub const fn plain_publish<'a>(
    topic: &'a str,
    payload: &'a [u8],
    qos: Qos,
    packet_id: u16,
) -> PublishPacket<'a> {
    PublishPacket {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_id,
        properties: Properties::unchecked(&[]),
        payload,
    }
}

/// Properties as bytes, without their length; [`properties`] makes them fit for a packet.
pub fn property_bytes(list: &[(PropertyId, PropertyValue<'_>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (id, value) in list {
        write_property(&mut bytes, *id, *value);
    }
    bytes
}

/// Properties to be sent. Nothing is checked.
pub const fn properties(bytes: &[u8]) -> Properties<'_> {
    Properties::unchecked(bytes)
}

/// Appends CONNECT.
pub fn connect(out: &mut Vec<u8>, packet: &Connect<'_>) {
    let version = packet.version;
    let mut body = Vec::new();
    write_binary(&mut body, version.protocol_name().as_bytes());
    body.extend_from_slice(&[version.level(), connect_flags(packet)]);
    body.extend_from_slice(&packet.keep_alive.to_be_bytes());
    write_properties(&mut body, version, packet.properties);
    write_binary(&mut body, packet.client_id.as_bytes());
    if let Some(Will { topic, payload, properties, .. }) = &packet.will {
        write_properties(&mut body, version, *properties);
        write_binary(&mut body, topic.as_str().as_bytes());
        write_binary(&mut body, payload);
    }
    if let Some(user_name) = packet.user_name {
        write_binary(&mut body, user_name.as_bytes());
    }
    if let Some(password) = packet.password {
        write_binary(&mut body, password);
    }
    write_packet(out, PacketType::Connect.first_byte(), &body);
}

fn connect_flags(packet: &Connect<'_>) -> u8 {
    let will = packet
        .will
        .map_or(0, |will| 0x04 | will.qos.bits() << 3 | if will.retain { 0x20 } else { 0 });
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    will | flag(packet.clean_start, 0x02)
        | flag(packet.password.is_some(), 0x40)
        | flag(packet.user_name.is_some(), 0x80)
}

/// Appends PUBLISH.
pub fn publish(out: &mut Vec<u8>, version: Version, packet: &PublishPacket<'_>) {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let first = (PacketType::Publish as u8) << 4
        | flag(packet.dup, 8)
        | packet.qos.bits() << 1
        | flag(packet.retain, 1);
    let mut body = Vec::with_capacity(packet.topic.len() + packet.payload.len() + 8);
    write_binary(&mut body, packet.topic.as_bytes());
    if packet.qos != Qos::AtMostOnce {
        body.extend_from_slice(&packet.packet_id.to_be_bytes());
    }
    write_properties(&mut body, version, packet.properties);
    body.extend_from_slice(packet.payload);
    write_packet(out, first, &body);
}

/// Appends SUBSCRIBE; each filter comes with its option byte.
pub fn subscribe(
    out: &mut Vec<u8>,
    version: Version,
    packet_id: u16,
    properties: Properties<'_>,
    filters: &[(&str, u8)],
) {
    let mut body = packet_id.to_be_bytes().to_vec();
    write_properties(&mut body, version, properties);
    for (filter, options) in filters {
        write_binary(&mut body, filter.as_bytes());
        body.push(*options);
    }
    write_packet(out, PacketType::Subscribe.first_byte(), &body);
}

/// Appends UNSUBSCRIBE.
pub fn unsubscribe(
    out: &mut Vec<u8>,
    version: Version,
    packet_id: u16,
    properties: Properties<'_>,
    filters: &[&str],
) {
    let mut body = packet_id.to_be_bytes().to_vec();
    write_properties(&mut body, version, properties);
    for filter in filters {
        write_binary(&mut body, filter.as_bytes());
    }
    write_packet(out, PacketType::Unsubscribe.first_byte(), &body);
}

/// Appends PUBACK.
pub fn puback(out: &mut Vec<u8>, version: Version, ack: Ack) {
    write_ack(out, PacketType::Puback, version, ack);
}

/// Appends PUBREC.
pub fn pubrec(out: &mut Vec<u8>, version: Version, ack: Ack) {
    write_ack(out, PacketType::Pubrec, version, ack);
}

/// Appends PUBREL.
pub fn pubrel(out: &mut Vec<u8>, version: Version, ack: Ack) {
    write_ack(out, PacketType::Pubrel, version, ack);
}

/// Appends PUBCOMP.
pub fn pubcomp(out: &mut Vec<u8>, version: Version, ack: Ack) {
    write_ack(out, PacketType::Pubcomp, version, ack);
}

/// Appends PINGREQ.
pub fn pingreq(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PacketType::Pingreq.first_byte(), 0]);
}

/// Appends DISCONNECT. Version 3 has no reason.
pub fn disconnect(
    out: &mut Vec<u8>,
    version: Version,
    reason: ReasonCode,
    properties: Properties<'_>,
) {
    let mut body = Vec::new();
    if version.is_v5() && (reason != ReasonCode::Success || !properties.is_empty()) {
        body.push(reason.byte());
        write_properties(&mut body, version, properties);
    }
    write_packet(out, PacketType::Disconnect.first_byte(), &body);
}

fn write_ack(out: &mut Vec<u8>, packet: PacketType, version: Version, ack: Ack) {
    let mut body = ack.packet_id.to_be_bytes().to_vec();
    if version.is_v5() && ack.reason != ReasonCode::Success {
        body.push(ack.reason.byte());
    }
    write_packet(out, packet.first_byte(), &body);
}

fn write_properties(body: &mut Vec<u8>, version: Version, properties: Properties<'_>) {
    if version.is_v5() {
        let bytes = properties.as_bytes();
        write_variable(body, u32::try_from(bytes.len()).unwrap_or(VARIABLE_MAX));
        body.extend_from_slice(bytes);
    }
}

fn write_packet(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.reserve(packet_len(body.len()));
    write_header(out, first, body.len());
    out.extend_from_slice(body);
}
