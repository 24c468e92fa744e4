//! Monthly quotas of tenants (device API 10.4): what their devices said this month is counted in memory and
//! written behind.
//!
//! A tenant has an account while its profile has a quota and somebody is held to it. Counting is two
//! additions. A *round* every few seconds reads what an account had before the start, begins a month anew,
//! and writes what has changed, so that a crash forgets a few seconds of counting and nothing else. It is
//! written with the installation, not with the tenant: tenants may write their own attributes.
//!
//! A month is a calendar month in UTC. Who has reached the quota is refused as by a rate limit, at CONNECT
//! too, until the month ends or the quota grows (RL-031).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::attribute::{Attribute, Scope};
use thingport_model::id::TenantId;
use thingport_model::limit::{LimitKind, LimitScope, MonthlyQuota};
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::{AppendError, Change, Keys, Ledger};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::{Value, ValueRef};
use tokio::sync::Notify;

use super::{Bite, Rule};
use crate::journal::{Journal, Report, Subject};

/// Accounts of all tenants that have a quota and were heard lately. There are never more of them than
/// tenants.
#[derive(Default)]
pub(super) struct Accounts {
    table: Mutex<HashMap<TenantId, Arc<Account>>>,
    /// Notified when an account was opened, whose past must be read.
    opened: Notify,
}

/// What one tenant's devices said this month.
#[derive(Debug)]
pub(super) struct Account(Mutex<State>);

#[derive(Debug)]
struct State {
    quota: MonthlyQuota,
    used: Used,
    month: Month,
    /// Whether what was used before the start is among it.
    is_complete: bool,
    /// Whether all of it is written.
    is_written: bool,
    told: Told,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    messages: u64,
    points: u64,
}

/// What people were told of the quota this month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Near,
    Reached,
}

/// Months since the beginning of the year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Month(i64);

impl Accounts {
    /// The account of a tenant that has a quota; what it allows holds from now on.
    pub(super) fn of(&self, tenant: TenantId, quota: MonthlyQuota) -> Option<Arc<Account>> {
        if quota.is_unlimited() {
            return None;
        }
        let mut table = self.table.lock();
        let account = table.entry(tenant).or_insert_with(|| {
            self.opened.notify_one();
            Arc::new(Account::new(quota))
        });
        account.0.lock().quota = quota;
        Some(Arc::clone(account))
    }

    /// Waits until an account was opened. To be followed by [`Self::round`].
    pub(super) async fn opened(&self) {
        self.opened.notified().await;
    }

    /// Reads, writes and renews what is due.
    pub(super) async fn round(&self, ledger: &dyn Ledger, journal: &Journal, now: Timestamp) {
        let accounts: Vec<_> =
            self.table.lock().iter().map(|(id, it)| (*id, Arc::clone(it))).collect();
        for (tenant, account) in &accounts {
            if let Err(error) = account.complete(ledger, *tenant, now).await {
                tracing::warn!(%tenant, ?error, "what a tenant used of its month cannot be read yet");
            }
            if let Some(text) = account.due()
                && let Err(error) = write(ledger, *tenant, &text, now)
            {
                account.0.lock().is_written = false;
                tracing::warn!(%tenant, ?error, "what a tenant used of its month waits to be written");
            }
            if let Some((reason, detail)) = account.news() {
                journal.record(&report(*tenant, reason, &detail));
            }
        }
        drop(accounts);
        // Read again when a device of the tenant says something.
        self.table.lock().retain(|_, account| Arc::strong_count(account) > 1 || !account.is_idle());
    }
}

impl Account {
    fn new(quota: MonthlyQuota) -> Self {
        Self(Mutex::new(State {
            quota,
            used: Used::default(),
            month: Month(0),
            is_complete: false,
            is_written: true,
            told: Told::Nothing,
        }))
    }

    /// Whether the tenant may say something at all.
    pub(super) fn check(&self) -> Result<(), Bite> {
        self.0.lock().reached().map_or(Ok(()), Err)
    }

    /// Counts one message: telemetry and attributes with their values, others as one (RL-032).
    pub(super) fn count(&self, points: u64) {
        let mut it = self.0.lock();
        it.used.messages += 1;
        it.used.points += points.max(1);
        it.is_written = false;
    }

    /// Adds what was used before the start, once, and begins a month anew when its time has come. A clock
    /// that is set back begins none.
    async fn complete(
        &self,
        ledger: &dyn Ledger,
        tenant: TenantId,
        now: Timestamp,
    ) -> Result<(), PortError> {
        let is_complete = self.0.lock().is_complete;
        let before = if is_complete { None } else { read(ledger, tenant).await? };
        let mut it = self.0.lock();
        let month = Month::of(now);
        if !is_complete {
            (it.is_complete, it.month) = (true, month);
            if let Some((of, before)) = before
                && of >= month
            {
                it.month = of;
                it.used.messages += before.messages;
                it.used.points += before.points;
            }
        } else if it.month < month {
            (it.month, it.used, it.told) = (month, Used::default(), Told::Nothing);
            it.is_written = false;
        }
        Ok(())
    }

