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
use super::lexer::{Fault, Lexer, Place, Span, Text, Token};
use super::nested::Nested;
use super::number::{self, Typed};
use super::{Nulls, Typing};
use crate::reject::{Reject, quoted};

/// The members of one record. Buffers are kept from record to record.
#[derive(Debug, Default)]
pub(crate) struct Record {
    fields: Vec<Field>,
    unescaped: String,
    nested: Nested,
    plain: String,
    order: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    key: Text,
    value: Raw,
    is_repeated: bool,
}

/// A value before it is typed.
#[derive(Clone, Copy, Debug)]
enum Raw {
    Null,
    Bool(bool),
    Number(Span),
    String(Text),
    /// Its compact text, and where in the payload the object's members begin.
    Object(Span, usize),
    Array(Span),
}

/// The member `values` of a record.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// Its members are these fields.
    Fields(usize, usize),
    /// It came before `ts`, or is no object.
    Raw(Raw),
}

impl Record {
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
            let is_values = self.text(key, lexer) == "values";
            let token = lexer.value(Place::Single, &mut self.unescaped)?;
            if is_values && ts.is_some() && token == Token::Object {
                // Surely timestamped: whatever else the record holds does not count.
                let from = self.fields.len();
                self.members(lexer, level + 1)?;
                values = Some(Values::Fields(from, self.fields.len()));
                continue;
            }
            let value = self.raw(token, lexer, level)?;
            if is_values {
                values = Some(Values::Raw(value));
            } else if self.text(key, lexer) == "ts" {
                ts = Some(value);
            }
            self.fields.push(Field { key, value, is_repeated: false });
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
            let value = self.raw(token, lexer, level)?;
            self.fields.push(Field { key, value, is_repeated: false });
        }
        Ok(())
    }

    fn raw(&mut self, token: Token, lexer: &mut Lexer<'_>, level: usize) -> Result<Raw, Fault> {
        let begin = lexer.position();
        let mut container = || self.nested.write(lexer, &mut self.unescaped, token, level + 1);
        Ok(match token {
            Token::Null => Raw::Null,
            Token::Bool(it) => Raw::Bool(it),
            Token::Number(span) => Raw::Number(span),
            Token::String(text) => Raw::String(text),
            Token::Word(span) => Raw::String(Text::Plain(span)),
            Token::Object => Raw::Object(container()?, begin),
            Token::Array => Raw::Array(container()?),
        })
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
            Values::Raw(Raw::Object(_, begin)) => {
                self.fields.clear();
                self.members(&mut lexer.again(begin), level)?;
            }
            Values::Raw(_) => {
                return Err(Reject::new(Reason::PayloadShape, "values is not an object"));
            }
        }
        Ok(())
    }

    /// The time a `ts` stands for (device API 4.3).
    fn timestamp(&self, ts: Raw, lexer: &Lexer<'_>) -> Result<Timestamp, Reject> {
        let text = match ts {
            Raw::Number(span) => lexer.slice(span),
            Raw::String(text) => self.text(text, lexer),
            Raw::Array(span) => only_element(self.nested.slice(span)),
            Raw::Object(span, _) => self.nested.slice(span),
            Raw::Bool(true) => "true",
            Raw::Bool(false) => "false",
            Raw::Null => "null",
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
        let text = |text: Text| text.of(lexer, unescaped);
        for field in fields.iter().filter(|field| !field.is_repeated) {
            let key = text(field.key);
            let value = match field.value {
                Raw::Null if typing.nulls == Nulls::Skip => continue,
                Raw::Null => return Err(in_key(Reason::PayloadShape, key, "the value is null")),
                Raw::Bool(it) => ValueRef::Bool(it),
                Raw::Number(span) => numeric(key, lexer.slice(span), typing, plain)?,
                Raw::String(it) => textual(key, text(it), typing, plain)?,
                Raw::Object(span, _) | Raw::Array(span) => ValueRef::Json(nested.slice(span)),
            };
            check_key(key)?;
            out.push(at, key, value);
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
                later.set(Field { is_repeated: true, ..later.get() });
            }
        });
    }

    fn text<'a>(&'a self, text: Text, lexer: &Lexer<'a>) -> &'a str {
        text.of(lexer, &self.unescaped)
    }
}

/// A number, typed (JS-035, JS-036).
fn numeric<'a>(
    key: &str,
    text: &str,
    typing: &Typing,
    plain: &'a mut String,
) -> Result<ValueRef<'a>, Reject> {
    match number::typed(text, typing, plain) {
        Typed::Long(it) => Ok(ValueRef::Long(it)),
        Typed::Double(it) => Ok(ValueRef::Double(it)),
        Typed::Plain => Ok(ValueRef::String(plain)),
        Typed::TooLarge => Err(in_key(Reason::PayloadNumber, key, &quoted(text))),
    }
}

/// A string: checked, and cast if it looks like a number (JS-033, JS-039).
fn textual<'a>(
    key: &str,
    text: &'a str,
    typing: &Typing,
    plain: &'a mut String,
) -> Result<ValueRef<'a>, Reject> {
    let max = typing.max_string_value_length as usize;
    // UTF-16 never needs more units than UTF-8 needs bytes.
    if max > 0 && text.len() > max && text.encode_utf16().count() > max {
        let what = format!("more than {max} characters");
        return Err(in_key(Reason::PayloadStringTooLong, key, &what));
    }
    if typing.type_cast && number::is_castable(text) {
        return numeric(key, text, typing, plain);
    }
    Ok(ValueRef::String(text))
}

/// Refuses keys that could not be kept (JS-040, WK-002).
fn check_key(key: &str) -> Result<(), Reject> {
    let is_too_long = key.len() > KEY_MAX && key.chars().nth(KEY_MAX).is_some();
    if key.is_empty() || is_too_long {
        return Err(Reject::new(Reason::PayloadKey, quoted(key)));
    }
    Ok(())
}

fn in_key(reason: Reason, key: &str, what: &str) -> Reject {
    Reject::new(reason, format!("key {}: {what}", quoted(key)))
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

/// Longest key in characters (WK-002).
const KEY_MAX: usize = 255;
