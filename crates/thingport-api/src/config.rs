//! What the people's side can be told. Every bound of this crate stands here with its default.

use std::time::Duration;

/// Settings of the REST API and the WebSocket feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiConfig {
    /// Life of an access token in seconds (REST API 2.3).
    pub token_lifetime_s: u32,
    /// Life of a refresh token in seconds.
    pub refresh_lifetime_s: u32,
    /// The `iss` claim.
    pub issuer: String,
    /// Version shown by `GET /api/system/info`.
    pub version: String,
    /// Whether administrators may get tokens of their users (`GET /api/user/{id}/token`).
    pub user_token_access: bool,
    /// Largest request body in bytes (G-4).
    pub body_max: usize,
    /// Largest package that may be uploaded in bytes (G-4).
    pub upload_max: u64,
    /// Bytes of large request bodies held at the same time; more wait.
    pub bodies_max: usize,
    /// Requests worked on at the same time; the next one is answered 503.
    pub requests_max: usize,
    /// Requests that wait for devices at the same time, counted apart from the others; the next one is
    /// answered 503.
    pub waiting_max: usize,
    /// How long the body of somebody who has not signed in may take to arrive (G-6).
    pub arrival_timeout: Duration,
    /// How long an ordinary request may take (G-6).
    pub request_timeout: Duration,
    /// Most buckets one aggregation may have (T-15).
    pub buckets_max: usize,
    /// Passwords hashed at the same time; each takes 19 MiB.
    pub hashing_max: usize,
    /// Logins that may wait for their turn; the next one is answered 503.
    pub logins_waiting_max: usize,
    /// Where this server listens; shown to people who connect a device.
    pub listeners: Listeners,
    /// WebSocket sessions.
    pub ws: WsConfig,
}

/// Ports of this server, where it listens at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// HTTP.
    pub http: Option<u16>,
    /// HTTPS.
    pub https: Option<u16>,
    /// MQTT over TCP.
    pub mqtt: Option<u16>,
    /// MQTT over TLS.
    pub mqtts: Option<u16>,
}

/// Settings of WebSocket sessions (REST API 17.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsConfig {
    /// Sessions at the same time; the next one is closed with 1008 (W-6).
    pub sessions_max: usize,
    /// Subscriptions of one session; the next command is refused.
    pub subscriptions_max: usize,
    /// Messages that may wait for a slow reader before it is closed with 1008 (W-7).
    pub messages_max: usize,
    /// Largest message from a client in bytes (W-3).
    pub message_max: usize,
    /// How long a client may take to present a credential (W-1).
    pub auth_timeout: Duration,
    /// How often the server pings (W-4).
    pub ping_interval: Duration,
    /// How long a client may not answer pings before it is closed with 4500 (W-4).
    pub pong_timeout: Duration,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            token_lifetime_s: 9_000,
            refresh_lifetime_s: 604_800,
            issuer: "thingport".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            user_token_access: false,
            body_max: 16 * MIB,
            upload_max: 50 * MIB as u64,
            bodies_max: 128 * MIB,
            requests_max: 1_024,
            waiting_max: 10_000,
            arrival_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            buckets_max: 700,
            hashing_max: 2,
            logins_waiting_max: 256,
            listeners: Listeners::default(),
            ws: WsConfig::default(),
        }
    }
}

impl Default for WsConfig {
    fn default() -> Self {
        Self {
            sessions_max: 10_000,
            subscriptions_max: 100,
            messages_max: 1_000,
            message_max: 32 * 1024,
            auth_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(10),
            pong_timeout: Duration::from_secs(30),
        }
    }
}

const MIB: usize = 1024 * 1024;
