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

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thingport_core::journal::{Report, Subject};
use thingport_core::metrics::Bound;
use thingport_core::presence::Mailbox;
use thingport_core::registry::DeviceLogin;
use thingport_device::link::Link;
use thingport_device::reject::Reject;
use thingport_model::downlink::Downlink;
use thingport_model::port::ledger::{AppendError, Receipt, Waiter};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::uplink::Uplink;
use thingport_mqtt::packet::subscribe::{Subscribe, Unsubscribe};
use thingport_mqtt::reason::ReasonCode;
use thingport_mqtt::session::{Acceptance, Delivery, Event, Notice, Publish, Refusal, Session};
use thingport_mqtt::version::{Qos, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::answer::{self, Rejection};
use super::login::{self, Caller, Decision};
use super::pending::Pending;
use super::scratch::{self, Desk, Scratch};
use crate::config::{LINGER_BYTES, LINGER_MS, UNSENT_MAX, UNSENT_STALL_MS};
use crate::listen::Shared;
use crate::timers::Key;

/// One MQTT connection as a future that ends with it.
pub(crate) struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    session: Session,
    stage: Stage,
    pending: Pending,
    waiter: Waiter,
    /// An uplink that found the commit queue full. Nothing is read while it waits.
    stalled: Option<Box<Stalled>>,
    /// Bytes the socket did not take.
    unsent: Option<Box<Unsent>>,
    key: Option<Key>,
    /// When the timers will wake this task.
    wakes_at_ms: u64,
    remote: SocketAddr,
}

enum Stage {
    /// Before CONNECT, or after a session ended without a word.
    Arriving,
    /// The credentials are being looked up.
    Deciding(Pin<Box<dyn Future<Output = Decision> + Send>>),
    /// Logged in.
    Open(Open),
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
    client_id: Box<str>,
    epoch: u64,
}

struct Refreshing {
    open: Open,
    epoch: u64,
    found: Pin<Box<dyn Future<Output = Option<Arc<DeviceLogin>>> + Send>>,
}

struct Stalled {
    delivery: Delivery,
    is_telemetry: bool,
    readings: Readings,
}

