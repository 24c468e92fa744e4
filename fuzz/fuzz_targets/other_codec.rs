//! The same bytes, read by this project's codec and by an independent one.
//!
//! What both accept must mean the same, and what a session writes the other one must accept. What only
//! one of them accepts is no failure here: see `fuzz/README.md` for the differences and who is right.
#![no_main]

use std::fmt::Debug;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rmqtt_codec::types::QoS as TheirQos;
use rmqtt_codec::{v3, v5};
use thingport_mqtt::fuzzing::{ClientPacket, client_packet, session_seen};
use thingport_mqtt::packet::connect::Connect;
use thingport_mqtt::packet::publish::PublishPacket;
use thingport_mqtt::property::{Properties, PropertyId, PropertyValue};
use thingport_mqtt::version::{Qos, Version};
use tokio_util::codec::Decoder;

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let version = [Version::V31, Version::V311, Version::V5][usize::from(first % 3)];
    if let Some((packet, rest)) = client_packet(bytes, version) {
        compare(&packet, &bytes[..bytes.len() - rest.len()], version);
    }
    session_seen(data, &mut must_be_accepted);
});

fn compare(packet: &ClientPacket<'_>, bytes: &[u8], version: Version) {
    let version = match packet {
        ClientPacket::Connect(connect) => connect.version,
        _ => version,
    };
    let theirs = if version.is_v5() { their_v5(bytes) } else { their_v3(bytes) };
    if let Some(theirs) = theirs {
        assert_eq!(ours(packet, version), theirs, "{packet:?} {bytes:x?}");
    }
}

/// Whole packets in a row, each of which the other codec reads.
fn must_be_accepted(version: Version, written: &[u8]) {
    let mut rest = BytesMut::from(written);
    while !rest.is_empty() {
        let before = rest.len();
        let read = if version.is_v5() {
            v5::Codec::default().decode(&mut rest).map(|it| it.is_some())
        } else {
            v3::Codec::default().decode(&mut rest).map(|it| it.is_some())
        };
        assert!(matches!(read, Ok(true)), "{version:?} {read:?} {written:x?}");
        assert!(rest.len() < before);
    }
}

/// A packet as text, with what stands on the wire by default filled in.
fn ours(packet: &ClientPacket<'_>, version: Version) -> String {
    match packet {
        ClientPacket::Connect(it) => our_connect(it),
        ClientPacket::Publish(it) => our_publish(it),
        ClientPacket::Ack(first, ack) => {
            format!("ack {:x} {} {:x}", first >> 4, ack.packet_id, ack.reason as u8)
        }
        ClientPacket::Subscribe(it) => {
            let filters: Vec<_> = it.requests().map(|it| (it.filter.to_owned(), qos(it.qos))).collect();
            format!("subscribe {} {:?} {filters:?}", it.packet_id(), it.subscription_id())
        }
        ClientPacket::Unsubscribe(it) => {
            let filters: Vec<_> = it.filters().map(|it| text(it)).collect();
            format!("unsubscribe {} {filters:?}", it.packet_id())
        }
        ClientPacket::Ping => "ping".to_owned(),
        ClientPacket::Disconnect(_) if !version.is_v5() => "disconnect".to_owned(),
        ClientPacket::Disconnect(it) => format!(
            "disconnect {:x} {:?} {:?}",
            it.reason as u8,
            it.session_expiry(),
            it.reason_string()
        ),
    }
}

fn text(text: impl AsRef<str>) -> String {
    text.as_ref().to_owned()
}

fn our_connect(it: &Connect<'_>) -> String {
    let will = it.will.as_ref().map(|will| {
        let topic = text(will.topic.as_str());
        let properties = sorted(will.properties);
        (topic, will.payload.to_vec(), qos(will.qos), will.retain, properties)
    });
    let login = (it.user_name.map(text), it.password.map(<[u8]>::to_vec));
    let head = (it.version.level(), it.clean_start, it.keep_alive, text(it.client_id));
    format!("connect {head:?} {will:?} {login:?} {:?}", sorted(it.properties))
}

fn our_publish(it: &PublishPacket<'_>) -> String {
    let id = (it.qos != Qos::AtMostOnce).then_some(it.packet_id);
    let head = (it.dup, qos(it.qos), it.retain, text(it.topic), id);
    format!("publish {head:?} {:x?} {:?}", it.payload, sorted(it.properties))
}

