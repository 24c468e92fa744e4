//! What devices say: the topics and payloads of the device API, translated to the house's own words.
//!
//! Start at [`link::Link`], one conversation with one device: a topic and a body go in, an
//! [`Uplink`](thingport_model::uplink::Uplink) or a [`reject::Reject`] comes out. The table in
//! [`topic`] is the device API on one page; [`payload`] holds the forms of bodies; [`provision`] is for
//! peers that are no device yet. The crate knows no MQTT packet, id, store or clock and waits for
//! nothing; no byte a device sends makes it panic or hold more than a small multiple of the packet.
//!
//! Identifiers such as JS-035, TP-014, LS-089 (device API) and T-1, P-9, L-14 (conformance) in the
//! documentation name rows of the specification that the code keeps.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

pub mod dialect;
#[doc(hidden)]
pub mod fuzzing;
pub mod link;
pub mod payload;
pub mod provision;
pub mod reader;
pub mod reject;
pub mod secrets;
pub mod sparkplug;
pub mod topic;
