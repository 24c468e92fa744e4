//! What an edge node of Sparkplug B says, before and after its birth, and as its will.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_device::fuzzing::sparkplug(data));
