//! Login, refresh, logout, passwords (REST API 2.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use thingport_core::access::Caller;
use thingport_model::id::CustomerId;
use thingport_model::user::{User, UserCredentials};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::token::{Holder, Purpose};
use crate::auth::{SignedIn, begin_session, renew};
use crate::dto::account::UserBody;
use crate::dto::auth::{
    ActivateInput, ChangePasswordInput, LoginInput, PasswordPolicy, RefreshInput, TokenPair,
};
use crate::error::Refusal;
use crate::extract::Body;
use crate::route::{Route, S_T_C, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/auth/login", login)
            .who(Who::Public)
            .about("Trade user name and password for a pair of tokens.")
            .body::<LoginInput>()
            .answer::<TokenPair>(),
        Route::post("/api/auth/login/public", login_public)
            .who(Who::Public)
            .about("A read-only pair of tokens for the devices of a tenant's public customer.")
            .body::<PublicInput>()
            .answer::<TokenPair>(),
        Route::post("/api/auth/token", refresh)
            .who(Who::Public)
            .about("Trade a refresh token for a new pair of tokens of the same session.")
            .body::<RefreshInput>()
            .answer::<TokenPair>(),
        Route::post("/api/auth/logout", logout)
            .who(S_T_C)
            .about("End the session: its tokens stop working."),
        Route::get("/api/auth/user", who_am_i)
            .who(S_T_C)
            .about("The user behind the token.")
            .answer::<UserBody>(),
        Route::post("/api/auth/changePassword", change_password)
            .who(S_T_C)
            .about("Change the own password; tokens given before stop working.")
            .body::<ChangePasswordInput>()
            .answer::<TokenPair>(),
        Route::get("/api/noauth/userPasswordPolicy", password_policy)
            .who(Who::Public)
            .about("What a password must look like.")
            .answer::<PasswordPolicy>(),
        Route::post("/api/noauth/activate", activate)
            .who(Who::Public)
            .about("Set the first password of a user with the token of an activation link.")
            .body::<ActivateInput>()
            .answer::<TokenPair>(),
    ]
}

/// The public customer to look at.
#[derive(Deserialize, ToSchema)]
#[schema(as = PublicLoginRequest)]
#[serde(rename_all = "camelCase")]
struct PublicInput {
    public_id: Uuid,
}

async fn login(
    State(api): State<Arc<Api>>,
    Body(input): Body<LoginInput>,
) -> Result<Json<TokenPair>, Refusal> {
    let user = prove(&api, &input.username, input.password).await?;
    {
        let _writing = api.login_records.lock().await;
        // On a full disk people must still be able to look: only the time of the login is lost.
        if let Err(error) = api.node().registry.record_login(user.id).await {
            tracing::warn!(?error, "the time of a login could not be kept");
        }
    }
    begin_session(&api, &Holder::User(user)).map(Json)
}

async fn login_public(
    State(api): State<Arc<Api>>,
    Body(input): Body<PublicInput>,
) -> Result<Json<TokenPair>, Refusal> {
    let customer = api.node().registry.public_customer_by_id(CustomerId(input.public_id)).await;
    let customer =
        customer.map_err(|_| Refusal::unauthenticated("there is no such public customer"))?;
    begin_session(&api, &Holder::Guest(customer)).map(Json)
}

async fn refresh(
    State(api): State<Arc<Api>>,
    Body(input): Body<RefreshInput>,
) -> Result<Json<TokenPair>, Refusal> {
    renew(&api, &input.refresh_token).await.map(Json)
}

async fn logout(
    State(api): State<Arc<Api>>,
    SignedIn { caller, session }: SignedIn,
) -> Result<StatusCode, Refusal> {
    let lifetime = api.config().refresh_lifetime_s.max(api.config().token_lifetime_s);
    let expires_at = api.now().plus_ms(i64::from(lifetime) * 1_000);
    let remembered = api.ended.end(session, expires_at, api.now());
    if !remembered && !caller.read_only {
        // No room to remember one session: end all of this user instead.
        let _writing = api.login_records.lock().await;
        api.node().registry.end_tokens(caller.user_id).await?;
    }
    Ok(StatusCode::OK)
}

