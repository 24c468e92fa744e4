//! Removing what expired, under the guard that a wrong clock cannot empty the store.
//!
//! The guard: the time up to which anything was removed is kept, and each sweep may move it by the real
//! (monotonic) time since the sweep before plus one hour at most, and never beyond the wall clock. It
//! begins where the first chunk expires, so that a clock that is wrong just then sets no mark either. A
//! clock that jumps ten years ahead thus removes an hour too much per sweep until somebody corrects it;
//! after a long time switched off, removal catches up an hour per sweep. What a question shows follows
//! the wall clock at once; only removal is slow to believe.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::book::Book;
use crate::chunk;
use crate::layout::{self, HOUR_MS};
use crate::shelf::{Order, Run, ShelfError, Space};

/// Removes chunks whose last reading expired; `since_last` is the real time since the last sweep.
/// Answers how many were removed.
pub(crate) fn sweep(book: &Book, since_last: Duration) -> Result<usize, ShelfError> {
    let wall = (book.now)().ms();
    let stored = book.shelf.get(Space::Meta, layout::SWEPT)?;
    let swept: Option<i64> = stored.and_then(|it| it.try_into().ok()).map(i64::from_le_bytes);
    let Some(swept) = swept else {
        if let Some(first) = first_expiry(book)? {
            remember(book, wall.min(first), &Run::default())?;
        }
        return Ok(0);
    };
    let real_ms = i64::try_from(since_last.as_millis()).unwrap_or(i64::MAX);
    let horizon = wall.min(swept.saturating_add(real_ms).saturating_add(HOUR_MS));
    if horizon <= swept {
        return Ok(0);
    }
    let (notes, chunks) = expired(book, horizon)?;
    book.shelf.ingest(Space::Chunks, &chunks)?;
    let removed = notes.pairs().count();
    remember(book, horizon, &notes)?;
    Ok(removed)
}

/// When the first chunk expires, at the latest; None when none does.
fn first_expiry(book: &Book) -> Result<Option<i64>, ShelfError> {
    let mut first = None;
    book.shelf.scan(Space::Expiry, &[], &[0xff; 4], Order::Ascending, &mut |key, _| {
        let hour = key.first_chunk().map(|hour| u32::from_be_bytes(*hour));
        first = hour.map(|hour| i64::from(hour) * HOUR_MS);
        ControlFlow::Break(())
    })?;
    Ok(first)
}

/// Notes to be removed, and the chunks that really expired by `horizon`.
fn expired(book: &Book, horizon: i64) -> Result<(Run, Run), ShelfError> {
    let end = layout::expiry_hour(horizon).unwrap_or(u32::MAX); // the hour of the horizon is not over
    let mut keys = Vec::new();
    book.shelf.scan(Space::Expiry, &[], &end.to_be_bytes(), Order::Ascending, &mut |key, _| {
        keys.push(key.to_vec());
        if keys.len() < SWEEP_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let (mut notes, mut gone) = (Run::default(), Vec::new());
    for key in &keys {
        notes.push(key, None);
        let chunk_key = key.get(4..).unwrap_or_default();
        let stored = book.shelf.get(Space::Chunks, chunk_key)?;
        // A chunk that was rewritten with a longer life has a later note of its own.
        if stored.and_then(|bytes| chunk::expires_at(&bytes)).is_some_and(|at| at < horizon) {
            gone.push(chunk_key);
        }
    }
    gone.sort_unstable();
    gone.dedup();
    let mut chunks = Run::default();
    gone.iter().for_each(|key| chunks.push(key, None));
    Ok((notes, chunks))
}

fn remember(book: &Book, swept: i64, notes: &Run) -> Result<(), ShelfError> {
    let mut meta = Run::default();
    meta.push(layout::SWEPT, Some(&swept.to_le_bytes()));
    let mut removed = Run::default();
    notes.pairs().for_each(|(key, _)| removed.push(key, None));
    book.shelf.commit(&[(Space::Meta, meta), (Space::Expiry, removed)])
}

/// Most chunks removed in one sweep; the rest follows with the next.
const SWEEP_MAX: usize = 100_000;
