//! How long a commit waits for company.
//!
//! A commit costs the same for one change as for a hundred, and while it is written others arrive. On a
//! busy server it pays to let a few hundred microseconds pass first; for a single client that waits for
//! each acknowledgement every microsecond is lost, because nothing more comes until it has its answer.
//! Neither can be told from the rate alone. So the writer tries: it waits a little now and then, waits
//! longer as long as waiting brings company, and stops as soon as it does not.

use std::time::Duration;

/// What the writer has learned about waiting.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    wait: Duration,
    commits: u32,
}

impl Pace {
    /// How long the commit at hand waits; none when it does not.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        self.commits = self.commits.wrapping_add(1);
        if !self.wait.is_zero() {
            return Some(self.wait);
        }
        self.commits.is_multiple_of(TRY_EVERY).then_some(WAIT_MIN)
    }

    /// Learns what a wait brought: `before` changes were in line, `after` are now.
    pub(crate) fn learn(&mut self, before: u64, after: u64) {
        if after >= TARGET {
            self.wait = (self.wait * 7 / 8).max(WAIT_MIN);
        } else if after >= before + GAIN_MIN {
            self.wait = (self.wait * 2).clamp(WAIT_MIN, WAIT_MAX);
        } else {
            let wait = self.wait / 2;
            self.wait = if wait < WAIT_MIN { Duration::ZERO } else { wait };
        }
    }
}

/// Changes in line with which a commit never waits: its cost is spread thinly enough.
pub(crate) const TARGET: u64 = 128;
/// The longest wait (`commit_delay_max`).
const WAIT_MAX: Duration = Duration::from_micros(2_000);
/// The first wait that is tried.
const WAIT_MIN: Duration = Duration::from_micros(100);
/// Changes that a wait must bring to be worth it.
const GAIN_MIN: u64 = 4;
/// Commits between two tries on a quiet server: an average of 3 us each.
const TRY_EVERY: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits of 200 commits, when waiting for w brings `company(w)` changes.
    fn waits(company: impl Fn(Duration) -> u64) -> Vec<Duration> {
        let mut pace = Pace::default();
        let mut waits = Vec::new();
        for _ in 0..200 {
            let wait = pace.next();
            if let Some(wait) = wait {
                pace.learn(1, 1 + company(wait));
            }
            waits.push(wait.unwrap_or_default());
        }
        waits
    }

    #[test]
    fn a_lone_client_hardly_ever_waits() {
        let waits = waits(|_| 0);
        assert_eq!(waits.iter().filter(|wait| !wait.is_zero()).count(), 6);
        assert_eq!(waits.iter().max(), Some(&WAIT_MIN));
    }

    #[test]
    fn a_busy_server_learns_to_wait_and_never_longer_than_it_may() {
        let waits = waits(|wait| u64::try_from(wait.as_micros() / 20).unwrap());
        assert!(waits.iter().skip(50).all(|wait| *wait == WAIT_MAX), "{waits:?}");
    }

    #[test]
    fn a_very_busy_server_waits_just_long_enough() {
        let waits = waits(|wait| u64::try_from(wait.as_micros() / 2).unwrap());
        let late = &waits[100..];
        assert!(late.iter().all(|wait| *wait < Duration::from_micros(600)), "{late:?}");
        assert!(late.iter().all(|wait| *wait >= Duration::from_micros(200)), "{late:?}");
    }

    #[test]
    fn waiting_ends_when_the_company_leaves() {
        let mut pace = Pace { wait: WAIT_MAX, commits: 0 };
        let commits = core::iter::from_fn(|| pace.next().inspect(|_| pace.learn(1, 1))).count();
        assert!(commits <= 6, "{commits}");
    }
}
