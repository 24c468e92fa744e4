//! Opening: take the directory, check its format, read what is stored, replay the log.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;

use super::flusher::Flusher;
use super::readers::Readers;
use super::thread::spawn;
use super::writer::Writer;
use super::{Clock, LogLedger, Shared, format, latency};
use crate::book::{Book, Position};
use crate::config::LedgerConfig;
use crate::disk::{Disk, RealDisk};
use crate::line::{Batch, Line};
use crate::log::recovery::{self, Found, RecoveryError};
use crate::log::{Log, Yard, group};
use crate::pace::Pace;
use crate::record::Record;
use crate::shelf::{FjallShelf, Shelf, ShelfError};

/// How far a start is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Segments of the log read.
    pub done: u64,
    /// Segments in all.
    pub total: u64,
}

/// Why the ledger could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has the directory.
    Locked {
        /// The directory.
        place: String,
        /// Number of the process, when known.
        pid: Option<u32>,
    },
    /// The directory was written by a newer version.
    NewerFormat {
        /// The directory.
        place: String,
        /// Its format.
        found: u32,
        /// The newest format this version reads.
        known: u32,
    },
    /// What is stored cannot be read.
    Corrupt {
        /// The directory.
        place: String,
        /// What exactly.
        why: String,
    },
    /// The disk refused.
    Io {
        /// The directory.
        place: String,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { place, pid: Some(pid) } => write!(
                f,
                "The data directory {place} is in use by process {pid}. Stop that process or choose another directory."
            ),
            Self::Locked { place, pid: None } => write!(
                f,
                "The data directory {place} is in use by another process. Stop it or choose another directory."
            ),
            Self::NewerFormat { place, found, known } => write!(
                f,
                "The data directory {place} has format {found}, but this version reads formats up to {known}. Nothing was changed; start the newer version."
            ),
            Self::Corrupt { place, why } => {
                write!(f, "The data directory {place} cannot be read: {why}.")
            }
            Self::Io { place, error } => {
                write!(f, "The data directory {place} cannot be used: {error}.")
            }
        }
    }
}

impl std::error::Error for OpenError {}

impl LogLedger {
    /// Opens the ledger in `config.dir` on the disk of this machine.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_dir(
        config: LedgerConfig,
        now: Clock,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Arc<Self>, OpenError> {
        let disk = RealDisk::new(&config.dir.join("log"))
            .map_err(|error| OpenError::Io { place: config.dir.display().to_string(), error })?;
        Self::open(config, Arc::new(disk), now, progress)
    }

