//! Points of one series in memory: flat items of 24 bytes and one text for all their texts.

use thingport_model::value::ValueRef;

/// Readings of one series in order of arrival or of time, as the owner keeps them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Points {
    pub(crate) items: Vec<Point>,
    // Boxed, because most series have none and a pointer is all it may cost them.
    #[allow(clippy::box_collection)]
    text: Option<Box<String>>,
}

/// One reading; a text lies in the [`Points`] it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    /// The value, or start (high half) and length of the text.
    bits: u64,
    /// Seconds it is kept after its own time; 0 for ever.
    pub(crate) ttl_s: u32,
    pub(crate) kind: Kind,
}

/// Type of a stored value. The numbers are part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Bool = 0,
    Long = 1,
    Double = 2,
    String = 3,
    Json = 4,
}

impl Kind {
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Bool,
            1 => Self::Long,
            2 => Self::Double,
            3 => Self::String,
            4 => Self::Json,
            _ => return None,
        })
    }
}

impl Point {
    /// When the reading is no longer to be seen; the end of time when kept for ever.
    pub(crate) const fn expires_at(&self) -> i64 {
        if self.ttl_s == 0 { i64::MAX } else { self.at.saturating_add(self.ttl_s as i64 * 1000) }
    }
}

impl Points {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn text_len(&self) -> usize {
        self.all_text().len()
    }

    pub(crate) fn push(&mut self, at: i64, ttl_s: u32, value: ValueRef<'_>) {
        let (kind, bits) = match value {
            ValueRef::Bool(it) => (Kind::Bool, u64::from(it)),
            ValueRef::Long(it) => (Kind::Long, it.cast_unsigned()),
            ValueRef::Double(it) => (Kind::Double, it.to_bits()),
            ValueRef::String(it) => (Kind::String, self.keep(it)),
            ValueRef::Json(it) => (Kind::Json, self.keep(it)),
        };
        self.items.push(Point { at, bits, ttl_s, kind });
    }

    /// Copies one point of `other` to the end.
    pub(crate) fn push_from(&mut self, other: &Self, point: &Point) {
        self.push(point.at, point.ttl_s, other.value(point));
    }

    pub(crate) fn value(&self, point: &Point) -> ValueRef<'_> {
        match point.kind {
            Kind::Bool => ValueRef::Bool(point.bits != 0),
            Kind::Long => ValueRef::Long(point.bits.cast_signed()),
            Kind::Double => ValueRef::Double(f64::from_bits(point.bits)),
            Kind::String => ValueRef::String(self.text(point.bits)),
            Kind::Json => ValueRef::Json(self.text(point.bits)),
        }
    }

    /// The text of a point, empty when its value is none.
    pub(crate) fn text_of(&self, point: &Point) -> &str {
        match self.value(point) {
            ValueRef::String(it) | ValueRef::Json(it) => it,
            ValueRef::Bool(_) | ValueRef::Long(_) | ValueRef::Double(_) => "",
        }
    }

    /// Sorts by time; of several points of one time only the last pushed remains (JS-027).
    pub(crate) fn settle(&mut self) {
        let ascending = |pair: &[Point]| matches!(pair, [a, b] if a.at < b.at);
        if self.items.windows(2).all(ascending) {
            return;
        }
        self.items.sort_by_key(|point| point.at); // stable: order of arrival within one time
        self.items.reverse();
        self.items.dedup_by_key(|point| point.at); // keeps the first, which arrived last
        self.items.reverse();
    }

    /// The points of two settled runs by time; where both have one, that of `newer`.
    pub(crate) fn merged(older: &Self, newer: &Self) -> Self {
        let mut all = Self::default();
        all.items.reserve(older.len() + newer.len());
        let mut late = newer.items.iter().peekable();
        for point in &older.items {
            while let Some(next) = late.next_if(|next| next.at < point.at) {
                all.push_from(newer, next);
            }
            if late.peek().is_none_or(|next| next.at != point.at) {
                all.push_from(older, point);
            }
        }
        late.for_each(|point| all.push_from(newer, point));
        all
    }

    /// The settled points `from..to` as points of their own.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Self {
        let mut part = Self::default();
        let items = self.items.get(from..to).unwrap_or_default();
        items.iter().for_each(|point| part.push_from(self, point));
        part
    }

    fn keep(&mut self, text: &str) -> u64 {
        let all = self.text.get_or_insert_default();
        let start = all.len() as u64;
        all.push_str(text);
        start << 32 | text.len() as u64
    }

    fn text(&self, bits: u64) -> &str {
        let (start, len) = ((bits >> 32) as usize, (bits & 0xffff_ffff) as usize);
        self.all_text().get(start..start + len).unwrap_or_default()
    }

    fn all_text(&self) -> &str {
        self.text.as_ref().map_or("", |text| text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(rows: &[(i64, &str)]) -> Points {
        let mut all = Points::default();
        rows.iter().for_each(|(at, text)| all.push(*at, 0, ValueRef::String(text)));
        all
    }

    fn rows(points: &Points) -> Vec<(i64, String)> {
        points.items.iter().map(|it| (it.at, points.value(it).to_string())).collect()
    }

    #[test]
    fn the_last_of_one_time_stays() {
        let mut all = points(&[(3, "a"), (1, "b"), (3, "c"), (2, "d"), (1, "e")]);
        all.settle();
        assert_eq!(rows(&all), rows(&points(&[(1, "e"), (2, "d"), (3, "c")])));
    }

    #[test]
    fn the_newer_run_wins() {
        let merged = Points::merged(
            &points(&[(1, "a"), (3, "b"), (5, "c")]),
            &points(&[(0, "x"), (3, "y"), (9, "z")]),
        );
        assert_eq!(
            rows(&merged),
            rows(&points(&[(0, "x"), (1, "a"), (3, "y"), (5, "c"), (9, "z")]))
        );
        assert_eq!(rows(&merged.slice(1, 3)), rows(&points(&[(1, "a"), (3, "y")])));
    }
}
