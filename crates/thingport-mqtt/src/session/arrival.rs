//! What happens when a packet of the client has arrived.

use crate::packet::ack::{Ack, write_ack};
use crate::packet::connect::{Connect, peek_version};
use crate::packet::disconnect::Disconnect;
use crate::packet::publish::{PublishPacket, check_topic};
use crate::packet::subscribe::{Subscribe, Unsubscribe};
use crate::packet::{Frame, PacketType};
use crate::reason::{ReasonCode, ReasonPlace};
use crate::session::inbound::{Opening, Release, Slot, SlotKind};
use crate::session::{Delivered, Delivery, Event, NEVER, Notice, Phase, Publish, Session, Topic};
use crate::version::{Qos, Version};
use crate::violation::{Moment, Violation};
use crate::wire::{Reader, read_variable};

impl Session {
    /// Handles the packet at the front of the input and sets its size. The size stays 0 when the
    /// packet is incomplete or must wait, or the session is closed.
    #[inline]
    pub(super) fn handle_packet<'a>(
        &mut self,
        now_ms: u64,
        rest: &'a [u8],
        size: &mut usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Violation> {
        match self.phase {
            Phase::Open => self.handle_open(now_ms, rest, size, out),
            Phase::AwaitingConnect => self.handle_connect(now_ms, rest, size),
            Phase::Deciding => {
                self.holds_packets = true;
                self.check_pipeline(rest).map(|()| None)
            }
            Phase::Closed => Ok(None),
        }
    }

