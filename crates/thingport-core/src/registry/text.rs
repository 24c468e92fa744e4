//! Rules for texts that people type (G-52, G-53) and for pages they ask for (G-40 to G-44).

use thingport_model::page::PageLink;
use thingport_model::tenant::Address;

use crate::error::Error;

/// A name that must be there.
pub(super) fn required(field: &str, text: &str) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(Error::Invalid(format!("{field} must not be empty")));
    }
    short(field, text)
}

/// A name-like text that may be missing.
pub(super) fn optional(field: &str, text: Option<&str>) -> Result<(), Error> {
    text.map_or(Ok(()), |text| short(field, text))
}

/// A long text, opaque to us: only the NUL character is refused.
pub(super) fn opaque(field: &str, text: Option<&str>) -> Result<(), Error> {
    match text {
        // In JSON the character hides behind an escape.
        Some(text) if text.contains('\0') || text.contains("\\u0000") => Err(nul(field)),
        _ => Ok(()),
    }
}

/// A text without any control character (AU-007, C-6).
pub(super) fn printable(field: &str, text: &str) -> Result<(), Error> {
    if text.chars().any(char::is_control) {
        return Err(Error::Invalid(format!("{field} must not contain control characters")));
    }
    Ok(())
}

/// An e-mail address: something, one at sign, a domain; no blanks.
pub(super) fn email(field: &str, text: &str) -> Result<(), Error> {
    short(field, text)?;
    let blank = text.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    let parts = text.split_once('@');
    match parts {
        Some((local, domain)) if !local.is_empty() && is_domain(domain) && !blank => Ok(()),
        _ => Err(Error::Invalid(format!("{field} is not an e-mail address: {text}"))),
    }
}

pub(super) fn address(address: &Address) -> Result<(), Error> {
    let fields = [
        ("country", &address.country),
        ("state", &address.state),
        ("city", &address.city),
        ("address", &address.address),
        ("address2", &address.address2),
        ("zip", &address.zip),
        ("phone", &address.phone),
    ];
    for (field, text) in fields {
        optional(field, text.as_deref())?;
    }
    match address.email.as_deref() {
        Some(text) if !text.is_empty() => email("email", text),
        _ => Ok(()),
    }
}

/// A page that may be asked for, sorted only by one of `properties`.
pub(crate) fn page(link: PageLink, properties: &[&str]) -> Result<PageLink, Error> {
    if link.size == 0 || link.size > PAGE_SIZE_MAX {
        return Err(Error::Invalid(format!("pageSize must be between 1 and {PAGE_SIZE_MAX}")));
    }
    opaque("textSearch", link.text_search.as_deref())?;
    match &link.sort {
        Some(sort) if !properties.contains(&sort.property.as_str()) => {
            let known = properties.join(", ");
            Err(Error::Invalid(format!(
                "cannot sort by {}; known properties are {known}",
                sort.property
            )))
        }
        _ => Ok(link),
    }
}

fn short(field: &str, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(nul(field));
    }
    if text.chars().count() > TEXT_CHARS_MAX {
        let rule = format!("{field} must not be longer than {TEXT_CHARS_MAX} characters");
        return Err(Error::Invalid(rule));
    }
    if has_tag(text) {
        return Err(Error::Invalid(format!("{field} must not contain HTML tags")));
    }
    Ok(())
}

/// Whether a browser would see a tag, an end tag, a comment or a declaration.
fn has_tag(text: &str) -> bool {
    text.match_indices('<').any(|(at, _)| {
        let rest = &text[at + 1..];
        let opens = rest.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
        opens && rest.contains('>')
    })
}

fn is_domain(text: &str) -> bool {
    !text.contains('@') && text.split('.').all(|label| !label.is_empty())
}

fn nul(field: &str) -> Error {
    Error::Invalid(format!("{field} must not contain the NUL character"))
}

const TEXT_CHARS_MAX: usize = 255;
const PAGE_SIZE_MAX: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_short_plain_and_without_nul() {
        let long = "x".repeat(256);
        for wrong in ["", "  ", "a\0b", "<b>x</b>", "x</b>", "<!-- x -->", &long] {
            assert!(required("name", wrong).is_err(), "{wrong}");
        }
        let fits = "\u{e4}".repeat(255);
        for right in ["a", "a < b > c", "1<2", "<3", "x <y", &fits] {
            assert_eq!(required("name", right), Ok(()), "{right}");
        }
    }

    #[test]
    fn addresses_have_one_at_sign_and_a_domain() {
        for right in ["a@b", "a.b+c@d.example", "A@B.c"] {
            assert_eq!(email("email", right), Ok(()), "{right}");
        }
        for wrong in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b..c", "a@.b"] {
            assert!(email("email", wrong).is_err(), "{wrong}");
        }
    }
}
