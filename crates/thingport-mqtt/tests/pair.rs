//! A session against a scripted client, on an invented clock and network, from a seed.
//!
//! The client publishes, repeats, releases and acknowledges; its bytes arrive in pieces and late. The
//! server's storage answers late and in any order. Whatever the order: answers leave in the order of
//! arrival, none without its publication, identifiers become free, and quality of service 2 stores
//! once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is wrong")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use thingport_mqtt::client::{self, ServerPacket};
use thingport_mqtt::limits::Bounds;
use thingport_mqtt::packet::ack::Ack;
use thingport_mqtt::reason::ReasonCode;
use thingport_mqtt::session::{Acceptance, Delivery, Event, Message, Sent, Session};
use thingport_mqtt::topic::TopicName;
use thingport_mqtt::version::{Qos, Version};

#[test]
fn the_rules_p_20_and_p_4_hold_for_200_seeds() {
    for seed in 1..=200 {
        let mut pair = Pair::new(seed);
        for _ in 0..400 {
            pair.step();
        }
        pair.settle();
        pair.check_end();
    }
}

struct Pair {
    seed: u64,
    random: Random,
    client: Client,
    server: Server,
    /// Bytes on their way to the server.
    wire: VecDeque<u8>,
}

/// What the client knows.
struct Client {
    version: Version,
    next_id: u16,
    next_number: u32,
    window: usize,
    /// Answers expected, in order: packet identifier and quality of service.
    expected: VecDeque<(u16, Qos)>,
    /// Publications of quality of service 2 without PUBCOMP; `true` once PUBREC came.
    unreleased: BTreeMap<u16, (u32, bool)>,
    /// Identifiers that may not be used.
    in_use: BTreeSet<u16>,
    /// Messages of the server that are not acknowledged yet.
    unacknowledged: VecDeque<u16>,
    received: Vec<u8>,
    inbox: Vec<u8>,
    sent: Vec<u32>,
}

