//! Files of certificates and keys: read within a bound, written so that a crash leaves the old or the new.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::problem::{FILE_MAX, Problem};

/// The bytes of `path`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let trouble = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Problem::Missing(path.to_owned()),
        _ => Problem::Inaccessible(path.to_owned(), format!("cannot be read: {error}")),
    };
    let file = File::open(path).map_err(trouble)?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(trouble)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(Problem::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Only its owner: it holds a key.
    Owner,
    /// Everybody who may look into the directory.
    Everybody,
}

/// Puts `bytes` at `path` in one step that survives a crash: a new file, synced, renamed into place.
pub(crate) fn replace(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), Problem> {
    write(path, bytes, readers, true)
}

/// As [`replace`], without waiting for the disk: after a power cut the file may be missing or damaged.
/// For what is made again from other files.
pub(crate) fn replace_derived(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), Problem> {
    write(path, bytes, readers, false)
}

fn write(path: &Path, bytes: &[u8], readers: Readers, synced: bool) -> Result<(), Problem> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = folder.join(name);
    let write = || -> io::Result<()> {
        // What a crash left behind has whatever rights it has; ours must begin closed.
        if let Err(error) = fs::remove_file(&fresh)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        if readers == Readers::Everybody {
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        file.write_all(bytes)?;
        if !synced {
            return fs::rename(&fresh, path);
        }
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        Problem::Inaccessible(path.to_owned(), format!("cannot be written: {error}"))
    })
}

/// What tells one content of a file from another without reading it; nothing when it is not there.
///
/// The number of the file changes when another is renamed over it or a link is turned, the times and
/// the size when it is written in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<[i64; 6]>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let found = fs::metadata(path).ok().map(|it| {
            let number = |value: u64| i64::from_ne_bytes(value.to_ne_bytes());
            let (changed, written) = ((it.ctime(), it.ctime_nsec()), (it.mtime(), it.mtime_nsec()));
            let places = [number(it.ino()), number(it.size())];
            [places[0], places[1], changed.0, changed.1, written.0, written.1]
        });
        Self(found)
    }
}

/// The stamps of `paths` now.
pub(crate) fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    paths.iter().map(|path| Stamp::of(path)).collect()
}
