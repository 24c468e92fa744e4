//! Bodies come and go in the form that profile and topic ask for (3.2, 5.5).

use prost::Message as _;
use thingport_model::attribute::Attribute;
use thingport_model::downlink::{ClientAnswer, FoundAttributes};
use thingport_model::profile::{PayloadType, ProtobufPayload, ProtobufRoots};
use thingport_model::rpc::{Call, CallToken};
use thingport_model::value::Value;

use super::*;
use crate::payload::protobuf::fixed::{AttributeUpdate, AttributesResponse};

#[test]
fn profile_and_topic_say_how_a_body_is_read() {
    // Topic, body, and what it says under a profile of each form (TP-001 to TP-006, PB-040).
    let rows: [(&str, &[u8], [&str; 5]); 12] = [
        // JSON, Protobuf, Protobuf or JSON, CBOR, MessagePack.
        ("v2/t", b"{\"t\":1}", ["t=1", NO_PB, "t=1", NO_CBOR, NO_MP]),
        ("v2/t/j", b"{\"t\":1}", ["t=1"; 5]),
        ("v2/t", PROTOBUF, [NO_JSON, PB, PB, NO_CBOR, NO_MP]),
        ("v1/devices/me/telemetry", PROTOBUF, [NO_JSON, PB, PB, NO_CBOR, NO_MP]),
        ("v2/t/p", PROTOBUF, [NO_SCHEMA, PB, PB, NO_SCHEMA, NO_SCHEMA]),
        ("v2/t/p", b"{\"t\":1}", [NO_SCHEMA, NO_PB, NO_PB, NO_SCHEMA, NO_SCHEMA]),
        ("v2/t", b"\xa1\x61t\x01", [NO_JSON, NO_PB, NO_PB, "t=1", NO_MP]),
        ("v2/t", b"\x81\xa1t\x01", [NO_JSON, NO_PB, NO_PB, NO_CBOR, "t=1"]),
        // Shapes, casting and bounds are those of JSON.
        (
            "v2/t",
            b"\xa2\x62ts\x05\x66values\xa2\x61a\x6212\x61b\xf9\x3c\x00",
            [NO_JSON, NO_PB, NO_PB, "a=12@5 b=1.0@5", NO_MP],
        ),
        (
            "v2/t",
            b"\x92\x81\xa1a\x01\x81\xa1b\xca\x3d\xcc\xcc\xcd",
            [NO_JSON, NO_PB, NO_PB, NO_CBOR, "a=1 b=0.1"],
        ),
        ("v2/a", b"\xa1\x61a\x81\x01", [NO_JSON, NO_PB, NO_PB, "a=[1]", NO_MP]),
        (
            "v2/a",
            b"\x0a\x031.2",
            [NO_JSON, "firmwareVersion=1.2", "firmwareVersion=1.2", NO_CBOR, NO_MP],
        ),
    ];
    for (topic, payload, expected) in rows {
        for (profile, expected) in profiles().iter().zip(expected) {
            let found = readings(&mut open(profile), topic, payload);
            assert!(found.starts_with(expected), "{topic} {payload:?} {expected}: {found}");
        }
    }
}

