//! PUBLISH, in both directions.

use crate::property::{Place, Properties, PropertyId};
use crate::topic::{TopicFault, TopicName};
use crate::version::{Qos, Version};
use crate::violation::Violation;
use crate::wire::Reader;

/// A PUBLISH as it stands on the wire, its topic alias not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishPacket<'a> {
    /// Sent before.
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// RETAIN, which this server ignores (P-19).
    pub retain: bool,
    /// The topic name; empty when a topic alias stands for it.
    pub topic: &'a str,
    /// The packet identifier; 0 with quality of service 0.
    pub packet_id: u16,
    /// Version 5 properties.
    pub properties: Properties<'a>,
    /// The application message.
    pub payload: &'a [u8],
}

impl<'a> PublishPacket<'a> {
    /// Decodes what a client sent. The topic is checked later, when its alias is known.
    #[inline]
    pub(crate) fn decode(first: u8, body: &'a [u8], version: Version) -> Result<Self, Violation> {
        Self::decode_from(first, body, version, Place::PUBLISH)
    }

    /// Decodes what the named side sent.
    #[inline]
    pub(crate) fn decode_from(
        first: u8,
        body: &'a [u8],
        version: Version,
        place: Place,
    ) -> Result<Self, Violation> {
        let qos = Qos::from_bits(first >> 1).ok_or(Violation::Qos3)?;
        let dup = first & 0b1000 != 0;
        if dup && qos == Qos::AtMostOnce {
            return Err(Violation::DupAtQos0);
        }
        let mut reader = Reader::new(body);
        // U+0000 is looked for with the wildcards, by `check_topic`.
        let topic = core::str::from_utf8(reader.binary()?).map_err(|_| Violation::BadUtf8)?;
        let packet_id = if qos == Qos::AtMostOnce { 0 } else { reader.packet_id()? };
        let properties = match version {
            Version::V5 => Properties::read(&mut reader, place)?,
            Version::V31 | Version::V311 => Properties::default(),
        };
        let retain = first & 1 != 0;
        Ok(Self { dup, qos, retain, topic, packet_id, properties, payload: reader.rest() })
    }

    /// The topic alias, if there is one.
    #[inline]
    pub(crate) fn alias(&self) -> Option<u32> {
        if self.properties.is_empty() {
            return None;
        }
        self.properties.number(PropertyId::TopicAlias)
    }

    /// A number that differs, all but certainly, between publications that differ.
    pub(crate) fn fingerprint(&self, topic: &str) -> u64 {
        let separator = [0_u8];
        let bytes = topic.as_bytes().iter().chain(&separator).chain(self.payload);
        bytes.fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
    }
}

/// What is wrong with a topic name, and whether that ends the connection: a name beyond the bounds
/// of L-3 is only dropped.
#[inline]
pub(crate) fn check_topic(topic: &str) -> Result<Option<TopicName<'_>>, Violation> {
    match TopicName::parse(topic) {
        Ok(name) => Ok(Some(name)),
        Err(TopicFault::Empty) => Err(Violation::TopicEmpty),
        Err(TopicFault::Wildcard) => Err(Violation::TopicWildcard),
        Err(TopicFault::Nul) => Err(Violation::NulInString),
        Err(TopicFault::TooLong) => Ok(None),
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
