//! The walk says what another reader says: random schemas, random messages, compared with
//! `DynamicMessage` and the JSON it prints.

use core::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost_reflect::{DynamicMessage, SerializeOptions};

use super::*;

#[test]
fn the_walk_agrees_with_another_reader() {
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let accepted = Cell::new(0);
    let whole = (prop::collection::vec(field(), 1..7), said(), prop::bool::weighted(0.1));
    runner
        .run(&whole, |(fields, said, is_cut)| {
            let mut bytes = encode(&said, &fields, &fields);
            if is_cut {
                bytes.pop();
            }
            accepted.set(accepted.get() + u32::from(agrees(&declared(&fields), &bytes)));
            Ok(())
        })
        .unwrap();
    assert!(accepted.get() > 300, "{} of 500 were messages", accepted.get());
}

/// A message whose fields come in order, each once, is read straight through; one field that nobody
/// knows behind it, and it is sorted. It makes no difference.
#[test]
fn reading_straight_through_and_sorting_agree() {
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let accepted = Cell::new(0);
    let whole = (prop::collection::vec(single(), 1..7), said(), prop::bool::weighted(0.1));
    runner
        .run(&whole, |(fields, mut said, is_cut)| {
            said.retain(|it| it.at < fields.len());
            said.sort_by_key(|it| it.at);
            said.dedup_by_key(|it| it.at);
            let mut bytes = encode(&said, &fields, &fields);
            if is_cut {
                bytes.pop();
            }
            let text = schema_of(&declared(&fields));
            let schema = Schema::compile(SchemaKind::Attributes, &text, None).unwrap();
            let straight = shown(&schema, &bytes, &Typing::default());
            bytes.extend([0xA0, 0x06, 0x00]);
            let sorted = shown(&schema, &bytes, &Typing::default());
            if straight.starts_with("payload.") {
                // Behind a field that was cut off comes another complaint.
                assert!(is_cut || straight == sorted, "{text} {bytes:02x?} {straight} {sorted}");
            } else {
                assert_eq!(straight, sorted, "{text} {bytes:02x?}");
                accepted.set(accepted.get() + 1);
            }
            Ok(())
        })
        .unwrap();
    assert!(accepted.get() > 300, "{} of 500 were messages", accepted.get());
}

/// Whether a payload is a message; panics when the readers do not agree.
fn agrees(fields: &str, payload: &[u8]) -> bool {
    let text = schema_of(fields);
    let schema = Schema::compile(SchemaKind::RpcResponse, &text, None).unwrap();
    let mut walk = Walk::default();
    let ours = walk.text(&schema, payload);
    let theirs = DynamicMessage::decode(schema.root().clone(), payload);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            // Only in the members of maps has the other reader an order of its own.
            assert_eq!(sorted(ours), sorted(&printed(&theirs)), "{text} {payload:02x?}");
            true
        }
        (Err(_), Err(_)) => false,
        // Ours reads over known fields in another wire type, as the libraries of devices do, and goes
        // 16 messages deep, not 100.
        (Ok(_), Err(_)) => false,
        (Err(reject), Ok(_)) => {
            let reason = reject.reason.id();
            assert_eq!(reason, "payload.too_deep", "{reject:?} {text} {payload:02x?}");
            false
        }
    }
}

fn schema_of(fields: &str) -> String {
    format!(
        "syntax = \"proto3\"; enum E {{ ZERO = 0; ONE = 1; }} \
         message M {{ optional T t = 1; repeated M m = 2; sint32 i = 3; string s = 4; }} \
         message F {{ bool b = 1; optional double d = 2; string s = 3; uint64 u = 4; }} \
         message T {{ {fields} }}"
    )
}

fn printed(message: &DynamicMessage) -> String {
    let options =
        SerializeOptions::new().skip_default_fields(false).stringify_64_bit_integers(true);
    let mut out = Vec::new();
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut out), &options).unwrap();
    String::from_utf8(out).unwrap()
}

