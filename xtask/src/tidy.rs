//! The repository checks itself: walls between crates, loops between files, sizes, words, licences, and
//! whether docs/compatibility.md is whole.
//!
//! Each check is a pure function from texts to [`Finding`]s; this file reads the tree and calls them.
//! Function length is clippy's, formatting is rustfmt's, and a stale generated document is refused by a
//! test beside its source.

mod arrows;
mod compatibility;
mod imports;
mod licences;
mod source;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::codegen::stdout_of;
use source::Source;

/// One thing that must be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// File, and line where one is known.
    place: String,
    /// What stands there.
    what: String,
    /// Why it must not.
    why: &'static str,
    /// What to do instead.
    remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, what, why, remedy } = self;
        write!(f, "{place}: {what}\n    why: {why}\n    do:  {remedy}")
    }
}

/// Checks the tree at `root`; the error is the text of all findings.
pub(crate) fn run(root: &Path) -> Result<String, String> {
    let mut findings = tree(root).map_err(|error| format!("the tree cannot be read: {error}\n"))?;
    findings.extend(licences::check(&metadata(root)?)?);
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let document = read("docs/compatibility.md").unwrap_or_default();
    findings.extend(compatibility::check(&document, read));
    if findings.is_empty() {
        return Ok("tidy: nothing to change\n".to_owned());
    }
    let mut text = String::new();
    for finding in &findings {
        text += &format!("{finding}\n");
    }
    Err(format!("{text}tidy: {} to change\n", findings.len()))
}

/// All checks that need only the files below `root`.
fn tree(root: &Path) -> std::io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in packages(root)? {
        let manifest = fs::read_to_string(root.join(&package).join("Cargo.toml"))?;
        findings.extend(arrows::check(&format!("{package}/Cargo.toml"), &manifest));

        let mut files = Vec::new();
        read_rust_files(root, &package, &mut files)?;
        for file in &files {
            findings.extend(words::check(file));
        }
        let inner: Vec<_> =
            files.iter().filter(|file| file.path.starts_with(&format!("{package}/src/"))).collect();
        findings.extend(imports::check(&inner));
    }
    Ok(findings)
}

/// Folders that hold a package, relative to `root` and sorted.
fn packages(root: &Path) -> std::io::Result<Vec<String>> {
    let mut found: Vec<_> = names_in(&root.join("crates"))?
        .into_iter()
        .map(|name| format!("crates/{name}"))
        .chain(["xtask", "bench", "fuzz"].map(str::to_owned))
        .filter(|folder| root.join(folder).join("Cargo.toml").is_file())
        .collect();
    found.sort();
    Ok(found)
}

fn read_rust_files(root: &Path, folder: &str, files: &mut Vec<Source>) -> std::io::Result<()> {
    for name in names_in(&root.join(folder))? {
        let path = format!("{folder}/{name}");
        if root.join(&path).is_dir() {
            if name != "target" {
                read_rust_files(root, &path, files)?;
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(root.join(&path))?;
            files.push(Source::new(path, text));
        }
    }
    Ok(())
}

fn names_in(folder: &Path) -> std::io::Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// What cargo knows of every package that is built on this machine, as JSON.
fn metadata(root: &Path) -> Result<String, String> {
    let rustc = stdout_of(Command::new("rustc").current_dir(root).arg("-vV"))?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    stdout_of(Command::new(env!("CARGO")).current_dir(root).args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        host,
    ]))
}
