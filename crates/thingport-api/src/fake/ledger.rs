//! A ledger in memory that commits at once and tells its observer.

use core::task::{Context, Poll};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use parking_lot::Mutex;
use thingport_model::aggregate::Fold;
use thingport_model::attribute::{Attribute, Scope};
use thingport_model::id::EntityRef;
use thingport_model::incident::Incident;
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::{
    AppendError, Change, Committed, Keys, LatestAfterDelete, Ledger, LedgerState, LedgerStats,
    Observer, RangeQuery, Receipt, Waiter,
};
use thingport_model::reading::{Reading, Readings};
use thingport_model::time::Timestamp;
use thingport_model::value::Value;

type Series = BTreeMap<Timestamp, Value>;

#[derive(Default)]
pub(super) struct FakeLedger {
    series: Mutex<BTreeMap<(EntityRef, String), Series>>,
    attributes: Mutex<BTreeMap<(EntityRef, Scope, String), Attribute>>,
    observer: OnceLock<Arc<dyn Observer>>,
}

impl FakeLedger {
    fn apply(&self, change: Change<'_>) -> Option<(EntityRef, Committed)> {
        match change {
            Change::Telemetry { entity, readings, .. } => {
                let kept = owned(readings);
                let mut series = self.series.lock();
                for it in &kept {
                    let points = series.entry((entity, it.key.clone())).or_default();
                    points.insert(it.at, it.value.clone());
                }
                Some((entity, Committed::Telemetry(kept)))
            }
            Change::SetAttributes { entity, scope, attributes } => {
                let set: Vec<_> = owned(attributes)
                    .into_iter()
                    .map(|it| Attribute { key: it.key, value: it.value, updated_at: it.at })
                    .collect();
                let named = set.iter().map(|it| ((entity, scope, it.key.clone()), it.clone()));
                self.attributes.lock().extend(named);
                Some((entity, Committed::AttributesSet(scope, set)))
            }
            Change::DeleteAttributes { entity, scope, keys } => {
                let gone = |key: &String| keys.contains(key);
                self.attributes
                    .lock()
                    .retain(|(e, s, key), _| *e != entity || *s != scope || !gone(key));
                Some((entity, Committed::AttributesDeleted(scope, keys.to_vec())))
            }
            Change::DeleteTelemetry { entity, keys, range, latest } => {
                for key in keys {
                    if let Some(points) = self.series.lock().get_mut(&(entity, key.clone())) {
                        let newest = points.keys().next_back().copied();
                        let keep = latest == LatestAfterDelete::Keep;
                        points
                            .retain(|at, _| !range.contains(*at) || (keep && Some(*at) == newest));
                    }
                }
                Some((entity, Committed::TelemetryDeleted(keys.to_vec())))
            }
            Change::Purge { entity } => {
                self.series.lock().retain(|(it, _), _| *it != entity);
                Some((entity, Committed::Purged))
            }
            Change::Incident { .. } => None,
        }
    }
}

fn owned(readings: &Readings) -> Vec<Reading> {
    let owned = readings.iter().map(|it| Reading {
        at: it.at,
        key: it.key.to_owned(),
        value: it.value.to_owned(),
    });
    owned.collect()
}

fn wants(keys: &Keys, key: &String) -> bool {
    match keys {
        Keys::All => true,
        Keys::Named(keys) => keys.contains(key),
    }
}

#[async_trait]
impl Ledger for FakeLedger {
    fn append(&self, change: Change<'_>) -> Result<Receipt, AppendError> {
        let committed = self.apply(change);
        if let (Some((entity, change)), Some(observer)) = (committed, self.observer.get()) {
            observer.committed(entity, &change);
        }
        Ok(Receipt(0))
    }

    fn poll_committed(
        &self,
        _: Receipt,
        _: &mut Waiter,
        _: &mut Context<'_>,
    ) -> Poll<Result<(), AppendError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn set_observer(&self, observer: Arc<dyn Observer>) {
        assert!(self.observer.set(observer).is_ok(), "set once");
    }

    async fn latest(&self, entity: EntityRef, keys: Keys) -> Result<Vec<Reading>, PortError> {
        let series = self.series.lock();
        let mine = series.iter().filter(|((it, key), _)| *it == entity && wants(&keys, key));
        let newest = mine.filter_map(|((_, key), points)| {
            let (at, value) = points.iter().next_back()?;
            Some(Reading { at: *at, key: key.clone(), value: value.clone() })
        });
        Ok(newest.collect())
    }

    async fn range(&self, query: RangeQuery) -> Result<Vec<(Timestamp, Value)>, PortError> {
        let series = self.series.lock();
        let points = series.get(&(query.entity, query.key)).cloned().unwrap_or_default();
        let mut points: Vec<_> =
            points.into_iter().filter(|(at, _)| query.range.contains(*at)).collect();
        if query.descending {
            points.reverse();
        }
        points.truncate(query.limit);
        Ok(points)
    }

    async fn aggregate(
        &self,
        entity: EntityRef,
        key: String,
        mut fold: Fold,
    ) -> Result<Fold, PortError> {
        if let Some(points) = self.series.lock().get(&(entity, key)) {
            points.iter().for_each(|(at, value)| fold.add(*at, value.borrowed()));
        }
        Ok(fold)
    }

    async fn keys(&self, entity: EntityRef) -> Result<Vec<String>, PortError> {
        let latest = self.latest(entity, Keys::All).await?;
        Ok(latest.into_iter().map(|reading| reading.key).collect())
    }

    async fn attributes(
        &self,
        entity: EntityRef,
        scope: Scope,
        keys: Keys,
    ) -> Result<Vec<Attribute>, PortError> {
        let all = self.attributes.lock();
        let mine = all
            .iter()
            .filter(|((it, of, key), _)| *it == entity && *of == scope && wants(&keys, key));
        Ok(mine.map(|(_, attribute)| attribute.clone()).collect())
    }

    async fn incidents(&self, _: EntityRef, _: usize) -> Result<Vec<Incident>, PortError> {
        Ok(Vec::new())
    }

    fn state(&self) -> LedgerState {
        LedgerState::Healthy
    }

    fn stats(&self) -> LedgerStats {
        LedgerStats::default()
    }

    async fn close(&self) -> Result<(), PortError> {
        Ok(())
    }
}
