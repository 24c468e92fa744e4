//! Why devices were refused, rejected or disconnected: our own endpoints.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use thingport_model::id::DeviceId;
use thingport_model::port::ledger::INCIDENTS_MAX;
use thingport_model::reason::Reason;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::incident::{IncidentBody, ReasonBody};
use crate::error::Refusal;
use crate::extract::{Params, Segments};
use crate::route::{Query, Route, S_T, S_T_C, optional};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/thingport/devices/{deviceId}/events", device_events)
            .about("Why this device was refused, rejected or disconnected, newest first.")
            .query(LIMIT)
            .answer_list::<IncidentBody>(),
        Route::get("/api/thingport/events", events)
            .who(S_T)
            .about("Why devices, and peers that matched no device, were refused, newest first.")
            .query(LIMIT)
            .answer_list::<IncidentBody>(),
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
    let limit = limit(&params)?;
    let incidents = api.node().device_incidents(&caller, DeviceId(device), limit).await?;
    Ok(Json(incidents.into_iter().map(IncidentBody::from).collect()))
}

async fn events(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<Vec<IncidentBody>>, Refusal> {
    let incidents = api.node().incidents(&caller, limit(&params)?).await?;
    Ok(Json(incidents.into_iter().map(IncidentBody::from).collect()))
}

async fn reasons(_: SignedIn) -> Json<Vec<ReasonBody>> {
    Json(Reason::ALL.iter().copied().map(ReasonBody::from).collect())
}

fn limit(params: &Params) -> Result<usize, Refusal> {
    Ok(params.parsed("limit")?.unwrap_or(INCIDENTS_MAX).min(INCIDENTS_MAX))
}

const LIMIT: &[Query] = &[optional("limit", "At most so many; 128 are kept.")];
