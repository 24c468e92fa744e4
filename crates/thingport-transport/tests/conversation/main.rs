//! Devices ask, are told and answer, over sockets and a real ledger.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod changed;
#[path = "../secured/house.rs"]
#[expect(dead_code, reason = "it serves the tests of TLS too")]
mod house;
mod peer;

use core::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use thingport_core::access::Caller;
use thingport_core::client_calls::{AskWebhook, Question};
use thingport_core::metrics::Bound;
use thingport_core::presence::Failure;
use thingport_core::registry::DeviceLogin;
use thingport_core::registry::profiles::ProfileDraft;
use thingport_core::registry::profiles::extension::{ClientRpcDraft, ExtensionDraft, WebhookDraft};
use thingport_core::registry::profiles::said::Said;
use thingport_model::attribute::Scope;
use thingport_model::downlink::{ClientAnswer, Downlink};
use thingport_model::id::DeviceId;
use thingport_model::profile::extension::RpcWebhook;
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::rpc::{Call, CallToken};
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;
use thingport_mqtt::property::{PropertyId, PropertyValue};
use thingport_mqtt::version::Version::{V5, V311};
use tokio::sync::Semaphore;

use self::house::{House, TOKEN};
use self::peer::Peer;

#[tokio::test]
async fn every_family_is_told_of_changes_in_its_own_form() {
    let house = House::open().await;
    let device = device(&house).await;
    let rows = [
        (V311, "v1/devices/me/attributes", 0, "v1/devices/me/attributes"),
        (V311, "v1/devices/me/attributes", 2, "v1/devices/me/attributes"),
        (V5, "v2/a", 1, "v2/a"),
        (V5, "v2/a/j", 0, "v2/a/j"),
    ];
    for (version, filter, qos, topic) in rows {
        let granted = qos.min(1);
        let mut peer = Peer::open(&house, version).await;
        peer.nothing().await;
        share(&house, device, &[("before", 1)]).await;
        peer.nothing().await;
        assert_eq!(peer.subscribe(&[(filter, qos)]).await, format!("suback [{granted}]"));
        // U-12: from SUBACK on nothing is missed.
        share(&house, device, &[("a", 1), ("b", 2)]).await;
        assert_eq!(peer.next().await, format!("{granted} {topic} {{\"a\":1,\"b\":2}}"));
        // Also when nothing changed (JS-092), and whether a key exists or not (JS-093).
        share(&house, device, &[("a", 1)]).await;
        assert_eq!(peer.next().await, format!("{granted} {topic} {{\"a\":1}}"));
        forget(&house, device, Scope::Shared, &["a", "never"]).await;
        assert_eq!(
            peer.next().await,
            format!("{granted} {topic} {{\"deleted\":[\"a\",\"never\"]}}")
        );
        // Other scopes are not told (JS-097), nor what the device wrote itself (JS-055).
        set(&house, device, Scope::Server, &[("s", 1)]).await;
        forget(&house, device, Scope::Server, &["s"]).await;
        peer.publish(3, filter, "{\"own\":1}").await;
        assert_eq!(peer.next().await, "puback 3 00");
        peer.nothing().await;
        peer.unsubscribe(filter).await;
        share(&house, device, &[("after", 1)]).await;
        peer.nothing().await;
    }
}

