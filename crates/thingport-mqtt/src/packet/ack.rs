//! The answers: PUBACK, PUBREC, PUBREL, PUBCOMP in both directions, and what only a server sends.

use crate::packet::PacketType;
use crate::property::{Place, Properties, PropertyId, PropertyValue, write_property};
use crate::reason::{ReasonCode, ReasonPlace};
use crate::version::Version;
use crate::violation::Violation;
use crate::wire::{Reader, packet_len, write_header, write_variable};

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// What is acknowledged.
    pub packet_id: u16,
    /// `Success` in version 3.
    pub reason: ReasonCode,
}

impl Ack {
    /// Decodes what a client sent in that place (F-16).
    pub(crate) fn decode(
        body: &[u8],
        version: Version,
        place: ReasonPlace,
    ) -> Result<Self, Violation> {
        let ack = Self::decode_any(body, version)?;
        if ack.reason.may_stand_in(place) { Ok(ack) } else { Err(Violation::AckReason) }
    }

    /// Two bytes in version 3; two, three, or four and more in version 5 (F-6).
    pub(crate) fn decode_any(body: &[u8], version: Version) -> Result<Self, Violation> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let mut reason = ReasonCode::Success;
        if version.is_v5() && !reader.is_empty() {
            reason = ReasonCode::from_byte(reader.byte()?).ok_or(Violation::AckReason)?;
            if !reader.is_empty() {
                Properties::read(&mut reader, Place::ACK)?;
            }
        }
        reader.finish()?;
        Ok(Self { packet_id, reason })
    }
}

/// What the receiving client can be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipient {
    pub(crate) version: Version,
    /// Largest packet it takes.
    pub(crate) packet_size_max: u32,
}

impl Recipient {
    pub(crate) fn takes(self, remaining: usize) -> bool {
        self.packet_size_max as usize >= packet_len(remaining)
    }
}

/// Appends PUBACK, PUBREC, PUBREL or PUBCOMP. The sentence is left out when it does not fit, and so
/// is the empty property block: five bytes fit every client that was sent a CONNACK (O-5).
#[inline]
pub(crate) fn write_ack(
    out: &mut Vec<u8>,
    packet: PacketType,
    packet_id: u16,
    reason: ReasonCode,
    sentence: Option<&str>,
    to: Recipient,
) {
    let [high, low] = packet_id.to_be_bytes();
    let first = packet.first_byte();
    if !to.version.is_v5() || reason == ReasonCode::Success {
        out.extend_from_slice(&[first, 2, high, low]);
        return;
    }
    match sentence.filter(|text| to.takes(2 + 1 + reason_string_len(text))) {
        None if to.takes(4) => {
            out.extend_from_slice(&[first, 4, high, low, reason.byte(), 0]);
        }
        None => out.extend_from_slice(&[first, 3, high, low, reason.byte()]),
        Some(text) => {
            write_header(out, first, 2 + 1 + reason_string_len(text));
            out.extend_from_slice(&[high, low, reason.byte()]);
            write_reason_string(out, text);
        }
    }
}

/// Appends DISCONNECT. Only version 5 has one from the server.
pub(crate) fn write_disconnect(
    out: &mut Vec<u8>,
    reason: ReasonCode,
    sentence: Option<&str>,
    to: Recipient,
) {
    let first = PacketType::Disconnect.first_byte();
    if reason == ReasonCode::Success {
        out.extend_from_slice(&[first, 0]);
        return;
    }
    match sentence.filter(|text| to.takes(1 + reason_string_len(text))) {
        None => out.extend_from_slice(&[first, 2, reason.byte(), 0]),
        Some(text) => {
            write_header(out, first, 1 + reason_string_len(text));
            out.push(reason.byte());
            write_reason_string(out, text);
        }
    }
}

/// Appends CONNACK in the layout of version 5: as many of the properties, most important first, as
/// fit the client (O-5). Gives back how many were written.
pub(crate) fn write_connack5(
    out: &mut Vec<u8>,
    session_present: bool,
    reason: ReasonCode,
    properties: &[(PropertyId, PropertyValue<'_>)],
    packet_size_max: u32,
) -> usize {
    let to = Recipient { version: Version::V5, packet_size_max };
    let mut block = Vec::new();
    let mut written = 0;
    for (id, value) in properties {
        let before = block.len();
        write_property(&mut block, *id, *value);
        if !to.takes(2 + sized(block.len())) {
            block.truncate(before);
            break;
        }
        written += 1;
    }
    write_header(out, PacketType::Connack.first_byte(), 2 + sized(block.len()));
    out.extend_from_slice(&[u8::from(session_present), reason.byte()]);
    write_block_len(out, block.len());
    out.extend_from_slice(&block);
    written
}

/// Appends SUBACK or UNSUBACK; `false` when it would not fit the client (O-5).
#[must_use]
pub(crate) fn write_codes(
    out: &mut Vec<u8>,
    packet: PacketType,
    packet_id: u16,
    codes: &[u8],
    to: Recipient,
) -> bool {
    let properties = usize::from(to.version.is_v5());
    let remaining = 2 + properties + codes.len();
    if !to.takes(remaining) {
        return false;
    }
    write_header(out, packet.first_byte(), remaining);
    out.extend_from_slice(&packet_id.to_be_bytes());
    if to.version.is_v5() {
        out.push(0);
    }
    out.extend_from_slice(codes);
    true
}

/// Bytes of a property block that holds one Reason String, its length included.
fn reason_string_len(text: &str) -> usize {
    sized(1 + 2 + text.len().min(usize::from(u16::MAX)))
}

fn write_reason_string(out: &mut Vec<u8>, text: &str) {
    write_block_len(out, 1 + 2 + text.len().min(usize::from(u16::MAX)));
    write_property(out, PropertyId::ReasonString, PropertyValue::Text(text));
}

/// A property block with its length in front.
fn sized(length: usize) -> usize {
    packet_len(length) - 1
}

fn write_block_len(out: &mut Vec<u8>, length: usize) {
    // Blocks of ours hold a few short properties: far below the largest variable byte integer.
    write_variable(out, u32::try_from(length).unwrap_or(0));
}
