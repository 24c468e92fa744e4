//! What a schema must be besides well formed (PB-001 to PB-006, REST API P-1 to P-7).

use prost_reflect::prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use protox::file::File;

use super::{Diagnostic, FIELDS_MAX, SCHEMA_BYTES_MAX, SchemaKind};
use crate::payload::sink::KEY_MAX;

type Checked<T = ()> = Result<T, Vec<Diagnostic>>;

/// What can be said before anything is parsed.
pub(super) fn check_text(text: &str) -> Checked {
    if text.len() > SCHEMA_BYTES_MAX {
        let what = format!("the schema has {} bytes", text.len());
        return wrong(Diagnostic::placed(0, 0, &what, &format!("at most {SCHEMA_BYTES_MAX}")));
    }
    match too_deep(text.as_bytes()) {
        Some(at) => {
            let expected = format!("at most {BRACKETS_MAX} in each other");
            wrong(Diagnostic::at(text, at, "too many brackets are open", &expected))
        }
        None => Ok(()),
    }
}

/// Where brackets stand too deep in each other: the parser goes down with them. Strings and comments
/// are read as if they were code, which may find too many, never too few.
fn too_deep(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    text.iter().position(|byte| {
        match byte {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > BRACKETS_MAX
    })
}

/// The parser takes a file without the statement for proto2; whoever forgot it meant proto3.
pub(super) fn check_syntax(text: &str) -> Checked {
    if text.contains("syntax") {
        return Ok(());
    }
    let expected = "syntax = \"proto3\"; or syntax = \"proto2\"; as the first statement";
    wrong(Diagnostic::placed(0, 0, "the syntax is not named", expected))
}

/// What can be said of one file alone.
pub(super) fn check_file(file: &File, text: &str) -> Checked {
    let proto = file.file_descriptor_proto();
    if !names_syntax(proto) {
        return check_syntax("");
    }
    let foreign = proto.dependency.iter().position(|name| !name.starts_with(GOOGLE));
    if let Some(at) = foreign {
        let name = proto.dependency.get(at).map_or("", |name| name);
        let offset = text.find(name).unwrap_or_default();
        let what = format!("{name:?} cannot be imported");
        let expected = "one of google/protobuf/*.proto, or the messages themselves";
        return wrong(Diagnostic::at(text, offset, &what, expected));
    }
    if let Some(name) = long_name(proto) {
        let offset = name.get(..NAME_MAX).and_then(|begin| text.find(begin)).unwrap_or_default();
        let what = format!("a name has {} bytes", name.len());
        return wrong(Diagnostic::at(text, offset, &what, &format!("at most {NAME_MAX}")));
    }
    if proto.message_type.is_empty() {
        let expected = "at least one message";
        return wrong(Diagnostic::at(text, text.len(), "there is no message", expected));
    }
    let fields = proto.message_type.iter().map(fields_of).sum::<usize>();
    if fields > FIELDS_MAX {
        let what = format!("the schema has {fields} fields");
        return wrong(Diagnostic::placed(0, 0, &what, &format!("at most {FIELDS_MAX}")));
    }
    Ok(())
}

/// A name that is too long. The compiler looks for each type in every part of the package, and writes
/// the whole name of everything: with long ones its work grows with the square of the text.
fn long_name(proto: &FileDescriptorProto) -> Option<&str> {
    let mut messages: Vec<&DescriptorProto> = proto.message_type.iter().collect();
    let mut found = Some(proto.package()).filter(|name| name.len() > NAME_MAX);
    while let Some(message) = messages.pop() {
        let fields = message.field.iter().chain(&message.extension);
        let mut names = fields
            .flat_map(|field| [field.name(), field.type_name(), field.extendee()])
            .chain(message.enum_type.iter().map(EnumDescriptorProto::name))
            .chain([message.name()]);
        found = found.or_else(|| names.find(|name| name.len() > NAME_MAX));
        messages.extend(&message.nested_type);
    }
    found
}

/// Whether there is a statement, and not the word alone.
fn names_syntax(proto: &FileDescriptorProto) -> bool {
    let mut locations = proto.source_code_info.iter().flat_map(|info| &info.location);
    locations.any(|location| location.path == SYNTAX)
}

fn fields_of(message: &DescriptorProto) -> usize {
    let own = message.field.len() + message.extension.len();
    own + message.nested_type.iter().map(fields_of).sum::<usize>()
}

/// The root: the message of this name, full or without package, else the last at top level (PB-004).
pub(super) fn root(
    pool: &DescriptorPool,
    file: &str,
    name: Option<&str>,
    text: &str,
) -> Checked<MessageDescriptor> {
    let file = pool.get_file_by_name(file);
    let messages = || file.iter().flat_map(|file| file.messages());
    let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else {
        return messages().last().ok_or_else(|| {
            vec![Diagnostic::at(text, text.len(), "there is no message", "at least one message")]
        });
    };
    let package = file.as_ref().map_or("", |file| file.package_name());
    let in_package = format!("{package}.{name}");
    [name, &in_package]
        .into_iter()
        .find_map(|name| pool.get_message_by_name(name))
        .filter(|found| !found.is_map_entry())
        .ok_or_else(|| {
            let known: Vec<String> = messages().map(|it| it.name().to_owned()).collect();
            let what = format!("there is no message {name:?} to be the root");
            vec![Diagnostic::placed(0, 0, &what, &format!("one of {}", known.join(", ")))]
        })
}

/// What the root must be.
pub(super) fn check_root(
    kind: SchemaKind,
    root: &MessageDescriptor,
    file: &File,
    text: &str,
) -> Checked {
    let place = Place { root, file, text };
    if let Some(field) = root.fields().find(|it| it.json_name().chars().count() > KEY_MAX) {
        let what = format!("the name of field {} is too long for a key", field.number());
        return place.field(&field, &what, &format!("at most {KEY_MAX} characters"));
    }
    match kind {
        SchemaKind::Telemetry => check_telemetry(&place),
        SchemaKind::RpcRequest => check_call(&place),
        SchemaKind::Attributes | SchemaKind::RpcResponse => Ok(()),
    }
}

/// PB-005
fn check_telemetry(place: &Place<'_>) -> Checked {
    let root = place.root;
    if root.fields().len() == 0 {
        return place.message("the root message has no field", "at least one");
    }
    let (ts, values) = (root.get_field_by_name("ts"), root.get_field_by_name("values"));
    let (Some(ts), Some(values), 2) = (ts, values, root.fields().len()) else { return Ok(()) };
    let is_long = matches!(ts.kind(), Kind::Int64) && !ts.is_list() && ts.supports_presence();
    if !is_long {
        let expected = "optional int64 ts, since the message has just ts and values";
        return place.field(&ts, "ts is not an optional int64", expected);
    }
    let is_object = values.is_map() || (values.kind().as_message().is_some() && !values.is_list());
    if !is_object {
        let expected = "a message or map type for values, since the message has just ts and values";
        return place.field(&values, "values is not a message", expected);
    }
    Ok(())
}

/// PB-006
fn check_call(place: &Place<'_>) -> Checked {
    let root = place.root;
    let wanted =
        [("method", Some(Kind::String)), ("requestId", Some(Kind::Int32)), ("params", None)];
    for (name, kind) in &wanted {
        let Some(field) = root.get_field_by_json_name(name) else {
            let what = format!("the root message has no field {name}");
            return place.message(&what, "method (string), requestId (int32) and params");
        };
        if field.is_list() || field.is_map() {
            let what = format!("{name} is repeated");
            return place.field(&field, &what, "a single value");
        }
        if let Some(kind) = kind.as_ref().filter(|kind| field.kind() != **kind) {
            let kind = if *kind == Kind::String { "string" } else { "int32" };
            let what = format!("{name} is not of type {kind}");
            return place.field(&field, &what, &format!("{kind} {name}"));
        }
    }
    if root.fields().len() == wanted.len() {
        return Ok(());
    }
    let what = format!("the root message has {} fields", root.fields().len());
    place.message(&what, "exactly method, requestId and params")
}

/// Where things stand in the text.
struct Place<'a> {
    root: &'a MessageDescriptor,
    file: &'a File,
    text: &'a str,
}

