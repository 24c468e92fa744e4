//! Certificates, chains and revocation lists as somebody pastes them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_x509::fuzzing::certificate(data));
