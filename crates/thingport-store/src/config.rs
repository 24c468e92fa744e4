//! How the ledger is to behave. Built by the roof, already valid; see each field for its trade-off.

use std::path::PathBuf;
use std::time::Duration;

/// Bounds and habits of a ledger. `Default` suits a server with a few GiB of memory.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// The data directory: log segments beside each other, chunks in `chunks`.
    pub dir: PathBuf,
    /// Bytes of one log segment, allocated ahead and used again and again. A multiple of 4 KiB.
    pub segment_bytes: u64,
    /// Bytes that may wait for one commit (`commit_queue_max`); appends beyond are answered Busy.
    /// At most half a segment.
    pub commit_queue_max_bytes: usize,
    /// Bytes of readings in memory that are in the log and not yet in chunks; appends beyond are
    /// answered Busy until the flush caught up.
    pub head_bytes_max: usize,
    /// Bytes of log that may wait to be put in chunks (`backlog_max`); appends beyond are answered Busy
    /// until the flush caught up. Bounds the time a start after a crash takes.
    pub backlog_bytes_max: u64,
    /// Bytes of log after which the head is flushed to chunks. At most
    /// half of the above is sensible: one half is written while the other is flushed.
    pub flush_bytes: u64,
    /// Age of the oldest unflushed change after which the head is flushed.
    pub flush_age: Duration,
    /// How many empty segments are kept ready.
    pub spare_segments: usize,
    /// Bytes of a file kept to have space for flushing and for retention on a full disk.
    pub reserve_bytes: u64,
    /// Bytes of cache for chunks read from disk.
    pub cache_bytes: u64,
    /// Threads that answer questions.
    pub readers: usize,
    /// Questions that may wait for a reader (`reads_waiting_max`); further ones are refused.
    pub reads_waiting_max: usize,
    /// How often expired chunks are looked for.
    pub sweep_every: Duration,
    /// Bytes of log kept for whoever follows it after they were put in chunks (`forward.backlog_max`);
    /// what is older is given up for them. One segment more may be kept.
    pub follow_bytes_max: u64,
    /// The word from a refused start that accepts the loss it told, and no other; empty for none.
    pub accept_loss: String,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("data"),
            segment_bytes: 64 * MIB,
            commit_queue_max_bytes: 8 * MIB as usize,
            head_bytes_max: 256 * MIB as usize,
            backlog_bytes_max: 96 * MIB,
            flush_bytes: 32 * MIB,
            flush_age: Duration::from_secs(600),
            spare_segments: 2,
            reserve_bytes: 16 * MIB,
            cache_bytes: 64 * MIB,
            readers: 2,
            reads_waiting_max: 1024,
            sweep_every: Duration::from_secs(3600),
            follow_bytes_max: 1024 * MIB,
            accept_loss: String::new(),
        }
    }
}

const MIB: u64 = 1024 * 1024;
