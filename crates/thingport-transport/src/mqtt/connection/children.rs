//! What children say through this connection, and what they are told: it is a gateway's or an edge node's.
//!
//! One message may speak for thousands. Children that nobody spoke for yet are looked up, or made, beside
//! the connection, which reads nothing meanwhile; so no child's word overtakes another. The message is
//! acknowledged when all of it is kept. When a part is refused, the answer names whose (GW-083): the others
//! are kept all the same.

use core::fmt::Write as _;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use thingport_core::attributes::AttributesWanted;
use thingport_core::children::{
    ChildErrand, ChildFault, ChildTask, Children, Finished, Question, Step,
};
use thingport_core::journal::{Report, Subject};
use thingport_core::node::Node;
use thingport_core::presence::Letter;
use thingport_core::registry::{DeviceLogin, FoundChild};
use thingport_device::reject::Reject;
use thingport_model::child::ChildBatch;
use thingport_model::downlink::Downlink;
use thingport_model::id::DeviceId;
use thingport_model::reason::Reason;
use thingport_model::rpc::CallProgress;
use thingport_mqtt::reason::ReasonCode;
use thingport_mqtt::session::{Delivery, Sent};
use thingport_mqtt::version::{Qos, Version};
use tokio::task::JoinHandle;

use super::downlinks::UNTOLD;
use super::questions::After;
use super::{Connection, Open, Stage, Stalled, Then};
use crate::mqtt::answer;
use crate::mqtt::login;
use crate::mqtt::scratch::Desk;

/// A message about children that is not taken yet.
pub(super) struct Family {
    task: ChildTask,
    delivery: Delivery,
    /// Those who are looked up.
    finding: Option<JoinHandle<Vec<FoundChild>>>,
}

/// What they say.
impl Connection {
    pub(super) fn handle_children(
        &mut self,
        batch: ChildBatch,
        delivery: Delivery,
        desk: &mut Desk,
    ) {
        let task = ChildTask::new(batch);
        self.proceed(Family { task, delivery, finding: None }, desk);
    }

    /// Goes on with a message that had to wait.
    pub(super) fn poll_children(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        let Some(Then::Children(family)) = self.stalled.as_mut().map(|it| &mut it.then) else {
            return;
        };
        let found = match &mut family.finding {
            None => {
                if self.shared.node.ledger.poll_ready(cx).is_pending() {
                    return;
                }
                None
            }
            Some(finding) => match Pin::new(finding).poll(cx) {
                Poll::Pending => return,
                Poll::Ready(found) => Some(found.unwrap_or_default()),
            },
        };
        let Some(Then::Children(mut family)) = self.stalled.take().map(|it| it.then) else {
            return;
        };
        if let Some(found) = found {
            family.finding = None;
            let node = Arc::clone(&self.shared.node);
            match self.children() {
                // Nobody was found because the search itself came to nothing.
                Some(children) if found.is_empty() => {
                    let wishes = children.strangers(&family.task);
                    let lost = wishes.into_iter().map(|wish| FoundChild {
                        name: wish.name,
                        device: Err(Reason::ChildNotMade.into()),
                    });
                    children.adopt(&node, lost.collect(), &mut family.task);
                }
                Some(children) => children.adopt(&node, found, &mut family.task),
                None => return,
            }
        }
        self.proceed(*family, desk);
        if self.stalled.is_some() {
            // What it waits for now is asked in the next round.
            cx.waker().wake_by_ref();
        }
    }

    fn proceed(&mut self, mut family: Family, desk: &mut Desk) {
        let node = Arc::clone(&self.shared.node);
        let Some(children) = self.children() else { return };
        match children.proceed(&node, &mut family.task) {
            Step::Done => {
                let Family { task, delivery, .. } = family;
                return self.finish_children(task.finish(), delivery, desk);
            }
            Step::Busy => {}
            Step::Strangers => {
                let wishes = children.strangers(&family.task);
                let Stage::Open(Open { login, .. }) = &self.stage else { return };
                let login = Arc::clone(login);
                // Devices that are being made are made to the end, whatever becomes of the connection.
                family.finding =
                    Some(tokio::spawn(
                        async move { node.registry.find_children(&login, wishes).await },
                    ));
            }
        }
        let then = Then::Children(Box::new(family));
        self.stalled = Some(Box::new(Stalled { turn: None, then }));
    }

    /// All of a message was taken, or refused.
    fn finish_children(&mut self, finished: Finished, delivery: Delivery, desk: &mut Desk) {
        let Finished { receipt, faults, errands, slowed } = finished;
        self.record_faults(&faults);
        self.tell_faults(&faults, delivery, desk);
        let refusal = refusal(&faults);
        if errands.is_empty() {
            match refusal {
                None => self.wait_for(receipt, delivery, desk),
                Some((reason, detail)) => {
                    if let Some(receipt) = receipt {
                        // What was kept of it is durable before the answer says so.
                        self.pending.note(receipt);
                        self.pending.push((receipt, Delivery::UNANSWERED));
                    }
                    self.refuse_in_turn((reason, detail), delivery, desk);
                }
            }
        } else {
            self.begin_errands(errands, refusal, delivery, desk);
        }
        if let (Some(bite), Stage::Open(_), None) = (slowed, &self.stage, &self.stalled) {
            self.slow(bite);
        }
    }

