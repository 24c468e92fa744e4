//! MQTT 3.1, 3.1.1 and 5 for a server, without a socket or a clock.
//!
//! Start at [`session::Session`]: bytes and time go in, events and bytes come out. The crate knows
//! nothing of devices, tenants or any particular topic; it is not a broker and routes nothing. It
//! reads no clock, opens no socket, spawns nothing, and no byte a client sends makes it panic or
//! hold more than [`limits::Bounds`] allows.
//!
//! Identifiers such as F-4 or P-20 in the documentation name rows of the conformance table that this
//! crate keeps; [`violation::Violation::row`] gives the row a client broke.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

pub mod client;
#[doc(hidden)]
pub mod fuzzing;
pub mod inspect;
pub mod limits;
pub mod packet;
pub mod property;
pub mod reason;
pub mod session;
pub mod topic;
pub mod version;
pub mod violation;
mod wire;
