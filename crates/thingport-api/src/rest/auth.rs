//! Login, refresh, logout, the own password (REST API 2.2).

pub(super) mod keys;
pub(super) mod links;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use thingport_core::access::Caller;
use thingport_model::id::CustomerId;
use thingport_model::user::{EndedSession, User, UserCredentials};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::prove::{Claim, prove, set_password};
use crate::auth::remote::Remote;
use crate::auth::sessions::Whose;
use crate::auth::token::Holder;
use crate::auth::{Credential, SignedIn, begin_session, renew};
use crate::dto::account::UserBody;
use crate::dto::auth::{ChangePasswordInput, LoginInput, RefreshInput, TokenPair};
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
    from: Remote,
    Body(input): Body<LoginInput>,
) -> Result<Json<TokenPair>, Refusal> {
    let claim = Claim { name: &input.username, password: &input.password, from };
    let (user, login) = prove(&api, &claim).await?;
    let policy = &api.security().await?.password_policy;
    if policy.force_user_to_reset_password_if_not_valid {
        policy.judge(&input.password).map_err(Refusal::password_too_weak)?;
    }
    if policy.has_expired(&login, api.now()) {
        let token = links::reset_token(&api, user).await?;
        return Err(Refusal::password_expired(&token));
    }
    // On a full disk people must still be able to look: only the time of the login is lost.
    if let Err(error) = api.node().registry.record_login(user.id).await {
        tracing::warn!(?error, "the time of a login could not be kept");
    }
    begin_session(&api, &Holder::User(user)).await.map(Json)
}

async fn login_public(
    State(api): State<Arc<Api>>,
    Body(input): Body<PublicInput>,
) -> Result<Json<TokenPair>, Refusal> {
    let customer = api.node().registry.public_customer_by_id(CustomerId(input.public_id)).await;
    let customer =
        customer.map_err(|_| Refusal::unauthenticated("there is no such public customer"))?;
    begin_session(&api, &Holder::Guest(customer)).await.map(Json)
}

async fn refresh(
    State(api): State<Arc<Api>>,
    Body(input): Body<RefreshInput>,
) -> Result<Json<TokenPair>, Refusal> {
    renew(&api, &input.refresh_token).await.map(Json)
}

async fn logout(
    State(api): State<Arc<Api>>,
    SignedIn { caller, by }: SignedIn,
) -> Result<StatusCode, Refusal> {
    let Credential::Session(session) = by else {
        return Err(Refusal::bad_request(
            "an API key has no session to end; disable or delete the key instead",
        ));
    };
    let lifetime = api.config().refresh_lifetime_s.max(api.config().token_lifetime_s);
    let expires_at = api.now().plus_ms(i64::from(lifetime) * 1_000);
    let ended = EndedSession { session, expires_at };
    let whose = if caller.read_only { Whose::Guests } else { Whose::Users };
    let registry = &api.node().registry;
    if api.ended.end(ended, whose, api.now()) {
        registry.end_session(ended).await?;
    } else if !caller.read_only {
        // No room to remember one session: end all of this user instead.
        registry.end_tokens(caller.user_id).await?;
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
    from: Remote,
    Body(input): Body<ChangePasswordInput>,
) -> Result<Json<TokenPair>, Refusal> {
    let (user, _) = own_login(&api, &caller).await?;
    let claim = Claim { name: &user.email, password: &input.current_password, from };
    let proven = prove(&api, &claim).await;
    // The caller is authenticated: a wrong old password is a wrong parameter, not a missing login.
    let (user, login) = proven.map_err(|refusal| match refusal.status().as_u16() {
        401 => Refusal::bad_request(refusal.message()),
        _ => refusal,
    })?;
    set_password(&api, &login, input.new_password, None).await?;
    begin_session(&api, &Holder::User(user)).await.map(Json)
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
