//! An entity that a question found, with the fields that every answer may show.

use thingport_model::device::DeviceOverview;
use thingport_model::id::EntityRef;
use thingport_model::profile::DeviceProfile;
use thingport_model::tenant::{Address, Customer, Tenant};
use thingport_model::time::Timestamp;
use thingport_model::user::User;
use thingport_model::value::Value;

/// An entity that was found.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A device.
    Device(Box<DeviceOverview>),
    /// A customer.
    Customer(Box<Customer>),
    /// A user.
    User(Box<User>),
    /// A device profile.
    Profile(Box<DeviceProfile>),
    /// The caller's tenant.
    Tenant(Box<Tenant>),
}

impl Subject {
    /// Which one.
    #[must_use]
    pub fn entity(&self) -> EntityRef {
        match self {
            Self::Device(it) => it.device.id.entity(),
            Self::Customer(it) => it.id.entity(),
            Self::User(it) => it.id.entity(),
            Self::Profile(it) => it.id.entity(),
            Self::Tenant(it) => it.id.entity(),
        }
    }

    /// When it was created.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        match self {
            Self::Device(it) => it.device.created_at,
            Self::Customer(it) => it.created_at,
            Self::User(it) => it.created_at,
            Self::Profile(it) => it.created_at,
            Self::Tenant(it) => it.created_at,
        }
    }

    /// What the registry knows of it by ThingsBoard's name of the field; none for what it does not have.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Value> {
        match name {
            "createdTime" => return Some(Value::Long(self.created_at().ms())),
            "entityType" => return Some(Value::String(self.entity().kind.name().to_owned())),
            "id" => return Some(Value::String(self.entity().id.to_string())),
            "name" | "displayName" | "entityName" => {
                return Some(Value::String(self.name().to_owned()));
            }
            _ => {}
        }
        let text = match self {
            Self::Device(it) => device_field(it, name),
            Self::Customer(it) => match name {
                "title" => Some(it.title.clone()),
                "additionalInfo" => it.additional_info.clone(),
                _ => place_field(&it.address, name),
            },
            Self::User(it) => user_field(it, name),
            Self::Profile(it) => match name {
                "type" => Some("DEFAULT".to_owned()),
                "description" => it.description.clone(),
                _ => None,
            },
            Self::Tenant(it) => match name {
                "title" => Some(it.title.clone()),
                "region" => it.region.clone(),
                "additionalInfo" => it.additional_info.clone(),
                _ => place_field(&it.address, name),
            },
        };
        text.map(Value::String)
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Device(it) => &it.device.name,
            Self::Customer(it) => &it.title,
            Self::User(it) => &it.email,
            Self::Profile(it) => &it.name,
            Self::Tenant(it) => &it.title,
        }
    }

    /// Whether a name-like field contains the text, in any letter case.
    pub(super) fn contains(&self, searched: Option<&str>) -> bool {
        let Some(searched) = searched.map(str::to_lowercase) else { return true };
        let has = |text: Option<&str>| text.is_some_and(|it| it.to_lowercase().contains(&searched));
        let others = match self {
            Self::Device(it) => [
                it.device.label.as_deref(),
                Some(it.device.profile_name.as_str()),
                it.customer_title.as_deref(),
            ],
            Self::User(it) => [it.first_name.as_deref(), it.last_name.as_deref(), None],
            Self::Customer(_) | Self::Profile(_) | Self::Tenant(_) => [None; 3],
        };
        has(Some(self.name())) || others.into_iter().any(has)
    }

    /// Whether its name begins so, in any letter case.
    pub(super) fn begins_with(&self, prefix: &str) -> bool {
        self.name().to_lowercase().starts_with(&prefix.to_lowercase())
    }
}

fn device_field(it: &DeviceOverview, name: &str) -> Option<String> {
    match name {
        "type" | "deviceProfileName" => Some(it.device.profile_name.clone()),
        "label" => it.device.label.clone(),
        "additionalInfo" => it.device.additional_info.clone(),
        "customerTitle" | "ownerName" => it.customer_title.clone(),
        _ => None,
    }
}

fn user_field(it: &User, name: &str) -> Option<String> {
    match name {
        "email" => Some(it.email.clone()),
        "firstName" => it.first_name.clone(),
        "lastName" => it.last_name.clone(),
        "phone" => it.phone.clone(),
        "authority" => Some(it.authority.name().to_owned()),
        "additionalInfo" => it.additional_info.clone(),
        _ => None,
    }
}

fn place_field(it: &Address, name: &str) -> Option<String> {
    match name {
        "country" => it.country.clone(),
        "state" => it.state.clone(),
        "city" => it.city.clone(),
        "address" => it.address.clone(),
        "address2" => it.address2.clone(),
        "zip" => it.zip.clone(),
        "phone" => it.phone.clone(),
        "email" => it.email.clone(),
        _ => None,
    }
}
