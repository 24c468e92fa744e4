//! Tenants and tenant profiles (REST API section 4).

use serde::{Deserialize, Serialize};
use thingport_model::tenant::{Tenant, TenantProfile};
use utoipa::ToSchema;

use super::address::AddressBody;
use super::id::{EntityId, IdInput};
use super::opaque::{self, Opaque};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Tenant)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenantBody {
    id: EntityId,
    created_time: i64,
    additional_info: Option<Opaque>,
    #[serde(flatten)]
    address: AddressBody,
    title: String,
    region: Option<String>,
    tenant_profile_id: EntityId,
    version: i64,
    /// Same as `title`.
    name: String,
}

impl From<Tenant> for TenantBody {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id.entity().into(),
            created_time: tenant.created_at.ms(),
            additional_info: opaque::stored(tenant.additional_info.as_ref()),
            address: (&tenant.address).into(),
            name: tenant.title.clone(),
            title: tenant.title,
            region: tenant.region,
            tenant_profile_id: tenant.tenant_profile_id.entity().into(),
            version: tenant.version,
        }
    }
}

/// A tenant with the name of its profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TenantInfo)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenantOverviewBody {
    #[serde(flatten)]
    tenant: TenantBody,
    tenant_profile_name: Option<String>,
}

impl TenantOverviewBody {
    pub(crate) fn of(tenant: Tenant, profile_name: Option<String>) -> Self {
        Self { tenant: tenant.into(), tenant_profile_name: profile_name }
    }
}

/// A tenant to be created or changed.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenantInput {
    pub(crate) id: Option<IdInput>,
    pub(crate) additional_info: Option<Opaque>,
    #[serde(flatten)]
    pub(crate) address: AddressBody,
    pub(crate) title: Option<String>,
    pub(crate) tenant_profile_id: Option<IdInput>,
    pub(crate) version: Option<i64>,
}

/// A tenant profile: limits shared by tenants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TenantProfile)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenantProfileBody {
    id: EntityId,
    created_time: i64,
    name: String,
    description: Option<String>,
    #[serde(rename = "default")]
    is_default: bool,
    isolated_tb_rule_engine: bool,
    /// Every member is stored and returned, also those that mean nothing here.
    profile_data: Opaque,
}

impl From<TenantProfile> for TenantProfileBody {
    fn from(profile: TenantProfile) -> Self {
        Self {
            id: profile.id.entity().into(),
            created_time: profile.created_at.ms(),
            name: profile.name,
            description: profile.description,
            is_default: profile.is_default,
            isolated_tb_rule_engine: profile.isolated_rule_engine,
            profile_data: profile.profile_data.into(),
        }
    }
}

/// A tenant profile to be created or changed.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenantProfileInput {
    pub(crate) id: Option<IdInput>,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    #[serde(rename = "default")]
    pub(crate) is_default: Option<bool>,
    pub(crate) isolated_tb_rule_engine: Option<bool>,
    pub(crate) profile_data: Option<Opaque>,
}

/// Id and name of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EntityInfo)]
pub(crate) struct Named {
    pub(crate) id: EntityId,
    pub(crate) name: String,
}
