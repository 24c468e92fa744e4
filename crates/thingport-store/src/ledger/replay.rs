//! Putting back in memory what the log says and chunks do not.
//!
//! One thread reads the log and proves every record. Others, the *hands*, apply them, since that is
//! mostly waiting for memory. All records of an entity go to the same hand and stay in order; those of
//! different entities need none. Names are learnt while reading, before what uses them is handed on.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle, scope};

use super::Progress;
use crate::book::{Book, Position};
use crate::config::LedgerConfig;
use crate::disk::Disk;
use crate::log::group;
use crate::log::recovery::{self, Found, Known, RecoveryError};
use crate::record::Record;
use crate::shelf::ShelfError;

/// Why the log could not be put back.
pub(super) enum ReplayError {
    Recovery(RecoveryError),
    Shelf(ShelfError),
}

/// Applies every record of the log that is behind what is flushed.
pub(super) fn replay(
    book: &Book,
    disk: &dyn Disk,
    known: Known,
    config: &LedgerConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Found, ReplayError> {
    scope(|scope| {
        let mut hands = Hands::new(book, scope);
        let mut strange = 0;
        let mut visit = |lsn, index, bytes: &[u8]| match Record::read(bytes)
            .filter(|record| book.knows(record))
        {
            Some(record) => hands.take(&record, bytes, Position { lsn, index }),
            None => strange += 1,
        };
        // Names stand twice, so a group may be twice what the line holds; one change may exceed it.
        let group_max = group::stride(2 * config.commit_queue_max_bytes + MIB);
        let mut report = |done, total| progress(Progress { done, total });
        let found = recovery::recover(disk, known, group_max, &mut visit, &mut report);
        let mut found = found.map_err(ReplayError::Recovery)?;
        found.damaged += strange;
        hands.finish().map_err(ReplayError::Shelf)?;
        Ok(found)
    })
}

/// Those who apply records. None of them is there before there is enough to do.
struct Hands<'scope, 'env> {
    book: &'env Book,
    scope: &'scope Scope<'scope, 'env>,
    hands: [Hand<'scope>; HANDS],
    failed: Option<ShelfError>,
}

/// One of them, with what is gathered for it.
#[derive(Default)]
struct Hand<'scope> {
    next: Records,
    line: Option<SyncSender<Records>>,
    thread: Option<ScopedJoinHandle<'scope, Result<(), ShelfError>>>,
}

/// Records one after the other, as they stand in the log.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    /// Where each ends, and where it stood.
    ends: Vec<(usize, Position)>,
}

impl<'scope, 'env> Hands<'scope, 'env> {
    fn new(book: &'env Book, scope: &'scope Scope<'scope, 'env>) -> Self {
        Self { book, scope, hands: Default::default(), failed: None }
    }

    fn take(&mut self, record: &Record<'_>, bytes: &[u8], position: Position) {
        let Some(entity) = record.entity() else { return self.book.learn(record) };
        let number = entity as usize % HANDS;
        let next = &mut self.hands[number].next;
        next.push(bytes, position);
        if next.bytes.len() >= TOGETHER_BYTES {
            self.hand_over(number);
        }
    }

    fn hand_over(&mut self, number: usize) {
        let hand = &mut self.hands[number];
        let records = core::mem::take(&mut hand.next);
        if hand.line.is_none() {
            hand.start(self.book, self.scope);
        }
        match &hand.line {
            // A hand that failed takes no more; why is told when it is joined.
            Some(line) => drop(line.send(records)),
            None => self.apply(records.iter()), // the system has no more threads
        }
    }

    fn apply<'r>(&mut self, records: impl Iterator<Item = (&'r [u8], Position)>) {
        if let Err(error) = self.book.apply_all(records) {
            self.failed.get_or_insert(error);
        }
    }

    /// Waits until everything is applied.
    fn finish(mut self) -> Result<(), ShelfError> {
        for number in 0..HANDS {
            let hand = &mut self.hands[number];
            if hand.line.is_some() {
                self.hand_over(number);
                self.hands[number].line = None;
            } else {
                let records = core::mem::take(&mut hand.next);
                self.apply(records.iter());
            }
        }
        for thread in self.hands.into_iter().filter_map(|hand| hand.thread) {
            let done = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            self.failed = self.failed.or_else(|| done.err());
        }
        self.failed.map_or(Ok(()), Err)
    }
}

impl<'scope> Hand<'scope> {
    fn start<'env>(&mut self, book: &'env Book, scope: &'scope Scope<'scope, 'env>) {
        let (line, waiting) = sync_channel(WAITING);
        let thread = Builder::new().name("ledger-replay".to_owned());
        if let Ok(thread) = thread.spawn_scoped(scope, move || work(book, &waiting)) {
            self.line = Some(line);
            self.thread = Some(thread);
        }
    }
}

impl Records {
    fn push(&mut self, bytes: &[u8], position: Position) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push((self.bytes.len(), position));
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], Position)> {
        let mut start = 0;
        self.ends.iter().map(move |(end, position)| {
            (&self.bytes[core::mem::replace(&mut start, *end)..*end], *position)
        })
    }
}

fn work(book: &Book, waiting: &Receiver<Records>) -> Result<(), ShelfError> {
    waiting.iter().try_for_each(|records| book.apply_all(records.iter()))
}

/// More would find nothing to do: reading takes a third of the time.
const HANDS: usize = 2;
/// Bytes of records that are handed on together. A log with less is put back without a thread.
const TOGETHER_BYTES: usize = 64 * 1024;
/// Such heaps that may wait for a hand.
const WAITING: usize = 8;
const MIB: usize = 1024 * 1024;
