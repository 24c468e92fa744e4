//! Who may do what (REST API section 3): the one place that knows roles and ownership.
//!
//! An item of another tenant answers like a missing one (G-51, gives nothing away); inside the tenant
//! an item of another customer is denied. System administrators have no access to devices.

use thingport_model::device::Device;
use thingport_model::id::{CustomerId, NIL, TenantId, UserId};
use thingport_model::tenant::Customer;
use thingport_model::user::{Authority, User};

use crate::error::Error;

/// Who asks. Made once per request from a verified token; never from what the request claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who; the nil id for a guest of the public login.
    pub user_id: UserId,
    /// Whose people they are; the system tenant for system administrators.
    pub tenant_id: TenantId,
    /// Their customer; present exactly for customer users.
    pub customer_id: Option<CustomerId>,
    /// Role.
    pub authority: Authority,
    /// A guest of the public login: reads what a customer user reads, writes nothing.
    pub read_only: bool,
}

impl Caller {
    /// The caller that a logged-in user is.
    #[must_use]
    pub const fn of(user: &User) -> Self {
        Self {
            user_id: user.id,
            tenant_id: user.tenant_id,
            customer_id: user.customer_id,
            authority: user.authority,
            read_only: false,
        }
    }

    /// A guest of a tenant's public customer (`POST /api/auth/login/public`).
    #[must_use]
    pub const fn guest(customer: &Customer) -> Self {
        Self {
            user_id: UserId(NIL),
            tenant_id: customer.tenant_id,
            customer_id: Some(customer.id),
            authority: Authority::CustomerUser,
            read_only: true,
        }
    }

    /// The installation itself, with a system administrator's rights: first run and maintenance.
    #[must_use]
    pub const fn system() -> Self {
        Self {
            user_id: UserId(NIL),
            tenant_id: TenantId::SYSTEM,
            customer_id: None,
            authority: Authority::SysAdmin,
            read_only: false,
        }
    }

    /// The installation itself, acting with the rights of an administrator of `tenant`.
    #[must_use]
    pub const fn tenant(tenant: TenantId) -> Self {
        Self {
            user_id: UserId(NIL),
            tenant_id: tenant,
            customer_id: None,
            authority: Authority::TenantAdmin,
            read_only: false,
        }
    }

    /// Passes system administrators only.
    ///
    /// # Errors
    /// [`Error::Denied`] for everybody else.
    pub fn must_be_system(&self) -> Result<(), Error> {
        self.must_be(Authority::SysAdmin)
    }

    /// Passes tenant administrators only.
    ///
    /// # Errors
    /// [`Error::Denied`] for everybody else.
    pub fn must_be_tenant(&self) -> Result<(), Error> {
        self.must_be(Authority::TenantAdmin)
    }

    /// Passes tenant administrators and customer users: whoever may see devices at all.
    ///
    /// # Errors
    /// [`Error::Denied`] for system administrators.
    pub fn must_see_devices(&self) -> Result<(), Error> {
        match self.authority {
            Authority::TenantAdmin | Authority::CustomerUser => Ok(()),
            Authority::SysAdmin => Err(denied("system administrators have no access to devices")),
        }
    }

    /// Passes who may change anything at all: everybody but a guest.
    ///
    /// # Errors
    /// [`Error::Denied`] for a guest.
    pub fn must_write(&self) -> Result<(), Error> {
        if self.read_only { Err(denied("a guest may only read")) } else { Ok(()) }
    }

    /// Whether this caller may read the device, its readings, attributes and events.
    ///
    /// # Errors
    /// [`Error::NotFound`] outside the tenant, [`Error::Denied`] by role or customer.
    pub fn may_read_device(&self, device: &Device) -> Result<(), Error> {
        self.must_see_devices()?;
        self.owns(device.tenant_id, "device")?;
        self.must_share_customer(device.customer_id, "the device")
    }

    /// Whether this caller may read what the device proves itself with.
    ///
    /// # Errors
    /// As [`Self::may_read_device`], and [`Error::Denied`] for a guest.
    pub fn may_read_secrets(&self, device: &Device) -> Result<(), Error> {
        self.may_read_device(device)?;
        if self.read_only { Err(denied("a guest may not read credentials")) } else { Ok(()) }
    }

    /// Whether this caller may save the device and write its attributes and readings.
    ///
    /// # Errors
    /// As [`Self::may_read_device`], and [`Error::Denied`] for a guest.
    pub fn may_write_device(&self, device: &Device) -> Result<(), Error> {
        self.may_read_device(device)?;
        self.must_write()
    }

    /// Whether this caller may delete or assign the device or change its credentials.
    ///
    /// # Errors
    /// As [`Self::may_read_device`], and [`Error::Denied`] for everybody but tenant administrators.
    pub fn may_administer_device(&self, device: &Device) -> Result<(), Error> {
        self.may_read_device(device)?;
        self.must_be_tenant()
    }

