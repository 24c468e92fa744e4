//! The tap: shows a trace what one connection reads and writes in one turn.
//!
//! It exists while a traced connection has its turn. Packets are read a second time from the bytes that
//! came and went, so that neither session nor link does anything for it; what became of a packet is told
//! by whoever handles it.

use std::sync::Arc;

use thingport_core::trace::{
    Direction, Meaning, Noted, Packet, Payload, Shown, Trace, Verdict, Why,
};
use thingport_model::port::ledger::Receipt;
use thingport_model::time::Timestamp;
use thingport_model::uplink::Uplink;
use thingport_mqtt::client::ServerPacket;
use thingport_mqtt::inspect::{ClientPacket, client_packet, server_packet};
use thingport_mqtt::packet::ack::Ack;
use thingport_mqtt::packet::connect::Connect;
use thingport_mqtt::packet::disconnect::Disconnect;
use thingport_mqtt::packet::publish::PublishPacket;
use thingport_mqtt::property::{Properties, PropertyId, PropertyValue};
use thingport_mqtt::version::Version;

use crate::traced;

/// What looks on while one connection has its turn.
pub(super) struct Tap {
    trace: Arc<Trace>,
    /// None before the login.
    connection: Option<u64>,
    version: Version,
    /// How people call the version.
    protocol: &'static str,
    /// What came of the packet being handled; none between packets.
    found: Option<Found>,
}

/// What came of one packet.
#[derive(Default)]
struct Found {
    /// The topic, its alias resolved.
    topic: Option<String>,
    /// The payload may not be shown.
    is_secret: bool,
    meaning: Option<Meaning>,
    decoded: Option<String>,
    receipt: Option<Receipt>,
    verdict: Option<Verdict>,
}

/// What a packet looks like in a trace, and how its answer will name it.
struct Shape {
    packet: Packet,
    packet_id: u16,
    verdict: Verdict,
}

/// Who a CONNECT says it is.
pub(super) struct Login<'a> {
    pub(super) client_id: &'a str,
    /// None where there was none; not what may not be read.
    pub(super) user_name: Option<&'a str>,
    pub(super) has_password: bool,
    /// What may not be read, here or later.
    pub(super) secrets: Vec<&'a str>,
}

