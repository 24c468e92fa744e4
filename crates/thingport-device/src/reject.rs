//! Why a message or a subscription is of no use, in words of the device API.

use core::fmt;

use thingport_model::reason::Reason;

/// A refusal: the reason of the closed list, and what exactly was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Which of the closed list.
    pub reason: Reason,
    /// Position, key or number at fault; short, printable, at most a few hundred bytes. May be empty.
    pub detail: String,
}

/// How the transport answers (device API 0.2): the answer depends on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// E-FORMAT: the body, or the number in the topic, could not be decoded (P-11, P-12).
    Format,
    /// E-TOPIC: the topic means nothing for this device (P-9).
    Topic,
    /// A gateway topic used by a device that is not a gateway (P-10).
    NotAllowed,
    /// One filter of a SUBSCRIBE packet is refused (U-6, U-7; U-8 when the reason is `FilterShared`).
    Filter,
}

impl Reject {
    /// A refusal with its detail.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// Which class of failure this is.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self.reason {
            Reason::TopicUnknown | Reason::TopicNotServed => Class::Topic,
            Reason::NotAGateway => Class::NotAllowed,
            Reason::FilterUnknown | Reason::FilterInvalid | Reason::FilterShared => Class::Filter,
            // TopicInvalid is used here for request ids only (JS-079); all the rest is about bodies.
            _ => Class::Format,
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.sentence())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

impl core::error::Error for Reject {}

/// `text` between quotation marks, cut and made printable, fit for a detail.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push_str("...");
    }
    format!("\"{shown}\"")
}

/// Most characters of a device's text that a detail repeats.
const SHOWN_MAX: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_short_and_printable() {
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
        assert!(quoted(&"\u{0}".repeat(10_000)).len() < 400);
        assert!(quoted(&"x".repeat(49)).ends_with("...\""));
    }

    #[test]
    fn a_refusal_explains_itself() {
        let plain = Reject::new(Reason::TopicUnknown, "");
        assert_eq!(plain.to_string(), Reason::TopicUnknown.sentence());
        let detailed = Reject::new(Reason::PayloadNumber, "1e999");
        assert!(detailed.to_string().ends_with("(1e999)"));
    }
}
