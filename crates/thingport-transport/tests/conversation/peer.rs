//! A device that sends packets and tells what it gets, each packet as a line of text.

use std::time::Duration;

use thingport_mqtt::client::{self, ServerPacket, plain_connect, plain_publish};
use thingport_mqtt::packet::ack::Ack;
use thingport_mqtt::property::{Properties, PropertyId, PropertyValue};
use thingport_mqtt::reason::ReasonCode;
use thingport_mqtt::version::{Qos, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{House, TOKEN};

pub(crate) struct Peer {
    stream: TcpStream,
    version: Version,
    kept: Vec<u8>,
    /// Acknowledges what it gets.
    pub(crate) acknowledges: bool,
}

impl Peer {
    /// A device that is logged in.
    pub(crate) async fn open(house: &House, version: Version) -> Self {
        Self::with(house, version, &[]).await
    }

    /// The same with properties in CONNECT.
    pub(crate) async fn with(
        house: &House,
        version: Version,
        properties: &[(PropertyId, PropertyValue<'_>)],
    ) -> Self {
        let stream = TcpStream::connect(house.plain).await.unwrap();
        let mut peer = Self { stream, version, kept: Vec::new(), acknowledges: true };
        let mut connect = plain_connect(version, "peer");
        connect.user_name = Some(TOKEN);
        let bytes = client::property_bytes(properties);
        connect.properties = client::properties(&bytes);
        let mut out = Vec::new();
        client::connect(&mut out, &connect);
        peer.send(&out).await;
        assert_eq!(peer.next().await, "connack 0");
        peer
    }

    pub(crate) async fn subscribe(&mut self, filters: &[(&str, u8)]) -> String {
        let mut out = Vec::new();
        client::subscribe(&mut out, self.version, 1, Properties::default(), filters);
        self.send(&out).await;
        self.next().await
    }

    pub(crate) async fn unsubscribe(&mut self, filter: &str) {
        let mut out = Vec::new();
        client::unsubscribe(&mut out, self.version, 2, Properties::default(), &[filter]);
        self.send(&out).await;
        assert!(self.next().await.starts_with("unsuback"));
    }

    /// Publishes with quality of service 1.
    pub(crate) async fn publish(&mut self, packet_id: u16, topic: &str, payload: &str) {
        let out = self.publication(packet_id, topic, payload);
        self.send(&out).await;
    }

    pub(crate) fn publication(&self, packet_id: u16, topic: &str, payload: &str) -> Vec<u8> {
        let qos = if packet_id == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
        let mut out = Vec::new();
        let packet = plain_publish(topic, payload.as_bytes(), qos, packet_id);
        client::publish(&mut out, self.version, &packet);
        out
    }

    pub(crate) async fn puback(&mut self, packet_id: u16) {
        let mut out = Vec::new();
        let ack = Ack { packet_id, reason: ReasonCode::Success };
        client::puback(&mut out, self.version, ack);
        self.send(&out).await;
    }

    /// Shows that nothing else came: the answer to a ping is the next packet.
    pub(crate) async fn nothing(&mut self) {
        let mut out = Vec::new();
        client::pingreq(&mut out);
        self.send(&out).await;
        assert_eq!(self.next().await, "pingresp");
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next packet, or the end.
    pub(crate) async fn next(&mut self) -> String {
        let (line, publication) = tokio::time::timeout(PATIENCE, self.read()).await.unwrap();
        if let Some(packet_id) = publication.filter(|_| self.acknowledges) {
            self.puback(packet_id).await;
        }
        line
    }

    async fn read(&mut self) -> (String, Option<u16>) {
        loop {
            let mut input = self.kept.as_slice();
            if let Some(packet) = client::decode(&mut input, self.version).unwrap() {
                let shown = line(packet);
                let left = input.len();
                self.kept.drain(..self.kept.len() - left);
                return shown;
            }
            if self.stream.read_buf(&mut self.kept).await.unwrap() == 0 {
                return ("end".to_owned(), None);
            }
        }
    }
}

fn line(packet: ServerPacket<'_>) -> (String, Option<u16>) {
    let text = match packet {
        ServerPacket::Publish(it) => {
            let payload = String::from_utf8_lossy(it.payload);
            let text = format!("{} {} {payload}", it.qos.bits(), it.topic);
            return (text, (it.packet_id != 0).then_some(it.packet_id));
        }
        ServerPacket::Connack(it) => format!("connack {}", it.code),
        ServerPacket::Puback(it) => format!("puback {} {:02x}", it.packet_id, it.reason.byte()),
        ServerPacket::Suback(it) => format!("suback {:?}", it.codes),
        ServerPacket::Unsuback(it) => format!("unsuback {:?}", it.codes),
        ServerPacket::Pingresp => "pingresp".to_owned(),
        ServerPacket::Disconnect(it) => format!("disconnect {:02x}", it.reason.byte()),
        other => format!("{other:?}"),
    };
    (text, None)
}

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);
