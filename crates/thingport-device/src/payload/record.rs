//! One record: the members of an object, read once, then typed and put among the readings.
//!
//! Members are collected before they are typed, because only the end of an object tells whether it is
//! timestamped and which of several equal names counts.

use core::cell::Cell;

use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use super::duplicates;
use super::fault::Fault;
use super::lexer::{Lexer, Place, Span, Text, Token};
use super::nested::Nested;
use super::sink::{Plain, Sink, in_key};
use super::{Nulls, Typing, number};
use crate::reject::{Reject, quoted};

/// The members of one record. Buffers are kept from record to record.
#[derive(Debug, Default)]
pub(crate) struct Record {
    fields: Vec<Field>,
    unescaped: String,
    nested: Nested,
    plain: Plain,
    order: Vec<u32>,
}

/// One member. Small enough to be moved in registers.
#[derive(Clone, Copy, Debug)]
struct Field {
    key: Text,
    value: Raw,
}

/// A value before it is typed.
#[derive(Clone, Copy, Debug)]
enum Raw {
    Null,
    Bool(bool),
    Number(Span),
    String(Text),
    /// Its compact text, and where in the payload its members begin.
    Object(Span, u32),
    /// Its compact text.
    Array(Span),
    /// None: the name stood before, and this value has taken its place there.
    Repeated,
}

/// Where the members of a record's `values` are.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// They are these fields.
    Fields(usize, usize),
    /// Still to be read: `values` came before `ts`, or is no object. It is this field.
    Field(usize),
}

impl Record {
    /// Begins a payload.
    pub(crate) const fn begin(&mut self) {
        self.plain.begin();
    }

    /// Reads the object whose brace was consumed, at nesting `level`, and adds what it says:
    /// timestamped when it has both `ts` and `values`, else at `now` (JS-010, JS-011, JS-015 to 017).
    pub(crate) fn telemetry(
        &mut self,
        lexer: &mut Lexer<'_>,
        level: usize,
        now: Timestamp,
        typing: &Typing,
        out: &mut Readings,
    ) -> Result<(), Reject> {
        self.clear();
        let mut ts = None;
        let mut values = None;
        let mut is_first = true;
        while let Some(key) = lexer.member(is_first, &mut self.unescaped)? {
            is_first = false;
            let from = self.fields.len();
            let name = self.text(key, lexer);
            let (is_values, is_ts) = (name == "values", name == "ts");
            let token = lexer.value(Place::Single, &mut self.unescaped)?;
            if is_values && ts.is_some() && token == Token::Object {
                // Surely timestamped: whatever else the record holds does not count.
                self.members(lexer, level + 1)?;
                values = Some(Values::Fields(from, self.fields.len()));
                continue;
            }
            if is_values {
                values = Some(Values::Field(from));
            } else if is_ts {
                ts = Some(from);
            }
            self.field(key, token, lexer, level)?;
        }
        let (Some(ts), Some(values)) = (ts, values) else {
            return self.put(now, lexer, typing, out);
        };
        let at = self.timestamp(ts, lexer)?;
        self.keep_values(values, lexer, level + 1)?;
        self.put(at, lexer, typing, out)
    }

    /// Reads the object whose brace was consumed and adds its members as they are (JS-050, JS-053).
    pub(crate) fn attributes(
        &mut self,
        lexer: &mut Lexer<'_>,
        now: Timestamp,
        typing: &Typing,
        out: &mut Readings,
    ) -> Result<(), Reject> {
        self.clear();
        self.members(lexer, 1)?;
        self.put(now, lexer, typing, out)
    }

    fn clear(&mut self) {
        self.fields.clear();
        self.unescaped.clear();
        self.nested.clear();
    }

    /// Collects the members of the object whose brace was consumed.
    fn members(&mut self, lexer: &mut Lexer<'_>, level: usize) -> Result<(), Fault> {
        let mut is_first = true;
        while let Some(key) = lexer.member(is_first, &mut self.unescaped)? {
            is_first = false;
            let token = lexer.value(Place::Single, &mut self.unescaped)?;
            self.field(key, token, lexer, level)?;
        }
        Ok(())
    }

