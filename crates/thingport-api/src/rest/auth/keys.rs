//! API keys (REST API 2.4).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use thingport_core::registry::accounts::ApiKeyDraft;
use thingport_model::id::{ApiKeyId, EntityKind, UserId};
use thingport_model::time::Timestamp;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::{SignedIn, key};
use crate::dto::auth::{ApiKeyBody, ApiKeyInput, NewApiKeyBody};
use crate::dto::page::PageBody;
use crate::error::Refusal;
use crate::extract::{Body, Params, RawBody, Segments, flag_of};
use crate::route::{PAGED, Route, S_T_C};

pub(in crate::rest) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/apiKey", save_key)
            .about(
                "Make an API key of a user; its value is shown this once. Or change one by its id.",
            )
            .body::<ApiKeyInput>()
            .answer::<NewApiKeyBody>(),
        Route::get("/api/apiKeys/{userId}", keys)
            .about("A page of a user's API keys, without their values.")
            .query(PAGED)
            .answer_page::<ApiKeyBody>(),
        Route::put("/api/apiKey/{id}/description", describe)
            .about("Say anew what an API key is for.")
            .any_body()
            .answer::<ApiKeyBody>(),
        Route::put("/api/apiKey/{id}/enabled/{enabled}", enable)
            .about("Let an API key work or not; a disabled one opens nothing from then on.")
            .answer::<ApiKeyBody>(),
        Route::delete("/api/apiKey/{id}", delete_key)
            .about("Delete an API key; it opens nothing from then on."),
    ]
    .into_iter()
    .map(|route| route.who(S_T_C))
    .collect()
}

async fn save_key(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<ApiKeyInput>,
) -> Result<Json<NewApiKeyBody>, Refusal> {
    let registry = &api.node().registry;
    let draft = draft(&input)?;
    if let Some(id) = &input.id {
        let change = |stored: &mut ApiKeyDraft| stored.clone_from(&draft);
        let saved = registry.change_api_key(&caller, id.api_key()?, change).await?;
        api.ended.ring();
        return Ok(Json(NewApiKeyBody { key: ApiKeyBody::of(&saved, api.now()), value: None }));
    }
    let user = match &input.user_id {
        Some(id) => UserId(id.of(EntityKind::User)?),
        None => caller.user_id,
    };
    let value = key::fresh(&*api.node().entropy);
    let saved = registry.create_api_key(&caller, user, draft, key::hash(&value)).await?;
    Ok(Json(NewApiKeyBody { key: ApiKeyBody::of(&saved, api.now()), value: Some(value) }))
}

async fn keys(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(user): Segments<Uuid>,
    params: Params,
) -> Result<Json<PageBody<ApiKeyBody>>, Refusal> {
    let link = params.page()?;
    let page = api.node().registry.api_keys(&caller, UserId(user), link.clone()).await?;
    let now = api.now();
    Ok(Json(PageBody::of(page, &link, |key| ApiKeyBody::of(&key, now))))
}

async fn describe(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
    body: RawBody,
) -> Result<Json<ApiKeyBody>, Refusal> {
    let description = text_of(body.bytes())?;
    let change = |stored: &mut ApiKeyDraft| stored.description.clone_from(&description);
    let saved = api.node().registry.change_api_key(&caller, ApiKeyId(id), change).await?;
    Ok(Json(ApiKeyBody::of(&saved, api.now())))
}

async fn enable(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((id, enabled)): Segments<(Uuid, String)>,
) -> Result<Json<ApiKeyBody>, Refusal> {
    let enabled = flag_of("enabled", &enabled)?;
    let change = |stored: &mut ApiKeyDraft| stored.enabled = enabled;
    let saved = api.node().registry.change_api_key(&caller, ApiKeyId(id), change).await?;
    api.ended.ring();
    Ok(Json(ApiKeyBody::of(&saved, api.now())))
}

async fn delete_key(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<StatusCode, Refusal> {
    api.node().registry.delete_api_key(&caller, ApiKeyId(id)).await?;
    api.ended.ring();
    Ok(StatusCode::OK)
}

fn draft(input: &ApiKeyInput) -> Result<ApiKeyDraft, Refusal> {
    let expires_at = match input.expiration_time {
        None | Some(0) => None,
        Some(ms) if ms > 0 => Some(Timestamp(ms)),
        Some(_) => return Err(Refusal::bad_request("expirationTime must not be negative")),
    };
    Ok(ApiKeyDraft {
        description: input.description.clone().unwrap_or_default(),
        enabled: input.enabled.unwrap_or(true),
        expires_at,
    })
}

/// A JSON string, or bare text.
fn text_of(body: &[u8]) -> Result<String, Refusal> {
    if let Ok(text) = serde_json::from_slice::<String>(body) {
        return Ok(text);
    }
    let text = std::str::from_utf8(body);
    text.map(str::to_owned).map_err(|_| Refusal::bad_request("the description is not UTF-8"))
}
