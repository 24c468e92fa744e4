//! Devices (REST API section 8).

pub(super) mod assignment;
pub(super) mod claims;
mod fleet;
pub(super) mod import;
mod list;
pub(super) mod presence;
pub(super) mod trace;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use thingport_core::registry::devices::{DeviceDraft, NamePolicy, ProfileChoice};
use thingport_model::id::{CustomerId, DeviceId, DeviceProfileId, EntityKind};
use utoipa::ToSchema;
use uuid::Uuid;

use super::credentials;
use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::credentials::CredentialsInput;
use crate::dto::device::{DeviceBody, DeviceInput, DeviceOverviewBody, DeviceTypeBody};
use crate::dto::id::optional_id;
use crate::dto::opaque::{self, Opaque};
use crate::dto::package::assigned;
use crate::error::Refusal;
use crate::extract::{Body, Params, Segments};
use crate::route::{Query, Route, T, optional, required};

pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::get("/api/device/{deviceId}", device).about("One device.").answer::<DeviceBody>(),
        Route::get("/api/device/info/{deviceId}", device_overview)
            .about("One device with its customer's title and whether it is active.")
            .answer::<DeviceOverviewBody>(),
        Route::post("/api/device", save_device)
            .about("Create or change a device; a new one gets an access token.")
            .query(SAVE)
            .body::<DeviceInput>()
            .answer::<DeviceBody>(),
        Route::post("/api/device-with-credentials", save_device_with_credentials)
            .who(T)
            .about("Create or change a device together with its credentials, both or none.")
            .query(NAME_CONFLICT)
            .body::<DeviceWithCredentials>()
            .answer::<DeviceBody>(),
        Route::delete("/api/device/{deviceId}", delete_device)
            .who(T)
            .about("Delete a device with its credentials and data; its sessions end."),
        Route::get("/api/tenant/device", device_by_name)
            .who(T)
            .about("The device of this name.")
            .query(&[required("deviceName", "Its name.")])
            .answer::<DeviceBody>(),
        Route::get("/api/device/types", device_types)
            .about("Names of the profiles that devices use, sorted.")
            .answer_list::<DeviceTypeBody>(),
    ];
    routes.extend(list::routes());
    routes.extend(fleet::routes());
    routes
}

/// A device and its credentials.
#[derive(Deserialize, ToSchema)]
struct DeviceWithCredentials {
    device: DeviceInput,
    credentials: CredentialsInput,
}

