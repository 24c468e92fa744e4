//! What a device asks, and what it answers to calls: everything that carries no reading.
//!
//! A question is acknowledged first and answered as soon as the answer is known (JS-072), by an errand:
//! a task beside the connection, which goes on meanwhile and finds the answer in its mailbox. An answer
//! to a call and a claim are acknowledged when they are kept. Errands begin when all that the device sent
//! before is committed, so that it finds what it wrote before it asked.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;

use thingport_core::attributes::AttributesWanted;
use thingport_core::client_calls::{Question, SessionBounds, about, words};
use thingport_core::metrics::Bound;
use thingport_core::node::Node;
use thingport_core::packages::Downloads;
use thingport_core::presence::{Errand, Failure, Outcome};
use thingport_core::registry::DeviceLogin;
use thingport_model::downlink::{ClientAnswer, Downlink};
use thingport_model::port::ledger::committed;
use thingport_model::reason::Reason;
use thingport_model::rpc::ReplyTo;
use thingport_model::uplink::{PackageRequest, Uplink};
use thingport_mqtt::limits::Bounds;
use thingport_mqtt::reason::ReasonCode;
use thingport_mqtt::session::Delivery;

use super::{Connection, Stage};
use crate::mqtt::scratch::Desk;

/// What a device asks or answers, with texts of its own.
pub(super) enum Asked {
    Attributes {
        reply_to: ReplyTo,
        wanted: AttributesWanted,
    },
    CallAnswer {
        id: u32,
        body: String,
    },
    /// What the server itself answers, at once and uncounted (CR-021).
    BuiltIn {
        reply_to: ReplyTo,
        answer: ClientAnswer,
    },
    ClientCall {
        reply_to: ReplyTo,
        question: Question,
    },
    Claim {
        secret: String,
        duration_ms: Option<u64>,
    },
    Package(PackageRequest),
}

/// The errands of one connection that are under way, and its downloads.
#[derive(Default)]
pub(super) struct Questions {
    last_ticket: u32,
    under_way: Vec<UnderWay>,
    downloads: Option<Arc<Downloads>>,
}

struct UnderWay {
    ticket: u32,
    after: After,
}

/// What is due when an errand has ended.
pub(super) enum After {
    /// Telling what was found, if anything.
    Tell,
    /// Telling it to the child of this name.
    TellChild(Box<str>),
    /// An acknowledgement.
    Acknowledge(Delivery),
    /// A refusal, since some of what came together was refused.
    Refuse { delivery: Delivery, reason: Reason, detail: String },
    /// Telling the device what was answered, or that it failed.
    Answer { reply_to: ReplyTo, method: String },
}

pub(super) type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

impl Asked {
    /// What an uplink asks; none when it carries readings.
    pub(super) fn of(
        uplink: Uplink<'_>,
        node: &Node,
        login: &DeviceLogin,
        bounds: &Bounds,
    ) -> Option<Self> {
        let Bounds { packet_size_max, receive_maximum, .. } = *bounds;
        Some(match uplink {
            Uplink::Telemetry(_) | Uplink::Attributes(_) | Uplink::Children(_) => return None,
            Uplink::AttributeRequest(request) => {
                Self::Attributes { reply_to: request.reply_to, wanted: request.into() }
            }
            Uplink::CallAnswer(answer) => {
                Self::CallAnswer { id: answer.id, body: answer.body.to_owned() }
            }
            Uplink::ClientCall(call) => {
                let (reply_to, bounds) =
                    (call.reply_to, SessionBounds { packet_size_max, receive_maximum });
                match node.client_calls.built_in(login, call, bounds) {
                    Some(answer) => Self::BuiltIn { reply_to, answer },
                    None => Self::ClientCall { reply_to, question: call.into() },
                }
            }
            Uplink::Claim(claim) => {
                Self::Claim { secret: claim.secret.to_owned(), duration_ms: claim.duration_ms }
            }
            Uplink::PackageRequest(request) => Self::Package(request),
        })
    }
}

impl Questions {
    /// Whether another one must wait, and so all that comes behind it.
    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= ERRANDS_MAX
    }

    fn begin(&mut self, after: After) -> u32 {
        self.last_ticket = self.last_ticket.wrapping_add(1);
        self.under_way.push(UnderWay { ticket: self.last_ticket, after });
        self.last_ticket
    }

    fn end(&mut self, ticket: u32) -> Option<After> {
        let at = self.under_way.iter().position(|it| it.ticket == ticket)?;
        Some(self.under_way.swap_remove(at).after)
    }

    fn client_calls(&self) -> usize {
        let is_call = |it: &&UnderWay| matches!(it.after, After::Answer { .. });
        self.under_way.iter().filter(is_call).count()
    }

    /// Whether nothing is lost when these are forgotten.
    fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.downloads.is_none()
    }
}

