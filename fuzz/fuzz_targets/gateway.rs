//! What gateways say of their devices, on every topic and in both forms.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_device::fuzzing::gateway(data));
