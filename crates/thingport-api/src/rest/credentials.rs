//! Device credentials (REST API section 9).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use thingport_core::registry::credentials::{CredentialsDraft, Secret};
use thingport_model::credentials::CredentialsType;
use thingport_model::id::{DeviceId, EntityKind};
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::credentials::{BasicInput, CredentialsBody, CredentialsInput};
use crate::error::Refusal;
use crate::extract::{Body, Segments};
use crate::route::{Route, T};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/device/{deviceId}/credentials", credentials)
            .about("What the device proves itself with.")
            .answer::<CredentialsBody>(),
        Route::post("/api/device/credentials", save_credentials)
            .who(T)
            .about("Change what the device proves itself with; sessions using the old ones end.")
            .body::<CredentialsInput>()
            .answer::<CredentialsBody>(),
    ]
}

async fn credentials(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(device): Segments<Uuid>,
) -> Result<Json<CredentialsBody>, Refusal> {
    let found = api.node().registry.credentials(&caller, DeviceId(device)).await?;
    Ok(Json(found.into()))
}

async fn save_credentials(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<CredentialsInput>,
) -> Result<Json<CredentialsBody>, Refusal> {
    let device = input.device_id.as_ref();
    let device = device.ok_or_else(|| Refusal::bad_request("deviceId is missing"))?;
    let device = DeviceId(device.of(EntityKind::Device)?);
    let draft = draft(input)?;
    let saved = api.node().registry.save_credentials(&caller, device, &draft).await?;
    Ok(Json(saved.into()))
}

/// What the registry is asked to save.
pub(super) fn draft(input: CredentialsInput) -> Result<CredentialsDraft, Refusal> {
    Ok(CredentialsDraft {
        id: input.id.as_ref().map(crate::dto::id::BareId::credentials),
        version: input.version,
        secret: secret(input)?,
    })
}

fn secret(input: CredentialsInput) -> Result<Secret, Refusal> {
    let kind = input.credentials_type;
    let kind = kind.ok_or_else(|| Refusal::bad_request("credentialsType is missing"))?;
    let id = input.credentials_id.unwrap_or_default();
    let value = input.credentials_value;
    match CredentialsType::from_name(&kind) {
        Some(CredentialsType::AccessToken) => Ok(Secret::AccessToken(id)),
        Some(CredentialsType::MqttBasic) => basic(&value.unwrap_or_default()),
        Some(CredentialsType::X509Certificate) => {
            Ok(Secret::X509Certificate(value.unwrap_or_default()))
        }
        Some(CredentialsType::Lwm2m) => {
            let value = value.unwrap_or_else(|| "{}".to_owned());
            Ok(Secret::Lwm2m { credentials_id: id, value })
        }
        None => Err(Refusal::bad_request(format!("{kind:?} is not a type of credentials"))),
    }
}

/// `credentialsValue` of `MQTT_BASIC` is a JSON text (C-5).
fn basic(value: &str) -> Result<Secret, Refusal> {
    let input: BasicInput = serde_json::from_str(value).map_err(|_| {
        Refusal::bad_request(
            "credentialsValue must be a JSON text with clientId, userName and password",
        )
    })?;
    Ok(Secret::MqttBasic {
        client_id: input.client_id,
        user_name: input.user_name,
        password: input.password,
    })
}
