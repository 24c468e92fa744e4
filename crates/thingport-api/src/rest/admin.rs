//! Settings of the installation (REST API 13 and 19).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use thingport_model::id::TenantId;
use utoipa::ToSchema;

use crate::api::Api;
use crate::auth::policy::SecuritySettings;
use crate::dto::id::EntityId;
use crate::dto::opaque::Opaque;
use crate::error::Refusal;
use crate::extract::{Body, Segments};
use crate::route::{Route, S};
use crate::settings::AdminKey;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/admin/settings/{key}", setting)
            .about("A setting of the installation: general or connectivity.")
            .answer::<SettingBody>(),
        Route::post("/api/admin/settings", save_setting)
            .about("Change a setting of the installation: general or connectivity.")
            .body::<SettingInput>()
            .answer::<SettingBody>(),
        Route::get("/api/admin/securitySettings", security)
            .about("Password policy, locking of accounts, life of links.")
            .answer::<SecuritySettings>(),
        Route::post("/api/admin/securitySettings", save_security)
            .about("Change password policy, locking of accounts, life of links.")
            .body::<SecuritySettings>()
            .answer::<SecuritySettings>(),
    ]
    .into_iter()
    .map(|route| route.who(S))
    .collect()
}

/// A setting of the installation.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AdminSettings)]
#[serde(rename_all = "camelCase")]
struct SettingBody {
    id: EntityId,
    created_time: i64,
    tenant_id: EntityId,
    #[schema(value_type = String)]
    key: &'static str,
    json_value: Opaque,
}

/// A setting to be changed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SettingInput {
    key: String,
    json_value: Opaque,
}

async fn setting(
    State(api): State<Arc<Api>>,
    Segments(key): Segments<String>,
) -> Result<Json<SettingBody>, Refusal> {
    show(&api, known(&key)?).await
}

async fn save_setting(
    State(api): State<Arc<Api>>,
    Body(input): Body<SettingInput>,
) -> Result<Json<SettingBody>, Refusal> {
    let key = known(&input.key)?;
    api.put_admin_setting(key, input.json_value.text()).await?;
    show(&api, key).await
}

async fn security(State(api): State<Arc<Api>>) -> Result<Json<SecuritySettings>, Refusal> {
    Ok(Json(SecuritySettings::clone(&*api.security().await?)))
}

async fn save_security(
    State(api): State<Arc<Api>>,
    Body(input): Body<SecuritySettings>,
) -> Result<Json<SecuritySettings>, Refusal> {
    api.put_security(input).await?;
    security(State(api)).await
}

fn known(key: &str) -> Result<AdminKey, Refusal> {
    AdminKey::from_name(key).ok_or_else(|| {
        Refusal::not_found(format!(
            "there is no setting {key:?} here; general and connectivity are"
        ))
    })
}

async fn show(api: &Api, key: AdminKey) -> Result<Json<SettingBody>, Refusal> {
    let json_value = api.admin_setting(key).await?;
    Ok(Json(SettingBody {
        // Settings are known by their key; the id stands there because clients expect one.
        id: EntityId::setting(key.id()),
        created_time: 0,
        tenant_id: TenantId::SYSTEM.entity().into(),
        key: key.name(),
        json_value: Opaque::from(json_value),
    }))
}
