//! Incidents: each refusal, rejected message and disconnect with its reason, kept so that a person can
//! ask why.

use crate::id::DeviceId;
use crate::reason::Reason;
use crate::time::Timestamp;

/// One refusal, rejection or disconnect.
///
/// Texts are bounded when the incident is made; see [`Incident::DETAIL_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// When it last happened.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// What exactly was wrong this time, without secrets: the offending topic, key, number.
    pub detail: String,
    /// Which device, when it was known; an incident is also kept with the device's tenant.
    pub device: Option<DeviceId>,
    /// Address of the peer, `ip:port`.
    pub remote: String,
    /// Client id as sent, when known.
    pub client_id: String,
    /// User name as sent with all but its first characters hidden, when known.
    pub user_name: String,
    /// `MQTT 3.1.1`, `MQTT 5`, `HTTP`, ...
    pub protocol: String,
    /// How often the same thing happened since `first_at`; at least 1.
    pub count: u32,
    /// When it first happened.
    pub first_at: Timestamp,
}

impl Incident {
    /// Most bytes kept of each text.
    pub const DETAIL_MAX: usize = 256;

    /// Cuts `text` to [`Self::DETAIL_MAX`] bytes at a character boundary.
    #[must_use]
    pub fn bounded(text: &str) -> String {
        if text.len() <= Self::DETAIL_MAX {
            return text.to_owned();
        }
        let mut end = Self::DETAIL_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.get(..end).unwrap_or_default().to_owned()
    }

    /// A user name made safe to show: an access token is a secret, so at most its first four
    /// characters remain, and nothing of a short one.
    #[must_use]
    pub fn masked(user_name: &str) -> String {
        let count = user_name.chars().count();
        let shown = if count >= 12 { 4 } else { 0 };
        let head: String = user_name.chars().take(shown).collect();
        if count == 0 { head } else { format!("{head}*** ({count} characters)") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_token_cannot_be_used_and_long_text_is_cut() {
        assert_eq!(Incident::masked(""), "");
        assert_eq!(Incident::masked("short"), "*** (5 characters)");
        assert_eq!(Incident::masked("A1_TEST_TOKEN"), "A1_T*** (13 characters)");
        assert_eq!(Incident::bounded(&"\u{e9}".repeat(200)).len(), 256);
        assert_eq!(Incident::bounded(&format!("a{}", "\u{e9}".repeat(200))).len(), 255);
    }
}
