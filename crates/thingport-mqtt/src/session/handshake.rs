//! CONNACK, the terms it states, and the end of a session.

use crate::packet::PacketType;
use crate::packet::ack::{write_connack5, write_disconnect};
use crate::packet::connect::Connect;
use crate::property::{PropertyId, PropertyValue};
use crate::reason::{ReasonCode, ReturnCode};
use crate::session::inbound::Line;
use crate::session::{Acceptance, NEVER, Phase, Session};
use crate::version::Version;
use crate::violation::{Answer, Moment, Violation};

impl Session {
    /// Notes what the client asked for.
    pub(super) fn begin_deciding(&mut self, connect: &Connect<'_>) {
        self.version = connect.version;
        self.keep_alive = connect.keep_alive;
        self.session_expiry = connect.session_expiry();
        self.window = connect.receive_maximum().min(self.bounds.inflight_max);
        self.packet_size_max = connect.maximum_packet_size();
        self.wants_problem_information = connect.wants_problem_information();
        self.phase = Phase::Deciding;
    }

    /// CONNACK with the properties that differ from the protocol's defaults (C-18), the more
    /// important first. What could not be stated because the client's packets are too small is
    /// not held against the client either.
    pub(super) fn write_accepting_connack(&mut self, terms: &Acceptance<'_>, out: &mut Vec<u8>) {
        let properties = if self.bounds.bare_connack { Vec::new() } else { self.terms(terms) };
        let written = write_connack5(
            out,
            terms.session_present,
            ReasonCode::Success,
            &properties,
            self.packet_size_max,
        );
        let stated = |id| properties.iter().take(written).any(|(other, _)| *other == id);
        self.receive_maximum_granted = stated(PropertyId::ReceiveMaximum);
        self.aliases_granted = stated(PropertyId::TopicAliasMaximum);
    }

    fn terms<'a>(&self, terms: &Acceptance<'a>) -> Vec<(PropertyId, PropertyValue<'a>)> {
        use PropertyValue::{Byte, FourBytes, Text, TwoBytes};
        let bounds = &self.bounds;
        let keep_alive = self.granted_keep_alive();
        let expiry = terms.session_expiry;
        let assigned = terms.assigned_client_id;
        [
            assigned.map(|id| (PropertyId::AssignedClientIdentifier, Text(id))),
            (keep_alive != self.keep_alive)
                .then_some((PropertyId::ServerKeepAlive, TwoBytes(keep_alive))),
            (expiry != self.session_expiry)
                .then_some((PropertyId::SessionExpiryInterval, FourBytes(expiry))),
            (bounds.receive_maximum != u16::MAX)
                .then_some((PropertyId::ReceiveMaximum, TwoBytes(bounds.receive_maximum))),
            Some((PropertyId::MaximumPacketSize, FourBytes(bounds.packet_size_max))),
            (bounds.topic_alias_maximum != 0)
                .then_some((PropertyId::TopicAliasMaximum, TwoBytes(bounds.topic_alias_maximum))),
            Some((PropertyId::SharedSubscriptionAvailable, Byte(0))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The keep alive in force, in seconds: the client's, unless the server allows less (K-2).
    pub(super) fn granted_keep_alive(&self) -> u16 {
        let max = self.bounds.keep_alive_max;
        if max != u16::MAX && (self.keep_alive == 0 || self.keep_alive > max) {
            max
        } else {
            self.keep_alive
        }
    }

    pub(super) fn write_refusing_connack(
        &self,
        version: Version,
        reason: ReasonCode,
        return_code: ReturnCode,
        sentence: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        if !version.is_v5() {
            return write_connack3(out, false, return_code);
        }
        if self.packet_size_max < CONNACK_SIZE_MIN {
            return;
        }
        let sentence = sentence
            .filter(|_| self.bounds.reason_strings)
            .map(|text| (PropertyId::ReasonString, PropertyValue::Text(text)));
        write_connack5(out, false, reason, sentence.as_slice(), self.packet_size_max);
    }

    /// How far the conversation has come.
    const fn moment(&self) -> Moment {
        match self.phase {
            Phase::AwaitingConnect | Phase::Closed => Moment::BeforeConnect,
            Phase::Deciding => Moment::Connecting(self.version),
            Phase::Open => Moment::Connected(self.version),
        }
    }

    /// Tells the client what it may be told, and closes.
    pub(super) fn end(&mut self, violation: Violation, out: &mut Vec<u8>) {
        let moment = self.moment();
        let reason = violation.reason();
        let sentence = Some(violation.sentence()).filter(|_| self.bounds.reason_strings);
        match (violation.answer(moment), moment) {
            (Answer::Connack(return_code), Moment::Connecting(version)) => {
                self.write_refusing_connack(version, reason, return_code, sentence, out);
            }
            (Answer::Disconnect, _) => write_disconnect(out, reason, sentence, self.recipient()),
            (Answer::Silence | Answer::Connack(_), _) => {}
        }
        self.close();
    }

    /// Nothing more is read or written; everything is given back, but for what outlives the connection.
    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.kept = Vec::new();
        self.line = Line::new();
        self.aliases = None;
        if !self.is_kept {
            self.open_ids = None;
            self.subscriptions = None;
            self.outbound = None;
        }
        self.partial_since_ms = NEVER;
    }
}

/// CONNACK in the layout of version 3.
pub(super) fn write_connack3(out: &mut Vec<u8>, session_present: bool, return_code: ReturnCode) {
    let first = PacketType::Connack.first_byte();
    out.extend_from_slice(&[first, 2, u8::from(session_present), return_code.byte()]);
}

/// Bytes of a version 5 CONNACK without properties.
pub(super) const CONNACK_SIZE_MIN: u32 = 5;
/// One and a half seconds for each second of keep alive (K-1).
pub(super) const KEEP_ALIVE_GRACE_MS: u32 = 1_500;
