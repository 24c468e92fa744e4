//! Promises of the session that are not about bytes alone: size, memory, timers, any bytes at all.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::client;
use crate::packet::publish::PublishPacket;

#[test]
fn a_session_is_at_most_160_bytes() {
    assert!(size_of::<Session>() <= 160, "{}", size_of::<Session>());
}

#[test]
fn an_idle_session_owns_no_buffer() {
    let mut peer = Peer::open(Version::V5);
    assert_owns_nothing(&peer.session);

    // A packet in pieces is kept only until it is complete.
    peer.send(&[0x30, 0x05, 0x00]);
    assert!(peer.session.kept.capacity() > 0);
    peer.send(&[0x01, b'a', 0x00, b'x']);
    assert_owns_nothing(&peer.session);

    // Six publications in work, one of them of quality of service 2, then none.
    for packet_id in 1..=6 {
        let qos = if packet_id == 6 { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
        peer.publish(packet_id, qos);
    }
    for delivery in std::mem::take(&mut peer.deliveries) {
        peer.session.acknowledge(delivery, ReasonCode::Success, None, &mut peer.out);
    }
    peer.send(&[0x62, 0x02, 0x00, 0x06]);
    assert_owns_nothing(&peer.session);

    // A message of ours, and its acknowledgement.
    let topic = TopicName::parse("a").unwrap();
    let message =
        Message { topic, payload: b"x", qos: None, token: 1, expires_ms: None, retain: false };
    assert_eq!(peer.session.publish(0, &message, &mut peer.out), Sent::InFlight);
    peer.send(&[0x40, 0x02, 0x00, 0x01]);
    assert_owns_nothing(&peer.session);
}

fn assert_owns_nothing(session: &Session) {
    assert_eq!(session.kept.capacity(), 0);
    assert!(session.line.is_in_place(), "{:?}", session.line);
    assert!(session.open_ids.is_none() && session.outbound.is_none());
    assert!(session.subscriptions.is_none() && session.aliases.is_none());
}

/// A packet that announces 64 KiB and never comes costs what has come.
#[test]
fn the_rule_l_2_what_is_kept_grows_with_what_arrives() {
    let mut peer = Peer::open(Version::V311);
    peer.send(&[0x30, 0xFF, 0xFF, 0x03]);
    assert!(peer.session.kept.capacity() <= 16, "{}", peer.session.kept.capacity());
    peer.send(&[0; 1_000]);
    assert!(peer.session.kept.capacity() <= 2_048, "{}", peer.session.kept.capacity());
}

#[test]
fn each_deadline_says_what_it_is_for() {
    let mut session = Session::new(Arc::new(Bounds::default()), 7);
    assert_eq!(session.poll_timeout(), Some((10_007, Timer::Connect)));
    assert_eq!(session.handle_timeout(10_006, &mut Vec::new()), None);

    let mut peer = Peer::open(Version::V311);
    assert_eq!(peer.session.poll_timeout(), Some((90_000, Timer::KeepAlive)));
    peer.send(&[0x30]);
    assert_eq!(peer.session.poll_timeout(), Some((30_000, Timer::Packet)));
    peer.session.keep_alive_ms = 0;
    peer.send(&[0x03, 0, 1, b'a']);
    assert_eq!(peer.session.poll_timeout(), Some((600_000, Timer::Inactivity)));
    peer.session.disconnect(ReasonCode::Success, None, &mut peer.out);
    assert_eq!(peer.session.poll_timeout(), None);
}

/// F-10: our identifiers wrap from 65,535 to 1 and step over those in use.
#[test]
fn the_rule_f_10_packet_identifiers_wrap_and_skip() {
    let mut outbound = Outbound::default();
    assert_eq!(outbound.start(0, 1, None), 1);
    assert_eq!(outbound.start(u16::MAX - 1, 2, None), u16::MAX);
    assert_eq!(outbound.start(u16::MAX, 3, None), 2, "1 is in use");
    assert_eq!(outbound.finish(1), Some(1));
    assert_eq!(outbound.start(u16::MAX, 4, None), 1);
    assert_eq!(outbound.finish(9), None);
}

/// The caller may take a SUBSCRIBE out of the buffer and answer it later.
#[test]
fn a_subscription_can_be_answered_later() {
    let mut peer = Peer::open(Version::V5);
    let mut bytes = Vec::new();
    client::subscribe(&mut bytes, Version::V5, 9, client::properties(&[]), &[("a", 1), ("b", 0)]);
    let mut input = peer.session.input(&bytes);
    let kept = match peer.session.poll_event(0, &mut input, &mut peer.out) {
        Some(Event::Subscribe(packet)) => packet.to_owned(),
        other => panic!("{other:?}"),
    };
    peer.session.keep(0, input);
    drop(bytes);
    peer.session.answer_subscribe(&kept.borrow(), &mut peer.out, |_| Ok(())).unwrap();
    assert_eq!(peer.out, [0x90, 0x05, 0, 9, 0, 1, 0]);
    assert_eq!(peer.session.subscriptions().collect::<Vec<_>>(), ["a", "b"]);
    let topic = TopicName::parse("a").unwrap();
    assert_eq!(peer.session.granted(topic), Some(Qos::AtLeastOnce));
}

/// The caller may also stop at an event, and go on when it has looked something up (C-15).
#[test]
fn packets_behind_the_event_at_which_the_caller_stopped_go_on_without_new_bytes() {
    let mut bytes = Vec::new();
    client::connect(&mut bytes, &client::plain_connect(Version::V311, "c"));
    bytes.extend([0xC0, 0, 0xC0, 0]);
    let mut peer = Peer::new();
    let mut input = peer.session.input(&bytes);
    let event = peer.session.poll_event(0, &mut input, &mut peer.out);
    assert!(matches!(event, Some(Event::Connect(_))), "{event:?}");
    peer.session.keep(0, input);
    assert!(!peer.session.is_ready(), "not before it is let in");
    peer.session.accept(0, &Acceptance::default(), &mut peer.out).unwrap();
    assert!(peer.session.is_ready());
    peer.send(&[]);
    assert_eq!(peer.out, [0x20, 2, 0, 0, 0xD0, 0, 0xD0, 0]);
    assert!(!peer.session.is_ready() && peer.session.reads());
}

/// After the end nothing is written, whatever the caller still does (F-13).
#[test]
fn the_rule_f_13_a_closed_session_writes_nothing() {
    let mut peer = Peer::open(Version::V5);
    peer.publish(1, Qos::AtLeastOnce);
    peer.session.disconnect(ReasonCode::ServerBusy, None, &mut peer.out);
    let written = peer.out.len();
    let delivery = peer.deliveries[0];
    peer.session.acknowledge(delivery, ReasonCode::Success, None, &mut peer.out);
    peer.session.disconnect(ReasonCode::ServerBusy, None, &mut peer.out);
    peer.session.fail(Violation::SlowReader, &mut peer.out);
    assert_eq!(peer.session.handle_timeout(u64::MAX, &mut peer.out), None);
    peer.send(&[0xC0, 0x00]);
    assert_eq!(peer.out.len(), written);
    assert!(peer.session.is_closed() && !peer.session.reads());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes, before and after CONNECT, in any version.
    #[test]
    fn hostile_bytes_never_panic(level in 0_u8..4, bytes in vec(any::<u8>(), 0..400)) {
        let mut peer = match level {
            0 => Peer::new(),
            1 => Peer::open(Version::V31),
            2 => Peer::open(Version::V311),
            _ => Peer::open(Version::V5),
        };
        peer.send(&bytes);
        prop_assert!(peer.session.kept.len() <= bytes.len());
    }

    /// The same, behind a first byte and a length that are right.
    #[test]
    fn hostile_bodies_never_panic(first in any::<u8>(), body in vec(any::<u8>(), 0..127)) {
        let mut packet = vec![first, body.len() as u8];
        packet.extend(body);
        for version in VERSIONS {
            let mut peer = Peer::open(version);
            peer.send(&packet);
            crate::fuzzing::packet(&[&[version.level()], &packet[..]].concat());
        }
    }

    /// A stream of good packets, and perhaps a bad one, cut anywhere: the same events and output.
    #[test]
    fn how_bytes_are_cut_makes_no_difference(
        version in proptest::sample::select(&VERSIONS[..]),
        packets in vec(packet(), 1..12),
        cuts in vec(1_usize..40, 1..8),
    ) {
        let mut bytes = Vec::new();
        client::connect(&mut bytes, &client::plain_connect(version, "c"));
        for packet in &packets {
            packet.write(&mut bytes, version);
        }
        let mut whole = Peer::new();
        whole.send(&bytes);
        let mut cut = Peer::new();
        let mut rest = &bytes[..];
        for length in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*length).min(rest.len()));
            cut.send(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(whole.events, cut.events);
        prop_assert_eq!(whole.out, cut.out);
    }

    /// What is encoded is what is decoded.
    #[test]
    fn a_publication_survives_the_wire(
        version in proptest::sample::select(&VERSIONS[..]),
        qos in 0_u8..3,
        flags in any::<(bool, bool)>(),
        topic in "[a-z/ \u{e9}\u{1f600}]{1,60}",
        packet_id in 1_u16..,
        payload in vec(any::<u8>(), 0..300),
    ) {
        let qos = Qos::from_bits(qos).unwrap();
        let acknowledged = qos != Qos::AtMostOnce;
        let properties = client::property_bytes(&[
            (crate::property::PropertyId::ContentType, crate::property::PropertyValue::Text("t")),
            (crate::property::PropertyId::UserProperty, crate::property::PropertyValue::Pair("k", "v")),
        ]);
        let packet = PublishPacket {
            dup: flags.0 && acknowledged,
            qos,
            retain: flags.1,
            topic: &topic,
            packet_id: if acknowledged { packet_id } else { 0 },
            properties: client::properties(if version.is_v5() { &properties } else { &[] }),
            payload: &payload,
        };
        let mut bytes = Vec::new();
        client::publish(&mut bytes, version, &packet);
        let frame = crate::packet::Frame::find(&bytes, u32::MAX).unwrap().unwrap();
        prop_assert_eq!(frame.size, bytes.len());
        let decoded = PublishPacket::decode(frame.first, frame.body, version);
        prop_assert_eq!(decoded, Ok(packet));
    }

    /// CONNECT with every field in every combination.
    #[test]
    fn a_connect_survives_the_wire(
        version in proptest::sample::select(&VERSIONS[..]),
        client_id in "[a-z]{1,20}",
        will in proptest::option::of(("[a-z/]{1,20}", vec(any::<u8>(), 0..20), 0_u8..3, any::<bool>())),
        user_name in proptest::option::of("[a-z\u{e9}]{0,20}"),
        password in proptest::option::of(vec(any::<u8>(), 0..20)),
        clean_start in any::<bool>(),
        keep_alive in any::<u16>(),
    ) {
        let will = will.as_ref().map(|(topic, payload, qos, retain)| crate::packet::connect::Will {
            topic: TopicName::parse(topic).unwrap(),
            payload,
            qos: Qos::from_bits(*qos).unwrap(),
            retain: *retain,
            properties: client::properties(&[]),
        });
        let packet = crate::packet::connect::Connect {
            clean_start,
            keep_alive,
            will,
            password: password.as_deref().filter(|_| version.is_v5() || user_name.is_some()),
            user_name: user_name.as_deref(),
            ..client::plain_connect(version, &client_id)
        };
        let mut bytes = Vec::new();
        client::connect(&mut bytes, &packet);
        let mut peer = Peer::new();
        let mut input = peer.session.input(&bytes);
        let event = peer.session.poll_event(0, &mut input, &mut peer.out);
        prop_assert_eq!(event, Some(Event::Connect(Box::new(packet))));
    }

    /// What the session writes, the client's half reads.
    #[test]
    fn what_a_session_writes_is_whole_packets(data in vec(any::<u8>(), 0..600)) {
        crate::fuzzing::session(&data);
    }
}