    /// Opens the ledger: its log on `disk`, its chunks in `config.dir`; replays what was committed and
    /// not yet flushed.
    ///
    /// # Errors
    /// When the directory is in use, newer, unreadable or refused; nothing was changed then.
    pub fn open(
        config: LedgerConfig,
        disk: Arc<dyn Disk>,
        now: Clock,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Arc<Self>, OpenError> {
        let (dir, cache) = (config.dir.join("chunks"), config.cache_bytes);
        let shelf = move || Ok::<Arc<dyn Shelf>, _>(Arc::new(FjallShelf::open(&dir, cache)?));
        Self::open_on(config, disk, shelf, now, progress)
    }

    /// The same with any shelf, which is opened once the directory is known to be ours.
    pub(crate) fn open_on(
        config: LedgerConfig,
        disk: Arc<dyn Disk>,
        shelf: impl FnOnce() -> Result<Arc<dyn Shelf>, ShelfError>,
        now: Clock,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Arc<Self>, OpenError> {
        let place = disk.place();
        let lock = disk.lock().map_err(|error| locked(&place, error))?;
        let config = sound(config);
        let io = |error| OpenError::Io { place: place.clone(), error };
        format::check(&*disk, &place)?;
        let unusable = |error: ShelfError| ReplayError::Shelf(error).at(&place);
        let book = Book::new(shelf().map_err(unusable)?, now);
        let flushed = book.load().map_err(unusable)?;
        let names = book.names.read().count();
        let found = replay(&book, &*disk, flushed, &config, progress);
        let found = found.map_err(|error| error.at(&place))?;
        format::write(&*disk).map_err(io)?;
        report(&place, &found);
        let yard =
            Arc::new(Yard::new(Arc::clone(&disk), config.segment_bytes, config.spare_segments));
        yard.adopt(&found);
        let log = Log::resume(Arc::clone(&disk), Arc::clone(&yard), &found);
        // Many starts without a flush would pile up segments, each with little in it.
        // And much that was read back would stay in memory until it is old.
        let crowded =
            found.live.len() > LIVE_MAX || found.torn > 0 || found.bytes > config.flush_bytes / 4;
        let shared = Arc::new(shared(config, book, yard, &found, crowded));
        let (readers, mut threads) = Readers::start(&shared).map_err(io)?;
        let (jobs, next_job) = sync_channel(1);
        let flusher = Flusher {
            shared: Arc::clone(&shared),
            disk,
            jobs: next_job,
            swept: Instant::now(),
            reserved: false,
        };
        let writer = Writer {
            shared: Arc::clone(&shared),
            log,
            batch: Batch::default(),
            pace: Pace::default(),
            woken: Vec::new(),
            jobs,
            unflushed: found.bytes,
            unflushed_since: (found.bytes > 0).then(Instant::now),
            names,
        };
        threads.push(spawn("ledger-writer", move || writer.run()).map_err(io)?);
        threads.push(spawn("ledger-flush", move || flusher.run()).map_err(io)?);
        let threads = Arc::new(Mutex::new(threads));
        Ok(Arc::new(Self { shared, readers, threads, _lock: lock }))
    }
}

fn shared(config: LedgerConfig, book: Book, yard: Arc<Yard>, found: &Found, flush: bool) -> Shared {
    Shared {
        line: Line::new(config.commit_queue_max_bytes),
        config,
        book,
        yard,
        observer: OnceLock::new(),
        latency: latency::Latency::default(),
        commits: AtomicU64::new(0),
        head_full: AtomicU64::new(0),
        backlog: AtomicU64::new(found.bytes),
        backlog_full: AtomicU64::new(0),
        damaged: found.damaged,
        flushing: AtomicBool::new(false),
        flush_wanted: AtomicBool::new(flush),
        flushes: AtomicU64::new(0),
        stopping: AtomicBool::new(false),
    }
}

/// Bounds that contradict each other are brought into order.
fn sound(mut config: LedgerConfig) -> LedgerConfig {
    config.segment_bytes = config.segment_bytes.next_multiple_of(crate::disk::BLOCK as u64);
    // Names may double, and a single change may be larger than the line.
    let half = (config.segment_bytes / 2) as usize;
    config.commit_queue_max_bytes = config.commit_queue_max_bytes.min(half);
    // A backlog that never triggers a flush would never shrink.
    config.flush_bytes = config.flush_bytes.min(config.backlog_bytes_max / 2);
    config
}

enum ReplayError {
    Recovery(RecoveryError),
    Shelf(ShelfError),
}

impl ReplayError {
    fn at(self, place: &str) -> OpenError {
        let place = place.to_owned();
        match self {
            Self::Recovery(RecoveryError::Io(error)) => OpenError::Io { place, error },
            Self::Recovery(RecoveryError::NewerFormat(found)) => OpenError::NewerFormat {
                place,
                found: u32::from(found),
                known: u32::from(group::VERSION),
            },
            Self::Shelf(error) => OpenError::Corrupt { place, why: format!("{error:?}") },
        }
    }
}

fn replay(
    book: &Book,
    disk: &dyn Disk,
    flushed: u64,
    config: &LedgerConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Found, ReplayError> {
    let (mut strange, mut failed) = (0, None);
    let mut visit = |lsn, index, bytes: &[u8]| {
        let record = Record::read(bytes).filter(|record| book.knows(record));
        let Some(record) = record else {
            strange += 1;
            return;
        };
        if let Err(error) = book.apply(&record, Position { lsn, index }) {
            failed.get_or_insert(error);
        }
    };
    // Names stand twice, so a group may be twice what the line holds; one change may exceed it.
    let group_max = group::stride(2 * config.commit_queue_max_bytes + MIB);
    let mut report = |done, total| progress(Progress { done, total });
    let found = recovery::recover(disk, flushed, group_max, &mut visit, &mut report);
    let mut found = found.map_err(ReplayError::Recovery)?;
    found.damaged += strange;
    match failed {
        Some(error) => Err(ReplayError::Shelf(error)),
        None => Ok(found),
    }
}

fn report(place: &str, found: &Found) {
    if found.damaged > 0 {
        tracing::error!(
            place,
            records = found.damaged,
            "the log is damaged; these records were skipped, everything else was read"
        );
    }
    if found.torn > 0 {
        tracing::info!(place, "the log ends in an unfinished write, as after a power cut");
    }
}

fn locked(place: &str, error: io::Error) -> OpenError {
    let place = place.to_owned();
    if error.kind() != io::ErrorKind::WouldBlock {
        return OpenError::Io { place, error };
    }
    OpenError::Locked { place, pid: error.to_string().trim().parse().ok() }
}

const MIB: usize = 1024 * 1024;
/// Segments to replay beyond which a start flushes at once.
const LIVE_MAX: usize = 3;
