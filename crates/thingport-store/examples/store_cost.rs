//! What keeping readings costs: durable points per second, CPU per point, bytes per point, latencies,
//! and how long a start takes after the process was killed.
//!
//! Workload: 100,000 devices with 3 keys, half of the messages from 1 % of the devices, 3 readings a
//! message, as many messages waiting for each commit as tasks exist. Run with
//! `cargo run --release -p thingport-store --example store_cost -- DIR [MILLIONS]`; kill it after
//! "killing" and run it again with `reopen` as third word to measure the start.

#![allow(clippy::print_stdout, clippy::panic, clippy::unwrap_used, clippy::cast_precision_loss)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thingport_model::id::{DeviceId, EntityRef};
use thingport_model::port::ledger::{
    AppendError, Change, Keys, Ledger, RangeQuery, Receipt, committed,
};
use thingport_model::reading::Readings;
use thingport_model::time::{TimeRange, Timestamp};
use thingport_model::value::ValueRef;
use thingport_store::config::LedgerConfig;
use thingport_store::ledger::{Clock, LogLedger};
use uuid::Uuid;

fn main() {
    let mut words = std::env::args().skip(1);
    let dir = PathBuf::from(words.next().expect("a directory"));
    let millions: u64 = words.next().and_then(|it| it.parse().ok()).unwrap_or(10);
    let reopen = words.next().is_some();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let started = Instant::now();
    let ledger = open(&dir);
    println!("open: {:?}, head {} MB", started.elapsed(), ledger.stats().head_bytes / 1_000_000);
    if !reopen {
        write(&runtime, &ledger, millions * 1_000_000, &dir);
    }
    read(&runtime, &ledger);
    println!("memory: {} MB", status("VmRSS:") / 1000);
    if reopen {
        runtime.block_on(ledger.close()).unwrap();
        println!("closed; bytes of files {}", ledger.stats().disk_bytes);
    } else {
        println!("killing");
        std::process::abort();
    }
}

fn open(dir: &std::path::Path) -> Arc<LogLedger> {
    let config = LedgerConfig { dir: dir.to_owned(), ..LedgerConfig::default() };
    let clock: Clock = Arc::new(|| Timestamp(START + 1_000_000_000));
    LogLedger::open_dir(config, clock, &mut |_| {}).unwrap()
}

fn write(
    runtime: &tokio::runtime::Runtime,
    ledger: &Arc<LogLedger>,
    points: u64,
    dir: &std::path::Path,
) {
    let (started, cpu) = (Instant::now(), cpu_time());
    let mut dice = 88_172_645_463_325_252_u64;
    let mut readings = Readings::default();
    let mut waiting = std::collections::VecDeque::new();
    let mut latencies = Vec::new();
    for message in 0..points / 3 {
        let device = draw(&mut dice);
        fill(&mut readings, message, device);
        let change = Change::Telemetry { entity: entity(device), readings: &readings, ttl_s: 0 };
        let receipt = loop {
            match ledger.append(change) {
                Ok(receipt) => break receipt,
                Err(AppendError::Busy) => {
                    runtime.block_on(std::future::poll_fn(|cx| ledger.poll_ready(cx)));
                }
                Err(other) => panic!("{other:?}"),
            }
        };
        if message % 64 == 0 {
            waiting.push_back((receipt, Instant::now()));
        }
        // At most this many messages are on their way, as with so many devices that wait for PUBACK.
        while waiting.len() > IN_FLIGHT / 64 {
            let (receipt, since) = waiting.pop_front().unwrap();
            wait(runtime, ledger, receipt);
            latencies.push(since.elapsed());
        }
    }
    while let Some((receipt, since)) = waiting.pop_front() {
        wait(runtime, ledger, receipt);
        latencies.push(since.elapsed());
    }
    let took = started.elapsed();
    let stats = ledger.stats();
    println!(
        "{points} points in {took:?}: {:.2} M/s, {:.3} us CPU per point, {} commits, {} flushes",
        points as f64 / took.as_secs_f64() / 1e6,
        (cpu_time() - cpu).as_secs_f64() * 1e6 / points as f64,
        stats.commits,
        ledger.flushes(),
    );
    println!("queue full {}, head full {}", stats.queue_full, stats.head_full);
    println!("ack latency {}", quantiles(&mut latencies));
    println!("commit buckets (us): {:?}", stats.commit_us_buckets);
    settle(ledger, points, dir);
}

