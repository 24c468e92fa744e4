//! The REST resources, one file each; every file lists its routes.

mod admin;
mod auth;
mod certificates;
pub(crate) mod client_rpc;
pub(crate) mod connectivity;
mod credentials;
mod customers;
mod devices;
mod entity_queries;
mod events;
mod forwarding;
mod original;
mod packages;
mod profiles;
mod relations;
mod rpc;
mod schemas;
mod system;
pub(crate) mod telemetry;
mod tenants;
mod users;

use thingport_core::error::Error;

use crate::error::Refusal;
use crate::route::Route;

/// All routes under `/api` but the WebSocket ones.
pub(crate) fn routes() -> Vec<Route> {
    let parts = [
        auth::routes(),
        auth::links::routes(),
        auth::keys::routes(),
        users::routes(),
        users::own::routes(),
        admin::routes(),
        original::routes(),
        tenants::routes(),
        tenants::profiles::routes(),
        customers::routes(),
        profiles::routes(),
        packages::routes(),
        devices::routes(),
        devices::assignment::routes(),
        devices::import::routes(),
        devices::claims::routes(),
        devices::presence::routes(),
        devices::trace::routes(),
        credentials::routes(),
        connectivity::routes(),
        telemetry::routes(),
        telemetry::attributes::routes(),
        relations::routes(),
        entity_queries::routes(),
        rpc::routes(),
        client_rpc::routes(),
        events::routes(),
        certificates::routes(),
        forwarding::routes(),
        schemas::routes(),
        system::routes(),
    ];
    parts.into_iter().flatten().collect()
}

/// What was found, where lists leave out what is missing or not the caller's.
fn found_only<T>(found: Result<T, Error>) -> Result<Option<T>, Refusal> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_) | Error::Denied(_)) => Ok(None),
        Err(other) => Err(other.into()),
    }
}
