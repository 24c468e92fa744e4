//! Who asks: from a credential to a [`Caller`], and from a login to tokens (REST API section 2).

pub mod password;
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
use thingport_model::id::{CustomerId, NIL};
use thingport_model::user::Authority;
use uuid::Uuid;

use crate::api::Api;
use crate::dto::auth::TokenPair;
use crate::error::Refusal;
use token::{Claims, Holder, Purpose, Terms, TokenError};

/// A request whose credential was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedIn {
    pub(crate) caller: Caller,
    /// The session the token belongs to.
    pub(crate) session: Uuid,
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
    let token = bearer(request.headers());
    let signed_in = match token {
        Ok(token) => sign_in(&door.api, token).await,
        Err(refusal) => Err(refusal),
    };
    match signed_in {
        Ok(signed_in) if door.roles.contains(&signed_in.caller.authority) => {
            request.extensions_mut().insert(signed_in);
            next.run(request).await
        }
        Ok(_) => Refusal::denied("your role does not allow this").into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// The person behind an access token.
pub(crate) async fn sign_in(api: &Api, token: &str) -> Result<SignedIn, Refusal> {
    let claims = api.keys().verify(token, Purpose::Access, api.now()).map_err(refusal)?;
    let (caller, _) = holder(api, &claims).await?;
    Ok(SignedIn { caller, session: claims.session_id })
}

/// Whether the session of somebody who signed in before still holds (W-5).
pub(crate) async fn still_signed_in(api: &Api, signed_in: &SignedIn) -> Result<(), Refusal> {
    let session = signed_in.session;
    if signed_in.caller.read_only {
        return not_ended(api, session);
    }
    let claims = Standing { session, user: signed_in.caller.user_id };
    claims.check(api).await.map(drop)
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
pub(crate) fn begin_session(api: &Api, holder: &Holder) -> Result<TokenPair, Refusal> {
    issue(api, holder, token::new_session(api.now(), &*api.node().entropy))
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
    user: thingport_model::id::UserId,
}

impl Standing {
    async fn check(&self, api: &Api) -> Result<thingport_model::user::User, Refusal> {
        not_ended(api, self.session)?;
        let registry = &api.node().registry;
        let gone = || Refusal::unauthenticated("the user no longer exists");
        let user = registry.user_of_token(self.user).await?.ok_or_else(gone)?;
        let login = registry.user_credentials(self.user).await?.ok_or_else(gone)?;
        if !login.enabled {
            return Err(Refusal::unauthenticated("the user is locked or not active"));
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

/// The token of the request: `X-Authorization` before `Authorization`, `Bearer <jwt>` (2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let presented = ["x-authorization", "authorization"].into_iter().find_map(|name| {
        let text = headers.get(name)?.to_str().ok()?.trim();
        (!text.is_empty()).then_some(text)
    });
    let presented =
        presented.ok_or_else(|| Refusal::unauthenticated("this needs a token; log in first"))?;
    let (scheme, token) = presented.split_once(' ').unwrap_or((presented, ""));
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(token.trim());
    }
    if scheme.eq_ignore_ascii_case("ApiKey") {
        return Err(Refusal::unauthenticated("API keys are not offered by this server yet"));
    }
    Err(Refusal::unauthenticated("the authorization header must read: Bearer <token>"))
}

const KEY_SETTING: &str = "api.jwt.key";

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_token_is_found_in_either_header() {
        type Headers = &'static [(&'static str, &'static str)];
        let rows: [(Headers, Option<&str>); 9] = [
            (&[("x-authorization", "Bearer a")], Some("a")),
            (&[("authorization", "Bearer a")], Some("a")),
            (&[("authorization", "bearer  a ")], Some("a")),
            (&[("x-authorization", "Bearer a"), ("authorization", "Basic b")], Some("a")),
            (&[("x-authorization", ""), ("authorization", "Bearer b")], Some("b")),
            (&[], None),
            (&[("authorization", "")], None),
            (&[("authorization", "Basic a")], None),
            (&[("x-authorization", "ApiKey a")], None),
        ];
        for (headers, expected) in rows {
            let map = headers.iter().map(|(name, value)| {
                (axum::http::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let map: HeaderMap = map.collect();
            assert_eq!(bearer(&map).ok(), expected, "{headers:?}");
        }
    }
}
