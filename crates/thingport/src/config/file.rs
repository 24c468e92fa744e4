//! A TOML text as a flat list of keys and found values, each with its line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, SECTIONS};
use super::setting::{Form, Found};
use super::{Given, Problem};

/// Reads `text`; `name` is how messages call the file. Of a file that is not TOML only the syntax
/// problems are told: what its other lines mean is not certain.
pub(crate) fn read(name: &str, text: &str, given: &mut Vec<Given>, problems: &mut Vec<Problem>) {
    let place = |offset: usize| format!("{name}:{}", line_at(text, offset));
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        let sentence = format!("not valid TOML: {}", error.message().replace('\n', ", "));
        problems.push(Problem { place: place(offset), sentence });
    }
    if errors.is_empty() {
        let start = given.len();
        flatten("", document.get_ref(), &place, given);
        given[start..].sort_by_key(|one| line_of_place(&one.place));
    }
}

fn flatten(
    prefix: &str,
    table: &DeTable<'_>,
    place: &dyn Fn(usize) -> String,
    given: &mut Vec<Given>,
) {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}.{}", key.get_ref())
        };
        let is_key = KEYS.iter().any(|known| known.name == name);
        let is_section = SECTIONS.iter().any(|known| known.name == name);
        match value.get_ref() {
            DeValue::Table(inner) if !is_key && (is_section || !inner.is_empty()) => {
                flatten(&name, inner, place, given);
            }
            _ => {
                given.push(Given { place: place(key.span().start), key: name, found: found(value) })
            }
        }
    }
}

fn found(value: &Spanned<DeValue<'_>>) -> Found {
    match value.get_ref() {
        DeValue::String(text) => Found::new(Form::String, text),
        DeValue::Integer(number) => {
            // TOML allows other bases; too large a number keeps its text and is refused by its key.
            let decimal = i128::from_str_radix(number.as_str(), number.radix());
            let text = decimal.map_or_else(|_| number.to_string(), |value| value.to_string());
            Found::new(Form::Integer, &text)
        }
        DeValue::Float(number) => Found::new(Form::Float, &number.to_string()),
        DeValue::Boolean(flag) => Found::new(Form::Boolean, &flag.to_string()),
        DeValue::Datetime(date) => Found::new(Form::Date, &date.to_string()),
        DeValue::Array(items) => {
            // Only lists of texts are settings; what stands between others is no separator.
            let texts: Option<Vec<_>> = items.iter().map(|item| item.get_ref().as_str()).collect();
            Found::new(Form::Array, &texts.map_or_else(|| "\0".to_owned(), |it| it.join(",")))
        }
        DeValue::Table(_) => Found::new(Form::Table, ""),
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn line_of_place(place: &str) -> usize {
    place.rsplit(':').next().and_then(|line| line.parse().ok()).unwrap_or(0)
}