/// What the server knows.
struct Server {
    session: Session,
    stored: Vec<u32>,
    committing: Vec<Delivery>,
    out: Vec<u8>,
    now_ms: u64,
    next_token: u64,
    messages: Vec<u8>,
    tokens: BTreeSet<u64>,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let versions = [Version::V31, Version::V311, Version::V5];
        let version = versions[random.below(3)];
        let bounds = Bounds { receive_maximum: 5, inflight_max: 3, ..Bounds::default() };
        let mut pair = Self {
            seed,
            random,
            client: Client::new(version),
            server: Server::new(bounds),
            wire: VecDeque::new(),
        };
        let mut bytes = Vec::new();
        client::connect(&mut bytes, &client::plain_connect(version, "c"));
        pair.server.receive(&bytes);
        pair.exchange();
        pair
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..=2 => self.publish(),
            3 => self.repeat(),
            4 => self.release(),
            5 => self.acknowledge_message(),
            6..=7 => self.commit(),
            8 => self.server.send_message(),
            _ => self.deliver(),
        }
        self.server.now_ms += self.random.below(50) as u64;
        self.exchange();
    }

    /// Everything on its way arrives, everything pending is answered.
    fn settle(&mut self) {
        for _ in 0..2_000 {
            self.deliver();
            self.commit();
            self.release();
            self.acknowledge_message();
            self.exchange();
        }
    }

    fn check_end(&self) {
        let Self { seed, client, server, .. } = self;
        assert!(!server.session.is_closed(), "seed {seed}: nobody broke a rule");
        assert!(client.expected.is_empty(), "seed {seed}: all answered {:?}", client.expected);
        assert!(client.in_use.is_empty(), "seed {seed}: all identifiers free {:?}", client.in_use);
        assert_eq!(server.stored, client.sent, "seed {seed}: each stored once, in order");
        assert_eq!(server.session.unacknowledged(), 0, "seed {seed}");
        assert_eq!(server.session.outstanding(), (0, 0), "seed {seed}");
        assert!(server.tokens.is_empty(), "seed {seed}: each message acknowledged once");
        assert_eq!(server.messages, client.received, "seed {seed}: messages in order");
    }

    fn publish(&mut self) {
        let Client { window, in_use, expected, .. } = &self.client;
        let qos = Qos::from_bits(self.random.below(3) as u8).unwrap();
        let full = in_use.len() >= *window || expected.len() >= *window;
        if qos != Qos::AtMostOnce && full {
            return;
        }
        let bytes = self.client.publish(qos);
        self.wire.extend(bytes);
    }

    /// Says a publication of quality of service 2 again, before its release.
    fn repeat(&mut self) {
        // A receiver may not be sent more at once than it granted, repetitions included.
        if self.client.expected.len() >= self.client.window {
            return;
        }
        let Some((packet_id, (number, _))) = self.client.unreleased.first_key_value() else {
            return;
        };
        let (packet_id, number) = (*packet_id, *number);
        let bytes = self.client.publish_bytes(Qos::ExactlyOnce, packet_id, number, true);
        self.client.expected.push_back((packet_id, Qos::ExactlyOnce));
        self.wire.extend(bytes);
    }

    fn release(&mut self) {
        let Client { unreleased, expected, version, .. } = &mut self.client;
        let waits = |packet_id| expected.iter().any(|(other, _)| *other == packet_id);
        let ready = unreleased.iter().find(|(id, (_, received))| *received && !waits(**id));
        let Some(packet_id) = ready.map(|(id, _)| *id) else { return };
        let mut bytes = Vec::new();
        client::pubrel(&mut bytes, *version, Ack { packet_id, reason: ReasonCode::Success });
        self.wire.extend(bytes);
        // Said once: forget the number, keep the identifier until PUBCOMP.
        unreleased.remove(&packet_id);
    }

    fn acknowledge_message(&mut self) {
        let Some(packet_id) = self.client.unacknowledged.pop_front() else { return };
        let mut bytes = Vec::new();
        let ack = Ack { packet_id, reason: ReasonCode::Success };
        client::puback(&mut bytes, self.client.version, ack);
        self.wire.extend(bytes);
    }

    /// The storage has kept one of the publications it works on, any of them.
    fn commit(&mut self) {
        let Server { committing, session, out, .. } = &mut self.server;
        if committing.is_empty() {
            return;
        }
        let delivery = committing.swap_remove(self.random.below(committing.len()));
        session.acknowledge(delivery, ReasonCode::Success, None, out);
        if session.is_ready() {
            self.server.receive(&[]);
        }
    }

    /// Some bytes arrive, if the server reads.
    fn deliver(&mut self) {
        if !self.server.session.reads() {
            return;
        }
        let count = (1 + self.random.below(60)).min(self.wire.len());
        let bytes: Vec<u8> = self.wire.drain(..count).collect();
        self.server.receive(&bytes);
    }

    /// What the server has written reaches the client at once.
    fn exchange(&mut self) {
        let written = std::mem::take(&mut self.server.out);
        self.client.receive(&written, self.seed);
    }
}

