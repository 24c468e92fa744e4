//! Attributes: the latest value of a key in one of three scopes.

use crate::time::Timestamp;
use crate::value::Value;

/// Who may write an attribute and who sees it. The numbers are part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Written by the device.
    Client = 1,
    /// Written by people, pushed to the device.
    Shared = 2,
    /// Written by people and by Thingport, never seen by the device.
    Server = 3,
    /// Seen by nobody: which shared attributes changed that the device's kept session is still owed.
    Owed = 4,
}

impl Scope {
    /// Every scope that people see.
    pub const ALL: [Self; 3] = [Self::Client, Self::Shared, Self::Server];

    /// ThingsBoard's word (REST API 14.1).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "CLIENT_SCOPE",
            Self::Shared => "SHARED_SCOPE",
            Self::Server => "SERVER_SCOPE",
            Self::Owed => "OWED_SCOPE",
        }
    }

    /// The scope with ThingsBoard's word `name`, if people see it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// The scope with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        let mut all = Self::ALL.into_iter().chain([Self::Owed]);
        all.find(|scope| *scope as u8 == number)
    }
}

/// One attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Which key.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// When it was last written; the server's time (device API JS-054).
    pub updated_at: Timestamp,
}
