//! How the text of a number, or a text that looks like one, becomes LONG, DOUBLE or STRING
//! (JS-034 to JS-038, REST API T-41 and T-43).

use core::fmt::{self, Write as _};
use core::iter::{repeat, repeat_n};

use super::{LongFraction, Typing};

/// What a number became.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Typed {
    /// LONG
    Long(i64),
    /// DOUBLE, finite.
    Double(f64),
    /// STRING: the plain decimal expansion, which is now in the buffer.
    Plain,
    /// Neither LONG nor DOUBLE, and texts are not wanted (JS-038).
    TooLarge,
}

/// Types a number of strict JSON, or a castable text. `plain` receives the expansion if there is one.
#[inline]
pub(crate) fn typed(text: &str, typing: &Typing, plain: &mut String) -> Typed {
    match short(text) {
        Some(Typed::Double(value)) if is_settled(value) => Typed::Double(value),
        Some(Typed::Long(value)) => Typed::Long(value),
        _ => typed_with_care(text, typing, plain),
    }
}

fn typed_with_care(text: &str, typing: &Typing, plain: &mut String) -> Typed {
    let found = short(text).unwrap_or_else(|| long(text, typing, plain));
    match found {
        Typed::Double(it) if typing.long_fraction == LongFraction::Text => settled(it, plain),
        other => other,
    }
    .unless_unwanted(typing)
}

/// Types a double that came as one, as if its shortest text had been sent (5.2, JS-036).
#[inline]
pub(crate) fn typed_double(value: f64, typing: &Typing, plain: &mut String) -> Typed {
    if has_few_decimals(value) || typing.long_fraction == LongFraction::Double {
        return Typed::Double(value);
    }
    let fraction = if value.abs() < SCIENTIFIC_FROM { "0" } else { "" };
    of_shortest(value, fraction, plain).unless_unwanted(typing)
}

/// The double that the shortest text of a float stands for: 0.1 and not 0.10000000149.
pub(crate) fn widened(value: f32) -> f64 {
    let exact = f64::from(value);
    let size = exact.abs();
    let scale = if size < 1.0 { 1e6 } else { 1e3 };
    // Rounded by hand: cheaper than asking the mathematics library, and bounded.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let scaled = ((exact * scale + 0.5_f64.copysign(exact)) as i64) as f64;
    // At most six digits: no two such decimals are the same float, so this one is the shortest.
    if scaled.abs() < 1e6 {
        let decimal = (scaled / scale).copysign(exact);
        #[allow(clippy::cast_possible_truncation)]
        if (decimal as f32).to_bits() == value.to_bits() {
            return decimal;
        }
    }
    let mut shortest = Shortest::default();
    // A float has at most nine digits, so its text fits.
    let _ = write!(shortest, "{value:E}");
    shortest.text().parse().unwrap_or(exact)
}

/// Appends the text of a double as [`write_double`] does; most have few digits and need no care.
///
/// [`write_double`]: thingport_model::value::write_double
pub(crate) fn push_double(text: &mut String, value: f64) {
    let size = value.abs();
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    let micros = if (1e-3..1e6).contains(&size) { (size * 1e6 + 0.5) as u64 } else { 0 };
    #[allow(clippy::cast_precision_loss, clippy::float_cmp)]
    let is_exact = micros > 0 && micros as f64 / 1e6 == size;
    if !is_exact {
        // Writing to a string does not fail.
        let _ = thingport_model::value::write_double(text, value);
        return;
    }
    if value < 0.0 {
        text.push('-');
    }
    push_digits(text, micros / 1_000_000);
    let mut digits = *b".000000";
    let mut rest = micros % 1_000_000;
    for digit in digits.iter_mut().skip(1).rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    // Without zeros at the end, but for the one behind the point.
    let zeros = digits.iter().skip(2).rev().take_while(|digit| **digit == b'0').count();
    let digits = digits.get(..digits.len() - zeros).unwrap_or_default();
    text.push_str(str::from_utf8(digits).unwrap_or_default());
}

/// Appends a whole number.
pub(crate) fn push_long(text: &mut String, value: i64) {
    if value < 0 {
        text.push('-');
    }
    push_digits(text, value.unsigned_abs());
}

