//! Schemas are accepted, or it is said what is wrong and where.

use thingport_model::reason::Reason;
use thingport_model::rpc::Call;

use super::super::schema::{DIAGNOSTICS_MAX, FIELDS_MAX, SCHEMA_BYTES_MAX};
use super::*;

#[test]
fn the_schemas_of_the_documentation_work_word_for_word() {
    let rows = [
        (SchemaKind::Telemetry, TELEMETRY, "telemetry.SensorDataReading"),
        (SchemaKind::Attributes, ATTRIBUTES, "attributes.SensorConfiguration"),
        (SchemaKind::RpcRequest, RPC_REQUEST, "rpc.RpcRequestMsg"),
        (SchemaKind::RpcResponse, RPC_RESPONSE, "rpc.RpcResponseMsg"),
    ];
    for (kind, text, root) in rows {
        assert_eq!(compile(kind, text).root_name(), root);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row for each rule")]
fn what_is_wrong_is_said_with_its_place() {
    let three = "syntax = \"proto3\";\n";
    let many: String = (1..=1_001).map(|at| format!("int32 f{at} = {at};")).collect();
    let rows: &[(SchemaKind, String, &str)] = &[
        // P-1
        (TEL, String::new(), "1:1 the syntax is not named; expected syntax ="),
        (TEL, "message T { int32 a = 1; }".to_owned(), "1:1 the syntax is not named"),
        (
            TEL,
            "syntax = \"proto4\"; message T { int32 a = 1; }".to_owned(),
            "1:10 unknown syntax 'proto4'; expected possible values",
        ),
        (TEL, format!("{three}message T {{\n  int32 a = 1\n}}"), "4:1 found '}'; expected '"),
        (TEL, format!("{three}message T {{ int32 a = ; }}"), "2:23 found ';'; expected"),
        (TEL, format!("{three}message T {{ int32 a = 1;"), "2:25 reached end of file; expected"),
        (TEL, format!("{three}message T {{ int32 a = 1; int32 b = 1; }}"), "2:"),
        (
            TEL,
            format!("{three}message T {{ int32 a = 1; string a = 2; }}"),
            "2:19 camel-case name of field 'a' conflicts",
        ),
        (TEL, format!("{three}message T {{ Missing a = 1; }}"), "2:13"),
        (TEL, format!("{three}message T {{ int32 a = 0; }}"), "2:"),
        (TEL, format!("{three}message T {{ required int32 a = 1; }}"), "2:13"),
        // Imports.
        (
            TEL,
            format!("{three}import \"other.proto\"; message T {{ int32 a = 1; }}"),
            "2:9 \"other.proto\" cannot be imported; expected one of google/protobuf",
        ),
        (
            TEL,
            format!("{three}import \"google/protobuf/no.proto\"; message T {{ int32 a = 1; }}"),
            "2:",
        ),
        // P-3
        (
            TEL,
            format!("{three}enum E {{ A = 0; }}"),
            "2:18 there is no message; expected at least one message",
        ),
        // P-6
        (
            TEL,
            format!("{three}message A {{ int32 a = 1; }}\nmessage T {{ }}"),
            "3:1 the root message has no field",
        ),
        (
            TEL,
            format!("{three}message V {{}} message T {{ int64 ts = 1; V values = 2; }}"),
            "2:26 ts is not an optional int64",
        ),
        (
            TEL,
            format!("{three}message T {{ optional int64 ts = 1; int32 values = 2; }}"),
            "2:36 values is not a message",
        ),
        // P-7
        (
            REQ,
            format!("{three}message T {{ string method = 1; }}"),
            "2:1 the root message has no field requestId",
        ),
        (
            REQ,
            format!(
                "{three}message T {{ string method = 1; string requestId = 2; string params = 3; }}"
            ),
            "2:32 requestId is not of type int32",
        ),
        (
            REQ,
            format!(
                "{three}message T {{ string method = 1; int32 requestId = 2; repeated string params = 3; }}"
            ),
            "2:53 params is repeated",
        ),
        (
            REQ,
            format!(
                "{three}message T {{ string method = 1; int32 requestId = 2; string params = 3; bool x = 4; }}"
            ),
            "2:1 the root message has 4 fields",
        ),
        // Bounds.
        (
            TEL,
            " ".repeat(SCHEMA_BYTES_MAX + 1),
            "1:1 the schema has 65537 bytes; expected at most 65536",
        ),
        (
            TEL,
            format!("{three}message T {{ {many} }}"),
            "1:1 the schema has 1001 fields; expected at most 1000",
        ),
        (
            TEL,
            format!("{three}option x = {}", "{a:".repeat(100)),
            "2:204 too many brackets are open",
        ),
        (TEL, format!("{three}{}", "message M { ".repeat(50)), "2:"),
    ];
    let mut differ = Vec::new();
    for (kind, text, expected) in rows {
        let found = Schema::compile(*kind, text, None).expect_err(text);
        assert!((1..=DIAGNOSTICS_MAX).contains(&found.len()), "{text}");
        let first = found.first().unwrap();
        let shown =
            format!("{}:{} {}; expected {}", first.line, first.column, first.what, first.expected);
        if !shown.starts_with(expected) {
            differ.push(format!("{text}\n  {shown}\n  {expected}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert_eq!(FIELDS_MAX, 1_000);
}

#[test]
fn more_is_accepted_than_the_original_takes() {
    let rows = [
        "syntax = \"proto2\"; message T { optional int32 a = 1; extensions 100 to 200; }",
        "syntax = \"proto3\"; option java_package = \"x\"; message T { reserved 2; int32 a = 1; }",
        "syntax = \"proto3\"; message T { map<string, double> values = 1; }",
        "// A comment with many ((((( brackets\nsyntax = \"proto3\"; message T { int32 a = 1; }",
        "syntax = \"proto3\"; enum E { option allow_alias = true; A = 0; B = 0; } message T { E e = 1; }",
        "syntax = \"proto3\"; message T { T next = 1; int32 a = 2 [deprecated = true]; }",
    ];
    for text in rows {
        compile(TEL, text);
    }
}

#[test]
fn the_root_is_the_last_message_unless_one_is_named() {
    let text = "syntax = \"proto3\"; package p; message A { int32 a = 1; message I { int32 i = 1; } } \
                message B { int32 b = 1; }";
    let rows = [
        (None, Ok("p.B")),
        (Some(""), Ok("p.B")),
        (Some("A"), Ok("p.A")),
        (Some("p.A"), Ok("p.A")),
        (Some("A.I"), Ok("p.A.I")),
        (Some("C"), Err("there is no message \"C\" to be the root; expected one of A, B")),
    ];
    for (root, expected) in rows {
        let found = match Schema::compile(TEL, text, root) {
            Ok(schema) => Ok(schema.root_name().to_owned()),
            Err(found) => Err(found.first().unwrap().to_string()),
        };
        let expected = expected.map(str::to_owned);
        assert_eq!(found, expected.map_err(|it| format!("line 1, column 1: {it}")), "{root:?}");
    }
}

#[test]
fn calls_become_messages_of_the_request_schema() {
    let standard = compile(REQ, RPC_REQUEST);
    let typed = compile(
        REQ,
        "syntax = \"proto3\"; import \"google/protobuf/struct.proto\"; \
         message T { string method = 1; int32 requestId = 2; P params = 3; \
         message P { bool on = 1; double level = 2; string text = 3; repeated int64 list = 4; \
         map<string, string> map = 5; E e = 6; google.protobuf.Value any = 7; bytes raw = 8; } \
         enum E { OFF = 0; ON = 1; } }",
    );
    let rows = [
        // PB-022: a text, or what is taken for one.
        (&standard, "\"on\"", "0a 01 6d 10 07 1a 02 6f 6e"),
        (&standard, "true", "0a 01 6d 10 07 1a 04 74 72 75 65"),
        (&standard, "1.50", "0a 01 6d 10 07 1a 04 31 2e 35 30"),
        (&standard, "null", "0a 01 6d 10 07"),
        // PB-021
        (&standard, "{\"on\":1}", "downlink.format"),
        (
            &typed,
            "{\"on\":true,\"level\":1.50,\"unknown\":[1]}",
            "0a 01 6d 10 07 1a 0b 08 01 11 00 00 00 00 00 00 f8 3f",
        ),
        (
            &typed,
            "{\"list\":[1,\"2\"],\"map\":{\"a\":5}}",
            "0a 01 6d 10 07 1a 0c 22 02 01 02 2a 06 0a 01 61 12 01 35",
        ),
        (
            &typed,
            "{\"e\":\"ON\",\"any\":2.50,\"raw\":\"AQ==\"}",
            "0a 01 6d 10 07 1a 10 30 01 3a 09 11 00 00 00 00 00 00 04 40 42 01 01",
        ),
        (&typed, "\"on\"", "downlink.format"),
        (&typed, "{\"level\":\"high\"}", "downlink.format"),
        (&typed, "{\"on\":1}", "downlink.format"),
    ];
    for (schema, params, expected) in rows {
        let call = Call { id: 7, method: "m".to_owned(), params: params.to_owned() };
        let found = match rpc::write(schema, &call) {
            Ok(bytes) => bytes.iter().map(|it| format!("{it:02x}")).collect::<Vec<_>>().join(" "),
            Err(reject) => {
                assert_eq!(reject.reason, Reason::DownlinkFormat);
                assert!(!reject.detail.is_empty() && reject.detail.len() < 1_100);
                reject.reason.id().to_owned()
            }
        };
        assert_eq!(found, expected, "{params}");
    }
}

const TEL: SchemaKind = SchemaKind::Telemetry;
const REQ: SchemaKind = SchemaKind::RpcRequest;

const TELEMETRY: &str = include_str!("../../../../testdata/protobuf/telemetry.proto");
const ATTRIBUTES: &str = include_str!("../../../../testdata/protobuf/attributes.proto");
const RPC_REQUEST: &str = include_str!("../../../../testdata/protobuf/rpc_request.proto");
const RPC_RESPONSE: &str = include_str!("../../../../testdata/protobuf/rpc_response.proto");
