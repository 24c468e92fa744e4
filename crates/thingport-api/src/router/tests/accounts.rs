//! Logins, links, API keys, limits and settings of people.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::config::ApiConfig;
use crate::fake::{Answer, World, token};

/// An identifier of a body.
fn id(body: &Value) -> String {
    body["id"]["id"].as_str().expect("an id").to_owned()
}

/// A user of the demo tenant without a password.
async fn new_user(world: &World, admin: &str, email: &str) -> String {
    let body = json!({"email": email, "authority": "TENANT_ADMIN"}).to_string();
    let answer = world.post("/api/user?sendActivationMail=false", admin, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    id(&answer.json())
}

async fn activation_token(world: &World, admin: &str, user: &str) -> String {
    let link = world.get(&format!("/api/user/{user}/activationLink"), admin).await.text;
    link.split_once("/api/noauth/activate?activateToken=").expect("a token at the end").1.to_owned()
}

async fn activate(world: &World, activate: &str, password: &str) -> Answer {
    let body = json!({"activateToken": activate, "password": password}).to_string();
    world.post("/api/noauth/activate?sendActivationMail=false", "", &body).await
}

async fn with_key(world: &World, header: &str, path: &str, key: &str) -> Answer {
    let request = Request::get(path).header(header, format!("ApiKey {key}"));
    world.send(request.body(Body::empty()).expect("a request")).await
}

async fn new_key(world: &World, caller: &str, body: Value) -> Value {
    let answer = world.post("/api/apiKey", caller, &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

async fn own_id(world: &World, caller: &str) -> String {
    id(&world.get("/api/auth/user", caller).await.json())
}

#[tokio::test]
async fn an_api_key_opens_what_its_user_may_until_it_is_taken_away() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let user = own_id(&world, &admin).await;
    let made = new_key(&world, &admin, json!({"description": "backup"})).await;
    let value = made["value"].as_str().expect("shown once").to_owned();
    assert!(value.starts_with("tp_") && value.len() == 89, "{value}");
    assert_eq!((&made["enabled"], &made["expired"]), (&json!(true), &json!(false)));
    assert_eq!((&made["expirationTime"], &made["userId"]["id"]), (&json!(0), &json!(user)));
    assert_eq!(made["id"]["entityType"], "API_KEY");
    for header in ["X-Authorization", "Authorization"] {
        let answer = with_key(&world, header, "/api/auth/user", &value).await;
        assert_eq!(id(&answer.json()), user, "{header}");
    }
    let denied = with_key(&world, "Authorization", "/api/tenants?pageSize=1&page=0", &value).await;
    assert_eq!(denied.refusal(), (403, 20));

    let page = format!("/api/apiKeys/{user}?pageSize=10&page=0&textSearch=BACK");
    let page = world.get(&page, &admin).await.json();
    assert_eq!((&page["totalElements"], &page["data"][0]["value"]), (&json!(1), &Value::Null));
    assert!(!page.to_string().contains(&value));
    let key = id(&made);
    let path = format!("/api/apiKey/{key}/description");
    for body in ["\"quoted\"", "bare"] {
        let answer = world.ask(Method::PUT, &path, &admin, body).await.json();
        assert_eq!(answer["description"], body.trim_matches('"'));
    }
    assert_eq!(world.ask(Method::PUT, &path, &admin, " ").await.refusal(), (400, 31));

    // Python's client writes flags as its language does.
    for (enabled, status) in [("false", 401), ("true", 200), ("False", 401), ("True", 200)] {
        let path = format!("/api/apiKey/{key}/enabled/{enabled}");
        let answer = world.ask(Method::PUT, &path, &admin, "").await.json();
        assert_eq!(answer["enabled"], status == 200);
        let answer = with_key(&world, "Authorization", "/api/auth/user", &value).await;
        assert_eq!(answer.status.as_u16(), status, "enabled {enabled}");
    }
    let deleted = world.ask(Method::DELETE, &format!("/api/apiKey/{key}"), &admin, "{}").await;
    assert_eq!((deleted.status, deleted.text.as_str()), (StatusCode::OK, ""));
    let answer = with_key(&world, "Authorization", "/api/auth/user", &value).await;
    assert_eq!(answer.refusal(), (401, 10));
    let again = world.ask(Method::DELETE, &format!("/api/apiKey/{key}"), &admin, "").await;
    assert_eq!(again.refusal(), (404, 32));
    for unknown in ["", "tp_x", "x".repeat(100_000).as_str()] {
        let answer = with_key(&world, "Authorization", "/api/auth/user", unknown).await;
        assert_eq!(answer.refusal(), (401, 10));
    }
}

#[tokio::test]
async fn a_key_expires_is_changed_by_its_id_and_ends_with_its_user() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let user = new_user(&world, &admin, "robot@x.org").await;
    let pair = activate(&world, &activation_token(&world, &admin, &user).await, "secret-1").await;
    let robot = token(&pair.json());
    let soon = world.api.now().ms() + 1_000;
    let owner = json!({"entityType": "USER", "id": user});
    let made = new_key(
        &world,
        &admin,
        json!({"userId": owner, "description": "of another", "expirationTime": soon}),
    )
    .await;
    let value = made["value"].as_str().expect("shown once").to_owned();
    let status = async || with_key(&world, "Authorization", "/api/auth/user", &value).await.status;
    assert_eq!(status().await, StatusCode::OK);
    world.clock.advance(1_000);
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
    let page = world.get(&format!("/api/apiKeys/{user}?pageSize=1&page=0"), &robot).await.json();
    assert_eq!(page["data"][0]["expired"], true);
    let longer = json!({"id": made["id"], "userId": owner, "description": "longer", "enabled": true,
        "expirationTime": 0});
    let saved = new_key(&world, &robot, longer).await;
    assert_eq!((&saved["value"], &saved["description"]), (&Value::Null, &json!("longer")));
    assert_eq!(status().await, StatusCode::OK);

    let locked = format!("/api/user/{user}/userCredentialsEnabled?userCredentialsEnabled=");
    assert!(world.post(&format!("{locked}false"), &admin, "").await.status.is_success());
    assert_eq!(status().await, StatusCode::UNAUTHORIZED, "the user is locked");
    assert!(world.post(&format!("{locked}true"), &admin, "").await.status.is_success());
    assert_eq!(status().await, StatusCode::OK);
    let deleted = world.ask(Method::DELETE, &format!("/api/user/{user}"), &admin, "").await;
    assert_eq!(deleted.status, StatusCode::OK);
    assert_eq!(status().await, StatusCode::UNAUTHORIZED, "the user is gone");

    let past = json!({"description": "d", "expirationTime": 1}).to_string();
    for wrong in
        ["{}", r#"{"description":" "}"#, r#"{"description":"d","expirationTime":-1}"#, &past]
    {
        assert_eq!(world.post("/api/apiKey", &admin, wrong).await.refusal(), (400, 31), "{wrong}");
    }
}

#[tokio::test]
async fn keys_belong_to_those_who_may_change_the_user() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let customer = token(&world.login("customer", "customer").await);
    let colleague = token(&world.login("customerA", "customer").await);
    let system = token(&world.login("sysadmin", "sysadmin").await);
    let user = own_id(&world, &customer).await;
    let owner = json!({"entityType": "USER", "id": user});
    let key = new_key(&world, &customer, json!({"description": "mine"})).await;
    let path = format!("/api/apiKey/{}/enabled/false", id(&key));
    let list = format!("/api/apiKeys/{user}?pageSize=1&page=0");
    for (who, token, status) in
        [("colleague", &colleague, 403), ("system", &system, 403), ("admin", &admin, 200)]
    {
        let body = json!({"userId": owner, "description": "for you"}).to_string();
        assert_eq!(world.post("/api/apiKey", token, &body).await.status.as_u16(), status, "{who}");
        assert_eq!(world.get(&list, token).await.status.as_u16(), status, "{who}");
        let answer = world.ask(Method::PUT, &path, token, "").await;
        assert_eq!(answer.status.as_u16(), status, "{who}");
    }
    // A key has no session: it cannot be logged out.
    let value = new_key(&world, &admin, json!({"description": "d"})).await["value"].clone();
    let logout = Request::post("/api/auth/logout")
        .header("Authorization", format!("ApiKey {}", value.as_str().expect("a value")));
    let answer = world.send(logout.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.refusal(), (400, 31));
}

#[tokio::test]
async fn an_activation_link_leads_to_the_page_works_once_and_expires() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let user = new_user(&world, &admin, "new@x.org").await;
    let link = world.get(&format!("/api/user/{user}/activationLinkInfo"), &admin).await.json();
    assert_eq!(link["ttlMs"], 86_400_000);
    let open = async |token: &str| {
        let answer = world.get(&format!("/api/noauth/activate?activateToken={token}"), "").await;
        let location =
            answer.headers.get("location").map(|it| it.to_str().expect("text").to_owned());
        (answer.status.as_u16(), location)
    };
    let token = activation_token(&world, &admin, &user).await;
    let page = format!("/activate?activateToken={token}");
    assert_eq!(open(&token).await, (303, Some(page)));
    assert_eq!(open("e30.e30.e30").await, (409, None));
    assert_eq!(activate(&world, &token, "short").await.refusal(), (400, 31));
    world.clock.advance(86_400_000);
    assert_eq!(open(&token).await, (303, Some("/link-expired".to_owned())));
    assert_eq!(activate(&world, &token, "long-enough").await.refusal(), (400, 31));
    let admin = world.tenant().await;
    let token = activation_token(&world, &admin, &user).await;
    let (one, two) = tokio::join!(
        activate(&world, &token, "long-enough"),
        activate(&world, &token, "long-enough-too"),
    );
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400], "of two at once one wins");
    assert_eq!(open(&token).await, (409, None), "it was used");
    let again = world.get(&format!("/api/user/{user}/activationLink"), &admin).await;
    assert_eq!(again.refusal(), (400, 31));
}

