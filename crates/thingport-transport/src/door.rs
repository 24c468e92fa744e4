//! The door through which every connection comes in, whatever carries its bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use thingport_core::journal::{Report, Subject};
use thingport_core::metrics::Bound;
use thingport_model::reason::Reason;
use thingport_model::security::Security;
use tokio::net::TcpStream;

use crate::config::TCP_USER_TIMEOUT_MS;
use crate::guest::Guest;
use crate::mqtt::connection::Connection;
use crate::proxy;
use crate::shared::{HandshakeSlot, Shared};
use crate::stream::{Bytes, Stream};
use crate::tls::Tls;

/// Serves MQTT on streams, each by a task of its own, within the bounds of one listener. Cheap to
/// clone.
#[derive(Clone)]
pub struct Door {
    shared: Arc<Shared>,
}

impl Door {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Serves a TCP stream that was just accepted, by `serve`, once it is known whom it comes from:
    /// with a proxy in front, that is said by the first bytes.
    pub(crate) fn arrive(&self, stream: TcpStream, peer: SocketAddr, serve: Serve) {
        let Some(proxy) = &self.shared.config.proxy else { return serve(self, stream, peer) };
        let is_trusted = proxy.trusted.iter().any(|network| network.contains(peer.ip()));
        if !is_trusted {
            return self.record(Reason::ProxyUntrusted, "", peer);
        }
        let Ok(place) = self.shared.proxy_headers.enter(peer.ip()) else {
            self.shared.node.metrics.count_bound(Bound::ProxyHeaders);
            return self.record(Reason::TooManyGuests, "", peer);
        };
        let door = self.clone();
        tokio::spawn(async move {
            door.read_proxy_header(stream, peer, serve).await;
            drop(place);
        });
    }

    async fn read_proxy_header(&self, mut stream: TcpStream, peer: SocketAddr, serve: Serve) {
        let patience = Duration::from_millis(self.shared.bounds.connect_timeout_ms);
        let header = tokio::select! {
            header = tokio::time::timeout(patience, proxy::read(&mut stream)) => header,
            () = self.shared.drain.begun() => return,
        };
        match header {
            Ok(Ok(Ok(Some(client)))) => serve(self, stream, client),
            // The proxy looks whether anybody is here, or it left: nobody's trouble.
            Ok(Ok(Ok(None)) | Err(_)) => {}
            Ok(Ok(Err(error))) => self.record(Reason::ProxyHeaderInvalid, error.detail(), peer),
            Err(_) => self.record(Reason::ProxyHeaderInvalid, "it did not arrive in time", peer),
        }
    }

    /// Serves MQTT on a stream that somebody else opened, such as a WebSocket. `security` is the
    /// outcome of its TLS handshake. The stream is dropped when there are too many connections.
    ///
    /// To be called within the runtime.
    pub fn serve_stream(
        &self,
        stream: impl Bytes + 'static,
        remote: SocketAddr,
        security: Option<Box<Security>>,
    ) {
        if let Some(guest) = self.admits(remote) {
            self.spawn(Stream::other(stream, security), remote, guest);
        }
    }

    /// Serves MQTT on a TCP stream as it is. `remote` is where the client is, which need not be
    /// where the stream comes from.
    pub fn serve_plain(&self, stream: TcpStream, remote: SocketAddr) {
        if let Some(guest) = self.admits(remote) {
            prepare(&stream);
            self.spawn(Stream::Plain(stream), remote, guest);
        }
    }

    /// Serves MQTT over TLS on a TCP stream. The stream is dropped when there is no listener with
    /// TLS or it is not ready, or when there are too many connections or handshakes.
    pub fn serve_tls(&self, stream: TcpStream, remote: SocketAddr) {
        let Some(config) = &self.shared.config.tls else { return };
        let Some(server) = config.server.borrow().clone() else { return };
        let Some(guest) = self.admits(remote) else { return };
        let node = &self.shared.node;
        let Some(slot) = HandshakeSlot::take(node, config.handshakes_max) else {
            node.metrics.count_bound(Bound::TlsHandshakes);
            self.record(Reason::TooManyHandshakes, "", remote);
            return;
        };
        prepare(&stream);
        match Tls::new(stream, server) {
            Ok(tls) => {
                let stream = Stream::Tls(Box::new(tls));
                let shared = Arc::clone(&self.shared);
                tokio::spawn(Connection::securing(stream, remote, shared, guest, slot));
            }
            Err(error) => {
                tracing::error!(%error, "a TLS handshake could not begin");
                self.record(Reason::Internal, "", remote);
            }
        }
    }

    fn spawn(&self, stream: Stream, remote: SocketAddr, guest: Box<Guest>) {
        tokio::spawn(Connection::new(stream, remote, Arc::clone(&self.shared), guest));
    }

    /// A place for one more; tells the journal when there is none.
    fn admits(&self, remote: SocketAddr) -> Option<Box<Guest>> {
        let node = &self.shared.node;
        let entered = if node.metrics.connections.value() < self.shared.config.connections_max {
            Guest::enter(node, remote.ip())
        } else {
            node.metrics.count_bound(Bound::ConnectionsMax);
            Err(Reason::TooManyConnections)
        };
        entered.map_err(|reason| self.record(reason, "", remote)).ok()
    }

    /// The largest packet a client may send, in bytes.
    pub(crate) fn packet_size_max(&self) -> usize {
        usize::try_from(self.shared.bounds.packet_size_max).unwrap_or(usize::MAX)
    }

    /// Keeps a refusal of somebody who has not logged in.
    pub(crate) fn record(&self, reason: Reason, detail: &str, remote: SocketAddr) {
        let remote = remote.to_string();
        self.shared.node.journal.record(&Report {
            subject: Subject::Stranger,
            reason,
            detail,
            remote: &remote,
            client_id: "",
            user_name: "",
            protocol: "MQTT",
            attempt: None,
        });
    }
}

/// How a stream is served once it is known whom it comes from.
type Serve = fn(&Door, TcpStream, SocketAddr);

/// Small answers must not wait for more; a dead peer must not be waited for. Should the system refuse
/// either, the connection works nonetheless.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let timeout = Duration::from_millis(TCP_USER_TIMEOUT_MS);
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(timeout));
}
