//! What the roof decides about the devices' side.

use std::net::SocketAddr;

use thingport_device::payload::Typing;
use thingport_mqtt::limits::Bounds;

/// One MQTT listener.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// Connections of this process; further ones are closed at accept.
    pub connections_max: u64,
    /// What each session is granted.
    pub bounds: Bounds,
    /// How values of devices are typed.
    pub typing: Typing,
}

/// Bytes read from one socket at once; one buffer per thread.
pub const READ_BUFFER: usize = 128 * 1024;
/// Bytes that may wait for a client that does not read (L-13).
pub const UNSENT_MAX: usize = 256 * 1024;
/// How long a client may leave them unread (L-13).
pub const UNSENT_STALL_MS: u64 = 10_000;
/// How long the last packet to a client may take to arrive before the socket is closed (D-5).
pub const LINGER_MS: u64 = 1_000;
/// Bytes thrown away meanwhile (D-5).
pub const LINGER_BYTES: usize = 64 * 1024;
/// How long the kernel keeps trying to deliver before it gives up on a dead peer (L-10).
pub const TCP_USER_TIMEOUT_MS: u64 = 30_000;
