//! Customers and users (REST API sections 5 and 6).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thingport_model::tenant::Customer;
use thingport_model::user::{User, UserCredentials};
use utoipa::ToSchema;

use super::address::AddressBody;
use super::id::{EntityId, IdInput};
use super::opaque::{self, Opaque};

/// A customer of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Customer)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CustomerBody {
    id: EntityId,
    created_time: i64,
    additional_info: Option<Opaque>,
    #[serde(flatten)]
    address: AddressBody,
    title: String,
    tenant_id: EntityId,
    external_id: Option<EntityId>,
    version: i64,
    /// Same as `title`.
    name: String,
}

impl From<Customer> for CustomerBody {
    fn from(customer: Customer) -> Self {
        Self {
            id: customer.id.entity().into(),
            created_time: customer.created_at.ms(),
            additional_info: opaque::stored(customer.additional_info.as_ref()),
            address: (&customer.address).into(),
            name: customer.title.clone(),
            title: customer.title,
            tenant_id: customer.tenant_id.entity().into(),
            external_id: None,
            version: customer.version,
        }
    }
}

/// A customer as the newest Python client asks for it (18.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CustomerInfo)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CustomerOverviewBody {
    #[serde(flatten)]
    customer: CustomerBody,
    owner_name: Option<String>,
    groups: Vec<String>,
}

impl From<Customer> for CustomerOverviewBody {
    fn from(customer: Customer) -> Self {
        Self { customer: customer.into(), owner_name: None, groups: Vec::new() }
    }
}

/// Title of a customer and whether it is the public one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ShortCustomerInfo)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CustomerTitleBody {
    pub(crate) title: String,
    pub(crate) is_public: bool,
}

/// A customer to be created or changed.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CustomerInput {
    pub(crate) id: Option<IdInput>,
    pub(crate) additional_info: Option<Opaque>,
    #[serde(flatten)]
    pub(crate) address: AddressBody,
    pub(crate) title: Option<String>,
    pub(crate) version: Option<i64>,
}

/// A person who can log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = User)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserBody {
    id: EntityId,
    created_time: i64,
    additional_info: Option<Opaque>,
    tenant_id: EntityId,
    customer_id: EntityId,
    email: String,
    /// `SYS_ADMIN`, `TENANT_ADMIN` or `CUSTOMER_USER`.
    #[schema(value_type = String)]
    authority: &'static str,
    first_name: Option<String>,
    last_name: Option<String>,
    phone: Option<String>,
    version: i64,
    /// Same as `email`.
    name: String,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id.entity().into(),
            created_time: user.created_at.ms(),
            additional_info: opaque::stored(user.additional_info.as_ref()),
            tenant_id: user.tenant_id.entity().into(),
            customer_id: EntityId::customer(user.customer_id),
            name: user.email.clone(),
            email: user.email,
            authority: user.authority.name(),
            first_name: user.first_name,
            last_name: user.last_name,
            phone: user.phone,
            version: user.version,
        }
    }
}

impl UserBody {
    /// The user with the state of its login shown in `additionalInfo`.
    pub(crate) fn with_login(user: User, credentials: &UserCredentials) -> Self {
        let text = user.additional_info.as_deref().unwrap_or("{}");
        let mut shown: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        shown.insert("userCredentialsEnabled".to_owned(), json!(credentials.enabled));
        shown.insert("userActivated".to_owned(), json!(credentials.password_hash.is_some()));
        let last_login = credentials.last_login_at.map(|at| at.ms());
        shown.insert("lastLoginTs".to_owned(), json!(last_login));
        let additional_info = Some(Opaque::from(Value::Object(shown).to_string()));
        Self { additional_info, ..user.into() }
    }
}

/// A user as pickers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = UserEmailInfo)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserNameBody {
    id: EntityId,
    email: String,
    first_name: Option<String>,
    last_name: Option<String>,
}

impl From<User> for UserNameBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id.entity().into(),
            email: user.email,
            first_name: user.first_name,
            last_name: user.last_name,
        }
    }
}

/// A user to be created or changed.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserInput {
    pub(crate) id: Option<IdInput>,
    pub(crate) additional_info: Option<Opaque>,
    pub(crate) tenant_id: Option<IdInput>,
    pub(crate) customer_id: Option<IdInput>,
    pub(crate) email: Option<String>,
    pub(crate) authority: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) version: Option<i64>,
}

/// A link that activates a user, and how long it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = UserActivationLink)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActivationLinkBody {
    pub(crate) value: String,
    pub(crate) ttl_ms: i64,
}
