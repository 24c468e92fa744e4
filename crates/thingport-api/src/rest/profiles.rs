//! Device profiles (REST API section 7).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use thingport_core::access::Caller;
use thingport_core::registry::devices::DeviceChoice;
use thingport_model::attribute::Scope;
use thingport_model::id::{DeviceId, DeviceProfileId};
use thingport_model::page::PageLink;
use thingport_model::port::ledger::Keys;
use thingport_model::profile::TransportType;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::id::parse_id;
use crate::dto::page::PageBody;
use crate::dto::profile::{DeviceProfileBody, DeviceProfileInput, ProfileOverviewBody};
use crate::dto::tenant::Named;
use crate::error::Refusal;
use crate::extract::{Body, Params, Segments};
use crate::route::{
    ORDER, PAGE, PAGE_SIZE, PAGED, Query, Route, SEARCH, SORT, T, optional, required,
};

pub(super) fn routes() -> Vec<Route> {
    let mut routes = one_profile();
    routes.extend(lists());
    routes.extend(keys());
    routes
}

fn one_profile() -> Vec<Route> {
    vec![
        Route::get("/api/deviceProfile/{deviceProfileId}", profile)
            .who(T)
            .about("One device profile.")
            .answer::<DeviceProfileBody>(),
        Route::post("/api/deviceProfile", save_profile)
            .who(T)
            .about("Create or change a device profile; renaming changes the type of its devices.")
            .body::<DeviceProfileInput>()
            .answer::<DeviceProfileBody>(),
        Route::delete("/api/deviceProfile/{deviceProfileId}", delete_profile)
            .who(T)
            .about("Delete a device profile that is neither the default one nor in use."),
        Route::post("/api/deviceProfile/{deviceProfileId}/default", make_default)
            .who(T)
            .about("Make this the profile that devices get when they name none.")
            .answer::<DeviceProfileBody>(),
        Route::get("/api/deviceProfileInfo/default", default_overview)
            .about("The profile that devices get when they name none, in short.")
            .answer::<ProfileOverviewBody>(),
        Route::get("/api/deviceProfileInfo/{deviceProfileId}", overview)
            .about("One device profile, in short.")
            .answer::<ProfileOverviewBody>(),
    ]
}

fn lists() -> Vec<Route> {
    vec![
        Route::get("/api/deviceProfiles", profiles)
            .who(T)
            .about("A page of device profiles.")
            .query(PAGED)
            .answer_page::<DeviceProfileBody>(),
        Route::get("/api/deviceProfileInfos", overviews)
            .about("A page of device profiles in short; or, with deviceProfileIds, those.")
            .query(OVERVIEWS)
            .answer_page::<ProfileOverviewBody>(),
        Route::get("/api/deviceProfileInfos/list", overviews_by_ids)
            .who(T)
            .about("The device profiles with these ids, in short; foreign ones are left out.")
            .query(&[required("deviceProfileIds", "Comma list of ids.")])
            .answer_list::<ProfileOverviewBody>(),
        Route::get("/api/deviceProfile/names", names)
            .about("Ids and names of device profiles, sorted by name.")
            .query(&[optional("activeOnly", "Leave out profiles without a device.")])
            .answer_list::<Named>(),
    ]
}

fn keys() -> Vec<Route> {
    vec![
        Route::get("/api/deviceProfile/devices/keys/timeseries", timeseries_keys)
            .who(T)
            .about("Keys of readings seen on up to 100 devices of a profile, or of the tenant.")
            .query(OF_PROFILE)
            .answer_names(),
        Route::get("/api/deviceProfile/devices/keys/attributes", attribute_keys)
            .who(T)
            .about("Keys of attributes seen on up to 100 devices of a profile, or of the tenant.")
            .query(OF_PROFILE)
            .answer_names(),
    ]
}

