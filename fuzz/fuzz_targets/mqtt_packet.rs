//! One packet of a client, in every version.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_mqtt::fuzzing::packet(data));
