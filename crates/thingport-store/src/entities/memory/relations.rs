//! Relations over a plain map.

use async_trait::async_trait;
use thingport_model::id::{
    CustomerId, DeviceId, DeviceProfileId, EntityKind, EntityRef, TenantId, TenantProfileId, UserId,
};
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::port::relations::RelationRecords;
use thingport_model::relation::{Relation, RelationFilter, RelationGroup, RelationKey};

use super::rules::{follows, free};
use super::{MemoryEntities, State};

impl State {
    pub(super) fn put_relation(&mut self, row: Relation) -> Result<(), Conflict> {
        for end in [row.key.from, row.key.to] {
            free(self.name_of(end).is_some(), Conflict::Reference)?;
        }
        follows(self.relations.get(&row.key).map(|old| old.version), row.version)?;
        self.relations.insert(row.key.clone(), row);
        Ok(())
    }

    pub(super) fn delete_relation(&mut self, key: &RelationKey) -> Result<(), Conflict> {
        free(self.relations.remove(key).is_some(), Conflict::Missing)
    }

    pub(super) fn delete_relations(&mut self, entity: EntityRef, group: RelationGroup) {
        self.relations.retain(|key, _| key.group != group || ![key.from, key.to].contains(&entity));
    }

    /// The entity is gone.
    pub(super) fn forget_relations(&mut self, entity: EntityRef) {
        self.relations.retain(|key, _| ![key.from, key.to].contains(&entity));
    }

    fn name_of(&self, entity: EntityRef) -> Option<String> {
        let id = entity.id;
        match entity.kind {
            EntityKind::Tenant => self.tenants.get(&TenantId(id)).map(|row| row.title.clone()),
            EntityKind::TenantProfile => {
                self.tenant_profiles.get(&TenantProfileId(id)).map(|row| row.name.clone())
            }
            EntityKind::Customer => {
                self.customers.get(&CustomerId(id)).map(|row| row.title.clone())
            }
            EntityKind::User => self.users.get(&UserId(id)).map(|row| row.email.clone()),
            EntityKind::Device => self.devices.get(&DeviceId(id)).map(|row| row.name.clone()),
            EntityKind::DeviceProfile => {
                self.profiles.get(&DeviceProfileId(id)).map(|row| row.name.clone())
            }
        }
    }
}

#[async_trait]
impl RelationRecords for MemoryEntities {
    async fn relation(&self, key: RelationKey) -> Result<Option<Relation>, PortError> {
        Ok(self.state.lock().relations.get(&key).cloned())
    }

    async fn relations(
        &self,
        filter: RelationFilter,
        limit: u32,
    ) -> Result<Vec<Relation>, PortError> {
        let state = self.state.lock();
        let fits = |row: &&Relation| {
            row.key.end(filter.end) == filter.entity
                && row.key.group == filter.group
                && filter.name.as_ref().is_none_or(|name| row.key.name == *name)
        };
        Ok(state.relations.values().filter(fits).take(limit as usize).cloned().collect())
    }

    async fn entity_names(
        &self,
        entities: Vec<EntityRef>,
    ) -> Result<Vec<(EntityRef, String)>, PortError> {
        let state = self.state.lock();
        let named = entities.into_iter().filter_map(|it| Some((it, state.name_of(it)?)));
        Ok(named.collect())
    }
}
