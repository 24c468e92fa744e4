//! The API as its clients meet it, on an invented node.

mod accounts;
mod calls;
mod devices;
mod packages;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::routes;
use crate::config::ApiConfig;
use crate::fake::{World, token};
use crate::route::Who;

/// The routes that nobody needs a credential for; everything else must be refused without one.
const PUBLIC: &[&str] = &[
    "GET /",
    "GET /activate",
    "GET /activate.js",
    "GET /api/device-connectivity/{protocol}/certificate/download",
    "GET /api/noauth/activate",
    "GET /api/noauth/resetPassword",
    "GET /api/noauth/userPasswordPolicy",
    "GET /api/thingport/client-rpc",
    "GET /api/uiSettings/helpBaseUrl",
    "GET /api/ws",
    "GET /api/ws/plugins/telemetry",
    "GET /link-expired",
    "GET /reset-password",
    "GET /swagger-ui.html",
    "GET /swagger-ui/browse.js",
    "GET /swagger-ui/index.html",
    "GET /swagger-ui/page.css",
    "GET /v3/api-docs",
    "GET /v3/api-docs/thingsboard",
    "POST /api/auth/login",
    "POST /api/auth/login/public",
    "POST /api/auth/token",
    "POST /api/noauth/activate",
    "POST /api/noauth/oauth2Clients",
    "POST /api/noauth/resetPassword",
    "POST /api/noauth/resetPasswordByEmail",
];

