//! The load generator: modes, measured windows and what is reported.

mod call;
mod connection;
mod fleet;
mod meter;
mod report;
mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use self::call::Pair;
use self::fleet::Fleet;
use self::report::{Report, Snapshot};
use crate::process;

/// Options of `thingport-bench load`.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// What to do.
    #[arg(value_enum)]
    mode: Mode,
    /// Address of the server (IPv4).
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
    host: Ipv4Addr,
    /// Port of the server.
    #[arg(long, default_value_t = 1883)]
    port: u16,
    /// Connections to open.
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// closed: QoS 1 publishes each connection keeps unacknowledged.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    window: u16,
    /// open: messages per second over all connections.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds before the measured window.
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
    /// Seconds of the measured window.
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// idle: connection counts at which memory is read, rising.
    #[arg(long, value_delimiter = ',', default_value = "2000,19000")]
    steps: Vec<usize>,
    /// idle: seconds of quiet before memory is read.
    #[arg(long, default_value_t = 2.0)]
    settle: f64,
    /// idle: QoS 1 messages each connection sends once before it falls quiet.
    #[arg(long, default_value_t = 0)]
    messages_each: u16,
    /// User names and client ids are this and a six-digit number counted from 1.
    #[arg(long, default_value = "bench-")]
    token_prefix: String,
    /// Topic of every message.
    #[arg(long, default_value = "v1/devices/me/telemetry")]
    topic: String,
    /// Keep-alive in CONNECT, seconds; 0 for none.
    #[arg(long, default_value_t = 0)]
    keep_alive: u16,
    /// Handshakes under way at once at most.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Speak TLS 1.3 and trust this CA, a PEM file, for the name localhost.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// With --ca: speak TLS 1.2.
    #[arg(long)]
    tls12: bool,
    /// With --ca: take up earlier TLS sessions.
    #[arg(long)]
    resume: bool,
    /// rpc: port of the REST API.
    #[arg(long)]
    http_port: Option<u16>,
    /// rpc: session token of the person who calls.
    #[arg(long)]
    bearer: Option<String>,
    /// rpc: id of the device that is called; its token is the one behind those of the connections.
    #[arg(long)]
    device: Option<String>,
    /// rpc: seconds between an answer and the next call.
    #[arg(long, default_value_t = 0.0)]
    pause: f64,
    /// Process whose CPU time and memory are the server's.
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Each connection keeps a window of publishes unacknowledged.
    Closed,
    /// Messages leave at a fixed rate, whatever the server does.
    Open,
    /// Connections are opened and left alone; memory is read.
    Idle,
    /// Connections are opened as fast as the server takes them.
    Storm,
    /// Messages leave at a fixed rate, and meanwhile a person calls a device that answers.
    Rpc,
}

/// Runs one mode to its end.
///
/// # Errors
/// When the server refuses, ends or does not answer a connection, or the process given by `--pid`
/// cannot be read. A figure from a run with lost connections would mean nothing.
pub(crate) fn run(options: &Options) -> io::Result<Report> {
    check(options)?;
    let mut fleet = Fleet::new(options)?;
    let mut report = match options.mode {
        Mode::Closed => closed(&mut fleet, options)?,
        Mode::Open => open(&mut fleet, options)?,
        Mode::Idle => idle(&mut fleet, options)?,
        Mode::Storm => storm(&mut fleet, options)?,
        Mode::Rpc => rpc(&mut fleet, options)?,
    };
    report.mode = format!("{:?}", options.mode).to_lowercase();
    report.connections = fleet.len();
    fleet.disconnect();
    Ok(report)
}

