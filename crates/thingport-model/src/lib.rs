//! The words of Thingport and the ports it asks for.
//!
//! Every room but `thingport-mqtt` uses these types; this crate uses nothing of ours.
//! It knows no topic, no status code, no SQL and no wire form: types here do not serialize, because
//! a serializable type is a promise to somebody outside and each such promise has one owner
//! elsewhere (the device API, the REST bodies, the stored documents).
//!
//! Read from `time` upward to `uplink` and `downlink`; the ports (`port`) say what the house asks of
//! whoever keeps its data.

pub mod activity;
pub mod aggregate;
pub mod attempt;
pub mod attribute;
pub mod child;
pub mod credentials;
pub mod device;
pub mod downlink;
pub mod edge_node;
pub mod id;
pub mod incident;
pub mod limit;
pub mod ota;
pub mod page;
pub mod port;
pub mod profile;
pub mod provision;
pub mod reading;
pub mod reason;
pub mod relation;
pub mod rpc;
pub mod security;
pub mod session;
pub mod tenant;
pub mod time;
pub mod uplink;
pub mod user;
pub mod value;
pub mod webhook;
