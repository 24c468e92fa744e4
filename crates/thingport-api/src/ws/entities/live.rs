//! What a change of an entity means to a command that follows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use thingport_core::query::subject::Subject;
use thingport_core::query::{ValueKey, ValueSource, Values};
use thingport_core::registry::Generation;
use thingport_core::watch::{Notice, TextKey};
use thingport_model::attribute::Scope;
use thingport_model::port::ledger::Committed;
use thingport_model::reading::Reading;
use thingport_model::time::Timestamp;

use super::command::EntityCommand;
use super::wire;
use crate::dto::entity_query::{EntityDataBody, point};

/// An entity of the page, and what was told of it.
pub(super) struct Row {
    pub(super) subject: Subject,
    /// When the newest value was told, by place of its key among the latest values that are followed.
    told: Vec<Option<Timestamp>>,
    /// It is deleted, or the caller may not see it any more.
    pub(super) is_gone: bool,
    /// When the caller was last found to see it.
    pub(super) allowed_at: Option<Generation>,
}

/// What is to be done about a change.
pub(super) enum Meaning {
    /// Nothing.
    Nothing,
    /// Tell this.
    Tell(Arc<str>),
    /// Read the values of these keys again and tell them.
    Read(Vec<usize>),
    /// The entity is gone.
    Gone,
}

impl Row {
    /// As it was told first; `values` are those of the latest values that are followed.
    pub(super) fn new(subject: Subject, values: &Values) -> Self {
        let told = values.iter().map(|value| value.as_ref().map(|(at, _)| *at)).collect();
        Self { subject, told, is_gone: false, allowed_at: None }
    }

    pub(super) fn meaning(&mut self, command: &EntityCommand, notice: &Notice) -> Meaning {
        match &notice.change {
            Committed::Purged => Meaning::Gone,
            Committed::Telemetry(readings) => self.of_readings(command, readings, notice),
            Committed::TelemetryDeleted(keys) => {
                followed(command, keys, |source| source == ValueSource::Series)
            }
            Committed::AttributesSet(scope, set) => {
                let keys: Vec<_> = set.iter().map(|it| it.key.clone()).collect();
                followed(command, &keys, |source| is_of(source, *scope))
            }
            Committed::AttributesDeleted(scope, keys) => {
                followed(command, keys, |source| is_of(source, *scope))
            }
        }
    }

    /// What is to be told of values that were read again.
    pub(super) fn told_again(
        &mut self,
        keys: &[ValueKey],
        places: &[usize],
        values: &Values,
    ) -> String {
        let mut body = EntityDataBody::of(self.subject.entity());
        for (place, value) in places.iter().zip(values) {
            if let (Some(key), Some(told)) = (keys.get(*place), self.told.get_mut(*place)) {
                *told = value.as_ref().map(|(at, _)| *at);
                body.put(key, value.as_ref());
            }
        }
        wire::update(&[body])
    }

    /// Readings that are newer than what was told, and those of the series that are followed.
    fn of_readings(
        &mut self,
        command: &EntityCommand,
        readings: &[Reading],
        notice: &Notice,
    ) -> Meaning {
        let latest = self.newer(command.latest.as_deref().unwrap_or_default(), readings);
        let followed = command.series.as_ref();
        let is_followed = |it: &Reading| {
            followed.is_some_and(|it_is| it_is.keys.contains(&it.key) && it.at >= it_is.range().0)
        };
        let points: Vec<_> = readings
            .iter()
            .enumerate()
            .filter(|(_, it)| is_followed(it))
            .map(|(at, _)| at)
            .collect();
        let text = || {
            let mut body = EntityDataBody::of(self.subject.entity());
            for place in &latest {
                if let Some(it) = readings.get(*place) {
                    let key = ValueKey { source: ValueSource::Series, key: it.key.clone() };
                    body.put(&key, Some(&(it.at, it.value.clone())));
                }
            }
            body.timeseries = series(readings, &points);
            wire::update(&[body])
        };
        let (form, parts) = match (latest.is_empty(), points.is_empty()) {
            (true, true) => return Meaning::Nothing,
            (false, true) => (LATEST, bits(&latest)),
            (true, false) => (POINTS, bits(&points)),
            (false, false) => (BOTH, bits(&latest).filter(|_| latest == points)),
        };
        Meaning::Tell(match parts {
            Some(parts) => notice.text(TextKey { form, parts }, text),
            None => text().into(),
        })
    }

    /// Places of the readings that are the newest of their key and not older than what was told.
    fn newer(&mut self, keys: &[ValueKey], readings: &[Reading]) -> Vec<usize> {
        let mut places = Vec::new();
        for (key, told) in keys.iter().zip(&mut self.told) {
            if key.source != ValueSource::Series {
                continue;
            }
            let mine = readings.iter().enumerate().filter(|(_, it)| it.key == key.key);
            let Some((place, newest)) = mine.max_by_key(|(_, it)| it.at) else { continue };
            if told.is_none_or(|told| told <= newest.at) {
                *told = Some(newest.at);
                places.push(place);
            }
        }
        places.sort_unstable();
        places
    }
}

/// Points by key, newest first.
fn series(readings: &[Reading], places: &[usize]) -> serde_json::Map<String, Json> {
    let mut by_key: BTreeMap<&str, Vec<(Timestamp, Json)>> = BTreeMap::new();
    for it in places.iter().filter_map(|place| readings.get(*place)) {
        let shown = (it.at, point(Some(&(it.at, it.value.clone()))));
        by_key.entry(&it.key).or_default().push(shown);
    }
    let sorted = by_key.into_iter().map(|(key, mut points)| {
        points.sort_by_key(|(at, _)| core::cmp::Reverse(*at));
        (key.to_owned(), points.into_iter().map(|(_, point)| point).collect())
    });
    sorted.collect()
}

/// The values that are followed and have one of these keys must be read again.
fn followed(
    command: &EntityCommand,
    keys: &[String],
    fits: impl Fn(ValueSource) -> bool,
) -> Meaning {
    let latest = command.latest.iter().flatten().enumerate();
    let touched = latest.filter(|(_, it)| fits(it.source) && keys.contains(&it.key));
    let places: Vec<_> = touched.map(|(place, _)| place).collect();
    if places.is_empty() { Meaning::Nothing } else { Meaning::Read(places) }
}

fn is_of(source: ValueSource, scope: Scope) -> bool {
    match source {
        ValueSource::Attribute(of) => of.is_none_or(|of| of == scope),
        ValueSource::Field | ValueSource::Series => false,
    }
}

/// Places as bits, if there are enough.
fn bits(places: &[usize]) -> Option<u64> {
    places.iter().try_fold(0, |all, place| {
        let place = u32::try_from(*place).ok().filter(|place| *place < u64::BITS)?;
        Some(all | 1_u64 << place)
    })
}

/// Forms of shared texts; those of the first generation have others.
const LATEST: u8 = 16;
const POINTS: u8 = 17;
const BOTH: u8 = 18;
