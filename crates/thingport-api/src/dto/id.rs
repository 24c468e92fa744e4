//! `{"entityType":"DEVICE","id":"..."}` and back (REST API 1.2).

use serde::{Deserialize, Serialize};
use thingport_model::id::{
    ApiKeyId, CredentialsId, CustomerId, EntityKind, EntityRef, NIL, PackageId, RpcId,
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Refusal;

/// An id with its kind, as answers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntityId {
    /// Kind of the entity, such as `DEVICE`.
    #[schema(value_type = String)]
    entity_type: &'static str,
    /// Its UUID.
    id: Uuid,
}

impl From<EntityRef> for EntityId {
    fn from(entity: EntityRef) -> Self {
        Self { entity_type: entity.kind.name(), id: entity.id }
    }
}

impl EntityId {
    /// The id of an API key; it is no entity that owns readings, so it has no kind of its own.
    pub(crate) fn api_key(id: ApiKeyId) -> Self {
        Self { entity_type: API_KEY, id: id.0 }
    }

    /// The id of a package, which is no entity that owns readings either.
    pub(crate) fn package(id: PackageId) -> Self {
        Self { entity_type: PACKAGE, id: id.0 }
    }

    /// The id of a persistent call, which owns no readings either.
    pub(crate) fn rpc(id: RpcId) -> Self {
        Self { entity_type: "RPC", id: id.0 }
    }

    /// The id of a setting of the installation.
    pub(crate) fn setting(id: Uuid) -> Self {
        Self { entity_type: "ADMIN_SETTINGS", id }
    }

    /// The customer, or the nil id that stands for none (G-13).
    pub(crate) fn customer(customer: Option<CustomerId>) -> Self {
        customer.unwrap_or(CustomerId(NIL)).entity().into()
    }
}

/// The id of a credential record: it alone has no kind (G-12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BareId {
    /// Its UUID.
    id: Uuid,
}

impl BareId {
    pub(crate) const fn credentials(&self) -> CredentialsId {
        CredentialsId(self.id)
    }
}

impl From<CredentialsId> for BareId {
    fn from(id: CredentialsId) -> Self {
        Self { id: id.0 }
    }
}

/// An id as requests carry it; a missing kind is taken from the field (G-11).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdInput {
    /// Kind of the entity; may be left out where only one is possible.
    entity_type: Option<String>,
    /// Its UUID.
    id: Uuid,
}

impl IdInput {
    /// The id of an API key, if the kind fits.
    pub(crate) fn api_key(&self) -> Result<ApiKeyId, Refusal> {
        self.of_kind(API_KEY).map(ApiKeyId)
    }

    /// The id of a package, if the kind fits.
    pub(crate) fn package(&self) -> Result<PackageId, Refusal> {
        self.of_kind(PACKAGE).map(PackageId)
    }

    /// The kind as it was sent, if it was.
    pub(crate) fn kind_name(&self) -> Option<&str> {
        self.entity_type.as_deref()
    }

    /// The entity, whose kind must be said.
    pub(crate) fn entity(&self) -> Result<EntityRef, Refusal> {
        let kind = self.entity_type.as_deref();
        let kind = kind.ok_or_else(|| Refusal::bad_request("an id needs its entityType here"))?;
        Ok(EntityRef { kind: known_kind(kind)?, id: self.id })
    }

    /// The UUID, if the kind fits.
    pub(crate) fn of(&self, kind: EntityKind) -> Result<Uuid, Refusal> {
        self.of_kind(kind.name())
    }

    fn of_kind(&self, kind: &str) -> Result<Uuid, Refusal> {
        match &self.entity_type {
            Some(named) if named != kind => {
                Err(Refusal::bad_request(format!("an id of type {kind} is due here, not {named}")))
            }
            _ => Ok(self.id),
        }
    }
}

/// The id in `input`, if there is one; the nil id counts as none.
pub(crate) fn optional_id<T>(
    input: Option<&IdInput>,
    kind: EntityKind,
    make: fn(Uuid) -> T,
) -> Result<Option<T>, Refusal> {
    let id = input.map(|input| input.of(kind)).transpose()?;
    Ok(id.filter(|id| *id != NIL).map(make))
}

/// Refuses an id where nothing of that kind exists in this server.
pub(crate) fn must_be_absent(what: &str, input: Option<&IdInput>) -> Result<(), Refusal> {
    match input {
        Some(input) => Err(Refusal::bad_request(format!("{what} {} does not exist", input.id))),
        None => Ok(()),
    }
}

/// A UUID from text of a path or query (G-16).
pub(crate) fn parse_id(text: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(text).map_err(|_| Refusal::bad_request(format!("{text:?} is not a UUID")))
}

/// A kind and a UUID from two texts of a path.
pub(crate) fn parse_entity(kind: &str, id: &str) -> Result<EntityRef, Refusal> {
    Ok(EntityRef { kind: known_kind(kind)?, id: parse_id(id)? })
}

fn known_kind(kind: &str) -> Result<EntityKind, Refusal> {
    EntityKind::from_name(kind)
        .ok_or_else(|| Refusal::bad_request(format!("{kind:?} is not an entity type known here")))
}

const API_KEY: &str = "API_KEY";
const PACKAGE: &str = "OTA_PACKAGE";
