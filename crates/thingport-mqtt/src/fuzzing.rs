//! Entry points of the fuzz targets, so that a test can replay their corpora without a fuzzer.
//!
//! Both functions take any bytes and panic only when a promise of this crate is broken.

use std::sync::Arc;

use crate::client;
use crate::limits::Bounds;
use crate::packet::ack::Ack;
use crate::packet::connect::Connect;
use crate::packet::disconnect::Disconnect;
use crate::packet::publish::PublishPacket;
use crate::packet::subscribe::{Subscribe, Unsubscribe};
use crate::packet::{Frame, PacketType};
use crate::reason::{ReasonCode, ReasonPlace};
use crate::session::{Acceptance, Delivery, Event, Message, Refusal, Session};
use crate::topic::TopicName;
use crate::version::Version;

/// Decodes one packet in every version. The first byte picks the version, the rest is the packet;
/// what decodes is encoded by [`client`] and must decode to the same again.
pub fn packet(data: &[u8]) {
    let Some((version, bytes)) = data.split_first() else { return };
    let version = version_of(*version);
    let mut rest = bytes;
    while let Ok(Some(_)) = client::decode(&mut rest, version) {}
    let bounds = Bounds::default();
    let Ok(Some(frame)) = Frame::find(bytes, bounds.packet_size_max) else { return };
    match PacketType::of(frame.first) {
        Some(PacketType::Connect) => check_connect(frame, &bounds),
        Some(PacketType::Publish) => check_publish(frame, version),
        Some(PacketType::Subscribe) => {
            if let Ok(packet) = Subscribe::decode(frame.body, version) {
                assert_eq!(packet.to_owned().borrow(), packet);
                assert!(packet.requests().count() > 0, "at least one filter (U-1)");
            }
        }
        Some(PacketType::Unsubscribe) => {
            if let Ok(packet) = Unsubscribe::decode(frame.body, version) {
                assert!(packet.filters().count() > 0, "at least one filter (U-1)");
            }
        }
        _ => {}
    }
}

fn check_connect(frame: Frame<'_>, bounds: &Bounds) {
    let Ok(packet) = Connect::decode(frame.first, frame.body, bounds) else { return };
    let mut out = Vec::new();
    client::connect(&mut out, &packet);
    let again = Frame::find(&out, u32::MAX).ok().flatten();
    let again = again.and_then(|frame| Connect::decode(frame.first, frame.body, bounds).ok());
    assert_eq!(again, Some(packet));
}

fn check_publish(frame: Frame<'_>, version: Version) {
    let Ok(packet) = PublishPacket::decode(frame.first, frame.body, version) else { return };
    let mut out = Vec::new();
    client::publish(&mut out, version, &packet);
    let again = Frame::find(&out, u32::MAX).ok().flatten();
    let again =
        again.and_then(|frame| PublishPacket::decode(frame.first, frame.body, version).ok());
    assert_eq!(again, Some(packet));
}

