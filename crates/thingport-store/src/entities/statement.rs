//! One statement of a write, and what it means when it breaks a rule.

use rusqlite::{Connection, ToSql};
use thingport_model::port::error::{Conflict, PortError};

use super::fault::port_error;

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
