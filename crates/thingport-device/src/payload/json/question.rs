//! What devices ask and answer in JSON: attribute requests, client calls, claims (device API 4.6, 6.6,
//! 7.1), and the texts that are not JSON: answers to calls, sizes of chunks.
//!
//! Each is an object of few members; what else it holds is read over. A member may be written as any
//! JSON that stands for one text, as ThingsBoard reads it: a string, a number, or a list of just one of
//! them (JS-066, JS-067).

use thingport_model::reason::Reason;
use thingport_model::uplink::{Claim, KeyList, WantedKeys};

use super::{Decoder, no_object, open, utf8};
use crate::payload::fault::Fault;
use crate::payload::lexer::{Lexer, Place, Span, Text, Token};
use crate::payload::nested::Nested;
use crate::payload::number;
use crate::payload::write::write_string;
use crate::reject::{Reject, quoted};

/// Which attributes are asked for: of the client scope, of the shared scope.
pub(crate) type Wanted<'a> = (WantedKeys<'a>, WantedKeys<'a>);

/// Method and parameters of a client call.
pub(crate) type Asked<'a> = (&'a str, &'a str);

impl Decoder {
    /// Which attributes a device asks for (JS-060 to JS-070).
    ///
    /// # Errors
    /// The first thing wrong with the payload.
    pub(crate) fn attribute_request<'a>(
        &'a mut self,
        payload: &'a [u8],
    ) -> Result<Wanted<'a>, Reject> {
        let wanted = [("clientKeys", Kind::Text), ("sharedKeys", Kind::Text)];
        let ([client, shared], texts) = self.members(payload, wanted)?;
        let [client, shared] = [client, shared].map(|it| it.map(|it| texts.of(it)));
        // A list without any name counts as absent (JS-064).
        let list = |text: Option<&'a str>| {
            text.map(KeyList).filter(|list| list.iter().next().is_some()).map(WantedKeys::Named)
        };
        Ok(match (list(client), list(shared)) {
            (None, None) => (WantedKeys::All, WantedKeys::All),
            (client, shared) => {
                (client.unwrap_or(WantedKeys::None), shared.unwrap_or(WantedKeys::None))
            }
        })
    }

    /// What a device asks the server (CR-001 to CR-004).
    ///
    /// # Errors
    /// The first thing wrong with the payload.
    pub fn client_call<'a>(&'a mut self, payload: &'a [u8]) -> Result<Asked<'a>, Reject> {
        let wanted = [("method", Kind::Text), ("params", Kind::Json)];
        let ([method, params], texts) = self.members(payload, wanted)?;
        let method = method.ok_or_else(|| shape("the member method is missing"))?;
        Ok((texts.of(method), params.map_or("null", |it| texts.of(it))))
    }

    /// A claim (CL-001 to CL-005). Without any payload it is one without secret.
    ///
    /// # Errors
    /// The first thing wrong with the payload.
    pub fn claim<'a>(&'a mut self, payload: &'a [u8]) -> Result<Claim<'a>, Reject> {
        if is_blank(utf8(payload, &mut self.repaired))? {
            return Ok(Claim { secret: "", duration_ms: None });
        }
        let wanted = [("secretKey", Kind::Text), ("durationMs", Kind::Text)];
        let ([secret, duration], texts) = self.members(payload, wanted)?;
        let duration = duration.map(|it| texts.of(it)).map(|text| {
            number::whole_part(text).ok_or_else(|| {
                shape(&format!("durationMs is not a number of milliseconds: {}", quoted(text)))
            })
        });
        let duration_ms = duration.transpose()?.and_then(|it| u64::try_from(it).ok());
        Ok(Claim {
            secret: secret.map_or("", |it| texts.of(it)),
            duration_ms: duration_ms.filter(|ms| *ms > 0),
        })
    }

    /// Parameters that came as a text of their own, as compact JSON; base64 becomes a string (PB-033).
    ///
    /// # Errors
    /// `PayloadNotJson` when they are neither.
    pub(crate) fn params<'a>(&'a mut self, text: &str) -> Result<&'a str, Reject> {
        if is_blank(text)? {
            return Ok("null");
        }
        match self.any(text) {
            Ok(span) => Ok(self.nested.slice(span)),
            Err(_) if is_base64(text) => {
                self.repaired.clear();
                write_string(&mut self.repaired, text);
                Ok(&self.repaired)
            }
            Err(reject) => Err(reject),
        }
    }

    /// Any JSON value, compact.
    fn any(&mut self, text: &str) -> Result<Span, Reject> {
        let Self { unescaped, nested, .. } = self;
        unescaped.clear();
        nested.clear();
        let mut lexer = Lexer::new(text);
        open(&mut lexer)?;
        let token = lexer.value(Place::Single, unescaped)?;
        let span = nested.value(&mut lexer, unescaped, token, MEMBER_LEVEL)?;
        lexer.end()?;
        Ok(span)
    }

    /// A payload that is not interpreted, as text (RP-006, JS-004).
    pub fn text<'a>(&'a mut self, payload: &'a [u8]) -> &'a str {
        utf8(payload, &mut self.repaired)
    }

    /// Reads an object and gives the members with these names; of equal names the last counts.
    pub(super) fn members<'a, const N: usize>(
        &'a mut self,
        payload: &'a [u8],
        wanted: [(&'static str, Kind); N],
    ) -> Result<([Option<Found>; N], Texts<'a>), Reject> {
        let Self { repaired, unescaped, nested, .. } = self;
        unescaped.clear();
        nested.clear();
        let mut lexer = Lexer::new(utf8(payload, repaired));
        open(&mut lexer)?;
        match lexer.value(Place::Single, unescaped)? {
            Token::Object => {}
            other => return Err(no_object(other, &lexer)),
        }
        let mut found = [None; N];
        let mut is_first = true;
        while let Some(name) = lexer.member(is_first, unescaped)? {
            is_first = false;
            let name = name.of(&lexer, unescaped);
            let at = wanted.iter().position(|(known, _)| *known == name);
            let token = lexer.value(Place::Single, unescaped)?;
            match at.and_then(|at| Some((wanted.get(at)?, found.get_mut(at)?))) {
                Some(((name, Kind::Text), place)) => {
                    *place = Some(text(name, token, &mut lexer, unescaped)?);
                }
                Some(((_, Kind::TextOrNull), place)) if token == Token::Null => *place = None,
                Some(((name, Kind::TextOrNull), place)) => {
                    *place = Some(text(name, token, &mut lexer, unescaped)?);
                }
                Some(((_, Kind::Json), place)) => {
                    let json = nested.value(&mut lexer, unescaped, token, MEMBER_LEVEL)?;
                    *place = Some(Found::Json(json));
                }
                // Nobody wants it, but it must be JSON.
                None => drop(nested.value(&mut lexer, unescaped, token, MEMBER_LEVEL)?),
            }
        }
        lexer.end()?;
        Ok((found, Texts { lexer, unescaped, nested }))
    }
}

