//! Calls to devices, and what is kept of them (REST API 15.1). Errors are plain text (1.7).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use thingport_core::calls::Outcome;
use thingport_model::id::{DeviceId, RpcId};
use thingport_model::rpc::{CallFilter, CallStatus, CallWay};
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::id::parse_id;
use crate::dto::page::PageBody;
use crate::dto::rpc::{CallInput, RpcBody, RpcIdBody, impossible, is_json};
use crate::error::{NoOutcome, Plain, Refusal};
use crate::extract::{Body, Params, Segments, json_text};
use crate::route::{PAGED, Query, Route, T, optional};

pub(super) fn routes() -> Vec<Route> {
    let mut routes = calling();
    routes.extend(kept());
    routes
}

fn calling() -> Vec<Route> {
    vec![
        Route::post("/api/rpc/oneway/{deviceId}", one_way).about(ONE_WAY),
        Route::post("/api/rpc/twoway/{deviceId}", two_way).about(TWO_WAY).answer_any(),
        Route::post("/api/plugins/rpc/oneway/{deviceId}", one_way_first).about(ONE_WAY),
        Route::post("/api/plugins/rpc/twoway/{deviceId}", two_way_first)
            .about(TWO_WAY)
            .answer_any(),
    ]
    .into_iter()
    .map(|route| route.waits().body::<CallInput>())
    .collect()
}

fn kept() -> Vec<Route> {
    vec![
        Route::get("/api/rpc/persistent/{rpcId}", persistent)
            .about("A persistent call and what came of it.")
            .answer::<RpcBody>(),
        Route::get("/api/rpc/persistent/device/{deviceId}", persistent_of)
            .about("Persistent calls of a device; text search on method and parameters.")
            .query(&[STATUS])
            .query(PAGED)
            .answer_page::<RpcBody>(),
        Route::delete("/api/rpc/persistent/{rpcId}", delete)
            .who(T)
            .about("Forget a persistent call; one that waits for its device is not sent any more."),
    ]
}

type Device = Segments<String>;

async fn one_way(
    state: State<Arc<Api>>,
    who: SignedIn,
    device: Device,
    body: Body<CallInput>,
) -> Result<Response, Plain> {
    call(state, who, device, body, (CallWay::OneWay, NoOutcome::Second)).await
}

async fn two_way(
    state: State<Arc<Api>>,
    who: SignedIn,
    device: Device,
    body: Body<CallInput>,
) -> Result<Response, Plain> {
    call(state, who, device, body, (CallWay::TwoWay, NoOutcome::Second)).await
}

async fn one_way_first(
    state: State<Arc<Api>>,
    who: SignedIn,
    device: Device,
    body: Body<CallInput>,
) -> Result<Response, Plain> {
    call(state, who, device, body, (CallWay::OneWay, NoOutcome::First)).await
}

async fn two_way_first(
    state: State<Arc<Api>>,
    who: SignedIn,
    device: Device,
    body: Body<CallInput>,
) -> Result<Response, Plain> {
    call(state, who, device, body, (CallWay::TwoWay, NoOutcome::First)).await
}

async fn call(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(device): Device,
    Body(input): Body<CallInput>,
    (way, contract): (CallWay, NoOutcome),
) -> Result<Response, Plain> {
    let device = DeviceId(parse_id(&device)?);
    let is_persistent = input.is_persistent();
    let draft = input.draft(way)?;
    let calls = &api.node().calls;
    if is_persistent {
        let rpc_id = calls.call_persistently(&caller, device, draft).await?.0;
        return Ok(Json(RpcIdBody { rpc_id }).into_response());
    }
    let (method, params) = (draft.method.clone(), draft.params.clone());
    let mut draining = api.draining();
    let outcome = tokio::select! {
        outcome = calls.call(&caller, device, draft) => outcome?,
        _ = draining.wait_for(|is_draining| *is_draining) => {
            return Err(Refusal::unavailable("the server is stopping; try again soon").into());
        }
    };
    match outcome {
        Outcome::Done => Ok(().into_response()),
        // A device may answer nothing (RP-006).
        Outcome::Answered(text) if text.is_empty() => Ok(().into_response()),
        Outcome::Answered(text) if is_json(&text) => Ok(json_text(text)),
        Outcome::Answered(_) => Err(Refusal::answer_not_json().into()),
        Outcome::Impossible => Ok(Json(impossible(&method, &params)).into_response()),
        Outcome::TimedOut => Err(contract.timed_out().into()),
        Outcome::Overdue => Err(contract.overdue().into()),
        Outcome::NotConnected => Err(contract.not_connected().into()),
        Outcome::Gone => Err(Refusal::not_found("the device was deleted meanwhile").into()),
    }
}

async fn persistent(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<RpcBody>, Plain> {
    Ok(Json(api.node().calls.kept(&caller, RpcId(id)).await?.into()))
}

async fn persistent_of(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(device): Segments<Uuid>,
    params: Params,
) -> Result<Json<PageBody<RpcBody>>, Plain> {
    let link = params.page()?;
    let status = params.text("rpcStatus").map(|name| {
        CallStatus::from_name(name)
            .ok_or_else(|| Refusal::bad_request(format!("rpcStatus={name} is not known")))
    });
    let filter = CallFilter { device_id: DeviceId(device), status: status.transpose()? };
    let page = api.node().calls.kept_of(&caller, filter, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, RpcBody::from)))
}

async fn delete(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<(), Plain> {
    Ok(api.node().calls.delete(&caller, RpcId(id)).await?)
}

const ONE_WAY: &str = "Call a device; answered when the call was handed over, or with the id of a \
                       persistent call.";
const TWO_WAY: &str = "Call a device; answered with what the device answers, or with the id of a \
                       persistent call.";
const STATUS: Query = optional("rpcStatus", "Only calls that have come so far.");
