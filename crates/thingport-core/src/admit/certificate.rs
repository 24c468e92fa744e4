//! Admission by a client certificate (device API 2.4, 2.5).
//!
//! TLS has proven that the client holds the key of the first certificate. A device that has it is let
//! in. Otherwise the certificate is judged against the CA of a device profile, and the device of its
//! name is created or given the new certificate. Where ThingsBoard looks at signatures alone, so that
//! any certificate below the CA could name any device, everything is judged (WK-040), unless the profile
//! says otherwise.

use std::collections::HashMap;
use std::sync::Arc;

use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::device::Device;
use thingport_model::id::TenantId;
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::profile::{ChainStrictness, DeviceProfile, Provisioning, X509Chain};
use thingport_model::reason::Reason;
use thingport_model::security::Security;
use thingport_x509::certificate::{Certificate, Validity};
use thingport_x509::chain::{Budget, ChainError, Rules, Strictness, key_ids_fit, verify};
use thingport_x509::crl::RevocationList;
use thingport_x509::input::read_one;
use thingport_x509::moment::rfc3339;
use thingport_x509::pattern::NamePattern;

use super::{Entrance, Refused, look_up};
use crate::registry::credentials::Secret;
use crate::registry::provisioning::{NotMade, Wish};
use crate::registry::{DeviceLogin, Registry};

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

/// Whether the device's certificate was called back by a list that was not in its profile `before`.
pub(super) async fn is_called_back(
    registry: &Registry,
    before: &DeviceProfile,
    login: &DeviceLogin,
) -> bool {
    let Some(chain) = chain_of(&login.profile).filter(|it| it.crl.is_some()) else { return false };
    let is_judged =
        before.id == login.profile.id && chain_of(before).is_some_and(|it| it.crl == chain.crl);
    if is_judged || login.kind != CredentialsType::X509Certificate {
        return false;
    }
    // A session with another certificate than this one was told to end when it was replaced.
    let Ok(stored) = registry.credentials_of(login.device_id).await else { return false };
    let revokes = |leaf: Certificate| list_of(chain).is_some_and(|list| list.revokes(&leaf));
    certificate_of(&stored).is_some_and(revokes)
}

/// The certificates in their order, as far as they can be read.
fn presented(leaf: Certificate, above: &[Box<[u8]>]) -> Vec<Certificate> {
    let above = above.iter().take(Security::CHAIN_MAX - 1);
    let mut all = vec![leaf];
    all.extend(above.filter_map(|der| Certificate::from_der(der).ok()));
    all
}

/// Sections 2.5 and AU-042, done after the handshake and without keeping anybody else waiting.
///
/// Anybody may put anybody's CA certificate into a profile, since it is no secret, so that a profile
/// names a CA proves nothing. Within a tenant the nearest CA that signed the chain decides. When CAs of
/// several tenants signed it, it is nobody's, unless just one of them has the device already.
async fn by_chain(
    entrance: &Entrance<'_>,
    presented: Vec<Certificate>,
) -> Result<Arc<DeviceLogin>, Refused> {
    let mut budget = Budget::of_a_login();
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut refusal = None;
    for profile in candidates(entrance, &presented).await? {
        if verdicts.iter().any(|it| it.profile.tenant_id == profile.tenant_id) {
            continue;
        }
        match judge(entrance, &presented, &Arc::new(profile), &mut budget) {
            Ok(verdict) => verdicts.push(verdict),
            Err(refused) => drop(refusal.get_or_insert(refused)),
        }
    }
    let verdict = match verdicts.len() {
        0 => return Err(refusal.unwrap_or_else(|| unheard_of(&presented[0]))),
        1 => verdicts.swap_remove(0),
        _ => undisputed(entrance, &presented, verdicts, &mut budget).await?,
    };
    verdict.accepted?;
    provision(entrance, &presented[0], &verdict.profile).await
}

fn unheard_of(leaf: &Certificate) -> Refused {
    let tried = "the certificate as a device's credentials, then its issuers as a profile's CA: \
                 neither is known";
    Refused { detail: described(leaf), ..Reason::CertificateUnknown.into() }.having_tried(tried)
}

