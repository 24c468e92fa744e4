//! The server side of one MQTT connection, as a state machine.

mod alias;
mod answer;
mod arrival;
mod event;
mod handshake;
mod inbound;
mod input;
mod kept;
mod outbound;
mod subscriptions;

pub use event::{Acceptance, Delivered, Event, Notice, Publish, Refusal, Timer, Topic};
pub use inbound::Delivery;
pub use input::Input;
pub use kept::{KeptMessage, KeptSubscription, OpenPacketId, SessionState};
pub use outbound::{Message, Sent};

use std::sync::Arc;

use crate::limits::Bounds;
use crate::packet::PacketType;
use crate::packet::ack::write_disconnect;
use crate::packet::subscribe::{Subscribe, SubscribeRequest, Unsubscribe};
use crate::reason::{ReasonCode, ReturnCode};
use crate::topic::TopicName;
use crate::version::{Qos, Version};
use crate::violation::Violation;

use alias::Aliases;
use answer::matching_ids;
use handshake::{CONNACK_SIZE_MIN, KEEP_ALIVE_GRACE_MS, write_connack3};
use inbound::{Line, OpenIds};
use outbound::{Outbound, PublishId, ServerPublish, seconds_left};
use subscriptions::Subscriptions;

/// The server side of one connection: bytes and time in, events and bytes out.
///
/// # Contract
///
/// Time is milliseconds of any clock that never runs backwards; the caller supplies it. Output is
/// appended to a buffer of the caller's, who writes it after each call. When bytes have arrived:
///
/// ```
/// # use std::sync::Arc;
/// # use thingport_mqtt::{limits::Bounds, session::{Event, Session}};
/// # let mut session = Session::new(Arc::new(Bounds::default()), 0);
/// # let (bytes, now_ms, mut out) = (&[][..], 0, Vec::new());
/// let mut input = session.input(bytes);
/// while let Some(event) = session.poll_event(now_ms, &mut input, &mut out) {
///     // Judge the event. It borrows from `input`, not from the session, so the session can be
///     // answered here: accept, acknowledge, answer_subscribe, publish ...
/// }
/// session.keep(now_ms, input);
/// ```
///
/// Then write `out`, and read [`poll_timeout`](Self::poll_timeout) for the next deadline. Read the
/// socket only while [`reads`](Self::reads) is true. When it was false and the session has been
/// accepted or a publication acknowledged, [`is_ready`](Self::is_ready) says whether kept packets
/// can go on: run the loop above with no new bytes.
///
/// After [`Event::Disconnect`] or [`Event::Violation`], or once [`is_closed`](Self::is_closed), the
/// session does nothing more: it reads no byte and writes none (F-13, D-1).
///
/// # Acknowledgements
///
/// Each [`Publish`] above quality of service 0 carries a [`Delivery`]. The caller acknowledges it
/// whenever it knows the answer, in any order; the session sends PUBACK and PUBREC in the order in
/// which the publications arrived (P-20). The handshake of quality of service 2 is the session's
/// own (P-4).
///
/// # Memory
///
/// An idle session owns no buffer. Subscriptions, topic aliases, messages in flight and identifiers
/// of quality of service 2 are allocated when first used, the latter two given back when done.
/// What is kept of the input is the beginning of one packet or, while packets must wait, what was
/// not read of the last input.
#[derive(Debug)]
pub struct Session {
    bounds: Arc<Bounds>,
    /// The beginning of a packet whose end has not arrived, or packets that must wait.
    kept: Vec<u8>,
    line: Line,
    open_ids: Option<Box<OpenIds>>,
    aliases: Option<Box<Aliases>>,
    subscriptions: Option<Box<Subscriptions>>,
    outbound: Option<Box<Outbound>>,
    /// When the last complete packet arrived, at first when the connection was accepted.
    last_packet_ms: u64,
    /// When the packet that is not complete began; [`NEVER`] when there is none.
    partial_since_ms: u64,
    /// One and a half times the keep alive; 0: none.
    keep_alive_ms: u32,
    /// Largest packet the client takes.
    packet_size_max: u32,
    /// What the client asked for.
    session_expiry: u32,
    /// Publications of quality of service 1 and 2 the client takes at once.
    window: u16,
    /// Publications of the client that count against its receive maximum (P-16).
    unfinished: u16,
    /// The packet identifier given last.
    last_packet_id: u16,
    keep_alive: u16,
    version: Version,
    phase: Phase,
    /// The kept bytes are packets that must wait, not a beginning.
    holds_packets: bool,
    /// The client was told our receive maximum and may be blamed.
    receive_maximum_granted: bool,
    /// The client was told that it may use topic aliases.
    aliases_granted: bool,
    /// The client wants to read reasons (C-21).
    wants_problem_information: bool,
    /// What the session holds outlives the connection, for [`Session::take_state`].
    is_kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    AwaitingConnect,
    /// CONNECT was handed out.
    Deciding,
    Open,
    Closed,
}

