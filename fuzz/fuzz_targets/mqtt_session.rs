//! Bytes, decisions, acknowledgements and time, in any order.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_mqtt::fuzzing::session(data));
