//! Relations (REST API 18.1).

use serde::{Deserialize, Serialize};
use thingport_core::registry::relations::{RelationDraft, RelationWalk, RelationWanted};
use thingport_model::id::{EntityKind, EntityRef};
use thingport_model::relation::{Relation, RelationEnd, RelationGroup, RelationKey};
use utoipa::ToSchema;

use super::id::{EntityId, IdInput, parse_entity};
use super::opaque::{self, Opaque};
use crate::error::Refusal;

/// A relation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EntityRelation)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RelationBody {
    from: EntityId,
    to: EntityId,
    /// Free text, such as `Contains`.
    #[serde(rename = "type")]
    kind: String,
    /// `COMMON` for those that people and gateways make.
    #[schema(value_type = String)]
    type_group: &'static str,
    /// One more per save.
    version: i64,
    additional_info: Option<Opaque>,
}

impl From<Relation> for RelationBody {
    fn from(relation: Relation) -> Self {
        Self {
            from: relation.key.from.into(),
            to: relation.key.to.into(),
            kind: relation.key.name,
            type_group: relation.key.group.name(),
            version: relation.version,
            additional_info: relation.additional_info.map(Opaque::from),
        }
    }
}

/// A relation with the names of its ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EntityRelationInfo)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NamedRelationBody {
    #[serde(flatten)]
    relation: RelationBody,
    from_name: Option<String>,
    to_name: Option<String>,
}

impl NamedRelationBody {
    pub(crate) fn of(relation: Relation, name: impl Fn(EntityRef) -> Option<String>) -> Self {
        let (from_name, to_name) = (name(relation.key.from), name(relation.key.to));
        Self { relation: relation.into(), from_name, to_name }
    }
}

/// A relation to be saved.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = EntityRelationDraft)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RelationInput {
    from: IdInput,
    to: IdInput,
    /// Free text, such as `Contains`.
    #[serde(rename = "type")]
    kind: String,
    /// `COMMON` if absent.
    type_group: Option<String>,
    /// The version that was read; no check if absent.
    version: Option<i64>,
    /// Any JSON.
    additional_info: Option<Opaque>,
}

impl RelationInput {
    pub(crate) fn draft(self) -> Result<RelationDraft, Refusal> {
        let key = RelationKey {
            from: self.from.entity()?,
            group: group(self.type_group.as_deref())?,
            name: self.kind,
            to: self.to.entity()?,
        };
        let additional_info = opaque::text(self.additional_info);
        Ok(RelationDraft { key, version: self.version, additional_info })
    }
}

/// From where and how far relations are followed, and which of them are wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = EntityRelationsQuery)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WalkInput {
    parameters: WalkParameters,
    #[serde(default)]
    filters: Option<Vec<WantedInput>>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = RelationsSearchParameters)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WalkParameters {
    root_id: String,
    root_type: String,
    /// `FROM` or `TO`: which end of the relations the root is.
    direction: String,
    /// `COMMON` if absent.
    relation_type_group: Option<String>,
    /// 0 for any number.
    max_level: Option<i64>,
    fetch_last_level_only: Option<bool>,
}

/// Which relations are wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = RelationEntityTypeFilter)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WantedInput {
    /// Of this name; any if absent.
    relation_type: Option<String>,
    /// That lead to these kinds; any if empty.
    entity_types: Option<Vec<String>>,
    /// Of any but this name.
    negate: Option<bool>,
}

/// Devices that are found by following relations.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = DeviceSearchQuery)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceSearchInput {
    parameters: WalkParameters,
    /// By relations of this type; of any if absent.
    relation_type: Option<String>,
    /// Names of the profiles that they may have; any if empty.
    device_types: Option<Vec<String>>,
}

impl WalkInput {
    pub(crate) fn walk(self) -> Result<RelationWalk, Refusal> {
        self.parameters.walk(wanted(self.filters))
    }
}

impl DeviceSearchInput {
    /// Which way, and names of the profiles that are wanted.
    pub(crate) fn walk(self) -> Result<(RelationWalk, Vec<String>), Refusal> {
        let name = self.relation_type.filter(|name| !name.is_empty());
        let wanted = RelationWanted { name, kinds: vec![EntityKind::Device], negate: false };
        Ok((self.parameters.walk(vec![wanted])?, self.device_types.unwrap_or_default()))
    }
}

impl WalkParameters {
    fn walk(self, wanted: Vec<RelationWanted>) -> Result<RelationWalk, Refusal> {
        Ok(RelationWalk {
            roots: vec![parse_entity(&self.root_type, &self.root_id)?],
            end: direction(&self.direction)?,
            group: group(self.relation_type_group.as_deref())?,
            levels_max: levels(self.max_level),
            last_level_only: self.fetch_last_level_only.unwrap_or(false),
            wanted,
        })
    }
}

/// What is wanted. Kinds that do not exist here fit nothing.
pub(crate) fn wanted(filters: Option<Vec<WantedInput>>) -> Vec<RelationWanted> {
    let filters = filters.unwrap_or_default().into_iter();
    let known = filters.filter_map(|it| {
        let named = it.entity_types.unwrap_or_default();
        let kinds: Vec<_> = named.iter().filter_map(|name| EntityKind::from_name(name)).collect();
        let is_possible = named.is_empty() || !kinds.is_empty();
        let name = it.relation_type.filter(|name| !name.is_empty());
        let negate = it.negate.unwrap_or(false);
        is_possible.then_some(RelationWanted { name, kinds, negate })
    });
    known.collect()
}

/// The end of relations at which a walk begins.
pub(crate) fn direction(text: &str) -> Result<RelationEnd, Refusal> {
    match text {
        "FROM" => Ok(RelationEnd::From),
        "TO" => Ok(RelationEnd::To),
        other => Err(Refusal::bad_request(format!("direction is FROM or TO, not {other:?}"))),
    }
}

/// The group of this name; the common one if absent.
pub(crate) fn group(name: Option<&str>) -> Result<RelationGroup, Refusal> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok(RelationGroup::Common);
    };
    RelationGroup::from_name(name)
        .ok_or_else(|| Refusal::bad_request(format!("{name:?} is not a group of relations")))
}

/// How far a walk goes; 0 for as far as there are relations.
pub(crate) fn levels(max: Option<i64>) -> u32 {
    u32::try_from(max.unwrap_or(0).max(0)).unwrap_or(u32::MAX)
}
