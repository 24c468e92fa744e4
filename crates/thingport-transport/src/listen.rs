//! Listeners: accept within bounds, hand each socket to a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thingport_core::node::Node;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::Config;
use crate::door::Door;
use crate::drain::Drain;
use crate::shared::{Dialects, Shared};
use crate::timers::{TICK_MS, Timers};

/// A listener that is open.
pub struct Listener {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Listener {
    /// Opens the listener.
    ///
    /// # Errors
    /// When the address cannot be bound. To be called within the runtime.
    pub fn bind(config: Config, node: Arc<Node>, drain: Arc<Drain>) -> io::Result<Self> {
        let socket = match config.bind {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restart must not wait for connections of the former process to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(config.bind)?;
        let listener = socket.listen(BACKLOG)?;
        let bounds = Arc::new(config.bounds.clone());
        let (timers, dialects) = (Timers::default(), Dialects::default());
        let shared = Arc::new(Shared { node, config, bounds, timers, drain, dialects });
        Ok(Self { listener, shared })
    }

    /// Where it listens, with the port the system chose.
    ///
    /// # Errors
    /// When the system does not know.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The door to its connections, for streams that come in another way.
    #[must_use]
    pub fn door(&self) -> Door {
        Door::new(Arc::clone(&self.shared))
    }

    /// Serves connections until the drain begins, then until the last one has ended. The caller
    /// decides how long it waits for that.
    pub async fn serve(self) {
        let Self { listener, shared } = self;
        let door = Door::new(Arc::clone(&shared));
        let ticking = tokio::spawn(tick(Arc::clone(&shared)));
        tokio::select! {
            () = accept(&listener, &door) => {}
            () = shared.drain.begun() => {}
        }
        drop(listener);
        while shared.node.metrics.connections.value() > 0 {
            shared.timers.wake_all();
            tokio::time::sleep(DRAIN_STEP).await;
        }
        ticking.abort();
    }
}

async fn accept(listener: &TcpListener, door: &Door) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => door.serve_plain(stream, remote),
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
