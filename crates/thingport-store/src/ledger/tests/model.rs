//! The ledger against a naive store: thousands of changes from a seed, with flushes, restarts and power
//! cuts in between, compared in full.

use super::*;

use std::collections::BTreeMap;

use thingport_model::port::ledger::LatestAfterDelete;

use crate::disk::sim::Dice;

/// What the ledger should know.
#[derive(Clone, Default)]
pub(super) struct Naive {
    pub(super) readings: BTreeMap<(u128, String), BTreeMap<i64, Value>>,
    latest: BTreeMap<(u128, String), (i64, Value)>,
    attributes: BTreeMap<(u128, u8, String), (i64, Value)>,
}

impl Naive {
    fn put(&mut self, entity: u128, readings: &Readings) {
        for reading in readings.iter() {
            let id = (entity, reading.key.to_owned());
            let (at, value) = (reading.at.ms(), reading.value.to_owned());
            self.readings.entry(id.clone()).or_default().insert(at, value.clone());
            if self.latest.get(&id).is_none_or(|latest| at >= latest.0) {
                self.latest.insert(id, (at, value));
            }
        }
    }

    fn delete(&mut self, entity: u128, key: &str, range: TimeRange, mode: LatestAfterDelete) {
        let id = (entity, key.to_owned());
        let series = self.readings.entry(id.clone()).or_default();
        series.retain(|at, _| !range.contains(Timestamp(*at)));
        let newest = series.last_key_value().map(|(at, value)| (*at, value.clone()));
        if self.latest.get(&id).is_none_or(|latest| !range.contains(Timestamp(latest.0))) {
            return;
        }
        match mode {
            LatestAfterDelete::Keep => None,
            LatestAfterDelete::Remove => self.latest.remove(&id),
            LatestAfterDelete::Rewrite => match newest {
                Some(newest) => self.latest.insert(id, newest),
                None => self.latest.remove(&id),
            },
        };
    }

    fn purge(&mut self, entity: u128) {
        self.readings.retain(|id, _| id.0 != entity);
        self.latest.retain(|id, _| id.0 != entity);
        self.attributes.retain(|id, _| id.0 != entity);
    }

    fn check(&self, ledger: &LogLedger, what: &str) {
        for entity in 0..ENTITIES {
            let known = self.latest.iter().filter(|(id, _)| id.0 == entity);
            let expected: Vec<_> =
                known.map(|((_, key), (at, value))| (key.clone(), *at, value.clone())).collect();
            assert_eq!(latest(ledger, device(entity)), expected, "latest of {entity}, {what}");
            for scope in Scope::ALL {
                let found = block(ledger.attributes(device(entity), scope, Keys::All));
                let found: Vec<_> =
                    found.expect("readable").into_iter().map(|it| (it.key, it.value)).collect();
                let expected =
                    self.attributes.iter().filter(|(id, _)| id.0 == entity && id.1 == scope as u8);
                let expected: Vec<_> =
                    expected.map(|(id, value)| (id.2.clone(), value.1.clone())).collect();
                assert_eq!(found, expected, "attributes, {what}");
            }
        }
        for ((entity, key), series) in &self.readings {
            let expected: Vec<_> = series.iter().map(|(at, value)| (*at, value.clone())).collect();
            assert_eq!(range(ledger, device(*entity), key), expected, "{entity} {key}, {what}");
        }
    }

    fn check_one(&self, ledger: &LogLedger, dice: &mut Dice, what: &str) {
        let Some(((entity, key), series)) = self.readings.iter().nth(dice.below(8) as usize) else {
            return;
        };
        let start = dice.below(20_000) as i64;
        let span = span(start, start + 1 + dice.below(9_000) as i64);
        let (descending, limit) = (dice.below(2) == 0, 1 + dice.below(700) as usize);
        let found = block(ledger.range(query(device(*entity), key, span, descending, limit)));
        let inside = series.range(span.start.ms()..span.end.ms());
        let mut expected: Vec<_> =
            inside.map(|(at, value)| (Timestamp(*at), value.clone())).collect();
        if descending {
            expected.reverse();
        }
        expected.truncate(limit);
        assert_eq!(found, Ok(expected), "{span:?} of {entity} {key}, {what}");
    }
}

