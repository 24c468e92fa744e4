//! What is shown of messages in traces, however they came: payloads without secrets, and what was made
//! of them.

use thingport_core::trace::{Meaning, Payload, READINGS_MAX, REDACTED};
use thingport_device::secrets;
use thingport_model::ota::PackageKind;
use thingport_model::reading::{Reading, Readings};
use thingport_model::uplink::Uplink;
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
        Uplink::PackageRequest(it) => match it.kind {
            PackageKind::Firmware => numbered("firmware", it.request),
            PackageKind::Software => numbered("software", it.request),
        },
    }
}

/// JSON text of what is said, where its payload may not be shown.
pub(crate) fn decoded(uplink: &Uplink<'_>) -> Option<String> {
    let Uplink::Claim(claim) = uplink else { return None };
    let duration = claim.duration_ms.map_or_else(|| "null".to_owned(), |ms| ms.to_string());
    Some(format!("{{\"secretKey\":\"{REDACTED}\",\"durationMs\":{duration}}}"))
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
    use thingport_model::time::Timestamp;
    use thingport_model::uplink::Claim;
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
        let text = decoded(&claim).unwrap_or_default();
        assert_eq!(text, r#"{"secretKey":"***","durationMs":5}"#);
        let all = format!("{shown:?} {:?} {text} {body:?}", meaning(&claim));
        assert!(!all.contains("S3CRET"), "{all}");
        assert!(!String::from_utf8_lossy(&body.bytes).contains("S3CRET"));
    }
}
