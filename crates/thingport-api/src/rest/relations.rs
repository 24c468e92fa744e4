//! Relations between entities (REST API 18.1).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use thingport_core::access::Caller;
use thingport_model::id::DeviceId;
use thingport_model::relation::{Relation, RelationEnd, RelationFilter, RelationKey};

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::device::DeviceBody;
use crate::dto::id::parse_entity;
use crate::dto::relation::{
    DeviceSearchInput, NamedRelationBody, RelationBody, RelationInput, WalkInput, group,
};
use crate::error::Refusal;
use crate::extract::{Body, Params, Segments};
use crate::route::{Query, Route, optional, required};

pub(super) fn routes() -> Vec<Route> {
    let mut routes = one();
    routes.extend(of_entity());
    routes.extend(walks());
    routes
}

fn one() -> Vec<Route> {
    vec![
        Route::get("/api/relation", relation)
            .about("One relation.")
            .query(KEY)
            .answer::<RelationBody>(),
        Route::post("/api/relation", save_silently)
            .about("Save a relation.")
            .body::<RelationInput>(),
        Route::post("/api/v2/relation", save)
            .about("Save a relation; the answer is what was saved.")
            .body::<RelationInput>()
            .answer::<RelationBody>(),
        Route::delete("/api/relation", delete_silently).about("Delete a relation.").query(KEY),
        Route::delete("/api/v2/relation", delete)
            .about("Delete a relation; the answer is what it was.")
            .query(KEY)
            .answer::<RelationBody>(),
        Route::delete("/api/relations", delete_all)
            .about("Delete all relations of the common group that begin or end at an entity.")
            .query(&[required("entityId", "Its id."), required("entityType", "Its kind.")]),
    ]
}

fn of_entity() -> Vec<Route> {
    let by_query = |route: Route| route.query(ENDS).about(OF_ENTITY);
    let by_path = |route: Route| route.query(&[TYPE, GROUP]).about(OF_ENTITY);
    let by_type = |route: Route| route.query(&[GROUP]).about(OF_ENTITY);
    let lists = [
        by_query(Route::get("/api/relations", list)),
        by_path(Route::get("/api/relations/from/{entityType}/{entityId}", list_from)),
        by_path(Route::get("/api/relations/to/{entityType}/{entityId}", list_to)),
        by_type(Route::get(
            "/api/relations/from/{entityType}/{entityId}/{relationType}",
            list_from_of_type,
        )),
        by_type(Route::get(
            "/api/relations/to/{entityType}/{entityId}/{relationType}",
            list_to_of_type,
        )),
    ];
    let named = [
        by_query(Route::get("/api/relations/info", named_list)),
        by_path(Route::get("/api/relations/info/from/{entityType}/{entityId}", named_list_from)),
        by_path(Route::get("/api/relations/info/to/{entityType}/{entityId}", named_list_to)),
    ];
    let lists = lists.into_iter().map(|route| route.answer_list::<RelationBody>());
    lists.chain(named.into_iter().map(|route| route.answer_list::<NamedRelationBody>())).collect()
}

fn walks() -> Vec<Route> {
    vec![
        Route::post("/api/relations", walked)
            .about("Relations found by following them from an entity, level by level.")
            .body::<WalkInput>()
            .answer_list::<RelationBody>(),
        Route::post("/api/relations/info", named_walked)
            .about("The same with the names of both ends.")
            .body::<WalkInput>()
            .answer_list::<NamedRelationBody>(),
        Route::post("/api/devices", devices)
            .about(
                "Devices found by following relations; those the caller may not see are left out.",
            )
            .body::<DeviceSearchInput>()
            .answer_list::<DeviceBody>(),
    ]
}

type Found = Result<Json<Vec<RelationBody>>, Refusal>;
type NamedFound = Result<Json<Vec<NamedRelationBody>>, Refusal>;
type Entity = Segments<(String, String)>;
type EntityAndType = Segments<(String, String, String)>;

async fn relation(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<RelationBody>, Refusal> {
    Ok(Json(api.node().registry.relation(&caller, key(&params)?).await?.into()))
}

async fn save_silently(
    state: State<Arc<Api>>,
    who: SignedIn,
    body: Body<RelationInput>,
) -> Result<(), Refusal> {
    save(state, who, body).await.map(drop)
}

async fn save(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<RelationInput>,
) -> Result<Json<RelationBody>, Refusal> {
    Ok(Json(api.node().registry.save_relation(&caller, input.draft()?).await?.into()))
}

async fn delete_silently(
    state: State<Arc<Api>>,
    who: SignedIn,
    params: Params,
) -> Result<(), Refusal> {
    delete(state, who, params).await.map(drop)
}

async fn delete(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<RelationBody>, Refusal> {
    Ok(Json(api.node().registry.delete_relation(&caller, key(&params)?).await?.into()))
}

async fn delete_all(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<(), Refusal> {
    let entity = parse_entity(params.required("entityType")?, params.required("entityId")?)?;
    Ok(api.node().registry.delete_relations(&caller, entity).await?)
}

async fn list(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Found {
    Ok(plain(api.node().registry.relations(&caller, by_query(&params)?).await?))
}

async fn list_from(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id)): Entity,
    params: Params,
) -> Found {
    let filter = filter((&kind, &id), RelationEnd::From, &params)?;
    Ok(plain(api.node().registry.relations(&caller, filter).await?))
}

async fn list_to(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id)): Entity,
    params: Params,
) -> Found {
    let filter = filter((&kind, &id), RelationEnd::To, &params)?;
    Ok(plain(api.node().registry.relations(&caller, filter).await?))
}