#[tokio::test]
async fn changes_made_at_the_same_moment_are_told_in_the_order_they_are_kept() {
    let house = Arc::new(House::open().await);
    let device = device(&house).await;
    let mut peer = Peer::open(&house, V5).await;
    peer.subscribe(&[("v2/a", 0)]).await;
    let mut writers = Vec::new();
    for n in 0..20 {
        let house = Arc::clone(&house);
        writers.push(tokio::spawn(async move { share(&house, device, &[("n", n)]).await }));
    }
    let mut last = String::new();
    for _ in 0..20 {
        last = peer.next().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    peer.publish(1, "v2/a/req/1", "{\"sharedKeys\":\"n\"}").await;
    assert_eq!(peer.next().await, "puback 1 00");
    let value = last.strip_prefix("0 v2/a ").unwrap();
    assert_eq!(peer.next().await, format!("1 v2/a/res/1 {{\"shared\":{value}}}"));
}

#[tokio::test]
async fn a_request_is_acknowledged_then_answered_where_it_came_from() {
    let house = House::open().await;
    let device = device(&house).await;
    share(&house, device, &[("s", 2)]).await;
    set(&house, device, Scope::Server, &[("hidden", 3)]).await;
    for version in [V311, V5] {
        let mut peer = Peer::open(&house, version).await;
        peer.publish(1, "v2/a", "{\"c\":1}").await;
        assert_eq!(peer.next().await, "puback 1 00");
        let rows = [
            (
                "v1/devices/me/attributes/request/1",
                "{}",
                "v1/devices/me/attributes/response/1 ",
                r#"{"client":{"c":1},"shared":{"s":2}}"#,
            ),
            ("v2/a/req/7", r#"{"clientKeys":"c"}"#, "v2/a/res/7 ", r#"{"client":{"c":1}}"#),
            ("v2/a/req/j/007", r#"{"sharedKeys":"s,x"}"#, "v2/a/res/j/7 ", r#"{"shared":{"s":2}}"#),
            ("v2/a/req/0", r#"{"sharedKeys":"hidden","clientKeys":"s"}"#, "v2/a/res/0 ", "{}"),
        ];
        for (topic, payload, answered, body) in rows {
            peer.publish(2, topic, payload).await;
            assert_eq!(peer.next().await, "puback 2 00", "JS-072");
            assert_eq!(peer.next().await, format!("1 {answered}{body}"), "LS-073, LS-075");
        }
        // The granted quality of service, once it is subscribed.
        assert_eq!(peer.subscribe(&[("v2/a/res/+", 0)]).await, "suback [0]");
        peer.publish(2, "v2/a/req/9", "{\"sharedKeys\":\"s\"}").await;
        assert_eq!(peer.next().await, "puback 2 00");
        assert_eq!(peer.next().await, r#"0 v2/a/res/9 {"shared":{"s":2}}"#);
    }
}

#[tokio::test]
async fn a_device_finds_what_it_wrote_before_it_asked_and_answers_do_not_overtake() {
    let house = House::open().await;
    let mut peer = Peer::open(&house, V311).await;
    for round in 1..=50 {
        // One segment: the attributes are not committed when the request is read.
        let qos = if round % 2 == 0 { 0 } else { 1 };
        let body = format!("{{\"n\":{round}}}");
        let all = [
            peer.publication(qos, "v1/devices/me/attributes", &body),
            peer.publication(2, "v2/a/req/1", "{\"clientKeys\":\"n\"}"),
            peer.publication(3, "v1/devices/me/attributes/request/2", "{\"clientKeys\":\"n\"}"),
        ];
        peer.send(&all.concat()).await;
        if qos == 1 {
            assert_eq!(peer.next().await, "puback 1 00");
        }
        let mut came = Vec::new();
        for _ in 0..4 {
            came.push(peer.next().await);
        }
        let place = |line: &str| came.iter().position(|it| it == line).expect(line);
        // Each in the family it was asked in (TP-009), behind its acknowledgement.
        let first = format!("1 v2/a/res/1 {{\"client\":{body}}}");
        let second = format!("1 v1/devices/me/attributes/response/2 {{\"client\":{body}}}");
        assert!(place("puback 2 00") < place(&first), "{came:?}");
        assert!(place("puback 3 00") < place(&second), "{came:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_as_the_format_it_lacks() {
    let house = House::open().await;
    let topics = [
        ("v2/a/req/1", "[]"),
        ("v2/r/req/1", "{}"),
        ("v1/devices/me/rpc/request/1", "{\"method\":null}"),
        ("v1/devices/me/claim", "[]"),
        ("v2/fw/request/1/chunk/0", "x"),
        ("v2/a/req/j/x", "{}"),
    ];
    for (topic, payload) in topics {
        let mut peer = Peer::open(&house, V5).await;
        peer.publish(5, topic, payload).await;
        assert_eq!(peer.next().await, "puback 5 99", "{topic}");
        peer.nothing().await;
        let mut peer = Peer::open(&house, V311).await;
        peer.publish(5, topic, payload).await;
        assert_eq!(peer.next().await, "end", "{topic}");
    }
}

#[tokio::test]
async fn the_server_answers_two_questions_itself_and_says_when_nobody_answers() {
    let house = House::open().await;
    let limits = r#"{"maxPayloadSize":65536,"maxInflightMessages":100,"rateLimits":{"messages":null,"telemetryMessages":null,"telemetryDataPoints":null}}"#;
    let nobody = r#"{"error":"The device asked for a method that nobody handles."}"#;
    let rows = [
        ("v1/devices/me/rpc/request/3", "getSessionLimits", "v1/devices/me/rpc/response/3", limits),
        ("v2/r/req/4", "getSessionLimits", "v2/r/res/4", limits),
        ("v2/r/req/j/5", "getCurrentTime", "v2/r/res/j/5", "{\"time\":1767225600000}"),
        ("v2/r/req/6", "getWeather", "v2/r/res/6", nobody),
    ];
    for version in [V311, V5] {
        let mut peer = Peer::open(&house, version).await;
        for (topic, method, answered, body) in rows {
            peer.publish(1, topic, &format!("{{\"method\":\"{method}\",\"params\":{{}}}}")).await;
            assert_eq!(peer.next().await, "puback 1 00", "CR-021");
            assert_eq!(peer.next().await, format!("1 {answered} {body}"));
        }
    }
    assert_eq!(house.told(Reason::ClientCallUnhandled), 2);
}

/// Answers when it is let, as many times as it is let.
struct Slow(Arc<Semaphore>);

#[async_trait]
impl AskWebhook for Slow {
    async fn ask(
        &self,
        _: &DeviceLogin,
        _: &RpcWebhook,
        question: Question,
    ) -> Result<ClientAnswer, Failure> {
        self.0.acquire().await.unwrap().forget();
        Ok(ClientAnswer::Json(question.params))
    }
}

/// Lets a webhook answer what devices ask.
async fn ask_webhook(house: &House) {
    let login = house.node.registry.login_by_credentials_id(TOKEN).await.unwrap().unwrap();
    let url = "http://hooks.example.com/".to_owned();
    let webhook = ClientRpcDraft::Webhook(WebhookDraft { url, ..WebhookDraft::default() });
    let draft = ProfileDraft {
        id: Some(login.profile.id),
        extension: ExtensionDraft { client_rpc: Said::Set(webhook), ..ExtensionDraft::default() },
        ..ProfileDraft::new(&login.profile.name)
    };
    house.node.registry.save_profile(&Caller::tenant(login.tenant_id), draft).await.unwrap();
}

#[tokio::test]
async fn a_slow_answer_costs_a_device_no_other_and_their_number_is_bounded() {
    let house = House::open().await;
    let gate = Arc::new(Semaphore::new(0));
    ask_webhook(&house).await;
    house.node.client_calls.set_webhook(Arc::new(Slow(Arc::clone(&gate))));
    let mut peer = Peer::open(&house, V5).await;
    for id in 1..=17 {
        peer.publish(
            1,
            &format!("v2/r/req/{id}"),
            &format!("{{\"method\":\"m\",\"params\":{id}}}"),
        )
        .await;
        assert_eq!(peer.next().await, "puback 1 00");
    }
    // CR-010
    let sentence = Reason::TooManyClientCalls.sentence();
    assert_eq!(peer.next().await, format!("1 v2/r/res/17 {{\"error\":\"{sentence}\"}}"));
    assert_eq!(bitten(&house, Bound::ClientCalls), 1);
    // The connection goes on meanwhile.
    peer.publish(2, "v2/t", "{\"t\":1}").await;
    assert_eq!(peer.next().await, "puback 2 00");
    peer.publish(3, "v2/a/req/1", "{\"sharedKeys\":\"x\"}").await;
    assert_eq!(peer.next().await, "puback 3 00");
    assert_eq!(peer.next().await, "1 v2/a/res/1 {}");
    gate.add_permits(16);
    let mut answers = Vec::new();
    for _ in 0..16 {
        answers.push(peer.next().await);
    }
    answers.sort();
    let mut expected: Vec<_> = (1..=16).map(|id| format!("1 v2/r/res/{id} {id}")).collect();
    expected.sort();
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn answers_to_calls_and_claims_nobody_waits_for_are_acknowledged() {
    let house = House::open().await;
    for version in [V311, V5] {
        let mut peer = Peer::open(&house, version).await;
        let rows = [
            ("v1/devices/me/rpc/response/1", "anything"),
            ("v2/r/res/2", ""),
            ("v1/devices/me/claim", ""),
            ("v2/c", "{\"secretKey\":\"s\",\"durationMs\":60000}"),
        ];
        for (topic, payload) in rows {
            peer.publish(4, topic, payload).await;
            assert_eq!(peer.next().await, "puback 4 00", "{topic}");
            peer.nothing().await;
        }
    }
}

#[tokio::test]
async fn a_device_without_a_package_is_told_so_and_closed() {
    let house = House::open().await;
    for kind in ["fw", "sw"] {
        let topic = format!("v2/{kind}/request/1/chunk/0");
        let mut peer = Peer::open(&house, V5).await;
        peer.publish(4, &topic, "4096").await;
        assert_eq!(peer.next().await, "puback 4 00");
        assert_eq!(peer.next().await, "1 v2/fw/error NOT_FOUND", "OT-017, OT-018");
        assert_eq!(peer.next().await, "disconnect 83");
        assert_eq!(peer.next().await, "end");
        let mut peer = Peer::open(&house, V311).await;
        peer.publish(0, &topic, "").await;
        assert_eq!(peer.next().await, "1 v2/fw/error NOT_FOUND");
        assert_eq!(peer.next().await, "end");
    }
    assert_eq!(house.told(Reason::PackageNotFound), 4);
}

#[tokio::test]
async fn calls_go_to_whoever_subscribed_and_respect_the_window_of_the_client() {
    let house = House::open().await;
    let device = device(&house).await;
    let presence = &house.node.presence;
    let window = [(PropertyId::ReceiveMaximum, PropertyValue::TwoBytes(2))];
    let mut peer = Peer::with(&house, V5, &window).await;
    peer.acknowledges = false;
    assert!(!presence.tell(device, call(0)), "nobody listens");
    assert!(!presence.wants(device).calls);
    assert_eq!(peer.subscribe(&[("v2/r/req/+", 1)]).await, "suback [1]");
    assert!(presence.wants(device).calls);
    for id in 1..=4 {
        assert!(presence.tell(device, call(id)));
    }
    for id in 1..=2 {
        assert_eq!(
            peer.next().await,
            format!("1 v2/r/req/{id} {{\"method\":\"m\",\"params\":true}}")
        );
    }
    peer.nothing().await;
    // O-4: a place in the window becomes free.
    peer.puback(1).await;
    assert!(peer.next().await.starts_with("1 v2/r/req/3 "));
    peer.nothing().await;
    // What asks for no acknowledgement is not held up.
    assert_eq!(peer.subscribe(&[("v2/a", 0)]).await, "suback [0]");
    share(&house, device, &[("a", 1)]).await;
    assert_eq!(peer.next().await, "0 v2/a {\"a\":1}");
    peer.unsubscribe("v2/r/req/+").await;
    assert!(!presence.wants(device).calls);
    assert!(!presence.tell(device, call(5)));
}

#[tokio::test]
async fn what_waits_for_a_client_is_bounded_and_what_is_too_large_for_it_is_not_sent() {
    let house = House::open().await;
    let device = device(&house).await;
    let terms = [
        (PropertyId::ReceiveMaximum, PropertyValue::TwoBytes(1)),
        (PropertyId::MaximumPacketSize, PropertyValue::FourBytes(60)),
    ];
    let mut peer = Peer::with(&house, V5, &terms).await;
    peer.acknowledges = false;
    assert_eq!(peer.subscribe(&[("v2/a", 1)]).await, "suback [1]");
    // O-5
    let long = "k".repeat(60);
    share(&house, device, &[(&long, 1)]).await;
    peer.nothing().await;
    assert_eq!(house.told(Reason::DownlinkTooLarge), 1);
    // One in the window and 64 behind it.
    for n in 0..66 {
        share(&house, device, &[("n", n)]).await;
        // So that the connection takes it out of its mailbox.
        house
            .until("it is sent or waits", |it| {
                let lost = bitten(it, Bound::Downlinks);
                it.node.metrics.downlinks.value() + lost > u64::try_from(n).unwrap()
            })
            .await;
    }
    assert_eq!(bitten(&house, Bound::Downlinks), 1);
    assert_eq!(house.told(Reason::TooManyDownlinks), 1);
    peer.acknowledges = true;
    assert_eq!(peer.next().await, "1 v2/a {\"n\":0}");
    for n in 1..65 {
        assert_eq!(peer.next().await, format!("1 v2/a {{\"n\":{n}}}"));
    }
    peer.nothing().await;
}

#[tokio::test]
async fn a_connection_that_was_replaced_takes_nothing_from_its_successor() {
    let house = House::open().await;
    let device = device(&house).await;
    let mut first = Peer::open(&house, V5).await;
    first.subscribe(&[("v2/a", 1), ("v2/r/req/+", 1)]).await;
    let mut second = Peer::open(&house, V5).await;
    assert_eq!(first.next().await, "disconnect 8e");
    assert_eq!(first.next().await, "end");
    // Subscriptions are a session's own (LS-042).
    assert_eq!(house.node.presence.wants(device), Default::default());
    second.subscribe(&[("v2/a", 1)]).await;
    share(&house, device, &[("a", 1)]).await;
    assert_eq!(second.next().await, "1 v2/a {\"a\":1}");
    drop(second);
    house.until("it is gone", |it| !it.node.presence.is_connected(device)).await;
    assert_eq!(house.node.presence.wants(device), Default::default());
}

fn call(id: u32) -> Downlink {
    let call = Call { id, method: "m".to_owned(), params: "true".to_owned() };
    Downlink::Call { call: Arc::new(call), token: CallToken(NonZeroU64::MIN), expires_ms: u64::MAX }
}

async fn device(house: &House) -> DeviceId {
    let login = house.node.registry.login_by_credentials_id(TOKEN).await.unwrap().unwrap();
    let known = house.node.registry.device(&Caller::tenant(login.tenant_id), login.device_id).await;
    known.unwrap().id
}

async fn share(house: &House, device: DeviceId, attributes: &[(&str, i64)]) {
    set(house, device, Scope::Shared, attributes).await;
}

async fn set(house: &House, device: DeviceId, scope: Scope, attributes: &[(&str, i64)]) {
    let mut readings = Readings::default();
    for (key, value) in attributes {
        readings.push(Timestamp(1), key, ValueRef::Long(*value));
    }
    house.node.attributes.set(device.entity(), scope, &readings).await.unwrap();
}

async fn forget(house: &House, device: DeviceId, scope: Scope, keys: &[&str]) {
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    house.node.attributes.remove(device.entity(), scope, &keys).await.unwrap();
}

fn bitten(house: &House, bound: Bound) -> u64 {
    house.node.metrics.bounds().find(|(it, _)| *it == bound).unwrap().1
}