/// Questions.
impl Connection {
    pub(super) fn handle_question(&mut self, asked: Asked, delivery: Delivery, desk: &mut Desk) {
        let charged = match asked {
            _ if !self.is_counted(&asked) => Ok(None),
            Asked::Attributes { .. } | Asked::CallAnswer { .. } => self.charge(0),
            _ => self.charge_uncounted(),
        };
        match charged {
            Ok(None) => self.take_question(asked, delivery, desk),
            Ok(Some(bite)) => {
                self.take_question(asked, delivery, desk);
                if matches!(self.stage, Stage::Open(_)) {
                    self.slow(bite);
                }
            }
            Err(bite) => self.reject_in_turn(delivery, bite, desk),
        }
    }

    /// Device API 10.2: built-in questions and all but the first request of a download are not counted.
    fn is_counted(&mut self, asked: &Asked) -> bool {
        match asked {
            Asked::BuiltIn { .. } => false,
            Asked::Package(request) => {
                let downloads = self.downloads();
                downloads.is_some_and(|it| it.begin(*request, &self.shared.node.metrics))
            }
            _ => true,
        }
    }

    fn take_question(&mut self, asked: Asked, delivery: Delivery, desk: &mut Desk) {
        let Stage::Open(open) = &self.stage else { return };
        let (node, login) = (Arc::clone(&self.shared.node), Arc::clone(&open.login));
        node.metrics.questions.add(1);
        match asked {
            Asked::CallAnswer { id, body } => {
                let kept = async move {
                    Ok(node.calls.answered(login.device_id, id, body).await.map(|()| None)?)
                };
                self.run(After::Acknowledge(delivery), Box::pin(kept), desk);
            }
            Asked::Claim { secret, duration_ms } => {
                let kept = async move {
                    Ok(node
                        .claims
                        .offer((login.device_id, login.tenant_id), secret, duration_ms)
                        .await
                        .map(|()| None)?)
                };
                self.run(After::Acknowledge(delivery), Box::pin(kept), desk);
            }
            question => {
                self.session.acknowledge(delivery, ReasonCode::Success, None, &mut desk.out);
                self.answer(question, node, login, desk);
            }
        }
    }

    /// Finds the answer to a question that was acknowledged.
    fn answer(
        &mut self,
        question: Asked,
        node: Arc<Node>,
        login: Arc<DeviceLogin>,
        desk: &mut Desk,
    ) {
        match question {
            Asked::BuiltIn { reply_to, answer } => {
                self.tell(&Downlink::ClientAnswer { reply_to, answer: Box::new(answer) }, desk);
            }
            Asked::Attributes { reply_to, wanted } => {
                let found = async move {
                    let found = node.attributes.asked(login.device_id, wanted).await;
                    let found = Box::new(found.map_err(|_| Reason::AnswerFailed)?);
                    Ok(Some(Downlink::AttributesAnswer { reply_to, found }))
                };
                self.run(After::Tell, Box::pin(found), desk);
            }
            Asked::ClientCall { reply_to, question } => {
                self.ask_for_device(reply_to, question, node, login, desk);
            }
            Asked::Package(request) => {
                let Some(downloads) = self.downloads() else { return };
                let part = async move {
                    let PackageRequest { kind, request: number, chunk, .. } = request;
                    let part = node.packages.chunk(&login, &downloads, request).await;
                    Ok(Some(match part {
                        Ok(bytes) => Downlink::PackageChunk { kind, request: number, chunk, bytes },
                        Err(error) => Downlink::PackageError { kind, error },
                    }))
                };
                self.run(After::Tell, Box::pin(part), desk);
            }
            Asked::CallAnswer { .. } | Asked::Claim { .. } => {}
        }
    }

