//! Tenants (REST API 4.1).

use thingport_model::id::{TenantId, TenantProfileId};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::Write;
use thingport_model::tenant::{Address, OpaqueJson, Tenant, TenantProfile};

use crate::access::{Caller, missing};
use crate::error::Error;
use crate::registry::profiles::ProfileDraft;
use crate::registry::{Registry, lost_race, next_version, text};

/// A tenant as somebody wants it saved.
#[derive(Clone, Debug)]
pub struct TenantDraft {
    /// Which tenant to change; none creates one.
    pub id: Option<TenantId>,
    /// The version the caller read; none overwrites (G-32).
    pub version: Option<i64>,
    /// Title.
    pub title: String,
    /// Limits; none for the default tenant profile, or the present one of an existing tenant.
    pub tenant_profile_id: Option<TenantProfileId>,
    /// Where to reach it.
    pub address: Address,
    /// Opaque.
    pub additional_info: Option<OpaqueJson>,
}

impl TenantDraft {
    /// A new tenant with nothing but a title.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self {
            id: None,
            version: None,
            title: title.to_owned(),
            tenant_profile_id: None,
            address: Address::default(),
            additional_info: None,
        }
    }
}

impl Registry {
    /// One tenant, for system administrators and its own administrators.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing or foreign one, [`Error::Denied`] by role.
    pub async fn tenant(&self, caller: &Caller, id: TenantId) -> Result<Tenant, Error> {
        caller.may_read_tenant(id)?;
        self.entities.tenant(id).await?.ok_or_else(|| missing("tenant"))
    }

    /// A page of tenants, for system administrators; text search on the title.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a page that cannot be, [`Error::Denied`] by role.
    pub async fn tenants(&self, caller: &Caller, link: PageLink) -> Result<Page<Tenant>, Error> {
        caller.must_be_system()?;
        let link = text::page(link, TENANT_SORTS)?;
        Ok(self.entities.tenants(link).await?)
    }

    /// Creates or changes a tenant; a new one gets its default device profile.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::VersionConflict`] (G-31), [`Error::NotFound`], [`Error::Denied`]
    /// for everybody but system administrators.
    pub async fn save_tenant(&self, caller: &Caller, draft: TenantDraft) -> Result<Tenant, Error> {
        caller.must_be_system()?;
        text::required("title", &draft.title)?;
        text::address(&draft.address)?;
        text::opaque("additionalInfo", draft.additional_info.as_deref())?;
        let mut attempt = 0;
        loop {
            let saved = match draft.id {
                Some(id) => self.change_tenant(id, &draft).await,
                None => self.create_tenant(&draft).await,
            };
            attempt += 1;
            if !lost_race(&saved, draft.version, attempt) {
                return saved;
            }
        }
    }

    /// Deletes a tenant with everything it has.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`] for everybody but system administrators.
    pub async fn delete_tenant(&self, caller: &Caller, id: TenantId) -> Result<(), Error> {
        caller.must_be_system()?;
        self.tenant(caller, id).await?;
        self.write(vec![Write::Delete(id.entity())]).await?;
        self.logins.forget_all();
        self.keys.forget_all();
        self.events.tenant_deleted(id);
        Ok(())
    }

    /// The profile that limits a tenant; without a caller, since everybody is held to it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the tenant is gone.
    pub async fn profile_of_tenant(&self, id: TenantId) -> Result<TenantProfile, Error> {
        let tenant = self.entities.tenant(id).await?.ok_or_else(|| missing("tenant"))?;
        let profile = self.entities.tenant_profile(tenant.tenant_profile_id).await?;
        profile.ok_or_else(|| missing("tenant profile"))
    }

    async fn create_tenant(&self, draft: &TenantDraft) -> Result<Tenant, Error> {
        let created_at = self.now();
        let tenant = Tenant {
            id: TenantId(self.new_id(created_at)),
            created_at,
            title: draft.title.clone(),
            region: Some(REGION.to_owned()),
            tenant_profile_id: self.chosen_tenant_profile(draft.tenant_profile_id).await?,
            address: draft.address.clone(),
            additional_info: draft.additional_info.clone(),
            version: 1,
        };
        let profile = ProfileDraft { is_default: true, ..ProfileDraft::new(DEFAULT_PROFILE) };
        let profile = self.profile_from(tenant.id, None, profile)?;
        self.write(vec![Write::Tenant(tenant.clone()), Write::DeviceProfile(profile)]).await?;
        Ok(tenant)
    }

    async fn change_tenant(&self, id: TenantId, draft: &TenantDraft) -> Result<Tenant, Error> {
        let stored = self.entities.tenant(id).await?.ok_or_else(|| missing("tenant"))?;
        let wanted = draft.tenant_profile_id.unwrap_or(stored.tenant_profile_id);
        let tenant = Tenant {
            version: next_version(stored.version, draft.version)?,
            title: draft.title.clone(),
            tenant_profile_id: self.chosen_tenant_profile(Some(wanted)).await?,
            address: draft.address.clone(),
            additional_info: draft.additional_info.clone(),
            ..stored
        };
        self.write(vec![Write::Tenant(tenant.clone())]).await?;
        self.logins.forget_all();
        if tenant.tenant_profile_id != stored.tenant_profile_id {
            self.events.tenant_profile_changed(tenant.tenant_profile_id);
        }
        Ok(tenant)
    }

    async fn chosen_tenant_profile(
        &self,
        wanted: Option<TenantProfileId>,
    ) -> Result<TenantProfileId, Error> {
        let found = match wanted {
            Some(id) => self.entities.tenant_profile(id).await?,
            None => self.entities.default_tenant_profile().await?,
        };
        let found =
            found.ok_or_else(|| Error::Invalid("the tenant profile does not exist".to_owned()))?;
        Ok(found.id)
    }
}

const TENANT_SORTS: &[&str] = &["createdTime", "title", "name", "email", "country", "city"];
const REGION: &str = "Global";
/// Name of the profile that every tenant begins with.
pub(in crate::registry) const DEFAULT_PROFILE: &str = "default";
