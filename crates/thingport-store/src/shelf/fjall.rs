//! A shelf on fjall, a log-structured engine. Chunks and rows go in by sorted bulk ingestion, which
//! bypasses its journal; the few other pairs by one atomic batch, synced.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Order, Run, Shelf, ShelfError, Space, Visit};

/// A shelf in a directory.
pub(crate) struct FjallShelf {
    database: Database,
    spaces: Vec<Keyspace>,
}

impl FjallShelf {
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, ShelfError> {
        let database = Database::builder(dir).cache_size(cache_bytes).worker_threads(1).open()?;
        let spaces = Space::ALL
            .map(|space| database.keyspace(space.name(), KeyspaceCreateOptions::default))
            .into_iter()
            .collect::<Result<_, _>>()?;
        Ok(Self { database, spaces })
    }

    fn space(&self, space: Space) -> &Keyspace {
        &self.spaces[space as usize] // one per space, in order, since open
    }
}

impl Shelf for FjallShelf {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, ShelfError> {
        Ok(self.space(space).get(key)?.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        order: Order,
        visit: &mut Visit<'_>,
    ) -> Result<(), ShelfError> {
        if from >= to {
            return Ok(());
        }
        let mut pairs = self.space(space).range(from..to);
        loop {
            let next = match order {
                Order::Ascending => pairs.next(),
                Order::Descending => pairs.next_back(),
            };
            let Some(next) = next else { return Ok(()) };
            let (key, value) = next.into_inner()?;
            if visit(&key, &value).is_break() {
                return Ok(());
            }
        }
    }

    fn ingest(&self, space: Space, run: &Run) -> Result<(), ShelfError> {
        if run.is_empty() {
            return Ok(());
        }
        let mut ingestion = self.space(space).start_ingestion()?;
        for (key, value) in run.pairs() {
            match value {
                Some(value) => ingestion.write(key, value)?,
                None => ingestion.write_tombstone(key)?,
            }
        }
        Ok(ingestion.finish()?)
    }

    fn commit(&self, edits: &[(Space, Run)]) -> Result<(), ShelfError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (space, run) in edits {
            let space = self.space(*space);
            for (key, value) in run.pairs() {
                match value {
                    Some(value) => batch.insert(space, key, value),
                    None => batch.remove(space, key),
                }
            }
        }
        Ok(batch.commit()?)
    }

    fn disk_bytes(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }
}

impl From<fjall::Error> for ShelfError {
    fn from(error: fjall::Error) -> Self {
        let io = match &error {
            fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => Some(io),
            _ => None,
        };
        match io {
            Some(io) if crate::disk::is_full(io) => Self::Full,
            _ => Self::Failed(error.to_string()),
        }
    }
}
