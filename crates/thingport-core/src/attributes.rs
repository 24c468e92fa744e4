//! Attributes, as people read and write them. Devices' attributes come in through `reception`.

use std::sync::Arc;

use thingport_model::attribute::{Attribute, Scope};
use thingport_model::id::EntityRef;
use thingport_model::port::ledger::{Change, Keys, Ledger};
use thingport_model::reading::Readings;

use crate::access::Caller;
use crate::error::Error;
use crate::registry::Registry;
use crate::telemetry::{append, may_read, may_write};

/// Attributes for people: every call is checked against the caller's tenant and role.
pub struct Attributes {
    registry: Arc<Registry>,
    ledger: Arc<dyn Ledger>,
}

impl Attributes {
    /// Attributes of `ledger`, guarded by what `registry` knows.
    #[must_use]
    pub fn new(registry: Arc<Registry>, ledger: Arc<dyn Ledger>) -> Self {
        Self { registry, ledger }
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

    /// Sets attributes; returns when that is durable. People may not write the client scope (T-3).
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
        append(&*self.ledger, Change::SetAttributes { entity, scope, attributes }).await
    }

    /// Removes attributes; unknown keys are no error. Returns when that is durable.
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
        append(&*self.ledger, Change::DeleteAttributes { entity, scope, keys }).await
    }
}
