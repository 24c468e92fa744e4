//! The tables, as a list of migrations applied in order, and the gate in front of them.
//!
//! Columns hold what is looked up, sorted, unique or referred to; everything else of an entity is in
//! its `document`. No fact is in both. The text keeps to what SQLite and PostgreSQL both take, but for
//! the type `BLOB`.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};

use super::fault::OpenError;

/// What a file holds before anything is written to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Present {
    /// There is no file, or nothing in it.
    Nothing,
    /// Our tables, and the identity of the data directory they were made in.
    Ours(Option<String>),
}

/// Refuses a file that is not ours or newer than this program, without writing to it.
pub(super) fn gate(path: &Path) -> Result<Present, OpenError> {
    if !path.exists() {
        return Ok(Present::Nothing);
    }
    let connection = reader(path)?;
    let version = number(&connection, "user_version")?;
    check(number(&connection, "application_id")?, version)?;
    if version == 0 {
        return Ok(Present::Nothing);
    }
    let sql = "SELECT value FROM setting WHERE key = $1";
    Ok(Present::Ours(connection.query_one(sql, [IDENTITY], |row| row.get(0)).optional()?))
}

/// Only reads; but who was killed in a transaction left one that SQLite takes back, by writing, before it
/// lets anybody read.
fn reader(path: &Path) -> Result<Connection, OpenError> {
    let open = |flags| Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection = open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let seen: rusqlite::Result<i32> =
        connection.pragma_query_value(None, "user_version", |row| row.get(0));
    match seen {
        Err(rusqlite::Error::SqliteFailure(failure, _)) if failure.code == ErrorCode::ReadOnly => {
            Ok(open(OpenFlags::SQLITE_OPEN_READ_WRITE)?)
        }
        _ => Ok(connection),
    }
}

/// Brings the tables to the newest form and gives them the identity of their data directory, in one
/// transaction.
pub(super) fn migrate(
    connection: &mut Connection,
    identity: Option<&str>,
) -> Result<(), OpenError> {
    let present: i32 = number(connection, "user_version")?;
    check(number(connection, "application_id")?, present)?;
    let transaction = connection.transaction()?;
    for (version, sql) in (1_i32..).zip(MIGRATIONS).skip(present.unsigned_abs() as usize) {
        if present > 0 {
            tracing::info!(version, "bringing the entity database to a newer form");
        }
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if let Some(identity) = identity {
        transaction.execute(SIGN, [IDENTITY, identity])?;
    }
    transaction.commit()?;
    Ok(())
}

/// How a connection must behave whoever uses it.
pub(super) fn tune(connection: &Connection) -> Result<(), OpenError> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    Ok(())
}

fn check(application_id: i32, version: i32) -> Result<(), OpenError> {
    // A file that nothing was written to yet has neither.
    if application_id != APPLICATION_ID && (application_id, version) != (0, 0) {
        return Err(OpenError::Foreign);
    }
    let known = newest();
    if version > known { Err(OpenError::Newer { found: version, known }) } else { Ok(()) }
}

fn newest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

fn number(connection: &Connection, pragma: &str) -> Result<i32, OpenError> {
    Ok(connection.pragma_query_value(None, pragma, |row| row.get(0))?)
}

/// Key of the setting that says to which data directory the tables belong.
const IDENTITY: &str = "data_directory";
const SIGN: &str = "INSERT INTO setting (key, value) VALUES ($1, $2) \
                    ON CONFLICT (key) DO UPDATE SET value = excluded.value \
                    WHERE value <> excluded.value";
/// "TPRT".
const APPLICATION_ID: i32 = 0x5450_5254;
const CACHE_KIB: i32 = 2_048;
const STATEMENTS_CACHED_MAX: usize = 128;

/// Append only: a migration that was released never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
];
