//! Recovery of the ingest log from arbitrary bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thingport_store::fuzzing::recover_log(bytes));
