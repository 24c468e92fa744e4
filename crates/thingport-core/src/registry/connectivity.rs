//! What somebody needs to know to connect a device (REST API section 13).

use thingport_model::credentials::DeviceCredentials;
use thingport_model::id::DeviceId;
use thingport_model::profile::DeviceProfile;

use super::Registry;
use crate::access::{Caller, missing};
use crate::error::Error;

impl Registry {
    /// The profile and the credentials of a device, for whoever may read its credentials.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing or foreign device, [`Error::Denied`] by role or customer and
    /// for a guest.
    pub async fn connectivity(
        &self,
        caller: &Caller,
        id: DeviceId,
    ) -> Result<(DeviceProfile, DeviceCredentials), Error> {
        let device = self.device(caller, id).await?;
        caller.may_read_secrets(&device)?;
        let profile = self.entities.profile(device.profile_id).await?;
        let profile = profile.ok_or_else(|| missing("device profile"))?;
        Ok((profile, self.credentials(caller, id).await?))
    }
}
