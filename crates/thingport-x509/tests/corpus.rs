//! Replays the corpus of the fuzz target, so that what a fuzzer once found stays found.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is wrong")]
#![allow(clippy::print_stdout, reason = "it names the file that was run last")]

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_of_certificates_breaks_nothing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/certificate");
    let mut files: Vec<_> = fs::read_dir(&corpus)
        .unwrap_or_else(|error| panic!("{}: {error}", corpus.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in &files {
        println!("{}", file.display());
        thingport_x509::fuzzing::certificate(&fs::read(file).unwrap());
    }
    assert!(files.len() >= 12, "{} files", files.len());
}
