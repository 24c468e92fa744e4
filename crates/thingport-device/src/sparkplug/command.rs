//! What an edge node is told: commands with the type of the metric, rebirth requests, and STATE.
//!
//! A command has no number and no reply: that it was sent is all that is ever known (SP-090).

use prost::Message;
use serde_json::Value as Json;
use thingport_model::attribute::Attribute;
use thingport_model::reason::Reason;
use thingport_model::rpc::Call;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;

use super::EdgeNode;
use super::datatype::DataType;
use super::model::{Definition, described};
use super::topic::{Place, state_topic};
use crate::payload::write::{write_string, write_value};
use crate::reject::Reject;

/// A message for an edge node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What is sent; none when the call does not fit.
    pub command: Option<Command>,
    /// What the caller is answered, as ThingsBoard words it (SP-090 to SP-098).
    pub answer: String,
}

impl<T> EdgeNode<T> {
    /// Commands for shared attributes that were set: those that are metrics of the birth, and the
    /// members of `NCMD` and `DCMD` (SP-080, SP-083). Others are nobody's affair (SP-084).
    #[must_use]
    pub fn updates(
        &self,
        whom: Option<&str>,
        attributes: &[Attribute],
        now: Timestamp,
    ) -> (Vec<Command>, Vec<Reject>) {
        let (mut commands, mut rejects) = (Vec::new(), Vec::new());
        for attribute in attributes {
            for (name, given) in self.wishes(whom, attribute) {
                match self.command(whom, &name, &given, now) {
                    None => {}
                    Some(Ok(command)) => commands.push(command),
                    Some(Err(why)) => {
                        let what = described(&name, why);
                        rejects.push(Reject::new(Reason::DownlinkFormat, what));
                    }
                }
            }
        }
        (commands, rejects)
    }

    /// Names of metrics and their values that one attribute asks for.
    fn wishes(&self, whom: Option<&str>, attribute: &Attribute) -> Vec<(String, Json)> {
        let is_type = attribute.key == if whom.is_none() { "NCMD" } else { "DCMD" };
        match (&attribute.value, parsed(&attribute.value)) {
            (Value::Json(_), Json::Object(members)) if is_type => members.into_iter().collect(),
            (_, given) => vec![(attribute.key.clone(), given)],
        }
    }

    /// What becomes of a call (SP-087).
    #[must_use]
    pub fn call(&self, whom: Option<&str>, call: &Call, now: Timestamp) -> Told {
        let refused = |answer| Told { command: None, answer };
        let due = if whom.is_none() { "NCMD" } else { "DCMD" };
        if call.method != due {
            return refused(invalid(call));
        }
        let params = serde_json::from_str::<Json>(&call.params).unwrap_or(Json::Null);
        let Some(name) = params.get("metricName").and_then(Json::as_str) else {
            return refused(invalid(call));
        };
        let given = params.get("value").unwrap_or(&Json::Null);
        match self.command(whom, name, given, now) {
            None => refused(no_such_metric(whom, due, name)),
            Some(Err(_)) => refused(invalid(call)),
            Some(Ok(command)) => Told { command: Some(command), answer: sent(due) },
        }
    }

    /// A command for one metric; none when there is no such metric.
    fn command(
        &self,
        whom: Option<&str>,
        name: &str,
        given: &Json,
        now: Timestamp,
    ) -> Option<Result<Command, &'static str>> {
        let subject = self.model.subject(whom).filter(|it| it.born_at.is_some())?;
        let definition = subject.metric(name)?;
        let metric = Metric::of(name, definition, given, now);
        let topic = self.place.command(whom);
        Some(metric.map(|metric| Command { topic, payload: payload(metric, now) }))
    }
}

/// A request for a rebirth: by name, never by alias, and without a number
/// (tck-id-operational-behavior-data-commands-ncmd-rebirth-*).
pub(super) fn rebirth(place: &Place, now: Timestamp) -> Command {
    let definition = Definition { kind: DataType::Boolean, alias: None, properties: 0 };
    // A boolean is one.
    let metric = Metric::of(REBIRTH, definition, &Json::Bool(true), now).unwrap_or_default();
    Command { topic: place.command(None), payload: payload(metric, now) }
}

/// Whether the host is there since `at`, to be sent with quality of service 1 as a retained message
/// (tck-id-payloads-state-birth-payload).
#[must_use]
pub fn state(host_id: &str, is_online: bool, at: Timestamp) -> Command {
    let payload = format!("{{\"online\":{is_online},\"timestamp\":{}}}", at.ms());
    Command { topic: state_topic(host_id), payload: payload.into_bytes() }
}

