//! Who may open a connection at all: bounds on strangers, by address (conformance L-11, L-12; device API
//! 1.3).
//!
//! A connection is a *guest* until it has logged in. Guests are few, in total and from one address; an
//! address whose logins keep failing is not let in for a while. What is open already stays.
//! IPv6 addresses count by their /64, since one machine has a whole one.
//!
//! Decides, and neither waits nor closes anything: the caller does.

pub mod crowd;

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::limit::RateLimit;
use thingport_model::reason::{Fault, Reason};

use crate::limits::Bucket;
use crate::metrics::{Bound, Metrics};

/// What strangers may do. A number of 0 is no bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardConfig {
    /// Connections without a login, all addresses together (`mqtt.guests_max`).
    pub guests_max: u32,
    /// Connections without a login from one address (`mqtt.guests_per_address_max`).
    pub guests_per_address_max: u32,
    /// Connections accepted in a second (`mqtt.accept_rate_max`).
    pub accept_rate_max: u32,
    /// Failed logins of one address in a minute after which it is blocked for a minute
    /// (`mqtt.failed_logins_max`).
    pub failed_logins_max: u32,
    /// Addresses that nothing of this applies to (`mqtt.guard_exempt`).
    pub exempt: Vec<Network>,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            guests_max: 2_000,
            guests_per_address_max: 200,
            accept_rate_max: 1_000,
            failed_logins_max: 10,
            exempt: vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6],
        }
    }
}

/// All addresses with the same beginning: `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub struct Network {
    /// IPv4 addresses lie where IPv6 maps them.
    base: u128,
    bits: u32,
    is_v4: bool,
}

/// Keeps count of guests and failures.
#[derive(Debug)]
pub struct Guard {
    config: GuardConfig,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rate: Bucket,
    guests: u32,
    addresses: HashMap<u128, Address>,
    /// When the full table was last looked through.
    swept_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Address {
    guests: u32,
    failures: u32,
    /// When the first of `failures` happened.
    since_ms: u64,
    blocked_until_ms: u64,
}

impl Guard {
    /// Nobody was here yet.
    #[must_use]
    pub fn new(config: GuardConfig, metrics: Arc<Metrics>) -> Self {
        let rate = match config.accept_rate_max {
            0 => RateLimit::default(),
            max => RateLimit::parse(&format!("{max}:1")).unwrap_or_default(),
        };
        let state = State { rate: Bucket::of(&rate, 0), ..State::default() };
        Self { config, metrics, state: Mutex::new(state) }
    }

    /// Lets a new connection from `ip` in as a guest: [`Self::leave`] must follow once it has logged in
    /// or ended.
    ///
    /// # Errors
    /// The reason to close it at once. It is no guest then, and trying prolongs nothing (LS-010).
    pub fn enter(&self, ip: IpAddr, now_ms: u64) -> Result<(), Reason> {
        if self.is_exempt(ip) {
            return Ok(());
        }
        let entered = self.state.lock().enter(&self.config, group(ip), now_ms);
        entered.inspect_err(|reason| match reason {
            Reason::AcceptRateReached => self.metrics.count_bound(Bound::AcceptRate),
            Reason::TooManyGuests => self.metrics.count_bound(Bound::Guests),
            Reason::TooManyFromAddress => self.metrics.count_bound(Bound::GuestsPerAddress),
            _ => {}
        })
    }

    /// Whether somebody at `ip` may log in by a request that is answered at once, and so is no guest:
    /// not while its address is blocked.
    ///
    /// # Errors
    /// [`Reason::AddressBlocked`]
    pub fn may_log_in(&self, ip: IpAddr, now_ms: u64) -> Result<(), Reason> {
        if self.config.failed_logins_max == 0 || self.is_exempt(ip) {
            return Ok(());
        }
        let state = self.state.lock();
        let is_blocked =
            state.addresses.get(&group(ip)).is_some_and(|at| at.blocked_until_ms > now_ms);
        if is_blocked { Err(Reason::AddressBlocked) } else { Ok(()) }
    }

    /// A connection that [`Self::enter`] let in is no guest any more.
    pub fn leave(&self, ip: IpAddr) {
        if !self.is_exempt(ip) {
            self.state.lock().leave(group(ip));
        }
    }

    /// Somebody at `ip` logged in: its failures are forgiven (LS-010).
    pub fn succeeded(&self, ip: IpAddr) {
        if self.config.failed_logins_max > 0 && !self.is_exempt(ip) {
            self.state.lock().succeeded(group(ip));
        }
    }

    /// A login from `ip` was refused for `reason`. Only what a guesser would meet is counted: no
    /// trouble of ours and no limit (LS-008, LS-009).
    pub fn failed(&self, ip: IpAddr, reason: Reason, now_ms: u64) {
        let max = self.config.failed_logins_max;
        if max == 0 || !is_guess(reason) || self.is_exempt(ip) {
            return;
        }
        if !self.state.lock().failed(max, group(ip), now_ms) {
            self.metrics.count_bound(Bound::GuardedAddresses);
        }
    }

