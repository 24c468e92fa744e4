//! Builds the page under `ui/` and writes a table of its files for the crate to carry.
//!
//! Where the files come from, the first that applies: the folder `UI_DIR` names; npm, run on a copy of
//! `ui/` below the target directory, so that the sources stay as they are; `ui/dist`, which a release
//! archive brings along; else one page that says how to build it. `UI=require` makes the last an error.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Outcome<T> = Result<T, Box<dyn Error>>;

const SOURCES: [&str; 8] = [
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    ".npmrc",
    "tsconfig.json",
    "vite.config.ts",
];

fn main() -> Outcome<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../ui");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for name in ["UI", "UI_DIR"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    for name in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(name).display());
    }
    let table = match page(&root, &out)? {
        Some(folder) => table_of(&folder)?,
        None => {
            println!(
                "cargo::warning=the page is not built: npm is missing. The REST API is complete without it."
            );
            String::from("&[]")
        }
    };
    fs::write(out.join("files.rs"), table)?;
    Ok(())
}

/// The folder that holds the built page.
fn page(root: &Path, out: &Path) -> Outcome<Option<PathBuf>> {
    if let Ok(given) = env::var("UI_DIR") {
        return Ok(Some(PathBuf::from(given)));
    }
    if npm().arg("--version").output().is_ok_and(|done| done.status.success()) {
        return build(root, out).map(Some);
    }
    let prebuilt = root.join("dist");
    if prebuilt.join("index.html").exists() {
        return Ok(Some(prebuilt));
    }
    if env::var("UI").is_ok_and(|value| value == "require") {
        return Err("the page cannot be built: npm is missing, and UI=require asks for it".into());
    }
    Ok(None)
}

fn npm() -> Command {
    Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
}

fn build(root: &Path, out: &Path) -> Outcome<PathBuf> {
    let work = out.join("ui");
    for name in ["src", "public"] {
        let old = work.join(name);
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    for name in SOURCES {
        copy(&root.join(name), &work.join(name))?;
    }
    let lock = fs::read(work.join("package-lock.json"))?;
    let installed = work.join("node_modules/.lock");
    if fs::read(&installed).ok().as_ref() != Some(&lock) {
        run(npm().args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]), &work)?;
        fs::write(installed, &lock)?;
    }
    run(npm().args(["run", "build"]), &work)?;
    Ok(work.join("dist"))
}

fn run(command: &mut Command, place: &Path) -> Outcome<()> {
    let done = command.current_dir(place).env_remove("UI_OUT").output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = [done.stdout, done.stderr].concat();
    Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&said)).into())
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    if from.is_file() {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(from, to)?;
        return Ok(());
    }
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// The rows of the table: path as asked for, media type, mark, bytes, bytes compressed.
fn table_of(folder: &Path) -> Outcome<String> {
    let mut files = Vec::new();
    list(folder, &mut files)?;
    files.sort();
    let mut rows = String::from("&[\n");
    for file in files {
        let inside = file.strip_prefix(folder)?.to_string_lossy().replace('\\', "/");
        let bytes = fs::read(&file)?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let zipped = PathBuf::from(format!("{}.gz", file.display()));
        let zipped = if zipped.exists() {
            format!("Some(include_bytes!({zipped:?}))")
        } else {
            "None".to_owned()
        };
        writeln!(
            rows,
            "File {{ path: {:?}, kind: {:?}, mark: \"\\\"{:016x}\\\"\", bytes: include_bytes!({file:?}), gzip: {zipped} }},",
            format!("/{inside}"),
            kind(&file)?,
            hasher.finish(),
        )?;
    }
    rows.push(']');
    Ok(rows)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension() != Some(OsStr::new("gz")) {
            files.push(path);
        }
    }
    Ok(())
}

fn kind(file: &Path) -> Outcome<&'static str> {
    Ok(match file.extension().and_then(OsStr::to_str) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json") => "application/json",
        _ => return Err(format!("no media type for {}", file.display()).into()),
    })
}
