//! People (REST API section 5).

use thingport_model::id::{CustomerId, EntityKind, TenantId, UserId};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::Write;
use thingport_model::tenant::OpaqueJson;
use thingport_model::time::Timestamp;
use thingport_model::user::{Authority, LoginChange, User, UserCredentials};

use crate::access::{Caller, missing};
use crate::error::Error;
use crate::registry::{Registry, lost_race, next_version, text};

/// A user as somebody wants it saved.
#[derive(Clone, Debug)]
pub struct UserDraft {
    /// Which user to change; none creates one.
    pub id: Option<UserId>,
    /// The version the caller read; none overwrites (G-32).
    pub version: Option<i64>,
    /// The tenant: looked at when a system administrator creates a tenant administrator, else the
    /// caller's own.
    pub tenant_id: Option<TenantId>,
    /// The customer of a customer user.
    pub customer_id: Option<CustomerId>,
    /// Login name.
    pub email: String,
    /// Role; it cannot change later.
    pub authority: Authority,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// Opaque.
    pub additional_info: Option<OpaqueJson>,
}

impl UserDraft {
    /// A new user with nothing but a login name and a role.
    #[must_use]
    pub fn new(email: &str, authority: Authority) -> Self {
        Self {
            id: None,
            version: None,
            tenant_id: None,
            customer_id: None,
            email: email.to_owned(),
            authority,
            first_name: None,
            last_name: None,
            phone: None,
            additional_info: None,
        }
    }
}

impl Registry {
    /// One user.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing or foreign one, [`Error::Denied`] by role or customer.
    pub async fn user(&self, caller: &Caller, id: UserId) -> Result<User, Error> {
        let user = self.entities.user(id).await?.ok_or_else(|| missing("user"))?;
        caller.may_read_user(&user)?;
        Ok(user)
    }

    /// A page of users: of the tenant, or for a customer user of its customer. Text search on e-mail
    /// address and names.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a page that cannot be, [`Error::Denied`] for system administrators.
    pub async fn users(&self, caller: &Caller, link: PageLink) -> Result<Page<User>, Error> {
        caller.must_see_devices()?;
        let link = text::page(link, USER_SORTS)?;
        Ok(self.entities.users(caller.tenant_id, caller.customer_id, link).await?)
    }

    /// A page of a customer's users, for tenant administrators.
    ///
    /// # Errors
    /// As [`Self::users`], and [`Error::NotFound`] for a missing or foreign customer.
    pub async fn customer_users(
        &self,
        caller: &Caller,
        customer: CustomerId,
        link: PageLink,
    ) -> Result<Page<User>, Error> {
        caller.must_be_tenant()?;
        self.customer(caller, customer).await?;
        let link = text::page(link, USER_SORTS)?;
        Ok(self.entities.users(caller.tenant_id, Some(customer), link).await?)
    }

    /// A page of a tenant's administrators, for system administrators.
    ///
    /// # Errors
    /// As [`Self::users`], and [`Error::NotFound`] for a missing tenant.
    pub async fn tenant_admins(
        &self,
        caller: &Caller,
        tenant: TenantId,
        link: PageLink,
    ) -> Result<Page<User>, Error> {
        caller.must_be_system()?;
        self.tenant(caller, tenant).await?;
        let link = text::page(link, USER_SORTS)?;
        let mut rows = self.every_user(tenant, &link).await?;
        rows.retain(|user| user.authority == Authority::TenantAdmin);
        Ok(crate::registry::page_of(rows, &link))
    }

    /// Creates or changes a user. A new one has no password and cannot log in until one is set.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a rule of REST API 5 is broken, [`Error::VersionConflict`] (G-31),
    /// [`Error::NotFound`], [`Error::Denied`] by role or customer.
    pub async fn save_user(&self, caller: &Caller, draft: UserDraft) -> Result<User, Error> {
        caller.must_write()?;
        check(&draft)?;
        let mut attempt = 0;
        loop {
            let saved = match draft.id {
                Some(id) => self.change_user(caller, id, &draft).await,
                None => self.create_user(caller, &draft).await,
            };
            attempt += 1;
            if !lost_race(&saved, draft.version, attempt) {
                return saved;
            }
        }
    }

    /// Deletes a user; the last administrator of a tenant, or of the installation, stays.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a last administrator, [`Error::NotFound`], [`Error::Denied`] by role
    /// or customer.
    pub async fn delete_user(&self, caller: &Caller, id: UserId) -> Result<(), Error> {
        let user = self.user(caller, id).await?;
        if caller.authority == Authority::CustomerUser {
            caller.must_be_tenant()?;
        }
        caller.may_write_user(&user)?;
        if user.authority != Authority::CustomerUser {
            let every = PageLink { page: 0, size: u32::MAX, text_search: None, sort: None };
            let mut others = self.every_user(user.tenant_id, &every).await?;
            others.retain(|other| other.authority == user.authority && other.id != user.id);
            if others.is_empty() {
                return Err(Error::Invalid("the last administrator cannot be deleted".to_owned()));
            }
        }
        self.write(vec![Write::Delete(id.entity())]).await?;
        self.keys.forget_all();
        Ok(())
    }

