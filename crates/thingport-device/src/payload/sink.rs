//! Values on their way into readings: one set of rules for every form of body (device API 4.4).

use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use super::Typing;
use super::number::{self, Typed};
use crate::reject::{Reject, quoted};

/// Where the values of one record go.
pub(crate) struct Sink<'s> {
    /// When they were measured.
    pub(crate) at: Timestamp,
    /// What becomes of them.
    pub(crate) typing: &'s Typing,
    /// Room for numbers that become texts.
    pub(crate) plain: &'s mut Plain,
    /// Where they go.
    pub(crate) out: &'s mut Readings,
}

/// Numbers written out as text. The buffer is kept from payload to payload.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    text: String,
    /// Bytes of numbers written out in this payload so far.
    expanded: usize,
}

impl Plain {
    /// Begins a payload.
    pub(crate) const fn begin(&mut self) {
        self.expanded = 0;
    }
}

impl Sink<'_> {
    /// Adds a number by its text, or a text that is treated like one (JS-035).
    #[inline]
    pub(crate) fn number(&mut self, key: &str, text: &str) -> Result<(), Reject> {
        let typed = number::typed(text, self.typing, &mut self.plain.text);
        self.typed(key, typed, || text.to_owned())
    }

    /// Adds a double as if its shortest text had been sent (5.2).
    #[inline]
    pub(crate) fn double(&mut self, key: &str, value: f64) -> Result<(), Reject> {
        let typed = number::typed_double(value, self.typing, &mut self.plain.text);
        self.typed(key, typed, || format!("{value:E}"))
    }

    /// Adds a text, or the number it looks like (JS-033, JS-039).
    #[inline]
    pub(crate) fn text(&mut self, key: &str, text: &str) -> Result<(), Reject> {
        check_length(key, text, self.typing)?;
        if self.typing.type_cast && number::is_castable(text) {
            return self.number(key, text);
        }
        self.put(key, ValueRef::String(text))
    }

    /// Adds a value as it is.
    #[inline]
    pub(crate) fn put(&mut self, key: &str, value: ValueRef<'_>) -> Result<(), Reject> {
        check_key(key)?;
        self.out.push(self.at, key, value);
        Ok(())
    }

    #[inline]
    fn typed(
        &mut self,
        key: &str,
        typed: Typed,
        shown: impl FnOnce() -> String,
    ) -> Result<(), Reject> {
        check_key(key)?;
        let Plain { text, expanded } = self.plain;
        match typed {
            Typed::Long(it) => self.out.push(self.at, key, ValueRef::Long(it)),
            Typed::Double(it) => self.out.push(self.at, key, ValueRef::Double(it)),
            Typed::Plain if *expanded + text.len() <= EXPANDED_MAX => {
                *expanded += text.len();
                self.out.push(self.at, key, ValueRef::String(text));
            }
            _ => return Err(in_key(Reason::PayloadNumber, key, &quoted(&shown()))),
        }
        Ok(())
    }
}

/// Refuses texts longer than the limit (JS-039).
fn check_length(key: &str, text: &str, typing: &Typing) -> Result<(), Reject> {
    let max = typing.max_string_value_length as usize;
    // UTF-16 never needs more units than UTF-8 needs bytes.
    if max > 0 && text.len() > max && text.encode_utf16().count() > max {
        let what = format!("more than {max} characters");
        return Err(in_key(Reason::PayloadStringTooLong, key, &what));
    }
    Ok(())
}

/// Refuses keys that could not be kept (JS-040, WK-002).
fn check_key(key: &str) -> Result<(), Reject> {
    let is_too_long = key.len() > KEY_MAX && key.chars().nth(KEY_MAX).is_some();
    if key.is_empty() || is_too_long {
        return Err(Reject::new(Reason::PayloadKey, quoted(key)));
    }
    Ok(())
}

/// A refusal about one key.
pub(crate) fn in_key(reason: Reason, key: &str, what: &str) -> Reject {
    Reject::new(reason, format!("key {}: {what}", quoted(key)))
}

/// Longest key in characters (WK-002).
pub(crate) const KEY_MAX: usize = 255;

/// Most bytes of numbers written out as text in one payload, so that `1e400` many times over does not
/// become a large one (WK-046).
const EXPANDED_MAX: usize = 64 * 1024;
