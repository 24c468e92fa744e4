//! A schema as tables: what the walk needs to know of each message, field and enum.

use std::collections::HashMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind as Type, MessageDescriptor};

use super::well_known;
use super::wire::WireType;
use crate::payload::write::write_string;

/// All messages and enums that can be reached from one root, which is the first message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    messages: Box<[Message]>,
    enums: Box<[Enum]>,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message {
    /// By number.
    pub(crate) fields: Vec<Field>,
    /// How many oneofs it has.
    pub(crate) oneofs: usize,
    /// What its fields are.
    pub(crate) shape: Shape,
    /// Set for types of `google.protobuf` that have a JSON form of their own.
    pub(crate) well_known: Option<MessageDescriptor>,
}

/// What the fields of a message are: whether reading straight through it may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Single scalars.
    Flat,
    /// Single scalars and single messages.
    Single,
    /// Also lists, maps or oneofs.
    #[default]
    Any,
}

/// A field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// Its number.
    pub(crate) number: u32,
    /// The tag it ought to have on the wire.
    pub(crate) tag: u32,
    /// Its name in JSON (PB-013).
    pub(crate) name: Box<str>,
    /// The same between quotation marks, with a colon behind.
    pub(crate) member: Box<str>,
    /// Its type.
    pub(crate) kind: Kind,
    /// How often it may be there, and what it is when it is not.
    pub(crate) label: Label,
    /// Which oneof of its message it belongs to.
    pub(crate) oneof: Option<usize>,
}

/// The type of a field. Messages and enums are positions in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(usize),
    Message(usize),
}

/// How often a field may be there, and what it is when it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// Its default is written.
    Implicit,
    /// It is left out.
    Optional,
    /// The message is refused.
    Required,
    /// A list, empty when it is not there.
    Repeated,
    /// An object; its messages have a key and a value.
    Map,
}

/// An enum: names by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Enum {
    values: Box<[(i32, Box<str>)]>,
}

impl Table {
    /// Tables for everything that can be reached from `root`.
    pub(crate) fn of(root: &MessageDescriptor) -> Self {
        let mut builder = Builder::default();
        builder.message(root);
        // Each message adds those it holds to the end of the line.
        let mut next = 0;
        let mut messages = Vec::new();
        while let Some(descriptor) = builder.line.get(next).cloned() {
            messages.push(builder.build(&descriptor));
            next += 1;
        }
        Self { messages: messages.into(), enums: builder.enums.into() }
    }

    /// A message by its position.
    #[inline]
    pub(crate) fn message(&self, at: usize) -> &Message {
        self.messages.get(at).unwrap_or(&NOTHING)
    }

    /// An enum by its position.
    pub(crate) fn enumeration(&self, at: usize) -> Option<&Enum> {
        self.enums.get(at)
    }
}

impl Message {
    /// Position of the field with this number.
    pub(crate) fn find(&self, number: u32) -> Option<usize> {
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }

    /// Position of the field with this name.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| *field.name == *name)
    }
}

impl Shape {
    fn of(fields: &[Field]) -> Self {
        let is_single =
            |it: &Field| it.oneof.is_none() && !matches!(it.label, Label::Repeated | Label::Map);
        if !fields.iter().all(is_single) {
            Self::Any
        } else if fields.iter().any(Field::is_chained) {
            Self::Single
        } else {
            Self::Flat
        }
    }
}

impl Field {
    /// Whether every occurrence on the wire counts, and not the last alone.
    #[inline]
    pub(crate) const fn is_chained(&self) -> bool {
        matches!(self.label, Label::Repeated | Label::Map) || matches!(self.kind, Kind::Message(_))
    }

    /// Whether values of this tag belong to the field: lists of numbers come in two ways.
    pub(crate) fn takes(&self, tag: u32) -> bool {
        let wire = WireType::of(tag);
        let own = WireType::of(self.tag);
        let is_packed = self.label == Label::Repeated
            && wire == Some(WireType::Bytes)
            && self.kind.wire().is_some();
        wire == own || is_packed || (self.label == Label::Repeated && wire == self.kind.wire())
    }
}

impl Kind {
    /// How a number of this type is written; none for what has a length.
    pub(crate) const fn wire(self) -> Option<WireType> {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => Some(WireType::Fixed64),
            Self::Float | Self::Fixed32 | Self::Sfixed32 => Some(WireType::Fixed32),
            Self::String | Self::Bytes | Self::Message(_) => None,
            _ => Some(WireType::Varint),
        }
    }
}

