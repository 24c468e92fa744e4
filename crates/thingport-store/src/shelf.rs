//! Where the flush puts things: sorted key spaces, written in bulk, off the acknowledgement path.
//!
//! Four calls, so that the engine below can be replaced, and so that crash tests run in memory.

use std::ops::ControlFlow;

pub(crate) mod fjall;
#[cfg(test)]
pub(crate) mod memory;

pub(crate) use fjall::FjallShelf;
#[cfg(test)]
pub(crate) use memory::MemoryShelf;

/// A key space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Space {
    /// Names of entities and keys, the flushed position, the state of retention.
    Meta,
    /// One row per series: latest value and newest points.
    Rows,
    /// Full chunks.
    Chunks,
    /// Chunks by the hour in which they expire.
    Expiry,
    /// Attributes.
    Attributes,
    /// Incidents.
    Incidents,
}

impl Space {
    pub(crate) const ALL: [Self; 6] =
        [Self::Meta, Self::Rows, Self::Chunks, Self::Expiry, Self::Attributes, Self::Incidents];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Rows => "rows",
            Self::Chunks => "chunks",
            Self::Expiry => "expiry",
            Self::Attributes => "attributes",
            Self::Incidents => "incidents",
        }
    }
}

/// Direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

/// Why the shelf did not do it.
#[derive(Clone, Debug)]
pub(crate) enum ShelfError {
    Full,
    Failed(String),
}

pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A store of sorted key spaces.
pub(crate) trait Shelf: Send + Sync {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, ShelfError>;

    /// Visits the pairs with `from <= key < to`.
    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        order: Order,
        visit: &mut Visit<'_>,
    ) -> Result<(), ShelfError>;

    /// Puts (or, without a value, removes) a run of pairs with ascending keys; durable and visible as a
    /// whole when it returns.
    fn ingest(&self, space: Space, run: &Run) -> Result<(), ShelfError>;

    /// The same for a few pairs of several spaces, all or nothing.
    fn commit(&self, edits: &[(Space, Run)]) -> Result<(), ShelfError>;

    fn disk_bytes(&self) -> u64;

    /// After a failure: makes the shelf usable again where that is possible.
    fn revive(&self) -> Result<(), ShelfError> {
        Ok(())
    }
}

/// Pairs in the order they were pushed, in one buffer. A pair without a value is a removal.
#[derive(Debug, Default)]
pub(crate) struct Run {
    bytes: Vec<u8>,
    ends: Vec<(usize, Option<usize>)>,
}

impl Run {
    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        let value_end = value.map(|value| {
            self.bytes.extend_from_slice(value);
            self.bytes.len()
        });
        self.ends.push((key_end, value_end));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut start = 0;
        self.ends.iter().map(move |(key_end, value_end)| {
            let key = &self.bytes[start..*key_end];
            let value = value_end.map(|end| &self.bytes[*key_end..end]);
            start = value_end.unwrap_or(*key_end);
            (key, value)
        })
    }
}
