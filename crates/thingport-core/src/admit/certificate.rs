//! Admission by a client certificate (device API 2.4, 2.5).
//!
//! TLS has proven that the client holds the key of the first certificate. A device that has it is let
//! in. Otherwise the certificate is judged against the CA of a device profile, and the device of its
//! name is created or given the new certificate. Where ThingsBoard looks at signatures alone, so that
//! any certificate below the CA could name any device, everything is judged (WK-040), unless the profile
//! says otherwise.

use std::sync::Arc;

use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::device::Device;
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::profile::{ChainStrictness, DeviceProfile, Provisioning, X509Chain};
use thingport_model::reason::Reason;
use thingport_model::security::Security;
use thingport_x509::certificate::{Certificate, Validity};
use thingport_x509::chain::{ChainError, Rules, Strictness, verify};
use thingport_x509::crl::RevocationList;
use thingport_x509::input::read_one;
use thingport_x509::moment::rfc3339;
use thingport_x509::pattern::NamePattern;

use super::{Entrance, Refused, look_up};
use crate::registry::DeviceLogin;
use crate::registry::credentials::Secret;
use crate::registry::provisioning::{NotMade, Wish};

/// Finds or makes the device of a certificate. `above` are the others that were presented.
pub(super) async fn find(
    entrance: &Entrance<'_>,
    leaf: &[u8],
    above: &[Box<[u8]>],
) -> Result<Arc<DeviceLogin>, Refused> {
    let leaf = Certificate::from_der(leaf).map_err(|problem| Refused {
        detail: problem.to_string(),
        tried: "nothing: the certificate could not be read".to_owned(),
        ..Reason::CertificateUnreadable.into()
    })?;
    judge_period(entrance, &leaf)?;
    match look_up(entrance.registry, &leaf.credentials_id()).await? {
        Some(login) if login.kind == CredentialsType::X509Certificate => {
            judge_known(&login, &leaf)?;
            Ok(login)
        }
        Some(login) => Err(other_credentials(login, &leaf)),
        None => by_chain(entrance, presented(leaf, above)).await,
    }
}

/// AU-045.
fn judge_period(entrance: &Entrance<'_>, leaf: &Certificate) -> Result<(), Refused> {
    let reason = match leaf.facts().validity_at(entrance.clock.now().ms()) {
        Validity::Expired => Reason::CertificateExpired,
        Validity::NotYet => Reason::CertificateNotYetValid,
        Validity::Valid => return Ok(()),
    };
    if entrance.skip_client_validity {
        return Ok(());
    }
    let tried = "nothing: the certificate is out of its period";
    Err(Refused { detail: described(leaf), ..reason.into() }.having_tried(tried))
}

/// A certificate that was registered may have been called back since.
fn judge_known(login: &Arc<DeviceLogin>, leaf: &Certificate) -> Result<(), Refused> {
    let Provisioning::X509Chain(chain) = &login.profile.provisioning else { return Ok(()) };
    match list_of(chain) {
        Some(list) if list.revokes(leaf) => Err(Refused {
            device: Some(Arc::clone(login)),
            detail: described(leaf),
            tried: "the device's certificate: it was called back".to_owned(),
            ..Reason::CertificateRevoked.into()
        }),
        _ => Ok(()),
    }
}

/// The certificates in their order, as far as they can be read.
fn presented(leaf: Certificate, above: &[Box<[u8]>]) -> Vec<Certificate> {
    let above = above.iter().take(Security::CHAIN_MAX - 1);
    let mut all = vec![leaf];
    all.extend(above.filter_map(|der| Certificate::from_der(der).ok()));
    all
}

/// Sections 2.5 and AU-042, done after the handshake and without keeping anybody else waiting.
async fn by_chain(
    entrance: &Entrance<'_>,
    presented: Vec<Certificate>,
) -> Result<Arc<DeviceLogin>, Refused> {
    let mut refusal = None;
    for profile in candidates(entrance, &presented).await? {
        let Provisioning::X509Chain(chain) = &profile.provisioning else { continue };
        let profile = Arc::new(DeviceProfile { ..profile.clone() });
        match judge(entrance, &presented, &profile, chain) {
            Ok(()) => return provision(entrance, &presented[0], &profile, chain).await,
            Err(refused) => drop(refusal.get_or_insert(refused)),
        }
    }
    Err(refusal.unwrap_or_else(|| {
        let tried = "the certificate as a device's credentials, then its issuers as a profile's CA: \
                     neither is known";
        let detail = described(&presented[0]);
        Refused { detail, ..Reason::CertificateUnknown.into() }.having_tried(tried)
    }))
}

