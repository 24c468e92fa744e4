//! Reading history: which time, which order, which aggregation (REST API 14.3). Shared by REST and
//! the WebSocket commands.

use thingport_core::access::Caller;
use thingport_model::aggregate::{Aggregation, Buckets, Fold};
use thingport_model::id::EntityRef;
use thingport_model::port::ledger::RangeQuery;
use thingport_model::time::{TimeRange, Timestamp};
use thingport_model::value::Value;

use super::calendar::{self, Calendar, NoBuckets};
use crate::api::Api;
use crate::error::Refusal;
use crate::extract::Params;

/// One reading of a key that is known.
pub(crate) type Reading = (Timestamp, Value);

/// What is selected of each key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Select {
    /// Single readings.
    Readings { range: TimeRange, limit: usize, descending: bool },
    /// One value per bucket; none when the range is empty.
    Buckets(Aggregation, Option<Buckets>),
}

/// Whose history is read, for whom.
pub(crate) struct History<'a> {
    pub(crate) api: &'a Api,
    pub(crate) caller: &'a Caller,
    pub(crate) entity: EntityRef,
    /// Points of the whole answer.
    pub(crate) points_max: usize,
}

impl Select {
    /// What the query parameters ask for.
    pub(crate) fn of(params: &Params, buckets_max: usize) -> Result<Self, Refusal> {
        let range = range(params)?;
        let aggregation = aggregation(params.text("agg").unwrap_or("NONE"))?;
        let interval: i64 = params.parsed("interval")?.unwrap_or(0);
        let calendar = calendar::of(params.text("intervalType"), params.text("timeZone"))?;
        match (aggregation, calendar) {
            (Some(aggregation), Some(calendar)) => {
                Self::calendar(range, aggregation, &calendar, buckets_max)
            }
            (Some(aggregation), None) if interval != 0 => {
                Self::equal(range, aggregation, interval, buckets_max)
            }
            _ => Ok(Self::Readings {
                range,
                limit: limit(params.parsed("limit")?)?,
                descending: descending(params.text("orderBy"))?,
            }),
        }
    }

    /// Buckets of `interval` milliseconds.
    pub(crate) fn equal(
        range: TimeRange,
        aggregation: Aggregation,
        interval: i64,
        buckets_max: usize,
    ) -> Result<Self, Refusal> {
        if interval <= 0 {
            return Err(Refusal::bad_request("interval must not be negative"));
        }
        if range.start == range.end {
            return Ok(Self::Buckets(aggregation, None));
        }
        let buckets = Buckets::equal(range, interval, buckets_max);
        buckets
            .map(|buckets| Self::Buckets(aggregation, Some(buckets)))
            .ok_or_else(|| too_many(buckets_max))
    }

    /// Buckets of calendar units.
    pub(crate) fn calendar(
        range: TimeRange,
        aggregation: Aggregation,
        calendar: &Calendar,
        buckets_max: usize,
    ) -> Result<Self, Refusal> {
        if range.start == range.end {
            return Ok(Self::Buckets(aggregation, None));
        }
        let borders = calendar.borders(range, buckets_max);
        let borders = borders.map_err(|fault| match fault {
            NoBuckets::TooMany => too_many(buckets_max),
            NoBuckets::OutsideCalendar => {
                Refusal::bad_request("the time reaches beyond the years that a calendar has")
            }
        })?;
        Ok(Self::Buckets(aggregation, Buckets::with_borders(borders)))
    }
}

impl History<'_> {
    /// What is selected of each key, in the order of the keys.
    pub(crate) async fn read(
        &self,
        keys: Vec<String>,
        select: &Select,
    ) -> Result<Vec<(String, Vec<Reading>)>, Refusal> {
        if keys.len() > KEYS_MAX {
            let text = format!("more than {KEYS_MAX} keys at once; ask for fewer");
            return Err(Refusal::bad_request(text));
        }
        let mut series = Vec::with_capacity(keys.len());
        let mut room = self.points_max;
        for key in keys {
            let points = self.read_key(key.clone(), select, room).await?;
            room = room.checked_sub(points.len()).ok_or_else(|| {
                let max = self.points_max;
                Refusal::bad_request(format!(
                    "the answer would hold more than {max} points; narrow the time or the limit"
                ))
            })?;
            series.push((key, points));
        }
        Ok(series)
    }

    async fn read_key(
        &self,
        key: String,
        select: &Select,
        room: usize,
    ) -> Result<Vec<Reading>, Refusal> {
        let telemetry = &self.api.node().telemetry;
        let (caller, entity) = (self.caller, self.entity);
        match select {
            Select::Readings { range, limit, descending } => {
                // One more than there is room for shows that the room does not suffice.
                let limit = (*limit).min(room + 1);
                let (range, descending) = (*range, *descending);
                let query = RangeQuery { entity, key, range, descending, limit };
                Ok(telemetry.range(caller, query).await?)
            }
            Select::Buckets(aggregation, Some(buckets)) => {
                let fold = Fold::new(*aggregation, buckets.clone());
                Ok(telemetry.aggregate(caller, entity, key, fold).await?)
            }
            Select::Buckets(_, None) => Ok(Vec::new()),
        }
    }
}

