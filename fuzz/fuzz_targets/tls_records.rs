//! What a peer writes after its handshake, with the right keys and without.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_transport::tls::check_records(data));
