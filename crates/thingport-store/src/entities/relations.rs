//! Relations in SQLite, and what their ends are called.

use async_trait::async_trait;
use rusqlite::{Connection, Row, ToSql};
use thingport_model::id::{EntityKind, EntityRef, TenantId};
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::port::relations::RelationRecords;
use thingport_model::relation::{
    Relation, RelationEnd, RelationFilter, RelationGroup, RelationKey,
};

use super::SqliteEntities;
use super::query::{corrupt, count, get, id, many, one, text};
use super::statement::{remove, run, table};

#[async_trait]
impl RelationRecords for SqliteEntities {
    async fn relation(&self, key: RelationKey) -> Result<Option<Relation>, PortError> {
        let ask = move |connection: &Connection| {
            let sql = format!("SELECT * FROM relation WHERE {OF_KEY}");
            one(connection, &sql, &key_values(&Columns::of(&key)), relation)
        };
        self.readers.ask(ask).await
    }

    async fn relations(
        &self,
        filter: RelationFilter,
        limit: u32,
    ) -> Result<Vec<Relation>, PortError> {
        self.readers.ask(move |connection| of_entity(connection, &filter, limit)).await
    }

    async fn entity_names(
        &self,
        entities: Vec<EntityRef>,
    ) -> Result<Vec<(EntityRef, String)>, PortError> {
        let ask = move |connection: &Connection| {
            let mut names = Vec::with_capacity(entities.len());
            for entity in entities {
                let (table, column) = (table(entity.kind), name_column(entity.kind));
                let sql = format!("SELECT {column} FROM {table} WHERE id = $1");
                let name = one(connection, &sql, &[entity.id.as_bytes()], text)?;
                names.extend(name.map(|name| (entity, name)));
            }
            Ok(names)
        };
        self.readers.ask(ask).await
    }
}

/// Creates the relation when its version is 1, otherwise replaces the one that is a version older.
pub(super) fn put(connection: &Connection, it: &Relation) -> Result<(), PortError> {
    for end in [it.key.from, it.key.to] {
        must_exist(connection, end)?;
    }
    let columns = Columns::of(&it.key);
    let mut values = key_values(&columns);
    let known = it.version - 1;
    if it.version == 1 {
        let sql = "INSERT INTO relation (from_id, from_kind, type_group, name, to_kind, to_id, \
                   tenant_id, additional_info, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let rest: [&dyn ToSql; 3] = [it.tenant_id.0.as_bytes(), &it.additional_info, &it.version];
        values.extend(rest);
        return run(connection, sql, &values).map(drop);
    }
    let sql = "UPDATE relation SET additional_info = $1, version = $2 WHERE from_id = $3 \
               AND from_kind = $4 AND type_group = $5 AND name = $6 AND to_kind = $7 \
               AND to_id = $8 AND version = $9";
    let mut all: Vec<&dyn ToSql> = vec![&it.additional_info, &it.version];
    all.extend(values);
    all.push(&known);
    match run(connection, sql, &all)? {
        0 => Err(PortError::Conflict(stale(connection, &columns)?)),
        _ => Ok(()),
    }
}

pub(super) fn delete(connection: &Connection, key: &RelationKey) -> Result<(), PortError> {
    let sql = format!("DELETE FROM relation WHERE {OF_KEY}");
    match remove(connection, &sql, &key_values(&Columns::of(key)))? {
        0 => Err(PortError::Conflict(Conflict::Missing)),
        _ => Ok(()),
    }
}

/// Removes all relations of one group that an entity is an end of.
pub(super) fn delete_of(
    connection: &Connection,
    entity: EntityRef,
    group: RelationGroup,
) -> Result<(), PortError> {
    let values: &[&dyn ToSql] = &[entity.id.as_bytes(), &(entity.kind as u8), &(group as u8)];
    for end in [RelationEnd::From, RelationEnd::To] {
        let (id, kind) = end_columns(end);
        let sql =
            format!("DELETE FROM relation WHERE {id} = $1 AND {kind} = $2 AND type_group = $3");
        remove(connection, &sql, values)?;
    }
    Ok(())
}

