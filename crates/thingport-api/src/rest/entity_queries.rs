//! Questions about many entities at once (REST API 17.3).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use thingport_model::attribute::Scope;
use thingport_model::page::Page;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::entity_query::{EntityDataBody, FoundKeysBody, QueryInput};
use crate::dto::page::PageBody;
use crate::error::Refusal;
use crate::extract::{Body, Params};
use crate::route::{Route, optional};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/entitiesQuery/find", find)
            .about("A page of the entities that fit, with fields, latest readings and attributes.")
            .body::<QueryInput>()
            .answer_page::<EntityDataBody>(),
        Route::post("/api/entitiesQuery/count", count)
            .about("How many entities fit.")
            .body::<QueryInput>()
            .answer_any(),
        Route::post("/api/entitiesQuery/find/keys", find_keys)
            .about("Names of readings and attributes that the entities of the page have.")
            .query(&[
                optional("timeseries", "Whether names of readings are wanted."),
                optional("attributes", "Whether names of attributes are wanted."),
                optional("scope", "Only attributes of this scope."),
            ])
            .body::<QueryInput>()
            .answer::<FoundKeysBody>(),
    ]
}

async fn find(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<QueryInput>,
) -> Result<Json<PageBody<EntityDataBody>>, Refusal> {
    let (query, queries) = (input.query()?, &api.node().queries);
    let found = queries.find(&caller, &query.filter, &query.conditions, &query.page).await?;
    let mut rows = Vec::with_capacity(found.rows.len());
    for subject in &found.rows {
        let values = queries.values(subject, &query.keys).await?;
        rows.push(EntityDataBody::with(subject, &query.keys, &values));
    }
    let page = Page { rows, total: found.total };
    Ok(Json(PageBody::of(page, &query.link(), |row| row)))
}

async fn count(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<QueryInput>,
) -> Result<Json<u64>, Refusal> {
    let (filter, conditions) = input.count()?;
    Ok(Json(api.node().queries.count(&caller, &filter, &conditions).await?))
}

async fn find_keys(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
    Body(input): Body<QueryInput>,
) -> Result<Json<FoundKeysBody>, Refusal> {
    let (query, queries) = (input.query()?, &api.node().queries);
    let scope = params.text("scope").map(|name| {
        let wrong = || Refusal::bad_request(format!("{name:?} is not a scope of attributes"));
        Scope::from_name(name).ok_or_else(wrong)
    });
    let scope = scope.transpose()?;
    let found = queries.find(&caller, &query.filter, &query.conditions, &query.page).await?.rows;
    let mut body =
        FoundKeysBody { timeseries: Vec::new(), attribute: Vec::new(), entity_types: Vec::new() };
    if params.flag("timeseries", false)? {
        body.timeseries = queries.series_keys(&found).await?;
    }
    if params.flag("attributes", false)? {
        body.attribute = queries.attribute_keys(&found, scope).await?;
    }
    let kinds: BTreeSet<_> = found.iter().map(|subject| subject.entity().kind).collect();
    body.entity_types = kinds.into_iter().map(|kind| kind.name()).collect();
    Ok(Json(body))
}
