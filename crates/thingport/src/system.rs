//! The real clock and the real source of random bytes. Nothing below the roof knows where they come from.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thingport_core::clock::{Clock, Entropy};
use thingport_model::time::Timestamp;

/// The clocks of the operating system.
#[derive(Debug)]
pub(crate) struct SystemClock {
    started: Instant,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        wall_now()
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The wall clock; a clock set before 1970 counts backwards from there.
pub(crate) fn wall_now() -> Timestamp {
    let ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    };
    Timestamp(ms)
}

/// The random source of the operating system.
#[derive(Debug)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out).expect(
            "the kernel gives random bytes to every process once it has booted; without them no \
             token may be made",
        );
    }
}

/// Takes as many open files as the system allows this process, and tells how many that are; none when
/// there is no limit. The softer limit is there for programs that cannot deal with many.
pub(crate) fn take_descriptors() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, most) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// Lets the allocator return what was freed a while ago: hashing a password takes 19 MiB for a moment.
///
/// It looks at its freed blocks only when a large one is freed. This one is never touched, so it costs
/// two system calls and no memory.
pub(crate) fn give_memory_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(NUDGE_BYTES)));
}

const NUDGE_BYTES: usize = 20 * 1024 * 1024;
