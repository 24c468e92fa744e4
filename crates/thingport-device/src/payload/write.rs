//! Values as JSON text, in the form devices and people get (JS-075, JS-076).

use core::fmt::Write as _;

use thingport_model::value::{ValueRef, write_double};

/// Appends a value as JSON: whole numbers plain, doubles always with a fraction, texts quoted, JSON
/// embedded as it is.
pub fn write_value(out: &mut String, value: ValueRef<'_>) {
    match value {
        ValueRef::Bool(it) => out.push_str(if it { "true" } else { "false" }),
        ValueRef::Long(it) => write_plain(out, format_args!("{it}")),
        ValueRef::Double(it) => {
            // Writing to a string does not fail.
            let _ = write_double(out, it);
        }
        ValueRef::String(it) => write_string(out, it),
        ValueRef::Json(it) => out.push_str(it),
    }
}

/// Appends a JSON string: compact, no HTML escaping, U+2028 and U+2029 escaped.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    // Nearly all texts; without a branch per byte, so that many bytes are looked at together.
    let needs_care = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\' || byte == 0xE2;
    if !text.bytes().fold(false, |found, byte| found | needs_care(byte)) {
        out.push_str(text);
        out.push('"');
        return;
    }
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        let is_separator = byte == 0xE2 && is_line_separator(text.as_bytes(), at);
        if byte >= b' ' && byte != b'"' && byte != b'\\' && !is_separator {
            continue;
        }
        out.push_str(text.get(written..at).unwrap_or_default());
        written = at + write_escape(out, byte, text.as_bytes().get(at + 2));
    }
    out.push_str(text.get(written..).unwrap_or_default());
    out.push('"');
}

/// Whether U+2028 or U+2029, in UTF-8 `E2 80 A8` and `E2 80 A9`, stands at `at`.
fn is_line_separator(text: &[u8], at: usize) -> bool {
    matches!(text.get(at + 1..at + 3), Some([0x80, 0xA8 | 0xA9]))
}

/// Appends the escape of the character that begins with `byte`; returns its length in the text.
fn write_escape(out: &mut String, byte: u8, third: Option<&u8>) -> usize {
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        b'\t' => out.push_str("\\t"),
        0x08 => out.push_str("\\b"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        0x0C => out.push_str("\\f"),
        0xE2 => {
            out.push_str(if third == Some(&0xA8) { "\\u2028" } else { "\\u2029" });
            return 3;
        }
        other => write_plain(out, format_args!("\\u{other:04x}")),
    }
    1
}

fn write_plain(out: &mut String, text: core::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_by_type() {
        let rows = [
            (ValueRef::Long(-1), "-1"),
            (ValueRef::Bool(true), "true"),
            (ValueRef::Double(1.0), "1.0"),
            (ValueRef::Double(0.001), "0.001"),
            (ValueRef::Double(1e-5), "1.0E-5"),
            (ValueRef::Double(12_345_678_900.0), "1.23456789E10"),
            (ValueRef::String("a\"\\/<\n\u{1}"), "\"a\\\"\\\\/<\\n\\u0001\""),
            (ValueRef::String("\t\u{8}\r\u{c}"), "\"\\t\\b\\r\\f\""),
            (
                ValueRef::String("\u{2028}-\u{2029}-\u{2030}\u{e9}"),
                "\"\\u2028-\\u2029-\u{2030}\u{e9}\"",
            ),
            (ValueRef::Json("{\"a\":1.00}"), "{\"a\":1.00}"),
        ];
        for (value, expected) in rows {
            let mut out = String::new();
            write_value(&mut out, value);
            assert_eq!(out, expected);
        }
    }
}
