//! What the house asks of whoever keeps relations.

use async_trait::async_trait;

use crate::id::EntityRef;
use crate::port::error::PortError;
use crate::relation::{Relation, RelationFilter, RelationKey};

/// Relations, beside the entities: part of [`Entities`](crate::port::entities::Entities).
#[async_trait]
pub trait RelationRecords: Send + Sync {
    /// One relation.
    async fn relation(&self, key: RelationKey) -> Result<Option<Relation>, PortError>;
    /// Relations of one entity in the order of their keys; at most `limit`.
    async fn relations(
        &self,
        filter: RelationFilter,
        limit: u32,
    ) -> Result<Vec<Relation>, PortError>;
    /// What these entities are called: names of devices and profiles, titles of tenants and customers,
    /// e-mail addresses of users. Unknown ones are left out; the order is any.
    async fn entity_names(
        &self,
        entities: Vec<EntityRef>,
    ) -> Result<Vec<(EntityRef, String)>, PortError>;
}
