//! What a trace shows of one packet, in no protocol's words but those it was given.
//!
//! Whoever makes a record names kind and fields as the protocol does. Here they are only bounded and
//! freed of secrets.

use thingport_model::reading::Reading;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;

use super::scrub::Scrub;

/// One packet, or something that happened without one.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Counts the records of a trace from 1.
    pub number: u64,
    /// When it was read or written.
    pub at: Timestamp,
    /// Tells connections apart; none where there is no lasting one.
    pub connection: Option<u64>,
    /// Which way it went.
    pub direction: Direction,
    /// `MQTT 3.1.1`, `HTTP`, ...
    pub protocol: &'static str,
    /// The packet itself.
    pub packet: Packet,
    /// What the device said by it.
    pub meaning: Option<Meaning>,
    /// Why it, or a part of it, was not taken; and what else was noted about it.
    pub reasons: Vec<Why>,
    /// What became of it.
    pub verdict: Verdict,
    /// Codes it was answered with, as they stood on the wire.
    pub answered: Vec<u16>,
}

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the device.
    In,
    /// To the device.
    Out,
    /// There was no packet.
    None,
}

/// A packet as far as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packet {
    /// Its name in the protocol.
    pub kind: &'static str,
    /// Bytes on the wire, without those of TLS or WebSocket; 0 where nobody knows.
    pub size: usize,
    /// Its fields, named as in the protocol.
    pub fields: Vec<(&'static str, Shown)>,
    /// What it carried.
    pub payload: Option<Payload>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Several texts.
    Texts(Vec<String>),
    /// Several numbers.
    Numbers(Vec<u64>),
}

/// What a packet carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// How many bytes there were.
    pub size: usize,
    /// Those that are kept: the first ones, or none when they are secret as a whole.
    pub bytes: Vec<u8>,
    /// JSON text of what they say, where the bytes are no JSON themselves.
    pub decoded: Option<String>,
    /// Bytes are missing because there were too many.
    pub is_cut: bool,
    /// Something is left out because it is secret.
    pub is_redacted: bool,
}

/// What a device said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meaning {
    /// `telemetry`, `attributes`, `claim`, ...
    pub endpoint: &'static str,
    /// Number of the call or of the question.
    pub number: Option<u32>,
    /// What was called.
    pub method: Option<String>,
    /// Readings or attributes, the first ones.
    pub readings: Vec<Reading>,
    /// How many there were.
    pub readings_count: usize,
}

/// A reason, and what exactly was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The reason.
    pub reason: Reason,
    /// What exactly, this time.
    pub detail: String,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There was nothing to judge.
    None,
    /// It is not known yet.
    Open,
    /// It was taken; nothing of it had to be kept. Of a packet to the device: it has it.
    Accepted,
    /// It was taken and is durable since then.
    Committed {
        /// Since when.
        at: Timestamp,
    },
    /// It, or a part of it, was not taken; the reasons say why.
    Refused,
}

impl Direction {
    /// Lower-case word for REST.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::None => "none",
        }
    }
}

impl Verdict {
    /// Lower-case word for REST.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Committed { .. } => "committed",
            Self::Refused => "refused",
        }
    }
}

impl Why {
    /// Whether this reason means that something was not taken.
    pub(super) fn is_refusal(&self) -> bool {
        self.reason != Reason::RateSlowed && !self.reason.is_ordinary()
    }
}

impl Packet {
    /// Frees it of secrets and bounds its texts. Says whether its payload was cut.
    pub(super) fn tidy(&mut self, scrub: &Scrub) -> bool {
        for (_, shown) in &mut self.fields {
            match shown {
                Shown::Text(text) => tidy(text, TEXT_MAX, scrub),
                Shown::Texts(texts) => {
                    texts.truncate(LIST_MAX);
                    texts.iter_mut().for_each(|text| tidy(text, TEXT_MAX, scrub));
                }
                Shown::Numbers(numbers) => numbers.truncate(LIST_MAX),
                Shown::Number(_) | Shown::Flag(_) => {}
            }
        }
        self.payload.as_mut().is_some_and(|payload| payload.tidy(scrub))
    }

