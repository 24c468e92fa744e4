//! Tokens of JSON as ThingsBoard reads it: everything strict JSON allows, and the sloppier spellings
//! of JS-002. Works on one text, keeps only a position, never goes back behind a token.

use super::fault::{Fault, What};

/// A stretch of some text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

/// A name or a string: as it lies in the payload, or in the buffer of unescaped texts. Which of the
/// two is one bit, so that values stay small enough for registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    start: u32,
    end_and_place: u32,
}

/// The beginning of a value, or all of it when it is no container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// `{`, consumed.
    Object,
    /// `[`, consumed.
    Array,
    /// `null` in any case, or a missing element of an array.
    Null,
    /// `true` or `false` in any case.
    Bool(bool),
    /// A number of strict JSON.
    Number(Span),
    /// A quoted string.
    String(Text),
    /// Anything else: an unquoted string.
    Word(Span),
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The document itself, or a member of an object.
    Single,
    /// An element of an array, which may be missing.
    Element,
}

/// A position in one text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    names: usize,
}

impl<'a> Lexer<'a> {
    /// The begin of a text.
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, names: 0 }
    }

    /// Skips byte-order mark and guard prefix at the begin of a document (JS-002).
    pub(crate) fn skip_prefix(&mut self) -> Result<(), Fault> {
        if self.text.starts_with(BYTE_ORDER_MARK) {
            self.at = BYTE_ORDER_MARK.len_utf8();
        }
        if self.significant()? == Some(b')') && self.rest().starts_with(GUARD) {
            self.at += GUARD.len();
        }
        Ok(())
    }

    /// The same text at a position found before, with a fresh count of names.
    pub(crate) const fn again(&self, at: u32) -> Self {
        Self { text: self.text, at: at as usize, names: 0 }
    }

    /// Where the lexer stands.
    pub(crate) fn position(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    /// The text of a span of the payload.
    pub(crate) fn slice(&self, span: Span) -> &'a str {
        span.of(self.text)
    }

    /// The next member's name with the separators around it consumed; none: the object has ended.
    pub(crate) fn member(
        &mut self,
        is_first: bool,
        unescaped: &mut String,
    ) -> Result<Option<Text>, Fault> {
        let mut next = self.significant()?;
        if next == Some(b'}') {
            self.at += 1;
            return Ok(None);
        }
        if !is_first {
            if !matches!(next, Some(b',' | b';')) {
                return Err(self.fault(What::ObjectGoesOn));
            }
            self.at += 1;
            next = self.significant()?;
        }
        let name = self.name(next, unescaped)?;
        self.colon()?;
        Ok(Some(name))
    }

    /// Whether another element follows, with the separator before it consumed.
    pub(crate) fn element(&mut self, is_first: bool) -> Result<bool, Fault> {
        match self.significant()? {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',' | b';') if !is_first => {
                self.at += 1;
                Ok(true)
            }
            _ if is_first => Ok(true),
            _ => Err(self.fault(What::ArrayGoesOn)),
        }
    }

    /// The next value; a container's opening bracket is consumed, a missing element consumes nothing.
    pub(crate) fn value(&mut self, place: Place, unescaped: &mut String) -> Result<Token, Fault> {
        match self.significant()? {
            Some(quote @ (b'"' | b'\'')) => Ok(Token::String(self.string(quote, unescaped)?)),
            Some(b'{') => {
                self.at += 1;
                Ok(Token::Object)
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Token::Array)
            }
            Some(b'-' | b'0'..=b'9') => self.number_or_word(),
            Some(b',' | b';' | b']') if place == Place::Element => Ok(Token::Null),
            Some(byte) if is_literal(byte) => Ok(self.keyword_or_word()),
            _ => Err(self.fault(What::ValueMissing)),
        }
    }

    /// Checks that nothing but white space and comments is left (JS-001).
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match self.significant()? {
            None => Ok(()),
            Some(_) => Err(self.fault(What::TextBehind)),
        }
    }

    /// Skips white space and comments; the byte that follows is not consumed.
    #[inline]
    pub(crate) fn significant(&mut self) -> Result<Option<u8>, Fault> {
        match self.peek() {
            Some(byte) if byte > b' ' && byte != b'#' && byte != b'/' => Ok(Some(byte)),
            _ => self.skip_insignificant(),
        }
    }

    fn skip_insignificant(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(b'#') => self.skip_line(),
                Some(b'/') => match self.peek_at(1) {
                    Some(b'/') => self.skip_line(),
                    Some(b'*') => self.skip_comment()?,
                    _ => return Ok(Some(b'/')),
                },
                other => return Ok(other),
            }
        }
    }

    fn name(&mut self, next: Option<u8>, unescaped: &mut String) -> Result<Text, Fault> {
        self.names += 1;
        if self.names > NAMES_MAX {
            return Err(self.fault(What::TooManyNames));
        }
        match next {
            Some(quote @ (b'"' | b'\'')) => self.string(quote, unescaped),
            Some(byte) if is_literal(byte) => Ok(Text::plain(self.word())),
            _ => Err(self.fault(What::NameMissing)),
        }
    }

    /// `:`, `=` or `=>`.
    fn colon(&mut self) -> Result<(), Fault> {
        match self.significant()? {
            Some(b':') => self.at += 1,
            Some(b'=') if self.peek_at(1) == Some(b'>') => self.at += 2,
            Some(b'=') => self.at += 1,
            _ => return Err(self.fault(What::ColonMissing)),
        }
        Ok(())
    }

    fn string(&mut self, quote: u8, unescaped: &mut String) -> Result<Text, Fault> {
        let start = self.at + 1;
        let end = self.scan_string(start, quote)?;
        self.at = end;
        if self.peek() == Some(quote) {
            self.at += 1;
            return Ok(Text::plain(Span::new(start, end)));
        }
        self.string_with_escapes(start, quote, unescaped)
    }

    /// The position of the closing quote or of the first backslash, whichever comes first.
    fn scan_string(&self, from: usize, quote: u8) -> Result<usize, Fault> {
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        let length = find_either(rest, quote, b'\\');
        length.map(|it| from + it).ok_or_else(|| self.fault(What::StringWithoutEnd))
    }

    /// The lexer stands on the first backslash of a string that began at `start`.
    #[cold]
    fn string_with_escapes(
        &mut self,
        start: usize,
        quote: u8,
        unescaped: &mut String,
    ) -> Result<Text, Fault> {
        let from = unescaped.len();
        let mut piece = start;
        loop {
            unescaped.push_str(Span::new(piece, self.at).of(self.text));
            if self.peek() == Some(quote) {
                self.at += 1;
                return Ok(Text::unescaped(Span::new(from, unescaped.len())));
            }
            unescaped.push(self.escape()?);
            piece = self.at;
            self.at = self.scan_string(piece, quote)?;
        }
    }

    /// One escape, beginning at the backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let plain = match self.peek_at(1) {
            Some(b't') => '\t',
            Some(b'b') => '\u{8}',
            Some(b'n' | b'\n') => '\n',
            Some(b'r') => '\r',
            Some(b'f') => '\u{c}',
            Some(b'u') => return self.unicode_escape(),
            Some(same @ (b'\'' | b'"' | b'\\' | b'/')) => char::from(same),
            _ => return Err(self.fault(What::UnknownEscape)),
        };
        self.at += 2;
        Ok(plain)
    }

    /// `\uXXXX`, or two of them that make one character; a half alone becomes U+FFFD.
    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let high = self.hex_unit(0).ok_or_else(|| self.fault(What::UnicodeEscape))?;
        self.at += ESCAPE_LENGTH;
        if let Some(whole) = char::from_u32(high) {
            return Ok(whole);
        }
        let low = self.hex_unit(0).filter(|low| (0xDC00..0xE000).contains(low));
        let Some(low) = low.filter(|_| high < 0xDC00) else {
            return Ok(char::REPLACEMENT_CHARACTER);
        };
        self.at += ESCAPE_LENGTH;
        let whole = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        Ok(char::from_u32(whole).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// The 16-bit unit of the `\uXXXX` that begins `ahead` bytes from here.
    fn hex_unit(&self, ahead: usize) -> Option<u32> {
        let start = self.at + ahead;
        let escape = self.text.as_bytes().get(start..start + ESCAPE_LENGTH)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    }

    fn number_or_word(&mut self) -> Result<Token, Fault> {
        let Some((end, exponent)) = self.number() else { return Ok(Token::Word(self.word())) };
        let number = Span::new(self.at, end);
        let exponent = exponent.map_or(0, |from| exponent_size(Span::new(from, end).of(self.text)));
        if number.len() > NUMBER_LENGTH_MAX || exponent > EXPONENT_MAX {
            return Err(self.fault(What::NumberTooLarge));
        }
        self.at = end;
        Ok(Token::Number(number))
    }

    /// Where the number of strict JSON that begins here ends, if it is one as a whole, and where the
    /// digits of its exponent begin, if it has one. Consumes nothing.
    fn number(&self) -> Option<(usize, Option<usize>)> {
        let bytes = self.text.as_bytes();
        let digits_from = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let integer = self.at + usize::from(self.peek() == Some(b'-'));
        let mut end = digits_from(integer);
        let has_leading_zero = bytes.get(integer) == Some(&b'0') && end > integer + 1;
        if end == integer || has_leading_zero {
            return None;
        }
        if bytes.get(end) == Some(&b'.') {
            let fraction = end + 1;
            end = digits_from(fraction);
            if end == fraction {
                return None;
            }
        }
        let mut exponent = None;
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let digits = end + 1 + sign;
            end = digits_from(digits);
            if end == digits {
                return None;
            }
            exponent = Some(digits);
        }
        let goes_on = bytes.get(end).is_some_and(|byte| is_literal(*byte));
        (!goes_on).then_some((end, exponent))
    }

    fn keyword_or_word(&mut self) -> Token {
        let word = self.word();
        let text = self.slice(word);
        if text.eq_ignore_ascii_case("true") {
            Token::Bool(true)
        } else if text.eq_ignore_ascii_case("false") {
            Token::Bool(false)
        } else if text.eq_ignore_ascii_case("null") {
            Token::Null
        } else {
            Token::Word(word)
        }
    }

    /// An unquoted name or string.
    fn word(&mut self) -> Span {
        let start = self.at;
        while self.peek().is_some_and(is_literal) {
            self.at += 1;
        }
        Span::new(start, self.at)
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n' && byte != b'\r') {
            self.at += 1;
        }
    }

    /// The lexer stands on `/*`.
    fn skip_comment(&mut self) -> Result<(), Fault> {
        let body = self.text.get(self.at + 2..).unwrap_or_default();
        let length = body.find("*/").ok_or_else(|| self.fault(What::CommentWithoutEnd))?;
        self.at += 2 + length + 2;
        Ok(())
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.peek_at(0)
    }

    #[inline]
    fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// This fault, here.
    #[cold]
    pub(crate) fn fault(&self, what: What) -> Fault {
        Fault::new(what, self.position())
    }
}

