use super::*;
use thingport_model::id::{CredentialsId, DeviceId, DeviceProfileId, NIL, TenantId};
use thingport_model::profile::{MqttTransport, ProtobufPayload, ProtobufRoots, Provisioning};
use thingport_model::time::Timestamp;

fn profile(mqtt: Option<MqttTransport>) -> DeviceProfile {
    DeviceProfile {
        id: DeviceProfileId(NIL),
        created_at: Timestamp(0),
        tenant_id: TenantId(NIL),
        name: "p".to_owned(),
        description: None,
        image: None,
        is_default: false,
        transport: if mqtt.is_some() { TransportType::Mqtt } else { TransportType::Default },
        mqtt,
        opaque_transport: None,
        provisioning: Provisioning::Disabled { configured: true },
        alarms: None,
        queue_name: None,
        packages: thingport_model::ota::AssignedPackages::default(),
        extension: thingport_model::profile::extension::ProfileExtension::default(),
        version: 1,
    }
}

fn credentials(kind: CredentialsType, id: &str, value: Option<&str>) -> DeviceCredentials {
    DeviceCredentials {
        id: CredentialsId(NIL),
        created_at: Timestamp(0),
        device_id: DeviceId(NIL),
        kind,
        credentials_id: id.to_owned(),
        value: value.map(str::to_owned),
        expires_at: None,
        version: 1,
    }
}

fn token(text: &str) -> DeviceCredentials {
    credentials(CredentialsType::AccessToken, text, None)
}

// A place that is offered, as the fields of `Places` hold it.
#[allow(clippy::unnecessary_wraps)]
fn place(host: &str, port: u16) -> Option<Place> {
    Some(Place { host: host.to_owned(), port })
}

fn everywhere(host: &str) -> Places {
    Places {
        http: place(host, 8080),
        https: place(host, 443),
        mqtt: place(host, 1883),
        mqtts: place(host, 8883),
    }
}

const DOWNLOAD: &str = "/api/device-connectivity/mqtts/certificate/download";

#[test]
fn a_token_of_a_default_profile_works_over_everything() {
    let all = commands(&profile(None), &token("T0"), &everywhere("iot.example.com"));
    let http = "curl -v -X POST http://iot.example.com:8080/api/v1/T0/telemetry \
                --header Content-Type:application/json --data \"{temperature:25}\"";
    let publish = "mosquitto_pub -d -q 1 -h iot.example.com -t v1/devices/me/telemetry -u \"T0\" \
                   -m \"{temperature:25}\"";
    assert_eq!(all["http"]["http"], http);
    assert!(
        all["http"]["https"].as_str().is_some_and(|it| it.contains("https://iot.example.com/"))
    );
    assert_eq!(all["mqtt"]["mqtt"], publish);
    let secure = all["mqtt"]["mqtts"].as_array().expect("two steps");
    let fetch = format!("curl -f -S -o ca-root.pem http://iot.example.com:8080{DOWNLOAD}");
    assert_eq!(secure[0], fetch);
    assert_eq!(secure[1], publish.replace("-q 1", "-q 1 --cafile ca-root.pem"));
    let docker = "docker run --rm -it eclipse-mosquitto:2 ";
    assert_eq!(all["mqtt"]["docker"]["mqtt"], format!("{docker}{publish}"));
    let both = all["mqtt"]["docker"]["mqtts"].as_str().expect("one line");
    assert!(
        both.starts_with(&format!("{docker}/bin/sh -c 'wget -q -O ca-root.pem http://")),
        "{both}"
    );
}

