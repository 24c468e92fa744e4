//! Relations between entities of a tenant (REST API 18.1).
//!
//! A relation is shown to whoever may see both of its ends (L-3). A walk follows relations of one group
//! from entity to entity, each relation once, within [`RELATIONS_READ_MAX`].

use std::collections::{BTreeSet, HashMap, HashSet};

use thingport_model::id::{
    CustomerId, DeviceId, DeviceProfileId, EntityKind, EntityRef, TenantId, TenantProfileId, UserId,
};
use thingport_model::port::entities::Write;
use thingport_model::relation::{
    Relation, RelationEnd, RelationFilter, RelationGroup, RelationKey,
};
use thingport_model::tenant::OpaqueJson;
use thingport_model::user::Authority;

use super::{Registry, lost_race, next_version, text};
use crate::access::{Caller, missing};
use crate::error::Error;

/// A relation as somebody wants it saved.
#[derive(Clone, Debug)]
pub struct RelationDraft {
    /// What relates to what, and how.
    pub key: RelationKey,
    /// The version the caller read; none overwrites (G-32).
    pub version: Option<i64>,
    /// `additionalInfo` as sent.
    pub additional_info: Option<OpaqueJson>,
}

/// From where and how far relations are followed.
#[derive(Clone, Debug)]
pub struct RelationWalk {
    /// Where it begins.
    pub roots: Vec<EntityRef>,
    /// Which end of the relations one comes from.
    pub end: RelationEnd,
    /// Relations of this group only.
    pub group: RelationGroup,
    /// How many relations may lie one behind the other; 0 for any number.
    pub levels_max: u32,
    /// Only relations of the last level, and those behind which there is none.
    pub last_level_only: bool,
    /// Relations that fit one of these; all when there is none. Others are followed all the same.
    pub wanted: Vec<RelationWanted>,
}

/// Which relations of a walk are wanted.
#[derive(Clone, Debug)]
pub struct RelationWanted {
    /// Of this name; any when absent.
    pub name: Option<String>,
    /// That lead to these kinds; to any when empty.
    pub kinds: Vec<EntityKind>,
    /// Of any but this name.
    pub negate: bool,
}

impl RelationWanted {
    fn fits(&self, key: &RelationKey, end: RelationEnd) -> bool {
        let is_named = self.name.as_ref().is_none_or(|name| (key.name == *name) != self.negate);
        is_named && (self.kinds.is_empty() || self.kinds.contains(&key.end(end.other()).kind))
    }
}

impl Registry {
    /// One relation.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing one or an end that is missing or foreign, [`Error::Denied`] by
    /// role or customer.
    pub async fn relation(&self, caller: &Caller, key: RelationKey) -> Result<Relation, Error> {
        self.must_see_ends(caller, &key).await?;
        let relation = self.entities.relation(key).await?;
        relation.ok_or_else(|| missing("relation"))
    }

    /// Relations of one entity, sorted by their ends and names; those whose other end the caller may not
    /// see are left out.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Denied`] for the entity, [`Error::Invalid`] when there are too
    /// many.
    pub async fn relations(
        &self,
        caller: &Caller,
        filter: RelationFilter,
    ) -> Result<Vec<Relation>, Error> {
        caller.must_see_devices()?;
        self.must_see(caller, filter.entity).await?;
        let end = filter.end;
        let found = self.few_relations(filter, 0).await?;
        self.visible(caller, found, end).await
    }

    /// Relations that a walk finds, level by level; those whose far end the caller may not see are left
    /// out, and so is what lies behind it.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Denied`] for a root, [`Error::Invalid`] when there are too many.
    pub async fn relations_walked(
        &self,
        caller: &Caller,
        walk: &RelationWalk,
    ) -> Result<Vec<Relation>, Error> {
        caller.must_see_devices()?;
        for root in &walk.roots {
            self.must_see(caller, *root).await?;
        }
        let (mut found, mut seen) = (Vec::new(), BTreeSet::from_iter(walk.roots.iter().copied()));
        let (mut level, mut border) = (1, walk.roots.clone());
        let mut read = 0;
        while !border.is_empty() {
            let is_last = level == walk.levels_max;
            let mut next = Vec::new();
            for entity in border {
                let (group, end) = (walk.group, walk.end);
                let filter = RelationFilter { entity, end, group, name: None };
                let relations = self.few_relations(filter, read).await?;
                read += relations.len();
                for relation in self.visible(caller, relations, end).await? {
                    let far = relation.key.end(end.other());
                    let is_new = seen.insert(far);
                    next.extend((is_new && !is_last).then_some(far));
                    found.push((relation, is_last));
                }
            }
            (level, border) = (level + 1, next);
        }
        Ok(wanted(walk, found))
    }

    /// Creates a relation or changes what is said of it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that cannot be, [`Error::VersionConflict`] (G-31),
    /// [`Error::NotFound`] for a missing or foreign end, [`Error::Denied`] by role, customer or for a
    /// guest.
    pub async fn save_relation(
        &self,
        caller: &Caller,
        draft: RelationDraft,
    ) -> Result<Relation, Error> {
        caller.must_write()?;
        text::required("type", &draft.key.name)?;
        text::opaque("additionalInfo", draft.additional_info.as_deref())?;
        let mut attempt = 0;
        loop {
            self.must_see_ends(caller, &draft.key).await?;
            let saved = self.save_relation_once(caller, &draft).await;
            attempt += 1;
            if !lost_race(&saved, draft.version, attempt) {
                return saved;
            }
        }
    }

