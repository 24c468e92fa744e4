//! Messages as JSON text: the second half of a walk, where a value is more than a scalar (5.2).

use core::cell::Cell;
use core::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thingport_model::reason::Reason;

use super::scan::{EXPANSION_MAX, Frames, Slot, straight};
use super::table::{Field, Kind, Label, Message, Shape, Table};
use super::well_known;
use super::wire::{Fault, Part, Raw, What, Wire};
use crate::payload::duplicates;
use crate::payload::lexer::Span;
use crate::payload::number::{push_digits, push_double, push_long, widened};
use crate::payload::write::write_string;
use crate::reject::{Reject, quoted};

/// Writes what is in one payload.
pub(super) struct Pen<'p> {
    pub(super) table: &'p Table,
    pub(super) frames: &'p mut Frames,
    /// What was written.
    pub(super) text: &'p mut String,
    /// Bytes the text may have.
    pub(super) room: usize,
}

/// A scalar of the wire, understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Bool(bool),
    /// A number of 32 bits, or less than 64.
    Long(i64),
    /// Numbers of 64 bits are texts in JSON, which a double would not hold.
    Int64(i64),
    Uint64(u64),
    Double(f64),
    String(&'a str),
    Bytes(&'a [u8]),
}

/// Bytes of text that a payload of `length` bytes may become.
pub(super) const fn room(length: usize) -> usize {
    FREE + EXPANSION_MAX * length
}

impl Pen<'_> {
    /// Writes a message as an object.
    pub(super) fn message(&mut self, at: usize, part: Part<'_>) -> Result<(), Reject> {
        let message = self.table.message(at);
        if let Some(descriptor) = &message.well_known {
            self.frames.charge(1, part)?;
            return well_known::write(descriptor, part, self.text);
        }
        if message.shape == Shape::Flat {
            let begin = self.text.len();
            if self.flat(message, part).is_some() {
                return Ok(());
            }
            self.text.truncate(begin);
        }
        let frame = self.frames.open(message, part)?;
        let mut separator = '{';
        for (at, field) in message.fields.iter().enumerate() {
            let slot = self.frames.slot(frame, at);
            if is_present(field, slot)? {
                self.text.push(separator);
                self.text.push_str(&field.member);
                self.field(field, slot, part)?;
                separator = ',';
            }
        }
        self.frames.close(frame);
        self.text.push_str(if separator == '{' { "{}" } else { "}" });
        Ok(())
    }

    /// Writes a message of scalars in one go, if it can be read straight through. Messages in it would
    /// be read a second time where that fails, and those in them a fourth: so there are none.
    fn flat(&mut self, message: &Message, part: Part<'_>) -> Option<()> {
        self.frames.enter(message, part).ok()?;
        let mut separator = '{';
        let read = straight(message, part, |field, raw| {
            self.check_room(part).ok()?;
            self.text.push(separator);
            self.text.push_str(&field.member);
            separator = ',';
            // The most frequent kinds without a detour.
            match field.kind {
                Kind::Double if f64::from_bits(raw.bits()).is_finite() => {
                    push_double(self.text, f64::from_bits(raw.bits()));
                }
                Kind::Bool => self.text.push_str(if raw.bits() == 0 { "false" } else { "true" }),
                Kind::String => write_string(self.text, part.sub(raw).text().ok()?),
                kind => self.scalar(kind, raw, part).ok()?,
            }
            Some(())
        });
        self.frames.leave();
        self.text.push_str(if separator == '{' { "{}" } else { "}" });
        read
    }

    /// Writes the value of a field that is present.
    pub(super) fn field(
        &mut self,
        field: &Field,
        slot: Slot,
        part: Part<'_>,
    ) -> Result<(), Reject> {
        self.check_room(part)?;
        match (field.label, field.kind) {
            (Label::Map, _) => self.map(field, slot, part),
            (Label::Repeated, _) => self.list(field, slot, part),
            (_, Kind::Message(at)) => self.merged(at, slot, part),
            (_, kind) => self.scalar(kind, raw_of(slot), part),
        }
    }

    /// Several occurrences of one message are one message: what they hold, one behind the other.
    pub(super) fn merged(&mut self, at: usize, slot: Slot, part: Part<'_>) -> Result<(), Reject> {
        let joined = join(self.frames, slot, part);
        match &joined {
            Some(bytes) => self.message(at, Part::of(bytes)),
            None => self.message(at, part.sub(raw_of(slot))),
        }
    }

    fn list(&mut self, field: &Field, slot: Slot, part: Part<'_>) -> Result<(), Reject> {
        self.text.push('[');
        let mut is_first = true;
        let mut chain = slot;
        while let Some((raw, rest)) = self.frames.next(chain) {
            chain = rest;
            match (field.kind, raw) {
                (Kind::Message(at), raw) => {
                    self.separate(&mut is_first);
                    self.check_room(part)?;
                    self.message(at, part.sub(raw))?;
                }
                (kind, raw) if raw.is_stretch() && kind.wire().is_some() => {
                    self.packed(kind, part.sub(raw), &mut is_first)?;
                }
                (kind, raw) => {
                    self.separate(&mut is_first);
                    self.check_room(part)?;
                    self.scalar(kind, raw, part)?;
                }
            }
        }
        self.text.push(']');
        Ok(())
    }

    /// Numbers one behind the other, without tags.
    fn packed(&mut self, kind: Kind, part: Part<'_>, is_first: &mut bool) -> Result<(), Reject> {
        let Some(tag) = kind.wire().map(|wire| wire.tag(1)) else { return Ok(()) };
        let mut wire = Wire::new(part);
        while !wire.is_empty() {
            self.separate(is_first);
            self.check_room(part)?;
            let raw = wire.value(tag)?;
            self.scalar(kind, raw, part)?;
        }
        Ok(())
    }

    /// An object; of equal keys the last counts, at the place of the first.
    fn map(&mut self, field: &Field, slot: Slot, part: Part<'_>) -> Result<(), Reject> {
        let start = self.text.len();
        let mut members = Vec::new();
        self.text.push('{');
        let mut chain = slot;
        while let Some((raw, rest)) = self.frames.next(chain) {
            chain = rest;
            if !members.is_empty() {
                self.text.push(',');
            }
            let key = self.text.len();
            self.check_room(part)?;
            let value = self.entry(field.kind, part.sub(raw))?;
            members.push((Span::new(key, value), Span::new(value, self.text.len())));
        }
        self.text.push('}');
        collapse(self.text, start, &mut members);
        Ok(())
    }

    /// Writes key, colon and value of an entry; tells where the colon is.
    fn entry(&mut self, kind: Kind, part: Part<'_>) -> Result<usize, Reject> {
        let Kind::Message(at) = kind else { return Ok(self.text.len()) };
        let table = self.table;
        let message = table.message(at);
        let frame = self.frames.open(message, part)?;
        let [key, value] = message.fields.as_slice() else { return Ok(self.text.len()) };
        let (key_slot, value_slot) = (self.frames.slot(frame, 0), self.frames.slot(frame, 1));
        let mut plain = String::new();
        let name = key_text(scalar(table, key.kind, raw_of(key_slot), part)?, &mut plain);
        write_string(self.text, name);
        let colon = self.text.len();
        self.text.push(':');
        self.field(value, value_slot, part)?;
        self.frames.close(frame);
        Ok(colon)
    }

    fn separate(&mut self, is_first: &mut bool) {
        if !core::mem::take(is_first) {
            self.text.push(',');
        }
    }

    fn scalar(&mut self, kind: Kind, raw: Raw, part: Part<'_>) -> Result<(), Reject> {
        write_scalar(self.text, scalar(self.table, kind, raw, part)?);
        Ok(())
    }

    fn check_room(&self, part: Part<'_>) -> Result<(), Fault> {
        if self.text.len() > self.room { Err(part.fault(What::TooMuch)) } else { Ok(()) }
    }
}

