//! Persistent calls over a plain map.

use thingport_model::id::{RpcId, TenantId};
use thingport_model::port::error::Conflict;
use thingport_model::rpc::{CallFilter, KeptProgress, PersistentCall};
use thingport_model::time::Timestamp;

use super::rules::{free, known};
use super::{Key, State};
use crate::entities::calls::{response_text, search};

impl State {
    pub(super) fn put_call(&mut self, row: PersistentCall) -> Result<(), Conflict> {
        known(&self.devices, &row.device_id)?;
        free(!self.calls.contains_key(&row.id), Conflict::RpcId)?;
        self.calls.insert(row.id, row);
        Ok(())
    }

    pub(super) fn call_progress(&mut self, id: RpcId, progress: KeptProgress) {
        if let Some(row) = self.calls.get_mut(&id) {
            row.progress = progress;
        }
    }

    pub(super) fn forget_calls(&mut self, tenant: TenantId, before: Timestamp, limit: u32) {
        let old = |row: &&PersistentCall| {
            row.tenant_id == tenant && !row.is_open() && row.created_at < before
        };
        let mut old: Vec<_> = self.calls.values().filter(old).collect();
        old.sort_by_key(|row| row.created_at);
        let ids: Vec<_> = old.iter().take(limit as usize).map(|row| row.id).collect();
        self.calls.retain(|id, _| !ids.contains(id));
    }

    pub(super) fn chosen_calls(&self, filter: CallFilter) -> Vec<PersistentCall> {
        let fits = |row: &&PersistentCall| {
            row.device_id == filter.device_id
                && filter.status.is_none_or(|status| row.progress.status == status)
        };
        self.calls.values().filter(fits).cloned().collect()
    }

    pub(super) fn open_calls(&self, limit: u32) -> Vec<PersistentCall> {
        let mut open: Vec<_> = self.calls.values().filter(|row| row.is_open()).cloned().collect();
        open.sort_by_key(|row| (row.created_at, row.call.id));
        open.truncate(limit as usize);
        open
    }
}

pub(super) fn call_words(row: &PersistentCall) -> String {
    search(row)
}

pub(super) fn call_key(row: &PersistentCall, property: &str) -> Option<Key> {
    match property {
        "createdTime" => Some(Key::Number(row.created_at.ms())),
        "expirationTime" => Some(Key::Number(row.expires_at.ms())),
        "request" => Some(Key::Text(search(row))),
        "response" => Some(Key::Text(response_text(row.progress.response.as_ref()))),
        _ => None,
    }
}
