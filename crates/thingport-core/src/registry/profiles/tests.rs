use super::*;
use thingport_model::profile::{PayloadType, ProtobufPayload, ProtobufRoots};

#[test]
fn topic_filters_are_those_of_mqtt() {
    for right in ["a", "a/b", "+", "#", "a/+/b", "a/#", "/", "+/+/#", "\u{e4}/b", "$x"] {
        assert_eq!(check_filter("t", right), Ok(()), "{right}");
    }
    let long = "x".repeat(65_536);
    for wrong in ["", " ", "a+", "+a/b", "a/b#", "#/a", "a/#/b", "a\0b", "##", &long] {
        assert!(check_filter("t", wrong).is_err(), "{wrong}");
    }
}

#[test]
fn mqtt_profiles_have_three_topics_that_fit() {
    let standard = MqttTransport::default;
    let with = |change: fn(&mut MqttTransport)| {
        let mut mqtt = standard();
        change(&mut mqtt);
        check_mqtt(&mqtt)
    };
    assert_eq!(check_mqtt(&standard()), Ok(()));
    assert_eq!(with(|m| m.telemetry_topic = "sensors/+/data".to_owned()), Ok(()));
    assert_eq!(with(|m| m.attributes_subscribe_topic = "a/+".to_owned()), Ok(()));
    assert_eq!(with(|m| m.attributes_subscribe_topic = "a/#".to_owned()), Ok(()));
    let wrong: [fn(&mut MqttTransport); 3] = [
        |m| m.telemetry_topic.clone_from(&m.attributes_topic),
        |m| m.telemetry_topic = "a+".to_owned(),
        |m| m.attributes_topic = String::new(),
    ];
    for (row, change) in wrong.into_iter().enumerate() {
        assert!(with(change).is_err(), "row {row}");
    }
}

#[test]
fn protobuf_profiles_need_two_schemas() {
    for (telemetry, attributes, fits) in [("t", "a", true), ("", "a", false), ("t", " ", false)] {
        let payload = PayloadType::Protobuf(Box::new(ProtobufPayload {
            telemetry_schema: telemetry.to_owned(),
            attributes_schema: attributes.to_owned(),
            rpc_request_schema: String::new(),
            rpc_response_schema: String::new(),
            json_compatibility: false,
            json_for_default_downlinks: false,
            roots: ProtobufRoots::default(),
        }));
        let mqtt = MqttTransport { payload, ..MqttTransport::default() };
        assert_eq!(check_mqtt(&mqtt).is_ok(), fits, "{telemetry} {attributes}");
    }
}

#[test]
fn provisioning_needs_key_and_secret() {
    let allow = |key: &str, secret: &str| Provisioning::AllowCreate {
        key: key.to_owned(),
        secret: secret.to_owned(),
    };
    for (provisioning, fits) in [
        (Provisioning::Disabled { configured: false }, true),
        (allow("k", "s"), true),
        (allow("", "s"), false),
        (allow("k", ""), false),
        (allow("k\0", "s"), false),
    ] {
        assert_eq!(check_provisioning(&provisioning).is_ok(), fits, "{provisioning:?}");
    }
}

#[test]
fn queues_are_the_known_ones() {
    for (name, fits) in [(None, true), (Some("Main"), true), (Some("main"), false)] {
        assert_eq!(check_queue(name).is_ok(), fits, "{name:?}");
    }
}
