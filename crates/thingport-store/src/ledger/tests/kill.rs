//! A real process on a real disk, killed at random moments: this test's own binary, started again as
//! the victim. Proves the order of things across log, chunk store and recycling; not power loss.

use super::*;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::disk::sim::Dice;

const DIR: &str = "THINGPORT_KILL_TEST_DIR";
const START: &str = "THINGPORT_KILL_TEST_START";
const ROUNDS: u64 = 12;
const SERIES: i64 = 50;

fn real(dir: &Path) -> Arc<LogLedger> {
    let config = LedgerConfig {
        dir: dir.to_owned(),
        segment_bytes: 1024 * 1024,
        commit_queue_max_bytes: 256 * 1024,
        flush_bytes: 512 * 1024,
        reserve_bytes: 0,
        ..LedgerConfig::default()
    };
    let clock: Clock = Arc::new(|| Timestamp(0));
    LogLedger::open_dir(config, clock, &mut |_| {}).expect("a directory that can be opened")
}

/// The victim: writes as fast as it can and says what was acknowledged.
#[test]
fn victim() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let start: i64 =
        std::env::var(START).expect("set with the directory").parse().expect("a number");
    let ledger = real(Path::new(&dir));
    for turn in start.. {
        let receipts = (0..SERIES).map(|series| {
            let rows = [
                (turn, "a", ValueRef::Long(turn)),
                (turn, "b", ValueRef::Double(turn as f64 / 10.0)),
            ];
            let readings = batch(&rows);
            let change =
                Change::Telemetry { entity: device(series as u128), readings: &readings, ttl_s: 0 };
            loop {
                match ledger.append(change) {
                    Err(AppendError::Busy) => {
                        block(std::future::poll_fn(|cx| ledger.poll_ready(cx)))
                    }
                    other => break other.expect("a healthy disk"),
                }
            }
        });
        let last = receipts.reduce(|_, last| last).expect("there are series");
        block(committed(&*ledger, last)).expect("a healthy disk");
        println!("acked {turn}");
    }
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut dice = Dice(42);
    let (mut start, mut acknowledged) = (0_i64, -1_i64);
    // Turns that were sent and not acknowledged may be there, in part or not at all.
    let mut open_turns = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut victim = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "ledger::tests::kill::victim", "--nocapture"])
            .env(DIR, dir.path())
            .env(START, start.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the victim starts");
        let lines = BufReader::new(victim.stdout.take().expect("piped")).lines();
        let pause = Duration::from_millis(100 + dice.below(900));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(pause); // the one thing here that is about real time
            victim.kill().expect("it runs until killed");
            victim.wait().expect("it was killed")
        });
        for line in lines.map_while(Result::ok) {
            let number = line.split("acked ").nth(1).and_then(|it| it.trim().parse().ok());
            acknowledged = number.unwrap_or(acknowledged);
        }
        killer.join().expect("no panic");
        let sent = start.max(acknowledged + 1);
        open_turns.extend(acknowledged + 1..=sent);
        start = sent + 1;
        if round % 3 == 2 || round + 1 == ROUNDS {
            check(&real(dir.path()), sent, &open_turns);
        }
    }
}

fn check(ledger: &LogLedger, sent: i64, open_turns: &BTreeSet<i64>) {
    for series in 0..SERIES {
        let rows = range(ledger, device(series as u128), "a");
        assert!(rows.iter().all(|(at, value)| *value == Value::Long(*at)), "a wrong value");
        let have: BTreeSet<_> = rows.iter().map(|row| row.0).collect();
        let sent: BTreeSet<_> = (0..=sent).collect();
        assert!(have.is_subset(&sent), "never sent");
        let missing: Vec<_> =
            sent.difference(&have).filter(|it| !open_turns.contains(it)).collect();
        assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
        let other = range(ledger, device(series as u128), "b");
        assert_eq!(other.len(), rows.len(), "both keys of a message or none");
    }
    assert_eq!(ledger.stats().damaged_records, 0);
}
