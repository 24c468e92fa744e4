//! From the head to the shelf: each series' new readings are joined with its row, full chunks are
//! sealed, late readings and deletions go into the chunks they concern.
//!
//! Chunks of a series never overlap and all lie before the tail in its row, so a question needs no
//! versions. Chunks are ingested first, then rows, then everything else with the flushed position: a
//! process that dies in between replays the same changes onto the same or newer chunks, and a change
//! applied twice is the same change.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use thingport_model::time::Timestamp;

use crate::book::Book;
use crate::chunk;
use crate::head::{Attribute, Layer, Series, series_id};
use crate::layout::{self, Row};
use crate::names::NameCount;
use crate::points::Points;
use crate::ring::{self, Ring};
use crate::shelf::{Order, Run, Shelf, ShelfError, Space};

/// A frozen stretch of the log.
pub(crate) struct Job {
    pub(crate) layers: Vec<Arc<Layer>>,
    /// The newest group in it.
    pub(crate) lsn: u64,
    /// Bytes of log it came from.
    pub(crate) bytes: u64,
    /// Names that are on the shelf already, and those that are to be.
    pub(crate) names: (NameCount, NameCount),
}

/// What a flush writes.
#[derive(Default)]
struct Output {
    chunks: Run,
    rows: Run,
    expiry: BTreeSet<[u8; 20]>,
    scratch: Vec<u8>,
}

/// Puts the job on the shelf; durable when it returns.
pub(crate) fn flush(book: &Book, job: &Job) -> Result<(), ShelfError> {
    let shelf = &*book.shelf;
    let mut output = Output::default();
    let mut entities: Vec<(u32, &Layer)> = Vec::new();
    for layer in &job.layers {
        entities.extend(layer.entities.keys().map(|entity| (*entity, &**layer)));
    }
    entities.sort_unstable_by_key(|(entity, _)| *entity);
    for (entity, layer) in &entities {
        output.entity(shelf, *entity, layer)?;
    }
    let mut expiry = Run::default();
    output.expiry.iter().for_each(|key| expiry.push(key, Some(&[])));
    let mut meta = meta(book, job);
    let runs = [
        (Space::Expiry, &mut expiry),
        (Space::Chunks, &mut output.chunks),
        (Space::Rows, &mut output.rows),
    ];
    for (space, run) in runs.into_iter().filter(|(_, run)| !run.is_empty()) {
        // Said in two places, so that one of them can miss the other.
        run.push(layout::LAST, Some(&job.lsn.to_le_bytes()));
        meta.push(&layout::ingested_key(space), Some(&job.lsn.to_le_bytes()));
        shelf.ingest(space, run)?;
    }
    let mut edits = vec![(Space::Meta, meta)];
    edits.push((Space::Attributes, attributes(shelf, &entities)?));
    edits.push((Space::Incidents, incidents(book, &entities)?));
    shelf.commit(&edits)
}

fn meta(book: &Book, job: &Job) -> Run {
    let names = book.names.read();
    let (from, to) = job.names;
    let mut run = Run::default();
    for number in from.entities..to.entities {
        if let Some(name) = names.entity_name(number as u32) {
            let key = layout::name_key(layout::ENTITY, number as u32);
            run.push(&key, Some(&layout::write_entity(name)));
        }
    }
    for number in from.keys..to.keys {
        if let Some(name) = names.key_name(number as u32) {
            run.push(&layout::name_key(layout::KEY, number as u32), Some(name.as_bytes()));
        }
    }
    run.push(layout::FLUSHED, Some(&job.lsn.to_le_bytes()));
    run
}

fn attributes(shelf: &dyn Shelf, entities: &[(u32, &Layer)]) -> Result<Run, ShelfError> {
    let mut run = Run::default();
    let mut value = Vec::new();
    for (entity, layer) in entities {
        let Some(own) = layer.entities.get(entity) else { continue };
        if own.purged {
            stored_keys(shelf, Space::Attributes, *entity)?
                .iter()
                .for_each(|key| run.push(key, None));
        }
        for Attribute { scope, key, sample } in own.attributes.iter() {
            value.clear();
            sample.iter().for_each(|sample| layout::write_sample(&mut value, sample));
            let kept = sample.is_some().then_some(&value[..]);
            run.push(&layout::attribute_key(*entity, *scope, *key), kept);
        }
    }
    Ok(run)
}

