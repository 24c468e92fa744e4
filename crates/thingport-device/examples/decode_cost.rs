//! Prints what it costs to decode typical payloads: `cargo run --release --example decode_cost`.
//!
//! The Protobuf message of five fields is to cost at most 100 ns; see bench/README.md for the method.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::hint::black_box;
use std::time::Instant;

use thingport_device::payload::Typing;
use thingport_device::payload::json::Decoder;
use thingport_device::payload::protobuf::{Schema, SchemaKind, Walk};
use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;

fn main() {
    let (mut out, typing) = (Readings::default(), Typing::default());
    let mut decoder = Decoder::new();
    for (name, payload) in PAYLOADS {
        let ns = best_of(|now| {
            let payload = black_box(payload.as_bytes());
            assert!(decoder.telemetry(payload, now, &typing, &mut out).is_ok());
            black_box(&out);
        });
        println!("{ns:8.1} ns  {:4} bytes  {:3} readings  {name}", payload.len(), out.len());
    }
    let mut walk = Walk::default();
    for (name, schema, payload) in MESSAGES_OF_SCHEMAS {
        let Ok(schema) = Schema::compile(SchemaKind::Telemetry, schema, None) else { continue };
        let ns = best_of(|now| {
            let payload = black_box(*payload);
            assert!(walk.telemetry(&schema, payload, now, &typing, &mut out).is_ok());
            black_box(&out);
        });
        println!("{ns:8.1} ns  {:4} bytes  {:3} readings  {name}", payload.len(), out.len());
    }
}

/// Nanoseconds that one call takes in the best of many rounds.
fn best_of(mut decode: impl FnMut(Timestamp)) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for ms in 0..MESSAGES {
            decode(Timestamp(ms));
        }
        #[allow(clippy::cast_precision_loss)]
        let ns = began.elapsed().as_nanos() as f64 / MESSAGES as f64;
        best = best.min(ns);
    }
    best
}

// Short rounds, of which the best counts: it was not interrupted.
const ROUNDS: usize = 1_000;
const MESSAGES: i64 = 1_000;

const PAYLOADS: &[(&str, &str)] = &[
    ("one field", r#"{"temperature":25}"#),
    (
        "smart meter, three fields",
        r#"{"activeEnergyImportTotal":123456.789,"activePowerTotalImport":1534.25,"voltageOfPhaseNumberA":230.45}"#,
    ),
    (
        "timestamped, three fields",
        r#"{"ts":1700000000000,"values":{"energy":123456.789,"power":1534.25,"voltagePhaseA":230.45678}}"#,
    ),
    ("unquoted", "{temperature:25,humidity:60.5}"),
    ("nested", r#"{"a":{"b":[1,2.00,{"c":"text","d":null}],"e":true},"f":1}"#),
    ("long fraction", r#"{"x":0.12345678901234567,"y":21.123456789012}"#),
];

const DOCUMENTED: &str = include_str!("../testdata/protobuf/telemetry.proto");
const FLAT: &str = "syntax = \"proto3\"; message T { double temperature = 1; float humidity = 2; \
                    int32 battery = 3; bool open = 4; string state = 5; }";

const MESSAGES_OF_SCHEMAS: &[(&str, &str, &[u8])] = &[
    (
        "protobuf, five fields, three of them in a nested message",
        DOCUMENTED,
        b"\x09\x00\x00\x00\x00\x00\x80\x35\x40\x11\x00\x00\x00\x00\x00\x00\x4e\x40\
          \x1a\x18\x0a\x0brunning-now\x10\x01\x19\x00\x00\x00\x00\x00\x00\xf8\x3f",
    ),
    (
        "protobuf, five fields, flat",
        FLAT,
        b"\x09\x00\x00\x00\x00\x00\x80\x35\x40\x15\x00\x00\x70\x42\x18\x57\x20\x01\
          \x2a\x0brunning-now",
    ),
];
