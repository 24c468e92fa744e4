//! What the tenant profile says about people: read from its JSON once, remembered per tenant.
//!
//! As for logins of devices, an answer read under an older generation is used but not kept, so that a
//! changed profile is in force once the request that changed it has been answered.

use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use serde::Deserialize;
use thingport_core::allowance::{PeopleRules, PerWhom, TooManyRequests};
use thingport_core::registry::Registry;
use thingport_model::id::TenantId;
use thingport_model::limit::RateLimit;

use crate::error::Refusal;

/// Rules of tenants, remembered.
pub(crate) struct RuleBook {
    rules: Cache<TenantId, Arc<PeopleRules>>,
    generation: Mutex<u64>,
}

impl RuleBook {
    pub(crate) fn new() -> Self {
        Self { rules: Cache::new(TENANTS_MAX), generation: Mutex::new(0) }
    }

    /// Forgets everything: a tenant or a tenant profile changed.
    pub(crate) fn forget_all(&self) {
        let mut generation = self.generation.lock();
        *generation += 1;
        self.rules.clear();
    }

    /// What the people of a tenant are held to; system administrators to nothing.
    pub(crate) async fn of(
        &self,
        registry: &Registry,
        tenant: TenantId,
    ) -> Result<Arc<PeopleRules>, Refusal> {
        if let Some(rules) = self.rules.get(&tenant) {
            return Ok(rules);
        }
        let read_at = *self.generation.lock();
        let rules = match tenant {
            TenantId::SYSTEM => PeopleRules::default(),
            tenant => read(&registry.profile_of_tenant(tenant).await?.profile_data),
        };
        let rules = Arc::new(rules);
        self.keep(read_at, tenant, &rules);
        Ok(rules)
    }

    fn keep(&self, read_at: u64, tenant: TenantId, rules: &Arc<PeopleRules>) {
        // Held while inserting, so that no change can slip between the comparison and the insertion.
        let generation = self.generation.lock();
        if *generation == read_at {
            self.rules.insert(tenant, Arc::clone(rules));
        }
    }
}

/// The answer to a request that is one too many (429, code 33).
pub(crate) fn refusal(refused: &TooManyRequests) -> Refusal {
    let TooManyRequests { whom, window, wait_ms } = refused;
    let text = format!(
        "too many requests: the tenant profile allows this {} {} in {} s",
        whom.name(),
        window.count,
        window.seconds
    );
    Refusal::too_many_requests(text, wait_ms.div_ceil(1_000))
}

/// The members of a tenant profile that are about people (REST API 4.2).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Members {
    tenant_server_rest_limits_configuration: Option<String>,
    customer_server_rest_limits_configuration: Option<String>,
    max_ws_sessions_per_tenant: Option<i64>,
    max_ws_sessions_per_customer: Option<i64>,
    max_ws_sessions_per_regular_user: Option<i64>,
    max_ws_sessions_per_public_user: Option<i64>,
    max_ws_subscriptions_per_tenant: Option<i64>,
    max_ws_subscriptions_per_customer: Option<i64>,
    max_ws_subscriptions_per_regular_user: Option<i64>,
    max_ws_subscriptions_per_public_user: Option<i64>,
    ws_msg_queue_limit_per_session: Option<i64>,
    ws_updates_per_session_rate_limit: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    configuration: Members,
}

/// The rules in a `profileData` that was checked when it was saved.
fn read(profile_data: &str) -> PeopleRules {
    let data = serde_json::from_str::<Data>(profile_data).unwrap_or_else(|error| {
        tracing::error!(%error, "the limits of a tenant profile cannot be read and are not in force");
        Data::default()
    });
    let it = data.configuration;
    PeopleRules {
        tenant_requests: rate(it.tenant_server_rest_limits_configuration),
        customer_requests: rate(it.customer_server_rest_limits_configuration),
        sessions: PerWhom {
            tenant: whole(it.max_ws_sessions_per_tenant),
            customer: whole(it.max_ws_sessions_per_customer),
            user: whole(it.max_ws_sessions_per_regular_user),
            guest: whole(it.max_ws_sessions_per_public_user),
        },
        subscriptions: PerWhom {
            tenant: whole(it.max_ws_subscriptions_per_tenant),
            customer: whole(it.max_ws_subscriptions_per_customer),
            user: whole(it.max_ws_subscriptions_per_regular_user),
            guest: whole(it.max_ws_subscriptions_per_public_user),
        },
        queue_max: whole(it.ws_msg_queue_limit_per_session),
        updates: rate(it.ws_updates_per_session_rate_limit),
    }
}

/// Refuses members that are about people and have another type than they must.
pub(crate) fn check(profile_data: &str) -> Result<(), Refusal> {
    let read = serde_json::from_str::<Data>(profile_data);
    read.map(drop).map_err(|error| {
        Refusal::bad_request(format!("profileData.configuration is not what is due: {error}"))
    })
}

fn rate(text: Option<String>) -> RateLimit {
    RateLimit::parse(&text.unwrap_or_default()).unwrap_or_default()
}

/// Absent, null, zero or less means unlimited.
fn whole(number: Option<i64>) -> u64 {
    number.and_then(|it| u64::try_from(it).ok()).unwrap_or(0)
}

/// Tenants whose rules are remembered.
const TENANTS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_about_people_are_read_and_the_rest_is_left_alone() {
        let rules = read(
            r#"{"configuration":{"type":"DEFAULT","maxDevices":5,"maxWsSessionsPerTenant":7,
            "maxWsSubscriptionsPerPublicUser":3,"wsMsgQueueLimitPerSession":-1,
            "tenantServerRestLimitsConfiguration":"10:1,100:60",
            "wsUpdatesPerSessionRateLimit":null},"queueConfiguration":null}"#,
        );
        let expected = PeopleRules {
            tenant_requests: RateLimit::parse("10:1,100:60").expect("a limit"),
            customer_requests: RateLimit::parse("").expect("unlimited"),
            updates: RateLimit::parse("").expect("unlimited"),
            sessions: PerWhom { tenant: 7, ..PerWhom::default() },
            subscriptions: PerWhom { guest: 3, ..PerWhom::default() },
            queue_max: 0,
        };
        assert_eq!(rules, expected);
        assert!(check(r#"{"configuration":{"maxWsSessionsPerTenant":"7"}}"#).is_err());
    }

    #[test]
    fn rules_older_than_a_change_are_not_kept() {
        let book = RuleBook::new();
        let rules = Arc::new(PeopleRules::default());
        book.forget_all();
        book.keep(0, TenantId::SYSTEM, &rules);
        assert!(book.rules.get(&TenantId::SYSTEM).is_none());
        book.keep(1, TenantId::SYSTEM, &rules);
        assert!(book.rules.get(&TenantId::SYSTEM).is_some());
    }
}