async fn list_from_of_type(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id, name)): EntityAndType,
    params: Params,
) -> Found {
    let filter = filter((&kind, &id), RelationEnd::From, &params)?;
    let filter = RelationFilter { name: Some(name), ..filter };
    Ok(plain(api.node().registry.relations(&caller, filter).await?))
}

async fn list_to_of_type(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id, name)): EntityAndType,
    params: Params,
) -> Found {
    let filter = filter((&kind, &id), RelationEnd::To, &params)?;
    let filter = RelationFilter { name: Some(name), ..filter };
    Ok(plain(api.node().registry.relations(&caller, filter).await?))
}

async fn named_list(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> NamedFound {
    named_list_of(&api, &caller, by_query(&params)?).await
}

async fn named_list_from(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id)): Entity,
    params: Params,
) -> NamedFound {
    named_list_of(&api, &caller, filter((&kind, &id), RelationEnd::From, &params)?).await
}

async fn named_list_to(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, id)): Entity,
    params: Params,
) -> NamedFound {
    named_list_of(&api, &caller, filter((&kind, &id), RelationEnd::To, &params)?).await
}

async fn walked(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<WalkInput>,
) -> Found {
    Ok(plain(api.node().registry.relations_walked(&caller, &input.walk()?).await?))
}

async fn named_walked(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<WalkInput>,
) -> NamedFound {
    let found = api.node().registry.relations_walked(&caller, &input.walk()?).await?;
    named(&api, found).await
}

async fn devices(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<DeviceSearchInput>,
) -> Result<Json<Vec<DeviceBody>>, Refusal> {
    let ((walk, profiles), registry) = (input.walk()?, &api.node().registry);
    let found = registry.relations_walked(&caller, &walk).await?;
    let far = found.iter().map(|relation| DeviceId(relation.key.end(walk.end.other()).id));
    let mut devices = registry.devices_by_ids(&caller, far.collect()).await?;
    devices.retain(|device| profiles.is_empty() || profiles.contains(&device.profile_name));
    Ok(Json(devices.into_iter().map(DeviceBody::from).collect()))
}

async fn named_list_of(api: &Api, caller: &Caller, filter: RelationFilter) -> NamedFound {
    named(api, api.node().registry.relations(caller, filter).await?).await
}

async fn named(api: &Api, found: Vec<Relation>) -> NamedFound {
    let names = api.node().registry.names_of_ends(&found).await?;
    let name = |entity| names.get(&entity).cloned();
    Ok(Json(found.into_iter().map(|it| NamedRelationBody::of(it, name)).collect()))
}

fn plain(found: Vec<Relation>) -> Json<Vec<RelationBody>> {
    Json(found.into_iter().map(RelationBody::from).collect())
}

/// One relation, named by both of its ends.
fn key(params: &Params) -> Result<RelationKey, Refusal> {
    let end = |kind, id| parse_entity(params.required(kind)?, params.required(id)?);
    Ok(RelationKey {
        from: end("fromType", "fromId")?,
        group: group(params.text("relationTypeGroup"))?,
        name: params.required("relationType")?.to_owned(),
        to: end("toType", "toId")?,
    })
}

/// Relations of the entity at the end that the query names.
fn by_query(params: &Params) -> Result<RelationFilter, Refusal> {
    let (end, kind, id) = if params.has("fromId") {
        (RelationEnd::From, "fromType", "fromId")
    } else {
        (RelationEnd::To, "toType", "toId")
    };
    let missing = |_| Refusal::bad_request("fromId and fromType, or toId and toType, are required");
    let entity = (params.required(kind).map_err(missing)?, params.required(id).map_err(missing)?);
    filter(entity, end, params)
}

fn filter(
    (kind, id): (&str, &str),
    end: RelationEnd,
    params: &Params,
) -> Result<RelationFilter, Refusal> {
    Ok(RelationFilter {
        entity: parse_entity(kind, id)?,
        end,
        group: group(params.text("relationTypeGroup"))?,
        name: params.text("relationType").map(str::to_owned),
    })
}

const OF_ENTITY: &str = "Relations that begin or end at an entity; those whose other end the \
                         caller may not see are left out.";
const TYPE: Query = optional("relationType", "Only relations of this type.");
const GROUP: Query = optional("relationTypeGroup", "COMMON if absent.");
const KEY: &[Query] = &[
    required("fromId", "Where it begins."),
    required("fromType", "Kind of the entity where it begins."),
    required("relationType", "Its type."),
    required("toId", "Where it leads."),
    required("toType", "Kind of the entity where it leads."),
    GROUP,
];
const ENDS: &[Query] = &[
    optional("fromId", "Relations that begin here."),
    optional("fromType", "Kind of that entity."),
    optional("toId", "Or relations that end here."),
    optional("toType", "Kind of that entity."),
    TYPE,
    GROUP,
];
