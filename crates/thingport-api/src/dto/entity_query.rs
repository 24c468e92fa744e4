//! Questions about many entities, and what is answered (REST API 17.3).

mod filter;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use thingport_core::query::predicate::{NumberOperation, Predicate, TextOperation};
use thingport_core::query::subject::Subject;
use thingport_core::query::{
    Condition, Conditions, EntityFilter, QueryPage, ValueKey, ValueSource, Values,
};
use thingport_model::attribute::Scope;
use thingport_model::page::PageLink;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;
use utoipa::ToSchema;

use super::id::EntityId;
use crate::error::Refusal;
use filter::FilterInput;

/// Which entities, which page of them and with which values.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = EntityDataQuery)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueryInput {
    entity_filter: FilterInput,
    page_link: Option<PageInput>,
    /// Fields to be answered.
    entity_fields: Option<Vec<KeyInput>>,
    /// Latest readings and attributes to be answered.
    latest_values: Option<Vec<KeyInput>>,
    key_filters: Option<Vec<KeyFilterInput>>,
    /// `AND` or `OR`; `AND` if absent.
    key_filters_operation: Option<String>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = EntityDataPageLink)]
#[serde(rename_all = "camelCase")]
struct PageInput {
    page: i64,
    page_size: i64,
    text_search: Option<String>,
    sort_order: Option<SortInput>,
    /// Whether a live answer follows entities that come and go.
    dynamic: Option<bool>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = EntityDataSortOrder)]
struct SortInput {
    key: KeyInput,
    /// `ASC` or `DESC`; `ASC` if absent.
    direction: Option<String>,
}

/// A value that every entity may have.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = EntityKey)]
pub(crate) struct KeyInput {
    /// `ENTITY_FIELD`, `TIME_SERIES`, `ATTRIBUTE` or `CLIENT_ATTRIBUTE` and the like.
    #[serde(rename = "type")]
    kind: String,
    key: String,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = KeyFilter)]
#[serde(rename_all = "camelCase")]
struct KeyFilterInput {
    key: KeyInput,
    /// A `STRING`, `NUMERIC`, `BOOLEAN` or `COMPLEX` predicate.
    #[schema(value_type = Object)]
    predicate: PredicateInput,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase", rename_all = "UPPERCASE")]
enum PredicateInput {
    String {
        operation: String,
        value: Chosen<String>,
        #[serde(default)]
        ignore_case: Option<bool>,
    },
    Numeric {
        operation: String,
        value: Chosen<f64>,
    },
    Boolean {
        operation: String,
        value: Chosen<bool>,
    },
    Complex {
        operation: String,
        predicates: Vec<Self>,
    },
}

/// A value, or the one that a user chose instead.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: Deserialize<'de>")]
struct Chosen<T> {
    default_value: Option<T>,
    user_value: Option<T>,
    dynamic_value: Option<Map<String, Json>>,
}

/// A question that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) filter: EntityFilter,
    pub(crate) conditions: Conditions,
    pub(crate) page: QueryPage,
    /// What is answered of each entity.
    pub(crate) keys: Vec<ValueKey>,
    /// Whether a live answer follows entities that come and go.
    pub(crate) dynamic: bool,
}

impl QueryInput {
    /// The question for a page.
    pub(crate) fn query(self) -> Result<Query, Refusal> {
        let page = self.page_link.as_ref();
        let page = page.ok_or_else(|| Refusal::bad_request("the query needs a pageLink"))?;
        let dynamic = page.dynamic.unwrap_or(false);
        let page = page.page()?;
        let (filter, conditions) = (self.entity_filter.filter()?, self.conditions()?);
        let wanted = [self.entity_fields, self.latest_values].into_iter().flatten().flatten();
        Ok(Query { filter, conditions, page, keys: keys(wanted)?, dynamic })
    }

    /// The question how many there are.
    pub(crate) fn count(&self) -> Result<(EntityFilter, Conditions), Refusal> {
        Ok((self.entity_filter.filter()?, self.conditions()?))
    }

