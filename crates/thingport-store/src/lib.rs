//! Where Thingport keeps things.
//!
//! [`ledger`] keeps readings, attributes and incidents: an ingest log with group commit, a head in
//! memory, and compressed chunks behind it. The layout on disk is described in
//! `docs/storage-format.md`, the reasons in `docs/decisions/`.

pub mod config;
pub mod disk;
pub mod entities;
#[doc(hidden)]
pub mod fuzzing;
pub mod ledger;
pub mod packages;

mod book;
mod chunk;
mod codec;
mod few;
mod flush;
mod head;
mod jobs;
mod layout;
mod line;
mod log;
mod names;
mod pace;
mod points;
mod premises;
mod read;
mod record;
mod retention;
mod ring;
mod shelf;
