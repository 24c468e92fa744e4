//! The people's side: REST, WebSocket, OpenAPI.
//!
//! Speaks ThingsBoard's REST and WebSocket contract over the domain of `thingport-core`, which decides
//! who may do what. Bodies, codes and errors of the contract live here and nowhere else: [`error`] is
//! the one map from the domain's errors to HTTP, `dto` the one owner of the JSON forms, `route` and
//! `rest` the one table of what there is. Knows no topic, no MQTT and no store.
//!
//! Start at [`router`].

pub mod api;
pub mod auth;
mod body;
mod bounds;
pub mod config;
mod dto;
pub mod error;
mod extract;
#[cfg(test)]
mod fake;
mod limits;
mod openapi;
mod render;
mod rest;
mod room;
mod route;
pub mod router;
mod settings;
mod ui;
pub mod workbench;
mod ws;
