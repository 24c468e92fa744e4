//! What the mark says beforehand, what a start finds, and what the mark says from then on.
//!
//! The parts of a data directory prove each other: the mark says how far log and chunk store had come,
//! and everything carries the identity of the directory. Whatever a crash leaves fits together; what
//! does not was damaged, removed or mixed up, and is told before anything is changed.

use std::io;
use std::sync::Arc;

use uuid::Uuid;

use super::loss::{self, Loss, Whose};
use super::{OpenError, format};
use crate::book::{Book, Clock};
use crate::disk::Disk;
use crate::layout;
use crate::log::mark::{self, Bond, Mark, Marker};
use crate::log::recovery::{Found, Known};
use crate::log::{fresh_salt, segment_number};
use crate::premises::ENTITIES;
use crate::shelf::{Run, Shelf, ShelfError, Space};

/// What is known before the log is read.
pub(super) struct Evidence {
    disk: Arc<dyn Disk>,
    found: mark::Found,
    mark: Mark,
    losses: Vec<Loss>,
    /// Whether the chunk store carries the identity.
    pub(super) is_signed: bool,
}

/// Why it cannot be known.
pub(super) enum EvidenceError {
    Io(io::Error),
    Shelf(ShelfError),
    /// The chunk store is that of another directory; its numbers mean something else.
    ForeignChunks,
}

impl From<io::Error> for EvidenceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Evidence {
    /// Reads the mark, and compares the chunk store, which holds groups up to `flushed`, with it.
    pub(super) fn read(
        disk: &Arc<dyn Disk>,
        book: &Book,
        flushed: u64,
    ) -> Result<Self, EvidenceError> {
        let found = mark::read(&**disk)?;
        let signature = book.shelf.get(Space::Meta, layout::IDENTITY);
        let signature = signature.map_err(EvidenceError::Shelf)?;
        let signature = signature.and_then(|bytes| Uuid::from_slice(&bytes).ok());
        let (mark, mut losses) = match found {
            mark::Found::Sound(mark, _) => (mark, Vec::new()),
            mark::Found::Damaged => (unknown(signature), vec![Loss::Mark { is_there: true }]),
            mark::Found::Absent if may_be_absent(&**disk, flushed)? => {
                (unknown(signature), Vec::new())
            }
            mark::Found::Absent => (unknown(signature), vec![Loss::Mark { is_there: false }]),
        };
        if signature.is_some_and(|it| it != mark.identity) {
            return Err(EvidenceError::ForeignChunks);
        }
        if flushed < mark.flushed {
            losses.push(Loss::Chunks { flushed: (flushed, mark.flushed), at: mark.at });
        }
        let is_signed = signature.is_some();
        if mark.is_signed && !is_signed && mark.flushed > 0 {
            losses.push(Loss::ChunksPart { space: Space::Meta.name() });
        }
        parts(&*book.shelf, is_signed, &mut losses).map_err(EvidenceError::Shelf)?;
        Ok(Self { disk: Arc::clone(disk), found, mark, losses, is_signed })
    }

    pub(super) fn known(&self, flushed: u64) -> Known {
        let Mark { lsn: committed, opened, salt, segment, .. } = self.mark;
        Known { flushed, committed, opened, salt, segment, followed: None }
    }

    /// Refuses when the log does not hold what it should, unless exactly that was `accepted`. Answers
    /// how many things were lost then.
    pub(super) fn judge(
        &mut self,
        found: &Found,
        place: &str,
        accepted: &str,
    ) -> Result<u64, OpenError> {
        let mut of_log = loss::of_log(&self.mark, found);
        let chunks_lost = self.losses.iter().any(|it| matches!(it, Loss::Chunks { .. }));
        let told = self.mark.forgiven.max(if chunks_lost { self.mark.flushed } else { 0 });
        of_log.retain(|it| !matches!(it, Loss::Groups { numbers: (_, last), .. } if *last <= told));
        self.losses.append(&mut of_log);
        if self.losses.is_empty() {
            return Ok(0);
        }
        let code = loss::code(self.whose(), &self.losses);
        if code != accepted {
            let losses = core::mem::take(&mut self.losses);
            return Err(OpenError::Lost { place: place.to_owned(), losses, code });
        }
        for loss in &self.losses {
            tracing::error!(place, %loss, "lost for good, as storage.accept_loss says");
        }
        Ok(self.losses.len() as u64)
    }

