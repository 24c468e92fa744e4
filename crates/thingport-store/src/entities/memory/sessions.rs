//! Kept sessions over a plain map.

use async_trait::async_trait;
use thingport_model::id::DeviceId;
use thingport_model::port::entities::Write;
use thingport_model::port::error::PortError;
use thingport_model::port::sessions::SessionRecords;
use thingport_model::session::{About, KeptSession};

use super::{MemoryEntities, State};

#[async_trait]
impl SessionRecords for MemoryEntities {
    async fn kept_sessions(
        &self,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<KeptSession>, PortError> {
        let state = self.state.lock();
        let behind = state.kept_sessions.values().filter(|it| after < Some(it.device_id));
        Ok(behind.take(limit as usize).cloned().collect())
    }
}

impl State {
    /// One of the writes that concern kept sessions.
    pub(super) fn apply_to_session(&mut self, write: Write) {
        match write {
            Write::KeepSession(row) => self.keep_session(row),
            Write::ForgetSession(device) => drop(self.kept_sessions.remove(&device)),
            _ => {}
        }
    }

    fn keep_session(&mut self, mut row: KeptSession) {
        if let Some(device) = self.devices.get(&row.device_id) {
            row.tenant_id = device.tenant_id;
            row.state.messages.retain(|it| !matches!(it.about, About::Call(_)));
            row.state.messages.iter_mut().for_each(|it| it.expires_ms = None);
            self.kept_sessions.insert(row.device_id, row);
        }
    }
}
