//! The one map from reasons to what an MQTT client is told, and from broken MQTT rules to reasons.
//!
//! Tables of device API 0.2, 2.6 and of the conformance document, section 1. Nothing else in the house
//! chooses a reason code.

use thingport_model::port::ledger::AppendError;
use thingport_model::reason::Reason;
use thingport_mqtt::reason::{ReasonCode, ReturnCode};
use thingport_mqtt::version::{Qos, Version};
use thingport_mqtt::violation::Violation;

/// What becomes of a publication that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Nothing is answered, the connection stays.
    Ignore,
    /// PUBACK or PUBREC with this code; version 3 sees success.
    Acknowledge(ReasonCode),
    /// The connection is closed; version 5 gets DISCONNECT with this code.
    Close(ReasonCode),
    /// Version 5: PUBACK or PUBREC with the first code, then DISCONNECT with the second (P-22); others: a
    /// plain acknowledgement, then a close.
    AcknowledgeAndClose(ReasonCode, ReasonCode),
}

impl Rejection {
    /// The same for a server that is told to let clients stay when a rate limit refused a message
    /// (RL-028). Older versions than 5 have no other way to be told than a close.
    #[must_use]
    pub fn staying(self, version: Version) -> Self {
        match self {
            Self::AcknowledgeAndClose(code, _) => Self::Acknowledge(code),
            Self::Close(ReasonCode::MessageRateTooHigh) if version == Version::V5 => Self::Ignore,
            other => other,
        }
    }
}

/// How a publication rejected for `reason` is answered (classes E-FORMAT, E-TOPIC, E-BACKEND).
/// `acks_invalid`: the profile's "send PUBACK on validation failure".
#[must_use]
pub fn rejection(reason: Reason, version: Version, qos: Qos, acks_invalid: bool) -> Rejection {
    let code = publish_code(reason);
    let v5 = version == Version::V5;
    match (class(reason), qos) {
        // E-GW. Version 3 is not told that it was kept (GW-082).
        (Class::Gateway, Qos::AtLeastOnce | Qos::ExactlyOnce) if v5 => {
            Rejection::AcknowledgeAndClose(code, code)
        }
        (Class::Gateway, _) => Rejection::Close(code),
        // E-GWDEV.
        (Class::ChildMessage, Qos::AtMostOnce) if v5 => Rejection::Ignore,
        (Class::ChildMessage, _) if v5 => Rejection::Acknowledge(code),
        (Class::ChildMessage, _) => Rejection::Close(code),
        // GW-023, GW-024
        (Class::NoChild, Qos::AtMostOnce) => Rejection::Ignore,
        (Class::NoChild, _) => Rejection::Acknowledge(code),
        (Class::Topic, Qos::AtMostOnce) => Rejection::Ignore,
        (Class::Topic, _) => Rejection::Acknowledge(code),
        (Class::Format, Qos::AtMostOnce) => Rejection::Close(code),
        (Class::Format, _) if v5 || acks_invalid => Rejection::Acknowledge(code),
        (Class::Format, _) => Rejection::Close(code),
        (Class::Backend, Qos::AtLeastOnce | Qos::ExactlyOnce) if v5 => Rejection::Acknowledge(code),
        (Class::Backend, _) => Rejection::Close(code),
        (Class::Limit, Qos::AtLeastOnce | Qos::ExactlyOnce) if v5 => {
            Rejection::AcknowledgeAndClose(code, ReasonCode::MessageRateTooHigh)
        }
        (Class::Limit, _) => Rejection::Close(ReasonCode::MessageRateTooHigh),
    }
}

/// How a publication of a provisioning session is answered that has no answer of its own (PR-003,
/// PR-005, PR-006).
#[must_use]
pub fn provisioning(reason: Reason, version: Version, qos: Qos) -> Rejection {
    let topic = ReasonCode::TopicNameInvalid;
    let broken = ReasonCode::ImplementationSpecificError;
    match reason {
        Reason::ProvisionTopic if version == Version::V5 => {
            Rejection::AcknowledgeAndClose(topic, topic)
        }
        Reason::ProvisionTopic => Rejection::Close(topic),
        Reason::ProvisionMalformed | Reason::ProvisionFailed => {
            Rejection::AcknowledgeAndClose(broken, broken)
        }
        _ => rejection(reason, version, qos, false),
    }
}

