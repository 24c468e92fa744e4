//! A message taken apart for people: which bytes are which field, and what no field claims.

use super::json::{Scalar, scalar, write_scalar};
use super::schema::Schema;
use super::table::{Field, Kind, Label, Message, ROOT, Table};
use super::wire::{DEPTH_MAX, Part, Raw, Wire, WireType};
use crate::payload::write::write_string;

/// One field as it stands in the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dissected {
    /// Where its tag begins in the payload.
    pub offset: usize,
    /// Bytes of tag and value.
    pub length: usize,
    /// Its number.
    pub number: u32,
    /// How it is written: `VARINT`, `I64`, `LEN`, `GROUP` or `I32`.
    pub wire: &'static str,
    /// Names from the root on, with points between them; empty when the schema does not know it.
    pub path: String,
    /// Its type in the schema: `double`, `repeated int32`, `message`; empty when unknown.
    pub kind: String,
    /// Its value as JSON; of a message nothing, since its fields follow. Cut when long.
    pub value: String,
    /// How many messages it is in.
    pub depth: usize,
}

impl Dissected {
    /// Whether the schema knows it; otherwise it is left over.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        !self.kind.is_empty()
    }
}

/// Takes a message apart, fields in order of appearance; at most [`DISSECTED_MAX`], and none behind a
/// place that cannot be read.
#[must_use]
pub fn dissect(schema: &Schema, payload: &[u8]) -> Vec<Dissected> {
    let mut found = Dissection { table: schema.table(), found: Vec::new() };
    found.message(found.table.message(ROOT), Part::of(payload), "", 0);
    found.found
}

struct Dissection<'t> {
    table: &'t Table,
    found: Vec<Dissected>,
}

impl Dissection<'_> {
    fn message(&mut self, message: &Message, part: Part<'_>, path: &str, depth: usize) {
        let mut wire = Wire::new(part);
        loop {
            let offset = wire.position();
            let Ok(Some(tag)) = wire.tag() else { return };
            let Ok(raw) = wire.value(tag) else { return };
            if self.found.len() >= DISSECTED_MAX {
                return;
            }
            let known = message.find(tag >> 3).and_then(|at| message.fields.get(at));
            let known = known.filter(|field| field.takes(tag));
            let field = Place { offset, length: wire.position() - offset, tag, raw, part };
            self.found.push(field.dissected(known, self.table, path, depth));
            if let Some(Field { kind: Kind::Message(at), name, .. }) = known
                && depth + 1 < DEPTH_MAX
            {
                let inner = self.table.message(*at);
                let path = join(path, name);
                // A type with a form of its own has no fields here.
                if inner.well_known.is_none() {
                    self.message(inner, part.sub(raw), &path, depth + 1);
                }
            }
        }
    }
}

/// Where a field is and what stands there.
struct Place<'p> {
    offset: usize,
    length: usize,
    tag: u32,
    raw: Raw,
    part: Part<'p>,
}

