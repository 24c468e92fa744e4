//! A provisioning session: a client that is no device yet and may do nothing but ask to become one
//! (device API 7.2).
//!
//! It displaces nobody, stays a guest as long as it lives, and does not live long: a minute or so until
//! it asks, and as long after its first answer. Requests are answered one after the other.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use thingport_core::admit::Refused;
use thingport_core::metrics::Bound;
use thingport_core::node::Node;
use thingport_device::provision::{
    self as dialect, PROVISION_RESPONSE_TOPIC, ProvisionAnswer, ProvisionForm,
};
use thingport_device::reject::Reject;
use thingport_model::reason::Reason;
use thingport_mqtt::packet::subscribe::{Subscribe, Unsubscribe};
use thingport_mqtt::reason::ReasonCode;
use thingport_mqtt::session::{Acceptance, Delivery, Publish};
use thingport_mqtt::topic::TopicName;

use super::downlinks::UNTOLD;
use super::{Connection, Stage};
use crate::mqtt::answer::{self, Rejection};
use crate::mqtt::login::{self, Caller};
use crate::mqtt::scratch::Desk;
use crate::provision::{Origin, Provisioned, is_guess, note, provision};

/// The state of a provisioning session.
pub(super) struct Candidate {
    pub(super) client_id: Box<str>,
    /// When it is closed, unless a request is worked at then.
    until_ms: u64,
    is_answered: bool,
    /// Requests with a wrong key or secret.
    guesses: u8,
    work: Option<Work>,
    _place: Place,
}

/// The request that is worked at.
struct Work {
    delivery: Delivery,
    form: ProvisionForm,
    provisioned: Pin<Box<dyn Future<Output = Provisioned> + Send>>,
}

/// A place among the provisioning sessions; given back when it is dropped.
struct Place(Arc<Node>);

impl Place {
    /// None when all are taken.
    fn take(node: &Arc<Node>) -> Option<Self> {
        if node.metrics.provisioning_sessions.value() >= PROVISIONING_SESSIONS_MAX {
            node.metrics.count_bound(Bound::ProvisioningSessions);
            return None;
        }
        node.metrics.provisioning_sessions.add(1);
        Some(Self(Arc::clone(node)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.metrics.provisioning_sessions.sub(1);
    }
}

impl Candidate {
    /// Whether the next packet may be handled.
    pub(super) const fn is_idle(&self) -> bool {
        self.work.is_none()
    }

    /// When the session is due to be closed; not while a request is worked at.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.is_idle().then_some(self.until_ms)
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<(Delivery, ProvisionForm, Provisioned)> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let Poll::Ready(provisioned) = work.provisioned.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        let (delivery, form) = (work.delivery, work.form);
        self.work = None;
        Poll::Ready((delivery, form, provisioned))
    }
}

/// Provisioning.
impl Connection {
    pub(super) const fn is_provisioning(&self) -> bool {
        matches!(self.stage, Stage::Provisioning(_))
    }

    /// Lets a client in that asks to be provisioned (AU-001).
    pub(super) fn begin_provisioning(&mut self, mut caller: Caller, now_ms: u64, desk: &mut Desk) {
        let node = &self.shared.node;
        let Some(place) = Place::take(node) else {
            let refused = Refused::from(Reason::ProvisioningUnavailable);
            return self.turn_away(&mut caller, &refused, now_ms, desk);
        };
        node.metrics.logins_accepted.add(1);
        let assigned = caller.client_id.is_empty().then(|| self.assigned_client_id());
        self.stage = Stage::Provisioning(Box::new(Candidate {
            client_id: assigned.as_deref().map_or(caller.client_id, Into::into),
            until_ms: now_ms + self.shared.config.provisioning_timeout_ms,
            is_answered: false,
            guesses: 0,
            work: None,
            _place: place,
        }));
        let assigned_client_id = assigned.as_deref();
        let terms = Acceptance { assigned_client_id, ..Acceptance::default() };
        self.welcome(&terms, now_ms, desk);
    }

    /// PR-002, PR-003, PR-005.
    pub(super) fn handle_request(&mut self, publish: &Publish<'_>, desk: &mut Desk) {
        let delivery = publish.delivery;
        let read = if publish.breaks_its_format() {
            Err(Reject::new(Reason::PayloadNotUtf8, ""))
        } else {
            dialect::publication(publish.topic.as_str(), publish.payload)
        };
        let Stage::Provisioning(candidate) = &mut self.stage else { return };
        match read {
            Ok((form, request)) => {
                let node = Arc::clone(&self.shared.node);
                let provisioned = Box::pin(provision(node, request));
                candidate.work = Some(Work { delivery, form, provisioned });
            }
            Err(Reject { reason, detail }) => {
                self.shared.node.metrics.messages_rejected.add(1);
                self.record(reason, &detail);
                self.refuse_request(reason, &detail, delivery, desk);
            }
        }
    }

