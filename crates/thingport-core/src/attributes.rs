//! Attributes, as people read and write them and as devices ask for them and are told of changes. What
//! devices write comes in through `reception`.

mod owed;

use std::sync::Arc;

use thingport_model::attribute::{Attribute, Scope};
use thingport_model::downlink::{Downlink, FoundAttributes};
use thingport_model::id::{DeviceId, EntityKind, EntityRef};
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::{Change, Keys, Ledger};
use thingport_model::reading::Readings;
use thingport_model::uplink::{AttributeRequest, WantedKeys};
use tokio::sync::{Mutex, MutexGuard};

use crate::access::Caller;
use crate::activity::{self, Activity};
use crate::clock::Clock;
use crate::error::Error;
use crate::presence::Presence;
use crate::registry::Registry;
use crate::sessions::Sessions;
use crate::telemetry::{append, may_read, may_write};

/// Attributes for people, whose calls are checked against tenant and role, and for devices.
pub struct Attributes {
    registry: Arc<Registry>,
    ledger: Arc<dyn Ledger>,
    presence: Arc<Presence>,
    activity: Arc<Activity>,
    sessions: Arc<Sessions>,
    clock: Arc<dyn Clock>,
    turns: Turns,
}

/// Which attributes a device asked for, with keys of its own; none of a scope it did not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributesWanted {
    /// Of the client scope.
    pub client: Option<Keys>,
    /// Of the shared scope.
    pub shared: Option<Keys>,
}

/// Changes of one device's shared attributes happen one after the other, so that the device hears of
/// them in the order in which they are kept.
struct Turns([Mutex<()>; TURNS]);