    /// Adds the field whose value began with `token`; a container is read to its end.
    #[inline]
    fn field(
        &mut self,
        key: Text,
        token: Token,
        lexer: &mut Lexer<'_>,
        level: usize,
    ) -> Result<(), Fault> {
        let value = match token {
            Token::Null => Raw::Null,
            Token::Bool(it) => Raw::Bool(it),
            Token::Number(span) => Raw::Number(span),
            Token::String(text) => Raw::String(text),
            Token::Word(span) => Raw::String(Text::plain(span)),
            Token::Object | Token::Array => self.container(token, lexer, level + 1)?,
        };
        self.fields.push(Field { key, value });
        Ok(())
    }

    fn container(
        &mut self,
        open: Token,
        lexer: &mut Lexer<'_>,
        level: usize,
    ) -> Result<Raw, Fault> {
        let begin = lexer.position();
        let text = self.nested.write(lexer, &mut self.unescaped, open, level)?;
        Ok(if open == Token::Object { Raw::Object(text, begin) } else { Raw::Array(text) })
    }

    /// Of all fields keeps the members of `values`, which are read now if they came before `ts`.
    fn keep_values(
        &mut self,
        values: Values,
        lexer: &Lexer<'_>,
        level: usize,
    ) -> Result<(), Reject> {
        match values {
            Values::Fields(from, to) => {
                self.fields.truncate(to);
                self.fields.drain(..from);
            }
            Values::Field(at) => {
                let Some(Field { value: Raw::Object(_, begin), .. }) = self.fields.get(at) else {
                    return Err(Reject::new(Reason::PayloadShape, "values is not an object"));
                };
                let mut members = lexer.again(*begin);
                self.fields.clear();
                self.members(&mut members, level)?;
            }
        }
        Ok(())
    }

    /// The time for which the field `ts` stands (device API 4.3).
    fn timestamp(&self, ts: usize, lexer: &Lexer<'_>) -> Result<Timestamp, Reject> {
        let ts = self.fields.get(ts).map_or(Raw::Null, |field| field.value);
        let text = match ts {
            Raw::Number(span) => lexer.slice(span),
            Raw::String(text) => self.text(text, lexer),
            Raw::Array(span) => only_element(self.nested.slice(span)),
            Raw::Object(span, _) => self.nested.slice(span),
            Raw::Bool(true) => "true",
            Raw::Bool(false) => "false",
            Raw::Null | Raw::Repeated => "null",
        };
        let ms = number::whole_part(text);
        ms.map(Timestamp).ok_or_else(|| Reject::new(Reason::PayloadTimestamp, quoted(text)))
    }

    /// Types the fields and adds them.
    fn put(
        &mut self,
        at: Timestamp,
        lexer: &Lexer<'_>,
        typing: &Typing,
        out: &mut Readings,
    ) -> Result<(), Reject> {
        self.collapse(lexer);
        let Self { fields, unescaped, nested, plain, .. } = self;
        let mut sink = Sink { at, typing, plain, out };
        for field in fields.iter() {
            let key = field.key.of(lexer, unescaped);
            match field.value {
                Raw::Repeated => {}
                Raw::Null if typing.nulls == Nulls::Skip => {}
                Raw::Null => return Err(in_key(Reason::PayloadShape, key, "the value is null")),
                Raw::Number(span) => sink.number(key, lexer.slice(span))?,
                Raw::Bool(it) => sink.put(key, ValueRef::Bool(it))?,
                Raw::String(text) => sink.text(key, text.of(lexer, unescaped))?,
                Raw::Object(span, _) | Raw::Array(span) => {
                    sink.put(key, ValueRef::Json(nested.slice(span)))?;
                }
            }
        }
        Ok(())
    }

    /// Of equal names the last value stays, at the place of the first.
    fn collapse(&mut self, lexer: &Lexer<'_>) {
        let Self { fields, unescaped, order, .. } = self;
        let fields = Cell::from_mut(fields.as_mut_slice()).as_slice_of_cells();
        let key = |at: usize| fields.get(at).map_or("", |it| it.get().key.of(lexer, unescaped));
        duplicates::repeats(fields.len(), key, order, |first, later| {
            if let (Some(first), Some(later)) = (fields.get(first), fields.get(later)) {
                first.set(Field { value: later.get().value, ..first.get() });
                later.set(Field { value: Raw::Repeated, ..later.get() });
            }
        });
    }

    fn text<'a>(&'a self, text: Text, lexer: &Lexer<'a>) -> &'a str {
        text.of(lexer, &self.unescaped)
    }
}

/// What an array of one element holds, also when arrays stand in each other; else some text that is
/// no number.
fn only_element(array: &str) -> &str {
    let mut inner = array;
    while let Some(element) = inner.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        inner = element;
    }
    inner.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(inner)
}
