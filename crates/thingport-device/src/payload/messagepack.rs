//! MessagePack: bodies that mean what the same JSON would mean.
//!
//! As with CBOR a body becomes JSON text. Binary data and extensions become base64; keys may be whole
//! numbers; the extension for times becomes the milliseconds that JSON has.

use core::fmt::Write as _;

use rmp::{Marker, encode};
use serde_json::Value;
use thingport_model::reason::Reason;

use super::cbor::{DEPTH_MAX, write_number};
use super::number::widened;
use super::protobuf::write_base64;
use super::write::write_string;
use crate::reject::Reject;

/// Writes a body as JSON text into `out`, which is cleared first.
///
/// # Errors
/// `PayloadNotMessagePack` with the place; `PayloadTooDeep`.
pub(crate) fn to_json(payload: &[u8], out: &mut String) -> Result<(), Reject> {
    out.clear();
    let mut reader = Reader { rest: payload, length: payload.len(), out };
    reader.value(0)?;
    if reader.rest.is_empty() {
        Ok(())
    } else {
        Err(reader.fault("bytes follow the end of the value"))
    }
}

/// Appends JSON as MessagePack: whole numbers as integers, all others as doubles.
pub(crate) fn from_json(value: &Value, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = write(value, out);
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), encode::ValueWriteError> {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    match value {
        Value::Null => {
            encode::write_nil(out).map_err(encode::ValueWriteError::InvalidMarkerWrite)?
        }
        Value::Bool(it) => {
            encode::write_bool(out, *it).map_err(encode::ValueWriteError::InvalidMarkerWrite)?;
        }
        Value::Number(it) => match (it.as_i64(), it.as_u64()) {
            (Some(it), _) => drop(encode::write_sint(out, it)?),
            (None, Some(it)) => drop(encode::write_uint(out, it)?),
            (None, None) => encode::write_f64(out, it.as_f64().unwrap_or(f64::NAN))?,
        },
        Value::String(it) => encode::write_str(out, it)?,
        Value::Array(elements) => {
            encode::write_array_len(out, length(elements.len()))?;
            elements.iter().try_for_each(|it| write(it, out))?;
        }
        Value::Object(members) => {
            encode::write_map_len(out, length(members.len()))?;
            for (key, member) in members {
                encode::write_str(out, key)?;
                write(member, out)?;
            }
        }
    }
    Ok(())
}

struct Reader<'r, 'b> {
    rest: &'b [u8],
    length: usize,
    out: &'r mut String,
}

