//! What the login of people needs: no caller yet, so nothing here may be reached by a plain request.
//!
//! Password hashes are opaque texts here; they are made and compared in the REST room.

use thingport_model::id::UserId;
use thingport_model::port::entities::Write;
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::user::{EndedSession, LoginChange, User, UserCredentials};

use crate::access::{Caller, missing};
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
    /// `judged_by` is the record that a token was judged by; when it is no longer in force, nothing is
    /// changed, so that a token that sets a password works once.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user is gone, [`Error::VersionConflict`] when `judged_by` is not in
    /// force any more.
    pub async fn set_password(
        &self,
        id: UserId,
        hash: &str,
        judged_by: Option<&UserCredentials>,
    ) -> Result<(), Error> {
        let now = self.now();
        let change = LoginChange {
            enabled: Some(true),
            password: Some((hash.to_owned(), now)),
            tokens_valid_from: Some(now),
            only_if_valid_from: judged_by.map(|record| record.tokens_valid_from),
            ..LoginChange::default()
        };
        self.change_login(id, change).await
    }

    /// Notes a successful login.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user is gone.
    pub async fn record_login(&self, id: UserId) -> Result<(), Error> {
        let change = LoginChange { last_login_at: Some(self.now()), ..LoginChange::default() };
        self.change_login(id, change).await
    }

    /// Makes all tokens issued to the user so far stop working.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user is gone.
    pub async fn end_tokens(&self, id: UserId) -> Result<(), Error> {
        let change = LoginChange { tokens_valid_from: Some(self.now()), ..LoginChange::default() };
        self.change_login(id, change).await
    }

    /// Locks a user who guessed too often, or whom somebody else guessed about.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user is gone.
    pub async fn lock_user(&self, id: UserId) -> Result<(), Error> {
        let change = LoginChange {
            enabled: Some(false),
            tokens_valid_from: Some(self.now()),
            ..LoginChange::default()
        };
        self.change_login(id, change).await
    }

    /// Notes that a session ended by a logout, until its last token has expired by itself.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn end_session(&self, ended: EndedSession) -> Result<(), Error> {
        self.write(vec![Write::EndSession(ended, self.now())]).await
    }

    /// Sessions that ended by a logout and whose tokens may still be around.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn ended_sessions(&self) -> Result<Vec<EndedSession>, Error> {
        Ok(self.entities.ended_sessions().await?)
    }

    /// What the caller's own pages remember, opaque; none at first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn own_settings(&self, caller: &Caller) -> Result<Option<String>, Error> {
        Ok(self.entities.user_settings(caller.user_id).await?)
    }

    /// Keeps what the caller's own pages want to remember.
    ///
    /// # Errors
    /// [`Error::Denied`] for a guest, [`Error::Invalid`] for more than 64 KiB.
    pub async fn put_own_settings(&self, caller: &Caller, settings: &str) -> Result<(), Error> {
        caller.must_write()?;
        if settings.len() > SETTINGS_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "the settings of a user have at most {SETTINGS_BYTES_MAX} bytes"
            )));
        }
        self.write(vec![Write::UserSettings(caller.user_id, settings.to_owned())]).await
    }

    pub(super) async fn change_login(&self, id: UserId, change: LoginChange) -> Result<(), Error> {
        match self.entities.write(vec![Write::ChangeLogin(id, change)]).await {
            Err(PortError::Conflict(Conflict::Missing)) => Err(missing("user")),
            other => Ok(other?),
        }
    }
}

const SETTINGS_BYTES_MAX: usize = 64 * 1024;
