//! Identities. One newtype per kind, so that a customer's id cannot be passed where a device's is due.

use core::fmt;

use uuid::Uuid;

use crate::time::Timestamp;

/// The id that stands for "none" in ThingsBoard's contract (REST API G-13): no customer, the system
/// tenant.
pub const NIL: Uuid = Uuid::from_u128(0x1381_4000_1dd2_11b2_8080_8080_8080_8080);

/// A time-ordered id made from a moment and 10 random bytes (UUID version 7), so that "sorted by id"
/// is "sorted by creation" (REST API G-15).
#[must_use]
pub fn ordered_id(at: Timestamp, random: &[u8; 10]) -> Uuid {
    let millis = u64::try_from(at.ms()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident => $kind:ident,)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(pub Uuid);

            impl $name {
                /// The same identity with its kind.
                #[must_use]
                pub const fn entity(self) -> EntityRef {
                    EntityRef { kind: EntityKind::$kind, id: self.0 }
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{}({})", stringify!($name), self.0)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(&self.0, f)
                }
            }
        )*
    };
}

ids! {
    /// A tenant: the owner of devices, profiles, customers and users.
    TenantId => Tenant,
    /// A tenant profile: limits shared by tenants.
    TenantProfileId => TenantProfile,
    /// A customer of a tenant.
    CustomerId => Customer,
    /// A person who can log in.
    UserId => User,
    /// A device.
    DeviceId => Device,
    /// A device profile.
    DeviceProfileId => DeviceProfile,
}

impl TenantId {
    /// The system tenant: owner of system administrators and of installation-wide settings.
    pub const SYSTEM: Self = Self(NIL);
}

/// Identity of a credential record; it has no entity kind in ThingsBoard (REST API G-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialsId(pub Uuid);

/// Identity of an API key. It owns no readings, so it has no entity kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(pub Uuid);

/// Identity of a persistent call. It owns no readings, so it has no entity kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RpcId(pub Uuid);

/// Identity of a package. It owns no readings, so it has no entity kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId(pub Uuid);

/// Identity of the data of a package: another upload is another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageFileId(pub Uuid);

/// What kind of thing an id names. The order is part of the stored form: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// `TENANT`
    Tenant = 1,
    /// `TENANT_PROFILE`
    TenantProfile = 2,
    /// `CUSTOMER`
    Customer = 3,
    /// `USER`
    User = 4,
    /// `DEVICE`
    Device = 5,
    /// `DEVICE_PROFILE`
    DeviceProfile = 6,
}

impl EntityKind {
    /// Every kind, in stored order.
    pub const ALL: [Self; 6] = [
        Self::Tenant,
        Self::TenantProfile,
        Self::Customer,
        Self::User,
        Self::Device,
        Self::DeviceProfile,
    ];

    /// ThingsBoard's word for this kind (REST API 1.2).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "TENANT",
            Self::TenantProfile => "TENANT_PROFILE",
            Self::Customer => "CUSTOMER",
            Self::User => "USER",
            Self::Device => "DEVICE",
            Self::DeviceProfile => "DEVICE_PROFILE",
        }
    }

    /// The kind with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The kind with ThingsBoard's word `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An id with its kind: whatever may own readings, attributes and incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityRef {
    /// What kind of thing.
    pub kind: EntityKind,
    /// Which one.
    pub id: Uuid,
}
