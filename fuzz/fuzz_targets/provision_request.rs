//! A provisioning request, in JSON or Protobuf.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thingport_device::fuzzing::provision_request(data));
