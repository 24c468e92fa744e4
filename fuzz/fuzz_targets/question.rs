//! What a device asks or answers, on each kind of topic.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_device::fuzzing::question(data));
