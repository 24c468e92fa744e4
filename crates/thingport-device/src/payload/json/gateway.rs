//! What a gateway says about its devices, in JSON (device API 8.2 to 8.6).
//!
//! A document that is no JSON says nothing of anybody. What is wrong with one device's part is noted there
//! (E-GWDEV), and the others' parts are read all the same; only what is wrong with the whole is refused
//! (E-GW).

use thingport_model::child::{ChildBatch, ChildSaid, ChildUplink, Passage, Unread};
use thingport_model::port::ledger::Keys;
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::rpc::ReplyTo;
use thingport_model::time::Timestamp;

use super::question::Kind;
use super::{Decoder, no_object, open, records, utf8};
use crate::payload::Typing;
use crate::payload::fault::Fault;
use crate::payload::lexer::{Lexer, Place, Span, Token};
use crate::payload::number;
use crate::reject::{Reject, quoted};

/// How an answer to an attribute request is written: a way to ask of the gateway API.
pub(crate) mod way {
    /// One key was asked for: the answer has one value (GW-043, GW-044).
    pub(crate) const ONE: u8 = 16;
    /// Several were, or all: it has an object (GW-045).
    pub(crate) const SEVERAL: u8 = 17;
}

/// What stands in one device's part of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A list of records.
    Telemetry,
    /// An object of attributes.
    Attributes,
}

impl Decoder {
    /// Readings or attributes of devices, by name (GW-030, GW-031).
    pub(crate) fn of_children(
        &mut self,
        payload: &[u8],
        part: Part,
        (now, typing): (Timestamp, &Typing),
        batch: &mut ChildBatch,
    ) -> Result<(), Reject> {
        let mut repaired = core::mem::take(&mut self.repaired);
        let text = utf8(payload, &mut repaired);
        let read = self.parts(text, part, (now, typing), batch);
        self.repaired = repaired;
        read
    }

    fn parts(
        &mut self,
        text: &str,
        part: Part,
        (now, typing): (Timestamp, &Typing),
        batch: &mut ChildBatch,
    ) -> Result<(), Reject> {
        let mut lexer = begin(text, &mut self.unescaped)?;
        let mut is_first = true;
        loop {
            self.unescaped.clear();
            let Some(name) = lexer.member(is_first, &mut self.unescaped)? else { break };
            is_first = false;
            let name: Box<str> = name.of(&lexer, &self.unescaped).into();
            let token = lexer.value(Place::Single, &mut self.unescaped)?;
            // Names are counted for each device alone.
            let mut inner = lexer.again(lexer.position());
            let is_wanted = match part {
                Part::Telemetry => token == Token::Array,
                Part::Attributes => token == Token::Object,
            };
            if is_wanted {
                let said = self.part(&mut inner, part, (now, typing), &mut batch.passages)?;
                batch.said.push(ChildSaid { name, kind: None, said });
            } else {
                // GW-034
                self.skip(&mut inner, token)?;
            }
            lexer = inner;
        }
        lexer.end()?;
        if batch.said.is_empty() {
            return Err(wrong("no member is what a device says"));
        }
        Ok(())
    }

    /// One device's part, whose bracket was consumed. What is wrong with it is part of the answer, unless it
    /// is no JSON.
    fn part(
        &mut self,
        lexer: &mut Lexer<'_>,
        part: Part,
        (now, typing): (Timestamp, &Typing),
        passages: &mut Vec<Passage>,
    ) -> Result<Result<ChildUplink, Unread>, Reject> {
        let begin = lexer.position();
        let mut out = Readings::default();
        let Self { record, unescaped, .. } = &mut *self;
        record.begin();
        let read = match part {
            Part::Attributes => record.attributes(lexer, now, typing, &mut out),
            Part::Telemetry => records(lexer, unescaped, |lexer| {
                record.telemetry(lexer, RECORD_LEVEL, now, typing, &mut out)
            }),
        };
        let end = lexer.position();
        let read = read.and_then(|()| match part {
            Part::Telemetry => self.passages(lexer.again(begin), end, passages),
            Part::Attributes => Ok(()),
        });
        match read {
            Ok(()) => Ok(Ok(match part {
                Part::Telemetry => ChildUplink::Telemetry(out),
                Part::Attributes => ChildUplink::Attributes(out),
            })),
            Err(reject) => {
                // Whether all of it is JSON is known when it is read to its end.
                let mut again = lexer.again(begin);
                let is_list = part == Part::Telemetry;
                self.skip(&mut again, if is_list { Token::Array } else { Token::Object })?;
                *lexer = again;
                let Reject { reason, detail } = reject;
                Ok(Err(Unread { reason, detail }))
            }
        }
    }

    /// When the records of a list passed the gateway, where they say so (GW-070). The list begins where the
    /// lexer stands and ends at `end`.
    fn passages(
        &mut self,
        mut lexer: Lexer<'_>,
        end: u32,
        passages: &mut Vec<Passage>,
    ) -> Result<(), Reject> {
        let list = lexer.slice(Span::new(lexer.position() as usize, end as usize));
        if !list.contains(METADATA) {
            return Ok(());
        }
        let mut is_first = true;
        while lexer.element(is_first)? {
            is_first = false;
            lexer.value(Place::Element, &mut self.unescaped)?;
            passages.extend(self.passage(&mut lexer)?);
        }
        Ok(())
    }