    /// C-1: the first packet is CONNECT, which one byte decides.
    fn handle_connect<'a>(
        &mut self,
        now_ms: u64,
        rest: &'a [u8],
        size: &mut usize,
    ) -> Result<Option<Event<'a>>, Violation> {
        let Some(first) = rest.first() else { return Ok(None) };
        if PacketType::of(*first) != Some(PacketType::Connect) {
            return Err(Violation::FirstPacketNotConnect);
        }
        let frame = match Frame::find(rest, self.bounds.packet_size_max) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            Err(Violation::PacketTooLarge) => return self.refuse_large_connect(rest),
            Err(violation) => return Err(violation),
        };
        let connect = match Connect::decode(frame.first, frame.body, &self.bounds) {
            Ok(connect) => connect,
            Err((violation, moment)) => return Err(self.fail_connecting(violation, moment)),
        };
        self.packet_arrived(now_ms);
        self.begin_deciding(&connect);
        *size = frame.size;
        Ok(Some(Event::Connect(Box::new(connect))))
    }

    /// F-5 for CONNECT: the answer depends on the version, which the first bytes of the body tell. They
    /// are not waited for: without them nothing is answered.
    fn refuse_large_connect<'a>(&mut self, rest: &[u8]) -> Result<Option<Event<'a>>, Violation> {
        let after_first = rest.get(1..).unwrap_or_default();
        let header = read_variable(after_first).ok().flatten().map_or(0, |(_, used)| used);
        match peek_version(after_first.get(header..).unwrap_or_default()) {
            None => Err(Violation::PacketTooLarge),
            Some(moment) => Err(self.fail_connecting(Violation::PacketTooLarge, moment)),
        }
    }

    /// Notes how far a CONNECT that is refused was understood, which decides how it is answered.
    fn fail_connecting(&mut self, violation: Violation, moment: Moment) -> Violation {
        if let Moment::Connecting(version) = moment {
            self.version = version;
            self.phase = Phase::Deciding;
        }
        violation
    }

    /// L-9: what waits behind CONNECT is bounded in packets and bytes.
    fn check_pipeline(&self, rest: &[u8]) -> Result<(), Violation> {
        if rest.len() > self.bounds.pipelined_bytes_max as usize {
            return Err(Violation::PipelineTooLong);
        }
        let mut rest = rest;
        let mut packets = 0;
        while let Ok(Some(frame)) = Frame::find(rest, self.bounds.packet_size_max) {
            packets += 1;
            if packets > self.bounds.pipelined_packets_max {
                return Err(Violation::PipelineTooLong);
            }
            rest = rest.get(frame.size..).unwrap_or_default();
        }
        Ok(())
    }

    #[inline]
    fn handle_open<'a>(
        &mut self,
        now_ms: u64,
        rest: &'a [u8],
        size: &mut usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Violation> {
        let Some(first) = rest.first() else { return Ok(None) };
        let packet = check_first(*first, self.version)?;
        let Some(frame) = Frame::find(rest, self.bounds.packet_size_max)? else {
            return Ok(None);
        };
        if packet == PacketType::Publish && self.must_wait(frame.first) {
            self.holds_packets = true;
            return Ok(None);
        }
        self.packet_arrived(now_ms);
        *size = frame.size;
        self.handle_frame(packet, frame, out)
    }

    fn packet_arrived(&mut self, now_ms: u64) {
        self.last_packet_ms = now_ms;
        self.partial_since_ms = NEVER;
    }

    /// A client that was not told our receive maximum cannot be blamed for exceeding it: its
    /// publications wait.
    fn must_wait(&self, first: u8) -> bool {
        !self.receive_maximum_granted && first & 0b110 != 0 && self.line_is_full()
    }

    pub(super) fn line_is_full(&self) -> bool {
        self.line.len() >= usize::from(self.bounds.receive_maximum)
    }

    #[inline]
    fn handle_frame<'a>(
        &mut self,
        packet: PacketType,
        frame: Frame<'a>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Violation> {
        let Frame { first, body, .. } = frame;
        match packet {
            PacketType::Publish => self.handle_publish(first, body, out),
            PacketType::Puback => self.handle_puback(body, out),
            PacketType::Pubrec => self.handle_pubrec(body, out).map(|()| None),
            PacketType::Pubrel => self.handle_pubrel(body, out).map(|()| None),
            PacketType::Pubcomp => self.handle_pubcomp(body).map(|()| None),
            PacketType::Subscribe => {
                Subscribe::decode(body, self.version).map(|packet| Some(Event::Subscribe(packet)))
            }
            PacketType::Unsubscribe => Unsubscribe::decode(body, self.version)
                .map(|packet| Some(Event::Unsubscribe(packet))),
            PacketType::Pingreq => handle_pingreq(body, out).map(Some),
            PacketType::Disconnect => self.handle_disconnect(body).map(Some),
            PacketType::Connect => Err(Violation::SecondConnect),
            PacketType::Auth => Err(Violation::AuthNotOffered),
            PacketType::Connack
            | PacketType::Suback
            | PacketType::Unsuback
            | PacketType::Pingresp => Err(Violation::ServerPacket),
        }
    }

    #[inline]
    fn handle_publish<'a>(
        &mut self,
        first: u8,
        body: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Violation> {
        let packet = PublishPacket::decode(first, body, self.version)?;
        let Some(topic) = self.resolve_topic(&packet)? else {
            return self.drop_publish(&packet, out).map(Some);
        };
        let sequence = match packet.qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => self.start(packet.packet_id, SlotKind::Qos1, None)?,
            Qos::ExactlyOnce => match self.start_once(&packet, topic.as_str(), None, out)? {
                Ok(sequence) => sequence,
                Err(notice) => return Ok(Some(Event::Answered(notice))),
            },
        };
        let delivery = Delivery { sequence, packet_id: packet.packet_id, qos: packet.qos };
        Ok(Some(Event::Publish(Publish::new(&packet, topic, delivery))))
    }

    /// The topic behind name or alias; `None` for a name beyond the bounds of L-3.
    #[inline]
    fn resolve_topic<'a>(
        &mut self,
        packet: &PublishPacket<'a>,
    ) -> Result<Option<Topic<'a>>, Violation> {
        let Some(alias) = packet.alias() else {
            return Ok(check_topic(packet.topic)?.map(|name| Topic::Sent(name.as_str())));
        };
        let maximum = if self.aliases_granted { self.bounds.topic_alias_maximum } else { 0 };
        let aliases = self.aliases.get_or_insert_default();
        if packet.topic.is_empty() {
            return aliases.resolve(alias, maximum).map(|name| Some(Topic::Alias(name)));
        }
        let Some(name) = check_topic(packet.topic)? else { return Ok(None) };
        aliases.set(alias, maximum, name.as_str())?;
        Ok(Some(Topic::Sent(name.as_str())))
    }

    /// Takes a publication into the line.
    #[inline]
    fn start(
        &mut self,
        packet_id: u16,
        kind: SlotKind,
        answer: Option<ReasonCode>,
    ) -> Result<u32, Violation> {
        let maximum = self.bounds.receive_maximum;
        if self.receive_maximum_granted && (self.unfinished >= maximum || self.line_is_full()) {
            return Err(Violation::ReceiveMaximum);
        }
        self.unfinished = self.unfinished.saturating_add(1);
        Ok(self.line.push(Slot { packet_id, kind, answer }))
    }

    /// The same for quality of service 2: an identifier that is open already is answered here.
    fn start_once(
        &mut self,
        packet: &PublishPacket<'_>,
        topic: &str,
        answer: Option<ReasonCode>,
        out: &mut Vec<u8>,
    ) -> Result<Result<u32, Notice>, Violation> {
        let packet_id = packet.packet_id;
        let ids = self.open_ids.get_or_insert_default();
        match ids.open(packet_id, packet.fingerprint(topic), self.bounds.open_ids_max) {
            Opening::New => self.start(packet_id, SlotKind::Qos2, answer).map(Ok),
            Opening::Again => {
                self.repeat(packet_id, SlotKind::Qos2Again, ReasonCode::Success, out)?;
                Ok(Err(Notice::Repeated { packet_id }))
            }
            Opening::Clash if self.version.is_v5() => {
                let reason = ReasonCode::PacketIdentifierInUse;
                self.repeat(packet_id, SlotKind::Qos2Clash, reason, out)?;
                Ok(Err(Notice::PacketIdInUse { packet_id }))
            }
            Opening::Clash => Err(Violation::PacketIdReused),
            Opening::Full => Err(Violation::TooManyOpenIds),
        }
    }

    /// Answers a publication under an open identifier when it is its turn.
    fn repeat(
        &mut self,
        packet_id: u16,
        kind: SlotKind,
        reason: ReasonCode,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        if self.line_is_full() {
            return Err(Violation::ReceiveMaximum);
        }
        self.line.push(Slot { packet_id, kind, answer: Some(reason) });
        self.write_answers(None, out);
        Ok(())
    }

    /// L-3: the publication is dropped, and refused where the client can be told.
    fn drop_publish<'a>(
        &mut self,
        packet: &PublishPacket<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, Violation> {
        let answer = Some(ReasonCode::TopicNameInvalid);
        match packet.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => {
                self.start(packet.packet_id, SlotKind::Qos1, answer)?;
            }
            Qos::ExactlyOnce => {
                if let Err(notice) = self.start_once(packet, packet.topic, answer, out)? {
                    return Ok(Event::Answered(notice));
                }
            }
        }
        self.write_answers(None, out);
        Ok(Event::Answered(Notice::TopicTooLong { qos: packet.qos }))
    }

    /// An unknown identifier is ignored.
    fn handle_puback<'a>(
        &mut self,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Violation> {
        let ack = Ack::decode(body, self.version, ReasonPlace::PubackOrPubrec)?;
        let Some(token) = self.finish_message(ack.packet_id, out) else { return Ok(None) };
        Ok(Some(Event::Delivered(Delivered { token, reason: ack.reason })))
    }

    /// PUBREC answers a publication of quality of service 2, which is never sent from here.
    fn handle_pubrec(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let ack = Ack::decode(body, self.version, ReasonPlace::PubackOrPubrec)?;
        if !self.version.is_v5() {
            return Err(Violation::Qos2Answer);
        }
        let reason = ReasonCode::PacketIdentifierNotFound;
        write_ack(out, PacketType::Pubrel, ack.packet_id, reason, None, self.recipient());
        Ok(())
    }

    /// The same; version 5 ignores it, because it ends what PUBREL above began.
    fn handle_pubcomp(&self, body: &[u8]) -> Result<(), Violation> {
        Ack::decode(body, self.version, ReasonPlace::PubrelOrPubcomp)?;
        if self.version.is_v5() { Ok(()) } else { Err(Violation::Qos2Answer) }
    }

    /// P-4, P-5.
    fn handle_pubrel(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let ack = Ack::decode(body, self.version, ReasonPlace::PubrelOrPubcomp)?;
        let released =
            self.open_ids.as_mut().map_or(Release::Unknown, |ids| ids.release(ack.packet_id));
        let reason = match released {
            Release::Done => ReasonCode::Success,
            Release::Unknown => ReasonCode::PacketIdentifierNotFound,
            Release::TooEarly => return Err(Violation::ReleasedTooEarly),
        };
        if released == Release::Done {
            self.unfinished = self.unfinished.saturating_sub(1);
            self.give_back_open_ids();
        }
        write_ack(out, PacketType::Pubcomp, ack.packet_id, reason, None, self.recipient());
        Ok(())
    }

    fn handle_disconnect<'a>(&mut self, body: &'a [u8]) -> Result<Event<'a>, Violation> {
        let packet = Disconnect::decode(body, self.version)?;
        let expiry = packet.session_expiry();
        if self.session_expiry == 0 && expiry.is_some_and(|seconds| seconds != 0) {
            return Err(Violation::ExpiryRaised);
        }
        self.close();
        Ok(Event::Disconnect(packet))
    }
}

