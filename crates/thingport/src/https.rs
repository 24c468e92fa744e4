//! HTTPS: TLS under the people's side, with a bound on handshakes and a deadline for each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::serve::{IncomingStream, Listener};
use rustls::ServerConfig;
use thingport_core::metrics::{Bound, Metrics};
use thingport_model::security::Security;
use thingport_transport::tls::security;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Streams whose handshake is done.
pub(crate) struct HttpsListener {
    address: SocketAddr,
    streams: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl HttpsListener {
    /// Accepts on `listener` from now on. To be called within the runtime.
    ///
    /// # Errors
    /// When the system does not know where it listens.
    pub(crate) fn new(
        listener: TcpListener,
        config: Arc<ServerConfig>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, streams) = mpsc::channel(READY_MAX);
        tokio::spawn(accept(listener, TlsAcceptor::from(config), sender, metrics));
        Ok(Self { address, streams })
    }
}

impl Listener for HttpsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.streams.recv().await {
            Some(ready) => ready,
            // The accepting task ends only with this listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

type Ready = mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>;

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, ready: Ready, metrics: Arc<Metrics>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        // Beyond the bound, connections wait in the system's queue.
        if places.available_permits() == 0 {
            metrics.count_bound(Bound::HttpsHandshakes);
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                let (acceptor, ready) = (acceptor.clone(), ready.clone());
                tokio::spawn(shake_hands(stream, remote, acceptor, ready, place));
            }
            Err(error) => {
                // Out of descriptors, most likely: let some close before trying again.
                tracing::warn!(%error, "an HTTPS connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: TlsAcceptor,
    ready: Ready,
    place: OwnedSemaphorePermit,
) {
    // Small answers must not wait for more; should the system refuse, it works nonetheless.
    let _ = stream.set_nodelay(true);
    match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        // The place is kept until the stream is handed over, so that no more can wait for that.
        Ok(Ok(stream)) => drop(ready.send((stream, remote)).await),
        Ok(Err(error)) => tracing::debug!(%remote, %error, "an HTTPS handshake failed"),
        Err(_) => tracing::debug!(%remote, "an HTTPS handshake took too long"),
    }
    drop(place);
}

/// Who sent a request and how it is secured, in the form the listener's library asks for.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    remote: SocketAddr,
    security: Security,
}

impl Connected<IncomingStream<'_, HttpsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, HttpsListener>) -> Self {
        let (_, session) = stream.io().get_ref();
        Self { remote: *stream.remote_addr(), security: *security(session) }
    }
}

/// Tells the routes who sent a request the way the plain listener does, and how it was secured.
pub(crate) async fn as_plain(
    ConnectInfo(Peer { remote, security }): ConnectInfo<Peer>,
    mut request: Request,
) -> Request {
    request.extensions_mut().insert(ConnectInfo(remote));
    request.extensions_mut().insert(security);
    request
}

/// Handshakes at the same time; each takes some tens of KiB while it lasts.
const HANDSHAKES_MAX: usize = 1_024;
/// How long one may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Streams that may wait to be served.
const READY_MAX: usize = 16;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
