//! Tenants, tenant profiles and customers (REST API sections 4 and 6).

use crate::id::{CustomerId, TenantId, TenantProfileId};
use crate::limit::RateLimits;
use crate::time::Timestamp;

/// JSON text that Thingport stores and returns unchanged (`additionalInfo`, limits it does not act on).
/// Always one valid JSON document.
pub type OpaqueJson = String;

/// Where somebody can be reached; all free text, at most 255 characters each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Country.
    pub country: Option<String>,
    /// State or province.
    pub state: Option<String>,
    /// City.
    pub city: Option<String>,
    /// First line.
    pub address: Option<String>,
    /// Second line.
    pub address2: Option<String>,
    /// Postal code.
    pub zip: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// E-mail.
    pub email: Option<String>,
}

/// A tenant: owner of devices, profiles, customers and users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Identity.
    pub id: TenantId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Name shown to people; unique is not required by the contract.
    pub title: String,
    /// The server writes `Global`.
    pub region: Option<String>,
    /// Limits.
    pub tenant_profile_id: TenantProfileId,
    /// Where to reach it.
    pub address: Address,
    /// Opaque.
    pub additional_info: Option<OpaqueJson>,
    /// Optimistic lock: 1 for a new entity, one more per save (G-30).
    pub version: i64,
}

/// Limits shared by tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantProfile {
    /// Identity.
    pub id: TenantProfileId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Name, unique.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Whether new tenants get it.
    pub is_default: bool,
    /// Stored and returned.
    pub isolated_rule_engine: bool,
    /// `profileData` as sent: about 70 members, all stored and returned (REST API 4.2).
    pub profile_data: OpaqueJson,
    /// `defaultStorageTtlDays` of the profile data: days that readings are kept, 0 for ever.
    pub storage_ttl_days: u32,
    /// `rpcTtlDays` of the profile data: days that ended persistent calls are kept, 0 for ever.
    pub rpc_ttl_days: u32,
    /// `maxDevices` of the profile data, 0 unlimited.
    pub devices_max: u64,
    /// `maxCustomers` of the profile data, 0 unlimited.
    pub customers_max: u64,
    /// `maxUsers` of the profile data, 0 unlimited.
    pub users_max: u64,
    /// `maxOtaPackagesInBytes` of the profile data, 0 unlimited.
    pub package_bytes_max: u64,
    /// `transport...RateLimit` of the profile data.
    pub rate_limits: RateLimits,
}

/// A customer of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// Identity.
    pub id: CustomerId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Owner.
    pub tenant_id: TenantId,
    /// Name, unique per tenant.
    pub title: String,
    /// Where to reach it.
    pub address: Address,
    /// Opaque; `{"isPublic":true}` marks the public customer.
    pub additional_info: Option<OpaqueJson>,
    /// The tenant's public customer.
    pub is_public: bool,
    /// Optimistic lock.
    pub version: i64,
}
