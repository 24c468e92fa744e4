//! One call that has not come to its end.

use std::sync::Arc;

use thingport_model::id::RpcId;
use thingport_model::reason::Reason;
use thingport_model::rpc::{Call, CallResponse, CallStatus, CallToken, CallWay, KeptProgress};

use super::{CallRules, Effect, Outcome, Present, SubmitStrategy, Taken};
use crate::metrics::Ending;
use crate::presence::ConnectionNumber;

/// A call in line.
#[derive(Debug)]
pub(in crate::calls) struct Pending<W> {
    pub(super) call: Arc<Call>,
    way: CallWay,
    owner: Owner<W>,
    pub(super) expires_ms: u64,
    retries_max: u32,
    misses: u32,
    pub(super) stage: Stage,
    /// Of the newest attempt.
    pub(super) token: Option<CallToken>,
    /// Whether a connection ever had it.
    pub(super) is_handed: bool,
    /// Sent when it was made, without having waited (RP-051).
    pub(super) is_at_once: bool,
    /// Whether it was ever acknowledged; from there it does not go back.
    was_delivered: bool,
}

/// Who wants to know of the end.
#[derive(Debug)]
pub(in crate::calls) enum Owner<W> {
    /// Somebody waits.
    Waits(W),
    /// It is kept.
    Kept(RpcId),
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not kept yet.
    Saving,
    /// Waits to be sent.
    Queued,
    /// In the mailbox of a connection.
    Told { connection: ConnectionNumber },
    /// Written with quality of service 1.
    Sent { due_ms: u64 },
    /// Not acknowledged in time.
    Missed,
    /// The device has it. Until when its answer may hold up others.
    Delivered { due_ms: Option<u64> },
}

/// How a call ends.
#[derive(Debug)]
pub(super) enum End {
    /// A one-way call was handed over.
    Delivered,
    Answered(String),
    Expired,
    NotAcknowledged,
    NotAnswered,
    Impossible,
    Withdrawn,
}

impl<W> Pending<W> {
    pub(super) fn new(
        call: Arc<Call>,
        (way, owner): (CallWay, Owner<W>),
        (expires_ms, retries_max): (u64, u32),
    ) -> Self {
        let stage = match owner {
            Owner::Waits(_) => Stage::Queued,
            Owner::Kept(_) => Stage::Saving,
        };
        Self {
            call,
            way,
            owner,
            expires_ms,
            retries_max,
            misses: 0,
            stage,
            token: None,
            is_handed: false,
            is_at_once: false,
            was_delivered: false,
        }
    }

    pub(super) fn restore(&mut self, kept: &KeptProgress) {
        self.misses = kept.misses;
        self.was_delivered = kept.status == CallStatus::Delivered;
        self.is_handed = kept.status != CallStatus::Queued;
        self.stage =
            if self.was_delivered { Stage::Delivered { due_ms: None } } else { Stage::Queued };
    }

    pub(super) const fn is_delivered(&self) -> bool {
        matches!(self.stage, Stage::Delivered { .. })
    }

    /// Whether its turn is now, where calls are sent one after another: one that was missed is sent
    /// again (RP-037).
    pub(super) const fn may_be_sent(&self) -> bool {
        matches!(self.stage, Stage::Queued | Stage::Missed)
    }

    /// Nobody can answer what was never sent; what was kept over a restart may have been.
    pub(super) const fn may_be_answered(&self) -> bool {
        match self.owner {
            Owner::Waits(_) => self.is_handed,
            Owner::Kept(_) => !matches!(self.stage, Stage::Saving),
        }
    }

    pub(super) const fn taken_by(&self) -> Taken {
        match self.owner {
            Owner::Waits(_) => Taken::ByCaller,
            Owner::Kept(_) => Taken::ByStore,
        }
    }

    pub(super) fn is_kept_as(&self, id: RpcId) -> bool {
        matches!(self.owner, Owner::Kept(kept) if kept == id)
    }

    pub(super) const fn tell(&mut self, token: CallToken, connection: ConnectionNumber) {
        self.token = Some(token);
        self.stage = Stage::Told { connection };
    }

    pub(super) const fn not_now(&mut self) {
        self.stage = Stage::Queued;
        self.is_at_once = false;
        self.is_handed = self.was_delivered;
    }

