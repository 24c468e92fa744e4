//! One message about children on its way: what was taken of it, and what came of that.

use std::collections::{HashMap, VecDeque};

use thingport_model::child::{ChildBatch, ChildSaid, ChildUplink, Passage, Unread};
use thingport_model::id::{DeviceId, TenantId};
use thingport_model::port::ledger::{AppendError, Keys, Receipt};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::rpc::ReplyTo;
use thingport_model::uplink::Uplink;

use super::{Child, Children};
use crate::limits::Bite;
use crate::node::Node;
use crate::presence::Failure;

/// A batch that is being taken.
#[derive(Default)]
pub struct ChildTask {
    left: VecDeque<ChildSaid>,
    passages: Vec<Passage>,
    /// Why some of those who speak were not found.
    unknown: HashMap<Box<str>, Failure>,
    /// Whether the tokens of the next part were taken.
    is_charged: bool,
    done: Finished,
}

/// What came of a batch.
#[derive(Default)]
pub struct Finished {
    /// When its commit has happened, all that was said is kept; none: nothing was to be kept.
    pub receipt: Option<Receipt>,
    /// What was refused, of each child alone.
    pub faults: Vec<ChildFault>,
    /// What is still to be found out or done.
    pub errands: Vec<ChildErrand>,
    /// The limit that slows the gateway most.
    pub slowed: Option<Bite>,
}

/// What a child said is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildFault {
    /// As the gateway calls it.
    pub name: Box<str>,
    /// Which device, if it was found.
    pub device: Option<DeviceId>,
    /// Why.
    pub reason: Reason,
    /// What exactly was wrong.
    pub detail: String,
}

/// Something to be found out or done for a child.
#[derive(Debug, PartialEq)]
pub struct ChildErrand {
    /// As the gateway calls it.
    pub name: Box<str>,
    /// Which device.
    pub device: DeviceId,
    /// Whose.
    pub tenant: TenantId,
    /// What.
    pub question: Question,
}

/// What a child asks or answers.
#[derive(PartialEq)]
pub enum Question {
    /// It asks for attributes; none of a scope it did not name.
    Attributes {
        /// Where the answer goes.
        reply_to: ReplyTo,
        /// Of the client scope.
        client: Option<Keys>,
        /// Of the shared scope.
        shared: Option<Keys>,
    },
    /// It answers a call.
    CallAnswer {
        /// The number of the call.
        id: u32,
        /// What it says.
        body: String,
    },
    /// It may be claimed.
    Claim {
        /// By whoever knows this.
        secret: String,
        /// For so long, if the child says.
        duration_ms: Option<u64>,
    },
}

/// Bodies and secrets are not printed.
impl core::fmt::Debug for Question {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Attributes { .. } => "Attributes",
            Self::CallAnswer { .. } => "CallAnswer",
            Self::Claim { .. } => "Claim",
        })
    }
}

/// How far a batch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All of it was taken.
    Done,
    /// The ledger has no room now: to be gone on with when
    /// [`Ledger::poll_ready`](thingport_model::port::ledger::Ledger::poll_ready) says so.
    Busy,
    /// Somebody has to be looked up first: [`Children::strangers`].
    Strangers,
}

impl ChildTask {
    /// A batch none of which was taken yet.
    #[must_use]
    pub fn new(batch: ChildBatch) -> Self {
        let ChildBatch { said, passages } = batch;
        Self { left: said.into(), passages, ..Self::default() }
    }

    /// What was not taken yet.
    pub(super) fn left(&self) -> impl Iterator<Item = &ChildSaid> {
        self.left.iter()
    }

    /// Whether a child could not be taken in.
    pub(super) fn is_refused(&self, name: &str) -> bool {
        self.unknown.contains_key(name)
    }

    /// Notes why a child cannot be taken in.
    pub(super) fn refuse_child(&mut self, name: Box<str>, failure: Failure) {
        self.unknown.insert(name, failure);
    }

    /// What came of it, once [`Children::proceed`] had all of it.
    #[must_use]
    pub fn finish(self) -> Finished {
        self.done
    }
}

impl Children {
    /// Takes what children say, part by part. A part that is refused is noted, and the next one has its turn.
    pub fn proceed(&mut self, node: &Node, task: &mut ChildTask) -> Step {
        let now_ms = node.clock.monotonic_ms();
        while let Some(ChildSaid { name, kind, said }) = task.left.pop_front() {
            let said = match said {
                Ok(ChildUplink::Disconnected) => {
                    if let Some(place) = self.place(&name) {
                        self.end(node, place);
                    }
                    continue;
                }
                said => said,
            };
            let Some(child) = self.named(&name) else {
                let failure = match (&said, task.unknown.get(&name)) {
                    (Err(it), _) => Failure { reason: it.reason, detail: it.detail.clone() },
                    (Ok(_), Some(failure)) => failure.clone(),
                    (Ok(_), None) => {
                        task.left.push_front(ChildSaid { name, kind, said });
                        return Step::Strangers;
                    }
                };
                task.refuse(name, None, failure);
                continue;
            };
            let device = child.device;
            match self.take(node, child, said, now_ms, task) {
                Ok(()) => {
                    task.is_charged = false;
                    // What is refused is no sign of life (RL-029).
                    child.mailbox.hear(now_ms);
                }
                Err(Refused::Busy(said)) => {
                    task.is_charged = true;
                    task.left.push_front(ChildSaid { name, kind, said: Ok(said) });
                    return Step::Busy;
                }
                Err(Refused::For(failure)) => {
                    task.is_charged = false;
                    task.refuse(name, Some(device), failure);
                }
            }
        }
        let gateway = (self.gateway.device_id, self.gateway.ttl_s);
        let passages = core::mem::take(&mut task.passages);
        node.latencies.note(gateway, &passages, (node.clock.now(), now_ms), &node.metrics);
        Step::Done
    }

