//! MQTT 5 reason codes, and what older clients see in their place.
//!
//! One closed list for every packet that carries a reason. Which code may stand in which packet of
//! a client is asked with [`ReasonCode::may_stand_in`] (F-16).

/// Lists the codes once: variant, byte, name of the standard.
macro_rules! reason_codes {
    ($($(#[$doc:meta])* $variant:ident = $byte:literal, $name:literal;)*) => {
        /// A reason code of MQTT 5, section 2.4.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $($(#[$doc])* $variant = $byte,)*
        }

        impl ReasonCode {
            /// Every code, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code for a byte of the wire; `None` when the standard defines none.
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name the standard gives this code, in lower case.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reason_codes! {
    /// Success; in DISCONNECT normal disconnection, in SUBACK quality of service 0 granted.
    Success = 0x00, "success";
    /// SUBACK: quality of service 1 granted.
    GrantedQos1 = 0x01, "granted QoS 1";
    /// SUBACK: quality of service 2 granted. This server never grants it (U-4).
    GrantedQos2 = 0x02, "granted QoS 2";
    /// DISCONNECT of a client that wants its will kept alive.
    DisconnectWithWill = 0x04, "disconnect with will message";
    /// PUBACK: nobody subscribes to that topic.
    NoMatchingSubscribers = 0x10, "no matching subscribers";
    /// UNSUBACK: the filter was not subscribed.
    NoSubscriptionExisted = 0x11, "no subscription existed";
    /// AUTH: go on.
    ContinueAuthentication = 0x18, "continue authentication";
    /// AUTH: start again.
    ReAuthenticate = 0x19, "re-authenticate";
    /// Nothing more precise fits.
    UnspecifiedError = 0x80, "unspecified error";
    /// The packet cannot be parsed.
    MalformedPacket = 0x81, "malformed packet";
    /// The packet parses and breaks a rule.
    ProtocolError = 0x82, "protocol error";
    /// Valid, and refused for a reason of this server.
    ImplementationSpecificError = 0x83, "implementation specific error";
    /// CONNACK: no such protocol version here.
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version";
    /// CONNACK: the client identifier is not allowed.
    ClientIdentifierNotValid = 0x85, "client identifier not valid";
    /// CONNACK: user name or password wrong.
    BadUserNameOrPassword = 0x86, "bad user name or password";
    /// Not allowed to do this.
    NotAuthorized = 0x87, "not authorized";
    /// CONNACK: the server cannot decide now.
    ServerUnavailable = 0x88, "server unavailable";
    /// The server has too much to do.
    ServerBusy = 0x89, "server busy";
    /// CONNACK: the client is banned.
    Banned = 0x8A, "banned";
    /// DISCONNECT: the server goes down in good order.
    ServerShuttingDown = 0x8B, "server shutting down";
    /// The authentication method is not offered.
    BadAuthenticationMethod = 0x8C, "bad authentication method";
    /// DISCONNECT: no packet within one and a half times the keep alive.
    KeepAliveTimeout = 0x8D, "keep alive timeout";
    /// DISCONNECT: a newer connection took the session.
    SessionTakenOver = 0x8E, "session taken over";
    /// The topic filter is well-formed and not accepted, or not well-formed.
    TopicFilterInvalid = 0x8F, "topic filter invalid";
    /// The topic name is well-formed and not accepted.
    TopicNameInvalid = 0x90, "topic name invalid";
    /// The packet identifier is still in use.
    PacketIdentifierInUse = 0x91, "packet identifier in use";
    /// PUBREL or PUBCOMP: no such packet identifier.
    PacketIdentifierNotFound = 0x92, "packet identifier not found";
    /// DISCONNECT: more unfinished publications than granted.
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded";
    /// DISCONNECT: topic alias 0 or above the maximum.
    TopicAliasInvalid = 0x94, "topic alias invalid";
    /// The packet is larger than allowed.
    PacketTooLarge = 0x95, "packet too large";
    /// DISCONNECT: more messages than the rate allows.
    MessageRateTooHigh = 0x96, "message rate too high";
    /// A limit of the implementation or of the tenant is reached.
    QuotaExceeded = 0x97, "quota exceeded";
    /// DISCONNECT: somebody who may, ended this connection.
    AdministrativeAction = 0x98, "administrative action";
    /// The payload is not what its indicator or its topic promises.
    PayloadFormatInvalid = 0x99, "payload format invalid";
    /// Retained messages are not available.
    RetainNotSupported = 0x9A, "retain not supported";
    /// The quality of service is above the maximum.
    QosNotSupported = 0x9B, "QoS not supported";
    /// Use another server, for now.
    UseAnotherServer = 0x9C, "use another server";
    /// Use another server, from now on.
    ServerMoved = 0x9D, "server moved";
    /// Shared subscriptions are not available.
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported";
    /// Connections arrive faster than allowed.
    ConnectionRateExceeded = 0x9F, "connection rate exceeded";
    /// DISCONNECT: the connection has lived as long as it may.
    MaximumConnectTime = 0xA0, "maximum connect time";
    /// Subscription identifiers are not available.
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported";
    /// Wildcard subscriptions are not available.
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported";
}

impl ReasonCode {
    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Whether the code says that something failed: 0x80 and above.
    pub const fn is_error(self) -> bool {
        self.byte() >= 0x80
    }

    /// What a version 3 client is told in CONNACK for this code (conformance section 1).
    pub const fn return_code(self) -> ReturnCode {
        match self {
            Self::Success => ReturnCode::Accepted,
            Self::UnsupportedProtocolVersion => ReturnCode::UnacceptableProtocolVersion,
            Self::ClientIdentifierNotValid => ReturnCode::IdentifierRejected,
            Self::BadUserNameOrPassword | Self::NotAuthorized | Self::Banned => {
                ReturnCode::NotAuthorized
            }
            _ => ReturnCode::ServerUnavailable,
        }
    }

    /// Whether a client may send this code in a packet of that kind (F-16).
    pub const fn may_stand_in(self, place: ReasonPlace) -> bool {
        match place {
            ReasonPlace::PubackOrPubrec => {
                matches!(self.byte(), 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            ReasonPlace::PubrelOrPubcomp => matches!(self.byte(), 0x00 | 0x92),
            ReasonPlace::ClientDisconnect => {
                matches!(self.byte(), 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99)
            }
        }
    }
}

/// The packets of a client that carry a reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonPlace {
    /// PUBACK or PUBREC.
    PubackOrPubrec,
    /// PUBREL or PUBCOMP.
    PubrelOrPubcomp,
    /// DISCONNECT.
    ClientDisconnect,
}

/// The CONNACK return code of MQTT 3.1 and 3.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ReturnCode {
    /// 0: connection accepted.
    Accepted = 0,
    /// 1: the server does not speak that version.
    UnacceptableProtocolVersion = 1,
    /// 2: the client identifier is not allowed.
    IdentifierRejected = 2,
    /// 3: the server cannot serve now.
    ServerUnavailable = 3,
    /// 4: user name or password is missing or malformed. Only a caller can choose this one.
    BadUserNameOrPassword = 4,
    /// 5: not authorized.
    NotAuthorized = 5,
}

impl ReturnCode {
    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        self as u8
    }
}