/// The profiles whose CA was presented, from the leaf upward, then those whose CA has the name of an
/// issuer. Tenants take turns, so that none hides another's by having many.
async fn candidates(
    entrance: &Entrance<'_>,
    presented: &[Certificate],
) -> Result<Vec<DeviceProfile>, Refused> {
    let registry = entrance.registry;
    let mut profiles: Vec<DeviceProfile> = Vec::new();
    for certificate in presented {
        let found = registry.profile_by_provision_key(&certificate.credentials_id()).await;
        profiles.extend(found.map_err(|error| unavailable(&error))?.filter(is_chain));
    }
    let mut names: Vec<String> = Vec::new();
    for certificate in presented {
        let name = certificate.issuer_id();
        if !names.contains(&name) {
            let found = registry.profiles_by_ca_name(&name, NAMESAKES_MAX).await;
            let mut found = found.map_err(|error| unavailable(&error))?;
            found.sort_by_key(|profile| unlikeliness(certificate, profile));
            profiles.extend(found);
            names.push(name);
        }
    }
    let mut turns: HashMap<TenantId, usize> = HashMap::new();
    let mut ordered: Vec<(usize, DeviceProfile)> = Vec::with_capacity(profiles.len());
    for profile in profiles {
        if ordered.iter().any(|(_, other)| other.id == profile.id) {
            continue;
        }
        let turn = turns.entry(profile.tenant_id).or_default();
        ordered.push((*turn, profile));
        *turn += 1;
    }
    ordered.sort_by_key(|(turn, _)| *turn);
    Ok(ordered.into_iter().map(|(_, profile)| profile).collect())
}

/// What the key ids say without a look at any signature.
fn unlikeliness(certificate: &Certificate, profile: &DeviceProfile) -> u8 {
    match ca_of(profile).and_then(|ca| key_ids_fit(certificate, &ca)) {
        Some(true) => 0,
        None => 1,
        Some(false) => 2,
    }
}

fn ca_of(profile: &DeviceProfile) -> Option<Certificate> {
    // It was read when the profile was saved.
    read_one(chain_of(profile)?.chain.as_bytes()).ok()
}

const fn is_chain(profile: &DeviceProfile) -> bool {
    chain_of(profile).is_some()
}

const fn chain_of(profile: &DeviceProfile) -> Option<&X509Chain> {
    match &profile.provisioning {
        Provisioning::X509Chain(chain) => Some(chain),
        _ => None,
    }
}

/// What a profile whose CA signed the chain says of it.
struct Verdict {
    profile: Arc<DeviceProfile>,
    accepted: Result<(), Refused>,
}

/// # Errors
/// When its CA did not sign the chain. That is nobody's refusal, or anybody could fill a tenant's
/// events by naming its CA.
fn judge(
    entrance: &Entrance<'_>,
    presented: &[Certificate],
    profile: &Arc<DeviceProfile>,
    budget: &mut Budget,
) -> Result<Verdict, Refused> {
    let refused = |reason: Reason, detail: String| Refused {
        detail,
        tried: "a device profile by the name of its CA: not accepted".to_owned(),
        ..reason.into()
    };
    let chain = chain_of(profile).zip(ca_of(profile));
    let Some((chain, ca)) = chain else {
        let detail = "the CA of a device profile cannot be read".to_owned();
        return Err(refused(Reason::LoginStoreUnavailable, detail));
    };
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
    let accepted = match verify(presented, &ca, &rules, budget) {
        Ok(()) => Ok(()),
        Err(problem) => {
            let refused = refused(why(&problem), problem.to_string());
            if problem.is_unsigned() {
                return Err(refused);
            }
            let tried = format!("device profile {} by its CA: not accepted", profile.name);
            Err(Refused { profiles: vec![Arc::clone(profile)], ..refused }.having_tried(tried))
        }
    };
    Ok(Verdict { profile: Arc::clone(profile), accepted })
}

/// The verdict of the one tenant that has the device of this name, with a certificate from below the
/// same CA.
async fn undisputed(
    entrance: &Entrance<'_>,
    presented: &[Certificate],
    verdicts: Vec<Verdict>,
    budget: &mut Budget,
) -> Result<Verdict, Refused> {
    let profiles: Vec<_> = verdicts.iter().map(|it| Arc::clone(&it.profile)).collect();
    let mut owners = Vec::new();
    for verdict in verdicts {
        if has_the_device(entrance, presented, &verdict.profile, budget).await? {
            owners.push(verdict);
        }
    }
    match owners.pop() {
        Some(owner) if owners.is_empty() => Ok(owner),
        _ => Err(Refused {
            profiles,
            detail: described(&presented[0]),
            tried: "device profiles by their CAs: those of several tenants signed the chain, and \
                    not just one of them has the device"
                .to_owned(),
            ..Reason::ChainDisputed.into()
        }),
    }
}