struct Unsent {
    bytes: Vec<u8>,
    since_ms: u64,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, remote: SocketAddr, shared: Arc<Shared>) -> Self {
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
        let Scratch { read, desk } = scratch;
        desk.out.clear();
        if self.key.is_none() {
            self.key = Some(self.shared.timers.add(cx.waker().clone()));
        }
        let now_ms = self.shared.node.clock.monotonic_ms();
        self.handle_timeout(now_ms, desk);
        self.handle_mail(cx, desk);
        for _ in 0..TURNS_MAX {
            self.poll_decision(cx, now_ms, desk);
            self.poll_stalled(cx, desk);
            let went_on = self.handle_kept(now_ms, desk) | self.poll_read(cx, now_ms, read, desk);
            self.poll_committed(cx, desk);
            if !went_on && !self.can_go_on() {
                return self.finish_turn(cx, now_ms, desk);
            }
        }
        // Others want to run, too.
        cx.waker().wake_by_ref();
        self.finish_turn(cx, now_ms, desk)
    }

    fn finish_turn(&mut self, cx: &mut Context<'_>, now_ms: u64, desk: &mut Desk) -> Poll<()> {
        self.handle_drain(now_ms, desk);
        if self.flush(cx, now_ms, &desk.out).is_err() {
            self.lose(Reason::ConnectionLost, "");
        }
        if let Stage::Lingering { until_ms, .. } = self.stage {
            self.poll_linger(cx, now_ms, until_ms);
        }
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
    const fn is_listening(&self) -> bool {
        matches!(self.stage, Stage::Arriving | Stage::Open(_)) && self.stalled.is_none()
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
        let mut buffer = ReadBuf::new(read);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => false,
            Poll::Ready(Err(error)) => {
                self.lose(Reason::ConnectionLost, &error.to_string());
                false
            }
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.lose(Reason::ConnectionLost, "the peer closed the connection");
                false
            }
            Poll::Ready(Ok(())) => {
                let filled = buffer.filled();
                let is_full = filled.len() == buffer.capacity();
                self.shared.node.metrics.bytes_in.add(filled.len() as u64);
                self.handle_bytes(now_ms, filled, desk);
                // A short read emptied the socket: the next bytes will wake this task.
                is_full || matches!(self.stage, Stage::Deciding(_)) || self.poll_again(cx)
            }
        }
    }

    /// Registers for the next bytes after a short read.
    fn poll_again(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_listening() && self.session.reads() && self.stream.poll_read_ready(cx).is_ready()
    }

    fn handle_bytes(&mut self, now_ms: u64, bytes: &[u8], desk: &mut Desk) {
        let mut input = self.session.input(bytes);
        while let Some(event) = self.session.poll_event(now_ms, &mut input, &mut desk.out) {
            self.handle_event(event, now_ms, desk);
            if !self.is_listening() {
                break;
            }
        }
        self.session.keep(now_ms, input);
    }

    fn handle_event(&mut self, event: Event<'_>, now_ms: u64, desk: &mut Desk) {
        match event {
            Event::Connect(connect) => {
                let caller = Caller::of(&connect);
                let node = Arc::clone(&self.shared.node);
                self.stage = Stage::Deciding(Box::pin(login::decide(node, caller)));
            }
            Event::Publish(publish) => self.handle_publish(&publish, desk),
            Event::Subscribe(packet) => self.handle_subscribe(&packet, now_ms, desk),
            Event::Unsubscribe(packet) => self.handle_unsubscribe(&packet, now_ms, desk),
            Event::Answered(notice) => self.handle_notice(notice),
            // Downlinks are not sent yet, so nothing waits for their acknowledgement; PINGRESP is in
            // the output already.
            Event::Delivered(_) | Event::Ping => {}
            Event::Disconnect(_) => self.lose(Reason::ClientDisconnected, ""),
            Event::Violation(violation) => {
                let detail = violation.to_string();
                self.record(answer::violation(violation), &detail);
                self.linger(now_ms);
            }
        }
    }
}

/// Publications.
impl Connection {
    fn handle_publish(&mut self, publish: &Publish<'_>, desk: &mut Desk) {
        let Stage::Open(open) = &mut self.stage else { return };
        let shared = &self.shared;
        if publish.breaks_its_format() {
            self.reject(Reason::PayloadNotUtf8, "", publish.delivery, desk);
            return;
        }
        let now = shared.node.clock.now();
        let uplink = open.link.uplink(
            publish.topic.as_str(),
            publish.payload,
            now,
            &mut desk.decoder,
            &mut desk.readings,
            &shared.config.typing,
        );
        match uplink {
            Ok(uplink) => match shared.node.reception.receive(&open.login, uplink) {
                Ok(receipt) => self.wait_for(receipt, publish.delivery, &mut desk.out),
                Err(AppendError::Busy) => {
                    let is_telemetry = matches!(uplink, Uplink::Telemetry(_));
                    self.stall(publish.delivery, is_telemetry, desk.readings.clone());
                }
                Err(error) => self.reject(answer::append(error), "", publish.delivery, desk),
            },
            Err(Reject { reason, detail }) => self.reject(reason, &detail, publish.delivery, desk),
        }
    }

    /// The publication is answered when its commit has happened; at once when there is none to wait
    /// for.
    fn wait_for(&mut self, receipt: Option<Receipt>, delivery: Delivery, out: &mut Vec<u8>) {
        match receipt {
            Some(receipt) if delivery.qos() != Qos::AtMostOnce => {
                self.pending.push((receipt, delivery));
            }
            Some(_) => {}
            None => self.session.acknowledge(delivery, ReasonCode::Success, None, out),
        }
    }