/// The time between `startTs` and `endTs`.
pub(crate) fn range(params: &Params) -> Result<TimeRange, Refusal> {
    let start = super::moment(params, "startTs")?;
    checked_range(start, super::moment(params, "endTs")?)
}

/// A time that does not run backwards (T-16).
pub(crate) fn checked_range(start: Timestamp, end: Timestamp) -> Result<TimeRange, Refusal> {
    if start > end {
        return Err(Refusal::bad_request("startTs lies behind endTs"));
    }
    Ok(TimeRange { start, end })
}

/// The aggregation of this name; none for `NONE`.
pub(crate) fn aggregation(name: &str) -> Result<Option<Aggregation>, Refusal> {
    match name {
        "NONE" => Ok(None),
        "MIN" => Ok(Some(Aggregation::Min)),
        "MAX" => Ok(Some(Aggregation::Max)),
        "AVG" => Ok(Some(Aggregation::Avg)),
        "SUM" => Ok(Some(Aggregation::Sum)),
        "COUNT" => Ok(Some(Aggregation::Count)),
        other => Err(Refusal::bad_request(format!(
            "{other:?} is not an aggregation; NONE, MIN, MAX, AVG, SUM and COUNT are"
        ))),
    }
}

/// How many points per key; 100 when not said or 0.
pub(crate) fn limit(limit: Option<i64>) -> Result<usize, Refusal> {
    match limit {
        None | Some(0) => Ok(LIMIT_DEFAULT),
        Some(limit) => {
            usize::try_from(limit).map_err(|_| Refusal::bad_request("limit must not be negative"))
        }
    }
}

fn descending(order: Option<&str>) -> Result<bool, Refusal> {
    match order {
        None | Some("DESC") => Ok(true),
        Some("ASC") => Ok(false),
        Some(other) => Err(Refusal::bad_request(format!("orderBy is ASC or DESC, not {other:?}"))),
    }
}

fn too_many(buckets_max: usize) -> Refusal {
    Refusal::bad_request(format!(
        "the time holds more than {buckets_max} buckets; choose a longer interval"
    ))
}

const LIMIT_DEFAULT: usize = 100;
/// Keys of one question.
const KEYS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn select(query: &str) -> Result<Select, Refusal> {
        Select::of(&Params::of(Some(query)).expect("a query"), 700)
    }

    #[test]
    fn questions_are_read_as_the_contract_says() {
        let range = TimeRange { start: Timestamp(0), end: Timestamp(100) };
        let readings = |limit, descending| Ok(Select::Readings { range, limit, descending });
        let buckets = Buckets::equal(range, 10, 700);
        let rows = [
            ("startTs=0&endTs=100", readings(100, true)),
            ("startTs=0&endTs=100&limit=7&orderBy=ASC", readings(7, false)),
            ("startTs=0&endTs=100&agg=AVG", readings(100, true)),
            ("startTs=0&endTs=100&agg=NONE&interval=10", readings(100, true)),
            (
                "startTs=0&endTs=100&agg=AVG&interval=10&intervalType=MILLISECONDS",
                Ok(Select::Buckets(Aggregation::Avg, buckets)),
            ),
            ("startTs=5&endTs=5&agg=SUM&interval=10", Ok(Select::Buckets(Aggregation::Sum, None))),
        ];
        for (query, expected) in rows {
            assert_eq!(select(query), expected, "{query}");
        }
    }

    #[test]
    fn questions_that_cannot_be_answered_are_refused() {
        let rows = [
            "",
            "startTs=0",
            "endTs=0",
            "startTs=2&endTs=1",
            "startTs=a&endTs=1",
            "startTs=0&endTs=1&limit=-1",
            "startTs=0&endTs=1&limit=x",
            "startTs=0&endTs=1&orderBy=UP",
            "startTs=0&endTs=1&agg=MEDIAN",
            "startTs=0&endTs=1&agg=AVG&interval=-5",
            "startTs=0&endTs=701&agg=AVG&interval=1",
            "startTs=0&endTs=1&agg=AVG&intervalType=YEAR",
            "startTs=0&endTs=1&agg=AVG&intervalType=MONTH&timeZone=Mars/Olympus",
            "startTs=-9223372036854775808&endTs=9223372036854775807&agg=AVG&intervalType=MONTH",
        ];
        for query in rows {
            assert_eq!(select(query).expect_err(query).code(), 31, "{query}");
        }
    }
}
