//! Listeners: accept within bounds, hand each socket to a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thingport_core::guard::crowd::Crowd;
use thingport_core::node::Node;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::config::{Config, PROXY_HEADERS_MAX, PROXY_HEADERS_PER_PEER_MAX, TlsConfig};
use crate::door::Door;
use crate::drain::Drain;
use crate::shared::{Dialects, Shared};
use crate::timers::{TICK_MS, Timers};

/// The listeners that are open.
pub struct Listener {
    plain: TcpListener,
    tls: Option<TcpListener>,
    shared: Arc<Shared>,
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub enum BindError {
    /// That of plain MQTT.
    Plain(io::Error),
    /// That of MQTT over TLS.
    Tls(io::Error),
}

impl Listener {
    /// Opens the listeners.
    ///
    /// # Errors
    /// When an address cannot be bound. To be called within the runtime.
    pub fn bind(config: Config, node: Arc<Node>, drain: Arc<Drain>) -> Result<Self, BindError> {
        let plain = open(config.bind).map_err(BindError::Plain)?;
        let tls = config.tls.as_ref().map(|tls| open(tls.bind)).transpose();
        let tls = tls.map_err(BindError::Tls)?;
        let bounds = Arc::new(config.bounds.clone());
        let proxy_headers = Crowd::new(PROXY_HEADERS_MAX, PROXY_HEADERS_PER_PEER_MAX, Vec::new());
        let (timers, dialects) = (Timers::default(), Dialects::default());
        let shared =
            Arc::new(Shared { node, config, bounds, timers, drain, dialects, proxy_headers });
        Ok(Self { plain, tls, shared })
    }

    /// Where plain MQTT is listened for, with the port the system chose.
    ///
    /// # Errors
    /// When the system does not know.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.plain.local_addr()
    }

    /// Where MQTT over TLS is listened for, if it is.
    ///
    /// # Errors
    /// When the system does not know.
    pub fn tls_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.tls.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// The door to its connections, for streams that come in another way.
    #[must_use]
    pub fn door(&self) -> Door {
        Door::new(Arc::clone(&self.shared))
    }

    /// Serves connections until the drain begins, then until the last one has ended. The caller
    /// decides how long it waits for that.
    pub async fn serve(self) {
        let Self { plain, tls, shared } = self;
        let door = Door::new(Arc::clone(&shared));
        let ticking = tokio::spawn(tick(Arc::clone(&shared)));
        tokio::select! {
            () = accept(&plain, |stream, peer| door.arrive(stream, peer, Door::serve_plain)) => {}
            () = accept_tls(tls.as_ref(), &door, shared.config.tls.as_ref()) => {}
            () = shared.drain.begun() => {}
        }
        drop((plain, tls));
        while shared.node.metrics.connections.value() > 0 {
            shared.timers.wake_all();
            tokio::time::sleep(DRAIN_STEP).await;
        }
        ticking.abort();
    }
}

fn open(bind: SocketAddr) -> io::Result<TcpListener> {
    let socket = match bind {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for connections of the former process to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(bind)?;
    socket.listen(BACKLOG)
}

async fn accept_tls(listener: Option<&TcpListener>, door: &Door, config: Option<&TlsConfig>) {
    let (Some(listener), Some(config)) = (listener, config) else {
        return core::future::pending().await;
    };
    // The roof dropped its end without a set-up: it is about to stop.
    if config.server.clone().wait_for(Option::is_some).await.is_err() {
        return core::future::pending().await;
    }
    accept(listener, |stream, peer| door.arrive(stream, peer, Door::serve_tls)).await
}

async fn accept(listener: &TcpListener, serve: impl Fn(TcpStream, SocketAddr)) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => serve(stream, remote),
            Err(error) => {
                // Out of descriptors, most likely: let some close before trying again.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn tick(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(Duration::from_millis(TICK_MS));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        shared.timers.tick(shared.node.clock.monotonic_ms());
    }
}

/// Connections that may wait to be accepted: a storm after a restart arrives all at once.
const BACKLOG: u32 = 4096;
const DRAIN_STEP: Duration = Duration::from_millis(20);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