impl Client {
    fn new(version: Version) -> Self {
        // A client of version 3 is not told how much it may send, and sends more.
        let window = if version.is_v5() { 5 } else { 9 };
        Self {
            version,
            next_id: 0,
            next_number: 0,
            window,
            expected: VecDeque::new(),
            unreleased: BTreeMap::new(),
            in_use: BTreeSet::new(),
            unacknowledged: VecDeque::new(),
            received: Vec::new(),
            inbox: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn publish(&mut self, qos: Qos) -> Vec<u8> {
        self.next_number += 1;
        let number = self.next_number;
        self.sent.push(number);
        if qos == Qos::AtMostOnce {
            return self.publish_bytes(qos, 0, number, false);
        }
        let packet_id = self.free_id();
        self.expected.push_back((packet_id, qos));
        if qos == Qos::ExactlyOnce {
            self.unreleased.insert(packet_id, (number, false));
        }
        self.publish_bytes(qos, packet_id, number, false)
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id % 40 + 1;
            if self.in_use.insert(self.next_id) {
                return self.next_id;
            }
        }
    }

    fn publish_bytes(&self, qos: Qos, packet_id: u16, number: u32, dup: bool) -> Vec<u8> {
        let payload = number.to_be_bytes();
        let packet = client::plain_publish("a/b", &payload, qos, packet_id);
        let packet = thingport_mqtt::packet::publish::PublishPacket { dup, ..packet };
        let mut bytes = Vec::new();
        client::publish(&mut bytes, self.version, &packet);
        bytes
    }

    fn receive(&mut self, written: &[u8], seed: u64) {
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.extend_from_slice(written);
        let mut rest = &inbox[..];
        while let Some(packet) = client::decode(&mut rest, self.version).unwrap() {
            self.handle(&packet, seed);
        }
        self.inbox = rest.to_vec();
    }

    fn handle(&mut self, packet: &ServerPacket<'_>, seed: u64) {
        match packet {
            ServerPacket::Connack(connack) => assert_eq!(connack.code, 0),
            ServerPacket::Puback(ack) => {
                self.answered(*ack, Qos::AtLeastOnce, seed);
                self.in_use.remove(&ack.packet_id);
            }
            ServerPacket::Pubrec(ack) => {
                self.answered(*ack, Qos::ExactlyOnce, seed);
                if let Some((_, received)) = self.unreleased.get_mut(&ack.packet_id) {
                    *received = true;
                }
            }
            ServerPacket::Pubcomp(ack) => {
                assert_eq!(ack.reason, ReasonCode::Success, "seed {seed}");
                assert!(self.in_use.remove(&ack.packet_id), "seed {seed}: {ack:?}");
            }
            ServerPacket::Publish(publish) => {
                self.received.extend_from_slice(publish.payload);
                self.unacknowledged.push_back(publish.packet_id);
                assert!(self.unacknowledged.len() <= 3, "seed {seed}: the window (O-4)");
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }

    fn answered(&mut self, ack: Ack, qos: Qos, seed: u64) {
        assert_eq!(ack.reason, ReasonCode::Success, "seed {seed}");
        let expected = self.expected.pop_front();
        assert_eq!(expected, Some((ack.packet_id, qos)), "seed {seed}: in order (P-20)");
    }
}

impl Server {
    fn new(bounds: Bounds) -> Self {
        Self {
            session: Session::new(Arc::new(bounds), 0),
            stored: Vec::new(),
            committing: Vec::new(),
            out: Vec::new(),
            now_ms: 0,
            next_token: 0,
            messages: Vec::new(),
            tokens: BTreeSet::new(),
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let Self { session, out, now_ms, stored, committing, tokens, .. } = self;
        let mut input = session.input(bytes);
        while let Some(event) = session.poll_event(*now_ms, &mut input, out) {
            match event {
                Event::Connect(_) => session.accept(*now_ms, &Acceptance::default(), out).unwrap(),
                Event::Publish(publish) => {
                    stored.push(u32::from_be_bytes(publish.payload.try_into().unwrap()));
                    if publish.delivery.qos() != Qos::AtMostOnce {
                        committing.push(publish.delivery);
                    }
                }
                Event::Delivered(delivered) => {
                    assert!(tokens.remove(&delivered.token), "acknowledged once");
                }
                Event::Answered(_) => {}
                other => panic!("{other:?}"),
            }
        }
        session.keep(*now_ms, input);
    }

    fn send_message(&mut self) {
        self.next_token += 1;
        let payload = [self.next_token as u8];
        let topic = TopicName::parse("down").unwrap();
        let token = self.next_token;
        let message =
            Message { topic, payload: &payload, qos: None, token, expires_ms: None, retain: false };
        match self.session.publish(self.now_ms, &message, &mut self.out) {
            Sent::InFlight | Sent::Waiting => {
                self.messages.push(payload[0]);
                self.tokens.insert(self.next_token);
            }
            other => assert_eq!(other, Sent::Full),
        }
    }
}

/// A small generator of numbers that look random: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}
