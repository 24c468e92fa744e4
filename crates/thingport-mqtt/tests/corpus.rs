//! Replays the corpora of the fuzz targets, so that what a fuzzer once found stays found.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is wrong")]

use std::fs;
use std::path::Path;

use thingport_mqtt::fuzzing;

#[test]
fn the_corpus_of_packets_breaks_nothing() {
    assert!(replay("mqtt_packet", fuzzing::packet) >= 15);
}

#[test]
fn the_corpus_of_sessions_breaks_nothing() {
    assert!(replay("mqtt_session", fuzzing::session) >= 14);
}

/// Runs every file of a corpus, and gives their number.
fn replay(target: &str, run: fn(&[u8])) -> usize {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&corpus)
        .unwrap_or_else(|error| panic!("{}: {error}", corpus.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in &files {
        run(&fs::read(file).unwrap());
    }
    files.len()
}
