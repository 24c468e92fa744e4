//! Tokens: JWTs signed with HS512 (REST API 2.3). Pure: the time is an argument.
//!
//! The session id is time-ordered, so it tells when the session began; a password change ends the
//! sessions begun before it without a list of them.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use thingport_core::clock::Entropy;
use thingport_model::id::{NIL, UserId, ordered_id};
use thingport_model::tenant::Customer;
use thingport_model::time::Timestamp;
use thingport_model::user::{Authority, User};
use uuid::Uuid;

/// The key that signs tokens: 64 random bytes, made at the first run and kept as a setting.
#[derive(Clone)]
pub struct JwtKeys {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl core::fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The key is a secret: never printed.
        f.write_str("JwtKeys")
    }
}

impl JwtKeys {
    /// Keys over `secret`; none when it is shorter than the 64 bytes HS512 deserves.
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        (secret.len() >= SECRET_BYTES).then(|| Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        })
    }

    /// A fresh secret for [`Self::new`].
    #[must_use]
    pub fn fresh_secret(entropy: &dyn Entropy) -> [u8; SECRET_BYTES] {
        let mut secret = [0; SECRET_BYTES];
        entropy.fill(&mut secret);
        secret
    }

    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let header = Header::new(Algorithm::HS512);
        encode(&header, claims, &self.encoding).map_err(|_| TokenError::Invalid)
    }

    /// The claims of `token` if we signed it for `purpose` and it has not expired.
    pub(crate) fn verify(
        &self,
        token: &str,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let decoded = decode::<Claims>(token, &self.decoding, &rules());
        let claims = decoded.map_err(|_| TokenError::Invalid)?.claims;
        if claims.purpose() != Some(purpose) {
            return Err(TokenError::WrongPurpose);
        }
        if now.ms() >= claims.exp.saturating_mul(1_000) {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// Not a token of ours: form, algorithm or signature (A-3).
    Invalid,
    /// A refresh token where an access token is due, or the reverse (A-5).
    WrongPurpose,
    /// Its time is over (A-2, A-14).
    Expired,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Access,
    Refresh,
    Activate,
    Reset,
}

/// What a token says; the names are the contract (REST API 2.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claims {
    pub(crate) sub: String,
    pub(crate) user_id: Uuid,
    pub(crate) scopes: Vec<String>,
    pub(crate) session_id: Uuid,
    pub(crate) iss: String,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enabled: Option<bool>,
    #[serde(default)]
    pub(crate) is_public: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) customer_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jti: Option<Uuid>,
}

/// Whom a token is given to.
#[derive(Clone, Debug)]
pub(crate) enum Holder {
    /// A person with a login.
    User(User),
    /// A guest of a public customer.
    Guest(Customer),
}

impl Claims {
    /// What the holder shows at each request of the session.
    pub(crate) fn access(holder: &Holder, terms: &Terms<'_>) -> Self {
        let bare = Self::bare(holder, terms);
        match holder {
            Holder::User(user) => Self {
                scopes: vec![user.authority.name().to_owned()],
                first_name: user.first_name.clone(),
                last_name: user.last_name.clone(),
                enabled: Some(true),
                tenant_id: Some(user.tenant_id.0),
                customer_id: Some(user.customer_id.map_or(NIL, |id| id.0)),
                ..bare
            },
            Holder::Guest(customer) => Self {
                scopes: vec![Authority::CustomerUser.name().to_owned()],
                enabled: Some(true),
                tenant_id: Some(customer.tenant_id.0),
                customer_id: Some(customer.id.0),
                ..bare
            },
        }
    }

    /// What the holder trades for a new pair of tokens of the same session.
    pub(crate) fn refresh(holder: &Holder, terms: &Terms<'_>, jti: Uuid) -> Self {
        let scopes = vec![REFRESH_SCOPE.to_owned()];
        Self { scopes, jti: Some(jti), ..Self::bare(holder, terms) }
    }

    /// What proves that whoever sets the first password of a user was given the link.
    pub(crate) fn activation(holder: &Holder, terms: &Terms<'_>) -> Self {
        Self { scopes: vec![ACTIVATE_SCOPE.to_owned()], ..Self::bare(holder, terms) }
    }

