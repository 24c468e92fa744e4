//! How many requests are worked on at a time, and for how long (G-6).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use thingport_core::metrics::Bound;

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinError;

use crate::api::Api;
use crate::error::Refusal;

/// Whether a request may take as long as its body does; it watches over that itself.
fn is_upload(request: &Request) -> bool {
    request.method() == Method::POST && request.uri().path().starts_with("/api/otaPackage/")
}

/// The place of a request among those that are worked on; free again when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Turn(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Turn {
    /// Lets others go ahead while the request waits for its body.
    pub(crate) fn leave(&self) {
        self.0.lock().take();
    }

    /// Waits for a place, as long as the request may take.
    pub(crate) async fn take_again(&self, api: &Api) {
        // The places are never closed.
        let place = Arc::clone(&api.requests).acquire_owned().await.ok();
        *self.0.lock() = place;
    }
}

/// Refuses a request at once when the house is full, and answers for one that takes too long.
///
/// What a request does is done to its end by a task of its own: a client that hangs up, or the end of
/// its time, must not stop it between what it writes and what follows from that, such as that old
/// credentials are forgotten and their sessions closed. A handler waits for bodies, stores and devices
/// within bounds of their own, so that each of these tasks ends; it keeps its place until then.
pub(crate) async fn bounded(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(place) = Arc::clone(&api.requests).try_acquire_owned() else {
        return Refusal::unavailable("too many requests at once; try again in a moment")
            .into_response();
    };
    let turn = Turn(Arc::new(Mutex::new(Some(place))));
    request.extensions_mut().insert(turn.clone());
    let is_upload = is_upload(&request);
    let work = tokio::spawn(async move {
        let answer = next.run(request).await;
        drop(turn);
        answer
    });
    let done = if is_upload {
        work.await
    } else if let Ok(done) = tokio::time::timeout(api.config().request_timeout, work).await {
        done
    } else {
        let text = "the request takes too long; it may still take effect";
        return Refusal::unavailable(text).into_response();
    };
    done.unwrap_or_else(|stopped| failed(&stopped).into_response())
}

fn failed(stopped: &JoinError) -> Refusal {
    if stopped.is_panic() {
        // The panic itself was told by the hook.
        return Refusal::internal("the server met an error of its own");
    }
    Refusal::unavailable("the server is shutting down")
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

#[cfg(test)]
mod tests;
