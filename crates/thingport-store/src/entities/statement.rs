//! One statement of a write, and what it means when it breaks a rule; one versioned row.

use rusqlite::{Connection, ToSql};
use thingport_model::id::EntityKind;
use thingport_model::port::error::{Conflict, PortError};
use uuid::Uuid;

use super::fault::port_error;

/// Creates the row when its version is 1, otherwise replaces the one that is a version older.
pub(super) fn put(
    connection: &Connection,
    table: &str,
    id: Uuid,
    version: i64,
    columns: &[(&str, &dyn ToSql)],
) -> Result<(), PortError> {
    let mut values: Vec<&dyn ToSql> = columns.iter().map(|(_, value)| *value).collect();
    let known = version - 1;
    values.extend([id.as_bytes() as &dyn ToSql, &version]);
    if version == 1 {
        let inserted = run(connection, &insert_text(table, columns), &values);
        // Which of several broken rules SQLite names is its own choice: an old row goes first.
        return match inserted {
            Err(PortError::Conflict(_)) if stale(connection, table, id)? == Conflict::Version => {
                Err(PortError::Conflict(Conflict::Version))
            }
            other => other.map(drop),
        };
    }
    values.insert(columns.len(), &version);
    values[columns.len() + 2] = &known;
    match run(connection, &update_text(table, columns), &values)? {
        0 => Err(PortError::Conflict(stale(connection, table, id)?)),
        _ => Ok(()),
    }
}

fn insert_text(table: &str, columns: &[(&str, &dyn ToSql)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let marks: Vec<String> = (1..=columns.len() + 2).map(|number| format!("${number}")).collect();
    let (names, marks) = (names.join(", "), marks.join(", "));
    format!("INSERT INTO {table} ({names}, id, version) VALUES ({marks})")
}

fn update_text(table: &str, columns: &[(&str, &dyn ToSql)]) -> String {
    let sets: Vec<String> =
        columns.iter().enumerate().map(|(at, (name, _))| format!("{name} = ${}", at + 1)).collect();
    let (sets, next) = (sets.join(", "), columns.len() + 1);
    format!(
        "UPDATE {table} SET {sets}, version = ${next} WHERE id = ${} AND version = ${}",
        next + 1,
        next + 2
    )
}

fn stale(connection: &Connection, table: &str, id: Uuid) -> Result<Conflict, PortError> {
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE id = $1");
    let fault = |error| port_error(&error, Conflict::Reference);
    let mut statement = connection.prepare_cached(&sql).map_err(fault)?;
    let rows: i64 = statement.query_row([id.as_bytes()], |row| row.get(0)).map_err(fault)?;
    Ok(if rows == 0 { Conflict::Missing } else { Conflict::Version })
}

/// Where entities of this kind are.
pub(super) const fn table(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Tenant => "tenant",
        EntityKind::TenantProfile => "tenant_profile",
        EntityKind::Customer => "customer",
        EntityKind::User => "person",
        EntityKind::Device => "device",
        EntityKind::DeviceProfile => "device_profile",
    }
}

/// How many rows it touched; a broken reference leads nowhere.
pub(super) fn run(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
) -> Result<usize, PortError> {
    execute(connection, sql, values).map_err(|error| port_error(&error, Conflict::Reference))
}

/// As [`run`], for a step that takes something away: a broken reference means it is in use.
pub(super) fn remove(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
) -> Result<usize, PortError> {
    execute(connection, sql, values).map_err(|error| port_error(&error, Conflict::InUse))
}

fn execute(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(values)
}