    /// What proves that whoever sets a new password of a user was given the link.
    pub(crate) fn reset(holder: &Holder, terms: &Terms<'_>) -> Self {
        Self { scopes: vec![RESET_SCOPE.to_owned()], ..Self::bare(holder, terms) }
    }

    pub(crate) const fn user(&self) -> UserId {
        UserId(self.user_id)
    }

    fn bare(holder: &Holder, terms: &Terms<'_>) -> Self {
        let iat = terms.now.ms().div_euclid(1_000);
        let (sub, user_id, is_public) = match holder {
            Holder::User(user) => (user.email.clone(), user.id.0, false),
            Holder::Guest(customer) => (customer.id.to_string(), NIL, true),
        };
        Self {
            sub,
            user_id,
            scopes: Vec::new(),
            session_id: terms.session,
            iss: terms.issuer.to_owned(),
            iat,
            exp: iat.saturating_add(i64::from(terms.lifetime_s)),
            first_name: None,
            last_name: None,
            enabled: None,
            is_public,
            tenant_id: None,
            customer_id: None,
            jti: None,
        }
    }

    fn purpose(&self) -> Option<Purpose> {
        let [scope] = self.scopes.as_slice() else { return None };
        match scope.as_str() {
            REFRESH_SCOPE => Some(Purpose::Refresh),
            ACTIVATE_SCOPE => Some(Purpose::Activate),
            RESET_SCOPE => Some(Purpose::Reset),
            role => Authority::from_name(role).map(|_| Purpose::Access),
        }
    }
}

/// On what terms a token is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) session: Uuid,
    pub(crate) now: Timestamp,
    pub(crate) lifetime_s: u32,
}

/// A new session id that remembers `now`.
pub(crate) fn new_session(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    ordered_id(now, &random)
}

/// When the session began; its id says so.
pub(crate) fn session_began(session: Uuid) -> Timestamp {
    let began = session.get_timestamp().map(|at| at.to_unix());
    let ms = began.and_then(|(s, ns)| i64::try_from(s * 1_000 + u64::from(ns) / 1_000_000).ok());
    Timestamp(ms.unwrap_or(0))
}

/// Only our algorithm counts, whatever the token's header names; the time is judged by the caller's
/// clock, not by the library's.
fn rules() -> Validation {
    let mut rules = Validation::new(Algorithm::HS512);
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.set_required_spec_claims(&["exp"]);
    rules
}