/// CONNACK for a refused login: version 5 code and version 3 return code.
#[must_use]
pub const fn connack(reason: Reason) -> (ReasonCode, Option<ReturnCode>) {
    match reason {
        Reason::TokenMissing => {
            (ReasonCode::NotAuthorized, Some(ReturnCode::BadUserNameOrPassword))
        }
        // AU-045, AU-046, AU-054.
        Reason::CertificateUnknown
        | Reason::CertificateExpired
        | Reason::CertificateNotYetValid
        | Reason::CertificateUnreadable
        | Reason::CertificateNotExpected
        | Reason::CertificateRevoked
        | Reason::CertificateOlder
        | Reason::ChainBroken
        | Reason::ChainExpired
        | Reason::ChainNotCa
        | Reason::ChainLeaf
        | Reason::ChainAlgorithm
        | Reason::ChainExtension
        | Reason::ChainListStale
        | Reason::ChainNameMissing
        | Reason::ChainNameInvalid
        | Reason::ChainDeviceUnknown
        | Reason::ChainDeviceElsewhere
        | Reason::ChainDisputed
        | Reason::ProvisionDeviceLimit => (ReasonCode::NotAuthorized, None),
        Reason::ClientIdUnknown => {
            (ReasonCode::ClientIdentifierNotValid, Some(ReturnCode::BadUserNameOrPassword))
        }
        Reason::TokenMalformed => {
            (ReasonCode::BadUserNameOrPassword, Some(ReturnCode::BadUserNameOrPassword))
        }
        Reason::CredentialsUnknown
        | Reason::PasswordWrong
        | Reason::PasswordWithoutUserName
        | Reason::CredentialsTypeUnsupported => (ReasonCode::BadUserNameOrPassword, None),
        Reason::TooManyConnections | Reason::ProvisioningUnavailable => {
            (ReasonCode::ServerBusy, None)
        }
        Reason::RateLimited | Reason::QuotaReached => (ReasonCode::ConnectionRateExceeded, None),
        Reason::Internal => (ReasonCode::UnspecifiedError, None),
        _ => (ReasonCode::ServerUnavailable, None),
    }
}

/// DISCONNECT of a session that the server ends.
#[must_use]
pub const fn disconnect(reason: Reason) -> ReasonCode {
    match reason {
        Reason::TakenOver => ReasonCode::SessionTakenOver,
        Reason::ServerShuttingDown => ReasonCode::ServerShuttingDown,
        // RP-055.
        Reason::CallNotAcknowledged => ReasonCode::AdministrativeAction,
        Reason::DeviceDeleted | Reason::CredentialsChanged | Reason::ProfileChanged => {
            ReasonCode::AdministrativeAction
        }
        Reason::CertificateRevoked => ReasonCode::NotAuthorized,
        Reason::ProvisioningDone | Reason::ProvisioningIdle => ReasonCode::MaximumConnectTime,
        Reason::ProvisionGuesses => ReasonCode::QuotaExceeded,
        Reason::SlowReader => ReasonCode::QuotaExceeded,
        Reason::StorageFull => ReasonCode::QuotaExceeded,
        // OT-017.
        Reason::PackageNotFound | Reason::PackageChunkTooLarge | Reason::PackageFailed => {
            ReasonCode::ImplementationSpecificError
        }
        Reason::StorageFailed | Reason::StorageBusy => ReasonCode::ImplementationSpecificError,
        _ => ReasonCode::UnspecifiedError,
    }
}

