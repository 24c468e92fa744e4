//! Values with parts, as JSON: data sets, templates and property sets.

use core::fmt::Write as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thingport_model::value::ValueRef;

use super::datatype::DataType;
use super::payload::{Field, Fields, Metric};
use super::value::{NO_FIT, Room, Scalar, Unfit, scalar, write_array, write_bytes, write_file};
use crate::payload::protobuf::wire::{DEPTH_MAX, Part, Wire, WireType};
use crate::payload::write::write_string;

/// The templates that a birth defined, with the types of their members.
pub(crate) type Templates = BTreeMap<Arc<str>, BTreeMap<Arc<str>, DataType>>;

/// What reading values needs to know besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'m> {
    pub(crate) templates: &'m Templates,
    /// Longest text in UTF-16 units; 0: any.
    pub(crate) text_max: u32,
}

/// What stands in a template.
#[derive(Debug, Default)]
pub(crate) struct TemplateHead<'a> {
    pub(crate) version: Option<&'a str>,
    pub(crate) reference: Option<&'a str>,
    pub(crate) is_definition: bool,
    pub(crate) members: Vec<Metric<'a>>,
    parameters: Vec<Part<'a>>,
}

impl Scene<'_> {
    /// What a metric of this type says.
    pub(crate) fn value<'t, 'a: 't>(
        self,
        kind: DataType,
        metric: &Metric<'a>,
        room: &'t mut Room,
    ) -> Result<ValueRef<'t>, Unfit> {
        room.begin();
        if self.write_parts(kind, metric, room, 0)? {
            return Ok(ValueRef::Json(&room.text));
        }
        let scalar = scalar(kind, metric.field)?;
        if let Scalar::Text(text) = scalar {
            self.check_text(text)?;
        }
        Ok(scalar.value(&mut room.text))
    }

    fn check_text(self, text: &str) -> Result<(), Unfit> {
        let max = usize::try_from(self.text_max).unwrap_or(usize::MAX);
        if max > 0 && text.encode_utf16().take(max + 1).count() > max {
            return Err(Unfit("the text is longer than the configured maximum"));
        }
        Ok(())
    }

    /// Appends a value of a type that has parts; false for every other type.
    fn write_parts(
        self,
        kind: DataType,
        metric: &Metric<'_>,
        room: &mut Room,
        depth: usize,
    ) -> Result<bool, Unfit> {
        if depth > DEPTH_MAX {
            return Err(Unfit("more than 16 templates or property sets in each other"));
        }
        match (kind, metric.field) {
            (DataType::Bytes, Field::Bytes(bytes)) => write_bytes(bytes, room)?,
            (DataType::File, Field::Bytes(bytes)) => write_file(metric, bytes, room)?,
            (DataType::DataSet, Field::DataSet(part)) => write_data_set(part, room)?,
            (DataType::Template, Field::Template(part)) => {
                self.write_template(part, room, depth)?;
            }
            (kind, Field::Bytes(bytes)) => match kind.element() {
                Some(element) => write_array(element, bytes, room)?,
                None => return Err(Unfit(NO_FIT)),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn write_template(self, part: Part<'_>, room: &mut Room, depth: usize) -> Result<(), Unfit> {
        let it = TemplateHead::read(part)?;
        if it.is_definition {
            return Err(Unfit("a definition of a template is no value"));
        }
        let name = it.reference.ok_or(Unfit("the template says not of which definition it is"))?;
        let types = self.templates.get(name);
        room.text.push_str("{\"template\":");
        write_string(&mut room.text, name);
        if let Some(version) = it.version {
            room.text.push_str(",\"version\":");
            write_string(&mut room.text, version);
        }
        room.text.push_str(",\"parameters\":");
        write_parameters(&it.parameters, room)?;
        room.text.push_str(",\"metrics\":{");
        let mut names = BTreeSet::new();
        for metric in &it.members {
            let name = metric.name.ok_or(Unfit("a member of the template has no name"))?;
            separate(names.is_empty(), room);
            is_new(name, &mut names)?;
            write_string(&mut room.text, name);
            room.text.push(':');
            let declared = metric.datatype.and_then(DataType::of);
            let kind = declared.or_else(|| types.and_then(|it| it.get(name).copied()));
            self.write_member(kind, metric, room, depth)?;
            room.check()?;
        }
        room.text.push_str("}}");
        Ok(())
    }

    fn write_member(
        self,
        kind: Option<DataType>,
        metric: &Metric<'_>,
        room: &mut Room,
        depth: usize,
    ) -> Result<(), Unfit> {
        if metric.is_null || matches!(metric.field, Field::None) {
            room.text.push_str("null");
            return Ok(());
        }
        let kind = kind.ok_or(Unfit("a member of the template has no type"))?;
        if !self.write_parts(kind, metric, room, depth + 1)? {
            scalar(kind, metric.field)?.write(&mut room.text);
        }
        Ok(())
    }
}

impl<'a> TemplateHead<'a> {
    /// Reads a template.
    pub(crate) fn read(part: Part<'a>) -> Result<Self, Unfit> {
        let mut it = Self::default();
        let mut fields = Fields::of(part);
        while let Some((tag, bits, sub)) = fields.next().map_err(broken)? {
            match tag {
                VERSION => it.version = Some(text(sub)?),
                MEMBERS => it.members.push(Metric::read(sub).map_err(broken)?),
                PARAMETERS => it.parameters.push(sub),
                REFERENCE => it.reference = Some(text(sub)?).filter(|it| !it.is_empty()),
                IS_DEFINITION => it.is_definition = bits != 0,
                _ => {}
            }
        }
        Ok(it)
    }
}

fn write_parameters(parameters: &[Part<'_>], room: &mut Room) -> Result<(), Unfit> {
    let mut names = BTreeSet::new();
    room.text.push('{');
    for part in parameters {
        let (mut name, mut kind, mut field) = (None, None, Field::None);
        let mut fields = Fields::of(*part);
        while let Some((tag, bits, sub)) = fields.next().map_err(broken)? {
            match tag {
                PARAMETER_NAME => name = Some(text(sub)?),
                PARAMETER_TYPE => kind = datatype(bits),
                _ => field = Field::of(tag, bits, sub, 3).unwrap_or(field),
            }
        }
        let name = name.ok_or(Unfit("a parameter of the template has no name"))?;
        separate(names.is_empty(), room);
        is_new(name, &mut names)?;
        write_string(&mut room.text, name);
        room.text.push(':');
        write_simple(kind, field, room)?;
    }
    room.text.push('}');
    Ok(())
}

/// `{"columns":[...],"types":[...],"rows":[[...]]}` (tck-id-payloads-dataset-*).
fn write_data_set(part: Part<'_>, room: &mut Room) -> Result<(), Unfit> {
    let (mut columns, mut types, mut rows, mut count) = (Vec::new(), Vec::new(), Vec::new(), None);
    let mut fields = Fields::of(part);
    while let Some((tag, bits, sub)) = fields.next().map_err(broken)? {
        match tag {
            COLUMN_COUNT => count = Some(bits),
            COLUMNS => columns.push(text(sub)?),
            TYPES => types.push(basic(bits)?),
            TYPES_PACKED => types.extend(packed(sub)?),
            ROWS => rows.push(sub),
            _ => {}
        }
    }
    let width = columns.len();
    let is_width = |it| usize::try_from(it).is_ok_and(|it: usize| it == width);
    if types.len() != width || !count.is_none_or(is_width) {
        return Err(Unfit("columns, types and their number do not agree in the data set"));
    }
    room.text.push_str("{\"columns\":[");
    for (at, name) in columns.into_iter().enumerate() {
        separate(at == 0, room);
        write_string(&mut room.text, name);
    }
    room.text.push_str("],\"types\":[");
    for (at, kind) in types.iter().enumerate() {
        separate(at == 0, room);
        // Writing to a string does not fail.
        let _ = write!(room.text, "\"{}\"", kind.name());
    }
    room.text.push_str("],\"rows\":[");
    for (at, row) in rows.into_iter().enumerate() {
        separate(at == 0, room);
        write_row(row, &types, room)?;
    }
    room.text.push_str("]}");
    room.check()
}

fn write_row(row: Part<'_>, types: &[DataType], room: &mut Room) -> Result<(), Unfit> {
    room.text.push('[');
    let mut written = 0;
    let mut fields = Fields::of(row);
    while let Some((tag, _, sub)) = fields.next().map_err(broken)? {
        if tag != ELEMENTS {
            continue;
        }
        let kind = types.get(written).copied().ok_or(Unfit(ROW))?;
        separate(written == 0, room);
        write_simple(Some(kind), simple(sub, 1)?, room)?;
        written += 1;
        room.check()?;
    }
    room.text.push(']');
    if written == types.len() { room.check() } else { Err(Unfit(ROW)) }
}

/// Appends a property set as a JSON object (tck-id-payloads-propertyset-*).
pub(crate) fn write_properties(part: Part<'_>, room: &mut Room, depth: usize) -> Result<(), Unfit> {
    if depth > DEPTH_MAX {
        return Err(Unfit("more than 16 templates or property sets in each other"));
    }
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    let mut fields = Fields::of(part);
    while let Some((tag, _, sub)) = fields.next().map_err(broken)? {
        match tag {
            KEYS => keys.push(text(sub)?),
            VALUES => values.push(sub),
            _ => {}
        }
    }
    if keys.len() != values.len() {
        return Err(Unfit("the property set has another number of keys than of values"));
    }
    let mut names = BTreeSet::new();
    room.text.push('{');
    for (key, value) in keys.into_iter().zip(values) {
        separate(names.is_empty(), room);
        is_new(key, &mut names)?;
        write_string(&mut room.text, key);
        room.text.push(':');
        write_property(value, room, depth)?;
        room.check()?;
    }
    room.text.push('}');
    Ok(())
}

fn write_property(part: Part<'_>, room: &mut Room, depth: usize) -> Result<(), Unfit> {
    let (mut kind, mut is_null, mut sets, mut field) = (None, false, None, Field::None);
    let mut fields = Fields::of(part);
    while let Some((tag, bits, sub)) = fields.next().map_err(broken)? {
        match tag {
            PROPERTY_TYPE => kind = datatype(bits),
            PROPERTY_NULL => is_null = bits != 0,
            PROPERTY_SET | PROPERTY_SETS => sets = Some((tag, sub)),
            _ => field = Field::of(tag, bits, sub, 3).unwrap_or(field),
        }
    }
    match sets {
        _ if is_null => room.text.push_str("null"),
        Some((PROPERTY_SET, set)) => write_properties(set, room, depth + 1)?,
        Some((_, list)) => {
            let (mut fields, mut separator) = (Fields::of(list), '[');
            while let Some((tag, _, sub)) = fields.next().map_err(broken)? {
                if tag == KEYS {
                    room.text.push(separator);
                    separator = ',';
                    write_properties(sub, room, depth + 1)?;
                }
            }
            room.text.push_str(if separator == '[' { "[]" } else { "]" });
        }
        None => write_simple(kind, field, room)?,
    }
    Ok(())
}

/// Appends a value without parts, or null when there is none.
fn write_simple(kind: Option<DataType>, field: Field<'_>, room: &mut Room) -> Result<(), Unfit> {
    if matches!(field, Field::None) {
        room.text.push_str("null");
    } else {
        scalar(kind.ok_or(Unfit("a value has no type"))?, field)?.write(&mut room.text);
    }
    room.check()
}

/// The one value of a message whose simple fields are numbered from `first`.
fn simple(part: Part<'_>, first: u32) -> Result<Field<'_>, Unfit> {
    let mut found = Field::None;
    let mut fields = Fields::of(part);
    while let Some((tag, bits, sub)) = fields.next().map_err(broken)? {
        found = Field::of(tag, bits, sub, first).unwrap_or(found);
    }
    Ok(found)
}

fn packed(part: Part<'_>) -> Result<Vec<DataType>, Unfit> {
    let mut wire = Wire::new(part);
    let mut types = Vec::new();
    while !wire.is_empty() {
        types.push(basic(wire.varint().map_err(|_| Unfit(BROKEN))?)?);
    }
    Ok(types)
}

/// Columns have basic types only.
fn basic(code: u64) -> Result<DataType, Unfit> {
    let is_basic = |it: &DataType| (1..=15).contains(&(*it as u8));
    datatype(code).filter(is_basic).ok_or(Unfit("a column of the data set has no basic type"))
}

fn datatype(code: u64) -> Option<DataType> {
    DataType::of(u32::try_from(code).ok()?)
}

fn separate(is_first: bool, room: &mut Room) {
    if !is_first {
        room.text.push(',');
    }
}

/// A name that comes twice would make a JSON object that readers understand differently.
fn is_new<'a>(name: &'a str, names: &mut BTreeSet<&'a str>) -> Result<(), Unfit> {
    if names.insert(name) { Ok(()) } else { Err(Unfit("a name comes twice in the value")) }
}

fn text(part: Part<'_>) -> Result<&str, Unfit> {
    part.text().map_err(|_| Unfit("a text is not UTF-8"))
}

fn broken(_: crate::reject::Reject) -> Unfit {
    Unfit(BROKEN)
}

const BROKEN: &str = "the value is no Protobuf message of its type";
const ROW: &str = "a row of the data set has another number of elements than there are columns";

const VERSION: u32 = WireType::Bytes.tag(1);
const MEMBERS: u32 = WireType::Bytes.tag(2);
const PARAMETERS: u32 = WireType::Bytes.tag(3);
const REFERENCE: u32 = WireType::Bytes.tag(4);
const IS_DEFINITION: u32 = WireType::Varint.tag(5);
const PARAMETER_NAME: u32 = WireType::Bytes.tag(1);
const PARAMETER_TYPE: u32 = WireType::Varint.tag(2);
const COLUMN_COUNT: u32 = WireType::Varint.tag(1);
const COLUMNS: u32 = WireType::Bytes.tag(2);
const TYPES: u32 = WireType::Varint.tag(3);
const TYPES_PACKED: u32 = WireType::Bytes.tag(3);
const ROWS: u32 = WireType::Bytes.tag(4);
const ELEMENTS: u32 = WireType::Bytes.tag(1);
const KEYS: u32 = WireType::Bytes.tag(1);
const VALUES: u32 = WireType::Bytes.tag(2);
const PROPERTY_TYPE: u32 = WireType::Varint.tag(1);
const PROPERTY_NULL: u32 = WireType::Varint.tag(2);
const PROPERTY_SET: u32 = WireType::Bytes.tag(9);
const PROPERTY_SETS: u32 = WireType::Bytes.tag(10);
