//! The device's name within a common name, by a profile's regular expression (AU-051).

use core::fmt;

use regex::{Regex, RegexBuilder};

/// An expression with at least one group. Finding takes time linear in the length of the name.
#[derive(Clone)]
pub struct NamePattern(Regex);

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// More bytes than [`PATTERN_MAX`].
    TooLong,
    /// It grows too large when it is prepared.
    TooLarge,
    /// It looks around or refers back, which cannot be done in linear time.
    NotLinear,
    /// It has no group in parentheses, so that no name could be taken out.
    NoGroup,
    /// It cannot be read.
    Syntax(String),
}

impl NamePattern {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_MAX {
            return Err(PatternError::TooLong);
        }
        let compiled = RegexBuilder::new(text)
            .size_limit(COMPILED_MAX)
            .dfa_size_limit(COMPILED_MAX)
            .nest_limit(NESTING_MAX)
            .build();
        let compiled = compiled.map_err(|error| fault(&error))?;
        if compiled.captures_len() < 2 {
            return Err(PatternError::NoGroup);
        }
        Ok(Self(compiled))
    }

    /// The first group of the first place where the expression fits; none when it does not fit, the
    /// group took no part, or is empty.
    #[must_use]
    pub fn name_in<'a>(&self, common_name: &'a str) -> Option<&'a str> {
        let found = self.0.captures(common_name)?;
        found.get(1).map(|group| group.as_str()).filter(|name| !name.is_empty())
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

fn fault(error: &regex::Error) -> PatternError {
    match error {
        regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
        other => {
            let text = other.to_string();
            if text.contains("look-around") || text.contains("backreference") {
                return PatternError::NotLinear;
            }
            // The last line says what is wrong, those before show where.
            let last = text.lines().last().unwrap_or_default();
            PatternError::Syntax(last.trim_start_matches("error: ").to_owned())
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "is longer than {PATTERN_MAX} bytes"),
            Self::TooLarge => f.write_str("is too large: use smaller counts in braces"),
            Self::NotLinear => f.write_str(
                "uses look-around or a back-reference, which are not supported because they can take \
                 for ever: name what stands before and after the group instead, as in \
                 prefix(.*)@company.com",
            ),
            Self::NoGroup => f.write_str(
                "has no group: put the part that is the device's name in parentheses, as in \
                 (.*)@company.com",
            ),
            Self::Syntax(what) => write!(f, "is not a regular expression: {what}"),
        }
    }
}

impl core::error::Error for PatternError {}

/// Longest expression in bytes.
pub const PATTERN_MAX: usize = 1_024;
const COMPILED_MAX: usize = 1 << 20;
const NESTING_MAX: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_group_of_the_first_find_is_the_name() {
        let rows = [
            // The table of AU-051.
            ("DeviceA.company.com", r"(.*)\.company.com", Some("DeviceA")),
            ("prefixDeviceAsuffix@company.com", r"prefix(.*)suffix@company.com", Some("DeviceA")),
            ("region.DeviceA.220423@company.com", r"\D+\.(.*)\.\d+@company.com", Some("DeviceA")),
            ("DeviceA@company.com", r"([^@]+)", Some("DeviceA")),
            // A find, not a match of the whole; the leftmost one.
            ("xx-a-yy-b", r"-(\w)", Some("a")),
            ("pump", r"(?<name>p\w+)", Some("pump")),
            ("pump", r"(valve)|pump", None),
            ("pump", r"^()", None),
            ("pump", r"(valve)", None),
            ("", r"(.*)", None),
        ];
        for (name, pattern, expected) in rows {
            assert_eq!(NamePattern::new(pattern).unwrap().name_in(name), expected, "{pattern}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_sentence() {
        let rows = [
            ("(", "is not a regular expression: unclosed group"),
            ("(?<=a)(b)", "uses look-around"),
            (r"(a)\1", "uses look-around or a back-reference"),
            ("pump", "has no group"),
            ("(?:pump)", "has no group"),
            ("(a{1000}{1000})", "is too large"),
        ];
        for (pattern, expected) in rows {
            let refused = NamePattern::new(pattern).unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{pattern}: {refused}");
        }
        assert_eq!(
            NamePattern::new(&"(".repeat(PATTERN_MAX + 1)).unwrap_err(),
            PatternError::TooLong
        );
        assert!(NamePattern::new(&"(".repeat(500)).is_err());
    }

    #[test]
    fn expressions_that_explode_elsewhere_take_linear_time_here() {
        let evil = NamePattern::new("^((a+)+)+$").unwrap();
        assert_eq!(evil.name_in(&format!("{}!", "a".repeat(20_000))), None);
    }
}
