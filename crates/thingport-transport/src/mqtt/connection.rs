//! One connection: a socket, an MQTT session, a link, and the one task that owns them.
//!
//! # Contract of a turn
//!
//! The task is woken by bytes, by mail, by a commit, by a deadline or by the drain. It does not ask
//! which: each turn looks at all of them, in an order that lets one write carry every answer, and
//! registers for whatever did not come. Nothing here waits for anything but the socket and the ledger.
//!
//! # What an idle connection costs
//!
//! This struct, its place in the timers and its mailbox. Buffers belong to the thread.

mod account;
mod children;
mod downlinks;
mod edge;
mod ending;
mod keeping;
mod messages;
mod pacing;
mod provisioning;
mod questions;
mod securing;
mod standing;
mod tapping;

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::net::SocketAddr;
use std::sync::Arc;

use thingport_core::children::Children;
use thingport_core::limits::Quota;
use thingport_core::presence::Mailbox;
use thingport_core::registry::DeviceLogin;
use thingport_device::link::Link;
use thingport_model::port::ledger::Waiter;
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_mqtt::session::{Delivery, Event, Session};
use tokio::sync::oneshot::Receiver;
use tokio::time::Sleep;

use super::answer;
use super::login::{self, Caller, Decision};
use super::pending::Pending;
use super::scratch::{self, Desk, Scratch};
use crate::guest::Guest;
use crate::shared::{HandshakeSlot, Shared};
use crate::stream::Stream;
use crate::timers::Key;
use crate::tls::{self, Room};
use children::Family;
use edge::Edge;
use keeping::Keeping;
use provisioning::Candidate;
use questions::Questions;

/// One MQTT connection as a future that ends with it.
pub(crate) struct Connection {
    stream: Stream,
    shared: Arc<Shared>,
    session: Session,
    stage: Stage,
    pending: Pending,
    waiter: Waiter,
    /// An uplink that found the commit queue full, or a limit that was reached. Nothing is read
    /// meanwhile.
    stalled: Option<Box<Stalled>>,
    /// Bytes the socket did not take.
    unsent: Option<Box<Unsent>>,
    key: Option<Key>,
    /// When the timers will wake this task.
    wakes_at_ms: u64,
    remote: SocketAddr,
    /// Its place among the connections that have not logged in.
    guest: Option<Box<Guest>>,
}

enum Stage {
    /// The TLS handshake is under way, since the connection was accepted.
    Securing { since_ms: u64, _slot: HandshakeSlot },
    /// Before CONNECT, or after a session ended without a word.
    Arriving,
    /// The credentials are being looked up.
    Deciding(Pin<Box<dyn Future<Output = Decision> + Send>>),
    /// Logged in.
    Open(Open),
    /// Logged in to be provisioned, as no device.
    Provisioning(Box<Candidate>),
    /// The device or its profile changed: it is being looked up again.
    Refreshing(Box<Refreshing>),
    /// The session is over; the last bytes are on their way (D-5).
    Lingering { until_ms: u64, left: usize },
    /// Nothing is left to do.
    Done,
}

struct Open {
    login: Arc<DeviceLogin>,
    link: Link,
    mailbox: Arc<Mailbox>,
    /// What it may send; none where nothing is limited.
    quota: Option<Box<Quota>>,
    greeting: Box<Greeting>,
    /// State of the devices' and profiles' changes this connection has seen.
    epoch: u32,
    /// State of everybody's mail this connection has seen.
    posts: u32,
    /// What is looked up for it; none in the many connections that ask nothing now.
    questions: Option<Box<Questions>>,
    /// Of a session that outlives the connection.
    keeping: Option<Box<Keeping>>,
    /// Devices that speak through it; none in the many connections that are no gateway's.
    children: Option<Box<Children>>,
    /// Of an edge node of Sparkplug B.
    edge: Option<Box<Edge>>,
}

/// What was said when the session began; apart, because it is asked for rarely.
struct Greeting {
    client_id: Box<str>,
    /// Version and cipher suite of TLS, if there is TLS.
    tls: Option<Box<(&'static str, &'static str)>>,
}

struct Refreshing {
    open: Open,
    epoch: u32,
    found: Pin<Box<dyn Future<Output = Result<Arc<DeviceLogin>, Reason>> + Send>>,
}

/// Something that has to happen before another packet is handled.
struct Stalled {
    /// When a rate limit gives it its turn.
    turn: Option<Pin<Box<Sleep>>>,
    then: Then,
}