    /// What stays the same until somebody decides: without a mark the identity may be a new one.
    fn whose(&self) -> Whose {
        let is_known = self.is_signed || matches!(self.found, mark::Found::Sound(..));
        let Mark { identity, lsn, .. } = self.mark;
        if is_known { Whose { identity, lsn } } else { Whose::default() }
    }

    /// Writes down what holds from now on. What was read may have been written by a process that was
    /// killed before it synced: that is made durable first.
    pub(super) fn renew(
        self,
        found: &Found,
        book: &Book,
        flushed: u64,
        now: Clock,
    ) -> io::Result<Marker> {
        for segment in &found.live {
            self.disk.open(&segment.name)?.settle()?;
        }
        let lsn = found.next_lsn - 1;
        let has_names = book.names.read().count().entities > 0;
        let expected = self.mark.entities == Bond::None && has_names
            || matches!(self.losses.first(), Some(Loss::Mark { .. }));
        let salt = [self.mark.salt, found.salt].into_iter().find(|salt| *salt != 0);
        let mark = Mark {
            salt: salt.unwrap_or_else(fresh_salt),
            lsn,
            opened: lsn,
            flushed,
            forgiven: if self.losses.is_empty() { self.mark.forgiven } else { lsn },
            segment: 0,
            segment_bytes: 0,
            entities: if expected { Bond::Expected } else { self.mark.entities },
            is_signed: self.is_signed,
            ..self.mark
        };
        if self.losses.iter().any(|it| matches!(it, Loss::ChunksPart { .. })) {
            forget_parts(&*book.shelf).map_err(|error| io::Error::other(format!("{error:?}")))?;
        }
        let marker = Marker::start(&*self.disk, &self.found, mark, now)?;
        format::write(&*self.disk)?;
        Ok(marker)
    }
}

/// What one space says of itself and meta says of it.
fn parts(shelf: &dyn Shelf, is_signed: bool, losses: &mut Vec<Loss>) -> Result<(), ShelfError> {
    let number = |stored: Option<Vec<u8>>| {
        stored.and_then(|it| it.try_into().ok()).map_or(0, u64::from_le_bytes)
    };
    for space in INGESTED {
        let said = number(shelf.get(Space::Meta, &layout::ingested_key(space))?);
        if number(shelf.get(space, layout::LAST)?) < said {
            losses.push(Loss::ChunksPart { space: space.name() });
        }
    }
    for space in SIGNED.into_iter().filter(|_| is_signed) {
        if shelf.get(space, layout::LAST)?.is_none() {
            losses.push(Loss::ChunksPart { space: space.name() });
        }
    }
    Ok(())
}

/// What is lost and accepted is not asked for again.
fn forget_parts(shelf: &dyn Shelf) -> Result<(), ShelfError> {
    let mut meta = Run::default();
    INGESTED.iter().for_each(|space| meta.push(&layout::ingested_key(*space), None));
    shelf.commit(&signs(meta))
}

/// With `meta`, an entry in each space that is written in small pieces.
pub(super) fn signs(meta: Run) -> Vec<(Space, Run)> {
    let sign = |space| {
        let mut run = Run::default();
        run.push(layout::LAST, Some(&[]));
        (space, run)
    };
    core::iter::once((Space::Meta, meta)).chain(SIGNED.map(sign)).collect()
}

/// Spaces that are written by ingestion only.
const INGESTED: [Space; 3] = [Space::Expiry, Space::Chunks, Space::Rows];
/// Spaces that are written in small pieces, beside meta.
const SIGNED: [Space; 2] = [Space::Attributes, Space::Incidents];

/// A directory without a mark is new, or of the format that had none.
fn may_be_absent(disk: &dyn Disk, flushed: u64) -> io::Result<bool> {
    let names = disk.list()?;
    let is_new = flushed == 0
        && !names.iter().any(|name| segment_number(name).is_some() || name == ENTITIES);
    Ok(match format::read(disk) {
        Some(format) => format == format::WITHOUT_MARK,
        None => is_new,
    })
}

/// What is left to go on with without a mark.
fn unknown(signature: Option<Uuid>) -> Mark {
    Mark { identity: signature.unwrap_or_else(fresh_identity), ..Mark::default() }
}

fn fresh_identity() -> Uuid {
    Uuid::from_u64_pair(fresh_salt(), fresh_salt())
}
