//! Admission: which device is this, and may it come in? (device API section 2)

mod certificate;

use core::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use thingport_model::credentials::CredentialsType;
use thingport_model::port::error::PortError;
use thingport_model::profile::DeviceProfile;
use thingport_model::reason::Reason;
use thingport_model::security::Security;

use crate::clock::Clock;
use crate::provision::Provisions;
use crate::registry::{DeviceLogin, Registry, hash_one, hash_two};

/// What admission works with.
#[derive(Clone, Copy)]
pub struct Entrance<'a> {
    /// Who is known.
    pub registry: &'a Registry,
    /// Makes devices of certificates that a profile's CA issued.
    pub provisions: &'a Provisions,
    /// The moment at which certificates are judged.
    pub clock: &'a dyn Clock,
    /// Whether a device's certificate may be out of its period (AU-045).
    pub skip_client_validity: bool,
}

/// What a client offers at CONNECT.
#[derive(Clone, Copy)]
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
    /// The device profiles whose CA signed what was shown, when no device but a profile was found: the
    /// refusal concerns their tenants then. Several only when tenants must settle it with each other, so
    /// the texts below name none of them then.
    pub profiles: Vec<Arc<DeviceProfile>>,
    /// What exactly was wrong, without secrets.
    pub detail: String,
    /// Which credentials or profile were tried and where that stopped, without secrets.
    pub tried: String,
}

/// Names, but no secrets: a user name may be a token.
impl fmt::Debug for Offer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("client_id", &self.client_id)
            .field("has_user_name", &self.user_name.is_some())
            .field("has_password", &self.password.is_some())
            .field("security", &self.security)
            .finish()
    }
}

impl Refused {
    /// The same, with what was tried.
    #[must_use]
    pub fn having_tried(self, tried: impl Into<String>) -> Self {
        Self { tried: tried.into(), ..self }
    }
}

/// Finds the device that an offer belongs to.
///
/// # Errors
/// The reason why nobody is let in.
pub async fn admit(
    entrance: &Entrance<'_>,
    offer: &Offer<'_>,
) -> Result<Arc<DeviceLogin>, Refused> {
    // AU-002: whoever presents a certificate is not asked for anything else.
    let login = match offer.security.map(|security| &*security.chain) {
        Some([leaf, above @ ..]) => certificate::find(entrance, leaf, above).await?,
        Some([]) | None => find(entrance.registry, offer).await?,
    };
    if login.profile.transport.speaks_mqtt() {
        return Ok(login);
    }
    let detail = format!(
        "profile {} has transport type {}",
        login.profile.name,
        login.profile.transport.name()
    );
    let tried = "the credentials fit, the device's profile does not";
    let refused = Refused { device: Some(login), detail, ..Reason::ProfileNotMqtt.into() };
    Err(refused.having_tried(tried))
}

/// Looks again at a device whose session is open. When the store does not answer, the session goes on
/// with what it knows.
///
/// # Errors
/// Why the session must end.
pub async fn readmit(
    registry: &Registry,
    known: &Arc<DeviceLogin>,
) -> Result<Arc<DeviceLogin>, Reason> {
    let found = registry.login_of(known.device_id).await;
    let found = found.unwrap_or_else(|_| Some(Arc::clone(known)));
    let login = found.ok_or(Reason::DeviceDeleted)?;
    if certificate::is_called_back(registry, &known.profile, &login).await {
        return Err(Reason::CertificateRevoked);
    }
    Ok(login)
}

async fn find(registry: &Registry, offer: &Offer<'_>) -> Result<Arc<DeviceLogin>, Refused> {
    match offer.user_name.filter(|name| !name.is_empty()) {
        None => find_by_client_id(registry, offer).await,
        Some(name) if malformed(name) => {
            Err(Refused::from(Reason::TokenMalformed)
                .having_tried("nothing: no token looks like this"))
        }
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
        return Err(Refused::from(nothing).having_tried("nothing: there was nothing to look up"));
    }
    match look_up(registry, &hash_one(offer.client_id)).await? {
        Some(login) if is_basic(&login) && basic_fits(&login, offer) == Fit::Yes => Ok(login),
        Some(_) | None => {
            let tried = "MQTT basic credentials by client id alone: none fit";
            Err(Refused::from(nothing).having_tried(tried))
        }
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
            Fit::WrongPassword => return Err(wrong_password(login, "client id and user name")),
            Fit::No => {}
        }
    }
    let Some(login) = look_up(registry, name).await? else {
        return Err(unknown(offer));
    };
    match login.kind {
        CredentialsType::AccessToken => Ok(login),
        CredentialsType::MqttBasic => match basic_fits(&login, offer) {
            Fit::Yes => Ok(login),
            Fit::WrongPassword => Err(wrong_password(login, "user name")),
            Fit::No => Err(unknown(offer)),
        },
        CredentialsType::X509Certificate | CredentialsType::Lwm2m => Err(Refused {
            detail: format!("the credentials are of type {}", login.kind.name()),
            device: Some(login),
            tried: "the user name is the id of credentials that are not used like this".to_owned(),
            ..Reason::CredentialsTypeUnsupported.into()
        }),
    }
}

async fn look_up(registry: &Registry, id: &str) -> Result<Option<Arc<DeviceLogin>>, Refused> {
    registry.login_by_credentials_id(id).await.map_err(|error: PortError| Refused {
        detail: error.to_string(),
        tried: "the store of credentials did not answer".to_owned(),
        ..Reason::LoginStoreUnavailable.into()
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
    if password.is_empty() || same(&password, offer.password.unwrap_or_default()) {
        Fit::Yes
    } else {
        Fit::WrongPassword
    }
}

/// Comparison whose time does not tell where the texts differ.
fn same(stored: &str, offered: &[u8]) -> bool {
    stored.as_bytes().ct_eq(offered).into()
}

fn wrong_password(login: Arc<DeviceLogin>, by: &str) -> Refused {
    let tried = format!("MQTT basic credentials by {by}: found, the password differs");
    Refused { device: Some(login), tried, ..Reason::PasswordWrong.into() }
}

fn unknown(offer: &Offer<'_>) -> Refused {
    let tried = if offer.client_id.is_empty() {
        "access token, then MQTT basic credentials by user name: none fit"
    } else {
        "MQTT basic credentials by client id and user name, then access token, then MQTT basic \
         credentials by user name: none fit"
    };
    Refused::from(Reason::CredentialsUnknown).having_tried(tried)
}

/// Conformance section 1: a token that is longer or holds control characters cannot be one.
fn malformed(user_name: &str) -> bool {
    user_name.len() > TOKEN_MAX
        || user_name.trim().is_empty()
        || user_name.chars().any(char::is_control)
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            device: None,
            profiles: Vec::new(),
            detail: String::new(),
            tried: String::new(),
        }
    }
}

/// Longest access token in bytes.
const TOKEN_MAX: usize = 255;
