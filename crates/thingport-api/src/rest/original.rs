//! What the original user interface asks for at its start and needs an answer to (REST API section 19).

use axum::Json;
use serde_json::{Value, json};

use crate::auth::SignedIn;
use crate::route::{Route, S_T_C, Who, optional};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/system/params", params)
            .who(S_T_C)
            .about("Flags of the original user interface: what it may offer here.")
            .answer_any(),
        Route::get("/api/uiSettings/helpBaseUrl", help)
            .who(Who::Public)
            .about("Where the original user interface looks for help.")
            .answer_text(),
        Route::post("/api/noauth/oauth2Clients", sign_in_elsewhere)
            .who(Who::Public)
            .about("Other ways to sign in: none.")
            .query(&[optional("platform", "Not looked at."), optional("pkgName", "Not looked at.")])
            .answer_any(),
    ]
}

async fn params(_: SignedIn) -> Json<Value> {
    Json(json!({
        "userTokenAccessEnabled": false, "allowedDashboardIds": [], "edgesSupportEnabled": false,
        "hasRepository": false, "tbelEnabled": false, "persistDeviceStateToTelemetry": false,
        "userSettings": {"openedMenuSections": []}, "maxDatapointsLimit": 50_000, "maxResourceSize": 0,
        "mobileQrEnabled": false, "maxDebugModeDurationMinutes": 15,
        "ruleChainDebugPerTenantLimitsConfiguration": null,
        "calculatedFieldDebugPerTenantLimitsConfiguration": null,
        "maxCalculatedFieldsPerEntity": 5, "maxArgumentsPerCF": 10,
        "minAllowedScheduledUpdateIntervalInSecForCF": 10, "maxRelationLevelPerCfArgument": 2,
        "maxRelatedEntitiesToReturnPerCfArgument": 100, "maxDataPointsPerRollingArg": 1_000,
        "minAllowedDeduplicationIntervalInSecForCF": 10, "minAllowedAggregationIntervalInSecForCF": 60,
        "intermediateAggregationIntervalInSecForCF": 300, "trendzSettings": null,
        "allowKeyFiltersOrConditions": false, "nullsOrderStrategy": "default", "edqsEnabled": false,
        "iotHubBaseUrl": null,
    }))
}

async fn help() -> &'static str {
    "https://thingsboard.io"
}

async fn sign_in_elsewhere() -> Json<Value> {
    Json(json!([]))
}
