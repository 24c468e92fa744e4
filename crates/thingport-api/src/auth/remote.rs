//! From where a request came, as far as the connection tells.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use crate::api::Api;

/// The peer's address; none in tests without a network. Headers of proxies are not believed: anybody
/// may send them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote(pub(crate) Option<IpAddr>);

impl FromRequestParts<Arc<Api>> for Remote {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Self::Rejection> {
        let found = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(found.map(|ConnectInfo(address)| address.ip())))
    }
}

impl Remote {
    /// What failures are counted by. A machine has a whole /64 of IPv6 addresses. None for loopback:
    /// behind it stands a proxy, that is everybody.
    pub(crate) fn counted_by(self) -> Option<IpAddr> {
        match self.0?.to_canonical() {
            address if address.is_loopback() => None,
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                Some(IpAddr::V6(Ipv6Addr::from(network)))
            }
            address @ IpAddr::V4(_) => Some(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_machine() {
        let rows = [
            ("192.0.2.7", Some("192.0.2.7")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("2001:db8:1:2:3:4:5:6", Some("2001:db8:1:2::")),
            ("127.0.0.1", None),
            ("::1", None),
            ("::ffff:127.0.0.1", None),
        ];
        for (address, expected) in rows {
            let counted = Remote(Some(address.parse().expect(address))).counted_by();
            assert_eq!(counted.map(|it| it.to_string()).as_deref(), expected, "{address}");
        }
    }
}