    /// What is on its way to this very connection arrives. Everything else is sent again, even what
    /// was delivered, where nothing waits for anything (RP-031).
    pub(super) fn wanted(&mut self, present: &Present<'_>) {
        match self.stage {
            Stage::Saving => {}
            Stage::Told { connection } if Some(connection) == present.connection => {}
            Stage::Queued | Stage::Told { .. } | Stage::Sent { .. } | Stage::Missed => {
                self.stage = Stage::Queued;
            }
            Stage::Delivered { .. } => match present.rules.strategy {
                SubmitStrategy::Burst => self.stage = Stage::Queued,
                SubmitStrategy::OnAcknowledgement => {}
                SubmitStrategy::OnAnswer => {
                    self.stage = Stage::Delivered { due_ms: answer_due(present) };
                }
            },
        }
    }

    /// What the connection repeats is waited for anew; what it does not is sent anew; what was
    /// acknowledged is not sent again.
    pub(super) fn resumed(&mut self, again: &[CallToken], present: &Present<'_>) {
        match self.stage {
            Stage::Saving | Stage::Queued => {}
            Stage::Told { connection } if Some(connection) == present.connection => {}
            Stage::Sent { .. } | Stage::Missed
                if self.token.is_some_and(|it| again.contains(&it)) =>
            {
                self.stage = Stage::Sent { due_ms: self.acknowledgement_due(present) };
            }
            Stage::Told { .. } | Stage::Sent { .. } | Stage::Missed => self.stage = Stage::Queued,
            Stage::Delivered { .. } => {
                self.stage = Stage::Delivered { due_ms: answer_due(present) };
            }
        }
    }

    fn acknowledgement_due(&self, present: &Present<'_>) -> u64 {
        let left = self.expires_ms.saturating_sub(present.now_ms);
        present.now_ms.saturating_add(present.rules.delivery_timeout_ms.min(left))
    }

    /// What lies in the mailbox of somebody who is gone was never sent, and what was not acknowledged may
    /// be sent again.
    pub(super) fn polled(&mut self, connection: Option<ConnectionNumber>) {
        match self.stage {
            Stage::Told { connection: told } if Some(told) != connection => self.not_now(),
            Stage::Missed => self.stage = Stage::Queued,
            _ => {}
        }
    }

    pub(super) fn unwanted(&mut self, connection: Option<ConnectionNumber>) {
        match self.stage {
            Stage::Told { connection: told } if Some(told) != connection => self.not_now(),
            Stage::Delivered { .. } => self.stage = Stage::Delivered { due_ms: None },
            _ => {}
        }
    }

    /// Written; the end of a one-way call whose caller waits for no more (RP-021, RP-051).
    pub(super) fn sent(&mut self, present: &Present<'_>, out: &mut Vec<Effect<W>>) -> Option<End> {
        if !matches!(self.stage, Stage::Queued | Stage::Told { .. }) {
            return None;
        }
        self.is_handed = true;
        self.stage = Stage::Sent { due_ms: self.acknowledgement_due(present) };
        let is_burst = present.rules.strategy == SubmitStrategy::Burst;
        if self.way == CallWay::OneWay
            && matches!(self.owner, Owner::Waits(_))
            && (is_burst || self.is_at_once)
        {
            return Some(End::Delivered);
        }
        if !self.was_delivered {
            self.keep(CallStatus::Sent, out);
        }
        None
    }

    /// The device has it; the end of a one-way call (RP-033).
    pub(super) fn delivered(
        &mut self,
        present: &Present<'_>,
        out: &mut Vec<Effect<W>>,
    ) -> Option<End> {
        self.is_handed = true;
        if self.way == CallWay::OneWay {
            return Some(End::Delivered);
        }
        self.stage = Stage::Delivered { due_ms: answer_due(present) };
        if !core::mem::replace(&mut self.was_delivered, true) {
            self.keep(CallStatus::Delivered, out);
        }
        None
    }

    /// Not acknowledged in time (RP-036, RP-055).
    pub(super) fn missed(&mut self, rules: &CallRules, out: &mut Vec<Effect<W>>) -> Option<End> {
        if self.misses < self.retries_max {
            self.misses += 1;
            self.stage = Stage::Missed;
            if !self.was_delivered {
                self.keep(CallStatus::Timeout, out);
            }
            return None;
        }
        if !rules.close_on_timeout {
            return Some(End::NotAcknowledged);
        }
        self.misses = 0;
        self.not_now();
        if !self.was_delivered {
            self.keep(CallStatus::Queued, out);
        }
        None
    }

