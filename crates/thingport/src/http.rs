//! HTTP and HTTPS: accepts within bounds, gives every step a deadline, and ends in good order.
//!
//! A connection takes a place when it is accepted, before any byte of it, and gives it back when it
//! ends or becomes a WebSocket, which has bounds of its own.

mod paced;
mod proxied;
mod secure;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use thingport_core::guard::crowd::{Crowd, Full, Place};
use thingport_core::journal::Journal;
use thingport_core::metrics::{Bound, Metrics};
use thingport_model::security::Security;
use thingport_transport::drain::Drain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use paced::{Paced, Progress};
pub(crate) use proxied::Proxies;
use secure::Handshakes;

/// What the listeners of a process share.
#[derive(Clone)]
pub(crate) struct Http {
    pub(crate) routes: Router,
    pub(crate) places: Arc<Crowd>,
    /// Whose headers are believed, where every connection comes through a proxy.
    pub(crate) proxies: Option<Arc<Proxies>>,
    /// How long a handshake and the head of a request may each take.
    pub(crate) arrival_timeout: Duration,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) drain: Arc<Drain>,
}

impl Http {
    /// Serves plain connections until the drain begins, then until the last one has ended.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let http = Arc::new(self);
        http.accept(listener, |http, stream, remote, place, open| async move {
            http.converse(stream, remote, None).await;
            drop((place, open));
        })
        .await;
    }

    /// The same over TLS.
    pub(crate) async fn serve_tls(self, listener: TcpListener, config: Arc<ServerConfig>) {
        let http = Arc::new(self);
        let handshakes = Arc::new(Handshakes::new(config));
        http.accept(listener, move |http, stream, remote, place, open| {
            let handshakes = Arc::clone(&handshakes);
            async move {
                if let Some((stream, security)) = http.secure(&handshakes, stream, remote).await {
                    http.converse(stream, remote, Some(security)).await;
                }
                drop((place, open));
            }
        })
        .await;
    }

    async fn accept<F>(
        self: &Arc<Self>,
        listener: TcpListener,
        serve: impl Fn(Arc<Self>, TcpStream, SocketAddr, Place, Open) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve = Arc::new(serve);
        let (open, mut all_ended) = mpsc::channel(1);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.drain.begun() => break,
            };
            match accepted {
                Ok((mut stream, peer)) => {
                    // Small answers must not wait for more; should the system refuse, it works
                    // nonetheless.
                    let _ = stream.set_nodelay(true);
                    let (http, open) = (Arc::clone(self), open.clone());
                    let Some(proxies) = &self.proxies else {
                        let Some(place) = self.admit(peer) else { continue };
                        tokio::spawn(serve(http, stream, peer, place, open));
                        continue;
                    };
                    let Some(waiting) = self.admit_proxy(proxies, peer) else { continue };
                    let serve = Arc::clone(&serve);
                    tokio::spawn(async move {
                        let remote = http.behind(&mut stream, peer).await;
                        drop(waiting);
                        let Some(remote) = remote else { return };
                        let Some(place) = http.admit(remote) else { return };
                        serve(http, stream, remote, place, open).await;
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: let some close before trying again.
                    tracing::warn!(%error, "an HTTP connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop((listener, open));
        // Nobody sends: this waits until all connections have dropped their end.
        let _: Option<Infallible> = all_ended.recv().await;
    }

    fn admit(&self, remote: SocketAddr) -> Option<Place> {
        let entered = self.places.enter(remote.ip());
        let full = entered.inspect_err(|full| {
            self.metrics.count_bound(match full {
                Full::All => Bound::HttpConnections,
                Full::Address => Bound::HttpConnectionsPerAddress,
            });
            tracing::debug!(%remote, ?full, "an HTTP connection was closed at accept");
        });
        full.ok()
    }

    /// Answers requests on a stream until it ends, becomes a WebSocket or the drain begins.
    async fn converse<S>(&self, stream: S, remote: SocketAddr, security: Option<Security>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let progress = Arc::new(Progress::default());
        let (pace, metrics) = (Arc::clone(&progress), Arc::clone(&self.metrics));
        let stream = Paced::new(stream, self.arrival_timeout, pace, metrics);
        let service = service_fn(|mut request: Request<Incoming>| {
            let began = progress.begin();
            request.extensions_mut().insert(ConnectInfo(remote));
            if let Some(security) = &security {
                request.extensions_mut().insert(security.clone());
            }
            let answer = self.routes.clone().oneshot(request);
            async move {
                let answer = answer.await;
                began.answered(answer.as_ref().is_ok_and(|it| is_upgrade(it.status())));
                answer
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_MAX)
            .max_buf_size(BUFFER_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.drain.begun() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%remote, %error, "an HTTP connection broke off");
        }
    }
}

/// Held by each connection: the listener waits until all are dropped.
type Open = mpsc::Sender<Infallible>;

fn is_upgrade(status: hyper::StatusCode) -> bool {
    status.as_u16() == 101
}

/// How long a connection may stay open between two requests, as usual proxies expect.
const IDLE_MAX: Duration = Duration::from_secs(75);
/// Bytes of one request's head, and of what is read ahead: an address of 64 KiB and its headers.
const BUFFER_MAX: usize = 80 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