    /// The same of the record whose brace was consumed.
    fn passage(&mut self, lexer: &mut Lexer<'_>) -> Result<Option<Passage>, Reject> {
        let (mut has_ts, mut has_values, mut metadata) = (false, false, None);
        let mut is_first = true;
        loop {
            self.unescaped.clear();
            let Some(name) = lexer.member(is_first, &mut self.unescaped)? else { break };
            is_first = false;
            let name = name.of(lexer, &self.unescaped);
            let is_metadata = name == METADATA;
            has_ts |= name == "ts";
            has_values |= name == "values";
            let token = lexer.value(Place::Single, &mut self.unescaped)?;
            let from = lexer.position();
            self.skip(lexer, token)?;
            if is_metadata {
                metadata = Some((token, from));
            }
        }
        match metadata {
            // Only beside ts and values; else it is a reading like any other.
            Some((Token::Object, from)) if has_ts && has_values => {
                self.metadata(lexer.again(from)).map(Some)
            }
            Some(_) if has_ts && has_values => Err(shape("metadata is not an object")),
            _ => Ok(None),
        }
    }

    fn metadata(&mut self, mut lexer: Lexer<'_>) -> Result<Passage, Reject> {
        let (mut connector, mut received, mut published) = (None, None, None);
        let mut is_first = true;
        loop {
            self.unescaped.clear();
            let Some(name) = lexer.member(is_first, &mut self.unescaped)? else { break };
            is_first = false;
            let name = String::from(name.of(&lexer, &self.unescaped));
            let token = lexer.value(Place::Single, &mut self.unescaped)?;
            let text = match token {
                Token::String(text) => Some(text.of(&lexer, &self.unescaped)),
                Token::Number(span) | Token::Word(span) => Some(lexer.slice(span)),
                _ => None,
            };
            let moment = || text.and_then(number::whole_part).map(Timestamp);
            match name.as_str() {
                "connector" => connector = text.map(Box::from),
                "receivedTs" => received = moment(),
                "publishedTs" => published = moment(),
                _ => {}
            }
            self.skip(&mut lexer, token)?;
        }
        match (connector, received, published) {
            (Some(connector), Some(received_at), Some(published_at)) => {
                Ok(Passage { connector, received_at, published_at })
            }
            _ => Err(shape("metadata needs connector, receivedTs and publishedTs")),
        }
    }

    /// A device that has come or gone (GW-010, GW-013).
    pub(crate) fn child_itself(
        &mut self,
        payload: &[u8],
        said: ChildUplink,
        batch: &mut ChildBatch,
    ) -> Result<(), Reject> {
        let wanted = [("device", Kind::Text), ("type", Kind::TextOrNull)];
        let ([device, kind], texts) = self.members(payload, wanted).map_err(of_whole)?;
        let name = named(device.map(|it| texts.of(it)))?;
        let kind = kind.map(|it| texts.of(it).into());
        batch.said.push(ChildSaid { name, kind, said: Ok(said) });
        Ok(())
    }

    /// A device's answer to a call (GW-053, GW-054).
    pub(crate) fn child_answer(
        &mut self,
        payload: &[u8],
        batch: &mut ChildBatch,
    ) -> Result<(), Reject> {
        let wanted = [("device", Kind::Text), ("id", Kind::Text), ("data", Kind::Json)];
        let ([device, id, data], texts) = self.members(payload, wanted).map_err(of_whole)?;
        let name = named(device.map(|it| texts.of(it)))?;
        let id = integer("id", id.map(|it| texts.of(it)))?;
        let body = data.ok_or_else(|| wrong("the member data is missing"))?;
        // A number that no call can have is one that nobody waits for.
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        let said = ChildUplink::CallAnswer { id, body: texts.of(body).to_owned() };
        batch.said.push(ChildSaid { name, kind: None, said: Ok(said) });
        Ok(())
    }

    /// A question for a device's attributes (GW-041, GW-042, GW-048, GW-049).
    pub(crate) fn child_question(
        &mut self,
        payload: &[u8],
        batch: &mut ChildBatch,
    ) -> Result<(), Reject> {
        let wanted = [
            ("device", Kind::Text),
            ("id", Kind::Text),
            ("client", Kind::Text),
            ("key", Kind::TextOrNull),
            ("keys", Kind::Json),
        ];
        let ([device, id, client, key, keys], texts) =
            self.members(payload, wanted).map_err(of_whole)?;
        let name = named(device.map(|it| texts.of(it)))?;
        let id = integer("id", id.map(|it| texts.of(it)))?;
        let id = i32::try_from(id).map_err(|_| wrong("id is no 32-bit number"))?;
        let client = client.ok_or_else(|| wrong("the member client is missing"))?;
        let is_client = texts.of(client) == "true";
        let keys = match (key, keys) {
            (Some(key), _) => vec![texts.of(key).to_owned()],
            (None, Some(keys)) => list(texts.of(keys))?,
            (None, None) => return Err(wrong("one of the members key and keys is needed")),
        };
        batch.said.push(ChildSaid {
            said: Ok(question(id.cast_unsigned(), is_client, keys)),
            kind: None,
            name,
        });
        Ok(())
    }