    /// A publication without an acknowledgement has another way to say what was refused of it, in version 5
    /// (GW-080); never of what was kept (GW-081).
    fn tell_faults(&mut self, faults: &[ChildFault], delivery: Delivery, desk: &mut Desk) {
        if self.version() != Version::V5 || delivery.qos() != Qos::AtMostOnce {
            return;
        }
        for fault in faults.iter().take(TOLD_MAX) {
            let Stage::Open(open) = &self.stage else { return };
            let is_limit = matches!(fault.reason, Reason::RateLimited | Reason::QuotaReached);
            let written = open.link.child_refused(&fault.name, is_limit, &mut desk.page);
            let Ok(publication) = written else { return };
            self.place(publication, (UNTOLD, None), &mut desk.out);
        }
    }

    fn begin_errands(
        &mut self,
        errands: Vec<ChildErrand>,
        refusal: Option<(Reason, String)>,
        delivery: Delivery,
        desk: &mut Desk,
    ) {
        let node = Arc::clone(&self.shared.node);
        node.metrics.questions.add(errands.len() as u64);
        let (mut asked, mut kept) = (Vec::new(), Vec::new());
        for errand in errands {
            let list = match errand.question {
                Question::Attributes { .. } => &mut asked,
                Question::CallAnswer { .. } | Question::Claim { .. } => &mut kept,
            };
            list.push(errand);
        }
        if kept.is_empty() {
            match refusal {
                None => {
                    self.session.acknowledge(delivery, ReasonCode::Success, None, &mut desk.out);
                }
                Some(refusal) => self.refuse_in_turn(refusal, delivery, desk),
            }
        } else {
            let after = match refusal {
                None => After::Acknowledge(delivery),
                Some((reason, detail)) => After::Refuse { delivery, reason, detail },
            };
            let node = Arc::clone(&node);
            let work = async move {
                for errand in kept {
                    keep(&node, errand).await?;
                }
                Ok(None)
            };
            self.run(after, Box::pin(work), desk);
        }
        for errand in asked {
            self.answer_child(errand, Arc::clone(&node), desk);
        }
    }

    fn answer_child(&mut self, errand: ChildErrand, node: Arc<Node>, desk: &mut Desk) {
        let ChildErrand { name, device, question, .. } = errand;
        let Question::Attributes { reply_to, client, shared } = question else { return };
        let found = async move {
            let found = node.attributes.asked(device, AttributesWanted { client, shared }).await;
            let found = Box::new(found.map_err(|_| Reason::AnswerFailed)?);
            Ok(Some(Downlink::AttributesAnswer { reply_to, found }))
        };
        self.run(After::TellChild(name), Box::pin(found), desk);
    }

    /// Keeps an incident of each child that something was refused of; of the gateway for those that are no
    /// device. The gateway's own names them all.
    pub(super) fn record_faults(&self, faults: &[ChildFault]) {
        for fault in faults {
            if let Some(device) = fault.device {
                self.record_child(device, fault.reason, &fault.detail);
            }
        }
    }

    fn record_child(&self, device: DeviceId, reason: Reason, detail: &str) {
        let Stage::Open(open) = &self.stage else { return };
        let (node, number) = (&self.shared.node, open.mailbox.number().0);
        let protocol = login::protocol(self.session.version());
        if let Some(trace) = node.traces.running(device) {
            // The packet itself is in the trace of the gateway.
            trace.give_reason(Some(number), protocol, reason, detail);
            trace.note_reasons(Some(number), node.clock.now());
        }
        node.journal.record(&Report {
            subject: Subject::Device(device, open.login.tenant_id),
            reason,
            detail,
            remote: &self.remote.to_string(),
            client_id: &open.greeting.client_id,
            user_name: "",
            protocol,
            attempt: None,
        });
    }
}

/// What they are told.
impl Connection {
    /// There is mail for a child.
    pub(super) fn handle_child_mail(&mut self, place: u32, desk: &mut Desk) {
        loop {
            let letters = self.children().map(|it| it.poll_mail(place)).unwrap_or_default();
            if letters.is_empty() {
                return;
            }
            for letter in letters {
                match letter {
                    // The gateway is not told (GW-061).
                    Letter::Told(Downlink::Close(reason)) => self.end_child(place, reason),
                    Letter::Told(downlink) | Letter::Owed { downlink, .. } => {
                        self.tell_child(place, &downlink, desk);
                    }
                    Letter::Asked(inquiry) => {
                        if let Some(line) = self.line() {
                            inquiry.answer(line);
                        }
                    }
                    // Errands are the connection's own, and children have none.
                    Letter::Done { .. } | Letter::Rang(_) => {}
                }
            }
        }
    }

