//! Customers (REST API section 6).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use thingport_core::registry::accounts::CustomerDraft;
use thingport_model::id::{CustomerId, EntityKind};
use uuid::Uuid;

use super::devices::{NAME_CONFLICT, name_policy};
use super::found_only;
use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::account::{CustomerBody, CustomerInput, CustomerOverviewBody, CustomerTitleBody};
use crate::dto::id::optional_id;
use crate::dto::opaque;
use crate::dto::page::PageBody;
use crate::error::Refusal;
use crate::extract::{Body, Params, Segments};
use crate::route::{ORDER, PAGE, PAGE_SIZE, Query, Route, SEARCH, SORT, T, optional, required};

pub(super) fn routes() -> Vec<Route> {
    let mut routes = one_customer();
    routes.extend(lists());
    routes
}

fn one_customer() -> Vec<Route> {
    vec![
        Route::get("/api/customer/{customerId}", customer)
            .about("One customer.")
            .answer::<CustomerBody>(),
        Route::get("/api/customer/info/{customerId}", customer_overview)
            .about("One customer, as newer clients ask for it.")
            .answer::<CustomerOverviewBody>(),
        Route::get("/api/customer/{customerId}/shortInfo", customer_title)
            .about("Title of a customer and whether it is the public one.")
            .answer::<CustomerTitleBody>(),
        Route::get("/api/customer/{customerId}/title", customer_title_text)
            .about("Title of a customer.")
            .answer_text(),
        Route::post("/api/customer", save_customer)
            .who(T)
            .about("Create or change a customer.")
            .query(NAME_CONFLICT)
            .body::<CustomerInput>()
            .answer::<CustomerBody>(),
        Route::delete("/api/customer/{customerId}", delete_customer)
            .who(T)
            .about("Delete a customer and its users; its devices become unassigned."),
    ]
}

fn lists() -> Vec<Route> {
    vec![
        Route::get("/api/customers", customers)
            .who(T)
            .about("A page of customers; or, with customerIds, the customers with these ids.")
            .query(CUSTOMERS)
            .answer_page::<CustomerBody>(),
        Route::get("/api/customers/list", customers_by_ids)
            .who(T)
            .about("The customers with these ids; unknown and foreign ones are left out.")
            .query(&[required("customerIds", "Comma list of ids.")])
            .answer_list::<CustomerBody>(),
        Route::get("/api/tenant/customers", customer_by_title)
            .who(T)
            .about("The customer with this title.")
            .query(&[required("customerTitle", "Its title.")])
            .answer::<CustomerBody>(),
    ]
}

async fn customer(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<CustomerBody>, Refusal> {
    Ok(Json(api.node().registry.customer(&caller, CustomerId(id)).await?.into()))
}

async fn customer_overview(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<CustomerOverviewBody>, Refusal> {
    Ok(Json(api.node().registry.customer(&caller, CustomerId(id)).await?.into()))
}

async fn customer_title(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<CustomerTitleBody>, Refusal> {
    let customer = api.node().registry.customer(&caller, CustomerId(id)).await?;
    Ok(Json(CustomerTitleBody { title: customer.title, is_public: customer.is_public }))
}

async fn customer_title_text(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<String, Refusal> {
    Ok(api.node().registry.customer(&caller, CustomerId(id)).await?.title)
}

async fn save_customer(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
    Body(input): Body<CustomerInput>,
) -> Result<Json<CustomerBody>, Refusal> {
    let draft = CustomerDraft {
        id: optional_id(input.id.as_ref(), EntityKind::Customer, CustomerId)?,
        version: input.version,
        title: input.title.unwrap_or_default(),
        address: input.address.into(),
        additional_info: opaque::object(input.additional_info)?,
        on_conflict: name_policy(&params)?,
    };
    Ok(Json(api.node().registry.save_customer(&caller, draft).await?.into()))
}

async fn delete_customer(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<StatusCode, Refusal> {
    api.node().registry.delete_customer(&caller, CustomerId(id)).await?;
    api.ended.ring();
    Ok(StatusCode::OK)
}

async fn customers(
    State(api): State<Arc<Api>>,
    signed_in: SignedIn,
    params: Params,
) -> Result<Response, Refusal> {
    if params.has("customerIds") {
        return Ok(customers_by_ids(State(api), signed_in, params).await?.into_response());
    }
    let link = params.page()?;
    let page = api.node().registry.customers(&signed_in.caller, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, CustomerBody::from)).into_response())
}

async fn customers_by_ids(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<Vec<CustomerBody>>, Refusal> {
    let mut customers = Vec::new();
    for id in params.ids("customerIds")? {
        customers.extend(found_only(api.node().registry.customer(&caller, CustomerId(id)).await)?);
    }
    Ok(Json(customers.into_iter().map(CustomerBody::from).collect()))
}

async fn customer_by_title(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<CustomerBody>, Refusal> {
    let title = params.required("customerTitle")?;
    Ok(Json(api.node().registry.customer_by_title(&caller, title).await?.into()))
}

const CUSTOMERS: &[Query] = &[
    PAGE_SIZE,
    PAGE,
    SEARCH,
    SORT,
    ORDER,
    optional("customerIds", "Comma list of ids; then the answer is a list."),
];
