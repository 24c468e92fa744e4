//! Links that let somebody set a password without having one: activation and reset (REST API 2.2, 2.5).
//!
//! A token in a link is signed, lives some hours and works once: setting the password ends every token
//! given before. This server sends no mail, so an administrator hands the links out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use thingport_core::access::Caller;
use thingport_core::error::Error;
use thingport_model::id::UserId;
use thingport_model::user::{User, UserCredentials};
use uuid::Uuid;

use crate::api::Api;
use crate::auth::policy::PasswordPolicy;
use crate::auth::prove::set_password;
use crate::auth::token::{Claims, Holder, Purpose, Terms, TokenError, new_session, session_began};
use crate::auth::{SignedIn, begin_session};
use crate::dto::account::ActivationLinkBody;
use crate::dto::auth::{ActivateInput, ForgottenInput, ResetInput, TokenPair};
use crate::error::{Refusal, see_other};
use crate::extract::{Body, Params, Segments};
use crate::route::{Route, S_T, Who, optional, required};

pub(in crate::rest) fn routes() -> Vec<Route> {
    let mut routes = public_routes();
    routes.extend([
        Route::get("/api/user/{userId}/activationLink", activation_link)
            .who(S_T)
            .about("The link by which a new user sets its password.")
            .answer_text(),
        Route::get("/api/user/{userId}/activationLinkInfo", activation_link_body)
            .who(S_T)
            .about("The activation link and how long it works.")
            .answer::<ActivationLinkBody>(),
        Route::post("/api/user/sendActivationMail", send_activation_mail)
            .who(S_T)
            .about("Always refused: this server sends no mail.")
            .query(&[required("email", "Address of a new user.")]),
        Route::get("/api/thingport/users/{userId}/resetLink", reset_link)
            .who(S_T)
            .about("A link by which a user who forgot the password sets a new one.")
            .answer::<ActivationLinkBody>(),
    ]);
    routes
}

fn public_routes() -> Vec<Route> {
    vec![
        Route::get("/api/noauth/userPasswordPolicy", password_policy)
            .about("What a password must look like.")
            .answer::<PasswordPolicy>(),
        Route::get("/api/noauth/activate", open_activation)
            .about("An activation link: leads to the page where the first password is set.")
            .query(&[required("activateToken", "The token of the link.")]),
        Route::post("/api/noauth/activate", activate)
            .about("Set the first password of a user with the token of an activation link.")
            .query(&[optional("sendActivationMail", "Not looked at: no mail is sent.")])
            .body::<ActivateInput>()
            .answer::<TokenPair>(),
        Route::post("/api/noauth/resetPasswordByEmail", forgotten)
            .about("Ask for a link to set a new password. Answers the same whoever asks.")
            .body::<ForgottenInput>(),
        Route::get("/api/noauth/resetPassword", open_reset)
            .about("A reset link: leads to the page where a new password is set.")
            .query(&[required("resetToken", "The token of the link.")]),
        Route::post("/api/noauth/resetPassword", reset)
            .about("Set a new password with the token of a reset link.")
            .body::<ResetInput>()
            .answer::<TokenPair>(),
    ]
    .into_iter()
    .map(|route| route.who(Who::Public))
    .collect()
}

async fn password_policy(State(api): State<Arc<Api>>) -> Result<Json<PasswordPolicy>, Refusal> {
    Ok(Json(api.security().await?.password_policy.clone()))
}

async fn open_activation(State(api): State<Arc<Api>>, params: Params) -> Result<Response, Refusal> {
    let token = params.required("activateToken")?;
    lead(&api, token, Purpose::Activate, &format!("/activate?activateToken={token}")).await
}

async fn open_reset(State(api): State<Arc<Api>>, params: Params) -> Result<Response, Refusal> {
    let token = params.required("resetToken")?;
    lead(&api, token, Purpose::Reset, &format!("/reset-password?resetToken={token}")).await
}

async fn activate(
    State(api): State<Arc<Api>>,
    Body(input): Body<ActivateInput>,
) -> Result<Json<TokenPair>, Refusal> {
    use_link(&api, &input.activate_token, Purpose::Activate, input.password).await.map(Json)
}

async fn reset(
    State(api): State<Arc<Api>>,
    Body(input): Body<ResetInput>,
) -> Result<Json<TokenPair>, Refusal> {
    use_link(&api, &input.reset_token, Purpose::Reset, input.password).await.map(Json)
}

async fn forgotten(Body(_): Body<ForgottenInput>) -> StatusCode {
    // Anybody may ask, as often as they like, so it is no line of an ordinary log.
    tracing::debug!(
        "somebody asked for a new password by mail, which this server does not send; an administrator \
         gives out the link of GET /api/thingport/users/ID/resetLink"
    );
    StatusCode::OK
}

async fn activation_link(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
    headers: HeaderMap,
) -> Result<String, Refusal> {
    let user = inactive_user(&api, &caller, UserId(id)).await?;
    Ok(activation(&api, user, &headers).await?.value)
}

async fn activation_link_body(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
    headers: HeaderMap,
) -> Result<Json<ActivationLinkBody>, Refusal> {
    let user = inactive_user(&api, &caller, UserId(id)).await?;
    activation(&api, user, &headers).await.map(Json)
}

