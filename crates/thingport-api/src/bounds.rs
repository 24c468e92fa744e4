//! How many requests are worked on at a time, and for how long (G-6).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use thingport_core::metrics::Bound;

use crate::api::Api;
use crate::error::Refusal;

/// Refuses a request at once when the house is full, and gives up on one that takes too long.
pub(crate) async fn bounded(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let Ok(_place) = api.requests.try_acquire() else {
        return Refusal::unavailable("too many requests at once; try again in a moment")
            .into_response();
    };
    let answer = tokio::time::timeout(api.config().request_timeout, next.run(request)).await;
    answer.unwrap_or_else(|_| {
        Refusal::unavailable("the request took too long and was given up").into_response()
    })
}

/// Refuses a request at once when too many wait for devices. How long it waits is its own affair.
pub(crate) async fn waiting(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let Ok(_place) = api.waiting.try_acquire() else {
        api.node().metrics.count_bound(Bound::WaitingRequests);
        return Refusal::unavailable("too many requests wait for devices; try again in a moment")
            .into_response();
    };
    next.run(request).await
}