impl Span {
    /// From `start` to `end`. Bodies are far below 2 GiB; beyond, a span would be empty.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        Self { start, end: u32::try_from(end).unwrap_or(u32::MAX) }
    }

    /// The bytes it covers.
    pub(crate) const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// This stretch of `text`.
    #[inline]
    pub(crate) fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl Text {
    /// A text that needs no unescaping.
    pub(crate) const fn plain(span: Span) -> Self {
        Self { start: span.start, end_and_place: span.end & !UNESCAPED }
    }

    const fn unescaped(span: Span) -> Self {
        Self { start: span.start, end_and_place: span.end | UNESCAPED }
    }

    /// The text itself, given the two places where it may lie.
    #[inline]
    pub(crate) fn of<'a>(self, lexer: &Lexer<'a>, unescaped: &'a str) -> &'a str {
        let span = Span { start: self.start, end: self.end_and_place & !UNESCAPED };
        span.of(if self.end_and_place & UNESCAPED == 0 { lexer.text } else { unescaped })
    }
}

/// The first place of `one` or `other`, eight bytes at a time.
fn find_either(bytes: &[u8], one: u8, other: u8) -> Option<usize> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let (ones, others) = (LOW_BITS * u64::from(one), LOW_BITS * u64::from(other));
    for (at, chunk) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        let found = zero_bytes(word ^ ones) | zero_bytes(word ^ others);
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let in_rest = rest.iter().position(|byte| *byte == one || *byte == other);
    in_rest.map(|it| chunks.len() * 8 + it)
}