const fn qos(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

/// Name and value of each property that says something else than its absence, by identifier; user
/// properties in their order.
fn sorted(properties: Properties<'_>) -> Vec<(u8, String)> {
    let mut found: Vec<(u8, String)> = properties
        .iter()
        .filter(|(id, value)| !says_nothing(*id, *value))
        .map(|(id, value)| (id as u8, shown(value)))
        .collect();
    found.sort_by_key(|(id, _)| *id);
    found
}

fn says_nothing(id: PropertyId, value: PropertyValue<'_>) -> bool {
    let number = match value {
        PropertyValue::Byte(it) => u32::from(it),
        PropertyValue::TwoBytes(it) => u32::from(it),
        PropertyValue::FourBytes(it) | PropertyValue::Variable(it) => it,
        PropertyValue::Text(_) | PropertyValue::Binary(_) | PropertyValue::Pair(..) => return false,
    };
    match id as u8 {
        REQUEST_PROBLEM_INFORMATION => number == 1,
        SESSION_EXPIRY | REQUEST_RESPONSE_INFORMATION | TOPIC_ALIAS_MAXIMUM | PAYLOAD_FORMAT => number == 0,
        _ => false,
    }
}

fn shown(value: PropertyValue<'_>) -> String {
    match value {
        PropertyValue::Byte(it) => it.to_string(),
        PropertyValue::TwoBytes(it) => it.to_string(),
        PropertyValue::FourBytes(it) | PropertyValue::Variable(it) => it.to_string(),
        PropertyValue::Text(it) => it.to_owned(),
        PropertyValue::Binary(it) => format!("{it:?}"),
        PropertyValue::Pair(name, value) => format!("{name}={value}"),
    }
}

/// The other codec's properties in the same form.
#[derive(Default)]
struct Listed(Vec<(u8, String)>);

impl Listed {
    fn add(mut self, id: u8, value: Option<impl ToString>) -> Self {
        self.0.extend(value.map(|value| (id, value.to_string())));
        self
    }

    fn bytes(self, id: u8, value: &Option<bytes::Bytes>) -> Self {
        self.add(id, value.as_ref().map(|it| format!("{:?}", &it[..])))
    }

    fn flag(self, id: u8, is_said: bool, value: u8) -> Self {
        self.add(id, is_said.then_some(value))
    }

    fn users(mut self, users: &[(bytestring::ByteString, bytestring::ByteString)]) -> Vec<(u8, String)> {
        self.0.extend(users.iter().map(|(name, value)| (USER_PROPERTY, format!("{name}={value}"))));
        self.0.sort_by_key(|(id, _)| *id);
        self.0
    }
}

fn their_v5(bytes: &[u8]) -> Option<String> {
    use v5::Packet;
    let (packet, _) = v5::Codec::default().decode(&mut BytesMut::from(bytes)).ok()??;
    Some(match packet {
        Packet::Connect(it) => {
            let will = it.last_will.as_ref().map(|will| {
                let properties = Listed::default()
                    .add(WILL_DELAY, will.will_delay_interval_sec)
                    .flag(PAYLOAD_FORMAT, will.is_utf8_payload == Some(true), 1)
                    .add(MESSAGE_EXPIRY, will.message_expiry_interval)
                    .add(CONTENT_TYPE, will.content_type.as_ref())
                    .add(RESPONSE_TOPIC, will.response_topic.as_ref())
                    .bytes(CORRELATION_DATA, &will.correlation_data)
                    .users(&will.user_properties);
                (text(&will.topic), will.message.to_vec(), their_qos(will.qos), will.retain, properties)
            });
            let login = (it.username.as_ref().map(text), it.password.as_ref().map(|it| it.to_vec()));
            let head = (5_u8, it.clean_start, it.keep_alive, text(&it.client_id));
            let expiry = it.session_expiry_interval_secs;
            let properties = Listed::default()
                .add(SESSION_EXPIRY, (expiry != 0).then_some(expiry))
                .add(RECEIVE_MAXIMUM, it.receive_max)
                .add(MAXIMUM_PACKET_SIZE, it.max_packet_size)
                .add(TOPIC_ALIAS_MAXIMUM, (it.topic_alias_max != 0).then_some(it.topic_alias_max))
                .flag(REQUEST_RESPONSE_INFORMATION, it.request_response_info, 1)
                .flag(REQUEST_PROBLEM_INFORMATION, !it.request_problem_info, 0)
                .add(AUTHENTICATION_METHOD, it.auth_method.as_ref())
                .bytes(AUTHENTICATION_DATA, &it.auth_data)
                .users(&it.user_properties);
            format!("connect {head:?} {will:?} {login:?} {properties:?}")
        }
        Packet::Publish(it) => {
            let head = (it.dup, their_qos(it.qos), it.retain, text(&it.topic), it.packet_id.map(u16::from));
            let known = it.properties.clone().unwrap_or_default();
            let mut listed = Listed::default()
                .flag(PAYLOAD_FORMAT, known.is_utf8_payload, 1)
                .add(MESSAGE_EXPIRY, known.message_expiry_interval)
                .add(CONTENT_TYPE, known.content_type.as_ref())
                .add(RESPONSE_TOPIC, known.response_topic.as_ref())
                .bytes(CORRELATION_DATA, &known.correlation_data)
                .add(TOPIC_ALIAS, known.topic_alias);
            for id in known.subscription_ids.iter() {
                listed = listed.add(SUBSCRIPTION_IDENTIFIER, Some(id));
            }
            let properties = listed.users(&known.user_properties);
            format!("publish {head:?} {:x?} {properties:?}", &it.payload[..])
        }
        Packet::PublishAck(it) => their_ack(4, it.packet_id.get(), it.reason_code as u8),
        Packet::PublishReceived(it) => their_ack(5, it.packet_id.get(), it.reason_code as u8),
        Packet::PublishRelease(it) => their_ack(6, it.packet_id.get(), it.reason_code as u8),
        Packet::PublishComplete(it) => their_ack(7, it.packet_id.get(), it.reason_code as u8),
        Packet::Subscribe(it) => {
            let filters: Vec<_> =
                it.topic_filters.iter().map(|(it, options)| (text(it), their_qos(options.qos))).collect();
            format!("subscribe {} {:?} {filters:?}", it.packet_id, it.id.map(u32::from))
        }
        Packet::Unsubscribe(it) => {
            let filters: Vec<_> = it.topic_filters.iter().map(text).collect();
            format!("unsubscribe {} {filters:?}", it.packet_id)
        }
        Packet::PingRequest => "ping".to_owned(),
        Packet::Disconnect(it) => {
            let reason = it.reason_string.as_deref();
            format!("disconnect {:x} {:?} {reason:?}", it.reason_code as u8, it.session_expiry_interval_secs)
        }
        other => unexpected(&other),
    })
}

fn their_v3(bytes: &[u8]) -> Option<String> {
    use v3::Packet;
    let (packet, _) = v3::Codec::default().decode(&mut BytesMut::from(bytes)).ok()??;
    let none = Vec::<(u8, String)>::new();
    Some(match packet {
        Packet::Connect(it) => {
            let will = it.last_will.as_ref().map(|will| {
                (text(&will.topic), will.message.to_vec(), their_qos(will.qos), will.retain, none.clone())
            });
            let login = (it.username.as_ref().map(text), it.password.as_ref().map(|it| it.to_vec()));
            let head = (it.protocol.level(), it.clean_session, it.keep_alive, text(&it.client_id));
            format!("connect {head:?} {will:?} {login:?} {none:?}")
        }
        Packet::Publish(it) => {
            let head = (it.dup, their_qos(it.qos), it.retain, text(&it.topic), it.packet_id.map(u16::from));
            format!("publish {head:?} {:x?} {none:?}", &it.payload[..])
        }
        Packet::PublishAck { packet_id } => their_ack(4, packet_id.get(), 0),
        Packet::PublishReceived { packet_id } => their_ack(5, packet_id.get(), 0),
        Packet::PublishRelease { packet_id } => their_ack(6, packet_id.get(), 0),
        Packet::PublishComplete { packet_id } => their_ack(7, packet_id.get(), 0),
        Packet::Subscribe { packet_id, topic_filters } => {
            let filters: Vec<_> =
                topic_filters.iter().map(|(it, qos)| (text(it), their_qos(*qos))).collect();
            format!("subscribe {packet_id} {:?} {filters:?}", None::<u32>)
        }
        Packet::Unsubscribe { packet_id, topic_filters } => {
            let filters: Vec<_> = topic_filters.iter().map(text).collect();
            format!("unsubscribe {packet_id} {filters:?}")
        }
        Packet::PingRequest => "ping".to_owned(),
        Packet::Disconnect => "disconnect".to_owned(),
        other => unexpected(&other),
    })
}

fn their_ack(kind: u8, id: u16, reason: u8) -> String {
    format!("ack {kind:x} {id} {reason:x}")
}

const fn their_qos(qos: TheirQos) -> u8 {
    match qos {
        TheirQos::AtMostOnce => 0,
        TheirQos::AtLeastOnce => 1,
        TheirQos::ExactlyOnce => 2,
    }
}

/// Nothing that a client sends: the two will not be equal.
fn unexpected(packet: &impl Debug) -> String {
    format!("{packet:?}")
}

// Identifiers of properties (MQTT 5, section 2.2.2.2).
const PAYLOAD_FORMAT: u8 = 0x01;
const MESSAGE_EXPIRY: u8 = 0x02;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
const SESSION_EXPIRY: u8 = 0x11;
const AUTHENTICATION_METHOD: u8 = 0x15;
const AUTHENTICATION_DATA: u8 = 0x16;
const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
const WILL_DELAY: u8 = 0x18;
const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
const RECEIVE_MAXIMUM: u8 = 0x21;
const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
const TOPIC_ALIAS: u8 = 0x23;
const USER_PROPERTY: u8 = 0x26;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;
