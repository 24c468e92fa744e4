//! The one way the log touches files, so that tests can fail the n-th call or cut the power.
//!
//! A write is kept only once [`DiskFile::sync`] returned; a created, renamed or removed name only once
//! [`Disk::sync_dir`] returned. Names are plain file names in one directory.

use std::any::Any;
use std::io;
use std::sync::Arc;

pub mod real;
pub mod sim;

pub use real::RealDisk;

/// A directory of files.
pub trait Disk: Send + Sync {
    /// Names of all files, in any order.
    ///
    /// # Errors
    /// Those of the file system; so for all calls below.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// When it does not exist or cannot be opened.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates or replaces `name` with `len` zero bytes, allocated and synced; the name is not.
    ///
    /// # Errors
    /// When there is no space; nothing of the file remains then.
    fn allocate(&self, name: &str, len: u64) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// Those of the file system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; no error when there is none.
    ///
    /// # Errors
    /// Those of the file system.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names durable.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_dir(&self) -> io::Result<()>;
    /// Takes the directory for this process until the returned value is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when another process has it; the text names it where that is known.
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>>;
    /// How to name the directory in a message.
    fn place(&self) -> String;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Bytes in the file.
    ///
    /// # Errors
    /// Those of the file system.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no bytes.
    ///
    /// # Errors
    /// Those of the file system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `out` from position `at`; answers how many bytes there were.
    ///
    /// # Errors
    /// Those of the file system.
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize>;
    /// Writes whole blocks of [`BLOCK`] bytes at a multiple of it. The memory is aligned to it too.
    ///
    /// # Errors
    /// Those of the file system; what is in the file is unknown then.
    fn write_at(&self, at: u64, blocks: &[u8]) -> io::Result<()>;
    /// Makes all writes durable.
    ///
    /// # Errors
    /// Those of the file system; what is in the file is unknown then and stays unknown.
    fn sync(&self) -> io::Result<()>;
    /// Makes durable what an earlier process wrote and perhaps did not live to sync.
    ///
    /// # Errors
    /// Those of the file system.
    fn settle(&self) -> io::Result<()> {
        self.sync()
    }
}

/// A block of memory aligned as direct I/O needs it.
#[derive(Debug, Default)]
pub struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// Empties it and makes it `len` bytes of zeros.
    pub fn reset(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len + BLOCK {
            self.bytes = vec![0; (len + BLOCK).next_power_of_two()];
        }
        self.start = self.bytes.as_ptr().align_offset(BLOCK);
        self.len = len;
        let filled = self.bytes.get_mut(self.start..self.start + len).unwrap_or_default();
        filled.fill(0);
        filled
    }

    /// Forgets what was filled in, and gives back memory when it holds more than `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        if self.bytes.len() > bytes {
            *self = Self::default();
        }
    }

    /// What was filled in.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.start + self.len).unwrap_or_default()
    }
}

/// Whether an error means that there is no space left.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Unit of all writes of the log.
pub const BLOCK: usize = 4096;
