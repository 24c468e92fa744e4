//! What the login of people needs: no caller yet, so nothing here may be reached by a plain request.
//!
//! Password hashes are opaque texts here; they are made and compared in the REST room.

use thingport_model::id::UserId;
use thingport_model::port::entities::Write;
use thingport_model::user::{User, UserCredentials};

use crate::access::missing;
use crate::error::Error;
use crate::registry::Registry;

impl Registry {
    /// The user with this login name in whatever letter case.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, Error> {
        Ok(self.entities.user_by_email(email).await?)
    }

    /// The user that a verified token names; none when it is gone.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn user_of_token(&self, id: UserId) -> Result<Option<User>, Error> {
        Ok(self.entities.user(id).await?)
    }

    /// How a user proves who they are; none when the user is gone.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn user_credentials(&self, id: UserId) -> Result<Option<UserCredentials>, Error> {
        Ok(self.entities.user_credentials(id).await?)
    }

    /// Sets the password and activates the user; tokens issued before stop working.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user is gone.
    pub async fn set_password(&self, id: UserId, hash: &str) -> Result<UserCredentials, Error> {
        let stored = self.login_record(id).await?;
        let changed = UserCredentials {
            enabled: true,
            password_hash: Some(hash.to_owned()),
            tokens_valid_from: self.now(),
            ..stored
        };
        self.write(vec![Write::UserCredentials(changed.clone())]).await?;
        Ok(changed)
    }

    /// Notes a successful login.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user is gone.
    pub async fn record_login(&self, id: UserId) -> Result<(), Error> {
        let stored = self.login_record(id).await?;
        let changed = UserCredentials { last_login_at: Some(self.now()), ..stored };
        self.write(vec![Write::UserCredentials(changed)]).await
    }

    /// Makes all tokens issued to the user so far stop working.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user is gone.
    pub async fn end_tokens(&self, id: UserId) -> Result<(), Error> {
        let stored = self.login_record(id).await?;
        let changed = UserCredentials { tokens_valid_from: self.now(), ..stored };
        self.write(vec![Write::UserCredentials(changed)]).await
    }

    pub(super) async fn login_record(&self, id: UserId) -> Result<UserCredentials, Error> {
        let found = self.entities.user_credentials(id).await?;
        found.ok_or_else(|| missing("user"))
    }
}