    fn take(
        &self,
        node: &Node,
        child: &Child,
        said: Result<ChildUplink, Unread>,
        now_ms: u64,
        task: &mut ChildTask,
    ) -> Result<(), Refused> {
        let said =
            said.map_err(|it| Refused::For(Failure { reason: it.reason, detail: it.detail }))?;
        if !task.is_charged {
            self.charge(&said, now_ms, task)?;
        }
        let mut ask = |question| {
            let (name, device) = (Box::from(&*child.name), child.device);
            let tenant = self.gateway.tenant_id;
            task.done.errands.push(ChildErrand { name, device, tenant, question });
        };
        match said {
            ChildUplink::Connected | ChildUplink::Disconnected => {}
            ChildUplink::Telemetry(readings) => {
                self.append(node, child, Kept::Telemetry(readings), task)?;
            }
            ChildUplink::Attributes(readings) => {
                self.append(node, child, Kept::Attributes(readings), task)?;
            }
            ChildUplink::SharedAttributes(readings) => {
                self.append(node, child, Kept::Shared(readings), task)?;
            }
            ChildUplink::AttributeRequest { reply_to, client, shared } => {
                ask(Question::Attributes { reply_to, client, shared });
            }
            ChildUplink::CallAnswer { id, body } => ask(Question::CallAnswer { id, body }),
            ChildUplink::Claim { secret, duration_ms } => {
                ask(Question::Claim { secret, duration_ms });
            }
        }
        Ok(())
    }

    /// Takes the tokens of one child's part: of the tenant, then of all children together (GW-007, RL-008).
    fn charge(&self, said: &ChildUplink, now_ms: u64, task: &mut ChildTask) -> Result<(), Refused> {
        let Some(quota) = &self.quota else { return Ok(()) };
        let charged = match said {
            ChildUplink::Disconnected => return Ok(()),
            ChildUplink::Telemetry(readings)
            | ChildUplink::Attributes(readings)
            | ChildUplink::SharedAttributes(readings) => quota.charge(readings.len(), now_ms),
            ChildUplink::AttributeRequest { .. } | ChildUplink::CallAnswer { .. } => {
                quota.charge(0, now_ms)
            }
            // RL-032
            ChildUplink::Connected | ChildUplink::Claim { .. } => quota.charge_uncounted(now_ms),
        };
        match charged {
            Ok(waits) => {
                let slowest = task.done.slowed.take().into_iter().chain(waits);
                task.done.slowed = slowest.max_by_key(|it| it.wait_ms);
                Ok(())
            }
            Err(bite) => {
                Err(Refused::For(Failure { reason: bite.reason(), detail: bite.to_string() }))
            }
        }
    }

    fn append(
        &self,
        node: &Node,
        child: &Child,
        kept: Kept,
        task: &mut ChildTask,
    ) -> Result<(), Refused> {
        let ttl_s = self.gateway.ttl_s;
        let received = match &kept {
            Kept::Telemetry(readings) => {
                node.reception.receive_of(child.device, ttl_s, Uplink::Telemetry(readings))
            }
            Kept::Attributes(readings) => {
                node.reception.receive_of(child.device, ttl_s, Uplink::Attributes(readings))
            }
            Kept::Shared(readings) => node.reception.receive_shared(child.device, readings),
        };
        match received {
            Ok(receipt) => {
                task.done.receipt = receipt.max(task.done.receipt);
                Ok(())
            }
            Err(AppendError::Busy) => Err(Refused::Busy(kept.said())),
            Err(error) => Err(Refused::For(reason_of(error).into())),
        }
    }
}

impl ChildTask {
    fn refuse(&mut self, name: Box<str>, device: Option<DeviceId>, failure: Failure) {
        let Failure { reason, detail } = failure;
        self.done.faults.push(ChildFault { name, device, reason, detail });
    }
}

enum Refused {
    /// Not now: what was said comes back.
    Busy(ChildUplink),
    For(Failure),
}

enum Kept {
    Telemetry(Readings),
    Attributes(Readings),
    Shared(Readings),
}

impl Kept {
    fn said(self) -> ChildUplink {
        match self {
            Self::Telemetry(readings) => ChildUplink::Telemetry(readings),
            Self::Attributes(readings) => ChildUplink::Attributes(readings),
            Self::Shared(readings) => ChildUplink::SharedAttributes(readings),
        }
    }
}

const fn reason_of(error: AppendError) -> Reason {
    match error {
        AppendError::Busy => Reason::StorageBusy,
        AppendError::Full => Reason::StorageFull,
        AppendError::Failed => Reason::StorageFailed,
        AppendError::TooLarge => Reason::MessageTooLarge,
    }
}
