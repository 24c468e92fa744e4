//! DISCONNECT, in both directions.

use crate::property::{Place, Properties, PropertyId, PropertyValue};
use crate::reason::{ReasonCode, ReasonPlace};
use crate::version::Version;
use crate::violation::Violation;
use crate::wire::Reader;

/// The client says goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why; `Success` in version 3. With `DisconnectWithWill` the will stays in force (D-1).
    pub reason: ReasonCode,
    /// Version 5 properties.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// Whether the client wants its will to be carried out after all.
    pub const fn keeps_will(&self) -> bool {
        !matches!(self.reason, ReasonCode::Success)
    }

    /// The client's own words, if any.
    pub fn reason_string(&self) -> Option<&'a str> {
        match self.properties.find(PropertyId::ReasonString) {
            Some(PropertyValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Seconds the session should outlive the connection, when the client changes its mind.
    pub fn session_expiry(&self) -> Option<u32> {
        self.properties.number(PropertyId::SessionExpiryInterval)
    }

    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, Violation> {
        Self::decode_from(body, version, Place::DISCONNECT)
    }

    pub(crate) fn decode_from(
        body: &'a [u8],
        version: Version,
        place: Place,
    ) -> Result<Self, Violation> {
        let mut reader = Reader::new(body);
        let mut packet = Self { reason: ReasonCode::Success, properties: Properties::default() };
        if version.is_v5() && !reader.is_empty() {
            packet.reason = read_reason(&mut reader, place)?;
            if !reader.is_empty() {
                packet.properties = Properties::read(&mut reader, place)?;
            }
        }
        reader.finish()?;
        Ok(packet)
    }
}

fn read_reason(reader: &mut Reader<'_>, place: Place) -> Result<ReasonCode, Violation> {
    let reason = ReasonCode::from_byte(reader.byte()?).ok_or(Violation::AckReason)?;
    if place == Place::DISCONNECT && !reason.may_stand_in(ReasonPlace::ClientDisconnect) {
        return Err(Violation::AckReason);
    }
    Ok(reason)
}