/// One code of SUBACK for a refused filter.
#[must_use]
pub const fn suback(reason: Reason) -> ReasonCode {
    match reason {
        Reason::FilterShared => ReasonCode::SharedSubscriptionsNotSupported,
        Reason::TooManyFilters | Reason::RateLimited | Reason::QuotaReached => {
            ReasonCode::QuotaExceeded
        }
        Reason::FilterUnknown
        | Reason::FilterInvalid
        | Reason::ProvisionFilter
        | Reason::TopicNotServed => ReasonCode::TopicFilterInvalid,
        _ => ReasonCode::ImplementationSpecificError,
    }
}

/// The reason behind a filter that the protocol itself refuses; the other way round of [`suback`].
#[must_use]
pub const fn refused_filter(code: ReasonCode) -> Reason {
    match code {
        ReasonCode::SharedSubscriptionsNotSupported => Reason::FilterShared,
        ReasonCode::QuotaExceeded => Reason::TooManyFilters,
        _ => Reason::FilterInvalid,
    }
}

/// The reason that answers a message of which one child's part was refused for `reason`: whatever was wrong
/// with its readings, the answer is that of a child's part.
#[must_use]
pub const fn of_child(reason: Reason) -> Reason {
    match class(reason) {
        Class::Format | Class::Topic | Class::Gateway => Reason::ChildMessage,
        Class::Backend | Class::Limit | Class::ChildMessage | Class::NoChild => reason,
    }
}

/// The reason behind a refused append.
#[must_use]
pub const fn append(error: AppendError) -> Reason {
    match error {
        AppendError::Busy => Reason::StorageBusy,
        AppendError::Full => Reason::StorageFull,
        AppendError::Failed => Reason::StorageFailed,
        AppendError::TooLarge => Reason::MessageTooLarge,
    }
}

