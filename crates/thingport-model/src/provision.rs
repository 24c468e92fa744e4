//! Provisioning: what a peer that is no device yet asks for, and what its profile may demand
//! (device API 7.2, REST API section 11).

use crate::credentials::CredentialsType;

/// What a peer that wants to become a device says.
#[derive(Clone, PartialEq, Eq)]
pub struct ProvisionRequest {
    /// `provisionDeviceKey`; names the profile.
    pub key: String,
    /// `provisionDeviceSecret`
    pub secret: String,
    /// `deviceName` as sent; none when absent.
    pub device_name: Option<String>,
    /// `credentialsType`; an access token when absent.
    pub kind: CredentialsType,
    /// Credentials the peer brings along.
    pub supplied: Supplied,
    /// `gateway`: the device shall be one.
    pub is_gateway: bool,
}

/// Credentials that a peer brings along, whatever its type; an empty text stands for an absent one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Supplied {
    /// `token`
    pub token: String,
    /// `clientId`
    pub client_id: String,
    /// `username`
    pub user_name: String,
    /// `password`
    pub password: String,
    /// `hash`: the text of the certificate, despite its name.
    pub certificate: String,
}

impl Supplied {
    /// Whether the peer brings nothing, so that a token is made for it (PR-030).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.token.is_empty()
            && self.client_id.is_empty()
            && self.user_name.is_empty()
            && self.password.is_empty()
            && self.certificate.is_empty()
    }
}

impl core::fmt::Debug for ProvisionRequest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Key, secret and credentials are not printed.
        f.debug_struct("ProvisionRequest")
            .field("device_name", &self.device_name)
            .field("kind", &self.kind)
            .field("is_gateway", &self.is_gateway)
            .finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Supplied {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.is_empty() { "Supplied(nothing)" } else { "Supplied" })
    }
}

/// User name or client id of a connection that asks to be provisioned (AU-001).
pub const PROVISION: &str = "provision";
/// Server attribute of devices that were provisioned (PR-031).
pub const PROVISION_STATE: &str = "provisionState";
/// Its value.
pub const PROVISIONED: &str = "provisioned";