fn check(options: &Options) -> io::Result<()> {
    let longest = options.token_prefix.len().max(options.topic.len());
    let rising = options.steps.is_sorted_by(|a, b| a < b) && options.steps.len() > 1;
    let lengths = [options.warmup, options.seconds, options.settle, options.pause];
    let wrong = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if longest > LONGEST_TEXT {
        wrong("token prefix and topic may have 1,000 bytes at most")
    } else if !rising {
        wrong("--steps needs two rising numbers or more")
    } else if !lengths.iter().all(|length| (0.0..=LONGEST_RUN).contains(length)) {
        wrong("--warmup, --seconds, --settle and --pause may be 0 to 3,600 seconds")
    } else if options.connections == 0 {
        wrong("--connections needs 1 or more")
    } else {
        Ok(())
    }
}

fn closed(fleet: &mut Fleet, options: &Options) -> io::Result<Report> {
    fleet.connect_to(options.connections)?;
    for index in 0..fleet.len() {
        let now = fleet.now();
        fleet.publish(index, options.window, now)?;
    }
    answer_until(fleet, Instant::now() + Duration::from_secs_f64(options.warmup))?;
    fleet.record_from(fleet.now());
    let before = Snapshot::take(options.pid, fleet)?;
    answer_until(fleet, Instant::now() + Duration::from_secs_f64(options.seconds))?;
    let after = Snapshot::take(options.pid, fleet)?;
    let mut report = Report::between(&before, &after, fleet);
    report.window = Some(options.window);
    Ok(report)
}

/// Sends one message for each that is acknowledged.
fn answer_until(fleet: &mut Fleet, end: Instant) -> io::Result<()> {
    while Instant::now() < end {
        fleet.turn(Duration::from_millis(100))?;
        while let Some((index, count)) = fleet.next_acknowledged() {
            let now = fleet.now();
            fleet.publish(index, count, now)?;
        }
    }
    Ok(())
}

fn open(fleet: &mut Fleet, options: &Options) -> io::Result<Report> {
    fleet.connect_to(options.connections)?;
    let mut schedule = Schedule::new(fleet, options, Duration::ZERO);
    schedule.send_until(fleet, seconds(options.warmup))?;
    fleet.record_from(schedule.start + seconds(options.warmup));
    let before = Snapshot::take(options.pid, fleet)?;
    schedule.send_until(fleet, seconds(options.warmup + options.seconds))?;
    let after = Snapshot::take(options.pid, fleet)?;
    drain(fleet)?;
    let mut report = Report::between(&before, &after, fleet);
    report.rate = Some(options.rate);
    Ok(report)
}

/// The times at which messages are due, whether or not the server keeps up.
struct Schedule {
    /// Nanoseconds on the fleet's clock.
    start: u64,
    /// Messages per second.
    rate: u64,
    sent: u64,
    /// How long a turn may wait.
    wait: Duration,
}

impl Schedule {
    /// A turn that waits adds the timer's slack to every latency, so it does not where they count.
    fn new(fleet: &Fleet, options: &Options, wait: Duration) -> Self {
        Self { start: fleet.now(), rate: options.rate.into(), sent: 0, wait }
    }

    /// Sends what falls due until `end` nanoseconds after the start.
    fn send_until(&mut self, fleet: &mut Fleet, end: u64) -> io::Result<()> {
        loop {
            let elapsed = fleet.now() - self.start;
            while self.due() <= elapsed.min(end) {
                let index = (self.sent % fleet.len() as u64) as usize;
                fleet.publish(index, 1, self.start + self.due())?;
                self.sent += 1;
            }
            fleet.turn(self.wait)?;
            while fleet.next_acknowledged().is_some() {}
            if elapsed >= end {
                return Ok(());
            }
        }
    }

    fn due(&self) -> u64 {
        // 128 bits: the product passes 64 after some minutes at high rates.
        (u128::from(self.sent) * 1_000_000_000 / u128::from(self.rate)) as u64
    }
}

