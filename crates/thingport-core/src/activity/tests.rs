use super::known::Known;
use super::table::{OwnTimeout, Second, Stage, Standing, Table};
use super::*;
use thingport_model::attribute::Attribute;
use thingport_model::value::Value;
use uuid::Uuid;

fn device(number: u128) -> DeviceId {
    DeviceId(Uuid::from_u128(number))
}

#[test]
fn a_device_is_silent_after_its_own_or_the_default_timeout_and_never_too_early() {
    // Timeout in ms, default in s, seconds of silence, silent.
    let rows = [
        (0, 600, 600, false),
        (0, 600, 601, true),
        (-5, 600, 600, false),
        (10_000, 600, 10, false),
        (10_000, 600, 11, true),
        (10_001, 600, 11, false),
        (1, 600, 1, false),
        (1, 600, 2, true),
        (i64::MAX, 1, i32::MAX / 2, false),
        (0, 600, -7, false),
    ];
    for (timeout_ms, default_s, silent_s, expected) in rows {
        let timeout = OwnTimeout::of_ms(timeout_ms);
        for stage in [Stage::Unknown, Stage::New, Stage::Active] {
            let standing = Standing::new(stage, Second(-100), timeout);
            assert_eq!(standing.stage(), stage);
            assert_eq!(standing.timeout(), timeout);
            let now = Second(silent_s - 100);
            assert_eq!(standing.is_due(now, default_s), expected, "{timeout_ms} {silent_s}");
        }
    }
}

#[test]
fn a_device_costs_a_few_dozen_bytes_and_there_are_at_most_so_many() {
    assert!(size_of::<(DeviceId, Standing)>() <= 24);
    let table = Table::new(640);
    let standing = Standing::new(Stage::Active, Second(1), OwnTimeout::default());
    let refused = (0..10_000).filter(|n| table.of(device(*n)).put(device(*n), standing).is_err());
    assert_eq!(refused.count(), 10_000 - 640);
    assert_eq!(table.len(), 640);
    assert!(table.of(device(0)).put(device(0), standing).is_ok(), "it is known");
    let heard = (0..10_000).filter(|n| table.of(device(*n)).hear(device(*n), Timestamp(1)).is_ok());
    assert_eq!(heard.count(), 640);
}

#[test]
fn what_was_heard_is_taken_in_turn_but_at_once_of_devices_that_are_not_active() {
    let table = Table::new(1_000);
    let standing = |stage| Standing::new(stage, Second(1), OwnTimeout::default());
    // In one shard.
    let (active, unknown, new) = (device(64), device(128), device(192));
    let mut shard = table.of(active);
    shard.put(active, standing(Stage::Active)).expect("room");
    shard.put(unknown, standing(Stage::Unknown)).expect("room");
    for one in [active, unknown, new] {
        shard.hear(one, Timestamp(5)).expect("room");
        shard.hear(one, Timestamp(3)).expect("room");
        assert_eq!(shard.heard(one), Some(Timestamp(5)), "the latest counts");
    }
    let mut taken = shard.take_heard(|_| false);
    taken.sort_unstable();
    assert_eq!(taken, [(unknown, Timestamp(5)), (new, Timestamp(5))]);
    assert_eq!(shard.take_heard(|_| true), [(active, Timestamp(5))]);
}

#[test]
fn attributes_are_understood_in_whatever_type_they_were_written() {
    let attribute =
        |key: &str, value| Attribute { key: key.to_owned(), value, updated_at: Timestamp(0) };
    let own = |ms| Known { timeout: OwnTimeout::of_ms(ms), ..Known::default() };
    let heard = |at| Known { heard_at: at, ..Known::default() };
    let rows = [
        (ACTIVE, Value::Bool(true), Known { active: Some(true), ..Known::default() }),
        (ACTIVE, Value::String("true".to_owned()), Known::default()),
        (LAST_ACTIVITY_TIME, Value::Long(7), heard(Some(Timestamp(7)))),
        (LAST_ACTIVITY_TIME, Value::Long(0), heard(None)),
        (INACTIVITY_TIMEOUT, Value::Long(5_000), own(5_000)),
        (INACTIVITY_TIMEOUT, Value::Double(5_000.9), own(5_000)),
        (INACTIVITY_TIMEOUT, Value::String(" 5000 ".to_owned()), own(5_000)),
        (INACTIVITY_TIMEOUT, Value::String("soon".to_owned()), own(0)),
        (INACTIVITY_TIMEOUT, Value::Long(-1), own(0)),
        (INACTIVITY_TIMEOUT, Value::Bool(true), own(0)),
        ("other", Value::Long(1), Known::default()),
    ];
    for (key, value, expected) in rows {
        let known = Known::from(&*vec![attribute(key, value.clone())]);
        assert_eq!(known, expected, "{key} {value:?}");
    }
}

#[test]
fn only_two_keys_change_whether_a_device_is_active() {
    assert!(concerns(["x", "inactivityTimeout"].iter()));
    assert!(concerns(["active"].iter()));
    assert!(!concerns(["lastActivityTime", "inactivitytimeout"].iter()));
}
