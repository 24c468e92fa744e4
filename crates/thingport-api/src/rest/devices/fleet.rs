//! The fleet as a list, for people who look for the device that is quiet: our own endpoint.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use thingport_core::registry::devices::DeviceChoice;
use thingport_model::id::{CustomerId, DeviceProfileId};
use thingport_model::time::Timestamp;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::device::FleetDeviceBody;
use crate::dto::id::parse_id;
use crate::dto::page::PageBody;
use crate::error::Refusal;
use crate::extract::Params;
use crate::route::{ORDER, PAGE, PAGE_SIZE, Query, Route, SEARCH, SORT, optional};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/thingport/devices", fleet)
            .about(
                "A page of the devices the caller may see, with whether each is connected, its newest \
                 reading and what it was last refused for.",
            )
            .query(FLEET)
            .answer_page::<FleetDeviceBody>(),
    ]
}

async fn fleet(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<PageBody<FleetDeviceBody>>, Refusal> {
    let link = params.page()?;
    let id = |name| params.text(name).map(parse_id).transpose();
    let choice = DeviceChoice {
        customer_id: id("customerId")?.map(CustomerId),
        profile_id: id("deviceProfileId")?.map(DeviceProfileId),
        active: params.choice("active")?,
        gateway: params.choice("gateway")?,
        certificate_before: params.parsed("certificateBefore")?.map(Timestamp),
        ..DeviceChoice::default()
    };
    let connected = params.choice("connected")?;
    let page = api.node().fleet(&caller, choice, connected, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, FleetDeviceBody::from)))
}

const FLEET: &[Query] = &[
    PAGE_SIZE,
    PAGE,
    SEARCH,
    SORT,
    ORDER,
    optional("deviceProfileId", "Only devices of this profile."),
    optional("customerId", "Only devices of this customer."),
    optional("connected", "Only devices with an open connection, or only those without."),
    optional("active", "Only devices that report, or only silent ones."),
    optional("gateway", "Only gateways, or only those that are none."),
    optional(
        "certificateBefore",
        "Only devices whose certificate expires before this moment, milliseconds.",
    ),
];