fn payload(metric: Metric, now: Timestamp) -> Vec<u8> {
    Payload { timestamp: stamp(now), metrics: vec![metric] }.encode_to_vec()
}

/// tck-id-payloads-ncmd-timestamp, tck-id-payloads-ncmd-seq
#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    alias: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    datatype: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    int: Option<u32>,
    #[prost(uint64, optional, tag = "11")]
    long: Option<u64>,
    #[prost(float, optional, tag = "12")]
    float: Option<f32>,
    #[prost(double, optional, tag = "13")]
    double: Option<f64>,
    #[prost(bool, optional, tag = "14")]
    boolean: Option<bool>,
    #[prost(string, optional, tag = "15")]
    string: Option<String>,
    #[prost(bytes = "vec", optional, tag = "16")]
    bytes: Option<Vec<u8>>,
}

impl Metric {
    /// Alias or name, as the birth has it (tck-id-payloads-alias-data-cmd-requirement).
    fn of(name: &str, it: Definition, given: &Json, now: Timestamp) -> Result<Self, &'static str> {
        let alias = it.alias.filter(|_| !name.starts_with(CONTROL));
        let mut metric = Self {
            name: alias.is_none().then(|| name.to_owned()),
            alias,
            timestamp: stamp(now),
            datatype: Some(it.kind as u32),
            ..Self::default()
        };
        metric.put(it.kind, given)?;
        Ok(metric)
    }

    fn put(&mut self, kind: DataType, given: &Json) -> Result<(), &'static str> {
        use DataType as K;
        match kind {
            K::Int8 | K::Int16 | K::Int32 | K::UInt8 | K::UInt16 | K::UInt32 => {
                // Within the range of its type; negative ones as two's complement of their width.
                let bits = whole(kind, given)?;
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let low = match kind {
                    K::Int8 => u32::from(bits as u8),
                    K::Int16 => u32::from(bits as u16),
                    _ => bits as u32,
                };
                self.int = Some(low);
            }
            K::Int64 | K::UInt64 | K::DateTime => {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let bits = whole(kind, given)? as u64;
                self.long = Some(bits);
            }
            K::Float => self.float = Some(narrow(fraction(given)?)?),
            K::Double => self.double = Some(fraction(given)?),
            K::Boolean => self.boolean = Some(truth(given)?),
            K::String | K::Text | K::UUID => self.string = Some(text(given)?),
            K::Bytes | K::File => self.bytes = Some(octets(given)?),
            kind => {
                let element =
                    kind.element().ok_or("no value can be sent to a metric of its type")?;
                self.bytes = Some(array(element, given)?);
            }
        }
        Ok(())
    }
}

/// A whole number within the range of a type; a fraction is cut off (SP-085).
fn whole(kind: DataType, given: &Json) -> Result<i128, &'static str> {
    let number = match given {
        Json::Bool(it) => i128::from(*it),
        Json::Number(it) => cut(&it.to_string())?,
        Json::String(it) => cut(it.trim())?,
        _ => return Err(NO_NUMBER),
    };
    let (smallest, largest) = kind.range().ok_or(NO_NUMBER)?;
    if (smallest..=largest).contains(&number) { Ok(number) } else { Err(OUT_OF_RANGE) }
}

fn cut(text: &str) -> Result<i128, &'static str> {
    if let Ok(it) = text.parse() {
        return Ok(it);
    }
    let it = number(text)?.trunc();
    // Far beyond every range, and exact below.
    if it.abs() < 1e30 {
        #[allow(clippy::cast_possible_truncation)]
        Ok(it as i128)
    } else {
        Err(OUT_OF_RANGE)
    }
}

fn fraction(given: &Json) -> Result<f64, &'static str> {
    match given {
        Json::Bool(it) => Ok(f64::from(u8::from(*it))),
        Json::Number(it) => number(&it.to_string()),
        Json::String(it) => number(it.trim()),
        _ => Err(NO_NUMBER),
    }
}

fn number(text: &str) -> Result<f64, &'static str> {
    let it = text.parse::<f64>().map_err(|_| NO_NUMBER)?;
    let is_named = matches!(text, "NaN" | "Infinity" | "-Infinity");
    if it.is_finite() || is_named { Ok(it) } else { Err(OUT_OF_RANGE) }
}

fn narrow(it: f64) -> Result<f32, &'static str> {
    #[allow(clippy::cast_possible_truncation)]
    let narrow = it as f32;
    if it.is_finite() && !narrow.is_finite() { Err(OUT_OF_RANGE) } else { Ok(narrow) }
}

