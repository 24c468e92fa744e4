//! The trace of a device: our own endpoints. Live it comes over the WebSocket, as the command `TRACE`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use thingport_core::trace::{RECORDS_MAX, Record, Trace};
use thingport_model::id::DeviceId;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::trace::{TraceBody, TraceInput, TraceRecordBody, TraceStateBody};
use crate::error::Refusal;
use crate::extract::{OptionalBody, Params, Segments};
use crate::route::{Query, Route, T, optional};

pub(in crate::rest) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, read)
            .who(T)
            .about("What the device sent and was sent, packet by packet, while it was traced.")
            .query(FILTERS)
            .answer::<TraceBody>(),
        Route::post(PATH, begin)
            .who(T)
            .about(
                "Trace the device for a time, or, if it is traced, for that time from now. Records are \
                 kept in memory alone.",
            )
            .body::<TraceInput>()
            .answer::<TraceStateBody>(),
        Route::delete(PATH, end)
            .who(T)
            .about("End the trace of the device; what was recorded can be read for another day.")
            .query(&[optional("forget", "Whether to forget what was recorded, too; false if absent.")])
            .answer::<TraceStateBody>(),
    ]
}

async fn read(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(device): Segments<Uuid>,
    params: Params,
) -> Result<Response, Refusal> {
    let filter = Filter::of(&params)?;
    let limit = params.parsed("limit")?.unwrap_or(RECORDS_MAX);
    let as_lines = match params.text("format") {
        None | Some("json") => false,
        Some("jsonl") => true,
        Some(_) => return Err(Refusal::bad_request("format is json or jsonl")),
    };
    let node = api.node();
    let trace = node.traces.find_for(&node.registry, &caller, DeviceId(device)).await?;
    let body = TraceBody::of(state(&api, trace.as_deref()), filter.last(trace.as_deref(), limit));
    if as_lines {
        return Ok(([(CONTENT_TYPE, "application/x-ndjson")], body.lines()).into_response());
    }
    Ok(Json(body).into_response())
}

async fn begin(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(device): Segments<Uuid>,
    OptionalBody(input): OptionalBody<TraceInput>,
) -> Result<Json<TraceStateBody>, Refusal> {
    let (node, device) = (api.node(), DeviceId(device));
    let lasting_ms = input.unwrap_or_default().lasting_ms()?;
    let trace = node.traces.begin_for(&node.registry, &caller, device, lasting_ms).await?;
    Ok(Json(state(&api, Some(&trace))))
}

async fn end(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(device): Segments<Uuid>,
    params: Params,
) -> Result<Json<TraceStateBody>, Refusal> {
    let (node, device) = (api.node(), DeviceId(device));
    let forget = params.flag("forget", false)?;
    let trace = node.traces.end_for(&node.registry, &caller, device, forget).await?;
    Ok(Json(state(&api, trace.as_deref())))
}

fn state(api: &Api, trace: Option<&Trace>) -> TraceStateBody {
    let now_ms = api.node().clock.monotonic_ms();
    trace.map_or_else(TraceStateBody::default, |trace| TraceStateBody::of(trace, now_ms))
}

/// Which records are asked for; an empty list asks for all.
struct Filter {
    directions: Vec<String>,
    kinds: Vec<String>,
    verdicts: Vec<String>,
}

impl Filter {
    fn of(params: &Params) -> Result<Self, Refusal> {
        let filter = Self {
            directions: params.list("direction"),
            kinds: params.list("kind"),
            verdicts: params.list("verdict"),
        };
        let known = |given: &[String], known: &[&str], wrong| {
            let all = given.iter().all(|it| known.contains(&it.as_str()));
            if all { Ok(()) } else { Err(Refusal::bad_request(wrong)) }
        };
        known(&filter.directions, &["in", "out", "none"], "direction is in, out or none")?;
        let verdicts = ["none", "open", "accepted", "committed", "refused"];
        let wrong = "verdict is none, open, accepted, committed or refused";
        known(&filter.verdicts, &verdicts, wrong)?;
        Ok(filter)
    }

    fn fits(&self, record: &Record) -> bool {
        let is_in = |list: &[String], word: &str| {
            list.is_empty() || list.iter().any(|it| it.eq_ignore_ascii_case(word))
        };
        is_in(&self.directions, record.direction.name())
            && is_in(&self.kinds, record.packet.kind)
            && is_in(&self.verdicts, record.verdict.name())
    }

    /// The last that fit, the oldest first.
    fn last(&self, trace: Option<&Trace>, limit: usize) -> Vec<TraceRecordBody> {
        let Some(trace) = trace else { return Vec::new() };
        let part = trace.read(&mut trace.cursor(usize::MAX), usize::MAX);
        let mut last: Vec<_> =
            part.records.iter().rev().filter(|it| self.fits(it)).take(limit).collect();
        last.reverse();
        last.into_iter().map(|it| TraceRecordBody::from(&**it)).collect()
    }
}

const PATH: &str = "/api/thingport/devices/{deviceId}/trace";
const FILTERS: &[Query] = &[
    optional("limit", "At most so many, the newest; all that are kept if absent."),
    optional("direction", "in, out or none; several with commas between them."),
    optional("kind", "Names of packets, such as PUBLISH; several with commas between them."),
    optional("verdict", "none, open, accepted, committed or refused; several with commas."),
    optional("format", "json, or jsonl for one record per line."),
];
