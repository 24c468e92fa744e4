//! Schemas and messages become what ThingsBoard makes of them (5.1, 5.2).

mod hostile;
mod oracle;
mod schemas;

use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use super::*;
use crate::payload::Typing;
use crate::reject::Reject;

#[test]
fn every_kind_of_field_is_stored_as_specified() {
    let rows = [
        // PB-011, and the rows of 5.2: plain scalars that are not on the wire.
        ("int32 a = 1; string b = 2; bool c = 3; double d = 4;", "", "a=0 b=\"\" c=false d=0.0"),
        ("optional int32 a = 1; optional string b = 2; int64 c = 3;", "", "c=0"),
        ("repeated int32 a = 1; map<string, int32> m = 2; M n = 3;", "", "a=[] m={}"),
        ("E e = 1; bytes b = 2;", "", "e=\"ZERO\" b=\"\""),
        ("E e = 1;", "08 02", "e=\"TWO\""),
        ("E e = 1;", "08 07", "e=7"),
        // Whole numbers.
        ("int32 a = 1;", "08 ff ff ff ff ff ff ff ff ff 01", "a=-1"),
        ("uint32 a = 1;", "08 ff ff ff ff 0f", "a=4294967295"),
        ("sint32 a = 1;", "08 03", "a=-2"),
        ("fixed32 a = 1;", "0d ff ff ff ff", "a=4294967295"),
        ("sfixed32 a = 1;", "0d ff ff ff ff", "a=-1"),
        ("int64 a = 1;", "08 ff ff ff ff ff ff ff ff 7f", "a=9223372036854775807"),
        ("sint64 a = 1;", "08 ff ff ff ff ff ff ff ff ff 01", "a=-9223372036854775808"),
        ("uint64 a = 1;", "08 ff ff ff ff ff ff ff ff ff 01", "a=\"18446744073709551615\""),
        ("fixed64 a = 1;", "09 01 00 00 00 00 00 00 00", "a=1"),
        // Doubles and floats, with the effects of JS-036.
        ("double a = 1;", "09 00 00 00 00 00 00 35 40", "a=21.0"),
        ("double a = 1;", "09 34 33 33 33 33 33 d3 3f", "a=\"0.30000000000000004\""),
        ("double a = 1;", "09 00 00 00 00 d0 12 63 41", "a=10000000"),
        ("double a = 1;", "09 00 00 00 00 00 00 f8 7f", "a=\"NaN\""),
        ("double a = 1;", "09 00 00 00 00 00 00 f0 ff", "a=\"-Infinity\""),
        ("float a = 1;", "0d cd cc cc 3d", "a=0.1"),
        ("float a = 1;", "0d 00 00 ac 41", "a=21.5"),
        ("float a = 1;", "0d f9 02 15 50", "a=10000000000"),
        // Texts that look like numbers.
        ("string a = 1;", "0a 02 31 32", "a=12"),
        ("string a = 1;", "0a 02 68 69", "a=\"hi\""),
        ("bytes a = 1;", "0a 02 ff 00", "a=\"/wA=\""),
        ("bytes a = 1;", "0a 03 d7 6d f8", "a=1234"),
        // Names.
        ("int32 snake_case = 1;", "08 01", "snakeCase=1"),
        ("int32 a = 1 [json_name = \"b c\"];", "08 01", "b c=1"),
        // Unknown fields, and known ones in another wire type, are read over; the last value counts.
        ("int32 a = 1;", "10 05 1a 01 78 08 01 08 02 0a 01 78", "a=2"),
        ("int32 a = 1;", "08 01 13 18 01 14", "a=1"),
        // Lists: packed and not, in one message.
        ("repeated int32 a = 1;", "08 01 0a 02 02 03 08 04", "a=[1,2,3,4]"),
        ("repeated float a = 1 [packed=false];", "0a 08 00 00 80 3f 00 00 00 40", "a=[1.0,2.0]"),
        ("repeated string a = 1;", "0a 01 78 0a 00", "a=[\"x\",\"\"]"),
        ("repeated E a = 1;", "0a 02 01 07", "a=[\"ONE\",7]"),
        // Messages in each other: inner defaults, 64 bits as texts; parts of one are one.
        ("M m = 1;", "0a 00", "m={\"x\":0,\"l\":\"0\"}"),
        ("M m = 1;", "0a 02 08 01 0a 02 10 02", "m={\"x\":1,\"l\":\"2\"}"),
        (
            "repeated M m = 1;",
            "0a 02 08 01 0a 00",
            "m=[{\"x\":1,\"l\":\"0\"},{\"x\":0,\"l\":\"0\"}]",
        ),
        // Maps: of equal keys the last counts.
        (
            "map<string, M> m = 1;",
            "0a 07 0a 01 61 12 02 08 01 0a 03 0a 01 62 0a 07 0a 01 61 12 02 08 03",
            "m={\"a\":{\"x\":3,\"l\":\"0\"},\"b\":{\"x\":0,\"l\":\"0\"}}",
        ),
        ("map<int32, bool> m = 1;", "0a 04 08 07 10 01", "m={\"7\":true}"),
        // Of a oneof the last on the wire counts.
        ("oneof o { int32 a = 1; string b = 2; } int32 c = 3;", "08 01 12 01 78", "b=\"x\" c=0"),
        ("oneof o { int32 a = 1; string b = 2; }", "12 01 78 08 00", "a=0"),
        ("oneof o { int32 a = 1; M m = 2; }", "12 02 08 01 08 05 12 00", "m={\"x\":0,\"l\":\"0\"}"),
        // Types with a form of their own.
        ("google.protobuf.Timestamp t = 1;", "0a 02 08 01", "t=\"1970-01-01T00:00:01Z\""),
        ("google.protobuf.DoubleValue v = 1;", "0a 09 09 00 00 00 00 00 00 35 40", "v=21.0"),
        ("google.protobuf.Int64Value v = 1;", "0a 02 08 05", "v=5"),
        (
            "google.protobuf.Struct s = 1;",
            "0a 0e 0a 0c 0a 01 61 12 07 1a 05 68 65 6c 6c 6f",
            "s={\"a\":\"hello\"}",
        ),
    ];
    for (fields, bytes, expected) in rows {
        let schema = telemetry(&message(fields));
        assert_eq!(shown(&schema, &hex(bytes), &Typing::default()), expected, "{fields} {bytes}");
    }
}

