//! What Thingport knows: who may do what, which device is where, what was said and why something was
//! refused.
//!
//! Pure: no socket, file, clock, environment, runtime or randomness. Time and random bytes come through
//! [`clock`]; data is kept behind the ports of `thingport-model`. Nothing here knows a topic, an MQTT
//! reason code, an HTTP status or the JSON of a contract.
//!
//! Start at `reception` for devices, `registry` for people, `node` for the whole.

pub mod access;
pub mod activity;
pub mod admit;
pub mod allowance;
pub mod attempt;
pub mod attributes;
pub mod calls;
pub mod children;
pub mod claims;
pub mod client_calls;
pub mod clock;
pub mod edge_nodes;
pub mod error;
pub mod explain;
#[cfg(test)]
mod fake;
pub mod fleet;
pub mod forwarding;
pub mod guard;
pub mod journal;
pub mod latencies;
pub mod limits;
pub mod metrics;
pub mod node;
pub mod packages;
pub mod presence;
pub mod provision;
pub mod query;
pub mod reception;
pub mod registry;
pub mod sessions;
pub mod telemetry;
pub mod trace;
pub mod watch;
