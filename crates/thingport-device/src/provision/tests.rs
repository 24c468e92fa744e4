//! Requests are read and answers written as the tables in `testdata/` say.

use thingport_model::id::{CredentialsId, DeviceId, NIL};
use thingport_model::time::Timestamp;

use super::*;

#[test]
fn requests_follow_their_table() {
    for line in rows(include_str!("../../testdata/provision_requests.tsv")) {
        let [rule, body, expected] = columns(line);
        let body = match body.strip_prefix("hex:") {
            Some(digits) => bytes(digits),
            None => body.as_bytes().to_vec(),
        };
        let read = match read(&body) {
            Ok((form, request)) => shown(form, &request),
            // What exactly is wrong with a text is the lexer's promise.
            Err(reject) if reject.reason == Reason::ProvisionMalformed => {
                format!("!{} {}", reject.reason.id(), reject.detail)
            }
            Err(reject) => format!("!{}", reject.reason.id()),
        };
        assert_eq!(read, expected, "{rule} {line}");
    }
}

#[test]
fn answers_follow_their_table() {
    for line in rows(include_str!("../../testdata/provision_answers.tsv")) {
        let [rule, what, json, protobuf] = columns(line);
        let granted = granted(what);
        let answer = match (&granted, what) {
            (Some(granted), _) => ProvisionAnswer::Granted(granted),
            (None, "not found") => ProvisionAnswer::NotFound,
            (None, _) => ProvisionAnswer::Failure,
        };
        let text = String::from_utf8(answer.write(ProvisionForm::Json)).unwrap();
        assert_eq!(text, json, "{rule}");
        let digits = answer.write(ProvisionForm::Protobuf);
        let digits: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digits, protobuf, "{rule} {what}");
    }
}

#[test]
fn only_the_topics_of_provisioning_are_served() {
    let body = br#"{"provisionDeviceKey":"k","provisionDeviceSecret":"s"}"#;
    for (topic, expected) in [
        ("/provision/request", None),
        ("provision/request", Some(Reason::ProvisionTopic)),
        ("/provision/request/", Some(Reason::ProvisionTopic)),
        ("v1/devices/me/telemetry", Some(Reason::ProvisionTopic)),
    ] {
        assert_eq!(publication(topic, body).err().map(|it| it.reason), expected, "{topic}");
    }
    for (filter, expected) in [
        ("/provision/response", None),
        ("/provision/+", Some(Reason::ProvisionFilter)),
        ("#", Some(Reason::ProvisionFilter)),
        ("v1/devices/me/attributes", Some(Reason::ProvisionFilter)),
        ("$share/g//provision/response", Some(Reason::FilterShared)),
        ("a#", Some(Reason::FilterInvalid)),
    ] {
        assert_eq!(subscribe(filter).err().map(|it| it.reason), expected, "{filter}");
    }
}

#[test]
fn neither_request_nor_refusal_shows_a_secret() {
    let body = br#"{"provisionDeviceKey":"KEY","provisionDeviceSecret":"SECRET","token":"TOKEN"}"#;
    let request = read_json(body).unwrap();
    let shown = format!("{request:?} {:?}", request.supplied);
    let wrong =
        br#"{"provisionDeviceKey":"KEY","provisionDeviceSecret":"SECRET","token":["TOKEN"]}"#;
    let shown = shown + &read_json(wrong).unwrap_err().to_string();
    for secret in ["KEY", "SECRET", "TOKEN"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn shown(form: ProvisionForm, request: &ProvisionRequest) -> String {
    let form = if form == ProvisionForm::Json { "json" } else { "proto" };
    let name =
        request.device_name.as_ref().map_or_else(|| "-".to_owned(), |name| format!("[{name}]"));
    let (key, secret, kind) = (&request.key, &request.secret, request.kind.name());
    let mut text = format!("{form} {key}/{secret} {name} {kind}");
    let it = &request.supplied;
    for (label, value) in [
        ("token", &it.token),
        ("client", &it.client_id),
        ("user", &it.user_name),
        ("password", &it.password),
        ("certificate", &it.certificate),
    ] {
        if !value.is_empty() {
            text += &format!(" {label}={value}");
        }
    }
    if request.is_gateway { text + " gateway" } else { text }
}

fn granted(what: &str) -> Option<DeviceCredentials> {
    let (kind, value) = what.split_once(' ')?;
    let kind = match kind {
        "token" => CredentialsType::AccessToken,
        "basic" => CredentialsType::MqttBasic,
        "x509" => CredentialsType::X509Certificate,
        "lwm2m" => CredentialsType::Lwm2m,
        _ => return None,
    };
    let is_token = kind == CredentialsType::AccessToken;
    Some(DeviceCredentials {
        id: CredentialsId(NIL),
        created_at: Timestamp(0),
        device_id: DeviceId(NIL),
        kind,
        credentials_id: if is_token { value.to_owned() } else { "hash".to_owned() },
        value: (!is_token).then(|| value.to_owned()),
        expires_at: None,
        version: 1,
    })
}

fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.starts_with('#'))
}

fn columns<const N: usize>(line: &str) -> [&str; N] {
    line.split('\t').collect::<Vec<_>>().try_into().expect("a row has all its columns")
}

fn bytes(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}
