//! What is wrong with a schema, and where.

use core::fmt;

use miette::Diagnostic as _;

use super::DIAGNOSTICS_MAX;

/// One thing wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Line, from 1.
    pub line: u32,
    /// Character in the line, from 1.
    pub column: u32,
    /// What is wrong.
    pub what: String,
    /// What was expected, or what to do; may be empty.
    pub expected: String,
}

impl Diagnostic {
    /// A finding at a byte of the text.
    pub(super) fn at(text: &str, offset: usize, what: &str, expected: &str) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(begin..).unwrap_or_default().chars().count();
        Self::placed(before.matches('\n').count(), column, what, expected)
    }

    /// A finding at a line and a character, both from 0.
    pub(super) fn placed(line: usize, column: usize, what: &str, expected: &str) -> Self {
        let number = |at: usize| u32::try_from(at + 1).unwrap_or(u32::MAX);
        let (what, expected) = (shortened(what), shortened(expected));
        Self { line: number(line), column: number(column), what, expected }
    }

    /// The findings of the compiler.
    pub(super) fn of(error: &protox::Error, text: &str) -> Vec<Self> {
        let related = error.related().into_iter().flatten();
        let mut found = vec![Self::one(error, text)];
        found.extend(related.map(|it| Self::one(it, text)).take(DIAGNOSTICS_MAX - 1));
        found.sort_by_key(|it| (it.line, it.column));
        found.dedup();
        found
    }

    fn one(error: &dyn miette::Diagnostic, text: &str) -> Self {
        let label = error.labels().into_iter().flatten().next();
        let offset = label.map_or(text.len(), |label| label.offset());
        let message = error.to_string().replace("schema.proto", "the schema");
        let help = error.help().map(|help| help.to_string()).unwrap_or_default();
        // The parser says both in one sentence.
        let both = message
            .strip_prefix("expected ")
            .and_then(|rest| rest.split_once(", but ").map(|(expected, what)| (what, expected)));
        let (what, expected) = both.unwrap_or((&message, &help));
        Self::at(text, offset, what, expected)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, what, expected } = self;
        write!(f, "line {line}, column {column}: {what}")?;
        if expected.is_empty() { Ok(()) } else { write!(f, "; expected {expected}") }
    }
}

/// What is repeated from the text is cut and made printable.
fn shortened(text: &str) -> String {
    let printable = |it: char| if it.is_control() { ' ' } else { it };
    let mut shown: String = text.chars().take(SHOWN_MAX).map(printable).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Most characters of a finding.
const SHOWN_MAX: usize = 300;
