//! Entities that were taken away from beside their ledger, or swapped, are told at the next start.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use thingport_model::port::entities::{Entities, Write};
use thingport_model::time::Timestamp;
use thingport_store::config::LedgerConfig;
use thingport_store::entities::{FILE, OpenError, SqliteEntities};
use thingport_store::ledger::{LogLedger, Loss};

/// Both parts of a data directory, or why the entities are refused.
fn start(dir: &Path, accept: &str) -> Result<(Arc<LogLedger>, Arc<SqliteEntities>), OpenError> {
    let config =
        LedgerConfig { dir: dir.to_owned(), segment_bytes: 1 << 20, ..LedgerConfig::default() };
    let ledger = LogLedger::open_dir(config, Arc::new(|| Timestamp(0)), &mut |_| {}).unwrap();
    let entities = SqliteEntities::open_beside(dir, &ledger, accept)?;
    Ok((ledger, entities))
}

async fn written() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (_ledger, entities) = start(dir.path(), "").unwrap();
    let write = Write::Setting("k".to_owned(), "v".to_owned());
    entities.write(vec![write]).await.unwrap();
    dir
}

async fn setting(dir: &Path, accept: &str) -> Option<String> {
    let (_ledger, entities) = start(dir, accept).unwrap();
    entities.setting("k").await.unwrap()
}

fn remove(dir: &Path) {
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.join(format!("{FILE}{end}")));
    }
}

#[tokio::test]
async fn missing_empty_and_foreign_entities_are_told_and_accepted_with_the_word_only() {
    type Mischief = fn(&Path, &Path);
    let rows: [(Mischief, Loss); 4] = [
        (|dir, _| remove(dir), Loss::Entities),
        (
            |dir, _| {
                remove(dir);
                std::fs::write(dir.join(FILE), "").unwrap();
            },
            Loss::Entities,
        ),
        (
            |dir, other| {
                remove(dir);
                std::fs::copy(other.join(FILE), dir.join(FILE)).unwrap();
            },
            Loss::EntitiesForeign,
        ),
        (
            // Tables without an identity, as another directory of the first release had.
            |dir, _| {
                remove(dir);
                drop(SqliteEntities::open(dir).unwrap());
            },
            Loss::EntitiesForeign,
        ),
    ];
    for (mischief, expected) in rows {
        let (dir, other) = (written().await, written().await);
        assert_eq!(setting(dir.path(), "").await.as_deref(), Some("v"));
        mischief(dir.path(), other.path());
        for _ in 0..2 {
            let Err(OpenError::Lost { losses, .. }) = start(dir.path(), "00000000") else {
                panic!("{expected:?} was not told");
            };
            assert_eq!(losses, std::slice::from_ref(&expected));
        }
        let error = start(dir.path(), "").err().unwrap();
        let text = error.to_string();
        assert!(text.contains(FILE) && text.contains("storage.accept_loss="), "{text}");
        let OpenError::Lost { code, .. } = error else { panic!("told before") };
        setting(dir.path(), &code).await;
        setting(dir.path(), "").await;
    }
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_goes_on() {
    type Cut = fn(&Path);
    let rows: [Cut; 4] = [
        |_| {},
        |dir| std::fs::write(dir.join(FILE), "").unwrap(),
        // The tables are there, and the mark does not know yet.
        |dir| drop(SqliteEntities::open(dir).unwrap()),
        |dir| {
            let connection = rusqlite::Connection::open(dir.join(FILE)).unwrap();
            connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        },
    ];
    for cut in rows {
        let dir = tempfile::tempdir().unwrap();
        let config = LedgerConfig { dir: dir.path().to_owned(), ..LedgerConfig::default() };
        drop(LogLedger::open_dir(config, Arc::new(|| Timestamp(0)), &mut |_| {}).unwrap());
        cut(dir.path());
        assert_eq!(setting(dir.path(), "").await, None);
    }
}

#[tokio::test]
async fn entities_of_the_first_release_get_an_identity() {
    let dir = tempfile::tempdir().unwrap();
    let text = "thingport ledger 1";
    let line = format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()));
    std::fs::write(dir.path().join("format"), line).unwrap();
    let write = Write::Setting("k".to_owned(), "v".to_owned());
    SqliteEntities::open(dir.path()).unwrap().write(vec![write]).await.unwrap();
    assert_eq!(setting(dir.path(), "").await.as_deref(), Some("v"));
    remove(dir.path());
    assert!(matches!(start(dir.path(), ""), Err(OpenError::Lost { .. })));
}