/// The same publishing twice: first alone, then beside calls. The difference is what calls cost.
fn rpc(fleet: &mut Fleet, options: &Options) -> io::Result<Report> {
    fleet.connect_to(options.connections)?;
    let mut pair = Pair::connect(options)?;
    let mut schedule = Schedule::new(fleet, options, TURN_BESIDE_CALLS);
    schedule.send_until(fleet, seconds(options.warmup))?;
    let start = Snapshot::take(options.pid, fleet)?;
    schedule.send_until(fleet, seconds(options.warmup + options.seconds))?;
    let before = Snapshot::take(options.pid, fleet)?;
    let stop = AtomicBool::new(false);
    let (times, calls) = thread::scope(|scope| {
        let caller = scope.spawn(|| pair.call_until(&stop));
        let published = schedule.send_until(fleet, seconds(options.warmup + 2.0 * options.seconds));
        stop.store(true, Ordering::Relaxed);
        let called = caller.join().map_err(|_| io::Error::other("the caller panicked"))?;
        published.and(called)
    })?;
    let after = Snapshot::take(options.pid, fleet)?;
    drain(fleet)?;
    let mut report = Report::between(&before, &after, fleet);
    report.rate = Some(options.rate);
    Ok(report.with_calls(calls, &times, Report::between(&start, &before, fleet)))
}

/// Waits for the acknowledgements still missing, so that the slowest are in the histogram too.
fn drain(fleet: &mut Fleet) -> io::Result<()> {
    let end = Instant::now() + DRAIN;
    while fleet.unacknowledged() > 0 && Instant::now() < end {
        fleet.turn(Duration::from_millis(10))?;
        while fleet.next_acknowledged().is_some() {}
    }
    Ok(())
}

fn idle(fleet: &mut Fleet, options: &Options) -> io::Result<Report> {
    let before = Snapshot::take(options.pid, fleet)?;
    let mut resident = Vec::new();
    for &step in &options.steps {
        let first = fleet.len();
        fleet.connect_to(step)?;
        if options.messages_each > 0 {
            for index in first..fleet.len() {
                let now = fleet.now();
                fleet.publish(index, options.messages_each, now)?;
            }
        }
        drain(fleet)?;
        settle(fleet, options.settle)?;
        let bytes = options.pid.map(process::resident).transpose()?;
        resident.extend(bytes.map(|bytes| (fleet.len(), bytes)));
    }
    let after = Snapshot::take(options.pid, fleet)?;
    Ok(Report::between(&before, &after, fleet).with_memory(resident))
}

fn settle(fleet: &mut Fleet, length: f64) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs_f64(length);
    while Instant::now() < end {
        fleet.turn(Duration::from_millis(100))?;
    }
    Ok(())
}

fn storm(fleet: &mut Fleet, options: &Options) -> io::Result<Report> {
    fleet.record_from(0);
    let before = Snapshot::take(options.pid, fleet)?;
    fleet.connect_to(options.connections)?;
    let after = Snapshot::take(options.pid, fleet)?;
    Ok(Report::between(&before, &after, fleet))
}

fn seconds(count: f64) -> u64 {
    (count * 1e9) as u64
}

impl Options {
    fn server(&self) -> SocketAddr {
        SocketAddrV4::new(self.host, self.port).into()
    }

    fn token(&self, index: usize) -> String {
        format!("{}{:06}", self.token_prefix, index + 1)
    }
}

/// Short beside the time between a device's messages, and long beside a busy loop.
const TURN_BESIDE_CALLS: Duration = Duration::from_millis(1);
const DRAIN: Duration = Duration::from_secs(5);
const LONGEST_TEXT: usize = 1_000;
/// Seconds.
const LONGEST_RUN: f64 = 3_600.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_keep_the_rate() {
        for (rate, sent, due) in [
            (20_000, 0, 0),
            (20_000, 1, 50_000),
            (3, 1, 333_333_333),
            (1_000_000, 86_400_000_000, 86_400_000_000_000),
        ] {
            let schedule = Schedule { start: 0, rate, sent, wait: Duration::ZERO };
            assert_eq!(schedule.due(), due);
        }
    }
}