    fn poll_committed(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        let mut acknowledged = 0;
        while let Some((receipt, delivery)) = self.pending.first() {
            match self.shared.node.ledger.poll_committed(receipt, &mut self.waiter, cx) {
                Poll::Pending => break,
                Poll::Ready(result) => {
                    self.pending.pop();
                    match result {
                        Ok(()) => {
                            let ok = ReasonCode::Success;
                            self.session.acknowledge(delivery, ok, None, &mut desk.out);
                            acknowledged += 1;
                        }
                        Err(error) => self.reject(answer::append(error), "", delivery, desk),
                    }
                }
            }
        }
        if acknowledged > 0 {
            self.shared.node.metrics.acknowledged.add(acknowledged);
        }
    }

    fn stall(&mut self, delivery: Delivery, is_telemetry: bool, readings: Readings) {
        self.stalled = Some(Box::new(Stalled { delivery, is_telemetry, readings }));
    }

    /// Tries the uplink again that found the commit queue full.
    fn poll_stalled(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        let (Some(stalled), Stage::Open(open)) = (&self.stalled, &self.stage) else { return };
        let uplink = if stalled.is_telemetry {
            Uplink::Telemetry(&stalled.readings)
        } else {
            Uplink::Attributes(&stalled.readings)
        };
        let delivery = stalled.delivery;
        match self.shared.node.reception.receive(&open.login, uplink) {
            Ok(receipt) => {
                self.stalled = None;
                self.wait_for(receipt, delivery, &mut desk.out);
                // What came behind it was kept by the session.
                let now_ms = self.shared.node.clock.monotonic_ms();
                self.handle_bytes(now_ms, &[], desk);
            }
            Err(AppendError::Busy) => {
                if self.shared.node.ledger.poll_ready(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
            }
            Err(error) => {
                self.stalled = None;
                self.reject(answer::append(error), "", delivery, desk);
            }
        }
    }

    /// Answers a publication that is not kept, and keeps the reason.
    fn reject(&mut self, reason: Reason, detail: &str, delivery: Delivery, desk: &mut Desk) {
        self.shared.node.metrics.messages_rejected.add(1);
        self.record(reason, detail);
        let acks_invalid = match &self.stage {
            Stage::Open(open) => open.link.acks_invalid(),
            _ => false,
        };
        let sentence = if detail.is_empty() {
            reason.sentence().to_owned()
        } else {
            format!("{} ({detail})", reason.sentence())
        };
        match answer::rejection(reason, self.version(), delivery.qos(), acks_invalid) {
            Rejection::Ignore => {}
            Rejection::Acknowledge(code) => {
                self.session.acknowledge(delivery, code, Some(&sentence), &mut desk.out);
            }
            Rejection::Close(code) => {
                self.session.disconnect(code, Some(&sentence), &mut desk.out);
                let now_ms = self.shared.node.clock.monotonic_ms();
                self.linger(now_ms);
            }
        }
    }

    fn version(&self) -> Version {
        self.session.version().unwrap_or(Version::V311)
    }

    fn handle_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Repeated { .. } => {}
            Notice::PacketIdInUse { packet_id } => {
                let detail = format!("packet identifier {packet_id} is still in use (P-4)");
                self.record(Reason::ProtocolViolation, &detail);
            }
            Notice::TopicTooLong { .. } => {
                self.record(Reason::TopicInvalid, "the topic is longer or deeper than L-3 allows");
            }
        }
    }
}

/// Subscriptions.
impl Connection {
    fn handle_subscribe(&mut self, packet: &Subscribe<'_>, now_ms: u64, desk: &mut Desk) {
        let Stage::Open(open) = &mut self.stage else { return };
        let mut refused = Vec::new();
        let link = &mut open.link;
        let answered = self.session.answer_subscribe(packet, &mut desk.out, |request| {
            link.subscribe(request.filter).map_err(|reject| {
                let code = answer::suback(reject.reason);
                refused.push(reject);
                code
            })
        });
        for Reject { reason, detail } in refused {
            self.record(reason, &detail);
        }
        if let Err(violation) = answered {
            self.record(answer::violation(violation), &violation.to_string());
            self.linger(now_ms);
        }
    }