fn concrete(path: &str) -> String {
    let id = "2c7d1e40-5a7e-11f0-9a01-0f2d5c7e8a11";
    let parts = path.split('/').map(|part| match part {
        "{entityType}" => "DEVICE",
        "{scope}" => "SHARED_SCOPE",
        "{ttl}" => "60",
        "{enabled}" => "true",
        "{key}" => "general",
        part if part.starts_with('{') => id,
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn no_route_but_the_public_ones_answers_without_a_credential() {
    let world = World::new().await;
    let mut public = Vec::new();
    for route in routes() {
        let name = format!("{} {}", route.method, route.path);
        if route.who == Who::Public {
            public.push(name);
            continue;
        }
        for bad in ["", "x", "a.b.c"] {
            let answer = world.ask(route.method.clone(), &concrete(route.path), bad, "{}").await;
            assert_eq!(answer.refusal(), (401, 10), "{name} with {bad:?}");
        }
    }
    public.sort();
    assert_eq!(public, PUBLIC);
}

#[tokio::test]
async fn every_role_is_refused_where_the_table_does_not_name_it() {
    let world = World::new().await;
    let people = [("sysadmin", "sysadmin"), ("tenant", "tenant"), ("customer", "customer")];
    for (authority, (user, password)) in thingport_model::user::Authority::ALL.iter().zip(people) {
        let token = token(&world.login(user, password).await);
        for route in routes() {
            let Who::People(roles) = route.who else { continue };
            if roles.contains(authority) {
                continue;
            }
            let answer = world.ask(route.method.clone(), &concrete(route.path), &token, "{}").await;
            assert_eq!(answer.refusal(), (403, 20), "{user}: {} {}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_with_the_error_object() {
    let world = World::new().await;
    assert_eq!(world.get("/api/nothing", "").await.refusal(), (404, 32));
    assert_eq!(world.get("/api/rpc/threeway/x", "").await.refusal(), (404, 32));
    assert_eq!(world.post("/api/v1/TOKEN/telemetry", "", "{}").await.refusal(), (404, 32));
    let put = world.ask(Method::PUT, "/api/device", "", "{}").await;
    assert_eq!(put.refusal().0, 405);
    let page = world.get("/somewhere", "").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text.contains("Thingport"));
    assert_eq!(world.get("/swagger-ui.html", "").await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn other_origins_may_ask_and_a_preflight_needs_no_credential() {
    let world = World::new().await;
    let request = Request::options("/api/device/x")
        .header("Origin", "http://elsewhere")
        .header("Access-Control-Request-Method", "DELETE")
        .header("Access-Control-Request-Headers", "authorization,x-authorization");
    let answer = world.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert_eq!(answer.headers["access-control-allow-headers"], "authorization,x-authorization");
    let request = Request::get("/api/device/x").header("Origin", "http://elsewhere");
    let answer = world.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn a_body_too_large_is_answered_with_a_json_string() {
    let config = ApiConfig { body_max: 100, ..ApiConfig::default() };
    let world = World::with(config).await;
    let answer = world.post("/api/auth/login", "", &"x".repeat(101)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.json().is_string());
    // Without an announced length the bound still holds.
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>("x".repeat(101))]);
    let request = Request::post("/api/auth/login").body(Body::from_stream(chunks));
    let answer = world.send(request.expect("a request")).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn more_requests_than_the_bound_are_refused_at_once() {
    let world = World::with(ApiConfig { requests_max: 0, ..ApiConfig::default() }).await;
    let answer = world.get("/api/noauth/userPasswordPolicy", "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "1");
    let config = ApiConfig { request_timeout: Duration::ZERO, ..ApiConfig::default() };
    let answer = World::with(config).await.try_login("tenant@thingsboard.org", "tenant").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_session_lives_from_login_to_logout() {
    let world = World::new().await;
    let pair = world.login("tenant", "tenant").await;
    assert_eq!(pair.as_object().map(serde_json::Map::len), Some(2));
    let first = token(&pair);
    let user = world.get("/api/auth/user", &first).await.json();
    assert_eq!(
        (&user["email"], &user["authority"]),
        (&json!("tenant@thingsboard.org"), &json!("TENANT_ADMIN"))
    );
    assert_eq!(user["additionalInfo"]["userActivated"], true);

    let refresh = pair["refreshToken"].as_str().expect("a token");
    assert_eq!(world.get("/api/auth/user", refresh).await.refusal(), (401, 10));
    let renewed = |token: &str| json!({ "refreshToken": token }).to_string();
    assert_eq!(world.post("/api/auth/token", "", &renewed(&first)).await.refusal(), (401, 10));
    world.clock.advance(9_001_000);
    assert_eq!(world.get("/api/auth/user", &first).await.refusal(), (401, 11));
    let second = world.post("/api/auth/token", "", &renewed(refresh)).await.json();
    let second = token(&second);
    assert_eq!(world.get("/api/auth/user", &second).await.status, StatusCode::OK);

    let logout = world.post("/api/auth/logout", &second, "{}").await;
    assert_eq!((logout.status, logout.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(world.get("/api/auth/user", &second).await.refusal(), (401, 11));
    assert_eq!(world.post("/api/auth/token", "", &renewed(refresh)).await.refusal(), (401, 11));
}

#[tokio::test]
async fn a_new_password_ends_older_sessions() {
    let world = World::new().await;
    let old = world.tenant().await;
    world.clock.advance(1);
    let change =
        |from: &str, to: &str| json!({"currentPassword": from, "newPassword": to}).to_string();
    let path = "/api/auth/changePassword";
    assert_eq!(world.post(path, &old, &change("wrong", "better-one")).await.refusal(), (400, 31));
    assert_eq!(world.post(path, &old, &change("tenant", "short")).await.refusal(), (400, 31));
    let pair = world.post(path, &old, &change("tenant", "better-one")).await.json();
    assert_eq!(world.get("/api/auth/user", &old).await.refusal(), (401, 11));
    assert_eq!(world.get("/api/auth/user", &token(&pair)).await.status, StatusCode::OK);
    assert_eq!(world.try_login("tenant@thingsboard.org", "tenant").await.refusal(), (401, 10));
    world.login("tenant", "better-one").await;
}

#[tokio::test]
async fn guessing_passwords_is_stopped_after_ten_tries_a_minute() {
    let world = World::new().await;
    for user in ["tenant@thingsboard.org", "nobody@nowhere"] {
        for _ in 0..10 {
            assert_eq!(world.try_login(user, "wrong").await.refusal(), (401, 10));
        }
        let answer = world.try_login(user, "tenant").await;
        assert_eq!(answer.refusal(), (401, 10));
        assert!(answer.text.contains("minute"), "{}", answer.text);
    }
    world.clock.advance(60_000);
    world.login("tenant", "tenant").await;
}

#[tokio::test]
async fn a_new_user_sets_a_password_by_the_activation_link() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let body = json!({"email": "new@x.org", "authority": "TENANT_ADMIN"}).to_string();
    assert_eq!(world.post("/api/user", &admin, &body).await.refusal(), (400, 31));
    let user = world.post("/api/user?sendActivationMail=false", &admin, &body).await.json();
    let id = user["id"]["id"].as_str().expect("an id");
    let link = world.get(&format!("/api/user/{id}/activationLink"), &admin).await.text;
    let (_, activate) = link.split_once("activateToken=").expect("a token at the end");
    let body = json!({"activateToken": activate, "password": "first-one"}).to_string();
    let path = "/api/noauth/activate?sendActivationMail=false";
    let pair = world.post(path, "", &body).await.json();
    assert_eq!(world.get("/api/auth/user", &token(&pair)).await.json()["id"], user["id"]);
    assert_eq!(world.post(path, "", &body).await.refusal(), (400, 31));

    world.clock.advance(1);
    let lock = format!("/api/user/{id}/userCredentialsEnabled?userCredentialsEnabled=false");
    assert_eq!(world.post(&lock, &admin, "").await.status, StatusCode::OK);
    assert_eq!(world.get("/api/auth/user", &token(&pair)).await.refusal(), (401, 10));
    assert_eq!(world.try_login("new@x.org", "first-one").await.refusal(), (401, 10));
}

#[tokio::test]
async fn a_device_is_created_found_changed_and_deleted() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let body = r#"{"name":"My dev","type":"pump","id":null,"version":null,"unknown":[1]}"#;
    let device = world.post("/api/device?accessToken=TOKEN_1", &admin, body).await.json();
    assert_eq!((&device["type"], &device["version"]), (&json!("pump"), &json!(1)));
    let id = device["id"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(world.get(&format!("/api/device/{id}"), &admin).await.json(), device);
    let by_name = world.get("/api/tenant/devices?deviceName=My%20dev", &admin).await;
    assert_eq!(by_name.json(), device);
    assert_eq!(world.get("/api/tenant/devices?deviceName=none", &admin).await.refusal(), (404, 32));
    assert_eq!(world.post("/api/device", &admin, body).await.refusal(), (400, 31));

    let credentials = world.get(&format!("/api/device/{id}/credentials"), &admin).await.json();
    assert_eq!(credentials["credentialsId"], "TOKEN_1");
    let mut changed = credentials.clone();
    changed["credentialsType"] = json!("MQTT_BASIC");
    changed["credentialsValue"] = json!(r#"{"userName":"u","password":"p"}"#);
    let saved = world.post("/api/device/credentials", &admin, &changed.to_string()).await.json();
    assert_eq!((&saved["credentialsId"], &saved["version"]), (&json!("u"), &json!(2)));
    assert_eq!(
        world.post("/api/device/credentials", &admin, &changed.to_string()).await.refusal(),
        (409, 35)
    );

    let page =
        world.get("/api/tenant/deviceInfos?pageSize=10&page=0&textSearch=my%20D", &admin).await;
    let page = page.json();
    assert_eq!((&page["totalElements"], &page["hasNext"]), (&json!(1), &json!(false)));
    assert_eq!(page["data"][0]["active"], false);
    assert_eq!(world.get("/api/tenant/devices?pageSize=10", &admin).await.refusal(), (400, 31));
    let active = "/api/tenant/deviceInfos?pageSize=3&page=0&active=true";
    assert_eq!(world.get(active, &admin).await.json()["totalElements"], 0);

    let path = format!("/api/device/{id}");
    assert_eq!(world.ask(Method::DELETE, &path, &admin, "{}").await.status, StatusCode::OK);
    assert_eq!(world.ask(Method::DELETE, &path, &admin, "").await.refusal(), (404, 32));
    assert_eq!(world.get("/api/device/none", &admin).await.refusal(), (400, 31));
}

async fn demo_device(world: &World, token: &str) -> String {
    let device = world.get("/api/tenant/devices?deviceName=Test%20Device%20A1", token).await.json();
    device["id"]["id"].as_str().expect("the demo device").to_owned()
}

#[tokio::test]
async fn readings_are_written_read_aggregated_and_deleted() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let id = demo_device(&world, &admin).await;
    let prefix = format!("/api/plugins/telemetry/DEVICE/{id}");
    for (ts, value) in [(1_000, "20.5"), (2_000, "21.5"), (3_000, "1e7")] {
        let body = format!(r#"{{"ts":{ts},"values":{{"temperature":{value},"n":{ts}}}}}"#);
        let path = format!("{prefix}/timeseries/ANY?scope=ANY");
        let answer = world.post(&path, &admin, &body).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
    }
    let get = async |rest: &str| world.get(&format!("{prefix}/{rest}"), &admin).await;
    assert_eq!(get("keys/timeseries").await.text, r#"["n","temperature"]"#);
    assert_eq!(
        get("values/timeseries?keys=temperature%2Cnone").await.text,
        r#"{"none":[{"ts":1767225600000,"value":null}],"temperature":[{"ts":3000,"value":"1.0E7"}]}"#
    );
    let history = "values/timeseries?keys=n,none&startTs=1000&endTs=3000";
    assert_eq!(
        get(history).await.text,
        r#"{"n":[{"ts":2000,"value":"2000"},{"ts":1000,"value":"1000"}]}"#
    );
    let strict = "values/timeseries/history?key=temperature&startTs=0&endTs=4000&limit=1&useStrictDataTypes=true";
    assert_eq!(get(strict).await.text, r#"{"temperature":[{"ts":3000,"value":1.0E7}]}"#);
    let average = "values/timeseries?keys=n&startTs=0&endTs=4000&agg=AVG&interval=2000";
    assert_eq!(
        get(average).await.text,
        r#"{"n":[{"ts":1000,"value":"1000.0"},{"ts":3000,"value":"2500.0"}]}"#
    );

    let delete = |query: &str| format!("{prefix}/timeseries/delete?{query}");
    for wrong in ["", "keys=n", "keys=n&startTs=1"] {
        let answer = world.ask(Method::DELETE, &delete(wrong), &admin, "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert!(!answer.text.starts_with('{'), "plain text: {}", answer.text);
    }
    let all = delete("keys=n&deleteAllDataForKeys=true");
    assert_eq!(world.ask(Method::DELETE, &all, &admin, "{}").await.status, StatusCode::OK);
    assert_eq!(get("keys/timeseries").await.text, r#"["temperature"]"#);
}

#[tokio::test]
async fn attributes_are_written_read_and_deleted_in_their_scopes() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let id = demo_device(&world, &admin).await;
    let prefix = format!("/api/plugins/telemetry/DEVICE/{id}");
    let paths = [
        format!("/api/plugins/telemetry/{id}/SHARED_SCOPE"),
        format!("{prefix}/SHARED_SCOPE"),
        format!("{prefix}/attributes/SHARED_SCOPE"),
    ];
    for path in paths {
        let request = Request::post(path)
            .header("X-Authorization", format!("Bearer {admin}"))
            .header("Content-Type", "text/plain")
            .body(Body::from(r#"{"starts":12,"limits":{"min":1}}"#));
        assert_eq!(world.send(request.expect("a request")).await.status, StatusCode::OK);
    }
    let values = world.get(&format!("{prefix}/values/attributes/SHARED_SCOPE"), &admin).await;
    assert_eq!(
        values.text,
        r#"[{"lastUpdateTs":1767225600000,"key":"limits","value":{"min":1}},{"lastUpdateTs":1767225600000,"key":"starts","value":12}]"#
    );
    let keys = world.get(&format!("{prefix}/keys/attributes"), &admin).await;
    assert_eq!(keys.text, r#"["active","limits","starts"]"#);
    for (path, body) in [
        (format!("{prefix}/CLIENT_SCOPE"), r#"{"a":1}"#),
        (format!("{prefix}/OTHER_SCOPE"), r#"{"a":1}"#),
        (format!("{prefix}/SHARED_SCOPE"), "{}"),
        (format!("{prefix}/SHARED_SCOPE"), "no json"),
        (format!("{prefix}/SHARED_SCOPE"), r#"{"":1}"#),
    ] {
        let answer = world.post(&path, &admin, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}");
        assert!(serde_json::from_str::<Value>(&answer.text).is_err(), "{}", answer.text);
    }
    let delete = format!("/api/plugins/telemetry/{id}/SHARED_SCOPE");
    assert_eq!(
        world.ask(Method::DELETE, &delete, &admin, "").await.status,
        StatusCode::BAD_REQUEST
    );
    let delete = format!("{delete}?keys=starts%2Cnone");
    assert_eq!(world.ask(Method::DELETE, &delete, &admin, "").await.status, StatusCode::OK);
    let keys = world.get(&format!("{prefix}/keys/attributes/SHARED_SCOPE"), &admin).await;
    assert_eq!(keys.text, r#"["limits"]"#);
    let missing =
        "/api/plugins/telemetry/DEVICE/2c7d1e40-5a7e-11f0-9a01-0f2d5c7e8a11/values/attributes";
    let answer = world.get(missing, &admin).await;
    assert_eq!((answer.status, answer.text.contains('{')), (StatusCode::NOT_FOUND, false));
}

#[tokio::test]
async fn a_customer_sees_only_its_own_devices_and_a_guest_writes_nothing() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let customer = token(&world.login("customer", "customer").await);
    let own = demo_device(&world, &admin).await;
    let foreign =
        world.get("/api/tenant/devices?deviceName=Test%20Device%20B1", &admin).await.json();
    let foreign = foreign["id"]["id"].as_str().expect("an id");
    assert_eq!(world.get(&format!("/api/device/{own}"), &customer).await.status, StatusCode::OK);
    assert_eq!(world.get(&format!("/api/device/{foreign}"), &customer).await.refusal(), (403, 20));

    let assigned = world.post(&format!("/api/customer/public/device/{foreign}"), &admin, "").await;
    let public = assigned.json()["customerId"]["id"].as_str().expect("an id").to_owned();
    let body = json!({"publicId": public}).to_string();
    let guest = token(&world.post("/api/auth/login/public", "", &body).await.json());
    let prefix = format!("/api/plugins/telemetry/DEVICE/{foreign}");
    let read = world.get(&format!("{prefix}/values/timeseries"), &guest).await;
    assert_eq!((read.status, read.text.as_str()), (StatusCode::OK, "{}"));
    let write = world.post(&format!("{prefix}/timeseries/ANY"), &guest, r#"{"a":1}"#).await;
    assert_eq!(write.status, StatusCode::FORBIDDEN);
    assert_eq!(world.get(&format!("/api/device/{own}"), &guest).await.refusal(), (403, 20));
}

#[tokio::test]
async fn profiles_come_back_as_they_were_saved() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let body = r#"{"name":"p","type":"DEFAULT","transportType":"MQTT","profileData":{
        "transportConfiguration":{"type":"MQTT","deviceTelemetryTopic":"t/+"},"alarms":[]}}"#;
    let saved = world.post("/api/deviceProfile", &admin, body).await.json();
    let id = saved["id"]["id"].as_str().expect("an id");
    assert_eq!(saved["profileData"]["transportConfiguration"]["deviceTelemetryTopic"], "t/+");
    assert_eq!(saved["profileData"]["provisionConfiguration"], Value::Null);
    let again = world.post("/api/deviceProfile", &admin, &saved.to_string()).await.json();
    assert_eq!(again["version"], 2);
    let short = world.get(&format!("/api/deviceProfileInfo/{id}"), &admin).await.json();
    assert_eq!(
        (&short["name"], short.as_object().map(serde_json::Map::len)),
        (&json!("p"), Some(7))
    );
    let page = world.get("/api/deviceProfiles?pageSize=1000&page=0", &admin).await.json();
    assert!(page["totalElements"].as_u64() >= Some(2));
}

#[tokio::test]
async fn system_administrators_see_tenants_and_no_devices() {
    let world = World::new().await;
    let system = token(&world.login("sysadmin", "sysadmin").await);
    let page = world.get("/api/tenantInfos?pageSize=10&page=0", &system).await.json();
    assert_eq!(
        (&page["data"][0]["name"], &page["data"][0]["tenantProfileName"]),
        (&json!("Tenant"), &json!("Default"))
    );
    let id = demo_device(&world, &world.tenant().await).await;
    let path = format!("/api/plugins/telemetry/DEVICE/{id}/values/timeseries");
    assert_eq!(world.get(&path, &system).await.refusal(), (403, 20));
    let reasons = world.get("/api/thingport/reasons", &system).await.json();
    assert!(reasons.as_array().is_some_and(|reasons| reasons.len() > 20));
}

#[tokio::test]
async fn every_route_of_the_api_is_described_once_and_says_what_it_is_for() {
    let document = World::new().await.get("/v3/api-docs", "").await.json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut ids = BTreeSet::new();
    for route in routes() {
        assert!(route.about.ends_with('.'), "{} {}", route.method, route.path);
        let is_page = !route.path.starts_with("/api/") && !route.path.starts_with("/v3/");
        assert_eq!(document["paths"][route.path].is_null(), is_page, "{}", route.path);
        if is_page {
            continue;
        }
        let method = route.method.as_str().to_ascii_lowercase();
        let id = document["paths"][route.path][method]["operationId"].as_str().expect(route.path);
        assert!(ids.insert(id.to_owned()), "{id} twice");
    }
    assert!(ids.contains("getDeviceInfoByDeviceId"));
    for reference in document.to_string().split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(!document["components"]["schemas"][name].is_null(), "{name}");
    }
}

/// Each incident and each row is compared with what is sought.
#[tokio::test]
async fn a_text_that_is_sought_is_short() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let (short, long) = ("a".repeat(256), "a".repeat(257));
    let names = ["clientId", "userName", "text", "address", "fingerprint", "reason", "deviceId"];
    for name in names {
        let path = |text: &str| format!("/api/thingport/events?{name}={text}");
        let refused = world.get(&path(&long), &admin).await;
        assert_eq!(refused.refusal(), (400, 31), "{name}");
        let message = refused.json()["message"].as_str().expect("a sentence").to_owned();
        assert_eq!(message, format!("{name} is longer than 256 bytes"));
        let body = serde_json::json!({ name: long }).to_string();
        let refused = world.post("/api/thingport/explain", &admin, &body).await;
        assert_eq!(refused.json()["message"], message);
    }
    for name in &names[..3] {
        let path = format!("/api/thingport/events?{name}={short}");
        assert_eq!(world.get(&path, &admin).await.status, StatusCode::OK, "{name}");
    }
    let page = |text: &str| format!("/api/tenant/devices?pageSize=1&page=0&textSearch={text}");
    assert_eq!(world.get(&page(&short), &admin).await.status, StatusCode::OK);
    assert_eq!(world.get(&page(&long), &admin).await.refusal(), (400, 31));
}