async fn who_am_i(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
) -> Result<Json<UserBody>, Refusal> {
    let (user, login) = own_login(&api, &caller).await?;
    Ok(Json(UserBody::with_login(user, &login)))
}

async fn change_password(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<ChangePasswordInput>,
) -> Result<Json<TokenPair>, Refusal> {
    let (user, _) = own_login(&api, &caller).await?;
    check_policy(&input.new_password)?;
    let proven = prove(&api, &user.email, input.current_password).await;
    // The caller is authenticated: a wrong old password is a wrong parameter, not a missing login.
    let user = proven.map_err(|refusal| Refusal::bad_request(refusal.message()))?;
    set_password(&api, &user, input.new_password).await?;
    begin_session(&api, &Holder::User(user)).map(Json)
}

async fn password_policy() -> Json<PasswordPolicy> {
    Json(PasswordPolicy::IN_FORCE)
}

async fn activate(
    State(api): State<Arc<Api>>,
    Body(input): Body<ActivateInput>,
) -> Result<Json<TokenPair>, Refusal> {
    let wrong = || Refusal::bad_request("the activation token is not valid or no longer valid");
    let claims = api.keys().verify(&input.activate_token, Purpose::Activate, api.now());
    let claims = claims.map_err(|_| wrong())?;
    check_policy(&input.password)?;
    let registry = &api.node().registry;
    let user = registry.user_of_token(claims.user()).await?.ok_or_else(wrong)?;
    let login = registry.user_credentials(user.id).await?.ok_or_else(wrong)?;
    if login.password_hash.is_some() {
        return Err(Refusal::bad_request("the user is active already"));
    }
    set_password(&api, &user, input.password).await?;
    begin_session(&api, &Holder::User(user)).map(Json)
}

/// The user, if name and password are right, at the same cost whether they are or not.
async fn prove(api: &Api, name: &str, password: String) -> Result<User, Refusal> {
    let turn = api.hashing.turn().await?;
    let clock = &api.node().clock;
    if api.throttle.is_locked(name, clock.monotonic_ms()) {
        return Err(Refusal::unauthenticated(
            "too many wrong passwords for this account; try again in a minute",
        ));
    }
    let registry = &api.node().registry;
    let user = registry.user_by_email(name).await?;
    let login = match &user {
        Some(user) => registry.user_credentials(user.id).await?,
        None => None,
    };
    let hash = login.filter(|login| login.enabled).and_then(|login| login.password_hash);
    let fits = api.hashing.verify(&turn, password, hash).await?;
    let Some(user) = user.filter(|_| fits) else {
        api.throttle.failed(name, clock.monotonic_ms());
        return Err(Refusal::unauthenticated("wrong user name or password"));
    };
    api.throttle.succeeded(name);
    Ok(user)
}

/// Stores a new password; every session begun before ends.
async fn set_password(api: &Api, user: &User, password: String) -> Result<(), Refusal> {
    let mut salt = [0; 16];
    api.node().entropy.fill(&mut salt);
    let turn = api.hashing.turn().await?;
    let hash = api.hashing.hash(&turn, password, salt).await?;
    drop(turn);
    {
        let _writing = api.login_records.lock().await;
        api.node().registry.set_password(user.id, &hash, None).await?;
    }
    api.ended.ring();
    Ok(())
}

fn check_policy(password: &str) -> Result<(), Refusal> {
    if PasswordPolicy::IN_FORCE.allows(password) {
        return Ok(());
    }
    Err(Refusal::bad_request("a password has 6 to 72 characters"))
}

async fn own_login(api: &Api, caller: &Caller) -> Result<(User, UserCredentials), Refusal> {
    if caller.read_only {
        return Err(Refusal::denied("a guest has no user of its own"));
    }
    let registry = &api.node().registry;
    let user = registry.user(caller, caller.user_id).await?;
    let login = registry.user_credentials(user.id).await?;
    login.map(|login| (user, login)).ok_or_else(|| Refusal::not_found("there is no such user"))
}
