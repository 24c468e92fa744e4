//! Objects and arrays inside a record: kept as compact strict JSON text (JS-032).
//!
//! Walks with a stack of its own, never by recursion, so depth costs no thread stack.

use core::cell::Cell;

use super::duplicates;
use super::fault::{Fault, What};
use super::lexer::{Lexer, Place, Span, Text, Token};
use super::write::write_string;

/// Writes containers as text. Buffers are kept from use to use.
#[derive(Debug, Default)]
pub(crate) struct Nested {
    text: String,
    frames: Vec<Frame>,
    members: Vec<Member>,
    rebuilt: String,
    order: Vec<u32>,
}

/// One open object or array.
#[derive(Clone, Copy, Debug)]
struct Frame {
    is_object: bool,
    is_empty: bool,
    /// Where its text begins.
    start: usize,
    /// Its first member in `members`.
    members_from: usize,
}

/// One member of an open object: two stretches of `text`.
#[derive(Clone, Copy, Debug)]
struct Member {
    name: Span,
    value_start: usize,
    value: Span,
    is_repeated: bool,
}

impl Nested {
    /// Forgets all texts.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.frames.clear();
        self.members.clear();
    }

    /// The text of a container written since the last clear.
    pub(crate) fn slice(&self, span: Span) -> &str {
        span.of(&self.text)
    }

    /// Writes any value, which began with `token`, at nesting `level`.
    pub(crate) fn value(
        &mut self,
        lexer: &mut Lexer<'_>,
        unescaped: &mut String,
        token: Token,
        level: usize,
    ) -> Result<Span, Fault> {
        if matches!(token, Token::Object | Token::Array) {
            return self.write(lexer, unescaped, token, level);
        }
        let start = self.text.len();
        self.scalar(token, lexer, unescaped);
        Ok(Span::new(start, self.text.len()))
    }

    /// Writes the container whose opening bracket was just consumed as `open`, at nesting `level`.
    pub(crate) fn write(
        &mut self,
        lexer: &mut Lexer<'_>,
        unescaped: &mut String,
        open: Token,
        level: usize,
    ) -> Result<Span, Fault> {
        let start = self.text.len();
        let reusable = unescaped.len();
        self.push(open, level, lexer)?;
        while let Some(frame) = self.frames.last().copied() {
            unescaped.truncate(reusable);
            let has_next = if frame.is_object {
                self.member(lexer, unescaped, frame)?
            } else {
                self.element(lexer, frame)?
            };
            if !has_next {
                self.pop(frame);
                continue;
            }
            let place = if frame.is_object { Place::Single } else { Place::Element };
            let value = lexer.value(place, unescaped)?;
            if matches!(value, Token::Object | Token::Array) {
                self.push(value, level, lexer)?;
            } else {
                self.scalar(value, lexer, unescaped);
                self.end_value();
            }
        }
        unescaped.truncate(reusable);
        Ok(Span::new(start, self.text.len()))
    }

    fn push(&mut self, open: Token, level: usize, lexer: &Lexer<'_>) -> Result<(), Fault> {
        if level + self.frames.len() > DEPTH_MAX {
            return Err(lexer.fault(What::TooDeep));
        }
        let is_object = open == Token::Object;
        let (start, members_from) = (self.text.len(), self.members.len());
        self.frames.push(Frame { is_object, is_empty: true, start, members_from });
        self.text.push(if is_object { '{' } else { '[' });
        Ok(())
    }

    fn pop(&mut self, frame: Frame) {
        self.frames.pop();
        if frame.is_object {
            self.collapse(frame);
            self.text.push('}');
        } else {
            self.text.push(']');
        }
        self.end_value();
    }

    /// Writes the next name and colon, if there is a next member.
    fn member(
        &mut self,
        lexer: &mut Lexer<'_>,
        unescaped: &mut String,
        frame: Frame,
    ) -> Result<bool, Fault> {
        let Some(name) = lexer.member(frame.is_empty, unescaped)? else { return Ok(false) };
        self.separate();
        let start = self.text.len();
        self.string(name, lexer, unescaped);
        let name = Span::new(start, self.text.len());
        self.text.push(':');
        let value_start = self.text.len();
        let value = Span::default();
        self.members.push(Member { name, value_start, value, is_repeated: false });
        Ok(true)
    }

    fn element(&mut self, lexer: &mut Lexer<'_>, frame: Frame) -> Result<bool, Fault> {
        let has_next = lexer.element(frame.is_empty)?;
        if has_next {
            self.separate();
        }
        Ok(has_next)
    }

    /// A comma, unless this is the container's first.
    fn separate(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            if !frame.is_empty {
                self.text.push(',');
            }
            frame.is_empty = false;
        }
    }

    fn scalar(&mut self, value: Token, lexer: &Lexer<'_>, unescaped: &str) {
        match value {
            Token::Bool(true) => self.text.push_str("true"),
            Token::Bool(false) => self.text.push_str("false"),
            Token::Number(span) => self.text.push_str(lexer.slice(span)),
            Token::String(text) => self.string(text, lexer, unescaped),
            Token::Word(span) => self.string(Text::plain(span), lexer, unescaped),
            Token::Null | Token::Object | Token::Array => self.text.push_str("null"),
        }
    }

    fn string(&mut self, text: Text, lexer: &Lexer<'_>, unescaped: &str) {
        write_string(&mut self.text, text.of(lexer, unescaped));
    }

    /// Notes where the value of the innermost open object's last member ends.
    fn end_value(&mut self) {
        let is_member = self.frames.last().is_some_and(|frame| frame.is_object);
        if let Some(member) = self.members.last_mut().filter(|_| is_member) {
            member.value = Span::new(member.value_start, self.text.len());
        }
    }

    /// Drops the object's members; when names repeat, writes it again with the last value of each.
    fn collapse(&mut self, frame: Frame) {
        let Self { text, members, order, .. } = self;
        let members = members.get_mut(frame.members_from..).unwrap_or_default();
        let members = Cell::from_mut(members).as_slice_of_cells();
        let name = |at: usize| members.get(at).map_or("", |it| it.get().name.of(text));
        let mut has_repeats = false;
        duplicates::repeats(members.len(), name, order, |first, later| {
            if let (Some(first), Some(later)) = (members.get(first), members.get(later)) {
                first.set(Member { value: later.get().value, ..first.get() });
                later.set(Member { is_repeated: true, ..later.get() });
                has_repeats = true;
            }
        });
        if has_repeats {
            self.rebuild(frame);
        }
        self.members.truncate(frame.members_from);
    }

    fn rebuild(&mut self, frame: Frame) {
        self.rebuilt.clear();
        let members = self.members.get(frame.members_from..).unwrap_or_default();
        for member in members.iter().filter(|member| !member.is_repeated) {
            self.rebuilt.push(if self.rebuilt.is_empty() { '{' } else { ',' });
            self.rebuilt.push_str(member.name.of(&self.text));
            self.rebuilt.push(':');
            self.rebuilt.push_str(member.value.of(&self.text));
        }
        self.text.truncate(frame.start);
        self.text.push_str(&self.rebuilt);
    }
}

/// Deepest nesting of a document. ThingsBoard accepts 255 levels (JS-003); nothing here grows with it
/// but a small stack on the heap, so the smaller bound of L-14 is not needed.
const DEPTH_MAX: usize = 255;
