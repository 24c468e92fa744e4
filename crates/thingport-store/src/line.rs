//! The line in front of the writer: changes on their way in, and the tasks that wait for them.
//!
//! A receipt is the number of a change in this line. Changes gather in one batch while the batch
//! before is being written; the writer then takes the whole batch. A task that waits is kept with the
//! batch its change is in, so that each commit wakes exactly those it served, once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use thingport_model::port::ledger::{AppendError, LedgerState, Receipt, Waiter};

use crate::pace::{self, Pace};

/// The line. One writer takes from it; everybody appends.
pub(crate) struct Line {
    state: Mutex<State>,
    work: Condvar,
    /// All changes up to here are committed, or have failed and are in `State::failed`.
    decided: AtomicU64,
    /// Whether an answer needs the lock: something failed once.
    troubled: AtomicBool,
    bytes_max: usize,
    full_count: AtomicU64,
}

/// Everything behind the lock.
pub(crate) struct State {
    filling: Batch,
    filling_number: u64,
    appended: u64,
    taken: u64,
    waiting: Vec<Waker>,
    in_flight: Vec<Waker>,
    ready: Vec<Waker>,
    ledger: LedgerState,
    closing: bool,
    /// Changes in line at which the sleeping writer is woken; [`AWAKE`] while it does not sleep.
    wakes_at: u64,
    nudged: bool,
    failed: Vec<(u64, u64)>,
    forgotten: u64,
}

/// Changes for one commit.
#[derive(Default)]
pub(crate) struct Batch {
    /// Records of new names.
    pub(crate) names: Vec<u8>,
    /// Records of changes.
    pub(crate) changes: Vec<u8>,
    pub(crate) count: u64,
    pub(crate) since: Option<Instant>,
}

impl Batch {
    /// Gives back what a burst needed; harmless to what is in it.
    pub(crate) fn shrink(&mut self) {
        self.names.shrink_to(BUFFER_KEPT);
        self.changes.shrink_to(BUFFER_KEPT);
    }
}

/// What the writer is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A batch was taken.
    Work,
    /// Nothing came for a while, or somebody nudged.
    Idle,
    /// No more will come.
    Close,
}