    /// Devices that may be claimed (GW-032).
    pub(crate) fn child_claims(
        &mut self,
        payload: &[u8],
        batch: &mut ChildBatch,
    ) -> Result<(), Reject> {
        let mut claims = Vec::new();
        let mut repaired = core::mem::take(&mut self.repaired);
        let read = self.objects(utf8(payload, &mut repaired), &mut claims);
        self.repaired = repaired;
        read?;
        if claims.is_empty() {
            return Err(wrong("no member is what a device says"));
        }
        for (name, body) in claims {
            let claim = self.claim(body.as_bytes());
            let said = claim.map(|it| ChildUplink::Claim {
                secret: it.secret.to_owned(),
                duration_ms: it.duration_ms,
            });
            let said = said.map_err(|Reject { reason, detail }| Unread { reason, detail });
            batch.said.push(ChildSaid { name, kind: None, said });
        }
        Ok(())
    }

    /// Members that are objects, with their text.
    fn objects(&mut self, text: &str, found: &mut Vec<(Box<str>, String)>) -> Result<(), Reject> {
        let mut lexer = begin(text, &mut self.unescaped)?;
        let mut is_first = true;
        loop {
            self.unescaped.clear();
            let Some(name) = lexer.member(is_first, &mut self.unescaped)? else { break };
            is_first = false;
            let name = Box::from(name.of(&lexer, &self.unescaped));
            let token = lexer.value(Place::Single, &mut self.unescaped)?;
            self.nested.clear();
            let Self { nested, unescaped, .. } = &mut *self;
            let span = nested.value(&mut lexer, unescaped, token, PART_LEVEL)?;
            if token == Token::Object {
                found.push((name, self.nested.slice(span).to_owned()));
            }
        }
        Ok(lexer.end()?)
    }

    /// Reads a value to its end that began with `token`; it must be JSON.
    fn skip(&mut self, lexer: &mut Lexer<'_>, token: Token) -> Result<(), Fault> {
        self.nested.clear();
        self.nested.value(lexer, &mut self.unescaped, token, PART_LEVEL).map(drop)
    }
}

/// A question for these attributes, all of both scopes if none is named (GW-048).
pub(crate) fn question(id: u32, is_client: bool, keys: Vec<String>) -> ChildUplink {
    let way = if keys.len() == 1 { way::ONE } else { way::SEVERAL };
    let reply_to = ReplyTo { way, id };
    let (client, shared) = match keys.is_empty() {
        true => (Some(Keys::All), Some(Keys::All)),
        false if is_client => (Some(Keys::Named(keys)), None),
        false => (None, Some(Keys::Named(keys))),
    };
    ChildUplink::AttributeRequest { reply_to, client, shared }
}

/// Goes into the object that a document must be.
fn begin<'a>(text: &'a str, unescaped: &mut String) -> Result<Lexer<'a>, Reject> {
    unescaped.clear();
    let mut lexer = Lexer::new(text);
    open(&mut lexer)?;
    match lexer.value(Place::Single, unescaped)? {
        Token::Object => Ok(lexer),
        other => Err(of_whole(no_object(other, &lexer))),
    }
}

fn list(keys: &str) -> Result<Vec<String>, Reject> {
    let listed = serde_json::from_str::<Vec<serde_json::Value>>(keys);
    let listed = listed.map_err(|_| wrong("keys is not a list"))?;
    let mut names = Vec::with_capacity(listed.len());
    for key in listed {
        names.push(match key {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            _ => return Err(wrong("keys is not a list of texts")),
        });
    }
    Ok(names)
}

fn named(name: Option<&str>) -> Result<Box<str>, Reject> {
    match name {
        Some("") => Err(wrong("the member device is empty")),
        Some(name) => Ok(name.into()),
        None => Err(wrong("the member device is missing")),
    }
}

fn integer(name: &str, text: Option<&str>) -> Result<i64, Reject> {
    let text = text.ok_or_else(|| wrong(&format!("the member {name} is missing")))?;
    let number = number::whole_part(text);
    number.ok_or_else(|| wrong(&format!("{name} is not a number: {}", quoted(text))))
}

/// What is JSON but of another shape is wrong with the gateway's message as a whole (E-GW).
fn of_whole(reject: Reject) -> Reject {
    match reject.reason {
        Reason::PayloadShape => Reject { reason: Reason::GatewayMessage, ..reject },
        _ => reject,
    }
}

fn wrong(what: &str) -> Reject {
    Reject::new(Reason::GatewayMessage, what)
}

fn shape(what: &str) -> Reject {
    Reject::new(Reason::PayloadShape, what)
}

/// The member beside `ts` and `values` that says when readings passed the gateway.
const METADATA: &str = "metadata";
/// Nesting of a device's part, and of a record in it.
const PART_LEVEL: usize = 2;
const RECORD_LEVEL: usize = 3;
