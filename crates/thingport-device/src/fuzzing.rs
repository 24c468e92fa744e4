//! Doors for the fuzzer: arbitrary bytes in, promises checked inside. A broken promise panics, which
//! only the fuzzer and the replay of its corpus ever see.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use thingport_model::child::{ChildBatch, ChildSaid, ChildUplink};
use thingport_model::profile::{MqttTransport, PayloadType, ProtobufPayload, ProtobufRoots};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::uplink::Uplink;
use thingport_model::value::ValueRef;

use crate::dialect::Dialect;
use crate::link::Link;
use crate::payload::json::Decoder;
use crate::payload::protobuf::dissect::dissect;
use crate::payload::protobuf::schema::DIAGNOSTICS_MAX;
use crate::payload::protobuf::{Diagnostic, Schema, SchemaKind, Walk};
use crate::payload::{LongFraction, Typing, cbor, messagepack, write};
use crate::provision::{self, ProvisionAnswer};
use crate::reader::Reader;
use crate::reject::{Class, Reject};
use crate::sparkplug::{Certificate, EdgeNode, Moment, Settings, Step, Will};
use crate::topic::filter::Filter;

/// Decodes `payload` as telemetry under every typing.
pub fn json_telemetry(payload: &[u8]) {
    for typing in typings() {
        let mut out = Readings::default();
        let decoded = Decoder::new().telemetry(payload, NOW, &typing, &mut out);
        check_decoded(decoded, &out, &typing);
    }
}

/// Decodes `payload` as attributes under every typing.
pub fn json_attributes(payload: &[u8]) {
    for typing in typings() {
        let mut out = Readings::default();
        let decoded = Decoder::new().attributes(payload, NOW, &typing, &mut out);
        check_decoded(decoded, &out, &typing);
        assert!(out.iter().all(|reading| reading.at == NOW), "an attribute is stamped on receipt");
    }
}

/// Reads `payload` as a provisioning request of either form.
pub fn provision_request(payload: &[u8]) {
    if let Err(reject) = provision::read(payload) {
        check_detail(&reject);
        let answer = ProvisionAnswer::of(reject.reason);
        assert_eq!(answer, None, "what was not understood has no answer");
    }
}

/// Reads `payload` as a message of a schema that has every kind of field, under every typing.
pub fn protobuf_message(payload: &[u8]) {
    static SCHEMA: LazyLock<Option<Schema>> =
        LazyLock::new(|| Schema::compile(SchemaKind::Telemetry, EVERYTHING, None).ok());
    let Some(schema) = &*SCHEMA else { return };
    let mut walk = Walk::default();
    for typing in typings() {
        let mut out = Readings::default();
        let decoded = walk.telemetry(schema, payload, NOW, &typing, &mut out);
        check_decoded(decoded, &out, &typing);
        let decoded = walk.attributes(schema, payload, NOW, &typing, &mut out);
        check_decoded(decoded, &out, &typing);
    }
    match walk.text(schema, payload) {
        Ok(text) => {
            assert!(serde_json::from_str::<Value>(text).is_ok(), "a message becomes JSON");
            assert!(text.len() <= 2 * (64 * 1024 + 16 * payload.len()), "the text is bounded");
        }
        Err(reject) => check_detail(&reject),
    }
    let end = dissect(schema, payload).iter().map(|it| it.offset + it.length).max();
    assert!(end.unwrap_or(0) <= payload.len(), "fields lie in the payload");
}

/// Compiles `text` as a schema of every kind, and reads a few bytes with it.
pub fn schema(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    for kind in SchemaKind::ALL {
        match Schema::compile(kind, text, None) {
            Ok(schema) => {
                let typing = Typing::default();
                let mut out = Readings::default();
                for payload in [&b""[..], b"\x08\x01", b"\x0a\x02\x08\x01", b"\x0a\x00\x0a\x00"] {
                    let decoded =
                        Walk::default().telemetry(&schema, payload, NOW, &typing, &mut out);
                    if let Err(reject) = decoded {
                        check_detail(&reject);
                    }
                }
            }
            Err(found) => {
                assert!((1..=DIAGNOSTICS_MAX).contains(&found.len()), "something is said");
                let lines = text.split('\n').count();
                let is_placed = |it: &Diagnostic| (1..=lines).contains(&(it.line as usize));
                assert!(found.iter().all(is_placed), "what is wrong is in the text: {found:?}");
            }
        }
    }
}

/// Reads `payload` as CBOR and as MessagePack; what was read can be written and read again.
pub fn compact(payload: &[u8]) {
    type Form = (fn(&[u8], &mut String) -> Result<(), Reject>, fn(&Value, &mut Vec<u8>));
    let forms: [Form; 2] =
        [(cbor::to_json, cbor::from_json), (messagepack::to_json, messagepack::from_json)];
    for (to_json, from_json) in forms {
        let mut text = String::new();
        if let Err(reject) = to_json(payload, &mut text) {
            check_detail(&reject);
            continue;
        }
        assert!(text.len() <= 8 * payload.len() + 64, "the text is bounded");
        let value = serde_json::from_str::<Value>(&text);
        assert!(value.is_ok(), "an item becomes JSON: {text}");
        let value = value.unwrap_or_default();
        let (mut bytes, mut again) = (Vec::new(), String::new());
        from_json(&value, &mut bytes);
        assert_eq!(to_json(&bytes, &mut again), Ok(()), "what was written can be read");
        let mut settled = Vec::new();
        if let Ok(value) = serde_json::from_str(&again) {
            from_json(&value, &mut settled);
        }
        assert_eq!(settled, bytes, "and says the same");
    }
}

