//! Questions about many entities at once (REST API 17.3): which ones, in what order, with which values.
//!
//! What a store can answer by itself, such as a page of devices of one type by name, it is asked for.
//! Everything else looks at each candidate, which is why there may be only [`CANDIDATES_MAX`] of them.

mod candidates;
pub mod predicate;
pub mod subject;
mod values;

use std::sync::Arc;

use thingport_model::attribute::Scope;
use thingport_model::id::{EntityKind, EntityRef};
use thingport_model::page::{Page, PageLink, Sort};
use thingport_model::port::ledger::{Keys, Ledger};
use thingport_model::time::Timestamp;
use thingport_model::value::Value;
use uuid::Uuid;

use crate::access::Caller;
use crate::error::Error;
use crate::registry::Registry;
use crate::registry::relations::RelationWalk;
use predicate::Predicate;
use subject::Subject;

/// Answers questions about many entities; every one is checked against the caller's tenant and role,
/// and what the caller may not see is left out.
pub struct Queries {
    registry: Arc<Registry>,
    ledger: Arc<dyn Ledger>,
}

/// Which entities.
#[derive(Clone, Debug)]
pub enum EntityFilter {
    /// These, if they exist.
    Entities(Vec<EntityRef>),
    /// Those of a kind whose name begins so, in any letter case; all when it is empty.
    Named(EntityKind, String),
    /// Devices of profiles with one of these names whose own name begins so; of any profile when there
    /// is no name.
    Devices {
        /// Names of profiles.
        profiles: Vec<String>,
        /// How the device's name begins.
        name: String,
    },
    /// Those that relations lead to.
    Related {
        /// Which way.
        walk: RelationWalk,
        /// Only devices of profiles with these names, where there are any.
        profiles: Vec<String>,
    },
    /// Entities of a kind that ThingsBoard has and this server does not.
    Nothing,
}

/// A value that every entity may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueKey {
    /// Where it comes from.
    pub source: ValueSource,
    /// Its name there.
    pub key: String,
}

/// Where values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// What the registry knows, such as `name` ([`Subject::field`]).
    Field,
    /// The latest reading.
    Series,
    /// An attribute of this scope; of whichever scope has the newest when none is named.
    Attribute(Option<Scope>),
}

/// What must hold.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// Whether one of them suffices.
    pub any: bool,
    /// The conditions; everything fits when there is none.
    pub list: Vec<Condition>,
}

/// What must hold of one value.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Of which.
    pub key: ValueKey,
    /// What.
    pub predicate: Predicate,
}

/// Which of the entities found, and in what order.
#[derive(Clone, Debug)]
pub struct QueryPage {
    /// Page number from 0.
    pub page: u32,
    /// Rows per page, 1 to 10,000.
    pub size: u32,
    /// Only entities with a name-like field that contains this, in any letter case.
    pub text_search: Option<String>,
    /// By which value, and whether the largest comes first; by id when there is none.
    pub sort: Option<(ValueKey, bool)>,
}

/// The values asked for, each with its time; none where an entity does not have it.
pub type Values = Vec<Option<(Timestamp, Value)>>;

impl Queries {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new(registry: Arc<Registry>, ledger: Arc<dyn Ledger>) -> Self {
        Self { registry, ledger }
    }

    /// A page of entities.
    ///
    /// # Errors
    /// [`Error::Denied`] by role, [`Error::Invalid`] for a page that cannot be or too many candidates,
    /// or the store's trouble.
    pub async fn find(
        &self,
        caller: &Caller,
        filter: &EntityFilter,
        conditions: &Conditions,
        page: &QueryPage,
    ) -> Result<Page<Subject>, Error> {
        caller.must_see_devices()?;
        let link = crate::registry::page(self.link(page), FIELD_SORTS)?;
        if conditions.list.is_empty()
            && let Some(found) = self.asked_for(caller, filter, &link, page).await?
        {
            return Ok(found);
        }
        let mut rows =
            self.fitting(caller, filter, conditions, page.text_search.as_deref()).await?;
        self.sort(&mut rows, page.sort.as_ref()).await?;
        let total = rows.len() as u64;
        let skipped = (page.page as usize).saturating_mul(page.size as usize);
        let rows = rows.into_iter().skip(skipped).take(page.size as usize).collect();
        Ok(Page { rows, total })
    }