enum Then {
    /// Tries the uplink.
    Receive { delivery: Delivery, is_telemetry: bool, readings: Readings },
    /// Goes on reading.
    Read,
    /// Refuses a publication, once all that came before it are answered.
    Reject { delivery: Delivery, reason: Reason, detail: String },
    /// Takes what children say.
    Children(Box<Family>),
    /// Answers SUBSCRIBE or UNSUBSCRIBE, once the session is durable.
    Answer { saved: Receiver<bool>, bytes: Vec<u8> },
    /// Goes on with what an edge node said.
    Edge,
}

struct Unsent {
    bytes: Vec<u8>,
    since_ms: u64,
}

impl Connection {
    /// A connection whose stream begins with a TLS handshake of ours.
    pub(crate) fn securing(
        stream: Stream,
        remote: SocketAddr,
        shared: Arc<Shared>,
        guest: Box<Guest>,
        slot: HandshakeSlot,
    ) -> Self {
        let since_ms = shared.node.clock.monotonic_ms();
        let mut connection = Self::new(stream, remote, shared, guest);
        connection.stage = Stage::Securing { since_ms, _slot: slot };
        connection
    }

    pub(crate) fn new(
        stream: Stream,
        remote: SocketAddr,
        shared: Arc<Shared>,
        guest: Box<Guest>,
    ) -> Self {
        let now_ms = shared.node.clock.monotonic_ms();
        let session = Session::new(Arc::clone(&shared.bounds), now_ms);
        shared.node.metrics.connections_accepted.add(1);
        shared.node.metrics.connections.add(1);
        Self {
            stream,
            shared,
            session,
            stage: Stage::Arriving,
            pending: Pending::default(),
            waiter: Waiter::default(),
            stalled: None,
            unsent: None,
            key: None,
            wakes_at_ms: u64::MAX,
            remote,
            guest: Some(guest),
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        scratch::with(|scratch| this.turn(cx, scratch))
    }
}

/// A turn.
impl Connection {
    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let Scratch { read, desk, room } = scratch;
        desk.out.clear();
        room.wire.clear();
        if self.key.is_none() {
            self.key = Some(self.shared.timers.add(cx.waker().clone()));
        }
        let now_ms = self.shared.node.clock.monotonic_ms();
        desk.tap = self.tap();
        self.handle_timeout(now_ms, desk);
        self.handle_mail(cx, desk);
        for _ in 0..TURNS_MAX {
            self.poll_decision(cx, now_ms, desk);
            self.poll_stalled(cx, desk);
            self.resume_edge(desk);
            let was_free = self.stalled.is_none();
            let went_on =
                self.handle_kept(now_ms, desk) | self.poll_read(cx, now_ms, read, room, desk);
            self.poll_committed(cx, desk);
            // What has to happen first now is asked once, so that it wakes this task.
            let is_to_be_asked = was_free && self.stalled.is_some();
            if !went_on && !self.can_go_on() && !self.is_due_to_reject() && !is_to_be_asked {
                return self.finish_turn(cx, now_ms, room, desk);
            }
        }
        // Others want to run, too.
        cx.waker().wake_by_ref();
        self.finish_turn(cx, now_ms, room, desk)
    }

    fn finish_turn(
        &mut self,
        cx: &mut Context<'_>,
        now_ms: u64,
        room: &mut Room,
        desk: &mut Desk,
    ) -> Poll<()> {
        self.handle_drain(now_ms, desk);
        if self.flush(cx, now_ms, &desk.out, &mut room.wire).is_err() {
            self.lose(Reason::ConnectionLost, "");
        }
        if let Stage::Lingering { until_ms, .. } = self.stage {
            self.poll_linger(cx, now_ms, until_ms);
        }
        self.finish_tap(desk);
        if matches!(self.stage, Stage::Done) {
            return Poll::Ready(());
        }
        self.schedule(now_ms);
        Poll::Pending
    }

    /// Packets that had to wait can be handled now, without new bytes.
    fn can_go_on(&self) -> bool {
        self.is_listening() && self.session.is_ready()
    }

    /// Whether packets may be handled: nothing else has to happen first.
    fn is_listening(&self) -> bool {
        let is_free = match &self.stage {
            Stage::Arriving | Stage::Securing { .. } => true,
            Stage::Open(open) => open.questions.as_ref().is_none_or(|it| !it.is_full()),
            Stage::Provisioning(candidate) => candidate.is_idle(),
            _ => false,
        };
        is_free && self.stalled.is_none()
    }

