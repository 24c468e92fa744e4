//! What a metric says, as a value of the house: one row of the standard's table of types per arm.

use core::fmt::Write as _;

use thingport_model::value::ValueRef;

use super::datatype::DataType;
use super::payload::{Field, Metric};
use crate::payload::protobuf::{not_finite, write_base64};
use crate::payload::write::{write_string, write_value};

/// Why one metric is of no use; the rest of its payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) &'static str);

/// A value without parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Bool(bool),
    Long(i64),
    /// Above 2^63 - 1.
    Large(u64),
    Double(f64),
    Text(&'a str),
}

/// Room for the texts of one payload, so that no payload becomes much larger than it was.
#[derive(Debug)]
pub(crate) struct Room {
    /// The text that was written last.
    pub(crate) text: String,
    left: usize,
}

impl Room {
    /// Room for what a payload of `size` bytes may become.
    pub(crate) fn of(size: usize) -> Self {
        Self { text: String::new(), left: TEXT_MIN + TEXT_PER_BYTE * size }
    }

    /// Begins a text; what stood there counts.
    pub(crate) fn begin(&mut self) -> &mut String {
        self.left = self.left.saturating_sub(self.text.len());
        self.text.clear();
        &mut self.text
    }

    /// Whether there is room for more; asked at each element.
    pub(crate) fn check(&self) -> Result<(), Unfit> {
        if self.text.len() <= self.left {
            Ok(())
        } else {
            Err(Unfit("the values of the payload become too large as JSON"))
        }
    }
}

/// What a metric without parts says; texts too long by `text_max` (UTF-16 units; 0: any) are unfit.
pub(crate) fn scalar<'a>(kind: DataType, field: Field<'a>) -> Result<Scalar<'a>, Unfit> {
    use DataType as K;
    Ok(match (kind, field) {
        (K::Boolean, Field::Boolean(it)) => Scalar::Bool(it),
        (K::Boolean, Field::Int(it @ 0..=1)) => Scalar::Bool(it == 1),
        (K::Float, Field::Float(it)) => Scalar::Double(widened(it)),
        (K::Double, Field::Double(it)) => Scalar::Double(it),
        // Lossless, and what some libraries do.
        (K::Double, Field::Float(it)) => Scalar::Double(f64::from(it)),
        (K::String | K::Text | K::UUID, Field::String(it)) => {
            Scalar::Text(it.text().map_err(|_| Unfit("the text is not UTF-8"))?)
        }
        (kind, Field::Int(it)) => whole(kind, u64::from(it), it)?,
        (K::Int64 | K::UInt64 | K::UInt32 | K::DateTime, Field::Long(it)) => {
            // The low half of what is checked against the range of its type.
            #[allow(clippy::cast_possible_truncation)]
            whole(kind, it, it as u32)?
        }
        _ => return Err(Unfit(NO_FIT)),
    })
}

/// Whole numbers: small signed ones count by their low bits, whichever way the sign was extended.
fn whole<'a>(kind: DataType, bits: u64, low: u32) -> Result<Scalar<'a>, Unfit> {
    use DataType as K;
    let [first, second, ..] = low.to_le_bytes();
    Ok(match kind {
        K::Int8 => Scalar::Long(first.cast_signed().into()),
        K::Int16 => Scalar::Long(i16::from_le_bytes([first, second]).into()),
        K::Int32 => Scalar::Long(low.cast_signed().into()),
        K::Int64 => Scalar::Long(bits.cast_signed()),
        K::UInt8 | K::UInt16 | K::UInt32 | K::UInt64 | K::DateTime => {
            if kind.range().is_some_and(|(_, largest)| i128::from(bits) > largest) {
                return Err(Unfit("the number is larger than its type allows"));
            }
            i64::try_from(bits).map_or(Scalar::Large(bits), Scalar::Long)
        }
        _ => return Err(Unfit(NO_FIT)),
    })
}

/// The decimal that a float is the nearest to: 0.1 and not 0.10000000149.
fn widened(value: f32) -> f64 {
    if value.is_finite() { crate::payload::widened(value) } else { f64::from(value) }
}

impl<'a> Scalar<'a> {
    /// As a reading holds it; `text` receives the digits of what is no number there.
    pub(crate) fn value<'t>(self, text: &'t mut String) -> ValueRef<'t>
    where
        'a: 't,
    {
        match self {
            Self::Bool(it) => ValueRef::Bool(it),
            Self::Long(it) => ValueRef::Long(it),
            Self::Large(it) => {
                // Writing to a string does not fail.
                let _ = write!(text, "{it}");
                ValueRef::String(text)
            }
            Self::Double(it) if it.is_finite() => ValueRef::Double(it),
            Self::Double(it) => ValueRef::String(not_finite(it)),
            Self::Text(it) => ValueRef::String(it),
        }
    }

    /// Appends it as JSON.
    pub(crate) fn write(self, out: &mut String) {
        match self {
            Self::Large(it) => {
                let _ = write!(out, "\"{it}\"");
            }
            Self::Double(it) if !it.is_finite() => write_string(out, not_finite(it)),
            Self::Double(it) => write_value(out, ValueRef::Double(it)),
            Self::Bool(it) => write_value(out, ValueRef::Bool(it)),
            Self::Long(it) => write_value(out, ValueRef::Long(it)),
            Self::Text(it) => write_string(out, it),
        }
    }
}

