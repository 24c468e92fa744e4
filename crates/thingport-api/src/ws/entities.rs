//! Commands of the second generation: many entities at once, and how many there are (REST API 17.3).

pub(super) mod command;
mod count;
mod feed;
mod history;
mod live;
pub(super) mod wire;

use std::sync::Arc;

use thingport_core::access::Caller;
use thingport_core::allowance::UpdateAllowance;
use tokio::sync::Semaphore;

use super::outbox::Outbox;
use crate::api::Api;

/// What a command of the second generation needs to work.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) api: Arc<Api>,
    pub(super) caller: Caller,
    pub(super) outbox: Outbox,
    /// Updates that may be sent to the whole session.
    pub(super) allowance: Arc<UpdateAllowance>,
    /// Entities that the whole session may still watch.
    pub(super) room: Arc<Semaphore>,
    pub(super) cmd_id: i64,
}

/// Entities that the commands of one session may watch together.
pub(super) const ENTITIES_WATCHED_MAX: usize = 10_000;
