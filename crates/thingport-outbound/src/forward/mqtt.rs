//! Another broker: one PUBLISH of quality of service 1 for each object of a message.
//!
//! A message is handed over when the broker acknowledged all of its publishes. So many are on their way
//! as the broker allows. The connection is kept between messages and kept alive; when it turns out to be
//! gone, a new one is tried at once, and only when that fails the target has failed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::pki_types::ServerName;
use thingport_core::forwarding::Message;
use thingport_model::profile::forwarding::{ForwardMqtt, TopicValues};
use thingport_mqtt::client::{self, Connack, ServerPacket};
use thingport_mqtt::packet::connect::Connect;
use thingport_mqtt::property::{PropertyId, PropertyValue};
use thingport_mqtt::version::{Qos, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use super::body::{kind, objects};
use super::{Outlet, Trouble, Undelivered};
use crate::tls::client_config;
use crate::webhook::Webhooks;

pub(super) struct MqttOutlet {
    settings: Arc<Webhooks>,
    target: Uuid,
    spec: ForwardMqtt,
    link: Option<Link>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Send + Sync> Stream for T {}

/// A connection that was accepted.
struct Link {
    stream: Pin<Box<dyn Stream>>,
    version: Version,
    /// What was read and not understood yet.
    read: Vec<u8>,
    /// Publishes that may be on their way at once.
    window: usize,
    packet_max: usize,
    last_id: u16,
}

/// A publish that is ready to be sent.
struct Publish {
    topic: String,
    payload: String,
    /// The message it belongs to, and whether it is its last one.
    message: usize,
    is_last: bool,
}

impl MqttOutlet {
    pub(super) const fn new(settings: Arc<Webhooks>, target: Uuid, spec: ForwardMqtt) -> Self {
        Self { settings, target, spec, link: None }
    }

    async fn open(&self) -> Result<Link, String> {
        let (url, config) = (&self.spec.url, self.settings.config());
        let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await;
        let found: Vec<SocketAddr> =
            found.map_err(|_| format!("{} has no address", url.host))?.collect();
        let near: Vec<SocketAddr> =
            found.iter().copied().filter(|it| config.reach.permits(it.ip())).collect();
        if let (true, Some(first)) = (near.is_empty(), found.first()) {
            return Err(format!("{} may not be called; see outbound.allow", first.ip()));
        }
        let stream = TcpStream::connect(&*near).await.map_err(|error| error.to_string())?;
        // Without it small packets wait; a system that refuses has only that to lose.
        let _ = stream.set_nodelay(true);
        let stream: Pin<Box<dyn Stream>> = if url.is_secure {
            let connector = TlsConnector::from(Arc::new(client_config(config)));
            let name = ServerName::try_from(url.host.clone());
            let name = name.map_err(|_| format!("{} is no name for TLS", url.host))?;
            let stream = connector.connect(name, stream).await;
            Box::pin(stream.map_err(|error| format!("TLS: {error}"))?)
        } else {
            Box::pin(stream)
        };
        let version = if self.spec.is_version_5 { Version::V5 } else { Version::V311 };
        let mut link = Link {
            stream,
            version,
            read: Vec::new(),
            window: WINDOW,
            packet_max: usize::MAX,
            last_id: 0,
        };
        self.log_in(&mut link).await?;
        Ok(link)
    }

    async fn log_in(&self, link: &mut Link) -> Result<(), String> {
        let mut client_id = self.spec.client_id.clone().unwrap_or_else(|| {
            // 3.1.1 promises 23 characters.
            let digits = self.target.simple().to_string();
            format!("thingport-{}", digits.get(..12).unwrap_or_default())
        });
        client_id.truncate(usize::from(u16::MAX));
        let connect = Connect {
            keep_alive: KEEP_ALIVE_S,
            user_name: self.spec.user.as_deref(),
            password: self.spec.password.as_ref().map(|it| it.reveal().as_bytes()),
            ..client::plain_connect(link.version, &client_id)
        };
        let mut packet = Vec::new();
        client::connect(&mut packet, &connect);
        link.send(&packet).await?;
        link.await_connack().await
    }

    /// Sends until everything is acknowledged. `done` counts whole messages.
    async fn publish(
        &mut self,
        publishes: &[Publish],
        done: &mut usize,
    ) -> Result<(), (Trouble, String)> {
        let link = match &mut self.link {
            Some(link) => link,
            None => {
                let opened = timeout(OPEN_MAX, self.open()).await;
                let opened = opened.unwrap_or_else(|_| Err("no connection in time".to_owned()));
                self.link.insert(opened.map_err(|why| (Trouble::Later, why))?)
            }
        };
        let mut waiting: VecDeque<(u16, &Publish, bool)> = VecDeque::new();
        let mut rest = publishes.iter();
        let mut next = rest.next();
        loop {
            let mut out = Vec::new();
            while let Some(publish) = next.filter(|_| waiting.len() < link.window) {
                let before = out.len();
                let id = link.encode(publish, &mut out);
                if out.len() - before > link.packet_max {
                    out.truncate(before);
                    if waiting.is_empty() && out.is_empty() {
                        let why =
                            format!("it is larger than the broker takes: {}", link.packet_max);
                        return Err((Trouble::ThisOne, why));
                    }
                    break; // its turn comes when everything before it is acknowledged
                }
                waiting.push_back((id, publish, false));
                next = rest.next();
            }
            let later = |why: String| (Trouble::Later, why);
            link.send(&out).await.map_err(later)?;
            if waiting.is_empty() {
                return Ok(());
            }
            let answer = timeout(ANSWER_MAX, link.acknowledgement()).await;
            let answer = answer.unwrap_or_else(|_| Err("no acknowledgement in time".to_owned()));
            let (id, code) = answer.map_err(later)?;
            let Some(found) = waiting.iter_mut().find(|it| it.0 == id) else { continue };
            if code >= FIRST_ERROR {
                // Whatever was sent behind it is sent again, which may happen with this target.
                let (why, message) = (format!("the broker answered {code:#04x}"), found.1.message);
                let is_next = message == *done;
                self.link = None;
                let is_final = is_next && FINAL.contains(&code);
                return Err((if is_final { Trouble::ThisOne } else { Trouble::Later }, why));
            }
            found.2 = true;
            while let Some((_, publish, _)) = waiting.pop_front_if(|it| it.2) {
                if publish.is_last {
                    *done = publish.message + 1;
                }
            }
        }
    }

    fn publishes(&self, messages: &[Message]) -> Vec<Publish> {
        let mut publishes = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let device_id = message.origin.device_id.to_string();
            let topic = self.spec.topic.fill(&TopicValues {
                device_name: &message.origin.name,
                device_id: &device_id,
                device_type: &message.origin.profile_name,
                kind: kind(&message.change),
            });
            let payloads = objects(message);
            let last = payloads.len().saturating_sub(1);
            publishes.extend(payloads.into_iter().enumerate().map(|(at, payload)| Publish {
                topic: topic.clone(),
                payload,
                message: index,
                is_last: at == last,
            }));
        }
        publishes
    }
}

#[async_trait]
impl Outlet for MqttOutlet {
    async fn deliver(&mut self, messages: &[Message]) -> Result<(), Undelivered> {
        let publishes = self.publishes(messages);
        let mut done = 0;
        loop {
            let was_open = self.link.is_some();
            let rest = publishes.iter().position(|it| it.message >= done);
            let rest = rest.map_or(&[][..], |from| publishes.get(from..).unwrap_or_default());
            match self.publish(rest, &mut done).await {
                Ok(()) => return Ok(()),
                Err((trouble, why)) => {
                    if trouble == Trouble::Later {
                        self.link = None;
                        if was_open {
                            continue; // it may have been closed long ago, when nothing was to be said
                        }
                    }
                    return Err(Undelivered { done, trouble, why });
                }
            }
        }
    }

    /// Keeps the connection alive.
    async fn idle(&mut self) {
        loop {
            tokio::time::sleep(PING_EVERY).await;
            let Some(link) = &mut self.link else { continue };
            let mut packet = Vec::new();
            client::pingreq(&mut packet);
            let alive = async {
                link.send(&packet).await?;
                link.await_pingresp().await
            };
            if !matches!(timeout(ANSWER_MAX, alive).await, Ok(Ok(()))) {
                self.link = None;
            }
        }
    }
}

impl Link {
    fn encode(&mut self, publish: &Publish, out: &mut Vec<u8>) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        let (topic, payload) = (&publish.topic, publish.payload.as_bytes());
        let packet = client::plain_publish(topic, payload, Qos::AtLeastOnce, self.last_id);
        client::publish(out, self.version, &packet);
        self.last_id
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(ANSWER_MAX, sent).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err("the broker does not read".to_owned()),
        }
    }

    async fn await_connack(&mut self) -> Result<(), String> {
        let accepted = self.receive(|packet| match packet {
            ServerPacket::Connack(connack) => Some(granted(&connack)),
            _ => None,
        });
        let (window, packet_max) = accepted.await??;
        (self.window, self.packet_max) = (window, packet_max);
        Ok(())
    }

    async fn await_pingresp(&mut self) -> Result<(), String> {
        let is_pingresp =
            |packet: ServerPacket<'_>| matches!(packet, ServerPacket::Pingresp).then_some(());
        self.receive(is_pingresp).await
    }

    /// Packet identifier and reason code of the next PUBACK.
    async fn acknowledgement(&mut self) -> Result<(u16, u8), String> {
        let of_puback = |packet: ServerPacket<'_>| match packet {
            ServerPacket::Puback(ack) => Some((ack.packet_id, ack.reason.byte())),
            _ => None,
        };
        self.receive(of_puback).await
    }

    /// Reads until `wanted` finds what it looks for; passes over everything else but an end.
    async fn receive<T>(
        &mut self,
        wanted: impl Fn(ServerPacket<'_>) -> Option<T>,
    ) -> Result<T, String> {
        loop {
            let mut input = self.read.as_slice();
            let mut found = None;
            loop {
                let packet = client::decode(&mut input, self.version);
                match packet.map_err(|violation| format!("no MQTT: {violation:?}"))? {
                    None => break,
                    Some(ServerPacket::Disconnect(_)) => {
                        return Err("the broker ended the connection".to_owned());
                    }
                    Some(packet) => found = wanted(packet),
                }
                if found.is_some() {
                    break;
                }
            }
            let used = self.read.len() - input.len();
            self.read.drain(..used);
            if let Some(found) = found {
                return Ok(found);
            }
            if self.read.len() > READ_MAX {
                return Err("the broker sent more than any answer takes".to_owned());
            }
            let read = self.stream.read_buf(&mut self.read).await;
            if read.map_err(|error| error.to_string())? == 0 {
                return Err("the broker closed the connection".to_owned());
            }
        }
    }
}

