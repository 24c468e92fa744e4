//! What is shown of messages in traces, however they came: payloads without secrets, and what was made
//! of them.

use thingport_core::trace::{Meaning, Payload, READINGS_MAX, REDACTED};
use thingport_device::payload::write::{write_string, write_value};
use thingport_device::secrets;
use thingport_model::ota::PackageKind;
use thingport_model::reading::{Reading, Readings};
use thingport_model::uplink::{Uplink, WantedKeys};
use thingport_model::value::Value;

/// A payload that may be shown, but for secret members.
pub(crate) fn payload(bytes: &[u8]) -> Payload {
    let mut payload = Payload::of(bytes);
    payload.is_redacted = secrets::redact(&mut payload.bytes);
    payload
}

/// What a device said.
pub(crate) fn meaning(uplink: &Uplink<'_>) -> Meaning {
    let numbered = |endpoint, number| Meaning { number: Some(number), ..Meaning::named(endpoint) };
    match uplink {
        Uplink::Telemetry(readings) => of_readings("telemetry", readings),
        Uplink::Attributes(attributes) => of_readings("attributes", attributes),
        Uplink::AttributeRequest(it) => numbered("attributesRequest", it.reply_to.id),
        Uplink::CallAnswer(it) => numbered("rpcResponse", it.id),
        Uplink::ClientCall(it) => {
            Meaning { method: Some(it.method.to_owned()), ..numbered("rpcRequest", it.reply_to.id) }
        }
        Uplink::Claim(_) => Meaning::named("claim"),
        Uplink::Children(_) => Meaning::named("children"),
        Uplink::PackageRequest(it) => match it.kind {
            PackageKind::Firmware => numbered("firmware", it.request),
            PackageKind::Software => numbered("software", it.request),
        },
    }
}

/// JSON text of what is said, where its payload may not be shown or is no JSON.
pub(crate) fn decoded(uplink: &Uplink<'_>, payload: &[u8]) -> Option<String> {
    let mut text = said(uplink, payload)?;
    secrets::redact_text(&mut text);
    Some(text)
}

fn said(uplink: &Uplink<'_>, payload: &[u8]) -> Option<String> {
    let is_json = || matches!(payload.trim_ascii_start().first(), Some(b'{' | b'['));
    match uplink {
        Uplink::Claim(claim) => {
            let duration = claim.duration_ms.map_or_else(|| "null".to_owned(), |ms| ms.to_string());
            Some(format!("{{\"secretKey\":\"{REDACTED}\",\"durationMs\":{duration}}}"))
        }
        _ if is_json() => None,
        Uplink::Telemetry(readings) | Uplink::Attributes(readings) => Some(object(readings)),
        Uplink::CallAnswer(it) => Some(it.body.to_owned()),
        Uplink::ClientCall(it) => {
            let mut text = "{\"method\":".to_owned();
            write_string(&mut text, it.method);
            Some(text + ",\"params\":" + it.params + "}")
        }
        Uplink::AttributeRequest(it) => {
            let named = [("clientKeys", it.client), ("sharedKeys", it.shared)];
            let named = named.into_iter().filter_map(|(name, keys)| match keys {
                WantedKeys::Named(keys) => Some((name, keys.0)),
                WantedKeys::None | WantedKeys::All => None,
            });
            Some(members(named, write_string))
        }
        Uplink::PackageRequest(_) | Uplink::Children(_) => None,
    }
}

/// Readings as one object; what would not be kept anyway is not written.
fn object(readings: &Readings) -> String {
    let shown: Vec<_> = readings.iter().take(READINGS_MAX).map(shown).collect();
    let shown = shown.iter().map(|it| (it.key.as_str(), it.value.borrowed()));
    members(shown, write_value)
}

fn members<'a, V>(
    members: impl Iterator<Item = (&'a str, V)>,
    write: impl Fn(&mut String, V),
) -> String {
    let mut text = "{".to_owned();
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        write_string(&mut text, name);
        text.push(':');
        write(&mut text, value);
    }
    text + "}"
}

fn of_readings(endpoint: &'static str, readings: &Readings) -> Meaning {
    Meaning {
        readings: readings.iter().take(READINGS_MAX).map(shown).collect(),
        readings_count: readings.len(),
        ..Meaning::named(endpoint)
    }
}

fn shown(reading: thingport_model::reading::ReadingRef<'_>) -> Reading {
    let mut value = reading.value.to_owned();
    if let Value::String(text) | Value::Json(text) = &mut value {
        if secrets::is_secret(reading.key) {
            REDACTED.clone_into(text);
        }
        secrets::redact_text(text);
    }
    Reading { at: reading.at, key: reading.key.to_owned(), value }
}

#[cfg(test)]
mod tests {
    use thingport_model::rpc::ReplyTo;
    use thingport_model::time::Timestamp;
    use thingport_model::uplink::{AttributeRequest, CallAnswer, Claim, ClientCall, KeyList};
    use thingport_model::value::ValueRef;

    use super::*;

    #[test]
    fn what_was_said_is_shown_without_secrets() {
        let mut readings = Readings::default();
        readings.push(Timestamp(1), "a", ValueRef::Long(1));
        readings.push(Timestamp(1), "secretKey", ValueRef::String("S3CRET"));
        readings.push(Timestamp(1), "b", ValueRef::Json(r#"{"secretKey":"S3CRET"}"#));
        let shown = meaning(&Uplink::Telemetry(&readings));
        assert_eq!((shown.endpoint, shown.readings_count), ("telemetry", 3));
        let claim = Uplink::Claim(Claim { secret: "S3CRET", duration_ms: Some(5) });
        let body = payload(br#"{"secretKey":"S3CRET"}"#);
        assert!(body.is_redacted);
        let text = decoded(&claim, b"").unwrap_or_default();
        assert_eq!(text, r#"{"secretKey":"***","durationMs":5}"#);
        let all = format!("{shown:?} {:?} {text} {body:?}", meaning(&claim));
        assert!(!all.contains("S3CRET"), "{all}");
        assert!(!String::from_utf8_lossy(&body.bytes).contains("S3CRET"));
    }

    #[test]
    fn what_is_no_json_is_shown_as_json() {
        let mut readings = Readings::default();
        readings.push(Timestamp(1), "a\"", ValueRef::Double(1.5));
        readings.push(Timestamp(1), "b", ValueRef::String("x\n"));
        readings.push(Timestamp(1), "c", ValueRef::Json("[1]"));
        let reply_to = ReplyTo { way: 0, id: 7 };
        let keys = |keys| WantedKeys::Named(KeyList(keys));
        let request = AttributeRequest { reply_to, client: keys("a,b"), shared: WantedKeys::None };
        let rows = [
            (Uplink::Telemetry(&readings), r#"{"a\"":1.5,"b":"x\n","c":[1]}"#),
            (Uplink::Attributes(&Readings::default()), "{}"),
            (Uplink::CallAnswer(CallAnswer { id: 1, body: "7" }), "7"),
            (
                Uplink::ClientCall(ClientCall { reply_to, method: "m", params: "null" }),
                r#"{"method":"m","params":null}"#,
            ),
            (Uplink::AttributeRequest(request), r#"{"clientKeys":"a,b"}"#),
            (
                Uplink::CallAnswer(CallAnswer { id: 1, body: r#"{"secretKey":"S"}"# }),
                r#"{"secretKey":"***"}"#,
            ),
        ];
        for (uplink, text) in rows {
            assert_eq!(decoded(&uplink, &[8, 1]).as_deref(), Some(text));
            assert_eq!(decoded(&uplink, b" {}"), None, "it shows itself");
        }
    }
}