fn incidents(book: &Book, entities: &[(u32, &Layer)]) -> Result<Run, ShelfError> {
    let shelf = &*book.shelf;
    let mut run = Run::default();
    for (entity, layer) in entities {
        let Some(own) = layer.entities.get(entity) else { continue };
        let key = entity.to_be_bytes();
        if own.incidents().next().is_none() {
            if own.purged {
                run.push(&key, None);
            }
            continue;
        }
        let stored = shelf.get(Space::Incidents, &key)?.filter(|_| !own.purged).unwrap_or_default();
        let mut ring: Ring = layout::read_incidents(&stored).collect();
        ring.extend(own.incidents().map(|(at, body)| (at, body.clone())));
        ring::trim(&mut ring, book.incidents_max(*entity));
        run.push(&key, Some(&layout::write_incidents(ring.iter())));
    }
    Ok(run)
}

fn stored_keys(shelf: &dyn Shelf, space: Space, entity: u32) -> Result<Vec<Vec<u8>>, ShelfError> {
    let (from, to) = layout::entity_keys(entity);
    let mut keys = Vec::new();
    shelf.scan(space, &from, &to, Order::Ascending, &mut |key, _| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}

impl Output {
    fn entity(&mut self, shelf: &dyn Shelf, entity: u32, layer: &Layer) -> Result<(), ShelfError> {
        let Some(own) = layer.entities.get(&entity) else { return Ok(()) };
        let mut rows: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let mut chunks = BTreeMap::new();
        if own.purged {
            rows.extend(
                stored_keys(shelf, Space::Rows, entity)?.into_iter().map(|key| (key, None)),
            );
            let gone = stored_keys(shelf, Space::Chunks, entity)?;
            chunks.extend(gone.into_iter().map(|key| (key, None)));
        }
        for series in own.series.iter() {
            let id = series_id(entity, series.key);
            let stored = shelf.get(Space::Rows, &layout::row_key(id))?.filter(|_| !own.purged);
            let row =
                stored.map_or_else(|| Ok(Row::default()), |bytes| readable(Row::read(&bytes)))?;
            let row = self.series(shelf, id, row, series, &mut chunks)?;
            let mut bytes = Vec::with_capacity(64);
            row.write(&mut bytes);
            rows.insert(layout::row_key(id).to_vec(), Some(bytes));
        }
        rows.iter().for_each(|(key, value)| self.rows.push(key, value.as_deref()));
        chunks.iter().for_each(|(key, value)| self.chunks.push(key, value.as_deref()));
        Ok(())
    }

    /// Joins what is stored of a series with what is new; answers its new row.
    fn series(
        &mut self,
        shelf: &dyn Shelf,
        id: u64,
        mut row: Row,
        series: &Series,
        chunks: &mut BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) -> Result<Row, ShelfError> {
        row.latest = series.claim().over(row.latest.take());
        let mut new = series.points.clone();
        new.settle();
        let gone = |at: i64| series.deleted().iter().any(|range| range.contains(Timestamp(at)));
        row.tail.items.retain(|point| !gone(point.at));
        let late_count =
            new.items.partition_point(|point| row.sealed.is_some_and(|end| point.at <= end));
        if late_count > 0 || row.sealed.is_some() && !series.deleted().is_empty() {
            let late = new.slice(0, late_count);
            new = new.slice(late_count, new.len());
            self.rewrite(shelf, id, series, &late, chunks)?;
        }
        row.tail = if row.tail.is_empty() { new } else { Points::merged(&row.tail, &new) };
        self.seal(id, &mut row, chunks);
        Ok(row)
    }

    /// Moves full chunks out of the tail.
    fn seal(&mut self, id: u64, row: &mut Row, chunks: &mut BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
        let mut from = 0;
        while row.tail.len() - from >= SEAL_POINTS
            || row.tail.text_len() > SEAL_TEXT && from < row.tail.len()
        {
            let to = self.piece(&row.tail, from);
            self.write_chunk(id, &row.tail, from, to, chunks);
            row.sealed = row.tail.items.get(to - 1).map(|point| point.at);
            from = to;
        }
        if from > 0 {
            row.tail = row.tail.slice(from, row.tail.len());
        }
    }

    /// Changes the chunks that deletions and late readings concern.
    fn rewrite(
        &mut self,
        shelf: &dyn Shelf,
        id: u64,
        series: &Series,
        late: &Points,
        chunks: &mut BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) -> Result<(), ShelfError> {
        let times = late.items.iter().map(|point| point.at);
        let from = times.clone().chain(series.deleted().iter().map(|it| it.start.ms())).min();
        let to = times.chain(series.deleted().iter().map(|it| it.end.ms())).max();
        let starts = concerned(shelf, id, from.unwrap_or(0), to.unwrap_or(0))?;
        if starts.is_empty() {
            self.write_pieces(id, late, chunks);
            return Ok(());
        }
        let mut used = 0;
        for (index, first) in starts.iter().enumerate() {
            let next = starts.get(index + 1).copied();
            let end = late.items.partition_point(|point| next.is_none_or(|next| point.at < next));
            let own = late.slice(used, end);
            used = end;
            let last = next.map_or(i64::MAX, |next| next - 1);
            let touched =
                series.deleted().iter().any(|it| it.start.ms() <= last && it.end.ms() > *first);
            if touched || !own.is_empty() {
                self.rewrite_one(shelf, id, *first, series, &own, chunks)?;
            }
        }
        Ok(())
    }

    fn rewrite_one(
        &mut self,
        shelf: &dyn Shelf,
        id: u64,
        first: i64,
        series: &Series,
        late: &Points,
        chunks: &mut BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) -> Result<(), ShelfError> {
        let key = layout::chunk_key(id, first);
        let stored = shelf.get(Space::Chunks, &key)?.unwrap_or_default();
        let mut points = readable(chunk::decode(&stored))?;
        let gone = |at: i64| series.deleted().iter().any(|range| range.contains(Timestamp(at)));
        points.items.retain(|point| !gone(point.at));
        chunks.insert(key.to_vec(), None); // replaced below unless its first time changes
        self.write_pieces(id, &Points::merged(&points, late), chunks);
        Ok(())
    }

    fn write_pieces(
        &mut self,
        id: u64,
        points: &Points,
        chunks: &mut BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) {
        let mut from = 0;
        while from < points.len() {
            let to = self.piece(points, from);
            self.write_chunk(id, points, from, to, chunks);
            from = to;
        }
    }

    /// Where a chunk that starts at `from` ends.
    fn piece(&self, points: &Points, from: usize) -> usize {
        let _ = self;
        let mut text = 0;
        let items = points.items.get(from..).unwrap_or_default();
        let count = items.iter().take(CHUNK_POINTS).take_while(|point| {
            let fits = text < CHUNK_TEXT;
            text += points.text_of(point).len();
            fits
        });
        from + count.count()
    }

    fn write_chunk(
        &mut self,
        id: u64,
        points: &Points,
        from: usize,
        to: usize,
        chunks: &mut BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) {
        let Some(first) = points.items.get(from).map(|point| point.at) else { return };
        self.scratch.clear();
        chunk::encode(points, from, to, &mut self.scratch);
        let expires_at = chunk::expires_at(&self.scratch).filter(|at| *at != i64::MAX);
        if let Some(hour) = expires_at.and_then(layout::expiry_hour) {
            self.expiry.insert(layout::expiry_key(hour, id, first));
        }
        chunks.insert(layout::chunk_key(id, first).to_vec(), Some(self.scratch.clone()));
    }
}

/// First times of the chunks that hold or surround `from..=to`.
fn concerned(shelf: &dyn Shelf, id: u64, from: i64, to: i64) -> Result<Vec<i64>, ShelfError> {
    let mut starts = Vec::new();
    let floor = floor_start(shelf, id, from)?;
    let low = layout::chunk_key(id, floor.unwrap_or(i64::MIN));
    let high = series_end(id);
    shelf.scan(Space::Chunks, &low, &high, Order::Ascending, &mut |key, _| {
        let first = layout::chunk_place(key).map_or(0, |(_, first)| first);
        if first > to && !starts.is_empty() {
            return ControlFlow::Break(());
        }
        starts.push(first);
        ControlFlow::Continue(())
    })?;
    Ok(starts)
}

/// First time of the chunk in which `at` would lie.
pub(crate) fn floor_start(shelf: &dyn Shelf, id: u64, at: i64) -> Result<Option<i64>, ShelfError> {
    let mut found = None;
    let low = layout::chunk_key(id, i64::MIN);
    let mut high = layout::chunk_key(id, at).to_vec();
    high.push(0); // just behind the key itself
    shelf.scan(Space::Chunks, &low, &high, Order::Descending, &mut |key, _| {
        found = layout::chunk_place(key).map(|(_, first)| first);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// Behind every chunk of a series.
pub(crate) fn series_end(id: u64) -> Vec<u8> {
    let mut end = layout::chunk_key(id, i64::MAX).to_vec();
    end.push(0);
    end
}

/// What was checked by the engine's checksums and still makes no sense.
pub(crate) fn readable<T>(decoded: Option<T>) -> Result<T, ShelfError> {
    decoded.ok_or_else(|| ShelfError::Failed("a stored row or chunk is damaged".to_owned()))
}

/// A tail with so many readings becomes a chunk.
const SEAL_POINTS: usize = 256;
/// A tail with so much text becomes a chunk.
const SEAL_TEXT: usize = 32 * 1024;
const CHUNK_POINTS: usize = 512;
const CHUNK_TEXT: usize = 64 * 1024;
