//! A message as others get it: JSON objects, one for each moment that the message speaks of.
//!
//! The form is described in docs/forwarding.md; members are added, never changed.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use thingport_core::forwarding::Message;
use thingport_model::attribute::Attribute;
use thingport_model::port::ledger::Committed;
use thingport_model::reading::Reading;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;
use uuid::Uuid;

/// What one object says.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: String,
    tenant_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<Uuid>,
    device_id: Uuid,
    device_name: &'a str,
    device_type: &'a str,
    kind: &'static str,
    ts: i64,
    received_ts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Values<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<&'a [String]>,
}

/// Keys and values of one moment, in the order in which the device said them.
struct Values<'a>(Vec<(&'a str, &'a Value)>);

/// The objects of a message, each a JSON text; none for what is not forwarded.
pub(super) fn objects(message: &Message) -> Vec<String> {
    let moments: Vec<(&'static str, Timestamp, What<'_>)> = match &message.change {
        Committed::Telemetry(readings) => by_moment(readings.iter().map(of_reading))
            .map(|(at, values)| ("TELEMETRY", at, What::Values(values)))
            .collect(),
        Committed::AttributesSet(_, attributes) => by_moment(attributes.iter().map(of_attribute))
            .map(|(at, values)| ("ATTRIBUTES", at, What::Values(values)))
            .collect(),
        Committed::AttributesDeleted(_, keys) => {
            vec![("ATTRIBUTES_DELETED", message.committed_at, What::Keys(keys))]
        }
        Committed::TelemetryDeleted(_) | Committed::Purged => Vec::new(),
    };
    let many = moments.len() > 1;
    let texts = moments.into_iter().enumerate().map(|(index, (kind, at, what))| {
        let place = message.next.0;
        let id = if many { format!("{place}.{index}") } else { place.to_string() };
        text(message, id, (kind, at), what)
    });
    texts.collect()
}

/// What a topic says of a message.
pub(super) const fn kind(change: &Committed) -> &'static str {
    match change {
        Committed::Telemetry(_) | Committed::TelemetryDeleted(_) | Committed::Purged => "telemetry",
        Committed::AttributesSet(..) | Committed::AttributesDeleted(..) => "attributes",
    }
}

enum What<'a> {
    Values(Values<'a>),
    Keys(&'a [String]),
}

type Item<'a> = (Timestamp, &'a str, &'a Value);

fn of_reading(it: &Reading) -> Item<'_> {
    (it.at, &it.key, &it.value)
}

fn of_attribute(it: &Attribute) -> Item<'_> {
    (it.updated_at, &it.key, &it.value)
}

