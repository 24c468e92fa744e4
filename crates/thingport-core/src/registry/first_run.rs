//! What a fresh installation contains (REST API 2.6). Everything here may run again and changes
//! nothing that is there already.

use thingport_model::id::{CustomerId, TenantId, UserId};
use thingport_model::limit::RateLimits;
use thingport_model::page::PageLink;
use thingport_model::tenant::{Tenant, TenantProfile};
use thingport_model::user::Authority;

use super::Registry;
use super::accounts::{CustomerDraft, TenantDraft, TenantProfileDraft, UserDraft};
use super::devices::{DeviceDraft, ProfileChoice};
use crate::access::Caller;
use crate::error::Error;

/// Turns a password into the text that is stored of it.
pub type HashPassword<'a> = &'a (dyn Fn(&str) -> String + Sync);

/// The first people of a production installation.
#[derive(Clone)]
pub struct FirstPeople {
    /// Login name of the system administrator.
    pub system_email: String,
    /// Its password.
    pub system_password: String,
    /// Title of the first tenant.
    pub tenant_title: String,
    /// Login name of the tenant's administrator.
    pub tenant_email: String,
    /// Its password.
    pub tenant_password: String,
}

impl Registry {
    /// Whether no system administrator can log in yet: the installation is fresh, or its founding was
    /// cut short. That password is the last thing [`found`](Self::found) writes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn is_fresh(&self) -> Result<bool, Error> {
        let all = PageLink { page: 0, size: u32::MAX, text_search: None, sort: None };
        for user in self.entities.users(TenantId::SYSTEM, None, all).await?.rows {
            if self.has_password(user.id).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn has_password(&self, user: UserId) -> Result<bool, Error> {
        let credentials = self.entities.user_credentials(user).await?;
        Ok(credentials.is_some_and(|found| found.password_hash.is_some()))
    }

    /// Creates the default tenant profile, a tenant, its administrator and a system administrator. One
    /// that was cut short is begun again, with the passwords given now: nobody knows those before.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a malformed e-mail address, [`Error::Unavailable`] when the store does
    /// not answer.
    pub async fn found(&self, people: &FirstPeople, hash: HashPassword<'_>) -> Result<(), Error> {
        let again = self.is_fresh().await?;
        self.ensure_default_tenant_profile().await?;
        let caller = Caller::system();
        let tenant = self.ensure_tenant(&people.tenant_title).await?;
        let admin = UserDraft {
            tenant_id: Some(tenant.id),
            ..UserDraft::new(&people.tenant_email, Authority::TenantAdmin)
        };
        let admin = self.ensure_user(&caller, admin).await?;
        self.ensure_password(admin, &people.tenant_password, hash, again).await?;
        let system = UserDraft::new(&people.system_email, Authority::SysAdmin);
        let system = self.ensure_user(&caller, system).await?;
        self.ensure_password(system, &people.system_password, hash, again).await?;
        Ok(())
    }

    /// Creates the demo devices with what they belong to: they can connect while passwords, which are
    /// slow on purpose, are hashed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn found_demo_devices(&self) -> Result<(), Error> {
        self.ensure_default_tenant_profile().await?;
        let caller = Caller::tenant(self.ensure_tenant(FIRST_TENANT).await?.id);
        for row in DEMO_DEVICES {
            self.ensure_device(&caller, row).await?;
        }
        Ok(())
    }

