//! Readings, as people ask for them and write them. Devices' readings come in through `reception`.

use std::sync::Arc;

use thingport_model::aggregate::Fold;
use thingport_model::id::{EntityKind, EntityRef};
use thingport_model::port::ledger::{
    AppendError, Change, Keys, LatestAfterDelete, Ledger, RangeQuery, Receipt, committed,
};
use thingport_model::reading::{Reading, Readings};
use thingport_model::time::{TimeRange, Timestamp};
use thingport_model::value::Value;

use crate::access::Caller;
use crate::error::Error;
use crate::registry::Registry;

/// Readings for people: every call is checked against the caller's tenant and role.
pub struct Telemetry {
    registry: Arc<Registry>,
    ledger: Arc<dyn Ledger>,
}

impl Telemetry {
    /// Readings of `ledger`, guarded by what `registry` knows.
    #[must_use]
    pub fn new(registry: Arc<Registry>, ledger: Arc<dyn Ledger>) -> Self {
        Self { registry, ledger }
    }

    /// Latest values, sorted by key; keys without data are left out.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`] or the store's trouble.
    pub async fn latest(
        &self,
        caller: &Caller,
        entity: EntityRef,
        keys: Keys,
    ) -> Result<Vec<Reading>, Error> {
        may_read(&self.registry, caller, entity).await?;
        Ok(self.ledger.latest(entity, keys).await?)
    }

    /// Single readings of one key.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`] or the store's trouble.
    pub async fn range(
        &self,
        caller: &Caller,
        query: RangeQuery,
    ) -> Result<Vec<(Timestamp, Value)>, Error> {
        may_read(&self.registry, caller, query.entity).await?;
        Ok(self.ledger.range(query).await?)
    }

    /// One value per non-empty bucket, ascending.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`] or the store's trouble.
    pub async fn aggregate(
        &self,
        caller: &Caller,
        entity: EntityRef,
        key: String,
        fold: Fold,
    ) -> Result<Vec<(Timestamp, Value)>, Error> {
        may_read(&self.registry, caller, entity).await?;
        Ok(self.ledger.aggregate(entity, key, fold).await?.finish())
    }

    /// Keys that have readings, sorted.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`] or the store's trouble.
    pub async fn keys(&self, caller: &Caller, entity: EntityRef) -> Result<Vec<String>, Error> {
        may_read(&self.registry, caller, entity).await?;
        Ok(self.ledger.keys(entity).await?)
    }

    /// Keeps readings; returns when they are durable. `ttl_s`: seconds to keep them; none for the
    /// tenant's default.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`] or the store's trouble.
    pub async fn write(
        &self,
        caller: &Caller,
        entity: EntityRef,
        readings: &Readings,
        ttl_s: Option<u32>,
    ) -> Result<(), Error> {
        may_write(&self.registry, caller, entity).await?;
        if readings.is_empty() {
            return Ok(());
        }
        let ttl_s = match ttl_s {
            Some(ttl_s) => ttl_s,
            None => self.registry.storage_ttl_s(caller.tenant_id).await?,
        };
        append(&*self.ledger, Change::Telemetry { entity, readings, ttl_s }).await
    }

    /// Removes readings; returns when that is durable.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`] or the store's trouble.
    pub async fn delete(
        &self,
        caller: &Caller,
        entity: EntityRef,
        keys: &[String],
        range: TimeRange,
        latest: LatestAfterDelete,
    ) -> Result<(), Error> {
        may_write(&self.registry, caller, entity).await?;
        append(&*self.ledger, Change::DeleteTelemetry { entity, keys, range, latest }).await
    }
}

/// Appends a change and waits until it is durable; waits for its place in line when the line is full.
pub(crate) async fn append(ledger: &dyn Ledger, change: Change<'_>) -> Result<(), Error> {
    let receipt = put(ledger, change).await?;
    Ok(committed(ledger, receipt).await?)
}

/// Appends a change: it is durable when what is appended behind it is. Waits for its place in line when
/// the line is full.
pub(crate) async fn put(ledger: &dyn Ledger, change: Change<'_>) -> Result<Receipt, Error> {
    loop {
        match ledger.append(change) {
            Ok(receipt) => return Ok(receipt),
            Err(AppendError::Busy) => core::future::poll_fn(|cx| ledger.poll_ready(cx)).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the caller may read what belongs to `entity`; finds out whether it exists at all.
pub(crate) async fn may_read(
    registry: &Registry,
    caller: &Caller,
    entity: EntityRef,
) -> Result<(), Error> {
    if entity.kind == EntityKind::TenantProfile {
        let text = "tenant profiles have no readings and no attributes";
        return Err(Error::Invalid(text.to_owned()));
    }
    registry.must_see(caller, entity).await
}

/// Whether the caller may write what belongs to `entity`.
pub(crate) async fn may_write(
    registry: &Registry,
    caller: &Caller,
    entity: EntityRef,
) -> Result<(), Error> {
    caller.must_write()?;
    may_read(registry, caller, entity).await
}
