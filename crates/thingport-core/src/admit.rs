//! Admission: which device is this, and may it come in? (device API sections 2.1, 2.3, 2.6)

use std::sync::Arc;

use thingport_model::credentials::CredentialsType;
use thingport_model::port::error::PortError;
use thingport_model::reason::Reason;
use thingport_model::security::Security;

use crate::registry::{DeviceLogin, Registry, hash_one, hash_two};

/// What a client offers at CONNECT.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Client id, possibly empty.
    pub client_id: &'a str,
    /// User name; none when absent, possibly empty.
    pub user_name: Option<&'a str>,
    /// Password.
    pub password: Option<&'a [u8]>,
    /// What the TLS handshake said; none on a plain connection.
    pub security: Option<&'a Security>,
}

/// Why a client was not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub reason: Reason,
    /// The device whose credentials were tried, when one was found.
    pub device: Option<Arc<DeviceLogin>>,
    /// What exactly was wrong, without secrets.
    pub detail: String,
}

/// Finds the device that an offer belongs to.
///
/// # Errors
/// The reason why nobody is let in.
pub async fn admit(registry: &Registry, offer: &Offer<'_>) -> Result<Arc<DeviceLogin>, Refused> {
    let login = find(registry, offer).await?;
    if login.profile.transport.speaks_mqtt() {
        return Ok(login);
    }
    let detail = format!(
        "profile {} has transport type {}",
        login.profile.name,
        login.profile.transport.name()
    );
    Err(Refused { reason: Reason::ProfileNotMqtt, device: Some(login), detail })
}

async fn find(registry: &Registry, offer: &Offer<'_>) -> Result<Arc<DeviceLogin>, Refused> {
    if offer.client_id == PROVISION || offer.user_name == Some(PROVISION) {
        return Err(Reason::ProvisioningUnavailable.into());
    }
    match offer.user_name.filter(|name| !name.is_empty()) {
        None => find_by_client_id(registry, offer).await,
        Some(name) if malformed(name) => Err(Reason::TokenMalformed.into()),
        Some(name) => find_by_user_name(registry, offer, name).await,
    }
}

/// Step 1 of section 2.3: no user name, so only basic credentials with this client id can match.
async fn find_by_client_id(
    registry: &Registry,
    offer: &Offer<'_>,
) -> Result<Arc<DeviceLogin>, Refused> {
    let nothing = match (offer.client_id.trim().is_empty(), offer.password) {
        (_, Some(_)) => Reason::PasswordWithoutUserName,
        (true, None) => Reason::TokenMissing,
        (false, None) => Reason::ClientIdUnknown,
    };
    if offer.client_id.is_empty() {
        return Err(nothing.into());
    }
    match look_up(registry, &hash_one(offer.client_id)).await? {
        Some(login) if is_basic(&login) && basic_fits(&login, offer) == Fit::Yes => Ok(login),
        Some(_) | None => Err(nothing.into()),
    }
}

/// Steps 2 and 3 of section 2.3.
async fn find_by_user_name(
    registry: &Registry,
    offer: &Offer<'_>,
    name: &str,
) -> Result<Arc<DeviceLogin>, Refused> {
    if !offer.client_id.is_empty()
        && let Some(login) = look_up(registry, &hash_two(offer.client_id, name)).await?
        && is_basic(&login)
    {
        match basic_fits(&login, offer) {
            Fit::Yes => return Ok(login),
            Fit::WrongPassword => return Err(wrong_password(login)),
            Fit::No => {}
        }
    }
    let Some(login) = look_up(registry, name).await? else {
        return Err(Reason::CredentialsUnknown.into());
    };
    match login.kind {
        CredentialsType::AccessToken => Ok(login),
        CredentialsType::MqttBasic => match basic_fits(&login, offer) {
            Fit::Yes => Ok(login),
            Fit::WrongPassword => Err(wrong_password(login)),
            Fit::No => Err(Reason::CredentialsUnknown.into()),
        },
        CredentialsType::X509Certificate | CredentialsType::Lwm2m => Err(Refused {
            reason: Reason::CredentialsTypeUnsupported,
            detail: format!("the credentials are of type {}", login.kind.name()),
            device: Some(login),
        }),
    }
}

async fn look_up(registry: &Registry, id: &str) -> Result<Option<Arc<DeviceLogin>>, Refused> {
    registry.login_by_credentials_id(id).await.map_err(|error: PortError| Refused {
        reason: Reason::LoginStoreUnavailable,
        device: None,
        detail: error.to_string(),
    })
}

fn is_basic(login: &DeviceLogin) -> bool {
    login.kind == CredentialsType::MqttBasic
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Yes,
    No,
    WrongPassword,
}

/// The check of section 2.3: fields that are empty in storage are not compared.
fn basic_fits(login: &DeviceLogin, offer: &Offer<'_>) -> Fit {
    let Some(basic) = login.basic.as_deref() else { return Fit::No };
    let stored = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let (client_id, user_name) = (stored(&basic.client_id), stored(&basic.user_name));
    if !client_id.is_empty() && client_id != offer.client_id {
        return Fit::No;
    }
    if !user_name.is_empty() && Some(user_name.as_str()) != offer.user_name {
        return Fit::No;
    }
    let password = stored(&basic.password);
    if password.is_empty() || same(password.as_bytes(), offer.password.unwrap_or_default()) {
        Fit::Yes
    } else {
        Fit::WrongPassword
    }
}

/// Comparison whose time does not depend on where the texts differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

fn wrong_password(login: Arc<DeviceLogin>) -> Refused {
    Refused { reason: Reason::PasswordWrong, device: Some(login), detail: String::new() }
}

/// Conformance section 1: a token that is longer or holds control characters cannot be one.
fn malformed(user_name: &str) -> bool {
    user_name.len() > TOKEN_MAX
        || user_name.trim().is_empty()
        || user_name.chars().any(char::is_control)
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self { reason, device: None, detail: String::new() }
    }
}

/// The user name or client id that asks to be provisioned (AU-001).
const PROVISION: &str = "provision";
/// Longest access token in bytes.
const TOKEN_MAX: usize = 255;
