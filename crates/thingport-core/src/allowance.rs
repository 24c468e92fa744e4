//! What people and their programs are held to: requests, WebSocket sessions and subscriptions of one
//! tenant, customer, user or guest (REST API 4.2, W-6, W-7).
//!
//! The rules are an argument; whoever calls knows which tenant profile is in force. A limit whose text
//! changed begins with full buckets, the others keep their fill, as for devices (RL-004).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::id::{CustomerId, TenantId, UserId};
use thingport_model::limit::{RateLimit, RateWindow};

use crate::access::Caller;
use crate::limits::Bucket;
use crate::metrics::{Bound, Metrics};

/// What the profile of a tenant says about its people. Everything is unlimited by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeopleRules {
    /// `tenantServerRestLimitsConfiguration`: requests of all people of the tenant.
    pub tenant_requests: RateLimit,
    /// `customerServerRestLimitsConfiguration`: requests of all users of one customer.
    pub customer_requests: RateLimit,
    /// `maxWsSessionsPer...`.
    pub sessions: PerWhom,
    /// `maxWsSubscriptionsPer...`.
    pub subscriptions: PerWhom,
    /// `wsMsgQueueLimitPerSession`: messages that may wait in one session; 0 for the server's own bound.
    pub queue_max: u64,
    /// `wsUpdatesPerSessionRateLimit`: updates sent to one session.
    pub updates: RateLimit,
}

/// How many of something each may have; 0 is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerWhom {
    /// All people of the tenant together.
    pub tenant: u64,
    /// All users of one customer together.
    pub customer: u64,
    /// One user.
    pub user: u64,
    /// All guests of one public customer together.
    pub guest: u64,
}

/// Whose things are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whom {
    /// All people of a tenant.
    Tenant(TenantId),
    /// All users of a customer.
    Customer(CustomerId),
    /// One user.
    User(UserId),
    /// All guests of a public customer.
    Guest(CustomerId),
}

impl Whom {
    /// For people: whose limit it is.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant",
            Self::Customer(_) => "customer",
            Self::User(_) => "user",
            Self::Guest(_) => "guest",
        }
    }
}

/// A limit of requests that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRequests {
    /// Whose limit.
    pub whom: Whom,
    /// The part of it that refused.
    pub window: RateWindow,
    /// When it would have allowed.
    pub wait_ms: u64,
}

/// A limit of sessions or subscriptions that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPlace {
    /// Whose limit.
    pub whom: Whom,
    /// How many there may be.
    pub max: u64,
}

/// What people have used up and what they hold.
pub struct Allowances {
    requests: Mutex<HashMap<Whom, Limited>>,
    sessions: Arc<Held>,
    subscriptions: Arc<Held>,
    metrics: Arc<Metrics>,
}

struct Limited {
    limit: RateLimit,
    bucket: Bucket,
}

#[derive(Debug, Default)]
struct Held(Mutex<HashMap<Whom, u64>>);

/// A session or subscription that is counted until this is dropped.
#[derive(Debug)]
pub struct Place {
    held: Arc<Held>,
    whom: Vec<Whom>,
}

impl Allowances {
    /// Nothing was used up yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            requests: Mutex::default(),
            sessions: Arc::default(),
            subscriptions: Arc::default(),
            metrics,
        }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// The limit that refused.
    pub fn request(
        &self,
        caller: &Caller,
        rules: &PeopleRules,
        now_ms: u64,
    ) -> Result<(), TooManyRequests> {
        self.take(Whom::Tenant(caller.tenant_id), &rules.tenant_requests, now_ms)?;
        match caller.customer_id {
            Some(id) => self.take(Whom::Customer(id), &rules.customer_requests, now_ms),
            None => Ok(()),
        }
    }

    /// A place for one more WebSocket session.
    ///
    /// # Errors
    /// The limit that refused.
    pub fn session(&self, caller: &Caller, rules: &PeopleRules) -> Result<Place, NoPlace> {
        self.place(&self.sessions, caller, &rules.sessions)
    }

    /// A place for one more subscription.
    ///
    /// # Errors
    /// The limit that refused.
    pub fn subscription(&self, caller: &Caller, rules: &PeopleRules) -> Result<Place, NoPlace> {
        self.place(&self.subscriptions, caller, &rules.subscriptions)
    }

    fn take(&self, whom: Whom, limit: &RateLimit, now_ms: u64) -> Result<(), TooManyRequests> {
        if limit.is_unlimited() {
            return Ok(());
        }
        let mut requests = self.requests.lock();
        if requests.len() >= WHOM_MAX && !requests.contains_key(&whom) {
            // Some begin afresh; there are more of them than an installation has customers.
            requests.clear();
            self.metrics.count_bound(Bound::RestRateLimits);
        }
        let fresh = || Limited { limit: limit.clone(), bucket: Bucket::of(limit, now_ms) };
        let limited = requests.entry(whom).or_insert_with(fresh);
        if limited.limit != *limit {
            *limited = fresh();
        }
        let taken = limited.bucket.take(1, 0, now_ms);
        drop(requests);
        taken.map(drop).map_err(|short| {
            self.metrics.count_bound(Bound::RestRateLimits);
            let wait_ms = short.wait_ms.unwrap_or(u64::MAX);
            TooManyRequests { whom, window: short.window, wait_ms }
        })
    }

    fn place(&self, held: &Arc<Held>, caller: &Caller, max: &PerWhom) -> Result<Place, NoPlace> {
        let mut limits = vec![(Whom::Tenant(caller.tenant_id), max.tenant)];
        match caller.customer_id {
            // A guest is its public customer, and nobody in particular.
            Some(id) if caller.read_only => limits.push((Whom::Guest(id), max.guest)),
            Some(id) => limits.push((Whom::Customer(id), max.customer)),
            None => {}
        }
        if !caller.read_only {
            limits.push((Whom::User(caller.user_id), max.user));
        }
        let mut counts = held.0.lock();
        for (whom, max) in &limits {
            let (whom, max) = (*whom, *max);
            if max > 0 && counts.get(&whom).is_some_and(|count| *count >= max) {
                self.metrics.count_bound(Bound::WebSocketLimits);
                return Err(NoPlace { whom, max });
            }
        }
        let whom: Vec<_> = limits.into_iter().map(|(whom, _)| whom).collect();
        for whom in &whom {
            *counts.entry(*whom).or_default() += 1;
        }
        drop(counts);
        Ok(Place { held: Arc::clone(held), whom })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.held.0.lock();
        for whom in &self.whom {
            if let Some(count) = counts.get_mut(whom) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(whom);
                }
            }
        }
    }
}

