//! CONNECT, with will and login.

use crate::limits::Bounds;
use crate::property::{Place, Properties, PropertyId};
use crate::topic::TopicName;
use crate::version::{Qos, Version};
use crate::violation::{Moment, Violation};
use crate::wire::Reader;

/// What a client asks for when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version spoken from here on.
    pub version: Version,
    /// Clean Session of version 3, Clean Start of version 5.
    pub clean_start: bool,
    /// Keep alive in seconds; 0 means none.
    pub keep_alive: u16,
    /// The client identifier; may be empty (C-9).
    pub client_id: &'a str,
    /// The will.
    pub will: Option<Will<'a>>,
    /// The user name.
    pub user_name: Option<&'a str>,
    /// The password.
    pub password: Option<&'a [u8]>,
    /// Version 5 properties.
    pub properties: Properties<'a>,
}

/// What the client wants published when it goes without a word (S-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where.
    pub topic: TopicName<'a>,
    /// What.
    pub payload: &'a [u8],
    /// How.
    pub qos: Qos,
    /// Retained or not.
    pub retain: bool,
    /// Version 5 properties.
    pub properties: Properties<'a>,
}

impl<'a> Connect<'a> {
    /// Seconds the session should outlive the connection; 0 when the client said nothing.
    pub fn session_expiry(&self) -> u32 {
        self.properties.number(PropertyId::SessionExpiryInterval).unwrap_or(0)
    }

    /// Publications of quality of service 1 and 2 the client takes at once.
    pub fn receive_maximum(&self) -> u16 {
        self.short(PropertyId::ReceiveMaximum).unwrap_or(u16::MAX)
    }

    /// Largest packet the client takes, in bytes.
    pub fn maximum_packet_size(&self) -> u32 {
        self.properties.number(PropertyId::MaximumPacketSize).unwrap_or(u32::MAX)
    }

    /// Topic aliases the client takes.
    pub fn topic_alias_maximum(&self) -> u16 {
        self.short(PropertyId::TopicAliasMaximum).unwrap_or(0)
    }

    /// Whether the client wants reasons in words (C-21).
    pub fn wants_problem_information(&self) -> bool {
        self.properties.number(PropertyId::RequestProblemInformation) != Some(0)
    }

    fn short(&self, id: PropertyId) -> Option<u16> {
        self.properties.number(id).and_then(|number| u16::try_from(number).ok())
    }

    /// Decodes the body behind the first byte `first`. The error says how far the version was known.
    pub(crate) fn decode(
        first: u8,
        body: &'a [u8],
        bounds: &Bounds,
    ) -> Result<Self, (Violation, Moment)> {
        let mut reader = Reader::new(body);
        let version = read_version(&mut reader)?;
        decode_rest(first, reader, version, bounds)
            .map_err(|violation| (violation, Moment::Connecting(version)))
    }
}

/// Reads protocol name and level. What a refused level answers is laid out for the version that the
/// level suggests: version 5 above 5, version 3 below (C-4).
pub(crate) fn read_version(reader: &mut Reader<'_>) -> Result<Version, (Violation, Moment)> {
    let unknown = |violation| (violation, Moment::BeforeConnect);
    let name = reader.binary().map_err(unknown)?;
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(unknown(Violation::UnknownProtocolName));
    }
    match (name, reader.byte().map_err(unknown)?) {
        (b"MQIsdp", 3) => Ok(Version::V31),
        (b"MQTT", 4) => Ok(Version::V311),
        (b"MQTT", 5) => Ok(Version::V5),
        (_, 6..) => Err((Violation::UnsupportedLevel, Moment::Connecting(Version::V5))),
        (_, _) => Err((Violation::UnsupportedLevel, Moment::Connecting(Version::V311))),
    }
}

/// Finds the version in a body of which only the beginning has arrived. `None`: not enough yet.
pub(crate) fn peek_version(beginning: &[u8]) -> Option<Moment> {
    let mut reader = Reader::new(beginning);
    match read_version(&mut reader) {
        Ok(version) => Some(Moment::Connecting(version)),
        Err((Violation::BodyTooShort, _)) if beginning.len() < LONGEST_VERSION => None,
        Err((_, moment)) => Some(moment),
    }
}

