//! What the attributes say of a device's activity.

use thingport_model::attribute::{Attribute, Scope};
use thingport_model::id::DeviceId;
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::{Keys, Ledger};
use thingport_model::time::Timestamp;
use thingport_model::value::Value;

use super::table::OwnTimeout;
use super::{ACTIVE, INACTIVITY_ALARM_TIME, INACTIVITY_TIMEOUT, LAST_ACTIVITY_TIME};

/// What is kept of a device in its server attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) active: Option<bool>,
    pub(super) heard_at: Option<Timestamp>,
    /// When somebody was last told that it is silent; none for never.
    pub(super) alarm_at: Option<Timestamp>,
    pub(super) timeout: OwnTimeout,
}

impl Known {
    pub(super) async fn of(ledger: &dyn Ledger, device: DeviceId) -> Result<Self, PortError> {
        let names = [ACTIVE, LAST_ACTIVITY_TIME, INACTIVITY_ALARM_TIME, INACTIVITY_TIMEOUT];
        let keys = Keys::Named(names.map(str::to_owned).into());
        let found = ledger.attributes(device.entity(), Scope::Server, keys).await?;
        Ok(Self::from(&*found))
    }
}

impl From<&[Attribute]> for Known {
    fn from(attributes: &[Attribute]) -> Self {
        let mut known = Self::default();
        for Attribute { key, value, .. } in attributes {
            match (key.as_str(), value) {
                (ACTIVE, Value::Bool(active)) => known.active = Some(*active),
                (LAST_ACTIVITY_TIME, value) => known.heard_at = moment(value),
                (INACTIVITY_ALARM_TIME, value) => known.alarm_at = moment(value),
                (INACTIVITY_TIMEOUT, value) => {
                    known.timeout = number(value).map(OwnTimeout::of_ms).unwrap_or_default();
                }
                _ => {}
            }
        }
        known
    }
}

fn moment(value: &Value) -> Option<Timestamp> {
    number(value).filter(|ms| *ms > 0).map(Timestamp)
}

/// A number as people write it, in whatever type it was stored.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Long(it) => Some(*it),
        // Whole milliseconds; what is beyond the range stops at its ends.
        #[allow(clippy::cast_possible_truncation)]
        Value::Double(it) => Some(*it as i64),
        Value::String(it) => it.trim().parse().ok(),
        Value::Bool(_) | Value::Json(_) => None,
    }
}
