//! Bodies against the examples of the contract: same members, same order, same values.

use serde::Serialize;
use thingport_model::attribute::Attribute;
use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::device::{Device, DeviceOverview};
use thingport_model::id::{CredentialsId, DeviceId, DeviceProfileId, RpcId, TenantId};
use thingport_model::profile::{DeviceProfile, MqttTransport, Provisioning, TransportType};
use thingport_model::rpc::{Call, CallResponse, CallStatus, CallWay, KeptProgress, PersistentCall};
use thingport_model::time::Timestamp;
use thingport_model::value::Value;
use uuid::Uuid;

use super::credentials::CredentialsBody;
use super::device::{DeviceBody, DeviceOverviewBody};
use super::profile::DeviceProfileBody;
use super::rpc::RpcBody;
use super::telemetry::{AttributeBody, SeriesBody};

/// Compares texts without the blanks of the golden file, so that order and form of numbers count.
fn check(body: &impl Serialize, golden: &str) {
    let golden: serde_json::Value = serde_json::from_str(golden).expect("the example is JSON");
    assert_eq!(serde_json::to_string(body).expect("serializes"), golden.to_string());
}

fn uuid(text: &str) -> Uuid {
    Uuid::try_parse(text).expect("a UUID")
}

fn tenant() -> TenantId {
    TenantId(uuid("0a1c9d20-5a7e-11f0-9a01-0f2d5c7e8a11"))
}

fn profile() -> DeviceProfile {
    DeviceProfile {
        id: DeviceProfileId(uuid("0b5f3a10-5a7e-11f0-9a01-0f2d5c7e8a11")),
        created_at: Timestamp(1_751_880_000_000),
        tenant_id: tenant(),
        name: "pump-mqtt".into(),
        description: None,
        image: None,
        is_default: false,
        transport: TransportType::Mqtt,
        mqtt: Some(MqttTransport::default()),
        opaque_transport: None,
        provisioning: Provisioning::Disabled { configured: true },
        alarms: None,
        queue_name: None,
        packages: thingport_model::ota::AssignedPackages::default(),
        extension: thingport_model::profile::extension::ProfileExtension::default(),
        version: 1,
    }
}

