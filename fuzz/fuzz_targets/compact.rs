//! CBOR and MessagePack.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_device::fuzzing::compact(data));