#[test]
fn proto2_knows_required_fields_and_groups() {
    let head = "syntax = \"proto2\"; message T { ";
    let schema = telemetry(&format!(
        "{head} required int32 a = 1; optional group G = 2 {{ optional int32 x = 1; }} \
         optional int32 d = 3 [default = 7]; }}"
    ));
    let rows = [
        ("08 01", "a=1"),
        ("08 01 13 08 05 14", "a=1 g={\"x\":5}"),
        ("18 01", "payload.not_protobuf the required field \"a\" is missing"),
    ];
    for (bytes, expected) in rows {
        assert_eq!(shown(&schema, &hex(bytes), &Typing::default()), expected, "{bytes}");
    }
}

#[test]
fn a_root_with_ts_and_values_is_timestamped() {
    let two = "optional int64 ts = 1; M values = 2;";
    let rows = [
        // TV-020: inner defaults are stored, at ts.
        (two, "08 05 12 02 08 01", "x=1@5 l=0@5"),
        (two, "08 00 12 00", "x=0@0 l=0@0"),
        // PB-014
        (two, "12 02 08 01", "values={\"x\":1,\"l\":\"0\"}"),
        (two, "08 05", "ts=5"),
        // PB-015, JS-017: others do not count, but must be readable.
        ("int64 ts = 1; M values = 2; string o = 3;", "12 00", "x=0@0 l=0@0"),
        (
            "int64 ts = 1; M values = 2; string o = 3;",
            "12 00 1a 01 ff",
            "payload.not_protobuf a string is not UTF-8 at byte 4",
        ),
        (
            "double ts = 1; M values = 2; int32 o = 3;",
            "09 9a 99 99 99 99 99 fd 3f 12 00",
            "x=0@1 l=0@1",
        ),
        ("string ts = 1; M values = 2; int32 o = 3;", "0a 01 78 12 00", "payload.timestamp \"x\""),
        (
            "int64 ts = 1; int32 values = 2; int32 o = 3;",
            "",
            "payload.shape values is not an object",
        ),
        (
            "optional int64 ts = 1; map<string, int32> values = 2;",
            "08 05 12 05 0a 01 61 10 07",
            "a=7@5",
        ),
    ];
    for (fields, bytes, expected) in rows {
        let schema = telemetry(&message(fields));
        assert_eq!(shown(&schema, &hex(bytes), &Typing::default()), expected, "{fields} {bytes}");
    }
    // PB-017: attributes know no time.
    let schema = telemetry(&message(two));
    let (mut walk, mut out) = (Walk::default(), Readings::default());
    walk.attributes(&schema, &hex("08 05 12 02 08 01"), NOW, &Typing::default(), &mut out).unwrap();
    assert_eq!(print(&out), "ts=5 values={\"x\":1,\"l\":\"0\"}");
}

#[test]
fn what_is_no_message_says_where() {
    let schema = telemetry(&message("int32 a = 1; string s = 2; M m = 3; repeated fixed32 f = 4;"));
    let rows = [
        ("08", "payload.not_protobuf the message ends in the middle of a field at byte 1"),
        (
            "08 80 80 80 80 80 80 80 80 80 02",
            "payload.not_protobuf a varint has more than 64 bits at byte 1",
        ),
        ("00 01", "payload.not_protobuf a field number is not between 1 and 536870911 at byte 0"),
        ("0e", "payload.not_protobuf a wire type that does not exist at byte 1"),
        ("0c", "payload.not_protobuf the end of a group that was not begun at byte 1"),
        ("7b 22 61 22 3a 31 7d", "payload.not_protobuf"),
        ("12 05 61", "payload.not_protobuf the message ends in the middle of a field at byte 2"),
        ("12 02 c3 28", "payload.not_protobuf a string is not UTF-8 at byte 2"),
        ("1a 02 0a 05", "payload.not_protobuf the message ends in the middle of a field at byte 4"),
        (
            "22 03 01 02 03",
            "payload.not_protobuf the message ends in the middle of a field at byte 2",
        ),
    ];
    for (bytes, expected) in rows {
        let found = shown(&schema, &hex(bytes), &Typing::default());
        assert!(found.starts_with(expected), "{bytes}: {found}");
    }
}

