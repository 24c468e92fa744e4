//! Logging in (REST API section 2).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// What a password must look like (2.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = UserPasswordPolicy)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PasswordPolicy {
    minimum_length: usize,
    maximum_length: usize,
    minimum_uppercase_letters: Option<u32>,
    minimum_lowercase_letters: Option<u32>,
    minimum_digits: Option<u32>,
    minimum_special_characters: Option<u32>,
    allow_whitespaces: bool,
    force_user_to_reset_password_if_not_valid: bool,
    password_expiration_period_days: Option<u32>,
    password_reuse_frequency_days: Option<u32>,
}

impl PasswordPolicy {
    /// The policy in force.
    pub(crate) const IN_FORCE: Self = Self {
        minimum_length: 6,
        maximum_length: 72,
        minimum_uppercase_letters: None,
        minimum_lowercase_letters: None,
        minimum_digits: None,
        minimum_special_characters: None,
        allow_whitespaces: true,
        force_user_to_reset_password_if_not_valid: false,
        password_expiration_period_days: None,
        password_reuse_frequency_days: None,
    };

    /// Whether `password` may be chosen.
    pub(crate) fn allows(&self, password: &str) -> bool {
        let length = password.chars().count();
        (self.minimum_length..=self.maximum_length).contains(&length)
    }
}
