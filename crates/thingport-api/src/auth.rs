//! Who asks: from a credential to a [`Caller`], and from a login to tokens (REST API section 2).

pub(crate) mod key;
pub mod password;
pub(crate) mod policy;
pub(crate) mod prove;
pub(crate) mod remote;
pub(crate) mod sessions;
pub(crate) mod throttle;
pub mod token;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use thingport_core::access::Caller;
use thingport_core::clock::Entropy;
use thingport_core::error::Error;
use thingport_model::id::{CustomerId, NIL, UserId};
use thingport_model::user::{Authority, KeyHash, User};
use uuid::Uuid;

use crate::api::Api;
use crate::dto::auth::TokenPair;
use crate::error::Refusal;
use token::{Claims, Holder, Purpose, Terms, TokenError};

/// A request whose credential was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedIn {
    pub(crate) caller: Caller,
    pub(crate) by: Credential,
}

/// What was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A token of this session.
    Session(Uuid),
    /// The API key whose value has this hash.
    Key(KeyHash),
}

/// What a request presents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presented<'a> {
    /// `Bearer <jwt>`.
    Token(&'a str),
    /// `ApiKey <value>`.
    Key(&'a str),
}

/// Found only behind [`must_sign_in`]: a handler that asks for it on a public route answers 500.
impl FromRequestParts<Arc<Api>> for SignedIn {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Refusal> {
        let found = parts.extensions.get::<Self>().copied();
        found.ok_or_else(|| Refusal::internal("this path does not know its caller"))
    }
}

/// Whose credential opens a route.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) api: Arc<Api>,
    pub(crate) roles: &'static [Authority],
}