/// Flushes the rest and waits until the chunk store came to rest, then weighs it.
fn settle(ledger: &LogLedger, points: u64, dir: &std::path::Path) {
    let cpu = cpu_time();
    let before = ledger.flushes();
    ledger.flush_soon();
    while ledger.flushes() < before + 1 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut last = 0;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = ledger.stats().disk_bytes;
        if now == last {
            break;
        }
        last = now;
    }
    println!(
        "at rest: {last} bytes with the log, {:.2} bytes per point in the chunk store; {:.3} us CPU per point more",
        chunk_bytes(dir) as f64 / points as f64,
        (cpu_time() - cpu).as_secs_f64() * 1e6 / points as f64
    );
}

fn chunk_bytes(dir: &std::path::Path) -> u64 {
    let mut waiting = vec![dir.join("chunks")];
    let mut bytes = 0;
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            } else {
                bytes += std::os::unix::fs::MetadataExt::blocks(&entry.metadata().unwrap()) * 512;
            }
        }
    }
    bytes
}

fn read(runtime: &tokio::runtime::Runtime, ledger: &LogLedger) {
    let mut ranges = Vec::new();
    let mut latest = Vec::new();
    for round in 0..2000 {
        let device = round % HOT;
        let since = Instant::now();
        let query = RangeQuery {
            entity: entity(device),
            key: "temperature".to_owned(),
            range: TimeRange::ALL,
            descending: true,
            limit: 1000,
        };
        let found = runtime.block_on(ledger.range(query)).unwrap();
        assert!(!found.is_empty());
        ranges.push((since.elapsed(), found.len()));
        let since = Instant::now();
        runtime.block_on(ledger.latest(entity(device * 97 % DEVICES), Keys::All)).unwrap();
        latest.push(since.elapsed());
    }
    let points = ranges.iter().map(|it| it.1).sum::<usize>() / ranges.len();
    let mut times: Vec<_> = ranges.iter().map(|it| it.0).collect();
    println!("range of {points} readings {}", quantiles(&mut times));
    println!("latest of 3 keys {}", quantiles(&mut latest));
}

fn wait(runtime: &tokio::runtime::Runtime, ledger: &LogLedger, receipt: Receipt) {
    runtime.block_on(committed(ledger, receipt)).unwrap();
}

fn draw(dice: &mut u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    let number = *dice >> 16;
    if number & 1 == 0 { (number >> 1) % HOT } else { (number >> 1) % DEVICES }
}

fn fill(readings: &mut Readings, message: u64, device: u64) {
    readings.clear();
    let at = Timestamp(START + message as i64 / 4);
    readings.push(
        at,
        "temperature",
        ValueRef::Double(20.0 + ((message + device) % 97) as f64 / 10.0),
    );
    readings.push(
        at,
        "humidity",
        ValueRef::Double(40.0 + ((message / 3 + device) % 211) as f64 / 10.0),
    );
    readings.push(at, "counter", ValueRef::Long((message / 100 + device) as i64));
}

fn entity(device: u64) -> EntityRef {
    DeviceId(Uuid::from_u128(u128::from(device) << 64 | 0x1234)).entity()
}

fn quantiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("p50 {:?}, p99 {:?}, max {:?}", at(0.5), at(0.99), at(1.0))
}

/// User and system time of this process, from the kernel's 100 ticks a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const DEVICES: u64 = 100_000;
const HOT: u64 = DEVICES / 100;
const IN_FLIGHT: usize = 20_000;
const START: i64 = 1_790_000_000_000;
