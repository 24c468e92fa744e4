//! Tenants (REST API 4.1).

pub(super) mod profiles;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use thingport_core::access::Caller;
use thingport_core::registry::accounts::TenantDraft;
use thingport_model::id::{EntityKind, TenantId, TenantProfileId};
use thingport_model::tenant::Tenant;
use uuid::Uuid;

use super::found_only;
use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::id::optional_id;
use crate::dto::opaque;
use crate::dto::page::PageBody;
use crate::dto::tenant::{TenantBody, TenantInput, TenantOverviewBody};
use crate::error::Refusal;
use crate::extract::{Body, Params, Segments};
use crate::route::{
    ORDER, PAGE, PAGE_SIZE, PAGED, Query, Route, S, S_T, SEARCH, SORT, optional, required,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/tenant/{tenantId}", tenant)
            .who(S_T)
            .about("One tenant.")
            .answer::<TenantBody>(),
        Route::get("/api/tenant/info/{tenantId}", tenant_overview)
            .who(S_T)
            .about("One tenant with the name of its profile.")
            .answer::<TenantOverviewBody>(),
        Route::post("/api/tenant", save_tenant)
            .who(S)
            .about("Create or change a tenant; a new one gets a default device profile.")
            .body::<TenantInput>()
            .answer::<TenantBody>(),
        Route::delete("/api/tenant/{tenantId}", delete_tenant)
            .who(S)
            .about("Delete a tenant with everything it has."),
        Route::get("/api/tenants", tenants)
            .who(S_T)
            .about("A page of tenants; or, with tenantIds, the tenants with these ids.")
            .query(TENANTS)
            .answer_page::<TenantBody>(),
        Route::get("/api/tenants/list", tenants_by_ids)
            .who(S_T)
            .about("The tenants with these ids; unknown and foreign ones are left out.")
            .query(&[required("tenantIds", "Comma list of ids.")])
            .answer_list::<TenantBody>(),
        Route::get("/api/tenantInfos", tenant_overviews)
            .who(S)
            .about("A page of tenants with the names of their profiles.")
            .query(PAGED)
            .answer_page::<TenantOverviewBody>(),
    ]
}

async fn tenant(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<TenantBody>, Refusal> {
    Ok(Json(api.node().registry.tenant(&caller, TenantId(id)).await?.into()))
}

async fn tenant_overview(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<TenantOverviewBody>, Refusal> {
    let tenant = api.node().registry.tenant(&caller, TenantId(id)).await?;
    overview(&api, &caller, tenant).await.map(Json)
}

async fn save_tenant(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<TenantInput>,
) -> Result<Json<TenantBody>, Refusal> {
    let profile = input.tenant_profile_id.as_ref();
    let draft = TenantDraft {
        id: optional_id(input.id.as_ref(), EntityKind::Tenant, TenantId)?,
        version: input.version,
        title: input.title.unwrap_or_default(),
        tenant_profile_id: optional_id(profile, EntityKind::TenantProfile, TenantProfileId)?,
        address: input.address.into(),
        additional_info: opaque::object(input.additional_info)?,
    };
    let saved = api.node().registry.save_tenant(&caller, draft).await?;
    api.rules.forget_all();
    Ok(Json(saved.into()))
}

async fn delete_tenant(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<StatusCode, Refusal> {
    api.node().registry.delete_tenant(&caller, TenantId(id)).await?;
    api.rules.forget_all();
    api.ended.ring();
    Ok(StatusCode::OK)
}

async fn tenants(
    State(api): State<Arc<Api>>,
    signed_in: SignedIn,
    params: Params,
) -> Result<Response, Refusal> {
    if params.has("tenantIds") {
        return Ok(tenants_by_ids(State(api), signed_in, params).await?.into_response());
    }
    let link = params.page()?;
    let page = api.node().registry.tenants(&signed_in.caller, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, TenantBody::from)).into_response())
}

async fn tenants_by_ids(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<Vec<TenantBody>>, Refusal> {
    let mut tenants = Vec::new();
    for id in params.ids("tenantIds")? {
        tenants.extend(found_only(api.node().registry.tenant(&caller, TenantId(id)).await)?);
    }
    Ok(Json(tenants.into_iter().map(TenantBody::from).collect()))
}

async fn tenant_overviews(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<PageBody<TenantOverviewBody>>, Refusal> {
    let link = params.page()?;
    let mut page = api.node().registry.tenants(&caller, link.clone()).await?;
    let mut rows = Vec::with_capacity(page.rows.len());
    for tenant in page.rows.drain(..) {
        rows.push(overview(&api, &caller, tenant).await?);
    }
    let page = thingport_model::page::Page { rows, total: page.total };
    Ok(Json(PageBody::of(page, &link, |row| row)))
}

async fn overview(
    api: &Api,
    caller: &Caller,
    tenant: Tenant,
) -> Result<TenantOverviewBody, Refusal> {
    let name = api.node().registry.tenant_profile_name(caller, tenant.id).await?;
    Ok(TenantOverviewBody::of(tenant, Some(name)))
}

const TENANTS: &[Query] = &[
    PAGE_SIZE,
    PAGE,
    SEARCH,
    SORT,
    ORDER,
    optional("tenantIds", "Comma list of ids; then the answer is a list."),
];
