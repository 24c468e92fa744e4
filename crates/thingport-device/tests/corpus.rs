//! Replays the corpora of the fuzz targets, so that what a fuzzer once found stays found.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is wrong")]
#![allow(clippy::print_stdout, reason = "it names the file that was run last")]

use std::fs;
use std::path::Path;

use thingport_device::fuzzing;

#[test]
fn the_corpus_of_telemetry_breaks_nothing() {
    assert!(replay("json_telemetry", fuzzing::json_telemetry) >= 18);
}

#[test]
fn the_corpus_of_attributes_breaks_nothing() {
    assert!(replay("json_attributes", fuzzing::json_attributes) >= 15);
}

#[test]
fn the_corpus_of_questions_breaks_nothing() {
    assert!(replay("question", fuzzing::question) >= 12);
}

#[test]
fn the_corpus_of_topics_breaks_nothing() {
    assert!(replay("topic", fuzzing::topic) >= 14);
}

#[test]
fn the_corpus_of_provisioning_breaks_nothing() {
    assert!(replay("provision_request", fuzzing::provision_request) >= 8);
}

#[test]
fn the_corpus_of_protobuf_messages_breaks_nothing() {
    assert!(replay("protobuf_message", fuzzing::protobuf_message) >= 180);
}

#[test]
fn the_corpus_of_schemas_breaks_nothing() {
    assert!(replay("schema", fuzzing::schema) >= 290);
}

#[test]
fn the_corpus_of_compact_forms_breaks_nothing() {
    assert!(replay("compact", fuzzing::compact) >= 110);
}

#[test]
fn the_corpus_of_gateways_breaks_nothing() {
    assert!(replay("gateway", fuzzing::gateway) >= 20);
}

#[test]
fn the_corpus_of_sparkplug_breaks_nothing() {
    assert!(replay("sparkplug", fuzzing::sparkplug) >= 12);
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
        println!("{}", file.display());
        run(&fs::read(file).unwrap());
    }
    files.len()
}
