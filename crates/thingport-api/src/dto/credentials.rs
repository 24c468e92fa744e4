//! Device credentials (REST API section 9).

use serde::{Deserialize, Serialize};
use thingport_model::credentials::DeviceCredentials;
use utoipa::ToSchema;

use super::id::{BareId, EntityId, IdInput};

/// The one credential record of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeviceCredentials)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CredentialsBody {
    id: BareId,
    created_time: i64,
    device_id: EntityId,
    /// `ACCESS_TOKEN`, `MQTT_BASIC`, `X509_CERTIFICATE` or `LWM2M_CREDENTIALS`.
    #[schema(value_type = String)]
    credentials_type: &'static str,
    /// What is looked up at login: the token, the user name or a hash.
    credentials_id: String,
    /// Null for a token; JSON text for `MQTT_BASIC`.
    credentials_value: Option<String>,
    version: i64,
}

impl From<DeviceCredentials> for CredentialsBody {
    fn from(it: DeviceCredentials) -> Self {
        Self {
            id: it.id.into(),
            created_time: it.created_at.ms(),
            device_id: it.device_id.entity().into(),
            credentials_type: it.kind.name(),
            credentials_id: it.credentials_id,
            credentials_value: it.value,
            version: it.version,
        }
    }
}

/// Credentials to be saved.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CredentialsInput {
    /// The record; when absent, the one of the device (C-1).
    pub(crate) id: Option<BareId>,
    pub(crate) device_id: Option<IdInput>,
    pub(crate) credentials_type: Option<String>,
    pub(crate) credentials_id: Option<String>,
    pub(crate) credentials_value: Option<String>,
    pub(crate) version: Option<i64>,
}

/// `MQTT_BASIC` credentials: the JSON text inside `credentialsValue`.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BasicInput {
    pub(crate) client_id: Option<String>,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<String>,
}