/// The facts of a CONNECT that login does not need.
pub(super) type ConnectFields = Vec<(&'static str, Shown)>;

/// All that may be shown of a CONNECT, but who it is: that is known later.
pub(super) fn connect_fields(connect: &Connect<'_>) -> ConnectFields {
    let mut fields = vec![
        ("cleanStart", Shown::Flag(connect.clean_start)),
        ("keepAlive", Shown::Number(connect.keep_alive.into())),
    ];
    if let Some(will) = &connect.will {
        fields.push(("willTopic", text(will.topic.as_str())));
        fields.push(("willQos", Shown::Number(will.qos.bits().into())));
        fields.push(("willRetain", Shown::Flag(will.retain)));
        fields.push(("willSize", number(will.payload.len())));
    }
    push_properties(&mut fields, connect.properties);
    fields
}

impl Tap {
    pub(super) const fn new(
        trace: Arc<Trace>,
        connection: Option<u64>,
        version: Version,
        protocol: &'static str,
    ) -> Self {
        Self { trace, connection, version, protocol, found: None }
    }

    /// Shows the CONNECT of a client whose device is known, and learns what may not be shown of it.
    pub(super) fn connected(
        &self,
        login: &Login<'_>,
        others: ConnectFields,
        at: Timestamp,
        why: Option<Why>,
    ) {
        login.secrets.iter().for_each(|secret| self.trace.learn_secret(secret));
        let mut fields = vec![("clientId", text(login.client_id))];
        if let Some(user_name) = login.user_name {
            fields.push(("userName", text(user_name)));
        }
        fields.push(("hasPassword", Shown::Flag(login.has_password)));
        fields.extend(others);
        let refused = why.is_some();
        self.note(Noted {
            at,
            connection: self.connection,
            direction: Direction::In,
            protocol: self.protocol,
            packet: Packet { kind: "CONNECT", fields, ..Packet::default() },
            packet_id: 0,
            receipt: None,
            meaning: None,
            verdict: if refused { Verdict::Refused } else { Verdict::Accepted },
            why,
        });
    }

    /// A packet is about to be handled: reasons given so far are not its own.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.trace.note_reasons(self.connection, at);
        self.found = Some(Found::default());
    }

    /// It is a publication to this topic.
    pub(super) fn publication(&mut self, topic: &str, is_secret: bool) {
        if let Some(found) = &mut self.found {
            found.topic = Some(topic.to_owned());
            found.is_secret = is_secret;
        }
    }

    /// It means this.
    pub(super) fn means(&mut self, uplink: &Uplink<'_>, payload: &[u8]) {
        let Some(found) = &mut self.found else { return };
        found.meaning = Some(traced::meaning(uplink));
        found.decoded = traced::decoded(uplink, payload);
        let has_readings =
            matches!(uplink, Uplink::Telemetry(_) | Uplink::Attributes(_) | Uplink::Children(_));
        found.verdict = (!has_readings).then_some(Verdict::Accepted);
    }

    /// A publication is in line for a commit, or has nothing to wait for.
    pub(super) fn promised(&mut self, receipt: Option<Receipt>, packet_id: u16) {
        match (&mut self.found, receipt) {
            (Some(found), Some(receipt)) => found.receipt = Some(receipt),
            (Some(found), None) => found.verdict = Some(Verdict::Accepted),
            (None, Some(receipt)) => self.trace.promised(self.connection, packet_id, receipt),
            (None, None) => {}
        }
    }

    /// The commit of a publication has happened, or never will.
    pub(super) fn committed(&self, receipt: Receipt, at: Timestamp, ok: bool) {
        self.trace.committed(self.connection, receipt, at, ok);
    }

    /// A publication is refused; its reason was given just now. One that is being handled finds it.
    pub(super) fn refused(&self, packet_id: u16) {
        if self.found.is_none() {
            self.trace.refused(self.connection, packet_id);
        }
    }

    /// The packet is handled; `bytes` are all that was read since the one before. Those that a session
    /// handles by itself come first.
    pub(super) fn arrived(&mut self, bytes: &[u8], is_violation: bool, at: Timestamp) {
        let found = self.found.take().unwrap_or_default();
        let mut shapes = self.client_shapes(bytes);
        let own = if is_violation {
            // What came behind it was not read. An acknowledgement hardly breaks a rule.
            let own = shapes.iter().position(|it| !is_silent(it.packet.kind));
            own.unwrap_or_else(|| shapes.len().saturating_sub(1))
        } else {
            shapes.len().saturating_sub(1)
        };
        shapes.truncate(own + 1);
        let last = shapes.pop();
        shapes.into_iter().for_each(|shape| self.came(shape, None, at));
        if let Some(shape) = last {
            self.came(shape, Some(found), at);
        }
    }

    /// Packets that the session handled by itself.
    pub(super) fn arrived_silently(&self, bytes: &[u8], at: Timestamp) {
        self.client_shapes(bytes).into_iter().for_each(|shape| self.came(shape, None, at));
    }

    /// The turn is over; `bytes` are all that is written in it.
    pub(super) fn left(&self, bytes: &[u8], at: Timestamp) {
        self.trace.note_reasons(self.connection, at);
        let mut rest = bytes;
        while let Some(it) = server_packet(&mut rest, self.version) {
            let shape = server_shape(it.name, it.size, it.packet);
            self.note(self.noted(Direction::Out, shape, at));
            if let Some(packet) = it.packet {
                self.answered(&packet);
            }
        }
    }

    fn client_shapes(&self, bytes: &[u8]) -> Vec<Shape> {
        let mut rest = bytes;
        let mut shapes = Vec::new();
        while let Some(it) = client_packet(&mut rest, self.version) {
            shapes.push(client_shape(it.name, it.size, it.packet));
        }
        shapes
    }

    fn came(&self, mut shape: Shape, found: Option<Found>, at: Timestamp) {
        if shape.packet.kind == "PUBACK" {
            let codes = codes_of(&shape.packet);
            let taken = codes.iter().all(|code| *code < FAILURE_MIN);
            let packet_id = number_of(&shape.packet);
            self.trace.answered(self.connection, Direction::Out, packet_id, &codes, taken);
        }
        let mut noted = Found::default();
        if let Some(found) = found {
            show(&mut shape.packet, &found);
            shape.verdict = found.verdict.unwrap_or(shape.verdict);
            noted = found;
        }
        let Found { meaning, receipt, .. } = noted;
        self.note(Noted { meaning, receipt, ..self.noted(Direction::In, shape, at) });
    }

    fn noted(&self, direction: Direction, shape: Shape, at: Timestamp) -> Noted {
        let Shape { packet, packet_id, verdict } = shape;
        Noted {
            at,
            connection: self.connection,
            direction,
            protocol: self.protocol,
            packet,
            packet_id,
            receipt: None,
            meaning: None,
            verdict,
            why: None,
        }
    }

    fn note(&self, noted: Noted) {
        self.trace.note(noted);
    }

    /// Tells packets of the client what they were answered.
    fn answered(&self, packet: &ServerPacket<'_>) {
        let (packet_id, codes) = match packet {
            ServerPacket::Puback(ack) | ServerPacket::Pubrec(ack) => {
                (ack.packet_id, vec![ack.reason.byte()])
            }
            ServerPacket::Suback(it) | ServerPacket::Unsuback(it) => {
                (it.packet_id, it.codes.to_vec())
            }
            _ => return,
        };
        let taken = codes.iter().all(|code| *code < FAILURE_MIN);
        self.trace.answered(self.connection, Direction::In, packet_id, &codes, taken);
    }
}

