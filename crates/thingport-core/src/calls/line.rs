//! The line of one device's calls: which are pending, which may be sent now, when one has ended.
//!
//! A state machine on an invented clock. What happens goes in through a method, with the [`Present`];
//! what is to be done comes out as [`Effect`]s, in order. A caller who waits is a `W` that is handed
//! out exactly once, since it cannot be copied.

mod pending;

use core::num::NonZeroU64;
use std::collections::BTreeMap;
use std::sync::Arc;

use thingport_model::id::RpcId;
use thingport_model::reason::Reason;
use thingport_model::rpc::{Call, CallProgress, CallToken, CallWay, KeptProgress, PersistentCall};

use crate::metrics::Ending;
use crate::presence::ConnectionNumber;
use pending::{End, Stage};
pub(super) use pending::{Owner, Pending};

/// The order in which the pending calls of a device are sent (device API 6.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubmitStrategy {
    /// All at once.
    #[default]
    Burst,
    /// The next one when the device has acknowledged the one before.
    OnAcknowledgement,
    /// The next one when the device has answered the one before.
    OnAnswer,
}

/// What the configuration says about calls. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRules {
    /// Which call is sent when.
    pub strategy: SubmitStrategy,
    /// How long an acknowledgement is waited for (RP-036).
    pub delivery_timeout_ms: u64,
    /// How long the answer to a delivered call may hold up the next one, where calls wait for answers.
    pub response_timeout_ms: u64,
    /// A device that does not acknowledge is disconnected, and its call begins anew (RP-055).
    pub close_on_timeout: bool,
    /// How often a call may be tried again, whatever its caller wishes.
    pub retries_max: u32,
}

impl Default for CallRules {
    fn default() -> Self {
        Self {
            strategy: SubmitStrategy::Burst,
            delivery_timeout_ms: 10_000,
            response_timeout_ms: 30_000,
            close_on_timeout: false,
            retries_max: 5,
        }
    }
}

/// What is true at the moment something happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present<'a> {
    pub(super) now_ms: u64,
    /// The device's connection, if it has one.
    pub(super) connection: Option<ConnectionNumber>,
    /// Whether it subscribed to calls.
    pub(super) listens: bool,
    pub(super) rules: &'a CallRules,
}

/// A call to be put in line.
pub(super) struct NewCall<W> {
    pub(super) method: String,
    pub(super) params: String,
    pub(super) way: CallWay,
    pub(super) expires_ms: u64,
    pub(super) retries_max: u32,
    pub(super) owner: Owner<W>,
}

/// Who takes the answer of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A caller.
    ByCaller,
    /// The store; the device is acknowledged when it has it.
    ByStore,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Effect<W> {
    /// Tell the device; [`Line::told`] or [`Line::refused`] follows.
    Tell { call: Arc<Call>, token: CallToken, expires_ms: u64 },
    /// Answer the caller.
    Answer(W, Outcome),
    /// Keep how far a persistent call has come.
    Keep(RpcId, KeptProgress),
    /// End the device's connection (RP-055).
    Close,
    /// A person would ask why this call came to nothing.
    Lost(Reason, Arc<Call>),
    /// A call has ended; for the counters.
    Ended(Ending),
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A one-way call was handed over (RP-021).
    Done,
    /// The device's answer, as it wrote it.
    Answered(String),
    /// The device was given the call and did not answer in time.
    TimedOut,
    /// Its time had passed when it was made, so nobody was asked.
    Overdue,
    /// The device did not listen to calls in time.
    NotConnected,
    /// The call cannot be sent to this device (RP-060).
    Impossible,
    /// The device was deleted meanwhile.
    Gone,
}

/// The calls of one device.
#[derive(Debug)]
pub(super) struct Line<W> {
    next: u32,
    pending: BTreeMap<u32, Pending<W>>,
    /// Nothing is sent before: the connection had no room, or is about to be closed.
    paused_until_ms: u64,
    /// Bytes of the calls that are pending.
    bytes: usize,
}

