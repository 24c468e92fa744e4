//! Which entities a question is about.

use serde::Deserialize;
use thingport_core::query::EntityFilter;
use thingport_core::registry::relations::{RelationWalk, RelationWanted};
use thingport_model::id::{EntityKind, EntityRef};
use thingport_model::relation::RelationGroup;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::dto::id::{IdInput, parse_id};
use crate::dto::relation::{WantedInput, direction, levels, wanted};
use crate::error::Refusal;

/// One of ThingsBoard's filters; which members count depends on the type.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = EntityFilter)]
#[serde(rename_all = "camelCase")]
pub(super) struct FilterInput {
    /// `singleEntity`, `entityList`, `entityName`, `entityType`, `deviceType`, `relationsQuery` or
    /// `deviceSearchQuery`.
    #[serde(rename = "type", default)]
    kind: String,
    single_entity: Option<IdInput>,
    entity_type: Option<String>,
    entity_list: Option<Vec<String>>,
    entity_name_filter: Option<String>,
    device_types: Option<Vec<String>>,
    device_type: Option<String>,
    device_name_filter: Option<String>,
    root_entity: Option<IdInput>,
    multi_root: Option<bool>,
    multi_root_entities_type: Option<String>,
    multi_root_entity_ids: Option<Vec<String>>,
    direction: Option<String>,
    filters: Option<Vec<WantedInput>>,
    relation_type: Option<String>,
    max_level: Option<i64>,
    fetch_last_level_only: Option<bool>,
}

impl FilterInput {
    pub(super) fn filter(&self) -> Result<EntityFilter, Refusal> {
        match self.kind.as_str() {
            "singleEntity" => self.single(),
            "entityList" => self.list(),
            "entityType" => self.named(String::new()),
            "entityName" => self.named(self.entity_name_filter.clone().unwrap_or_default()),
            "deviceType" => Ok(EntityFilter::Devices {
                profiles: self.profiles(),
                name: self.device_name_filter.clone().unwrap_or_default(),
            }),
            "relationsQuery" => {
                let wanted = wanted(self.filters.clone());
                Ok(EntityFilter::Related { walk: self.walk(wanted)?, profiles: Vec::new() })
            }
            "deviceSearchQuery" => {
                let name = self.relation_type.clone().filter(|name| !name.is_empty());
                let wanted =
                    RelationWanted { name, kinds: vec![EntityKind::Device], negate: false };
                let walk = self.walk(vec![wanted])?;
                Ok(EntityFilter::Related { walk, profiles: self.profiles() })
            }
            "" => Err(Refusal::bad_request("the query needs an entityFilter with a type")),
            other => Err(Refusal::bad_request(format!(
                "entity filters of the type {other:?} are not served here"
            ))),
        }
    }

    fn single(&self) -> Result<EntityFilter, Refusal> {
        let id = self.single_entity.as_ref();
        let id = id.ok_or_else(|| Refusal::bad_request("singleEntity names no entity"))?;
        if id.kind_name().is_some_and(is_elsewhere) {
            return Ok(EntityFilter::Nothing);
        }
        Ok(EntityFilter::Entities(vec![id.entity()?]))
    }

    fn list(&self) -> Result<EntityFilter, Refusal> {
        let ids = self.entity_list.as_deref().unwrap_or_default();
        if ids.len() > IDS_MAX {
            return Err(Refusal::bad_request(format!("entityList has more than {IDS_MAX} ids")));
        }
        let ids: Vec<Uuid> = ids.iter().map(|id| parse_id(id)).collect::<Result<_, _>>()?;
        Ok(match self.kind_of_entities()? {
            Some(kind) => EntityFilter::list(kind, ids),
            None => EntityFilter::Nothing,
        })
    }

    fn named(&self, name: String) -> Result<EntityFilter, Refusal> {
        Ok(match self.kind_of_entities()? {
            Some(kind) => EntityFilter::Named(kind, name),
            None => EntityFilter::Nothing,
        })
    }

    /// The kind that is named; none for one that only ThingsBoard has.
    fn kind_of_entities(&self) -> Result<Option<EntityKind>, Refusal> {
        let name = self.entity_type.as_deref();
        let name = name.ok_or_else(|| Refusal::bad_request("entityType is missing"))?;
        kind(name)
    }

    fn profiles(&self) -> Vec<String> {
        let listed = self.device_types.iter().flatten().cloned();
        listed.chain(self.device_type.clone()).filter(|name| !name.is_empty()).collect()
    }

    fn walk(&self, wanted: Vec<RelationWanted>) -> Result<RelationWalk, Refusal> {
        Ok(RelationWalk {
            roots: self.roots()?,
            end: direction(self.direction.as_deref().unwrap_or("FROM"))?,
            group: RelationGroup::Common,
            levels_max: levels(self.max_level),
            last_level_only: self.fetch_last_level_only.unwrap_or(false),
            wanted,
        })
    }

    fn roots(&self) -> Result<Vec<EntityRef>, Refusal> {
        if self.multi_root == Some(true) {
            let Some(kind) = kind(self.multi_root_entities_type.as_deref().unwrap_or_default())?
            else {
                return Ok(Vec::new());
            };
            let ids = self.multi_root_entity_ids.as_deref().unwrap_or_default();
            let root = |id: &String| Ok(EntityRef { kind, id: parse_id(id)? });
            return ids.iter().take(IDS_MAX).map(root).collect();
        }
        let root = self.root_entity.as_ref();
        let root = root.ok_or_else(|| Refusal::bad_request("the query needs a rootEntity"))?;
        if root.kind_name().is_some_and(is_elsewhere) {
            return Ok(Vec::new());
        }
        Ok(vec![root.entity()?])
    }
}

fn kind(name: &str) -> Result<Option<EntityKind>, Refusal> {
    match EntityKind::from_name(name) {
        None if is_elsewhere(name) => Ok(None),
        None => Err(Refusal::bad_request(format!("{name:?} is not an entity type known here"))),
        known => Ok(known),
    }
}

/// Whether ThingsBoard has entities of this kind, and this server never any.
fn is_elsewhere(kind: &str) -> bool {
    ELSEWHERE.contains(&kind)
}

const ELSEWHERE: &[&str] = &[
    "ASSET",
    "ASSET_PROFILE",
    "OTA_PACKAGE",
    "RPC",
    "RULE_CHAIN",
    "RULE_NODE",
    "DASHBOARD",
    "ENTITY_VIEW",
    "API_KEY",
    "QUEUE",
    "ALARM",
    "WIDGETS_BUNDLE",
    "WIDGET_TYPE",
    "EDGE",
];
/// Ids that one question may list.
const IDS_MAX: usize = 10_000;
