//! Tenant profiles: limits shared by tenants (REST API 4.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use thingport_core::registry::accounts::TenantProfileDraft;
use thingport_core::registry::first_run::DEFAULT_PROFILE_DATA;
use thingport_model::id::{EntityKind, TenantProfileId};
use thingport_model::limit::{
    LimitKind, LimitScope, MonthlyQuota, RateLimit, RateLimits, limit_member,
};
use thingport_model::tenant::TenantProfile;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::id::optional_id;
use crate::dto::page::PageBody;
use crate::dto::tenant::{Named, TenantProfileBody, TenantProfileInput};
use crate::error::Refusal;
use crate::extract::{Body, Params, Segments};
use crate::rest::found_only;
use crate::route::{
    ORDER, PAGE, PAGE_SIZE, PAGED, Query, Route, S, SEARCH, SORT, optional, required,
};

pub(in crate::rest) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/tenantProfile/{tenantProfileId}", profile)
            .about("One tenant profile.")
            .answer::<TenantProfileBody>(),
        Route::get("/api/tenantProfileInfo/default", default_profile)
            .about("Id and name of the tenant profile that new tenants get.")
            .answer::<Named>(),
        Route::get("/api/tenantProfileInfo/{tenantProfileId}", profile_name)
            .about("Id and name of a tenant profile.")
            .answer::<Named>(),
        Route::post("/api/tenantProfile", save_profile)
            .about("Create or change a tenant profile; limits apply at once.")
            .body::<TenantProfileInput>()
            .answer::<TenantProfileBody>(),
        Route::delete("/api/tenantProfile/{tenantProfileId}", delete_profile)
            .about("Delete a tenant profile that is neither the default one nor in use."),
        Route::post("/api/tenantProfile/{tenantProfileId}/default", make_default)
            .about("Make this the tenant profile that new tenants get.")
            .answer::<TenantProfileBody>(),
        Route::get("/api/tenantProfiles", profiles)
            .about("A page of tenant profiles; or, with ids, the ones with these ids.")
            .query(PROFILES)
            .answer_page::<TenantProfileBody>(),
        Route::get("/api/tenantProfiles/list", profiles_by_ids)
            .about("The tenant profiles with these ids; unknown ones are left out.")
            .query(&[required("ids", "Comma list of ids.")])
            .answer_list::<TenantProfileBody>(),
        Route::get("/api/tenantProfileInfos", profile_names)
            .about("A page of ids and names.")
            .query(PAGED)
            .answer_page::<Named>(),
    ]
    .into_iter()
    .map(|route| route.who(S))
    .collect()
}

