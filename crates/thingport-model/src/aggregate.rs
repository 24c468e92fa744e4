//! Aggregation of readings in buckets of time (REST API 14.3, T-13, T-14). Pure.

use crate::time::{TimeRange, Timestamp};
use crate::value::{Value, ValueRef};

/// What is computed per bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// Smallest; lexicographic for texts when no number was seen.
    Min,
    /// Largest; lexicographic for texts when no number was seen.
    Max,
    /// Mean of the numbers, always a double.
    Avg,
    /// Sum of the numbers; long when all are.
    Sum,
    /// How many readings of any type.
    Count,
}

/// The buckets of a query: `[start + i*interval, start + (i+1)*interval)`, the last cut at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Borders in ascending order; bucket `i` is `[borders[i], borders[i+1])`. At least two.
    borders: Vec<Timestamp>,
}

impl Buckets {
    /// Equal buckets of `interval_ms` over `range`. None when the range is empty, the interval is not
    /// positive, or there would be more than `buckets_max` buckets (T-15).
    #[must_use]
    pub fn equal(range: TimeRange, interval_ms: i64, buckets_max: usize) -> Option<Self> {
        if interval_ms <= 0 || range.start >= range.end {
            return None;
        }
        let span = i128::from(range.end.ms()) - i128::from(range.start.ms());
        let count = (span + i128::from(interval_ms) - 1) / i128::from(interval_ms);
        if count > buckets_max as i128 {
            return None;
        }
        let mut borders = Vec::new();
        let mut border = range.start;
        while border < range.end {
            borders.push(border);
            border = border.plus_ms(interval_ms);
        }
        borders.push(range.end);
        Some(Self { borders })
    }

    /// Buckets with the given borders (calendar buckets). None when there are fewer than two borders
    /// or they do not ascend.
    #[must_use]
    pub fn with_borders(borders: Vec<Timestamp>) -> Option<Self> {
        let ascending = borders.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        (borders.len() >= 2 && ascending).then_some(Self { borders })
    }

    /// All the time the buckets cover.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        let start = self.borders.first().copied().unwrap_or_default();
        let end = self.borders.last().copied().unwrap_or_default();
        TimeRange { start, end }
    }

    fn index(&self, at: Timestamp) -> Option<usize> {
        let behind = self.borders.partition_point(|border| *border <= at);
        (behind > 0 && behind < self.borders.len()).then(|| behind - 1)
    }

    /// The middle of bucket `index`, rounded down: the time its result carries (T-13).
    fn middle(&self, index: usize) -> Option<Timestamp> {
        let start = self.borders.get(index)?.ms();
        let end = self.borders.get(index + 1)?.ms();
        Some(Timestamp(start.midpoint(end)))
    }
}

/// Folds readings, in any order, into one result per non-empty bucket.
#[derive(Clone, Debug)]
pub struct Fold {
    aggregation: Aggregation,
    buckets: Buckets,
    cells: Vec<Cell>,
}

#[derive(Clone, Debug, Default)]
struct Cell {
    count: i64,
    numbers: i64,
    saw_double: bool,
    long: i128,
    double: f64,
    min: f64,
    max: f64,
    long_min: i64,
    long_max: i64,
    text: Option<String>,
}

impl Fold {
    /// An empty fold.
    #[must_use]
    pub fn new(aggregation: Aggregation, buckets: Buckets) -> Self {
        let cells = vec![Cell::default(); buckets.borders.len().saturating_sub(1)];
        Self { aggregation, buckets, cells }
    }

    /// The buckets folded into.
    #[must_use]
    pub const fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Takes one reading; readings outside every bucket are ignored.
    pub fn add(&mut self, at: Timestamp, value: ValueRef<'_>) {
        let aggregation = self.aggregation;
        if let Some(cell) = self.buckets.index(at).and_then(|index| self.cells.get_mut(index)) {
            cell.add(aggregation, value);
        }
    }

    /// One point per non-empty bucket, ascending.
    #[must_use]
    pub fn finish(self) -> Vec<(Timestamp, Value)> {
        let points = self.cells.iter().enumerate().filter_map(|(index, cell)| {
            Some((self.buckets.middle(index)?, cell.result(self.aggregation)?))
        });
        points.collect()
    }
}

impl Cell {
    fn add(&mut self, aggregation: Aggregation, value: ValueRef<'_>) {
        self.count += 1;
        match value {
            ValueRef::Long(it) => self.add_long(it),
            ValueRef::Double(it) => self.add_double(it),
            ValueRef::String(it) | ValueRef::Json(it) => self.add_text(aggregation, it),
            ValueRef::Bool(_) => {}
        }
    }

    fn add_long(&mut self, it: i64) {
        #[allow(clippy::cast_precision_loss)]
        // averages of huge longs are approximate, as in the original
        let double = it as f64;
        self.widen(double);
        let first_long = self.numbers == 0 || (self.long_min > self.long_max);
        self.long_min = if first_long { it } else { self.long_min.min(it) };
        self.long_max = if first_long { it } else { self.long_max.max(it) };
        self.long += i128::from(it);
        self.numbers += 1;
    }

