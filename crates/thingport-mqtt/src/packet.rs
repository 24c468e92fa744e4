//! Packets: where one ends, and what its body holds.
//!
//! Decoded packets borrow from the bytes they were read from. The modules below decode what a
//! client sends and encode what a server sends; [`crate::client`] is the other half.

pub mod ack;
pub mod connect;
pub mod disconnect;
pub mod publish;
pub mod subscribe;

use crate::violation::Violation;
use crate::wire::read_variable;

/// The packet types, as the high four bits of the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PacketType {
    Connect = 1,
    Connack = 2,
    Publish = 3,
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
    Subscribe = 8,
    Suback = 9,
    Unsubscribe = 10,
    Unsuback = 11,
    Pingreq = 12,
    Pingresp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// The type of a first byte; `None` for type 0, which does not exist (F-2).
    #[inline]
    pub(crate) const fn of(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::Connack,
            3 => Self::Publish,
            4 => Self::Puback,
            5 => Self::Pubrec,
            6 => Self::Pubrel,
            7 => Self::Pubcomp,
            8 => Self::Subscribe,
            9 => Self::Suback,
            10 => Self::Unsubscribe,
            11 => Self::Unsuback,
            12 => Self::Pingreq,
            13 => Self::Pingresp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The word of the standard.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Connack => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::Puback => "PUBACK",
            Self::Pubrec => "PUBREC",
            Self::Pubrel => "PUBREL",
            Self::Pubcomp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::Suback => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Unsuback => "UNSUBACK",
            Self::Pingreq => "PINGREQ",
            Self::Pingresp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }

    /// The first byte of a packet of this type with its reserved bits as they must be.
    pub(crate) const fn first_byte(self) -> u8 {
        let flags = match self {
            Self::Pubrel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        };
        ((self as u8) << 4) | flags
    }
}

/// One whole packet at the front of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) first: u8,
    pub(crate) body: &'a [u8],
    /// Bytes of the packet, header included.
    pub(crate) size: usize,
}

impl<'a> Frame<'a> {
    /// Finds the packet at the front. `Ok(None)`: bytes are missing. Length errors are reported as
    /// soon as the header shows them (F-4, F-5), before anything is kept.
    #[inline]
    pub(crate) fn find(input: &'a [u8], remaining_max: u32) -> Result<Option<Self>, Violation> {
        let Some((first, rest)) = input.split_first() else { return Ok(None) };
        let Some((remaining, used)) = read_variable(rest)? else { return Ok(None) };
        if remaining > remaining_max {
            return Err(Violation::PacketTooLarge);
        }
        let end = used + remaining as usize;
        let body = rest.get(used..end);
        Ok(body.map(|body| Self { first: *first, body, size: end + 1 }))
    }
}
