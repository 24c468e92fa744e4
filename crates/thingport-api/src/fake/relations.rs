//! Relations in memory.

use async_trait::async_trait;
use thingport_model::id::{CustomerId, DeviceId, EntityKind, EntityRef};
use thingport_model::port::error::PortError;
use thingport_model::port::relations::RelationRecords;
use thingport_model::relation::{Relation, RelationFilter, RelationKey};

use super::entities::FakeEntities;

#[async_trait]
impl RelationRecords for FakeEntities {
    async fn relation(&self, key: RelationKey) -> Result<Option<Relation>, PortError> {
        Ok(self.0.lock().relations.get(&key).cloned())
    }

    async fn relations(&self, filter: RelationFilter, _: u32) -> Result<Vec<Relation>, PortError> {
        let tables = self.0.lock();
        let fits = |it: &&Relation| {
            it.key.end(filter.end) == filter.entity
                && it.key.group == filter.group
                && filter.name.as_ref().is_none_or(|name| it.key.name == *name)
        };
        Ok(tables.relations.values().filter(fits).cloned().collect())
    }

    async fn entity_names(
        &self,
        entities: Vec<EntityRef>,
    ) -> Result<Vec<(EntityRef, String)>, PortError> {
        let tables = self.0.lock();
        let name = |entity: EntityRef| match entity.kind {
            EntityKind::Device => tables.devices.get(&DeviceId(entity.id)).map(|it| &it.name),
            EntityKind::Customer => {
                tables.customers.get(&CustomerId(entity.id)).map(|it| &it.title)
            }
            _ => None,
        };
        Ok(entities.into_iter().filter_map(|it| Some((it, name(it)?.clone()))).collect())
    }
}
