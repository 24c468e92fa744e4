//! Data of packages, a file each in `packages` of the data directory: the port [`PackageFiles`].
//!
//! A file is written under another name, synced, and only then given its own; after that it never
//! changes. Reads are positioned reads on threads of their own, so that nothing waits for a disk but
//! who asked, and pages of much-read files stay in the system's cache rather than in this process.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::Cache;
use thingport_model::id::PackageFileId;
use thingport_model::port::error::PortError;
use thingport_model::port::packages::{PackageBites, PackageFiles, PackageWriter};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::disk::is_full;
use crate::jobs::{self, Jobs, NotPut, Waiting};

/// Files in the directory `packages` of a data directory.
pub struct DirPackages {
    dir: Arc<Path>,
    open: Arc<Cache<PackageFileId, Arc<File>>>,
    /// How often a file was closed so that another one could stay open.
    crowded: Arc<AtomicU64>,
    readers: Workers,
    writers: Arc<Workers>,
}

struct Unfinished {
    file: Arc<File>,
    written: PathBuf,
    named: PathBuf,
    dir: Arc<Path>,
    writers: Arc<Workers>,
}

/// Threads that work off a queue; dropping it lets them finish what waits.
struct Workers {
    jobs: Option<Jobs<Job>>,
    threads: Vec<JoinHandle<()>>,
    /// Jobs that were refused.
    refused: AtomicU64,
}

type Job = Box<dyn FnOnce() + Send>;

impl DirPackages {
    /// Opens or makes the directory `packages` in `data`, which must exist, and removes what uploads
    /// left that were cut short.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(data: &Path) -> io::Result<Self> {
        let dir = data.join(DIR);
        // Whose devices run what is their owner's business.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == UNFINISHED) {
                std::fs::remove_file(path)?;
            }
        }
        File::open(data)?.sync_all()?;
        Ok(Self {
            dir: dir.into(),
            open: Arc::new(Cache::new(FILES_OPEN_MAX)),
            crowded: Arc::default(),
            readers: Workers::start("packages-read", READERS)?,
            writers: Arc::new(Workers::start("packages-write", 1)?),
        })
    }
}

#[async_trait]
impl PackageFiles for DirPackages {
    async fn begin(&self, file: PackageFileId) -> Result<Box<dyn PackageWriter>, PortError> {
        let named = self.dir.join(file.0.to_string());
        let written = named.with_extension(UNFINISHED);
        let path = written.clone();
        let make = move || {
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fault)
        };
        let file = Arc::new(self.writers.run(make).await?);
        let (dir, writers) = (Arc::clone(&self.dir), Arc::clone(&self.writers));
        Ok(Box::new(Unfinished { file, written, named, dir, writers }))
    }

    async fn read(&self, file: PackageFileId, at: u64, len: usize) -> Result<Bytes, PortError> {
        let (open, dir) = (Arc::clone(&self.open), Arc::clone(&self.dir));
        let crowded = Arc::clone(&self.crowded);
        let read = move || {
            let path = dir.join(file.0.to_string());
            let mut before = usize::MAX;
            let opened = open.get_or_insert_with(&file, || {
                before = open.len();
                File::open(path).map(Arc::new)
            });
            // It is there now, so another one went for it.
            if opened.is_ok() && before != usize::MAX && open.len() <= before {
                crowded.fetch_add(1, Ordering::Relaxed);
            }
            read_at(&*opened.map_err(fault)?, at, len).map_err(fault)
        };
        self.readers.run(read).await
    }

    async fn list(&self) -> Result<Vec<PackageFileId>, PortError> {
        let dir = Arc::clone(&self.dir);
        let list = move || {
            let mut files = Vec::new();
            for entry in std::fs::read_dir(dir).map_err(fault)? {
                let name = entry.map_err(fault)?.file_name();
                let id = name.to_str().and_then(|name| Uuid::try_parse(name).ok());
                files.extend(id.map(PackageFileId));
            }
            Ok(files)
        };
        self.readers.run(list).await
    }

    async fn remove(&self, file: PackageFileId) -> Result<(), PortError> {
        let (open, path) = (Arc::clone(&self.open), self.dir.join(file.0.to_string()));
        let remove = move || {
            open.remove(&file);
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault(error)),
                _ => Ok(()),
            }
        };
        self.writers.run(remove).await
    }

    fn bites(&self) -> PackageBites {
        let of = |workers: &Workers| workers.refused.load(Ordering::Relaxed);
        let jobs = of(&self.readers) + of(&self.writers);
        PackageBites { open: self.crowded.load(Ordering::Relaxed), jobs }
    }
}

#[async_trait]
impl PackageWriter for Unfinished {
    async fn write(&mut self, bytes: Bytes) -> Result<(), PortError> {
        let file = Arc::clone(&self.file);
        self.writers.run(move || (&*file).write_all(&bytes).map_err(fault)).await
    }