/// The profile whose CA was presented, from the leaf upward; or else those whose CA has the name of an
/// issuer that was not.
async fn candidates(
    entrance: &Entrance<'_>,
    presented: &[Certificate],
) -> Result<Vec<DeviceProfile>, Refused> {
    let registry = entrance.registry;
    for certificate in presented {
        let found = registry.profile_by_provision_key(&certificate.credentials_id()).await;
        let found = found.map_err(|error| unavailable(&error))?;
        if let Some(profile) = found.filter(is_chain) {
            return Ok(vec![profile]);
        }
    }
    let mut names: Vec<String> = Vec::new();
    let mut profiles = Vec::new();
    for certificate in presented {
        let name = certificate.issuer_id();
        if !names.contains(&name) {
            let found = registry.profiles_by_ca_name(&name, NAMESAKES_MAX).await;
            profiles.extend(found.map_err(|error| unavailable(&error))?);
            names.push(name);
        }
    }
    Ok(profiles)
}

const fn is_chain(profile: &DeviceProfile) -> bool {
    matches!(profile.provisioning, Provisioning::X509Chain(_))
}

fn judge(
    entrance: &Entrance<'_>,
    presented: &[Certificate],
    profile: &Arc<DeviceProfile>,
    chain: &X509Chain,
) -> Result<(), Refused> {
    let refused = |reason: Reason, detail: String| Refused {
        profile: Some(Arc::clone(profile)),
        detail,
        tried: format!("device profile {} by the name of its CA: not accepted", profile.name),
        ..reason.into()
    };
    // It was read when the profile was saved.
    let ca = read_one(chain.chain.as_bytes())
        .map_err(|problem| refused(Reason::LoginStoreUnavailable, problem.to_string()))?;
    let list = list_of(chain);
    let rules = Rules {
        strictness: match chain.strictness {
            ChainStrictness::Strict => Strictness::Strict,
            ChainStrictness::Compatible => Strictness::Compatible,
        },
        now_ms: entrance.clock.now().ms(),
        skip_leaf_validity: entrance.skip_client_validity,
        crl: list.as_ref(),
    };
    verify(presented, &ca, &rules).map_err(|problem| refused(why(&problem), problem.to_string()))
}

fn list_of(chain: &X509Chain) -> Option<RevocationList> {
    // It was read when the profile was saved.
    RevocationList::read(chain.crl.as_ref()?.as_bytes()).ok()
}

const fn why(problem: &ChainError) -> Reason {
    match problem {
        ChainError::Empty
        | ChainError::IssuerMissing { .. }
        | ChainError::Signature { .. }
        | ChainError::TooMuchWork => Reason::ChainBroken,
        ChainError::Expired { .. } | ChainError::NotYetValid { .. } => Reason::ChainExpired,
        ChainError::NotACa { .. }
        | ChainError::MayNotSign { .. }
        | ChainError::PathTooLong { .. } => Reason::ChainNotCa,
        ChainError::LeafIsCa { .. } | ChainError::LeafUsage { .. } => Reason::ChainLeaf,
        ChainError::Algorithm { .. } => Reason::ChainAlgorithm,
        ChainError::CriticalExtension { .. } => Reason::ChainExtension,
        ChainError::Revoked { .. } => Reason::CertificateRevoked,
        ChainError::StaleList => Reason::ChainListStale,
    }
}

/// AU-051 to AU-053.
async fn provision(
    entrance: &Entrance<'_>,
    leaf: &Certificate,
    profile: &Arc<DeviceProfile>,
    chain: &X509Chain,
) -> Result<Arc<DeviceLogin>, Refused> {
    let case = Case { entrance, leaf, profile, name: name_of(leaf, profile, chain)? };
    if !profile.transport.speaks_mqtt() {
        let detail = format!("it has transport type {}", profile.transport.name());
        return Err(case.refused(Reason::ProfileNotMqtt, detail));
    }
    // The same certificate may be presented twice at once, and then one is too late.
    for _ in 0..ATTEMPTS_MAX {
        let found = entrance.registry.named_device(profile.tenant_id, &case.name).await;
        let done = match found.map_err(|error| unavailable(&error))? {
            Some((device, credentials)) => case.renew(&device, &credentials).await?,
            None => case.create(chain.allow_create).await?,
        };
        if done == Done::Yes {
            let found = look_up(entrance.registry, &leaf.credentials_id()).await?;
            return found.ok_or_else(|| case.lost());
        }
    }
    Err(case.lost())
}

fn name_of(
    leaf: &Certificate,
    profile: &Arc<DeviceProfile>,
    chain: &X509Chain,
) -> Result<String, Refused> {
    let common_name = leaf.facts().common_name.as_deref();
    let pattern = NamePattern::new(&chain.cn_pattern).ok();
    let name = pattern.as_ref().zip(common_name).and_then(|(it, name)| it.name_in(name));
    name.map(str::to_owned).ok_or_else(|| Refused {
        profile: Some(Arc::clone(profile)),
        detail: match common_name {
            None => format!("{} has no common name", leaf.facts().subject),
            Some(_) => format!("{} in {}", chain.cn_pattern, leaf.facts().subject),
        },
        tried: format!("device profile {} by its CA: accepted, but no name is found", profile.name),
        ..Reason::ChainNameMissing.into()
    })
}

