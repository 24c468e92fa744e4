//! Traces for people. What a trace shows is more than its device's customer may see, such as what a
//! gateway says of other devices, so it is for administrators of the tenant alone.

use std::sync::Arc;

use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::device::Device;
use thingport_model::id::DeviceId;

use super::{Trace, Traces};
use crate::access::Caller;
use crate::error::Error;
use crate::registry::Registry;
use crate::registry::credentials::Basic;

impl Traces {
    /// Begins the trace of a device for so many milliseconds, or lets it go on for so long from now.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Denied`] as for the device, [`Error::Denied`] for everybody but
    /// tenant administrators, [`Error::Busy`] when as many devices are traced as may be.
    pub async fn begin_for(
        &self,
        registry: &Registry,
        caller: &Caller,
        device: DeviceId,
        lasting_ms: u64,
    ) -> Result<Arc<Trace>, Error> {
        let device = administered(registry, caller, device).await?;
        let credentials = registry.credentials(caller, device.id).await?;
        let secrets = secrets(&credentials);
        let secrets: Vec<_> = secrets.iter().map(|secret| &**secret).collect();
        self.begin(device.id, device.tenant_id, lasting_ms, &secrets)
    }

    /// The trace of a device, running or over; none when there is none.
    ///
    /// # Errors
    /// As [`Self::begin_for`], but for [`Error::Busy`].
    pub async fn find_for(
        &self,
        registry: &Registry,
        caller: &Caller,
        device: DeviceId,
    ) -> Result<Option<Arc<Trace>>, Error> {
        administered(registry, caller, device).await?;
        Ok(self.find(device))
    }

    /// Ends the trace of a device, if there is one; `forget`s what was recorded if told so.
    ///
    /// # Errors
    /// As [`Self::find_for`].
    pub async fn end_for(
        &self,
        registry: &Registry,
        caller: &Caller,
        device: DeviceId,
        forget: bool,
    ) -> Result<Option<Arc<Trace>>, Error> {
        administered(registry, caller, device).await?;
        if forget {
            self.forget(device);
            return Ok(None);
        }
        Ok(self.end(device))
    }
}

async fn administered(
    registry: &Registry,
    caller: &Caller,
    device: DeviceId,
) -> Result<Device, Error> {
    let device = registry.device(caller, device).await?;
    caller.may_administer_device(&device)?;
    Ok(device)
}

/// What nobody may read of credentials.
fn secrets(credentials: &DeviceCredentials) -> Vec<Box<str>> {
    match credentials.kind {
        CredentialsType::AccessToken => vec![credentials.credentials_id.as_str().into()],
        CredentialsType::MqttBasic => {
            let basic = credentials.value.as_deref().and_then(Basic::from_json);
            basic.and_then(|it| it.password).into_iter().collect()
        }
        // A certificate is none; the others are stored alone.
        CredentialsType::X509Certificate | CredentialsType::Lwm2m => Vec::new(),
    }
}
