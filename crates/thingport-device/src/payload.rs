//! The forms of bodies: JSON (device API section 4), Protobuf (section 5), CBOR and MessagePack.

pub(crate) mod cbor;
mod duplicates;
pub(crate) mod fault;
pub mod json;
pub(crate) mod lexer;
pub(crate) mod messagepack;
pub(crate) mod nested;
mod number;
pub mod protobuf;
mod record;
mod sink;
pub mod write;

pub(crate) use number::widened;

/// What becomes of the values of a body.
///
/// Devices and REST writes differ in two rules; make one with [`Typing::device`] or [`Typing::rest`]
/// and change what the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typing {
    /// Texts that look like numbers become numbers (JS-033, T-41). When off, a number that is neither
    /// LONG nor DOUBLE is refused instead of becoming text (JS-038).
    pub type_cast: bool,
    /// Longest text value in UTF-16 units; 0 means no limit (JS-039).
    pub max_string_value_length: u32,
    /// What becomes of fractions that a double does not hold comfortably.
    pub long_fraction: LongFraction,
    /// What becomes of null members.
    pub nulls: Nulls,
}

/// What becomes of fractions that a double does not hold comfortably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongFraction {
    /// The devices' rule, the final column of JS-036: more than 16 decimals become text, a whole
    /// double of 10^7 or more becomes a whole number.
    Text,
    /// The rule of REST writes (REST API T-43): every fraction is a double and stays one.
    Double,
}

/// What becomes of null members (REST API T-42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// The member is dropped (JS-031).
    Skip,
    /// The body is refused with `PayloadShape`.
    Refuse,
}

impl Typing {
    /// The rules for what devices send.
    #[must_use]
    pub const fn device(type_cast: bool, max_string_value_length: u32) -> Self {
        let (long_fraction, nulls) = (LongFraction::Text, Nulls::Skip);
        Self { type_cast, max_string_value_length, long_fraction, nulls }
    }

    /// The rules for what people write through REST (REST API 14.5).
    #[must_use]
    pub const fn rest(type_cast: bool, max_string_value_length: u32) -> Self {
        let (long_fraction, nulls) = (LongFraction::Double, Nulls::Refuse);
        Self { type_cast, max_string_value_length, long_fraction, nulls }
    }
}

impl Default for Typing {
    /// ThingsBoard's defaults for devices: cast texts, no limit on their length.
    fn default() -> Self {
        Self::device(true, 0)
    }
}
