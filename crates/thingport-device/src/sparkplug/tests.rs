//! The host keeps the promises of Sparkplug 3.0, by the ids of its statements.

mod births;
mod commands;
mod hostile;
mod names;
mod rig;
mod values;
