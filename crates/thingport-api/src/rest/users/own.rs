//! What a user's own pages remember: one JSON object, opaque to us (REST API section 5).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::api::Api;
use crate::auth::SignedIn;
use crate::error::Refusal;
use crate::extract::Body;
use crate::route::{Route, S_T_C};

pub(in crate::rest) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/user/settings", settings)
            .about("What the own pages remember.")
            .answer_any(),
        Route::post("/api/user/settings", replace)
            .about("Replace what the own pages remember.")
            .any_body()
            .answer_any(),
        Route::put("/api/user/settings", merge)
            .about("Change some members of what the own pages remember.")
            .any_body(),
        Route::put("/api/user/settings/general", merge)
            .about("The same, as some clients ask for it.")
            .any_body(),
    ]
    .into_iter()
    .map(|route| route.who(S_T_C))
    .collect()
}

async fn settings(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
) -> Result<Json<Map<String, Value>>, Refusal> {
    let stored = api.node().registry.own_settings(&caller).await?;
    Ok(Json(read(stored.as_deref())?))
}

async fn replace(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(settings): Body<Map<String, Value>>,
) -> Result<Json<Map<String, Value>>, Refusal> {
    api.node().registry.put_own_settings(&caller, &text(&settings)).await?;
    Ok(Json(settings))
}

/// Of two merges at once the later one may win as a whole: both are the same person's.
async fn merge(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(changes): Body<Map<String, Value>>,
) -> Result<StatusCode, Refusal> {
    let registry = &api.node().registry;
    let mut settings = read(registry.own_settings(&caller).await?.as_deref())?;
    settings.extend(changes);
    registry.put_own_settings(&caller, &text(&settings)).await?;
    Ok(StatusCode::OK)
}

fn read(stored: Option<&str>) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_str(stored.unwrap_or("{}"))
        .map_err(|_| Refusal::internal("stored settings cannot be read"))
}

fn text(settings: &Map<String, Value>) -> String {
    Value::Object(settings.clone()).to_string()
}
