//! What the kernel says about a process: CPU time of all its threads, and resident memory.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// CPU time spent by a process since it started, all threads, those that ended included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuTime {
    pub user: Duration,
    pub system: Duration,
}

impl CpuTime {
    /// CPU time spent since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

/// CPU time of process `pid`, in steps of one clock tick (10 ms).
pub(crate) fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&stat, clock_ticks_per_second())
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not as expected")))
}

/// Resident memory of process `pid` in bytes.
pub(crate) fn resident(pid: u32) -> io::Result<u64> {
    // The status file sums per-CPU counters lazily; the roll-up walks the pages and is exact, but
    // needs the right to look into the process.
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .ok()
        .and_then(|text| parse_kilobytes(&text, "Rss:"));
    match rollup {
        Some(bytes) => Ok(bytes),
        None => parse_kilobytes(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:")
            .ok_or_else(|| io::Error::other(format!("/proc/{pid}/status has no VmRSS"))),
    }
}

/// Raises the soft limit on open descriptors to the hard one.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

fn parse_stat(stat: &str, ticks_per_second: u64) -> Option<CpuTime> {
    // The second field is the program's name and may hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut next = || {
        let ticks: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_nanos(ticks * 1_000_000_000 / ticks_per_second))
    };
    Some(CpuTime { user: next()?, system: next()? })
}

fn parse_kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 3 0 99";
        let expected =
            CpuTime { user: Duration::from_millis(1_500), system: Duration::from_millis(250) };
        assert_eq!(parse_stat(stat, 100), Some(expected));
        assert_eq!(parse_stat("42 (a) S 1 2", 100), None);
    }

    #[test]
    fn memory_is_given_in_bytes() {
        assert_eq!(parse_kilobytes("Name:\tx\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2_097_152));
        assert_eq!(parse_kilobytes("Name:\tx\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let own = std::process::id();
        assert!(resident(own).unwrap() > 100_000);
        assert!(cpu_time(own).is_ok());
    }
}