async fn device(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<DeviceBody>, Refusal> {
    Ok(Json(api.node().registry.device(&caller, DeviceId(id)).await?.into()))
}

async fn device_overview(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<DeviceOverviewBody>, Refusal> {
    let overview = api.node().registry.device_overview(&caller, DeviceId(id)).await?;
    Ok(Json(overview.into()))
}

async fn save_device(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
    Body(input): Body<DeviceInput>,
) -> Result<Json<DeviceBody>, Refusal> {
    let draft = draft(input, &params)?;
    let token = params.text("accessToken");
    Ok(Json(api.node().registry.save_device(&caller, draft, token).await?.into()))
}

async fn save_device_with_credentials(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
    Body(input): Body<DeviceWithCredentials>,
) -> Result<Json<DeviceBody>, Refusal> {
    let draft = draft(input.device, &params)?;
    let credentials = credentials::draft(input.credentials)?;
    let registry = &api.node().registry;
    Ok(Json(registry.save_device_with_credentials(&caller, draft, credentials).await?.into()))
}

async fn delete_device(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<StatusCode, Refusal> {
    api.node().registry.delete_device(&caller, DeviceId(id)).await?;
    Ok(StatusCode::OK)
}

async fn device_by_name(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<DeviceBody>, Refusal> {
    let name = params.required("deviceName")?;
    Ok(Json(api.node().registry.device_by_name(&caller, name).await?.into()))
}

async fn device_types(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
) -> Result<Json<Vec<DeviceTypeBody>>, Refusal> {
    let types = api.node().registry.device_types(&caller).await?;
    let tenant = caller.tenant_id.entity();
    Ok(Json(types.into_iter().map(|kind| DeviceTypeBody::of(tenant, kind)).collect()))
}

/// What the registry is asked to save.
fn draft(input: DeviceInput, params: &Params) -> Result<DeviceDraft, Refusal> {
    let packages = assigned(input.firmware_id.as_ref(), input.software_id.as_ref())?;
    let profile = input.device_profile_id.as_ref();
    let profile = optional_id(profile, EntityKind::DeviceProfile, DeviceProfileId)?;
    let kind = input.kind.filter(|kind| !kind.is_empty());
    let (configuration, transport) = device_data(input.device_data)?;
    let additional_info = opaque::object(input.additional_info)?;
    Ok(DeviceDraft {
        id: optional_id(input.id.as_ref(), EntityKind::Device, DeviceId)?,
        version: input.version,
        name: input.name.unwrap_or_default(),
        label: input.label,
        profile: match (profile, kind) {
            (Some(id), _) => ProfileChoice::Id(id),
            (None, Some(name)) => ProfileChoice::Name(name),
            (None, None) => ProfileChoice::Default,
        },
        customer_id: optional_id(input.customer_id.as_ref(), EntityKind::Customer, CustomerId)?,
        is_gateway: is_gateway(additional_info.as_deref()),
        additional_info,
        configuration,
        transport,
        packages,
        on_conflict: name_policy(params)?,
    })
}

/// `additionalInfo.gateway` is true.
fn is_gateway(additional_info: Option<&str>) -> bool {
    #[derive(Deserialize)]
    struct Extra {
        #[serde(default)]
        gateway: Value,
    }
    let extra = additional_info.and_then(|text| serde_json::from_str::<Extra>(text).ok());
    extra.is_some_and(|extra| extra.gateway == Value::Bool(true))
}

/// Both parts of `deviceData`, the second with its type; any of them may be missing.
#[allow(clippy::type_complexity)] // the shape of the draft's two members
fn device_data(
    data: Option<Opaque>,
) -> Result<(Option<String>, Option<(String, String)>), Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Parts {
        configuration: Option<Opaque>,
        transport_configuration: Option<Opaque>,
    }
    #[derive(Deserialize)]
    struct Tagged {
        #[serde(rename = "type")]
        kind: Option<String>,
    }
    let wrong = |_| Refusal::bad_request("deviceData must be an object of two objects");
    let Some(data) = data else { return Ok((None, None)) };
    let parts: Parts = serde_json::from_str(data.text()).map_err(wrong)?;
    let Some(transport) = parts.transport_configuration else {
        return Ok((opaque::text(parts.configuration), None));
    };
    let tagged: Tagged = serde_json::from_str(transport.text()).map_err(wrong)?;
    let transport = tagged.kind.map(|kind| (kind, transport.into_text()));
    Ok((opaque::text(parts.configuration), transport))
}

/// What to do when the name is taken (D-2).
pub(super) fn name_policy(params: &Params) -> Result<NamePolicy, Refusal> {
    match params.text("nameConflictPolicy") {
        None | Some("FAIL") => return Ok(NamePolicy::Fail),
        Some("UNIQUIFY") => {}
        Some(other) => {
            return Err(Refusal::bad_request(format!("{other:?} is not a name conflict policy")));
        }
    }
    let separator = params.text("uniquifySeparator").unwrap_or("_").to_owned();
    match params.text("uniquifyStrategy") {
        None | Some("RANDOM") => Ok(NamePolicy::Random(separator)),
        Some("INCREMENTAL") => Ok(NamePolicy::Incremental(separator)),
        Some(other) => Err(Refusal::bad_request(format!("{other:?} is not a uniquify strategy"))),
    }
}

const POLICY: Query = optional("nameConflictPolicy", "FAIL (default) or UNIQUIFY.");
const SEPARATOR: Query = optional("uniquifySeparator", "What UNIQUIFY puts behind the name; _.");
const STRATEGY: Query = optional("uniquifyStrategy", "RANDOM (default) or INCREMENTAL.");
pub(super) const NAME_CONFLICT: &[Query] = &[POLICY, SEPARATOR, STRATEGY];
const SAVE: &[Query] = &[
    optional("accessToken", "Token of a new device; random when absent or empty."),
    POLICY,
    SEPARATOR,
    STRATEGY,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn draft_of(body: &str, query: &str) -> Result<DeviceDraft, Refusal> {
        let input = serde_json::from_str(body).expect("an object");
        draft(input, &Params::of(Some(query)).expect("a query"))
    }

    #[test]
    fn the_black_box_helper_may_send_everything_as_null() {
        let body = r#"{"id":null,"createdTime":0,"tenantId":null,"customerId":null,"name":"d",
            "type":null,"label":null,"deviceProfileId":null,"firmwareId":null,"softwareId":null,
            "externalId":null,"version":null,"additionalInfo":null,
            "deviceData":{"configuration":null,"transportConfiguration":null}}"#;
        let draft = draft_of(body, "accessToken=").expect("accepted");
        assert_eq!(draft.profile, ProfileChoice::Default);
        assert_eq!((draft.configuration, draft.transport, draft.is_gateway), (None, None, false));
    }

    #[test]
    fn members_with_a_meaning_are_read() {
        let body = r#"{"name":"d","type":"pump","additionalInfo":{"gateway":true},"alarms":[],
            "customerId":{"entityType":"CUSTOMER","id":"13814000-1dd2-11b2-8080-808080808080"},
            "deviceData":{"transportConfiguration":{"type":"MQTT","x":1}}}"#;
        let query = "nameConflictPolicy=UNIQUIFY&uniquifyStrategy=INCREMENTAL";
        let draft = draft_of(body, query).expect("accepted");
        assert!(draft.is_gateway && draft.customer_id.is_none());
        assert_eq!(draft.profile, ProfileChoice::Name("pump".into()));
        assert_eq!(draft.on_conflict, NamePolicy::Incremental("_".into()));
        assert_eq!(draft.transport, Some(("MQTT".into(), r#"{"type":"MQTT","x":1}"#.into())));
    }

    #[test]
    fn references_and_words_that_mean_nothing_are_refused() {
        let id = r#"{"entityType":"CUSTOMER","id":"2c7d1e40-5a7e-11f0-9a01-0f2d5c7e8a11"}"#;
        let rows = [
            (format!(r#"{{"name":"d","firmwareId":{id}}}"#), ""),
            (format!(r#"{{"name":"d","id":{id}}}"#), ""),
            (r#"{"name":"d","additionalInfo":[]}"#.to_owned(), ""),
            (r#"{"name":"d","deviceData":{"transportConfiguration":5}}"#.to_owned(), ""),
            (r#"{"name":"d"}"#.to_owned(), "nameConflictPolicy=MAYBE"),
        ];
        for (body, query) in rows {
            assert_eq!(draft_of(&body, query).expect_err(&body).code(), 31, "{body}");
        }
    }
}
