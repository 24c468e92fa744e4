//! MQTT 5 properties: which may stand where, once or often, with which values.
//!
//! A [`Properties`] value has been checked for the packet it came with (F-7, F-8, F-11, F-12, L-5),
//! so walking it cannot fail.

use crate::topic::{TopicFault, TopicName};
use crate::violation::Violation;
use crate::wire::{Reader, write_binary, write_variable};

/// Most User Properties of one packet (L-5).
pub const USER_PROPERTIES_MAX: u32 = 64;
/// Most bytes of properties of one packet (L-5).
pub const PROPERTY_BYTES_MAX: u32 = 16_384;

/// Lists the properties once: variant, identifier, form, where it may stand.
macro_rules! properties {
    ($($variant:ident = $byte:literal, $kind:ident, $places:expr;)*) => {
        /// A property identifier of MQTT 5, table 2-4.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names are the standard's own")]
        pub enum PropertyId {
            $($variant = $byte,)*
        }

        impl PropertyId {
            /// The identifier for a byte of the wire (F-11).
            pub const fn from_byte(byte: u32) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$variant),)*
                    _ => None,
                }
            }

            const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }

            const fn places(self) -> u16 {
                match self { $(Self::$variant => $places,)* }
            }
        }
    };
}

properties! {
    PayloadFormatIndicator = 0x01, Byte, PUBLISH | WILL;
    MessageExpiryInterval = 0x02, FourBytes, PUBLISH | WILL;
    ContentType = 0x03, Text, PUBLISH | WILL;
    ResponseTopic = 0x08, Text, PUBLISH | WILL;
    CorrelationData = 0x09, Binary, PUBLISH | WILL;
    SubscriptionIdentifier = 0x0B, Variable, SERVER_PUBLISH | SUBSCRIBE;
    SessionExpiryInterval = 0x11, FourBytes, CONNECT | CONNACK | DISCONNECT;
    AssignedClientIdentifier = 0x12, Text, CONNACK;
    ServerKeepAlive = 0x13, TwoBytes, CONNACK;
    AuthenticationMethod = 0x15, Text, CONNECT | CONNACK;
    AuthenticationData = 0x16, Binary, CONNECT | CONNACK;
    RequestProblemInformation = 0x17, Byte, CONNECT;
    WillDelayInterval = 0x18, FourBytes, WILL;
    RequestResponseInformation = 0x19, Byte, CONNECT;
    ResponseInformation = 0x1A, Text, CONNACK;
    ServerReference = 0x1C, Text, CONNACK | SERVER_DISCONNECT;
    ReasonString = 0x1F, Text, CONNACK | ACK | DISCONNECT;
    ReceiveMaximum = 0x21, TwoBytes, CONNECT | CONNACK;
    TopicAliasMaximum = 0x22, TwoBytes, CONNECT | CONNACK;
    TopicAlias = 0x23, TwoBytes, PUBLISH;
    MaximumQos = 0x24, Byte, CONNACK;
    RetainAvailable = 0x25, Byte, CONNACK;
    UserProperty = 0x26, Pair, u16::MAX;
    MaximumPacketSize = 0x27, FourBytes, CONNECT | CONNACK;
    WildcardSubscriptionAvailable = 0x28, Byte, CONNACK;
    SubscriptionIdentifierAvailable = 0x29, Byte, CONNACK;
    SharedSubscriptionAvailable = 0x2A, Byte, CONNACK;
}

/// The value of one property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyValue<'a> {
    /// One byte.
    Byte(u8),
    /// Two bytes.
    TwoBytes(u16),
    /// Four bytes.
    FourBytes(u32),
    /// A variable byte integer.
    Variable(u32),
    /// A string.
    Text(&'a str),
    /// Binary data.
    Binary(&'a [u8]),
    /// A name and a value: a User Property.
    Pair(&'a str, &'a str),
}

/// The checked properties of one packet; empty for versions before 5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    bytes: &'a [u8],
}

