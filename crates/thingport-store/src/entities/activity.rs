//! Which devices report, as SQL.

use rusqlite::{Connection, Row, ToSql};
use thingport_model::activity::{DeviceActivity, WatchedDevice};
use thingport_model::id::DeviceId;
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::time::Timestamp;
use uuid::Uuid;

use super::fault::port_error;
use super::query::{fault, many, one};

/// Notes the state of a device; one that is gone is left alone.
pub(super) fn put(
    connection: &Connection,
    device: DeviceId,
    activity: DeviceActivity,
) -> Result<(), PortError> {
    let sql = "UPDATE device SET activity = $1 WHERE id = $2 AND activity <> $1";
    let values: &[&dyn ToSql] = &[&(activity as u8), device.0.as_bytes()];
    let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute(values));
    done.map(drop).map_err(|error| port_error(&error, Conflict::Reference))
}

/// The state of a device, if there is such a device.
pub(super) fn of(
    connection: &Connection,
    device: DeviceId,
) -> Result<Option<DeviceActivity>, PortError> {
    let sql = "SELECT activity FROM device WHERE id = $1";
    one(connection, sql, &[device.0.as_bytes()], state)
}

/// Devices that may fall silent, behind the given one.
pub(super) fn watched(
    connection: &Connection,
    after: Option<DeviceId>,
    limit: u32,
) -> Result<Vec<WatchedDevice>, PortError> {
    // The condition on the state is that of the index, to the letter.
    let sql = "SELECT id, created_at, activity FROM device \
               WHERE activity < 2 AND id > $1 ORDER BY id LIMIT $2";
    let after = after.map(|id| id.0.into_bytes().to_vec()).unwrap_or_default();
    many(connection, sql, &[&after, &limit], watched_device)
}

/// The condition of a list that shows only devices that are active, or only those that are not.
pub(super) fn condition(active: bool) -> String {
    let numbers = |states: &[DeviceActivity]| {
        let numbers: Vec<_> = states.iter().map(|it| (*it as u8).to_string()).collect();
        numbers.join(", ")
    };
    // Without a comparison that no index can answer.
    let states: &[_] = if active {
        &[DeviceActivity::Active]
    } else {
        &[DeviceActivity::New, DeviceActivity::Inactive]
    };
    format!("t.activity IN ({})", numbers(states))
}

fn watched_device(row: &Row<'_>) -> Result<WatchedDevice, PortError> {
    Ok(WatchedDevice {
        id: DeviceId(Uuid::from_bytes(row.get("id").map_err(fault)?)),
        created_at: Timestamp(row.get("created_at").map_err(fault)?),
        activity: state(row)?,
    })
}

fn state(row: &Row<'_>) -> Result<DeviceActivity, PortError> {
    let state = DeviceActivity::from_number(row.get("activity").map_err(fault)?);
    let unknown = || PortError::Corrupt("the entity database holds an unknown activity".to_owned());
    state.ok_or_else(unknown)
}