fn handle_pingreq<'a>(body: &[u8], out: &mut Vec<u8>) -> Result<Event<'a>, Violation> {
    Reader::new(body).finish()?;
    out.extend_from_slice(&[PacketType::Pingresp.first_byte(), 0]);
    Ok(Event::Ping)
}

/// Packet type and flags of a first byte (F-1, F-2, P-1, P-2). MQTT 3.1 reserves no flags, but
/// SUBSCRIBE, UNSUBSCRIBE and PUBREL have a quality of service of 1 there.
#[inline]
fn check_first(first: u8, version: Version) -> Result<PacketType, Violation> {
    let packet = PacketType::of(first).ok_or(Violation::UnknownPacketType)?;
    let expected = packet.first_byte();
    match packet {
        PacketType::Publish => Ok(packet),
        PacketType::Auth if !version.is_v5() => Err(Violation::UnknownPacketType),
        _ if first == expected => Ok(packet),
        _ if version == Version::V31 && has_old_flags(first, expected) => Ok(packet),
        _ => Err(Violation::FixedHeaderFlags),
    }
}

/// Whether the flags are what MQTT 3.1 lets a client send: anything where nothing is meant, and a
/// quality of service of 1, repeated or not, where an answer is asked for.
const fn has_old_flags(first: u8, expected: u8) -> bool {
    expected & 0x0F == 0 || first & 0b0111 == expected & 0b0111
}
