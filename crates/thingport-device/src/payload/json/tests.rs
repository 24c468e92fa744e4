//! JSON payloads become the readings the tables in `testdata/` say, and hostile ones do no harm.

use std::collections::BTreeMap;

use proptest::prelude::*;
use thingport_model::value::ValueRef;

use super::*;
use crate::payload::{LongFraction, Nulls};

#[test]
fn telemetry_follows_its_table() {
    let mut decoder = Decoder::new();
    follow(include_str!("../../../testdata/telemetry.tsv"), |payload, out| {
        decoder.telemetry(payload, NOW, &Typing::default(), out)
    });
}

#[test]
fn attributes_follow_their_table() {
    let mut decoder = Decoder::new();
    follow(include_str!("../../../testdata/attributes.tsv"), |payload, out| {
        decoder.attributes(payload, NOW, &Typing::default(), out)
    });
}

#[test]
fn numbers_follow_their_table() {
    let typings = [Typing::device(true, 0), Typing::rest(true, 0), Typing::device(false, 0)];
    for line in rows(include_str!("../../../testdata/numbers.tsv")) {
        let columns: Vec<_> = line.split('\t').collect();
        let mut expected = "";
        for (typing, column) in typings.iter().zip(&columns[1..]) {
            expected = if *column == "=" { expected } else { column };
            let payload = format!("{{\"k\":{}}}", columns[0]);
            let got = value_of(&payload, typing);
            assert_eq!(got, expected, "{} {typing:?}", columns[0]);
        }
    }
}

#[test]
fn typing_a_final_value_again_changes_nothing() {
    // The final column is a fixed point: what is shown to a person and sent back stays the same.
    for line in rows(include_str!("../../../testdata/numbers.tsv")) {
        let written = format!("{{\"k\":{}}}", line.split('\t').next().unwrap());
        let once = value_of(&written, &Typing::default());
        if let Some(text) = once.strip_prefix("DOUBLE ") {
            let again = value_of(&format!("{{\"k\":{text}}}"), &Typing::default());
            assert_eq!(again, once, "{written}");
        }
    }
}

