//! Every route on one page, behind the same doors: cross-origin answers, error objects, bounds.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowHeaders, AllowMethods, Any, CorsLayer};

use crate::api::Api;
use crate::auth::{Door, must_sign_in};
use crate::bounds::{bounded, waiting};
use crate::error::Refusal;
use crate::render::render;
use crate::route::{Route, Who};
use crate::{openapi, rest, ui, ws};

/// The people's side of the network: REST, WebSocket, API description and start page.
///
/// It has a fallback of its own; whatever the caller merges with it must have none.
pub fn router(api: Arc<Api>) -> Router {
    let routes = routes();
    api.set_describe(|version| openapi::describe(&self::routes(), version));
    let mut router = Router::new();
    for route in routes {
        let run = match route.who {
            Who::Public => route.run,
            Who::People(roles) => {
                let door = Door { api: Arc::clone(&api), roles };
                route.run.route_layer(from_fn_with_state(door, must_sign_in))
            }
        };
        let run = if route.waits {
            run.layer(from_fn_with_state(Arc::clone(&api), waiting))
        } else {
            run.layer(from_fn_with_state(Arc::clone(&api), bounded))
        };
        router = router.route(route.path, run);
    }
    router
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&api), render))
        .layer(from_fn(ui::harden))
        .layer(cross_origin())
        .layer(DefaultBodyLimit::max(api.config().body_max))
        .with_state(api)
}

/// Every route there is.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = rest::routes();
    routes.extend(ws::routes());
    routes.extend(openapi::routes());
    routes.extend(ui::routes());
    routes
}

/// What is no route: the error object under `/api`, the page elsewhere (G-5).
async fn unknown(
    State(api): State<Arc<Api>>,
    method: Method,
    uri: Uri,
    asked: HeaderMap,
) -> Response {
    let is_page = matches!(method, Method::GET | Method::HEAD) && !uri.path().starts_with("/api");
    if is_page {
        return ui::elsewhere(&api, uri.path(), &asked);
    }
    Refusal::not_found(format!("there is no {method} {}", without_token(uri.path())))
        .into_response()
}

/// A path without the access token that devices write into it.
fn without_token(path: &str) -> Cow<'_, str> {
    match path.strip_prefix("/api/v1/") {
        None => path.into(),
        Some(rest) => match rest.split_once('/') {
            None => "/api/v1/{token}".into(),
            Some((_, behind)) => format!("/api/v1/{{token}}/{behind}").into(),
        },
    }
}

async fn wrong_method() -> Refusal {
    Refusal::wrong_method()
}

/// Any origin, method and header; a preflight needs no credential (G-3). The wanted headers are
/// mirrored, because a star does not cover `Authorization`.
fn cross_origin() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
}

#[cfg(test)]
mod tests;