fn device() -> Device {
    Device {
        id: DeviceId(uuid("2c7d1e40-5a7e-11f0-9a01-0f2d5c7e8a11")),
        created_at: Timestamp(1_751_880_060_000),
        tenant_id: tenant(),
        customer_id: None,
        profile_id: profile().id,
        name: "pump-17".into(),
        profile_name: "pump-mqtt".into(),
        label: None,
        is_gateway: false,
        additional_info: Some(r#"{"description":"north hall","gateway":false}"#.into()),
        device_data:
            r#"{"configuration":{"type":"DEFAULT"},"transportConfiguration":{"type":"MQTT"}}"#
                .into(),
        packages: thingport_model::ota::AssignedPackages::default(),
        version: 1,
    }
}

#[test]
fn a_device_profile_looks_like_example_7_a() {
    check(&DeviceProfileBody::from(profile()), include_str!("../../testdata/7-A.json"));
}

#[test]
fn a_device_looks_like_example_8_a() {
    check(&DeviceBody::from(device()), include_str!("../../testdata/8-A.json"));
}

#[test]
fn a_device_in_a_list_has_four_members_more() {
    let overview = DeviceOverview {
        device: device(),
        customer_title: None,
        customer_is_public: false,
        is_active: true,
    };
    let mut golden: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(include_str!("../../testdata/8-A.json")).expect("JSON");
    golden.insert("customerTitle".into(), serde_json::Value::Null);
    golden.insert("customerIsPublic".into(), false.into());
    golden.insert("deviceProfileName".into(), "pump-mqtt".into());
    golden.insert("active".into(), true.into());
    let golden = serde_json::Value::Object(golden).to_string();
    check(&DeviceOverviewBody::from(overview), &golden);
}

#[test]
fn credentials_look_like_example_9_a() {
    let credentials = DeviceCredentials {
        id: CredentialsId(uuid("2c7d9370-5a7e-11f0-9a01-0f2d5c7e8a11")),
        created_at: Timestamp(1_751_880_060_000),
        device_id: device().id,
        kind: CredentialsType::MqttBasic,
        credentials_id: "pump-17-user".into(),
        value: Some(r#"{"clientId":null,"userName":"pump-17-user","password":"pw"}"#.into()),
        expires_at: None,
        version: 2,
    };
    check(&CredentialsBody::from(credentials), include_str!("../../testdata/9-A.json"));
}

#[test]
fn a_persistent_call_looks_like_example_15_b() {
    let call = PersistentCall {
        id: RpcId(uuid("5d0c8a20-5a7f-11f0-9a01-0f2d5c7e8a11")),
        created_at: Timestamp(1_751_880_300_000),
        tenant_id: tenant(),
        device_id: device().id,
        call: Call { id: 0, method: "setValve".into(), params: r#"{"open":true}"#.into() },
        way: CallWay::TwoWay,
        expires_at: Timestamp(1_751_880_310_000),
        retries: None,
        additional_info: None,
        progress: KeptProgress {
            status: CallStatus::Successful,
            misses: 0,
            response: Some(CallResponse::Answer(r#"{"done":true}"#.into())),
        },
    };
    check(&RpcBody::from(call.clone()), include_str!("../../testdata/15-B.json"));
    let rows = [
        (CallResponse::Answer("3".into()), "3"),
        (CallResponse::Answer("no".into()), r#"{"error":"no"}"#),
        (CallResponse::Answer(String::new()), r#"{"error":""}"#),
        (
            CallResponse::NotAcknowledged(2),
            r#"{"error":"There was a Timeout and all retry attempts have been exhausted. Retry attempts set: 2"}"#,
        ),
        (
            CallResponse::NotAnswered,
            r#"{"error":"There was a timeout awaiting for RPC response from device."}"#,
        ),
        (
            CallResponse::Impossible,
            r#"{"result":"INVALID_ARGUMENTS","error":"Failed to convert device RPC command to MQTT msg: setValve{\"open\":true}"}"#,
        ),
    ];
    for (response, expected) in rows {
        let progress = KeptProgress { response: Some(response), ..call.progress.clone() };
        let body = RpcBody::from(PersistentCall { progress, ..call.clone() });
        let body = serde_json::to_string(&body).expect("serializes");
        assert!(body.contains(&format!(r#""response":{expected},"#)), "{body}");
    }
}

#[test]
fn attributes_look_like_example_14_a() {
    let attribute = |key: &str, value| {
        let updated_at = Timestamp(1_751_880_100_123);
        AttributeBody::from(Attribute { key: key.into(), value, updated_at })
    };
    let all = [
        attribute("active", Value::Bool(true)),
        attribute("limits", Value::Json(r#"{"min":1,"max":9.5}"#.into())),
        attribute("serial", Value::String("A-17".into())),
        attribute("starts", Value::Long(12)),
    ];
    check(&all, include_str!("../../testdata/14-A.json"));
}

#[test]
fn readings_look_like_example_14_b() {
    let point = |at, value| vec![(Timestamp(at), Some(value))];
    let body = SeriesBody {
        strict: false,
        series: vec![
            ("temperature".into(), point(1_751_880_200_000, Value::Double(21.5))),
            ("state".into(), point(1_751_880_199_000, Value::Json(r#"{"on":true}"#.into()))),
        ],
    };
    check(&body, include_str!("../../testdata/14-B.json"));
}

#[test]
fn values_are_text_unless_their_own_type_is_asked_for() {
    let rows = [
        (Value::Double(42.0), r#""42.0""#, "42.0"),
        (Value::Double(1e7), r#""1.0E7""#, "1.0E7"),
        (Value::Double(1e-4), r#""1.0E-4""#, "1.0E-4"),
        (Value::Long(42), r#""42""#, "42"),
        (Value::Long(i64::MIN), r#""-9223372036854775808""#, "-9223372036854775808"),
        (Value::Bool(true), r#""true""#, "true"),
        (Value::String("a\"b".into()), r#""a\"b""#, r#""a\"b""#),
        (Value::Json("[1,2.50]".into()), r#""[1,2.50]""#, "[1,2.50]"),
    ];
    for (value, text, own) in rows {
        for (strict, expected) in [(false, text), (true, own)] {
            let series = vec![("k".to_owned(), vec![(Timestamp(1), Some(value.clone()))])];
            let body = serde_json::to_string(&SeriesBody { strict, series }).expect("serializes");
            assert_eq!(body, format!(r#"{{"k":[{{"ts":1,"value":{expected}}}]}}"#), "{value:?}");
        }
    }
}
