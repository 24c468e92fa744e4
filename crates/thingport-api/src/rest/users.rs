//! People (REST API section 5).

pub(super) mod own;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use thingport_core::registry::accounts::UserDraft;
use thingport_model::id::{CustomerId, EntityKind, TenantId, UserId};
use thingport_model::user::Authority;
use uuid::Uuid;

use super::found_only;
use crate::api::Api;
use crate::auth::token::Holder;
use crate::auth::{SignedIn, begin_session};
use crate::dto::account::{UserBody, UserInput, UserNameBody};
use crate::dto::auth::TokenPair;
use crate::dto::id::optional_id;
use crate::dto::opaque;
use crate::dto::page::PageBody;
use crate::error::Refusal;
use crate::extract::{Body, Params, Segments};
use crate::route::{
    ORDER, PAGE, PAGE_SIZE, PAGED, Query, Route, S, S_T, S_T_C, SEARCH, SORT, T, optional, required,
};

pub(super) fn routes() -> Vec<Route> {
    let mut routes = one_user();
    routes.extend(lists());
    routes
}

fn one_user() -> Vec<Route> {
    vec![
        Route::get("/api/user/tokenAccessEnabled", token_access)
            .who(S_T_C)
            .about("Whether administrators may get tokens of their users.")
            .answer::<bool>(),
        Route::get("/api/user/{userId}", user).who(S_T_C).about("One user.").answer::<UserBody>(),
        Route::post("/api/user", save_user)
            .who(S_T_C)
            .about("Create or change a user. A new one sets its password by the activation link.")
            .query(&[optional(
                "sendActivationMail",
                "Must be false for a new user: no mail is sent.",
            )])
            .body::<UserInput>()
            .answer::<UserBody>(),
        Route::delete("/api/user/{userId}", delete_user)
            .who(S_T)
            .about("Delete a user; the last administrator stays."),
        Route::get("/api/user/{userId}/token", user_token)
            .who(S_T)
            .about("A pair of tokens of another user; only if the operator allows it.")
            .answer::<TokenPair>(),
        Route::post("/api/user/{userId}/userCredentialsEnabled", enable_user)
            .who(S_T)
            .about("Lock or unlock a user.")
            .query(&[required("userCredentialsEnabled", "true or false.")]),
    ]
}

fn lists() -> Vec<Route> {
    let page = |path| {
        Route::get(path, users)
            .about("A page of users; or, with userIds, the users with these ids.")
            .query(USERS)
            .answer_page::<UserBody>()
    };
    vec![
        page("/api/users"),
        page("/api/user/users"),
        Route::get("/api/users/list", users_by_ids)
            .about("The users with these ids; unknown and foreign ones are left out.")
            .query(&[required("userIds", "Comma list of ids.")])
            .answer_list::<UserBody>(),
        Route::get("/api/users/info", user_names)
            .about("A page of users with little more than their names.")
            .query(PAGED)
            .answer_page::<UserNameBody>(),
        Route::get("/api/tenant/{tenantId}/users", tenant_admins)
            .who(S)
            .about("A page of a tenant's administrators.")
            .query(PAGED)
            .answer_page::<UserBody>(),
        Route::get("/api/customer/{customerId}/users", customer_users)
            .who(T)
            .about("A page of a customer's users.")
            .query(PAGED)
            .answer_page::<UserBody>(),
    ]
}

async fn token_access(State(api): State<Arc<Api>>, _: SignedIn) -> Json<bool> {
    Json(api.config().user_token_access)
}