/// Puts into a packet what is known of it by now.
fn show(packet: &mut Packet, found: &Found) {
    if let Some(topic) = &found.topic
        && let Some((_, shown)) = packet.fields.iter_mut().find(|(name, _)| *name == "topic")
    {
        *shown = text(topic);
    }
    if let Some(payload) = &mut packet.payload {
        if found.is_secret {
            *payload = Payload::hidden(payload.size);
        }
        payload.decoded.clone_from(&found.decoded);
    }
}

fn client_shape(name: &'static str, size: usize, packet: Option<ClientPacket<'_>>) -> Shape {
    let mut shape = Shape::named(name, size);
    match packet {
        Some(ClientPacket::Publish(it)) => {
            shape.publish(&it);
            shape.verdict = Verdict::Open;
        }
        Some(
            ClientPacket::Puback(it)
            | ClientPacket::Pubrec(it)
            | ClientPacket::Pubrel(it)
            | ClientPacket::Pubcomp(it),
        ) => shape.ack(it),
        Some(ClientPacket::Subscribe(it)) => {
            let (filters, qos) =
                it.requests().map(|it| (it.filter.to_owned(), u64::from(it.qos.bits()))).unzip();
            shape.asks(it.packet_id());
            shape.push("filters", Shown::Texts(filters));
            shape.push("qos", Shown::Numbers(qos));
            if let Some(id) = it.subscription_id() {
                shape.push("subscriptionIdentifier", Shown::Number(id.into()));
            }
        }
        Some(ClientPacket::Unsubscribe(it)) => {
            shape.asks(it.packet_id());
            let filters = it.filters().map(str::to_owned).collect();
            shape.push("filters", Shown::Texts(filters));
        }
        Some(ClientPacket::Disconnect(it)) => shape.disconnect(&it),
        Some(ClientPacket::Pingreq) | None => {}
    }
    shape
}

fn server_shape(name: &'static str, size: usize, packet: Option<ServerPacket<'_>>) -> Shape {
    let mut shape = Shape::named(name, size);
    match packet {
        Some(ServerPacket::Connack(it)) => {
            shape.push("sessionPresent", Shown::Flag(it.session_present));
            shape.push("code", Shown::Number(it.code.into()));
            push_properties(&mut shape.packet.fields, it.properties);
        }
        Some(ServerPacket::Publish(it)) => {
            shape.publish(&it);
            if it.packet_id != 0 {
                shape.verdict = Verdict::Open;
            }
        }
        Some(
            ServerPacket::Puback(it)
            | ServerPacket::Pubrec(it)
            | ServerPacket::Pubrel(it)
            | ServerPacket::Pubcomp(it),
        ) => shape.ack(it),
        Some(ServerPacket::Suback(it) | ServerPacket::Unsuback(it)) => {
            shape.push("packetId", Shown::Number(it.packet_id.into()));
            let codes = it.codes.iter().map(|code| u64::from(*code)).collect();
            shape.push("codes", Shown::Numbers(codes));
        }
        Some(ServerPacket::Disconnect(it)) => shape.disconnect(&it),
        Some(ServerPacket::Pingresp) | None => {}
    }
    shape
}