    /// A child speaks no more through this connection, which its own incidents explain.
    fn end_child(&mut self, place: u32, reason: Reason) {
        let node = Arc::clone(&self.shared.node);
        let Some(children) = self.children() else { return };
        let device = children.child(place).map(|(_, device)| device);
        children.end(&node, place);
        // Of one that was deleted nothing is kept any more.
        if let Some(device) = device.filter(|_| reason != Reason::DeviceDeleted) {
            self.record_child(device, reason, "it spoke through a gateway");
        }
    }

    /// What was looked up for a child is known.
    pub(super) fn tell_child_named(&mut self, name: &str, downlink: &Downlink, desk: &mut Desk) {
        if let Some(place) = self.children().and_then(|it| it.place(name)) {
            self.tell_child(place, downlink, desk);
        }
    }

    fn tell_child(&mut self, place: u32, downlink: &Downlink, desk: &mut Desk) {
        let Stage::Open(open) = &self.stage else { return };
        let Some((name, device)) = open.children.as_ref().and_then(|it| it.child(place)) else {
            return;
        };
        if open.edge.is_some() {
            let name = Arc::clone(name);
            self.tell_edge(Some((&name, device)), downlink, desk);
            return;
        }
        let token = match downlink {
            Downlink::Call { token, .. } => Some(*token),
            _ => None,
        };
        let about = (token.map_or(UNTOLD, |token| token.0.get()), None);
        let sent = match open.link.child_downlink(name, downlink, &mut desk.page) {
            Ok(Some(publication)) => {
                let topic = publication.topic;
                let sent = self.place(publication, about, &mut desk.out);
                if sent == Sent::Full {
                    self.record(Reason::TooManyDownlinks, topic);
                }
                sent
            }
            // This dialect has no way to tell it.
            Ok(None) => Sent::TooLarge,
            Err(Reject { reason, detail }) => {
                self.record(reason, &detail);
                Sent::TooLarge
            }
        };
        let Some(token) = token else { return };
        let progress = match sent {
            Sent::Unacknowledged => CallProgress::Delivered,
            Sent::InFlight | Sent::Waiting => {
                if let Some(children) = self.children() {
                    children.note_sent(token, device);
                }
                CallProgress::Sent
            }
            Sent::TooLarge => CallProgress::Impossible,
            Sent::Full | Sent::Closed => CallProgress::NotNow,
        };
        self.shared.node.calls.progress(device, token, progress);
    }
}

impl Connection {
    /// The children of this connection, which begins to have some.
    pub(super) fn children(&mut self) -> Option<&mut Children> {
        let Stage::Open(open) = &mut self.stage else { return None };
        let Open { children, login, mailbox, edge, .. } = open;
        Some(children.get_or_insert_with(|| {
            let children = Children::new(
                &self.shared.node,
                Arc::<DeviceLogin>::clone(login),
                Arc::clone(mailbox),
            );
            Box::new(match edge {
                Some(edge) => children.of_edge_node(&edge.prefix()),
                None => children,
            })
        }))
    }
}

async fn keep(node: &Node, errand: ChildErrand) -> Result<(), Reason> {
    let ChildErrand { device, tenant, question, .. } = errand;
    match question {
        Question::CallAnswer { id, body } => node.calls.answered(device, id, body).await,
        Question::Claim { secret, duration_ms } => {
            node.claims.offer((device, tenant), secret, duration_ms).await
        }
        Question::Attributes { .. } => Ok(()),
    }
}

/// The one answer for all that was refused of a message (GW-083): for the gravest reason, and naming whose
/// parts they were.
fn refusal(faults: &[ChildFault]) -> Option<(Reason, String)> {
    let gravest = faults.iter().find(|it| is_grave(it.reason)).or_else(|| faults.first())?;
    let mut detail = String::new();
    for fault in faults.iter().take(NAMED_MAX) {
        let separator = if detail.is_empty() { "" } else { "; " };
        let name: String = fault.name.chars().take(NAME_SHOWN_MAX).collect();
        let shown = name.escape_debug();
        // Writing to a string does not fail.
        let _ = write!(detail, "{separator}\"{shown}\": {}", fault.reason.sentence());
        if !fault.detail.is_empty() {
            let _ = write!(detail, " ({})", fault.detail);
        }
    }
    if faults.len() > NAMED_MAX {
        let _ = write!(detail, "; and {} more", faults.len() - NAMED_MAX);
    }
    Some((answer::of_child(gravest.reason), detail))
}

/// Whether the gateway should send it again.
const fn is_grave(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::RateLimited
            | Reason::QuotaReached
            | Reason::StorageFull
            | Reason::StorageFailed
            | Reason::StorageBusy
            | Reason::Internal
    )
}

/// Children that an answer names; of more their number is told.
const NAMED_MAX: usize = 4;
/// Children that a gateway is told of which something was refused, of one message.
const TOLD_MAX: usize = 16;
/// Characters of a name that are shown.
const NAME_SHOWN_MAX: usize = 64;
