//! The door through which every connection comes in, whatever carries its bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::UnbufferedServerConnection;
use socket2::SockRef;
use thingport_core::journal::{Report, Subject};
use thingport_core::metrics::Bound;
use thingport_model::reason::Reason;
use thingport_model::security::Security;
use tokio::net::TcpStream;

use crate::config::TCP_USER_TIMEOUT_MS;
use crate::mqtt::connection::Connection;
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
        if self.admits(remote) {
            self.spawn(Stream::other(stream, security), remote);
        }
    }

    /// Serves MQTT on a TCP stream as it is. `remote` is where the client is, which need not be
    /// where the stream comes from.
    pub fn serve_plain(&self, stream: TcpStream, remote: SocketAddr) {
        if self.admits(remote) {
            prepare(&stream);
            self.spawn(Stream::Plain(stream), remote);
        }
    }

    /// Serves MQTT over TLS on a TCP stream. The stream is dropped when there is no listener with
    /// TLS, or when there are too many connections or handshakes.
    pub fn serve_tls(&self, stream: TcpStream, remote: SocketAddr) {
        let Some(config) = &self.shared.config.tls else { return };
        if !self.admits(remote) {
            return;
        }
        let node = &self.shared.node;
        let Some(slot) = HandshakeSlot::take(node, config.handshakes_max) else {
            node.metrics.count_bound(Bound::TlsHandshakes);
            self.record(Reason::TooManyHandshakes, remote);
            return;
        };
        match UnbufferedServerConnection::new(config.server.load_full()) {
            Ok(session) => {
                prepare(&stream);
                let stream = Stream::Tls(Box::new(Tls::new(stream, session)));
                let shared = Arc::clone(&self.shared);
                tokio::spawn(Connection::securing(stream, remote, shared, slot));
            }
            Err(error) => {
                tracing::error!(%error, "a TLS handshake could not begin");
                self.record(Reason::Internal, remote);
            }
        }
    }

    fn spawn(&self, stream: Stream, remote: SocketAddr) {
        tokio::spawn(Connection::new(stream, remote, Arc::clone(&self.shared)));
    }

    /// Whether there is room for one more; tells the journal when there is not.
    fn admits(&self, remote: SocketAddr) -> bool {
        let node = &self.shared.node;
        if node.metrics.connections.value() < self.shared.config.connections_max {
            return true;
        }
        node.metrics.count_bound(Bound::ConnectionsMax);
        self.record(Reason::TooManyConnections, remote);
        false
    }

    fn record(&self, reason: Reason, remote: SocketAddr) {
        let remote = remote.to_string();
        self.shared.node.journal.record(&Report {
            subject: Subject::Stranger,
            reason,
            detail: "",
            remote: &remote,
            client_id: "",
            user_name: "",
            protocol: "MQTT",
            attempt: None,
        });
    }
}

/// Small answers must not wait for more; a dead peer must not be waited for. Should the system refuse
/// either, the connection works nonetheless.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let timeout = Duration::from_millis(TCP_USER_TIMEOUT_MS);
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(timeout));
}
