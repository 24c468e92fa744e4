//! The house's own calls out: what it says to receivers that people named.
//!
//! Everything else in the house answers; this crate begins conversations. It knows no device topic and no
//! REST body. It touches the network, so it stands beside transport and API, and like them it never
//! keeps anything.
//!
//! Nothing here exists until it is used: an installation without receivers has no client, no pool and no
//! roots of trust in memory. Where a URL may lead is the operator's word ([`reach`]), because people who
//! may set a URL need not be people who may reach the machines beside this one.
//!
//! Start at [`webhook::Webhooks`], which posts; [`forward`] hands over what devices say; [`signature`] says how a receiver knows who did.

pub mod config;
pub mod forward;
mod lane;
pub mod reach;
mod resolve;
pub mod rpc;
pub mod signature;
mod tls;
pub mod webhook;
