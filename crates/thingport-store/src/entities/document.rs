//! The one stored form of entities: JSON texts beside the columns, each with its version in `v`.
//!
//! A member may be added with a default; any other change is a new `v` and a reader for the old one.
//! The files in `testdata/entities` hold the form still.

mod extension;
mod forwarding;
mod profile;
mod url;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thingport_model::credentials::DeviceCredentials;
use thingport_model::device::Device;
use thingport_model::id::PackageFileId;
use thingport_model::limit::{MonthlyQuota, RateLimit, RateLimits, limit_member};
use thingport_model::ota::{ChecksumAlgorithm, Package, PackageContent, PackageData, PackageUrl};
use thingport_model::port::error::PortError;
use thingport_model::tenant::{Address, Customer, Tenant, TenantProfile};
use thingport_model::time::Timestamp;
use thingport_model::user::{FormerPassword, User, UserCredentials};

pub(super) use self::profile::{ProfileDocument, ca_name, provision_key};

/// A text that is written and read back; `v` is the version this program writes.
pub(super) trait Document: Serialize + DeserializeOwned {
    /// The stored text.
    fn write(&self) -> Result<String, PortError> {
        serde_json::to_string(&Versioned { v: VERSION, body: self })
            .map_err(|error| PortError::Corrupt(error.to_string()))
    }

    /// Reads a stored text.
    fn read(text: &str) -> Result<Self, PortError> {
        let corrupt = |error: serde_json::Error| PortError::Corrupt(error.to_string());
        let Version { v } = serde_json::from_str(text).map_err(corrupt)?;
        if v != VERSION {
            return Err(PortError::Corrupt(format!("a document of the unknown version {v}")));
        }
        serde_json::from_str(text).map_err(corrupt)
    }
}

#[derive(Serialize)]
struct Versioned<'a, T> {
    v: u32,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Beside the columns of `tenant` and `customer`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct PlaceDocument {
    pub(super) region: Option<String>,
    pub(super) state: Option<String>,
    pub(super) address: Option<String>,
    pub(super) address2: Option<String>,
    pub(super) zip: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) additional_info: Option<String>,
}

impl Document for PlaceDocument {}

impl From<&Tenant> for PlaceDocument {
    fn from(tenant: &Tenant) -> Self {
        let region = tenant.region.clone();
        Self { region, ..place(&tenant.address, tenant.additional_info.as_ref()) }
    }
}

impl From<&Customer> for PlaceDocument {
    fn from(customer: &Customer) -> Self {
        place(&customer.address, customer.additional_info.as_ref())
    }
}

fn place(address: &Address, additional_info: Option<&String>) -> PlaceDocument {
    PlaceDocument {
        region: None,
        state: address.state.clone(),
        address: address.address.clone(),
        address2: address.address2.clone(),
        zip: address.zip.clone(),
        phone: address.phone.clone(),
        additional_info: additional_info.cloned(),
    }
}

/// Beside the columns of `tenant_profile`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TenantProfileDocument {
    pub(super) isolated_rule_engine: bool,
    pub(super) profile_data: String,
    pub(super) storage_ttl_days: u32,
    #[serde(default)]
    pub(super) rpc_ttl_days: u32,
    pub(super) devices_max: u64,
    #[serde(default)]
    pub(super) customers_max: u64,
    #[serde(default)]
    pub(super) users_max: u64,
    #[serde(default)]
    pub(super) package_bytes_max: u64,
    /// Texts of the rate limits and monthly quotas that are set, by the member that holds them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    rate_limits: BTreeMap<String, String>,
}

impl TenantProfileDocument {
    pub(super) fn rate_limits(&self) -> Result<RateLimits, PortError> {
        let mut limits = RateLimits::default();
        let places: Vec<_> = limits.iter().map(|(scope, kind, _)| (scope, kind)).collect();
        for (scope, kind) in places {
            if let Some(text) = self.rate_limits.get(&limit_member(scope, kind)) {
                let limit = RateLimit::parse(text);
                let limit = limit.map_err(|it| PortError::Corrupt(format!("{text:?}: {it}")))?;
                limits.set(scope, kind, limit);
            }
        }
        let quota = |member| match self.rate_limits.get(member) {
            Some(text) => text.parse().map_err(|it| PortError::Corrupt(format!("{text:?}: {it}"))),
            None => Ok(0),
        };
        limits.monthly = MonthlyQuota {
            messages: quota(MonthlyQuota::MESSAGES)?,
            points: quota(MonthlyQuota::POINTS)?,
        };
        Ok(limits)
    }
}

impl Document for TenantProfileDocument {}

impl From<&TenantProfile> for TenantProfileDocument {
    fn from(profile: &TenantProfile) -> Self {
        Self {
            isolated_rule_engine: profile.isolated_rule_engine,
            profile_data: profile.profile_data.clone(),
            storage_ttl_days: profile.storage_ttl_days,
            rpc_ttl_days: profile.rpc_ttl_days,
            devices_max: profile.devices_max,
            customers_max: profile.customers_max,
            users_max: profile.users_max,
            package_bytes_max: profile.package_bytes_max,
            rate_limits: limit_texts(&profile.rate_limits),
        }
    }
}