#[test]
fn hostile_messages_are_bounded() {
    // A message of a thousand defaults, thirty thousand times.
    let many: Vec<String> = (2..900).map(|at| format!("int32 field{at} = {at};")).collect();
    let wide = format!(
        "syntax = \"proto3\"; message W {{ {} }} message T {{ repeated W w = 1; T t = 2; }}",
        many.join(" ")
    );
    let schema = telemetry(&wide);
    let bomb = [0x0A, 0x00].repeat(30_000);
    let found = shown(&schema, &bomb, &Typing::default());
    assert!(found.starts_with("payload.too_many_keys the message becomes too large"), "{found}");
    let optional = wide.replace("int32 f", "optional int32 f");
    let found = shown(&telemetry(&optional), &bomb, &Typing::default());
    assert!(found.starts_with("payload.too_many_keys"), "{found}");
    // Sixteen messages in each other are read, seventeen are not.
    for (depth, expected) in [(15, "t="), (16, "payload.too_deep")] {
        let mut bytes = Vec::new();
        for _ in 0..depth {
            let mut outer = vec![0x12];
            prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            outer.append(&mut bytes);
            bytes = outer;
        }
        let found = shown(&schema, &bytes, &Typing::default());
        assert!(found.contains(expected), "{depth}: {found}");
    }
    // Groups nobody knows, in each other.
    let groups = [0x1B].repeat(60_000);
    let found = shown(&schema, &groups, &Typing::default());
    assert!(found.starts_with("payload.too_deep"), "{found}");
}

#[test]
fn texts_stay_texts_when_casting_is_off_and_long_ones_are_refused() {
    let schema = telemetry(&message("int64 a = 1; string b = 2; double d = 3;"));
    let off = Typing::device(false, 3);
    let rows = [
        ("08 05 12 02 31 32", "a=\"5\" b=\"12\" d=0.0"),
        ("12 04 61 62 63 64", "payload.string_too_long key \"b\": more than 3 characters"),
        ("19 34 33 33 33 33 33 d3 3f", "payload.number key \"d\": \"3.0000000000000004E-1\""),
    ];
    for (bytes, expected) in rows {
        assert_eq!(shown(&schema, &hex(bytes), &off), expected, "{bytes}");
    }
}

#[test]
fn a_message_is_text_for_whoever_asked() {
    let schema =
        compile(SchemaKind::RpcResponse, &message("optional string payload = 1; M m = 2;"));
    let mut walk = Walk::default();
    assert_eq!(walk.text(&schema, &hex("0a 02 6f 6b")), Ok("{\"payload\":\"ok\"}"), "PB-023");
    assert_eq!(walk.text(&schema, b""), Ok("{}"));
    assert!(walk.text(&schema, &hex("0a")).is_err(), "PB-024");
}

/// A telemetry schema whose last message has these fields.
fn message(fields: &str) -> String {
    format!(
        "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; \
         import \"google/protobuf/wrappers.proto\"; import \"google/protobuf/struct.proto\"; \
         message M {{ int32 x = 1; int64 l = 2; }} enum E {{ ZERO = 0; ONE = 1; TWO = 2; }} \
         message T {{ {fields} }}"
    )
}

fn telemetry(text: &str) -> Schema {
    compile(SchemaKind::Telemetry, text)
}

fn compile(kind: SchemaKind, text: &str) -> Schema {
    Schema::compile(kind, text, None).unwrap_or_else(|found| panic!("{text}: {found:?}"))
}

fn shown(schema: &Schema, payload: &[u8], typing: &Typing) -> String {
    let (mut walk, mut out) = (Walk::default(), Readings::default());
    match walk.telemetry(schema, payload, NOW, typing, &mut out) {
        Ok(()) => print(&out),
        Err(Reject { reason, detail }) => {
            assert!(out.is_empty(), "something of a refused message stayed");
            format!("{} {detail}", reason.id())
        }
    }
}

/// Readings in one line: texts quoted, doubles with a fraction; the time when it is not now.
fn print(out: &Readings) -> String {
    let one = |it: thingport_model::reading::ReadingRef<'_>| {
        let at = if it.at == NOW { String::new() } else { format!("@{}", it.at.ms()) };
        let value = match it.value {
            ValueRef::String(text) => format!("{text:?}"),
            other => other.to_string(),
        };
        format!("{}={value}{at}", it.key)
    };
    out.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

const NOW: Timestamp = Timestamp(1_700_000_000_000);