/// One change drawn from `dice`, made on both.
pub(super) fn step(naive: &mut Naive, ledger: &LogLedger, dice: &mut Dice, turn: i64) {
    let number = u128::from(dice.below(ENTITIES as u64));
    let entity = device(number);
    let key = format!("k{}", dice.below(2));
    match dice.below(100) {
        0..80 => {
            let readings = some_readings(dice, turn);
            put(ledger, Change::Telemetry { entity, readings: &readings, ttl_s: 0 });
            naive.put(number, &readings);
        }
        80..88 => {
            let attributes = batch(&[(turn, &key, some_value(dice, "attribute"))]);
            let scope = Scope::ALL[dice.below(3) as usize];
            put(ledger, Change::SetAttributes { entity, scope, attributes: &attributes });
            let value = attributes.iter().next().expect("one").value.to_owned();
            naive.attributes.insert((number, scope as u8, key), (turn, value));
        }
        88..92 => {
            let scope = Scope::ALL[dice.below(3) as usize];
            put(
                ledger,
                Change::DeleteAttributes { entity, scope, keys: std::slice::from_ref(&key) },
            );
            naive.attributes.remove(&(number, scope as u8, key));
        }
        92..98 => {
            let start = dice.below(20_000) as i64;
            let range = span(start, start + dice.below(3_000) as i64);
            let latest = match dice.below(3) {
                0 => LatestAfterDelete::Keep,
                1 => LatestAfterDelete::Remove,
                _ => LatestAfterDelete::Rewrite,
            };
            let keys = std::slice::from_ref(&key);
            put(ledger, Change::DeleteTelemetry { entity, keys, range, latest });
            naive.delete(number, &key, range, latest);
        }
        _ => {
            put(ledger, Change::Purge { entity });
            naive.purge(number);
        }
    }
}

/// Mostly in order, sometimes late, sometimes the same time again.
fn some_readings(dice: &mut Dice, turn: i64) -> Readings {
    let mut readings = Readings::default();
    for number in 0..1 + dice.below(60) as i64 {
        let at =
            if dice.below(20) == 0 { dice.below(20_000) as i64 } else { turn * 10 + number / 4 };
        let key = format!("k{}", dice.below(2));
        let text = number.to_string();
        readings.push(Timestamp(at), &key, some_value(dice, &text));
    }
    readings
}

fn some_value<'a>(dice: &mut Dice, text: &'a str) -> ValueRef<'a> {
    match dice.below(8) {
        0 => ValueRef::Bool(dice.below(2) == 0),
        1 => ValueRef::String(text),
        2 => ValueRef::Double(1.0 / (1 + dice.below(100)) as f64),
        3 => ValueRef::Double(dice.below(1000) as f64 / 10.0),
        _ => ValueRef::Long(dice.roll() as i64 >> dice.below(60)),
    }
}

#[test]
fn the_ledger_answers_as_a_naive_store_would() {
    for seed in 1..=6 {
        let mut dice = Dice(seed * 0x9e37_79b9);
        let (mut bed, mut naive) = (Bed::new(), Naive::default());
        let mut ledger = bed.open();
        for turn in 0..700 {
            step(&mut naive, &ledger, &mut dice, turn);
            let what = format!("seed {seed}, turn {turn}");
            naive.check_one(&ledger, &mut dice, &what);
            match dice.below(60) {
                0..4 => flush(&ledger),
                4 => {
                    drop(ledger);
                    ledger = bed.open();
                }
                5 => {
                    let cut = bed.after_cut(dice.roll());
                    drop(ledger);
                    bed = cut;
                    ledger = bed.open();
                    assert_eq!(ledger.stats().damaged_records, 0, "{what}");
                }
                6 => naive.check(&ledger, &what),
                _ => {}
            }
        }
        naive.check(&ledger, &format!("seed {seed}, at the end"));
    }
}

const ENTITIES: u128 = 4;
