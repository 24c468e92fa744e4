//! What commands of the second generation ask for.

use serde::Deserialize;
use serde_json::{Map, Value};
use thingport_core::query::ValueKey;
use thingport_model::time::Timestamp;

use super::super::window::Wish;
use crate::dto::entity_query::{KeyInput, Query, QueryInput, keys};
use crate::error::Refusal;

/// A command as it was sent; whether it can be obeyed turns out later, so that it is answered in its own
/// form.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ws) struct RawCommand {
    pub(in crate::ws) cmd_id: i64,
    members: Map<String, Value>,
}

impl RawCommand {
    pub(in crate::ws) const fn new(cmd_id: i64, members: Map<String, Value>) -> Self {
        Self { cmd_id, members }
    }

    /// What it asks for.
    pub(in crate::ws) fn input(&self) -> Result<EntityInput, Refusal> {
        if self.cmd_id < 0 {
            return Err(Refusal::bad_request("cmdId must not be negative"));
        }
        serde_json::from_value(Value::Object(self.members.clone())).map_err(|fault| {
            Refusal::bad_request(format!("the command is not understood: {fault}"))
        })
    }
}

/// The members of `ENTITY_DATA` and `ENTITY_COUNT`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::ws) struct EntityInput {
    pub(in crate::ws) query: Option<QueryInput>,
    latest_cmd: Option<LatestInput>,
    ts_cmd: Option<SeriesInput>,
    history_cmd: Option<SeriesInput>,
    agg_ts_cmd: Option<FoldsInput>,
    agg_history_cmd: Option<FoldsInput>,
}

#[derive(Clone, Debug, Deserialize)]
struct LatestInput {
    keys: Vec<KeyInput>,
}

/// Points of a time, and those that come later.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SeriesInput {
    pub(super) keys: Vec<String>,
    start_ts: i64,
    end_ts: i64,
    time_window: i64,
    interval: Option<i64>,
    interval_type: Option<String>,
    #[serde(alias = "timeZone")]
    time_zone_id: Option<String>,
    limit: Option<i64>,
    agg: Option<String>,
    fetch_latest_previous_point: Option<bool>,
}

/// Single values that whole times come to.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FoldsInput {
    keys: Vec<FoldInput>,
    start_ts: i64,
    end_ts: Option<i64>,
    time_window: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FoldInput {
    id: i64,
    key: String,
    agg: String,
    previous_start_ts: Option<i64>,
    previous_end_ts: Option<i64>,
    previous_value_only: Option<bool>,
}

/// What a running command does.
#[derive(Clone, Debug)]
pub(in crate::ws) struct EntityCommand {
    pub(super) query: Query,
    /// Latest values that are followed.
    pub(super) latest: Option<Vec<ValueKey>>,
    /// Readings that are followed.
    pub(super) series: Option<SeriesInput>,
    /// What is answered once.
    pub(super) history: Option<SeriesInput>,
    pub(super) folds: Vec<Fold>,
    /// Whether it changes what another command with its number did: then the entities are told as an
    /// update.
    pub(super) goes_on: bool,
}

/// A single value that a time comes to, and what it came to before.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    pub(super) id: i64,
    pub(super) key: String,
    pub(super) aggregation: String,
    /// None when only the value before is wanted.
    pub(super) current: Option<(Timestamp, Timestamp)>,
    pub(super) previous: Option<(Timestamp, Timestamp)>,
}

impl EntityInput {
    /// The command, which takes the place of `running` if it has no query of its own.
    pub(in crate::ws) fn command(
        self,
        running: Option<&EntityCommand>,
    ) -> Result<EntityCommand, Refusal> {
        let latest = self.latest_cmd.map(|it| keys(it.keys)).transpose()?;
        let folds = [self.agg_history_cmd, self.agg_ts_cmd].into_iter().flatten();
        let folds: Vec<_> = folds.flat_map(FoldsInput::folds).collect();
        for series in [&self.ts_cmd, &self.history_cmd].into_iter().flatten() {
            series.check()?;
        }
        if folds.len() > FOLDS_MAX {
            return Err(Refusal::bad_request(format!(
                "more than {FOLDS_MAX} values to be compared"
            )));
        }
        let (series, history) = (self.ts_cmd, self.history_cmd);
        if let Some(query) = self.query {
            let query = query.query()?;
            return Ok(EntityCommand { query, latest, series, history, folds, goes_on: false });
        }
        let running = running.ok_or_else(|| {
            Refusal::bad_request("the command needs a query: none with this cmdId is running")
        })?;
        Ok(EntityCommand {
            query: running.query.clone(),
            latest: latest.or_else(|| running.latest.clone()),
            series: series.or_else(|| running.series.clone()),
            history,
            folds,
            goes_on: true,
        })
    }
}

impl EntityCommand {
    /// Whether anything is told later.
    pub(super) const fn is_live(&self) -> bool {
        self.latest.is_some() || self.series.is_some() || self.query.dynamic
    }
}

impl SeriesInput {
    fn check(&self) -> Result<(), Refusal> {
        if self.keys.is_empty() {
            return Err(Refusal::bad_request("a history needs keys"));
        }
        Ok(())
    }

    /// From when to when; the end of what is followed is the window's.
    pub(super) const fn range(&self) -> (Timestamp, Timestamp) {
        let start = Timestamp(self.start_ts);
        let end =
            if self.end_ts == 0 { start.plus_ms(self.time_window) } else { Timestamp(self.end_ts) };
        (start, end)
    }

    pub(super) fn wish(&self) -> Wish<'_> {
        Wish {
            aggregation: given(self.agg.as_ref()).unwrap_or("NONE"),
            calendar: (given(self.interval_type.as_ref()), given(self.time_zone_id.as_ref())),
            interval: self.interval.unwrap_or(0),
            limit: self.limit,
        }
    }

    /// Whether the last point before the time is wanted too.
    pub(super) fn wants_previous(&self) -> bool {
        self.fetch_latest_previous_point == Some(true)
    }
}

impl FoldsInput {
    fn folds(self) -> Vec<Fold> {
        let start = Timestamp(self.start_ts);
        let window = self.time_window.unwrap_or(0);
        let end = self.end_ts.map_or_else(|| start.plus_ms(window), Timestamp);
        let fold = |it: FoldInput| {
            let previous = it.previous_start_ts.zip(it.previous_end_ts);
            let previous = previous.filter(|(_, end)| *end > 0);
            Fold {
                id: it.id,
                key: it.key,
                aggregation: it.agg,
                current: (it.previous_value_only != Some(true)).then_some((start, end)),
                previous: previous.map(|(start, end)| (Timestamp(start), Timestamp(end))),
            }
        };
        self.keys.into_iter().map(fold).collect()
    }
}

fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// Values to be compared of each entity.
const FOLDS_MAX: usize = 100;
