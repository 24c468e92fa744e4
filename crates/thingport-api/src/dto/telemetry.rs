//! Readings and attributes as the telemetry plugin shows them (REST API section 14).

use serde::ser::{Error as _, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use thingport_model::attribute::Attribute;
use thingport_model::time::Timestamp;
use thingport_model::value::{Value, ValueRef, write_double};
use utoipa::ToSchema;

/// A value in its own JSON type.
pub(crate) struct Typed<'a>(pub(crate) ValueRef<'a>);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ValueRef::Bool(it) => serializer.serialize_bool(it),
            ValueRef::Long(it) => serializer.serialize_i64(it),
            ValueRef::Double(it) => {
                raw(&double(it)).map_err(S::Error::custom)?.serialize(serializer)
            }
            ValueRef::String(it) => serializer.serialize_str(it),
            // Stored JSON is valid by construction; should it not be, it is shown as text.
            ValueRef::Json(it) => match raw(it) {
                Ok(raw) => raw.serialize(serializer),
                Err(_) => serializer.serialize_str(it),
            },
        }
    }
}

/// One attribute (14.1, example 14-A).
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AttributeData)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttributeBody {
    last_update_ts: i64,
    key: String,
    /// Text, number, boolean, object or array.
    #[serde(serialize_with = "typed")]
    #[schema(value_type = Object)]
    value: Value,
}

impl From<Attribute> for AttributeBody {
    fn from(it: Attribute) -> Self {
        Self { last_update_ts: it.updated_at.ms(), key: it.key, value: it.value }
    }
}

/// Readings per key (14.3, example 14-B), in the order they are to be shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SeriesBody {
    pub(crate) strict: bool,
    pub(crate) series: Vec<(String, Vec<Point>)>,
}

/// One point; without a value the key has no data (T-10).
pub(crate) type Point = (Timestamp, Option<Value>);

impl Serialize for SeriesBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.series.len()))?;
        for (key, points) in &self.series {
            map.serialize_entry(key, &PointsBody { strict: self.strict, points })?;
        }
        map.end()
    }
}

struct PointsBody<'a> {
    strict: bool,
    points: &'a [Point],
}

impl Serialize for PointsBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.points.len()))?;
        for (at, value) in self.points {
            seq.serialize_element(&PointBody { strict: self.strict, at: *at, value })?;
        }
        seq.end()
    }
}

struct PointBody<'a> {
    strict: bool,
    at: Timestamp,
    value: &'a Option<Value>,
}

impl Serialize for PointBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("ts", &self.at.ms())?;
        match self.value {
            None => map.serialize_entry("value", &())?,
            Some(value) if self.strict => map.serialize_entry("value", &Typed(value.borrowed()))?,
            Some(value) => map.serialize_entry("value", &value.borrowed().to_string())?,
        }
        map.end()
    }
}

fn typed<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    Typed(value.borrowed()).serialize(serializer)
}

/// The double as ThingsBoard prints it; JSON reads the same number back.
fn double(value: f64) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_double(&mut text, value);
    text
}

fn raw(text: &str) -> Result<&RawValue, serde_json::Error> {
    serde_json::from_str(text)
}
