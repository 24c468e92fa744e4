//! Which customer a device belongs to (REST API 8.2), with the owner aliases of 18.2.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use thingport_core::error::Error;
use thingport_model::id::{CustomerId, DeviceId, TenantId};
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::device::DeviceBody;
use crate::error::Refusal;
use crate::extract::Segments;
use crate::route::{Route, T};

pub(in crate::rest) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/customer/{customerId}/device/{deviceId}", assign)
            .about("Give the device to a customer.")
            .answer::<DeviceBody>(),
        Route::delete("/api/customer/device/{deviceId}", unassign)
            .about("Take the device from its customer.")
            .answer::<DeviceBody>(),
        Route::post("/api/customer/public/device/{deviceId}", assign_to_public)
            .about("Give the device to the public customer, which is created at its first use.")
            .answer::<DeviceBody>(),
        Route::post("/api/owner/CUSTOMER/{customerId}/DEVICE/{deviceId}", own_by_customer)
            .about("Give the device to a customer, as newer clients ask for it."),
        Route::post("/api/owner/TENANT/{tenantId}/DEVICE/{deviceId}", own_by_tenant)
            .about("Take the device from its customer, as newer clients ask for it."),
    ]
    .into_iter()
    .map(|route| route.who(T))
    .collect()
}

async fn assign(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((customer, device)): Segments<(Uuid, Uuid)>,
) -> Result<Json<DeviceBody>, Refusal> {
    let (customer, device) = (CustomerId(customer), DeviceId(device));
    Ok(Json(api.node().registry.assign_device(&caller, device, customer).await?.into()))
}

async fn unassign(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(device): Segments<Uuid>,
) -> Result<Json<DeviceBody>, Refusal> {
    Ok(Json(api.node().registry.unassign_device(&caller, DeviceId(device)).await?.into()))
}

async fn assign_to_public(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(device): Segments<Uuid>,
) -> Result<Json<DeviceBody>, Refusal> {
    let device = DeviceId(device);
    Ok(Json(api.node().registry.assign_device_to_public(&caller, device).await?.into()))
}

async fn own_by_customer(
    state: State<Arc<Api>>,
    signed_in: SignedIn,
    segments: Segments<(Uuid, Uuid)>,
) -> Result<StatusCode, Refusal> {
    assign(state, signed_in, segments).await.map(|_| StatusCode::OK)
}

async fn own_by_tenant(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((tenant, device)): Segments<(Uuid, Uuid)>,
) -> Result<StatusCode, Refusal> {
    caller.owns(TenantId(tenant), "tenant")?;
    match api.node().registry.unassign_device(&caller, DeviceId(device)).await {
        // A device without a customer is the tenant's already.
        Ok(_) | Err(Error::Invalid(_)) => Ok(StatusCode::OK),
        Err(other) => Err(other.into()),
    }
}
