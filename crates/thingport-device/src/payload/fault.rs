//! What can be wrong with the text of a payload.

use thingport_model::reason::Reason;

use crate::reject::Reject;

/// What is wrong with the text, and where. Becomes a [`Reject`] at the door. Small, because every step
/// of the lexer returns one or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    at: u32,
    what: What,
}

/// What is wrong with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    ValueMissing,
    NameMissing,
    ColonMissing,
    ObjectGoesOn,
    ArrayGoesOn,
    StringWithoutEnd,
    CommentWithoutEnd,
    UnknownEscape,
    UnicodeEscape,
    TextBehind,
    NumberTooLarge,
    TooManyNames,
    TooDeep,
    BareWord,
    NoObject,
}

impl Fault {
    /// A fault at a byte of the payload.
    pub(crate) const fn new(what: What, at: u32) -> Self {
        Self { at, what }
    }
}

impl What {
    const fn reason(self) -> Reason {
        match self {
            Self::NumberTooLarge => Reason::PayloadNumber,
            Self::TooManyNames => Reason::PayloadTooManyKeys,
            Self::TooDeep => Reason::PayloadTooDeep,
            Self::NoObject => Reason::PayloadShape,
            _ => Reason::PayloadNotJson,
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::ValueMissing => "a value is missing",
            Self::NameMissing => "a name is missing",
            Self::ColonMissing => "a colon is missing",
            Self::ObjectGoesOn => "a comma or the end of the object is missing",
            Self::ArrayGoesOn => "a comma or the end of the array is missing",
            Self::StringWithoutEnd => "a string has no end",
            Self::CommentWithoutEnd => "a comment has no end",
            Self::UnknownEscape => "an escape that does not exist",
            Self::UnicodeEscape => "\\u without four hexadecimal digits",
            Self::TextBehind => "text follows the end of the document",
            Self::NumberTooLarge => "a number is too long or its exponent too large",
            Self::TooManyNames => "more than 10000 names",
            Self::TooDeep => "more than 255 levels",
            Self::BareWord | Self::NoObject => "an object is expected",
        }
    }
}

impl From<Fault> for Reject {
    #[cold]
    fn from(fault: Fault) -> Self {
        let detail = format!("{} at byte {}", fault.what.sentence(), fault.at);
        Self::new(fault.what.reason(), detail)
    }
}