    fn handle_unsubscribe(&mut self, packet: &Unsubscribe<'_>, now_ms: u64, desk: &mut Desk) {
        let Stage::Open(open) = &mut self.stage else { return };
        let link = &mut open.link;
        let answered = self.session.answer_unsubscribe(packet, &mut desk.out, |filter| {
            link.unsubscribe(filter);
            Ok(())
        });
        if let Err(violation) = answered {
            self.record(answer::violation(violation), &violation.to_string());
            self.linger(now_ms);
        }
    }
}

/// Login, mail, deadlines.
impl Connection {
    fn poll_decision(&mut self, cx: &mut Context<'_>, now_ms: u64, desk: &mut Desk) {
        match &mut self.stage {
            Stage::Deciding(deciding) => {
                if let Poll::Ready((caller, result)) = deciding.as_mut().poll(cx) {
                    match result {
                        Ok(login) => self.accept(caller, login, cx, now_ms, desk),
                        Err(refused) => {
                            let remote = self.remote.to_string();
                            login::record_refusal(&self.shared.node, &caller, &refused, &remote);
                            let (reason, return_code) = answer::connack(refused.reason);
                            let sentence = Some(refused.reason.sentence());
                            let refusal = Refusal { reason, return_code, sentence };
                            self.session.refuse(&refusal, &mut desk.out);
                            self.linger(now_ms);
                        }
                    }
                }
            }
            Stage::Refreshing(refreshing) => {
                if let Poll::Ready(found) = refreshing.found.as_mut().poll(cx) {
                    self.finish_refresh(found, now_ms, desk);
                }
            }
            Stage::Arriving | Stage::Open(_) | Stage::Lingering { .. } | Stage::Done => {}
        }
    }

    /// CONNACK goes out only once everything the client will use is there (C-12).
    fn accept(
        &mut self,
        caller: Caller,
        login: Arc<DeviceLogin>,
        cx: &Context<'_>,
        now_ms: u64,
        desk: &mut Desk,
    ) {
        let node = &self.shared.node;
        let epoch = node.presence.epoch();
        let mailbox = node.presence.open(login.device_id);
        // Registers for mail; a fresh mailbox is empty.
        let _ = mailbox.poll_mail(cx);
        let link = Link::open(self.shared.dialects.of(&login.profile), login.is_gateway);
        node.metrics.logins_accepted.add(1);
        node.metrics.sessions.add(1);
        let assigned = caller.client_id.is_empty().then(|| self.assigned_client_id());
        let client_id = assigned.as_deref().map_or(caller.client_id, Into::into);
        self.stage = Stage::Open(Open { login, link, mailbox, client_id, epoch });
        let terms = Acceptance {
            session_present: false,
            assigned_client_id: assigned.as_deref(),
            session_expiry: 0,
        };
        if let Err(violation) = self.session.accept(now_ms, &terms, &mut desk.out) {
            self.record(answer::violation(violation), &violation.to_string());
            self.linger(now_ms);
        }
    }