    /// How many entities fit.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn count(
        &self,
        caller: &Caller,
        filter: &EntityFilter,
        conditions: &Conditions,
    ) -> Result<u64, Error> {
        let page = QueryPage { page: 0, size: 1, text_search: None, sort: None };
        Ok(self.find(caller, filter, conditions, &page).await?.total)
    }

    /// Values of an entity that was found, in the order of the keys.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn values(&self, subject: &Subject, keys: &[ValueKey]) -> Result<Values, Error> {
        values::of(&*self.ledger, subject, keys).await
    }

    /// Names of readings of the entities found, sorted, each once.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn series_keys(&self, found: &[Subject]) -> Result<Vec<String>, Error> {
        let mut keys = Vec::new();
        for subject in found {
            keys.extend(self.ledger.keys(subject.entity()).await?);
        }
        Ok(each_once(keys))
    }

    /// Names of attributes of the entities found, of one scope if one is named, sorted, each once.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn attribute_keys(
        &self,
        found: &[Subject],
        scope: Option<Scope>,
    ) -> Result<Vec<String>, Error> {
        let mut keys = Vec::new();
        for subject in found {
            for scope in values::scopes(scope) {
                let all = self.ledger.attributes(subject.entity(), scope, Keys::All).await?;
                keys.extend(all.into_iter().map(|it| it.key));
            }
        }
        Ok(each_once(keys))
    }

    /// The page as a store understands it; the order only if it is one of the registry's.
    fn link(&self, page: &QueryPage) -> PageLink {
        let by_field = page.sort.as_ref().filter(|(key, _)| key.source == ValueSource::Field);
        let sort = by_field
            .map(|(key, descending)| Sort { property: key.key.clone(), descending: *descending });
        PageLink {
            page: page.page,
            size: page.size,
            text_search: page.text_search.clone().filter(|text| !text.is_empty()),
            sort: sort.filter(|sort| FIELD_SORTS.contains(&sort.property.as_str())),
        }
    }

    async fn fitting(
        &self,
        caller: &Caller,
        filter: &EntityFilter,
        conditions: &Conditions,
        searched: Option<&str>,
    ) -> Result<Vec<Subject>, Error> {
        let mut rows = self.candidates(caller, filter).await?;
        rows.retain(|row| row.contains(searched));
        if conditions.list.is_empty() {
            return Ok(rows);
        }
        let keys: Vec<_> = conditions.list.iter().map(|it| it.key.clone()).collect();
        let mut fitting = Vec::new();
        for row in rows {
            if conditions.hold(&self.values(&row, &keys).await?) {
                fitting.push(row);
            }
        }
        Ok(fitting)
    }

    /// Sorts rows that come in any order: by a value, ties by id.
    async fn sort(
        &self,
        rows: &mut Vec<Subject>,
        by: Option<&(ValueKey, bool)>,
    ) -> Result<(), Error> {
        rows.sort_by_key(|row| row.entity().id);
        let Some((key, descending)) = by else { return Ok(()) };
        let mut keyed = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            let value = self.values(&row, core::slice::from_ref(key)).await?.pop().flatten();
            keyed.push((value.map(|(_, value)| value), row));
        }
        // Stable both ways, so that ties stay in order of id.
        keyed.sort_by(|(left, _), (right, _)| {
            let order = values::order(left.as_ref(), right.as_ref());
            if *descending { order.reverse() } else { order }
        });
        rows.extend(keyed.into_iter().map(|(_, row)| row));
        Ok(())
    }
}

impl Conditions {
    /// Whether they hold of the values of their keys, in the same order.
    #[must_use]
    pub fn hold(&self, values: &Values) -> bool {
        let mut each = self.list.iter().zip(values).map(|(condition, value)| {
            condition.predicate.holds(value.as_ref().map(|(_, value)| value))
        });
        if self.any { each.any(|it| it) } else { each.all(|it| it) }
    }
}

fn each_once(mut keys: Vec<String>) -> Vec<String> {
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The entities of one list, each once and in order of id.
fn distinct(kind: EntityKind, ids: Vec<Uuid>) -> Vec<EntityRef> {
    let mut ids = ids;
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| EntityRef { kind, id }).collect()
}

impl EntityFilter {
    /// Entities of one kind by their ids.
    #[must_use]
    pub fn list(kind: EntityKind, ids: Vec<Uuid>) -> Self {
        Self::Entities(distinct(kind, ids))
    }
}

/// Entities that one question may look at singly (`query_candidates_max`); one that would have to look
/// at more is refused.
pub const CANDIDATES_MAX: usize = 10_000;
/// Fields by which stores sort every kind.
const FIELD_SORTS: &[&str] = &["createdTime", "name", "label", "type", "customerTitle"];

#[cfg(test)]
mod tests;
