//! The text of a Protobuf schema.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_device::fuzzing::schema(data));