    /// Locks or unlocks a user; a locked one cannot log in and its tokens stop working.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`] by role or customer.
    pub async fn set_user_enabled(
        &self,
        caller: &Caller,
        id: UserId,
        enabled: bool,
    ) -> Result<(), Error> {
        let user = self.user(caller, id).await?;
        caller.may_write_user(&user)?;
        if caller.authority == Authority::CustomerUser {
            caller.must_be_tenant()?;
        }
        let change = LoginChange {
            enabled: Some(enabled),
            tokens_valid_from: Some(self.now()),
            ..LoginChange::default()
        };
        self.change_login(id, change).await
    }

    async fn create_user(&self, caller: &Caller, draft: &UserDraft) -> Result<User, Error> {
        let (tenant_id, customer_id) = self.home_of_new_user(caller, draft).await?;
        let created_at = self.now();
        let user = User {
            id: UserId(self.new_id(created_at)),
            created_at,
            tenant_id,
            customer_id,
            email: draft.email.clone(),
            authority: draft.authority,
            first_name: draft.first_name.clone(),
            last_name: draft.last_name.clone(),
            phone: draft.phone.clone(),
            additional_info: draft.additional_info.clone(),
            version: 1,
        };
        let credentials = UserCredentials {
            user_id: user.id,
            enabled: false,
            password_hash: None,
            tokens_valid_from: Timestamp::EPOCH,
            last_login_at: None,
            password_set_at: None,
            former_passwords: Vec::new(),
        };
        let writes = vec![Write::User(user.clone()), Write::UserCredentials(credentials)];
        let limit = match tenant_id {
            TenantId::SYSTEM => 0,
            tenant => self.profile_of_tenant(tenant).await?.users_max,
        };
        self.write_within(writes, tenant_id, EntityKind::User, limit).await?;
        Ok(user)
    }

    async fn change_user(
        &self,
        caller: &Caller,
        id: UserId,
        draft: &UserDraft,
    ) -> Result<User, Error> {
        let stored = self.user(caller, id).await?;
        caller.may_write_user(&stored)?;
        if draft.authority != stored.authority {
            return Err(Error::Invalid("the authority of a user cannot change".to_owned()));
        }
        let user = User {
            version: next_version(stored.version, draft.version)?,
            email: draft.email.clone(),
            first_name: draft.first_name.clone(),
            last_name: draft.last_name.clone(),
            phone: draft.phone.clone(),
            additional_info: draft.additional_info.clone(),
            ..stored
        };
        self.write(vec![Write::User(user.clone())]).await?;
        Ok(user)
    }

    /// Tenant and customer that a new user belongs to, if the caller may create it there.
    async fn home_of_new_user(
        &self,
        caller: &Caller,
        draft: &UserDraft,
    ) -> Result<(TenantId, Option<CustomerId>), Error> {
        match (caller.authority, draft.authority) {
            (Authority::SysAdmin, Authority::SysAdmin) => Ok((TenantId::SYSTEM, None)),
            (Authority::SysAdmin, Authority::TenantAdmin) => {
                let id = draft.tenant_id.ok_or_else(|| invalid("tenantId is missing"))?;
                let tenant = self.entities.tenant(id).await?;
                let tenant = tenant.ok_or_else(|| invalid("the tenant does not exist"))?;
                Ok((tenant.id, None))
            }
            (Authority::TenantAdmin, Authority::TenantAdmin) => Ok((caller.tenant_id, None)),
            (Authority::TenantAdmin, Authority::CustomerUser) => {
                let id = draft.customer_id.ok_or_else(|| invalid("customerId is missing"))?;
                let customer = self.entities.customer(id).await?;
                let customer = customer.filter(|found| found.tenant_id == caller.tenant_id);
                let customer = customer.ok_or_else(|| invalid("the customer does not exist"))?;
                Ok((caller.tenant_id, Some(customer.id)))
            }
            (from, to) => Err(Error::Denied(format!(
                "the role {} may not create users of the role {}",
                from.name(),
                to.name()
            ))),
        }
    }

    async fn every_user(&self, tenant: TenantId, link: &PageLink) -> Result<Vec<User>, Error> {
        let every = PageLink { page: 0, size: u32::MAX, ..link.clone() };
        Ok(self.entities.users(tenant, None, every).await?.rows)
    }
}

fn check(draft: &UserDraft) -> Result<(), Error> {
    text::required("email", &draft.email)?;
    text::email("email", &draft.email)?;
    text::optional("firstName", draft.first_name.as_deref())?;
    text::optional("lastName", draft.last_name.as_deref())?;
    text::optional("phone", draft.phone.as_deref())?;
    text::opaque("additionalInfo", draft.additional_info.as_deref())?;
    let system = draft.tenant_id.is_none_or(|tenant| tenant == TenantId::SYSTEM);
    match draft.authority {
        Authority::SysAdmin if !system || draft.customer_id.is_some() => {
            Err(invalid("a system administrator has neither tenant nor customer"))
        }
        Authority::TenantAdmin if draft.customer_id.is_some() => {
            Err(invalid("a tenant administrator has no customer"))
        }
        _ => Ok(()),
    }
}

fn invalid(text: &str) -> Error {
    Error::Invalid(text.to_owned())
}

const USER_SORTS: &[&str] =
    &["createdTime", "email", "name", "firstName", "lastName", "authority", "phone"];
