//! Files of the operating system.
//!
//! Where the file system allows it, writes bypass the page cache and return when they are on the disk
//! (`O_DIRECT | O_DSYNC`): about half the time and half the CPU of writing and then syncing. Elsewhere
//! they are ordinary writes followed by `fdatasync`.

use std::any::Any;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Aligned, BLOCK, Disk, DiskFile};

/// A directory of the operating system.
#[derive(Debug)]
pub struct RealDisk {
    dir: PathBuf,
    direct: bool,
}

#[derive(Debug)]
struct RealFile {
    file: File,
    /// Reads go through the page cache: they are few and need no alignment.
    reader: File,
    direct: bool,
}

impl RealDisk {
    /// The directory `dir`, created if needed.
    ///
    /// # Errors
    /// When it cannot be created or written.
    pub fn new(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let direct = probe_direct(dir);
        if !direct {
            tracing::info!(dir = %dir.display(), "no direct I/O here; the log uses fdatasync");
        }
        Ok(Self { dir: dir.to_owned(), direct })
    }

    /// Whether writes bypass the page cache.
    #[must_use]
    pub const fn is_direct(&self) -> bool {
        self.direct
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.dir)?
            .map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
        names.collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.dir.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if self.direct {
            options.custom_flags(libc::O_DIRECT | libc::O_DSYNC);
        }
        let (file, reader) = (options.open(&path)?, File::open(&path)?);
        Ok(Arc::new(RealFile { file, reader, direct: self.direct }))
    }

    fn allocate(&self, name: &str, len: u64) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.dir.join(name);
        if let Err(error) = write_zeros(&path, len) {
            let _ = std::fs::remove_file(&path); // the first error is the one to tell
            return Err(error);
        }
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        let path = self.dir.join("lock");
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let since = Instant::now();
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::Error(error) => return Err(error),
                // A process that was killed may take a moment to be gone; its memory is given back first.
                TryLockError::WouldBlock if since.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                TryLockError::WouldBlock => {
                    let mut pid = String::new();
                    let _ = file.read_to_string(&mut pid); // only to say who it is
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, pid.trim().to_owned()));
                }
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Box::new(file))
    }

    fn place(&self) -> String {
        self.dir.display().to_string()
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.reader.metadata()?.len())
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            match self.reader.read_at(&mut out[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, at: u64, blocks: &[u8]) -> io::Result<()> {
        self.file.write_all_at(blocks, at)
    }

    fn sync(&self) -> io::Result<()> {
        if self.direct { Ok(()) } else { self.file.sync_data() }
    }

    fn settle(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Zeros written through the page cache and synced once, so that later writes change no metadata.
fn write_zeros(path: &Path, len: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    let mut left = len;
    while left > 0 {
        let count = left.min(ZEROS.len() as u64);
        file.write_all(&ZEROS[..count as usize])?;
        left -= count;
    }
    file.sync_all()
}

fn probe_direct(dir: &Path) -> bool {
    let path = dir.join("probe");
    let mut block = Aligned::default();
    block.reset(BLOCK);
    let written = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
        .open(&path)
        .and_then(|file| file.write_all_at(block.filled(), 0));
    let _ = std::fs::remove_file(&path); // it may not exist
    written.is_ok()
}

/// How long a start waits for the process before it to be gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Costs no memory: pages of it that were never written are one page of the system.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that was killed may still be going when the next one starts.
    #[test]
    fn a_lock_is_waited_for_a_moment_and_then_refused_with_its_holder() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = RealDisk::new(dir.path()).expect("a disk");
        let held = disk.lock().expect("free");
        let refused = disk.lock().expect_err("held for longer than anybody waits");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(refused.to_string(), std::process::id().to_string());
        let going = std::thread::spawn(move || {
            std::thread::sleep(LOCK_PAUSE * 5);
            drop(held);
        });
        disk.lock().expect("free again");
        going.join().expect("no panic");
    }
}
