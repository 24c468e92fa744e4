//! Ports: what the house asks of whoever keeps its data. Core uses them, the store provides them, and
//! neither knows the other.

pub mod entities;
pub mod error;
pub mod ledger;
pub mod packages;
pub mod relations;
pub mod sessions;
pub mod trail;