/// JSON with members in order of name and numbers by value.
fn sorted(text: &str) -> String {
    fn sort(value: &serde_json::Value) -> String {
        use serde_json::Value::{Array, Null, Number, Object};
        match value {
            Object(members) => {
                let mut members: Vec<String> = members
                    .iter()
                    // Ours leaves out what is not set, the other one prints it as null.
                    .filter(|(_, value)| **value != Null)
                    .map(|(name, value)| format!("{name:?}:{}", sort(value)))
                    .collect();
                members.sort();
                format!("{{{}}}", members.join(","))
            }
            Array(elements) => {
                format!("[{}]", elements.iter().map(sort).collect::<Vec<_>>().join(","))
            }
            Number(number) => format!("{:?}", number.as_f64().map(|it| it as f32)),
            other => other.to_string(),
        }
    }
    sort(&serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

/// Label and type of a field; its number is its place.
type Shape = (&'static str, &'static str);

/// One field of a message, in values of every kind.
#[derive(Clone, Debug)]
struct Said {
    at: usize,
    bits: u64,
    text: String,
    is_packed: bool,
    inner: Vec<Self>,
}

fn field() -> impl Strategy<Value = Shape> {
    let label = prop::sample::select(vec!["", "optional", "repeated", "oneof"]);
    let kind = prop::sample::select(vec![
        "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32",
        "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes", "E", "M", "T",
    ]);
    let map = prop::sample::select(vec![
        "map<string, M>",
        "map<int64, E>",
        "map<bool, double>",
        "map<uint32, string>",
    ]);
    prop_oneof![8 => (label, kind), 1 => (Just(""), map)]
}

/// A field that may be there once.
fn single() -> impl Strategy<Value = Shape> {
    let label = prop::sample::select(vec!["", "optional"]);
    let kind = prop::sample::select(vec![
        "double", "float", "int32", "uint64", "sint32", "fixed32", "sfixed64", "bool", "string",
        "bytes", "E", "M", "T", "F",
    ]);
    (label, kind)
}

/// The fields as a schema has them; those of a oneof share one.
fn declared(fields: &[Shape]) -> String {
    let numbered = |is_in: bool| {
        let fields = fields.iter().enumerate().filter(move |(_, it)| (it.0 == "oneof") == is_in);
        let lines = fields.map(|(at, (label, kind))| {
            let label = if is_in { "" } else { label };
            format!("{label} {kind} f_{at} = {};", at + 1)
        });
        lines.collect::<Vec<_>>().join(" ")
    };
    let shared = numbered(true);
    let oneof = if shared.is_empty() { shared } else { format!("oneof o {{ {shared} }}") };
    format!("{} {oneof}", numbered(false))
}

fn said() -> impl Strategy<Value = Vec<Said>> {
    let bits = prop_oneof![Just(0), 1..300_u64, any::<u64>(), any::<f64>().prop_map(f64::to_bits)];
    let leaf = (0..8_usize, bits, "[a-z0-9\u{e4}]{0,4}", any::<bool>()).prop_map(
        |(at, bits, text, is_packed)| Said { at, bits, text, is_packed, inner: Vec::new() },
    );
    let tree = leaf.prop_recursive(4, 24, 5, |inner| {
        (0..8_usize, prop::collection::vec(inner, 0..5)).prop_map(|(at, inner)| {
            let (bits, text, is_packed) = (at as u64, String::new(), false);
            Said { at, bits, text, is_packed, inner }
        })
    });
    prop::collection::vec(tree, 0..8)
}

/// The bytes of a message; one field in eight or so is unknown to it.
fn encode(said: &[Said], shapes: &[Shape], root: &[Shape]) -> Vec<u8> {
    let mut out = Vec::new();
    for it in said {
        let at = it.at % (shapes.len() + 1);
        let (label, kind) = shapes.get(at).copied().unwrap_or(("", "string"));
        encode_field(&mut out, it, (at + 1) as u64, label, kind, root);
    }
    out
}

fn encode_field(
    out: &mut Vec<u8>,
    it: &Said,
    number: u64,
    label: &str,
    kind: &str,
    root: &[Shape],
) {
    const M: &[Shape] = &[("", "T"), ("repeated", "M"), ("", "sint32"), ("", "string")];
    const F: &[Shape] = &[("", "bool"), ("optional", "double"), ("", "string"), ("", "uint64")];
    let entry: Option<[Shape; 2]> = match kind {
        "map<string, M>" => Some([("", "string"), ("", "M")]),
        "map<int64, E>" => Some([("", "int64"), ("", "E")]),
        "map<bool, double>" => Some([("", "bool"), ("", "double")]),
        "map<uint32, string>" => Some([("", "uint32"), ("", "string")]),
        _ => None,
    };
    let bytes = match kind {
        _ if entry.is_some() => Some(encode(&it.inner, &entry.unwrap(), root)),
        "T" => Some(encode(&it.inner, root, root)),
        "M" => Some(encode(&it.inner, M, root)),
        "F" => Some(encode(&it.inner, F, root)),
        "string" | "bytes" => Some(it.text.clone().into_bytes()),
        _ if label == "repeated" && it.is_packed => {
            let mut packed = scalar(it.bits, kind).1;
            packed.extend(scalar(it.bits >> 1, kind).1);
            Some(packed)
        }
        _ => None,
    };
    if let Some(bytes) = bytes {
        prost::encoding::encode_varint(number << 3 | 2, out);
        prost::encoding::encode_varint(bytes.len() as u64, out);
        out.extend(bytes);
    } else {
        let (wire, bytes) = scalar(it.bits, kind);
        prost::encoding::encode_varint(number << 3 | wire, out);
        out.extend(bytes);
    }
}

fn scalar(bits: u64, kind: &str) -> (u64, Vec<u8>) {
    match kind {
        "double" | "fixed64" | "sfixed64" => (1, bits.to_le_bytes().to_vec()),
        "float" | "fixed32" | "sfixed32" => (5, ((bits >> 32) as u32).to_le_bytes().to_vec()),
        _ => {
            let mut out = Vec::new();
            prost::encoding::encode_varint(bits, &mut out);
            (0, out)
        }
    }
}