    /// Bytes it takes, about.
    pub(super) fn weight(&self) -> usize {
        let fields = self.fields.iter().map(|(name, shown)| name.len() + 40 + shown.weight());
        let payload = self.payload.as_ref();
        let decoded = |it: &Payload| it.decoded.as_ref().map_or(0, String::len);
        fields.sum::<usize>() + payload.map_or(0, |it| it.bytes.len() + decoded(it))
    }
}

impl Shown {
    fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Texts(texts) => texts.iter().map(|text| text.len() + 24).sum(),
            Self::Numbers(numbers) => numbers.len() * 8,
            Self::Number(_) | Self::Flag(_) => 0,
        }
    }
}

impl Payload {
    /// All of it, or its beginning.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        // A little more than is kept, so that a secret at the end of what is kept is found whole.
        let kept = bytes.len().min(PAYLOAD_MAX + SECRET_MAX);
        let is_cut = kept < bytes.len();
        let kept = bytes.get(..kept).unwrap_or_default().to_vec();
        Self { size: bytes.len(), bytes: kept, is_cut, ..Self::default() }
    }

    /// Nothing of it, because all of it may be secret.
    #[must_use]
    pub fn hidden(size: usize) -> Self {
        Self { size, is_redacted: true, ..Self::default() }
    }

    fn tidy(&mut self, scrub: &Scrub) -> bool {
        self.is_redacted |= scrub.bytes(&mut self.bytes);
        self.is_cut |= self.bytes.len() > PAYLOAD_MAX;
        self.bytes.truncate(PAYLOAD_MAX);
        self.bytes.shrink_to_fit();
        if let Some(decoded) = &mut self.decoded {
            self.is_redacted |= scrub.text(decoded);
            // Cut JSON is no JSON.
            if decoded.len() > PAYLOAD_MAX {
                self.decoded = None;
            }
        }
        self.is_cut
    }
}

impl Meaning {
    /// Something with a name.
    #[must_use]
    pub fn named(endpoint: &'static str) -> Self {
        Self { endpoint, ..Self::default() }
    }

    pub(super) fn tidy(&mut self, scrub: &Scrub) {
        self.readings.truncate(READINGS_MAX);
        for Reading { key, value, .. } in &mut self.readings {
            tidy(key, TEXT_MAX, scrub);
            match value {
                Value::String(text) | Value::Json(text) => tidy(text, TEXT_MAX, scrub),
                _ => {}
            }
        }
        if let Some(method) = &mut self.method {
            tidy(method, TEXT_MAX, scrub);
        }
    }

    pub(super) fn weight(&self) -> usize {
        let text = |reading: &Reading| match &reading.value {
            Value::String(text) | Value::Json(text) => text.len(),
            _ => 0,
        };
        let readings =
            self.readings.iter().map(|it| size_of::<Reading>() + it.key.len() + text(it));
        readings.sum::<usize>() + self.method.as_ref().map_or(0, String::len)
    }
}

/// Frees a text of secrets and cuts it where it is too long.
pub(super) fn tidy(text: &mut String, max: usize, scrub: &Scrub) {
    scrub.text(text);
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.push_str("...");
    }
}

/// Bytes of a payload that are kept (`trace_payload_max`); its true length is kept, too.
pub const PAYLOAD_MAX: usize = 4 * 1024;
/// Readings of one packet that are shown; their number is kept, too.
pub const READINGS_MAX: usize = 50;
/// Bytes of one text: a topic, a client id, the value of a reading.
pub(super) const TEXT_MAX: usize = 512;
/// Filters or codes of one packet.
const LIST_MAX: usize = 64;
/// Longest secret that is found where a payload is cut.
const SECRET_MAX: usize = 512;
