//! Questions as clients write them, and answers as the contract shows them.

use serde_json::json;
use thingport_model::id::DeviceId;
use uuid::Uuid;

use super::*;

fn query(text: &str) -> Result<Query, Refusal> {
    serde_json::from_str::<QueryInput>(text).expect("a query").query()
}

fn with_filter(filter: &str) -> Result<Query, Refusal> {
    query(&format!(
        r#"{{"entityFilter":{filter},"pageLink":{{"page":0,"pageSize":20}},"keyFilters":null}}"#
    ))
}

#[test]
fn the_example_of_the_contract_is_understood() {
    let message: Json =
        serde_json::from_str(include_str!("../../../testdata/17-D.json")).expect("JSON");
    let query = query(&message["cmds"][0]["query"].to_string()).expect("understood");
    let EntityFilter::Devices { profiles, name } = &query.filter else { panic!("{query:?}") };
    assert_eq!((profiles.as_slice(), name.as_str()), (&["pump-mqtt".to_owned()][..], ""));
    assert_eq!((query.page.page, query.page.size, query.dynamic), (0, 20, true));
    let key = |source, key: &str| ValueKey { source, key: key.to_owned() };
    assert_eq!(query.page.sort, Some((key(ValueSource::Field, "name"), false)));
    let expected = [
        key(ValueSource::Field, "name"),
        key(ValueSource::Series, "temperature"),
        key(ValueSource::Attribute(None), "active"),
    ];
    assert_eq!(query.keys, expected);
    assert!(query.conditions.list.is_empty());
}