async fn profile(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<DeviceProfileBody>, Refusal> {
    Ok(Json(api.node().registry.profile(&caller, DeviceProfileId(id)).await?.into()))
}

async fn save_profile(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<DeviceProfileInput>,
) -> Result<Json<DeviceProfileBody>, Refusal> {
    let draft = input.into_draft()?;
    Ok(Json(api.node().registry.save_profile(&caller, draft).await?.into()))
}

async fn delete_profile(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<StatusCode, Refusal> {
    api.node().registry.delete_profile(&caller, DeviceProfileId(id)).await?;
    Ok(StatusCode::OK)
}

async fn make_default(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<DeviceProfileBody>, Refusal> {
    let id = DeviceProfileId(id);
    Ok(Json(api.node().registry.make_profile_default(&caller, id).await?.into()))
}

async fn default_overview(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
) -> Result<Json<ProfileOverviewBody>, Refusal> {
    Ok(Json(api.node().registry.default_profile(&caller).await?.into()))
}

async fn overview(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<ProfileOverviewBody>, Refusal> {
    Ok(Json(api.node().registry.profile_info(&caller, DeviceProfileId(id)).await?.into()))
}

async fn profiles(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<PageBody<DeviceProfileBody>>, Refusal> {
    let link = params.page()?;
    let page = api.node().registry.profiles(&caller, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, DeviceProfileBody::from)))
}

async fn overviews(
    State(api): State<Arc<Api>>,
    signed_in: SignedIn,
    params: Params,
) -> Result<Response, Refusal> {
    if params.has("deviceProfileIds") {
        return Ok(overviews_by_ids(State(api), signed_in, params).await?.into_response());
    }
    let transport = params.text("transportType").map(|name| {
        TransportType::from_name(name)
            .ok_or_else(|| Refusal::bad_request(format!("{name:?} is not a transport type")))
    });
    let transport = transport.transpose()?;
    let link = params.page()?;
    let registry = &api.node().registry;
    let page = registry.profile_infos(&signed_in.caller, transport, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, ProfileOverviewBody::from)).into_response())
}

async fn overviews_by_ids(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<Vec<ProfileOverviewBody>>, Refusal> {
    caller.must_be_tenant()?;
    let ids: Vec<_> = params.ids("deviceProfileIds")?.into_iter().map(DeviceProfileId).collect();
    let found = api.node().registry.profiles_by_ids(&caller, &ids).await?;
    Ok(Json(found.into_iter().map(ProfileOverviewBody::from).collect()))
}

async fn names(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<Vec<Named>>, Refusal> {
    let active_only = params.flag("activeOnly", false)?;
    let names = api.node().registry.profile_names(&caller, active_only).await?;
    let named = |(id, name): (DeviceProfileId, String)| Named { id: id.entity().into(), name };
    Ok(Json(names.into_iter().map(named).collect()))
}

async fn timeseries_keys(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<BTreeSet<String>>, Refusal> {
    let mut keys = BTreeSet::new();
    for device in sample(&api, &caller, &params).await? {
        keys.extend(api.node().telemetry.keys(&caller, device.entity()).await?);
    }
    Ok(Json(keys))
}

async fn attribute_keys(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<BTreeSet<String>>, Refusal> {
    let mut keys = BTreeSet::new();
    for device in sample(&api, &caller, &params).await? {
        for scope in Scope::ALL {
            let attributes = &api.node().attributes;
            let found = attributes.read(&caller, device.entity(), scope, Keys::All).await?;
            keys.extend(found.into_iter().map(|attribute| attribute.key));
        }
    }
    Ok(Json(keys))
}

/// Up to 100 devices of a profile, or of the tenant when none is named.
async fn sample(api: &Api, caller: &Caller, params: &Params) -> Result<Vec<DeviceId>, Refusal> {
    let profile = params.text("deviceProfileId").map(parse_id).transpose()?;
    let choice =
        DeviceChoice { profile_id: profile.map(DeviceProfileId), ..DeviceChoice::default() };
    let link = PageLink { page: 0, size: SAMPLE_DEVICES, text_search: None, sort: None };
    let page = api.node().registry.devices(caller, choice, link).await?;
    Ok(page.rows.into_iter().map(|row| row.device.id).collect())
}

const SAMPLE_DEVICES: u32 = 100;
const OF_PROFILE: &[Query] = &[optional("deviceProfileId", "Only devices of this profile.")];
const OVERVIEWS: &[Query] = &[
    PAGE_SIZE,
    PAGE,
    SEARCH,
    SORT,
    ORDER,
    optional("transportType", "Only profiles of this transport type."),
    optional("deviceProfileIds", "Comma list of ids; then the answer is a list."),
];
