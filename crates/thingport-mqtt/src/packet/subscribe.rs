//! SUBSCRIBE and UNSUBSCRIBE.
//!
//! The filters stay in the packet's bytes and are walked in place. Both packets can be taken out of
//! the read buffer when their answer has to wait ([`Subscribe::to_owned`]).

use crate::property::{Place, Properties, PropertyId};
use crate::reason::ReasonCode;
use crate::topic::{TopicFault, TopicFilter};
use crate::version::{Qos, Version};
use crate::violation::Violation;
use crate::wire::Reader;

/// A client asks for downlinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    packet_id: u16,
    /// 0: none.
    subscription_id: u32,
    /// Filters with their options, checked.
    filters: &'a [u8],
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeRequest<'a> {
    /// The filter as sent; well-formed UTF-8, not empty.
    pub filter: &'a str,
    /// The quality of service asked for.
    pub qos: Qos,
    /// What the protocol already has against it: ill-formed or too long (0x8F), shared (0x9E).
    pub refusal: Option<ReasonCode>,
}

impl<'a> Subscribe<'a> {
    /// The packet identifier.
    pub const fn packet_id(&self) -> u16 {
        self.packet_id
    }

    /// The subscription identifier, if the client gave one (U-9).
    pub const fn subscription_id(&self) -> Option<u32> {
        if self.subscription_id == 0 { None } else { Some(self.subscription_id) }
    }

    /// The filters in the order of the packet.
    pub fn requests(&self) -> impl Iterator<Item = SubscribeRequest<'a>> + use<'a> {
        let mut reader = Reader::new(self.filters);
        core::iter::from_fn(move || read_request(&mut reader))
    }

    /// Takes the packet out of the read buffer.
    pub fn to_owned(&self) -> OwnedSubscribe {
        OwnedSubscribe {
            packet_id: self.packet_id,
            subscription_id: self.subscription_id,
            filters: self.filters.into(),
        }
    }

    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, Violation> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let mut subscription_id = 0;
        if version.is_v5() {
            let properties = Properties::read(&mut reader, Place::SUBSCRIBE)?;
            subscription_id = properties.number(PropertyId::SubscriptionIdentifier).unwrap_or(0);
        }
        let filters = reader.rest();
        if filters.is_empty() {
            return Err(Violation::NoFilters);
        }
        while !reader.is_empty() {
            read_filter(&mut reader)?;
            check_options(reader.byte()?, version)?;
        }
        Ok(Self { packet_id, subscription_id, filters })
    }
}

/// A [`Subscribe`] that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedSubscribe {
    packet_id: u16,
    subscription_id: u32,
    filters: Box<[u8]>,
}

impl OwnedSubscribe {
    /// The packet again.
    pub fn borrow(&self) -> Subscribe<'_> {
        Subscribe {
            packet_id: self.packet_id,
            subscription_id: self.subscription_id,
            filters: &self.filters,
        }
    }
}

/// A client gives downlinks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    packet_id: u16,
    filters: &'a [u8],
}

impl<'a> Unsubscribe<'a> {
    /// The packet identifier.
    pub const fn packet_id(&self) -> u16 {
        self.packet_id
    }

    /// The filters in the order of the packet, to be compared byte by byte (U-11).
    pub fn filters(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut reader = Reader::new(self.filters);
        // Checked when the packet was decoded, so an error means the end.
        core::iter::from_fn(move || reader.string().ok())
    }

    /// Takes the packet out of the read buffer.
    pub fn to_owned(&self) -> OwnedUnsubscribe {
        OwnedUnsubscribe { packet_id: self.packet_id, filters: self.filters.into() }
    }

    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, Violation> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        if version.is_v5() {
            Properties::read(&mut reader, Place::UNSUBSCRIBE)?;
        }
        let filters = reader.rest();
        if filters.is_empty() {
            return Err(Violation::NoFilters);
        }
        while !reader.is_empty() {
            read_filter(&mut reader)?;
        }
        Ok(Self { packet_id, filters })
    }
}

/// An [`Unsubscribe`] that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedUnsubscribe {
    packet_id: u16,
    filters: Box<[u8]>,
}

impl OwnedUnsubscribe {
    /// The packet again.
    pub fn borrow(&self) -> Unsubscribe<'_> {
        Unsubscribe { packet_id: self.packet_id, filters: &self.filters }
    }
}

fn read_request<'a>(reader: &mut Reader<'a>) -> Option<SubscribeRequest<'a>> {
    // Checked when the packet was decoded, so an error means the end.
    let filter = reader.string().ok()?;
    let qos = Qos::from_bits(reader.byte().ok()?)?;
    Some(SubscribeRequest { filter, qos, refusal: refusal_of(filter) })
}

fn refusal_of(filter: &str) -> Option<ReasonCode> {
    match TopicFilter::parse(filter) {
        Ok(filter) if filter.is_shared() => Some(ReasonCode::SharedSubscriptionsNotSupported),
        Ok(_) => None,
        Err(TopicFault::Empty | TopicFault::Wildcard | TopicFault::Nul | TopicFault::TooLong) => {
            Some(ReasonCode::TopicFilterInvalid)
        }
    }
}

fn read_filter<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Violation> {
    match reader.string()? {
        "" => Err(Violation::FilterEmpty),
        filter => Ok(filter),
    }
}

/// The option byte of one filter (U-2).
const fn check_options(options: u8, version: Version) -> Result<(), Violation> {
    let reserved = if version.is_v5() { 0b1100_0000 } else { 0b1111_1100 };
    if options & reserved != 0 {
        return Err(Violation::SubscribeOptions);
    }
    if options & 0b11 == 0b11 || options & 0b11_0000 == 0b11_0000 {
        return Err(Violation::SubscribeOptionValue);
    }
    Ok(())
}
