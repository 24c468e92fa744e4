//! An attributes payload, under every typing.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_device::fuzzing::json_attributes(data));
