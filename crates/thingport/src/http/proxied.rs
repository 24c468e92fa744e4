//! Connections that come through a proxy, which says first whom it speaks for (PROXY protocol 1 and 2).

use std::net::SocketAddr;
use std::sync::Arc;

use thingport_core::guard::Network;
use thingport_core::guard::crowd::{Crowd, Place};
use thingport_core::journal::{Report, Subject};
use thingport_core::metrics::Bound;
use thingport_model::reason::Reason;
use thingport_transport::config::{PROXY_HEADERS_MAX, PROXY_HEADERS_PER_PEER_MAX};
use thingport_transport::proxy;
use tokio::net::TcpStream;

use super::Http;

/// The proxies that are believed, and places for connections whose header is waited for.
pub(crate) struct Proxies {
    trusted: Vec<Network>,
    places: Arc<Crowd>,
}

impl Proxies {
    /// Believes connections from these networks, and closes all others.
    pub(crate) fn new(trusted: Vec<Network>) -> Self {
        let places = Crowd::new(PROXY_HEADERS_MAX, PROXY_HEADERS_PER_PEER_MAX, Vec::new());
        Self { trusted, places }
    }
}

impl Http {
    /// A place to wait for the header of a connection; none when it does not come from a proxy, or when
    /// too many wait.
    pub(super) fn admit_proxy(&self, proxies: &Proxies, peer: SocketAddr) -> Option<Place> {
        if !proxies.trusted.iter().any(|network| network.contains(peer.ip())) {
            self.record(Reason::ProxyUntrusted, "", peer);
            return None;
        }
        let entered = proxies.places.enter(peer.ip());
        entered.inspect_err(|_| self.metrics.count_bound(Bound::ProxyHeaders)).ok()
    }

    /// Takes the header off a stream; whom it is for. A proxy that speaks for itself, such as to see
    /// whether anybody is here, is whom it is for.
    pub(super) async fn behind(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
    ) -> Option<SocketAddr> {
        let header = tokio::select! {
            header = tokio::time::timeout(self.arrival_timeout, proxy::read(stream)) => header,
            () = self.drain.begun() => return None,
        };
        let detail = match header {
            Ok(Ok(Ok(source))) => return Some(source.unwrap_or(peer)),
            // The proxy left: nobody's trouble.
            Ok(Err(_)) => return None,
            Ok(Ok(Err(error))) => error.detail(),
            Err(_) => "it did not arrive in time",
        };
        self.record(Reason::ProxyHeaderInvalid, detail, peer);
        None
    }

    fn record(&self, reason: Reason, detail: &str, remote: SocketAddr) {
        self.journal.record(&Report {
            subject: Subject::Stranger,
            reason,
            detail,
            remote: &remote.to_string(),
            client_id: "",
            user_name: "",
            protocol: "HTTP",
            attempt: None,
        });
    }
}