impl<W> Default for Line<W> {
    fn default() -> Self {
        Self { next: 0, pending: BTreeMap::new(), paused_until_ms: 0, bytes: 0 }
    }
}

impl<W> Line<W> {
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the next call, used up by asking (RP-003). Never that of one that is pending.
    pub(super) fn take_number(&mut self) -> u32 {
        while self.pending.contains_key(&self.next) {
            self.next = after(self.next);
        }
        let number = self.next;
        self.next = after(number);
        number
    }

    /// Puts a call in line. A persistent one is not sent before [`Self::saved`].
    pub(super) fn add(
        &mut self,
        new: NewCall<W>,
        present: &Present<'_>,
        tokens: &mut Tokens,
        out: &mut Vec<Effect<W>>,
    ) -> Arc<Call> {
        let number = self.take_number();
        let call = Arc::new(Call { id: number, method: new.method, params: new.params });
        self.bytes += weight(&call);
        let pending = Pending::new(
            Arc::clone(&call),
            (new.way, new.owner),
            (new.expires_ms, new.retries_max),
        );
        self.pending.insert(number, pending);
        self.send(present, tokens, out);
        if let Some(pending) = self.pending.get_mut(&number) {
            pending.is_at_once = matches!(pending.stage, Stage::Told { .. });
        }
        call
    }

    /// Puts a call back in line that was kept over a restart (RP-035). It has its number back, under
    /// which the device may know it. Nothing is sent.
    pub(super) fn restore(&mut self, kept: PersistentCall, expires_ms: u64, retries_max: u32) {
        let number = kept.call.id;
        let call = Arc::new(kept.call);
        self.bytes += weight(&call);
        let owner = Owner::Kept(kept.id);
        let mut pending = Pending::new(call, (kept.way, owner), (expires_ms, retries_max));
        pending.restore(&kept.progress);
        self.pending.insert(number, pending);
        self.next = self.next.max(after(number));
    }

    /// A persistent call is kept and may be sent.
    pub(super) fn saved(
        &mut self,
        (number, id): (u32, RpcId),
        present: &Present<'_>,
        tokens: &mut Tokens,
        out: &mut Vec<Effect<W>>,
    ) {
        let pending = self.pending.get_mut(&number).filter(|it| it.is_kept_as(id));
        if let Some(pending) = pending.filter(|it| it.stage == Stage::Saving) {
            pending.stage = Stage::Queued;
        }
        self.send(present, tokens, out);
    }

    /// The device subscribed, for the first time or again (RP-031, RP-050).
    pub(super) fn wanted(
        &mut self,
        present: &Present<'_>,
        tokens: &mut Tokens,
        out: &mut Vec<Effect<W>>,
    ) {
        self.paused_until_ms = 0;
        self.pending.values_mut().for_each(|pending| pending.wanted(present));
        self.send(present, tokens, out);
    }

    /// The device took up its session again on a new connection. What it did not acknowledge is among
    /// `again`, the attempts that its connection repeats by itself; the rest of it is sent anew. What it
    /// acknowledged is not given to it twice.
    pub(super) fn resumed(
        &mut self,
        again: &[CallToken],
        present: &Present<'_>,
        tokens: &mut Tokens,
        out: &mut Vec<Effect<W>>,
    ) {
        self.paused_until_ms = 0;
        self.pending.values_mut().for_each(|pending| pending.resumed(again, present));
        self.send(present, tokens, out);
    }

    /// The device subscribed again to what it held already when it took up its session: what is on its
    /// way to this connection arrives, and what it acknowledged is not given to it twice.
    pub(super) fn renewed(
        &mut self,
        present: &Present<'_>,
        tokens: &mut Tokens,
        out: &mut Vec<Effect<W>>,
    ) {
        self.polled(present, tokens, out);
    }

    /// Whether an attempt is the newest of a call that has not ended.
    pub(super) fn is_open(&self, token: CallToken) -> bool {
        self.pending.values().any(|it| it.token == Some(token))
    }