impl Place<'_> {
    fn message(&self, what: &str, expected: &str) -> Checked {
        wrong(self.at(self.root.path(), what, expected))
    }

    fn field(&self, field: &FieldDescriptor, what: &str, expected: &str) -> Checked {
        wrong(self.at(field.path(), what, expected))
    }

    fn at(&self, path: &[i32], what: &str, expected: &str) -> Diagnostic {
        let info = self.file.file_descriptor_proto().source_code_info.as_ref();
        let mut locations = info.iter().flat_map(|info| &info.location);
        match locations.find(|it| it.path == path).map(|it| it.span.as_slice()) {
            Some([line, column, ..]) => {
                let number = |it: &i32| usize::try_from(*it).unwrap_or_default();
                Diagnostic::placed(number(line), number(column), what, expected)
            }
            _ => Diagnostic::at(self.text, 0, what, expected),
        }
    }
}

fn wrong(found: Diagnostic) -> Checked {
    Err(vec![found])
}

const GOOGLE: &str = "google/protobuf/";
/// The path of the syntax statement among the locations of a file.
const SYNTAX: &[i32] = &[12];
/// Longest name, the package included, in bytes: as long as a key.
const NAME_MAX: usize = KEY_MAX;
/// Most brackets that are open at once; messages may stand 31 deep in each other.
const BRACKETS_MAX: usize = 64;