    /// A client id for a client that came without one (C-9): random, so that nobody can guess it.
    fn assigned_client_id(&self) -> String {
        let mut random = [0; 10];
        self.shared.node.entropy.fill(&mut random);
        random.iter().fold("auto-".to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }

    fn handle_mail(&mut self, cx: &Context<'_>, desk: &mut Desk) {
        let Stage::Open(open) = &self.stage else { return };
        for mail in open.mailbox.poll_mail(cx).into_iter().flat_map(|mail| *mail) {
            match mail {
                Downlink::Close(reason) => self.close(reason, desk),
            }
        }
    }

    /// Ends the session for a reason of ours.
    fn close(&mut self, reason: Reason, desk: &mut Desk) {
        if !matches!(self.stage, Stage::Open(_) | Stage::Arriving | Stage::Deciding(_)) {
            return;
        }
        self.record(reason, "");
        self.session.disconnect(answer::disconnect(reason), Some(reason.sentence()), &mut desk.out);
        let now_ms = self.shared.node.clock.monotonic_ms();
        self.linger(now_ms);
    }

    fn handle_timeout(&mut self, now_ms: u64, desk: &mut Desk) {
        if self.unsent.as_ref().is_some_and(|it| it.since_ms + UNSENT_STALL_MS <= now_ms)
            && !matches!(self.stage, Stage::Lingering { .. })
        {
            self.lose(Reason::SlowReader, "nothing was read for ten seconds");
            return;
        }
        if !self.is_listening() {
            return;
        }
        if let Some(violation) = self.session.handle_timeout(now_ms, &mut desk.out) {
            self.record(answer::violation(violation), &violation.to_string());
            self.linger(now_ms);
        }
    }

    /// Goes down in good order: what was received is finished first (D-4).
    fn handle_drain(&mut self, now_ms: u64, desk: &mut Desk) {
        if !self.shared.drain.has_begun() || self.stalled.is_some() || !self.pending.is_empty() {
            return;
        }
        match self.stage {
            Stage::Open(_) | Stage::Deciding(_) => self.close(Reason::ServerShuttingDown, desk),
            Stage::Arriving => self.linger(now_ms),
            Stage::Refreshing(_) | Stage::Lingering { .. } | Stage::Done => {}
        }
    }

    fn must_refresh(&self) -> bool {
        match &self.stage {
            Stage::Open(open) => open.epoch != self.shared.node.presence.epoch(),
            _ => false,
        }
    }

    fn refresh(&mut self) {
        let Stage::Open(open) = core::mem::replace(&mut self.stage, Stage::Arriving) else {
            return;
        };
        let node = Arc::clone(&self.shared.node);
        let (device, epoch) = (open.login.device_id, node.presence.epoch());
        // When the store does not answer, the session goes on with what it knows.
        let known = Arc::clone(&open.login);
        let found =
            Box::pin(async move { node.registry.login_of(device).await.unwrap_or(Some(known)) });
        self.stage = Stage::Refreshing(Box::new(Refreshing { open, epoch, found }));
    }

    fn finish_refresh(&mut self, found: Option<Arc<DeviceLogin>>, now_ms: u64, desk: &mut Desk) {
        let Stage::Refreshing(refreshing) = core::mem::replace(&mut self.stage, Stage::Arriving)
        else {
            return;
        };
        let Refreshing { mut open, epoch, .. } = *refreshing;
        open.epoch = epoch;
        let gone = found.is_none();
        if let Some(login) = found {
            // A device that moved to another profile keeps its topics until it reconnects (LS-052), and
            // a changed gateway flag waits for the next login too (LS-053).
            if login.profile.id == open.login.profile.id {
                open.link.change_dialect(self.shared.dialects.of(&login.profile));
            }
            open.login = login;
        }
        self.stage = Stage::Open(open);
        if gone {
            self.close(Reason::DeviceDeleted, desk);
        } else {
            self.handle_bytes(now_ms, &[], desk);
        }
    }

    /// Asks the timers for the next deadline, unless they will wake this task soon enough anyway.
    fn schedule(&mut self, now_ms: u64) {
        let linger = match self.stage {
            Stage::Lingering { until_ms, .. } => Some(until_ms),
            _ => None,
        };
        let unsent = self.unsent.as_ref().map(|unsent| unsent.since_ms + UNSENT_STALL_MS);
        let session = self.session.poll_timeout().map(|(deadline_ms, _)| deadline_ms);
        let Some(deadline_ms) = [linger, unsent, session].into_iter().flatten().min() else {
            return;
        };
        if self.wakes_at_ms <= now_ms || deadline_ms < self.wakes_at_ms {
            self.wakes_at_ms = deadline_ms.max(now_ms + 1);
            if let Some(key) = self.key {
                self.shared.timers.set(key, self.wakes_at_ms);
            }
        }
    }
}

/// The end.
impl Connection {
    /// Keeps an incident of this connection.
    fn record(&self, reason: Reason, detail: &str) {
        let open = match &self.stage {
            Stage::Open(open) => Some(open),
            Stage::Refreshing(refreshing) => Some(&refreshing.open),
            _ => None,
        };
        let remote = self.remote.to_string();
        self.shared.node.journal.record(&Report {
            subject: open.map_or(Subject::Stranger, |open| login::subject_of(&open.login)),
            reason,
            detail,
            remote: &remote,
            client_id: open.map_or("", |open| &open.client_id),
            user_name: "",
            protocol: login::protocol(self.session.version()),
        });
    }