async fn profile(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<TenantProfileBody>, Refusal> {
    let found = api.node().registry.tenant_profile(&caller, TenantProfileId(id)).await?;
    Ok(Json(found.into()))
}

async fn default_profile(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
) -> Result<Json<Named>, Refusal> {
    Ok(Json(named(api.node().registry.default_tenant_profile(&caller).await?)))
}

async fn profile_name(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<Named>, Refusal> {
    Ok(Json(named(api.node().registry.tenant_profile(&caller, TenantProfileId(id)).await?)))
}

async fn save_profile(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<TenantProfileInput>,
) -> Result<Json<TenantProfileBody>, Refusal> {
    let wants_default = input.is_default == Some(true);
    let draft = draft(input)?;
    let registry = &api.node().registry;
    let mut saved = registry.save_tenant_profile(&caller, draft).await?;
    if wants_default && !saved.is_default {
        saved = registry.make_tenant_profile_default(&caller, saved.id).await?;
    }
    api.rules.forget_all();
    Ok(Json(saved.into()))
}

async fn delete_profile(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<StatusCode, Refusal> {
    api.node().registry.delete_tenant_profile(&caller, TenantProfileId(id)).await?;
    Ok(StatusCode::OK)
}

async fn make_default(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<TenantProfileBody>, Refusal> {
    let id = TenantProfileId(id);
    Ok(Json(api.node().registry.make_tenant_profile_default(&caller, id).await?.into()))
}

async fn profiles(
    State(api): State<Arc<Api>>,
    signed_in: SignedIn,
    params: Params,
) -> Result<Response, Refusal> {
    if params.has("ids") {
        return Ok(profiles_by_ids(State(api), signed_in, params).await?.into_response());
    }
    let link = params.page()?;
    let page = api.node().registry.tenant_profiles(&signed_in.caller, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, TenantProfileBody::from)).into_response())
}

async fn profiles_by_ids(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<Vec<TenantProfileBody>>, Refusal> {
    let mut profiles = Vec::new();
    for id in params.ids("ids")? {
        let found = api.node().registry.tenant_profile(&caller, TenantProfileId(id)).await;
        profiles.extend(found_only(found)?);
    }
    Ok(Json(profiles.into_iter().map(TenantProfileBody::from).collect()))
}

async fn profile_names(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<PageBody<Named>>, Refusal> {
    let link = params.page()?;
    let page = api.node().registry.tenant_profiles(&caller, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, named)))
}

fn named(profile: TenantProfile) -> Named {
    Named { id: profile.id.entity().into(), name: profile.name }
}

fn draft(input: TenantProfileInput) -> Result<TenantProfileDraft, Refusal> {
    let data = input.profile_data.map(crate::dto::opaque::Opaque::into_text);
    let data = complete(&data.unwrap_or_else(|| DEFAULT_PROFILE_DATA.to_owned()))?;
    crate::limits::check(&data)?;
    let limits = limits(&data)?;
    Ok(TenantProfileDraft {
        id: optional_id(input.id.as_ref(), EntityKind::TenantProfile, TenantProfileId)?,
        name: input.name.unwrap_or_default(),
        description: input.description,
        isolated_rule_engine: input.isolated_tb_rule_engine.unwrap_or(false),
        storage_ttl_days: days(&limits, "defaultStorageTtlDays")?,
        rpc_ttl_days: days(&limits, "rpcTtlDays")?,
        devices_max: whole(&limits, "maxDevices")?,
        customers_max: whole(&limits, "maxCustomers")?,
        users_max: whole(&limits, "maxUsers")?,
        package_bytes_max: whole(&limits, "maxOtaPackagesInBytes")?,
        rate_limits: rate_limits(&limits)?,
        profile_data: data,
    })
}

fn days(limits: &Map<String, Value>, member: &str) -> Result<u32, Refusal> {
    let days = u32::try_from(whole(limits, member)?);
    days.map_err(|_| Refusal::bad_request(format!("{member} is too large")))
}

/// `profileData` with the default of every member that was left out: clients read it, change one member
/// and send all of it back.
fn complete(data: &str) -> Result<String, Refusal> {
    let wrong = || Refusal::bad_request("profileData needs a member configuration, an object");
    let mut data: Map<String, Value> = serde_json::from_str(data).map_err(|_| wrong())?;
    let mut complete: Map<String, Value> =
        serde_json::from_str(DEFAULT_PROFILE_DATA).map_err(|_| wrong())?;
    let Some(Value::Object(sent)) = data.remove("configuration") else { return Err(wrong()) };
    if let Some(Value::Object(members)) = complete.get_mut("configuration") {
        members.extend(sent);
    }
    complete.extend(data);
    Ok(Value::Object(complete).to_string())
}

/// The members of `profileData.configuration`, with every rate limit checked for its form.
fn limits(data: &str) -> Result<Map<String, Value>, Refusal> {
    let wrong = || Refusal::bad_request("profileData needs a member configuration, an object");
    let data: Value = serde_json::from_str(data).map_err(|_| wrong())?;
    let limits = data.get("configuration").and_then(Value::as_object).ok_or_else(wrong)?;
    for (name, value) in limits {
        let is_rate = name.ends_with("RateLimit") || name.ends_with("RestLimitsConfiguration");
        if let (true, Some(text)) = (is_rate, value.as_str()) {
            rate_limit(name, text)?;
        }
    }
    Ok(limits.clone())
}

/// The limits that devices are held to; an absent or null one is unlimited.
fn rate_limits(limits: &Map<String, Value>) -> Result<RateLimits, Refusal> {
    let mut found = RateLimits::default();
    found.monthly = MonthlyQuota {
        messages: whole(limits, MonthlyQuota::MESSAGES)?,
        points: whole(limits, MonthlyQuota::POINTS)?,
    };
    for (scope, kind) in LimitScope::ALL
        .iter()
        .flat_map(|scope| LimitKind::ALL.iter().map(move |kind| (scope, kind)))
    {
        let name = limit_member(*scope, *kind);
        match limits.get(&name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => found.set(*scope, *kind, rate_limit(&name, text)?),
            Some(other) => {
                let sentence = format!("{name} must be a text such as \"100:1\", not {other}");
                return Err(Refusal::bad_request(sentence));
            }
        }
    }
    Ok(found)
}

fn rate_limit(name: &str, text: &str) -> Result<RateLimit, Refusal> {
    RateLimit::parse(text)
        .map_err(|error| Refusal::bad_request(format!("{name} = {text:?}: {error}")))
}

/// A number that is absent, null or negative means unlimited.
fn whole(limits: &Map<String, Value>, name: &str) -> Result<u64, Refusal> {
    match limits.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => match value.as_i64() {
            Some(number) => Ok(u64::try_from(number).unwrap_or(0)),
            None => Err(Refusal::bad_request(format!("{name} must be a whole number"))),
        },
    }
}

const PROFILES: &[Query] = &[
    PAGE_SIZE,
    PAGE,
    SEARCH,
    SORT,
    ORDER,
    optional("ids", "Comma list of ids; then the answer is a list."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_mean_something_are_read_and_checked() {
        let draft = |json: &str| draft(serde_json::from_str(json).expect("an object"));
        let fine = draft(
            r#"{"name":"p","profileData":{"configuration":{"type":"DEFAULT","maxDevices":5,
                "defaultStorageTtlDays":null,"transportDeviceMsgRateLimit":"20:1,600:60"}}}"#,
        )
        .expect("accepted");
        assert_eq!((fine.devices_max, fine.storage_ttl_days), (5, 0));
        let limited = fine.rate_limits.of(LimitScope::Device, LimitKind::Messages);
        assert_eq!(limited.text(), Some("20:1,600:60"));
        assert_eq!(fine.rate_limits.iter().filter(|(.., it)| it.text().is_some()).count(), 1);
        assert!(draft(r#"{"name":"p"}"#).is_ok());
        for wrong in [
            r#"{"profileData":{}}"#,
            r#"{"profileData":{"configuration":{"maxDevices":"many"}}}"#,
            r#"{"profileData":{"configuration":{"maxTransportMessages":"many"}}}"#,
            r#"{"profileData":{"configuration":{"transportTenantMsgRateLimit":"20"}}}"#,
            r#"{"profileData":{"configuration":{"tenantServerRestLimitsConfiguration":"1:x"}}}"#,
            r#"{"profileData":{"configuration":{"customerServerRestLimitsConfiguration":5}}}"#,
            r#"{"profileData":{"configuration":{"wsUpdatesPerSessionRateLimit":"1"}}}"#,
            r#"{"profileData":{"configuration":{"maxWsSessionsPerTenant":"1"}}}"#,
            r#"{"profileData":{"configuration":{"maxUsers":1.5}}}"#,
            r#"{"profileData":{"configuration":[]}}"#,
            r#"{"profileData":{"configuration":{"transportDeviceMsgRateLimit":20}}}"#,
            r#"{"profileData":{"configuration":{"transportDeviceTelemetryMsgRateLimit":"1:1,2:1"}}}"#,
        ] {
            assert_eq!(draft(wrong).expect_err(wrong).code(), 31, "{wrong}");
        }
    }

    #[test]
    fn members_that_were_left_out_have_their_default_and_unknown_ones_stay() {
        let sent = r#"{"configuration":{"type":"DEFAULT","maxDevices":5,"ofTomorrow":[1]},"x":{}}"#;
        let data: Value = serde_json::from_str(&complete(sent).expect("fine")).expect("JSON");
        let it = &data["configuration"];
        assert_eq!(
            (&it["maxDevices"], &it["ofTomorrow"]),
            (&Value::from(5), &serde_json::json!([1]))
        );
        assert_eq!((&it["maxCustomers"], &it["smsEnabled"]), (&Value::from(0), &Value::Null));
        assert_eq!(it["maxDataPointsPerRollingArg"], 1_000);
        assert_eq!(
            (&data["queueConfiguration"], &data["x"]),
            (&Value::Null, &serde_json::json!({}))
        );
        let whole = complete(DEFAULT_PROFILE_DATA).expect("fine");
        assert_eq!(whole, DEFAULT_PROFILE_DATA.trim_end(), "a whole one stays as it is");
    }
}
