//! Topic names and topic filters: parse, then match.
//!
//! A value of [`TopicName`] or [`TopicFilter`] has passed the rules of section 4.7 of the standard
//! and the bounds of L-3, so matching needs no further check and never allocates.

/// Longest topic name or filter in bytes (L-3).
pub const TOPIC_BYTES_MAX: usize = 1_024;
/// Most levels of a topic name or filter (L-3).
pub const TOPIC_LEVELS_MAX: usize = 32;

/// A topic name: not empty, no wildcard, no U+0000, within the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks a string. Wildcards and U+0000 are reported before size.
    #[inline]
    pub fn parse(text: &'a str) -> Result<Self, TopicFault> {
        if has_forbidden(text.as_bytes()) || is_too_long(text) {
            return Err(fault_of(text));
        }
        if text.is_empty() { Err(TopicFault::Empty) } else { Ok(Self(text)) }
    }

    /// The name as text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// A topic filter: not empty, wildcards only where they may stand, no U+0000, within the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks a string (U-7): `+` fills a level, `#` fills the last level.
    pub fn parse(text: &'a str) -> Result<Self, TopicFault> {
        if text.is_empty() {
            return Err(TopicFault::Empty);
        }
        if text.len() > TOPIC_BYTES_MAX {
            return Err(TopicFault::TooLong);
        }
        let mut levels = text.split('/').enumerate().peekable();
        while let Some((index, level)) = levels.next() {
            if index >= TOPIC_LEVELS_MAX {
                return Err(TopicFault::TooLong);
            }
            check_level(level, levels.peek().is_none())?;
        }
        Ok(Self(text))
    }

    /// The filter as text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether the filter asks for a share: `$share/...` (U-8).
    pub fn is_shared(self) -> bool {
        self.0.starts_with("$share/")
    }

    /// Whether a topic name matches, as section 4.7 of the standard says: `+` one level, `#` the
    /// parent and everything below, and no wildcard in front of a `$` topic.
    pub fn matches(self, name: TopicName<'_>) -> bool {
        self.matches_text(name.0)
    }

    fn matches_text(self, name: &str) -> bool {
        if name.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = name.split('/');
        for part in self.0.split('/') {
            match (part, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (literal, Some(level)) if literal == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

/// Why a string is no topic name or filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicFault {
    /// It has no characters (P-7, U-7).
    Empty,
    /// A wildcard stands where none may stand (P-6, U-7).
    Wildcard,
    /// It contains U+0000 (P-8).
    Nul,
    /// More bytes or levels than L-3 allows.
    TooLong,
}

/// Whether a name contains `+`, `#` or U+0000. Looks at eight bytes at a time, because this is on
/// the path of every publication.
#[inline]
fn has_forbidden(name: &[u8]) -> bool {
    let (words, rest) = name.as_chunks::<8>();
    let Some(last) = name.last_chunk::<8>() else {
        return rest.iter().any(|byte| matches!(byte, b'+' | b'#' | 0));
    };
    // The last eight bytes overlap the words before them, which does no harm.
    words.iter().fold(forbidden_in(last), |found, word| found | forbidden_in(word)) != 0
}

/// Not 0 exactly when one of the eight bytes may not stand in a name.
#[inline]
const fn forbidden_in(word: &[u8; 8]) -> u64 {
    let word = u64::from_le_bytes(*word);
    zero_bytes(word) | zero_bytes(word ^ PLUSES) | zero_bytes(word ^ HASHES)
}

/// Not 0 exactly when one of the eight bytes is 0.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// A name shorter than the number of levels allowed cannot have too many.
#[inline]
fn is_too_long(name: &str) -> bool {
    name.len() >= TOPIC_LEVELS_MAX
        && (name.len() > TOPIC_BYTES_MAX
            || name.bytes().filter(|byte| *byte == b'/').count() >= TOPIC_LEVELS_MAX)
}

/// What is wrong with a name that has a forbidden character or is too long.
#[cold]
fn fault_of(name: &str) -> TopicFault {
    if name.contains(['+', '#']) {
        TopicFault::Wildcard
    } else if name.contains('\0') {
        TopicFault::Nul
    } else {
        TopicFault::TooLong
    }
}

fn check_level(level: &str, is_last: bool) -> Result<(), TopicFault> {
    match level {
        "+" => Ok(()),
        "#" if is_last => Ok(()),
        _ if level.contains(['+', '#']) => Err(TopicFault::Wildcard),
        _ if level.contains('\0') => Err(TopicFault::Nul),
        _ => Ok(()),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const PLUSES: u64 = ONES * b'+' as u64;
const HASHES: u64 = ONES * b'#' as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_name_keeps_the_rules_of_p_6_p_7_p_8_and_l_3() {
        let rows: &[(&str, Result<(), TopicFault>)] = &[
            ("v1/devices/me/telemetry", Ok(())),
            ("/", Ok(())),
            ("a//b", Ok(())),
            ("\u{feff}a", Ok(())),
            ("\u{1}\u{7f}", Ok(())),
            ("", Err(TopicFault::Empty)),
            ("a/+", Err(TopicFault::Wildcard)),
            ("a#", Err(TopicFault::Wildcard)),
            ("a\0", Err(TopicFault::Nul)),
        ];
        for (text, expected) in rows {
            assert_eq!(TopicName::parse(text).map(|_| ()), *expected, "{text:?}");
        }
        assert!(TopicName::parse(&"x".repeat(1_024)).is_ok());
        assert_eq!(TopicName::parse(&"x".repeat(1_025)), Err(TopicFault::TooLong));
        assert!(TopicName::parse(&"/".repeat(31)).is_ok());
        assert_eq!(TopicName::parse(&"/".repeat(32)), Err(TopicFault::TooLong));
    }

    #[test]
    fn a_topic_filter_keeps_the_rules_of_u_7_and_l_3() {
        let rows: &[(&str, Result<(), TopicFault>)] = &[
            ("#", Ok(())),
            ("+", Ok(())),
            ("a/+/b/#", Ok(())),
            ("/+", Ok(())),
            ("", Err(TopicFault::Empty)),
            ("a#", Err(TopicFault::Wildcard)),
            ("a/#/b", Err(TopicFault::Wildcard)),
            ("a+", Err(TopicFault::Wildcard)),
            ("a/b+/c", Err(TopicFault::Wildcard)),
            ("a\0b", Err(TopicFault::Nul)),
        ];
        for (text, expected) in rows {
            assert_eq!(TopicFilter::parse(text).map(|_| ()), *expected, "{text:?}");
        }
        assert_eq!(TopicFilter::parse(&"x".repeat(1_025)), Err(TopicFault::TooLong));
        assert!(TopicFilter::parse(&"+/".repeat(31)).is_ok());
        assert_eq!(TopicFilter::parse(&"+/".repeat(32)), Err(TopicFault::TooLong));
    }

    #[test]
    fn a_filter_matches_as_the_standard_says() {
        let rows = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/#", "sport", true),
            ("#", "sport/x", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/monitor", "$SYS/monitor", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/b", "a/b", true),
            ("a/b", "A/b", false),
            ("a/b", "a/b/", false),
            ("a/b/", "a/b", false),
        ];
        for (filter, name, expected) in rows {
            let filter = TopicFilter::parse(filter).unwrap();
            let name = TopicName::parse(name).unwrap();
            assert_eq!(filter.matches(name), expected, "{filter:?} {name:?}");
        }
    }
}
