//! Time series of the telemetry plugin (REST API 14.3 to 14.5). Errors are plain text (1.7).

pub(super) mod attributes;
pub(crate) mod calendar;
pub(crate) mod query;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use thingport_core::access::Caller;
use thingport_model::id::EntityRef;
use thingport_model::port::ledger::{Keys, LatestAfterDelete};
use thingport_model::reading::Readings;
use thingport_model::time::{TimeRange, Timestamp};

use crate::api::{Api, BodyKind};
use crate::auth::SignedIn;
use crate::dto::id::parse_entity;
use crate::dto::telemetry::SeriesBody;
use crate::error::{Plain, Refusal};
use crate::extract::{Params, RawBody, Segments};
use crate::route::{Query, Route, optional, required};
use query::{History, Select};

pub(super) fn routes() -> Vec<Route> {
    let mut routes = reading();
    routes.extend(writing());
    routes
}

fn reading() -> Vec<Route> {
    vec![
        Route::get(KEYS_PATH, keys).about("Keys that have readings, sorted.").answer_names(),
        Route::get(VALUES_PATH, values)
            .about("Latest values; or, with startTs and endTs, readings or aggregates of a time.")
            .query(HISTORY)
            .answer_any(),
        Route::get(HISTORY_PATH, history)
            .about("Readings or aggregates of a time.")
            .query(HISTORY)
            .answer_any(),
    ]
}

fn writing() -> Vec<Route> {
    vec![
        Route::post(WRITE_PATH, write)
            .about("Store readings; answered when they are durable.")
            .any_body(),
        Route::post(WRITE_TTL_PATH, write_for)
            .about("Store readings for so many seconds; 0 for the tenant's default.")
            .any_body(),
        Route::delete(DELETE_PATH, delete).about("Delete readings of some keys.").query(DELETE),
    ]
}

type Entity = Segments<(String, String)>;

async fn keys(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id)): Entity,
) -> Result<Json<Vec<String>>, Plain> {
    Ok(Json(api.node().telemetry.keys(&caller, parse_entity(&kind, &id)?).await?))
}

async fn values(
    state: State<Arc<Api>>,
    signed_in: SignedIn,
    segments: Entity,
    params: Params,
) -> Result<Response, Plain> {
    if params.text("startTs").is_some() && params.text("endTs").is_some() {
        return history(state, signed_in, segments, params).await;
    }
    let (State(api), Segments((kind, id))) = (state, segments);
    let entity = parse_entity(&kind, &id)?;
    let strict = params.flag("useStrictDataTypes", false)?;
    let body = latest(&api, &signed_in.caller, entity, params.keys(), strict).await?;
    Ok(Json(body).into_response())
}

async fn history(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id)): Entity,
    params: Params,
) -> Result<Response, Plain> {
    let entity = parse_entity(&kind, &id)?;
    let keys = params.keys();
    if keys.is_empty() {
        return Err(Refusal::bad_request("the query parameter keys is required").into());
    }
    let strict = params.flag("useStrictDataTypes", false)?;
    let select = Select::of(&params, api.config().buckets_max)?;
    let series = History { api: &api, caller: &caller, entity, points_max: POINTS_MAX };
    let series = series.read(keys, &select).await?;
    let points = |(key, points): (String, Vec<query::Reading>)| {
        (key, points.into_iter().map(|(at, value)| (at, Some(value))).collect())
    };
    let series = series.into_iter().filter(|(_, points)| !points.is_empty()).map(points).collect();
    Ok(Json(SeriesBody { strict, series }).into_response())
}

async fn write(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id, _scope)): Segments<(String, String, String)>,
    body: RawBody,
) -> Result<StatusCode, Plain> {
    store(&api, &caller, parse_entity(&kind, &id)?, None, &body).await
}

async fn write_for(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id, _scope, ttl)): Segments<(String, String, String, String)>,
    body: RawBody,
) -> Result<StatusCode, Plain> {
    let wrong = |_| Refusal::bad_request(format!("{ttl:?} is not a number of seconds"));
    let seconds: u32 = ttl.parse().map_err(wrong)?;
    let ttl_s = (seconds > 0).then_some(seconds);
    store(&api, &caller, parse_entity(&kind, &id)?, ttl_s, &body).await
}

async fn delete(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id)): Entity,
    params: Params,
) -> Result<StatusCode, Plain> {
    let entity = parse_entity(&kind, &id)?;
    let keys = params.keys();
    if keys.is_empty() {
        return Err(Refusal::bad_request("the query parameter keys is required").into());
    }
    let latest = if params.flag("rewriteLatestIfDeleted", false)? {
        LatestAfterDelete::Rewrite
    } else if params.flag("deleteLatest", true)? {
        LatestAfterDelete::Remove
    } else {
        LatestAfterDelete::Keep
    };
    let range = deleted_range(&params)?;
    api.node().telemetry.delete(&caller, entity, &keys, range, latest).await?;
    Ok(StatusCode::OK)
}

fn deleted_range(params: &Params) -> Result<TimeRange, Refusal> {
    if params.flag("deleteAllDataForKeys", false)? {
        return Ok(TimeRange::ALL);
    }
    query::range(params)
}

