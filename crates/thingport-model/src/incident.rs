//! Incidents: each refusal, rejected message and disconnect with its reason, kept so that a person can
//! ask why.

use core::net::IpAddr;

use crate::attempt::{Attempt, TEXT_MAX, cut};
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
    /// What a refused CONNECT showed; none for everything else. Boxed, because few have it.
    pub attempt: Option<Box<Attempt>>,
}

/// Who caused an incident, as far as one may push out another's: a device, or a network peer. Of an
/// IPv6 address the first half counts, since one peer has the other half to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A known device.
    Device(DeviceId),
    /// A peer with this address, or its network.
    Peer(IpAddr),
    /// A peer whose address is not known.
    Unknown,
}

impl Incident {
    /// Most bytes kept of each text.
    pub const DETAIL_MAX: usize = TEXT_MAX;

    /// Who caused it.
    #[must_use]
    pub fn source(&self) -> Source {
        Source::of(self.device, &self.remote)
    }

    /// Cuts `text` to [`Self::DETAIL_MAX`] bytes at a character boundary.
    #[must_use]
    pub fn bounded(text: &str) -> String {
        cut(text)
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

impl Source {
    /// The device if it is known, otherwise the peer at `remote`.
    #[must_use]
    pub fn of(device: Option<DeviceId>, remote: &str) -> Self {
        match (device, address(remote)) {
            (Some(device), _) => Self::Device(device),
            (None, Some(IpAddr::V6(whole))) => {
                let network = whole.to_bits() & !u128::from(u64::MAX);
                Self::Peer(IpAddr::V6(network.into()))
            }
            (None, Some(address)) => Self::Peer(address),
            (None, None) => Self::Unknown,
        }
    }
}

/// The address in `ip:port`, `[ip]:port` or `ip`; an IPv4 address in IPv6 clothes is the IPv4 address.
#[must_use]
pub fn address(remote: &str) -> Option<IpAddr> {
    let text = remote.trim();
    let socket = text.parse::<core::net::SocketAddr>().map(|it| it.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    socket.or_else(|_| bare.parse()).ok().map(|it: IpAddr| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_port() {
        let rows = [
            ("192.0.2.7:1883", Some("192.0.2.7")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("[2001:db8::1]:1883", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[::ffff:192.0.2.7]:5", Some("192.0.2.7")),
            ("host:5", None),
            ("", None),
        ];
        for (text, wanted) in rows {
            assert_eq!(address(text), wanted.map(|it| it.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_peer_is_its_address_or_its_ipv6_network() {
        let same = |a, b| Source::of(None, a) == Source::of(None, b);
        assert!(same("192.0.2.7:1", "192.0.2.7:2"));
        assert!(!same("192.0.2.7:1", "192.0.2.8:1"));
        assert!(same("[2001:db8::1]:1", "[2001:db8::ffff:1]:1"));
        assert!(!same("[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1"));
        assert_eq!(Source::of(None, "?"), Source::Unknown);
    }

    #[test]
    fn a_masked_token_cannot_be_used_and_long_text_is_cut() {
        assert_eq!(Incident::masked(""), "");
        assert_eq!(Incident::masked("short"), "*** (5 characters)");
        assert_eq!(Incident::masked("A1_TEST_TOKEN"), "A1_T*** (13 characters)");
        assert_eq!(Incident::bounded(&"\u{e9}".repeat(200)).len(), 256);
        assert_eq!(Incident::bounded(&format!("a{}", "\u{e9}".repeat(200))).len(), 255);
    }
}