    fn conditions(&self) -> Result<Conditions, Refusal> {
        let any = match self.key_filters_operation.as_deref() {
            None | Some("AND") => false,
            Some("OR") => true,
            Some(other) => {
                let text = format!("keyFiltersOperation is AND or OR, not {other:?}");
                return Err(Refusal::bad_request(text));
            }
        };
        let filters = self.key_filters.iter().flatten();
        let list: Vec<_> = filters.map(KeyFilterInput::condition).collect::<Result<_, _>>()?;
        let comparisons: usize = list.iter().map(|it| it.predicate.size()).sum();
        if comparisons > COMPARISONS_MAX {
            let text = format!("the key filters make more than {COMPARISONS_MAX} comparisons");
            return Err(Refusal::bad_request(text));
        }
        Ok(Conditions { any, list })
    }
}

/// The keys, each once.
pub(crate) fn keys(wanted: impl IntoIterator<Item = KeyInput>) -> Result<Vec<ValueKey>, Refusal> {
    let mut keys = Vec::new();
    for key in wanted {
        let key = key.key()?;
        if !keys.contains(&key) {
            keys.push(key);
        }
        if keys.len() > KEYS_MAX {
            let text = format!("more than {KEYS_MAX} values of each entity are asked for");
            return Err(Refusal::bad_request(text));
        }
    }
    Ok(keys)
}

impl PageInput {
    fn page(&self) -> Result<QueryPage, Refusal> {
        let number = |name, number: i64| {
            u32::try_from(number).map_err(|_| {
                Refusal::bad_request(format!("{name} is not a whole number of the allowed range"))
            })
        };
        let text_search = self.text_search.clone().filter(|text| !text.is_empty());
        crate::extract::sought("textSearch", text_search.as_deref().unwrap_or_default())?;
        let sort = self.sort_order.as_ref().map(SortInput::sort).transpose()?;
        let (page, size) = (number("page", self.page)?, number("pageSize", self.page_size)?);
        Ok(QueryPage { page, size, text_search, sort })
    }
}

impl SortInput {
    fn sort(&self) -> Result<(ValueKey, bool), Refusal> {
        let descending = match self.direction.as_deref() {
            None | Some("ASC") => false,
            Some("DESC") => true,
            Some(other) => {
                let text = format!("direction is ASC or DESC, not {other:?}");
                return Err(Refusal::bad_request(text));
            }
        };
        Ok((self.key.clone().key()?, descending))
    }
}

impl KeyInput {
    pub(crate) fn key(self) -> Result<ValueKey, Refusal> {
        let source = match self.kind.as_str() {
            "ENTITY_FIELD" => ValueSource::Field,
            "TIME_SERIES" => ValueSource::Series,
            "ATTRIBUTE" => ValueSource::Attribute(None),
            "CLIENT_ATTRIBUTE" => ValueSource::Attribute(Some(Scope::Client)),
            "SHARED_ATTRIBUTE" => ValueSource::Attribute(Some(Scope::Shared)),
            "SERVER_ATTRIBUTE" => ValueSource::Attribute(Some(Scope::Server)),
            other => {
                let text = format!("{other:?} is not a kind of key that is known here");
                return Err(Refusal::bad_request(text));
            }
        };
        Ok(ValueKey { source, key: self.key })
    }
}

/// ThingsBoard's word for where a value comes from.
pub(crate) const fn source_name(source: ValueSource) -> &'static str {
    match source {
        ValueSource::Field => "ENTITY_FIELD",
        ValueSource::Series => "TIME_SERIES",
        // Nobody can ask for the last one.
        ValueSource::Attribute(None | Some(Scope::Owed)) => "ATTRIBUTE",
        ValueSource::Attribute(Some(Scope::Client)) => "CLIENT_ATTRIBUTE",
        ValueSource::Attribute(Some(Scope::Shared)) => "SHARED_ATTRIBUTE",
        ValueSource::Attribute(Some(Scope::Server)) => "SERVER_ATTRIBUTE",
    }
}

impl KeyFilterInput {
    fn condition(&self) -> Result<Condition, Refusal> {
        let (key, predicate) = (self.key.clone().key()?, self.predicate.predicate()?);
        Ok(Condition { key, predicate })
    }
}

