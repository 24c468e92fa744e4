//! What this server grants a client.

/// Bounds of one listener, shared by all its sessions. [`Bounds::default`] is the table of
/// section 9 of the conformance document; times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Largest Remaining Length of a packet (L-2, F-5), advertised as Maximum Packet Size.
    pub packet_size_max: u32,
    /// Publications of quality of service 1 and 2 in work at once (P-16). Version 5 clients are
    /// told, and disconnected when they exceed it; for older ones the session stops reading.
    pub receive_maximum: u16,
    /// Topic aliases a version 5 client may set (L-6). 0 turns them off.
    pub topic_alias_maximum: u16,
    /// Unacknowledged publications towards the client, also bounded by its receive maximum (O-4).
    pub inflight_max: u16,
    /// Publications that wait for the window, in messages; a further one is refused.
    pub waiting_max: u16,
    /// Publications that wait for the window, in bytes of topic and payload (L-13).
    pub waiting_bytes_max: u32,
    /// Time from accept to a complete CONNECT (L-1).
    pub connect_timeout_ms: u64,
    /// Time from the first byte of a packet to its last (F-14).
    pub packet_timeout_ms: u64,
    /// Time without a complete packet after which the session ends (K-3). 0 turns it off.
    pub inactivity_timeout_ms: u64,
    /// Longest keep alive in seconds (K-2); 65,535 allows any, and none.
    pub keep_alive_max: u16,
    /// Longest client identifier in bytes (C-9).
    pub client_id_max: u16,
    /// Packets behind CONNECT that may wait until it is decided (L-9).
    pub pipelined_packets_max: u16,
    /// Bytes behind CONNECT that may wait until it is decided (L-9).
    pub pipelined_bytes_max: u32,
    /// Filters of one SUBSCRIBE that are looked at, and filters a session may hold (L-4).
    pub filters_max: u16,
    /// Publications of quality of service 2 that may wait for PUBREL (L-7).
    pub open_ids_max: u16,
    /// Send one sentence (Reason String) with refusals and DISCONNECT where the client can read it.
    pub reason_strings: bool,
    /// Send DISCONNECT after a refusing CONNACK, against C-16, as older servers do.
    pub disconnect_after_refusal: bool,
    /// Send CONNACK without any property, for clients that stumble over them. Receive maximum and
    /// topic aliases are then not granted, so they are not enforced either.
    pub bare_connack: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            packet_size_max: 65_536,
            receive_maximum: 100,
            topic_alias_maximum: 16,
            inflight_max: 100,
            waiting_max: 64,
            waiting_bytes_max: 262_144,
            connect_timeout_ms: 10_000,
            packet_timeout_ms: 30_000,
            inactivity_timeout_ms: 600_000,
            keep_alive_max: u16::MAX,
            client_id_max: 256,
            pipelined_packets_max: 100,
            pipelined_bytes_max: 65_536,
            filters_max: 100,
            open_ids_max: 64,
            reason_strings: true,
            disconnect_after_refusal: false,
            bare_connack: false,
        }
    }
}