/// Groups what was said of the same moment, in the order of its first mention. A message says things
/// of one moment beside each other, so only neighbours are looked at.
fn by_moment<'a>(
    items: impl Iterator<Item = Item<'a>>,
) -> impl Iterator<Item = (Timestamp, Values<'a>)> {
    let mut moments: Vec<(Timestamp, Values<'a>)> = Vec::new();
    for (at, key, value) in items {
        match moments.last_mut() {
            Some((last, values)) if *last == at => values.0.push((key, value)),
            _ => moments.push((at, Values(vec![(key, value)]))),
        }
    }
    moments.into_iter()
}

fn text(
    message: &Message,
    id: String,
    (kind, at): (&'static str, Timestamp),
    what: What<'_>,
) -> String {
    let origin = &message.origin;
    let (values, keys) = match what {
        What::Values(values) => (Some(values), None),
        What::Keys(keys) => (None, Some(keys)),
    };
    let body = Body {
        id,
        tenant_id: origin.tenant_id.0,
        customer_id: origin.customer_id.map(|it| it.0),
        device_id: origin.device_id.0,
        device_name: &origin.name,
        device_type: &origin.profile_name,
        kind,
        ts: at.ms(),
        received_ts: message.committed_at.ms(),
        values,
        keys,
    };
    // Texts and numbers alone: nothing of it can fail.
    serde_json::to_string(&body).unwrap_or_default()
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            match value {
                Value::Bool(it) => map.serialize_entry(key, it)?,
                Value::Long(it) => map.serialize_entry(key, it)?,
                Value::Double(it) => map.serialize_entry(key, it)?,
                Value::String(it) => map.serialize_entry(key, it)?,
                Value::Json(it) => match serde_json::from_str::<&RawValue>(it) {
                    Ok(json) => map.serialize_entry(key, json)?,
                    Err(_) => map.serialize_entry(key, it)?,
                },
            }
        }
        map.end()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Arc;
    use thingport_core::forwarding::Origin;
    use thingport_model::attribute::Scope;
    use thingport_model::id::{CustomerId, DeviceId, DeviceProfileId, TenantId};
    use thingport_model::port::trail::Place;

    pub(crate) fn message(change: Committed) -> Message {
        let origin = Origin {
            device_id: DeviceId(Uuid::from_u128(1)),
            name: "pump \"7\"".to_owned(),
            profile_name: "pumps".to_owned(),
            profile_id: DeviceProfileId(Uuid::from_u128(2)),
            tenant_id: TenantId(Uuid::from_u128(3)),
            customer_id: None,
        };
        let (origin, committed_at) = (Arc::new(origin), Timestamp(1_500));
        Message { origin, committed_at, change, next: Place(77) }
    }

    pub(crate) fn reading(at: i64, key: &str, value: Value) -> Reading {
        Reading { at: Timestamp(at), key: key.to_owned(), value }
    }

    const HEAD: &str = r#""tenantId":"00000000-0000-0000-0000-000000000003","deviceId":"00000000-0000-0000-0000-000000000001","deviceName":"pump \"7\"","deviceType":"pumps","#;

    fn check(change: Committed, expected: &[(&str, &str)]) {
        let expected: Vec<String> =
            expected.iter().map(|(id, rest)| format!(r#"{{"id":"{id}",{HEAD}{rest}}}"#)).collect();
        assert_eq!(objects(&message(change)), expected);
    }

    #[test]
    fn a_message_is_one_object_for_each_moment() {
        check(
            Committed::Telemetry(vec![
                reading(1_000, "b", Value::Bool(true)),
                reading(1_000, "l", Value::Long(-7)),
                reading(1_000, "d", Value::Double(2.0)),
                reading(1_000, "s", Value::String("\u{e9}\n".to_owned())),
                reading(1_000, "j", Value::Json(r#"{"a":[1,2.50]}"#.to_owned())),
            ]),
            &[(
                "77",
                "\"kind\":\"TELEMETRY\",\"ts\":1000,\"receivedTs\":1500,\"values\":{\"b\":true,\"l\":-7,\"d\":2.0,\"s\":\"\u{e9}\\n\",\"j\":{\"a\":[1,2.50]}}",
            )],
        );
        check(
            Committed::Telemetry(vec![
                reading(1, "a", Value::Long(1)),
                reading(2, "a", Value::Long(2)),
                reading(2, "b", Value::Long(3)),
            ]),
            &[
                ("77.0", r#""kind":"TELEMETRY","ts":1,"receivedTs":1500,"values":{"a":1}"#),
                ("77.1", r#""kind":"TELEMETRY","ts":2,"receivedTs":1500,"values":{"a":2,"b":3}"#),
            ],
        );
        let attribute = |key: &str| Attribute {
            key: key.to_owned(),
            value: Value::Long(1),
            updated_at: Timestamp(9),
        };
        check(
            Committed::AttributesSet(Scope::Client, vec![attribute("x"), attribute("y")]),
            &[("77", r#""kind":"ATTRIBUTES","ts":9,"receivedTs":1500,"values":{"x":1,"y":1}"#)],
        );
        check(
            Committed::AttributesDeleted(Scope::Client, vec!["x".to_owned()]),
            &[("77", r#""kind":"ATTRIBUTES_DELETED","ts":1500,"receivedTs":1500,"keys":["x"]"#)],
        );
        check(Committed::Purged, &[]);
    }

    #[test]
    fn the_customer_is_named_when_there_is_one() {
        let mut message = message(Committed::AttributesDeleted(Scope::Client, vec![]));
        let mut origin = Origin::clone(&message.origin);
        origin.customer_id = Some(CustomerId(Uuid::from_u128(4)));
        message.origin = Arc::new(origin);
        let texts = objects(&message);
        assert!(texts[0].contains(r#""customerId":"00000000-0000-0000-0000-000000000004""#));
    }
}
