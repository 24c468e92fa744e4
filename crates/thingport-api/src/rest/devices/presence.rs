//! Whether a device is connected, and whether it reports: our own endpoint.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use thingport_core::activity::{INACTIVITY_ALARM_TIME, LAST_CONNECT_TIME, LAST_DISCONNECT_TIME};
use thingport_core::error::Error;
use thingport_core::presence::Line;
use thingport_model::attribute::Scope;
use thingport_model::id::DeviceId;
use thingport_model::port::ledger::Keys;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::presence::PresenceBody;
use crate::error::Refusal;
use crate::extract::Segments;
use crate::route::Route;

pub(in crate::rest) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/thingport/devices/{deviceId}/presence", presence)
            .about("Whether the device is connected, and how; and whether it reports.")
            .answer::<PresenceBody>(),
    ]
}

async fn presence(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<PresenceBody>, Refusal> {
    let (node, device) = (api.node(), DeviceId(id));
    let names = [LAST_CONNECT_TIME, LAST_DISCONNECT_TIME, INACTIVITY_ALARM_TIME];
    let keys = Keys::Named(names.map(str::to_owned).into());
    // Checks the caller's right to see the device.
    let moments = node.attributes.read(&caller, device.entity(), Scope::Server, keys).await?;
    let line = line(&api, device).await;
    let reporting = node.activity.reporting(device).await.map_err(Error::from)?;
    let is_connected = node.presence.is_connected(device);
    Ok(Json(PresenceBody::of(is_connected, line, reporting, &moments)))
}

/// What the connection says of itself; it may be busy with what came before.
async fn line(api: &Api, device: DeviceId) -> Option<Line> {
    let answer = api.node().presence.inquire(device)?;
    tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
}

const PATIENCE: Duration = Duration::from_secs(1);