/// Whether a field is a member of its object (5.2).
#[inline]
pub(super) fn is_present(field: &Field, slot: Slot) -> Result<bool, Reject> {
    match (slot, field.label) {
        (Slot::Absent, Label::Optional) => Ok(false),
        (Slot::Absent, Label::Required) => {
            let what = format!("the required field {} is missing", quoted(&field.name));
            Err(Reject::new(Reason::PayloadNotProtobuf, what))
        }
        _ => Ok(true),
    }
}

/// The one value of a slot; nothing stands for the default.
#[inline]
pub(super) const fn raw_of(slot: Slot) -> Raw {
    match slot {
        Slot::One(raw) => raw,
        _ => Raw::NOTHING,
    }
}

/// The values of a slot as one message, when there are several.
pub(super) fn join(frames: &Frames, slot: Slot, part: Part<'_>) -> Option<Vec<u8>> {
    let Slot::Several(..) = slot else { return None };
    let mut joined = Vec::new();
    let mut chain = slot;
    while let Some((raw, rest)) = frames.next(chain) {
        chain = rest;
        joined.extend_from_slice(part.sub(raw).bytes());
    }
    Some(joined)
}

/// Understands a scalar.
#[inline]
pub(super) fn scalar<'a>(
    table: &'a Table,
    kind: Kind,
    raw: Raw,
    part: Part<'a>,
) -> Result<Scalar<'a>, Fault> {
    let bits = raw.bits();
    // Numbers of 32 bits that were written with more are cut, as every Protobuf library does.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
    Ok(match kind {
        Kind::Double => Scalar::Double(f64::from_bits(bits)),
        Kind::Float => Scalar::Double(widened(f32::from_bits(bits as u32))),
        Kind::Int32 | Kind::Sfixed32 => Scalar::Long(i64::from(bits as i32)),
        Kind::Uint32 | Kind::Fixed32 => Scalar::Long(i64::from(bits as u32)),
        Kind::Sint32 => {
            let bits = bits as u32;
            Scalar::Long(i64::from((bits >> 1) as i32 ^ -((bits & 1) as i32)))
        }
        Kind::Int64 | Kind::Sfixed64 => Scalar::Int64(bits as i64),
        Kind::Uint64 | Kind::Fixed64 => Scalar::Uint64(bits),
        Kind::Sint64 => Scalar::Int64((bits >> 1) as i64 ^ -((bits & 1) as i64)),
        Kind::Bool => Scalar::Bool(bits != 0),
        Kind::String => Scalar::String(part.sub(raw).text()?),
        Kind::Bytes => Scalar::Bytes(part.sub(raw).bytes()),
        Kind::Enum(at) => {
            let number = bits as i32;
            let name = table.enumeration(at).and_then(|it| it.name(number));
            name.map_or_else(|| Scalar::Long(i64::from(number)), Scalar::String)
        }
        // Messages are no scalars; their callers know.
        Kind::Message(_) => Scalar::Bytes(&[]),
    })
}

