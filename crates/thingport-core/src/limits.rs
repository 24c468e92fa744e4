//! Rate limits of tenants, devices and gateways (device API section 10).
//!
//! A [`Quota`] is what one connection is held to: the buckets of its tenant and its own. Where the
//! tenant profile limits nothing there is no quota, and a message pays one comparison. The buckets of
//! a device are kept beyond its connection until they are full again: reconnecting brings no tokens.
//!
//! A limit first slows the sender: who asks for a little more than is there gets a place in line, up to
//! [`PATIENCE_MS`] ahead, and is not listened to until its turn has come. Only what would have to wait
//! longer is refused. So a device that is a little too fast runs at exactly its limit.

mod bucket;
mod month;

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::id::EntityRef;
use thingport_model::limit::{LimitKind, LimitScope, RateLimit, RateWindow};
use thingport_model::port::ledger::Ledger;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;

use crate::journal::Journal;
use crate::metrics::{Bound, Metrics};
use crate::registry::DeviceLogin;
pub(crate) use bucket::Bucket;
use bucket::Short;
use month::{Account, Accounts};

/// Every bucket that is in use or not full.
pub struct Limits {
    table: Mutex<Table>,
    months: Accounts,
    metrics: Arc<Metrics>,
}

/// What one connection is held to, in the order of RL-006.
#[derive(Debug)]
pub struct Quota {
    month: Option<Arc<Account>>,
    scopes: [(LimitScope, Option<Arc<Buckets>>); 2],
}

/// A limit that made somebody wait, or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bite {
    /// Whose limit.
    pub scope: LimitScope,
    /// What it counts.
    pub kind: LimitKind,
    /// The part of it that bit.
    pub rule: Rule,
    /// How long until it would allow; none when what was asked for can never pass (RL-007), or not in
    /// this month.
    pub wait_ms: Option<u64>,
}

/// What a limit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// So many in so long a time.
    Rate(RateWindow),
    /// So many in a month.
    Month(u64),
}

/// The three buckets of one scope.
#[derive(Debug)]
struct Buckets(Mutex<[Bucket; LimitKind::ALL.len()]>);

#[derive(Default)]
struct Table {
    buckets: HashMap<(LimitScope, EntityRef), Arc<Buckets>>,
    /// How many there may be before the idle ones are looked at.
    sweep_at: usize,
}

impl Limits {
    /// Nothing was used up yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { table: Mutex::default(), months: Accounts::default(), metrics }
    }

    /// What a device is held to for its own messages; none when nothing limits it. To be asked again
    /// when its tenant profile changed: a limit that stayed the same keeps its fill (RL-004).
    #[must_use]
    pub fn of_device(&self, login: &DeviceLogin, now_ms: u64) -> Option<Box<Quota>> {
        let own = if login.is_gateway { LimitScope::GatewayDevice } else { LimitScope::Device };
        self.quota(login, own, now_ms)
    }

    /// What a gateway is held to for the messages of all devices behind it together.
    #[must_use]
    pub fn of_children(&self, gateway: &DeviceLogin, now_ms: u64) -> Option<Box<Quota>> {
        self.quota(gateway, LimitScope::Gateway, now_ms)
    }

    fn quota(&self, login: &DeviceLogin, own: LimitScope, now_ms: u64) -> Option<Box<Quota>> {
        let limits = login.limits.as_deref()?;
        let mut table = self.table.lock();
        let mut of = |scope, whose| {
            (scope, table.of((scope, whose), limits.scope(scope), now_ms, &self.metrics))
        };
        let scopes =
            [of(LimitScope::Tenant, login.tenant_id.entity()), of(own, login.device_id.entity())];
        let month = self.months.of(login.tenant_id, limits.monthly);
        let limits_something = month.is_some() || scopes.iter().any(|(_, it)| it.is_some());
        limits_something.then(|| Box::new(Quota { month, scopes }))
    }

    /// Writes what tenants used of their months, and tells people of quotas that are near or reached. To be
    /// called every few seconds, soon after [`Self::month_opened`], and at the end.
    pub async fn keep_months(&self, ledger: &dyn Ledger, journal: &Journal, now: Timestamp) {
        self.months.round(ledger, journal, now).await;
    }

    /// Waits until a tenant with a monthly quota is heard, of whose month it is not known yet how much it
    /// has used.
    pub async fn month_opened(&self) {
        self.months.opened().await;
    }
}

impl Quota {
    /// Takes the tokens of one message with `points` values: one telemetry message and its points, or one
    /// regular message when it has none (RL-005). Some: the tokens are promised, and the sender must not
    /// be listened to for [`Bite::wait_ms`]. Tokens taken before a refusal stay taken (RL-006). What passes
    /// counts for the tenant's month.
    ///
    /// # Errors
    /// The limit that refuses: the wait would be longer than [`PATIENCE_MS`], or the month is used up.
    pub fn charge(&self, points: usize, now_ms: u64) -> Result<Option<Bite>, Bite> {
        let passed = self.take(points as u64, now_ms)?;
        if let Some(month) = &self.month {
            month.count(points as u64);
        }
        Ok(passed)
    }