    fn handle_kept(&mut self, now_ms: u64, desk: &mut Desk) -> bool {
        if !self.can_go_on() {
            return false;
        }
        self.handle_bytes(now_ms, &[], desk);
        true
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        now_ms: u64,
        read: &mut [u8],
        room: &mut Room,
        desk: &mut Desk,
    ) -> bool {
        let waits = self.unsent.is_some() || self.shared.drain.has_begun();
        if waits || !self.is_listening() || !self.session.reads() {
            return false;
        }
        if self.must_refresh() {
            self.refresh();
            return true;
        }
        let polled = self.stream.poll_read(cx, read, room);
        self.handle_handshake(now_ms);
        match polled {
            Poll::Pending => false,
            Poll::Ready(Err(broken)) => {
                self.handle_broken(broken, now_ms);
                false
            }
            Poll::Ready(Ok(0)) => {
                self.lose(Reason::ConnectionLost, "the peer closed the connection");
                false
            }
            Poll::Ready(Ok(size)) => {
                let filled = read.get(..size).unwrap_or_default();
                let is_full = filled.len() == read.len();
                self.shared.node.metrics.bytes_in.add(filled.len() as u64);
                self.handle_bytes(now_ms, filled, desk);
                // A short read emptied the socket: the next bytes will wake this task.
                let is_asking = matches!(self.stage, Stage::Deciding(_) | Stage::Provisioning(_));
                is_full || is_asking || self.poll_again(cx)
            }
        }
    }

    /// Registers for the next bytes after a short read.
    fn poll_again(&self, cx: &mut Context<'_>) -> bool {
        self.is_listening() && self.session.reads() && self.stream.poll_more(cx).is_ready()
    }

    fn handle_bytes(&mut self, now_ms: u64, bytes: &[u8], desk: &mut Desk) {
        let mut input = self.session.input(bytes);
        if matches!(self.stage, Stage::Arriving) && tls::speaks_tls(input.unread()) {
            self.record(Reason::TlsOnPlainPort, "");
            self.linger(now_ms);
            return;
        }
        let mut shown = input.position();
        while let Some(event) = self.session.poll_event(now_ms, &mut input, &mut desk.out) {
            let is_violation = matches!(event, Event::Violation(_));
            self.handle_event(event, now_ms, desk);
            self.show_packets(input.read_since(shown), is_violation, desk);
            shown = input.position();
            if !self.is_listening() {
                break;
            }
        }
        self.show_silent_packets(input.read_since(shown), desk);
        self.session.keep(now_ms, input);
    }

    fn handle_event(&mut self, event: Event<'_>, now_ms: u64, desk: &mut Desk) {
        self.hear(&event, now_ms);
        if let Event::Disconnect(packet) = &event {
            self.note_expiry(packet.session_expiry());
        }
        self.show_event(&event, desk);
        match event {
            Event::Connect(connect) => {
                let caller = {
                    let is_any_traced = self.shared.node.traces.any();
                    Caller::of(&connect, self.stream.take_security(), is_any_traced)
                };
                if caller.asks_to_be_provisioned() {
                    return self.begin_provisioning(caller, now_ms, desk);
                }
                let node = Arc::clone(&self.shared.node);
                self.stage =
                    Stage::Deciding(Box::pin(login::decide(node, caller, 0, self.strict_wills())));
            }
            Event::Publish(publish) if self.is_provisioning() => {
                self.handle_request(&publish, desk);
            }
            Event::Subscribe(packet) if self.is_provisioning() => {
                self.handle_candidates_subscribe(&packet, now_ms, desk);
            }
            Event::Unsubscribe(packet) if self.is_provisioning() => {
                self.handle_candidates_unsubscribe(&packet, now_ms, desk);
            }
            Event::Publish(publish) => self.handle_publish(&publish, desk),
            Event::Subscribe(packet) => self.handle_subscribe(&packet, now_ms, desk),
            Event::Unsubscribe(packet) => self.handle_unsubscribe(&packet, now_ms, desk),
            Event::Answered(notice) => self.handle_notice(notice),
            Event::Delivered(delivered) => self.handle_delivered(delivered),
            // PINGRESP is in the output already.
            Event::Ping => {}
            Event::Disconnect(_) if desk.out.is_empty() && !self.stream.says_goodbye() => {
                self.lose(Reason::ClientDisconnected, "")
            }
            // It came behind packets whose answers are still to be written (LS-034), or the stream wants
            // to say goodbye too.
            Event::Disconnect(_) => {
                self.record(Reason::ClientDisconnected, "");
                self.linger(now_ms);
            }
            Event::Violation(violation) => {
                let detail = violation.to_string();
                self.record(answer::violation(violation), &detail);
                self.linger(now_ms);
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.leave();
        if let Some(key) = self.key {
            self.shared.timers.remove(key);
        }
        self.shared.node.metrics.connections.sub(1);
    }
}

/// Rounds of reading before other connections run.
const TURNS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // With what the runtime adds, its task then takes 512 bytes; the next size is 640.
        assert!(size_of::<Connection>() <= 400, "{}", size_of::<Connection>());
    }
}
