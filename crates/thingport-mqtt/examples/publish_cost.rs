//! What one telemetry PUBLISH with its PUBACK costs in a session, in nanoseconds.
//!
//! `cargo run --release -p thingport-mqtt --example publish_cost [publications per figure]`

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use thingport_mqtt::client;
use thingport_mqtt::limits::Bounds;
use thingport_mqtt::reason::ReasonCode;
use thingport_mqtt::session::{Acceptance, Event, Session};
use thingport_mqtt::version::{Qos, Version};

fn main() {
    let publications = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let publications = publications.unwrap_or(2_000_000);
    println!("size of a session: {} bytes", size_of::<Session>());
    for version in [Version::V311, Version::V5] {
        for at_once in [1, 4, 32] {
            let best =
                (0..7).map(|_| measure(version, at_once, publications)).fold(f64::MAX, f64::min);
            println!("{version:?}, {at_once:2} per read: {best:5.1} ns per PUBLISH and PUBACK");
        }
    }
}

/// Nanoseconds per publication when that many arrive in one read.
fn measure(version: Version, at_once: u16, publications: u32) -> f64 {
    let mut session = connected(version);
    let mut bytes = Vec::new();
    for packet_id in 1..=at_once {
        let topic = "v1/devices/me/telemetry";
        let packet = client::plain_publish(topic, &[b'7'; 100], Qos::AtLeastOnce, packet_id);
        client::publish(&mut bytes, version, &packet);
    }
    let rounds = publications / u32::from(at_once);
    let mut out = Vec::with_capacity(4_096);
    let begun = Instant::now();
    for round in 0..rounds {
        out.clear();
        let answered = one_read(&mut session, u64::from(round), black_box(&bytes), &mut out);
        assert_eq!(answered, at_once);
        black_box(&out);
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(rounds * u32::from(at_once))
}

fn one_read(session: &mut Session, now_ms: u64, bytes: &[u8], out: &mut Vec<u8>) -> u16 {
    let mut answered = 0;
    let mut input = session.input(bytes);
    while let Some(event) = session.poll_event(now_ms, &mut input, out) {
        if let Event::Publish(publish) = event {
            black_box((publish.topic.as_str(), publish.payload));
            session.acknowledge(publish.delivery, ReasonCode::Success, None, out);
            answered += 1;
        }
    }
    session.keep(now_ms, input);
    answered
}

fn connected(version: Version) -> Session {
    let mut session = Session::new(Arc::new(Bounds::default()), 0);
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    client::connect(&mut bytes, &client::plain_connect(version, "bench"));
    let mut input = session.input(&bytes);
    let event = session.poll_event(0, &mut input, &mut out);
    assert!(matches!(event, Some(Event::Connect(_))));
    session.keep(0, input);
    session.accept(0, &Acceptance::default(), &mut out).expect("the client takes any CONNACK");
    session
}
