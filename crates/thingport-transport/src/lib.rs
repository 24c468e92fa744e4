//! The devices' side of the network: sockets, and nothing about meaning.
//!
//! A connection is one task that owns a socket, a `thingport_mqtt` session and a `thingport_device` link,
//! and carries events between them and the domain. Nobody else touches session or link, so neither
//! has a lock. Buffers belong to the thread, not to the connection: an idle connection owns none.
//!
//! Start at `door`, through which every stream comes in, and at `mqtt::connection`; `mqtt::answer` is the
//! one map from reasons to MQTT codes, `http::answer` the one from reasons to HTTP statuses.

pub mod config;
pub mod door;
pub mod drain;
mod guest;
pub mod http;
pub mod listen;
pub mod mqtt;
mod provision;
pub mod proxy;
mod shared;
pub mod stream;
mod timers;
pub mod tls;
mod traced;
pub mod websocket;