    /// The device listens for one call, or has ended to.
    pub(super) fn polled(
        &mut self,
        present: &Present<'_>,
        tokens: &mut Tokens,
        out: &mut Vec<Effect<W>>,
    ) {
        self.paused_until_ms = 0;
        self.pending.values_mut().for_each(|pending| pending.polled(present.connection));
        self.send(present, tokens, out);
    }

    /// The device listens no more: what lies in the mailbox of a connection that is gone was never
    /// sent, and no answer holds up anything (RP-050).
    pub(super) fn unwanted(&mut self, present: &Present<'_>) {
        self.pending.values_mut().for_each(|pending| pending.unwanted(present.connection));
    }

    /// The letter with this call lies in the mailbox of a connection.
    pub(super) fn told(&mut self, token: CallToken, connection: ConnectionNumber) {
        if let Some(pending) = self.attempt(token) {
            pending.stage = Stage::Told { connection };
            pending.is_handed = true;
        }
    }

    /// There is no connection that wants calls, or no room in its mailbox.
    pub(super) fn refused(&mut self, token: CallToken, now_ms: u64) {
        self.paused_until_ms = now_ms.saturating_add(PAUSE_MS);
        if let Some(pending) = self.attempt(token) {
            pending.not_now();
        }
    }

    /// What became of an attempt. Those that were given up are not known any more.
    pub(super) fn progress(
        &mut self,
        (token, progress): (CallToken, CallProgress),
        present: &Present<'_>,
        tokens: &mut Tokens,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(pending) = self.attempt(token) else { return };
        let number = pending.call.id;
        let end = match progress {
            CallProgress::Sent => pending.sent(present, out),
            CallProgress::Delivered => pending.delivered(present, out),
            CallProgress::Impossible => Some(End::Impossible),
            CallProgress::NotNow => {
                pending.not_now();
                self.paused_until_ms = present.now_ms.saturating_add(PAUSE_MS);
                None
            }
        };
        if let Some(end) = end {
            self.end(number, end, out);
        }
        self.send(present, tokens, out);
    }

    /// The device answered; none when nobody waits for it (RP-007, RP-010).
    pub(super) fn answered(
        &mut self,
        (number, body): (u32, String),
        present: &Present<'_>,
        tokens: &mut Tokens,
        out: &mut Vec<Effect<W>>,
    ) -> Option<Taken> {
        let pending = self.pending.get(&number).filter(|it| it.may_be_answered())?;
        let taken = pending.taken_by();
        self.end(number, End::Answered(body), out);
        self.send(present, tokens, out);
        Some(taken)
    }

    /// Takes a persistent call out of the line (RP-057).
    pub(super) fn withdraw(
        &mut self,
        (number, id): (u32, RpcId),
        present: &Present<'_>,
        tokens: &mut Tokens,
        out: &mut Vec<Effect<W>>,
    ) {
        if self.pending.get(&number).is_some_and(|it| it.is_kept_as(id)) {
            self.end(number, End::Withdrawn, out);
            self.send(present, tokens, out);
        }
    }

    /// The device is gone: every call ends.
    pub(super) fn dissolve(&mut self, out: &mut Vec<Effect<W>>) {
        while let Some((number, _)) = self.pending.first_key_value() {
            self.end(*number, End::Withdrawn, out);
        }
    }

