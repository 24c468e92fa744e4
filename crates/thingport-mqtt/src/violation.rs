//! The rules a client can break, one variant each.
//!
//! A [`Violation`] ends the connection. It knows the reason code a version 5 client is told, the
//! row of the conformance table it stands for, and one sentence for people. Whether the client is
//! told at all depends on the moment: see [`Violation::answer`].

use crate::reason::{ReasonCode, ReturnCode};
use crate::version::Version;

/// Lists the rules once: variant, row, reason code, sentence.
macro_rules! violations {
    ($($variant:ident, $row:literal, $reason:ident, $sentence:literal;)*) => {
        /// A rule of MQTT, or a bound of this server, that the client broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Violation {
            $(#[doc = $sentence] $variant,)*
        }

        impl Violation {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The row of the conformance table, such as "F-4".
            pub const fn row(self) -> &'static str {
                match self { $(Self::$variant => $row,)* }
            }

            /// What a version 5 client is told, if it is told anything.
            pub const fn reason(self) -> ReasonCode {
                match self { $(Self::$variant => ReasonCode::$reason,)* }
            }

            /// One sentence for the person who looks after the client.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

violations! {
    FixedHeaderFlags, "F-1", MalformedPacket, "The low four bits of the first byte are not those of this packet type.";
    UnknownPacketType, "F-2", MalformedPacket, "This packet type does not exist in this version of MQTT.";
    ServerPacket, "F-3", ProtocolError, "Only a server sends this packet type.";
    LengthTooLong, "F-4", MalformedPacket, "The remaining length has more than four bytes.";
    PacketTooLarge, "F-5", PacketTooLarge, "The packet is larger than this server accepts.";
    BodyTooShort, "F-6", MalformedPacket, "The packet ends inside one of its fields.";
    BodyTooLong, "F-6", MalformedPacket, "The packet has bytes behind its last field.";
    LengthNotShortest, "F-7", MalformedPacket, "A variable byte integer is not in its shortest form.";
    BadUtf8, "F-8", MalformedPacket, "A string is not well-formed UTF-8.";
    NulInString, "F-8", MalformedPacket, "A string contains the character U+0000.";
    PacketIdZero, "F-10", MalformedPacket, "The packet identifier is 0.";
    UnknownProperty, "F-11", MalformedPacket, "A property identifier does not exist.";
    PropertyMisplaced, "F-12", ProtocolError, "A property does not belong to this packet.";
    PropertyTwice, "F-12", ProtocolError, "A property appears twice.";
    PropertyValue, "F-12", ProtocolError, "A property has a value it may not have.";
    PacketTimeout, "F-14", KeepAliveTimeout, "A packet was started and not finished in time.";
    AckReason, "F-16", ProtocolError, "The reason code is not defined for this packet.";
    FirstPacketNotConnect, "C-1", ProtocolError, "The first packet is not CONNECT.";
    SecondConnect, "C-2", ProtocolError, "A second CONNECT arrived on the same connection.";
    UnknownProtocolName, "C-3", UnsupportedProtocolVersion, "The protocol name is neither MQTT nor MQIsdp.";
    UnsupportedLevel, "C-4", UnsupportedProtocolVersion, "The protocol level is not one this server speaks.";
    ConnectFlagReserved, "C-5", MalformedPacket, "The reserved connect flag is set.";
    WillFlags, "C-6", MalformedPacket, "The will flags contradict each other.";
    WillTopic, "C-6", TopicNameInvalid, "The will topic is empty, too long or contains a wildcard.";
    PasswordWithoutUserName, "C-7", MalformedPacket, "There is a password and no user name.";
    ClientIdEmpty, "C-9", ClientIdentifierNotValid, "The client identifier is empty and this version does not allow that here.";
    ClientIdTooLong, "C-9", ClientIdentifierNotValid, "The client identifier is too long.";
    AuthenticationDataAlone, "C-10", ProtocolError, "There is authentication data and no authentication method.";
    AuthenticationMethod, "C-11", BadAuthenticationMethod, "Enhanced authentication is not offered.";
    ExpiryRaised, "S-3", ProtocolError, "DISCONNECT raises a session expiry interval that was 0.";
    Qos3, "P-1", MalformedPacket, "The quality of service is 3.";
    DupAtQos0, "P-2", MalformedPacket, "DUP is set on a publication of quality of service 0.";
    PacketIdReused, "P-4", PacketIdentifierInUse, "The packet identifier belongs to another publication that is not released yet.";
    ReleasedTooEarly, "P-4", ProtocolError, "PUBREL arrived before PUBREC was sent.";
    TopicWildcard, "P-6", TopicNameInvalid, "The topic name contains a wildcard.";
    TopicEmpty, "P-7", ProtocolError, "The topic name is empty and there is no topic alias.";
    TopicAliasRange, "P-14", TopicAliasInvalid, "The topic alias is 0 or above the maximum.";
    TopicAliasUnknown, "P-14", ProtocolError, "The topic alias was never set.";
    ReceiveMaximum, "P-16", ReceiveMaximumExceeded, "There are more unfinished publications than this server granted.";
    SubscriptionIdFromClient, "P-17", ProtocolError, "A client may not send a subscription identifier in PUBLISH.";
    ResponseTopicWildcard, "P-18", ProtocolError, "The response topic contains a wildcard.";
    Qos2Answer, "P-4", ProtocolError, "The packet answers a publication of quality of service 2, which this server never sends.";
    NoFilters, "U-1", ProtocolError, "The packet names no topic filter.";
    SubscribeOptions, "U-2", MalformedPacket, "Reserved bits of the subscription options are set.";
    SubscribeOptionValue, "U-2", ProtocolError, "Quality of service or retain handling of the subscription is 3.";
    FilterEmpty, "U-7", MalformedPacket, "A topic filter is empty.";
    ClientPacketSize, "O-5", PacketTooLarge, "The client accepts no packet that could hold CONNACK.";
    AnswerTooLarge, "O-5", PacketTooLarge, "The answer is larger than the client accepts.";
    SlowReader, "O-8", QuotaExceeded, "The client does not read what it is sent.";
    KeepAlive, "K-1", KeepAliveTimeout, "No packet arrived within one and a half times the keep alive.";
    Inactivity, "K-3", MaximumConnectTime, "The session was inactive for too long.";
    AuthNotOffered, "D-3", ProtocolError, "AUTH is not offered.";
    ConnectTimeout, "L-1", KeepAliveTimeout, "No complete CONNECT arrived in time.";
    PropertyFlood, "L-5", PacketTooLarge, "The packet has more properties than this server accepts.";
    TooManyOpenIds, "L-7", ReceiveMaximumExceeded, "There are more unreleased publications of quality of service 2 than this server keeps.";
    PipelineTooLong, "L-9", QuotaExceeded, "Too much was sent before the connection was accepted.";
}

impl Violation {
    /// How the client learns of it.
    ///
    /// Before CONNACK a version 5 client gets CONNACK, never DISCONNECT (C-16); a version 3 client
    /// gets CONNACK only where its protocol has a code for the case (C-4, C-9, C-20). After CONNACK
    /// version 5 gets DISCONNECT and version 3 a closed connection.
    pub const fn answer(self, moment: Moment) -> Answer {
        match (self, moment) {
            (Self::FirstPacketNotConnect | Self::UnknownProtocolName, _)
            | (Self::ConnectTimeout | Self::ClientPacketSize, _)
            | (_, Moment::BeforeConnect) => Answer::Silence,
            (Self::UnsupportedLevel | Self::ClientIdEmpty | Self::ClientIdTooLong, _) => {
                Answer::Connack(self.reason().return_code())
            }
            (_, Moment::Connecting(Version::V5)) => Answer::Connack(self.reason().return_code()),
            (_, Moment::Connected(Version::V5)) => Answer::Disconnect,
            (_, Moment::Connecting(_) | Moment::Connected(_)) => Answer::Silence,
        }
    }
}

impl core::fmt::Display for Violation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({})", self.sentence(), self.row())
    }
}

impl core::error::Error for Violation {}

/// How far the conversation had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Not even the version is known.
    BeforeConnect,
    /// A CONNECT of this version is being read or decided.
    Connecting(Version),
    /// CONNACK has said yes.
    Connected(Version),
}

/// What is sent before the connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Silence,
    /// CONNACK: the reason code for version 5, this return code for version 3.
    Connack(ReturnCode),
    /// DISCONNECT with the reason code.
    Disconnect,
}