fn decode_rest<'a>(
    first: u8,
    mut reader: Reader<'a>,
    version: Version,
    bounds: &Bounds,
) -> Result<Connect<'a>, Violation> {
    if version != Version::V31 && first & 0x0F != 0 {
        return Err(Violation::FixedHeaderFlags);
    }
    let flags = Flags(reader.byte()?);
    flags.check(version)?;
    let keep_alive = reader.two_bytes()?;
    let properties = read_properties(&mut reader, version, Place::CONNECT)?;
    check_authentication(properties)?;
    let client_id = reader.string()?;
    let will = flags.will().then(|| read_will(&mut reader, flags, version)).transpose()?;
    let user_name = read_login(&mut reader, flags.user_name(), version)?;
    let password = read_login(&mut reader, flags.password(), version)?;
    reader.finish()?;
    let user_name = user_name.map(crate::wire::text).transpose()?;
    let clean_start = flags.clean_start();
    check_client_id(client_id, clean_start, version, bounds)?;
    Ok(Connect {
        version,
        clean_start,
        keep_alive,
        client_id,
        will,
        user_name,
        password,
        properties,
    })
}

fn read_properties<'a>(
    reader: &mut Reader<'a>,
    version: Version,
    place: Place,
) -> Result<Properties<'a>, Violation> {
    if version.is_v5() { Properties::read(reader, place) } else { Ok(Properties::default()) }
}

/// No enhanced authentication is offered (C-11); data without a method is an error of its own (C-10).
fn check_authentication(properties: Properties<'_>) -> Result<(), Violation> {
    if properties.find(PropertyId::AuthenticationMethod).is_some() {
        Err(Violation::AuthenticationMethod)
    } else if properties.find(PropertyId::AuthenticationData).is_some() {
        Err(Violation::AuthenticationDataAlone)
    } else {
        Ok(())
    }
}

fn read_will<'a>(
    reader: &mut Reader<'a>,
    flags: Flags,
    version: Version,
) -> Result<Will<'a>, Violation> {
    let properties = read_properties(reader, version, Place::WILL)?;
    let topic = reader.string()?;
    let payload = reader.binary()?;
    let topic = TopicName::parse(topic).map_err(|_| Violation::WillTopic)?;
    let qos = flags.will_qos().ok_or(Violation::WillFlags)?;
    Ok(Will { topic, payload, qos, retain: flags.will_retain(), properties })
}

/// User name or password, if announced. Very old clients announce one and end the packet: in
/// version 3.1 that means it is absent.
fn read_login<'a>(
    reader: &mut Reader<'a>,
    announced: bool,
    version: Version,
) -> Result<Option<&'a [u8]>, Violation> {
    if !announced || (version == Version::V31 && reader.is_empty()) {
        return Ok(None);
    }
    reader.binary().map(Some)
}

/// The table of C-9.
fn check_client_id(
    client_id: &str,
    clean_start: bool,
    version: Version,
    bounds: &Bounds,
) -> Result<(), Violation> {
    let empty_is_allowed = match version {
        Version::V31 => false,
        Version::V311 => clean_start,
        Version::V5 => true,
    };
    if client_id.is_empty() && !empty_is_allowed {
        Err(Violation::ClientIdEmpty)
    } else if client_id.len() > usize::from(bounds.client_id_max) {
        Err(Violation::ClientIdTooLong)
    } else {
        Ok(())
    }
}

/// The connect flags.
#[derive(Clone, Copy)]
struct Flags(u8);

impl Flags {
    fn check(self, version: Version) -> Result<(), Violation> {
        if self.0 & 1 != 0 && version != Version::V31 {
            return Err(Violation::ConnectFlagReserved);
        }
        if self.will_qos().is_none() || (!self.will() && self.0 & 0b0011_1000 != 0) {
            return Err(Violation::WillFlags);
        }
        if self.password() && !self.user_name() && !version.is_v5() {
            return Err(Violation::PasswordWithoutUserName);
        }
        Ok(())
    }

    const fn clean_start(self) -> bool {
        self.0 & 0x02 != 0
    }

    const fn will(self) -> bool {
        self.0 & 0x04 != 0
    }

    const fn will_qos(self) -> Option<Qos> {
        Qos::from_bits(self.0 >> 3)
    }

    const fn will_retain(self) -> bool {
        self.0 & 0x20 != 0
    }

    const fn password(self) -> bool {
        self.0 & 0x40 != 0
    }

    const fn user_name(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// Bytes of the longest protocol name with its length and the level.
const LONGEST_VERSION: usize = 9;
