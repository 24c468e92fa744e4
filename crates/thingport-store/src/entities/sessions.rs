//! Kept sessions, as SQL: one row for a device, with its state as bytes.

mod state;

use async_trait::async_trait;
use rusqlite::{Connection, Row, ToSql};
use thingport_model::id::{DeviceId, TenantId};
use thingport_model::port::error::PortError;
use thingport_model::port::sessions::SessionRecords;
use thingport_model::session::KeptSession;
use thingport_model::time::Timestamp;

use super::SqliteEntities;
use super::query::{corrupt, get, id, many};
use super::statement::run;

#[async_trait]
impl SessionRecords for SqliteEntities {
    async fn kept_sessions(
        &self,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<KeptSession>, PortError> {
        self.readers.ask(move |connection| page(connection, after, limit)).await
    }
}

/// Keeps a session; nothing happens when its device is gone.
pub(super) fn put(connection: &Connection, it: &KeptSession) -> Result<(), PortError> {
    let sql = "INSERT INTO kept_session (device_id, client_id, expiry_s, left_at, state) \
               SELECT $1, $2, $3, $4, $5 FROM device WHERE id = $1 \
               ON CONFLICT (device_id) DO UPDATE SET client_id = excluded.client_id, \
               expiry_s = excluded.expiry_s, left_at = excluded.left_at, state = excluded.state";
    let values: &[&dyn ToSql] = &[
        it.device_id.0.as_bytes(),
        &it.client_id,
        &it.expiry_s,
        &it.left_at.map(Timestamp::ms),
        &state::encode(&it.state),
    ];
    run(connection, sql, values).map(drop)
}

pub(super) fn delete(connection: &Connection, device: DeviceId) -> Result<(), PortError> {
    let sql = "DELETE FROM kept_session WHERE device_id = $1";
    run(connection, sql, &[device.0.as_bytes()]).map(drop)
}

fn page(
    connection: &Connection,
    after: Option<DeviceId>,
    limit: u32,
) -> Result<Vec<KeptSession>, PortError> {
    let sql = "SELECT s.*, d.tenant_id FROM kept_session s JOIN device d ON d.id = s.device_id \
               WHERE s.device_id > $1 ORDER BY s.device_id LIMIT $2";
    let after = after.map(|id| id.0.into_bytes().to_vec()).unwrap_or_default();
    many(connection, sql, &[&after, &limit], session)
}

fn session(row: &Row<'_>) -> Result<KeptSession, PortError> {
    let bytes: Vec<u8> = get(row, "state")?;
    let left_at: Option<i64> = get(row, "left_at")?;
    Ok(KeptSession {
        device_id: DeviceId(id(row, "device_id")?),
        tenant_id: TenantId(id(row, "tenant_id")?),
        client_id: get(row, "client_id")?,
        expiry_s: get(row, "expiry_s")?,
        left_at: left_at.map(Timestamp),
        state: state::decode(&bytes).ok_or_else(|| corrupt("an unreadable kept session"))?,
    })
}