/// Input.
impl Session {
    /// A session for a connection accepted at `now_ms`.
    pub fn new(bounds: Arc<Bounds>, now_ms: u64) -> Self {
        Self {
            bounds,
            kept: Vec::new(),
            line: Line::new(),
            open_ids: None,
            aliases: None,
            subscriptions: None,
            outbound: None,
            last_packet_ms: now_ms,
            partial_since_ms: NEVER,
            keep_alive_ms: 0,
            packet_size_max: u32::MAX,
            session_expiry: 0,
            window: u16::MAX,
            unfinished: 0,
            last_packet_id: 0,
            keep_alive: 0,
            version: Version::V311,
            phase: Phase::AwaitingConnect,
            holds_packets: false,
            receive_maximum_granted: false,
            aliases_granted: false,
            wants_problem_information: true,
            is_kept: false,
        }
    }

    /// Joins the bytes just read with what the session keeps.
    #[inline]
    pub fn input<'b>(&mut self, bytes: &'b [u8]) -> Input<'b> {
        Input::join(core::mem::take(&mut self.kept), bytes)
    }

    /// The next event in the input. `None`: there is no further packet, or the next must wait.
    #[inline]
    pub fn poll_event<'a>(
        &mut self,
        now_ms: u64,
        input: &'a mut Input<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Event<'a>> {
        let Input { bytes, read } = input;
        let bytes: &'a [u8] = bytes;
        self.holds_packets = false;
        loop {
            let rest = bytes.get(*read..).unwrap_or_default();
            let mut size = 0;
            match self.handle_packet(now_ms, rest, &mut size, out) {
                Ok(Some(event)) => {
                    *read += size;
                    // The caller may stop here, and then what follows waits like any packet.
                    self.holds_packets = true;
                    return Some(event);
                }
                Ok(None) if size == 0 => return None,
                Ok(None) => *read += size,
                Err(violation) => {
                    *read = bytes.len();
                    return Some(Event::Violation(self.fail(violation, out)));
                }
            }
        }
    }

    /// Keeps what was not read: an incomplete packet, or packets that must wait.
    #[inline]
    pub fn keep(&mut self, now_ms: u64, input: Input<'_>) {
        if input.unread().is_empty() || self.phase == Phase::Closed {
            self.holds_packets = false;
            return;
        }
        self.kept = input.into_rest();
        if self.partial_since_ms == NEVER {
            self.partial_since_ms = now_ms;
        }
    }

    /// Whether the caller should read from the socket.
    pub const fn reads(&self) -> bool {
        matches!(self.phase, Phase::AwaitingConnect | Phase::Open) && !self.holds_packets
    }

    /// Whether packets that had to wait can go on: poll again, without new bytes.
    pub fn is_ready(&self) -> bool {
        self.holds_packets && self.phase == Phase::Open && !self.line_is_full()
    }

    /// Whether the session is over.
    pub const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }
}

/// Time.
impl Session {
    /// The next deadline, in the caller's milliseconds, and its reason.
    pub fn poll_timeout(&self) -> Option<(u64, Timer)> {
        match self.phase {
            Phase::AwaitingConnect => {
                Some((self.last_packet_ms + self.bounds.connect_timeout_ms, Timer::Connect))
            }
            Phase::Open if !self.holds_packets => {
                self.open_deadlines().into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
            }
            Phase::Open | Phase::Deciding | Phase::Closed => None,
        }
    }

