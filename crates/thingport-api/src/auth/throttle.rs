//! Brute force: after ten wrong passwords within a minute an account answers 401 until the minute is
//! over, and after a hundred an address. Time alone unlocks both (reliability promise R8), unless the
//! security settings say that so many wrong passwords in a row lock the account.
//!
//! Accounts are counted by the name that was sent, known or not, so that the lock tells nobody whether
//! an account exists. The check is made while holding the right to hash, so at most `hashing_max`
//! attempts beyond the tenth can be under way.

use std::hash::Hash;
use std::net::IpAddr;

use quick_cache::sync::Cache;

/// Wrong passwords per account and per address.
#[derive(Debug)]
pub(crate) struct Throttle {
    accounts: Cache<String, Window>,
    addresses: Cache<IpAddr, Window>,
}

/// Who tries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    /// The name that was sent.
    pub(crate) account: &'a str,
    /// The address that is counted, if any is.
    pub(crate) address: Option<IpAddr>,
    /// Of the clock that never goes back.
    pub(crate) now_ms: u64,
}

/// Whose turn is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    Account,
    Address,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since_ms: u64,
    count: u32,
    /// Wrong ones since the last right one.
    in_a_row: u32,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self { accounts: Cache::new(ACCOUNTS_MAX), addresses: Cache::new(ADDRESSES_MAX) }
    }

    /// Whether no password may be tried now.
    pub(crate) fn locked(&self, attempt: Attempt<'_>) -> Option<Locked> {
        let account = window(&self.accounts, &key(attempt.account), attempt.now_ms);
        if account.count >= ACCOUNT_FAILURES_MAX {
            return Some(Locked::Account);
        }
        let address = window(&self.addresses, &attempt.address?, attempt.now_ms);
        (address.count >= ADDRESS_FAILURES_MAX).then_some(Locked::Address)
    }

    /// Counts a wrong password; how many there were in a row for this account.
    pub(crate) fn failed(&self, attempt: Attempt<'_>) -> u32 {
        if let Some(address) = attempt.address {
            count(&self.addresses, address, attempt.now_ms);
        }
        count(&self.accounts, key(attempt.account), attempt.now_ms)
    }

    /// Forgets the failures of an account whose owner has proven to know the password.
    pub(crate) fn succeeded(&self, account: &str) {
        self.accounts.remove(&key(account));
    }
}

fn count<K: Eq + Hash>(failures: &Cache<K, Window>, key: K, now_ms: u64) -> u32 {
    let mut window = window(failures, &key, now_ms);
    window.count = window.count.saturating_add(1);
    window.in_a_row = window.in_a_row.saturating_add(1);
    failures.insert(key, window);
    window.in_a_row
}

fn window<K: Eq + Hash>(failures: &Cache<K, Window>, key: &K, now_ms: u64) -> Window {
    match failures.get(key) {
        Some(window) if now_ms.saturating_sub(window.since_ms) < WINDOW_MS => window,
        old => {
            Window { since_ms: now_ms, count: 0, in_a_row: old.map_or(0, |window| window.in_a_row) }
        }
    }
}

/// Names are compared without regard to case and kept short: a long one is nobody's address.
fn key(account: &str) -> String {
    account.chars().take(ACCOUNT_CHARS_MAX).flat_map(char::to_lowercase).collect()
}

/// Wrong passwords per account and minute.
const ACCOUNT_FAILURES_MAX: u32 = 10;
/// Wrong passwords per address and minute, whatever the account: many people may share an address.
const ADDRESS_FAILURES_MAX: u32 = 100;
const WINDOW_MS: u64 = 60_000;
/// Accounts remembered; the one longest unused is forgotten first.
const ACCOUNTS_MAX: usize = 65_536;
/// Addresses remembered, likewise.
const ADDRESSES_MAX: usize = 65_536;
const ACCOUNT_CHARS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn by(account: &str, now_ms: u64) -> Attempt<'_> {
        Attempt { account, address: None, now_ms }
    }

    #[test]
    fn the_eleventh_try_in_a_minute_is_locked_and_time_unlocks() {
        let throttle = Throttle::new();
        for n in 0..10 {
            assert_eq!(throttle.locked(by("a@b", n)), None, "try {n}");
            throttle.failed(by("A@b", n));
        }
        assert_eq!(throttle.locked(by("a@B", 59_999)), Some(Locked::Account));
        assert_eq!(throttle.locked(by("other@b", 59_999)), None);
        assert_eq!(throttle.locked(by("a@b", 60_000)), None);
        throttle.failed(by("a@b", 60_000));
        assert_eq!(throttle.locked(by("a@b", 60_001)), None);
    }

    #[test]
    fn the_right_password_forgives_and_time_does_not_end_a_row() {
        let throttle = Throttle::new();
        for n in 1..=9 {
            assert_eq!(throttle.failed(by("a@b", u64::from(n) * WINDOW_MS)), n);
        }
        throttle.succeeded("A@B");
        assert_eq!(throttle.failed(by("a@b", 20)), 1);
        assert_eq!(throttle.locked(by("a@b", 21)), None);
    }

    #[test]
    fn one_address_that_tries_many_accounts_is_locked_and_others_are_not() {
        let throttle = Throttle::new();
        let from = |address: &str| Some(address.parse().expect("an address"));
        let one = from("192.0.2.1");
        for n in 0..100 {
            let account = format!("user{n}@b");
            let attempt = Attempt { account: &account, address: one, now_ms: n };
            assert_eq!(throttle.locked(attempt), None, "try {n}");
            throttle.failed(attempt);
        }
        let next = |address| Attempt { account: "next@b", address, now_ms: 200 };
        assert_eq!(throttle.locked(next(one)), Some(Locked::Address));
        assert_eq!(throttle.locked(next(from("192.0.2.2"))), None);
        assert_eq!(throttle.locked(next(None)), None);
        assert_eq!(throttle.locked(Attempt { now_ms: 60_000, ..next(one) }), None);
    }
}