/// A client's packet as this crate reads it, for comparison with other codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPacket<'a> {
    /// CONNECT, of whatever version it says.
    Connect(Connect<'a>),
    /// PUBLISH.
    Publish(PublishPacket<'a>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP, by the first byte.
    Ack(u8, Ack),
    /// SUBSCRIBE.
    Subscribe(Subscribe<'a>),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe<'a>),
    /// PINGREQ.
    Ping,
    /// DISCONNECT.
    Disconnect(Disconnect<'a>),
}

/// Reads the one packet that `bytes` begin with; answers what is left as well.
pub fn client_packet(bytes: &[u8], version: Version) -> Option<(ClientPacket<'_>, &[u8])> {
    let bounds = Bounds::default();
    let frame = Frame::find(bytes, bounds.packet_size_max).ok().flatten()?;
    let (first, body) = (frame.first, frame.body);
    let kind = PacketType::of(first)?;
    if kind != PacketType::Publish && first != kind.first_byte() {
        return None;
    }
    let ack =
        |place| Ack::decode(body, version, place).ok().map(|ack| ClientPacket::Ack(first, ack));
    let packet = match kind {
        PacketType::Connect => {
            Connect::decode(first, body, &bounds).ok().map(ClientPacket::Connect)
        }
        PacketType::Publish => {
            PublishPacket::decode(first, body, version).ok().map(ClientPacket::Publish)
        }
        PacketType::Puback | PacketType::Pubrec => ack(ReasonPlace::PubackOrPubrec),
        PacketType::Pubrel | PacketType::Pubcomp => ack(ReasonPlace::PubrelOrPubcomp),
        PacketType::Subscribe => Subscribe::decode(body, version).ok().map(ClientPacket::Subscribe),
        PacketType::Unsubscribe => {
            Unsubscribe::decode(body, version).ok().map(ClientPacket::Unsubscribe)
        }
        PacketType::Pingreq => body.is_empty().then_some(ClientPacket::Ping),
        PacketType::Disconnect => {
            Disconnect::decode(body, version).ok().map(ClientPacket::Disconnect)
        }
        _ => None,
    };
    Some((packet?, bytes.get(frame.size..)?))
}

/// Plays commands against a session. The first byte says whether the client has connected already
/// and in which version. Then each command is one byte; bytes from the client follow with their
/// number in front.
pub fn session(data: &[u8]) {
    session_seen(data, &mut |_, _| {});
}

/// The same, and shows everything the session wrote.
pub fn session_seen(data: &[u8], see: &mut dyn FnMut(Version, &[u8])) {
    let Some((start, mut rest)) = data.split_first() else { return };
    let mut driver = Driver::new();
    if *start % 4 != 3 {
        let mut connect = Vec::new();
        client::connect(&mut connect, &client::plain_connect(version_of(*start % 4), "c"));
        driver.receive(&connect);
        driver.decide(1);
    }
    while let Some((command, after)) = rest.split_first() {
        rest = after;
        match command % 8 {
            0..=2 => {
                let Some((length, after)) = rest.split_first() else { return };
                let length = usize::from(*length).min(after.len());
                let (bytes, after) = after.split_at(length);
                rest = after;
                driver.receive(bytes);
            }
            3 => driver.decide(command / 8),
            4 => driver.acknowledge(command / 8),
            5 => driver.wait(command / 8),
            6 => driver.publish(command / 8),
            _ => driver.session.disconnect(ReasonCode::ServerBusy, Some("Busy."), &mut driver.out),
        }
        see(driver.session.version().unwrap_or(Version::V311), &driver.out);
        driver.check();
    }
}

struct Driver {
    session: Session,
    now_ms: u64,
    out: Vec<u8>,
    deliveries: Vec<Delivery>,
}

impl Driver {
    fn new() -> Self {
        let bounds = Bounds {
            packet_size_max: 2_048,
            receive_maximum: 6,
            inflight_max: 3,
            waiting_max: 3,
            open_ids_max: 4,
            ..Bounds::default()
        };
        let session = Session::new(Arc::new(bounds), 0);
        Self { session, now_ms: 0, out: Vec::new(), deliveries: Vec::new() }
    }

    fn receive(&mut self, bytes: &[u8]) {
        if !self.session.reads() {
            return;
        }
        self.poll(bytes);
    }

    fn poll(&mut self, bytes: &[u8]) {
        let mut input = self.session.input(bytes);
        while let Some(event) = self.session.poll_event(self.now_ms, &mut input, &mut self.out) {
            match event {
                Event::Publish(publish) => self.deliveries.push(publish.delivery),
                Event::Subscribe(packet) => {
                    let _ = self.session.answer_subscribe(&packet, &mut self.out, |_| Ok(()));
                }
                Event::Unsubscribe(packet) => {
                    let _ = self.session.answer_unsubscribe(&packet, &mut self.out, |_| Ok(()));
                }
                _ => {}
            }
        }
        self.session.keep(self.now_ms, input);
    }

    fn decide(&mut self, how: u8) {
        if self.session.reads() || self.session.is_closed() || self.session.is_ready() {
            return;
        }
        if self.session.unacknowledged() > 0 {
            return;
        }
        if how == 0 {
            self.session.refuse(&Refusal::new(ReasonCode::NotAuthorized), &mut self.out);
        } else {
            let _ = self.session.accept(self.now_ms, &Acceptance::default(), &mut self.out);
        }
        self.poll(&[]);
    }

    fn acknowledge(&mut self, which: u8) {
        if self.deliveries.is_empty() {
            return;
        }
        let delivery = self.deliveries.swap_remove(usize::from(which) % self.deliveries.len());
        let reason =
            if which.is_multiple_of(3) { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
        self.session.acknowledge(delivery, reason, Some("Too much."), &mut self.out);
        if self.session.is_ready() {
            self.poll(&[]);
        }
    }

    fn wait(&mut self, seconds: u8) {
        self.now_ms += u64::from(seconds) * 1_000;
        self.session.handle_timeout(self.now_ms, &mut self.out);
    }

    fn publish(&mut self, payload: u8) {
        if let Ok(topic) = TopicName::parse("a/b") {
            let message = Message {
                topic,
                payload: &[payload],
                qos: None,
                token: 7,
                expires_ms: None,
                retain: false,
            };
            self.session.publish(self.now_ms, &message, &mut self.out);
        }
    }

    /// What was written is whole packets, and what is held is bounded.
    fn check(&mut self) {
        let version = self.session.version().unwrap_or(Version::V311);
        let mut written = &self.out[..];
        while !written.is_empty() {
            let packet = client::decode(&mut written, version);
            assert!(matches!(packet, Ok(Some(_))), "whole packets: {packet:?} {:x?}", self.out);
        }
        assert!(self.session.unacknowledged() <= 6, "the receive maximum is kept");
        self.out.clear();
    }
}

const fn version_of(byte: u8) -> Version {
    match byte % 3 {
        0 => Version::V31,
        1 => Version::V311,
        _ => Version::V5,
    }
}
