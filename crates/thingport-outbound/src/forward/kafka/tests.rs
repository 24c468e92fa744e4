//! Against the library's own mock of a cluster: real sockets and the real protocol, no real broker.

use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use thingport_core::clock::{Clock, Entropy};
use thingport_core::guard::Network;
use thingport_core::metrics::Metrics;
use thingport_model::port::ledger::Committed;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;

use super::super::body::tests::{message, reading};
use super::*;
use crate::config::OutboundConfig;
use crate::reach::Reach;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic_ms(&self) -> u64 {
        0
    }
}

impl Entropy for Fixed {
    fn fill(&self, out: &mut [u8]) {
        out.fill(7);
    }
}

fn outlet(brokers: &str, allowed: Vec<Network>) -> KafkaOutlet {
    let reach = Reach { allowed, ..Reach::default() };
    let config = OutboundConfig { reach, ..OutboundConfig::default() };
    let (clock, entropy) = (Arc::new(Fixed), Arc::new(Fixed));
    let settings = Webhooks::new(config, Arc::new(Metrics::default()), clock, entropy);
    let spec = ForwardKafka {
        brokers: brokers.to_owned(),
        topic: "plant".to_owned(),
        security: KafkaSecurity::Plaintext,
        login: None,
    };
    KafkaOutlet::new(Arc::new(settings), spec)
}

fn near() -> Vec<Network> {
    vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6]
}

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(3).expect("a cluster");
    cluster.create_topic("plant", 3, 3).expect("a topic");
    cluster
}

fn messages(count: i64) -> Vec<Message> {
    let one = |at| message(Committed::Telemetry(vec![reading(at, "k", Value::Long(at))]));
    (0..count).map(one).collect()
}

/// Keys and times of so many records of the topic, as a consumer sees them.
fn consumed(brokers: &str, count: usize) -> Vec<(String, i64)> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "test");
    config.set("auto.offset.reset", "earliest").set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&["plant"]).expect("a topic");
    let (mut found, since) = (Vec::new(), Instant::now());
    while found.len() < count && since.elapsed() < Duration::from_secs(60) {
        let Some(Ok(record)) = consumer.poll(Duration::from_millis(200)) else { continue };
        let key = String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned();
        let body: serde_json::Value =
            serde_json::from_slice(record.payload().unwrap_or_default()).expect("JSON");
        found.push((key, body["ts"].as_i64().expect("a time")));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_device_arrive_in_order_under_its_id() {
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    let mut outlet = outlet(&brokers, near());
    outlet.deliver(&messages(300)).await.expect("taken");
    let found = tokio::task::spawn_blocking(move || consumed(&brokers, 300)).await.expect("read");
    let key = "00000000-0000-0000-0000-000000000001";
    let expected: Vec<(String, i64)> = (0..300).map(|at| (key.to_owned(), at)).collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_is_told_from_a_cluster_that_is_in_trouble() {
    let cluster = cluster();
    let mut outlet = outlet(&cluster.bootstrap_servers(), near());
    let mut all = messages(4);
    let text = Value::String("x".repeat(1_100_000));
    all[2] = message(Committed::Telemetry(vec![reading(1, "k", text)]));
    let undelivered = outlet.deliver(&all).await.expect_err("one is too large");
    assert_eq!((undelivered.done, undelivered.trouble), (2, Trouble::ThisOne), "{undelivered:?}");
    outlet.deliver(&all[3..]).await.expect("the next one goes");
}

#[tokio::test]
async fn a_cluster_out_of_reach_is_not_called() {
    let undelivered = outlet("127.0.0.1:9", Vec::new()).deliver(&messages(1)).await;
    let undelivered = undelivered.expect_err("out of reach");
    assert_eq!((undelivered.done, undelivered.trouble), (0, Trouble::Later));
    assert!(undelivered.why.starts_with("127.0.0.1 may not be called"), "{undelivered:?}");
}
