//! What predicates say of values, how values are ordered and conditions are put together.

use core::cmp::Ordering;

use super::predicate::{NumberOperation, Predicate, TextOperation};
use super::*;

fn text(operation: &str, value: &str, ignore_case: bool) -> Predicate {
    let operation = TextOperation::from_name(operation).expect("known");
    Predicate::Text { operation, value: value.into(), ignore_case }
}

fn number(operation: &str, value: f64) -> Predicate {
    let operation = NumberOperation::from_name(operation).expect("known");
    Predicate::Number { operation, value }
}

#[expect(clippy::unnecessary_wraps, reason = "a value that is there, beside those that are not")]
fn string(value: &str) -> Option<Value> {
    Some(Value::String(value.into()))
}

#[test]
fn a_predicate_holds_of_what_it_says() {
    let rows = [
        (text("EQUAL", "pump", false), string("pump"), true),
        (text("EQUAL", "pump", false), string("Pump"), false),
        (text("EQUAL", "pump", true), string("PUMP"), true),
        (text("NOT_EQUAL", "pump", false), string("Pump"), true),
        (text("NOT_EQUAL", "pump", false), None, true),
        (text("EQUAL", "", false), None, true),
        (text("STARTS_WITH", "pu", false), string("pump"), true),
        (text("STARTS_WITH", "mp", false), string("pump"), false),
        (text("ENDS_WITH", "MP", true), string("pump"), true),
        (text("CONTAINS", "um", false), string("pump"), true),
        (text("CONTAINS", "1", false), Some(Value::Long(21)), true),
        (text("NOT_CONTAINS", "um", false), string("pump"), false),
        (text("NOT_CONTAINS", "um", false), None, true),
        (text("IN", "a, pump ,b", false), string("pump"), true),
        (text("IN", "a,b", false), string("pump"), false),
        (text("NOT_IN", "a,b", false), string("pump"), true),
        (number("EQUAL", 5.0), Some(Value::Long(5)), true),
        (number("NOT_EQUAL", 5.0), Some(Value::Double(5.5)), true),
        (number("NOT_EQUAL", 5.0), None, false),
        (number("GREATER", 5.0), Some(Value::Long(5)), false),
        (number("GREATER", 5.0), Some(Value::Double(5.1)), true),
        (number("LESS", 5.0), Some(Value::Long(4)), true),
        (number("GREATER_OR_EQUAL", 5.0), Some(Value::Long(5)), true),
        (number("LESS_OR_EQUAL", 5.0), Some(Value::Double(5.1)), false),
        (number("LESS", 5.0), string("4"), false),
        (number("LESS", 5.0), Some(Value::Bool(false)), false),
        (Predicate::Bool { equal: true, value: true }, Some(Value::Bool(true)), true),
        (Predicate::Bool { equal: true, value: true }, string("true"), false),
        (Predicate::Bool { equal: true, value: false }, None, false),
        (Predicate::Bool { equal: false, value: true }, Some(Value::Bool(false)), true),
        (Predicate::Bool { equal: false, value: true }, None, true),
        (
            Predicate::All(vec![number("GREATER", 1.0), number("LESS", 3.0)]),
            Some(Value::Long(2)),
            true,
        ),
        (
            Predicate::All(vec![number("GREATER", 1.0), number("LESS", 3.0)]),
            Some(Value::Long(3)),
            false,
        ),
        (
            Predicate::Any(vec![number("LESS", 1.0), text("EQUAL", "3", false)]),
            Some(Value::Long(3)),
            true,
        ),
        (Predicate::Any(Vec::new()), Some(Value::Long(3)), false),
        (Predicate::All(Vec::new()), None, true),
    ];
    for (predicate, value, expected) in rows {
        assert_eq!(predicate.holds(value.as_ref()), expected, "{predicate:?} of {value:?}");
    }
    assert!(
        TextOperation::from_name("LIKE").is_none() && NumberOperation::from_name("IN").is_none()
    );
}

#[test]
fn conditions_hold_together_or_singly() {
    let key = ValueKey { source: ValueSource::Series, key: "a".into() };
    let condition = |value| Condition { key: key.clone(), predicate: number("EQUAL", value) };
    let rows = [
        (false, vec![1.0, 1.0], true),
        (false, vec![1.0, 2.0], false),
        (true, vec![1.0, 2.0], true),
        (true, vec![2.0, 2.0], false),
    ];
    for (any, wanted, expected) in rows {
        let list: Vec<_> = wanted.into_iter().map(condition).collect();
        let values = list.iter().map(|_| Some((Timestamp(0), Value::Long(1)))).collect();
        assert_eq!(Conditions { any, list }.hold(&values), expected);
    }
}

#[test]
fn values_are_ordered_numbers_first_by_size() {
    let ascending = [
        None,
        Some(Value::Long(-5)),
        Some(Value::Double(9.5)),
        Some(Value::Long(10)),
        string("a"),
        string("b"),
        Some(Value::Bool(true)),
    ];
    for (left, one) in ascending.iter().enumerate() {
        for (right, other) in ascending.iter().enumerate() {
            let expected: Ordering = left.cmp(&right);
            assert_eq!(values::order(one.as_ref(), other.as_ref()), expected, "{one:?} {other:?}");
        }
    }
}
