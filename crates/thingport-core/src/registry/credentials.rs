//! What devices prove themselves with: rules at save (REST API section 9, device API 2.2).

use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::device::Device;
use thingport_model::id::{CredentialsId, DeviceId};
use thingport_model::port::entities::Write;
use thingport_model::port::error::PortError;
use thingport_model::tenant::OpaqueJson;
use thingport_model::time::Timestamp;
use thingport_x509::certificate::Certificate;
use thingport_x509::input;

pub use super::basic::Basic;
pub use super::cache::DeviceLogin;
use super::{Registry, lost_race, next_version, text};
pub use super::{hash_one, hash_two};
use crate::access::{Caller, missing};
use crate::error::Error;

/// Credentials as somebody wants them saved.
#[derive(Clone)]
pub struct CredentialsDraft {
    /// Identity of the record; none takes the record of the device (C-1).
    pub id: Option<CredentialsId>,
    /// The version the caller read; none overwrites (G-32).
    pub version: Option<i64>,
    /// The secret.
    pub secret: Secret,
}

/// The secret of one credentials type, as sent.
#[derive(Clone)]
pub enum Secret {
    /// `ACCESS_TOKEN`; blank text asks for a random token, for a new device only (C-6).
    AccessToken(String),
    /// `MQTT_BASIC`, the three members; an empty text counts as absent.
    MqttBasic {
        /// MQTT client id.
        client_id: Option<String>,
        /// MQTT user name.
        user_name: Option<String>,
        /// MQTT password.
        password: Option<String>,
    },
    /// `X509_CERTIFICATE`: PEM text, or its base64 body; of a chain the first certificate counts, which
    /// is the device's own.
    X509Certificate(String),
    /// `LWM2M_CREDENTIALS`: the endpoint name and the JSON text, stored, not acted upon.
    Lwm2m {
        /// `credentialsId`
        credentials_id: String,
        /// `credentialsValue`
        value: OpaqueJson,
    },
}

impl CredentialsDraft {
    /// An access token; blank text asks for a random one.
    #[must_use]
    pub fn access_token(token: &str) -> Self {
        Self { id: None, version: None, secret: Secret::AccessToken(token.to_owned()) }
    }
}

impl Registry {
    /// The credentials of a device, for its tenant and its customer.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Denied`] as for the device, [`Error::Denied`] for a guest.
    pub async fn credentials(
        &self,
        caller: &Caller,
        device: DeviceId,
    ) -> Result<DeviceCredentials, Error> {
        let found = self.device(caller, device).await?;
        caller.may_read_secrets(&found)?;
        self.credentials_of(device).await
    }

    /// Changes the credentials of a device; sessions that used the old ones are closed (C-7).
    ///
    /// # Errors
    /// [`Error::Invalid`] when a rule C-1 to C-8 is broken, [`Error::VersionConflict`] (G-31),
    /// [`Error::NotFound`], [`Error::Denied`] for everybody but tenant administrators.
    pub async fn save_credentials(
        &self,
        caller: &Caller,
        device: DeviceId,
        draft: &CredentialsDraft,
    ) -> Result<DeviceCredentials, Error> {
        let device = self.device(caller, device).await?;
        caller.may_administer_device(&device)?;
        let mut attempt = 0;
        loop {
            let saved = self.save_credentials_once(&device, draft).await;
            attempt += 1;
            if !lost_race(&saved, draft.version, attempt) {
                return saved;
            }
        }
    }

    /// The record of a device that is about to be created.
    pub(super) fn new_credentials(
        &self,
        device: DeviceId,
        at: Timestamp,
        secret: &Secret,
    ) -> Result<DeviceCredentials, Error> {
        let secret = match secret {
            Secret::AccessToken(token) if token.trim().is_empty() => {
                &Secret::AccessToken(self.random_text(TOKEN_CHARS))
            }
            given => given,
        };
        let StoredForm { kind, credentials_id, value, expires_at } = stored_form(secret)?;
        let id = CredentialsId(self.new_id(at));
        Ok(DeviceCredentials {
            id,
            created_at: at,
            device_id: device,
            kind,
            credentials_id,
            value,
            expires_at,
            version: 1,
        })
    }

    pub(crate) async fn credentials_of(
        &self,
        device: DeviceId,
    ) -> Result<DeviceCredentials, Error> {
        let credentials = self.entities.credentials_of(device).await?;
        credentials.ok_or_else(|| missing("credentials record"))
    }

    async fn save_credentials_once(
        &self,
        device: &Device,
        draft: &CredentialsDraft,
    ) -> Result<DeviceCredentials, Error> {
        let stored = self.credentials_of(device.id).await?;
        let saved = changed(&stored, draft)?;
        self.write(vec![Write::DeviceCredentials(saved.clone())]).await?;
        self.credentials_written(&stored, &saved);
        Ok(saved)
    }

