//! Applications take what devices ask, and answer it: our own endpoints (device API 6.6). The same over
//! WebSocket is `ws/client_rpc.rs`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use thingport_core::client_calls::applications::{Request, Taker};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::client_rpc::{AnswerInput, RequestBody, TakeInput, TakenBody};
use crate::error::Refusal;
use crate::extract::{Body, OptionalBody, Segments};
use crate::route::{Route, T};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/thingport/client-rpc/take", take)
            .who(T)
            .waits()
            .about(
                "Take requests of devices whose profile leaves them to applications; waits for the \
                 first one.",
            )
            .body::<TakeInput>()
            .answer::<TakenBody>(),
        Route::post("/api/thingport/client-rpc/{requestId}", answer)
            .who(T)
            .about("Answer a request of a device; the first answer counts.")
            .body::<AnswerInput>(),
    ]
}

async fn take(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    OptionalBody(input): OptionalBody<TakeInput>,
) -> Result<Json<TakenBody>, Refusal> {
    let input = input.unwrap_or_default();
    let until = Instant::now() + Duration::from_millis(input.timeout_ms()?);
    let applications = &api.node().client_calls.applications;
    let taker = applications.open(&caller, input.terms(false)?)?;
    let mut draining = api.draining();
    let taken = tokio::select! {
        taken = first(&taker) => taken,
        () = sleep_until(until) => Vec::new(),
        _ = draining.wait_for(|is_draining| *is_draining) => {
            return Err(Refusal::unavailable("the server is stopping; try again soon"));
        }
    };
    let requests = taken.iter().map(|it| RequestBody::from(&**it)).collect();
    Ok(Json(TakenBody { requests }))
}

/// The first requests that are given.
async fn first(taker: &Taker) -> Vec<Arc<Request>> {
    loop {
        let taken = taker.fetch();
        if !taken.is_empty() {
            return taken;
        }
        more(taker).await;
    }
}

/// Returns when the taker may have been given something.
pub(crate) async fn more(taker: &Taker) {
    let lapse = async {
        match taker.lapse_in_ms() {
            // A moment later, when it has lapsed.
            Some(ms) => sleep(Duration::from_millis(ms + 1)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = taker.given() => {}
        () = lapse => {}
        // A lease that somebody took meanwhile may lapse earlier.
        () = sleep(LOOK_AGAIN) => {}
    }
}

async fn answer(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
    Body(input): Body<AnswerInput>,
) -> Result<(), Refusal> {
    let applications = &api.node().client_calls.applications;
    Ok(applications.answer(&caller, id, input.into_answer()?)?)
}

/// How late the lapse of a lease may be noticed that was taken while somebody waited.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
