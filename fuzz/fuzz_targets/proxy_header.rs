//! The beginning of a connection that should be a PROXY header.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_transport::proxy::check(data));
