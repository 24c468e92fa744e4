//! What outlives a connection, and how it is taken up again.

use std::sync::Arc;

use super::*;
use crate::client;
use crate::limits::Bounds;
use crate::packet::publish::PublishPacket;
use crate::property::{PropertyId, PropertyValue};
use crate::reason::ReasonCode;
use crate::session::{Acceptance, Event, Message, Sent};
use crate::topic::TopicName;
use crate::version::Version;

/// A message that waits or is in flight is sent again under its identifier and in order, with DUP if it
/// was sent before, and never more at once than the client takes now.
#[test]
fn the_rule_v4_4_4_0_1_what_was_not_acknowledged_is_sent_again() {
    // Receive Maximum of the first connection, of the second; what the second is sent at once, and
    // after each acknowledgement: packet identifier and DUP.
    let rows: [(u16, u16, Sendings, &[Sendings]); 3] = [
        (9, 9, &[(2, true), (3, true)], &[&[], &[]]),
        (2, 9, &[(2, true), (3, true)], &[&[], &[]]),
        (9, 1, &[(2, true)], &[&[(3, true)], &[]]),
    ];
    for (first, second, at_once, then) in rows {
        let mut peer = Peer::open(Version::V5, first);
        for token in 1..=3 {
            peer.tell(b"x", token, None);
        }
        // One of the three is acknowledged; with a window of two this also sends the third.
        peer.acknowledge(1);
        let state = peer.leave();
        assert_eq!(state.messages.iter().map(|it| it.token).collect::<Vec<_>>(), [2, 3]);

        let mut peer = Peer::resume(Version::V5, second, state);
        assert_eq!(peer.publications(), at_once, "windows {first}, {second}");
        for (acknowledged, expected) in [2, 3].into_iter().zip(then) {
            peer.acknowledge(acknowledged);
            assert_eq!(peer.publications(), *expected, "windows {first}, {second}");
        }
        assert_eq!(peer.delivered, [2, 3]);
        assert_eq!(peer.session.outstanding(), (0, 0));
        // The next one has a new identifier.
        peer.tell(b"y", 4, None);
        assert_eq!(peer.publications(), [(4, false)]);
    }
}

#[test]
fn what_never_was_sent_goes_out_without_dup_and_steps_over_identifiers_in_use() {
    let mut peer = Peer::open(Version::V311, u16::MAX);
    peer.session.window = 1;
    peer.session.last_packet_id = u16::MAX - 1;
    for token in 1..=2 {
        peer.tell(b"x", token, None);
    }
    let state = peer.leave();
    let ids: Vec<_> = state.messages.iter().map(|it| it.packet_id).collect();
    assert_eq!(ids, [u16::MAX, 0]);
    let mut peer =
        Peer::resume(Version::V311, u16::MAX, SessionState { last_packet_id: 65_534, ..state });
    // 65,535 comes after 65,534, but is in use.
    assert_eq!(peer.publications(), [(u16::MAX, true), (1, false)]);
}

#[test]
fn subscriptions_are_in_force_again_as_they_were_granted() {
    let mut peer = Peer::open(Version::V5, 9);
    let mut bytes = Vec::new();
    let id =
        client::property_bytes(&[(PropertyId::SubscriptionIdentifier, PropertyValue::Variable(7))]);
    client::subscribe(&mut bytes, Version::V5, 1, client::properties(&id), &[("a/+", 1), ("b", 0)]);
    peer.send(&bytes);
    let state = peer.leave();
    let kept = |filter: &str, qos, id| KeptSubscription { filter: filter.into(), qos, id };
    let expected = [kept("a/+", Qos::AtLeastOnce, 7), kept("b", Qos::AtMostOnce, 7)];
    assert_eq!(state.subscriptions, expected);
    let peer = Peer::resume(Version::V5, 9, state);
    assert_eq!(peer.session.kept_subscriptions(), expected);
    assert_eq!(peer.session.granted(TopicName::parse("a/1").unwrap()), Some(Qos::AtLeastOnce));
}

