//! Points of one series as bytes: times, lives and values in columns, each in its shortest form.
//!
//! Layout in docs/storage-format.md. Decoding arbitrary bytes never panics and allocates at most for
//! [`COUNT_MAX`] points and [`TEXT_MAX`] bytes of text.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use thingport_model::value::ValueRef;

use crate::codec::{Cursor, EXPONENT_MAX, put_bytes, put_signed, put_varint, scaled, unscaled};
use crate::points::{Kind, Point, Points};

pub(crate) mod column;

/// Appends the settled `points[from..to]` as one chunk.
pub(crate) fn encode(points: &Points, from: usize, to: usize, out: &mut Vec<u8>) {
    let items = points.items.get(from..to).unwrap_or_default();
    let kinds: Vec<Kind> = distinct_kinds(items);
    let mortal = items.iter().any(|point| point.ttl_s != 0);
    let kind = if let [only] = kinds[..] { only as u8 } else { MIXED };
    out.push(VERSION << 4 | u8::from(mortal) << 3 | kind);
    put_varint(out, items.len() as u64);
    if mortal {
        put_signed(out, items.iter().map(Point::expires_at).max().unwrap_or(i64::MAX));
    }
    put_signed(out, items.first().map_or(0, |point| point.at));
    let mut numbers: Vec<i64> = Vec::with_capacity(items.len());
    let pairs = items.windows(2).filter_map(|pair| <&[Point; 2]>::try_from(pair).ok());
    numbers.extend(pairs.map(|[a, b]| b.at.wrapping_sub(a.at)));
    column::encode(&numbers, out);
    if mortal {
        replace(&mut numbers, items.iter().map(|point| i64::from(point.ttl_s)));
        column::encode(&numbers, out);
    }
    if kind == MIXED {
        out.extend(items.iter().map(|point| point.kind as u8));
    }
    for kind in kinds {
        encode_values(points, items, kind, &mut numbers, out);
    }
}

/// When the last point of a chunk is no longer to be seen. None when damaged.
pub(crate) fn expires_at(bytes: &[u8]) -> Option<i64> {
    let mut rest = Cursor(bytes);
    let head = rest.byte()?;
    rest.varint()?;
    if head & MORTAL == 0 { Some(i64::MAX) } else { rest.signed() }
}

/// The points of a chunk, settled. None when damaged or of an unknown layout.
pub(crate) fn decode(bytes: &[u8]) -> Option<Points> {
    let mut rest = Cursor(bytes);
    let head = rest.byte().filter(|head| head >> 4 == VERSION)?;
    let count = usize::try_from(rest.varint()?).ok().filter(|count| *count <= COUNT_MAX)?;
    if head & MORTAL != 0 {
        rest.signed()?;
    }
    let mut at = rest.signed()?;
    let mut times = Vec::new();
    column::decode(&mut rest, count.saturating_sub(1), &mut times)?;
    let mut lives = Vec::new();
    if head & MORTAL != 0 {
        column::decode(&mut rest, count, &mut lives)?;
    }
    let only = Kind::from_number(head & 7);
    let kinds = if only.is_none() { rest.bytes(count)? } else { &[] };
    if let Some(kind) = only {
        let mut values = Values::decode(&mut rest, kind, count)?;
        let mut points = Points::default();
        points.items.reserve(count);
        for index in 0..count {
            let ttl_s = lives.get(index).map_or(0, |ttl| *ttl as u32);
            points.push(at, ttl_s, values.next()?);
            at = at.wrapping_add(times.get(index).copied().unwrap_or(0));
        }
        return Some(points);
    }
    decode_mixed(rest, kinds, at, &times, &lives)
}