#[tokio::test]
async fn mail_that_cannot_be_sent_is_refused_with_a_sentence() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let body = json!({"email": "mail@x.org", "authority": "TENANT_ADMIN"}).to_string();
    for path in ["/api/user", "/api/user?sendActivationMail=true"] {
        let answer = world.post(path, &admin, &body).await;
        assert_eq!(answer.refusal(), (400, 31), "{path}");
        assert!(answer.text.contains("sends no mail"), "{}", answer.text);
    }
    new_user(&world, &admin, "mail@x.org").await;
    let send = async |email: &str| {
        let path = format!("/api/user/sendActivationMail?email={email}");
        world.post(&path, &admin, "").await
    };
    assert_eq!(send("mail@x.org").await.refusal(), (400, 31));
    assert_eq!(send("nobody@x.org").await.refusal(), (404, 32));
    assert_eq!(send("sysadmin@thingsboard.org").await.refusal(), (404, 32), "not of this tenant");
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_a_link_once() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let customer = token(&world.login("customer", "customer").await);
    let user = own_id(&world, &customer).await;
    for email in ["customer@thingsboard.org", "nobody@nowhere"] {
        let body = json!({"email": email}).to_string();
        let answer = world.post("/api/noauth/resetPasswordByEmail", "", &body).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""), "{email}");
    }
    let path = format!("/api/thingport/users/{user}/resetLink");
    assert_eq!(world.get(&path, &customer).await.refusal(), (403, 20));
    world.clock.advance(1);
    let link = world.get(&path, &admin).await.json()["value"].as_str().expect("a link").to_owned();
    let (_, token) = link.split_once("/api/noauth/resetPassword?resetToken=").expect("a token");
    let open = async || {
        let answer = world.get(&format!("/api/noauth/resetPassword?resetToken={token}"), "").await;
        answer.status.as_u16()
    };
    assert_eq!(open().await, 303);
    let body = json!({"resetToken": token, "password": "brand-new"}).to_string();
    world.clock.advance(1);
    let pair = world.post("/api/noauth/resetPassword", "", &body).await;
    assert_eq!(pair.status, StatusCode::OK, "{}", pair.text);
    assert_eq!(world.get("/api/auth/user", &customer).await.refusal(), (401, 11), "older session");
    world.login("customer", "brand-new").await;
    assert_eq!(world.post("/api/noauth/resetPassword", "", &body).await.refusal(), (400, 31));
    assert_eq!(open().await, 409);
    let activation = json!({"activateToken": token, "password": "brand-new"}).to_string();
    assert_eq!(world.post("/api/noauth/activate", "", &activation).await.refusal(), (400, 31));
}

