//! Customers of a tenant (REST API section 6).

use thingport_model::id::{CustomerId, EntityKind, TenantId};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::entities::Write;
use thingport_model::tenant::{Address, Customer, OpaqueJson};

use crate::access::{Caller, missing};
use crate::error::Error;
use crate::registry::devices::NamePolicy;
use crate::registry::{Registry, lost_race, next_version, text};

/// A customer as somebody wants it saved.
#[derive(Clone, Debug)]
pub struct CustomerDraft {
    /// Which customer to change; none creates one.
    pub id: Option<CustomerId>,
    /// The version the caller read; none overwrites (G-32).
    pub version: Option<i64>,
    /// Title.
    pub title: String,
    /// Where to reach it.
    pub address: Address,
    /// Opaque.
    pub additional_info: Option<OpaqueJson>,
    /// What to do when another customer of the tenant has the title.
    pub on_conflict: NamePolicy,
}

impl CustomerDraft {
    /// A new customer with nothing but a title.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self {
            id: None,
            version: None,
            title: title.to_owned(),
            address: Address::default(),
            additional_info: None,
            on_conflict: NamePolicy::Fail,
        }
    }
}

impl Registry {
    /// One customer, for its tenant and its own users.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing or foreign one, [`Error::Denied`] by role or customer.
    pub async fn customer(&self, caller: &Caller, id: CustomerId) -> Result<Customer, Error> {
        caller.must_see_devices()?;
        let customer = self.entities.customer(id).await?.ok_or_else(|| missing("customer"))?;
        caller.may_read_customer(&customer)?;
        Ok(customer)
    }

    /// The customer of the caller's tenant with this title, for tenant administrators.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`] by role.
    pub async fn customer_by_title(&self, caller: &Caller, title: &str) -> Result<Customer, Error> {
        caller.must_be_tenant()?;
        let customer = self.entities.customer_by_title(caller.tenant_id, title).await?;
        customer.ok_or_else(|| missing("customer"))
    }

    /// A page of customers, for tenant administrators; text search on the title.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a page that cannot be, [`Error::Denied`] by role.
    pub async fn customers(
        &self,
        caller: &Caller,
        link: PageLink,
    ) -> Result<Page<Customer>, Error> {
        caller.must_be_tenant()?;
        let link = text::page(link, CUSTOMER_SORTS)?;
        Ok(self.entities.customers(caller.tenant_id, link).await?)
    }

    /// Creates or changes a customer. The title `Public` is the server's own.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::VersionConflict`] (G-31), [`Error::NotFound`], [`Error::Denied`]
    /// for everybody but tenant administrators.
    pub async fn save_customer(
        &self,
        caller: &Caller,
        draft: CustomerDraft,
    ) -> Result<Customer, Error> {
        caller.must_be_tenant()?;
        check(&draft)?;
        let mut attempt = 0;
        loop {
            let saved = self.save_customer_once(caller, &draft).await;
            attempt += 1;
            if !lost_race(&saved, draft.version, attempt) {
                return saved;
            }
        }
    }

    /// Deletes a customer: its users are deleted, its devices become unassigned.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`] for everybody but tenant administrators.
    pub async fn delete_customer(&self, caller: &Caller, id: CustomerId) -> Result<(), Error> {
        caller.must_be_tenant()?;
        self.customer(caller, id).await?;
        self.write(vec![Write::Delete(id.entity())]).await?;
        self.logins.forget_all();
        self.keys.forget_all();
        self.events.customer_deleted(id);
        Ok(())
    }

