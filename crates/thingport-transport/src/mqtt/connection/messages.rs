//! What a logged-in device sends: publications and subscriptions, and how they are answered.

use core::task::{Context, Poll};

use thingport_device::reject::Reject;
use thingport_model::port::ledger::{AppendError, Receipt};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::uplink::Uplink;
use thingport_mqtt::packet::subscribe::{Subscribe, Unsubscribe};
use thingport_mqtt::reason::ReasonCode;
use thingport_mqtt::session::{Delivery, Notice, Publish};
use thingport_mqtt::version::{Qos, Version};

use super::{Connection, Stage, Stalled};
use crate::mqtt::answer::{self, Rejection};
use crate::mqtt::scratch::Desk;

/// Publications.
impl Connection {
    pub(super) fn handle_publish(&mut self, publish: &Publish<'_>, desk: &mut Desk) {
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
    pub(super) fn wait_for(
        &mut self,
        receipt: Option<Receipt>,
        delivery: Delivery,
        out: &mut Vec<u8>,
    ) {
        match receipt {
            Some(receipt) if delivery.qos() != Qos::AtMostOnce => {
                self.pending.push((receipt, delivery));
            }
            Some(_) => {}
            None => self.session.acknowledge(delivery, ReasonCode::Success, None, out),
        }
    }

    pub(super) fn poll_committed(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
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

    pub(super) fn stall(&mut self, delivery: Delivery, is_telemetry: bool, readings: Readings) {
        self.stalled = Some(Box::new(Stalled { delivery, is_telemetry, readings }));
    }

    /// Tries the uplink again that found the commit queue full.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
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
    pub(super) fn reject(
        &mut self,
        reason: Reason,
        detail: &str,
        delivery: Delivery,
        desk: &mut Desk,
    ) {
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
            Rejection::AcknowledgeAndClose(code, closing) => {
                self.session.acknowledge(delivery, code, Some(&sentence), &mut desk.out);
                self.session.disconnect(closing, Some(&sentence), &mut desk.out);
                let now_ms = self.shared.node.clock.monotonic_ms();
                self.linger(now_ms);
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
        self.record_refused_filters(packet);
        if let Err(violation) = answered {
            self.record(answer::violation(violation), &violation.to_string());
            self.linger(now_ms);
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
