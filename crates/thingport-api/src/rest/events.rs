//! Why devices were refused, rejected or disconnected: our own endpoints.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use thingport_core::access::Caller;
use thingport_core::explain::{Search, SoughtText, SoughtUserName};
use thingport_model::attempt::Fingerprint;
use thingport_model::id::DeviceId;
use thingport_model::incident::address;
use thingport_model::port::ledger::{INCIDENTS_MAX, STRANGER_INCIDENTS_MAX, TENANT_INCIDENTS_MAX};
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::id::parse_id;
use crate::dto::incident::{ExplanationBody, IncidentBody, ReasonBody, SearchInput};
use crate::error::Refusal;
use crate::extract::{Body, Params, Segments, sought};
use crate::route::{Query, Route, S_T_C, optional};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/thingport/devices/{deviceId}/events", device_events)
            .about("Why this device was refused, rejected or disconnected, newest first.")
            .query(&[LIMIT])
            .answer_list::<IncidentBody>(),
        Route::get("/api/thingport/events", events)
            .who(S_T_C)
            .about(
                "Why devices, and peers that matched no device, were refused, newest first. What is \
                 asked for must fit; without parameters everything does.",
            )
            .query(SEARCH)
            .answer_list::<IncidentBody>(),
        Route::get("/api/thingport/explain", explain)
            .who(S_T_C)
            .about("Why does it not connect? Failed attempts that fit, and what it means if none does.")
            .query(SEARCH)
            .answer::<ExplanationBody>(),
        Route::post("/api/thingport/explain", explain_body)
            .who(S_T_C)
            .about("The same; an access token stays out of logs of proxies when it is in the body.")
            .body::<SearchInput>()
            .answer::<ExplanationBody>(),
        Route::get("/api/thingport/reasons", reasons)
            .who(S_T_C)
            .about("Every reason there is, with what to do about it.")
            .answer_list::<ReasonBody>(),
    ]
}

async fn device_events(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(device): Segments<Uuid>,
    params: Params,
) -> Result<Json<Vec<IncidentBody>>, Refusal> {
    let limit = params.parsed("limit")?.unwrap_or(INCIDENTS_MAX);
    let incidents = api.node().device_incidents(&caller, DeviceId(device), limit).await?;
    Ok(Json(incidents.into_iter().map(IncidentBody::from).collect()))
}

async fn events(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<Vec<IncidentBody>>, Refusal> {
    let input = input(&params)?;
    let search = search(&caller, &input)?;
    let incidents = api.node().incidents(&caller, &search, limit(&input)).await?;
    Ok(Json(incidents.into_iter().map(IncidentBody::from).collect()))
}

async fn explain(
    api: State<Arc<Api>>,
    who: SignedIn,
    params: Params,
) -> Result<Json<ExplanationBody>, Refusal> {
    explain_body(api, who, Body(input(&params)?)).await
}

async fn explain_body(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<SearchInput>,
) -> Result<Json<ExplanationBody>, Refusal> {
    let search = search(&caller, &input)?;
    let explanation = api.node().explain(&caller, &search, limit(&input)).await?;
    Ok(Json(explanation.into()))
}

async fn reasons(_: SignedIn) -> Json<Vec<ReasonBody>> {
    Json(Reason::ALL.iter().copied().map(ReasonBody::from).collect())
}

fn input(params: &Params) -> Result<SearchInput, Refusal> {
    let text = |name| params.text(name).map(str::to_owned);
    Ok(SearchInput {
        address: text("address"),
        client_id: text("clientId"),
        user_name: text("userName"),
        fingerprint: text("fingerprint"),
        reason: text("reason"),
        device_id: text("deviceId"),
        from: params.parsed("from")?,
        to: params.parsed("to")?,
        text: text("text"),
        limit: params.parsed("limit")?,
    })
}

/// What is wrong is said without repeating the input: it may be a token in the wrong place. Who may
/// not see devices is told so before the form of an id is looked at.
fn search(caller: &Caller, input: &SearchInput) -> Result<Search, Refusal> {
    let wrong = |text: &str| Refusal::bad_request(text);
    must_be_short(input)?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let device = given(&input.device_id);
    if device.is_some() {
        caller.must_see_devices()?;
    }
    let address = given(&input.address)
        .map(|it| address(&it).ok_or_else(|| wrong("address is an IP address, such as 192.0.2.7")));
    let fingerprint = given(&input.fingerprint).map(|it| {
        let needed = "fingerprint has 64 hexadecimal digits, with or without colons";
        Fingerprint::parse(&it).ok_or_else(|| wrong(needed))
    });
    let reasons = given(&input.reason).map(|it| Search::reasons(&it));
    if reasons.as_ref().is_some_and(Vec::is_empty) {
        return Err(wrong("reason is none of those that GET /api/thingport/reasons lists"));
    }
    Ok(Search {
        address: address.transpose()?,
        client_id: given(&input.client_id),
        user_name: given(&input.user_name).map(|it| SoughtUserName::new(&it)),
        fingerprint: fingerprint.transpose()?,
        reasons: reasons.unwrap_or_default(),
        device: device.map(|it| parse_id(&it)).transpose()?.map(DeviceId),
        from: input.from.map(Timestamp),
        to: input.to.map(Timestamp),
        text: given(&input.text).map(|it| SoughtText::new(&it)),
    })
}

/// Each text is compared with every incident, and some are looked up.
fn must_be_short(input: &SearchInput) -> Result<(), Refusal> {
    let texts = [
        ("address", &input.address),
        ("clientId", &input.client_id),
        ("userName", &input.user_name),
        ("fingerprint", &input.fingerprint),
        ("reason", &input.reason),
        ("deviceId", &input.device_id),
        ("text", &input.text),
    ];
    let mut texts = texts.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?)));
    texts.try_for_each(|(name, text)| sought(name, text))
}

fn limit(input: &SearchInput) -> usize {
    input.limit.unwrap_or(INCIDENTS_MAX).min(TENANT_INCIDENTS_MAX + STRANGER_INCIDENTS_MAX)
}

const LIMIT: Query = optional("limit", "At most so many; 128 if absent.");
const SEARCH: &[Query] = &[
    optional("address", "Address of the peer, with or without port; the port is not compared."),
    optional("clientId", "Client id, exactly."),
    optional("userName", "User name or access token in full; only a hash of it is compared."),
    optional(
        "fingerprint",
        "Of a certificate presented: SHA-256, or the credentials id; with or without colons.",
    ),
    optional("reason", "Id of a reason, or its part before the dot."),
    optional("deviceId", "Of this device alone."),
    optional("from", "Happened then or later, milliseconds."),
    optional("to", "Happened then or earlier, milliseconds."),
    optional("text", "Some text contains this, in any letter case."),
    LIMIT,
];