#[test]
fn rest_writes_refuse_nulls() {
    let (mut decoder, mut out) = (Decoder::new(), Readings::default());
    for payload in [r#"{"a":null}"#, r#"[{"b":1},{"a":null}]"#, r#"{"ts":1,"values":{"a":null}}"#] {
        let typing = Typing::rest(true, 0);
        let reject = decoder.telemetry(payload.as_bytes(), NOW, &typing, &mut out).unwrap_err();
        assert_eq!(reject.reason, Reason::PayloadShape);
        assert!(reject.detail.contains("\"a\""), "{}", reject.detail);
        assert!(out.is_empty());
    }
    let typing = Typing { nulls: Nulls::Skip, ..Typing::rest(true, 0) };
    assert_eq!(typing.long_fraction, LongFraction::Double);
    assert_eq!(decoder.telemetry(br#"{"a":null}"#, NOW, &typing, &mut out), Ok(()));
}

#[test]
fn texts_longer_than_the_limit_refuse_the_packet() {
    let typing = Typing::device(true, 3);
    let rows = [
        (r#"{"a":"xyz"}"#, "STRING xyz"),
        (r#"{"a":"wxyz"}"#, "!payload.string_too_long"),
        (r#"{"a":"1234"}"#, "!payload.string_too_long"),
        (r#"{"abcdef":"xyz"}"#, "STRING xyz"),
        (r#"{"a":["wxyz"]}"#, r#"JSON ["wxyz"]"#),
        (r#"{"a":12345}"#, "LONG 12345"),
        // Units of UTF-16, not bytes: 3, 2 and 4.
        ("{\"a\":\"\u{e9}\u{e9}\u{e9}\"}", "STRING \u{e9}\u{e9}\u{e9}"),
        ("{\"a\":\"\u{1f600}\"}", "STRING \u{1f600}"),
        ("{\"a\":\"\u{1f600}\u{1f600}\"}", "!payload.string_too_long"),
        ("{a:wxyz}", "!payload.string_too_long"),
    ];
    for (payload, expected) in rows {
        assert_eq!(value_of(payload, &typing), expected, "{payload}");
    }
}

#[test]
fn keys_have_one_to_255_characters() {
    for (key, is_good) in
        [("k".repeat(255), true), ("k".repeat(256), false), ("\u{e9}".repeat(255), true)]
    {
        let payload = format!("{{\"{key}\":1}}");
        let expected = if is_good { "LONG 1" } else { "!payload.key" };
        assert_eq!(value_of(&payload, &Typing::default()), expected);
    }
}

#[test]
fn a_message_has_at_most_10000_names() {
    let typing = Typing::default();
    let object = |count: usize| {
        let members: Vec<_> = (0..count).map(|i| format!("{i}:1")).collect();
        format!("{{{}}}", members.join(","))
    };
    let mut out = Readings::default();
    let mut decoder = Decoder::new();
    assert_eq!(decoder.telemetry(object(10_000).as_bytes(), NOW, &typing, &mut out), Ok(()));
    assert_eq!(out.len(), 10_000);
    assert_eq!(value_of(&object(10_001), &typing), "!payload.too_many_keys");
    let nested = format!("{{\"a\":{}}}", object(10_000));
    assert_eq!(value_of(&nested, &typing), "!payload.too_many_keys");
    let late_time = format!("{{\"values\":{},\"ts\":1}}", object(9_998));
    assert_eq!(decoder.telemetry(late_time.as_bytes(), NOW, &typing, &mut out), Ok(()));
    assert_eq!(out.len(), 9_998);
}

#[test]
fn numbers_written_out_do_not_blow_a_payload_up() {
    let numbers = |count: usize| {
        let members: Vec<_> = (0..count).map(|i| format!("{i}:1e399")).collect();
        format!("{{{}}}", members.join(","))
    };
    // Each becomes 400 digits; 64 KiB hold 163 of them.
    let mut decoder = Decoder::new();
    for _ in 0..2 {
        let (typing, mut out) = (Typing::default(), Readings::default());
        assert_eq!(decoder.telemetry(numbers(163).as_bytes(), NOW, &typing, &mut out), Ok(()));
        assert_eq!(value_of(&numbers(164), &typing), "!payload.number");
        let records = format!("[{},{}]", numbers(100), numbers(100));
        assert_eq!(value_of(&records, &typing), "!payload.number");
    }
}

#[test]
fn many_equal_keys_collapse_to_the_last() {
    let members: Vec<_> = (0..9_000).map(|i| format!("k{}:{i}", i % 7)).collect();
    let payload = format!("{{{}}}", members.join(","));
    let mut out = Readings::default();
    Decoder::new().telemetry(payload.as_bytes(), NOW, &Typing::default(), &mut out).unwrap();
    let got: Vec<_> = out.iter().map(shown).collect();
    let expected: Vec<_> =
        (0..7).map(|k| format!("k{k} @now LONG {}", 8_999 - (8_999 - k) % 7)).collect();
    assert_eq!(got, expected);
}

#[test]
fn nesting_is_accepted_to_255_levels_and_costs_no_stack() {
    let rows = [
        // The object around counts as one.
        (format!("{{\"a\":{}{}}}", "[".repeat(254), "]".repeat(254)), None),
        (format!("{{\"a\":{}{}}}", "[".repeat(255), "]".repeat(255)), Some("!payload.too_deep")),
        (format!("{{\"a\":{}", "[".repeat(100_000)), Some("!payload.too_deep")),
        (format!("{{\"a\":{}", "{\"a\":".repeat(100_000)), Some("!payload.too_deep")),
        (format!("{{\"ts\":1,\"values\":{}", "{\"a\":".repeat(100_000)), Some("!payload.too_deep")),
        (format!("{{\"ts\":1,\"values\":{{\"a\":{}", "[".repeat(254)), Some("!payload.too_deep")),
        ("[".repeat(100_000), Some("!payload.shape")),
    ];
    for (payload, expected) in rows {
        let got = value_of(&payload, &Typing::default());
        match expected {
            Some(expected) => assert_eq!(got, expected),
            None => assert!(got.starts_with("JSON [[["), "{got}"),
        }
    }
}

#[test]
fn a_decoder_keeps_nothing_of_the_payload_before() {
    let payloads = [
        r#"{"a":"\u0041","b":{"c":[1,{"d":1,"d":2}]},"e":1e-17}"#,
        r#"{"a":"broken"#,
        r#"{"ts":5,"values":{"a":"\n"}}"#,
        r#"{"a":{"b":{"c":"#,
        "[{a:1},{b:2}]",
    ];
    let mut shared = Decoder::new();
    for payload in payloads.iter().cycle().take(20) {
        let (mut one, mut other) = (Readings::default(), Readings::default());
        let typing = Typing::default();
        let with_shared = shared.telemetry(payload.as_bytes(), NOW, &typing, &mut one);
        let with_fresh = Decoder::new().telemetry(payload.as_bytes(), NOW, &typing, &mut other);
        assert_eq!(with_shared, with_fresh);
        assert!(one.iter().eq(other.iter()));
    }
}

#[test]
fn refusals_say_where() {
    let reject = |payload: &str| {
        let mut out = Readings::default();
        let typing = Typing::default();
        Decoder::new().telemetry(payload.as_bytes(), NOW, &typing, &mut out).unwrap_err().detail
    };
    assert_eq!(reject(r#"{"a":}"#), "a value is missing at byte 5");
    assert_eq!(
        reject(r#"{"temp":1e500}"#),
        "a number is too long or its exponent too large at byte 8"
    );
    assert_eq!(reject(r#"{"ts":"now","values":{"a":1}}"#), "\"now\"");
    assert_eq!(reject(""), "the payload is empty");
}

/// Strict JSON objects, with texts that may look like numbers.
fn strict_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let text = prop_oneof![any::<String>(), "-?[0-9]{1,25}(\\.[0-9]{1,20})?", "[a-z]{0,4}"];
    let number = prop_oneof![
        any::<i64>().prop_map(|it| json!(it)),
        any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(|it| json!(it)),
        (-1_000_000_000_i64..1_000_000_000, 0..8_u32)
            .prop_map(|(mantissa, places)| json!(mantissa as f64 / f64::from(10_u32.pow(places)))),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number,
        text.prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec(("[a-c]{1,2}|\\PC{1,5}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What a naive reader with a tree says of a plain record, numbers left out.
fn naive(record: &serde_json::Map<String, serde_json::Value>) -> BTreeMap<String, String> {
    use serde_json::Value;
    let typed = |value: &Value| match value {
        Value::Null => None,
        Value::Bool(it) => Some(format!("BOOLEAN {it}")),
        Value::Number(_) => Some(String::new()),
        Value::String(text) if is_numeric(text) => Some(String::new()),
        Value::String(text) => Some(format!("STRING {text}")),
        Value::Array(_) | Value::Object(_) => Some(format!("JSON {value}")),
    };
    record.iter().filter_map(|(key, value)| Some((key.clone(), typed(value)?))).collect()
}

fn is_numeric(text: &str) -> bool {
    !text.ends_with('.') && !text.contains(['e', 'E', '+', 'n', 'N']) && text.parse::<f64>().is_ok()
}

proptest! {
    #[test]
    fn strict_json_is_read_like_a_tree_reader_reads_it(
        members in prop::collection::vec(("[a-e]{1,2}|\\PC{1,5}", strict_json()), 0..24),
        is_pretty: bool,
    ) {
        let record: serde_json::Map<_, _> = members.into_iter().collect();
        let payload = if is_pretty {
            serde_json::to_string_pretty(&record).unwrap()
        } else {
            serde_json::to_string(&record).unwrap()
        };
        let mut out = Readings::default();
        let mut decoder = Decoder::new();
        decoder.attributes(payload.as_bytes(), NOW, &Typing::default(), &mut out).unwrap();
        let expected = naive(&record);
        let order: Vec<_> = out.iter().map(|reading| reading.key.to_owned()).collect();
        let wanted: Vec<_> =
            record.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.clone()).collect();
        prop_assert_eq!(order, wanted);
        for reading in out.iter() {
            let expected = &expected[reading.key];
            match reading.value {
                ValueRef::Json(text) => {
                    let reread: serde_json::Value = serde_json::from_str(text).unwrap();
                    prop_assert_eq!(&reread, &record[reading.key]);
                }
                _ if expected.is_empty() => {}
                value => prop_assert_eq!(&typed(value), expected),
            }
        }
        let mut records = Readings::default();
        let array = format!("[{payload},{payload}]");
        let has_form = record.contains_key("ts") && record.contains_key("values");
        prop_assume!(!has_form);
        decoder.telemetry(array.as_bytes(), NOW, &Typing::default(), &mut records).unwrap();
        prop_assert!(records.iter().eq(out.iter().chain(out.iter())));
    }

    #[test]
    fn doubles_keep_their_value(value in any::<f64>()) {
        prop_assume!(value.is_finite());
        let payload = format!("{{\"k\":{value:?}}}");
        let got = value_of(&payload, &Typing::rest(true, 0));
        let (kind, text) = got.split_once(' ').unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap(), value, "{}", kind);
    }

    #[test]
    fn decimals_are_nearest_doubles(text in "-?[1-9][0-9]{0,9}\\.[0-9]{1,16}") {
        let got = value_of(&format!("{{\"k\":{text}}}"), &Typing::rest(true, 0));
        let expected = text.parse::<f64>().unwrap();
        prop_assert_eq!(got, format!("DOUBLE {}", ValueRef::Double(expected)));
    }

    #[test]
    fn hostile_bytes_do_no_harm(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        harmless(&payload);
    }

    #[test]
    fn hostile_json_does_no_harm(
        payload in "([\\[\\]{}:,;='\"#/*\\\\eE+.-]|[0-9]|ts|values|null|true|\\\\u[dD]8|\u{e9}| |\n){0,60}"
    ) {
        harmless(payload.as_bytes());
    }

    #[test]
    fn a_cut_or_bent_payload_does_no_harm(cut in 0_usize..90, at in 0_usize..90, byte: u8) {
        let whole = br#"{"ts":1700000000000,"values":{"a":"x\u00e9\n","b":[1,{"c":2.5e3,"c":null}],d:'e'}}"#;
        let mut payload = whole[..cut.min(whole.len())].to_vec();
        if let Some(place) = payload.get_mut(at) {
            *place = byte;
        }
        harmless(&payload);
    }
}

/// Whatever comes in, what comes out could be stored, or nothing comes out.
fn harmless(payload: &[u8]) {
    crate::fuzzing::json_telemetry(payload);
    crate::fuzzing::json_attributes(payload);
}

/// Compares every row of a table with what `decode` makes of its payload.
fn follow(table: &str, mut decode: impl FnMut(&[u8], &mut Readings) -> Result<(), Reject>) {
    let mut out = Readings::default();
    for line in rows(table) {
        let mut columns = line.split('\t');
        let (rule, payload) = (columns.next().unwrap(), bytes(columns.next().unwrap()));
        let expected: Vec<_> = columns.map(text).collect();
        let got: Vec<_> = match decode(&payload, &mut out) {
            Ok(()) if out.is_empty() => vec!["-".to_owned()],
            Ok(()) => out.iter().map(shown).collect(),
            Err(reject) => {
                assert!(out.is_empty(), "{rule}: something of a refused payload stayed");
                vec![format!("!{}", reject.reason.id())]
            }
        };
        assert_eq!(got, expected, "{rule}: {}", String::from_utf8_lossy(&payload));
    }
}

fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn text(column: &str) -> String {
    String::from_utf8(bytes(column)).unwrap()
}

/// A column with `<NN>` replaced by the byte it stands for.
fn bytes(column: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = column.as_bytes();
    while let Some(first) = rest.first() {
        let hex = rest.get(..4).filter(|it| it[0] == b'<' && it[3] == b'>');
        let byte = hex.and_then(|it| u8::from_str_radix(str::from_utf8(&it[1..3]).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = &rest[if byte.is_some() { 4 } else { 1 }..];
    }
    bytes
}

/// The single value of a telemetry payload, or why there is none.
fn value_of(payload: &str, typing: &Typing) -> String {
    let mut out = Readings::default();
    match Decoder::new().telemetry(payload.as_bytes(), NOW, typing, &mut out) {
        Ok(()) => out.iter().map(|reading| typed(reading.value)).collect(),
        Err(reject) => format!("!{}", reject.reason.id()),
    }
}

fn shown(reading: thingport_model::reading::ReadingRef<'_>) -> String {
    let at = if reading.at == NOW { "now".to_owned() } else { reading.at.ms().to_string() };
    format!("{} @{at} {}", reading.key, typed(reading.value))
}

fn typed(value: ValueRef<'_>) -> String {
    let kind = match value {
        ValueRef::Bool(_) => "BOOLEAN",
        ValueRef::Long(_) => "LONG",
        ValueRef::Double(_) => "DOUBLE",
        ValueRef::String(_) => "STRING",
        ValueRef::Json(_) => "JSON",
    };
    format!("{kind} {value}")
}

const NOW: Timestamp = Timestamp(1_000_000_007);