/// Appends bytes in the form that ThingsBoard has for them: a list of signed numbers.
pub(crate) fn write_bytes(bytes: &[u8], room: &mut Room) -> Result<(), Unfit> {
    let mut separator = '[';
    for byte in bytes {
        let _ = write!(room.text, "{separator}{}", byte.cast_signed());
        separator = ',';
        room.check()?;
    }
    room.text.push_str(if separator == '[' { "[]" } else { "]" });
    Ok(())
}

/// Appends a file: its name if it has one, and its bytes in base64.
pub(crate) fn write_file(metric: &Metric<'_>, bytes: &[u8], room: &mut Room) -> Result<(), Unfit> {
    room.text.push_str("{\"fileName\":");
    match metric.file_name {
        Some(name) => write_string(&mut room.text, name),
        None => room.text.push_str("null"),
    }
    room.text.push_str(",\"bytes\":\"");
    write_base64(&mut room.text, bytes);
    room.text.push_str("\"}");
    room.check()
}

/// Appends an array of elements of a type, least significant byte first as the text of the standard
/// and Tahu have it; the standard's examples of floats are the other way round.
pub(crate) fn write_array(element: DataType, bytes: &[u8], room: &mut Room) -> Result<(), Unfit> {
    match element {
        DataType::Boolean => return write_bits(bytes, room),
        DataType::String => return write_texts(bytes, room),
        _ => {}
    }
    let width = element.width().ok_or(Unfit(NO_FIT))?;
    let elements = bytes.chunks_exact(width);
    if !elements.remainder().is_empty() {
        return Err(Unfit("the bytes of the array are no multiple of its elements"));
    }
    let mut separator = '[';
    for bytes in elements {
        room.text.push(separator);
        separator = ',';
        scalar(element, element_field(element, bytes))?.write(&mut room.text);
        room.check()?;
    }
    room.text.push_str(if separator == '[' { "[]" } else { "]" });
    Ok(())
}

/// The field an element of an array would be sent in.
fn element_field(element: DataType, bytes: &[u8]) -> Field<'_> {
    let bits = bytes.iter().rev().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    #[allow(clippy::cast_possible_truncation)] // at most four bytes where it counts
    let low = bits as u32;
    match element {
        DataType::Float => Field::Float(f32::from_bits(low)),
        DataType::Double => Field::Double(f64::from_bits(bits)),
        _ if bytes.len() == 8 => Field::Long(bits),
        _ => Field::Int(low),
    }
}

/// How many there are, in four bytes, then bits, most significant first.
fn write_bits(bytes: &[u8], room: &mut Room) -> Result<(), Unfit> {
    let wrong = Unfit("the array of booleans does not have as many bits as it says");
    let (count, bits) = bytes.split_first_chunk().ok_or(wrong)?;
    let count = usize::try_from(u32::from_le_bytes(*count)).map_err(|_| wrong)?;
    if bits.len() != count.div_ceil(8) {
        return Err(wrong);
    }
    let mut separator = '[';
    for at in 0..count {
        let byte = bits.get(at / 8).copied().unwrap_or_default();
        room.text.push(separator);
        room.text.push_str(if byte << (at % 8) & 0x80 != 0 { "true" } else { "false" });
        separator = ',';
        room.check()?;
    }
    room.text.push_str(if separator == '[' { "[]" } else { "]" });
    Ok(())
}

/// Texts, each ended by a zero byte.
fn write_texts(bytes: &[u8], room: &mut Room) -> Result<(), Unfit> {
    let mut separator = '[';
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0);
        let end = end.ok_or(Unfit("the last text of the array is not ended by a zero byte"))?;
        let (text, behind) = rest.split_at(end);
        let text = str::from_utf8(text).map_err(|_| Unfit("a text of the array is not UTF-8"))?;
        room.text.push(separator);
        write_string(&mut room.text, text);
        separator = ',';
        rest = behind.get(1..).unwrap_or_default();
        room.check()?;
    }
    room.text.push_str(if separator == '[' { "[]" } else { "]" });
    Ok(())
}

pub(crate) const NO_FIT: &str = "the value is in a field that its type does not use";
/// What the texts of one payload may become: so many bytes, and so many more per byte of it.
const TEXT_MIN: usize = 64 * 1024;
const TEXT_PER_BYTE: usize = 16;