/// How many publishes may be on their way, and how large one may be.
fn granted(connack: &Connack<'_>) -> Result<(usize, usize), String> {
    if connack.code != 0 {
        return Err(format!("the broker refused the login with {:#04x}", connack.code));
    }
    let number = |id| match connack.properties.find(id) {
        Some(PropertyValue::TwoBytes(it)) => Some(usize::from(it)),
        Some(PropertyValue::FourBytes(it)) => usize::try_from(it).ok(),
        _ => None,
    };
    if connack.properties.find(PropertyId::MaximumQos) == Some(PropertyValue::Byte(0)) {
        return Err("the broker takes no quality of service 1".to_owned());
    }
    let window = number(PropertyId::ReceiveMaximum).unwrap_or(WINDOW).clamp(1, WINDOW);
    Ok((window, number(PropertyId::MaximumPacketSize).unwrap_or(usize::MAX)))
}

/// Publishes on their way at once, unless the broker allows fewer.
const WINDOW: usize = 64;
const KEEP_ALIVE_S: u16 = 60;
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long connection, TLS and login may take.
const OPEN_MAX: Duration = Duration::from_secs(15);
/// How long an acknowledgement may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Answers are small.
const READ_MAX: usize = 64 * 1024;
/// From here on reason codes are errors (MQTT 5, 2.4).
const FIRST_ERROR: u8 = 0x80;
/// Reason codes that speak of this publish: topic name invalid, payload format invalid.
const FINAL: [u8; 2] = [0x90, 0x99];

#[cfg(test)]
mod tests;
