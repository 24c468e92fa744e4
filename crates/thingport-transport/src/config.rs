//! What the roof decides about the devices' side.

use core::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use thingport_core::guard::Network;
use thingport_device::payload::Typing;
use thingport_mqtt::limits::Bounds;
use tokio::sync::watch;

/// The MQTT listeners.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// The listener with TLS, if there is one.
    pub tls: Option<TlsConfig>,
    /// Every connection comes through a proxy that says who it is for, on both listeners.
    pub proxy: Option<ProxyConfig>,
    /// Connections of this process; further ones are closed at accept.
    pub connections_max: u64,
    /// What each session is granted.
    pub bounds: Bounds,
    /// How values of devices are typed.
    pub typing: Typing,
    /// Close a connection when a rate limit refuses its message (P-22); otherwise MQTT 5 clients are
    /// told and stay (RL-028).
    pub rate_limit_disconnect: bool,
    /// Answer session present with the opposite of clean start (device API LS-041) instead of the truth.
    pub mirror_session_present: bool,
    /// Tell errors of software on a topic of their own instead of that of firmware (OT-018).
    pub software_errors_apart: bool,
    /// Edge nodes of Sparkplug B.
    pub sparkplug: SparkplugConfig,
    /// How long a provisioning session may stay without a request, and after its first answer (PR-004,
    /// PR-008), in milliseconds.
    pub provisioning_timeout_ms: u64,
}

/// What holds for edge nodes of Sparkplug B.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparkplugConfig {
    /// The name of the host in the topic of STATE; no `+`, `/` or `#`.
    pub host_id: String,
    /// How long a gap in the numbers of messages may stay open; 0: nothing is held back.
    pub reorder_timeout_ms: u64,
    /// Whether a birth without bdSeq is refused.
    pub requires_bd_seq: bool,
    /// Whether commands are sent with quality of service 1.
    pub confirms_commands: bool,
    /// Metrics of one payload, and of an edge node with its devices.
    pub metrics_max: usize,
    /// Whether a will with quality of service 0 is refused.
    pub strict_wills: bool,
}

impl Default for SparkplugConfig {
    fn default() -> Self {
        Self {
            host_id: "thingport".to_owned(),
            reorder_timeout_ms: 2_000,
            requires_bd_seq: false,
            confirms_commands: false,
            metrics_max: 10_000,
            strict_wills: false,
        }
    }
}

/// Connections that begin with a PROXY header (device API LS-004).
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Where proxies are. What comes from elsewhere is closed.
    pub trusted: Vec<Network>,
}

/// The MQTT listener with TLS.
#[derive(Clone)]
pub struct TlsConfig {
    /// Address to listen on; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// How handshakes are done, made by [`crate::tls::server_config`]. Until there is one, connections
    /// wait to be accepted, so that the listener can be opened before keys are at hand. What is sent
    /// later is used by the handshakes that begin afterwards.
    pub server: watch::Receiver<Option<Arc<ServerConfig>>>,
    /// Handshakes under way at once; further connections are closed at accept (L-11).
    pub handshakes_max: u64,
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the library shows of its set-up helps nobody.
        f.debug_struct("TlsConfig")
            .field("bind", &self.bind)
            .field("handshakes_max", &self.handshakes_max)
            .finish_non_exhaustive()
    }
}

/// Handshakes under way at once, unless the operator decides otherwise.
pub const TLS_HANDSHAKES_MAX: u64 = 2_000;
/// How long a TLS handshake may take (L-1).
pub const TLS_HANDSHAKE_MS: u64 = 10_000;
/// How long handshake and CONNECT may take together (L-1), unless CONNECT alone may take longer.
pub const TLS_CONNECT_MS: u64 = 15_000;
/// Bytes read from one socket at once; one buffer per thread.
pub const READ_BUFFER: usize = 128 * 1024;
/// Bytes that may wait for a client that does not read (L-13).
pub const UNSENT_MAX: usize = 256 * 1024;
/// How long a client may leave them unread (L-13).
pub const UNSENT_STALL_MS: u64 = 10_000;
/// PROXY headers waited for at once; further connections are closed at accept.
pub const PROXY_HEADERS_MAX: u32 = 2_000;
/// The same from one peer.
pub const PROXY_HEADERS_PER_PEER_MAX: u32 = 1_000;
/// How long the last packet to a client may take to arrive before the socket is closed (D-5).
pub const LINGER_MS: u64 = 1_000;
/// Bytes thrown away meanwhile (D-5).
pub const LINGER_BYTES: usize = 64 * 1024;
/// How long the kernel keeps trying to deliver before it gives up on a dead peer (L-10).
pub const TCP_USER_TIMEOUT_MS: u64 = 30_000;
