use std::net::SocketAddr;

use thingport_core::clock::{Clock, Entropy};
use thingport_core::guard::Network;
use thingport_core::metrics::Metrics;
use thingport_model::port::ledger::Committed;
use thingport_model::profile::forwarding::{BrokerUrl, TopicTemplate};
use thingport_model::time::Timestamp;
use thingport_model::value::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

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

fn settings(allowed: Vec<Network>) -> Arc<Webhooks> {
    let reach = Reach { allowed, ..Reach::default() };
    let config = OutboundConfig { reach, ..OutboundConfig::default() };
    Arc::new(Webhooks::new(config, Arc::new(Metrics::default()), Arc::new(Fixed), Arc::new(Fixed)))
}

fn outlet(at: SocketAddr, is_version_5: bool) -> MqttOutlet {
    let spec = ForwardMqtt {
        url: BrokerUrl::parse(&format!("mqtt://{at}")).expect("a URL"),
        is_version_5,
        topic: TopicTemplate::parse("t/${deviceType}/${kind}").expect("a topic"),
        client_id: None,
        user: Some("user".to_owned()),
        password: None,
    };
    MqttOutlet::new(settings(vec![Network::LOOPBACK_V4]), Uuid::from_u128(7), spec)
}

fn messages(count: i64) -> Vec<Message> {
    let one = |at| message(Committed::Telemetry(vec![reading(at, "k", Value::Long(at))]));
    (0..count).map(one).collect()
}

/// What a broker does with each connection in turn.
#[derive(Clone, Copy)]
struct Life {
    connack: &'static [u8],
    /// Acknowledges so many publishes, then closes.
    takes: usize,
    /// What it says of the last of them.
    last: &'static [u8],
}

const V5: Life = Life { connack: &[0x20, 3, 0, 0, 0], takes: usize::MAX, last: &[] };
const V3: Life = Life { connack: &[0x20, 2, 0, 0], ..V5 };

/// A broker that lives through these connections; answers the topics of what it acknowledged.
async fn broker(lives: Vec<Life>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let served = tokio::spawn(async move {
        let mut topics = Vec::new();
        for life in lives {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let (first, _) = packet(&mut stream).await.expect("CONNECT");
            assert_eq!(first, 0x10);
            stream.write_all(life.connack).await.expect("it reads");
            for left in (0..life.takes).rev() {
                let Some((first, body)) = packet(&mut stream).await else { break };
                assert_eq!(first, 0x32, "quality of service 1");
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                topics.push(String::from_utf8_lossy(&body[2..2 + topic]).into_owned());
                let id = &body[2 + topic..4 + topic];
                let (len, rest) =
                    if left == 0 { (life.last.len(), life.last) } else { (0, &[][..]) };
                let mut puback = vec![0x40, 2 + len as u8, id[0], id[1]];
                puback.extend_from_slice(rest);
                stream.write_all(&puback).await.expect("it reads");
            }
            // Closing over what was not read would take acknowledgements back that are on their way.
            stream.shutdown().await.expect("open");
            while packet(&mut stream).await.is_some() {}
        }
        topics
    });
    (at, served)
}

async fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let (mut len, mut shift) = (0, 0);
    loop {
        let byte = stream.read_u8().await.ok()?;
        len |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.ok()?;
    Some((first, body))
}

#[tokio::test]
async fn messages_are_handed_over_when_they_are_acknowledged_in_both_versions() {
    for (life, is_version_5) in [(V5, true), (V3, false)] {
        let (at, served) = broker(vec![life]).await;
        let mut outlet = outlet(at, is_version_5);
        outlet.deliver(&messages(200)).await.expect("taken");
        outlet.deliver(&messages(1)).await.expect("taken, on the same connection");
        drop(outlet);
        let topics = served.await.expect("a broker");
        assert_eq!(topics, vec!["t/pumps/telemetry"; 201]);
    }
}

#[tokio::test]
async fn as_many_are_on_their_way_as_the_broker_allows_and_what_is_too_large_is_refused() {
    // Receive Maximum 1, Maximum Packet Size 300.
    let connack = &[0x20, 11, 0, 0, 8, 0x21, 0, 1, 0x27, 0, 0, 1, 44];
    let (at, _served) = broker(vec![Life { connack, ..V5 }]).await;
    let mut outlet = outlet(at, true);
    let mut all = messages(4);
    all[2] = message(Committed::Telemetry(vec![reading(1, "k", Value::String("x".repeat(300)))]));
    let undelivered = outlet.deliver(&all).await.expect_err("one is too large");
    assert_eq!((undelivered.done, undelivered.trouble), (2, Trouble::ThisOne), "{undelivered:?}");
    assert_eq!(outlet.link.as_ref().map(|it| it.window), Some(1));
    outlet.deliver(&all[3..]).await.expect("the next one goes");
}

#[tokio::test]
async fn a_connection_that_ended_while_nothing_was_said_is_no_failure() {
    let (at, served) = broker(vec![Life { takes: 1, ..V5 }, V5]).await;
    let mut outlet = outlet(at, true);
    outlet.deliver(&messages(1)).await.expect("taken");
    outlet.deliver(&messages(2)).await.expect("taken, on another connection");
    drop(outlet);
    assert_eq!(served.await.expect("a broker").len(), 3);
}

#[tokio::test]
async fn what_was_acknowledged_before_the_end_counts() {
    let (at, _served) = broker(vec![Life { takes: 3, ..V3 }]).await;
    let undelivered = outlet(at, false).deliver(&messages(5)).await.expect_err("cut off");
    assert_eq!((undelivered.done, undelivered.trouble), (3, Trouble::Later), "{undelivered:?}");
}

#[tokio::test]
async fn reason_codes_say_whether_it_is_the_message_or_the_moment() {
    for (code, trouble) in [
        (&[0x90][..], Trouble::ThisOne),
        (&[0x99], Trouble::ThisOne),
        (&[0x97], Trouble::Later),
        (&[0x87], Trouble::Later),
    ] {
        let (at, _served) = broker(vec![Life { takes: 2, last: code, ..V5 }]).await;
        let undelivered = outlet(at, true).deliver(&messages(2)).await.expect_err("refused");
        assert_eq!((undelivered.done, undelivered.trouble), (1, trouble), "{undelivered:?}");
    }
    // No matching subscribers is a success.
    let (at, _served) = broker(vec![Life { takes: 1, last: &[0x10], ..V5 }]).await;
    outlet(at, true).deliver(&messages(1)).await.expect("taken");
}

#[tokio::test]
async fn a_login_that_is_refused_and_a_broker_out_of_reach_are_told() {
    let connack = &[0x20, 3, 0, 0x86, 0];
    let (at, _served) = broker(vec![Life { connack, ..V5 }]).await;
    let undelivered = outlet(at, true).deliver(&messages(1)).await.expect_err("refused");
    assert_eq!(undelivered.trouble, Trouble::Later);
    assert_eq!(undelivered.why, "the broker refused the login with 0x86");
    let mut far = outlet(at, true);
    far.settings = settings(Vec::new());
    let undelivered = far.deliver(&messages(1)).await.expect_err("out of reach");
    assert!(undelivered.why.starts_with("127.0.0.1 may not be called"), "{undelivered:?}");
}