/// Updates that may be sent to one WebSocket session.
#[derive(Debug)]
pub struct UpdateAllowance(Mutex<Bucket>);

impl UpdateAllowance {
    /// Nothing was sent yet.
    #[must_use]
    pub fn of(limit: &RateLimit, now_ms: u64) -> Self {
        Self(Mutex::new(Bucket::of(limit, now_ms)))
    }

    /// Whether one more may be sent now; it is counted then.
    #[must_use]
    pub fn take(&self, now_ms: u64) -> bool {
        self.0.lock().take(1, 0, now_ms).is_ok()
    }
}

/// Tenants and customers whose requests are limited and counted.
const WHOM_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::user::Authority;
    use uuid::Uuid;

    fn caller(user: u128, customer: Option<u128>) -> Caller {
        Caller {
            user_id: UserId(Uuid::from_u128(user)),
            tenant_id: TenantId(Uuid::from_u128(1)),
            customer_id: customer.map(|id| CustomerId(Uuid::from_u128(id))),
            authority: Authority::TenantAdmin,
            read_only: false,
        }
    }

    fn limit(text: &str) -> RateLimit {
        RateLimit::parse(text).expect("a limit")
    }

    fn allowances() -> Allowances {
        Allowances::new(Arc::new(Metrics::default()))
    }

    #[test]
    fn requests_are_counted_per_tenant_and_per_customer() {
        let rules = PeopleRules {
            tenant_requests: limit("5:10"),
            customer_requests: limit("2:10"),
            ..PeopleRules::default()
        };
        let allowances = allowances();
        let (admin, one, other) = (caller(1, None), caller(2, Some(7)), caller(3, Some(8)));
        let ask = |who: &Caller, now_ms| {
            allowances.request(who, &rules, now_ms).map_err(|it| (it.whom.name(), it.wait_ms))
        };
        let rows = [
            (&one, 0, Ok(())),
            (&one, 0, Ok(())),
            (&one, 0, Err(("customer", 5_000))),
            (&other, 0, Ok(())),
            (&admin, 0, Ok(())),
            (&admin, 0, Err(("tenant", 2_000))),
            (&admin, 2_000, Ok(())),
            (&other, 2_000, Err(("tenant", 2_000))),
        ];
        for (row, (who, now_ms, expected)) in rows.into_iter().enumerate() {
            assert_eq!(ask(who, now_ms), expected, "row {row}");
        }
        let wider = PeopleRules { tenant_requests: limit("100:1"), ..rules.clone() };
        assert_eq!(allowances.request(&admin, &wider, 2_000), Ok(()), "a new limit begins full");
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let max = PerWhom { tenant: 4, customer: 2, user: 1, guest: 1 };
        let rules = PeopleRules { sessions: max, ..PeopleRules::default() };
        let allowances = allowances();
        let guest = Caller { read_only: true, ..caller(0, Some(9)) };
        let take =
            |who: &Caller| allowances.session(who, &rules).map_err(|it| (it.whom.name(), it.max));
        let first = take(&caller(1, Some(7))).expect("free");
        assert_eq!(take(&caller(1, Some(7))).err(), Some(("user", 1)));
        let second = take(&caller(2, Some(7))).expect("free");
        assert_eq!(take(&caller(3, Some(7))).err(), Some(("customer", 2)));
        let third = take(&guest).expect("free");
        assert_eq!(take(&guest).err(), Some(("guest", 1)));
        let fourth = take(&caller(4, None)).expect("free");
        assert_eq!(take(&caller(5, None)).err(), Some(("tenant", 4)));
        drop(first);
        assert!(take(&caller(3, Some(7))).is_ok());
        drop((second, third, fourth));
        assert!(allowances.sessions.0.lock().is_empty(), "nothing is left behind");
        assert!(allowances.subscription(&guest, &rules).is_ok(), "counted apart");
    }

    #[test]
    fn updates_are_counted_and_come_back_with_time() {
        let updates = UpdateAllowance::of(&limit("2:1"), 0);
        let taken: Vec<_> = [0, 0, 0, 500].into_iter().map(|now_ms| updates.take(now_ms)).collect();
        assert_eq!(taken, [true, true, false, true]);
    }
}