/// The reason behind a broken MQTT rule.
#[must_use]
pub const fn violation(violation: Violation) -> Reason {
    match violation {
        Violation::ConnectTimeout => Reason::ConnectTimeout,
        Violation::FirstPacketNotConnect => Reason::NotConnectFirst,
        Violation::SecondConnect => Reason::SecondConnect,
        Violation::UnknownProtocolName => Reason::UnknownProtocolName,
        Violation::UnsupportedLevel => Reason::UnsupportedProtocolVersion,
        Violation::ClientIdEmpty | Violation::ClientIdTooLong => Reason::ClientIdInvalid,
        Violation::AuthenticationMethod | Violation::AuthenticationDataAlone => {
            Reason::EnhancedAuthentication
        }
        Violation::WillFlags | Violation::WillTopic => Reason::WillInvalid,
        Violation::PasswordWithoutUserName => Reason::PasswordWithoutUserName,
        Violation::PipelineTooLong => Reason::TooManyBeforeConnack,
        Violation::PacketTooLarge | Violation::ClientPacketSize | Violation::AnswerTooLarge => {
            Reason::PacketTooLarge
        }
        Violation::PropertyFlood => Reason::TooManyProperties,
        Violation::PacketTimeout => Reason::PacketTimeout,
        Violation::KeepAlive => Reason::KeepAliveTimeout,
        Violation::Inactivity => Reason::Inactive,
        Violation::ReceiveMaximum | Violation::TooManyOpenIds => Reason::ReceiveMaximumExceeded,
        Violation::TopicAliasRange | Violation::TopicAliasUnknown => Reason::TopicAliasInvalid,
        Violation::TopicWildcard | Violation::TopicEmpty => Reason::TopicInvalid,
        Violation::Qos3 => Reason::QosNotSupported,
        Violation::SlowReader => Reason::SlowReader,
        Violation::FixedHeaderFlags
        | Violation::UnknownPacketType
        | Violation::LengthTooLong
        | Violation::BodyTooShort
        | Violation::BodyTooLong
        | Violation::LengthNotShortest
        | Violation::BadUtf8
        | Violation::NulInString
        | Violation::PacketIdZero
        | Violation::UnknownProperty
        | Violation::ConnectFlagReserved
        | Violation::DupAtQos0
        | Violation::SubscribeOptions
        | Violation::FilterEmpty => Reason::MalformedPacket,
        Violation::ServerPacket
        | Violation::PropertyMisplaced
        | Violation::PropertyTwice
        | Violation::PropertyValue
        | Violation::AckReason
        | Violation::ExpiryRaised
        | Violation::PacketIdReused
        | Violation::ReleasedTooEarly
        | Violation::SubscriptionIdFromClient
        | Violation::ResponseTopicWildcard
        | Violation::Qos2Answer
        | Violation::NoFilters
        | Violation::SubscribeOptionValue
        | Violation::AuthNotOffered => Reason::ProtocolViolation,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// The body cannot be decoded.
    Format,
    /// The topic is not for this session.
    Topic,
    /// The server cannot keep it.
    Backend,
    /// A rate limit refuses it.
    Limit,
    /// A gateway's message is wrong as a whole.
    Gateway,
    /// One child's part of a gateway's message is wrong.
    ChildMessage,
    /// A child of a gateway cannot be had.
    NoChild,
}

const fn class(reason: Reason) -> Class {
    match reason {
        // TopicInvalid: a topic of the device API without a number where one is due (JS-079, T-1).
        Reason::TopicUnknown
        | Reason::TopicNotServed
        | Reason::NotAGateway
        // A birth that does not count ends no conversation: another one was asked for.
        | Reason::SparkplugBirth
        | Reason::SparkplugNotBorn
        | Reason::SparkplugTooManyMetrics => Class::Topic,
        Reason::StorageFull
        | Reason::StorageFailed
        | Reason::StorageBusy
        | Reason::Internal
        | Reason::AnswerFailed => Class::Backend,
        Reason::RateLimited | Reason::RateSlowed | Reason::QuotaReached => Class::Limit,
        Reason::GatewayMessage => Class::Gateway,
        Reason::ChildMessage => Class::ChildMessage,
        Reason::ChildName | Reason::ChildLimit | Reason::ChildNotMade | Reason::TooManyChildren => {
            Class::NoChild
        }
        _ => Class::Format,
    }
}

const fn publish_code(reason: Reason) -> ReasonCode {
    match reason {
        Reason::TopicUnknown | Reason::TopicNotServed => ReasonCode::TopicNameInvalid,
        Reason::NotAGateway | Reason::SparkplugForeign | Reason::SparkplugNotForNodes => {
            ReasonCode::NotAuthorized
        }
        Reason::StorageFull
        | Reason::RateLimited
        | Reason::QuotaReached
        | Reason::ChildLimit
        | Reason::TooManyChildren => ReasonCode::QuotaExceeded,
        Reason::StorageFailed
        | Reason::StorageBusy
        | Reason::AnswerFailed
        | Reason::GatewayMessage => ReasonCode::ImplementationSpecificError,
        Reason::Internal | Reason::ChildName | Reason::ChildNotMade => ReasonCode::UnspecifiedError,
        _ => ReasonCode::PayloadFormatInvalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_follow_the_failure_classes() {
        use Qos::{AtLeastOnce as Q1, AtMostOnce as Q0};
        use ReasonCode as C;
        use Rejection::{Acknowledge, Close, Ignore};
        use Version::{V5, V311};
        let rows = [
            (Reason::PayloadNotJson, V311, Q0, false, Close(C::PayloadFormatInvalid)),
            (Reason::PayloadNotJson, V311, Q1, false, Close(C::PayloadFormatInvalid)),
            (Reason::PayloadNotJson, V311, Q1, true, Acknowledge(C::PayloadFormatInvalid)),
            (Reason::PayloadNotJson, V5, Q1, false, Acknowledge(C::PayloadFormatInvalid)),
            (Reason::PayloadNotJson, V5, Q0, true, Close(C::PayloadFormatInvalid)),
            (Reason::TopicUnknown, V311, Q0, false, Ignore),
            (Reason::TopicUnknown, V311, Q1, false, Acknowledge(C::TopicNameInvalid)),
            (Reason::TopicUnknown, V5, Q1, false, Acknowledge(C::TopicNameInvalid)),
            (Reason::TopicInvalid, V5, Q1, false, Acknowledge(C::PayloadFormatInvalid)),
            (Reason::TopicInvalid, V311, Q1, false, Close(C::PayloadFormatInvalid)),
            (Reason::NotAGateway, V5, Q1, false, Acknowledge(C::NotAuthorized)),
            (Reason::StorageFull, V311, Q1, true, Close(C::QuotaExceeded)),
            (Reason::StorageFull, V5, Q1, true, Acknowledge(C::QuotaExceeded)),
            (Reason::StorageFailed, V5, Q0, true, Close(C::ImplementationSpecificError)),
            (Reason::RateLimited, V311, Q1, true, Close(C::MessageRateTooHigh)),
            (Reason::QuotaReached, V311, Q1, true, Close(C::MessageRateTooHigh)),
            (Reason::RateLimited, V5, Q0, true, Close(C::MessageRateTooHigh)),
            (
                Reason::RateLimited,
                V5,
                Q1,
                true,
                Rejection::AcknowledgeAndClose(C::QuotaExceeded, C::MessageRateTooHigh),
            ),
            (Reason::StorageFailed, V311, Q1, true, Close(C::ImplementationSpecificError)),
        ];
        for (reason, version, qos, flag, expected) in rows {
            assert_eq!(rejection(reason, version, qos, flag), expected, "{reason:?} {version:?}");
        }
    }

    /// Device API 8.9
    #[test]
    fn what_gateways_say_wrong_is_answered_by_whose_part_it_was() {
        use Qos::{AtLeastOnce as Q1, AtMostOnce as Q0};
        use ReasonCode as C;
        use Rejection::{Acknowledge, AcknowledgeAndClose, Close, Ignore};
        use Version::{V5, V311};
        let (whole, invalid) = (C::ImplementationSpecificError, C::PayloadFormatInvalid);
        let rows = [
            // E-GW; GW-082: version 3 is not told that it was kept.
            (Reason::GatewayMessage, V5, Q1, AcknowledgeAndClose(whole, whole)),
            (Reason::GatewayMessage, V5, Q0, Close(whole)),
            (Reason::GatewayMessage, V311, Q1, Close(whole)),
            (Reason::GatewayMessage, V311, Q0, Close(whole)),
            // E-GWDEV
            (Reason::ChildMessage, V5, Q1, Acknowledge(invalid)),
            (Reason::ChildMessage, V5, Q0, Ignore),
            (Reason::ChildMessage, V311, Q1, Close(invalid)),
            (Reason::ChildMessage, V311, Q0, Close(invalid)),
            // GW-023 to GW-025
            (Reason::ChildLimit, V5, Q1, Acknowledge(C::QuotaExceeded)),
            (Reason::ChildLimit, V311, Q1, Acknowledge(C::QuotaExceeded)),
            (Reason::TooManyChildren, V5, Q1, Acknowledge(C::QuotaExceeded)),
            (Reason::ChildName, V5, Q1, Acknowledge(C::UnspecifiedError)),
            (Reason::ChildNotMade, V311, Q1, Acknowledge(C::UnspecifiedError)),
            (Reason::ChildNotMade, V5, Q0, Ignore),
        ];
        for (reason, version, qos, expected) in rows {
            // The profile's flag does not count here.
            for flag in [false, true] {
                assert_eq!(
                    rejection(reason, version, qos, flag),
                    expected,
                    "{reason:?} {version:?}"
                );
            }
        }
        let rows = [
            (Reason::PayloadTimestamp, Reason::ChildMessage),
            (Reason::PayloadShape, Reason::ChildMessage),
            (Reason::RateLimited, Reason::RateLimited),
            (Reason::StorageFull, Reason::StorageFull),
            (Reason::ChildLimit, Reason::ChildLimit),
        ];
        for (of_part, of_message) in rows {
            assert_eq!(of_child(of_part), of_message, "{of_part:?}");
        }
    }

    #[test]
    fn a_server_may_be_told_to_keep_clients_that_are_too_fast() {
        use ReasonCode as C;
        use Rejection::{Acknowledge, Close, Ignore};
        let rows = [
            (Version::V5, Qos::AtLeastOnce, Acknowledge(C::QuotaExceeded)),
            (Version::V5, Qos::AtMostOnce, Ignore),
            (Version::V311, Qos::AtLeastOnce, Close(C::MessageRateTooHigh)),
        ];
        for (version, qos, expected) in rows {
            let rejected = rejection(Reason::RateLimited, version, qos, false);
            assert_eq!(rejected.staying(version), expected, "{version:?} {qos:?}");
        }
        let other = rejection(Reason::PayloadNotJson, Version::V5, Qos::AtMostOnce, false);
        assert_eq!(other.staying(Version::V5), other);
    }

    #[test]
    fn requests_to_be_provisioned_are_refused_in_good_order() {
        use Qos::AtLeastOnce as Q1;
        use ReasonCode as C;
        use Rejection::{Acknowledge, AcknowledgeAndClose, Close};
        use Version::{V5, V311};
        let (topic, broken) = (C::TopicNameInvalid, C::ImplementationSpecificError);
        let format = C::PayloadFormatInvalid;
        let rows = [
            (Reason::ProvisionTopic, V5, Q1, AcknowledgeAndClose(topic, topic)),
            (Reason::ProvisionTopic, V311, Q1, Close(topic)),
            (Reason::ProvisionMalformed, V5, Q1, AcknowledgeAndClose(broken, broken)),
            (Reason::ProvisionMalformed, V311, Q1, AcknowledgeAndClose(broken, broken)),
            (Reason::ProvisionFailed, V5, Q1, AcknowledgeAndClose(broken, broken)),
            (Reason::PayloadNotJson, V5, Q1, Acknowledge(format)),
            (Reason::PayloadNotJson, V5, Qos::AtMostOnce, Close(format)),
            (Reason::PayloadNotJson, V311, Q1, Close(format)),
        ];
        for (reason, version, qos, expected) in rows {
            assert_eq!(provisioning(reason, version, qos), expected, "{reason:?} {version:?}");
        }
    }

    #[test]
    fn no_rejected_publication_is_ever_acknowledged_as_a_success() {
        for reason in Reason::ALL.iter().copied() {
            assert!(publish_code(reason).is_error(), "{reason:?}");
            assert!(connack(reason).0.is_error() && disconnect(reason).is_error());
            assert!(suback(reason).is_error());
        }
    }

    #[test]
    fn connack_codes_are_those_of_the_login_table() {
        use ReturnCode as R;
        let v3 = |reason| {
            let (code, v3) = connack(reason);
            v3.unwrap_or_else(|| code.return_code())
        };
        assert_eq!(v3(Reason::TokenMissing), R::BadUserNameOrPassword);
        assert_eq!(v3(Reason::TokenMalformed), R::BadUserNameOrPassword);
        assert_eq!(v3(Reason::ClientIdUnknown), R::BadUserNameOrPassword);
        assert_eq!(v3(Reason::CredentialsUnknown), R::NotAuthorized);
        assert_eq!(v3(Reason::PasswordWrong), R::NotAuthorized);
        assert_eq!(v3(Reason::ProfileNotMqtt), R::ServerUnavailable);
        assert_eq!(v3(Reason::CertificateUnknown), R::NotAuthorized);
        let of_certificates = |reason: &&Reason| (920..960).contains(&reason.number());
        for reason in Reason::ALL.iter().filter(of_certificates) {
            assert_eq!(connack(*reason).0.byte(), 0x87, "{reason:?}, AU-045 to AU-054");
        }
        assert_eq!(connack(Reason::CredentialsUnknown).0.byte(), 0x86);
        assert_eq!(connack(Reason::ClientIdUnknown).0.byte(), 0x85);
        assert_eq!(connack(Reason::TokenMissing).0.byte(), 0x87);
        assert_eq!(connack(Reason::ProfileNotMqtt).0.byte(), 0x88);
    }
}