    fn add_double(&mut self, it: f64) {
        self.widen(it);
        if self.numbers == 0 {
            (self.long_min, self.long_max) = (i64::MAX, i64::MIN);
        }
        self.saw_double = true;
        self.numbers += 1;
    }

    fn widen(&mut self, it: f64) {
        self.min = if self.numbers == 0 { it } else { self.min.min(it) };
        self.max = if self.numbers == 0 { it } else { self.max.max(it) };
        self.double += it;
    }

    fn add_text(&mut self, aggregation: Aggregation, it: &str) {
        let better = match (&self.text, aggregation) {
            (None, Aggregation::Min | Aggregation::Max) => true,
            (Some(kept), Aggregation::Min) => it < kept.as_str(),
            (Some(kept), Aggregation::Max) => it > kept.as_str(),
            (_, Aggregation::Avg | Aggregation::Sum | Aggregation::Count) => false,
        };
        if better {
            self.text = Some(it.to_owned());
        }
    }

    fn result(&self, aggregation: Aggregation) -> Option<Value> {
        if self.count == 0 {
            return None;
        }
        match aggregation {
            Aggregation::Count => Some(Value::Long(self.count)),
            Aggregation::Min | Aggregation::Max if self.numbers == 0 => {
                self.text.clone().map(Value::String)
            }
            Aggregation::Avg | Aggregation::Sum if self.numbers == 0 => None,
            #[allow(clippy::cast_precision_loss)] // a count of readings stays far below 2^53
            Aggregation::Avg => Some(Value::Double(self.double / self.numbers as f64)),
            Aggregation::Sum => Some(self.sum()),
            Aggregation::Min if self.saw_double => Some(Value::Double(self.min)),
            Aggregation::Max if self.saw_double => Some(Value::Double(self.max)),
            Aggregation::Min => Some(Value::Long(self.long_min)),
            Aggregation::Max => Some(Value::Long(self.long_max)),
        }
    }

    /// Whole when all inputs are whole and the sum fits 64 bits.
    fn sum(&self) -> Value {
        match i64::try_from(self.long) {
            Ok(long) if !self.saw_double => Value::Long(long),
            Ok(_) | Err(_) => Value::Double(self.double),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(aggregation: Aggregation, points: &[(i64, Value)]) -> Vec<(i64, Value)> {
        let range = TimeRange { start: Timestamp(0), end: Timestamp(25) };
        let buckets = Buckets::equal(range, 10, 700).expect("three buckets");
        let mut fold = Fold::new(aggregation, buckets);
        for (at, value) in points {
            fold.add(Timestamp(*at), value.borrowed());
        }
        fold.finish().into_iter().map(|(at, value)| (at.ms(), value)).collect()
    }

    #[test]
    fn buckets_are_cut_at_the_end_and_carry_their_middle() {
        let points =
            [(0, Value::Long(1)), (9, Value::Long(3)), (20, Value::Long(5)), (25, Value::Long(9))];
        assert_eq!(fold(Aggregation::Sum, &points), [(5, Value::Long(4)), (22, Value::Long(5))]);
        assert_eq!(
            fold(Aggregation::Avg, &points),
            [(5, Value::Double(2.0)), (22, Value::Double(5.0))]
        );
        assert_eq!(fold(Aggregation::Count, &points), [(5, Value::Long(2)), (22, Value::Long(1))]);
        assert_eq!(fold(Aggregation::Min, &points), [(5, Value::Long(1)), (22, Value::Long(5))]);
        assert_eq!(fold(Aggregation::Max, &points), [(5, Value::Long(3)), (22, Value::Long(5))]);
    }

    #[test]
    fn mixed_types_follow_t14() {
        let mixed = [(1, Value::Double(1.5)), (2, Value::Long(2)), (3, Value::String("x".into()))];
        assert_eq!(fold(Aggregation::Sum, &mixed), [(5, Value::Double(3.5))]);
        assert_eq!(fold(Aggregation::Max, &mixed), [(5, Value::Double(2.0))]);
        assert_eq!(fold(Aggregation::Count, &mixed), [(5, Value::Long(3))]);
        let texts = [(1, Value::String("b".into())), (2, Value::String("a".into()))];
        assert_eq!(fold(Aggregation::Min, &texts), [(5, Value::String("a".into()))]);
        assert_eq!(fold(Aggregation::Avg, &texts), []);
    }

    #[test]
    fn too_many_buckets_are_refused() {
        let range = TimeRange { start: Timestamp(0), end: Timestamp(701) };
        assert_eq!(Buckets::equal(range, 1, 700), None);
        assert_eq!(Buckets::equal(range, 0, 700), None);
        assert_eq!(Buckets::equal(TimeRange::ALL, 1, 700), None);
    }
}