/// What a member is wanted as.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// One text.
    Text,
    /// The same; null stands for none.
    TextOrNull,
    /// Compact JSON, whatever it is.
    Json,
}

/// Where the text of a value is.
#[derive(Clone, Copy)]
pub(super) enum Found {
    Text(Text),
    /// In the payload.
    Payload(Span),
    /// Among what was written anew.
    Json(Span),
    Literal(&'static str),
}

/// The places where texts lie.
pub(super) struct Texts<'a> {
    lexer: Lexer<'a>,
    unescaped: &'a str,
    nested: &'a Nested,
}

impl<'a> Texts<'a> {
    pub(super) fn of(&self, found: Found) -> &'a str {
        match found {
            Found::Text(text) => text.of(&self.lexer, self.unescaped),
            Found::Payload(span) => self.lexer.slice(span),
            Found::Json(span) => self.nested.slice(span),
            Found::Literal(text) => text,
        }
    }
}

/// The size of chunks in the payload of a package request; none when it names none above 0 (OT-010,
/// OT-011).
///
/// # Errors
/// `PackageRequest` when it is not a 32-bit decimal number (OT-019).
pub(crate) fn chunk_size(payload: &[u8]) -> Result<Option<u32>, Reject> {
    if payload.is_empty() {
        return Ok(None);
    }
    let size: Option<i32> = str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
    let size = size.ok_or_else(|| {
        let found = quoted(&String::from_utf8_lossy(payload));
        let detail = format!("the size of a chunk is expected, as decimal text: {found}");
        Reject::new(Reason::PackageRequest, detail)
    })?;
    Ok(u32::try_from(size).ok().filter(|size| *size > 0))
}

fn is_base64(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    text.len().is_multiple_of(4) && text.bytes().all(is_digit)
}

/// Whether there is nothing but white space and comments.
fn is_blank(text: &str) -> Result<bool, Fault> {
    let mut lexer = Lexer::new(text);
    lexer.skip_prefix()?;
    Ok(lexer.significant()?.is_none())
}

/// The value of a member that stands for one text.
fn text(
    name: &str,
    token: Token,
    lexer: &mut Lexer<'_>,
    unescaped: &mut String,
) -> Result<Found, Reject> {
    if token != Token::Array {
        return scalar(name, token);
    }
    let several = || shape(&format!("{name} is a list of more or less than one text"));
    if !lexer.element(true)? {
        return Err(several());
    }
    let only = lexer.value(Place::Element, unescaped)?;
    let found = scalar(name, only)?;
    if lexer.element(false)? { Err(several()) } else { Ok(found) }
}

fn scalar(name: &str, token: Token) -> Result<Found, Reject> {
    Ok(match token {
        Token::String(text) => Found::Text(text),
        Token::Word(span) | Token::Number(span) => Found::Payload(span),
        Token::Bool(true) => Found::Literal("true"),
        Token::Bool(false) => Found::Literal("false"),
        Token::Null => return Err(shape(&format!("{name} is null"))),
        Token::Object | Token::Array => return Err(shape(&format!("{name} is not a text"))),
    })
}

fn shape(what: &str) -> Reject {
    Reject::new(Reason::PayloadShape, what)
}

/// Nesting of a member's value.
const MEMBER_LEVEL: usize = 2;