#[test]
fn the_login_is_what_the_credentials_need() {
    let basic = |value| credentials(CredentialsType::MqttBasic, "x", Some(value));
    let rows = [
        (basic(r#"{"clientId":"c","userName":null,"password":null}"#), r#" -i "c" -m"#),
        (basic(r#"{"clientId":null,"userName":"u","password":"p"}"#), r#" -u "u" -P "p" -m"#),
        (basic(r#"{"clientId":"c","userName":"u","password":"p"}"#), r#" -i "c" -u "u" -P "p" -m"#),
        (token(r#"a"$`\b"#), r#" -u "a\"\$\`\\b" -m"#),
    ];
    for (credentials, login) in rows {
        let all = commands(&profile(None), &credentials, &everywhere("h"));
        let line = all["mqtt"]["mqtt"].as_str().expect("plain MQTT");
        assert!(line.contains(login), "{line}");
    }
    let certificate = credentials(CredentialsType::X509Certificate, "hash", Some("MII"));
    let all = commands(&profile(None), &certificate, &everywhere("h"));
    assert!(all["http"].is_null() && all["mqtt"]["mqtt"].is_null(), "a certificate needs TLS");
    let line = all["mqtt"]["mqtts"][1].as_str().expect("the second step");
    assert!(line.contains("--cafile ca-root.pem -h h -t v1/devices/me/telemetry --key key.pem"));
    let other = credentials(CredentialsType::Lwm2m, "e", Some("{}"));
    assert_eq!(commands(&profile(None), &other, &everywhere("h")), json!({}));
}

#[test]
fn the_topic_is_one_that_may_be_published_on() {
    let protobuf = |json_compatibility| {
        PayloadType::Protobuf(Box::new(ProtobufPayload {
            telemetry_schema: String::new(),
            attributes_schema: String::new(),
            rpc_request_schema: String::new(),
            rpc_response_schema: String::new(),
            json_compatibility,
            json_for_default_downlinks: false,
            roots: ProtobufRoots::default(),
        }))
    };
    let rows = [
        ("sensors/+/data", PayloadType::Json, "sensors/me/data"),
        ("all/#", PayloadType::Json, "all/me"),
        ("has blank", PayloadType::Json, "\"has blank\""),
        ("own", protobuf(true), "own"),
        ("own", protobuf(false), "v2/t/j"),
    ];
    for (filter, payload, expected) in rows {
        let mqtt = MqttTransport {
            telemetry_topic: filter.to_owned(),
            payload,
            ..MqttTransport::default()
        };
        let all = commands(&profile(Some(mqtt)), &token("T"), &everywhere("h"));
        assert!(all["http"].is_null(), "HTTP is for DEFAULT profiles");
        let line = all["mqtt"]["mqtt"].as_str().expect("plain MQTT");
        assert!(line.contains(&format!(" -t {expected} ")), "{line}");
    }
    let sparkplug = MqttTransport { sparkplug: true, ..MqttTransport::default() };
    let all = commands(&profile(Some(sparkplug)), &token("T"), &everywhere("h"));
    assert_eq!(all["mqtt"].as_object().map(Map::len), Some(1));
    assert!(all["mqtt"]["sparkplug"].as_str().is_some_and(|it| it.contains("NBIRTH")));
}

#[test]
fn only_what_is_offered_is_shown_and_a_container_finds_its_host() {
    assert_eq!(commands(&profile(None), &token("T"), &Places::default()), json!({}));
    let places = Places { http: None, https: None, ..everywhere("localhost") };
    let all = commands(&profile(None), &token("T"), &places);
    assert!(all["mqtt"]["mqtts"].is_null(), "nowhere to fetch the CA from");
    let line = all["mqtt"]["docker"]["mqtt"].as_str().expect("a line");
    assert!(line.contains("--add-host=host.docker.internal:host-gateway eclipse"), "{line}");
    assert!(line.contains(" -h host.docker.internal "), "{line}");
    let odd = Places { http: place("::1", 81), mqtt: place("::1", 1884), ..Places::default() };
    let all = commands(&profile(None), &token("a b/%"), &odd);
    let line = all["http"]["http"].as_str().expect("a line");
    assert!(line.contains("http://[::1]:81/api/v1/a%20b%2F%25/telemetry"), "{line}");
    assert!(all["mqtt"]["mqtt"].as_str().is_some_and(|it| it.contains(" -h ::1 -p 1884 ")));
}