/// Latest values, sorted by key; a requested key without data has one point without a value (T-10).
async fn latest(
    api: &Api,
    caller: &Caller,
    entity: EntityRef,
    keys: Vec<String>,
    strict: bool,
) -> Result<SeriesBody, Refusal> {
    let wanted = if keys.is_empty() { Keys::All } else { Keys::Named(keys.clone()) };
    let found = api.node().telemetry.latest(caller, entity, wanted).await?;
    let now = api.now();
    let mut series: Vec<_> =
        found.into_iter().map(|it| (it.key, vec![(it.at, Some(it.value))])).collect();
    for key in keys {
        if !series.iter().any(|(found, _)| *found == key) {
            series.push((key, vec![(now, None)]));
        }
    }
    series.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(SeriesBody { strict, series })
}

async fn store(
    api: &Api,
    caller: &Caller,
    entity: EntityRef,
    ttl_s: Option<u32>,
    body: &RawBody,
) -> Result<StatusCode, Plain> {
    let readings = api.decode(body.bytes(), BodyKind::Telemetry)?;
    check_keys(&readings)?;
    api.node().telemetry.write(caller, entity, &readings, ttl_s).await?;
    Ok(StatusCode::OK)
}

/// At least one reading, and only keys that may be (T-40).
pub(super) fn check_keys(readings: &Readings) -> Result<(), Refusal> {
    if readings.is_empty() {
        return Err(Refusal::bad_request("the body holds nothing to be stored"));
    }
    match readings.iter().find_map(|reading| key_fault(reading.key)) {
        Some(fault) => Err(Refusal::bad_request(fault)),
        None => Ok(()),
    }
}

fn key_fault(key: &str) -> Option<&'static str> {
    let tag = key.match_indices('<').any(|(at, _)| {
        let rest = key.get(at + 1..).unwrap_or_default();
        let opens = rest.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
        opens && rest.contains('>')
    });
    if key.trim().is_empty() {
        Some("a key must not be blank")
    } else if key.chars().count() > KEY_CHARS_MAX {
        Some("a key has at most 255 characters")
    } else if key.contains('\0') {
        Some("a key must not contain the NUL character")
    } else {
        tag.then_some("a key must not contain HTML tags")
    }
}

/// A moment from a query parameter.
pub(crate) fn moment(params: &Params, name: &str) -> Result<Timestamp, Refusal> {
    params.required(name)?;
    Ok(Timestamp(params.parsed(name)?.unwrap_or_default()))
}

/// Points of one answer, all keys together.
const POINTS_MAX: usize = 1_000_000;
const KEY_CHARS_MAX: usize = 255;
const KEYS_PATH: &str = "/api/plugins/telemetry/{entityType}/{entityId}/keys/timeseries";
const VALUES_PATH: &str = "/api/plugins/telemetry/{entityType}/{entityId}/values/timeseries";
const HISTORY_PATH: &str =
    "/api/plugins/telemetry/{entityType}/{entityId}/values/timeseries/history";
const WRITE_PATH: &str = "/api/plugins/telemetry/{entityType}/{entityId}/timeseries/{scope}";
const WRITE_TTL_PATH: &str =
    "/api/plugins/telemetry/{entityType}/{entityId}/timeseries/{scope}/{ttl}";
const DELETE_PATH: &str = "/api/plugins/telemetry/{entityType}/{entityId}/timeseries/delete";
const HISTORY: &[Query] = &[
    optional("keys", "Comma list of keys; for keys with a comma repeat the parameter key."),
    optional("startTs", "First moment, in milliseconds."),
    optional("endTs", "First moment outside, in milliseconds."),
    optional("limit", "Points per key, 100 if absent; only without aggregation."),
    optional("orderBy", "DESC (default) or ASC; only without aggregation."),
    optional("agg", "NONE (default), MIN, MAX, AVG, SUM or COUNT."),
    optional("interval", "Length of a bucket in milliseconds; 0 means no aggregation."),
    optional("intervalType", "MILLISECONDS (default), WEEK, WEEK_ISO, MONTH or QUARTER."),
    optional("timeZone", "Of calendar buckets: UTC or an offset such as +02:00."),
    optional("useStrictDataTypes", "Show values in their own JSON type, not as text."),
];
const DELETE: &[Query] = &[
    required("keys", "Comma list of keys."),
    optional("deleteAllDataForKeys", "Delete everything of these keys."),
    optional("startTs", "First moment, in milliseconds."),
    optional("endTs", "First moment outside, in milliseconds."),
    optional("deleteLatest", "Also delete a latest value in this time; true if absent."),
    optional("rewriteLatestIfDeleted", "Let the newest remaining reading become the latest."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_plain_and_not_blank() {
        let long = "k".repeat(256);
        for wrong in ["", "  ", "a\0", "<b>x</b>", "</b >", &long] {
            assert!(key_fault(wrong).is_some(), "{wrong}");
        }
        for right in ["a", "a<b", "a < b > c", "\u{b0}C", &"k".repeat(255)] {
            assert_eq!(key_fault(right), None, "{right}");
        }
    }
}
