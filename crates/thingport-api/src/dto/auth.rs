//! Logging in (REST API section 2).

use serde::{Deserialize, Serialize};
use thingport_model::time::Timestamp;
use thingport_model::user::ApiKey;
use utoipa::ToSchema;

use super::id::{EntityId, IdInput};

/// User name and password.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = LoginRequest)]
pub(crate) struct LoginInput {
    /// The user's e-mail address.
    #[schema(example = "tenant@thingsboard.org")]
    pub(crate) username: String,
    #[schema(example = "tenant")]
    pub(crate) password: String,
}

/// A refresh token.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = RefreshTokenRequest)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefreshInput {
    pub(crate) refresh_token: String,
}

/// An access token and what it can be renewed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LoginResponse)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenPair {
    pub(crate) token: String,
    pub(crate) refresh_token: String,
}

/// Old and new password.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = ChangePasswordRequest)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChangePasswordInput {
    pub(crate) current_password: String,
    pub(crate) new_password: String,
}

/// A first password and the token that allows to set it.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = ActivateUserRequest)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActivateInput {
    pub(crate) activate_token: String,
    pub(crate) password: String,
}

/// An e-mail address whose owner forgot the password.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = ResetPasswordEmailRequest)]
pub(crate) struct ForgottenInput {
    /// The address; whether anybody has it is not told.
    #[allow(dead_code)] // read by whoever sends mail; this server does not
    pub(crate) email: String,
}

/// A new password and the token that allows to set it.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = ResetPasswordRequest)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResetInput {
    pub(crate) reset_token: String,
    pub(crate) password: String,
}

/// An API key to be made, or changed when it has an id.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = ApiKeyRequest)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyInput {
    pub(crate) id: Option<IdInput>,
    pub(crate) user_id: Option<IdInput>,
    pub(crate) description: Option<String>,
    pub(crate) enabled: Option<bool>,
    /// Milliseconds since 1970; 0 or null for never.
    pub(crate) expiration_time: Option<i64>,
}

/// An API key without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ApiKeyInfo)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyBody {
    id: EntityId,
    created_time: i64,
    tenant_id: EntityId,
    user_id: EntityId,
    /// Milliseconds since 1970; 0 for never.
    expiration_time: i64,
    description: String,
    enabled: bool,
    expired: bool,
}

impl ApiKeyBody {
    pub(crate) fn of(key: &ApiKey, now: Timestamp) -> Self {
        Self {
            id: EntityId::api_key(key.id),
            created_time: key.created_at.ms(),
            tenant_id: key.tenant_id.entity().into(),
            user_id: key.user_id.entity().into(),
            expiration_time: key.expires_at.map_or(0, Timestamp::ms),
            description: key.description.clone(),
            enabled: key.enabled,
            expired: key.expires_at.is_some_and(|at| at <= now),
        }
    }
}

/// An API key with its value, which is shown this once; null for a key that existed before.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ApiKey)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewApiKeyBody {
    #[serde(flatten)]
    pub(crate) key: ApiKeyBody,
    pub(crate) value: Option<String>,
}
