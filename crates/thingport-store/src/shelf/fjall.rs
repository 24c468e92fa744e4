//! A shelf on fjall, a log-structured engine. Chunks and rows go in by sorted bulk ingestion, which
//! bypasses its journal; the few other pairs by one atomic batch, synced.
//!
//! After a failed write fjall refuses all further ones until it was opened again; [`FjallShelf::revive`]
//! does that without a restart, so that a full disk is no more than a pause.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::RwLock;

use super::{Order, Run, Shelf, ShelfError, Space, Visit};

/// A shelf in a directory.
pub(crate) struct FjallShelf {
    dir: PathBuf,
    cache_bytes: u64,
    open: RwLock<Option<Open>>,
}

struct Open {
    database: Database,
    spaces: Vec<Keyspace>,
}

impl FjallShelf {
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, ShelfError> {
        let open = RwLock::new(Some(Open::new(dir, cache_bytes)?));
        Ok(Self { dir: dir.to_owned(), cache_bytes, open })
    }

    fn with<T>(&self, act: impl FnOnce(&Open) -> Result<T, fjall::Error>) -> Result<T, ShelfError> {
        let open = self.open.read();
        let open = open.as_ref().ok_or_else(|| ShelfError::Failed("being reopened".to_owned()))?;
        Ok(act(open)?)
    }
}

impl Open {
    fn new(dir: &Path, cache_bytes: u64) -> Result<Self, ShelfError> {
        let database = open_database(dir, cache_bytes)?;
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

/// The directory is ours by the ledger's own lock; a lock of fjall's can only be that of a database of
/// this process whose last worker thread is about to end.
fn open_database(dir: &Path, cache_bytes: u64) -> Result<Database, fjall::Error> {
    let open = || Database::builder(dir).cache_size(cache_bytes).worker_threads(1).open();
    let mut opened = open();
    for _ in 0..LOCKED_TRIES {
        if !matches!(opened, Err(fjall::Error::Locked)) {
            break;
        }
        std::thread::sleep(LOCKED_PAUSE);
        opened = open();
    }
    opened
}

impl Shelf for FjallShelf {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, ShelfError> {
        self.with(|open| Ok(open.space(space).get(key)?.map(|value| value.to_vec())))
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
        self.with(|open| {
            let mut pairs = open.space(space).range(from..to);
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
        })
    }

    fn ingest(&self, space: Space, run: &Run) -> Result<(), ShelfError> {
        if run.is_empty() {
            return Ok(());
        }
        self.with(|open| {
            let mut ingestion = open.space(space).start_ingestion()?;
            for (key, value) in run.pairs() {
                match value {
                    Some(value) => ingestion.write(key, value)?,
                    None => ingestion.write_tombstone(key)?,
                }
            }
            ingestion.finish()
        })
    }

    fn commit(&self, edits: &[(Space, Run)]) -> Result<(), ShelfError> {
        self.with(|open| {
            let mut batch = open.database.batch().durability(Some(PersistMode::SyncAll));
            for (space, run) in edits {
                let space = open.space(*space);
                for (key, value) in run.pairs() {
                    match value {
                        Some(value) => batch.insert(space, key, value),
                        None => batch.remove(space, key),
                    }
                }
            }
            batch.commit()
        })
    }

    fn disk_bytes(&self) -> u64 {
        self.with(|open| open.database.disk_space()).unwrap_or(0)
    }

    fn revive(&self) -> Result<(), ShelfError> {
        let mut open = self.open.write();
        *open = None; // closed first: one database per directory
        *open = Some(Open::new(&self.dir, self.cache_bytes)?);
        Ok(())
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

const LOCKED_TRIES: u32 = 400;
const LOCKED_PAUSE: Duration = Duration::from_millis(5);