/// Lets only people of the door's roles pass. Ownership is core's to check.
pub(crate) async fn must_sign_in(
    State(door): State<Door>,
    mut request: Request,
    next: Next,
) -> Response {
    match pass(&door, request.headers()).await {
        Ok(signed_in) => {
            request.extensions_mut().insert(signed_in);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn pass(door: &Door, headers: &HeaderMap) -> Result<SignedIn, Refusal> {
    let signed_in = sign_in(&door.api, presented(headers)?).await?;
    door.api.count_request(&signed_in.caller).await?;
    if door.roles.contains(&signed_in.caller.authority) {
        return Ok(signed_in);
    }
    Err(Refusal::denied("your role does not allow this"))
}

/// The person behind an access token or API key.
pub(crate) async fn sign_in(api: &Api, presented: Presented<'_>) -> Result<SignedIn, Refusal> {
    match presented {
        Presented::Token(token) => {
            let claims = api.keys().verify(token, Purpose::Access, api.now()).map_err(refusal)?;
            let (caller, _) = holder(api, &claims).await?;
            Ok(SignedIn { caller, by: Credential::Session(claims.session_id) })
        }
        Presented::Key(value) => {
            let hash = key::hash(value);
            let user = owner(api, &hash).await?;
            Ok(SignedIn { caller: Caller::of(&user), by: Credential::Key(hash) })
        }
    }
}

/// Whether the session of somebody who signed in before still holds (W-5).
pub(crate) async fn still_signed_in(api: &Api, signed_in: &SignedIn) -> Result<(), Refusal> {
    match signed_in.by {
        Credential::Key(hash) => owner(api, &hash).await.map(drop),
        Credential::Session(session) if signed_in.caller.read_only => not_ended(api, session),
        Credential::Session(session) => {
            let standing = Standing { session, user: signed_in.caller.user_id };
            standing.check(api).await.map(drop)
        }
    }
}

/// The user whose rights an API key has, if the key works now.
async fn owner(api: &Api, hash: &KeyHash) -> Result<User, Refusal> {
    let refused = || Refusal::unauthenticated("the API key is not known, disabled or expired");
    let registry = &api.node().registry;
    let key = registry.api_key_by_hash(hash).await.map_err(Error::from)?.ok_or_else(refused)?;
    if !key.enabled || key.expires_at.is_some_and(|at| at <= api.now()) {
        return Err(refused());
    }
    let user = registry.user_of_token(key.user_id).await?.ok_or_else(refused)?;
    let login = registry.user_credentials(key.user_id).await?.ok_or_else(refused)?;
    if login.enabled {
        return Ok(user);
    }
    Err(Refusal::unauthenticated("the user of the API key is locked or not active"))
}

/// A pair of tokens of one session.
pub(crate) fn issue(api: &Api, holder: &Holder, session: Uuid) -> Result<TokenPair, Refusal> {
    let config = api.config();
    let terms = |lifetime_s| Terms { issuer: &config.issuer, session, now: api.now(), lifetime_s };
    let access = Claims::access(holder, &terms(config.token_lifetime_s));
    let jti = token::new_session(api.now(), &*api.node().entropy);
    let refresh = Claims::refresh(holder, &terms(config.refresh_lifetime_s), jti);
    let sign = |claims| {
        api.keys().sign(claims).map_err(|_| Refusal::internal("the token cannot be signed"))
    };
    Ok(TokenPair { token: sign(&access)?, refresh_token: sign(&refresh)? })
}

/// A pair of tokens of a new session.
pub(crate) async fn begin_session(api: &Api, holder: &Holder) -> Result<TokenPair, Refusal> {
    let mut begins_at = api.now();
    if let Holder::User(user) = holder {
        // The clock may have been set back since the last change of the password; a session that
        // seems to be older than that would not work.
        let login = api.node().registry.user_credentials(user.id).await?;
        begins_at = begins_at.max(login.map_or(begins_at, |login| login.tokens_valid_from));
    }
    issue(api, holder, token::new_session(begins_at, &*api.node().entropy))
}

/// Trades a refresh token for a new pair of the same session.
pub(crate) async fn renew(api: &Api, refresh_token: &str) -> Result<TokenPair, Refusal> {
    let claims = api.keys().verify(refresh_token, Purpose::Refresh, api.now()).map_err(refusal)?;
    let (_, holder) = holder(api, &claims).await?;
    issue(api, &holder, claims.session_id)
}

/// The key that signs tokens: read from the settings, or made and stored at the first run.
///
/// # Errors
/// Whatever the store answers.
pub async fn load_or_create_keys(
    registry: &thingport_core::registry::Registry,
    entropy: &dyn Entropy,
) -> Result<token::JwtKeys, Error> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;
    let stored = registry.setting(KEY_SETTING).await?;
    let stored = stored.and_then(|text| BASE64.decode(text).ok());
    if let Some(keys) = stored.as_deref().and_then(token::JwtKeys::new) {
        return Ok(keys);
    }
    let secret = token::JwtKeys::fresh_secret(entropy);
    registry.put_setting(KEY_SETTING, &BASE64.encode(secret)).await?;
    // The secret has exactly the length that is asked for.
    token::JwtKeys::new(&secret).ok_or_else(|| Error::Unavailable("the key is too short".into()))
}

/// Whoever the claims name, if they still exist and their session has not ended.
async fn holder(api: &Api, claims: &Claims) -> Result<(Caller, Holder), Refusal> {
    if claims.is_public {
        not_ended(api, claims.session_id)?;
        let id = CustomerId(Uuid::try_parse(&claims.sub).unwrap_or(NIL));
        let customer = api.node().registry.public_customer_by_id(id).await;
        let customer = customer.map_err(|error| match error {
            Error::NotFound(_) => Refusal::unauthenticated("the public customer no longer exists"),
            other => other.into(),
        })?;
        return Ok((Caller::guest(&customer), Holder::Guest(customer)));
    }
    let standing = Standing { session: claims.session_id, user: claims.user() };
    let user = standing.check(api).await?;
    Ok((Caller::of(&user), Holder::User(user)))
}

/// A session and whose it is.
struct Standing {
    session: Uuid,
    user: UserId,
}

impl Standing {
    async fn check(&self, api: &Api) -> Result<User, Refusal> {
        not_ended(api, self.session)?;
        let registry = &api.node().registry;
        let gone = || Refusal::unauthenticated("the user no longer exists");
        let user = registry.user_of_token(self.user).await?.ok_or_else(gone)?;
        let login = registry.user_credentials(self.user).await?.ok_or_else(gone)?;
        // Who is not active yet has a token only when an administrator asked for one (2.3).
        if !login.enabled && login.password_hash.is_some() {
            return Err(Refusal::unauthenticated("the user is locked"));
        }
        if token::session_began(self.session) < login.tokens_valid_from {
            return Err(Refusal::expired("the session has ended; log in again"));
        }
        Ok(user)
    }
}

fn not_ended(api: &Api, session: Uuid) -> Result<(), Refusal> {
    if api.ended.contains(session) {
        return Err(Refusal::expired("the session has ended; log in again"));
    }
    Ok(())
}

fn refusal(error: TokenError) -> Refusal {
    match error {
        TokenError::Expired => Refusal::expired("the token has expired"),
        TokenError::Invalid => Refusal::unauthenticated("the token is not valid"),
        TokenError::WrongPurpose => {
            Refusal::unauthenticated("the token is for another purpose than this")
        }
    }
}

/// The credential of the request: `X-Authorization` before `Authorization`, `Bearer <jwt>` or
/// `ApiKey <value>` (2.1).
fn presented(headers: &HeaderMap) -> Result<Presented<'_>, Refusal> {
    let presented = ["x-authorization", "authorization"].into_iter().find_map(|name| {
        let text = headers.get(name)?.to_str().ok()?.trim();
        (!text.is_empty()).then_some(text)
    });
    let presented = presented.ok_or_else(|| {
        Refusal::unauthenticated("this needs a token or an API key; log in first")
    })?;
    let (scheme, value) = presented.split_once(' ').unwrap_or((presented, ""));
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(Presented::Token(value.trim()));
    }
    if scheme.eq_ignore_ascii_case("ApiKey") {
        return Ok(Presented::Key(value.trim()));
    }
    Err(Refusal::unauthenticated(
        "the authorization header must read: Bearer <token>, or: ApiKey <key>",
    ))
}

const KEY_SETTING: &str = "api.jwt.key";

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_credential_is_found_in_either_header() {
        type Headers = &'static [(&'static str, &'static str)];
        let token = |text| Some(Presented::Token(text));
        let key = |text| Some(Presented::Key(text));
        let rows: [(Headers, Option<Presented<'static>>); 11] = [
            (&[("x-authorization", "Bearer a")], token("a")),
            (&[("authorization", "Bearer a")], token("a")),
            (&[("authorization", "bearer  a ")], token("a")),
            (&[("x-authorization", "Bearer a"), ("authorization", "Basic b")], token("a")),
            (&[("x-authorization", ""), ("authorization", "Bearer b")], token("b")),
            (&[], None),
            (&[("authorization", "")], None),
            (&[("authorization", "Basic a")], None),
            (&[("x-authorization", "ApiKey a")], key("a")),
            (&[("authorization", "apikey a")], key("a")),
            (&[("x-authorization", "ApiKey a"), ("authorization", "Bearer b")], key("a")),
        ];
        for (headers, expected) in rows {
            let map = headers.iter().map(|(name, value)| {
                (axum::http::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let map: HeaderMap = map.collect();
            assert!(presented(&map).ok() == expected, "{headers:?}");
        }
    }
}