fn decode_mixed(
    mut rest: Cursor<'_>,
    kinds: &[u8],
    mut at: i64,
    times: &[i64],
    lives: &[i64],
) -> Option<Points> {
    let mut columns: [Option<Values<'_>>; KINDS] = Default::default();
    for (number, column) in columns.iter_mut().enumerate() {
        let count = kinds.iter().filter(|kind| usize::from(**kind) == number).count();
        if count > 0 {
            *column = Some(Values::decode(&mut rest, Kind::from_number(number as u8)?, count)?);
        }
    }
    let mut points = Points::default();
    for (index, kind) in kinds.iter().enumerate() {
        let value = columns.get_mut(usize::from(*kind))?.as_mut()?.next()?;
        points.push(at, lives.get(index).map_or(0, |ttl| *ttl as u32), value);
        at = at.wrapping_add(times.get(index).copied().unwrap_or(0));
    }
    Some(points)
}

fn distinct_kinds(items: &[Point]) -> Vec<Kind> {
    let mut seen = [false; KINDS];
    items.iter().for_each(|point| seen[point.kind as usize] = true);
    let kinds = seen.iter().enumerate().filter(|(_, seen)| **seen);
    kinds.filter_map(|(number, _)| Kind::from_number(number as u8)).collect()
}

fn replace(numbers: &mut Vec<i64>, with: impl Iterator<Item = i64>) {
    numbers.clear();
    numbers.extend(with);
}

fn encode_values(
    points: &Points,
    items: &[Point],
    kind: Kind,
    numbers: &mut Vec<i64>,
    out: &mut Vec<u8>,
) {
    let values = || items.iter().filter(|it| it.kind == kind).map(|it| points.value(it));
    match kind {
        Kind::Bool | Kind::Long => {
            replace(numbers, values().map(whole));
            column::encode(numbers, out);
        }
        Kind::Double => encode_doubles(values().map(double), numbers, out),
        Kind::String | Kind::Json => encode_texts(values().map(text), numbers, out),
    }
}

/// One exponent for all when every value is a decimal with so few digits; else eight bytes each.
fn encode_doubles(
    values: impl Iterator<Item = f64> + Clone,
    numbers: &mut Vec<i64>,
    out: &mut Vec<u8>,
) {
    let mut exponent = Some(0);
    for value in values.clone() {
        exponent =
            exponent.and_then(|low| (low..=EXPONENT_MAX).find(|it| scaled(value, *it).is_some()));
    }
    let digits = exponent.and_then(|exponent| {
        numbers.clear();
        for value in values.clone() {
            numbers.push(scaled(value, exponent)?);
        }
        Some(exponent)
    });
    if let Some(exponent) = digits {
        out.push(exponent);
        column::encode(numbers, out);
    } else {
        out.push(RAW);
        values.for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    }
}

/// Each distinct text once, then which one each point has.
fn encode_texts<'a>(
    texts: impl Iterator<Item = &'a str>,
    numbers: &mut Vec<i64>,
    out: &mut Vec<u8>,
) {
    let mut known: HashMap<&str, i64, RandomState> = HashMap::default();
    let mut distinct = Vec::new();
    numbers.clear();
    for text in texts {
        let next = distinct.len() as i64;
        let number = *known.entry(text).or_insert_with(|| {
            distinct.push(text);
            next
        });
        numbers.push(number);
    }
    put_varint(out, distinct.len() as u64);
    distinct.iter().for_each(|text| put_bytes(out, text.as_bytes()));
    column::encode(numbers, out);
}

fn whole(value: ValueRef<'_>) -> i64 {
    match value {
        ValueRef::Bool(it) => i64::from(it),
        ValueRef::Long(it) => it,
        _ => 0,
    }
}

fn double(value: ValueRef<'_>) -> f64 {
    value.as_double().unwrap_or_default()
}

fn text(value: ValueRef<'_>) -> &str {
    match value {
        ValueRef::String(it) | ValueRef::Json(it) => it,
        _ => "",
    }
}

/// Values of one kind, being handed out in order.
struct Values<'a> {
    kind: Kind,
    numbers: std::vec::IntoIter<i64>,
    exponent: u8,
    raw: Cursor<'a>,
    texts: Vec<&'a str>,
    text_left: usize,
}

impl<'a> Values<'a> {
    fn decode(rest: &mut Cursor<'a>, kind: Kind, count: usize) -> Option<Self> {
        let (mut exponent, mut raw, mut texts) = (0, Cursor(&[]), Vec::new());
        let mut numbers = Vec::new();
        if kind == Kind::Double {
            exponent = rest.byte()?;
        }
        if matches!(kind, Kind::String | Kind::Json) {
            let distinct = usize::try_from(rest.varint()?).ok().filter(|it| *it <= count)?;
            for _ in 0..distinct {
                texts.push(rest.text()?);
            }
        }
        if exponent == RAW {
            raw = Cursor(rest.bytes(count * 8)?);
        } else {
            column::decode(rest, count, &mut numbers)?;
        }
        let numbers = numbers.into_iter();
        Some(Self { kind, numbers, exponent, raw, texts, text_left: TEXT_MAX })
    }

    fn next(&mut self) -> Option<ValueRef<'a>> {
        if self.exponent == RAW {
            return Some(ValueRef::Double(f64::from_le_bytes(self.raw.array()?)));
        }
        let number = self.numbers.next()?;
        Some(match self.kind {
            Kind::Bool => ValueRef::Bool(number != 0),
            Kind::Long => ValueRef::Long(number),
            Kind::Double => ValueRef::Double(unscaled(number, self.exponent)),
            Kind::String => ValueRef::String(self.text(number)?),
            Kind::Json => ValueRef::Json(self.text(number)?),
        })
    }

    fn text(&mut self, number: i64) -> Option<&'a str> {
        let text = self.texts.get(usize::try_from(number).ok()?)?;
        self.text_left = self.text_left.checked_sub(text.len())?;
        Some(text)
    }
}

/// Most points a chunk may claim to have; far more than any that is written.
pub(crate) const COUNT_MAX: usize = 1 << 16;
/// Most bytes of text a chunk may unfold to.
const TEXT_MAX: usize = 64 * 1024 * 1024;
const VERSION: u8 = 1;
const MORTAL: u8 = 8;
const MIXED: u8 = 7;
const KINDS: usize = 5;
/// Stands where the exponent would: the doubles follow as they are.
const RAW: u8 = 255;

#[cfg(test)]
mod tests;
