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

/// A shelf in a directory. A new one is made by its first write, since that takes more than a hundred
/// syncs and a start should wait for none of them.
pub(crate) struct FjallShelf {
    dir: PathBuf,
    cache_bytes: u64,
    open: RwLock<Door>,
}

enum Door {
    /// Nothing was ever written.
    Fresh,
    /// Being opened again after a failure.
    Closed,
    Open(Open),
}

struct Open {
    database: Database,
    spaces: Vec<Keyspace>,
}

impl FjallShelf {
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, ShelfError> {
        let is_there = dir.join(MARKER).try_exists().map_err(fjall::Error::from)?;
        let door = if is_there { Door::Open(Open::new(dir, cache_bytes)?) } else { Door::Fresh };
        Ok(Self { dir: dir.to_owned(), cache_bytes, open: RwLock::new(door) })
    }

    /// Looks something up; the default when nothing was ever written.
    fn with<T: Default>(
        &self,
        act: impl FnOnce(&Open) -> Result<T, fjall::Error>,
    ) -> Result<T, ShelfError> {
        match &*self.open.read() {
            Door::Fresh => Ok(T::default()),
            Door::Closed => Err(ShelfError::Failed("being reopened".to_owned())),
            Door::Open(open) => Ok(act(open)?),
        }
    }

    /// Makes the shelf if nothing was ever written.
    fn make(&self) -> Result<(), ShelfError> {
        if !matches!(*self.open.read(), Door::Fresh) {
            return Ok(());
        }
        remove_unfinished(&self.dir);
        // Questions go on finding nothing meanwhile; only the flush thread writes.
        let made = Open::new(&self.dir, self.cache_bytes)?;
        *self.open.write() = Door::Open(made);
        Ok(())
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

/// Takes away what a process left that died while it made the shelf: up to the marker these three, and
/// nothing in them. Should there be more, the engine will say what it thinks of it.
fn remove_unfinished(dir: &Path) {
    if std::fs::remove_dir(dir.join("keyspaces")).is_ok() {
        for name in ["0.jnl", "lock"] {
            let _ = std::fs::remove_file(dir.join(name)); // it may not be there
        }
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
        self.make()?;
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
        self.make()?;
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
        if matches!(*open, Door::Fresh) {
            return Ok(()); // the next write tries again
        }
        *open = Door::Closed; // first, since a directory has one database at a time
        *open = Door::Open(Open::new(&self.dir, self.cache_bytes)?);
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

/// The engine's own mark of a directory that it finished making.
const MARKER: &str = "version";
const LOCKED_TRIES: u32 = 400;
const LOCKED_PAUSE: Duration = Duration::from_millis(5);
