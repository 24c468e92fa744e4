//! The order of messages, and requests for a rebirth: when they are due, and how often they may be.

use std::collections::VecDeque;

/// Where a message stands in the order of its edge node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is the next one.
    Now,
    /// It is held back until the ones before it have come.
    Held,
    /// One is missing and nothing is held back any more: it counts as the next one.
    Gap,
}

/// A message that came too early.
#[derive(Debug)]
pub(crate) struct Held<M> {
    seq: u8,
    size: usize,
    message: M,
}

/// The sequence of one edge node from its birth on.
#[derive(Debug)]
pub(crate) struct Order<M> {
    next: u8,
    held: VecDeque<Held<M>>,
    bytes: usize,
    /// Since when something is held back.
    since_ms: Option<u64>,
    timeout_ms: u64,
}

impl<M> Order<M> {
    /// `timeout_ms`: how long a gap may stay open; 0: nothing is held back.
    pub(crate) const fn new(timeout_ms: u64) -> Self {
        Self { next: 0, held: VecDeque::new(), bytes: 0, since_ms: None, timeout_ms }
    }

    /// Where the message with this number stands. The expected one is counted as seen.
    pub(crate) fn place(&mut self, seq: u8, size: usize) -> Turn {
        if seq == self.next {
            self.next = seq.wrapping_add(1);
            return Turn::Now;
        }
        let is_full = self.held.len() >= HELD_MAX || self.bytes + size > HELD_BYTES_MAX;
        if self.timeout_ms == 0 || is_full { Turn::Gap } else { Turn::Held }
    }

    /// Holds a message back (tck-id-operational-behavior-host-reordering-start).
    pub(crate) fn hold(&mut self, seq: u8, size: usize, message: M, now_ms: u64) {
        self.since_ms.get_or_insert(now_ms);
        self.bytes += size;
        self.held.push_back(Held { seq, size, message });
    }

    /// The message that was held back and is the next one now
    /// (tck-id-operational-behavior-host-reordering-success).
    pub(crate) fn next_held(&mut self) -> Option<M> {
        let at = self.held.iter().position(|held| held.seq == self.next)?;
        let held = self.held.remove(at)?;
        self.bytes -= held.size;
        self.next = held.seq.wrapping_add(1);
        if self.held.is_empty() {
            self.since_ms = None;
        }
        Some(held.message)
    }

    /// Gives up waiting: everything in order of arrival; the last one that came counts as the newest.
    pub(crate) fn give_up(&mut self) -> impl Iterator<Item = M> + use<M> {
        if let Some(last) = self.held.back() {
            self.next = last.seq.wrapping_add(1);
        }
        (self.bytes, self.since_ms) = (0, None);
        core::mem::take(&mut self.held).into_iter().map(|held| held.message)
    }

    /// A birth, or a gap that nobody waits for: what comes next follows this one.
    pub(crate) const fn skip_to(&mut self, seq: u8) {
        self.next = seq.wrapping_add(1);
    }

    /// When waiting ends.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.since_ms.map(|since_ms| since_ms.saturating_add(self.timeout_ms))
    }
}

/// Requests for a rebirth: at most one in ten seconds, and three without a birth.
#[derive(Debug, Default)]
pub(crate) struct Rebirths {
    is_wanted: bool,
    last_ms: Option<u64>,
    sent: u8,
    /// The birth says that the edge node knows no such request.
    is_impossible: bool,
}

/// What becomes of a wish for a rebirth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// It is asked for now.
    Now,
    /// It was asked for a moment ago, or will be.
    Later,
    /// Nobody asks any more; told once.
    GivenUp,
    /// The same, and it was told.
    Never,
}

impl Rebirths {
    /// A birth came.
    pub(crate) const fn born(&mut self, can_be_asked: bool) {
        let last_ms = self.last_ms;
        *self = Self { is_wanted: false, last_ms, sent: 0, is_impossible: !can_be_asked };
    }

    /// Something went wrong that a rebirth mends.
    pub(crate) fn want(&mut self, now_ms: u64) -> Asking {
        if self.is_impossible || self.sent >= ASKED_MAX {
            let is_new = !self.is_wanted;
            self.is_wanted = true;
            return if is_new { Asking::GivenUp } else { Asking::Never };
        }
        self.is_wanted = true;
        self.ask(now_ms)
    }

    /// Asks if it is wanted and due.
    pub(crate) fn ask(&mut self, now_ms: u64) -> Asking {
        if self.poll_timeout().is_none_or(|at_ms| now_ms < at_ms) {
            return Asking::Later;
        }
        (self.is_wanted, self.last_ms, self.sent) = (false, Some(now_ms), self.sent + 1);
        Asking::Now
    }

    /// When to ask.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let is_open = self.is_wanted && !self.is_impossible && self.sent < ASKED_MAX;
        is_open.then(|| self.last_ms.map_or(0, |last_ms| last_ms.saturating_add(ASK_EVERY_MS)))
    }
}

/// Messages held back for one edge node.
pub(crate) const HELD_MAX: usize = 64;
/// Their bytes.
const HELD_BYTES_MAX: usize = 1024 * 1024;
/// Requests without a birth.
const ASKED_MAX: u8 = 3;
/// Milliseconds between two requests.
const ASK_EVERY_MS: u64 = 10_000;