    /// The customer for which this caller may claim devices: that of a customer user.
    ///
    /// # Errors
    /// [`Error::Denied`] for everybody else and for a guest.
    pub fn must_claim(&self) -> Result<CustomerId, Error> {
        self.must_be(Authority::CustomerUser)?;
        self.must_write()?;
        self.customer_id.ok_or_else(|| denied("only users of a customer may claim devices"))
    }

    /// Whether this caller may take the device from its customer, so that it may be claimed again: an
    /// administrator of the tenant, or a user of the customer.
    ///
    /// # Errors
    /// As [`Self::may_write_device`].
    pub fn may_reclaim_device(&self, device: &Device) -> Result<(), Error> {
        self.may_write_device(device)
    }

    /// Whether this caller may read the customer.
    ///
    /// # Errors
    /// [`Error::NotFound`] outside the tenant, [`Error::Denied`] by role or customer.
    pub fn may_read_customer(&self, customer: &Customer) -> Result<(), Error> {
        if self.authority == Authority::SysAdmin {
            return Err(denied("system administrators have no access to customers"));
        }
        self.owns(customer.tenant_id, "customer")?;
        self.must_share_customer(Some(customer.id), "the customer")
    }

    /// Whether this caller may read the tenant: system administrators and its own administrators.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant, [`Error::Denied`] by role.
    pub fn may_read_tenant(&self, tenant: TenantId) -> Result<(), Error> {
        match self.authority {
            Authority::SysAdmin => Ok(()),
            Authority::TenantAdmin => self.owns(tenant, "tenant"),
            Authority::CustomerUser => Err(denied("customer users may not read tenants")),
        }
    }

    /// Whether this caller may read the user: itself, or whom [`Self::may_write_user`] allows, or a
    /// colleague of the same customer.
    ///
    /// # Errors
    /// [`Error::NotFound`] outside the tenant, [`Error::Denied`] by role or customer.
    pub fn may_read_user(&self, user: &User) -> Result<(), Error> {
        if self.is(user) {
            return Ok(());
        }
        match self.authority {
            Authority::SysAdmin => self.must_administer_kind(user),
            Authority::TenantAdmin => self.owns(user.tenant_id, "user"),
            Authority::CustomerUser => {
                self.owns(user.tenant_id, "user")?;
                self.must_share_customer(user.customer_id, "the user")
            }
        }
    }

    /// Whether this caller may save the user: itself; a system administrator tenant and system
    /// administrators; a tenant administrator everybody of its tenant.
    ///
    /// # Errors
    /// [`Error::NotFound`] outside the tenant, [`Error::Denied`] by role or customer.
    pub fn may_write_user(&self, user: &User) -> Result<(), Error> {
        self.must_write()?;
        if self.is(user) {
            return Ok(());
        }
        match self.authority {
            Authority::SysAdmin => self.must_administer_kind(user),
            Authority::TenantAdmin => self.owns(user.tenant_id, "user"),
            Authority::CustomerUser => {
                self.owns(user.tenant_id, "user")?;
                Err(denied("customer users may change only themselves"))
            }
        }
    }

    /// Passes when the thing belongs to the caller's tenant.
    ///
    /// # Errors
    /// [`Error::NotFound`] otherwise, worded as for a missing thing.
    pub fn owns(&self, tenant: TenantId, what: &str) -> Result<(), Error> {
        if self.tenant_id == tenant { Ok(()) } else { Err(missing(what)) }
    }

    fn is(&self, user: &User) -> bool {
        self.user_id == user.id && !self.read_only
    }

    fn must_be(&self, authority: Authority) -> Result<(), Error> {
        if self.authority == authority {
            return Ok(());
        }
        Err(Error::Denied(format!(
            "this needs the role {}, yours is {}",
            authority.name(),
            self.authority.name()
        )))
    }

    fn must_share_customer(&self, customer: Option<CustomerId>, what: &str) -> Result<(), Error> {
        if self.authority != Authority::CustomerUser || self.customer_id == customer {
            return Ok(());
        }
        Err(Error::Denied(format!("{what} does not belong to your customer")))
    }

    fn must_administer_kind(&self, user: &User) -> Result<(), Error> {
        match user.authority {
            Authority::SysAdmin | Authority::TenantAdmin => Ok(()),
            Authority::CustomerUser => {
                Err(denied("system administrators have no access to users of customers"))
            }
        }
    }
}

/// The answer for something that is not there, or not there for this caller (G-51).
#[must_use]
pub fn missing(what: &str) -> Error {
    Error::NotFound(format!("there is no such {what}"))
}

fn denied(text: &str) -> Error {
    Error::Denied(text.to_owned())
}

#[cfg(test)]
mod tests;