    /// Ends the session if its deadline has come. What the client may be told is in the output.
    pub fn handle_timeout(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Option<Violation> {
        let (_, timer) = self.poll_timeout().filter(|(deadline, _)| *deadline <= now_ms)?;
        Some(self.fail(timer.violation(), out))
    }

    fn open_deadlines(&self) -> [Option<(u64, Timer)>; 3] {
        let Bounds { packet_timeout_ms, inactivity_timeout_ms, .. } = *self.bounds;
        let keep_alive_ms = u64::from(self.keep_alive_ms);
        [
            (keep_alive_ms > 0).then_some((self.last_packet_ms + keep_alive_ms, Timer::KeepAlive)),
            (self.partial_since_ms != NEVER)
                .then(|| (self.partial_since_ms + packet_timeout_ms, Timer::Packet)),
            (inactivity_timeout_ms > 0)
                .then(|| (self.last_packet_ms + inactivity_timeout_ms, Timer::Inactivity)),
        ]
    }
}

/// Commands.
impl Session {
    /// Lets the client in: CONNACK. Call it only after [`Event::Connect`], once everything the
    /// client will use is really there (C-12). The error says that the client takes no packet as
    /// large as CONNACK (O-5); the session is then closed and nothing was sent.
    pub fn accept(
        &mut self,
        now_ms: u64,
        terms: &Acceptance<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        debug_assert_eq!(self.phase, Phase::Deciding, "accept answers Event::Connect");
        if self.phase != Phase::Deciding {
            return Ok(());
        }
        if self.packet_size_max < CONNACK_SIZE_MIN {
            return Err(self.fail(Violation::ClientPacketSize, out));
        }
        if self.version.is_v5() {
            self.write_accepting_connack(terms, out);
        } else {
            let present = terms.session_present && self.version != Version::V31;
            write_connack3(out, present, ReturnCode::Accepted);
        }
        self.is_kept = terms.is_kept;
        self.keep_alive_ms = u32::from(self.granted_keep_alive()) * KEEP_ALIVE_GRACE_MS;
        self.last_packet_ms = now_ms;
        if self.partial_since_ms != NEVER {
            // The time the decision took is not the client's.
            self.partial_since_ms = now_ms;
        }
        self.phase = Phase::Open;
        Ok(())
    }

    /// Turns the client away: CONNACK with the reason, and the session is closed (C-14). What it
    /// sent behind CONNECT is dropped (C-15).
    pub fn refuse(&mut self, refusal: &Refusal<'_>, out: &mut Vec<u8>) {
        debug_assert_eq!(self.phase, Phase::Deciding, "refuse answers Event::Connect");
        if self.phase != Phase::Deciding {
            return;
        }
        let return_code = refusal.return_code.unwrap_or_else(|| refusal.reason.return_code());
        self.write_refusing_connack(
            self.version,
            refusal.reason,
            return_code,
            refusal.sentence,
            out,
        );
        if self.bounds.disconnect_after_refusal && self.version.is_v5() {
            write_disconnect(out, refusal.reason, None, self.recipient());
        }
        self.close();
    }

    /// Answers a publication. The answer leaves when it is its turn (P-20). With quality of
    /// service 0 nothing happens. Version 3 has no reason: every answer looks like success there,
    /// so close the connection instead where data was not kept.
    #[inline]
    pub fn acknowledge(
        &mut self,
        delivery: Delivery,
        reason: ReasonCode,
        sentence: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        if delivery.qos == Qos::AtMostOnce || self.phase != Phase::Open {
            return;
        }
        let sentence = sentence.filter(|_| self.explains());
        let known = self.line.answer(delivery.sequence, reason, sentence);
        debug_assert!(known, "a delivery is acknowledged once");
        self.write_answers(sentence, out);
    }

    /// Publications that wait for [`acknowledge`](Self::acknowledge) or for their turn.
    pub fn unacknowledged(&self) -> usize {
        self.line.len()
    }

    /// Answers SUBSCRIBE. `judge` is asked for each filter the protocol has nothing against, in
    /// order; what it grants takes effect here, so call this when downlinks can arrive (U-12).
    /// Granted is at most quality of service 1 (U-4). The error says that SUBACK was larger than
    /// the client takes (O-5); the session is then closed.
    pub fn answer_subscribe(
        &mut self,
        packet: &Subscribe<'_>,
        out: &mut Vec<u8>,
        mut judge: impl FnMut(&SubscribeRequest<'_>) -> Result<(), ReasonCode>,
    ) -> Result<(), Violation> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        let mut codes = Vec::new();
        for (index, request) in packet.requests().enumerate() {
            let reason = if index < usize::from(self.bounds.filters_max) {
                self.subscribe(packet, &request, &mut judge)
            } else {
                ReasonCode::QuotaExceeded
            };
            codes.push(self.suback_code(reason));
        }
        self.write_codes(PacketType::Suback, packet.packet_id(), &codes, out)
    }

