//! CBOR (RFC 8949): bodies that mean what the same JSON would mean.
//!
//! A body becomes JSON text and goes the way of JSON from there, so that times, types and bounds are
//! the same by construction. Byte strings become base64; keys may be whole numbers; a tag is read over,
//! but for tag 1, seconds since 1970, which become the milliseconds that JSON has.

use core::fmt::Write as _;

use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder};
use serde_json::Value;
use thingport_model::reason::Reason;
use thingport_model::value::write_double;

use super::number::widened;
use super::protobuf::{not_finite, write_base64};
use super::write::write_string;
use crate::reject::Reject;

/// Writes a body as JSON text into `out`, which is cleared first.
///
/// # Errors
/// `PayloadNotCbor` with the place; `PayloadTooDeep`.
pub(crate) fn to_json(payload: &[u8], out: &mut String) -> Result<(), Reject> {
    out.clear();
    let mut reader = Reader { decoder: Decoder::new(payload), out };
    reader.value(0)?;
    let end = reader.decoder.position();
    if end == payload.len() { Ok(()) } else { Err(fault("bytes follow the end of the item", end)) }
}

/// Appends JSON as CBOR: whole numbers as integers, all others as doubles.
pub(crate) fn from_json(value: &Value, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = write(value, &mut Encoder::new(out));
}

fn write(
    value: &Value,
    encoder: &mut Encoder<&mut Vec<u8>>,
) -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
    match value {
        Value::Null => drop(encoder.null()?),
        Value::Bool(it) => drop(encoder.bool(*it)?),
        Value::Number(it) => match (it.as_i64(), it.as_u64()) {
            (Some(it), _) => drop(encoder.i64(it)?),
            (None, Some(it)) => drop(encoder.u64(it)?),
            (None, None) => drop(encoder.f64(it.as_f64().unwrap_or(f64::NAN))?),
        },
        Value::String(it) => drop(encoder.str(it)?),
        Value::Array(elements) => {
            encoder.array(elements.len() as u64)?;
            elements.iter().try_for_each(|it| write(it, encoder))?;
        }
        Value::Object(members) => {
            encoder.map(members.len() as u64)?;
            for (key, member) in members {
                encoder.str(key)?;
                write(member, encoder)?;
            }
        }
    }
    Ok(())
}

struct Reader<'r, 'b> {
    decoder: Decoder<'b>,
    out: &'r mut String,
}

impl Reader<'_, '_> {
    fn value(&mut self, depth: usize) -> Result<(), Reject> {
        let at = self.decoder.position();
        if depth > DEPTH_MAX {
            let what = format!("more than {DEPTH_MAX} levels at byte {at}");
            return Err(Reject::new(Reason::PayloadTooDeep, what));
        }
        let decoder = &mut self.decoder;
        let kind = decoder.datatype().map_err(|error| wrong(&error, at))?;
        let written: Result<(), minicbor::decode::Error> = match kind {
            Type::Null => decoder.null().map(|()| self.out.push_str("null")),
            Type::Undefined => decoder.undefined().map(|()| self.out.push_str("null")),
            Type::Bool => decoder.bool().map(|it| self.plain(format_args!("{it}"))),
            Type::Simple => decoder.simple().map(|it| self.plain(format_args!("{it}"))),
            Type::F16 => decoder.f16().map(|it| self.double(widened(it))),
            Type::F32 => decoder.f32().map(|it| self.double(widened(it))),
            Type::F64 => decoder.f64().map(|it| self.double(it)),
            Type::Tag => return self.tagged(depth),
            Type::Array | Type::ArrayIndef => return self.array(depth),
            Type::Map | Type::MapIndef => return self.map(depth),
            Type::String | Type::StringIndef => return self.text(),
            Type::Bytes | Type::BytesIndef => return self.bytes(),
            Type::Break | Type::Unknown(_) => return Err(fault("no item begins here", at)),
            _ => decoder.int().map(|it| self.plain(format_args!("{}", i128::from(it)))),
        };
        written.map_err(|error| wrong(&error, at))
    }

