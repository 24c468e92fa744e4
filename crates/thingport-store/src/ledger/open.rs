//! Opening: take the directory, check its format, read what is stored, replay the log.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::evidence::{Evidence, EvidenceError};
use super::flusher::Flusher;
use super::loss::{self, Loss};
use super::readers::Readers;
use super::replay::{ReplayError, replay};
use super::thread::spawn;
use super::trail::Desk;
use super::writer::Writer;
use super::{Clock, LogLedger, Shared, format, latency};
use crate::book::Book;
use crate::config::LedgerConfig;
use crate::disk::{Disk, RealDisk};
use crate::line::{Batch, Line};
use crate::log::mark::Marker;
use crate::log::recovery::{Found, Known, RecoveryError};
use crate::log::roster::{self, Roster};
use crate::log::{Log, Yard, group};
use crate::pace::Pace;
use crate::premises;
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
    /// Acknowledged data is not there.
    Lost {
        /// The directory.
        place: String,
        /// What exactly.
        losses: Vec<Loss>,
        /// The word that accepts it.
        code: String,
    },
    /// The directory holds files of somebody else.
    Occupied {
        /// The directory.
        place: String,
        /// Their names.
        names: Vec<String>,
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
            Self::Lost { place, losses, code } => {
                write!(f, "Acknowledged data is missing from the data directory {place}:")?;
                loss::report(f, losses, code)
            }
            Self::Occupied { place, names } => {
                let shown = names.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
                let more = names.len().saturating_sub(NAMES_SHOWN);
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                write!(
                    f,
                    "The directory {place} holds files that are not Thingport's: {shown}{more}. Nothing was changed; choose an empty directory, or one that does not exist yet."
                )
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
        let place = config.dir.display().to_string();
        let io = |error| OpenError::Io { place: place.clone(), error };
        let names = premises::strangers(&config.dir).map_err(io)?;
        if !names.is_empty() {
            return Err(OpenError::Occupied { place, names });
        }
        let disk = RealDisk::new(&config.dir).map_err(io)?;
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
        let book = Book::new(shelf().map_err(unusable)?, Arc::clone(&now));
        let flushed = book.load().map_err(unusable)?;
        let names = book.names.read().count();
        let evidence = Evidence::read(&disk, &book, flushed);
        let mut evidence = evidence.map_err(|error| unknown(error, &place))?;
        let known = evidence.known(flushed);
        let following = roster::read(&*disk, known.salt).map_err(io)?;
        let known = Known { followed: following.passed(), ..known };
        let found = replay(&book, &*disk, known, &config, progress);
        let mut found = found.map_err(|error| error.at(&place))?;
        let lost = evidence.judge(&found, &place, &config.accept_loss)?;
        found.damaged = found.damaged.max(lost);
        let signed = evidence.is_signed;
        let marker = evidence.renew(&found, &book, flushed, Arc::clone(&now)).map_err(io)?;
        let marker = Arc::new(marker);
        report(&place, &found);
        let yard =
            Arc::new(Yard::new(Arc::clone(&disk), config.segment_bytes, config.spare_segments));
        yard.adopt(&found, flushed);
        let roster = Roster::new(Arc::clone(&disk), marker.mark().salt, &following).map_err(io)?;
        yard.set_passed(roster.passed_by_all());
        let parts = (Arc::clone(&disk), Arc::clone(&yard), Arc::clone(&marker));
        let log = Log::resume(parts, &found, now);
        // Many starts without a flush would pile up segments, each with little in it.
        // And much that was read back would stay in memory until it is old.
        let crowded =
            found.live.len() > LIVE_MAX || found.torn > 0 || found.bytes > config.flush_bytes / 4;
        let parts = (yard, marker, roster);
        let shared = Arc::new(shared(config, book, parts, &found, crowded || lost > 0));
        let desk = Desk::new(Arc::clone(&disk));
        let (readers, mut threads) = Readers::start(&shared).map_err(io)?;
        let (jobs, next_job) = sync_channel(1);
        let flusher = Flusher {
            shared: Arc::clone(&shared),
            disk,
            jobs: next_job,
            swept: Instant::now(),
            marked: Instant::now(),
            reserved: false,
            signed,
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
        Ok(Arc::new(Self { shared, readers, desk, threads, _lock: lock }))
    }
}

fn shared(
    config: LedgerConfig,
    book: Book,
    (yard, marker, roster): (Arc<Yard>, Arc<Marker>, Roster),
    found: &Found,
    flush: bool,
) -> Shared {
    Shared {
        line: Line::new(config.commit_queue_max_bytes),
        config,
        book,
        yard,
        marker,
        roster,
        followed: Notify::new(),
        committed: AtomicU64::new(found.next_lsn - 1),
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

fn unknown(error: EvidenceError, place: &str) -> OpenError {
    let place = place.to_owned();
    match error {
        EvidenceError::Io(error) => OpenError::Io { place, error },
        EvidenceError::Shelf(error) => ReplayError::Shelf(error).at(&place),
        EvidenceError::ForeignChunks => OpenError::Corrupt {
            place,
            why: "its file mark and its directory chunks belong to different data directories; put back the right one, or take away the directory chunks to be told what is lost without it".to_owned(),
        },
    }
}

fn locked(place: &str, error: io::Error) -> OpenError {
    let place = place.to_owned();
    if error.kind() != io::ErrorKind::WouldBlock {
        return OpenError::Io { place, error };
    }
    OpenError::Locked { place, pid: error.to_string().trim().parse().ok() }
}

/// Names of somebody else's files that are shown.
const NAMES_SHOWN: usize = 5;
/// Segments to replay beyond which a start flushes at once.
const LIVE_MAX: usize = 3;