/// Appends the digits of a number.
pub(crate) fn push_digits(text: &mut String, mut value: u64) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    loop {
        begin -= 1;
        if let Some(digit) = digits.get_mut(begin) {
            *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        }
        value /= 10;
        if value == 0 || begin == 0 {
            break;
        }
    }
    text.push_str(digits.get(begin..).and_then(|it| str::from_utf8(it).ok()).unwrap_or_default());
}

/// Whether the shortest text of a double surely has no more than 16 decimals and no exponent.
#[inline]
fn has_few_decimals(value: f64) -> bool {
    let size = value.abs();
    if size >= 1.0 {
        // 17 digits are enough for every double, and one of them stands before the point.
        return size < SCIENTIFIC_FROM;
    }
    // Six decimals or fewer, so these are the shortest.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let decimal = ((size * 1e6 + 0.5) as i64) as f64 / 1e6;
    #[allow(clippy::float_cmp)]
    let is_same = decimal == size;
    is_same
}

/// Whether a text is treated like a number (JS-034).
pub(crate) fn is_castable(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text).as_bytes();
    // Most texts are none, and say so with their last byte.
    if !unsigned.last().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    let points = unsigned.iter().filter(|byte| **byte == b'.').count();
    points <= 1 && unsigned.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// The whole number of milliseconds a text stands for, cut towards zero (device API 4.3).
///
/// None: it is not a number, or beyond 64 bits.
pub(crate) fn whole_part(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| Decimal::parse(text)?.truncated())
}

impl Typed {
    fn unless_unwanted(self, typing: &Typing) -> Self {
        if self == Self::Plain && !typing.type_cast { Self::TooLarge } else { self }
    }
}

/// The common case: few digits, no exponent. Exact, because mantissa and power of ten are.
#[inline]
fn short(text: &str) -> Option<Typed> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if unsigned.len() > SHORT_MAX {
        return None;
    }
    let mut mantissa: i64 = 0;
    let mut point = None;
    for (at, byte) in unsigned.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + i64::from(byte - b'0'),
            b'.' => point = Some(at),
            _ => return None,
        }
    }
    let is_negative = unsigned.len() != text.len();
    let Some(point) = point else {
        return Some(Typed::Long(if is_negative { -mantissa } else { mantissa }));
    };
    // At most 15 digits, because one of the 16 is the point: below 2^53.
    #[allow(clippy::cast_precision_loss)]
    let value = mantissa as f64 / POWERS_OF_TEN.get(unsigned.len() - 1 - point)?;
    Some(Typed::Double(if is_negative { -value } else { value }))
}

/// JS-035, for any text.
fn long(text: &str, typing: &Typing, plain: &mut String) -> Typed {
    let Some(decimal) = Decimal::parse(text) else { return Typed::TooLarge };
    let is_written_with_point = text.contains('.') && !decimal.has_exponent;
    if decimal.is_whole() && !is_written_with_point {
        return decimal.truncated().map_or_else(|| decimal.expand(plain), Typed::Long);
    }
    let is_short = decimal.scale() <= DECIMALS_MAX || typing.long_fraction == LongFraction::Double;
    match text.parse::<f64>() {
        Ok(value) if is_short && value.is_finite() => Typed::Double(value),
        _ => decimal.expand(plain),
    }
}

/// JS-036: what a double becomes when ThingsBoard types its shortest text once more.
///
/// That text is plain between 10^-3 and 10^7 and then gives the same double; outside it has an
/// exponent, so whole numbers lose their point and one more decimal is counted.
fn settled(value: f64, plain: &mut String) -> Typed {
    let size = value.abs();
    if is_settled(value) || size.fract() != 0.0 && size >= SCIENTIFIC_FROM {
        return Typed::Double(value);
    }
    if size < SCIENTIFIC_FROM {
        // With at most 16 decimals written, the only doubles with 17 in scientific form are those of
        // one digit in the 16th: 1.0E-16.
        return of_shortest(value, "0", plain);
    }
    if size < EXACT_BELOW {
        // Whole and small enough: the conversion is exact.
        #[allow(clippy::cast_possible_truncation)]
        return Typed::Long(value as i64);
    }
    of_shortest(value, "", plain)
}