/// A packet of a client, good or nearly so.
#[derive(Clone, Debug)]
enum Packet {
    Publish { qos: u8, packet_id: u16, topic: String, payload: Vec<u8> },
    Subscribe { packet_id: u16, filters: Vec<String> },
    Unsubscribe { packet_id: u16, filter: String },
    Pubrel { packet_id: u16 },
    Pingreq,
    Disconnect,
    Noise(Vec<u8>),
}

fn packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        8 => (0_u8..3, 1_u16..6, "[a-c/+]{0,5}", vec(any::<u8>(), 0..200)).prop_map(
            |(qos, packet_id, topic, payload)| Packet::Publish { qos, packet_id, topic, payload }
        ),
        2 => (1_u16..6, vec("[a-c/+#]{0,5}", 0..4))
            .prop_map(|(packet_id, filters)| Packet::Subscribe { packet_id, filters }),
        1 => (1_u16..6, "[a-c]{1,2}")
            .prop_map(|(packet_id, filter)| Packet::Unsubscribe { packet_id, filter }),
        2 => (1_u16..6).prop_map(|packet_id| Packet::Pubrel { packet_id }),
        3 => Just(Packet::Pingreq),
        1 => Just(Packet::Disconnect),
        1 => vec(any::<u8>(), 0..8).prop_map(Packet::Noise),
    ]
}