/// P-4 over connections: an identifier that was acknowledged is not stored twice; one that was not is.
#[test]
fn identifiers_of_quality_of_service_2_outlive_the_connection_once_acknowledged() {
    let mut peer = Peer::open(Version::V311, 9);
    peer.publish_once(5);
    peer.publish_once(6);
    let delivery = peer.published[0];
    peer.session.acknowledge(delivery, ReasonCode::Success, None, &mut peer.out);
    let state = peer.leave();
    assert_eq!(state.open_ids.iter().map(|it| it.packet_id).collect::<Vec<_>>(), [5]);
    let mut peer = Peer::resume(Version::V311, 9, state);
    peer.publish_once(5);
    peer.publish_once(6);
    assert_eq!(peer.published.len(), 1, "only 6 is new");
    peer.send(&[0x62, 0x02, 0, 5]);
    assert!(peer.out.ends_with(&[0x70, 0x02, 0, 5]));
}

/// MQTT 5, 3.3.2.3.3: the client is told what is left; what nobody began to deliver in time is not sent,
/// what was sent is sent again all the same.
#[test]
fn the_life_of_a_message_counts_down() {
    let mut peer = Peer::open(Version::V5, 1);
    peer.tell(b"first", 1, Some(10_000));
    peer.tell(b"late", 2, Some(20_000));
    peer.tell(b"last", 3, Some(40_500));
    assert_eq!(peer.expiries(), [Some(10)]);
    peer.now_ms = 30_000;
    let state = peer.leave();
    let mut peer = Peer::new(Version::V5, 9);
    peer.now_ms = 30_000;
    peer.begin(Some(state));
    assert_eq!(peer.expiries(), [None, Some(11)], "the second is over");
    assert_eq!(peer.session.outstanding(), (2, 0));
}

/// O-5: a client that takes less than before is not sent what is too large for it.
#[test]
fn what_is_too_large_for_the_new_connection_counts_as_sent() {
    let mut peer = Peer::open(Version::V311, 9);
    peer.tell(&[b'x'; 200], 1, None);
    peer.tell(b"small", 2, None);
    let state = peer.leave();
    let mut peer = Peer::new(Version::V5, 9);
    peer.packet_size_max = 100;
    peer.begin(Some(state));
    assert_eq!(peer.publications(), [(2, true)]);
}