#[test]
fn questions_are_read_in_every_form() {
    let rows: [(usize, &str, &[u8], &str); 28] = [
        // PB-030, whatever the profile (TP-007).
        (0, "v2/a/req/p/7", b"\x0a\x03a,b\x12\x01c", "V2Proto 7 client [a][b] shared [c]"),
        (1, "v2/a/req/7", b"", "V2 7 client all shared all"),
        (1, "v2/a/req/7", b"\x0a\x01,\x12\x01c", "V2 7 client none shared [c]"),
        (2, "v2/a/req/7", b"{\"clientKeys\":\"a\"}", "V2 7 client [a] shared none"),
        (3, "v2/a/req/7", b"\xa1\x6asharedKeys\x61c", "V2 7 client none shared [c]"),
        (4, "v2/a/req/7", b"\x81\xaasharedKeys\xa1c", "V2 7 client none shared [c]"),
        // CR-009, PB-033.
        (0, "v2/r/req/p/7", b"\x0a\x01m\x12\x07{\"a\": 1", "payload.not_json"),
        (0, "v2/r/req/p/7", b"\x0a\x01m\x12\x08{\"a\": 1}", "V2Proto 7 calls m {\"a\":1}"),
        (1, "v2/r/req/7", b"\x0a\x01m", "V2 7 calls m null"),
        (1, "v2/r/req/7", b"\x0a\x01m\x12\x04YQ==", "V2 7 calls m \"YQ==\""),
        (1, "v2/r/req/7", b"\x12\x01a", "payload.shape"),
        (2, "v2/r/req/7", b"{\"method\":\"m\"}", "V2 7 calls m null"),
        (3, "v2/r/req/7", b"\xa1\x66method\x61m", "V2 7 calls m null"),
        // PB-023; JSON mode takes any text.
        (1, "v2/r/res/7", b"\x0a\x02ok", "answer 7 {\"payload\":\"ok\"}"),
        (2, "v2/r/res/7", b"{\"a\":1}", "answer 7 {\"a\":1}"),
        (4, "v2/r/res/7", b"\x81\xa1a\x01", "answer 7 {\"a\":1}"),
        // PB-034
        (1, "v1/devices/me/claim", b"\x0a\x01s\x10\x05", "claim [s] 5"),
        (4, "v1/devices/me/claim", b"", "claim [] default"),
        (2, "v1/devices/me/claim", b"{\"secretKey\":\"s\"}", "claim [s] default"),
        // DD-004, DD-005: as ThingsBoard's newer documents have it, whatever the profile.
        (0, "v2/c/p", b"\x0a\x01s\x10\x05", "claim [s] 5"),
        (1, "v2/c/j", b"{\"secretKey\":\"s\"}", "claim [s] default"),
        (1, "v2/c", b"{\"secretKey\":\"s\"}", "payload.not_protobuf"),
        (0, "v2/a/req/7/p", b"\x0a\x01a", "V2Proto 7 client [a] shared none"),
        (1, "v2/a/req/7/j", b"{\"sharedKeys\":\"c\"}", "V2Json 7 client none shared [c]"),
        (0, "v2/r/req/7/p", b"\x0a\x01m", "V2Proto 7 calls m null"),
        (1, "v2/r/res/7/j", b"{\"a\":1}", "answer 7 {\"a\":1}"),
        (0, "v2/a/req/7/x", b"", "publish.topic_invalid"),
        (0, "v2/a/req/j/7/p", b"", "publish.topic_invalid"),
    ];
    for (profile, topic, payload, expected) in rows {
        let mut link = open(&profiles()[profile]);
        let (mut reader, mut readings) = (Reader::new(), Readings::default());
        let (now, typing) = (Timestamp(1), Typing::default());
        let said = link.uplink(topic, payload, now, &mut reader, &mut readings, &typing);
        let said = said.map_or_else(|it| it.reason.id().to_owned(), question);
        assert_eq!(said, expected, "{profile} {topic} {payload:?}");
    }
}

#[test]
fn profile_and_topic_say_how_a_device_is_told() {
    // Family, and the form under a profile of each form; the sixth asks for JSON downlinks.
    let rows = [
        (Family::V1, ["json", "protobuf", "protobuf", "cbor", "msgpack", "json"]),
        (Family::V2, ["json", "protobuf", "protobuf", "cbor", "msgpack", "protobuf"]),
        (Family::V2Json, ["json"; 6]),
        (Family::V2Proto, ["protobuf"; 6]),
    ];
    let answer =
        [("json", "5b315d"), ("cbor", "8101"), ("msgpack", "9101"), ("protobuf", "0801120d5b315d")];
    let mut all: Vec<DeviceProfile> = profiles().into();
    all.push(profile(protobuf(true, true)));
    for (family, forms) in rows {
        for (profile, form) in all.iter().zip(forms) {
            let told = Downlink::ClientAnswer {
                reply_to: reply_to(family, 1),
                answer: Box::new(ClientAnswer::Json("[1]".to_owned())),
            };
            let expected = answer.iter().find(|(name, _)| *name == form).unwrap().1;
            let expected = expected.replace("0801120d", "08011203");
            assert_eq!(told_as(&open(profile), &told), expected, "{family:?} {form}");
        }
    }
}