impl Packet {
    fn write(&self, out: &mut Vec<u8>, version: Version) {
        let none = client::properties(&[]);
        match self {
            Self::Publish { qos, packet_id, topic, payload } => {
                let qos = Qos::from_bits(*qos).unwrap();
                client::publish(
                    out,
                    version,
                    &client::plain_publish(topic, payload, qos, *packet_id),
                );
            }
            Self::Subscribe { packet_id, filters } => {
                let filters: Vec<_> = filters.iter().map(|filter| (&filter[..], 1)).collect();
                client::subscribe(out, version, *packet_id, none, &filters);
            }
            Self::Unsubscribe { packet_id, filter } => {
                client::unsubscribe(out, version, *packet_id, none, &[filter]);
            }
            Self::Pubrel { packet_id } => {
                let reason = ReasonCode::Success;
                client::pubrel(
                    out,
                    version,
                    crate::packet::ack::Ack { packet_id: *packet_id, reason },
                );
            }
            Self::Pingreq => client::pingreq(out),
            Self::Disconnect => client::disconnect(out, version, ReasonCode::Success, none),
            Self::Noise(bytes) => out.extend_from_slice(bytes),
        }
    }
}

/// A session whose caller lets everybody in, and keeps what it hears.
struct Peer {
    session: Session,
    out: Vec<u8>,
    events: Vec<String>,
    deliveries: Vec<Delivery>,
    acknowledges: bool,
}

