//! Claims, presence and activity of devices.

use std::future::poll_fn;
use std::task::Poll;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use thingport_core::presence::{Carrier, Letter, Line};
use thingport_model::id::DeviceId;

use crate::fake::{Answer, World, token};

const T1: &str = "/api/customer/device/Thermostat%20T1/claim";

async fn customer(world: &World) -> String {
    token(&world.login("customer", "customer").await)
}

/// Thermostat T1 says that it may be claimed.
async fn offer(world: &World, secret: &str) {
    let node = world.api.node();
    let login = node.registry.login_by_credentials_id("T1_TEST_TOKEN").await.expect("the store");
    let login = login.expect("the demo device");
    node.claims
        .offer((login.device_id, login.tenant_id), secret.to_owned(), None)
        .await
        .expect("kept");
}

async fn id_of(world: &World, admin: &str, name: &str) -> String {
    let name = name.replace(' ', "%20");
    let device = world.get(&format!("/api/tenant/device?deviceName={name}"), admin).await.json();
    device["id"]["id"].as_str().expect("an id").to_owned()
}

fn brief(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), &answer.text)
}

#[tokio::test]
async fn a_claim_is_answered_with_the_words_of_the_contract() {
    let world = World::new().await;
    let (admin, user) = (world.tenant().await, customer(&world).await);
    let id = id_of(&world, &admin, "Thermostat T1").await;
    let failed = (400, "\"FAILURE\"");
    assert_eq!(brief(&world.post(T1, &user, "").await), failed, "nothing is held");
    for wrong in ["", "{}", r#"{"secretKey":null}"#, r#"{"secretKey":"S"}"#, "null"] {
        offer(&world, "s").await;
        assert_eq!(brief(&world.post(T1, &user, wrong).await), failed, "{wrong}");
    }
    for broken in ["[]", "{", r#"{"secretKey":1}"#] {
        assert_eq!(world.post(T1, &user, broken).await.refusal(), (400, 31), "{broken}");
    }
    let nobody = "/api/customer/device/nobody/claim";
    assert_eq!(world.post(nobody, &user, "{}").await.refusal(), (404, 32));
    assert_eq!(world.get(&format!("/api/device/{id}"), &user).await.refusal(), (403, 20));

    offer(&world, "s").await;
    let claimed = world.post(T1, &user, r#"{"secretKey":"s"}"#).await;
    assert_eq!(claimed.status, StatusCode::OK, "{}", claimed.text);
    let device = world.get(&format!("/api/device/{id}"), &user).await.json();
    assert_eq!(claimed.json(), json!({"device": device, "response": "SUCCESS"}));
    let again = world.post(T1, &user, r#"{"secretKey":"s"}"#).await;
    assert_eq!(brief(&again), (400, "\"CLAIMED\""));
    assert_eq!(again.headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_device_is_given_back_by_its_customer_or_the_tenant() {
    let world = World::new().await;
    let (admin, user) = (world.tenant().await, customer(&world).await);
    let give_back = async |who: &str| world.ask(Method::DELETE, T1, who, "").await;
    assert_eq!(give_back(&user).await.refusal(), (403, 20), "it is not theirs");
    let id = id_of(&world, &admin, "Thermostat T1").await;
    let nil = "13814000-1dd2-11b2-8080-808080808080";
    for who in [&user, &admin] {
        offer(&world, "").await;
        assert_eq!(world.post(T1, &user, "").await.status, StatusCode::OK);
        let answer = give_back(who).await;
        assert_eq!(brief(&answer), (200, ""));
        let device = world.get(&format!("/api/device/{id}"), &admin).await.json();
        assert_eq!(device["customerId"]["id"], nil);
    }
    assert_eq!(brief(&give_back(&admin).await), (200, ""), "nobody's already");
    let nobody = "/api/customer/device/nobody/claim";
    assert_eq!(world.ask(Method::DELETE, nobody, &admin, "").await.refusal(), (404, 32));
}

#[tokio::test]
async fn connected_and_reporting_are_told_apart() {
    let world = World::new().await;
    let (admin, user) = (world.tenant().await, customer(&world).await);
    let id = id_of(&world, &admin, "Thermostat T1").await;
    let path = format!("/api/thingport/devices/{id}/presence");
    assert_eq!(world.get(&path, &user).await.refusal(), (403, 20));
    let never = json!({
        "connected": {
            "connected": false, "lastConnectTime": null, "lastDisconnectTime": null, "line": null
        },
        "reporting": {
            "active": false, "lastActivityTime": null, "inactivityAlarmTime": null
        }
    });
    assert_eq!(world.get(&path, &admin).await.json(), never);

    let (node, device) = (world.api.node(), DeviceId(id.parse().expect("an id")));
    let mailbox = node.presence.open(device);
    node.activity.opened(device, &mailbox);
    mailbox.hear(1_767_225_600_000);
    let connection = async {
        let mail = poll_fn(|cx| mailbox.poll_mail(cx).map_or(Poll::Pending, Poll::Ready)).await;
        for letter in *mail {
            let Letter::Asked(inquiry) = letter else { panic!("{letter:?}") };
            inquiry.answer(Line {
                protocol: "MQTT 5",
                carrier: Carrier::Tls,
                remote: "192.0.2.7:4711".to_owned(),
                client_id: "pump".to_owned(),
                tls: Some(("TLS 1.3", "TLS13_AES_128_GCM_SHA256")),
            });
        }
    };
    let (answer, ()) = tokio::join!(world.get(&path, &admin), connection);
    let answer: Value = answer.json();
    let line = json!({
        "protocol": "MQTT 5", "transport": "tls", "address": "192.0.2.7:4711", "clientId": "pump",
        "tls": {"version": "TLS 1.3", "cipher": "TLS13_AES_128_GCM_SHA256"}
    });
    let connected = json!({
        "connected": true, "lastConnectTime": 1_767_225_600_000_u64, "lastDisconnectTime": null,
        "line": line
    });
    assert_eq!(answer["connected"], connected);
    assert_eq!(answer["reporting"]["lastActivityTime"], 1_767_225_600_000_u64, "to this moment");
    assert_eq!(answer["reporting"]["active"], false, "no round has passed");
}

#[tokio::test]
async fn lists_and_infos_show_who_is_active() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let id = id_of(&world, &admin, "Thermostat T1").await;
    let device = DeviceId(id.parse().expect("an id"));
    world.api.node().activity.heard(device);
    world.api.node().activity.round(|| std::future::ready(())).await;
    let info = world.get(&format!("/api/device/info/{id}"), &admin).await.json();
    assert_eq!(info["active"], true);
    for (active, total) in [(true, 1), (false, 8)] {
        let path = format!("/api/tenant/deviceInfos?pageSize=20&page=0&active={active}");
        let page = world.get(&path, &admin).await.json();
        assert_eq!(page["totalElements"], total, "{active}");
        let rows = page["data"].as_array().expect("rows");
        assert!(rows.iter().all(|row| row["active"] == active), "{active}");
    }
    let scope = format!("/api/plugins/telemetry/DEVICE/{id}/SERVER_SCOPE");
    let written = world.post(&scope, &admin, r#"{"inactivityTimeout":1000}"#).await;
    assert_eq!(written.status, StatusCode::OK);
    world.clock.advance(3_000);
    for (timeout_ms, active) in [(3_000, true), (1_500, false), (60_000, true)] {
        let body = json!({"inactivityTimeout": timeout_ms}).to_string();
        assert_eq!(world.post(&scope, &admin, &body).await.status, StatusCode::OK);
        let info = world.get(&format!("/api/device/info/{id}"), &admin).await.json();
        assert_eq!(info["active"], active, "T-6, {timeout_ms}");
    }
}
