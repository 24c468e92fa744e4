//! Claims: devices that may become a customer's (device API 7.1).

use thingport_model::reason::Reason;

use crate::registry::DeviceLogin;

/// Every claim that is held. So far all are ignored.
#[derive(Debug, Default)]
pub struct Claims;

impl Claims {
    /// A device may be claimed by whoever knows `secret`, for so long; none: for the default time
    /// (CL-005). The device never learns what becomes of it (CL-003).
    ///
    /// # Errors
    /// Why the claim could not be kept; the device may send it again.
    #[expect(clippy::unused_async, reason = "whether the device has an owner is looked up")]
    pub async fn offer(
        &self,
        _login: &DeviceLogin,
        _secret: String,
        _duration_ms: Option<u64>,
    ) -> Result<(), Reason> {
        Ok(())
    }
}