/// Bytes of the signing secret (HS512: at least as long as the hash).
pub const SECRET_BYTES: usize = 64;
const TOKEN_BYTES_MAX: usize = 8 * 1024;
const REFRESH_SCOPE: &str = "REFRESH_TOKEN";
const ACTIVATE_SCOPE: &str = "ACTIVATION_TOKEN";
const RESET_SCOPE: &str = "PASSWORD_RESET_TOKEN";

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use thingport_model::id::TenantId;

    struct Sevens;
    impl Entropy for Sevens {
        fn fill(&self, out: &mut [u8]) {
            out.fill(7);
        }
    }

    fn user() -> Holder {
        Holder::User(User {
            id: UserId(Uuid::from_u128(1)),
            created_at: Timestamp(0),
            tenant_id: TenantId(Uuid::from_u128(2)),
            customer_id: None,
            email: "tenant@thingsboard.org".into(),
            authority: Authority::TenantAdmin,
            first_name: Some("Ada".into()),
            last_name: None,
            phone: None,
            additional_info: None,
            version: 1,
        })
    }

    fn terms() -> Terms<'static> {
        let session = new_session(NOW, &Sevens);
        Terms { issuer: "thingport", session, now: NOW, lifetime_s: 9_000 }
    }

    fn keys(byte: u8) -> JwtKeys {
        JwtKeys::new(&[byte; SECRET_BYTES]).expect("long enough")
    }

    const NOW: Timestamp = Timestamp(1_767_225_600_123);

    #[test]
    fn an_access_token_has_the_claims_of_the_contract() {
        let token = keys(1).sign(&Claims::access(&user(), &terms())).expect("signed");
        let payload = token.split('.').nth(1).expect("three parts");
        let payload = BASE64.decode(payload).expect("base64");
        let claims: serde_json::Value = serde_json::from_slice(&payload).expect("json");
        let session = terms().session.to_string();
        let expected = serde_json::json!({
            "sub": "tenant@thingsboard.org", "userId": "00000000-0000-0000-0000-000000000001",
            "scopes": ["TENANT_ADMIN"], "sessionId": session, "iss": "thingport",
            "iat": 1_767_225_600, "exp": 1_767_234_600, "firstName": "Ada", "enabled": true,
            "isPublic": false, "tenantId": "00000000-0000-0000-0000-000000000002",
            "customerId": "13814000-1dd2-11b2-8080-808080808080"
        });
        assert_eq!(claims, expected);
    }

    #[test]
    fn a_token_works_for_its_purpose_until_it_expires() {
        let keys = keys(1);
        let access = keys.sign(&Claims::access(&user(), &terms())).expect("signed");
        let refresh = keys.sign(&Claims::refresh(&user(), &terms(), NIL)).expect("signed");
        let activation = keys.sign(&Claims::activation(&user(), &terms())).expect("signed");
        let reset = keys.sign(&Claims::reset(&user(), &terms())).expect("signed");
        let last = Timestamp(1_767_234_599_999);
        let over = Timestamp(1_767_234_600_000);
        let rows = [
            (&access, Purpose::Access, NOW, None),
            (&access, Purpose::Access, last, None),
            (&access, Purpose::Access, over, Some(TokenError::Expired)),
            (&access, Purpose::Refresh, NOW, Some(TokenError::WrongPurpose)),
            (&refresh, Purpose::Refresh, NOW, None),
            (&refresh, Purpose::Refresh, over, Some(TokenError::Expired)),
            (&refresh, Purpose::Access, NOW, Some(TokenError::WrongPurpose)),
            (&activation, Purpose::Activate, NOW, None),
            (&activation, Purpose::Access, NOW, Some(TokenError::WrongPurpose)),
            (&activation, Purpose::Reset, NOW, Some(TokenError::WrongPurpose)),
            (&reset, Purpose::Reset, NOW, None),
            (&reset, Purpose::Reset, over, Some(TokenError::Expired)),
            (&reset, Purpose::Activate, NOW, Some(TokenError::WrongPurpose)),
            (&reset, Purpose::Refresh, NOW, Some(TokenError::WrongPurpose)),
        ];
        for (token, purpose, now, expected) in rows {
            assert_eq!(keys.verify(token, purpose, now).err(), expected, "{purpose:?} at {now:?}");
        }
    }

    #[test]
    fn what_we_did_not_sign_is_refused() {
        let ours = keys(1);
        let good = ours.sign(&Claims::access(&user(), &terms())).expect("signed");
        let parts: Vec<_> = good.split('.').collect();
        let none = BASE64.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let hs256 = Header::new(Algorithm::HS256);
        let secret = EncodingKey::from_secret(&[1; SECRET_BYTES]);
        let rows = [
            ("another key", keys(2).sign(&Claims::access(&user(), &terms())).expect("signed")),
            ("alg none", format!("{none}.{}.", parts[1])),
            ("alg none with signature", format!("{none}.{}.{}", parts[1], parts[2])),
            ("no signature", format!("{}.{}.", parts[0], parts[1])),
            ("HS256", encode(&hs256, &Claims::access(&user(), &terms()), &secret).expect("signed")),
            ("changed payload", format!("{}.{}A.{}", parts[0], parts[1], parts[2])),
            ("empty", String::new()),
            ("too long", "a".repeat(TOKEN_BYTES_MAX + 1)),
        ];
        for (what, token) in rows {
            let answer = ours.verify(&token, Purpose::Access, NOW).err();
            assert_eq!(answer, Some(TokenError::Invalid), "{what}");
        }
        assert!(JwtKeys::new(&[1; 63]).is_none());
    }

    #[test]
    fn a_session_remembers_when_it_began() {
        assert_eq!(session_began(terms().session), NOW);
        assert_eq!(session_began(Uuid::from_u128(5)), Timestamp(0));
    }
}