pub(super) fn write_scalar(text: &mut String, scalar: Scalar<'_>) {
    match scalar {
        Scalar::Bool(it) => text.push_str(if it { "true" } else { "false" }),
        Scalar::Long(it) => push_long(text, it),
        Scalar::Int64(it) => {
            text.push('"');
            push_long(text, it);
            text.push('"');
        }
        Scalar::Uint64(it) => {
            text.push('"');
            push_digits(text, it);
            text.push('"');
        }
        Scalar::Double(it) if it.is_finite() => push_double(text, it),
        Scalar::Double(it) => {
            text.push('"');
            text.push_str(not_finite(it));
            text.push('"');
        }
        Scalar::String(it) => write_string(text, it),
        Scalar::Bytes(it) => {
            text.push('"');
            write_base64(text, it);
            text.push('"');
        }
    }
}

/// Appends bytes as base64 with padding.
pub(crate) fn write_base64(text: &mut String, bytes: &[u8]) {
    STANDARD.encode_string(bytes, text);
}

/// A number that JSON has no form for, as text.
pub(crate) const fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// The key of a map as text.
pub(super) fn key_text<'a>(key: Scalar<'a>, plain: &'a mut String) -> &'a str {
    // Writing to a string does not fail.
    let _ = match key {
        Scalar::String(it) => return it,
        Scalar::Bool(it) => write!(plain, "{it}"),
        Scalar::Long(it) | Scalar::Int64(it) => write!(plain, "{it}"),
        Scalar::Uint64(it) => write!(plain, "{it}"),
        Scalar::Double(_) | Scalar::Bytes(_) => Ok(()),
    };
    plain
}

/// Writes the object that begins at `start` again, if keys repeat.
fn collapse(text: &mut String, start: usize, members: &mut [(Span, Span)]) {
    let cells = Cell::from_mut(members).as_slice_of_cells();
    let name = |at: usize| cells.get(at).map_or("", |it| it.get().0.of(text));
    let mut repeated = Vec::new();
    duplicates::repeats(cells.len(), name, &mut Vec::new(), |first, later| {
        if let (Some(first), Some(value)) = (cells.get(first), cells.get(later)) {
            first.set((first.get().0, value.get().1));
            repeated.push(later);
        }
    });
    if repeated.is_empty() {
        return;
    }
    repeated.sort_unstable();
    let mut again = String::with_capacity(text.len() - start);
    for (at, (name, value)) in members.iter().enumerate() {
        if repeated.binary_search(&at).is_err() {
            again.push(if again.is_empty() { '{' } else { ',' });
            again.push_str(name.of(text));
            again.push_str(value.of(text));
        }
    }
    text.truncate(start);
    text.push_str(&again);
    text.push('}');
}

/// Bytes of text that any payload may become.
const FREE: usize = 64 * 1024;