    /// Removes a relation; the answer is what it was.
    ///
    /// # Errors
    /// As [`Self::relation`], and [`Error::Denied`] for a guest.
    pub async fn delete_relation(
        &self,
        caller: &Caller,
        key: RelationKey,
    ) -> Result<Relation, Error> {
        caller.must_write()?;
        let relation = self.relation(caller, key.clone()).await?;
        self.write(vec![Write::DeleteRelation(key)]).await?;
        Ok(relation)
    }

    /// Removes every relation of the common group that begins or ends at an entity.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Denied`] for the entity or a guest.
    pub async fn delete_relations(&self, caller: &Caller, entity: EntityRef) -> Result<(), Error> {
        caller.must_see_devices()?;
        caller.must_write()?;
        self.must_see(caller, entity).await?;
        self.write(vec![Write::DeleteRelations(entity, RelationGroup::Common)]).await
    }

    /// What the ends of these relations are called.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn names_of_ends(
        &self,
        relations: &[Relation],
    ) -> Result<HashMap<EntityRef, String>, Error> {
        let ends = relations.iter().flat_map(|it| [it.key.from, it.key.to]);
        let ends: BTreeSet<_> = ends.collect();
        let names = self.entities.entity_names(ends.into_iter().collect()).await?;
        Ok(names.into_iter().collect())
    }

    /// Whether the caller may see an entity at all; finds out whether it exists.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing or foreign one, [`Error::Denied`] by role or customer.
    pub(crate) async fn must_see(&self, caller: &Caller, entity: EntityRef) -> Result<(), Error> {
        let id = entity.id;
        match entity.kind {
            EntityKind::Device => self.device(caller, DeviceId(id)).await.map(drop),
            EntityKind::Customer => self.customer(caller, CustomerId(id)).await.map(drop),
            EntityKind::Tenant => self.tenant(caller, TenantId(id)).await.map(drop),
            EntityKind::User => self.user(caller, UserId(id)).await.map(drop),
            EntityKind::DeviceProfile => self.profile(caller, DeviceProfileId(id)).await.map(drop),
            EntityKind::TenantProfile => {
                self.tenant_profile(caller, TenantProfileId(id)).await.map(drop)
            }
        }
    }

    async fn must_see_ends(&self, caller: &Caller, key: &RelationKey) -> Result<(), Error> {
        caller.must_see_devices()?;
        self.must_see(caller, key.from).await?;
        self.must_see(caller, key.to).await
    }

    async fn save_relation_once(
        &self,
        caller: &Caller,
        draft: &RelationDraft,
    ) -> Result<Relation, Error> {
        let stored = self.entities.relation(draft.key.clone()).await?;
        let version = match &stored {
            Some(stored) => next_version(stored.version, draft.version)?,
            // Nobody can have read a version of what is not there.
            None => 1,
        };
        let saved = Relation {
            key: draft.key.clone(),
            tenant_id: caller.tenant_id,
            additional_info: draft.additional_info.clone(),
            version,
        };
        self.write(vec![Write::Relation(saved.clone())]).await?;
        Ok(saved)
    }

    /// Relations as they are kept, if there are no more than may be read beside those that were.
    async fn few_relations(
        &self,
        filter: RelationFilter,
        read: usize,
    ) -> Result<Vec<Relation>, Error> {
        let room = RELATIONS_READ_MAX.saturating_sub(read);
        let limit = u32::try_from(room + 1).unwrap_or(u32::MAX);
        let found = self.entities.relations(filter, limit).await?;
        if found.len() > room {
            return Err(Error::Invalid(format!(
                "there are more than {RELATIONS_READ_MAX} relations; name the type of those you \
                 want, or follow fewer levels"
            )));
        }
        Ok(found)
    }

    /// Those whose far end the caller may see.
    async fn visible(
        &self,
        caller: &Caller,
        mut relations: Vec<Relation>,
        near: RelationEnd,
    ) -> Result<Vec<Relation>, Error> {
        relations.retain(|relation| relation.tenant_id == caller.tenant_id);
        if caller.authority == Authority::TenantAdmin {
            return Ok(relations);
        }
        let far = |relation: &Relation| relation.key.end(near.other());
        let ends: BTreeSet<_> = relations.iter().map(far).collect();
        let (devices, others): (Vec<_>, Vec<_>) =
            ends.into_iter().partition(|end| end.kind == EntityKind::Device);
        let devices = devices.into_iter().map(|end| DeviceId(end.id)).collect();
        let devices = self.devices_by_ids(caller, devices).await?;
        let mut seen: HashSet<_> = devices.iter().map(|device| device.id.entity()).collect();
        for end in others {
            match self.must_see(caller, end).await {
                Ok(()) => drop(seen.insert(end)),
                Err(Error::Denied(_) | Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        relations.retain(|relation| seen.contains(&far(relation)));
        Ok(relations)
    }
}

/// What is wanted of the relations found, each with whether it lies on the last level.
fn wanted(walk: &RelationWalk, found: Vec<(Relation, bool)>) -> Vec<Relation> {
    let near: HashSet<_> = found.iter().map(|(it, _)| it.key.end(walk.end)).collect();
    let is_last = |key: &RelationKey| !near.contains(&key.end(walk.end.other()));
    let fits = |key: &RelationKey| {
        walk.wanted.is_empty() || walk.wanted.iter().any(|wanted| wanted.fits(key, walk.end))
    };
    let chosen = found.into_iter().filter(|(relation, on_last_level)| {
        let fits_level = !walk.last_level_only || *on_last_level || is_last(&relation.key);
        fits_level && fits(&relation.key)
    });
    chosen.map(|(relation, _)| relation).collect()
}

/// Relations that one question may read (`relations_read_max`); one that finds more is refused.
pub const RELATIONS_READ_MAX: usize = 50_000;
