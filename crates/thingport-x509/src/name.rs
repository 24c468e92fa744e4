//! Distinguished names as text, RFC 4514: last component first, separated by commas.

use x509_parser::der_parser::asn1_rs::{Any, BmpString, Tag};
use x509_parser::oid_registry::Oid;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::fingerprint::hex;

/// The name as RFC 4514 writes it, for example `CN=pump-17,O=ACME,C=DE`; at most [`NAME_MAX`] bytes
/// and an ellipsis.
pub(crate) fn text(name: &X509Name<'_>) -> String {
    let components: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for component in components.into_iter().rev() {
        if !text.is_empty() {
            text.push(',');
        }
        for (place, attribute) in component.iter().enumerate() {
            if place > 0 {
                text.push('+');
            }
            push_attribute(&mut text, attribute);
        }
        if text.len() > NAME_MAX {
            let end = text.floor_char_boundary(NAME_MAX);
            text.truncate(end);
            text.push_str("...");
            break;
        }
    }
    text
}

/// The first common name, as the subject lists them (AU-051).
pub(crate) fn common_name(name: &X509Name<'_>) -> Option<String> {
    let first = name.iter_common_name().next()?;
    value_text(first.attr_value())
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    match abbreviation(attribute.attr_type()) {
        Some(short) => text.push_str(short),
        None => text.push_str(&attribute.attr_type().to_id_string()),
    }
    text.push('=');
    match value_text(attribute.attr_value()) {
        Some(value) => push_escaped(text, &value),
        None => {
            text.push('#');
            text.push_str(&hex(attribute.as_slice()));
        }
    }
}

fn value_text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::BmpString => BmpString::try_from(value.clone()).ok().map(|text| text.string()),
        Tag::UniversalString => {
            let letters = value.data.chunks_exact(4).map(|four| {
                char::from_u32(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
            });
            letters.collect()
        }
        // T.61 is Latin-1 in practice; UTF-8 is tried first because newer tools put that there.
        Tag::T61String => Some(core::str::from_utf8(value.data).map_or_else(
            |_| value.data.iter().map(|byte| char::from(*byte)).collect(),
            ToOwned::to_owned,
        )),
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString
        | Tag::GeneralString => core::str::from_utf8(value.data).ok().map(ToOwned::to_owned),
        _ => None,
    }
}

/// RFC 4514, section 2.4; control characters are escaped too, so that a name cannot break a log line.
fn push_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (place, letter) in value.chars().enumerate() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => {
                text.push('\\');
                text.push(letter);
            }
            '#' | ' ' if place == 0 => {
                text.push('\\');
                text.push(letter);
            }
            ' ' if place == last => text.push_str("\\ "),
            control if control.is_control() => {
                let mut bytes = [0; 4];
                for byte in control.encode_utf8(&mut bytes).bytes() {
                    text.push('\\');
                    text.push_str(&hex(&[byte]));
                }
            }
            plain => text.push(plain),
        }
    }
}

fn abbreviation(oid: &Oid<'_>) -> Option<&'static str> {
    let id = oid.to_id_string();
    SHORT.iter().find(|(known, _)| *known == id).map(|(_, short)| *short)
}

/// Whether `bytes` hold one DER name and nothing else.
#[cfg(test)]
pub(crate) fn parse(bytes: &[u8]) -> Option<X509Name<'_>> {
    use x509_parser::prelude::FromDer as _;
    X509Name::from_der(bytes).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, name)| name)
}

/// Longest name shown, in bytes.
const NAME_MAX: usize = 1_024;

const SHORT: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "GN"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];
