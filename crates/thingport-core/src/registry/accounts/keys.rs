//! API keys of people (REST API 2.4). A key is made and hashed in the REST room; here it is a hash.

use thingport_model::id::{ApiKeyId, UserId};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::Write;
use thingport_model::port::error::PortError;
use thingport_model::time::Timestamp;
use thingport_model::user::{ApiKey, KeyHash, User};

use crate::access::{Caller, missing};
use crate::error::Error;
use crate::registry::{Registry, lost_race, text};

/// What may be said of an API key.
#[derive(Clone, Debug)]
pub struct ApiKeyDraft {
    /// What it is for.
    pub description: String,
    /// Works or not.
    pub enabled: bool,
    /// From this moment on it does not work; none for never.
    pub expires_at: Option<Timestamp>,
}

impl Registry {
    /// A new key of `user` whose value has this hash.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a blank description, a moment that is over or too many keys;
    /// [`Error::NotFound`], [`Error::Denied`] unless the caller may change the user.
    pub async fn create_api_key(
        &self,
        caller: &Caller,
        user: UserId,
        draft: ApiKeyDraft,
        hash: KeyHash,
    ) -> Result<ApiKey, Error> {
        let user = self.user_to_change(caller, user).await?;
        check(&draft)?;
        let now = self.now();
        if draft.expires_at.is_some_and(|at| at <= now) {
            return Err(Error::Invalid("expirationTime must lie in the future".to_owned()));
        }
        let one = PageLink { page: 0, size: 1, text_search: None, sort: None };
        if self.entities.api_keys(user.id, one).await?.total >= API_KEYS_MAX {
            return Err(Error::Invalid(format!(
                "a user has at most {API_KEYS_MAX} API keys; delete one that is not used"
            )));
        }
        let key = ApiKey {
            id: ApiKeyId(self.new_id(now)),
            created_at: now,
            tenant_id: user.tenant_id,
            user_id: user.id,
            description: draft.description,
            enabled: draft.enabled,
            expires_at: draft.expires_at,
            hash,
            version: 1,
        };
        self.write(vec![Write::ApiKey(key.clone())]).await?;
        Ok(key)
    }

    /// A page of the keys of a user whom the caller may change; text search on the description.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a page that cannot be, [`Error::NotFound`], [`Error::Denied`].
    pub async fn api_keys(
        &self,
        caller: &Caller,
        user: UserId,
        link: PageLink,
    ) -> Result<Page<ApiKey>, Error> {
        let user = self.user_to_change(caller, user).await?;
        let link = text::page(link, API_KEY_SORTS)?;
        Ok(self.entities.api_keys(user.id, link).await?)
    }

    /// Changes a key of a user whom the caller may change. What takes effect at once: a disabled or
    /// expired key opens nothing once this has returned.
    ///
    /// # Errors
    /// As [`Self::create_api_key`], and [`Error::NotFound`] for a missing or foreign key.
    pub async fn change_api_key(
        &self,
        caller: &Caller,
        id: ApiKeyId,
        change: impl Fn(&mut ApiKeyDraft) + Send + Sync,
    ) -> Result<ApiKey, Error> {
        let mut attempt = 0;
        loop {
            let saved = self.change_api_key_once(caller, id, &change).await;
            attempt += 1;
            if !lost_race(&saved, None, attempt) {
                return saved;
            }
        }
    }

    /// Deletes a key of a user whom the caller may change; it opens nothing from now on.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`].
    pub async fn delete_api_key(&self, caller: &Caller, id: ApiKeyId) -> Result<(), Error> {
        let key = self.api_key_to_change(caller, id).await;
        if matches!(key, Err(Error::NotFound(_))) {
            // A key that is gone must not be remembered either, whatever became of its deletion.
            self.keys.forget_all();
        }
        let key = key?;
        self.write(vec![Write::DeleteApiKey(key.id)]).await?;
        self.keys.forget_all();
        Ok(())
    }

    /// The key whose value has this hash, enabled or not; for the way in, so without a caller.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn api_key_by_hash(&self, hash: &KeyHash) -> Result<Option<ApiKey>, PortError> {
        if let Some(found) = self.keys.find(hash) {
            return Ok(Some(found));
        }
        let read_at = self.keys.generation();
        let found = self.entities.api_key_by_hash(*hash).await?;
        if let Some(key) = &found {
            self.keys.keep(read_at, key);
        }
        Ok(found)
    }

    async fn change_api_key_once(
        &self,
        caller: &Caller,
        id: ApiKeyId,
        change: &(impl Fn(&mut ApiKeyDraft) + Send + Sync),
    ) -> Result<ApiKey, Error> {
        let stored = self.api_key_to_change(caller, id).await?;
        let mut draft = ApiKeyDraft {
            description: stored.description.clone(),
            enabled: stored.enabled,
            expires_at: stored.expires_at,
        };
        change(&mut draft);
        check(&draft)?;
        let saved = ApiKey {
            description: draft.description,
            enabled: draft.enabled,
            expires_at: draft.expires_at,
            version: stored.version.saturating_add(1),
            ..stored
        };
        self.write(vec![Write::ApiKey(saved.clone())]).await?;
        self.keys.forget_all();
        Ok(saved)
    }

    async fn api_key_to_change(&self, caller: &Caller, id: ApiKeyId) -> Result<ApiKey, Error> {
        let missing = || missing("API key");
        let key = self.entities.api_key(id).await?.ok_or_else(missing)?;
        match self.user_to_change(caller, key.user_id).await {
            Ok(_) => Ok(key),
            // A foreign key answers like a missing one (G-51).
            Err(Error::NotFound(_)) => Err(missing()),
            Err(other) => Err(other),
        }
    }

    async fn user_to_change(&self, caller: &Caller, id: UserId) -> Result<User, Error> {
        let user = self.user(caller, id).await?;
        caller.may_write_user(&user)?;
        Ok(user)
    }
}

fn check(draft: &ApiKeyDraft) -> Result<(), Error> {
    text::required("description", &draft.description)
}

const API_KEY_SORTS: &[&str] = &["createdTime", "description", "enabled", "expirationTime"];
/// Keys of one user.
const API_KEYS_MAX: u64 = 100;