async fn user_token(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<TokenPair>, Refusal> {
    let registry = &api.node().registry;
    let user = registry.user(&caller, UserId(id)).await?;
    let may = matches!(
        (caller.authority, user.authority),
        (Authority::SysAdmin, Authority::TenantAdmin)
            | (Authority::TenantAdmin, Authority::CustomerUser)
    );
    if !may {
        return Err(Refusal::denied(
            "system administrators get tokens of tenant administrators, and these of customer users",
        ));
    }
    if !api.config().user_token_access {
        return Err(Refusal::denied(
            "tokens of users are not given out; the operator may allow it with auth.user_token_access",
        ));
    }
    let login = registry.user_credentials(user.id).await?;
    if login.is_none_or(|login| !login.enabled && login.password_hash.is_some()) {
        return Err(Refusal::bad_request("the user is locked"));
    }
    begin_session(&api, &Holder::User(user)).await.map(Json)
}

async fn user(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<UserBody>, Refusal> {
    let registry = &api.node().registry;
    let user = registry.user(&caller, UserId(id)).await?;
    let login = registry.user_credentials(user.id).await?;
    Ok(Json(match login {
        Some(login) => UserBody::with_login(user, &login),
        None => user.into(),
    }))
}

async fn save_user(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
    Body(input): Body<UserInput>,
) -> Result<Json<UserBody>, Refusal> {
    let draft = draft(input)?;
    if draft.id.is_none() && params.flag("sendActivationMail", true)? {
        return Err(Refusal::bad_request(
            "this server sends no mail: add sendActivationMail=false and fetch the activation link",
        ));
    }
    Ok(Json(api.node().registry.save_user(&caller, draft).await?.into()))
}

async fn delete_user(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<StatusCode, Refusal> {
    api.node().registry.delete_user(&caller, UserId(id)).await?;
    api.ended.ring();
    Ok(StatusCode::OK)
}

async fn enable_user(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    params.required("userCredentialsEnabled")?;
    let enabled = params.flag("userCredentialsEnabled", true)?;
    api.node().registry.set_user_enabled(&caller, UserId(id), enabled).await?;
    api.ended.ring();
    Ok(StatusCode::OK)
}

async fn users(
    State(api): State<Arc<Api>>,
    signed_in: SignedIn,
    params: Params,
) -> Result<axum::response::Response, Refusal> {
    use axum::response::IntoResponse;
    if params.has("userIds") {
        return Ok(users_by_ids(State(api), signed_in, params).await?.into_response());
    }
    let link = params.page()?;
    let page = api.node().registry.users(&signed_in.caller, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, UserBody::from)).into_response())
}

async fn users_by_ids(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<Vec<UserBody>>, Refusal> {
    let mut users = Vec::new();
    for id in params.ids("userIds")? {
        users.extend(found_only(api.node().registry.user(&caller, UserId(id)).await)?);
    }
    Ok(Json(users.into_iter().map(UserBody::from).collect()))
}

async fn user_names(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<PageBody<UserNameBody>>, Refusal> {
    let link = params.page()?;
    let page = api.node().registry.users(&caller, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, UserNameBody::from)))
}

async fn tenant_admins(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(tenant): Segments<Uuid>,
    params: Params,
) -> Result<Json<PageBody<UserBody>>, Refusal> {
    let link = params.page()?;
    let tenant = TenantId(tenant);
    let page = api.node().registry.tenant_admins(&caller, tenant, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, UserBody::from)))
}

async fn customer_users(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(customer): Segments<Uuid>,
    params: Params,
) -> Result<Json<PageBody<UserBody>>, Refusal> {
    let link = params.page()?;
    let customer = CustomerId(customer);
    let page = api.node().registry.customer_users(&caller, customer, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, UserBody::from)))
}

fn draft(input: UserInput) -> Result<UserDraft, Refusal> {
    let authority = input.authority.unwrap_or_default();
    let authority = Authority::from_name(&authority)
        .ok_or_else(|| Refusal::bad_request(format!("{authority:?} is not an authority")))?;
    Ok(UserDraft {
        id: optional_id(input.id.as_ref(), EntityKind::User, UserId)?,
        version: input.version,
        tenant_id: optional_id(input.tenant_id.as_ref(), EntityKind::Tenant, TenantId)?,
        customer_id: optional_id(input.customer_id.as_ref(), EntityKind::Customer, CustomerId)?,
        email: input.email.unwrap_or_default(),
        authority,
        first_name: input.first_name,
        last_name: input.last_name,
        phone: input.phone,
        additional_info: opaque::object(input.additional_info)?,
    })
}

const USERS: &[Query] = &[
    PAGE_SIZE,
    PAGE,
    SEARCH,
    SORT,
    ORDER,
    optional("userIds", "Comma list of ids; then the answer is a list."),
];