impl Shape {
    fn named(kind: &'static str, size: usize) -> Self {
        let packet = Packet { kind, size, ..Packet::default() };
        Self { packet, packet_id: 0, verdict: Verdict::None }
    }

    fn push(&mut self, name: &'static str, shown: Shown) {
        self.packet.fields.push((name, shown));
    }

    /// Something that will be answered under this identifier.
    fn asks(&mut self, packet_id: u16) {
        self.packet_id = packet_id;
        self.verdict = Verdict::Open;
        self.push("packetId", Shown::Number(packet_id.into()));
    }

    fn publish(&mut self, it: &PublishPacket<'_>) {
        self.packet_id = it.packet_id;
        self.push("topic", text(it.topic));
        self.push("qos", Shown::Number(it.qos.bits().into()));
        if it.packet_id != 0 {
            self.push("packetId", Shown::Number(it.packet_id.into()));
        }
        self.push("dup", Shown::Flag(it.dup));
        self.push("retain", Shown::Flag(it.retain));
        push_properties(&mut self.packet.fields, it.properties);
        self.packet.payload = Some(traced::payload(it.payload));
    }

    fn ack(&mut self, it: Ack) {
        self.push("packetId", Shown::Number(it.packet_id.into()));
        self.push("code", Shown::Number(it.reason.byte().into()));
    }

    fn disconnect(&mut self, it: &Disconnect<'_>) {
        self.push("code", Shown::Number(it.reason.byte().into()));
        push_properties(&mut self.packet.fields, it.properties);
    }
}

/// Properties of version 5, as `Name=value`.
fn push_properties(fields: &mut Vec<(&'static str, Shown)>, properties: Properties<'_>) {
    let shown: Vec<_> = properties.iter().map(|(id, value)| property(id, value)).collect();
    if !shown.is_empty() {
        fields.push(("properties", Shown::Texts(shown)));
    }
}

fn property(id: PropertyId, value: PropertyValue<'_>) -> String {
    match value {
        PropertyValue::Byte(it) => format!("{id:?}={it}"),
        PropertyValue::TwoBytes(it) => format!("{id:?}={it}"),
        PropertyValue::FourBytes(it) | PropertyValue::Variable(it) => format!("{id:?}={it}"),
        PropertyValue::Text(it) => format!("{id:?}={it}"),
        // Correlation data, or what a client would prove itself with.
        PropertyValue::Binary(it) => format!("{id:?}=({} bytes)", it.len()),
        PropertyValue::Pair(name, value) => format!("{id:?}={name}:{value}"),
    }
}

fn text(text: &str) -> Shown {
    Shown::Text(text.to_owned())
}

fn number(number: usize) -> Shown {
    Shown::Number(u64::try_from(number).unwrap_or(u64::MAX))
}

fn number_of(packet: &Packet) -> u16 {
    let found = packet.fields.iter().find(|(name, _)| *name == "packetId");
    match found {
        Some((_, Shown::Number(id))) => u16::try_from(*id).unwrap_or(0),
        _ => 0,
    }
}

fn codes_of(packet: &Packet) -> Vec<u8> {
    let found = packet.fields.iter().find(|(name, _)| *name == "code");
    match found {
        Some((_, Shown::Number(code))) => vec![u8::try_from(*code).unwrap_or(u8::MAX)],
        _ => Vec::new(),
    }
}

/// Whether a session handles such packets without a word.
fn is_silent(kind: &str) -> bool {
    matches!(kind, "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP")
}

/// Codes from here on say no.
const FAILURE_MIN: u8 = 0x80;