fn of_entity(
    connection: &Connection,
    filter: &RelationFilter,
    limit: u32,
) -> Result<Vec<Relation>, PortError> {
    let (id, kind) = end_columns(filter.end);
    // Parameters are numbered in the order in which they first stand in the text.
    let (named, limited) = if filter.name.is_some() { ("AND name = $4", "$5") } else { ("", "$4") };
    let sql = format!(
        "SELECT * FROM relation WHERE {id} = $1 AND {kind} = $2 AND type_group = $3 {named} \
         ORDER BY from_kind, from_id, name, to_kind, to_id LIMIT {limited}"
    );
    let entity = filter.entity;
    let (kind, group) = (entity.kind as u8, filter.group as u8);
    let mut values: Vec<&dyn ToSql> = vec![entity.id.as_bytes(), &kind, &group];
    if let Some(name) = &filter.name {
        values.push(name);
    }
    values.push(&limit);
    many(connection, &sql, &values, relation)
}

/// A key as it stands in the columns.
struct Columns<'a> {
    from_id: &'a [u8; 16],
    from_kind: u8,
    group: u8,
    name: &'a str,
    to_kind: u8,
    to_id: &'a [u8; 16],
}

impl<'a> Columns<'a> {
    fn of(key: &'a RelationKey) -> Self {
        Self {
            from_id: key.from.id.as_bytes(),
            from_kind: key.from.kind as u8,
            group: key.group as u8,
            name: &key.name,
            to_kind: key.to.kind as u8,
            to_id: key.to.id.as_bytes(),
        }
    }
}

fn key_values<'a>(it: &'a Columns<'_>) -> Vec<&'a dyn ToSql> {
    vec![it.from_id, &it.from_kind, &it.group, &it.name, &it.to_kind, it.to_id]
}

const OF_KEY: &str = "from_id = $1 AND from_kind = $2 AND type_group = $3 AND name = $4 \
                      AND to_kind = $5 AND to_id = $6";

const fn end_columns(end: RelationEnd) -> (&'static str, &'static str) {
    match end {
        RelationEnd::From => ("from_id", "from_kind"),
        RelationEnd::To => ("to_id", "to_kind"),
    }
}

const fn name_column(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Tenant | EntityKind::Customer => "title",
        EntityKind::User => "email",
        EntityKind::TenantProfile | EntityKind::Device | EntityKind::DeviceProfile => "name",
    }
}

fn must_exist(connection: &Connection, entity: EntityRef) -> Result<(), PortError> {
    let sql = format!("SELECT COUNT(*) FROM {} WHERE id = $1", table(entity.kind));
    match count(connection, &sql, &[entity.id.as_bytes()])? {
        0 => Err(PortError::Conflict(Conflict::Reference)),
        _ => Ok(()),
    }
}

fn stale(connection: &Connection, columns: &Columns<'_>) -> Result<Conflict, PortError> {
    let sql = format!("SELECT COUNT(*) FROM relation WHERE {OF_KEY}");
    let rows = count(connection, &sql, &key_values(columns))?;
    Ok(if rows == 0 { Conflict::Missing } else { Conflict::Version })
}

fn relation(row: &Row<'_>) -> Result<Relation, PortError> {
    let group = RelationGroup::from_number(get(row, "type_group")?);
    let key = RelationKey {
        from: end(row, RelationEnd::From)?,
        group: group.ok_or_else(|| corrupt("an unknown group of relations"))?,
        name: get(row, "name")?,
        to: end(row, RelationEnd::To)?,
    };
    Ok(Relation {
        key,
        tenant_id: TenantId(id(row, "tenant_id")?),
        additional_info: get(row, "additional_info")?,
        version: get(row, "version")?,
    })
}

fn end(row: &Row<'_>, end: RelationEnd) -> Result<EntityRef, PortError> {
    let (id_column, kind_column) = end_columns(end);
    let kind = EntityKind::from_number(get(row, kind_column)?);
    let kind = kind.ok_or_else(|| corrupt("an unknown entity kind"))?;
    Ok(EntityRef { kind, id: id(row, id_column)? })
}
