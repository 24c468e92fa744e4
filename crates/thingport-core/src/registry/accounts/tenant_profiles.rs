//! Tenant profiles: limits shared by tenants (REST API 4.2). All of it is for system administrators.

use thingport_model::id::{TenantId, TenantProfileId};
use thingport_model::limit::RateLimits;
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::Write;
use thingport_model::tenant::{OpaqueJson, TenantProfile};

use crate::access::{Caller, missing};
use crate::error::Error;
use crate::registry::{Registry, text};

/// A tenant profile as somebody wants it saved; it has no version.
#[derive(Clone, Debug)]
pub struct TenantProfileDraft {
    /// Which profile to change; none creates one.
    pub id: Option<TenantProfileId>,
    /// Name.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// `isolatedTbRuleEngine`, stored and returned.
    pub isolated_rule_engine: bool,
    /// `profileData` as sent.
    pub profile_data: OpaqueJson,
    /// `defaultStorageTtlDays` of it, 0 for ever.
    pub storage_ttl_days: u32,
    /// `rpcTtlDays` of it, 0 for ever.
    pub rpc_ttl_days: u32,
    /// `maxDevices` of it, 0 unlimited.
    pub devices_max: u64,
    /// `maxCustomers` of it, 0 unlimited.
    pub customers_max: u64,
    /// `maxUsers` of it, 0 unlimited.
    pub users_max: u64,
    /// `maxOtaPackagesInBytes` of it, 0 unlimited.
    pub package_bytes_max: u64,
    /// `transport...RateLimit` of it.
    pub rate_limits: RateLimits,
}

impl Registry {
    /// One tenant profile.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`] by role.
    pub async fn tenant_profile(
        &self,
        caller: &Caller,
        id: TenantProfileId,
    ) -> Result<TenantProfile, Error> {
        caller.must_be_system()?;
        let profile = self.entities.tenant_profile(id).await?;
        profile.ok_or_else(|| missing("tenant profile"))
    }

    /// The tenant profile that new tenants get.
    ///
    /// # Errors
    /// As [`Self::tenant_profile`].
    pub async fn default_tenant_profile(&self, caller: &Caller) -> Result<TenantProfile, Error> {
        caller.must_be_system()?;
        let profile = self.entities.default_tenant_profile().await?;
        profile.ok_or_else(|| missing("tenant profile"))
    }

    /// A page of tenant profiles; text search on the name.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a page that cannot be, [`Error::Denied`] by role.
    pub async fn tenant_profiles(
        &self,
        caller: &Caller,
        link: PageLink,
    ) -> Result<Page<TenantProfile>, Error> {
        caller.must_be_system()?;
        let link = text::page(link, TENANT_PROFILE_SORTS)?;
        Ok(self.entities.tenant_profiles(link).await?)
    }

    /// The name of the profile of a tenant the caller may read (`TenantInfo`).
    ///
    /// # Errors
    /// As [`Self::tenant`].
    pub async fn tenant_profile_name(
        &self,
        caller: &Caller,
        tenant: TenantId,
    ) -> Result<String, Error> {
        caller.may_read_tenant(tenant)?;
        Ok(self.profile_of_tenant(tenant).await?.name)
    }

    /// Creates or changes a tenant profile. Limits and storage time apply at once.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Denied`] by role.
    pub async fn save_tenant_profile(
        &self,
        caller: &Caller,
        draft: TenantProfileDraft,
    ) -> Result<TenantProfile, Error> {
        caller.must_be_system()?;
        text::required("name", &draft.name)?;
        text::opaque("description", draft.description.as_deref())?;
        text::opaque("profileData", Some(&draft.profile_data))?;
        let stored = match draft.id {
            Some(id) => Some(self.tenant_profile(caller, id).await?),
            None => None,
        };
        let (id, created_at, is_default) = stored.map_or_else(
            || {
                let now = self.now();
                (TenantProfileId(self.new_id(now)), now, false)
            },
            |old| (old.id, old.created_at, old.is_default),
        );
        let saved = TenantProfile {
            id,
            created_at,
            name: draft.name,
            description: draft.description,
            is_default,
            isolated_rule_engine: draft.isolated_rule_engine,
            profile_data: draft.profile_data,
            storage_ttl_days: draft.storage_ttl_days,
            rpc_ttl_days: draft.rpc_ttl_days,
            devices_max: draft.devices_max,
            customers_max: draft.customers_max,
            users_max: draft.users_max,
            package_bytes_max: draft.package_bytes_max,
            rate_limits: draft.rate_limits,
        };
        self.write_tenant_profile(&saved).await?;
        Ok(saved)
    }

    /// Makes a tenant profile the one that new tenants get; the former one loses the flag.
    ///
    /// # Errors
    /// As [`Self::save_tenant_profile`].
    pub async fn make_tenant_profile_default(
        &self,
        caller: &Caller,
        id: TenantProfileId,
    ) -> Result<TenantProfile, Error> {
        let stored = self.tenant_profile(caller, id).await?;
        let saved = TenantProfile { is_default: true, ..stored };
        self.write_tenant_profile(&saved).await?;
        Ok(saved)
    }

    /// Deletes a tenant profile that is neither the default one nor in use.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the default profile or one in use, [`Error::NotFound`],
    /// [`Error::Denied`] by role.
    pub async fn delete_tenant_profile(
        &self,
        caller: &Caller,
        id: TenantProfileId,
    ) -> Result<(), Error> {
        if self.tenant_profile(caller, id).await?.is_default {
            return Err(Error::Invalid("the default tenant profile cannot be deleted".to_owned()));
        }
        self.write(vec![Write::Delete(id.entity())]).await
    }

    pub(in crate::registry) async fn write_tenant_profile(
        &self,
        saved: &TenantProfile,
    ) -> Result<(), Error> {
        self.write(vec![Write::TenantProfile(saved.clone())]).await?;
        self.logins.forget_all();
        self.events.tenant_profile_changed(saved.id);
        Ok(())
    }
}

const TENANT_PROFILE_SORTS: &[&str] = &["createdTime", "name", "description", "isDefault"];
