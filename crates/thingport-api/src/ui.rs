//! The pages this server carries: the page itself, API description, activation. Self-contained, nothing
//! is loaded from elsewhere.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::Api;
use crate::error::missing_page;
use crate::route::{Route, Who};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/", start).about("The page."),
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

/// Answers a path that is no route: a file of the page, one of its screens, or the page with 404, which
/// then says that there is no such screen.
pub(crate) fn elsewhere(api: &Api, path: &str, asked: &HeaderMap) -> Response {
    if let Some(file) = thingport_ui::find(path) {
        return serve(file, asked);
    }
    let answer = start_page(api, asked);
    if is_screen(path) { answer } else { missing_page(answer) }
}

async fn start(State(api): State<Arc<Api>>, asked: HeaderMap) -> Response {
    start_page(&api, &asked)
}

/// Whether a path is a screen of the page: they share one document, which tells them apart by itself.
fn is_screen(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    SCREENS.contains(&first)
}

/// First parts of the paths of screens, as `ui/src/app.tsx` names them.
const SCREENS: [&str; 12] = [
    "devices",
    "profiles",
    "refusals",
    "certificates",
    "firmware",
    "claim",
    "customers",
    "tenants",
    "limits",
    "node",
    "account",
    "sign-in",
];

fn serve(file: &'static thingport_ui::File, asked: &HeaderMap) -> Response {
    let keep = if file.is_immutable() { "public, max-age=31536000, immutable" } else { "no-cache" };
    let has = |name: HeaderName, what: &str| {
        asked
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|text| text.contains(what))
    };
    let mut answer = Response::builder()
        .header(header::CACHE_CONTROL, keep)
        .header(header::ETAG, file.mark)
        .header(header::VARY, "accept-encoding");
    if has(header::IF_NONE_MATCH, file.mark) {
        return answer.status(304).body(Body::empty()).unwrap_or_default();
    }
    answer = answer.header(header::CONTENT_TYPE, file.kind);
    let bytes = match file.gzip {
        Some(gzip) if has(header::ACCEPT_ENCODING, "gzip") => {
            answer = answer.header(header::CONTENT_ENCODING, "gzip");
            gzip
        }
        _ => file.bytes,
    };
    // Every header is a constant of the build.
    answer.body(Body::from(bytes)).unwrap_or_default()
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

/// The page; in a build without it, a few words and where the API is described.
fn start_page(api: &Api, asked: &HeaderMap) -> Response {
    if let Some(index) = thingport_ui::index() {
        return serve(index, asked);
    }
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
