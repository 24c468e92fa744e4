//! The bodies of the REST API: the only types of the house with this JSON form, guarded by golden
//! files. Answers are made from the model's types with every member present (G-20, G-21); requests
//! ignore members they do not know (G-22).

pub(crate) mod account;
pub(crate) mod address;
pub(crate) mod auth;
pub(crate) mod certificate;
pub(crate) mod claim;
pub(crate) mod client_rpc;
pub(crate) mod credentials;
pub(crate) mod device;
pub(crate) mod entity_query;
pub(crate) mod forwarding;
pub(crate) mod id;
pub(crate) mod incident;
pub(crate) mod opaque;
pub(crate) mod package;
pub(crate) mod page;
pub(crate) mod presence;
pub(crate) mod profile;
pub(crate) mod relation;
pub(crate) mod rpc;
pub(crate) mod schema;
pub(crate) mod system;
pub(crate) mod telemetry;
pub(crate) mod tenant;
#[cfg(test)]
mod tests;
pub(crate) mod trace;