    /// The connection is gone, or not worth another byte.
    fn lose(&mut self, reason: Reason, detail: &str) {
        // A peer that leaves before CONNECT, such as a port probe, is nobody's incident.
        let is_known = matches!(self.stage, Stage::Open(_) | Stage::Refreshing(_));
        if is_known {
            self.record(reason, detail);
        }
        self.leave();
        self.stage = Stage::Done;
    }

    /// The session is over: sends what is left, then closes.
    fn linger(&mut self, now_ms: u64) {
        self.leave();
        self.stage = Stage::Lingering { until_ms: now_ms + LINGER_MS, left: LINGER_BYTES };
    }

    /// Gives up the place among the connected devices.
    fn leave(&mut self) {
        self.pending.clear();
        self.stalled = None;
        let mailbox = match &self.stage {
            Stage::Open(open) => &open.mailbox,
            Stage::Refreshing(refreshing) => &refreshing.open.mailbox,
            _ => return,
        };
        self.shared.node.presence.close(mailbox);
        self.shared.node.metrics.sessions.sub(1);
    }

    /// Throws away what still comes until the peer has read our last packet and closed (D-5).
    fn poll_linger(&mut self, cx: &mut Context<'_>, now_ms: u64, until_ms: u64) {
        if now_ms >= until_ms {
            self.stage = Stage::Done;
        }
        if self.unsent.is_some() || matches!(self.stage, Stage::Done) {
            return;
        }
        if !matches!(Pin::new(&mut self.stream).poll_shutdown(cx), Poll::Ready(Ok(()))) {
            self.stage = Stage::Done;
            return;
        }
        let mut bin = [0; 1024];
        while let Stage::Lingering { left, .. } = &mut self.stage {
            let mut buffer = ReadBuf::new(&mut bin);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && *left > 0 => {
                    *left = left.saturating_sub(buffer.filled().len());
                }
                Poll::Ready(_) => self.stage = Stage::Done,
            }
        }
    }

    /// Writes what the socket takes and keeps the rest, within its bound.
    fn flush(&mut self, cx: &mut Context<'_>, now_ms: u64, out: &[u8]) -> io::Result<()> {
        if matches!(self.stage, Stage::Done) {
            return Ok(());
        }
        let Some(mut unsent) = self.unsent.take() else {
            let sent = self.write(cx, out)?;
            let rest = out.get(sent..).unwrap_or_default();
            if !rest.is_empty() {
                let bytes = rest.to_vec();
                self.unsent = Some(Box::new(Unsent { bytes, since_ms: now_ms }));
            }
            return Ok(());
        };
        if unsent.bytes.len() + out.len() > UNSENT_MAX {
            self.shared.node.metrics.count_bound(Bound::UnsentBytes);
            self.lose(Reason::SlowReader, "256 KiB wait to be read");
            return Ok(());
        }
        unsent.bytes.extend_from_slice(out);
        let sent = self.write(cx, &unsent.bytes)?;
        if sent > 0 {
            unsent.bytes.drain(..sent);
            unsent.since_ms = now_ms;
        }
        if unsent.bytes.is_empty() {
            // The socket is read again.
            cx.waker().wake_by_ref();
        } else {
            self.unsent = Some(unsent);
        }
        Ok(())
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Pending => break,
                Poll::Ready(written) => sent += written?,
            }
        }
        self.shared.node.metrics.bytes_out.add(sent as u64);
        Ok(sent)
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