/// Uses `payload` as what a device asks or answers, on each kind of topic.
pub fn question(payload: &[u8]) {
    let mut link = Link::open(Arc::new(Dialect::default()), false);
    let (mut reader, mut out) = (Reader::new(), Readings::default());
    let typing = Typing::default();
    for topic in [
        "v2/a/req/1",
        "v2/r/res/1",
        "v2/r/req/1",
        "v2/c",
        "v2/fw/request/1/chunk/0",
        "v2/a/req/j/1",
    ] {
        match link.uplink(topic, payload, NOW, &mut reader, &mut out, &typing) {
            Ok(Uplink::ClientCall(call)) => check_json_value(call.params),
            Ok(_) => {}
            Err(reject) => {
                assert_eq!(reject.class(), Class::Format);
                check_detail(&reject);
            }
        }
    }
}

/// Uses `payload` as what a gateway says of its devices, on each of its topics and in both forms.
pub fn gateway(payload: &[u8]) {
    static DIALECTS: LazyLock<[Arc<Dialect>; 2]> = LazyLock::new(|| {
        let protobuf = MqttTransport {
            payload: PayloadType::Protobuf(Box::new(ProtobufPayload {
                telemetry_schema: EVERYTHING.to_owned(),
                attributes_schema: EVERYTHING.to_owned(),
                rpc_request_schema: String::new(),
                rpc_response_schema: String::new(),
                json_compatibility: false,
                json_for_default_downlinks: false,
                roots: ProtobufRoots::default(),
            })),
            ..MqttTransport::default()
        };
        [MqttTransport::default(), protobuf].map(|mqtt| Arc::new(Dialect::of(&mqtt)))
    });
    let (mut reader, mut out) = (Reader::new(), Readings::default());
    let typing = Typing::default();
    for dialect in &*DIALECTS {
        let mut link = Link::open(Arc::clone(dialect), true);
        for topic in [
            "connect",
            "disconnect",
            "telemetry",
            "attributes",
            "attributes/request",
            "rpc",
            "claim",
        ] {
            let topic = format!("v1/gateway/{topic}");
            let said = link.uplink(&topic, payload, NOW, &mut reader, &mut out, &typing);
            assert!(matches!(said, Ok(Uplink::Children(_)) | Err(_)), "{topic} is about children");
            match said {
                Ok(Uplink::Children(batch)) => check_batch(batch, payload.len()),
                Ok(_) => {}
                Err(reject) => check_detail(&reject),
            }
        }
    }
}

/// Each part says something, and all of it is no more than a small multiple of the message.
fn check_batch(batch: &ChildBatch, size: usize) {
    assert!(!batch.said.is_empty(), "a message that says nothing of anybody is refused");
    assert!(batch.said.len() <= size, "each part takes bytes");
    for ChildSaid { name, said, .. } in &batch.said {
        // A byte that is no UTF-8 becomes three.
        assert!(name.len() <= 3 * size, "names come from the message");
        match said {
            Ok(ChildUplink::CallAnswer { body, .. }) => assert!(body.len() <= 6 * size + 4),
            Ok(ChildUplink::Telemetry(readings) | ChildUplink::Attributes(readings)) => {
                assert!(readings.iter().all(|it| !it.key.is_empty()), "keys are not empty");
            }
            Ok(_) => {}
            Err(unread) => check_detail(&Reject::new(unread.reason, unread.detail.as_str())),
        }
    }
}

/// Lets an edge node say `payload` in every way, after a birth and before one.
pub fn sparkplug(payload: &[u8]) {
    let will = Will { topic: "spBv1.0/G/NDEATH/E", payload, qos: 1, retain: false };
    let _ = Certificate::read(Some(will), false, NOW).map_err(|reject| check_detail(&reject));
    let will = Will { payload: b"\x12\x0b\x0a\x05bdSeq\x20\x04\x58\x03", ..will };
    let Ok(certificate) = Certificate::read(Some(will), false, NOW) else { return };
    let mut node = EdgeNode::open(&certificate, Arc::new(Settings::default()), NOW);
    for kind in
        ["NDATA/E", "DBIRTH/E/D", "NBIRTH/E", "DBIRTH/E/D", "NDATA/E", "DDATA/E/D", "DDEATH/E/D"]
    {
        let moment = Moment { now: NOW, now_ms: 1000 };
        node.handle_publish(&format!("spBv1.0/G/{kind}"), payload, moment, ());
        check_steps(&mut node, payload.len());
    }
    node.handle_end(Moment { now: NOW, now_ms: 2000 });
    check_steps(&mut node, payload.len());
}