    /// Does what is due.
    pub(super) fn tick(
        &mut self,
        present: &Present<'_>,
        tokens: &mut Tokens,
        out: &mut Vec<Effect<W>>,
    ) {
        let due = self.pending.iter().filter(|(_, it)| it.due_ms() <= present.now_ms);
        for number in due.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.overdue(number, present, out);
        }
        if self.paused_until_ms <= present.now_ms {
            self.paused_until_ms = 0;
        }
        self.send(present, tokens, out);
    }

    /// When [`Self::tick`] is to be called again.
    pub(super) fn due_ms(&self) -> Option<u64> {
        let due = self.pending.values().map(Pending::due_ms).min()?;
        let waits = || self.pending.values().any(|it| it.stage == Stage::Queued);
        Some(if self.paused_until_ms > 0 && waits() { due.min(self.paused_until_ms) } else { due })
    }

    fn overdue(&mut self, number: u32, present: &Present<'_>, out: &mut Vec<Effect<W>>) {
        let Some(pending) = self.pending.get_mut(&number) else { return };
        let end = match pending.stage {
            Stage::Sent { due_ms } if due_ms <= present.now_ms => {
                let end = pending.missed(present.rules, out);
                if pending.stage == Stage::Queued {
                    // It is not for the connection that is being closed.
                    out.push(Effect::Close);
                    self.paused_until_ms = present.now_ms.saturating_add(PAUSE_MS);
                }
                end
            }
            Stage::Delivered { due_ms: Some(due_ms) } if due_ms <= present.now_ms => {
                Some(End::NotAnswered)
            }
            _ => None,
        };
        let expired = || (pending.expires_ms <= present.now_ms).then_some(End::Expired);
        if let Some(end) = end.or_else(expired) {
            self.end(number, end, out);
        }
    }

    /// Sends whatever may be sent now, in order of number (RP-032).
    fn send(&mut self, present: &Present<'_>, tokens: &mut Tokens, out: &mut Vec<Effect<W>>) {
        let Some(connection) = present.connection.filter(|_| present.listens) else { return };
        if present.now_ms < self.paused_until_ms {
            return;
        }
        self.paused_until_ms = 0;
        let room = IN_FLIGHT_MAX.saturating_sub(self.in_flight());
        let chosen: Vec<&mut Pending<W>> = match present.rules.strategy {
            SubmitStrategy::Burst => {
                // One that is not kept yet holds up those behind it.
                let ready = self.pending.values_mut().take_while(|it| it.stage != Stage::Saving);
                ready.filter(|it| it.stage == Stage::Queued).take(room).collect()
            }
            SubmitStrategy::OnAcknowledgement => {
                self.pending.values_mut().find(|it| !it.is_delivered()).into_iter().collect()
            }
            SubmitStrategy::OnAnswer => self.pending.values_mut().next().into_iter().collect(),
        };
        for pending in chosen.into_iter().filter(|it| it.may_be_sent()) {
            let token = tokens.next();
            pending.tell(token, connection);
            let (call, expires_ms) = (Arc::clone(&pending.call), pending.expires_ms);
            out.push(Effect::Tell { call, token, expires_ms });
        }
    }

    fn in_flight(&self) -> usize {
        let is_in_flight =
            |it: &&Pending<W>| matches!(it.stage, Stage::Told { .. } | Stage::Sent { .. });
        self.pending.values().filter(is_in_flight).count()
    }

    fn attempt(&mut self, token: CallToken) -> Option<&mut Pending<W>> {
        self.pending.values_mut().find(|it| it.token == Some(token))
    }

    fn end(&mut self, number: u32, end: End, out: &mut Vec<Effect<W>>) {
        if let Some(pending) = self.pending.remove(&number) {
            self.bytes = self.bytes.saturating_sub(weight(&pending.call));
            pending.end(end, out);
        }
    }
}

/// Makes names of attempts. Never the same twice.
#[derive(Debug)]
pub(super) struct Tokens(NonZeroU64);

impl Default for Tokens {
    fn default() -> Self {
        Self(NonZeroU64::MIN)
    }
}

impl Tokens {
    fn next(&mut self) -> CallToken {
        let token = self.0;
        self.0 = token.saturating_add(1);
        CallToken(token)
    }
}

/// What a call costs in memory, about.
pub(super) fn weight(call: &Call) -> usize {
    size_of::<Pending<()>>() + 2 * size_of::<Call>() + call.method.len() + call.params.len()
}

const fn after(number: u32) -> u32 {
    // Devices read it as a signed number.
    if number >= i32::MAX as u32 { 0 } else { number + 1 }
}

/// Calls of one device that may be on their way at once, acknowledged ones not counted. Half of what a
/// connection lets wait, so that other things get through beside them.
const IN_FLIGHT_MAX: usize = 32;
/// How long a connection without room is left alone.
const PAUSE_MS: u64 = 1_000;

#[cfg(test)]
mod tests;