    /// The item of a tag.
    fn tagged(&mut self, depth: usize) -> Result<(), Reject> {
        let at = self.decoder.position();
        let tag = self.decoder.tag().map_err(|error| wrong(&error, at))?;
        let begin = self.out.len();
        self.value(depth + 1)?;
        let written = self.out.get(begin..).unwrap_or_default();
        if tag == SECONDS_SINCE_1970
            && let Some(ms) = milliseconds(written)
        {
            self.out.truncate(begin);
            self.plain(format_args!("{ms}"));
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Reject> {
        let at = self.decoder.position();
        let length = self.decoder.array().map_err(|error| wrong(&error, at))?;
        self.out.push('[');
        let mut count = 0;
        while self.goes_on(length, count)? {
            if count > 0 {
                self.out.push(',');
            }
            self.value(depth + 1)?;
            count += 1;
        }
        self.out.push(']');
        Ok(())
    }

    fn map(&mut self, depth: usize) -> Result<(), Reject> {
        let at = self.decoder.position();
        let length = self.decoder.map().map_err(|error| wrong(&error, at))?;
        self.out.push('{');
        let mut count = 0;
        while self.goes_on(length, count)? {
            if count > 0 {
                self.out.push(',');
            }
            self.key()?;
            self.out.push(':');
            self.value(depth + 1)?;
            count += 1;
        }
        self.out.push('}');
        Ok(())
    }

    /// Whether another element follows; the end of a list without length is consumed.
    fn goes_on(&mut self, length: Option<u64>, count: u64) -> Result<bool, Reject> {
        if let Some(length) = length {
            return Ok(count < length);
        }
        let at = self.decoder.position();
        match self.decoder.datatype().map_err(|error| wrong(&error, at))? {
            Type::Break => {
                self.decoder.set_position(at + 1);
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// A text, or a whole number, which becomes its text.
    fn key(&mut self) -> Result<(), Reject> {
        let at = self.decoder.position();
        let decoder = &mut self.decoder;
        match decoder.datatype().map_err(|error| wrong(&error, at))? {
            Type::String | Type::StringIndef => self.text(),
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64
            | Type::Int => {
                let number = decoder.int().map_err(|error| wrong(&error, at))?;
                self.plain(format_args!("\"{}\"", i128::from(number)));
                Ok(())
            }
            _ => Err(fault("a key is neither a text nor a whole number", at)),
        }
    }

    fn text(&mut self) -> Result<(), Reject> {
        let at = self.decoder.position();
        let mut parts = self.decoder.str_iter().map_err(|error| wrong(&error, at))?;
        let mut text = String::new();
        parts
            .try_for_each(|part| part.map(|part| text.push_str(part)))
            .map_err(|error| wrong(&error, at))?;
        write_string(self.out, &text);
        Ok(())
    }

    fn bytes(&mut self) -> Result<(), Reject> {
        let at = self.decoder.position();
        let mut parts = self.decoder.bytes_iter().map_err(|error| wrong(&error, at))?;
        let mut bytes = Vec::new();
        parts
            .try_for_each(|part| part.map(|part| bytes.extend_from_slice(part)))
            .map_err(|error| wrong(&error, at))?;
        self.out.push('"');
        write_base64(self.out, &bytes);
        self.out.push('"');
        Ok(())
    }

    fn double(&mut self, value: f64) {
        write_number(self.out, value);
    }

    fn plain(&mut self, text: core::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.out.write_fmt(text);
    }
}

/// Appends a double as JSON: a text when it is not finite.
pub(super) fn write_number(out: &mut String, value: f64) {
    // Writing to a string does not fail.
    let _ = if value.is_finite() {
        write_double(out, value)
    } else {
        write!(out, "\"{}\"", not_finite(value))
    };
}

/// Seconds as JSON wrote them, in milliseconds.
fn milliseconds(seconds: &str) -> Option<i64> {
    if let Ok(whole) = seconds.parse::<i64>() {
        return whole.checked_mul(1_000);
    }
    let ms = (seconds.parse::<f64>().ok()? * 1e3).round();
    // A double this small is whole and exact.
    #[allow(clippy::cast_possible_truncation)]
    (ms.abs() < 9e15).then_some(ms as i64)
}

fn wrong(error: &minicbor::decode::Error, at: usize) -> Reject {
    let what = if error.is_end_of_input() {
        "the payload ends in the middle of an item"
    } else {
        "what begins here is not well formed"
    };
    fault(what, error.position().unwrap_or(at))
}

fn fault(what: &str, at: usize) -> Reject {
    Reject::new(Reason::PayloadNotCbor, format!("{what} at byte {at}"))
}

const SECONDS_SINCE_1970: Tag = Tag::new(1);
/// Deepest nesting, as of JSON (L-14).
pub(super) const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests;
