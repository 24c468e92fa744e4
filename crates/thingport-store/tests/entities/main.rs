//! What every engine of the port `Entities` promises, run against each of them.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod beside;
mod suite;

use std::sync::Arc;

use thingport_model::port::entities::Entities;
use thingport_store::entities::memory::MemoryEntities;
use thingport_store::entities::{FILE, OpenError, SqliteEntities};

use suite::PROMISES;

#[tokio::test]
async fn memory_keeps_every_promise() {
    for (name, promise) in PROMISES {
        println!("{name}");
        promise(Arc::new(MemoryEntities::default())).await;
    }
}

#[tokio::test]
async fn sqlite_keeps_every_promise() {
    for (name, promise) in PROMISES {
        println!("{name}");
        let dir = tempfile::tempdir().unwrap();
        promise(SqliteEntities::open(dir.path()).unwrap()).await;
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let house = suite::House::build(&*SqliteEntities::open(dir.path()).unwrap()).await;
    let again = SqliteEntities::open(dir.path()).unwrap();
    assert_eq!(again.device(house.device.id).await.unwrap(), Some(house.device));
    assert_eq!(again.setting("key").await.unwrap().as_deref(), Some("value"));
}

#[tokio::test]
async fn waiting_writes_share_commits_and_fail_alone() {
    let dir = tempfile::tempdir().unwrap();
    let entities = SqliteEntities::open(dir.path()).unwrap();
    let house = suite::House::build(&*entities).await;
    let mut tasks = Vec::new();
    for number in 0_u32..200 {
        let entities = Arc::clone(&entities);
        // Every second one wants a name that is taken.
        let name = if number % 2 == 0 { format!("n{number}") } else { house.device.name.clone() };
        let writes = house.new_device(&name, &format!("token {number}"));
        tasks.push(tokio::spawn(async move { entities.write(writes).await }));
    }
    let mut kept = 0;
    for task in tasks {
        kept += u64::from(task.await.unwrap().is_ok());
    }
    assert_eq!(kept, 100);
    assert_eq!(entities.device_count(house.tenant.id).await.unwrap(), 101);
}

#[test]
fn a_newer_or_foreign_file_is_refused_untouched() {
    type Fits = fn(&OpenError) -> bool;
    let rows: [(&str, Fits); 2] = [
        (
            "PRAGMA application_id = 0x54505254; PRAGMA user_version = 999; CREATE TABLE t (a);",
            |e| matches!(e, OpenError::Newer { found: 999, .. }),
        ),
        ("PRAGMA user_version = 3; CREATE TABLE t (a);", |e| matches!(e, OpenError::Foreign)),
    ];
    for (sql, fits) in rows {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = SqliteEntities::open(dir.path()).err().expect("it must be refused");
        assert!(fits(&error), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing beside it");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), "this is no database, it only stands where one belongs")
        .unwrap();
    assert!(SqliteEntities::open(dir.path()).is_err());
}

#[tokio::test]
async fn a_first_start_that_was_killed_in_its_first_transaction_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let killed = dir.path().join("killed.db");
    let journal = dir.path().join("killed.db-journal");
    let writer = rusqlite::Connection::open(&killed).unwrap();
    // A page beyond the cache is written to the file before its transaction ends.
    let sql = "PRAGMA cache_size = 1; CREATE TABLE before (a); BEGIN; CREATE TABLE t (a); \
               WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) \
               INSERT INTO t SELECT randomblob(900) FROM n;";
    writer.execute_batch(sql).unwrap();
    std::fs::copy(&killed, dir.path().join(FILE)).unwrap();
    std::fs::copy(&journal, dir.path().join(format!("{FILE}-journal"))).unwrap();
    drop(writer);
    SqliteEntities::open(dir.path()).unwrap();
}