    fn is_exempt(&self, ip: IpAddr) -> bool {
        self.config.exempt.iter().any(|network| network.contains(ip))
    }
}

impl State {
    fn enter(&mut self, config: &GuardConfig, key: u128, now_ms: u64) -> Result<(), Reason> {
        let at = self.addresses.get(&key).copied().unwrap_or_default();
        let is_over = |count: u32, max: u32| max > 0 && count >= max;
        // The dearest checks last: what is closed for another reason takes no token.
        if at.blocked_until_ms > now_ms {
            return Err(Reason::AddressBlocked);
        }
        if is_over(at.guests, config.guests_per_address_max) {
            return Err(Reason::TooManyFromAddress);
        }
        if is_over(self.guests, config.guests_max) {
            return Err(Reason::TooManyGuests);
        }
        if self.rate.take(1, 0, now_ms).is_err() {
            return Err(Reason::AcceptRateReached);
        }
        self.guests += 1;
        // Guests are bounded, so these places are too; only failures need the table's bound.
        self.addresses.entry(key).or_default().guests += 1;
        Ok(())
    }

    fn leave(&mut self, key: u128) {
        self.guests = self.guests.saturating_sub(1);
        if let Some(at) = self.addresses.get_mut(&key) {
            at.guests = at.guests.saturating_sub(1);
            if at.guests == 0 && at.failures == 0 {
                self.addresses.remove(&key);
            }
        }
    }

    fn succeeded(&mut self, key: u128) {
        if let Some(at) = self.addresses.get_mut(&key) {
            *at = Address { guests: at.guests, ..Address::default() };
            if at.guests == 0 {
                self.addresses.remove(&key);
            }
        }
    }

    /// False when there is no room to remember it.
    fn failed(&mut self, max: u32, key: u128, now_ms: u64) -> bool {
        if !self.addresses.contains_key(&key) && self.is_full(now_ms) {
            return false;
        }
        let at = self.addresses.entry(key).or_default();
        if !at.is_remembered(now_ms) {
            (at.failures, at.since_ms) = (0, now_ms);
        }
        at.failures = at.failures.saturating_add(1);
        if at.failures >= max {
            // Counted from the last failure (LS-010): a connection that is open still may fail on.
            at.blocked_until_ms = now_ms + BLOCK_MS;
        }
        true
    }

    /// Whether there is no room for one more address. Looking through all of them takes a while, and
    /// whoever fails fills the table, so it is done once in a while only.
    fn is_full(&mut self, now_ms: u64) -> bool {
        if self.addresses.len() < ADDRESSES_MAX {
            return false;
        }
        if self.swept_ms.is_some_and(|at| now_ms < at + SWEEP_EVERY_MS) {
            return true;
        }
        self.swept_ms = Some(now_ms);
        self.addresses.retain(|_, at| at.guests > 0 || at.is_remembered(now_ms));
        self.addresses.len() >= ADDRESSES_MAX
    }
}

impl Address {
    fn is_remembered(&self, now_ms: u64) -> bool {
        now_ms < self.blocked_until_ms || (self.failures > 0 && now_ms < self.since_ms + WINDOW_MS)
    }
}

impl Network {
    /// `127.0.0.0/8`
    pub const LOOPBACK_V4: Self = Self::new(IpAddr::V4(core::net::Ipv4Addr::new(127, 0, 0, 0)), 8);
    /// `::1`
    pub const LOOPBACK_V6: Self = Self::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 128);

    const fn new(ip: IpAddr, bits: u32) -> Self {
        let is_v4 = ip.is_ipv4();
        let bits = if is_v4 { bits + 96 } else { bits };
        Self { base: mapped(ip) & mask(bits), bits, is_v4 }
    }

    /// Reads an address, or a network such as `10.0.0.0/8` or `2001:db8::/32`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().ok()?;
        let widest = if ip.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => widest,
        };
        (bits <= widest).then(|| Self::new(ip, bits))
    }

    /// Whether `ip` belongs to it. An IPv4 address may also come as IPv6 does: `::ffff:192.0.2.1`.
    #[must_use]
    pub const fn contains(&self, ip: IpAddr) -> bool {
        mapped(ip) & mask(self.bits) == self.base
    }
}

impl core::fmt::Display for Network {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let ip = Ipv6Addr::from(self.base);
        let v4 = ip.to_ipv4_mapped().filter(|_| self.is_v4);
        match (v4, self.bits) {
            (Some(ip), 128) => write!(f, "{ip}"),
            (Some(ip), bits) => write!(f, "{ip}/{}", bits - 96),
            (None, 128) => write!(f, "{ip}"),
            (None, bits) => write!(f, "{ip}/{bits}"),
        }
    }
}

const fn mapped(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

const fn mask(bits: u32) -> u128 {
    if bits == 0 { 0 } else { u128::MAX << (128 - bits) }
}

/// What counts as one address.
fn group(ip: IpAddr) -> u128 {
    let address = mapped(ip);
    let is_v4 = Ipv6Addr::from(address).to_ipv4_mapped().is_some();
    if is_v4 { address } else { address & mask(64) }
}

/// Whether somebody who guesses credentials would be refused for this: any refusal at login but trouble
/// of ours, and credentials that were right.
fn is_guess(reason: Reason) -> bool {
    let is_login = matches!(reason.number(), 200..300 | 900..1000);
    is_login
        && reason.fault() != Fault::Server
        && !matches!(reason, Reason::ProfileNotMqtt | Reason::ProfileNotHttp)
}

/// Failures are counted over so long.
const WINDOW_MS: u64 = 60_000;
/// How long an address is not let in after too many of them.
const BLOCK_MS: u64 = 60_000;
/// How often a full table is looked through.
const SWEEP_EVERY_MS: u64 = 1_000;
/// Addresses remembered (`guarded_addresses_max`); about 5 MiB when full.
pub const ADDRESSES_MAX: usize = 50_000;

#[cfg(test)]
mod tests;
