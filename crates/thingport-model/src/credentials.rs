//! What devices prove themselves with (device API 2.2, REST API section 9).

use crate::id::{CredentialsId, CustomerId, DeviceId};
use crate::time::Timestamp;

/// Type of a credential record. The numbers are part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialsType {
    /// `ACCESS_TOKEN`: the token is the MQTT user name.
    AccessToken = 1,
    /// `MQTT_BASIC`: client id, user name, password, each optional.
    MqttBasic = 2,
    /// `X509_CERTIFICATE`: SHA3-256 of the certificate.
    X509Certificate = 3,
    /// `LWM2M_CREDENTIALS`: stored, not acted upon.
    Lwm2m = 4,
}

impl CredentialsType {
    /// Every type.
    pub const ALL: [Self; 4] =
        [Self::AccessToken, Self::MqttBasic, Self::X509Certificate, Self::Lwm2m];

    /// ThingsBoard's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "ACCESS_TOKEN",
            Self::MqttBasic => "MQTT_BASIC",
            Self::X509Certificate => "X509_CERTIFICATE",
            Self::Lwm2m => "LWM2M_CREDENTIALS",
        }
    }

    /// The type with ThingsBoard's word `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The type with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The one credential record of a device (AU-005).
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceCredentials {
    /// Identity of the record.
    pub id: CredentialsId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whose.
    pub device_id: DeviceId,
    /// Type.
    pub kind: CredentialsType,
    /// What is looked up at CONNECT: the token, or a hash (AU-010, AU-011). Unique in the whole
    /// installation (AU-006).
    pub credentials_id: String,
    /// What REST shows beside it: certificate body, basic credentials as JSON; none for a token.
    pub value: Option<String>,
    /// Until when a certificate is valid; none for every other type.
    pub expires_at: Option<Timestamp>,
    /// Optimistic lock.
    pub version: i64,
}

/// A device's certificate with what a list of certificates shows beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCertificate {
    /// Name of the device.
    pub device_name: String,
    /// Name of its profile.
    pub profile_name: String,
    /// The customer it is assigned to.
    pub customer_id: Option<CustomerId>,
    /// Its credentials, of type `X509_CERTIFICATE`.
    pub credentials: DeviceCredentials,
}

impl core::fmt::Debug for DeviceCredentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Token and value are secrets: never printed.
        f.debug_struct("DeviceCredentials")
            .field("device_id", &self.device_id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
