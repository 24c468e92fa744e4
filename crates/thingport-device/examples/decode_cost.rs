//! Prints what it costs to decode typical payloads: `cargo run --release --example decode_cost`.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::hint::black_box;
use std::time::Instant;

use thingport_device::payload::Typing;
use thingport_device::payload::json::Decoder;
use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;

fn main() {
    let (mut decoder, mut out, typing) = (Decoder::new(), Readings::default(), Typing::default());
    for (name, payload) in PAYLOADS {
        let mut best = f64::MAX;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            for ms in 0..MESSAGES {
                let payload = black_box(payload.as_bytes());
                let decoded = decoder.telemetry(payload, Timestamp(ms), &typing, &mut out);
                assert!(decoded.is_ok());
                black_box(&out);
            }
            #[allow(clippy::cast_precision_loss)]
            let ns = began.elapsed().as_nanos() as f64 / MESSAGES as f64;
            best = best.min(ns);
        }
        println!("{best:8.1} ns  {:4} bytes  {:3} readings  {name}", payload.len(), out.len());
    }
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
