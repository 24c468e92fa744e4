//! What a logged-in device sends: publications and subscriptions, and how they are answered.

use core::future::Future;
use core::task::{Context, Poll};

use thingport_core::presence::Wants;
use thingport_device::reject::Reject;
use thingport_device::sparkplug::topic::{Wish, is_ours};
use thingport_device::topic::Subscription;
use thingport_model::port::ledger::{AppendError, Receipt};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::uplink::Uplink;
use thingport_mqtt::packet::subscribe::{Subscribe, Unsubscribe};
use thingport_mqtt::reason::ReasonCode;
use thingport_mqtt::session::{Delivery, Notice, Publish};
use thingport_mqtt::version::{Qos, Version};
use thingport_mqtt::violation::Violation;

use super::questions::Asked;
use super::{Connection, Open, Stage, Stalled, Then};
use crate::mqtt::answer::{self, Rejection};
use crate::mqtt::scratch::Desk;

/// Publications.
impl Connection {
    pub(super) fn handle_publish(&mut self, publish: &Publish<'_>, desk: &mut Desk) {
        if publish.breaks_its_format() {
            self.reject(Reason::PayloadNotUtf8, "", publish.delivery, desk);
            return;
        }
        let topic = publish.topic.as_str();
        if self.is_for_edge(topic) {
            return self.handle_edge_publish(topic, publish.payload, publish.delivery, desk);
        }
        let Stage::Open(open) = &mut self.stage else { return };
        let shared = &self.shared;
        let now = shared.node.clock.now();
        let uplink = open.link.uplink(
            topic,
            publish.payload,
            now,
            &mut desk.reader,
            &mut desk.readings,
            &shared.config.typing,
        );
        if let (Some(tap), Ok(uplink)) = (&mut desk.tap, &uplink) {
            tap.means(uplink, publish.payload);
        }
        let is_telemetry = match uplink {
            Ok(Uplink::Telemetry(_)) => true,
            Ok(Uplink::Attributes(_)) => false,
            Ok(Uplink::Children(_)) => {
                let batch = desk.reader.take_children();
                return self.handle_children(batch, publish.delivery, desk);
            }
            Ok(uplink) => {
                let asked = Asked::of(uplink, &shared.node, &open.login, &shared.bounds);
                return asked.map_or((), |it| self.handle_question(it, publish.delivery, desk));
            }
            Err(Reject { reason, detail }) => {
                return self.reject(reason, &detail, publish.delivery, desk);
            }
        };
        match self.charge(desk.readings.len()) {
            Ok(None) => self.receive(publish.delivery, is_telemetry, desk),
            Ok(Some(bite)) => {
                self.slow_uplink(publish.delivery, is_telemetry, desk.readings.clone(), bite);
            }
            Err(bite) => self.reject_in_turn(publish.delivery, bite, desk),
        }
    }

    fn receive(&mut self, delivery: Delivery, is_telemetry: bool, desk: &mut Desk) {
        let Stage::Open(open) = &self.stage else { return };
        let uplink = uplink_of(is_telemetry, &desk.readings);
        match self.shared.node.reception.receive(&open.login, uplink) {
            Ok(receipt) => self.wait_for(receipt, delivery, desk),
            Err(AppendError::Busy) => self.stall(delivery, is_telemetry, desk.readings.clone()),
            Err(error) => self.reject(answer::append(error), "", delivery, desk),
        }
    }

    /// The publication is answered when its commit has happened; at once when there is none to wait
    /// for.
    pub(super) fn wait_for(
        &mut self,
        receipt: Option<Receipt>,
        delivery: Delivery,
        desk: &mut Desk,
    ) {
        if let Some(receipt) = receipt {
            self.pending.note(receipt);
        }
        if let Some(tap) = &mut desk.tap {
            tap.promised(receipt, delivery.packet_id());
        }
        match receipt {
            Some(receipt) if delivery.qos() != Qos::AtMostOnce => {
                self.pending.push((receipt, delivery));
            }
            // Nobody is told of it but the trace.
            Some(receipt) if desk.tap.is_some() => self.pending.push((receipt, delivery)),
            Some(_) => {}
            None => {
                self.session.acknowledge(delivery, ReasonCode::Success, None, &mut desk.out);
            }
        }
    }

