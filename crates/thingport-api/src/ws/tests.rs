//! Subscriptions on an invented node: what is there, what changes, and when they end.

use std::sync::Arc;

use axum::extract::ws::Message;
use axum::http::Method;
use serde_json::{Value, json};
use thingport_core::allowance::UpdateAllowance;
use thingport_model::limit::RateLimit;
use tokio::task::JoinHandle;

use super::command::{Command, Incoming};
use super::feed::Feed;
use super::outbox::{Waiting, outbox};
use crate::auth::{Presented, sign_in};
use crate::fake::{World, token};

/// A subscription that runs, and what it sends.
struct Running {
    waiting: Waiting,
    task: JoinHandle<()>,
}

impl Running {
    async fn begin(world: &World, token: &str, text: &str) -> Self {
        Self::begin_limited(world, token, text, "").await
    }

    /// With a limit of updates.
    async fn begin_limited(world: &World, token: &str, text: &str, limit: &str) -> Self {
        let (outbox, waiting) = outbox(100);
        let signed_in = sign_in(&world.api, Presented::Token(token)).await;
        let caller = signed_in.expect("a good token").caller;
        let limit = RateLimit::parse(limit).expect("a limit");
        let now_ms = world.api.node().clock.monotonic_ms();
        let allowance = Arc::new(UpdateAllowance::of(&limit, now_ms));
        let [command] = &Incoming::parse(text).expect("parses").commands[..] else {
            panic!("one command: {text}")
        };
        let api = Arc::clone(&world.api);
        let feed =
            |it: &super::Subscription| Feed { api, caller, outbox, allowance, command: it.clone() };
        let task = match command {
            Command::Series(it) => tokio::spawn(feed(it).series()),
            Command::Attributes(it) => tokio::spawn(feed(it).attributes()),
            Command::History(it) => tokio::spawn(feed(it).history()),
            Command::Trace(it) => tokio::spawn(feed(it).trace()),
            other => panic!("{other:?}"),
        };
        Self { waiting, task }
    }

    async fn next(&mut self) -> Value {
        match self.waiting.next().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?}"),
        }
    }

    /// What it sends, then its end.
    async fn ends(mut self) -> Vec<Value> {
        self.task.await.expect("no panic");
        let mut all = Vec::new();
        while let Some(Message::Text(text)) = self.waiting.next().await {
            all.push(serde_json::from_str(&text).expect("JSON"));
        }
        all
    }
}

async fn device(world: &World, token: &str, name: &str) -> String {
    let path = format!("/api/tenant/devices?deviceName=Test%20Device%20{name}");
    let device = world.get(&path, token).await.json();
    device["id"]["id"].as_str().expect("a demo device").to_owned()
}

async fn write(world: &World, token: &str, path: &str, body: &str) {
    let path = format!("/api/plugins/telemetry/DEVICE/{path}");
    assert!(world.post(&path, token, body).await.status.is_success(), "{path}");
}

