//! How many entities there are, and whenever that changes.

use thingport_core::query::{Conditions, EntityFilter};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Desk;
use super::command::EntityInput;
use super::feed::{LOOK_EVERY, LOOKS_QUIET_MAX};
use super::wire::{self, Kind};
use crate::error::Refusal;

impl Desk {
    /// Tells how many fit the query of the command.
    pub(in crate::ws) fn count(self, input: &EntityInput) -> Result<JoinHandle<()>, Refusal> {
        let query = input.query.as_ref();
        let query = query.ok_or_else(|| Refusal::bad_request("the command needs a query"))?;
        let (filter, conditions) = query.count()?;
        Ok(tokio::spawn(async move { self.follow_count(&filter, &conditions).await }))
    }

    async fn follow_count(&self, filter: &EntityFilter, conditions: &Conditions) {
        let node = self.api.node();
        let mut told = None;
        let (mut seen, mut quiet) = (None, 0);
        loop {
            let looked_at = Some(node.registry.logins_generation());
            if looked_at != seen || quiet >= LOOKS_QUIET_MAX {
                (seen, quiet) = (looked_at, 0);
                let count = match node.queries.count(&self.caller, filter, conditions).await {
                    Ok(count) => count,
                    Err(error) => {
                        let refusal = wire::refusal(self.cmd_id, Kind::Count, &error.into());
                        return self.outbox.send(refusal);
                    }
                };
                if told != Some(count) {
                    told = Some(count);
                    self.outbox.send(wire::numbered(self.cmd_id, &wire::count(count)));
                }
            }
            quiet += 1;
            sleep(LOOK_EVERY).await;
        }
    }
}