/// A good certificate, the profile it was judged by and the name it was given.
struct Case<'a> {
    entrance: &'a Entrance<'a>,
    leaf: &'a Certificate,
    profile: &'a Arc<DeviceProfile>,
    name: String,
}

/// Whether the device has the certificate now, or somebody else was faster.
#[derive(PartialEq, Eq)]
enum Done {
    Yes,
    TooLate,
}

impl Case<'_> {
    /// AU-052: the device is there.
    async fn renew(&self, device: &Device, stored: &DeviceCredentials) -> Result<Done, Refused> {
        let (registry, id) = (self.entrance.registry, self.leaf.credentials_id());
        if device.profile_id != self.profile.id {
            let detail = format!("device {} has profile {}", device.name, device.profile_name);
            return Err(self.refused(Reason::ChainDeviceElsewhere, detail));
        }
        if stored.credentials_id == id {
            // Its absence was remembered from before it was written.
            registry.forget_login(&id);
            return Ok(Done::Yes);
        }
        if stored.kind != CredentialsType::X509Certificate {
            let login = registry.login_of(device.id).await.map_err(|error| unavailable(&error))?;
            let detail = format!("device {} has {}", device.name, stored.kind.name());
            let refused = self.refused(Reason::CertificateNotExpected, detail);
            return Err(Refused { device: login, ..refused });
        }
        match registry.replace_certificate(stored, self.leaf).await {
            Ok(_) => Ok(Done::Yes),
            Err(PortError::Conflict(Conflict::Version | Conflict::CredentialsId)) => {
                Ok(Done::TooLate)
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// AU-053: there is no such device.
    async fn create(&self, allowed: bool) -> Result<Done, Refused> {
        if !allowed {
            let detail = format!("device {} of {}", self.name, self.leaf.facts().subject);
            return Err(self.refused(Reason::ChainDeviceUnknown, detail));
        }
        let provisions = self.entrance.provisions;
        let _place = provisions.place().await;
        let wish = Wish {
            name: Some(self.name.clone()),
            secret: Secret::X509Certificate(self.leaf.to_base64()),
            is_gateway: false,
        };
        match provisions.make(self.profile, wish).await {
            Ok(_) => Ok(Done::Yes),
            Err(NotMade::NameTaken | NotMade::CredentialsTaken) => Ok(Done::TooLate),
            Err(NotMade::Name(why) | NotMade::Credentials(why)) => {
                Err(self.refused(Reason::ChainNameInvalid, why))
            }
            Err(NotMade::Limit(limit)) => {
                let detail = format!("maxDevices is {limit}");
                Err(self.refused(Reason::ProvisionDeviceLimit, detail))
            }
            Err(NotMade::Failed(why)) => Err(self.refused(Reason::LoginStoreUnavailable, why)),
        }
    }

    fn refused(&self, reason: Reason, detail: String) -> Refused {
        let tried = format!(
            "device profile {} by its CA: accepted; device {}: not given the certificate",
            self.profile.name, self.name
        );
        Refused { profile: Some(Arc::clone(self.profile)), detail, tried, ..reason.into() }
    }

    /// The device came and went while this was going on.
    fn lost(&self) -> Refused {
        self.refused(Reason::LoginStoreUnavailable, "somebody changed the device meanwhile".into())
    }
}

fn other_credentials(login: Arc<DeviceLogin>, leaf: &Certificate) -> Refused {
    Refused {
        detail: format!("{}; the credentials are {}", described(leaf), login.kind.name()),
        device: Some(login),
        tried: "the certificate as a device's credentials: of another type".to_owned(),
        ..Reason::CertificateNotExpected.into()
    }
}

fn unavailable(error: &PortError) -> Refused {
    Refused {
        detail: error.to_string(),
        tried: "the store of devices and profiles did not answer".to_owned(),
        ..Reason::LoginStoreUnavailable.into()
    }
}

/// One line for the detail: whose, when, and by which id it is registered.
fn described(certificate: &Certificate) -> String {
    let facts = certificate.facts();
    format!(
        "{}, valid from {} to {}, fingerprint {} (SHA-256 {})",
        facts.subject,
        rfc3339(facts.not_before_ms),
        rfc3339(facts.not_after_ms),
        certificate.credentials_id(),
        certificate.sha256()
    )
}

/// Profiles whose CAs have the same name that are tried.
const NAMESAKES_MAX: u32 = 4;
const ATTEMPTS_MAX: usize = 4;