#[test]
fn what_is_remembered_has_a_bound_and_what_is_not_is_counted() {
    let mut peer = Peer::new(Version::V311, 9);
    peer.session.bounds = Arc::new(Bounds { waiting_bytes_max: 20, ..Bounds::default() });
    peer.begin(None);
    for token in 1..=3 {
        peer.tell(&[b'x'; 8], token, None);
    }
    let state = peer.leave();
    assert_eq!(state.messages.iter().map(|it| it.token).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(state.lost, 1);
}

/// Also when the client said goodbye, or was told to go; and only once.
#[test]
fn the_state_can_be_asked_for_after_the_end_and_a_session_that_is_not_kept_has_none() {
    let ends: [fn(&mut Peer); 3] = [
        |peer| peer.send(&[0xE0, 0x00]),
        |peer| peer.send(&[0x00]),
        |peer| peer.session.disconnect(ReasonCode::SessionTakenOver, None, &mut peer.out),
    ];
    for end in ends {
        let mut peer = Peer::open(Version::V311, 9);
        peer.tell(b"x", 1, None);
        end(&mut peer);
        assert!(peer.session.is_closed());
        assert_eq!(peer.leave().messages.len(), 1);
        assert_eq!(peer.session.take_state(), None);
    }
    let mut session = Session::new(Arc::default(), 0);
    session.phase = Phase::Deciding;
    session.accept(0, &Acceptance::default(), &mut Vec::new()).unwrap();
    assert_eq!(session.take_state(), None);
}

/// Packet identifier and DUP of each publication.
type Sendings = &'static [(u16, bool)];

struct Peer {
    session: Session,
    out: Vec<u8>,
    version: Version,
    receive_maximum: u16,
    packet_size_max: u32,
    now_ms: u64,
    read: usize,
    delivered: Vec<u64>,
    published: Vec<crate::session::Delivery>,
}

impl Peer {
    fn new(version: Version, receive_maximum: u16) -> Self {
        Self {
            session: Session::new(Arc::default(), 0),
            out: Vec::new(),
            version,
            receive_maximum,
            packet_size_max: 100_000,
            now_ms: 0,
            read: 0,
            delivered: Vec::new(),
            published: Vec::new(),
        }
    }

    fn open(version: Version, receive_maximum: u16) -> Self {
        let mut peer = Self::new(version, receive_maximum);
        peer.begin(None);
        peer
    }

    fn resume(version: Version, receive_maximum: u16, state: SessionState) -> Self {
        let mut peer = Self::new(version, receive_maximum);
        peer.begin(Some(state));
        peer
    }

    fn begin(&mut self, state: Option<SessionState>) {
        let mut connect = client::plain_connect(self.version, "c");
        let properties = client::property_bytes(&[
            (PropertyId::ReceiveMaximum, PropertyValue::TwoBytes(self.receive_maximum)),
            (PropertyId::MaximumPacketSize, PropertyValue::FourBytes(self.packet_size_max)),
        ]);
        if self.version.is_v5() {
            connect.properties = client::properties(&properties);
        }
        let mut bytes = Vec::new();
        client::connect(&mut bytes, &connect);
        self.send(&bytes);
        let session_present = state.is_some();
        let terms = Acceptance { session_present, is_kept: true, ..Acceptance::default() };
        self.session.accept(self.now_ms, &terms, &mut self.out).unwrap();
        self.read = self.out.len();
        if let Some(state) = state {
            self.session.resume(state, &mut self.out);
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut input = self.session.input(bytes);
        while let Some(event) = self.session.poll_event(self.now_ms, &mut input, &mut self.out) {
            match event {
                Event::Subscribe(packet) => {
                    self.session.answer_subscribe(&packet, &mut self.out, |_| Ok(())).unwrap();
                }
                Event::Delivered(delivered) => self.delivered.push(delivered.token),
                Event::Publish(publish) => self.published.push(publish.delivery),
                _ => {}
            }
        }
        self.session.keep(self.now_ms, input);
    }

    fn tell(&mut self, payload: &[u8], token: u64, expires_ms: Option<u64>) {
        let topic = TopicName::parse("a").unwrap();
        let message = Message { topic, payload, qos: None, token, expires_ms, retain: false };
        let sent = self.session.publish(self.now_ms, &message, &mut self.out);
        assert!(matches!(sent, Sent::InFlight | Sent::Waiting), "{sent:?}");
    }

    fn publish_once(&mut self, packet_id: u16) {
        let mut bytes = Vec::new();
        let plain = client::plain_publish("t", b"x", Qos::ExactlyOnce, packet_id);
        client::publish(&mut bytes, self.version, &plain);
        self.send(&bytes);
    }

    fn acknowledge(&mut self, packet_id: u16) {
        let [high, low] = packet_id.to_be_bytes();
        self.send(&[0x40, 2, high, low]);
    }

    fn leave(&mut self) -> SessionState {
        self.session.take_state().expect("the session is kept")
    }

    fn each<T>(&mut self, read: impl Fn(&PublishPacket<'_>) -> T) -> Vec<T> {
        let mut found = Vec::new();
        let mut rest = &self.out[self.read..];
        while let Some(packet) = client::decode(&mut rest, self.version).unwrap() {
            if let client::ServerPacket::Publish(publish) = packet {
                found.push(read(&publish));
            }
        }
        self.read = self.out.len();
        found
    }

    fn publications(&mut self) -> Vec<(u16, bool)> {
        self.each(|publish| (publish.packet_id, publish.dup))
    }

    fn expiries(&mut self) -> Vec<Option<u32>> {
        self.each(|publish| publish.properties.number(PropertyId::MessageExpiryInterval))
    }
}