    /// Answers the request that is worked at, once that is done.
    pub(super) fn poll_request(&mut self, cx: &mut Context<'_>, now_ms: u64, desk: &mut Desk) {
        let Stage::Provisioning(candidate) = &mut self.stage else { return };
        let Poll::Ready((delivery, form, provisioned)) = candidate.poll_work(cx) else { return };
        let origin = Origin {
            remote: self.remote,
            client_id: &candidate.client_id,
            protocol: login::protocol(self.session.version()),
        };
        note(&self.shared.node, &provisioned, &origin);
        match &provisioned {
            Ok(credentials) => {
                let body = ProvisionAnswer::Granted(credentials).write(form);
                self.answer_request(&body, delivery, now_ms, desk);
            }
            Err(not) => match ProvisionAnswer::of(not.reason) {
                Some(answer) => {
                    self.answer_request(&answer.write(form), delivery, now_ms, desk);
                    self.count_guess(not.reason, desk);
                }
                None => self.refuse_request(not.reason, "", delivery, desk),
            },
        }
    }

    /// PUBACK first, then the answer, whether it was subscribed or not (PR-004).
    fn answer_request(&mut self, body: &[u8], delivery: Delivery, now_ms: u64, desk: &mut Desk) {
        self.session.acknowledge(delivery, ReasonCode::Success, None, &mut desk.out);
        if let Ok(topic) = TopicName::parse(PROVISION_RESPONSE_TOPIC) {
            self.send(topic, body, (UNTOLD, None), &mut desk.out);
        }
        let Stage::Provisioning(candidate) = &mut self.stage else { return };
        if !candidate.is_answered {
            candidate.is_answered = true;
            candidate.until_ms = now_ms + self.shared.config.provisioning_timeout_ms;
        }
    }

    /// A connection that is open already is not kept from guessing by the guard.
    fn count_guess(&mut self, reason: Reason, desk: &mut Desk) {
        let Stage::Provisioning(candidate) = &mut self.stage else { return };
        candidate.guesses = candidate.guesses.saturating_add(u8::from(is_guess(reason)));
        if candidate.guesses >= GUESSES_MAX {
            self.close(Reason::ProvisionGuesses, desk);
        }
    }

    fn refuse_request(
        &mut self,
        reason: Reason,
        detail: &str,
        delivery: Delivery,
        desk: &mut Desk,
    ) {
        let sentence = if detail.is_empty() {
            reason.sentence().to_owned()
        } else {
            format!("{} ({detail})", reason.sentence())
        };
        let rejection = answer::provisioning(reason, self.version(), delivery.qos());
        let (puback, closing) = match rejection {
            Rejection::Ignore => (None, None),
            Rejection::Acknowledge(code) => (Some(code), None),
            Rejection::Close(code) => (None, Some(code)),
            Rejection::AcknowledgeAndClose(code, closing) => (Some(code), Some(closing)),
        };
        if let Some(code) = puback {
            self.session.acknowledge(delivery, code, Some(&sentence), &mut desk.out);
        }
        if let Some(code) = closing {
            self.session.disconnect(code, Some(&sentence), &mut desk.out);
            let now_ms = self.shared.node.clock.monotonic_ms();
            self.linger(now_ms);
        }
    }

    /// PR-002: one filter and no other.
    pub(super) fn handle_candidates_subscribe(
        &mut self,
        packet: &Subscribe<'_>,
        now_ms: u64,
        desk: &mut Desk,
    ) {
        let mut refused = Vec::new();
        let answered = self.session.answer_subscribe(packet, &mut desk.out, |request| {
            dialect::subscribe(request.filter).map_err(|reject| {
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

    pub(super) fn handle_candidates_unsubscribe(
        &mut self,
        packet: &Unsubscribe<'_>,
        now_ms: u64,
        desk: &mut Desk,
    ) {
        let answered = self.session.answer_unsubscribe(packet, &mut desk.out, |_| Ok(()));
        if let Err(violation) = answered {
            self.record(answer::violation(violation), &violation.to_string());
            self.linger(now_ms);
        }
    }

    /// PR-004, PR-008: nobody stays for long.
    pub(super) fn handle_impatience(&mut self, now_ms: u64, desk: &mut Desk) {
        let Stage::Provisioning(candidate) = &self.stage else { return };
        if candidate.deadline().is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            let is_done = candidate.is_answered;
            let reason = if is_done { Reason::ProvisioningDone } else { Reason::ProvisioningIdle };
            self.close(reason, desk);
        }
    }
}

/// Wrong keys or secrets of one connection.
const GUESSES_MAX: u8 = 10;
/// Provisioning sessions at once (`provisioning_sessions_max`): fewer than the guests, so that whoever
/// has credentials still finds a place.
const PROVISIONING_SESSIONS_MAX: u64 = 1_000;
