//! Lists of devices (REST API 8.2) and their aliases (18.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use thingport_core::access::Caller;
use thingport_core::registry::devices::DeviceChoice;
use thingport_model::attribute::Scope;
use thingport_model::device::DeviceOverview;
use thingport_model::id::{CustomerId, DeviceId, DeviceProfileId};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::ledger::Keys;
use thingport_model::value::Value;
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

/// Whether the device was heard lately: its server attribute `active` (8.3). The caller's right to
/// see the device has been checked where it was found.
pub(super) async fn is_active(api: &Api, device: DeviceId) -> Result<bool, Refusal> {
    let keys = Keys::Named(vec!["active".to_owned()]);
    let found = api.node().ledger.attributes(device.entity(), Scope::Server, keys).await;
    let found = found.map_err(thingport_core::error::Error::from)?;
    Ok(found.first().is_some_and(|attribute| attribute.value == Value::Bool(true)))
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
    let choice = choice(customer, params)?;
    let wanted = params.choice("active")?;
    let by_active = link.sort.as_ref().is_some_and(|sort| sort.property == "active");
    let page = if wanted.is_some() || by_active {
        let rows = every_overview(api, caller, choice, &link, by_active).await?;
        page_of_active(rows, wanted, by_active, &link)
    } else {
        let page = api.node().registry.devices(caller, choice, link.clone()).await?;
        Page { rows: with_active(api, page.rows).await?, total: page.total }
    };
    Ok(Json(PageBody::of(page, &link, |(row, active)| DeviceOverviewBody::of(row, active))))
}

/// All rows of a list with their activity, which the registry does not know and cannot sort by.
async fn every_overview(
    api: &Api,
    caller: &Caller,
    choice: DeviceChoice,
    link: &PageLink,
    by_active: bool,
) -> Result<Vec<(DeviceOverview, bool)>, Refusal> {
    let sort = link.sort.clone().filter(|_| !by_active);
    let mut link = PageLink { page: 0, size: CHUNK, sort, ..link.clone() };
    let mut rows = Vec::new();
    loop {
        let page = api.node().registry.devices(caller, choice.clone(), link.clone()).await?;
        let is_last = page.rows.len() < CHUNK as usize;
        rows.extend(with_active(api, page.rows).await?);
        if is_last {
            return Ok(rows);
        }
        link.page += 1;
    }
}

async fn with_active(
    api: &Api,
    rows: Vec<DeviceOverview>,
) -> Result<Vec<(DeviceOverview, bool)>, Refusal> {
    let mut known = Vec::with_capacity(rows.len());
    for row in rows {
        let active = is_active(api, row.device.id).await?;
        known.push((row, active));
    }
    Ok(known)
}

fn page_of_active(
    mut rows: Vec<(DeviceOverview, bool)>,
    wanted: Option<bool>,
    by_active: bool,
    link: &PageLink,
) -> Page<(DeviceOverview, bool)> {
    rows.retain(|(_, active)| wanted.is_none_or(|wanted| *active == wanted));
    if by_active {
        let descending = link.sort.as_ref().is_some_and(|sort| sort.descending);
        // Stable: rows of equal activity stay in order of id.
        rows.sort_by_key(|(_, active)| *active != descending);
    }
    let total = rows.len() as u64;
    let skipped = (link.page as usize).saturating_mul(link.size as usize);
    Page { rows: rows.into_iter().skip(skipped).take(link.size as usize).collect(), total }
}

fn choice(customer: Option<CustomerId>, params: &Params) -> Result<DeviceChoice, Refusal> {
    let profile = params.text("deviceProfileId").map(parse_id).transpose()?;
    Ok(DeviceChoice {
        customer_id: customer,
        profile_name: params.text("type").map(str::to_owned),
        profile_id: profile.map(DeviceProfileId),
    })
}

const CHUNK: u32 = 1_000;
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
