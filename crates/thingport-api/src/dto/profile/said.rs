//! Members of a request that may be absent, null, or there.

use serde::Deserialize;
use thingport_core::registry::profiles::said::Said;

/// Tells a member that is null from one that is absent.
pub(super) fn said<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// From a member that is absent, null, or there.
pub(super) fn from<T>(member: Option<Option<T>>) -> Said<T> {
    match member {
        None => Said::Unsaid,
        Some(None) => Said::Cleared,
        Some(Some(it)) => Said::Set(it),
    }
}