async fn has_the_device(
    entrance: &Entrance<'_>,
    presented: &[Certificate],
    profile: &Arc<DeviceProfile>,
    budget: &mut Budget,
) -> Result<bool, Refused> {
    let Ok(name) = name_of(&presented[0], profile) else { return Ok(false) };
    let found = entrance.registry.named_device(profile.tenant_id, &name).await;
    let Some((device, credentials)) = found.map_err(|error| unavailable(&error))? else {
        return Ok(false);
    };
    let certificate = certificate_of(&credentials);
    let Some((certificate, ca)) = certificate.zip(ca_of(profile)) else { return Ok(false) };
    // Signatures alone: it may have expired, which is why there is a new one.
    let rules = Rules {
        strictness: Strictness::Compatible,
        now_ms: entrance.clock.now().ms(),
        skip_leaf_validity: true,
        crl: None,
    };
    let above = presented.iter().skip(1).cloned();
    let chain: Vec<_> = core::iter::once(certificate).chain(above).collect();
    Ok(device.profile_id == profile.id && verify(&chain, &ca, &rules, budget).is_ok())
}

/// The certificate that a device has.
fn certificate_of(credentials: &DeviceCredentials) -> Option<Certificate> {
    let is_certificate = credentials.kind == CredentialsType::X509Certificate;
    let value = credentials.value.as_deref().filter(|_| is_certificate)?;
    // It was read when it was saved.
    read_one(value.as_bytes()).ok()
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
) -> Result<Arc<DeviceLogin>, Refused> {
    let case = Case { entrance, leaf, profile, name: name_of(leaf, profile)? };
    let allow_create = chain_of(profile).is_some_and(|chain| chain.allow_create);
    if !profile.transport.speaks_mqtt() {
        let detail = format!("it has transport type {}", profile.transport.name());
        return Err(case.refused(Reason::ProfileNotMqtt, detail));
    }
    // The same certificate may be presented twice at once, and then one is too late.
    for _ in 0..ATTEMPTS_MAX {
        let found = entrance.registry.named_device(profile.tenant_id, &case.name).await;
        let done = match found.map_err(|error| unavailable(&error))? {
            Some((device, credentials)) => case.renew(&device, &credentials).await?,
            None => case.create(allow_create).await?,
        };
        if done == Done::Yes {
            let found = look_up(entrance.registry, &leaf.credentials_id()).await?;
            return found.ok_or_else(|| case.lost());
        }
    }
    Err(case.lost())
}

fn name_of(leaf: &Certificate, profile: &Arc<DeviceProfile>) -> Result<String, Refused> {
    let common_name = leaf.facts().common_name.as_deref();
    let cn_pattern = chain_of(profile).map_or("", |chain| &chain.cn_pattern);
    let pattern = NamePattern::new(cn_pattern).ok();
    let name = pattern.as_ref().zip(common_name).and_then(|(it, name)| it.name_in(name));
    name.map(str::to_owned).ok_or_else(|| Refused {
        profiles: vec![Arc::clone(profile)],
        detail: match common_name {
            None => format!("{} has no common name", leaf.facts().subject),
            Some(_) => format!("{cn_pattern} in {}", leaf.facts().subject),
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
        self.judge_age(device, stored)?;
        match registry.replace_certificate(stored, self.leaf).await {
            Ok(_) => Ok(Done::Yes),
            Err(PortError::Conflict(Conflict::Version | Conflict::CredentialsId)) => {
                Ok(Done::TooLate)
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// A certificate that was replaced must not take the device back: its key may be what was lost.
    fn judge_age(&self, device: &Device, stored: &DeviceCredentials) -> Result<(), Refused> {
        let is_strict =
            chain_of(self.profile).is_some_and(|it| it.strictness == ChainStrictness::Strict);
        let Some(known) = certificate_of(stored).filter(|_| is_strict) else { return Ok(()) };
        let (ours, theirs) = (known.facts().not_before_ms, self.leaf.facts().not_before_ms);
        if theirs >= ours {
            return Ok(());
        }
        let detail = format!(
            "{}; device {} has one that is valid from {} on",
            described(self.leaf),
            device.name,
            rfc3339(ours)
        );
        Err(self.refused(Reason::CertificateOlder, detail))
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
        Refused { profiles: vec![Arc::clone(self.profile)], detail, tried, ..reason.into() }
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

/// Profiles whose CAs have the same name that are tried, one of each tenant before the second of any.
const NAMESAKES_MAX: u32 = 32;
const ATTEMPTS_MAX: usize = 4;
