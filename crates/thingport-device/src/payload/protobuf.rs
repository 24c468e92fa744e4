//! Protobuf bodies: with the schemas of a profile, and the fixed messages (device API section 5).
//!
//! A schema is compiled once, when a profile is saved or first used ([`schema`]); then messages are
//! walked along tables ([`table`], [`walk`]) without building anything in between. Only types of
//! `google.protobuf` that have a JSON form of their own take the slow way ([`well_known`]).

pub mod dissect;
pub(crate) mod fixed;
pub(crate) mod gateway;
mod json;
pub(crate) mod rpc;
mod scan;
pub mod schema;
pub(crate) mod table;
pub mod walk;
mod well_known;
pub(crate) mod wire;

pub(crate) use json::{not_finite, write_base64};
pub use schema::{Diagnostic, Schema, SchemaKind};
pub use walk::Walk;

#[cfg(test)]
mod tests;
