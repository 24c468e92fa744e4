//! JSON telemetry and attributes, from bytes to typed readings in one pass (device API section 4), and
//! what devices ask in JSON.
//!
//! Nothing is built in between and, once buffers have grown, nothing is allocated. A payload counts as
//! a whole or not at all (JS-021).

mod gateway;
mod question;

pub(crate) use gateway::{Part, question, way};
pub(crate) use question::{Asked, Wanted, chunk_size};

use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use super::Typing;
use super::fault::What;
use super::lexer::{Lexer, Place, Token};
use super::nested::Nested;
use super::record::Record;
use super::sink::Sink;
use crate::reject::Reject;

/// Decodes payloads. Owned by one thread and used for one payload after the other; what it keeps in
/// between is memory, a small multiple of the largest payload so far.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The payload with bad UTF-8 replaced, when there was any.
    repaired: String,
    /// Escaped texts of array elements and scalars at top level, which are refused anyway.
    unescaped: String,
    record: Record,
    /// Parameters of questions.
    nested: Nested,
}

impl Decoder {
    /// A decoder that has not grown any buffer yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills `out` with the readings of a telemetry payload: an object, a `{"ts":...,"values":{...}}`
    /// or an array of both (4.2). What carries no time is stamped `now` (JS-024).
    ///
    /// `out` is cleared first. It may end up empty: nothing to store, still a good message (JS-018).
    ///
    /// # Errors
    /// The first thing wrong with the payload; `out` is empty then. All refusals are of class
    /// `Format`.
    pub fn telemetry(
        &mut self,
        payload: &[u8],
        now: Timestamp,
        typing: &Typing,
        out: &mut Readings,
    ) -> Result<(), Reject> {
        self.decode(payload, out, |record, unescaped, lexer, out| {
            match lexer.value(Place::Single, unescaped)? {
                Token::Object => record.telemetry(lexer, 1, now, typing, out),
                Token::Array => {
                    records(lexer, unescaped, |lexer| record.telemetry(lexer, 2, now, typing, out))
                }
                other => Err(no_object(other, lexer)),
            }
        })
    }

    /// Fills `out` with the attributes of a payload, which must be an object (JS-050); all of them are
    /// stamped `now` (JS-054). Nothing is special about members `ts` and `values` (JS-053).
    ///
    /// `out` is cleared first. It may end up empty (JS-052).
    ///
    /// # Errors
    /// The first thing wrong with the payload; `out` is empty then. All refusals are of class
    /// `Format`.
    pub fn attributes(
        &mut self,
        payload: &[u8],
        now: Timestamp,
        typing: &Typing,
        out: &mut Readings,
    ) -> Result<(), Reject> {
        self.decode(payload, out, |record, unescaped, lexer, out| {
            match lexer.value(Place::Single, unescaped)? {
                Token::Object => record.attributes(lexer, now, typing, out),
                other => Err(no_object(other, lexer)),
            }
        })
    }

    /// Adds one value of strict JSON under a key.
    pub(crate) fn put_value(
        &mut self,
        text: &str,
        key: &str,
        sink: &mut Sink<'_>,
    ) -> Result<(), Reject> {
        self.unescaped.clear();
        let mut lexer = Lexer::new(text);
        match lexer.value(Place::Single, &mut self.unescaped)? {
            Token::Null => Ok(()),
            Token::Bool(it) => sink.put(key, ValueRef::Bool(it)),
            Token::Number(span) => sink.number(key, lexer.slice(span)),
            Token::String(text) => sink.text(key, text.of(&lexer, &self.unescaped)),
            Token::Word(span) => sink.text(key, lexer.slice(span)),
            Token::Object | Token::Array => sink.put(key, ValueRef::Json(text)),
        }
    }

    /// What both have in common: text, begin and end of the document, all or nothing.
    fn decode(
        &mut self,
        payload: &[u8],
        out: &mut Readings,
        body: impl FnOnce(&mut Record, &mut String, &mut Lexer<'_>, &mut Readings) -> Result<(), Reject>,
    ) -> Result<(), Reject> {
        out.clear();
        self.unescaped.clear();
        let Self { repaired, unescaped, record, .. } = self;
        let text = utf8(payload, repaired);
        record.begin();
        let mut lexer = Lexer::new(text);
        let decoded = open(&mut lexer)
            .and_then(|()| body(record, unescaped, &mut lexer, out))
            .and_then(|()| Ok(lexer.end()?));
        decoded.inspect_err(|_| out.clear())
    }
}

/// Goes to the document's begin; an empty one is refused here (JS-005).
fn open(lexer: &mut Lexer<'_>) -> Result<(), Reject> {
    lexer.skip_prefix()?;
    if lexer.significant()?.is_none() {
        return Err(Reject::new(Reason::PayloadNotJson, "the payload is empty"));
    }
    Ok(())
}

/// The elements of the array whose bracket was consumed; each must be an object (JS-021).
fn records(
    lexer: &mut Lexer<'_>,
    unescaped: &mut String,
    mut record: impl FnMut(&mut Lexer<'_>) -> Result<(), Reject>,
) -> Result<(), Reject> {
    let mut is_first = true;
    while lexer.element(is_first)? {
        is_first = false;
        match lexer.value(Place::Element, unescaped)? {
            Token::Object => record(lexer)?,
            other => return Err(no_object(other, lexer)),
        }
    }
    Ok(())
}

/// Why a value is not one that a record could be.
fn no_object(token: Token, lexer: &Lexer<'_>) -> Reject {
    // A bare word is no JSON for anybody but the lenient reader (JS-006).
    let is_word = matches!(token, Token::Word(_));
    lexer.fault(if is_word { What::BareWord } else { What::NoObject }).into()
}

/// The payload as text; bad UTF-8 becomes U+FFFD (JS-004).
fn utf8<'a>(payload: &'a [u8], repaired: &'a mut String) -> &'a str {
    if let Ok(text) = str::from_utf8(payload) {
        return text;
    }
    repaired.clear();
    for chunk in payload.utf8_chunks() {
        repaired.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            repaired.push(char::REPLACEMENT_CHARACTER);
        }
    }
    repaired
}

#[cfg(test)]
mod tests;
