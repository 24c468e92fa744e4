//! What gateways say about their devices and are told of them, in both forms (device API section 8).

use std::fmt::Write as _;

use thingport_model::attribute::Attribute;
use thingport_model::child::{ChildBatch, ChildUplink};
use thingport_model::downlink::{Downlink, FoundAttributes};
use thingport_model::port::ledger::Keys;
use thingport_model::profile::MqttTransport;
use thingport_model::rpc::{Call, CallToken};
use thingport_model::value::{Value, ValueRef};

use super::super::{Page, Publication};
use super::{columns, mqtt_profile, rows};
use crate::dialect::Dialect;
use crate::link::Link;
use crate::payload::Typing;
use crate::payload::json::way;
use crate::reader::Reader;

use super::*;

#[test]
fn every_word_of_a_gateway_is_understood() {
    for line in rows(include_str!("../../../testdata/gateway.tsv")) {
        let [rule, topic, payload, expected] = columns(line);
        let said = said_by(&mut json(), &format!("v1/gateway/{topic}"), payload.as_bytes());
        assert_eq!(said, expected, "{rule} {topic} {payload}");
    }
}

/// Each device's part has the bounds of a message of its own.
#[test]
fn a_message_may_speak_for_thousands() {
    let parts: Vec<_> = (0..5_000).map(|n| format!(r#""d{n}":[{{"a":1,"b":2,"c":3}}]"#)).collect();
    let payload = format!("{{{}}}", parts.join(","));
    let said = said_by(&mut json(), "v1/gateway/telemetry", payload.as_bytes());
    assert_eq!(said.matches("a=1@9 b=2@9 c=3@9").count(), 5_000);
    let keys: Vec<_> = (0..10_001).map(|n| format!(r#""k{n}":1"#)).collect();
    let payload = format!(r#"{{"A":[{{{}}}],"B":[{{"t":1}}]}}"#, keys.join(","));
    let said = said_by(&mut json(), "v1/gateway/telemetry", payload.as_bytes());
    assert_eq!(said, "!payload.too_many_keys");
    let payload = format!(r#"{{"A":[{{"x":{}1{}}}]}}"#, "[".repeat(300), "]".repeat(300));
    let said = said_by(&mut json(), "v1/gateway/telemetry", payload.as_bytes());
    assert_eq!(said, "!payload.too_deep");
}

/// GW-003, GW-015, GW-039, GW-040, GW-051, GW-058, PB-036: the same in Protobuf, with no second try as JSON.
#[test]
#[expect(clippy::too_many_lines, reason = "rows of bytes take their room")]
fn every_word_of_a_gateway_is_understood_in_protobuf() {
    let key_value = |key: &str, kind: u8, value: &[u8]| {
        let mut it = [text(1, key), vec![0x10, kind]].concat();
        it.extend(value);
        it
    };
    let double = [vec![0x29], 1.5_f64.to_le_bytes().to_vec()].concat();
    let values = [
        key_value("b", 0, &[0x18, 1]),
        key_value("n", 1, &[0x20, 7]),
        key_value("d", 2, &double),
        key_value("s", 3, &text(6, "x")),
        key_value("j", 4, &text(7, "{\"a\": [1]}")),
    ];
    let at_5 = list(5, &values);
    let a = part("A", 3, &field(1, &at_5));
    let b = part("B", 3, &field(1, &list(0, &values[1..2])));
    let bad_json = part("C", 3, &field(1, &list(5, &[key_value("j", 4, &text(7, "{"))])));
    let shared = [field(1, &values[1]), vec![0x10, 1]].concat();
    let both = [
        field(1, &part_body("A", 2, &field(1, &values[3]))),
        field(1, &part_body("B", 2, &shared)),
    ];
    let rows: [(&str, &str, Vec<u8>, &str); 17] = [
        ("GW-010", "connect", [text(1, "A"), text(2, "T")].concat(), "A (T) connected"),
        ("GW-011", "connect", text(1, "A"), "A connected"),
        ("GW-015", "connect", text(2, "T"), "!payload.not_protobuf"),
        ("GW-015", "connect", vec![0xFF], "!payload.not_protobuf"),
        ("PB-041", "connect", br#"{"device":"A"}"#.to_vec(), "!payload.not_protobuf"),
        ("GW-013", "disconnect", text(1, "A"), "A disconnected"),
        (
            "GW-030",
            "telemetry",
            [a.clone(), b].concat(),
            "A b=true@5 n=7@5 d=1.5@5 s=x@5 j={\"a\":[1]}@5 | B n=7@9",
        ),
        (
            "PB-036",
            "telemetry",
            [bad_json, a].concat(),
            "C !payload.shape | A b=true@5 n=7@5 d=1.5@5 s=x@5 j={\"a\":[1]}@5",
        ),
        ("PB-036", "telemetry", part("A", 3, &[]), "A !payload.shape"),
        (
            "PB-036",
            "telemetry",
            part("A", 3, &field(1, &list(5, &[key_value("", 1, &[0x20, 7])]))),
            "A !payload.key",
        ),
        ("GW-040", "telemetry", vec![], "!payload.not_protobuf"),
        ("GW-039", "attributes", both.concat(), "A set s=x | B set n=7"),
        ("GW-032", "claim", part("A", 2, &[text(1, "s"), vec![0x10, 5]].concat()), "A claim [s] 5"),
        (
            "GW-051",
            "attributes/request",
            [vec![0x08, 3], text(2, "A"), vec![0x18, 1], text(4, "k")].concat(),
            "A asks one 3 client [k]",
        ),
        (
            "GW-048",
            "attributes/request",
            [vec![0x08, 3], text(2, "A")].concat(),
            "A asks several 3 client all shared all",
        ),
        (
            "GW-058",
            "rpc",
            [text(1, "A"), vec![0x10, 3], text(3, "{\"ok\":1}")].concat(),
            "A answers 3 {\"ok\":1}",
        ),
        ("GW-015", "rpc", vec![0x10, 3], "!payload.not_protobuf"),
    ];
    for (rule, topic, payload, expected) in rows {
        let said = said_by(&mut protobuf(), &format!("v1/gateway/{topic}"), &payload);
        assert_eq!(said, expected, "{rule} {topic}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "rows of bytes take their room")]
fn every_word_to_a_device_carries_its_name() {
    let attribute = |key: &str, value: Value| Attribute {
        key: key.to_owned(),
        value,
        updated_at: Timestamp(3),
    };
    let one = || vec![attribute("k", Value::Long(5))];
    let two =
        || vec![attribute("k1", Value::Long(1)), attribute("k2", Value::Json("[2]".to_owned()))];
    let answer = |way, id: i32, client, shared| Downlink::AttributesAnswer {
        reply_to: ReplyTo { way, id: id.cast_unsigned() },
        found: Box::new(FoundAttributes { client, shared }),
    };
    let call = Call { id: 7, method: "setLed".to_owned(), params: "true".to_owned() };
    let token = CallToken(core::num::NonZeroU64::MIN);
    let answers = "v1/gateway/attributes/response";
    let rows = [
        (
            "GW-046",
            Downlink::AttributesSet(two().into()),
            "v1/gateway/attributes",
            r#"{"device":"A\"","data":{"k1":1,"k2":[2]}}"#,
        ),
        (
            "GW-047",
            Downlink::AttributesDeleted(["k".to_owned()].into()),
            "v1/gateway/attributes",
            r#"{"device":"A\"","data":{"deleted":["k"]}}"#,
        ),
        (
            "GW-043",
            answer(way::ONE, 1, one(), vec![]),
            answers,
            r#"{"id":1,"device":"A\"","value":5}"#,
        ),
        (
            "GW-043",
            answer(way::ONE, 1, vec![], one()),
            answers,
            r#"{"id":1,"device":"A\"","value":5}"#,
        ),
        ("GW-044", answer(way::ONE, -1, vec![], vec![]), answers, r#"{"id":-1,"device":"A\""}"#),
        (
            "GW-045",
            answer(way::SEVERAL, 2, one(), two()),
            answers,
            r#"{"id":2,"device":"A\"","values":{"k":5,"k1":1,"k2":[2]}}"#,
        ),
        (
            "GW-045",
            answer(way::SEVERAL, 2, vec![], vec![]),
            answers,
            r#"{"id":2,"device":"A\"","values":{}}"#,
        ),
        (
            "GW-052",
            Downlink::Call { call: Arc::new(call), token, expires_ms: 0 },
            "v1/gateway/rpc",
            r#"{"device":"A\"","data":{"id":7,"method":"setLed","params":true}}"#,
        ),
    ];
    // GW-006: nothing was subscribed to.
    let (in_json, in_protobuf) = (json(), protobuf());
    let mut page = Page::default();
    for (rule, downlink, topic, expected) in rows {
        let told = in_json.child_downlink("A\"", &downlink, &mut page).unwrap();
        let expected = Publication { topic, payload: expected.as_bytes() };
        assert_eq!(told, Some(expected), "{rule}");
        // GW-051, GW-058: the name comes first in every message.
        let told = in_protobuf.child_downlink("A\"", &downlink, &mut page).unwrap().unwrap();
        assert_eq!(
            (told.topic, told.payload.get(..4)),
            (topic, Some(&b"\x0a\x02A\""[..])),
            "{rule}"
        );
    }
    let close = Downlink::Close(Reason::TakenOver);
    assert_eq!(in_json.child_downlink("A", &close, &mut page), Ok(None), "GW-061");
}

/// The bytes of Protobuf, written out once.
#[test]
fn what_a_gateway_is_told_in_protobuf_is_as_specified() {
    let call = Call { id: 7, method: "m".to_owned(), params: "1".to_owned() };
    let token = CallToken(core::num::NonZeroU64::MIN);
    let call = Downlink::Call { call: Arc::new(call), token, expires_ms: 0 };
    let deleted = Downlink::AttributesDeleted(["k".to_owned()].into());
    let found = FoundAttributes {
        client: vec![Attribute {
            key: "k".to_owned(),
            value: Value::Long(5),
            updated_at: Timestamp(3),
        }],
        shared: vec![],
    };
    let answer = Downlink::AttributesAnswer {
        reply_to: ReplyTo { way: way::ONE, id: 2 },
        found: Box::new(found),
    };
    // TsKv: ts 3; kv: key k, type LONG, long 5.
    let ts_kv =
        [vec![0x08, 3], field(2, &[text(1, "k"), vec![0x10, 1, 0x20, 5]].concat())].concat();
    let rows = [
        (
            call,
            [text(1, "A"), field(2, &[vec![0x08, 7], text(2, "m"), text(3, "1")].concat())]
                .concat(),
        ),
        (deleted, [text(1, "A"), field(2, &text(2, "k"))].concat()),
        (answer, [text(1, "A"), field(2, &[vec![0x08, 2], field(2, &ts_kv)].concat())].concat()),
    ];
    let (link, mut page) = (protobuf(), Page::default());
    for (downlink, expected) in rows {
        let told = link.child_downlink("A", &downlink, &mut page).unwrap().unwrap();
        assert_eq!(told.payload, expected, "{downlink:?}");
    }
}

/// GW-080
#[test]
fn a_gateway_is_told_what_was_refused_of_a_device() {
    let mut page = Page::default();
    for (is_limit, number, low) in [(true, 150, 0x96), (false, 128, 0x80)] {
        let told = json().child_refused("A", is_limit, &mut page).unwrap();
        let expected = format!(r#"{{"device":"A","reason":{number}}}"#);
        assert_eq!((told.topic, told.payload), ("v1/gateway/disconnect", expected.as_bytes()));
        let told = protobuf().child_refused("A", is_limit, &mut page).unwrap();
        assert_eq!(told.payload, [text(1, "A"), vec![0x10, low, 0x01]].concat());
    }
}

/// A claim that goes through a gateway holds secrets all the same.
#[test]
fn claims_through_gateways_are_not_shown() {
    let link = json();
    for (topic, expected) in [("v1/gateway/claim", true), ("v1/gateway/telemetry", false)] {
        assert_eq!(link.carries_secrets(topic), expected, "{topic}");
    }
}

fn json() -> Link {
    Link::open(Arc::new(Dialect::default()), true)
}

/// With the flags for JSON set, which do not count here (GW-003).
fn protobuf() -> Link {
    let payload = forms::protobuf(true, true);
    let profile = mqtt_profile(MqttTransport { payload, ..MqttTransport::default() });
    Link::open(Arc::new(Dialect::compile(&profile)), true)
}

fn said_by(link: &mut Link, topic: &str, payload: &[u8]) -> String {
    let (mut reader, mut readings) = (Reader::new(), Readings::default());
    let (now, typing) = (Timestamp(9), Typing::default());
    match link.uplink(topic, payload, now, &mut reader, &mut readings, &typing) {
        Ok(Uplink::Children(batch)) => shown(batch),
        Ok(other) => format!("{other:?}"),
        Err(reject) => format!("!{}", reject.reason.id()),
    }
}

fn shown(batch: &ChildBatch) -> String {
    let mut words: Vec<_> = batch
        .said
        .iter()
        .map(|it| {
            let kind = it.kind.as_ref().map(|kind| format!(" ({kind})")).unwrap_or_default();
            let word = match &it.said {
                Ok(said) => word(said),
                Err(unread) => format!("!{}", unread.reason.id()),
            };
            format!("{}{kind} {word}", it.name)
        })
        .collect();
    if let Some(last) = words.last_mut() {
        for it in &batch.passages {
            let (from, to) = (it.received_at.ms(), it.published_at.ms());
            let _ = write!(last, " {} {from} to {to}", it.connector);
        }
    }
    words.join(" | ")
}

fn word(said: &ChildUplink) -> String {
    let keys = |name: &str, keys: &Option<Keys>| match keys {
        None => String::new(),
        Some(Keys::All) => format!(" {name} all"),
        Some(Keys::Named(names)) => format!(" {name} [{}]", names.join(",")),
    };
    match said {
        ChildUplink::Connected => "connected".to_owned(),
        ChildUplink::Disconnected => "disconnected".to_owned(),
        ChildUplink::Telemetry(readings) if readings.is_empty() => "nothing".to_owned(),
        ChildUplink::Telemetry(readings) => {
            let one =
                readings.iter().map(|it| format!("{}={}@{}", it.key, plain(it.value), it.at.ms()));
            one.collect::<Vec<_>>().join(" ")
        }
        ChildUplink::Attributes(readings) | ChildUplink::SharedAttributes(readings) => {
            assert!(readings.iter().all(|it| it.at == Timestamp(9)));
            let one = readings.iter().map(|it| format!(" {}={}", it.key, plain(it.value)));
            format!("set{}", one.collect::<String>())
        }
        ChildUplink::AttributeRequest { reply_to, client, shared } => {
            let way = if reply_to.way == way::ONE { "one" } else { "several" };
            let id = reply_to.id.cast_signed();
            format!("asks {way} {id}{}{}", keys("client", client), keys("shared", shared))
        }
        ChildUplink::CallAnswer { id, body } => format!("answers {id} {body}"),
        ChildUplink::Claim { secret, duration_ms } => {
            let duration = duration_ms.map_or_else(|| "default".to_owned(), |ms| ms.to_string());
            format!("claim [{secret}] {duration}")
        }
    }
}

fn plain(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Bool(it) => it.to_string(),
        ValueRef::Long(it) => it.to_string(),
        ValueRef::Double(it) => it.to_string(),
        ValueRef::String(it) | ValueRef::Json(it) => it.to_owned(),
    }
}

/// A field with a length.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    assert!(length < 128, "one byte of length is enough here");
    [&[number << 3 | 2, length], body].concat()
}

fn text(number: u8, text: &str) -> Vec<u8> {
    field(number, text.as_bytes())
}

fn list(ts: u8, values: &[Vec<u8>]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| field(2, value)).collect();
    [vec![0x08, ts], values].concat()
}

fn part_body(name: &str, number: u8, body: &[u8]) -> Vec<u8> {
    [text(1, name), field(number, body)].concat()
}

fn part(name: &str, number: u8, body: &[u8]) -> Vec<u8> {
    field(1, &part_body(name, number, body))
}
