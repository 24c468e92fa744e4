//! Values of one entity, read from where they are.

use core::cmp::Ordering;

use thingport_model::attribute::{Attribute, Scope};
use thingport_model::port::ledger::{Keys, Ledger};
use thingport_model::value::Value;

use super::subject::Subject;
use super::{ValueKey, ValueSource, Values};
use crate::error::Error;

/// Values in the order of the keys; one read for the readings and one for each scope that is needed.
pub(super) async fn of(
    ledger: &dyn Ledger,
    subject: &Subject,
    keys: &[ValueKey],
) -> Result<Values, Error> {
    let entity = subject.entity();
    let mut readings = Vec::new();
    if let Some(named) = named(keys, |source| source == ValueSource::Series) {
        readings = ledger.latest(entity, named).await?;
    }
    let mut attributes: Vec<(Scope, Attribute)> = Vec::new();
    for scope in Scope::ALL {
        let is_of_scope = |source| match source {
            ValueSource::Attribute(of) => of.is_none_or(|of| of == scope),
            ValueSource::Field | ValueSource::Series => false,
        };
        if let Some(named) = named(keys, is_of_scope) {
            let found = ledger.attributes(entity, scope, named).await?;
            attributes.extend(found.into_iter().map(|it| (scope, it)));
        }
    }
    let value = |wanted: &ValueKey| match wanted.source {
        ValueSource::Field => subject.field(&wanted.key).map(|value| (subject.created_at(), value)),
        ValueSource::Series => {
            let found = readings.iter().find(|it| it.key == wanted.key);
            found.map(|it| (it.at, it.value.clone()))
        }
        ValueSource::Attribute(of) => {
            let fits = |(scope, it): &&(Scope, Attribute)| {
                it.key == wanted.key && of.is_none_or(|of| of == *scope)
            };
            let found = attributes.iter().filter(fits).max_by_key(|(_, it)| it.updated_at);
            found.map(|(_, it)| (it.updated_at, it.value.clone()))
        }
    };
    Ok(keys.iter().map(value).collect())
}

/// The scopes that are meant.
pub(super) fn scopes(one: Option<Scope>) -> impl Iterator<Item = Scope> {
    Scope::ALL.into_iter().filter(move |scope| one.is_none_or(|one| one == *scope))
}

/// Numbers by size, then everything else by its text; what is missing comes first.
pub(super) fn order(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    match (left, right) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(left), Some(right)) => {
            let (left, right) = (left.borrowed(), right.borrowed());
            match (left.as_double(), right.as_double()) {
                (Some(left), Some(right)) => left.total_cmp(&right),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => left.to_string().cmp(&right.to_string()),
            }
        }
    }
}

fn named(keys: &[ValueKey], fits: impl Fn(ValueSource) -> bool) -> Option<Keys> {
    let mut names: Vec<_> =
        keys.iter().filter(|it| fits(it.source)).map(|it| it.key.clone()).collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then_some(Keys::Named(names))
}