fn subscribe(kind: &str, id: &str, rest: &str) -> String {
    format!(r#"{{"{kind}":[{{"cmdId":7,"entityType":"DEVICE","entityId":"{id}"{rest}}}]}}"#)
}

#[tokio::test]
async fn readings_come_first_as_they_are_and_then_as_they_are_written() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let id = device(&world, &admin, "A1").await;
    let path = format!("{id}/timeseries/ANY");
    write(&world, &admin, &path, r#"{"ts":5,"values":{"a":1}}"#).await;
    let mut feed = Running::begin(&world, &admin, &subscribe("tsSubCmds", &id, "")).await;
    let first = feed.next().await;
    assert_eq!((&first["subscriptionId"], &first["data"]), (&json!(7), &json!({"a": [[5, "1"]]})));

    write(&world, &admin, &path, r#"{"ts":4,"values":{"a":2}}"#).await;
    write(&world, &admin, &path, r#"{"ts":6,"values":{"a":3.0,"b":"x","c":true}}"#).await;
    let update = feed.next().await;
    assert_eq!(update["data"], json!({"a": [[6, "3.0"]], "b": [[6, "x"]], "c": [[6, "true"]]}));
    assert_eq!(update["latestValues"], json!({"a": 6, "b": 6, "c": 6}));

    let gone = format!("/api/plugins/telemetry/DEVICE/{id}/timeseries/delete");
    let gone = format!("{gone}?keys=b&deleteAllDataForKeys=true");
    assert!(world.ask(Method::DELETE, &gone, &admin, "").await.status.is_success());
    assert_eq!(feed.next().await["data"], json!({"b": [[0, ""]]}));
    feed.task.abort();
}

#[tokio::test]
async fn the_first_answer_comes_without_data_and_may_hold_a_history() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let id = device(&world, &admin, "A1").await;
    let mut empty = Running::begin(&world, &admin, &subscribe("tsSubCmds", &id, "")).await;
    let first = empty.next().await;
    assert_eq!((&first["data"], &first["latestValues"]), (&json!({}), &json!({})));
    for ts in [10, 20, 30] {
        let body = format!(r#"{{"ts":{ts},"values":{{"a":{ts}}}}}"#);
        write(&world, &admin, &format!("{id}/timeseries/ANY"), &body).await;
    }
    let window = subscribe("tsSubCmds", &id, r#","keys":"a","startTs":10,"timeWindow":20"#);
    let mut window = Running::begin(&world, &admin, &window).await;
    assert_eq!(window.next().await["data"], json!({"a": [[20, "20"], [10, "10"]]}));
    let sums = r#","keys":"a","startTs":0,"endTs":40,"agg":"SUM","interval":40"#;
    let history = Running::begin(&world, &admin, &subscribe("historyCmds", &id, sums)).await;
    let answers = history.ends().await;
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["data"], json!({"a": [[20, "60"]]}));
}

#[tokio::test]
async fn attributes_are_followed_in_their_scope() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let id = device(&world, &admin, "A1").await;
    write(&world, &admin, &format!("{id}/SHARED_SCOPE"), r#"{"limit":1}"#).await;
    let shared = subscribe("attrSubCmds", &id, r#","scope":"SHARED_SCOPE","keys":"limit""#);
    let mut feed = Running::begin(&world, &admin, &shared).await;
    let at = 1_767_225_600_000_i64;
    assert_eq!(feed.next().await["data"], json!({"limit": [[at, "1"]]}));
    write(&world, &admin, &format!("{id}/SERVER_SCOPE"), r#"{"limit":5}"#).await;
    write(&world, &admin, &format!("{id}/SHARED_SCOPE"), r#"{"other":5}"#).await;
    write(&world, &admin, &format!("{id}/SHARED_SCOPE"), r#"{"limit":2}"#).await;
    assert_eq!(feed.next().await["data"], json!({"limit": [[at, "2"]]}));
    let gone = format!("/api/plugins/telemetry/{id}/SHARED_SCOPE?keys=limit");
    assert!(world.ask(Method::DELETE, &gone, &admin, "").await.status.is_success());
    assert_eq!(feed.next().await["data"], json!({"limit": [[0, ""]]}));
    feed.task.abort();
}

#[tokio::test]
async fn a_subscription_ends_silently_when_the_device_is_gone_or_given_away() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let customer = token(&world.login("customer", "customer").await);
    let id = device(&world, &admin, "A1").await;
    let mut feed = Running::begin(&world, &customer, &subscribe("tsSubCmds", &id, "")).await;
    feed.next().await;
    let path = format!("/api/customer/device/{id}");
    assert!(world.ask(Method::DELETE, &path, &admin, "").await.status.is_success());
    write(&world, &admin, &format!("{id}/timeseries/ANY"), r#"{"a":1}"#).await;
    assert_eq!(feed.ends().await, Vec::<Value>::new());

    let mut feed = Running::begin(&world, &admin, &subscribe("attrSubCmds", &id, "")).await;
    feed.next().await;
    let device = uuid::Uuid::try_parse(&id).expect("a UUID");
    let entity = thingport_model::id::DeviceId(device).entity();
    let purge = thingport_model::port::ledger::Change::Purge { entity };
    assert!(world.api.node().ledger.append(purge).is_ok());
    assert_eq!(feed.ends().await, Vec::<Value>::new());
}

#[tokio::test]
async fn commands_that_cannot_be_obeyed_have_an_error_code() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let customer = token(&world.login("customer", "customer").await);
    let own = device(&world, &admin, "A1").await;
    let foreign = device(&world, &admin, "B1").await;
    let rows = [
        (&admin, r#"{"tsSubCmds":[{"cmdId":-1,"entityType":"DEVICE","entityId":"x"}]}"#.into(), 2),
        (&admin, r#"{"tsSubCmds":[{"cmdId":1}]}"#.into(), 2),
        (&admin, subscribe("tsSubCmds", "x", ""), 2),
        (&admin, subscribe("historyCmds", &own, r#","startTs":0,"endTs":1"#), 2),
        (&admin, subscribe("historyCmds", &own, r#","keys":"a","startTs":2,"endTs":1"#), 2),
        (
            &admin,
            subscribe("historyCmds", &own, r#","keys":"a","endTs":701,"agg":"MIN","interval":1"#),
            2,
        ),
        (&admin, subscribe("attrSubCmds", &own, r#","scope":"LATEST""#), 2),
        (&customer, subscribe("tsSubCmds", &foreign, ""), 3),
        (&customer, subscribe("attrSubCmds", &foreign, ""), 3),
        (&admin, subscribe("tsSubCmds", "2c7d1e40-5a7e-11f0-9a01-0f2d5c7e8a11", ""), 3),
    ];
    for (token, text, code) in rows {
        let answers = Running::begin(&world, token, &text).await.ends().await;
        assert_eq!(answers.len(), 1, "{text}");
        let answer = &answers[0];
        assert_eq!(answer["errorCode"], code, "{text}");
        assert!(answer["data"].is_null() && answer["errorMsg"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn updates_beyond_the_limit_are_left_out_and_said_once() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let id = device(&world, &admin, "A1").await;
    let path = format!("{id}/timeseries/ANY");
    let text = subscribe("tsSubCmds", &id, "");
    let mut feed = Running::begin_limited(&world, &admin, &text, "2:1").await;
    feed.next().await;
    for ts in 1..=5 {
        write(&world, &admin, &path, &format!(r#"{{"ts":{ts},"values":{{"a":{ts}}}}}"#)).await;
        // The watch may hand several changes over at once only if they wait.
        tokio::task::yield_now().await;
    }
    assert_eq!(feed.next().await["data"], json!({"a": [[1, "1"]]}));
    assert_eq!(feed.next().await["data"], json!({"a": [[2, "2"]]}));
    let told = feed.next().await;
    assert_eq!((&told["subscriptionId"], &told["errorCode"]), (&json!(7), &json!(34)));
    assert!(told["errorMsg"].is_string());
    world.clock.advance(500);
    write(&world, &admin, &path, r#"{"ts":6,"values":{"a":6}}"#).await;
    assert_eq!(feed.next().await["data"], json!({"a": [[6, "6"]]}));
    write(&world, &admin, &path, r#"{"ts":7,"values":{"a":7}}"#).await;
    assert_eq!(feed.next().await["errorCode"], 34, "a new phase is told again");
    feed.task.abort();
}

#[tokio::test]
async fn histories_may_have_calendar_buckets_in_a_time_zone() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let id = device(&world, &admin, "A1").await;
    // 2024-03-31, when Berlin's clocks go forward: the last hour of March and the first of April.
    for ts in [1_711_918_800_000_i64, 1_711_922_400_000] {
        let body = format!(r#"{{"ts":{ts},"values":{{"a":1}}}}"#);
        write(&world, &admin, &format!("{id}/timeseries/ANY"), &body).await;
    }
    let buckets = |zone: &str| {
        let rest = format!(
            r#","keys":"a","startTs":1711900000000,"endTs":1711930000000,"agg":"COUNT",
            "intervalType":"MONTH","timeZoneId":"{zone}""#
        );
        subscribe("historyCmds", &id, &rest)
    };
    for (zone, counts) in [("Europe/Berlin", 2), ("UTC", 1), ("Mars/Olympus", 0)] {
        let answers = Running::begin(&world, &admin, &buckets(zone)).await.ends().await;
        let points = answers[0]["data"]["a"].as_array().map_or(0, Vec::len);
        assert_eq!(points, counts, "{zone}: {}", answers[0]);
        assert_eq!(answers[0]["errorCode"] == 0, counts > 0, "{zone}");
    }
}
