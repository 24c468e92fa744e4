//! Claims of customers' users (REST API section 10).

use serde::{Deserialize, Serialize};
use thingport_core::claims::ClaimingData;
use thingport_model::time::Timestamp;
use utoipa::ToSchema;

use super::device::DeviceBody;

/// What a user claims a device with.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimInput {
    /// What the device said; empty when it said none.
    pub(crate) secret_key: Option<String>,
}

/// A device that was claimed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ClaimBody {
    device: DeviceBody,
    /// `SUCCESS`
    response: &'static str,
}

/// The value of the server attribute `claimingData`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredData {
    secret_key: Option<String>,
    expiration_time: i64,
}

impl ClaimBody {
    pub(crate) const fn of(device: DeviceBody) -> Self {
        Self { device, response: "SUCCESS" }
    }
}

/// Reads the attribute `claimingData`; none when it is not what it should be.
pub(crate) fn claiming_data(text: &str) -> Option<ClaimingData> {
    let stored: StoredData = serde_json::from_str(text).ok()?;
    Some(ClaimingData {
        secret: stored.secret_key.unwrap_or_default(),
        expires_at: Timestamp(stored.expiration_time),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attribute_is_read_as_the_original_writes_it() {
        let rows = [
            (r#"{"secretKey":"s","expirationTime":5}"#, Some(("s", 5))),
            (r#"{"secretKey":null,"expirationTime":5}"#, Some(("", 5))),
            (r#"{"expirationTime":5,"x":1}"#, Some(("", 5))),
            (r#"{"secretKey":"s"}"#, None),
            (r#"{"secretKey":1,"expirationTime":5}"#, None),
            ("s", None),
        ];
        for (text, expected) in rows {
            let expected = expected.map(|(secret, at)| ClaimingData {
                secret: secret.to_owned(),
                expires_at: Timestamp(at),
            });
            assert_eq!(claiming_data(text), expected, "{text}");
        }
    }
}
