//! Doors for fuzzers: arbitrary bytes into what reads disks. Not for any other use.

use std::sync::Arc;

use crate::chunk;
use crate::disk::{Disk, sim::SimDisk};
use crate::layout::Row;
use crate::log::recovery;
use crate::record::Record;

/// Recovers a log whose first segment holds `bytes`. Must neither panic nor take long.
pub fn recover_log(bytes: &[u8]) {
    let disk = SimDisk::new();
    disk.put("0000000000000001.log", bytes.to_vec());
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let mut visit = |_, _, bytes: &[u8]| {
        read_record(bytes);
    };
    let known = recovery::Known::default();
    let _ = recovery::recover(&*disk, known, bytes.len(), &mut visit, &mut |_, _| {});
    read_record(bytes);
}

fn read_record(bytes: &[u8]) {
    match Record::read(bytes) {
        Some(Record::Telemetry { items, .. } | Record::SetAttributes { items, .. }) => {
            let _ = items.count();
        }
        Some(Record::DeleteAttributes { keys, .. } | Record::DeleteTelemetry { keys, .. }) => {
            let _ = keys.count();
        }
        Some(Record::Incident { body, .. }) => {
            let _ = crate::record::read_incident(body);
        }
        _ => {}
    }
}

/// Decodes a chunk, and a row; what decodes must encode to something that decodes to the same.
pub fn decode_chunk(bytes: &[u8]) {
    let _ = (chunk::expires_at(bytes), Row::read(bytes).is_some());
    let Some(points) = chunk::decode(bytes) else { return };
    let mut again = Vec::new();
    chunk::encode(&points, 0, points.len(), &mut again);
    let same = chunk::decode(&again).map(|it| it.len());
    assert_eq!(same, Some(points.len()), "an encoded chunk decodes");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every input a fuzzer ever found interesting, kept in the repository.
    fn replay(corpus: &str, run: impl Fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
        let files = std::fs::read_dir(&dir).expect("the corpus is in the repository");
        let count = files.map(|file| run(&std::fs::read(file.unwrap().path()).unwrap())).count();
        assert!(count > 0, "an empty corpus in {}", dir.display());
    }

    #[test]
    fn the_log_corpus_is_recovered_or_refused() {
        replay("log_recovery", super::recover_log);
    }

    #[test]
    fn the_chunk_corpus_is_decoded_or_refused() {
        replay("chunk", super::decode_chunk);
    }
}
