//! Decoding allocates nothing but the readings, and not even those when the batch is reused.

#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

use thingport_device::payload::Typing;
use thingport_device::payload::json::Decoder;
use thingport_device::payload::protobuf::{Schema, SchemaKind, Walk};
use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;

#[test]
fn a_protobuf_message_is_decoded_without_an_allocation() {
    let rows: &[(&str, &[u8], usize)] = &[
        (FIVE, FIVE_FIELDS, 5),
        (DOCUMENTED, FIVE_FIELDS_THREE_NESTED, 3),
        // Out of order, twice, and with a field nobody knows: sorted, still without an allocation.
        (FIVE, b"\x2a\x02ok\x18\x57\x18\x58\x50\x01", 5),
        // Timestamped.
        (TIMED, b"\x08\x05\x12\x09\x09\x00\x00\x00\x00\x00\x80\x35\x40", 1),
    ];
    let (mut walk, mut out) = (Walk::default(), Readings::default());
    for (schema, payload, count) in rows {
        let schema = Schema::compile(SchemaKind::Telemetry, schema, None).unwrap();
        let mut decode = || walk.telemetry(&schema, payload, NOW, &TYPING, &mut out).unwrap();
        decode();
        let measured = allocation_counter::measure(decode);
        assert_eq!((measured.count_total, measured.bytes_total), (0, 0), "{payload:02x?}");
        assert_eq!(out.len(), *count, "{payload:02x?}");
    }
}

#[test]
fn readings_of_their_own_are_all_that_a_message_costs() {
    let schema = Schema::compile(SchemaKind::Telemetry, FIVE, None).unwrap();
    let mut walk = Walk::default();
    walk.telemetry(&schema, FIVE_FIELDS, NOW, &TYPING, &mut Readings::default()).unwrap();
    let mut out = Readings::default();
    let first = allocation_counter::measure(|| {
        walk.telemetry(&schema, FIVE_FIELDS, NOW, &TYPING, &mut out).unwrap();
    });
    // Its two buffers grow by doubling; nothing is left that the readings do not keep.
    assert!(first.count_total >= 2, "it counts");
    assert_eq!(first.count_current, 2, "{first:?}");
}

#[test]
fn json_is_decoded_without_an_allocation() {
    let rows = [
        r#"{"temperature":21.5,"humidity":60,"battery":87,"open":true,"state":"running-now"}"#,
        r#"{"ts":1700000000000,"values":{"a":1.25,"b":{"c":[1,2,"x"]}}}"#,
    ];
    let (mut decoder, mut out) = (Decoder::new(), Readings::default());
    for payload in rows {
        let mut decode = || decoder.telemetry(payload.as_bytes(), NOW, &TYPING, &mut out).unwrap();
        decode();
        assert_eq!(allocation_counter::measure(decode).count_total, 0, "{payload}");
    }
}

const FIVE: &str = "syntax = \"proto3\"; message T { double temperature = 1; float humidity = 2; \
                    int32 battery = 3; bool open = 4; string state = 5; }";
const FIVE_FIELDS: &[u8] = b"\x09\x00\x00\x00\x00\x00\x80\x35\x40\x15\x00\x00\x70\x42\x18\x57\
                             \x20\x01\x2a\x0brunning-now";

const DOCUMENTED: &str = include_str!("../testdata/protobuf/telemetry.proto");
const FIVE_FIELDS_THREE_NESTED: &[u8] =
    b"\x09\x00\x00\x00\x00\x00\x80\x35\x40\x11\x00\x00\x00\x00\x00\x00\x4e\x40\
      \x1a\x18\x0a\x0brunning-now\x10\x01\x19\x00\x00\x00\x00\x00\x00\xf8\x3f";

const TIMED: &str = "syntax = \"proto3\"; message V { double t = 1; } \
                     message T { optional int64 ts = 1; V values = 2; }";

const TYPING: Typing = Typing::device(true, 0);
const NOW: Timestamp = Timestamp(1_700_000_000_000);