fn limit_texts(limits: &RateLimits) -> BTreeMap<String, String> {
    let texts = limits.iter().filter_map(|(scope, kind, limit)| {
        Some((limit_member(scope, kind), limit.text()?.to_owned()))
    });
    let MonthlyQuota { messages, points } = limits.monthly;
    let quotas = [(MonthlyQuota::MESSAGES, messages), (MonthlyQuota::POINTS, points)];
    let quotas = quotas.into_iter().filter(|(_, max)| *max > 0);
    texts.chain(quotas.map(|(member, max)| (member.to_owned(), max.to_string()))).collect()
}

/// Beside the columns of `person`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PersonDocument {
    pub(super) additional_info: Option<String>,
}

impl Document for PersonDocument {}

impl From<&User> for PersonDocument {
    fn from(user: &User) -> Self {
        Self { additional_info: user.additional_info.clone() }
    }
}

/// Beside the key of `person_login`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoginDocument {
    pub(super) enabled: bool,
    pub(super) password_hash: Option<String>,
    pub(super) tokens_valid_from: i64,
    pub(super) last_login_at: Option<i64>,
    #[serde(default)]
    pub(super) password_set_at: Option<i64>,
    #[serde(default)]
    former_passwords: Vec<FormerForm>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FormerForm {
    hash: String,
    used_until: i64,
}

impl LoginDocument {
    pub(super) fn former_passwords(&mut self) -> Vec<FormerPassword> {
        let former = std::mem::take(&mut self.former_passwords).into_iter();
        former
            .map(|it| FormerPassword { hash: it.hash, used_until: Timestamp(it.used_until) })
            .collect()
    }
}

impl Document for LoginDocument {}

impl From<&UserCredentials> for LoginDocument {
    fn from(credentials: &UserCredentials) -> Self {
        Self {
            enabled: credentials.enabled,
            password_hash: credentials.password_hash.clone(),
            tokens_valid_from: credentials.tokens_valid_from.ms(),
            last_login_at: credentials.last_login_at.map(Timestamp::ms),
            password_set_at: credentials.password_set_at.map(Timestamp::ms),
            former_passwords: credentials
                .former_passwords
                .iter()
                .map(|it| FormerForm { hash: it.hash.clone(), used_until: it.used_until.ms() })
                .collect(),
        }
    }
}

/// Beside the columns of `device`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceDocument {
    pub(super) additional_info: Option<String>,
    pub(super) device_data: String,
}

impl Document for DeviceDocument {}

impl From<&Device> for DeviceDocument {
    fn from(device: &Device) -> Self {
        Self {
            additional_info: device.additional_info.clone(),
            device_data: device.device_data.clone(),
        }
    }
}

/// Beside the columns of `device_credentials`.
#[derive(Serialize, Deserialize)]
pub(super) struct CredentialsDocument {
    pub(super) value: Option<String>,
}

impl Document for CredentialsDocument {}

impl From<&DeviceCredentials> for CredentialsDocument {
    fn from(credentials: &DeviceCredentials) -> Self {
        Self { value: credentials.value.clone() }
    }
}

/// Beside the columns of `package`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PackageDocument {
    pub(super) additional_info: Option<String>,
    /// Data that are kept here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<DataForm>,
    /// Something that lies elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<UrlForm>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataForm {
    algorithm: String,
    checksum: String,
    file_name: String,
    content_type: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UrlForm {
    url: String,
    size: Option<u64>,
    algorithm: Option<String>,
    checksum: Option<String>,
}

impl PackageDocument {
    /// What devices download; file and size of data are columns, because they are asked for alone.
    pub(super) fn content(
        self,
        stored: Option<(PackageFileId, u64)>,
    ) -> Result<PackageContent, PortError> {
        let known = |name: &str| {
            ChecksumAlgorithm::from_name(name)
                .ok_or_else(|| PortError::Corrupt(format!("the unknown checksum {name:?}")))
        };
        Ok(match (stored, self.data, self.url) {
            (Some((file, size)), Some(it), _) => PackageContent::Data(PackageData {
                file,
                size,
                algorithm: known(&it.algorithm)?,
                checksum: it.checksum,
                file_name: it.file_name,
                content_type: it.content_type,
            }),
            (.., Some(it)) => PackageContent::Url(PackageUrl {
                url: it.url,
                size: it.size,
                algorithm: it.algorithm.as_deref().map(known).transpose()?,
                checksum: it.checksum,
            }),
            _ => PackageContent::Missing,
        })
    }
}

impl Document for PackageDocument {}

impl From<&Package> for PackageDocument {
    fn from(package: &Package) -> Self {
        let (mut data, mut url) = (None, None);
        match package.content.clone() {
            PackageContent::Missing => {}
            PackageContent::Data(it) => {
                data = Some(DataForm {
                    algorithm: it.algorithm.name().to_owned(),
                    checksum: it.checksum,
                    file_name: it.file_name,
                    content_type: it.content_type,
                });
            }
            PackageContent::Url(it) => {
                url = Some(UrlForm {
                    url: it.url,
                    size: it.size,
                    algorithm: it.algorithm.map(|it| it.name().to_owned()),
                    checksum: it.checksum,
                });
            }
        }
        Self { additional_info: package.additional_info.clone(), data, url }
    }
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests;
