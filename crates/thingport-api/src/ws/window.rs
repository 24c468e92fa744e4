//! Which points of a time a command asks for.

use thingport_model::time::{TimeRange, Timestamp};

use crate::error::Refusal;
use crate::rest::telemetry::calendar;
use crate::rest::telemetry::query::{self, Select};

/// How the points of a time are to be summed up, as a command says it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish<'a> {
    pub(super) aggregation: &'a str,
    /// The calendar unit that buckets have, and in which time zone.
    pub(super) calendar: (Option<&'a str>, Option<&'a str>),
    pub(super) interval: i64,
    pub(super) limit: Option<i64>,
}

impl Wish<'_> {
    /// The points between two moments.
    pub(super) fn select(
        &self,
        start: Timestamp,
        end: Timestamp,
        buckets_max: usize,
    ) -> Result<Select, Refusal> {
        self.select_range(query::checked_range(start, end)?, buckets_max)
    }

    fn select_range(&self, range: TimeRange, buckets_max: usize) -> Result<Select, Refusal> {
        let aggregation = query::aggregation(self.aggregation)?;
        let (unit, zone) = self.calendar;
        match (aggregation, calendar::of(unit, zone)?, self.interval) {
            (Some(aggregation), Some(calendar), _) => {
                Select::calendar(range, aggregation, &calendar, buckets_max)
            }
            (Some(aggregation), None, interval) if interval != 0 => {
                Select::equal(range, aggregation, interval, buckets_max)
            }
            _ => {
                let limit = query::limit(self.limit)?;
                Ok(Select::Readings { range, limit, descending: true })
            }
        }
    }
}
