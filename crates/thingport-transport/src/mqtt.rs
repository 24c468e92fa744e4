//! MQTT over a byte stream.

pub mod answer;
pub(crate) mod connection;
mod login;
mod pending;
mod scratch;
mod tap;
