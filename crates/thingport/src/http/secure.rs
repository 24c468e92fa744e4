//! TLS under HTTP: a bound on handshakes under way and a deadline for each.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use thingport_core::metrics::Bound;
use thingport_model::security::Security;
use thingport_transport::tls::security;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Http;

/// Handshakes under way.
pub(super) struct Handshakes {
    acceptor: TlsAcceptor,
    places: Semaphore,
}

impl Handshakes {
    pub(super) fn new(config: Arc<ServerConfig>) -> Self {
        Self { acceptor: TlsAcceptor::from(config), places: Semaphore::new(HANDSHAKES_MAX) }
    }
}

impl Http {
    /// The stream after its handshake and what that agreed on; none when there was none.
    pub(super) async fn secure(
        &self,
        handshakes: &Handshakes,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> Option<(TlsStream<TcpStream>, Security)> {
        let Ok(_place) = handshakes.places.try_acquire() else {
            self.metrics.count_bound(Bound::HttpsHandshakes);
            return None;
        };
        let shaking =
            tokio::time::timeout(self.arrival_timeout, handshakes.acceptor.accept(stream));
        let shaken = tokio::select! {
            shaken = shaking => shaken,
            () = self.drain.begun() => return None,
        };
        match shaken {
            Ok(Ok(stream)) => {
                let security = *security(stream.get_ref().1);
                return Some((stream, security));
            }
            Ok(Err(error)) => tracing::debug!(%remote, %error, "an HTTPS handshake failed"),
            Err(_) => tracing::debug!(%remote, "an HTTPS handshake took too long"),
        }
        None
    }
}

/// Handshakes at the same time; each takes some tens of KiB while it lasts.
const HANDSHAKES_MAX: usize = 1_024;
