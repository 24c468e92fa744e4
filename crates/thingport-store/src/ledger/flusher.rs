//! The flush thread: moves frozen layers to the shelf, gives segments back, makes spare ones, and
//! removes what expired. Everything slow happens here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use thingport_model::port::ledger::LedgerState;

use super::Shared;
use super::evidence::signs;
use crate::disk::Disk;
use crate::flush::{self, Job};
use crate::layout;
use crate::retention;
use crate::shelf::{Run, ShelfError};

/// The flusher's own things.
pub(super) struct Flusher {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) jobs: Receiver<Job>,
    pub(super) swept: Instant,
    /// When the mark was written last.
    pub(super) marked: Instant,
    /// Whether the reserve is known to be there.
    pub(super) reserved: bool,
    /// Whether the shelf carries the identity of the directory.
    pub(super) signed: bool,
}

impl Flusher {
    /// Ends when no more jobs can come. Segments and the reserve are made when nothing else is to do, not
    /// before the first second has passed: zeros would only compete with a start for the disk.
    pub(super) fn run(mut self) {
        loop {
            match self.jobs.recv_timeout(PATIENCE) {
                Ok(job) => self.flush(&job),
                Err(RecvTimeoutError::Timeout) => self.housekeeping(),
                Err(RecvTimeoutError::Disconnected) => return self.mark(None),
            }
        }
    }

    /// Writes down how far log and shelf have come. Nobody waits for it, and without it a start only
    /// knows less about what should be there.
    fn mark(&mut self, flushed: Option<u64>) {
        self.marked = Instant::now();
        let committed = self.shared.committed.load(Ordering::Acquire);
        let signed = self.signed;
        let marked = self.shared.marker.change(|mark| {
            mark.lsn = mark.lsn.max(committed);
            mark.flushed = mark.flushed.max(flushed.unwrap_or(0));
            mark.is_signed = signed;
        });
        if let Err(error) = marked {
            tracing::warn!(%error, "how far the log has come could not be written down");
        }
    }

    /// Puts the identity of the directory on the shelf.
    fn sign(&mut self) {
        if self.signed {
            return;
        }
        let mut run = Run::default();
        run.push(layout::IDENTITY, Some(self.shared.marker.mark().identity.as_bytes()));
        match self.shared.book.shelf.commit(&signs(run)) {
            Ok(()) => self.signed = true,
            Err(error) => tracing::warn!(?error, "the chunk store could not be signed"),
        }
    }

    fn flush(&mut self, job: &Job) {
        let started = Instant::now();
        let mut tries = 0;
        while let Err(error) = flush::flush(&self.shared.book, job) {
            tries += 1;
            if self.give_up(&error, tries) {
                return;
            }
        }
        self.finish(job);
        tracing::debug!(lsn = job.lsn, took = ?started.elapsed(), "flushed");
    }

    /// Whether it is pointless to try again; else whatever can be done for it is done.
    fn give_up(&mut self, error: &ShelfError, tries: u32) -> bool {
        tracing::warn!(?error, tries, "the flush failed");
        let hopeless = matches!(error, ShelfError::Failed(_)) && tries >= TRIES_MAX;
        if hopeless || self.shared.stopping.load(Ordering::Acquire) {
            if hopeless {
                self.shared.line.set_failed();
            }
            return true;
        }
        if matches!(error, ShelfError::Full) {
            self.release_reserve();
            self.shared.retire(&*self.disk, true);
        }
        self.pause();
        if let Err(error) = self.shared.book.shelf.revive() {
            tracing::warn!(?error, "the chunk store cannot be opened yet");
        }
        false
    }

    /// The only thing this thread can do is try again, but not so soon.
    fn pause(&self) {
        let until = Instant::now() + RETRY;
        while Instant::now() < until && !self.shared.stopping.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn finish(&mut self, job: &Job) {
        self.shared.book.head.thaw();
        self.shared.backlog.fetch_sub(job.bytes, Ordering::Relaxed);
        self.sign();
        // Before segments go: from now on what they held has to be on the shelf.
        self.mark(Some(job.lsn));
        if let Err(error) = self.shared.yard.release(job.lsn) {
            tracing::warn!(%error, "a segment could not be removed");
        }
        self.shared.retire(&*self.disk, false);
        self.shared.flushing.store(false, Ordering::Release);
        self.shared.flushes.fetch_add(1, Ordering::Release);
        self.shared.line.wake_ready();
        self.shared.line.nudge();
    }

    fn housekeeping(&mut self) {
        if self.shared.stopping.load(Ordering::Acquire) {
            return;
        }
        if self.marked.elapsed() >= MARK_EVERY {
            self.mark(None);
        }
        if let Err(error) = self.shared.yard.release(0) {
            tracing::warn!(%error, "a segment could not be removed");
        }
        self.shared.retire(&*self.disk, self.shared.line.state() == LedgerState::Full);
        if let Err(error) = self.shared.yard.prepare() {
            tracing::warn!(%error, "no spare segment could be made");
        }
        if self.shared.line.state() == LedgerState::Full {
            self.release_reserve();
        } else {
            self.keep_reserve();
        }
        let since = self.swept.elapsed();
        if since >= self.shared.config.sweep_every {
            self.swept = Instant::now();
            match retention::sweep(&self.shared.book, since) {
                Ok(0) => {}
                Ok(chunks) => tracing::info!(chunks, "removed expired readings"),
                Err(error) => tracing::warn!(?error, "expired readings could not be removed"),
            }
        }
    }

    /// A file that can be given up when the disk is full, so that flushing can free log segments.
    fn keep_reserve(&mut self) {
        let bytes = self.shared.config.reserve_bytes;
        if self.reserved || bytes == 0 {
            return;
        }
        let found = self.disk.open(RESERVE).and_then(|file| file.len());
        if found.is_ok_and(|len| len == bytes) {
            self.reserved = true;
            return;
        }
        match self.disk.allocate(RESERVE, bytes) {
            Ok(_) => self.reserved = true,
            Err(error) => tracing::warn!(%error, "no reserve for a full disk could be made"),
        }
    }

    fn release_reserve(&mut self) {
        self.reserved = false;
        if let Err(error) = self.disk.remove(RESERVE) {
            tracing::warn!(%error, "the reserve could not be released");
        }
    }
}

const RESERVE: &str = "reserve";
/// The end of the log that could be cut off without being noticed is about so long.
const MARK_EVERY: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(500);
const TRIES_MAX: u32 = 20;