impl<'a> Properties<'a> {
    /// The properties in the order of the wire.
    pub fn iter(self) -> PropertyIter<'a> {
        PropertyIter { reader: Reader::new(self.bytes) }
    }

    /// Properties to be sent, as they are to stand on the wire. Nothing is checked.
    pub(crate) const fn unchecked(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// The properties as they stood on the wire, without their length.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// A number property, whatever its width.
    pub(crate) fn number(self, wanted: PropertyId) -> Option<u32> {
        self.find(wanted).and_then(|value| match value {
            PropertyValue::Byte(number) => Some(u32::from(number)),
            PropertyValue::TwoBytes(number) => Some(u32::from(number)),
            PropertyValue::FourBytes(number) | PropertyValue::Variable(number) => Some(number),
            PropertyValue::Text(_) | PropertyValue::Binary(_) | PropertyValue::Pair(..) => None,
        })
    }

    /// The first property of that identifier.
    pub fn find(self, wanted: PropertyId) -> Option<PropertyValue<'a>> {
        self.iter().find(|(id, _)| *id == wanted).map(|(_, value)| value)
    }

    /// Reads a property length and the properties, and checks them for that packet.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>, place: Place) -> Result<Self, Violation> {
        if let Some((0, _)) = reader.rest().split_first() {
            reader.byte()?;
            return Ok(Self::default());
        }
        Self::read_some(reader, place)
    }

    fn read_some(reader: &mut Reader<'a>, place: Place) -> Result<Self, Violation> {
        let length = reader.variable()?;
        if length > PROPERTY_BYTES_MAX {
            return Err(Violation::PropertyFlood);
        }
        let bytes = reader.take(length as usize)?;
        check(bytes, place)?;
        Ok(Self { bytes })
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = (PropertyId, PropertyValue<'a>);
    type IntoIter = PropertyIter<'a>;

    fn into_iter(self) -> PropertyIter<'a> {
        self.iter()
    }
}

/// Walks checked properties.
#[derive(Clone, Debug)]
pub struct PropertyIter<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for PropertyIter<'a> {
    type Item = (PropertyId, PropertyValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        // The bytes were read once by `check`, so an error means their end.
        read_property(&mut self.reader).ok()
    }
}

/// The packets that carry properties, as one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u16);

impl Place {
    pub(crate) const CONNECT: Self = Self(CONNECT);
    pub(crate) const WILL: Self = Self(WILL);
    pub(crate) const PUBLISH: Self = Self(CLIENT_PUBLISH);
    pub(crate) const ACK: Self = Self(ACK);
    pub(crate) const SUBSCRIBE: Self = Self(SUBSCRIBE);
    pub(crate) const UNSUBSCRIBE: Self = Self(UNSUBSCRIBE);
    pub(crate) const DISCONNECT: Self = Self(CLIENT_DISCONNECT);
    pub(crate) const CONNACK: Self = Self(CONNACK);
    pub(crate) const SERVER_PUBLISH: Self = Self(SERVER_PUBLISH);
    pub(crate) const SERVER_DISCONNECT: Self = Self(SERVER_DISCONNECT);
}

/// Appends one property.
pub(crate) fn write_property(out: &mut Vec<u8>, id: PropertyId, value: PropertyValue<'_>) {
    out.push(id as u8);
    match value {
        PropertyValue::Byte(byte) => out.push(byte),
        PropertyValue::TwoBytes(number) => out.extend_from_slice(&number.to_be_bytes()),
        PropertyValue::FourBytes(number) => out.extend_from_slice(&number.to_be_bytes()),
        PropertyValue::Variable(number) => write_variable(out, number),
        PropertyValue::Text(text) => write_binary(out, text.as_bytes()),
        PropertyValue::Binary(bytes) => write_binary(out, bytes),
        PropertyValue::Pair(name, value) => {
            write_binary(out, name.as_bytes());
            write_binary(out, value.as_bytes());
        }
    }
}