impl PredicateInput {
    fn predicate(&self) -> Result<Predicate, Refusal> {
        Ok(match self {
            Self::String { operation, value, ignore_case } => Predicate::Text {
                operation: known(TextOperation::from_name(operation), operation)?,
                value: value.value()?.unwrap_or_default(),
                ignore_case: ignore_case.unwrap_or(false),
            },
            Self::Numeric { operation, value } => Predicate::Number {
                operation: known(NumberOperation::from_name(operation), operation)?,
                value: value.value()?.unwrap_or_default(),
            },
            Self::Boolean { operation, value } => {
                let equal = match operation.as_str() {
                    "EQUAL" => Some(true),
                    "NOT_EQUAL" => Some(false),
                    _ => None,
                };
                let equal = known(equal, operation)?;
                Predicate::Bool { equal, value: value.value()?.unwrap_or_default() }
            }
            Self::Complex { operation, predicates } => {
                let each = predicates.iter().map(Self::predicate).collect::<Result<_, _>>()?;
                match operation.as_str() {
                    "AND" => Predicate::All(each),
                    "OR" => Predicate::Any(each),
                    other => return known(None, other),
                }
            }
        })
    }
}

impl<T: Clone> Chosen<T> {
    fn value(&self) -> Result<Option<T>, Refusal> {
        let source = self.dynamic_value.as_ref().and_then(|it| it.get("sourceType"));
        if source.is_some_and(|source| !source.is_null()) {
            return Err(Refusal::bad_request(
                "dynamic values of key filters are not served here; name the value itself",
            ));
        }
        Ok(self.user_value.clone().or_else(|| self.default_value.clone()))
    }
}

fn known<T>(operation: Option<T>, name: &str) -> Result<T, Refusal> {
    let wrong = || Refusal::bad_request(format!("{name:?} is not an operation of this predicate"));
    operation.ok_or_else(wrong)
}

/// An entity with the values that were asked for.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = EntityData)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntityDataBody {
    pub(crate) entity_id: EntityId,
    /// By kind of key and key: `{"ts": 1, "value": "text"}`.
    #[schema(value_type = Object)]
    pub(crate) latest: Map<String, Json>,
    /// By key: points, newest first.
    #[schema(value_type = Object)]
    pub(crate) timeseries: Map<String, Json>,
    /// By number of the wanted key: current and previous value.
    #[schema(value_type = Object)]
    pub(crate) agg_latest: Map<String, Json>,
}

impl EntityDataBody {
    /// The entity with nothing yet.
    pub(crate) fn of(entity: impl Into<EntityId>) -> Self {
        let (latest, timeseries, agg_latest) = (Map::new(), Map::new(), Map::new());
        Self { entity_id: entity.into(), latest, timeseries, agg_latest }
    }

    /// The entity with these values.
    pub(crate) fn with(subject: &Subject, keys: &[ValueKey], values: &Values) -> Self {
        let mut body = Self::of(subject.entity());
        for (key, value) in keys.iter().zip(values) {
            body.put(key, value.as_ref());
        }
        body
    }

    /// Adds a latest value; an absent one is an empty text of the time 0.
    pub(crate) fn put(&mut self, key: &ValueKey, value: Option<&(Timestamp, Value)>) {
        let of_source = self.latest.entry(source_name(key.source));
        if let Json::Object(values) = of_source.or_insert_with(|| Json::Object(Map::new())) {
            values.insert(key.key.clone(), point(value));
        }
    }
}

/// A value with its time.
pub(crate) fn point(value: Option<&(Timestamp, Value)>) -> Json {
    let (at, text) = match value {
        Some((at, value)) => (*at, value.borrowed().to_string()),
        None => (Timestamp::EPOCH, String::new()),
    };
    serde_json::json!({ "ts": at.ms(), "value": text })
}

impl Query {
    /// The page as the body of a page knows it.
    pub(crate) const fn link(&self) -> PageLink {
        PageLink { page: self.page.page, size: self.page.size, text_search: None, sort: None }
    }
}

/// What keys the entities found have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AvailableEntityKeys)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FoundKeysBody {
    /// Names of readings.
    pub(crate) timeseries: Vec<String>,
    /// Names of attributes.
    pub(crate) attribute: Vec<String>,
    /// Kinds of the entities found.
    #[schema(value_type = Vec<String>)]
    pub(crate) entity_types: Vec<&'static str>,
}

/// Values of one entity that may be asked for.
const KEYS_MAX: usize = 1_000;
/// Comparisons of one question.
const COMPARISONS_MAX: usize = 200;

#[cfg(test)]
mod tests;
