//! How long readings are on their way through gateways (device API 8.8).
//!
//! A gateway may say of readings when it had them from the device and when it sent them on. Per gateway and
//! connector the shortest, the longest and the mean time of a period are told as telemetry of the gateway,
//! and counted afresh. A gateway that says nothing costs nothing.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use thingport_model::child::Passage;
use thingport_model::id::DeviceId;
use thingport_model::port::ledger::{Change, Ledger};
use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use crate::metrics::{Bound, Metrics};

/// What gateways said in their present periods.
#[derive(Default)]
pub struct Latencies(Mutex<HashMap<DeviceId, Period>>);

/// What one gateway said since then.
struct Period {
    since_ms: u64,
    /// Seconds that the gateway's readings are kept.
    ttl_s: u32,
    connectors: HashMap<Box<str>, Connector>,
}

#[derive(Default)]
struct Connector {
    gateway: Spread,
    transport: Spread,
}

/// Times in milliseconds. Clocks that disagree make some of them negative, which is told as it is.
#[derive(Default)]
struct Spread {
    count: i64,
    sum: i64,
    min: i64,
    max: i64,
}

impl Latencies {
    /// Notes when readings passed a gateway; they are here `now`.
    pub(crate) fn note(
        &self,
        (gateway, ttl_s): (DeviceId, u32),
        passages: &[Passage],
        (now, now_ms): (Timestamp, u64),
        metrics: &Metrics,
    ) {
        if passages.is_empty() {
            return;
        }
        let mut periods = self.0.lock();
        if periods.len() >= GATEWAYS_MAX && !periods.contains_key(&gateway) {
            return metrics.count_bound(Bound::Latencies);
        }
        let period = periods.entry(gateway).or_insert_with(|| Period {
            since_ms: now_ms,
            ttl_s,
            connectors: HashMap::new(),
        });
        for Passage { connector, received_at, published_at } in passages {
            let is_known = period.connectors.contains_key(connector);
            if !is_known && period.connectors.len() >= CONNECTORS_MAX {
                metrics.count_bound(Bound::Latencies);
                continue;
            }
            let connector = period.connectors.entry(connector.clone()).or_default();
            connector.gateway.add(published_at.since_ms(*received_at));
            connector.transport.add(now.since_ms(*published_at));
        }
    }

    /// Tells what periods that are over were like, as telemetry of their gateways. To be called about once a
    /// second. What a ledger without room refuses is told with the next look.
    pub fn tick(&self, ledger: &dyn Ledger, (now, now_ms): (Timestamp, u64)) {
        let is_over = |period: &Period| now_ms >= period.since_ms + PERIOD_MS;
        let mut periods = self.0.lock();
        periods.retain(|gateway, period| {
            if !is_over(period) {
                return true;
            }
            let text = period.told();
            let mut readings = Readings::default();
            readings.push(now, GATEWAY_METRICS, ValueRef::Json(&text));
            let (entity, ttl_s) = (gateway.entity(), period.ttl_s);
            ledger.append(Change::Telemetry { entity, readings: &readings, ttl_s }).is_err()
        });
    }

    /// Forgets a gateway that was deleted (GW-073).
    pub(crate) fn forget(&self, gateway: DeviceId) {
        self.0.lock().remove(&gateway);
    }
}

impl Period {
    /// GW-072
    fn told(&self) -> String {
        let told = |it: &Connector| {
            json!({
                "avgGwLatency": it.gateway.mean(),
                "minGwLatency": it.gateway.min,
                "maxGwLatency": it.gateway.max,
                "avgTransportLatency": it.transport.mean(),
                "minTransportLatency": it.transport.min,
                "maxTransportLatency": it.transport.max,
            })
        };
        let mut members: Vec<_> = self.connectors.iter().collect();
        members.sort_by_key(|(name, _)| *name);
        let members = members.into_iter().map(|(name, it)| (String::from(&**name), told(it)));
        Value::Object(members.collect::<Map<_, _>>()).to_string()
    }
}

impl Spread {
    fn add(&mut self, ms: i64) {
        let is_first = self.count == 0;
        self.min = if is_first { ms } else { self.min.min(ms) };
        self.max = if is_first { ms } else { self.max.max(ms) };
        self.count += 1;
        self.sum = self.sum.saturating_add(ms);
    }

    const fn mean(&self) -> i64 {
        if self.count == 0 { 0 } else { self.sum / self.count }
    }
}

/// The key of what is told, by ThingsBoard's name.
const GATEWAY_METRICS: &str = "gatewayMetrics";
/// How long a period is.
const PERIOD_MS: u64 = 60_000;
/// Gateways whose times are noted, and connectors of one (`latencies_max`); of further ones they are not.
const GATEWAYS_MAX: usize = 10_000;
const CONNECTORS_MAX: usize = 100;

#[cfg(test)]
mod tests;
