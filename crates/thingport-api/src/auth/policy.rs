//! What a password must look like and how long links work (REST API 2.5 and `securitySettings` of 19).

use serde::{Deserialize, Serialize};
use thingport_model::time::Timestamp;
use thingport_model::user::UserCredentials;
use utoipa::ToSchema;

/// What system administrators may say about logins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SecuritySettings)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SecuritySettings {
    pub(crate) password_policy: PasswordPolicy,
    /// Wrong passwords in a row that lock an account until an administrator unlocks it; null for none.
    pub(crate) max_failed_login_attempts: Option<u32>,
    /// Kept as sent; this server sends no mail.
    user_lockout_notification_email: Option<String>,
    /// Kept as sent.
    mobile_secret_key_length: u32,
    /// Hours that an activation link works, 1 to 168.
    pub(crate) user_activation_token_ttl: u32,
    /// Hours that a link to set a new password works, 1 to 168.
    pub(crate) password_reset_token_ttl: u32,
}

impl Default for SecuritySettings {
    fn default() -> Self {
        Self {
            password_policy: PasswordPolicy::default(),
            max_failed_login_attempts: None,
            user_lockout_notification_email: None,
            mobile_secret_key_length: 64,
            user_activation_token_ttl: 24,
            password_reset_token_ttl: 24,
        }
    }
}

/// What a password must look like; null stands for no rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = UserPasswordPolicy)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PasswordPolicy {
    minimum_length: u32,
    maximum_length: u32,
    minimum_uppercase_letters: Option<u32>,
    minimum_lowercase_letters: Option<u32>,
    minimum_digits: Option<u32>,
    minimum_special_characters: Option<u32>,
    allow_whitespaces: bool,
    /// Whether a login with a password that breaks the policy is refused.
    pub(crate) force_user_to_reset_password_if_not_valid: bool,
    /// Days after which a password must be replaced.
    password_expiration_period_days: Option<u32>,
    /// Days for which a former password must not come back; the newest eight are remembered.
    password_reuse_frequency_days: Option<u32>,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
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
        }
    }
}

impl SecuritySettings {
    /// Whether these settings can be obeyed; the text is for the caller.
    pub(crate) fn check(&self) -> Result<(), String> {
        let hours = 1..=168;
        for (name, value) in [
            ("userActivationTokenTtl", self.user_activation_token_ttl),
            ("passwordResetTokenTtl", self.password_reset_token_ttl),
        ] {
            if !hours.contains(&value) {
                return Err(format!("{name} is between 1 and 168 hours, not {value}"));
            }
        }
        self.password_policy.check()
    }
}

impl PasswordPolicy {
    /// Whether `password` may be chosen; the text says everything that is missing.
    pub(crate) fn judge(&self, password: &str) -> Result<(), String> {
        let count = |fits: Fits| password.chars().filter(|it| fits(*it)).count();
        let mut missing = Vec::new();
        let length = password.chars().count();
        if !(self.minimum_length as usize..=self.maximum_length as usize).contains(&length) {
            missing.push(format!("{} to {} characters", self.minimum_length, self.maximum_length));
        }
        let rules: [(Option<u32>, &str, Fits); 4] = [
            (self.minimum_uppercase_letters, "upper-case letters", char::is_uppercase),
            (self.minimum_lowercase_letters, "lower-case letters", char::is_lowercase),
            (self.minimum_digits, "digits", char::is_numeric),
            (self.minimum_special_characters, "special characters", is_special),
        ];
        for (minimum, what, fits) in rules {
            let minimum = minimum.unwrap_or(0);
            if count(fits) < minimum as usize {
                missing.push(format!("at least {minimum} {what}"));
            }
        }
        if !self.allow_whitespaces && password.contains(char::is_whitespace) {
            missing.push("no blanks".to_owned());
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!("a password must have {}", missing.join(", ")))
    }

    /// Whether the password of this record was set too long ago.
    pub(crate) fn has_expired(&self, login: &UserCredentials, now: Timestamp) -> bool {
        let Some(days) = self.password_expiration_period_days.filter(|days| *days > 0) else {
            return false;
        };
        // Records from before the moment was kept remember when their tokens began to count.
        let set_at = login.password_set_at.unwrap_or(login.tokens_valid_from);
        now.since_ms(set_at) > i64::from(days) * DAY_MS
    }

    /// Hashes of passwords that must not be chosen again: the present one and those used lately.
    pub(crate) fn worn_out(&self, login: &UserCredentials, now: Timestamp) -> Vec<String> {
        let Some(days) = self.password_reuse_frequency_days.filter(|days| *days > 0) else {
            return Vec::new();
        };
        let recent = login.former_passwords.iter();
        let recent = recent.filter(|it| now.since_ms(it.used_until) <= i64::from(days) * DAY_MS);
        login.password_hash.iter().chain(recent.map(|it| &it.hash)).cloned().collect()
    }