    /// Puts another certificate in the place of the one that a device has; sessions with the old one are
    /// closed (AU-052).
    pub(crate) async fn replace_certificate(
        &self,
        stored: &DeviceCredentials,
        certificate: &Certificate,
    ) -> Result<DeviceCredentials, PortError> {
        let StoredForm { kind, credentials_id, value, expires_at } = certificate_form(certificate);
        let version = stored.version.saturating_add(1);
        let saved = DeviceCredentials {
            kind,
            credentials_id,
            value,
            expires_at,
            version,
            ..stored.clone()
        };
        self.entities.write(vec![Write::DeviceCredentials(saved.clone())]).await?;
        self.credentials_written(stored, &saved);
        Ok(saved)
    }

    /// After the write: forgets the device's logins, also when nothing changed, and tells who holds
    /// sessions, if anything did.
    pub(super) fn credentials_written(&self, old: &DeviceCredentials, new: &DeviceCredentials) {
        let ids = [old.credentials_id.as_str(), new.credentials_id.as_str()];
        self.logins.forget_device(new.device_id, ids);
        let same = |old: &DeviceCredentials, new: &DeviceCredentials| {
            old.kind == new.kind
                && old.credentials_id == new.credentials_id
                && old.value == new.value
        };
        if !same(old, new) {
            self.events.credentials_changed(new.device_id);
        }
    }
}

/// `stored` as the draft wants it.
pub(super) fn changed(
    stored: &DeviceCredentials,
    draft: &CredentialsDraft,
) -> Result<DeviceCredentials, Error> {
    if draft.id.is_some_and(|id| id != stored.id) {
        return Err(Error::Invalid("these credentials belong to another device".to_owned()));
    }
    let version = next_version(stored.version, draft.version)?;
    let StoredForm { kind, credentials_id, value, expires_at } = stored_form(&draft.secret)?;
    Ok(DeviceCredentials { kind, credentials_id, value, expires_at, version, ..stored.clone() })
}

/// What a secret is stored as.
#[derive(Debug, PartialEq, Eq)]
struct StoredForm {
    kind: CredentialsType,
    credentials_id: String,
    value: Option<String>,
    expires_at: Option<Timestamp>,
}

fn stored_form(secret: &Secret) -> Result<StoredForm, Error> {
    let form =
        |kind, credentials_id, value| StoredForm { kind, credentials_id, value, expires_at: None };
    match secret {
        Secret::AccessToken(token) => {
            check_text("credentialsId", token)?;
            Ok(form(CredentialsType::AccessToken, token.clone(), None))
        }
        Secret::MqttBasic { client_id, user_name, password } => {
            let basic = Basic::new(client_id.as_deref(), user_name.as_deref(), password.as_deref());
            let id = basic_id(&basic)?;
            Ok(form(CredentialsType::MqttBasic, id, Some(basic.to_json())))
        }
        Secret::X509Certificate(text) => {
            let certificate = input::read_one(text.as_bytes());
            let certificate = certificate
                .map_err(|problem| Error::Invalid(format!("credentialsValue: {problem}")))?;
            Ok(certificate_form(&certificate))
        }
        Secret::Lwm2m { credentials_id, value } => {
            check_text("credentialsId", credentials_id)?;
            text::opaque("credentialsValue", Some(value))?;
            Ok(form(CredentialsType::Lwm2m, credentials_id.clone(), Some(value.clone())))
        }
    }
}

/// C-3: the value is base64 in one line, and the id is hashed from it.
fn certificate_form(certificate: &Certificate) -> StoredForm {
    StoredForm {
        kind: CredentialsType::X509Certificate,
        credentials_id: certificate.credentials_id(),
        value: Some(certificate.to_base64()),
        expires_at: Some(Timestamp(certificate.facts().not_after_ms)),
    }
}

/// C-4, C-5, AU-012.
fn basic_id(basic: &Basic) -> Result<String, Error> {
    for (field, text) in [
        ("clientId", &basic.client_id),
        ("userName", &basic.user_name),
        ("password", &basic.password),
    ] {
        if let Some(text) = text {
            text::printable(field, text)?;
        }
    }
    match (basic.client_id.as_deref(), basic.user_name.as_deref()) {
        (None, None) => Err(Error::Invalid("give a client id, a user name or both".to_owned())),
        (Some(_), None) if basic.password.is_some() => {
            Err(Error::Invalid("a password needs a user name".to_owned()))
        }
        (Some(client), None) => Ok(hash_one(client)),
        (None, Some(user)) => {
            check_text("userName", user)?;
            Ok(user.to_owned())
        }
        (Some(client), Some(user)) => Ok(hash_two(client, user)),
    }
}

fn check_text(field: &str, value: &str) -> Result<(), Error> {
    text::printable(field, value)?;
    if value.trim().is_empty() {
        return Err(Error::Invalid(format!("{field} must not be empty")));
    }
    if value.len() > CREDENTIALS_ID_BYTES_MAX {
        return Err(Error::Invalid(format!(
            "{field} must not be longer than {CREDENTIALS_ID_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

const TOKEN_CHARS: usize = 20;
/// A longer user name is refused at CONNECT before any look-up, so it could never be used.
pub(super) const CREDENTIALS_ID_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests;