impl Place<'_> {
    fn dissected(
        &self,
        known: Option<&Field>,
        table: &Table,
        path: &str,
        depth: usize,
    ) -> Dissected {
        let wire = match WireType::of(self.tag) {
            Some(WireType::Varint) => "VARINT",
            Some(WireType::Fixed64) => "I64",
            Some(WireType::Bytes) => "LEN",
            Some(WireType::Group) => "GROUP",
            Some(WireType::Fixed32) => "I32",
            None => "",
        };
        let mut value = known.map_or_else(|| self.guess(), |field| self.value(field, table));
        if value.len() > VALUE_MAX {
            let end = (0..=VALUE_MAX).rev().find(|at| value.is_char_boundary(*at));
            value.truncate(end.unwrap_or(0));
            value.push_str("...");
        }
        let Self { offset, length, tag, .. } = *self;
        let number = tag >> 3;
        let path = known.map(|field| join(path, &field.name)).unwrap_or_default();
        let kind = known.map(kind_of).unwrap_or_default();
        Dissected { offset, length, number, wire, path, kind, value, depth }
    }

    fn value(&self, field: &Field, table: &Table) -> String {
        let mut text = String::new();
        match field.kind {
            Kind::Message(_) => {}
            kind if kind.wire().is_some() && self.raw.is_stretch() => {
                self.packed(kind, table, &mut text);
            }
            kind => {
                if let Ok(scalar) = scalar(table, kind, self.raw, self.part) {
                    write_scalar(&mut text, scalar);
                }
            }
        }
        text
    }

    fn packed(&self, kind: Kind, table: &Table, text: &mut String) {
        let Some(tag) = kind.wire().map(|wire| wire.tag(1)) else { return };
        let mut wire = Wire::new(self.part.sub(self.raw));
        text.push('[');
        while !wire.is_empty() && text.len() <= VALUE_MAX {
            let Ok(raw) = wire.value(tag) else { break };
            let Ok(scalar) = scalar(table, kind, raw, self.part) else { break };
            if !text.ends_with('[') {
                text.push(',');
            }
            write_scalar(text, scalar);
        }
        text.push(']');
    }

    /// What an unknown field may be: a text that can be read, otherwise bytes as base64.
    fn guess(&self) -> String {
        let mut out = String::new();
        let part = self.part.sub(self.raw);
        let text = part.text().ok().filter(|it| !it.contains(char::is_control));
        match text.filter(|_| self.raw.is_stretch()) {
            Some(text) => write_string(&mut out, text),
            None if self.raw.is_stretch() => write_scalar(&mut out, Scalar::Bytes(part.bytes())),
            None => write_scalar(&mut out, Scalar::Uint64(self.raw.bits())),
        }
        out
    }
}

fn kind_of(field: &Field) -> String {
    let kind = match field.kind {
        Kind::Double => "double",
        Kind::Float => "float",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Uint32 => "uint32",
        Kind::Uint64 => "uint64",
        Kind::Sint32 => "sint32",
        Kind::Sint64 => "sint64",
        Kind::Fixed32 => "fixed32",
        Kind::Fixed64 => "fixed64",
        Kind::Sfixed32 => "sfixed32",
        Kind::Sfixed64 => "sfixed64",
        Kind::Bool => "bool",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Enum(_) => "enum",
        Kind::Message(_) => "message",
    };
    match field.label {
        Label::Map => "map".to_owned(),
        Label::Repeated => format!("repeated {kind}"),
        Label::Implicit | Label::Optional | Label::Required => kind.to_owned(),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Most fields that are told of one payload.
pub const DISSECTED_MAX: usize = 1_000;
/// Bytes of a value that are told.
const VALUE_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::super::SchemaKind;
    use super::*;

    #[test]
    fn every_byte_belongs_to_a_field_or_is_left_over() {
        let text = "syntax = \"proto3\"; message T { double t = 1; M m = 2; repeated int32 r = 3; \
                    message M { string key_one = 1; } }";
        let schema = Schema::compile(SchemaKind::Telemetry, text, Some("T")).expect("compiles");
        let payload =
            b"\x09\0\0\0\0\0\0\x35\x40\x12\x04\x0a\x02hi\x1a\x02\x01\x02\x50\x07\x5a\x01x";
        let found: Vec<String> = dissect(&schema, payload)
            .iter()
            .map(|it| {
                let Dissected { offset, length, number, wire, path, kind, value, depth } = it;
                format!("{offset}+{length} {number} {wire} {path} {kind} {value} {depth}")
            })
            .collect();
        assert_eq!(
            found,
            [
                "0+9 1 I64 t double 21.0 0",
                "9+6 2 LEN m message  0",
                "11+4 1 LEN m.keyOne string \"hi\" 1",
                "15+4 3 LEN r repeated int32 [1,2] 0",
                "19+2 10 VARINT   \"7\" 0",
                "21+3 11 LEN   \"x\" 0",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_ends_the_list_and_long_ones_are_cut() {
        let text = "syntax = \"proto3\"; message T { string s = 1; repeated int32 r = 2; }";
        let schema = Schema::compile(SchemaKind::Telemetry, text, None).expect("compiles");
        assert_eq!(dissect(&schema, b"\x10\x01\x0a\x05x").len(), 1);
        assert_eq!(dissect(&schema, &[0x10, 0x01].repeat(5_000)).len(), DISSECTED_MAX);
        let long = [&[0x0A, 0xFF, 0x03][..], &[b'y'; 511]].concat();
        assert!(dissect(&schema, &long)[0].value.len() <= VALUE_MAX + 3);
    }
}
