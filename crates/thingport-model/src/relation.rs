//! Relations: which entity belongs to, contains or otherwise concerns which other (REST API 18.1).

use crate::id::{EntityRef, TenantId};
use crate::tenant::OpaqueJson;

/// One entity relates to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// What relates to what, and how; there is at most one of a kind.
    pub key: RelationKey,
    /// Whose entities both are.
    pub tenant_id: TenantId,
    /// `additionalInfo` as sent.
    pub additional_info: Option<OpaqueJson>,
    /// Optimistic lock.
    pub version: i64,
}

/// What a relation is known by; it has no id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelationKey {
    /// Where it begins.
    pub from: EntityRef,
    /// What it is for.
    pub group: RelationGroup,
    /// Free text, such as [`CREATED`] or [`CONTAINS`].
    pub name: String,
    /// Where it leads.
    pub to: EntityRef,
}

/// `typeGroup`: relations of different groups do not see each other. The numbers are part of the stored
/// form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelationGroup {
    /// Those that people and gateways make.
    #[default]
    Common = 1,
    /// `DASHBOARD`
    Dashboard = 2,
    /// `RULE_CHAIN`
    RuleChain = 3,
    /// `RULE_NODE`
    RuleNode = 4,
    /// `EDGE`
    Edge = 5,
    /// `EDGE_AUTO_ASSIGN_RULE_CHAIN`
    EdgeAutoAssignRuleChain = 6,
    /// `FROM_ENTITY_GROUP`
    FromEntityGroup = 7,
}

/// An end of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationEnd {
    /// Where it begins.
    From,
    /// Where it leads.
    To,
}

/// Which relations of one entity are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationFilter {
    /// Of which entity.
    pub entity: EntityRef,
    /// Which of its ends that entity is.
    pub end: RelationEnd,
    /// Of which group.
    pub group: RelationGroup,
    /// Only those of this name.
    pub name: Option<String>,
}

impl RelationKey {
    /// The entity at this end.
    #[must_use]
    pub const fn end(&self, end: RelationEnd) -> EntityRef {
        match end {
            RelationEnd::From => self.from,
            RelationEnd::To => self.to,
        }
    }
}

impl RelationEnd {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::From => Self::To,
            Self::To => Self::From,
        }
    }
}

impl RelationGroup {
    /// Every group, in stored order.
    pub const ALL: [Self; 7] = [
        Self::Common,
        Self::Dashboard,
        Self::RuleChain,
        Self::RuleNode,
        Self::Edge,
        Self::EdgeAutoAssignRuleChain,
        Self::FromEntityGroup,
    ];

    /// ThingsBoard's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Common => "COMMON",
            Self::Dashboard => "DASHBOARD",
            Self::RuleChain => "RULE_CHAIN",
            Self::RuleNode => "RULE_NODE",
            Self::Edge => "EDGE",
            Self::EdgeAutoAssignRuleChain => "EDGE_AUTO_ASSIGN_RULE_CHAIN",
            Self::FromEntityGroup => "FROM_ENTITY_GROUP",
        }
    }

    /// The group with ThingsBoard's word `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }

    /// The group with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|group| *group as u8 == number)
    }
}

/// Name of the relation from a gateway to the devices it made known (L-1).
pub const CREATED: &str = "Created";
/// Name of the relation from a whole to its parts.
pub const CONTAINS: &str = "Contains";
