//! Readings: one key, one value, one time; and the flat batch in which they travel.

use crate::time::Timestamp;
use crate::value::{Value, ValueRef};

/// One key, one value, one time, with text of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When it was measured.
    pub at: Timestamp,
    /// Which key.
    pub key: String,
    /// What was measured.
    pub value: Value,
}

/// One key, one value, one time, borrowed from a [`Readings`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadingRef<'a> {
    /// When it was measured.
    pub at: Timestamp,
    /// Which key.
    pub key: &'a str,
    /// What was measured.
    pub value: ValueRef<'a>,
}

/// A batch of readings in two flat buffers that are reused from message to message.
///
/// In steady state filling it allocates nothing. Keys and texts lie one behind the other in `text`;
/// an item remembers where. Order of insertion is kept; later items of the same key and time
/// overwrite earlier ones when stored (device API JS-027).
#[derive(Clone, Debug, Default)]
pub struct Readings {
    text: String,
    items: Vec<Item>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    at: Timestamp,
    key: Span,
    value: Stored,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug)]
enum Stored {
    Bool(bool),
    Long(i64),
    Double(f64),
    String(Span),
    Json(Span),
}

impl Readings {
    /// Forgets all readings, keeps the buffers.
    pub fn clear(&mut self) {
        self.text.clear();
        self.items.clear();
    }

    /// Adds one reading.
    ///
    /// The text of one batch is bounded by the packet it came from (at most some MiB), far below the
    /// 4 GiB a span can address; text beyond that would be cut off, never misread.
    #[inline]
    pub fn push(&mut self, at: Timestamp, key: &str, value: ValueRef<'_>) {
        let key = self.keep(key);
        let value = match value {
            ValueRef::Bool(it) => Stored::Bool(it),
            ValueRef::Long(it) => Stored::Long(it),
            ValueRef::Double(it) => Stored::Double(it),
            ValueRef::String(it) => Stored::String(self.keep(it)),
            ValueRef::Json(it) => Stored::Json(self.keep(it)),
        };
        self.items.push(Item { at, key, value });
    }

    /// How many readings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Drops all readings behind the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.items.truncate(len);
    }

    /// The readings in order of insertion.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ReadingRef<'_>> {
        self.items.iter().map(|item| ReadingRef {
            at: item.at,
            key: self.text(item.key),
            value: self.value(item.value),
        })
    }

    #[inline]
    fn keep(&mut self, text: &str) -> Span {
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.push_str(text);
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        Span { start, end }
    }

    fn text(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn value(&self, stored: Stored) -> ValueRef<'_> {
        match stored {
            Stored::Bool(it) => ValueRef::Bool(it),
            Stored::Long(it) => ValueRef::Long(it),
            Stored::Double(it) => ValueRef::Double(it),
            Stored::String(span) => ValueRef::String(self.text(span)),
            Stored::Json(span) => ValueRef::Json(self.text(span)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_put_in_and_can_be_reused() {
        let mut batch = Readings::default();
        for round in 0..3 {
            batch.clear();
            batch.push(Timestamp(round), "a", ValueRef::Long(1));
            batch.push(Timestamp(round), "b", ValueRef::String("x"));
            batch.push(Timestamp(7), "", ValueRef::Json("{}"));
            let all: Vec<_> = batch.iter().collect();
            assert_eq!(all.len(), 3);
            assert_eq!(all[0].key, "a");
            assert_eq!(all[1].value, ValueRef::String("x"));
            assert_eq!(all[2].value, ValueRef::Json("{}"));
            assert_eq!(all[2].at, Timestamp(7));
        }
    }
}
