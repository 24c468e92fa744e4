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
    /// Bytes of numbers written out as text in this payload so far.
    expanded: usize,
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
        self.expanded = 0;
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
        let Self { fields, unescaped, nested, plain, expanded, .. } = self;
        let mut number = |key: &str, text: &str, out: &mut Readings| {
            check_key(key)?;
            match number::typed(text, typing, plain) {
                Typed::Long(it) => out.push(at, key, ValueRef::Long(it)),
                Typed::Double(it) => out.push(at, key, ValueRef::Double(it)),
                Typed::Plain if *expanded + plain.len() <= EXPANDED_MAX => {
                    *expanded += plain.len();
                    out.push(at, key, ValueRef::String(plain));
                }
                _ => return Err(in_key(Reason::PayloadNumber, key, &quoted(text))),
            }
            Ok(())
        };
        for field in fields.iter() {
            let key = field.key.of(lexer, unescaped);
            let value = match field.value {
                Raw::Repeated => continue,
                Raw::Null if typing.nulls == Nulls::Skip => continue,
                Raw::Null => return Err(in_key(Reason::PayloadShape, key, "the value is null")),
                Raw::Number(span) => {
                    number(key, lexer.slice(span), out)?;
                    continue;
                }
                Raw::Bool(it) => ValueRef::Bool(it),
                Raw::String(text) => ValueRef::String(text.of(lexer, unescaped)),
                Raw::Object(span, _) | Raw::Array(span) => ValueRef::Json(nested.slice(span)),
            };
            if let ValueRef::String(text) = value {
                check_length(key, text, typing)?;
                if typing.type_cast && number::is_castable(text) {
                    number(key, text, out)?;
                    continue;
                }
            }
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
                later.set(Field { value: Raw::Repeated, ..later.get() });
            }
        });
    }

    fn text<'a>(&'a self, text: Text, lexer: &Lexer<'a>) -> &'a str {
        text.of(lexer, &self.unescaped)
    }
}

/// Refuses texts longer than the limit (JS-039).
fn check_length(key: &str, text: &str, typing: &Typing) -> Result<(), Reject> {
    let max = typing.max_string_value_length as usize;
    // UTF-16 never needs more units than UTF-8 needs bytes.
    if max > 0 && text.len() > max && text.encode_utf16().count() > max {
        let what = format!("more than {max} characters");
        return Err(in_key(Reason::PayloadStringTooLong, key, &what));
    }
    Ok(())
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

/// Most bytes of numbers written out as text in one payload, so that `1e400` many times over does not
/// become a large one (WK-046).
const EXPANDED_MAX: usize = 64 * 1024;