    /// What must be written. Nothing before the past is known, which would be written over.
    fn due(&self) -> Option<String> {
        let mut it = self.0.lock();
        let is_due = it.is_complete && !it.is_written;
        is_due.then(|| {
            it.is_written = true;
            format!("{} {} {}", it.month.0, it.used.messages, it.used.points)
        })
    }

    /// What people must be told, once in a month.
    fn news(&self) -> Option<(Reason, String)> {
        let mut it = self.0.lock();
        let (told, reason) = match (it.reached(), it.is_near()) {
            (Some(_), _) => (Told::Reached, Reason::QuotaReached),
            (None, true) => (Told::Near, Reason::QuotaNear),
            (None, false) => return None,
        };
        if it.told >= told {
            return None;
        }
        it.told = told;
        let State { used, quota, .. } = &*it;
        let of = |used: u64, max: u64| {
            if max == 0 { used.to_string() } else { format!("{used} of {max}") }
        };
        let messages = of(used.messages, quota.messages);
        let points = of(used.points, quota.points);
        Some((reason, format!("{messages} messages and {points} data points this month")))
    }

    fn is_idle(&self) -> bool {
        let it = self.0.lock();
        it.is_written && it.is_complete
    }
}

impl State {
    fn reached(&self) -> Option<Bite> {
        let bite = |kind, max| Bite {
            scope: LimitScope::Tenant,
            kind,
            rule: Rule::Month(max),
            wait_ms: None,
        };
        let Self { used, quota, .. } = self;
        if quota.messages > 0 && used.messages >= quota.messages {
            return Some(bite(LimitKind::Messages, quota.messages));
        }
        let is_reached = quota.points > 0 && used.points >= quota.points;
        is_reached.then(|| bite(LimitKind::TelemetryPoints, quota.points))
    }

    /// RL-030: four fifths.
    fn is_near(&self) -> bool {
        let is_near = |used: u64, max: u64| max > 0 && used >= max - max / 5;
        is_near(self.used.messages, self.quota.messages)
            || is_near(self.used.points, self.quota.points)
    }
}

impl Month {
    /// The month of the Gregorian calendar in UTC: days are counted from a 1st of March, so that a leap
    /// day is the last of its year, in cycles of 400 years that all have the same days.
    fn of(at: Timestamp) -> Self {
        let days = at.ms().div_euclid(MS_PER_DAY) + DAYS_TO_1970;
        let (cycle, day) = (days.div_euclid(DAYS_PER_CYCLE), days.rem_euclid(DAYS_PER_CYCLE));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        // Months from March on have 31, 30, 31, 30, 31 days, twice and once more as far as they go.
        let month = (5 * day_of_year + 2) / 153;
        Self((cycle * 400 + year) * 12 + month + 2)
    }
}

fn write(
    ledger: &dyn Ledger,
    tenant: TenantId,
    text: &str,
    now: Timestamp,
) -> Result<(), AppendError> {
    let mut attributes = Readings::default();
    attributes.push(now, &key(tenant), ValueRef::String(text));
    let (entity, scope) = (TenantId::SYSTEM.entity(), Scope::Server);
    ledger.append(Change::SetAttributes { entity, scope, attributes: &attributes }).map(drop)
}

async fn read(ledger: &dyn Ledger, tenant: TenantId) -> Result<Option<(Month, Used)>, PortError> {
    let (entity, keys) = (TenantId::SYSTEM.entity(), Keys::Named(vec![key(tenant)]));
    let found = ledger.attributes(entity, Scope::Server, keys).await?;
    Ok(found.first().and_then(parse))
}

fn parse(attribute: &Attribute) -> Option<(Month, Used)> {
    let Value::String(text) = &attribute.value else { return None };
    let mut parts = text.split(' ');
    let month = Month(parts.next()?.parse().ok()?);
    let (messages, points) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((month, Used { messages, points }))
}

fn key(tenant: TenantId) -> String {
    format!("usage of {tenant}")
}

fn report(tenant: TenantId, reason: Reason, detail: &str) -> Report<'_> {
    Report {
        subject: Subject::Tenant(tenant),
        reason,
        detail,
        remote: "",
        client_id: "",
        user_name: "",
        protocol: "",
        attempt: None,
    }
}

const MS_PER_DAY: i64 = 86_400_000;
/// From the 1st of March of the year 0 to 1970.
const DAYS_TO_1970: i64 = 719_468;
const DAYS_PER_CYCLE: i64 = 146_097;

#[cfg(test)]
mod tests;