impl Attributes {
    /// Attributes of `ledger`, guarded by what `registry` knows.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        ledger: Arc<dyn Ledger>,
        presence: Arc<Presence>,
        activity: Arc<Activity>,
        (sessions, clock): (Arc<Sessions>, Arc<dyn Clock>),
    ) -> Self {
        Self { registry, ledger, presence, activity, sessions, clock, turns: Turns::default() }
    }

    /// Attributes of one scope, sorted by key; unknown keys are left out.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`] or the store's trouble.
    pub async fn read(
        &self,
        caller: &Caller,
        entity: EntityRef,
        scope: Scope,
        keys: Keys,
    ) -> Result<Vec<Attribute>, Error> {
        may_read(&self.registry, caller, entity).await?;
        Ok(self.ledger.attributes(entity, scope, keys).await?)
    }

    /// Sets attributes; returns when that is durable. A connected device hears of its shared ones
    /// (JS-090). People may not write the client scope (T-3).
    ///
    /// # Errors
    /// [`Error::Invalid`] for the client scope, [`Error::Denied`], [`Error::NotFound`] or the store's
    /// trouble.
    pub async fn write(
        &self,
        caller: &Caller,
        entity: EntityRef,
        scope: Scope,
        attributes: &Readings,
    ) -> Result<(), Error> {
        if scope == Scope::Client {
            return Err(Error::Invalid(
                "the client scope is written by the device; use SHARED_SCOPE or SERVER_SCOPE"
                    .to_owned(),
            ));
        }
        may_write(&self.registry, caller, entity).await?;
        self.set(entity, scope, attributes).await
    }

    /// Removes attributes; unknown keys are no error. Returns when that is durable. A connected device
    /// hears of its shared ones, whether they existed or not (JS-093).
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`] or the store's trouble.
    pub async fn delete(
        &self,
        caller: &Caller,
        entity: EntityRef,
        scope: Scope,
        keys: &[String],
    ) -> Result<(), Error> {
        may_write(&self.registry, caller, entity).await?;
        self.remove(entity, scope, keys).await
    }

    /// Sets attributes on behalf of the house itself, as [`Self::write`].
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn set(
        &self,
        entity: EntityRef,
        scope: Scope,
        attributes: &Readings,
    ) -> Result<(), Error> {
        let change = Change::SetAttributes { entity, scope, attributes };
        let Some(device) = listener(entity, scope) else {
            append(&*self.ledger, change).await?;
            return self.look_again(entity, scope, attributes.iter().map(|it| it.key)).await;
        };
        let _turn = self.turns.of(device).await;
        let mark = self.note(device, attributes.iter().map(|it| it.key)).await?;
        append(&*self.ledger, change).await?;
        if self.is_heard(device, mark) && !attributes.is_empty() {
            let set = attributes.iter().map(|it| Attribute {
                key: it.key.to_owned(),
                value: it.value.to_owned(),
                updated_at: it.at,
            });
            self.tell(device, mark, Downlink::AttributesSet(set.collect()));
        }
        Ok(())
    }

    /// Removes attributes on behalf of the house itself, as [`Self::delete`].
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn remove(
        &self,
        entity: EntityRef,
        scope: Scope,
        keys: &[String],
    ) -> Result<(), Error> {
        let change = Change::DeleteAttributes { entity, scope, keys };
        let Some(device) = listener(entity, scope) else {
            append(&*self.ledger, change).await?;
            return self.look_again(entity, scope, keys.iter().map(String::as_str)).await;
        };
        let _turn = self.turns.of(device).await;
        let mark = self.note(device, keys.iter().map(String::as_str)).await?;
        append(&*self.ledger, change).await?;
        if self.is_heard(device, mark) && !keys.is_empty() {
            self.tell(device, mark, Downlink::AttributesDeleted(keys.into()));
        }
        Ok(())
    }

    /// Whether a device is active may follow from what was changed (T-6).
    async fn look_again(
        &self,
        entity: EntityRef,
        scope: Scope,
        keys: impl Iterator<Item = &str>,
    ) -> Result<(), Error> {
        let is_device = entity.kind == EntityKind::Device && scope == Scope::Server;
        if is_device && activity::concerns(keys) {
            self.activity.changed(DeviceId(entity.id)).await?;
        }
        Ok(())
    }

    /// What a device asked for (device API 4.6). It never sees the server scope (JS-071).
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn asked(
        &self,
        device: DeviceId,
        wanted: AttributesWanted,
    ) -> Result<FoundAttributes, PortError> {
        let of = async |scope, keys| match keys {
            Some(keys) => self.ledger.attributes(device.entity(), scope, keys).await,
            None => Ok(Vec::new()),
        };
        Ok(FoundAttributes {
            client: of(Scope::Client, wanted.client).await?,
            shared: of(Scope::Shared, wanted.shared).await?,
        })
    }
}

impl From<AttributeRequest<'_>> for AttributesWanted {
    fn from(request: AttributeRequest<'_>) -> Self {
        Self { client: keys(request.client), shared: keys(request.shared) }
    }
}

fn keys(wanted: WantedKeys<'_>) -> Option<Keys> {
    match wanted {
        WantedKeys::None => None,
        WantedKeys::All => Some(Keys::All),
        WantedKeys::Named(list) => {
            let mut names: Vec<String> = list.iter().map(str::to_owned).collect();
            names.sort_unstable();
            names.dedup();
            Some(Keys::Named(names))
        }
    }
}

/// The device that may listen to changes of this scope of this entity.
fn listener(entity: EntityRef, scope: Scope) -> Option<DeviceId> {
    let is_heard = entity.kind == EntityKind::Device && scope == Scope::Shared;
    is_heard.then_some(DeviceId(entity.id))
}

impl Default for Turns {
    fn default() -> Self {
        Self([const { Mutex::const_new(()) }; TURNS])
    }
}

impl Turns {
    async fn of(&self, device: DeviceId) -> MutexGuard<'_, ()> {
        let place = device.0.as_u128() % TURNS as u128;
        // The remainder is always a place.
        let turn = usize::try_from(place).ok().and_then(|at| self.0.get(at)).unwrap_or(&self.0[0]);
        turn.lock().await
    }
}

/// Devices whose shared attributes can change at the same moment; more wait for each other.
const TURNS: usize = 256;

#[cfg(test)]
mod tests;
