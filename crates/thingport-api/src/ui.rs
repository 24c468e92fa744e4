//! The few pages this server carries: start, API description, activation. Self-contained, nothing is
//! loaded from elsewhere.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::Api;
use crate::error::missing_page;
use crate::route::{Route, Who};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/", start).about("What runs here."),
        Route::get("/activate", activate).about("Where a new user sets its password."),
        Route::get("/reset-password", activate).about("Where a user sets a new password."),
        Route::get("/activate.js", activate_script).about("Part of those pages."),
        Route::get("/link-expired", link_expired).about("Says that a link is too old."),
        Route::get("/swagger-ui.html", moved).about("Leads to the page of this description."),
        Route::get("/swagger-ui/index.html", browse).about("This description as a page."),
        Route::get("/swagger-ui/browse.js", browse_script).about("Part of that page."),
        Route::get("/swagger-ui/page.css", style).about("Part of that page."),
    ]
    .into_iter()
    .map(|route| route.who(Who::Public).answer_text())
    .collect()
}

/// Tells browsers to load and run nothing but what this server sends.
pub(crate) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HARDENING {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// The start page with 404, for paths that are nothing else.
pub(crate) fn not_found(api: &Api) -> Response {
    missing_page(start_page(api))
}

async fn start(State(api): State<Arc<Api>>) -> Response {
    start_page(&api)
}

async fn moved() -> Response {
    let moved = Response::builder().status(302).header(header::LOCATION, "/swagger-ui/index.html");
    // Status and header are constants that always make a response.
    moved.body(Body::empty()).unwrap_or_default()
}

async fn browse() -> Response {
    page("text/html; charset=utf-8", include_str!("pages/browse.html").to_owned())
}

async fn browse_script() -> Response {
    page("text/javascript; charset=utf-8", include_str!("pages/browse.js").to_owned())
}

async fn activate() -> Response {
    page("text/html; charset=utf-8", include_str!("pages/activate.html").to_owned())
}

async fn link_expired() -> Response {
    page("text/html; charset=utf-8", include_str!("pages/link-expired.html").to_owned())
}

async fn activate_script() -> Response {
    page("text/javascript; charset=utf-8", include_str!("pages/activate.js").to_owned())
}

async fn style() -> Response {
    page("text/css; charset=utf-8", include_str!("pages/page.css").to_owned())
}

fn start_page(api: &Api) -> Response {
    let text = include_str!("pages/start.html").replace("{version}", &api.config().version);
    page("text/html; charset=utf-8", text)
}

fn page(kind: &'static str, text: String) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

const HARDENING: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn pages_load_nothing_from_elsewhere_and_carry_no_inline_script() {
        let pages = [
            include_str!("pages/start.html"),
            include_str!("pages/browse.html"),
            include_str!("pages/activate.html"),
            include_str!("pages/link-expired.html"),
            include_str!("pages/browse.js"),
            include_str!("pages/activate.js"),
            include_str!("pages/page.css"),
        ];
        for page in pages {
            assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
            assert!(!page.contains("<style") && !page.contains(" onclick="), "{page}");
            assert!(!page.replace("<script src=", "").contains("<script"), "{page}");
            assert!(page.is_ascii());
        }
    }
}