impl Line {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let state = State {
            filling: Batch::default(),
            filling_number: 1,
            appended: 0,
            taken: 0,
            waiting: Vec::new(),
            in_flight: Vec::new(),
            ready: Vec::new(),
            ledger: LedgerState::Healthy,
            closing: false,
            wakes_at: AWAKE,
            nudged: false,
            failed: Vec::new(),
            forgotten: 0,
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            decided: AtomicU64::new(0),
            troubled: AtomicBool::new(false),
            bytes_max,
            full_count: AtomicU64::new(0),
        }
    }

    /// Puts a framed record in line.
    pub(crate) fn append(&self, record: &[u8]) -> Result<Receipt, AppendError> {
        let mut state = self.state.lock();
        state.refuse()?;
        let held = state.filling.names.len() + state.filling.changes.len();
        // Names alone, of a change that was refused, do not make the writer come; a change does.
        if state.filling.count > 0 && held + record.len() > self.bytes_max {
            self.full_count.fetch_add(1, Ordering::Relaxed);
            return Err(AppendError::Busy);
        }
        if state.filling.count == 0 {
            state.filling.since = Some(Instant::now());
        }
        state.filling.changes.extend_from_slice(record);
        state.filling.count += 1;
        state.appended += 1;
        let receipt = Receipt(state.appended);
        if state.filling.count >= state.wakes_at {
            state.wakes_at = AWAKE;
            self.work.notify_one();
        }
        Ok(receipt)
    }

    /// Lets `add` put records of new names in line; they are written with the next batch.
    pub(crate) fn add_names(&self, add: impl FnOnce(&mut Vec<u8>)) {
        add(&mut self.state.lock().filling.names);
    }

    /// See [`thingport_model::port::ledger::Ledger::poll_committed`].
    pub(crate) fn poll(
        &self,
        receipt: Receipt,
        waiter: &mut Waiter,
        cx: &Context<'_>,
    ) -> Poll<Result<(), AppendError>> {
        let decided = self.decided.load(Ordering::Acquire) >= receipt.0;
        if decided && !self.troubled.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.state.lock();
        if self.decided.load(Ordering::Acquire) >= receipt.0 {
            return Poll::Ready(state.verdict(receipt.0));
        }
        if state.ledger == LedgerState::Failed {
            return Poll::Ready(Err(AppendError::Failed));
        }
        let in_flight = receipt.0 <= state.taken;
        let batch = state.filling_number - u64::from(in_flight);
        if waiter.registered != batch {
            waiter.registered = batch;
            let waiting = if in_flight { &mut state.in_flight } else { &mut state.waiting };
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Ready when there is room in the line and `has_room` elsewhere, or when waiting is pointless.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>, has_room: impl FnOnce() -> bool) -> Poll<()> {
        let mut state = self.state.lock();
        let half_empty = state.filling.changes.len() <= self.bytes_max / 2;
        if state.refuse().is_err() || half_empty && has_room() {
            return Poll::Ready(());
        }
        if !state.ready.iter().any(|known| known.will_wake(cx.waker())) {
            state.ready.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Wakes those who wait for room.
    pub(crate) fn wake_ready(&self) {
        let mut ready = core::mem::take(&mut self.state.lock().ready);
        ready.drain(..).for_each(Waker::wake);
    }

    /// Waits for work at most `patience`, gathers more of it at the given pace, and exchanges `batch`,
    /// which must be empty, for what came. Its names may be filled: they are those of a batch that
    /// failed and come first again.
    pub(crate) fn take(&self, batch: &mut Batch, patience: Duration, pace: &mut Pace) -> Call {
        let mut state = self.state.lock();
        if state.filling.count == 0 && !state.closing && !state.nudged {
            state.wakes_at = 1;
            self.work.wait_for(&mut state, patience);
            state.wakes_at = AWAKE;
        }
        state.nudged = false;
        if state.filling.count > 0 && !state.closing {
            self.gather(&mut state, pace);
        }
        if state.filling.count == 0 {
            return if state.closing { Call::Close } else { Call::Idle };
        }
        if state.ledger == LedgerState::Full {
            return Call::Idle; // nothing more is put in line; this was decided with the failure
        }
        batch.names.append(&mut state.filling.names);
        core::mem::swap(&mut state.filling.names, &mut batch.names);
        core::mem::swap(&mut state.filling, batch);
        state.taken = state.appended;
        state.filling_number += 1;
        let inner = &mut *state;
        core::mem::swap(&mut inner.waiting, &mut inner.in_flight);
        wake_ready_of(state);
        Call::Work
    }

    /// Lets more come before the batch is taken, as long as that has been worth it.
    fn gather(&self, state: &mut MutexGuard<'_, State>, pace: &mut Pace) {
        let Some(wait) = pace.next() else { return };
        let before = state.filling.count;
        if before < pace::TARGET {
            state.wakes_at = pace::TARGET;
            self.work.wait_for(state, wait);
            state.wakes_at = AWAKE;
        }
        pace.learn(before, state.filling.count);
    }

    /// Gives back what a burst needed.
    pub(crate) fn shrink(&self) {
        let mut state = self.state.lock();
        state.filling.shrink();
        state.waiting.shrink_to(WAITERS_KEPT);
        state.in_flight.shrink_to(WAITERS_KEPT);
    }

    /// The batch that was taken is committed.
    pub(crate) fn committed(&self, woken: &mut Vec<Waker>) {
        let mut state = self.state.lock();
        self.decided.store(state.taken, Ordering::Release);
        woken.append(&mut state.in_flight);
        drop(state);
        woken.drain(..).for_each(Waker::wake);
    }

    /// The batch that was taken found no space: it and everything in line fails.
    pub(crate) fn set_full(&self) {
        let mut state = self.state.lock();
        let from = self.decided.load(Ordering::Acquire) + 1;
        let to = state.appended;
        state.filling.changes.clear();
        state.filling.count = 0;
        state.taken = to;
        if from <= to {
            state.failed.push((from, to));
        }
        if state.failed.len() > FAILED_MAX {
            state.forgotten = state.failed.remove(0).1;
        }
        state.ledger = LedgerState::Full;
        self.troubled.store(true, Ordering::Release);
        self.decided.store(to, Ordering::Release);
        wake_all(state);
    }

    /// The disk failed: nothing that is not committed yet ever will be.
    pub(crate) fn set_failed(&self) {
        let mut state = self.state.lock();
        // What is in line stays unwritten: a disk that seems well again after an error is not believed.
        state.filling.changes.clear();
        state.filling.count = 0;
        state.ledger = LedgerState::Failed;
        self.troubled.store(true, Ordering::Release);
        wake_all(state);
    }

    /// There is space again.
    pub(crate) fn set_healthy(&self) {
        let mut state = self.state.lock();
        if state.ledger == LedgerState::Full {
            state.ledger = LedgerState::Healthy;
        }
    }

    /// Refuses further appends and lets the writer finish.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        self.work.notify_one();
        wake_ready_of(state);
    }

    /// Lets the writer look up.
    pub(crate) fn nudge(&self) {
        self.state.lock().nudged = true;
        self.work.notify_one();
    }

    pub(crate) fn state(&self) -> LedgerState {
        self.state.lock().ledger
    }

    pub(crate) fn bytes(&self) -> usize {
        let state = self.state.lock();
        state.filling.changes.len() + state.filling.names.len()
    }

    pub(crate) fn full_count(&self) -> u64 {
        self.full_count.load(Ordering::Relaxed)
    }
}

impl State {
    const fn refuse(&self) -> Result<(), AppendError> {
        match self.ledger {
            LedgerState::Failed => Err(AppendError::Failed),
            _ if self.closing => Err(AppendError::Failed),
            LedgerState::Full => Err(AppendError::Full),
            LedgerState::Healthy => Ok(()),
        }
    }

    fn verdict(&self, receipt: u64) -> Result<(), AppendError> {
        let failed = self.failed.iter().any(|(from, to)| (*from..=*to).contains(&receipt));
        // So long ago that nobody remembers: no answer may claim a commit that never was.
        if failed || receipt <= self.forgotten { Err(AppendError::Full) } else { Ok(()) }
    }
}

fn wake_all(mut state: MutexGuard<'_, State>) {
    let mut woken = core::mem::take(&mut state.in_flight);
    woken.append(&mut state.waiting);
    woken.append(&mut state.ready);
    drop(state);
    woken.into_iter().for_each(Waker::wake);
}

fn wake_ready_of(mut state: MutexGuard<'_, State>) {
    let ready = core::mem::take(&mut state.ready);
    drop(state);
    ready.into_iter().for_each(Waker::wake);
}

/// The writer does not sleep.
const AWAKE: u64 = u64::MAX;
/// Bytes of each buffer of the line that stay when it is quiet.
pub(crate) const BUFFER_KEPT: usize = 64 * 1024;
/// Places for waiting tasks that stay when it is quiet.
const WAITERS_KEPT: usize = 1024;
/// Stretches of failed receipts that are remembered; one arises each time the disk runs full.
const FAILED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// A write that succeeds after one that failed would acknowledge what was refused, or worse.
    #[test]
    fn after_a_failure_nothing_that_was_in_line_is_written() {
        let (line, mut batch, mut pace) = (Line::new(1_000), Batch::default(), Pace::default());
        line.append(b"taken").expect("healthy");
        assert_eq!(line.take(&mut batch, Duration::ZERO, &mut pace), Call::Work);
        let waiting = line.append(b"in line").expect("healthy");
        line.set_failed();
        assert_eq!(line.take(&mut batch, Duration::ZERO, &mut pace), Call::Idle);
        assert_eq!(line.append(b"late"), Err(AppendError::Failed));
        let cx = Context::from_waker(Waker::noop());
        let answer = line.poll(waiting, &mut Waiter::default(), &cx);
        assert_eq!(answer, Poll::Ready(Err(AppendError::Failed)));
        line.close();
        assert_eq!(line.take(&mut batch, Duration::ZERO, &mut pace), Call::Close);
    }
}