    /// As [`Self::charge`] for a regular message that counts for no month: logins, claims, client calls
    /// and downloads (RL-032).
    ///
    /// # Errors
    /// As [`Self::charge`].
    pub fn charge_uncounted(&self, now_ms: u64) -> Result<Option<Bite>, Bite> {
        self.take(0, now_ms)
    }

    fn take(&self, points: u64, now_ms: u64) -> Result<Option<Bite>, Bite> {
        if let Some(month) = &self.month {
            month.check()?;
        }
        let telemetry = [(LimitKind::TelemetryMessages, 1), (LimitKind::TelemetryPoints, points)];
        let steps: &[_] = if points > 0 { &telemetry } else { &[(LimitKind::Messages, 1)] };
        let mut slowest: Option<Bite> = None;
        for (scope, buckets) in &self.scopes {
            let Some(buckets) = buckets else { continue };
            let mut buckets = buckets.0.lock();
            for (kind, n) in steps {
                let taken = buckets[*kind as usize].take(*n, PATIENCE_MS, now_ms);
                let bite = |Short { window, wait_ms }| Bite {
                    scope: *scope,
                    kind: *kind,
                    rule: Rule::Rate(window),
                    wait_ms,
                };
                let waits = taken.map_err(bite)?.map(bite);
                slowest = slowest.into_iter().chain(waits).max_by_key(|it| it.wait_ms);
            }
        }
        Ok(slowest)
    }
}

impl Bite {
    /// Whether the sender was only made to wait.
    #[must_use]
    pub fn is_slowing(&self) -> bool {
        self.wait_ms.is_some_and(|ms| ms <= PATIENCE_MS)
    }

    /// Why a message is refused that it bit.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self.rule {
            Rule::Rate(_) => Reason::RateLimited,
            Rule::Month(_) => Reason::QuotaReached,
        }
    }
}

/// Names the limit as it is configured, for whom and for what it holds.
impl fmt::Display for Bite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (of_what, whose) = (self.kind.of_what(), self.scope.whose());
        match (self.rule, self.wait_ms) {
            (Rule::Month(max), _) => write!(f, "{max} {of_what} a month for {whose}"),
            (Rule::Rate(window), Some(_)) if self.is_slowing() => {
                write!(f, "{window} {of_what} for {whose}")
            }
            (Rule::Rate(window), Some(ms)) => {
                let seconds = ms.div_ceil(1000);
                write!(f, "{window} {of_what} for {whose}; it would have passed in {seconds} s")
            }
            (Rule::Rate(window), None) => {
                write!(
                    f,
                    "{window} {of_what} for {whose}; one message with more than that never passes"
                )
            }
        }
    }
}

impl Buckets {
    fn of(limits: &[RateLimit; LimitKind::ALL.len()], now_ms: u64) -> Self {
        Self(Mutex::new(limits.each_ref().map(|limit| Bucket::of(limit, now_ms))))
    }

    /// Takes over limits that changed; they begin full, the others keep their fill.
    fn adopt(&self, limits: &[RateLimit; LimitKind::ALL.len()], now_ms: u64) {
        for (bucket, limit) in self.0.lock().iter_mut().zip(limits) {
            if !bucket.is_for(limit) {
                *bucket = Bucket::of(limit, now_ms);
            }
        }
    }

    fn is_full(&self, now_ms: u64) -> bool {
        self.0.lock().iter_mut().all(|bucket| bucket.is_full(now_ms))
    }
}

impl Table {
    fn of(
        &mut self,
        key: (LimitScope, EntityRef),
        limits: &[RateLimit; LimitKind::ALL.len()],
        now_ms: u64,
        metrics: &Metrics,
    ) -> Option<Arc<Buckets>> {
        if limits.iter().all(RateLimit::is_unlimited) {
            self.buckets.remove(&key);
            return None;
        }
        if let Some(buckets) = self.buckets.get(&key) {
            buckets.adopt(limits, now_ms);
            return Some(Arc::clone(buckets));
        }
        if self.buckets.len() >= self.sweep_at.max(SWEEP_MIN) {
            self.sweep(now_ms, metrics);
        }
        let buckets = Arc::new(Buckets::of(limits, now_ms));
        self.buckets.insert(key, Arc::clone(&buckets));
        Some(buckets)
    }

    /// Forgets buckets that nobody holds and that are full again; when very many are not, some of
    /// them too, which gives their devices a fresh burst.
    fn sweep(&mut self, now_ms: u64, metrics: &Metrics) {
        let is_held = |buckets: &Arc<Buckets>| Arc::strong_count(buckets) > 1;
        self.buckets.retain(|_, buckets| is_held(buckets) || !buckets.is_full(now_ms));
        let mut idle = 0;
        self.buckets.retain(|_, buckets| {
            idle += usize::from(!is_held(buckets));
            is_held(buckets) || idle <= IDLE_MAX
        });
        if idle > IDLE_MAX {
            metrics.count_bound(Bound::LimitBuckets);
        }
        self.sweep_at = self.buckets.len() * 2;
    }
}

/// Longest time that a sender is slowed for one message before the message is refused.
pub const PATIENCE_MS: u64 = 1_000;
/// Bucket sets remembered for devices that are not connected (`limit_buckets_max`).
pub const IDLE_MAX: usize = 50_000;
/// Sets there may be before anybody looks for full ones.
const SWEEP_MIN: usize = 1_024;

#[cfg(test)]
mod tests;