    /// Creates the demo accounts, customers, profiles and devices with their well-known passwords and
    /// tokens.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn found_demo(&self, hash: HashPassword<'_>) -> Result<(), Error> {
        let people = FirstPeople {
            system_email: "sysadmin@thingsboard.org".to_owned(),
            system_password: "sysadmin".to_owned(),
            tenant_title: FIRST_TENANT.to_owned(),
            tenant_email: "tenant@thingsboard.org".to_owned(),
            tenant_password: "tenant".to_owned(),
        };
        self.found_demo_devices().await?;
        self.found(&people, hash).await?;
        let caller = Caller::tenant(self.ensure_tenant(FIRST_TENANT).await?.id);
        for (title, emails) in DEMO_CUSTOMERS {
            let customer = self.ensure_customer(&caller, title).await?;
            for email in *emails {
                let draft = UserDraft {
                    customer_id: Some(customer),
                    ..UserDraft::new(email, Authority::CustomerUser)
                };
                let user = self.ensure_user(&caller, draft).await?;
                self.ensure_password(user, "customer", hash, false).await?;
            }
        }
        Ok(())
    }

    async fn ensure_default_tenant_profile(&self) -> Result<TenantProfile, Error> {
        if let Some(found) = self.entities.default_tenant_profile().await? {
            return Ok(found);
        }
        let caller = Caller::system();
        // A stop between the two writes left it without its flag.
        let search = text_search(DEFAULT_PROFILE);
        let left = self.entities.tenant_profiles(search).await?.rows;
        if let Some(left) = left.into_iter().find(|profile| profile.name == DEFAULT_PROFILE) {
            return self.make_tenant_profile_default(&caller, left.id).await;
        }
        let draft = TenantProfileDraft {
            id: None,
            name: DEFAULT_PROFILE.to_owned(),
            description: Some("Default tenant profile".to_owned()),
            isolated_rule_engine: false,
            profile_data: DEFAULT_PROFILE_DATA.to_owned(),
            storage_ttl_days: 0,
            rpc_ttl_days: 0,
            devices_max: 0,
            customers_max: 0,
            users_max: 0,
            package_bytes_max: 0,
            rate_limits: RateLimits::default(),
        };
        let created = self.save_tenant_profile(&caller, draft).await?;
        self.make_tenant_profile_default(&caller, created.id).await
    }

    async fn ensure_tenant(&self, title: &str) -> Result<Tenant, Error> {
        let found = self.entities.tenants(text_search(title)).await?.rows;
        match found.into_iter().find(|tenant| tenant.title == title) {
            Some(tenant) => Ok(tenant),
            None => self.save_tenant(&Caller::system(), TenantDraft::new(title)).await,
        }
    }

    async fn ensure_user(&self, caller: &Caller, draft: UserDraft) -> Result<UserId, Error> {
        match self.entities.user_by_email(&draft.email).await? {
            Some(found) => Ok(found.id),
            None => Ok(self.save_user(caller, draft).await?.id),
        }
    }

    /// Somebody's own password stays, unless it is to be set `again`. A stop between the writes may have
    /// left a user without one.
    async fn ensure_password(
        &self,
        user: UserId,
        password: &str,
        hash: HashPassword<'_>,
        again: bool,
    ) -> Result<(), Error> {
        if again || !self.has_password(user).await? {
            self.set_password(user, &hash(password), None).await?;
        }
        Ok(())
    }

    async fn ensure_customer(&self, caller: &Caller, title: &str) -> Result<CustomerId, Error> {
        match self.entities.customer_by_title(caller.tenant_id, title).await? {
            Some(found) => Ok(found.id),
            None => Ok(self.save_customer(caller, CustomerDraft::new(title)).await?.id),
        }
    }

    async fn ensure_device(&self, caller: &Caller, row: &DemoDevice) -> Result<(), Error> {
        let taken = self.entities.device_by_name(caller.tenant_id, row.name).await?.is_some()
            || self.entities.credentials_by_id(row.token).await?.is_some();
        if taken {
            return Ok(());
        }
        let customer_id = match row.customer {
            Some(title) => Some(self.ensure_customer(caller, title).await?),
            None => None,
        };
        let draft = DeviceDraft {
            customer_id,
            profile: ProfileChoice::Name(row.profile.to_owned()),
            additional_info: row.description.map(|text| format!(r#"{{"description":"{text}"}}"#)),
            ..DeviceDraft::new(row.name)
        };
        self.save_device(caller, draft, Some(row.token)).await?;
        Ok(())
    }
}

fn text_search(name: &str) -> PageLink {
    PageLink { page: 0, size: u32::MAX, text_search: Some(name.to_owned()), sort: None }
}

struct DemoDevice {
    name: &'static str,
    token: &'static str,
    profile: &'static str,
    customer: Option<&'static str>,
    description: Option<&'static str>,
}

impl DemoDevice {
    const fn of_customer(name: &'static str, token: &'static str, title: &'static str) -> Self {
        Self { name, token, profile: "default", customer: Some(title), description: None }
    }

    const fn of_tenant(
        name: &'static str,
        token: &'static str,
        profile: &'static str,
        description: Option<&'static str>,
    ) -> Self {
        Self { name, token, profile, customer: None, description }
    }
}

const DEFAULT_PROFILE: &str = "Default";

/// Title of the demo's tenant.
const FIRST_TENANT: &str = "Tenant";

const DEMO_CUSTOMERS: &[(&str, &[&str])] = &[
    ("Customer A", &["customer@thingsboard.org", "customerA@thingsboard.org"]),
    ("Customer B", &["customerB@thingsboard.org"]),
    ("Customer C", &["customerC@thingsboard.org"]),
];

const DEMO_DEVICES: &[DemoDevice] = &[
    DemoDevice::of_customer("Test Device A1", "A1_TEST_TOKEN", "Customer A"),
    DemoDevice::of_customer("Test Device A2", "A2_TEST_TOKEN", "Customer A"),
    DemoDevice::of_customer("Test Device A3", "A3_TEST_TOKEN", "Customer A"),
    DemoDevice::of_customer("Test Device B1", "B1_TEST_TOKEN", "Customer B"),
    DemoDevice::of_customer("Test Device C1", "C1_TEST_TOKEN", "Customer C"),
    DemoDevice::of_tenant(
        "DHT11 Demo Device",
        "DHT11_DEMO_TOKEN",
        "default",
        Some("A temperature and humidity sensor to try things out"),
    ),
    DemoDevice::of_tenant(
        "Raspberry Pi Demo Device",
        "RASPBERRY_PI_DEMO_TOKEN",
        "default",
        Some("A small computer with input and output pins to try things out"),
    ),
    DemoDevice::of_tenant("Thermostat T1", "T1_TEST_TOKEN", "thermostat", None),
    DemoDevice::of_tenant("Thermostat T2", "T2_TEST_TOKEN", "thermostat", None),
];

/// `profileData` of the tenant profile "Default": no limits, and the small non-zero members that
/// REST API 4.2 names.
pub const DEFAULT_PROFILE_DATA: &str = include_str!("first_run/profile_data.json");