    pub(super) fn poll_committed(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        let mut acknowledged = 0;
        while let Some((receipt, delivery)) = self.pending.first() {
            match self.shared.node.ledger.poll_committed(receipt, &mut self.waiter, cx) {
                Poll::Pending => break,
                Poll::Ready(result) => {
                    self.pending.pop();
                    self.show_commit(receipt, result.is_ok(), desk);
                    match result {
                        _ if delivery.qos() == Qos::AtMostOnce => {}
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

    pub(super) fn stall(&mut self, delivery: Delivery, is_telemetry: bool, readings: Readings) {
        let then = Then::Receive { delivery, is_telemetry, readings };
        self.stalled = Some(Box::new(Stalled { turn: None, then }));
    }

    /// Goes on where something had to happen first, once it has. What came behind it was kept by the
    /// session.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        if let Some(stalled) = &mut self.stalled
            && let Some(turn) = &mut stalled.turn
        {
            if turn.as_mut().poll(cx).is_pending() {
                return;
            }
            stalled.turn = None;
        }
        match self.stalled.as_ref().map(|stalled| &stalled.then) {
            Some(Then::Receive { .. }) => self.poll_receive(cx, desk),
            Some(Then::Answer { .. }) => self.poll_kept(cx, desk),
            Some(Then::Children(_)) => self.poll_children(cx, desk),
            Some(Then::Edge) => self.poll_edge(cx),
            Some(Then::Reject { .. }) if self.pending.is_empty() => {
                let stalled = self.stalled.take().map(|stalled| stalled.then);
                if let Some(Then::Reject { delivery, reason, detail }) = stalled {
                    self.reject(reason, &detail, delivery, desk);
                }
            }
            Some(Then::Read) => self.stalled = None,
            Some(Then::Reject { .. }) | None => {}
        }
    }

    /// Tries the uplink again that found the commit queue full or a limit reached.
    fn poll_receive(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        let (Some(stalled), Stage::Open(open)) = (&self.stalled, &self.stage) else { return };
        let Then::Receive { delivery, is_telemetry, readings } = &stalled.then else { return };
        let (delivery, uplink) = (*delivery, uplink_of(*is_telemetry, readings));
        match self.shared.node.reception.receive(&open.login, uplink) {
            Ok(receipt) => {
                self.stalled = None;
                self.wait_for(receipt, delivery, desk);
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
    pub(super) fn reject(
        &mut self,
        reason: Reason,
        detail: &str,
        delivery: Delivery,
        desk: &mut Desk,
    ) {
        self.shared.node.metrics.messages_rejected.add(1);
        self.record(reason, detail);
        if let Some(tap) = &desk.tap {
            tap.refused(delivery.packet_id());
        }
        let acks_invalid = match &self.stage {
            Stage::Open(open) => open.link.acks_invalid(),
            _ => false,
        };
        let sentence = if detail.is_empty() {
            reason.sentence().to_owned()
        } else {
            format!("{} ({detail})", reason.sentence())
        };
        let (version, qos) = (self.version(), delivery.qos());
        let rejection = answer::rejection(reason, version, qos, acks_invalid);
        let closes = self.shared.config.rate_limit_disconnect;
        match if closes { rejection } else { rejection.staying(version) } {
            Rejection::Ignore => {}
            Rejection::AcknowledgeAndClose(code, closing) => {
                self.session.acknowledge(delivery, code, Some(&sentence), &mut desk.out);
                self.session.disconnect(closing, Some(&sentence), &mut desk.out);
                let now_ms = self.shared.node.clock.monotonic_ms();
                self.linger(now_ms);
            }
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

    pub(super) fn version(&self) -> Version {
        self.session.version().unwrap_or(Version::V311)
    }

    pub(super) fn handle_notice(&self, notice: Notice) {
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
    pub(super) fn handle_subscribe(
        &mut self,
        packet: &Subscribe<'_>,
        now_ms: u64,
        desk: &mut Desk,
    ) {
        let charged = self.charge(0);
        let Stage::Open(open) = &mut self.stage else { return };
        let (mut refused, mut listens) = (Vec::new(), false);
        let listened = open.link.rpc_requests().is_some();
        let Open { link, edge, .. } = open;
        let (is_kept, mut held) = (open.keeping.is_some(), Vec::new());
        let (host_id, mut asks_for_state) = (&self.shared.config.sparkplug.host_id, false);
        let out = if is_kept { &mut held } else { &mut desk.out };
        let answered = self.session.answer_subscribe(packet, out, |request| {
            if let Err(bite) = charged {
                return Err(answer::suback(bite.reason()));
            }
            let granted = match edge.as_deref().filter(|_| is_ours(request.filter)) {
                Some(edge) => match edge.wish(request.filter, host_id) {
                    Some(wish) => {
                        asks_for_state |= wish == Wish::State;
                        Ok(())
                    }
                    None => Err(Reject::new(Reason::FilterUnknown, request.filter)),
                },
                None => link.subscribe(request.filter),
            };
            let granted = granted.map_err(|reject| {
                let code = answer::suback(reject.reason);
                refused.push(reject);
                code
            });
            listens |= granted.is_ok() && is_for_calls(request.filter);
            granted
        });
        // In force before SUBACK leaves (U-12).
        open.note_wants();
        if listens {
            // A session that was taken up is given nothing twice.
            match &open.keeping {
                Some(it) if it.is_resumed && listened => {
                    self.shared.node.calls.renewed(&open.login);
                }
                _ => self.shared.node.calls.wanted(open.login.device_id),
            }
        }
        for Reject { reason, detail } in refused {
            self.record(reason, &detail);
        }
        self.record_refused_filters(packet);
        match charged {
            Ok(None) => {}
            Ok(Some(bite)) => self.slow(bite),
            Err(bite) => self.record(bite.reason(), &bite.to_string()),
        }
        self.finish_answer((answered, is_kept), held, now_ms, desk);
        if asks_for_state {
            // tck-id-message-flow-phid-sparkplug-state-publish
            self.send_state(true, desk);
        }
    }

    /// SUBACK or UNSUBACK leaves at once, or when the session is durable.
    fn finish_answer(
        &mut self,
        (answered, is_kept): (Result<(), Violation>, bool),
        held: Vec<u8>,
        now_ms: u64,
        desk: &mut Desk,
    ) {
        match answered {
            Ok(()) if is_kept => self.answer_when_kept(held, desk),
            Ok(()) => {}
            Err(violation) => {
                // What the client may be told of it.
                desk.out.extend_from_slice(&held);
                self.record(answer::violation(violation), &violation.to_string());
                self.linger(now_ms);
            }
        }
    }

    /// Filters that the session refused by itself, without asking anybody (U-7, U-8, L-4).
    pub(super) fn record_refused_filters(&self, packet: &Subscribe<'_>) {
        let looked_at = usize::from(self.shared.bounds.filters_max);
        for request in packet.requests().take(looked_at) {
            if let Some(code) = request.refusal {
                self.record(answer::refused_filter(code), request.filter);
            }
        }
        if packet.requests().nth(looked_at).is_some() {
            self.record(Reason::TooManyFilters, &format!("more than {looked_at} filters"));
        }
    }

    pub(super) fn handle_unsubscribe(
        &mut self,
        packet: &Unsubscribe<'_>,
        now_ms: u64,
        desk: &mut Desk,
    ) {
        let Stage::Open(open) = &mut self.stage else { return };
        let link = &mut open.link;
        let (is_kept, mut held) = (open.keeping.is_some(), Vec::new());
        let out = if is_kept { &mut held } else { &mut desk.out };
        let answered = self.session.answer_unsubscribe(packet, out, |filter| {
            link.unsubscribe(filter);
            Ok(())
        });
        let listened = open.mailbox.wants().calls;
        open.note_wants();
        if listened && !open.mailbox.wants().calls {
            self.shared.node.calls.unwanted(open.login.device_id);
        }
        self.finish_answer((answered, is_kept), held, now_ms, desk);
    }
}

impl Open {
    /// Lets whoever tells devices something know what this one subscribed to.
    pub(super) fn note_wants(&self) {
        let is_born = self.edge.as_ref().is_some_and(|edge| edge.is_born());
        self.mailbox.set_wants(Wants {
            attributes: is_born || self.link.attribute_updates().is_some(),
            calls: is_born || self.link.rpc_requests().is_some(),
        });
    }
}

fn is_for_calls(filter: &str) -> bool {
    matches!(Subscription::of(filter), Some((_, Subscription::RpcRequests(_))))
}

const fn uplink_of(is_telemetry: bool, readings: &Readings) -> Uplink<'_> {
    if is_telemetry { Uplink::Telemetry(readings) } else { Uplink::Attributes(readings) }
}
