//! The last door of the API: refusals get their error object here (REST API 1.6), because it carries
//! the time, which only the node knows.

use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::Api;
use crate::error::Refusal;

/// Gives each refusal that leaves the API its error object, and counts every answer.
pub(crate) async fn render(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let has_body = !request.body().is_end_stream();
    let mut response = show(&api, next.run(request).await);
    if has_body && response.status().is_client_error() {
        // Perhaps refused before the body was read. The connection then ends with the answer, and a
        // client that is not told would send its next request into it.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    api.node().metrics.count_rest(response.status().as_u16());
    response
}

fn show(api: &Api, mut response: Response) -> Response {
    let Some(refusal) = response.extensions_mut().remove::<Refusal>() else { return response };
    let body = axum::Json(refusal.body(api.now()));
    let mut rendered = (refusal.status(), body).into_response();
    if let Some(seconds) = refusal.retry_after_s() {
        rendered.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    rendered
}