    /// The public customer of the caller's tenant, created at its first use.
    ///
    /// # Errors
    /// [`Error::Denied`] for everybody but tenant administrators.
    pub async fn public_customer(&self, caller: &Caller) -> Result<Customer, Error> {
        caller.must_be_tenant()?;
        let tenant = caller.tenant_id;
        if let Some(found) = self.entities.customer_by_title(tenant, PUBLIC).await? {
            return Ok(found);
        }
        let draft = CustomerDraft {
            additional_info: Some(PUBLIC_INFO.to_owned()),
            ..CustomerDraft::new(PUBLIC)
        };
        let created = self.new_customer(tenant, &draft, true);
        match self.write(vec![Write::Customer(created.clone())]).await {
            Ok(()) => Ok(created),
            // Somebody else created it in between; or the fault is another one.
            Err(fault) => {
                let found = self.entities.customer_by_title(tenant, PUBLIC).await?;
                found.ok_or(fault)
            }
        }
    }

    /// The public customer with this id, whatever its tenant: for the public login.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such customer or it is not public.
    pub async fn public_customer_by_id(&self, id: CustomerId) -> Result<Customer, Error> {
        let customer = self.entities.customer(id).await?.filter(|found| found.is_public);
        customer.ok_or_else(|| missing("public customer"))
    }

    async fn save_customer_once(
        &self,
        caller: &Caller,
        draft: &CustomerDraft,
    ) -> Result<Customer, Error> {
        let title = self.free_title(caller.tenant_id, draft).await?;
        let draft = &CustomerDraft { title, ..draft.clone() };
        let Some(id) = draft.id else {
            let created = self.new_customer(caller.tenant_id, draft, false);
            let limit = self.profile_of_tenant(caller.tenant_id).await?.customers_max;
            let writes = vec![Write::Customer(created.clone())];
            self.write_within(writes, caller.tenant_id, EntityKind::Customer, limit).await?;
            return Ok(created);
        };
        let saved = changed(self.customer(caller, id).await?, draft)?;
        self.write(vec![Write::Customer(saved.clone())]).await?;
        Ok(saved)
    }

    /// The wanted title, or one made from it when another customer has it (D-2).
    async fn free_title(&self, tenant: TenantId, draft: &CustomerDraft) -> Result<String, Error> {
        if draft.on_conflict == NamePolicy::Fail {
            return Ok(draft.title.clone());
        }
        let mut title = draft.title.clone();
        for number in 1.. {
            let taken = self.entities.customer_by_title(tenant, &title).await?;
            if taken.is_none_or(|other| Some(other.id) == draft.id) {
                text::required("title", &title)?;
                return Ok(title);
            }
            let next =
                draft.on_conflict.name(&draft.title, number, |length| self.random_text(length));
            let Some(next) = next else { break };
            title = next;
        }
        Err(Error::Invalid("too many customers have titles like this one".to_owned()))
    }

    fn new_customer(&self, tenant: TenantId, draft: &CustomerDraft, is_public: bool) -> Customer {
        let created_at = self.now();
        Customer {
            id: CustomerId(self.new_id(created_at)),
            created_at,
            tenant_id: tenant,
            title: draft.title.clone(),
            address: draft.address.clone(),
            additional_info: draft.additional_info.clone(),
            is_public,
            version: 1,
        }
    }
}

fn changed(stored: Customer, draft: &CustomerDraft) -> Result<Customer, Error> {
    if stored.is_public {
        return Err(Error::Invalid("the public customer cannot be changed".to_owned()));
    }
    Ok(Customer {
        version: next_version(stored.version, draft.version)?,
        title: draft.title.clone(),
        address: draft.address.clone(),
        additional_info: draft.additional_info.clone(),
        ..stored
    })
}

fn check(draft: &CustomerDraft) -> Result<(), Error> {
    text::required("title", &draft.title)?;
    if draft.title == PUBLIC {
        return Err(Error::Invalid(format!("the title {PUBLIC} is the server's own")));
    }
    text::address(&draft.address)?;
    text::opaque("additionalInfo", draft.additional_info.as_deref())
}

const CUSTOMER_SORTS: &[&str] = &["createdTime", "title", "name", "email", "country", "city"];
const PUBLIC: &str = "Public";
const PUBLIC_INFO: &str = r#"{"isPublic":true}"#;
