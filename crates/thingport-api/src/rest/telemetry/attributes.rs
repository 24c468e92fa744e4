//! Attributes of the telemetry plugin (REST API 14.1, 14.2). Errors are plain text (1.7).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use thingport_core::access::Caller;
use thingport_model::attribute::{Attribute, Scope};
use thingport_model::id::{DeviceId, EntityRef};
use thingport_model::port::ledger::Keys;

use super::check_keys;
use crate::api::{Api, BodyKind};
use crate::auth::SignedIn;
use crate::dto::id::{parse_entity, parse_id};
use crate::dto::telemetry::AttributeBody;
use crate::error::{Plain, Refusal};
use crate::extract::{Params, RawBody, Segments};
use crate::route::{Query, Route, optional, required};

pub(in crate::rest) fn routes() -> Vec<Route> {
    let mut routes = reading();
    routes.extend(writing());
    routes
}

fn reading() -> Vec<Route> {
    vec![
        Route::get(KEYS_PATH, keys).about("Keys of attributes of all scopes.").answer_names(),
        Route::get(SCOPE_KEYS_PATH, scope_keys)
            .about("Keys of attributes of one scope.")
            .answer_names(),
        Route::get(VALUES_PATH, values)
            .about("Attributes of all scopes, sorted by key.")
            .query(KEYS)
            .answer_list::<AttributeBody>(),
        Route::get(SCOPE_VALUES_PATH, scope_values)
            .about("Attributes of one scope, sorted by key.")
            .query(KEYS)
            .answer_list::<AttributeBody>(),
    ]
}

fn writing() -> Vec<Route> {
    let write = |path| Route::post(path, write).about(WRITE).any_body();
    vec![
        Route::post(DEVICE_PATH, write_device).about(WRITE).any_body(),
        write(ENTITY_PATH),
        write(NEWER_PATH),
        Route::delete(DEVICE_PATH, delete_device).about(DELETE).query(DELETED),
        Route::delete(ENTITY_PATH, delete).about(DELETE).query(DELETED),
    ]
}

type Entity = Segments<(String, String)>;
type Scoped = Segments<(String, String, String)>;

async fn keys(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id)): Entity,
) -> Result<Json<BTreeSet<String>>, Plain> {
    let entity = parse_entity(&kind, &id)?;
    let found = read(&api, &caller, entity, &Scope::ALL, Keys::All).await?;
    Ok(Json(found.into_iter().map(|attribute| attribute.key).collect()))
}

async fn scope_keys(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id, scope)): Scoped,
) -> Result<Json<Vec<String>>, Plain> {
    let (entity, scope) = (parse_entity(&kind, &id)?, parse_scope(&scope)?);
    let found = read(&api, &caller, entity, &[scope], Keys::All).await?;
    Ok(Json(found.into_iter().map(|attribute| attribute.key).collect()))
}

async fn values(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id)): Entity,
    params: Params,
) -> Result<Json<Vec<AttributeBody>>, Plain> {
    let entity = parse_entity(&kind, &id)?;
    let found = read(&api, &caller, entity, &Scope::ALL, wanted(&params)).await?;
    Ok(Json(found.into_iter().map(AttributeBody::from).collect()))
}

async fn scope_values(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id, scope)): Scoped,
    params: Params,
) -> Result<Json<Vec<AttributeBody>>, Plain> {
    let (entity, scope) = (parse_entity(&kind, &id)?, parse_scope(&scope)?);
    let found = read(&api, &caller, entity, &[scope], wanted(&params)).await?;
    Ok(Json(found.into_iter().map(AttributeBody::from).collect()))
}

async fn write_device(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((id, scope)): Entity,
    body: RawBody,
) -> Result<StatusCode, Plain> {
    store(&api, &caller, DeviceId(parse_id(&id)?).entity(), &scope, &body).await
}

async fn write(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id, scope)): Scoped,
    body: RawBody,
) -> Result<StatusCode, Plain> {
    store(&api, &caller, parse_entity(&kind, &id)?, &scope, &body).await
}

async fn delete_device(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((id, scope)): Entity,
    params: Params,
) -> Result<StatusCode, Plain> {
    remove(&api, &caller, DeviceId(parse_id(&id)?).entity(), &scope, &params).await
}

async fn delete(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id, scope)): Scoped,
    params: Params,
) -> Result<StatusCode, Plain> {
    remove(&api, &caller, parse_entity(&kind, &id)?, &scope, &params).await
}

/// Attributes of some scopes, sorted by key (T-1).
async fn read(
    api: &Api,
    caller: &Caller,
    entity: EntityRef,
    scopes: &[Scope],
    keys: Keys,
) -> Result<Vec<Attribute>, Refusal> {
    let mut all = Vec::new();
    for scope in scopes {
        all.extend(api.node().attributes.read(caller, entity, *scope, keys.clone()).await?);
    }
    all.sort_by(|left, right| left.key.cmp(&right.key));
    Ok(all)
}

async fn store(
    api: &Api,
    caller: &Caller,
    entity: EntityRef,
    scope: &str,
    body: &RawBody,
) -> Result<StatusCode, Plain> {
    let scope = parse_scope(scope)?;
    let attributes = api.decode(body.bytes(), BodyKind::Attributes)?;
    check_keys(&attributes)?;
    api.node().attributes.write(caller, entity, scope, &attributes).await?;
    Ok(StatusCode::OK)
}

async fn remove(
    api: &Api,
    caller: &Caller,
    entity: EntityRef,
    scope: &str,
    params: &Params,
) -> Result<StatusCode, Plain> {
    let scope = parse_scope(scope)?;
    let keys = params.keys();
    if keys.is_empty() {
        return Err(Refusal::bad_request("the query parameter keys is required").into());
    }
    api.node().attributes.delete(caller, entity, scope, &keys).await?;
    Ok(StatusCode::OK)
}

fn wanted(params: &Params) -> Keys {
    let keys = params.keys();
    if keys.is_empty() { Keys::All } else { Keys::Named(keys) }
}

fn parse_scope(name: &str) -> Result<Scope, Refusal> {
    Scope::from_name(name).ok_or_else(|| {
        Refusal::bad_request(format!(
            "{name:?} is not a scope; CLIENT_SCOPE, SHARED_SCOPE and SERVER_SCOPE are"
        ))
    })
}

const WRITE: &str = "Set attributes of SERVER_SCOPE or SHARED_SCOPE; answered when durable.";
const DELETE: &str = "Delete attributes; unknown keys are no error.";
const KEYS_PATH: &str = "/api/plugins/telemetry/{entityType}/{entityId}/keys/attributes";
const SCOPE_KEYS_PATH: &str =
    "/api/plugins/telemetry/{entityType}/{entityId}/keys/attributes/{scope}";
const VALUES_PATH: &str = "/api/plugins/telemetry/{entityType}/{entityId}/values/attributes";
const SCOPE_VALUES_PATH: &str =
    "/api/plugins/telemetry/{entityType}/{entityId}/values/attributes/{scope}";
const DEVICE_PATH: &str = "/api/plugins/telemetry/{deviceId}/{scope}";
const ENTITY_PATH: &str = "/api/plugins/telemetry/{entityType}/{entityId}/{scope}";
const NEWER_PATH: &str = "/api/plugins/telemetry/{entityType}/{entityId}/attributes/{scope}";
const KEYS: &[Query] =
    &[optional("keys", "Comma list of keys; for keys with a comma repeat the parameter key.")];
const DELETED: &[Query] = &[required("keys", "Comma list of keys.")];
