//! What a person needs to connect a device (REST API section 13).

mod commands;
mod places;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use thingport_core::error::Error;
use thingport_model::id::DeviceId;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::error::Refusal;
use crate::extract::Segments;
use crate::route::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/device-connectivity/{deviceId}", device_commands)
            .about("Commands to try whether the device can connect, for each protocol offered.")
            .answer_any(),
        Route::get("/api/device-connectivity/{protocol}/certificate/download", ca_file)
            .who(Who::Public)
            .about("The CA certificate that devices need to trust this server, as PEM.")
            .answer_text(),
    ]
}

async fn device_commands(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let registry = &api.node().registry;
    let (profile, credentials) = registry.connectivity(&caller, DeviceId(id)).await?;
    let stored = registry.setting(CONNECTIVITY_SETTING).await.map_err(Error::from)?;
    let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let places = places::places(stored.as_deref(), &api.config().listeners, asked);
    Ok(Json(commands::commands(&profile, &credentials, &places)))
}

/// The CA file; public, as everything in a certificate is.
async fn ca_file(
    State(api): State<Arc<Api>>,
    Path(protocol): Path<String>,
) -> Result<Response, Refusal> {
    if protocol != "mqtts" {
        return Err(Refusal::not_found("there is a certificate for mqtts only"));
    }
    let pem = api.ca_pem().ok_or_else(|| Refusal::not_found(NONE))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment;filename=ca-root.pem")),
        (HeaderName::from_static("x-filename"), HeaderValue::from_static("ca-root.pem")),
    ];
    Ok((headers, pem.to_string()).into_response())
}

/// The key under which the administrator's setting is kept.
pub(crate) const CONNECTIVITY_SETTING: &str = "admin.connectivity";

const NONE: &str = "there is no CA certificate to download: TLS is off, or a public CA issued the \
                    server certificate; the operator may name one in tls.ca";

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use crate::config::{ApiConfig, Listeners};
    use crate::fake::World;

    #[tokio::test]
    async fn a_device_is_shown_commands_for_the_host_that_was_asked() {
        let listeners = Listeners { mqtt: Some(1883), ..Listeners::default() };
        let world = World::with(ApiConfig { listeners, ..ApiConfig::default() }).await;
        let token = world.tenant().await;
        let device = "/api/tenant/devices?deviceName=Test%20Device%20A1";
        let device = world.get(device, &token).await.json();
        let id = device["id"]["id"].as_str().expect("an id");
        let all = world.get(&format!("/api/device-connectivity/{id}"), &token).await.json();
        let line = all["mqtt"]["mqtt"].as_str().expect("a line");
        assert!(line.contains("-h localhost") && line.contains("A1_TEST_TOKEN"), "{line}");
        assert!(all["http"].is_null(), "nobody listens there: {all}");
    }

    #[tokio::test]
    async fn everybody_may_download_the_ca_as_the_dialog_expects_it() {
        let world = World::new().await;
        let path = |protocol| format!("/api/device-connectivity/{protocol}/certificate/download");
        let answer = world.get(&path("mqtts"), "").await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "the CA"));
        for (name, value) in [
            ("content-type", "application/octet-stream"),
            ("content-disposition", "attachment;filename=ca-root.pem"),
            ("x-filename", "ca-root.pem"),
        ] {
            assert_eq!(answer.headers[name], value, "{name}");
        }
        for other in ["coaps", "mqtt"] {
            assert_eq!(world.get(&path(other), "").await.refusal(), (404, 32), "{other}");
        }
    }
}
