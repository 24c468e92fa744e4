//! How targets of forwarding are doing (our own endpoint).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::forwarding::TargetStateBody;
use crate::error::Refusal;
use crate::route::{Route, T};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/thingport/forwarding", states)
            .who(T)
            .about("Targets that messages of devices are forwarded to, and how far each has come.")
            .answer::<Vec<TargetStateBody>>(),
    ]
}

async fn states(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
) -> Result<Json<Vec<TargetStateBody>>, Refusal> {
    let now_ms = api.now().ms();
    let states = api.node().forwarding.states_for(&caller)?;
    Ok(Json(states.iter().map(|state| TargetStateBody::of(state, now_ms)).collect()))
}
