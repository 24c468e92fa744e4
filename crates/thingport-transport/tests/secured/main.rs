//! Devices on the port for MQTT over TLS, and on the wrong port.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod house;

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use thingport_core::metrics::Bound;
use thingport_model::reason::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::house::{House, TOKEN, ask, certificate, connect_packet, publish_packet, rest};

const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
const REFUSED: [u8; 4] = [0x20, 2, 0, 5];
const PUBACK: [u8; 4] = [0x40, 2, 0, 7];
const DISCONNECT: [u8; 2] = [0xe0, 0];

#[tokio::test]
async fn a_device_logs_in_publishes_and_leaves_in_good_order() {
    let house = House::open().await;
    for version in [&TLS12, &TLS13] {
        let mut stream = house.connect(version).await.unwrap();
        assert_eq!(ask(&mut stream, &connect_packet(TOKEN), 4).await, CONNACK);
        let publish = publish_packet(7, br#"{"temperature": 21.5}"#);
        assert_eq!(ask(&mut stream, &publish, 4).await, PUBACK);
        stream.write_all(&DISCONNECT).await.unwrap();
        // Without close_notify this would be an error.
        assert!(rest(&mut stream).await.unwrap().is_empty());
    }
    assert_eq!(house.node.metrics.tls_accepted.value(), 2);
    house.until("no handshake is open", |it| it.node.metrics.tls_handshakes.value() == 0).await;
}

#[tokio::test]
async fn everything_may_come_in_one_segment_behind_the_handshake() {
    let house = House::open().await;
    let mut stream = house.connect(&TLS13).await.unwrap();
    let all = [connect_packet(TOKEN), publish_packet(7, b"{\"a\":1}")].concat();
    assert_eq!(ask(&mut stream, &all, 8).await, [CONNACK, PUBACK].concat());
}

#[tokio::test]
async fn a_refusal_arrives_before_the_end() {
    let house = House::open().await;
    for version in [&TLS12, &TLS13] {
        let mut stream = house.connect(version).await.unwrap();
        // What the client sends behind it must not cost it the answer (D-5).
        let all = [connect_packet("wrong"), publish_packet(7, b"{\"a\":1}")];
        stream.write_all(&all.concat()).await.unwrap();
        assert_eq!(rest(&mut stream).await.unwrap(), REFUSED);
    }
    assert_eq!(house.told(Reason::CredentialsUnknown), 2);
}

#[tokio::test]
async fn each_port_tells_who_belongs_on_the_other_one() {
    let house = House::open().await;
    let mut plain = TcpStream::connect(house.tls).await.unwrap();
    plain.write_all(&connect_packet(TOKEN)).await.unwrap();
    assert!(rest(&mut plain).await.unwrap().is_empty());
    assert_eq!(house.told(Reason::PlainOnTlsPort), 1);

    let tcp = TcpStream::connect(house.plain).await.unwrap();
    assert!(house.secure(tcp, &TLS13).await.is_err());
    assert_eq!(house.told(Reason::TlsOnPlainPort), 1);

    let mut dribbled = TcpStream::connect(house.plain).await.unwrap();
    dribbled.write_all(&[0x16]).await.unwrap();
    assert!(rest(&mut dribbled).await.unwrap().is_empty());
    assert_eq!(house.told(Reason::TlsOnPlainPort), 2);
}

#[tokio::test]
async fn a_handshake_has_ten_seconds_and_connect_fifteen_in_all() {
    let house = House::open().await;
    let mut mute = TcpStream::connect(house.tls).await.unwrap();
    let mut slow = TcpStream::connect(house.tls).await.unwrap();
    slow.write_all(&[0x16, 3, 1, 1]).await.unwrap();
    house.until("both are accepted", |it| it.node.metrics.tls_handshakes.value() == 2).await;
    let late = TcpStream::connect(house.tls).await.unwrap();
    house.until("it is accepted", |it| it.node.metrics.tls_handshakes.value() == 3).await;

    house.clock.advance(9_000);
    let mut late = house.secure(late, &TLS12).await.unwrap();
    house.until("its handshake is done", |it| it.node.metrics.tls_accepted.value() == 1).await;
    assert_eq!(house.told(Reason::TlsHandshakeTimeout), 0);
    house.clock.advance(1_500);
    assert!(rest(&mut mute).await.unwrap().is_empty());
    assert!(rest(&mut slow).await.unwrap().is_empty());
    assert_eq!(house.told(Reason::TlsHandshakeTimeout), 2);

    // 10.5 s: it would have until 19 s, were it not for the time both have together.
    assert_eq!(house.told(Reason::ConnectTimeout), 0);
    house.clock.advance(5_000);
    assert!(rest(&mut late).await.unwrap().is_empty());
    assert_eq!(house.told(Reason::ConnectTimeout), 1);
}

#[tokio::test]
async fn handshakes_at_once_are_bounded_and_give_their_place_back() {
    let house = House::with_handshakes(2).await;
    let held = TcpStream::connect(house.tls).await.unwrap();
    let _other = TcpStream::connect(house.tls).await.unwrap();
    house.until("both are accepted", |it| it.node.metrics.tls_handshakes.value() == 2).await;
    let mut third = TcpStream::connect(house.tls).await.unwrap();
    // It may be reset, which is quicker than being closed.
    let _ = third.read(&mut [0; 1]).await;
    house.until("the third is told", |it| it.told(Reason::TooManyHandshakes) == 1).await;
    let (_, bitten) = house.node.metrics.bounds().find(|it| it.0 == Bound::TlsHandshakes).unwrap();
    assert_eq!(bitten, 1);
    drop(held);
    house.until("a place is free", |it| it.node.metrics.tls_handshakes.value() == 1).await;
    let mut stream = house.connect(&TLS13).await.unwrap();
    assert_eq!(ask(&mut stream, &connect_packet(TOKEN), 4).await, CONNACK);
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_newcomers_only() {
    let mut house = House::open().await;
    let mut old = house.connect(&TLS13).await.unwrap();
    assert_eq!(ask(&mut old, &connect_packet(TOKEN), 4).await, CONNACK);
    let (server, root) = certificate();
    house.server.send(Some(Arc::new(server))).unwrap();
    assert!(house.connect(&TLS13).await.is_err(), "it does not trust the new one yet");
    house.until("that is told", |it| it.told(Reason::ServerCertificateRejected) == 1).await;
    house.root = root;
    house.connect(&TLS13).await.unwrap();
    assert_eq!(ask(&mut old, &publish_packet(7, b"{\"a\":1}"), 4).await, PUBACK);
}

#[tokio::test]
async fn a_drain_ends_tls_connections_in_good_order() {
    let house = House::open().await;
    let mut stream = house.connect(&TLS13).await.unwrap();
    assert_eq!(ask(&mut stream, &connect_packet(TOKEN), 4).await, CONNACK);
    let mut begun = TcpStream::connect(house.tls).await.unwrap();
    house.until("it is accepted", |it| it.node.metrics.tls_handshakes.value() == 1).await;
    house.drain.begin();
    assert!(rest(&mut stream).await.unwrap().is_empty());
    assert!(rest(&mut begun).await.unwrap().is_empty());
    drop((stream, begun));
    house.served.await.unwrap();
}

#[tokio::test]
async fn any_other_stream_of_bytes_is_served_too() {
    let house = House::open().await;
    let (mut client, server) = tokio::io::duplex(64);
    house.door.serve_stream(server, house.plain, None);
    assert_eq!(ask(&mut client, &connect_packet(TOKEN), 4).await, CONNACK);
    for _ in 0..100 {
        assert_eq!(ask(&mut client, &publish_packet(7, b"{\"a\":1}"), 4).await, PUBACK);
    }
    client.write_all(&DISCONNECT).await.unwrap();
    assert!(rest(&mut client).await.unwrap().is_empty());
}
