//! What times come to: points, and single values that are compared.

use serde_json::{Map, Value, json};
use thingport_core::query::subject::Subject;
use thingport_model::id::EntityRef;
use thingport_model::port::ledger::RangeQuery;
use thingport_model::time::{TimeRange, Timestamp};
use thingport_model::value::Value as Reading;

use super::super::window::Wish;
use super::Desk;
use super::command::{Fold, SeriesInput};
use crate::dto::entity_query::point;
use crate::error::Refusal;
use crate::rest::telemetry::query::History;

impl Desk {
    /// Points by key, newest first. `room` is how many the whole answer may still hold.
    pub(super) async fn points(
        &self,
        subject: &Subject,
        wanted: &SeriesInput,
        room: &mut usize,
    ) -> Result<Map<String, Value>, Refusal> {
        let (start, end) = wanted.range();
        let entity = subject.entity();
        let select = wanted.wish().select(start, end, self.api.config().buckets_max)?;
        let history = self.history(entity, *room);
        let mut found = Map::new();
        for (key, mut points) in history.read(wanted.keys.clone(), &select).await? {
            points.sort_by_key(|(at, _)| core::cmp::Reverse(*at));
            if wanted.wants_previous() {
                points.extend(self.last_before(entity, &key, start).await?);
            }
            *room = room.saturating_sub(points.len());
            found.insert(key, points.iter().map(|it| point(Some(it))).collect());
        }
        Ok(found)
    }

    /// Single values by number of the wish, each with the one before if that is wanted.
    pub(super) async fn folds(
        &self,
        subject: &Subject,
        wanted: &[Fold],
    ) -> Result<Map<String, Value>, Refusal> {
        let mut found = Map::new();
        for fold in wanted {
            let current = self.fold(subject.entity(), fold, fold.current).await?;
            let previous = self.fold(subject.entity(), fold, fold.previous).await?;
            found.insert(fold.id.to_string(), json!({ "current": current, "previous": previous }));
        }
        Ok(found)
    }

    /// What a time comes to; null where nothing is wanted, and an empty text where nothing is.
    async fn fold(
        &self,
        entity: EntityRef,
        fold: &Fold,
        range: Option<(Timestamp, Timestamp)>,
    ) -> Result<Value, Refusal> {
        let Some((start, end)) = range else { return Ok(Value::Null) };
        let length = end.ms().saturating_sub(start.ms());
        let wish = Wish {
            aggregation: &fold.aggregation,
            interval: length,
            limit: Some(1),
            ..Wish::default()
        };
        let select = wish.select(start, end, self.api.config().buckets_max)?;
        let found = self.history(entity, 1).read(vec![fold.key.clone()], &select).await?;
        let first = found.into_iter().flat_map(|(_, points)| points).next();
        Ok(point(first.as_ref()))
    }

    async fn last_before(
        &self,
        entity: EntityRef,
        key: &str,
        start: Timestamp,
    ) -> Result<Option<(Timestamp, Reading)>, Refusal> {
        let range = TimeRange { start: Timestamp::EPOCH, end: start };
        if range.start >= range.end {
            return Ok(None);
        }
        let query = RangeQuery { entity, key: key.to_owned(), range, descending: true, limit: 1 };
        Ok(self.api.node().telemetry.range(&self.caller, query).await?.pop())
    }

    fn history(&self, entity: EntityRef, points_max: usize) -> History<'_> {
        History { api: &self.api, caller: &self.caller, entity, points_max }
    }
}
