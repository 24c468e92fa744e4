//! What must hold of a value (REST API 17.3, `keyFilters`).

use thingport_model::value::Value;

/// What must hold of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// Of its text.
    Text {
        /// How it is compared.
        operation: TextOperation,
        /// With what.
        value: String,
        /// Whether letters count as equal in either case.
        ignore_case: bool,
    },
    /// Of the number that it is.
    Number {
        /// How it is compared.
        operation: NumberOperation,
        /// With what.
        value: f64,
    },
    /// Of the truth that it is.
    Bool {
        /// Whether it must be equal, or must not.
        equal: bool,
        /// To what.
        value: bool,
    },
    /// Each of these.
    All(Vec<Self>),
    /// One of these.
    Any(Vec<Self>),
}

/// How texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextOperation {
    /// `EQUAL`
    Equal,
    /// `NOT_EQUAL`
    NotEqual,
    /// `STARTS_WITH`
    StartsWith,
    /// `ENDS_WITH`
    EndsWith,
    /// `CONTAINS`
    Contains,
    /// `NOT_CONTAINS`
    NotContains,
    /// `IN`: one of a comma list.
    In,
    /// `NOT_IN`
    NotIn,
}

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberOperation {
    /// `EQUAL`
    Equal,
    /// `NOT_EQUAL`
    NotEqual,
    /// `GREATER`
    Greater,
    /// `LESS`
    Less,
    /// `GREATER_OR_EQUAL`
    GreaterOrEqual,
    /// `LESS_OR_EQUAL`
    LessOrEqual,
}

impl Predicate {
    /// Whether it holds. What is not there fits what asks for something else; a text is no number, and
    /// neither is a truth.
    #[must_use]
    pub fn holds(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Text { operation, value: wanted, ignore_case } => {
                let text = value.map(|value| value.borrowed().to_string());
                operation.holds(&text.unwrap_or_default(), wanted, *ignore_case)
            }
            Self::Number { operation, value: wanted } => {
                let number = value.and_then(|value| value.borrowed().as_double());
                number.is_some_and(|number| operation.holds(number, *wanted))
            }
            Self::Bool { equal, value: wanted } => match value {
                Some(Value::Bool(value)) => (value == wanted) == *equal,
                _ => !equal,
            },
            Self::All(each) => each.iter().all(|it| it.holds(value)),
            Self::Any(each) => each.iter().any(|it| it.holds(value)),
        }
    }

    /// How many comparisons it makes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::All(each) | Self::Any(each) => each.iter().map(Self::size).sum(),
            Self::Text { .. } | Self::Number { .. } | Self::Bool { .. } => 1,
        }
    }
}

impl TextOperation {
    /// The operation with ThingsBoard's word `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "EQUAL" => Self::Equal,
            "NOT_EQUAL" => Self::NotEqual,
            "STARTS_WITH" => Self::StartsWith,
            "ENDS_WITH" => Self::EndsWith,
            "CONTAINS" => Self::Contains,
            "NOT_CONTAINS" => Self::NotContains,
            "IN" => Self::In,
            "NOT_IN" => Self::NotIn,
            _ => return None,
        })
    }

    fn holds(self, text: &str, wanted: &str, ignore_case: bool) -> bool {
        if ignore_case {
            let (text, wanted) = (text.to_lowercase(), wanted.to_lowercase());
            return self.holds(&text, &wanted, false);
        }
        let listed = || wanted.split(',').any(|it| it.trim() == text);
        match self {
            Self::Equal => text == wanted,
            Self::NotEqual => text != wanted,
            Self::StartsWith => text.starts_with(wanted),
            Self::EndsWith => text.ends_with(wanted),
            Self::Contains => text.contains(wanted),
            Self::NotContains => !text.contains(wanted),
            Self::In => listed(),
            Self::NotIn => !listed(),
        }
    }
}

impl NumberOperation {
    /// The operation with ThingsBoard's word `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "EQUAL" => Self::Equal,
            "NOT_EQUAL" => Self::NotEqual,
            "GREATER" => Self::Greater,
            "LESS" => Self::Less,
            "GREATER_OR_EQUAL" => Self::GreaterOrEqual,
            "LESS_OR_EQUAL" => Self::LessOrEqual,
            _ => return None,
        })
    }

    /// Numbers are compared as they are, without a tolerance.
    #[expect(clippy::float_cmp, reason = "equal means equal: the numbers were sent, not computed")]
    fn holds(self, number: f64, wanted: f64) -> bool {
        match self {
            Self::Equal => number == wanted,
            Self::NotEqual => number != wanted,
            Self::Greater => number > wanted,
            Self::Less => number < wanted,
            Self::GreaterOrEqual => number >= wanted,
            Self::LessOrEqual => number <= wanted,
        }
    }
}