#[tokio::test]
async fn a_session_stays_ended_when_the_server_starts_again() {
    let world = World::new().await;
    let pair = world.login("tenant", "tenant").await;
    let other = world.tenant().await;
    assert!(world.post("/api/auth/logout", &token(&pair), "").await.status.is_success());
    let world = world.restarted().await;
    assert_eq!(world.get("/api/auth/user", &token(&pair)).await.refusal(), (401, 11));
    let body = json!({"refreshToken": pair["refreshToken"]}).to_string();
    assert_eq!(world.post("/api/auth/token", "", &body).await.refusal(), (401, 11));
    assert_eq!(world.get("/api/auth/user", &other).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_login_works_although_the_clock_was_set_back() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let change = json!({"currentPassword": "tenant", "newPassword": "better-one"}).to_string();
    world.clock.advance(60_000);
    assert!(world.post("/api/auth/changePassword", &admin, &change).await.status.is_success());
    world.clock.set_back(30_000);
    let pair = world.login("tenant", "better-one").await;
    assert_eq!(world.get("/api/auth/user", &token(&pair)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn tokens_of_users_are_given_out_only_where_the_operator_allows_it() {
    let closed = World::new().await;
    let admin = closed.tenant().await;
    let customer = own_id(&closed, &token(&closed.login("customer", "customer").await)).await;
    assert_eq!(closed.get("/api/user/tokenAccessEnabled", &admin).await.text, "false");
    let path = format!("/api/user/{customer}/token");
    assert_eq!(closed.get(&path, &admin).await.refusal(), (403, 20));

    let config = ApiConfig { user_token_access: true, ..ApiConfig::default() };
    let world = World::with(config).await;
    let admin = world.tenant().await;
    let system = token(&world.login("sysadmin", "sysadmin").await);
    assert_eq!(world.get("/api/user/tokenAccessEnabled", &admin).await.text, "true");
    let customer = own_id(&world, &token(&world.login("customer", "customer").await)).await;
    let own = own_id(&world, &admin).await;
    let path = |id: &str| format!("/api/user/{id}/token");
    let pair = world.get(&path(&customer), &admin).await.json();
    assert_eq!(own_id(&world, &token(&pair)).await, customer);
    assert_eq!(world.get(&path(&own), &admin).await.refusal(), (403, 20));
    assert_eq!(world.get(&path(&customer), &system).await.refusal(), (403, 20));
    assert_eq!(world.get(&path(&own), &system).await.status, StatusCode::OK);
    // Also before the user is active (2.3), but not once it is locked.
    let user = new_user(&world, &admin, "new@x.org").await;
    let pair = world.get(&path(&user), &system).await.json();
    assert_eq!(own_id(&world, &token(&pair)).await, user);
    world.clock.advance(1);
    activate(&world, &activation_token(&world, &admin, &user).await, "long-enough").await;
    world.clock.advance(1);
    let lock = format!("/api/user/{user}/userCredentialsEnabled?userCredentialsEnabled=false");
    assert!(world.post(&lock, &admin, "").await.status.is_success());
    assert_eq!(world.get(&path(&user), &system).await.refusal(), (400, 31));
}

#[tokio::test]
async fn the_password_policy_is_in_force_once_it_is_saved() {
    let world = World::new().await;
    let pair = world.login("sysadmin", "sysadmin").await;
    let renewal = json!({"refreshToken": pair["refreshToken"]}).to_string();
    let system = token(&pair);
    let admin = world.tenant().await;
    let path = "/api/admin/securitySettings";
    let mut settings = world.get(path, &system).await.json();
    assert_eq!(settings["userActivationTokenTtl"], 24);
    assert_eq!(settings["passwordPolicy"]["maximumLength"], 72);
    settings["passwordPolicy"]["minimumDigits"] = json!(1);
    settings["passwordPolicy"]["passwordReuseFrequencyDays"] = json!(30);
    let saved = world.post(path, &system, &settings.to_string()).await;
    assert_eq!(saved.json(), settings);
    let policy = world.get("/api/noauth/userPasswordPolicy", "").await.json();
    assert_eq!(policy, settings["passwordPolicy"]);
    let mut at = admin;
    for (from, to, status) in [
        ("tenant", "no-digits", 400),
        ("tenant", "digits-1", 200),
        ("digits-1", "digits-1", 400),
        ("digits-1", "digits-2", 200),
        ("digits-2", "digits-1", 400),
    ] {
        world.clock.advance(1);
        let body = json!({"currentPassword": from, "newPassword": to}).to_string();
        let answer = world.post("/api/auth/changePassword", &at, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{from} to {to}: {}", answer.text);
        if status == 200 {
            at = token(&answer.json());
        }
    }
    settings["passwordPolicy"]["forceUserToResetPasswordIfNotValid"] = json!(true);
    world.post(path, &system, &settings.to_string()).await;
    let weak = world.try_login("customer@thingsboard.org", "customer").await;
    assert_eq!(weak.refusal(), (401, 45));
    world.login("tenant", "digits-2").await;

    settings["passwordPolicy"] = json!({"passwordExpirationPeriodDays": 1});
    settings["maxFailedLoginAttempts"] = json!(3);
    world.post(path, &system, &settings.to_string()).await;
    world.clock.advance(86_400_001);
    let old = world.try_login("tenant@thingsboard.org", "digits-2").await;
    assert_eq!(old.refusal(), (401, 15));
    let reset = old.json()["resetToken"].as_str().expect("a token").to_owned();
    let body = json!({"resetToken": reset, "password": "fresh-one"}).to_string();
    world.clock.advance(1);
    assert!(world.post("/api/noauth/resetPassword", "", &body).await.status.is_success());
    for _ in 0..3 {
        assert_eq!(world.try_login("tenant@thingsboard.org", "wrong").await.refusal(), (401, 10));
    }
    let locked = world.try_login("tenant@thingsboard.org", "fresh-one").await;
    assert_eq!(locked.refusal(), (401, 10), "three in a row lock the account");
    let system = token(&world.post("/api/auth/token", "", &renewal).await.json());
    for wrong in [r#"{"passwordPolicy":{"minimumLength":1}}"#, r#"{"userActivationTokenTtl":0}"#] {
        assert_eq!(world.post(path, &system, wrong).await.refusal(), (400, 31), "{wrong}");
    }
}

#[tokio::test]
async fn settings_of_the_installation_have_defaults_and_are_kept() {
    let world = World::new().await;
    let system = token(&world.login("sysadmin", "sysadmin").await);
    let get = async |key: &str| world.get(&format!("/api/admin/settings/{key}"), &system).await;
    let general = get("general").await.json();
    assert_eq!((&general["key"], &general["createdTime"]), (&json!("general"), &json!(0)));
    assert_eq!(general["jsonValue"]["prohibitDifferentUrl"], false);
    let connectivity = get("connectivity").await.json();
    let mqtt = json!({"enabled": true, "host": "", "port": "1883"});
    assert_eq!(connectivity["jsonValue"]["mqtt"], mqtt);
    assert_eq!(connectivity["jsonValue"]["mqtts"]["enabled"], false);
    for unknown in ["mail", "sms", "jwt", "admin.security"] {
        assert_eq!(get(unknown).await.refusal(), (404, 32), "{unknown}");
    }
    let mut changed = connectivity;
    changed["jsonValue"]["mqtt"]["host"] = json!("iot.example.org");
    let saved = world.post("/api/admin/settings", &system, &changed.to_string()).await.json();
    assert_eq!(saved, changed);
    assert_eq!(get("connectivity").await.json(), changed);
    let save = async |key: &str, value: Value| {
        let body = json!({"key": key, "jsonValue": value}).to_string();
        world.post("/api/admin/settings", &system, &body).await
    };
    assert_eq!(save("mail", json!({})).await.refusal(), (404, 32));
    let hostile = json!({"mqtt": {"enabled": true, "host": "a;reboot", "port": "1883"}});
    assert_eq!(save("connectivity", hostile).await.refusal(), (400, 31));
    assert_eq!(save("general", json!({"baseUrl": "no address"})).await.refusal(), (400, 31));
    let fixed = json!({"baseUrl": "https://iot.example.org/", "prohibitDifferentUrl": true});
    assert_eq!(save("general", fixed).await.status, StatusCode::OK);
    let admin = world.tenant().await;
    let user = new_user(&world, &admin, "new@x.org").await;
    let link = world.get(&format!("/api/user/{user}/activationLink"), &admin).await.text;
    assert!(link.starts_with("https://iot.example.org/api/noauth/activate?"), "{link}");
}

#[tokio::test]
async fn people_are_held_to_the_limits_of_the_tenant_profile() {
    let world = World::new().await;
    let system = token(&world.login("sysadmin", "sysadmin").await);
    let admin = world.tenant().await;
    let customer = token(&world.login("customer", "customer").await);
    let info = world.get("/api/tenantProfileInfo/default", &system).await.json();
    let path = format!("/api/tenantProfile/{}", id(&info));
    let stored = world.get(&path, &system).await.json();
    let set = async |member: &str, value: Value| {
        let mut profile = stored.clone();
        profile["profileData"]["configuration"][member] = value;
        let answer = world.post("/api/tenantProfile", &system, &profile.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    };
    set("customerServerRestLimitsConfiguration", json!("2:10")).await;
    for _ in 0..2 {
        assert_eq!(world.get("/api/auth/user", &customer).await.status, StatusCode::OK);
    }
    let refused = world.get("/api/auth/user", &customer).await;
    assert_eq!(refused.refusal(), (429, 33));
    assert_eq!(refused.headers["retry-after"], "5");
    assert_eq!(world.get("/api/auth/user", &admin).await.status, StatusCode::OK);
    world.clock.advance(5_000);
    assert_eq!(world.get("/api/auth/user", &customer).await.status, StatusCode::OK);
    set("tenantServerRestLimitsConfiguration", json!("1:60")).await;
    assert_eq!(world.get("/api/auth/user", &admin).await.status, StatusCode::OK);
    let plugin = world.get("/api/plugins/telemetry/DEVICE/x/keys/timeseries", &admin).await;
    assert_eq!(plugin.refusal(), (429, 33), "the plugin too");
    assert_eq!(world.get("/api/auth/user", &customer).await.refusal(), (429, 33));
    assert_eq!(world.get("/api/auth/user", &system).await.status, StatusCode::OK);

    set("maxUsers", json!(5)).await;
    let user = json!({"email": "sixth@x.org", "authority": "TENANT_ADMIN"}).to_string();
    let path = "/api/user?sendActivationMail=false";
    let refused = world.post(path, &admin, &user).await;
    assert_eq!(refused.refusal(), (403, 41));
    let body = refused.json();
    assert_eq!((&body["entityType"], &body["limit"]), (&json!("USER"), &json!(5)));
    set("maxCustomers", json!(4)).await;
    for (title, status) in [("fourth", 200), ("fifth", 403)] {
        let body = json!({"title": title}).to_string();
        let answer = world.post("/api/customer", &admin, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    }
    set("maxUsers", json!(6)).await;
    assert_eq!(world.post(path, &admin, &user).await.status, StatusCode::OK);
}

#[tokio::test]
async fn own_pages_remember_what_they_are_given() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let customer = token(&world.login("customer", "customer").await);
    let path = "/api/user/settings";
    assert_eq!(world.get(path, &admin).await.text, "{}");
    let saved = world.post(path, &admin, r#"{"a":1,"b":{"c":2}}"#).await;
    assert_eq!(saved.json(), json!({"a": 1, "b": {"c": 2}}));
    for (path, body) in [(path, r#"{"a":3}"#), ("/api/user/settings/general", r#"{"d":4}"#)] {
        let answer = world.ask(Method::PUT, path, &admin, body).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
    }
    assert_eq!(world.get(path, &admin).await.json(), json!({"a": 3, "b": {"c": 2}, "d": 4}));
    assert_eq!(world.get(path, &customer).await.text, "{}");
    let large = json!({"x": "y".repeat(70_000)}).to_string();
    assert_eq!(world.post(path, &admin, &large).await.refusal(), (400, 31));
}

#[tokio::test]
async fn titles_of_customers_are_unique_or_made_so() {
    let world = World::new().await;
    let admin = world.tenant().await;
    let save = async |query: &str| {
        let body = json!({"title": "Customer A"}).to_string();
        world.post(&format!("/api/customer?{query}"), &admin, &body).await
    };
    let counted = "nameConflictPolicy=UNIQUIFY&uniquifyStrategy=INCREMENTAL&uniquifySeparator=-";
    for title in ["Customer A-1", "Customer A-2"] {
        assert_eq!(save(counted).await.json()["title"], title);
    }
    let random = save("nameConflictPolicy=UNIQUIFY").await.json()["title"].clone();
    let random = random.as_str().expect("a title");
    assert!(random.starts_with("Customer A_") && random.len() == 17, "{random}");
    for wrong in ["nameConflictPolicy=MAYBE", "nameConflictPolicy=UNIQUIFY&uniquifyStrategy=X"] {
        assert_eq!(save(wrong).await.refusal(), (400, 31), "{wrong}");
    }
}
