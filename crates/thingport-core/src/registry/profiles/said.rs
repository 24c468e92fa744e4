//! What requests say of a member, and of receivers.

use thingport_model::webhook::{Secret, WebhookUrl};

use crate::error::Error;

/// A member of a request: absent, null, or something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Said<T> {
    /// It stays as it is.
    #[default]
    Unsaid,
    /// It goes.
    Cleared,
    /// It becomes this.
    Set(T),
}

/// The URL of a receiver; `member` names what it belongs to.
pub(super) fn settle_url(member: &str, sent: &str) -> Result<WebhookUrl, Error> {
    WebhookUrl::parse(sent)
        .map_err(|problem| Error::Invalid(format!("the url of {member} {}", problem.sentence())))
}

/// The secret of a receiver: 16 characters at least, since whoever guesses it can speak in our name.
pub(super) fn settle_secret(
    member: &str,
    sent: Said<String>,
    stored: Option<Secret>,
) -> Result<Option<Secret>, Error> {
    let text = match sent {
        Said::Unsaid => return Ok(stored),
        Said::Cleared => return Ok(None),
        Said::Set(text) => text,
    };
    if !(SECRET_MIN..=SECRET_MAX).contains(&text.len()) {
        return Err(Error::Invalid(format!(
            "the secret of {member} has {SECRET_MIN} to {SECRET_MAX} bytes: make one with \
             `openssl rand -hex 32`"
        )));
    }
    Ok(Some(Secret::new(text)))
}

const SECRET_MIN: usize = 16;
const SECRET_MAX: usize = 256;