fn check(bytes: &[u8], place: Place) -> Result<(), Violation> {
    let mut reader = Reader::new(bytes);
    let mut seen = 0_u64;
    let mut user_properties = 0;
    while !reader.is_empty() {
        let (id, value) = read_property(&mut reader)?;
        check_place(id, place)?;
        if id == PropertyId::UserProperty {
            user_properties += 1;
            if user_properties > USER_PROPERTIES_MAX {
                return Err(Violation::PropertyFlood);
            }
        } else if seen & (1 << id as u8) != 0 && !may_repeat(id, place) {
            return Err(Violation::PropertyTwice);
        }
        seen |= 1 << id as u8;
        check_value(id, value)?;
    }
    Ok(())
}

/// Only a server's PUBLISH repeats a property that is no User Property.
const fn may_repeat(id: PropertyId, place: Place) -> bool {
    matches!(id, PropertyId::SubscriptionIdentifier) && place.0 == SERVER_PUBLISH
}

fn check_place(id: PropertyId, place: Place) -> Result<(), Violation> {
    if id.places() & place.0 != 0 {
        Ok(())
    } else if id == PropertyId::SubscriptionIdentifier && place == Place::PUBLISH {
        Err(Violation::SubscriptionIdFromClient)
    } else {
        Err(Violation::PropertyMisplaced)
    }
}

fn check_value(id: PropertyId, value: PropertyValue<'_>) -> Result<(), Violation> {
    match (id, value) {
        (PropertyId::ReceiveMaximum, PropertyValue::TwoBytes(0))
        | (PropertyId::MaximumPacketSize, PropertyValue::FourBytes(0))
        | (PropertyId::SubscriptionIdentifier, PropertyValue::Variable(0))
        | (_, PropertyValue::Byte(2..)) => Err(Violation::PropertyValue),
        (PropertyId::TopicAlias, PropertyValue::TwoBytes(0)) => Err(Violation::TopicAliasRange),
        (PropertyId::ResponseTopic, PropertyValue::Text(topic)) => match TopicName::parse(topic) {
            Err(TopicFault::Wildcard) => Err(Violation::ResponseTopicWildcard),
            Err(TopicFault::Empty) => Err(Violation::PropertyValue),
            Err(TopicFault::Nul | TopicFault::TooLong) | Ok(_) => Ok(()),
        },
        _ => Ok(()),
    }
}

fn read_property<'a>(
    reader: &mut Reader<'a>,
) -> Result<(PropertyId, PropertyValue<'a>), Violation> {
    let id = PropertyId::from_byte(reader.variable()?).ok_or(Violation::UnknownProperty)?;
    let value = match id.kind() {
        Kind::Byte => PropertyValue::Byte(reader.byte()?),
        Kind::TwoBytes => PropertyValue::TwoBytes(reader.two_bytes()?),
        Kind::FourBytes => PropertyValue::FourBytes(reader.four_bytes()?),
        Kind::Variable => PropertyValue::Variable(reader.variable()?),
        Kind::Text => PropertyValue::Text(reader.string()?),
        Kind::Binary => PropertyValue::Binary(reader.binary()?),
        Kind::Pair => PropertyValue::Pair(reader.string()?, reader.string()?),
    };
    Ok((id, value))
}

#[derive(Clone, Copy)]
enum Kind {
    Byte,
    TwoBytes,
    FourBytes,
    Variable,
    Text,
    Binary,
    Pair,
}

const CONNECT: u16 = 1;
const WILL: u16 = 1 << 1;
const CONNACK: u16 = 1 << 2;
const CLIENT_PUBLISH: u16 = 1 << 3;
const SERVER_PUBLISH: u16 = 1 << 4;
const PUBLISH: u16 = CLIENT_PUBLISH | SERVER_PUBLISH;
/// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
const ACK: u16 = 1 << 5;
const SUBSCRIBE: u16 = 1 << 6;
const UNSUBSCRIBE: u16 = 1 << 7;
const CLIENT_DISCONNECT: u16 = 1 << 8;
const SERVER_DISCONNECT: u16 = 1 << 9;
const DISCONNECT: u16 = CLIENT_DISCONNECT | SERVER_DISCONNECT;