    async fn finish(self: Box<Self>) -> Result<(), PortError> {
        let (file, dir) = (Arc::clone(&self.file), Arc::clone(&self.dir));
        let (written, named) = (self.written.clone(), self.named.clone());
        let finish = move || {
            file.sync_all()?;
            std::fs::rename(written, named)?;
            File::open(dir)?.sync_all()
        };
        self.writers.run(move || finish().map_err(fault)).await
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // There is none under this name if it was finished; else it is removed at the next start.
        let _ = std::fs::remove_file(&self.written);
    }
}

impl Workers {
    fn start(name: &str, count: usize) -> io::Result<Self> {
        let (jobs, waiting) = jobs::line(JOBS_WAITING_MAX);
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let waiting = waiting.clone();
            let thread = std::thread::Builder::new().name(name.to_owned());
            threads.push(thread.spawn(move || work(&waiting))?);
        }
        Ok(Self { jobs: Some(jobs), threads, refused: AtomicU64::new(0) })
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Who asked may have gone.
            let _ = answer.send(job());
        });
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        match jobs.put(job) {
            Ok(()) => answered.await.map_err(|_| ended())?,
            Err(NotPut::Full) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(PortError::Unavailable(format!(
                    "{JOBS_WAITING_MAX} reads or writes of packages wait already"
                )))
            }
            Err(NotPut::Ended) => Err(ended()),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic of the thread was printed already; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn work(waiting: &Waiting<Job>) {
    while let Some(job) = waiting.next() {
        job();
    }
}

fn read_at(file: &File, at: u64, len: usize) -> io::Result<Bytes> {
    // No file is that long, and the system refuses to look.
    if i64::try_from(at).is_err() {
        return Ok(Bytes::new());
    }
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], at.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.into())
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn fault(error: io::Error) -> PortError {
    if is_full(&error) { PortError::Full } else { PortError::Unavailable(error.to_string()) }
}

fn ended() -> PortError {
    PortError::Failed("the threads that read and write packages have ended".to_owned())
}

/// Name of the directory in the data directory.
pub const DIR: &str = "packages";
/// Extension of a file that is being written.
const UNFINISHED: &str = "part";
const READERS: usize = 2;
/// `packages_open_max`: files that stay open for the next read; others are opened for each.
const FILES_OPEN_MAX: usize = 64;
/// `package_jobs_waiting_max`: reads or writes that may wait for a thread; further ones are refused.
const JOBS_WAITING_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> PackageFileId {
        PackageFileId(Uuid::from_u128(number))
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir.join(DIR)).expect("readable");
        let name = |entry: io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_file_is_there_when_it_is_finished_and_not_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let packages = DirPackages::open(dir.path()).expect("opens");
        let mut writer = packages.begin(id(1)).await.expect("begins");
        writer.write(Bytes::from_static(b"0123")).await.expect("written");
        writer.write(Bytes::from_static(b"456789")).await.expect("written");
        assert_eq!(packages.list().await, Ok(vec![]));
        assert!(packages.read(id(1), 0, 1).await.is_err());
        writer.finish().await.expect("finished");
        drop(packages.begin(id(2)).await.expect("begins"));
        assert_eq!(packages.list().await, Ok(vec![id(1)]));
        assert_eq!(names(dir.path()), [id(1).0.to_string()], "an unfinished one leaves nothing");

        let again = DirPackages::open(dir.path()).expect("opens");
        for (at, len, expected) in [
            (0, 10, "0123456789"),
            (0, 4, "0123"),
            (4, 4, "4567"),
            (8, 4, "89"),
            (10, 4, ""),
            (u64::MAX, 4, ""),
        ] {
            let read = again.read(id(1), at, len).await;
            assert_eq!(read.as_deref().ok(), Some(expected.as_bytes()), "{len} at {at}");
        }
        again.remove(id(1)).await.expect("removed");
        assert_eq!(again.remove(id(1)).await, Ok(()));
        assert!(again.read(id(1), 0, 1).await.is_err());
    }

    #[tokio::test]
    async fn so_many_files_stay_open_and_more_are_counted() {
        let dir = tempfile::tempdir().expect("a directory");
        let packages = DirPackages::open(dir.path()).expect("opens");
        for number in 0..FILES_OPEN_MAX as u128 * 2 {
            let path = dir.path().join(DIR).join(id(number).0.to_string());
            std::fs::write(path, "data").expect("writable");
            assert!(packages.read(id(number), 0, 4).await.is_ok());
        }
        let PackageBites { open, jobs } = packages.bites();
        assert!(open >= FILES_OPEN_MAX as u64 / 2, "{open}");
        assert!(packages.open.len() <= FILES_OPEN_MAX);
        assert_eq!(jobs, 0);
        assert!(packages.read(id(0), 0, 4).await.is_ok(), "it is opened again");
    }

    #[tokio::test]
    async fn a_start_removes_what_a_crash_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let packages = DirPackages::open(dir.path()).expect("opens");
        let left = dir.path().join(DIR).join(format!("{}.part", id(1).0));
        std::fs::write(&left, "half").expect("writable");
        std::fs::write(dir.path().join(DIR).join("notes.txt"), "mine").expect("writable");
        drop(packages);
        DirPackages::open(dir.path()).expect("opens");
        assert_eq!(names(dir.path()), ["notes.txt"], "what is not ours stays");
    }
}
