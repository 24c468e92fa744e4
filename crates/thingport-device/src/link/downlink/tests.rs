//! Devices are told what they expect, byte by byte.

use std::sync::Arc;

use thingport_model::downlink::SessionLimits;
use thingport_model::ota::PackageError;
use thingport_model::reason::Reason;
use thingport_model::rpc::CallToken;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;

use super::*;
use crate::dialect::Dialect;

#[test]
fn every_downlink_is_written_as_devices_expect_it() {
    let table = include_str!("../../../testdata/downlinks.tsv");
    let mut page = Page::default();
    for line in table.lines().filter(|line| !line.starts_with("# ")) {
        let [name, subscribed, topic, payload] =
            line.split('\t').collect::<Vec<_>>().try_into().expect("a row has all columns");
        let mut link = Link::open(Arc::new(Dialect::default()), false);
        for filter in subscribed.split_whitespace() {
            link.subscribe(filter).unwrap();
        }
        let downlink = downlink(name);
        let told = match link.downlink(&downlink, &mut page) {
            Ok(Some(told)) => (told.topic, shown(told.payload)),
            Ok(None) => ("nothing", "-".to_owned()),
            Err(reject) => (reject.reason.id(), "-".to_owned()),
        };
        assert_eq!(told, (topic, payload.to_owned()), "{name} {subscribed}");
    }
}

#[test]
fn over_http_a_call_says_its_number_and_all_else_is_as_over_mqtt() {
    let rows = [
        ("deleted", Some("{\"deleted\":[\"k1\",\"k \\\"2\\\"\"]}")),
        ("found neither V1", Some("{}")),
        ("call object", Some("{\"id\":3,\"method\":\"set \\\"Led\\\"\",\"params\":{\"on\":1.00}}")),
        ("call none", Some("{\"id\":3,\"method\":\"m\",\"params\":null}")),
        ("answer error V1", Some("{\"error\":\"no \\\"such\\\" method\"}")),
        ("answer time V1", Some("{\"time\":1700000000000}")),
        ("chunk end", None),
        ("error fw", None),
        ("close", None),
    ];
    for (name, expected) in rows {
        assert_eq!(body_for_http(&downlink(name)).as_deref(), expected, "{name}");
    }
}

/// OT-018.
#[test]
fn errors_of_software_may_have_a_topic_of_their_own() {
    let rows = [
        ("error fw", false, "v2/fw/error"),
        ("error sw", false, "v2/fw/error"),
        ("error fw", true, "v2/fw/error"),
        ("error sw", true, "v2/sw/error"),
    ];
    for (name, are_apart, topic) in rows {
        let link = Link::open(Arc::new(Dialect::default()), false);
        let link = link.with_software_errors_apart(are_apart);
        let mut page = Page::default();
        assert_eq!(link.downlink(&downlink(name), &mut page).unwrap().unwrap().topic, topic);
    }
}

#[test]
fn a_page_gives_back_what_a_large_message_took() {
    let link = Link::open(Arc::new(Dialect::default()), false);
    let mut page = Page::default();
    for (size, kept) in [(1_000_000, 1_000_000), (1, 0)] {
        let answer = Box::new(ClientAnswer::Json("x".repeat(size)));
        let told = Downlink::ClientAnswer { reply_to: to("V1", 1), answer };
        assert_eq!(link.downlink(&told, &mut page).unwrap().unwrap().payload.len(), size);
        assert!((kept..=kept.max(KEPT_MAX)).contains(&page.body.capacity()));
    }
}

/// Text as it is, everything else in hexadecimal digits.
fn shown(payload: &[u8]) -> String {
    let text = str::from_utf8(payload).ok().filter(|it| !it.contains(char::is_control));
    let hex = || payload.iter().map(|byte| format!("{byte:02x}")).collect();
    text.map_or_else(hex, str::to_owned)
}

fn downlink(name: &str) -> Downlink {
    let words: Vec<_> = name.split(' ').collect();
    let kind = if name.contains("sw") { PackageKind::Software } else { PackageKind::Firmware };
    match *words.as_slice() {
        ["set"] => Downlink::AttributesSet(all().into()),
        ["deleted"] => Downlink::AttributesDeleted(["k1".into(), "k \"2\"".into()].into()),
        ["found", which, family] => {
            let (client, shared) = match which {
                "both" => (all(), one()),
                "client" => (one(), Vec::new()),
                "shared" => (Vec::new(), one()),
                _ => Default::default(),
            };
            let found = Box::new(FoundAttributes { client, shared });
            Downlink::AttributesAnswer { reply_to: to(family, 7), found }
        }
        ["call", which] => {
            let (method, params) = match which {
                "bool" => ("getValue", "true"),
                "object" => ("set \"Led\"", "{\"on\":1.00}"),
                _ => ("m", "null"),
            };
            let call = Call { id: 3, method: method.into(), params: params.into() };
            let token = CallToken(core::num::NonZeroU64::MIN);
            Downlink::Call { call: Arc::new(call), token, expires_ms: 0 }
        }
        ["answer", which, family] => {
            let answer = match which {
                "json" => ClientAnswer::Json("{\"time\":1700000000000}".into()),
                "error" => ClientAnswer::Error("no \"such\" method".into()),
                "time" => ClientAnswer::Time(Timestamp(1_700_000_000_000)),
                which => ClientAnswer::Limits(Box::new(limits(which == "gateway"))),
            };
            Downlink::ClientAnswer { reply_to: to(family, 9), answer: Box::new(answer) }
        }
        ["chunk", which] => {
            let bytes = if which == "end" { "" } else { "bytes" };
            Downlink::PackageChunk { kind, request: 1, chunk: 2, bytes: bytes.into() }
        }
        ["error", "fw"] => Downlink::PackageError { kind, error: PackageError::NotFound },
        ["error", _] => Downlink::PackageError { kind, error: PackageError::PayloadTooLarge },
        _ => Downlink::Close(Reason::DeviceDeleted),
    }
}

fn limits(is_gateway: bool) -> SessionLimits {
    let rate = |text| RateLimit::parse(text).unwrap();
    SessionLimits {
        max_payload_size: 65_536,
        max_inflight_messages: 100,
        rates: [rate("200:1,6000:60"), rate(""), RateLimit::default()],
        gateway_rates: is_gateway
            .then(|| [RateLimit::default(), RateLimit::default(), rate("1:1")]),
    }
}

fn all() -> Vec<Attribute> {
    let rows = [
        ("on", Value::Bool(true)),
        ("n", Value::Long(21)),
        ("d", Value::Double(1.0)),
        ("small", Value::Double(1e-5)),
        ("s", Value::String("a\"\u{2028}<".into())),
        ("j", Value::Json("{\"a\":1.00}".into())),
    ];
    rows.map(|(key, value)| attribute(key, value)).into()
}

fn one() -> Vec<Attribute> {
    vec![attribute("c", Value::String("x".into()))]
}

fn attribute(key: &str, value: Value) -> Attribute {
    Attribute { key: key.into(), value, updated_at: Timestamp(0) }
}

fn to(family: &str, id: u32) -> ReplyTo {
    let way = Family::ALL.iter().position(|it| format!("{it:?}") == family).unwrap();
    ReplyTo { way: u8::try_from(way).unwrap(), id }
}
