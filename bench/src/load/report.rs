//! What a run found, as one line of JSON.

use std::io;

use serde::Serialize;

use super::fleet::Fleet;
use crate::histogram::Histogram;
use crate::process::{self, CpuTime};

/// The figures of one run. Absent: not measured in this mode, or no `--pid` was given.
#[derive(Serialize, Default)]
pub(crate) struct Report {
    pub mode: String,
    pub connections: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u16>,
    /// Messages per second that were to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Length of the measured window.
    seconds: f64,
    /// Acknowledged in the measured window.
    messages: u64,
    messages_per_second: f64,
    /// Sent and never acknowledged, counted at the end.
    unacknowledged: usize,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    server: Option<ServerCost>,
    /// Share of one core the generator itself used: near 1 it set the pace, or spun on purpose.
    load_core_share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<Latency>,
    /// Connections and the server's resident bytes with so many of them, idle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    idle_resident_bytes: Vec<(usize, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_idle_connection: Option<f64>,
    /// Calls in the measured window; `latency_us` is theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<u64>,
    /// What the server spent beyond its spending before there were calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_us_per_call: Option<f64>,
}

#[derive(Serialize)]
struct ServerCost {
    server_cpu_seconds: f64,
    /// Share of one core the server used: far below 1 it slept between messages.
    server_core_share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_us_per_message: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_user_us_per_message: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_us_per_connect: Option<f64>,
    resident_bytes_before: u64,
    resident_bytes_after: u64,
}

#[derive(Serialize)]
struct Latency {
    count: u64,
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// The counters at one end of the measured window.
pub(crate) struct Snapshot {
    /// Nanoseconds on the fleet's clock.
    at: u64,
    acknowledged: u64,
    connections: usize,
    load: CpuTime,
    /// CPU time and resident bytes.
    server: Option<(CpuTime, u64)>,
}

impl Snapshot {
    /// Reads the counters now.
    ///
    /// # Errors
    /// When the server's process cannot be read; it has probably ended.
    pub(crate) fn take(pid: Option<u32>, fleet: &Fleet) -> io::Result<Self> {
        let server =
            pid.map(|pid| Ok::<_, io::Error>((process::cpu_time(pid)?, process::resident(pid)?)));
        Ok(Self {
            server: server.transpose()?,
            load: process::cpu_time(std::process::id())?,
            acknowledged: fleet.acknowledged_total(),
            connections: fleet.len(),
            at: fleet.now(),
        })
    }
}

impl Report {
    /// What happened between two snapshots.
    pub(crate) fn between(before: &Snapshot, after: &Snapshot, fleet: &Fleet) -> Self {
        let seconds = (after.at - before.at) as f64 / 1e9;
        let messages = after.acknowledged - before.acknowledged;
        Self {
            seconds,
            messages,
            messages_per_second: messages as f64 / seconds,
            unacknowledged: fleet.unacknowledged(),
            server: ServerCost::between(before, after, seconds),
            load_core_share: after.load.since(before.load).total().as_secs_f64() / seconds,
            latency_us: Latency::of(fleet.latencies()),
            ..Self::default()
        }
    }

    /// Adds resident bytes at rising numbers of idle connections, and the slope between the ends.
    pub(crate) fn with_memory(mut self, resident: Vec<(usize, u64)>) -> Self {
        if let (Some(first), Some(last)) = (resident.first(), resident.last()) {
            let bytes = last.1 as f64 - first.1 as f64;
            self.bytes_per_idle_connection = Some(bytes / (last.0 - first.0) as f64);
        }
        self.idle_resident_bytes = resident;
        self
    }

    /// Adds calls and how long they took; `quiet` is the same load without them.
    pub(crate) fn with_calls(mut self, calls: u64, times: &Histogram, quiet: Self) -> Self {
        let share = |report: &Self| report.server.as_ref().map(|cost| cost.server_core_share);
        self.server_cpu_us_per_call =
            share(&self).zip(share(&quiet)).and_then(|(with, without)| {
                (calls > 0).then(|| (with - without) * self.seconds * 1e6 / calls as f64)
            });
        self.calls = Some(calls);
        self.latency_us = Latency::of(times);
        self
    }
}

impl ServerCost {
    fn between(before: &Snapshot, after: &Snapshot, seconds: f64) -> Option<Self> {
        let ((cpu_before, resident_before), (cpu_after, resident_after)) =
            before.server.zip(after.server)?;
        let cpu = cpu_after.since(cpu_before);
        let total = cpu.total().as_secs_f64();
        let messages = after.acknowledged - before.acknowledged;
        let connects = (after.connections - before.connections) as u64;
        let each = |seconds: f64, count: u64| (count > 0).then(|| seconds * 1e6 / count as f64);
        Some(Self {
            server_cpu_seconds: total,
            server_core_share: total / seconds,
            server_cpu_us_per_message: each(total, messages),
            server_user_us_per_message: each(cpu.user.as_secs_f64(), messages),
            server_cpu_us_per_connect: each(total, connects),
            resident_bytes_before: resident_before,
            resident_bytes_after: resident_after,
        })
    }
}

impl Latency {
    fn of(latencies: &Histogram) -> Option<Self> {
        let us = |share| latencies.quantile(share) as f64 / 1e3;
        (latencies.total() > 0).then(|| Self {
            count: latencies.total(),
            p50: us(0.5),
            p99: us(0.99),
            p999: us(0.999),
            max: us(1.0),
        })
    }
}
