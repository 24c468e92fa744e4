//! A topic, a filter, and a filter of a profile.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_device::fuzzing::topic(data));