#[test]
fn filters_are_understood_or_refused() {
    let id = "2c7d1e40-5a7e-11f0-9a01-0f2d5c7e8a11";
    let device = format!(r#"{{"entityType":"DEVICE","id":"{id}"}}"#);
    let asset = format!(r#"{{"entityType":"ASSET","id":"{id}"}}"#);
    let rows = [
        (format!(r#"{{"type":"singleEntity","singleEntity":{device}}}"#), "Entities"),
        (format!(r#"{{"type":"singleEntity","singleEntity":{asset}}}"#), "Nothing"),
        (
            format!(r#"{{"type":"entityList","entityType":"DEVICE","entityList":["{id}"]}}"#),
            "Entities",
        ),
        (
            format!(r#"{{"type":"entityList","entityType":"EDGE","entityList":["{id}"]}}"#),
            "Nothing",
        ),
        (r#"{"type":"entityType","entityType":"CUSTOMER"}"#.into(), "Named"),
        (r#"{"type":"entityName","entityType":"USER","entityNameFilter":"a"}"#.into(), "Named"),
        (r#"{"type":"deviceType","deviceType":"a","deviceNameFilter":null}"#.into(), "Devices"),
        (
            format!(
                r#"{{"type":"relationsQuery","rootEntity":{device},"direction":"TO","maxLevel":2}}"#
            ),
            "Related",
        ),
        (format!(r#"{{"type":"deviceSearchQuery","rootEntity":{device}}}"#), "Related"),
        (r#"{"type":"singleEntity"}"#.into(), ""),
        (r#"{"type":"entityType"}"#.into(), ""),
        (r#"{"type":"entityType","entityType":"PUMP"}"#.into(), ""),
        (r#"{"type":"entityList","entityType":"DEVICE","entityList":["x"]}"#.into(), ""),
        (r#"{"type":"relationsQuery","direction":"FROM"}"#.into(), ""),
        (format!(r#"{{"type":"relationsQuery","rootEntity":{device},"direction":"UP"}}"#), ""),
        (r#"{"type":"apiUsageState"}"#.into(), ""),
        ("{}".into(), ""),
    ];
    for (filter, expected) in rows {
        match with_filter(&filter) {
            Ok(query) => {
                let kind = format!("{:?}", query.filter);
                assert!(!expected.is_empty() && kind.starts_with(expected), "{filter}: {kind}");
            }
            Err(refusal) => assert_eq!((expected, refusal.code()), ("", 31), "{filter}"),
        }
    }
}

#[test]
fn key_filters_are_understood_or_refused() {
    let leaf = |kind: &str, operation: &str, value: &str| {
        format!(r#"{{"type":"{kind}","operation":"{operation}","value":{value}}}"#)
    };
    let chosen = |value: &str| format!(r#"{{"defaultValue":{value},"dynamicValue":null}}"#);
    let number = Predicate::Number { operation: NumberOperation::Less, value: 5.0 };
    let name = Predicate::Text {
        operation: TextOperation::StartsWith,
        value: "x".into(),
        ignore_case: false,
    };
    let less = leaf("NUMERIC", "LESS", &chosen("5"));
    let begins = leaf("STRING", "STARTS_WITH", r#"{"defaultValue":"a","userValue":"x"}"#);
    let both = |operation: &str| {
        format!(r#"{{"type":"COMPLEX","operation":"{operation}","predicates":[{less},{begins}]}}"#)
    };
    let dynamic =
        r#"{"defaultValue":1,"dynamicValue":{"sourceType":"CURRENT_USER","sourceAttribute":"a"}}"#;
    let rows = [
        (less.clone(), Some(number.clone())),
        (begins.clone(), Some(name.clone())),
        (
            leaf("BOOLEAN", "NOT_EQUAL", &chosen("true")),
            Some(Predicate::Bool { equal: false, value: true }),
        ),
        (both("AND"), Some(Predicate::All(vec![number.clone(), name.clone()]))),
        (both("OR"), Some(Predicate::Any(vec![number, name]))),
        (both("XOR"), None),
        (leaf("NUMERIC", "CONTAINS", &chosen("5")), None),
        (leaf("BOOLEAN", "LESS", &chosen("true")), None),
        (leaf("NUMERIC", "LESS", dynamic), None),
    ];
    for (predicate, expected) in rows {
        let text = format!(
            r#"{{"entityFilter":{{"type":"deviceType"}},"pageLink":{{"page":0,"pageSize":1}},
                "keyFilters":[{{"key":{{"type":"TIME_SERIES","key":"t"}},"valueType":"NUMERIC",
                "predicate":{predicate}}}]}}"#
        );
        let found = query(&text).map(|mut it| it.conditions.list.remove(0).predicate);
        assert_eq!(found.ok(), expected, "{predicate}");
    }
}

#[test]
fn pages_and_keys_that_cannot_be_are_refused() {
    let page = |page: &str| query(&format!(r#"{{"entityFilter":{{"type":"deviceType"}}{page}}}"#));
    let many: Vec<_> =
        (0..=KEYS_MAX).map(|n| format!(r#"{{"type":"TIME_SERIES","key":"{n}"}}"#)).collect();
    let rows = [
        (String::new(), false),
        (r#","pageLink":{"page":-1,"pageSize":1}"#.into(), false),
        (r#","pageLink":{"page":0,"pageSize":-1}"#.into(), false),
        (r#","pageLink":{"page":0,"pageSize":1},"keyFiltersOperation":"OR"}"#.trim_end_matches('}').into(), true),
        (r#","pageLink":{"page":0,"pageSize":1},"keyFiltersOperation":"XOR""#.into(), false),
        (
            r#","pageLink":{"page":0,"pageSize":1,"sortOrder":{"key":{"type":"ALARM_FIELD","key":"a"}}}"#.into(),
            false,
        ),
        (format!(r#","pageLink":{{"page":0,"pageSize":1}},"latestValues":[{}]"#, many.join(",")), false),
    ];
    for (rest, fine) in rows {
        assert_eq!(page(&rest).is_ok(), fine, "{rest}");
    }
}

#[test]
fn an_entity_is_written_as_the_contract_shows() {
    let expected: Json =
        serde_json::from_str(include_str!("../../../testdata/17-E.json")).expect("JSON");
    let expected = &expected["data"]["data"][0];
    let id = Uuid::try_parse("2c7d1e40-5a7e-11f0-9a01-0f2d5c7e8a11").expect("a UUID");
    let mut body = EntityDataBody::of(DeviceId(id).entity());
    let rows = [
        (ValueSource::Field, "name", 1_751_880_060_000, Value::String("pump-17".into())),
        (ValueSource::Series, "temperature", 1_751_880_200_000, Value::Double(21.5)),
        (ValueSource::Attribute(None), "active", 1_751_880_100_123, Value::Bool(true)),
    ];
    for (source, key, at, value) in rows {
        let key = ValueKey { source, key: key.into() };
        body.put(&key, Some(&(Timestamp(at), value)));
    }
    assert_eq!(serde_json::to_string(&body).expect("JSON"), expected.to_string());
    let missing = ValueKey { source: ValueSource::Series, key: "gone".into() };
    body.put(&missing, None);
    assert_eq!(body.latest["TIME_SERIES"]["gone"], json!({"ts": 0, "value": ""}));
}
