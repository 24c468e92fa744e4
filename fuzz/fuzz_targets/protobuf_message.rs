//! A Protobuf message, read with a schema of every kind of field.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_device::fuzzing::protobuf_message(data));
