//! Devices that become a customer's (REST API section 10).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use thingport_core::claims::Claimed;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::claim::{ClaimBody, ClaimInput, claiming_data};
use crate::error::{Refusal, unclaimed};
use crate::extract::{OptionalBody, Segments};
use crate::route::{C, Route};

pub(in crate::rest) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/customer/device/{deviceName}/claim", claim)
            .who(C)
            .about("Claim the device of this name for one's customer.")
            .body::<ClaimInput>()
            .answer::<ClaimBody>(),
        Route::delete("/api/customer/device/{deviceName}/claim", reclaim).about(
            "Take the device of this name from its customer, so that it may be claimed again.",
        ),
    ]
}

async fn claim(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(name): Segments<String>,
    OptionalBody(input): OptionalBody<ClaimInput>,
) -> Result<Response, Refusal> {
    let secret = input.and_then(|input| input.secret_key).unwrap_or_default();
    let claims = &api.node().claims;
    Ok(match claims.claim(&caller, &name, &secret, claiming_data).await? {
        Claimed::Success(device) => Json(ClaimBody::of((*device).into())).into_response(),
        Claimed::Taken => unclaimed("CLAIMED"),
        Claimed::Failure => unclaimed("FAILURE"),
    })
}

async fn reclaim(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(name): Segments<String>,
) -> Result<(), Refusal> {
    Ok(api.node().claims.reclaim(&caller, &name).await?)
}
