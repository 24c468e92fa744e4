//! What claims need of the registry (REST API section 10). Their rules stand in [`crate::claims`].

use thingport_model::device::Device;
use thingport_model::id::CustomerId;

use super::Registry;
use crate::access::{Caller, missing};
use crate::error::Error;

impl Registry {
    /// The device of the caller's tenant with this name, whoever it belongs to: who claims a device may
    /// not read it yet. Not to be shown to the caller.
    pub(crate) async fn device_to_claim(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Device, Error> {
        caller.must_see_devices()?;
        caller.must_write()?;
        let device = self.entities.device_by_name(caller.tenant_id, name).await?;
        device.ok_or_else(|| missing("device"))
    }

    /// Gives a device to a customer, or takes it from its own; the right to do so has been checked.
    pub(crate) async fn hand_over(
        &self,
        device: Device,
        customer: Option<CustomerId>,
    ) -> Result<Device, Error> {
        self.move_device(device, customer).await
    }
}
