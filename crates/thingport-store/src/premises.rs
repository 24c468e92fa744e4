//! What lies in a data directory, and what has no business there.

use std::io;
use std::path::Path;

/// Names in a directory that are not ours, when it never was a data directory: it may belong to
/// somebody. In one that is ours already, whatever else lies there is no concern. A directory that does
/// not exist has none.
pub(crate) fn strangers(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<String>>>()?;
    if names.iter().any(|name| SIGNS.contains(&&**name)) {
        return Ok(Vec::new());
    }
    names.retain(|name| !is_ours(name));
    names.sort_unstable();
    Ok(names)
}

fn is_ours(name: &str) -> bool {
    OURS.contains(&name)
        || name.starts_with(ENTITIES)
        || crate::log::segment_number(name).is_some()
        || crate::log::is_spare(name)
}

/// Name of the entity database.
pub(crate) const ENTITIES: &str = "entities.db";
/// Each of these says that a directory is ours.
const SIGNS: [&str; 2] = ["mark", "format"];
/// What a first start may leave that was cut short before it signed the directory, and what file
/// systems put into an empty one.
const OURS: [&str; 9] = [
    "chunks",
    "first-passwords.txt",
    "format.new",
    "lock",
    "lost+found",
    "mark.new",
    "packages",
    "probe",
    "reserve",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_somebody_else_is_told_by_what_lies_there() {
        for (names, expected) in [
            (&[][..], &[][..]),
            (&["lost+found"], &[]),
            (&["lock", "probe", "mark.new", "entities.db-wal", "0000000000000001.log"], &[]),
            (&["notes.txt", "lost+found", "0001.log", ".git"], &[".git", "0001.log", "notes.txt"]),
            (&["mark", "notes.txt"], &[]),
            (&["format", "notes.txt"], &[]),
        ] {
            let dir = tempfile::tempdir().expect("a directory");
            for name in names {
                std::fs::write(dir.path().join(name), "").expect("writable");
            }
            assert_eq!(strangers(dir.path()).expect("readable"), expected, "{names:?}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        assert!(strangers(&dir.path().join("none")).expect("no trouble").is_empty());
    }
}
