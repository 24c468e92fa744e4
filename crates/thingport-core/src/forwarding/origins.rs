//! What is known of the devices whose messages are forwarded, remembered so that a message costs no
//! look-up.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use thingport_model::attribute::Scope;
use thingport_model::id::{CustomerId, DeviceId, DeviceProfileId, EntityKind, EntityRef, TenantId};
use thingport_model::port::entities::Entities;
use thingport_model::port::error::PortError;
use thingport_model::port::trail::{Subject, Wants};
use thingport_model::profile::forwarding::ForwardKinds;

use super::Target;

/// What whoever gets a message should know of its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which device.
    pub device_id: DeviceId,
    /// Its name.
    pub name: String,
    /// The name of its profile.
    pub profile_name: String,
    /// Its profile.
    pub profile_id: DeviceProfileId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// The customer it is assigned to.
    pub customer_id: Option<CustomerId>,
}

/// Devices, as they are now. One that is gone has no origin.
pub(super) struct Origins {
    entities: Arc<dyn Entities>,
    /// Made for the first message.
    known: OnceLock<Cache<DeviceId, Option<Arc<Origin>>>>,
    /// Counts changes: what was read before one is not kept after it.
    generation: Mutex<u64>,
}

impl Origins {
    pub(super) fn new(entities: Arc<dyn Entities>) -> Self {
        Self { entities, known: OnceLock::new(), generation: Mutex::new(0) }
    }

    /// What is remembered of a device; none when nothing is.
    fn known(&self, device: DeviceId) -> Option<Option<Arc<Origin>>> {
        self.known.get()?.get(&device)
    }

    pub(super) async fn of(&self, device: DeviceId) -> Result<Option<Arc<Origin>>, PortError> {
        if let Some(known) = self.known(device) {
            return Ok(known);
        }
        let read_at = *self.generation.lock();
        let origin = self.entities.device(device).await?.map(|device| {
            Arc::new(Origin {
                device_id: device.id,
                name: device.name,
                profile_name: device.profile_name,
                profile_id: device.profile_id,
                tenant_id: device.tenant_id,
                customer_id: device.customer_id,
            })
        });
        let generation = self.generation.lock();
        if *generation == read_at {
            let known = self.known.get_or_init(|| Cache::new(ORIGINS_MAX));
            known.insert(device, origin.clone());
        }
        Ok(origin)
    }

    pub(super) fn forget(&self, device: DeviceId) {
        *self.generation.lock() += 1;
        if let Some(known) = self.known.get() {
            known.remove(&device);
        }
    }

    pub(super) fn forget_all(&self) {
        *self.generation.lock() += 1;
        if let Some(known) = self.known.get() {
            known.clear();
        }
    }
}

/// Passes over what is nothing for a target, as far as that is known without a look-up.
pub(super) struct Filter {
    origins: Arc<Origins>,
    profile_id: DeviceProfileId,
    kinds: ForwardKinds,
}

impl Filter {
    pub(super) fn new(origins: &Arc<Origins>, target: &Target) -> Self {
        let (origins, kinds) = (Arc::clone(origins), target.spec.kinds);
        Self { origins, profile_id: target.profile_id, kinds }
    }
}

impl Wants for Filter {
    fn wants(&self, entity: EntityRef, subject: Subject) -> bool {
        let is_kind = match subject {
            Subject::Telemetry => self.kinds.telemetry,
            Subject::AttributesSet(scope) | Subject::AttributesDeleted(scope) => {
                self.kinds.attributes && scope == Scope::Client
            }
            Subject::TelemetryDeleted | Subject::Purged => false,
        };
        if !is_kind || entity.kind != EntityKind::Device {
            return false;
        }
        match self.origins.known(DeviceId(entity.id)) {
            Some(Some(origin)) => origin.profile_id == self.profile_id,
            Some(None) | None => true,
        }
    }
}

/// Devices remembered; the others are looked up each time.
const ORIGINS_MAX: usize = 50_000;