    fn check(&self) -> Result<(), String> {
        let (min, max) = (self.minimum_length, self.maximum_length);
        if min < LENGTH_MIN || max > LENGTH_MAX || min > max {
            return Err(format!(
                "minimumLength and maximumLength lie between {LENGTH_MIN} and {LENGTH_MAX}, in this \
                 order; they are {min} and {max}"
            ));
        }
        let parts = [
            self.minimum_uppercase_letters,
            self.minimum_lowercase_letters,
            self.minimum_digits,
            self.minimum_special_characters,
        ];
        let needed = parts.into_iter().flatten().fold(0_u32, u32::saturating_add);
        if needed > max {
            return Err(format!("no password of {max} characters has the {needed} that are asked"));
        }
        Ok(())
    }
}

/// Whether a letter is of a kind.
type Fits = fn(char) -> bool;

const fn is_special(letter: char) -> bool {
    letter.is_ascii_punctuation()
}

/// Shorter passwords are no obstacle.
const LENGTH_MIN: u32 = 5;
const LENGTH_MAX: u32 = 255;
const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::id::{NIL, UserId};
    use thingport_model::user::FormerPassword;

    fn policy(json: &str) -> PasswordPolicy {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn passwords_are_judged_by_every_rule_in_force() {
        let long = "x".repeat(73);
        let rows = [
            ("{}", "tenant", true),
            ("{}", "short", false),
            ("{}", long.as_str(), false),
            ("{}", "with a blank", true),
            (r#"{"allowWhitespaces":false}"#, "with a blank", false),
            (r#"{"minimumUppercaseLetters":2}"#, "abCdeF", true),
            (r#"{"minimumUppercaseLetters":2}"#, "abCdef", false),
            (r#"{"minimumLowercaseLetters":1}"#, "ABCDEF", false),
            (r#"{"minimumDigits":1}"#, "abcdef", false),
            (r#"{"minimumDigits":1}"#, "abcde1", true),
            (r#"{"minimumSpecialCharacters":1}"#, "abcdef", false),
            (r#"{"minimumSpecialCharacters":1}"#, "abcde!", true),
        ];
        for (json, password, fits) in rows {
            assert_eq!(policy(json).judge(password).is_ok(), fits, "{json} {password}");
        }
        let text = policy(r#"{"minimumDigits":2,"allowWhitespaces":false}"#).judge("a b");
        let text = text.expect_err("three rules broken");
        assert_eq!(text, "a password must have 6 to 72 characters, at least 2 digits, no blanks");
    }

    #[test]
    fn passwords_expire_and_former_ones_are_worn_out_for_a_while() {
        let login = UserCredentials {
            user_id: UserId(NIL),
            enabled: true,
            password_hash: Some("now".to_owned()),
            tokens_valid_from: Timestamp(0),
            last_login_at: None,
            password_set_at: Some(Timestamp(10 * DAY_MS)),
            former_passwords: vec![
                FormerPassword { hash: "late".to_owned(), used_until: Timestamp(10 * DAY_MS) },
                FormerPassword { hash: "old".to_owned(), used_until: Timestamp(2 * DAY_MS) },
            ],
        };
        let day = |n: i64| Timestamp(n * DAY_MS);
        let expires = policy(r#"{"passwordExpirationPeriodDays":3}"#);
        assert!(!expires.has_expired(&login, day(13)) && expires.has_expired(&login, day(14)));
        let unknown = UserCredentials { password_set_at: None, ..login.clone() };
        assert!(expires.has_expired(&unknown, day(4)));
        assert!(!PasswordPolicy::default().has_expired(&login, day(1_000)));
        let reuse = policy(r#"{"passwordReuseFrequencyDays":5}"#);
        assert_eq!(reuse.worn_out(&login, day(12)), ["now", "late"]);
        assert_eq!(PasswordPolicy::default().worn_out(&login, day(12)), Vec::<String>::new());
    }

    #[test]
    fn settings_that_cannot_be_obeyed_are_refused() {
        let settings = |json: &str| serde_json::from_str::<SecuritySettings>(json).expect(json);
        assert_eq!(settings("{}").check(), Ok(()));
        for wrong in [
            r#"{"passwordPolicy":{"minimumLength":2}}"#,
            r#"{"passwordPolicy":{"minimumLength":20,"maximumLength":10}}"#,
            r#"{"passwordPolicy":{"maximumLength":256}}"#,
            r#"{"passwordPolicy":{"minimumDigits":40,"minimumUppercaseLetters":40}}"#,
            r#"{"userActivationTokenTtl":0}"#,
            r#"{"passwordResetTokenTtl":169}"#,
        ] {
            assert!(settings(wrong).check().is_err(), "{wrong}");
        }
    }
}