/// What is kept can be.
fn check_steps(node: &mut EdgeNode<()>, size: usize) {
    let mut text = 0;
    while let Some(step) = node.poll_step() {
        match step {
            Step::Said(said) => {
                let all = said.telemetry.iter().chain(said.shared.iter()).chain(said.client.iter());
                for reading in all {
                    let chars = reading.key.chars().count();
                    assert!((1..=270).contains(&chars), "a key that could not be stored");
                    match reading.value {
                        ValueRef::Double(value) => assert!(value.is_finite(), "a double is finite"),
                        ValueRef::Json(json) => {
                            text += json.len();
                            assert!(serde_json::from_str::<Value>(json).is_ok(), "JSON: {json}");
                        }
                        ValueRef::Bool(_) | ValueRef::Long(_) | ValueRef::String(_) => {}
                    }
                }
            }
            Step::Done(()) => {}
            Step::Refused((), reject) | Step::Declined((), reject) | Step::Noted(reject) => {
                check_detail(&reject);
            }
            Step::Send(command) => assert!(command.topic.starts_with("spBv1.0/G/NCMD/E")),
        }
    }
    assert!(text <= 8 * (64 * 1024 + 16 * size), "the text is bounded");
}

/// Uses `bytes` as topic, as filter, and as topic and filter of a profile split at the first space.
pub fn topic(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (filter, topic) = text.split_once(' ').unwrap_or((text, text));
    let filter = Filter::new(filter);
    let _ = filter.matches(topic);
    for is_gateway in [false, true] {
        let mut link = Link::open(Arc::new(Dialect::default()), is_gateway);
        publish(&mut link, text);
        let was_granted = link.subscribe(text);
        if let Err(reject) = &was_granted {
            assert_eq!(reject.class(), Class::Filter);
            check_detail(reject);
        }
        assert_eq!(link.unsubscribe(text), was_granted.is_ok(), "granted once, taken back once");
        assert!(!link.unsubscribe(text), "a filter is taken back once");
    }
}

fn publish(link: &mut Link, topic: &str) {
    let (mut reader, mut out) = (Reader::new(), Readings::default());
    let typing = Typing::default();
    if let Err(reject) = link.uplink(topic, b"{}", NOW, &mut reader, &mut out, &typing) {
        assert_ne!(reject.class(), Class::Filter);
        check_detail(&reject);
    }
}

/// What was decoded can be stored; what was refused left nothing behind.
fn check_decoded(decoded: Result<(), Reject>, out: &Readings, typing: &Typing) {
    if let Err(reject) = decoded {
        assert_eq!(reject.class(), Class::Format);
        assert!(out.is_empty(), "something of a refused payload stayed");
        check_detail(&reject);
    }
    for reading in out.iter() {
        assert!((1..=255).contains(&reading.key.chars().count()), "a key that could not be stored");
        match reading.value {
            ValueRef::Double(value) => assert!(value.is_finite(), "a double is finite"),
            ValueRef::Json(text) => check_json(text, typing),
            ValueRef::Bool(_) | ValueRef::Long(_) | ValueRef::String(_) => {}
        }
    }
}

/// Kept JSON is JSON: it reads back as the same text.
fn check_json(text: &str, typing: &Typing) {
    let typing = Typing { long_fraction: LongFraction::Text, ..*typing };
    let payload = format!("{{\"k\":{text}}}");
    let mut again = Readings::default();
    let decoded = Decoder::new().attributes(payload.as_bytes(), NOW, &typing, &mut again);
    assert_eq!(decoded, Ok(()), "kept JSON can be read");
    let same = again.iter().next().is_some_and(|it| it.value == ValueRef::Json(text));
    assert!(same, "kept JSON reads back as the same text");
    let mut written = String::new();
    write::write_value(&mut written, ValueRef::Json(text));
    assert_eq!(written, text);
}

/// A value that goes on as JSON is JSON.
fn check_json_value(text: &str) {
    let payload = format!("[{{\"k\":{text}}}]");
    let mut again = Readings::default();
    let typing = Typing { type_cast: false, ..Typing::default() };
    let decoded = Decoder::new().telemetry(payload.as_bytes(), NOW, &typing, &mut again);
    // A number may be too long to be kept, and a document two levels deeper too deep.
    let is_fine = decoded.as_ref().map_or_else(
        |reject| matches!(reject.reason, Reason::PayloadNumber | Reason::PayloadTooDeep),
        |()| true,
    );
    assert!(is_fine, "{decoded:?}");
}

fn check_detail(reject: &Reject) {
    assert!(reject.detail.len() <= DETAIL_MAX, "a detail is short");
    assert!(!reject.detail.contains(char::is_control), "a detail is printable");
}

fn typings() -> [Typing; 3] {
    [Typing::device(true, 0), Typing::device(false, 8), Typing::rest(true, 0)]
}

/// Every kind of field, messages in themselves, and a type with a form of its own.
const EVERYTHING: &str = include_str!("../testdata/protobuf/everything.proto");

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// 48 characters may need ten bytes each when they are not printable.
const DETAIL_MAX: usize = 1_100;