fn truth(given: &Json) -> Result<bool, &'static str> {
    match given {
        Json::Bool(it) => Ok(*it),
        Json::String(it) if it == "true" => Ok(true),
        Json::String(it) if it == "false" => Ok(false),
        other => Ok(fraction(other)? != 0.0),
    }
}

fn text(given: &Json) -> Result<String, &'static str> {
    match given {
        Json::String(it) => Ok(it.clone()),
        Json::Bool(it) => Ok(it.to_string()),
        Json::Number(it) => Ok(it.to_string()),
        _ => Err("the metric takes a text"),
    }
}

/// Bytes as ThingsBoard writes them: a list of -128 to 255.
fn octets(given: &Json) -> Result<Vec<u8>, &'static str> {
    let list = given.as_array().ok_or(NO_LIST)?;
    list.iter()
        .map(|it| {
            let number = whole(DataType::Int16, it)?;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let octet = number as u8;
            if (-128..=255).contains(&number) { Ok(octet) } else { Err(OUT_OF_RANGE) }
        })
        .collect()
}

/// The elements of an array, least significant byte first.
fn array(element: DataType, given: &Json) -> Result<Vec<u8>, &'static str> {
    let list = given.as_array().ok_or(NO_LIST)?;
    let mut out = Vec::new();
    match element {
        DataType::Boolean => {
            let count = u32::try_from(list.len()).map_err(|_| OUT_OF_RANGE)?;
            out.extend_from_slice(&count.to_le_bytes());
            for eight in list.chunks(8) {
                let mut bits = 0_u8;
                for (at, it) in eight.iter().enumerate() {
                    bits |= u8::from(truth(it)?) << (7 - at);
                }
                out.push(bits);
            }
        }
        DataType::String => {
            for it in list {
                let it = text(it)?;
                if it.contains('\0') {
                    return Err("a text of an array cannot hold a zero byte");
                }
                out.extend_from_slice(it.as_bytes());
                out.push(0);
            }
        }
        DataType::Float => {
            for it in list {
                out.extend_from_slice(&narrow(fraction(it)?)?.to_le_bytes());
            }
        }
        DataType::Double => {
            for it in list {
                out.extend_from_slice(&fraction(it)?.to_le_bytes());
            }
        }
        element => {
            let width = element.width().ok_or(NO_NUMBER)?;
            for it in list {
                let bytes = whole(element, it)?.to_le_bytes();
                out.extend_from_slice(bytes.get(..width).unwrap_or_default());
            }
        }
    }
    Ok(out)
}

/// The value of an attribute as JSON has it.
fn parsed(value: &Value) -> Json {
    let mut text = String::new();
    write_value(&mut text, value.borrowed());
    serde_json::from_str(&text).unwrap_or(Json::Null)
}

fn stamp(now: Timestamp) -> Option<u64> {
    u64::try_from(now.ms()).ok()
}

fn sent(method: &str) -> String {
    answer(&format!("Success: {method}"), None)
}

/// SP-091, SP-092, with the blank that ThingsBoard begins the second one with.
fn no_such_metric(whom: Option<&str>, method: &str, name: &str) -> String {
    let (blank, to, this) = match whom {
        None => ("", "Node", "node"),
        Some(_) => (" ", "Device", "device"),
    };
    let error = format!(
        "{blank}Failed send To {to} Rpc Request: {method}. This {this} does not have a metricName: [{name}]"
    );
    answer("BAD_REQUEST_PARAMS", Some(&error))
}

/// SP-093, SP-098
fn invalid(call: &Call) -> String {
    let error =
        format!("Failed to convert device RPC command to MQTT msg: {}{}", call.method, call.params);
    answer("INVALID_ARGUMENTS", Some(&error))
}

fn answer(result: &str, error: Option<&str>) -> String {
    let mut out = "{\"result\":".to_owned();
    write_string(&mut out, result);
    if let Some(error) = error {
        out.push_str(",\"error\":");
        write_string(&mut out, error);
    }
    out.push('}');
    out
}

/// The metric by which an edge node is asked for its births.
pub(super) const REBIRTH: &str = "Node Control/Rebirth";
/// What begins like this goes by name, never by alias.
const CONTROL: &str = "Node Control/";
const NO_NUMBER: &str = "the metric takes a number";
const NO_LIST: &str = "the metric takes a list";
const OUT_OF_RANGE: &str = "the value is out of the range of the metric's type";