#[test]
fn attributes_and_calls_go_down_as_fixed_messages_and_by_schema() {
    let mut link = open(&profiles()[1]);
    link.subscribe("v1/devices/me/attributes").unwrap();
    link.subscribe("v1/devices/me/rpc/request/+").unwrap();
    let attributes: Vec<Attribute> = [
        Value::Bool(true),
        Value::Long(2),
        Value::Double(0.5),
        Value::String("s".to_owned()),
        Value::Json("[1]".to_owned()),
    ]
    .into_iter()
    .enumerate()
    .map(|(at, value)| Attribute { key: at.to_string(), value, updated_at: Timestamp(9) })
    .collect();
    let set = Downlink::AttributesSet(attributes.clone().into());
    let update = AttributeUpdate::decode(bytes(&link, &set).as_slice()).unwrap();
    assert!(update.deleted.is_empty());
    for (at, it) in update.updated.iter().enumerate() {
        let kv = it.kv.as_ref().unwrap();
        assert_eq!((it.ts, kv.key.as_str(), kv.kind), (9, at.to_string().as_str(), at as i32));
    }
    let deleted = Downlink::AttributesDeleted(["a".to_owned()].into());
    let update = AttributeUpdate::decode(bytes(&link, &deleted).as_slice()).unwrap();
    assert_eq!((update.updated.len(), update.deleted), (0, vec!["a".to_owned()]));
    let found = FoundAttributes { client: attributes[..1].to_vec(), shared: attributes };
    let answer =
        Downlink::AttributesAnswer { reply_to: reply_to(Family::V2, 7), found: found.into() };
    let response = AttributesResponse::decode(bytes(&link, &answer).as_slice()).unwrap();
    assert_eq!((response.request_id, response.client.len(), response.shared.len()), (7, 1, 5));
    assert!(response.multiple);
    // RP-060: what does not fit the schema is told to whoever called.
    for (params, expected) in [("\"on\"", "0a016d10071a026f6e"), ("{}", "downlink.format")] {
        let call = Call { id: 7, method: "m".to_owned(), params: params.to_owned() };
        let token = CallToken(core::num::NonZeroU64::MIN);
        let told = Downlink::Call { call: Arc::new(call), token, expires_ms: 0 };
        assert_eq!(told_as(&link, &told), expected);
    }
}

fn profiles() -> [DeviceProfile; 5] {
    [
        PayloadType::Json,
        protobuf(false, false),
        protobuf(true, false),
        PayloadType::Cbor,
        PayloadType::MessagePack,
    ]
    .map(profile)
}

fn profile(payload: PayloadType) -> DeviceProfile {
    mqtt_profile(MqttTransport { payload, ..MqttTransport::default() })
}

/// The schemas of ThingsBoard's documentation.
pub(super) fn protobuf(json_compatibility: bool, json_for_default_downlinks: bool) -> PayloadType {
    PayloadType::Protobuf(Box::new(ProtobufPayload {
        telemetry_schema: include_str!("../../../testdata/protobuf/telemetry.proto").to_owned(),
        attributes_schema: include_str!("../../../testdata/protobuf/attributes.proto").to_owned(),
        rpc_request_schema: include_str!("../../../testdata/protobuf/rpc_request.proto").to_owned(),
        rpc_response_schema: include_str!("../../../testdata/protobuf/rpc_response.proto")
            .to_owned(),
        json_compatibility,
        json_for_default_downlinks,
        roots: ProtobufRoots::default(),
    }))
}

fn readings(link: &mut Link, topic: &str, payload: &[u8]) -> String {
    let (mut reader, mut out) = (Reader::new(), Readings::default());
    let typing = Typing::default();
    match link.uplink(topic, payload, Timestamp(1), &mut reader, &mut out, &typing) {
        Ok(Uplink::Telemetry(out) | Uplink::Attributes(out)) => {
            let one = |it: thingport_model::reading::ReadingRef<'_>| {
                let at = if it.at.ms() == 1 { String::new() } else { format!("@{}", it.at.ms()) };
                format!("{}={}{at}", it.key, it.value)
            };
            out.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Ok(_) => "no readings".to_owned(),
        Err(reject) => reject.reason.id().to_owned(),
    }
}

fn told_as(link: &Link, told: &Downlink) -> String {
    let mut page = Page::default();
    match link.downlink(told, &mut page) {
        Ok(told) => told.unwrap().payload.iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(reject) => reject.reason.id().to_owned(),
    }
}

fn bytes(link: &Link, told: &Downlink) -> Vec<u8> {
    let mut page = Page::default();
    link.downlink(told, &mut page).unwrap().unwrap().payload.to_vec()
}

const PROTOBUF: &[u8] = b"\x09\x00\x00\x00\x00\x00\x80\x35\x40\x1a\x02\x10\x01";
const PB: &str = "temperature=21.5 innerObject={\"key2\":true}";
const NO_JSON: &str = "payload.not_json";
const NO_PB: &str = "payload.not_protobuf";
const NO_SCHEMA: &str = "payload.no_schema";
const NO_CBOR: &str = "payload.";
const NO_MP: &str = "payload.";