impl Enum {
    /// The name of a number.
    pub(crate) fn name(&self, number: i32) -> Option<&str> {
        let at = self.values.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.values.get(at).map(|(_, name)| &**name)
    }

    fn of(descriptor: &EnumDescriptor) -> Self {
        let mut values: Vec<(i32, Box<str>)> =
            descriptor.values().map(|it| (it.number(), it.name().into())).collect();
        // Of several names of one number the first that was declared counts.
        values.sort_by_key(|(number, _)| *number);
        values.dedup_by_key(|(number, _)| *number);
        Self { values: values.into() }
    }
}

/// Gives positions to messages and enums as they are met.
#[derive(Default)]
struct Builder {
    line: Vec<MessageDescriptor>,
    messages: HashMap<String, usize>,
    enums: Vec<Enum>,
    enum_positions: HashMap<String, usize>,
}

impl Builder {
    fn message(&mut self, descriptor: &MessageDescriptor) -> usize {
        let Self { line, messages, .. } = self;
        *messages.entry(descriptor.full_name().to_owned()).or_insert_with(|| {
            line.push(descriptor.clone());
            line.len() - 1
        })
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) -> usize {
        let Self { enums, enum_positions, .. } = self;
        *enum_positions.entry(descriptor.full_name().to_owned()).or_insert_with(|| {
            enums.push(Enum::of(descriptor));
            enums.len() - 1
        })
    }

    fn build(&mut self, descriptor: &MessageDescriptor) -> Message {
        if well_known::has_form_of_its_own(descriptor) {
            return Message { well_known: Some(descriptor.clone()), ..Message::default() };
        }
        let mut fields: Vec<Field> = descriptor.fields().map(|field| self.field(&field)).collect();
        fields.sort_by_key(|field| field.number);
        let (oneofs, shape) = (descriptor.oneofs().len(), Shape::of(&fields));
        Message { fields, oneofs, shape, well_known: None }
    }

    fn field(&mut self, descriptor: &FieldDescriptor) -> Field {
        let kind = self.kind(&descriptor.kind());
        let label = label(descriptor);
        let wire = match kind.wire() {
            Some(_) if descriptor.is_packed() => WireType::Bytes,
            Some(wire) => wire,
            None if descriptor.is_group() => WireType::Group,
            None => WireType::Bytes,
        };
        let name = descriptor.json_name();
        let mut member = String::new();
        write_string(&mut member, name);
        member.push(':');
        // An optional field of proto3 is in a oneof of its own, which says nothing.
        let oneof = descriptor.containing_oneof().filter(|it| !it.is_synthetic());
        let oneof = oneof.and_then(|oneof| {
            descriptor.parent_message().oneofs().position(|it| it.name() == oneof.name())
        });
        let number = descriptor.number();
        let (tag, name, member) = (wire.tag(number), name.into(), member.into());
        Field { number, tag, name, member, kind, label, oneof }
    }

    fn kind(&mut self, kind: &Type) -> Kind {
        match kind {
            Type::Double => Kind::Double,
            Type::Float => Kind::Float,
            Type::Int32 => Kind::Int32,
            Type::Int64 => Kind::Int64,
            Type::Uint32 => Kind::Uint32,
            Type::Uint64 => Kind::Uint64,
            Type::Sint32 => Kind::Sint32,
            Type::Sint64 => Kind::Sint64,
            Type::Fixed32 => Kind::Fixed32,
            Type::Fixed64 => Kind::Fixed64,
            Type::Sfixed32 => Kind::Sfixed32,
            Type::Sfixed64 => Kind::Sfixed64,
            Type::Bool => Kind::Bool,
            Type::String => Kind::String,
            Type::Bytes => Kind::Bytes,
            Type::Message(it) => Kind::Message(self.message(it)),
            Type::Enum(it) => Kind::Enum(self.enumeration(it)),
        }
    }
}

fn label(field: &FieldDescriptor) -> Label {
    if field.is_map() {
        Label::Map
    } else if field.is_list() {
        Label::Repeated
    } else if field.is_required() {
        Label::Required
    } else if field.supports_presence() {
        Label::Optional
    } else {
        Label::Implicit
    }
}

/// The message that stands first in every table.
pub(crate) const ROOT: usize = 0;

/// What a position beyond the table stands for; there is none.
static NOTHING: Message =
    Message { fields: Vec::new(), oneofs: 0, shape: Shape::Any, well_known: None };
