//! Numbers, texts and values as bytes: the alphabet that log records and chunks share.
//!
//! Reading never panics and never allocates by an announced length: a [`Cursor`] only hands out what
//! it has. Integers are LEB128 varints, signed ones zigzag first. A double that is a short decimal is
//! kept as a scaled integer, which is exact and mostly two or three bytes instead of eight.

use thingport_model::value::ValueRef;

/// Appends `value` as a varint, 1 to 10 bytes.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number, small magnitudes short.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Appends text or bytes with their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a value with its type.
pub(crate) fn put_value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Bool(it) => out.push(if it { TRUE } else { FALSE }),
        ValueRef::Long(it) => {
            out.push(LONG);
            put_signed(out, it);
        }
        ValueRef::Double(it) => put_double(out, it),
        ValueRef::String(it) => {
            out.push(STRING);
            put_bytes(out, it.as_bytes());
        }
        ValueRef::Json(it) => {
            out.push(JSON);
            put_bytes(out, it.as_bytes());
        }
    }
}

fn put_double(out: &mut Vec<u8>, value: f64) {
    if let Some((exponent, digits)) = decimal(value, SHORT_EXPONENT_MAX)
        && zigzag(digits) < 1 << 42
    {
        out.push(DECIMAL | exponent << 4);
        put_signed(out, digits);
    } else {
        out.push(DOUBLE);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// The smallest exponent up to `exponent_max` and the integer for which `integer / 10^exponent` is
/// exactly `value`; None when there is none below 2^53, or for negative zero.
pub(crate) fn decimal(value: f64, exponent_max: u8) -> Option<(u8, i64)> {
    (0..=exponent_max).find_map(|exponent| Some((exponent, scaled(value, exponent)?)))
}

/// The integer for which `integer / 10^exponent` is exactly `value`.
pub(crate) fn scaled(value: f64, exponent: u8) -> Option<i64> {
    let power = *POWERS.get(usize::from(exponent))?;
    let rounded = (value * power).round();
    if rounded.is_nan() || rounded.abs() > EXACT_MAX {
        return None;
    }
    #[allow(clippy::cast_possible_truncation)] // an integer below 2^53
    let digits = rounded as i64;
    (unscaled(digits, exponent).to_bits() == value.to_bits()).then_some(digits)
}

/// The double that `digits / 10^exponent` is.
pub(crate) fn unscaled(digits: i64, exponent: u8) -> f64 {
    let power = POWERS.get(usize::from(exponent)).copied().unwrap_or(1.0);
    #[allow(clippy::cast_precision_loss)] // written only below 2^53; others were damaged anyway
    let digits = digits as f64;
    digits / power
}

/// Maps small magnitudes of either sign to small numbers.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Reverses [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Bytes being read; every step answers None when they do not suffice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn varint_u32(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        Some(unzigzag(self.varint()?))
    }

    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        self.bytes(len)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.counted()?).ok()
    }

    pub(crate) fn value(&mut self) -> Option<ValueRef<'a>> {
        let tag = self.byte()?;
        Some(match tag & 0x0f {
            FALSE => ValueRef::Bool(false),
            TRUE => ValueRef::Bool(true),
            LONG => ValueRef::Long(self.signed()?),
            DOUBLE => ValueRef::Double(f64::from_le_bytes(self.array()?)),
            DECIMAL => ValueRef::Double(unscaled(self.signed()?, tag >> 4)),
            STRING => ValueRef::String(self.text()?),
            JSON => ValueRef::Json(self.text()?),
            _ => return None,
        })
    }
}

const FALSE: u8 = 0;
const TRUE: u8 = 1;
const LONG: u8 = 2;
const DOUBLE: u8 = 3;
/// The high half of the tag is the exponent.
const DECIMAL: u8 = 4;
const STRING: u8 = 5;
const JSON: u8 = 6;
/// Decimals with more digits behind the point are rare and cost more tries than they save.
const SHORT_EXPONENT_MAX: u8 = 6;
/// Most digits behind the point that any column may use; beyond, 10^n is no exact double.
pub(crate) const EXPONENT_MAX: u8 = 15;
/// 2^53: integers up to here are exact doubles, so one division gives the nearest double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_bit_for_bit() {
        let values = [
            ValueRef::Bool(false),
            ValueRef::Bool(true),
            ValueRef::Long(0),
            ValueRef::Long(i64::MIN),
            ValueRef::Long(i64::MAX),
            ValueRef::Double(21.5),
            ValueRef::Double(-0.0),
            ValueRef::Double(0.1 + 0.2),
            ValueRef::Double(f64::MIN_POSITIVE),
            ValueRef::Double(f64::MAX),
            ValueRef::Double(-1e15),
            ValueRef::String("\u{e9}"),
            ValueRef::Json("{}"),
        ];
        for value in values {
            let mut bytes = Vec::new();
            put_value(&mut bytes, value);
            let mut cursor = Cursor(&bytes);
            let back = cursor.value().expect("what was written");
            assert!(cursor.is_empty(), "{value:?}");
            assert_eq!(format!("{back:?}"), format!("{value:?}"));
        }
    }

    #[test]
    fn short_decimals_are_short() {
        for (value, expected) in [(21.5, 3), (0.0, 2), (-3.25, 3), (1.0 / 3.0, 9)] {
            let mut bytes = Vec::new();
            put_value(&mut bytes, ValueRef::Double(value));
            assert_eq!(bytes.len(), expected, "{value}");
        }
    }

    #[test]
    fn cut_bytes_are_refused() {
        let mut bytes = Vec::new();
        put_value(&mut bytes, ValueRef::String("abc"));
        for end in 0..bytes.len() {
            assert_eq!(Cursor(&bytes[..end]).value(), None);
        }
        assert_eq!(Cursor(&[0xff; 12]).varint(), None);
    }
}
