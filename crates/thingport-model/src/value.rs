//! What a key can hold: ThingsBoard's five stored types (device API section 4.4).

use core::fmt;

/// A value that owns its text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `BOOLEAN`
    Bool(bool),
    /// `LONG`: signed 64-bit.
    Long(i64),
    /// `DOUBLE`: IEEE 64-bit, always finite.
    Double(f64),
    /// `STRING`
    String(String),
    /// `JSON`: compact text of an object or array.
    Json(String),
}

/// A value whose text lives elsewhere. The form used on the way in, where nothing may be allocated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// `BOOLEAN`
    Bool(bool),
    /// `LONG`: signed 64-bit.
    Long(i64),
    /// `DOUBLE`: IEEE 64-bit, always finite.
    Double(f64),
    /// `STRING`
    String(&'a str),
    /// `JSON`: compact text of an object or array.
    Json(&'a str),
}

impl Value {
    /// The same value, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> ValueRef<'_> {
        match self {
            Self::Bool(it) => ValueRef::Bool(*it),
            Self::Long(it) => ValueRef::Long(*it),
            Self::Double(it) => ValueRef::Double(*it),
            Self::String(it) => ValueRef::String(it),
            Self::Json(it) => ValueRef::Json(it),
        }
    }
}

impl ValueRef<'_> {
    /// The same value with text of its own.
    #[must_use]
    pub fn to_owned(self) -> Value {
        match self {
            Self::Bool(it) => Value::Bool(it),
            Self::Long(it) => Value::Long(it),
            Self::Double(it) => Value::Double(it),
            Self::String(it) => Value::String(it.to_owned()),
            Self::Json(it) => Value::Json(it.to_owned()),
        }
    }

    /// The number this value stands for in an aggregation, if it is one.
    #[must_use]
    pub const fn as_double(self) -> Option<f64> {
        match self {
            // A long beyond 2^53 loses low bits here, as it does in ThingsBoard's averages.
            #[allow(clippy::cast_precision_loss)]
            Self::Long(it) => Some(it as f64),
            Self::Double(it) => Some(it),
            Self::Bool(_) | Self::String(_) | Self::Json(_) => None,
        }
    }
}

/// Text of a value as REST (not strict) and WebSocket show it (REST API T-12).
impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(it) => write!(f, "{it}"),
            Self::Long(it) => write!(f, "{it}"),
            Self::Double(it) => write_double(f, *it),
            Self::String(it) | Self::Json(it) => f.write_str(it),
        }
    }
}

/// Writes a double in the form ThingsBoard prints: shortest digits that read back the same, always
/// with a fraction; plain between 10^-3 and 10^7, else scientific with a capital E
/// (device API JS-075, REST API T-12).
///
/// # Errors
/// Only those of the writer.
pub fn write_double(out: &mut impl fmt::Write, value: f64) -> fmt::Result {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return write!(out, "{value:?}");
    }
    let text = format!("{value:E}");
    let Some((digits, exponent)) = text.split_once('E') else {
        // Not finite; such values are refused before they are stored.
        return out.write_str(&text);
    };
    let fraction = if digits.contains('.') { "" } else { ".0" };
    write!(out, "{digits}{fraction}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_thingsboard_prints_them() {
        let rows = [
            (1.0, "1.0"),
            (42.5, "42.5"),
            (-0.0, "-0.0"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (1e-5, "1.0E-5"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678_900.0, "1.23456789E10"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157E308"),
        ];
        for (value, expected) in rows {
            assert_eq!(ValueRef::Double(value).to_string(), expected);
        }
    }
}
