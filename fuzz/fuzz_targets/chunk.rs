//! Decoding of chunks and rows from arbitrary bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thingport_store::fuzzing::decode_chunk(bytes));
