//! Proving a password and setting one: the rules that login, change and links share.

use thingport_model::user::{User, UserCredentials};

use super::remote::Remote;
use super::throttle::{Attempt, Locked};
use crate::api::Api;
use crate::error::Refusal;

/// A name with what is said to be its password, and from where.
pub(crate) struct Claim<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: &'a str,
    pub(crate) from: Remote,
}

/// The user, if name and password are right, at the same cost whether they are or not.
pub(crate) async fn prove(
    api: &Api,
    claim: &Claim<'_>,
) -> Result<(User, UserCredentials), Refusal> {
    let turn = api.hashing.turn().await?;
    let attempt = Attempt {
        account: claim.name,
        address: claim.from.counted_by(),
        now_ms: api.node().clock.monotonic_ms(),
    };
    if let Some(locked) = api.throttle.locked(attempt) {
        return Err(Refusal::unauthenticated(match locked {
            Locked::Account => "too many wrong passwords for this account; try again in a minute",
            Locked::Address => "too many wrong passwords from your address; try again in a minute",
        }));
    }
    let registry = &api.node().registry;
    let user = registry.user_by_email(claim.name).await?;
    let login = match &user {
        Some(user) => registry.user_credentials(user.id).await?,
        None => None,
    };
    let login = login.filter(|login| login.enabled);
    let hash = login.as_ref().and_then(|login| login.password_hash.clone());
    let fits = api.hashing.verify(&turn, claim.password.to_owned(), hash).await?;
    drop(turn);
    let (Some(user), Some(login), true) = (user.as_ref(), login, fits) else {
        let in_a_row = api.throttle.failed(attempt);
        lock_if_due(api, user.as_ref(), in_a_row).await?;
        return Err(Refusal::unauthenticated("wrong user name or password"));
    };
    api.throttle.succeeded(claim.name);
    Ok((user.clone(), login))
}

/// Stores a new password that keeps to the policy; every session begun before ends. `judged_by` is
/// the record that a link's token was judged by, so that the link works once.
pub(crate) async fn set_password(
    api: &Api,
    login: &UserCredentials,
    password: String,
    judged_by: Option<&UserCredentials>,
) -> Result<(), Refusal> {
    let policy = api.security().await?.password_policy.clone();
    policy.judge(&password).map_err(Refusal::bad_request)?;
    let mut salt = [0; 16];
    api.node().entropy.fill(&mut salt);
    let turn = api.hashing.turn().await?;
    for worn_out in policy.worn_out(login, api.now()) {
        if api.hashing.verify(&turn, password.clone(), Some(worn_out)).await? {
            return Err(Refusal::bad_request(
                "this password was used before and must not come back yet; choose another one",
            ));
        }
    }
    let hash = api.hashing.hash(&turn, password, salt).await?;
    drop(turn);
    api.node().registry.set_password(login.user_id, &hash, judged_by).await?;
    api.ended.ring();
    Ok(())
}

/// The security settings may say that so many wrong passwords in a row lock an account.
async fn lock_if_due(api: &Api, user: Option<&User>, in_a_row: u32) -> Result<(), Refusal> {
    let Some(user) = user else { return Ok(()) };
    let max = api.security().await?.max_failed_login_attempts.filter(|max| *max > 0);
    if max.is_none_or(|max| in_a_row < max) {
        return Ok(());
    }
    api.node().registry.lock_user(user.id).await?;
    api.ended.ring();
    // Once it is unlocked, counting begins anew.
    api.throttle.succeeded(&user.email);
    tracing::warn!(user = %user.id, "an account was locked after {in_a_row} wrong passwords in a row");
    Ok(())
}
