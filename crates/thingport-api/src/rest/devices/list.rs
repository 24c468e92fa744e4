//! Lists of devices (REST API 8.2) and their aliases (18.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use thingport_core::access::Caller;
use thingport_core::registry::devices::DeviceChoice;
use thingport_model::id::{CustomerId, DeviceId, DeviceProfileId};
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::device::{DeviceBody, DeviceOverviewBody};
use crate::dto::id::parse_id;
use crate::dto::page::PageBody;
use crate::error::Refusal;
use crate::extract::{Params, Segments};
use crate::route::{ORDER, PAGE, PAGE_SIZE, Query, Route, SEARCH, SORT, T, optional, required};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/tenant/devices", tenant_devices)
            .who(T)
            .about("A page of devices; or, with deviceName, the device of this name.")
            .query(DEVICES)
            .answer_page::<DeviceBody>(),
        Route::get("/api/tenant/deviceInfos", overviews)
            .who(T)
            .about("A page of devices with their customer's title and whether they are active.")
            .query(OVERVIEWS)
            .answer_page::<DeviceOverviewBody>(),
        Route::get("/api/deviceInfos/all", overviews)
            .about("A page of the devices the caller may see, with whether they are active.")
            .query(OVERVIEWS)
            .answer_page::<DeviceOverviewBody>(),
        Route::get("/api/user/devices", devices)
            .about("A page of the devices the caller may see.")
            .query(DEVICES)
            .answer_page::<DeviceBody>(),
        Route::get("/api/customer/{customerId}/devices", customer_devices)
            .about("A page of a customer's devices.")
            .query(DEVICES)
            .answer_page::<DeviceBody>(),
        Route::get("/api/customer/{customerId}/deviceInfos", customer_overviews)
            .about("A page of a customer's devices with whether they are active.")
            .query(OVERVIEWS)
            .answer_page::<DeviceOverviewBody>(),
        Route::get("/api/devices", devices_by_ids)
            .about("The devices with these ids; unknown and foreign ones are left out.")
            .query(&[required("deviceIds", "Comma list of ids.")])
            .answer_list::<DeviceBody>(),
    ]
}

async fn tenant_devices(
    State(api): State<Arc<Api>>,
    signed_in: SignedIn,
    params: Params,
) -> Result<Response, Refusal> {
    if params.has("deviceName") {
        let by_name = super::device_by_name(State(api), signed_in, params);
        return by_name.await.map(IntoResponse::into_response);
    }
    devices(State(api), signed_in, params).await.map(IntoResponse::into_response)
}

async fn devices(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<PageBody<DeviceBody>>, Refusal> {
    page_of_devices(&api, &caller, None, &params).await
}

async fn customer_devices(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(customer): Segments<Uuid>,
    params: Params,
) -> Result<Json<PageBody<DeviceBody>>, Refusal> {
    page_of_devices(&api, &caller, Some(CustomerId(customer)), &params).await
}

async fn overviews(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<PageBody<DeviceOverviewBody>>, Refusal> {
    page_of_overviews(&api, &caller, None, &params).await
}

async fn customer_overviews(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(customer): Segments<Uuid>,
    params: Params,
) -> Result<Json<PageBody<DeviceOverviewBody>>, Refusal> {
    page_of_overviews(&api, &caller, Some(CustomerId(customer)), &params).await
}

async fn devices_by_ids(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<Vec<DeviceBody>>, Refusal> {
    params.required("deviceIds")?;
    let ids = params.ids("deviceIds")?.into_iter().map(DeviceId).collect();
    let devices = api.node().registry.devices_by_ids(&caller, ids).await?;
    Ok(Json(devices.into_iter().map(DeviceBody::from).collect()))
}

async fn page_of_devices(
    api: &Api,
    caller: &Caller,
    customer: Option<CustomerId>,
    params: &Params,
) -> Result<Json<PageBody<DeviceBody>>, Refusal> {
    let link = params.page()?;
    let page = api.node().registry.devices(caller, choice(customer, params)?, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, |row| row.device.into())))
}

async fn page_of_overviews(
    api: &Api,
    caller: &Caller,
    customer: Option<CustomerId>,
    params: &Params,
) -> Result<Json<PageBody<DeviceOverviewBody>>, Refusal> {
    let link = params.page()?;
    let choice = DeviceChoice { active: params.choice("active")?, ..choice(customer, params)? };
    let page = api.node().registry.devices(caller, choice, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, DeviceOverviewBody::from)))
}

fn choice(customer: Option<CustomerId>, params: &Params) -> Result<DeviceChoice, Refusal> {
    let profile = params.text("deviceProfileId").map(parse_id).transpose()?;
    Ok(DeviceChoice {
        customer_id: customer,
        profile_name: params.text("type").map(str::to_owned),
        profile_id: profile.map(DeviceProfileId),
        ..DeviceChoice::default()
    })
}

const TYPE: Query = optional("type", "Only devices whose profile has this name.");
const PROFILE: Query = optional("deviceProfileId", "Only devices of this profile.");
const DEVICES: &[Query] = &[
    PAGE_SIZE,
    PAGE,
    SEARCH,
    SORT,
    ORDER,
    TYPE,
    PROFILE,
    optional("deviceName", "The name of one device; then the answer is that device."),
];
const OVERVIEWS: &[Query] = &[
    PAGE_SIZE,
    PAGE,
    SEARCH,
    SORT,
    ORDER,
    TYPE,
    PROFILE,
    optional("active", "Only active, or only inactive devices."),
];