/// The high bit of the lowest zero byte of a word; above it bits may be set for other bytes too.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(LOW_BITS) & !word & (LOW_BITS << 7)
}

/// Whether a byte may stand in an unquoted name or string.
const fn is_literal(byte: u8) -> bool {
    !matches!(
        byte,
        b'/' | b'\\'
            | b';'
            | b'#'
            | b'='
            | b'{'
            | b'}'
            | b'['
            | b']'
            | b':'
            | b','
            | b' '
            | b'\t'
            | b'\x0c'
            | b'\r'
            | b'\n'
    )
}

/// The exponent with these digits; a large number when there are many.
fn exponent_size(digits: &str) -> usize {
    digits.parse().unwrap_or(usize::MAX)
}

/// The bit of a text that lies among the unescaped ones.
const UNESCAPED: u32 = 1 << 31;

/// The lowest bit of each byte of a word.
const LOW_BITS: u64 = 0x0101_0101_0101_0101;

/// Skipped at the very beginning.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Skipped before the document; some web services put it there against script inclusion.
const GUARD: &[u8] = b")]}'\n";

/// Length of `\uXXXX`.
const ESCAPE_LENGTH: usize = 6;

/// Most names in one document, nested ones included (L-14).
const NAMES_MAX: usize = 10_000;

/// Longest number (JS-037, L-14).
const NUMBER_LENGTH_MAX: usize = 400;

/// Largest exponent either way (JS-037, L-14).
const EXPONENT_MAX: usize = 400;
