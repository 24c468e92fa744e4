//! Brute force: after ten wrong passwords within a minute an account answers 401 until the minute is
//! over. Time alone unlocks it (reliability promise R8).
//!
//! Accounts are counted by the name that was sent, known or not, so that the lock tells nobody whether
//! an account exists. The check is made while holding the right to hash, so at most `hashing_max`
//! attempts beyond the tenth can be under way.

use quick_cache::sync::Cache;

/// Wrong passwords per account.
#[derive(Debug)]
pub(crate) struct Throttle {
    failures: Cache<String, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since_ms: u64,
    count: u32,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self { failures: Cache::new(ACCOUNTS_MAX) }
    }

    /// Whether `account` may not try a password at the moment `now_ms` of the clock that never goes
    /// back.
    pub(crate) fn is_locked(&self, account: &str, now_ms: u64) -> bool {
        self.window(account, now_ms).count >= FAILURES_MAX
    }

    /// Counts a wrong password.
    pub(crate) fn failed(&self, account: &str, now_ms: u64) {
        let mut window = self.window(account, now_ms);
        window.count = window.count.saturating_add(1);
        self.failures.insert(key(account), window);
    }

    /// Forgets the failures of an account whose owner has proven to know the password.
    pub(crate) fn succeeded(&self, account: &str) {
        self.failures.remove(&key(account));
    }

    fn window(&self, account: &str, now_ms: u64) -> Window {
        match self.failures.get(&key(account)) {
            Some(window) if now_ms.saturating_sub(window.since_ms) < WINDOW_MS => window,
            _ => Window { since_ms: now_ms, count: 0 },
        }
    }
}

/// Names are compared without regard to case and kept short: a long one is nobody's address.
fn key(account: &str) -> String {
    account.chars().take(ACCOUNT_CHARS_MAX).flat_map(char::to_lowercase).collect()
}

/// Wrong passwords per account and minute.
const FAILURES_MAX: u32 = 10;
const WINDOW_MS: u64 = 60_000;
/// Accounts remembered; the one longest unused is forgotten first.
const ACCOUNTS_MAX: usize = 65_536;
const ACCOUNT_CHARS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_try_in_a_minute_is_locked_and_time_unlocks() {
        let throttle = Throttle::new();
        for n in 0..10 {
            assert!(!throttle.is_locked("a@b", n), "try {n}");
            throttle.failed("A@b", n);
        }
        assert!(throttle.is_locked("a@B", 59_999));
        assert!(!throttle.is_locked("other@b", 59_999));
        assert!(!throttle.is_locked("a@b", 60_000));
        throttle.failed("a@b", 60_000);
        assert!(!throttle.is_locked("a@b", 60_001));
    }

    #[test]
    fn the_right_password_forgives() {
        let throttle = Throttle::new();
        (0..9).for_each(|n| throttle.failed("a@b", n));
        throttle.succeeded("A@B");
        throttle.failed("a@b", 20);
        assert!(!throttle.is_locked("a@b", 21));
    }
}