    /// Answers UNSUBSCRIBE. `judge` is asked for each filter that was subscribed, before it is
    /// removed; a refusal leaves it. A filter that was not subscribed is answered by the session
    /// (U-11). The error is that of [`answer_subscribe`](Self::answer_subscribe).
    pub fn answer_unsubscribe(
        &mut self,
        packet: &Unsubscribe<'_>,
        out: &mut Vec<u8>,
        mut judge: impl FnMut(&str) -> Result<(), ReasonCode>,
    ) -> Result<(), Violation> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        let codes: Vec<u8> =
            packet.filters().map(|filter| self.unsubscribe(filter, &mut judge).byte()).collect();
        let codes = if self.version.is_v5() { codes.as_slice() } else { &[] };
        self.write_codes(PacketType::Unsuback, packet.packet_id(), codes, out)
    }

    /// The filters the client holds.
    pub fn subscriptions(&self) -> impl Iterator<Item = &str> {
        self.subscriptions.iter().flat_map(|held| held.filters())
    }

    /// The quality of service granted for a topic; `None` when no subscription matches.
    pub fn granted(&self, topic: TopicName<'_>) -> Option<Qos> {
        self.subscriptions.as_ref()?.granted(topic)
    }

    /// Sends a message to the client at `now_ms`, or lets it wait for the window (O-1 to O-7).
    pub fn publish(&mut self, now_ms: u64, message: &Message<'_>, out: &mut Vec<u8>) -> Sent {
        if self.phase != Phase::Open {
            return Sent::Closed;
        }
        let qos = message.qos.or_else(|| self.granted(message.topic)).unwrap_or(Qos::AtLeastOnce);
        let acknowledged = qos != Qos::AtMostOnce;
        let to = self.recipient();
        let ids = matching_ids(self.subscriptions.as_deref(), message.topic);
        let publish = ServerPublish {
            topic: message.topic.as_str(),
            payload: message.payload,
            ids,
            expiry_s: message.expires_ms.and_then(|at| seconds_left(at, now_ms)),
            retain: message.retain,
        };
        if !publish.fits(acknowledged, to) {
            return Sent::TooLarge;
        }
        if !acknowledged {
            publish.write(PublishId::None, to, out);
            return Sent::Unacknowledged;
        }
        let (max, bytes_max) = (self.bounds.waiting_max, self.bounds.waiting_bytes_max);
        let outbound = self.outbound.get_or_insert_default();
        if outbound.in_flight() < usize::from(self.window) {
            let kept = self.is_kept.then_some((message, bytes_max));
            self.last_packet_id = outbound.start(self.last_packet_id, message.token, kept);
            publish.write(PublishId::First(self.last_packet_id), to, out);
            Sent::InFlight
        } else if outbound.wait(message, max, bytes_max) {
            Sent::Waiting
        } else {
            Sent::Full
        }
    }

    /// Messages written and not acknowledged, and messages that wait.
    pub fn outstanding(&self) -> (usize, usize) {
        self.outbound.as_ref().map_or((0, 0), |out| (out.in_flight(), out.waiting()))
    }

    /// Ends the session for a reason of the server's. Version 5 clients are told, if CONNACK was
    /// sent (C-16); a CONNECT that is being decided is refused with the same reason.
    pub fn disconnect(&mut self, reason: ReasonCode, sentence: Option<&str>, out: &mut Vec<u8>) {
        match self.phase {
            Phase::Open if self.version.is_v5() => {
                let sentence = sentence.filter(|_| self.bounds.reason_strings);
                write_disconnect(out, reason, sentence, self.recipient());
                self.close();
            }
            Phase::Deciding => {
                self.refuse(&Refusal { reason, return_code: None, sentence }, out);
            }
            Phase::AwaitingConnect | Phase::Open | Phase::Closed => self.close(),
        }
    }

    /// Ends the session for a rule the caller saw broken, such as O-8, and gives it back.
    pub fn fail(&mut self, violation: Violation, out: &mut Vec<u8>) -> Violation {
        self.end(violation, out);
        violation
    }

    /// The version spoken, once CONNECT has told it.
    pub const fn version(&self) -> Option<Version> {
        match self.phase {
            Phase::AwaitingConnect => None,
            Phase::Deciding | Phase::Open | Phase::Closed => Some(self.version),
        }
    }
}

/// No packet is incomplete.
const NEVER: u64 = u64::MAX;

#[cfg(test)]
mod tests;