/// Whether a double of at most 16 decimals surely stays what it is.
#[inline]
fn is_settled(value: f64) -> bool {
    let size = value.abs();
    (SETTLED_FROM..SCIENTIFIC_FROM).contains(&size) || size == 0.0
}

/// Types the shortest scientific text of a double, with `fraction` in place of an empty fraction.
fn of_shortest(value: f64, fraction: &str, plain: &mut String) -> Typed {
    let mut shortest = Shortest::default();
    // A double has at most 17 digits, so its text fits.
    let _ = write!(shortest, "{value:E}");
    let Some(mut decimal) = Decimal::parse(shortest.text()) else { return Typed::Double(value) };
    if decimal.fraction.is_empty() {
        decimal.fraction = fraction;
    }
    if decimal.is_whole() {
        return decimal.truncated().map_or_else(|| decimal.expand(plain), Typed::Long);
    }
    if decimal.scale() <= DECIMALS_MAX { Typed::Double(value) } else { decimal.expand(plain) }
}

/// A decimal number as its digits: `-12.34E5`.
#[derive(Clone, Copy, Debug)]
struct Decimal<'a> {
    is_negative: bool,
    integer: &'a str,
    fraction: &'a str,
    exponent: i64,
    has_exponent: bool,
}

impl<'a> Decimal<'a> {
    /// Optional sign, digits with an optional point, optional exponent.
    fn parse(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (digits, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, Some(exponent.parse::<i32>().ok()?)),
            None => (unsigned, None),
        };
        let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = is_digits(integer)
            && is_digits(fraction)
            && !(integer.is_empty() && fraction.is_empty());
        is_number.then_some(Self {
            is_negative: text.starts_with('-'),
            integer,
            fraction,
            exponent: i64::from(exponent.unwrap_or(0)),
            has_exponent: exponent.is_some(),
        })
    }

    /// Digits behind the point, as written.
    fn scale(&self) -> i64 {
        length(self.fraction) - self.exponent
    }

    /// How many of the digits stand before the point; negative when zeros would have to be put there.
    fn point(&self) -> i64 {
        length(self.integer) + self.exponent
    }

    fn digits(&self) -> impl Iterator<Item = u8> + Clone + use<'a> {
        self.integer.bytes().chain(self.fraction.bytes())
    }

    fn is_whole(&self) -> bool {
        let before = usize::try_from(self.point()).unwrap_or(0);
        self.digits().skip(before).all(|digit| digit == b'0')
    }

    /// The part before the point, if it fits.
    fn truncated(&self) -> Option<i64> {
        let Ok(before) = usize::try_from(self.point()) else { return Some(0) };
        let mut digits = self.digits().skip_while(|digit| *digit == b'0').peekable();
        let leading_zeros = self.digits().take_while(|digit| *digit == b'0').count();
        if digits.peek().is_none() || leading_zeros >= before {
            return Some(0);
        }
        let significant = before - leading_zeros;
        if significant > LONG_DIGITS_MAX {
            return None;
        }
        // Negative, because the most negative number has no positive counterpart.
        let zeros = repeat(b'0');
        let value = digits.chain(zeros).take(significant).try_fold(0_i64, |value, digit| {
            value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))
        })?;
        if self.is_negative { Some(value) } else { value.checked_neg() }
    }

    /// Puts the number into `plain` without exponent, with the decimals it was written with.
    fn expand(&self, plain: &mut String) -> Typed {
        plain.clear();
        if self.is_negative && self.digits().any(|digit| digit != b'0') {
            plain.push('-');
        }
        let start = plain.len();
        // Bounded: exponents of numbers are at most 400, those of doubles smaller.
        let zeros = |count: i64| repeat_n('0', usize::try_from(count).unwrap_or(0));
        let before = usize::try_from(self.point()).unwrap_or(0);
        let integer = self.digits().take(before).skip_while(|digit| *digit == b'0');
        plain.extend(integer.map(char::from));
        if plain.len() > start {
            plain.extend(zeros(-self.scale()));
        } else {
            plain.push('0');
        }
        if self.scale() > 0 {
            plain.push('.');
            plain.extend(zeros(-self.point()));
            plain.extend(self.digits().skip(before).map(char::from));
        }
        Typed::Plain
    }
}

