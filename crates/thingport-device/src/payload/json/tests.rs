//! JSON payloads become the readings the tables say.

use super::*;

#[test]
fn smoke() {
    let mut out = Readings::default();
    let mut decoder = Decoder::new();
    let typing = Typing::default();
    decoder.telemetry(b"{temperature:25,b:'x'}", Timestamp(7), &typing, &mut out).unwrap();
    assert_eq!(out.len(), 2);
}
