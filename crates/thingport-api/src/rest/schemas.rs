//! The schema workbench: schemas and topic filters are tried before a profile is saved (our own
//! endpoints). Nothing is stored.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use thingport_core::trace::{Direction, Payload, Record, Shown, Trace};
use thingport_model::id::DeviceId;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::schema::{
    PacketBody, SchemaBody, SchemaInput, TopicBody, TopicInput, TrialBody, TrialInput,
};
use crate::error::Refusal;
use crate::extract::Body;
use crate::route::{Route, T};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/thingport/schema/check", check)
            .who(T)
            .about("Compile a Protobuf schema: its root, or what is wrong and where.")
            .body::<SchemaInput>()
            .answer::<SchemaBody>(),
        Route::post("/api/thingport/schema/try", try_out)
            .who(T)
            .about(
                "Read a payload, or what a device sent while it was traced, with a Protobuf schema: \
                 fields, what would be stored, and what is left over.",
            )
            .body::<TrialInput>()
            .answer::<TrialBody>(),
        Route::post("/api/thingport/topics/try", topic)
            .who(T)
            .about("What a device profile with these topic filters makes of a topic.")
            .body::<TopicInput>()
            .answer::<TopicBody>(),
    ]
}

async fn check(
    State(api): State<Arc<Api>>,
    Body(input): Body<SchemaInput>,
) -> Result<Json<SchemaBody>, Refusal> {
    let (workbench, schema) = (api.workbench()?, input.into_text()?);
    let checked = computed(move || workbench.check(&schema)).await?;
    Ok(Json(checked.into()))
}

async fn try_out(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<TrialInput>,
) -> Result<Json<TrialBody>, Refusal> {
    let (workbench, schema, now) = (api.workbench()?, input.text()?, api.now());
    let node = api.node();
    let sent = match (input.bytes()?, input.device_id) {
        (Some(bytes), _) => vec![Sent { when: None, bytes }],
        (None, Some(device)) => {
            let found = node.traces.find_for(&node.registry, &caller, DeviceId(device)).await?;
            found.map_or_else(Vec::new, |trace| last_publications(&trace, input.wanted()))
        }
        (None, None) => {
            let what = "either payload or deviceId is due";
            return Err(Refusal::bad_request(what));
        }
    };
    let (schema, packets) = computed(move || {
        let payloads: Vec<Vec<u8>> = sent.iter().map(|it| it.bytes.clone()).collect();
        let (schema, read) = workbench.read(&schema, &payloads, now);
        let packets = sent.into_iter().zip(read);
        let packets: Vec<_> =
            packets.map(|(it, read)| PacketBody::of(it.when, &it.bytes, read)).collect();
        (schema, packets)
    })
    .await?;
    Ok(Json(TrialBody::of(schema, packets)))
}

async fn topic(
    State(api): State<Arc<Api>>,
    Body(input): Body<TopicInput>,
) -> Result<Json<TopicBody>, Refusal> {
    let filters = input.filters();
    let longest = [&filters.telemetry, &filters.attributes, &filters.attributes_subscribe]
        .into_iter()
        .chain([&input.topic])
        .map(String::len)
        .max();
    if longest > Some(TOPIC_BYTES_MAX) {
        return Err(Refusal::bad_request("a topic has at most 65535 bytes"));
    }
    let tried = api.workbench()?.topic(&filters, &input.topic);
    Ok(Json(TopicBody::of(filters, tried)))
}

/// Runs what computes for milliseconds where it holds up nobody.
async fn computed<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Refusal::internal(format!("the workbench failed: {error}")))
}

/// What is to be read, and when and where a device sent it.
struct Sent {
    when: Option<(i64, Option<String>)>,
    bytes: Vec<u8>,
}

/// The newest publications of a trace whose bytes are all there, the newest first.
fn last_publications(trace: &Trace, count: usize) -> Vec<Sent> {
    let part = trace.read(&mut trace.cursor(usize::MAX), usize::MAX);
    part.records.iter().rev().filter_map(|it| publication(it)).take(count).collect()
}

fn publication(record: &Record) -> Option<Sent> {
    let is_whole = |it: &&Payload| !it.is_cut && !it.is_redacted && !it.bytes.is_empty();
    let payload = record.packet.payload.as_ref().filter(is_whole)?;
    if record.direction != Direction::In || record.packet.kind != "PUBLISH" {
        return None;
    }
    let topic = record.packet.fields.iter().find_map(|(name, shown)| match shown {
        Shown::Text(text) if *name == "topic" => Some(text.clone()),
        _ => None,
    });
    Some(Sent { when: Some((record.at.ms(), topic)), bytes: payload.bytes.clone() })
}

const TOPIC_BYTES_MAX: usize = 65_535;
