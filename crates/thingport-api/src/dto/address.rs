//! Where somebody can be reached: the members that tenants and customers share.

use serde::{Deserialize, Serialize};
use thingport_model::tenant::Address;
use utoipa::ToSchema;

/// Address and contact of a tenant or customer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AddressBody {
    /// Country.
    country: Option<String>,
    /// State or province.
    state: Option<String>,
    /// City.
    city: Option<String>,
    /// First line.
    address: Option<String>,
    /// Second line.
    address2: Option<String>,
    /// Postal code.
    zip: Option<String>,
    /// Telephone.
    phone: Option<String>,
    /// E-mail.
    email: Option<String>,
}

impl From<&Address> for AddressBody {
    fn from(it: &Address) -> Self {
        Self {
            country: it.country.clone(),
            state: it.state.clone(),
            city: it.city.clone(),
            address: it.address.clone(),
            address2: it.address2.clone(),
            zip: it.zip.clone(),
            phone: it.phone.clone(),
            email: it.email.clone(),
        }
    }
}

impl From<AddressBody> for Address {
    fn from(it: AddressBody) -> Self {
        Self {
            country: it.country,
            state: it.state,
            city: it.city,
            address: it.address,
            address2: it.address2,
            zip: it.zip,
            phone: it.phone,
            email: it.email,
        }
    }
}