impl Peer {
    fn new() -> Self {
        let bounds = Arc::new(Bounds::default());
        let session = Session::new(bounds, 0);
        let (out, events, deliveries) = (Vec::new(), Vec::new(), Vec::new());
        Self { session, out, events, deliveries, acknowledges: true }
    }

    /// Past CONNECT, its publications left to the test.
    fn open(version: Version) -> Self {
        let mut bytes = Vec::new();
        client::connect(&mut bytes, &client::plain_connect(version, "c"));
        let mut peer = Self::new();
        peer.send(&bytes);
        peer.out.clear();
        peer.acknowledges = false;
        peer
    }

    fn publish(&mut self, packet_id: u16, qos: Qos) {
        let mut bytes = Vec::new();
        let packet = client::plain_publish("a", b"x", qos, packet_id);
        client::publish(&mut bytes, self.session.version().unwrap(), &packet);
        self.send(&bytes);
    }

    fn send(&mut self, bytes: &[u8]) {
        let Self { session, out, events, deliveries, acknowledges } = self;
        let mut input = session.input(bytes);
        while let Some(event) = session.poll_event(0, &mut input, out) {
            events.push(format!("{event:?}"));
            match event {
                Event::Connect(_) => session.accept(0, &Acceptance::default(), out).unwrap(),
                Event::Publish(publish) if *acknowledges => {
                    session.acknowledge(publish.delivery, ReasonCode::Success, None, out);
                }
                Event::Publish(publish) => deliveries.push(publish.delivery),
                Event::Subscribe(packet) => {
                    session.answer_subscribe(&packet, out, |_| Ok(())).unwrap();
                }
                Event::Unsubscribe(packet) => {
                    session.answer_unsubscribe(&packet, out, |_| Ok(())).unwrap();
                }
                _ => {}
            }
        }
        session.keep(0, input);
    }
}

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