impl<'b> Reader<'_, 'b> {
    fn value(&mut self, depth: usize) -> Result<(), Reject> {
        if depth > DEPTH_MAX {
            let at = self.length - self.rest.len();
            let what = format!("more than {DEPTH_MAX} levels at byte {at}");
            return Err(Reject::new(Reason::PayloadTooDeep, what));
        }
        let marker = self.marker()?;
        if let Some(number) = self.whole(marker)? {
            self.plain(format_args!("{number}"));
            return Ok(());
        }
        if let Some(text) = self.text(marker)? {
            write_string(self.out, text);
            return Ok(());
        }
        match marker {
            Marker::Null => self.out.push_str("null"),
            Marker::True => self.out.push_str("true"),
            Marker::False => self.out.push_str("false"),
            Marker::F32 => {
                let value = f32::from_be_bytes(self.fixed()?);
                write_number(self.out, widened(value));
            }
            Marker::F64 => {
                let value = f64::from_be_bytes(self.fixed()?);
                write_number(self.out, value);
            }
            Marker::FixArray(count) => self.array(u32::from(count), depth)?,
            Marker::Array16 | Marker::Array32 => {
                let count = self.count(marker == Marker::Array16)?;
                self.array(count, depth)?;
            }
            Marker::FixMap(count) => self.map(u32::from(count), depth)?,
            Marker::Map16 | Marker::Map32 => {
                let count = self.count(marker == Marker::Map16)?;
                self.map(count, depth)?;
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let length = self.length_of(marker)?;
                let bytes = self.take(length)?;
                self.base64(bytes);
            }
            Marker::Reserved => return Err(self.fault("a byte that is never used")),
            _ => self.extension(marker)?,
        }
        Ok(())
    }

    fn array(&mut self, count: u32, depth: usize) -> Result<(), Reject> {
        self.out.push('[');
        for at in 0..count {
            if at > 0 {
                self.out.push(',');
            }
            self.value(depth + 1)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn map(&mut self, count: u32, depth: usize) -> Result<(), Reject> {
        self.out.push('{');
        for at in 0..count {
            if at > 0 {
                self.out.push(',');
            }
            self.key()?;
            self.out.push(':');
            self.value(depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    /// A text, or a whole number, which becomes its text.
    fn key(&mut self) -> Result<(), Reject> {
        let marker = self.marker()?;
        if let Some(number) = self.whole(marker)? {
            self.plain(format_args!("\"{number}\""));
            return Ok(());
        }
        match self.text(marker)? {
            Some(text) => write_string(self.out, text),
            None => return Err(self.fault("a key is neither a text nor a whole number")),
        }
        Ok(())
    }

    /// A whole number, if the marker begins one.
    fn whole(&mut self, marker: Marker) -> Result<Option<i128>, Reject> {
        Ok(Some(match marker {
            Marker::FixPos(it) => i128::from(it),
            Marker::FixNeg(it) => i128::from(it),
            Marker::U8 => i128::from(u8::from_be_bytes(self.fixed()?)),
            Marker::U16 => i128::from(u16::from_be_bytes(self.fixed()?)),
            Marker::U32 => i128::from(u32::from_be_bytes(self.fixed()?)),
            Marker::U64 => i128::from(u64::from_be_bytes(self.fixed()?)),
            Marker::I8 => i128::from(i8::from_be_bytes(self.fixed()?)),
            Marker::I16 => i128::from(i16::from_be_bytes(self.fixed()?)),
            Marker::I32 => i128::from(i32::from_be_bytes(self.fixed()?)),
            Marker::I64 => i128::from(i64::from_be_bytes(self.fixed()?)),
            _ => return Ok(None),
        }))
    }

    /// A text, if the marker begins one.
    fn text(&mut self, marker: Marker) -> Result<Option<&'b str>, Reject> {
        let length = match marker {
            Marker::FixStr(length) => u32::from(length),
            Marker::Str8 | Marker::Str16 | Marker::Str32 => self.length_of(marker)?,
            _ => return Ok(None),
        };
        let bytes = self.take(length)?;
        str::from_utf8(bytes).map(Some).map_err(|_| self.fault("a text is not UTF-8"))
    }

    /// Type and data of an extension.
    fn extension(&mut self, marker: Marker) -> Result<(), Reject> {
        let length = match marker {
            Marker::FixExt1 => 1,
            Marker::FixExt2 => 2,
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            Marker::FixExt16 => 16,
            _ => self.length_of(marker)?,
        };
        let kind = i8::from_be_bytes(self.fixed()?);
        let data = self.take(length)?;
        match milliseconds(data).filter(|_| kind == TIME) {
            Some(ms) => self.plain(format_args!("{ms}")),
            None => self.base64(data),
        }
        Ok(())
    }

    fn length_of(&mut self, marker: Marker) -> Result<u32, Reject> {
        match marker {
            Marker::Str8 | Marker::Bin8 | Marker::Ext8 => {
                Ok(u32::from(u8::from_be_bytes(self.fixed()?)))
            }
            Marker::Str16 | Marker::Bin16 | Marker::Ext16 => self.count(true),
            _ => self.count(false),
        }
    }

    fn count(&mut self, is_short: bool) -> Result<u32, Reject> {
        Ok(if is_short {
            u32::from(u16::from_be_bytes(self.fixed()?))
        } else {
            u32::from_be_bytes(self.fixed()?)
        })
    }

    fn marker(&mut self) -> Result<Marker, Reject> {
        Ok(Marker::from_u8(u8::from_be_bytes(self.fixed()?)))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(|| self.fault(TRUNCATED))?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: u32) -> Result<&'b [u8], Reject> {
        let split = self.rest.split_at_checked(length as usize);
        let (bytes, rest) = split.ok_or_else(|| self.fault(TRUNCATED))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn base64(&mut self, bytes: &[u8]) {
        self.out.push('"');
        write_base64(self.out, bytes);
        self.out.push('"');
    }

    fn plain(&mut self, text: core::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.out.write_fmt(text);
    }

    #[cold]
    fn fault(&self, what: &str) -> Reject {
        let at = self.length - self.rest.len();
        Reject::new(Reason::PayloadNotMessagePack, format!("{what} at byte {at}"))
    }
}

/// The time in the data of an extension of type -1: seconds, with nanoseconds in three layouts.
fn milliseconds(data: &[u8]) -> Option<i64> {
    let (seconds, nanoseconds) = match data.len() {
        4 => (i64::from(u32::from_be_bytes(data.try_into().ok()?)), 0),
        8 => {
            let both = u64::from_be_bytes(data.try_into().ok()?);
            ((both & 0x3_FFFF_FFFF).cast_signed(), both >> 34)
        }
        12 => {
            let (nanoseconds, seconds) = data.split_first_chunk()?;
            let seconds = i64::from_be_bytes(seconds.try_into().ok()?);
            (seconds, u64::from(u32::from_be_bytes(*nanoseconds)))
        }
        _ => return None,
    };
    let ms = i64::try_from(nanoseconds / 1_000_000).ok()?;
    seconds.checked_mul(1_000)?.checked_add(ms)
}

const TRUNCATED: &str = "the payload ends in the middle of a value";
/// The type of the extension for times.
const TIME: i8 = -1;

#[cfg(test)]
mod tests;