    /// Asks whoever handles client calls. A slow one costs the device no other question.
    fn ask_for_device(
        &mut self,
        reply_to: ReplyTo,
        question: Question,
        node: Arc<Node>,
        login: Arc<DeviceLogin>,
        desk: &mut Desk,
    ) {
        let after = After::Answer { reply_to, method: question.method.clone() };
        if self.questions().is_some_and(|it| it.client_calls() >= CLIENT_CALLS_MAX) {
            node.metrics.count_bound(Bound::ClientCalls);
            return self.finish(after, Err(Reason::TooManyClientCalls.into()), desk);
        }
        let asked = async move {
            let asked = node.client_calls.ask(&login, question);
            let asked = tokio::time::timeout(CLIENT_CALL_TIMEOUT, asked).await;
            let answer = Box::new(asked.map_err(|_| Reason::ClientCallNotAnswered)??);
            Ok(Some(Downlink::ClientAnswer { reply_to, answer }))
        };
        self.run(after, Box::pin(asked), desk);
    }

    /// Does something at once if that needs no waiting, else beside the connection.
    pub(super) fn run(&mut self, after: After, mut work: Work, desk: &mut Desk) {
        let node = &self.shared.node;
        if let Some(receipt) = self.pending.newest() {
            let node = Arc::clone(node);
            work = Box::pin(async move {
                // Whether that was kept is another message's affair.
                let _ = committed(&*node.ledger, receipt).await;
                work.await
            });
        }
        // Not while anything waits for its acknowledgement, which must leave before the answer.
        if self.pending.is_empty()
            && let Poll::Ready(outcome) =
                work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            return self.finish(after, outcome, desk);
        }
        let Stage::Open(open) = &mut self.stage else { return };
        let questions = open.questions.get_or_insert_default();
        let ticket = questions.begin(after);
        if questions.is_full() {
            node.metrics.count_bound(Bound::Errands);
        }
        let (presence, mailbox) = (Arc::clone(&node.presence), Arc::clone(&open.mailbox));
        let errand = Errand::new(presence, mailbox, ticket);
        tokio::spawn(async move { errand.done(work.await) });
    }

    /// An errand has ended.
    pub(super) fn handle_done(&mut self, ticket: u32, outcome: Outcome, desk: &mut Desk) {
        let Stage::Open(open) = &mut self.stage else { return };
        let Some(questions) = &mut open.questions else { return };
        let Some(after) = questions.end(ticket) else { return };
        if questions.is_idle() {
            open.questions = None;
        }
        self.finish(after, outcome, desk);
    }

    fn finish(&mut self, after: After, outcome: Outcome, desk: &mut Desk) {
        match (after, outcome) {
            (After::Tell | After::Answer { .. }, Ok(found)) => {
                if let Some(downlink) = found {
                    self.tell(&downlink, desk);
                }
            }
            (After::TellChild(name), Ok(found)) => {
                if let Some(downlink) = found {
                    self.tell_child_named(&name, &downlink, desk);
                }
            }
            (After::Refuse { delivery, reason, detail }, Ok(_)) => {
                self.refuse_in_turn((reason, detail), delivery, desk);
            }
            (After::Acknowledge(delivery), Ok(_)) => {
                self.session.acknowledge(delivery, ReasonCode::Success, None, &mut desk.out);
            }
            (
                After::Acknowledge(delivery) | After::Refuse { delivery, .. },
                Err(Failure { reason, detail }),
            ) => {
                self.reject(reason, &detail, delivery, desk);
            }
            (After::Answer { reply_to, method }, Err(failure)) => {
                self.record(failure.reason, &about(&method, &failure));
                let answer = Box::new(words(failure.reason));
                self.tell(&Downlink::ClientAnswer { reply_to, answer }, desk);
            }
            // There is no way to tell the device (JS-078).
            (After::Tell | After::TellChild(_), Err(Failure { reason, detail })) => {
                self.record(reason, &detail);
            }
        }
    }

    fn questions(&self) -> Option<&Questions> {
        match &self.stage {
            Stage::Open(open) => open.questions.as_deref(),
            _ => None,
        }
    }

    fn downloads(&mut self) -> Option<Arc<Downloads>> {
        let Stage::Open(open) = &mut self.stage else { return None };
        let questions = open.questions.get_or_insert_default();
        Some(Arc::clone(questions.downloads.get_or_insert_default()))
    }
}

/// Errands of one connection under way at once (`errands_max`); its socket is not read meanwhile.
const ERRANDS_MAX: usize = 32;
/// Client calls among them (`client_calls_max`); a further one is answered with an error.
const CLIENT_CALLS_MAX: usize = 16;
/// How long a handler may take (CR-007).
const CLIENT_CALL_TIMEOUT: Duration = Duration::from_secs(60);