/// The text of one double, on the stack.
#[derive(Default)]
struct Shortest {
    bytes: [u8; 32],
    length: usize,
}

impl Shortest {
    fn text(&self) -> &str {
        self.bytes.get(..self.length).and_then(|it| str::from_utf8(it).ok()).unwrap_or_default()
    }
}

impl fmt::Write for Shortest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

fn length(digits: &str) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

/// From here on doubles print in scientific form.
const SCIENTIFIC_FROM: f64 = 1e7;

/// Below here doubles may have more than 16 decimals in scientific form.
const SETTLED_FROM: f64 = 1e-15;

/// Longest unsigned text of a number whose digits surely fit 53 bits: 15 and a point.
const SHORT_MAX: usize = 16;

/// Most decimals of a DOUBLE (JS-035).
const DECIMALS_MAX: i64 = 16;

/// Digits of the largest LONG.
const LONG_DIGITS_MAX: usize = 19;

/// Up to here every whole double is the only one near its number.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// Powers of ten that doubles hold exactly.
const POWERS_OF_TEN: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::value::write_double;

    #[test]
    fn doubles_are_written_alike_quickly_and_with_care() {
        let mut values = vec![
            0.0,
            -0.0,
            1.0,
            -1.5,
            0.001,
            0.000_999,
            0.1,
            0.123_456,
            0.123_456_7,
            21.5,
            1e-7,
            1e5,
            999_999.999_999,
            1e6,
            9_999_999.5,
            1e7,
            1e300,
            0.3,
            0.1 + 0.2,
            123_456.789,
            -0.5,
        ];
        // Numbers of few digits, and their neighbours.
        for at in 1..2_000_u32 {
            let value = f64::from(at * at) / 1e3;
            values.extend([value, -value, value.next_up(), value.next_down(), value / 1e3]);
        }
        for value in values {
            let (mut quick, mut careful) = (String::new(), String::new());
            push_double(&mut quick, value);
            write_double(&mut careful, value).unwrap();
            assert_eq!(quick, careful);
        }
    }

    #[test]
    fn floats_become_the_double_of_their_shortest_text() {
        let mut values =
            vec![0.0, -0.0, 0.1, 21.5, 1e10, 1e-10, 16_777_216.0, 0.3, f32::MIN_POSITIVE];
        for at in 1..3_000_u16 {
            let value = f32::from(at) * f32::from(at) / 1e3;
            values.extend([value, -value, value.next_up(), value.next_down(), value / 1e3]);
        }
        for value in values {
            let expected: f64 = format!("{value:E}").parse().unwrap();
            assert_eq!(widened(value).to_bits(), expected.to_bits(), "{value:E}");
        }
    }

    #[test]
    fn doubles_are_typed_like_their_text() {
        let (mut plain, typing) = (String::new(), Typing::default());
        let mut values =
            vec![0.0, -0.0, 0.1 + 0.2, 1e-16, 1e-5, 1e7, 1e20, 12_345_678.9, 5e-324, 0.7];
        for at in 1..2_000_u32 {
            let value = f64::from(at * at) / 1e6;
            values.extend([value, -value, value.next_up(), value.next_down(), value / 1e3]);
        }
        for value in values {
            let mut text = String::new();
            write_double(&mut text, value).unwrap();
            let by_text = typed(&text, &typing, &mut plain);
            let expanded = plain.clone();
            let found = typed_double(value, &typing, &mut plain);
            assert_eq!(found, by_text, "{text}");
            assert!(found != Typed::Plain || plain == expanded, "{text}: {plain} {expanded}");
        }
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for value in [0, 1, 9, 10, 12_345, u64::MAX] {
            let mut text = String::new();
            push_digits(&mut text, value);
            assert_eq!(text, value.to_string());
        }
        let mut text = String::new();
        push_long(&mut text, i64::MIN);
        assert_eq!(text, i64::MIN.to_string());
    }
}