async fn send_activation_mail(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<StatusCode, Refusal> {
    let email = params.required("email")?;
    let missing = || Refusal::not_found("there is no such user");
    let user = api.node().registry.user_by_email(email).await?.ok_or_else(missing)?;
    inactive_user(&api, &caller, user.id).await?;
    Err(Refusal::bad_request(
        "this server sends no mail: fetch the link from activationLink and hand it out yourself",
    ))
}

async fn reset_link(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
    headers: HeaderMap,
) -> Result<Json<ActivationLinkBody>, Refusal> {
    let (user, login) = user_to_change(&api, &caller, UserId(id)).await?;
    if login.password_hash.is_none() {
        return Err(Refusal::bad_request("the user is not active yet; use the activation link"));
    }
    let hours = api.security().await?.password_reset_token_ttl;
    let base = api.base_url(&headers).await?;
    let token = reset_token(&api, user).await?;
    let value = format!("{base}/api/noauth/resetPassword?resetToken={token}");
    Ok(Json(ActivationLinkBody { value, ttl_ms: i64::from(hours) * HOUR_MS }))
}

/// A token that allows `user` to set a new password.
pub(super) async fn reset_token(api: &Api, user: User) -> Result<String, Refusal> {
    let hours = api.security().await?.password_reset_token_ttl;
    sign(api, hours, |terms| Claims::reset(&Holder::User(user), terms))
}

/// Clients take everything behind `activateToken=` as the token, so it stands last (2.5).
async fn activation(
    api: &Api,
    user: User,
    headers: &HeaderMap,
) -> Result<ActivationLinkBody, Refusal> {
    let hours = api.security().await?.user_activation_token_ttl;
    let token = sign(api, hours, |terms| Claims::activation(&Holder::User(user), terms))?;
    let base = api.base_url(headers).await?;
    let value = format!("{base}/api/noauth/activate?activateToken={token}");
    Ok(ActivationLinkBody { value, ttl_ms: i64::from(hours) * HOUR_MS })
}

fn sign(
    api: &Api,
    hours: u32,
    claims: impl FnOnce(&Terms<'_>) -> Claims,
) -> Result<String, Refusal> {
    let session = new_session(api.now(), &*api.node().entropy);
    let lifetime_s = hours.saturating_mul(3_600);
    let terms = Terms { issuer: &api.config().issuer, session, now: api.now(), lifetime_s };
    api.keys().sign(&claims(&terms)).map_err(|_| Refusal::internal("the token cannot be signed"))
}

/// Why a link does not work.
enum Dead {
    /// It was good once.
    Expired,
    /// Not a link of ours, or it was used.
    Unknown,
    /// The store does not say.
    Unavailable(Error),
}

impl From<Dead> for Refusal {
    fn from(dead: Dead) -> Self {
        match dead {
            Dead::Expired => Self::bad_request("the link has expired; ask for a new one"),
            Dead::Unknown => {
                Self::bad_request("the link is not valid or was used already; ask for a new one")
            }
            Dead::Unavailable(error) => error.into(),
        }
    }
}

/// Whose link it is, if it works.
async fn judge(api: &Api, token: &str, purpose: Purpose) -> Result<(User, UserCredentials), Dead> {
    let claims = api.keys().verify(token, purpose, api.now()).map_err(|error| match error {
        TokenError::Expired => Dead::Expired,
        TokenError::Invalid | TokenError::WrongPurpose => Dead::Unknown,
    })?;
    let registry = &api.node().registry;
    let user = registry.user_of_token(claims.user()).await.map_err(Dead::Unavailable)?;
    let login = registry.user_credentials(claims.user()).await.map_err(Dead::Unavailable)?;
    let (Some(user), Some(login)) = (user, login) else { return Err(Dead::Unknown) };
    let works = match purpose {
        // Locking a user before the activation ends no link: it only says that links are not enough.
        Purpose::Activate => login.password_hash.is_none(),
        _ => login.enabled && session_began(claims.session_id) >= login.tokens_valid_from,
    };
    if works { Ok((user, login)) } else { Err(Dead::Unknown) }
}

/// Leads a browser that followed a link to the page where a password is set.
async fn lead(api: &Api, token: &str, purpose: Purpose, page: &str) -> Result<Response, Refusal> {
    match judge(api, token, purpose).await {
        Ok(_) => Ok(see_other(page)),
        Err(Dead::Expired) => Ok(see_other("/link-expired")),
        Err(Dead::Unknown) => Err(Refusal::stale_link("the link is not valid or was used already")),
        Err(Dead::Unavailable(error)) => Err(error.into()),
    }
}

async fn use_link(
    api: &Api,
    token: &str,
    purpose: Purpose,
    password: String,
) -> Result<TokenPair, Refusal> {
    let (user, login) = judge(api, token, purpose).await?;
    let set = set_password(api, &login, password, Some(&login)).await;
    // Somebody else used it while this request hashed.
    set.map_err(|refusal| match refusal.status().as_u16() {
        409 => Dead::Unknown.into(),
        _ => refusal,
    })?;
    // Whoever knows the new password shall not wait for the failures of whoever did not.
    api.throttle.succeeded(&user.email);
    begin_session(api, &Holder::User(user)).await
}

async fn inactive_user(api: &Api, caller: &Caller, id: UserId) -> Result<User, Refusal> {
    let (user, login) = user_to_change(api, caller, id).await?;
    if login.password_hash.is_some() {
        return Err(Refusal::bad_request("the user is active already"));
    }
    Ok(user)
}

async fn user_to_change(
    api: &Api,
    caller: &Caller,
    id: UserId,
) -> Result<(User, UserCredentials), Refusal> {
    let registry = &api.node().registry;
    let user = registry.user(caller, id).await?;
    caller.may_write_user(&user)?;
    let login = registry.user_credentials(id).await?;
    login.map(|login| (user, login)).ok_or_else(|| Refusal::not_found("there is no such user"))
}

const HOUR_MS: i64 = 3_600_000;