    /// When something is due for it. What is not kept yet cannot end.
    pub(super) fn due_ms(&self) -> u64 {
        match self.stage {
            Stage::Saving => u64::MAX,
            Stage::Sent { due_ms } | Stage::Delivered { due_ms: Some(due_ms) } => {
                due_ms.min(self.expires_ms)
            }
            Stage::Queued | Stage::Told { .. } | Stage::Missed | Stage::Delivered { .. } => {
                self.expires_ms
            }
        }
    }

    pub(super) fn end(self, end: End, out: &mut Vec<Effect<W>>) {
        let ending = self.ending(&end);
        if let Some(reason) = self.why_lost(&end) {
            out.push(Effect::Lost(reason, Arc::clone(&self.call)));
        }
        out.push(Effect::Ended(ending));
        match self.owner {
            Owner::Waits(waiter) => {
                out.push(Effect::Answer(waiter, outcome(end, ending, self.way)));
            }
            Owner::Kept(id) => {
                if let Some((status, response)) = self.result(end) {
                    let misses = self.misses;
                    out.push(Effect::Keep(id, KeptProgress { status, misses, response }));
                }
            }
        }
    }

    fn ending(&self, end: &End) -> Ending {
        match end {
            End::Delivered => Ending::Delivered,
            End::Answered(_) => Ending::Answered,
            End::Expired if !self.is_handed => Ending::NotConnected,
            End::Expired | End::NotAcknowledged | End::NotAnswered => Ending::TimedOut,
            End::Impossible => Ending::Impossible,
            End::Withdrawn => Ending::Withdrawn,
        }
    }

    /// Why a person would ask; what cannot be sent was told by the connection that tried.
    fn why_lost(&self, end: &End) -> Option<Reason> {
        match end {
            End::Expired if !self.is_handed => Some(Reason::CallNotDelivered),
            End::Expired if self.was_delivered => Some(Reason::CallNotAnswered),
            End::NotAnswered => Some(Reason::CallNotAnswered),
            End::Expired | End::NotAcknowledged => Some(Reason::CallNotAcknowledged),
            End::Delivered | End::Answered(_) | End::Impossible | End::Withdrawn => None,
        }
    }

    /// What a persistent call comes to; nothing is kept of one that was deleted.
    fn result(&self, end: End) -> Option<(CallStatus, Option<CallResponse>)> {
        Some(match end {
            End::Delivered => (CallStatus::Delivered, None),
            End::Answered(text) => (CallStatus::Successful, Some(CallResponse::Answer(text))),
            End::Expired => (CallStatus::Expired, None),
            End::NotAcknowledged => {
                let response = CallResponse::NotAcknowledged(self.retries_max);
                (CallStatus::Failed, Some(response))
            }
            End::NotAnswered => (CallStatus::Failed, Some(CallResponse::NotAnswered)),
            End::Impossible => (CallStatus::Failed, Some(CallResponse::Impossible)),
            End::Withdrawn => return None,
        })
    }

    fn keep(&self, status: CallStatus, out: &mut Vec<Effect<W>>) {
        if let Owner::Kept(id) = self.owner {
            let progress = KeptProgress { status, misses: self.misses, response: None };
            out.push(Effect::Keep(id, progress));
        }
    }
}

/// Only where the next call waits for the answer is it waited for in haste.
fn answer_due(present: &Present<'_>) -> Option<u64> {
    let is_hasty = present.rules.strategy == SubmitStrategy::OnAnswer && present.listens;
    is_hasty.then(|| present.now_ms.saturating_add(present.rules.response_timeout_ms))
}

/// What the caller is told. The caller of a one-way call waits for no text (RP-010).
fn outcome(end: End, ending: Ending, way: CallWay) -> Outcome {
    match (end, ending) {
        (End::Answered(text), _) if way == CallWay::TwoWay => Outcome::Answered(text),
        (_, Ending::Delivered | Ending::Answered) => Outcome::Done,
        (_, Ending::TimedOut) => Outcome::TimedOut,
        (_, Ending::NotConnected) => Outcome::NotConnected,
        (_, Ending::Impossible) => Outcome::Impossible,
        (_, Ending::Withdrawn) => Outcome::Gone,
    }
}
