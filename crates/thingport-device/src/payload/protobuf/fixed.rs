//! The fixed messages: what devices ask, and are told, in Protobuf whatever their profile (5.4).
//!
//! What comes up is read from the wire without copying; what goes down is built and written.

use prost::Message;
use thingport_model::attribute::Attribute;
use thingport_model::downlink::FoundAttributes;
use thingport_model::uplink::{Claim, KeyList, WantedKeys};
use thingport_model::value::Value;

use super::wire::{Part, Wire, WireType};
use crate::reject::Reject;

/// Which attributes a device asks for: of the client scope, of the shared scope (PB-030).
pub(crate) fn attribute_request(
    payload: &[u8],
) -> Result<(WantedKeys<'_>, WantedKeys<'_>), Reject> {
    let [client, shared] = texts(Part::of(payload), [1, 2])?;
    let list = |text| {
        let named = KeyList(text);
        named.iter().next().map(|_| WantedKeys::Named(named))
    };
    Ok(match (list(client), list(shared)) {
        (None, None) => (WantedKeys::All, WantedKeys::All),
        (client, shared) => {
            (client.unwrap_or(WantedKeys::None), shared.unwrap_or(WantedKeys::None))
        }
    })
}

/// Method and parameters of a client call; the parameters are some text.
pub(crate) fn client_call(payload: &[u8]) -> Result<(&str, &str), Reject> {
    let [method, params] = texts(Part::of(payload), [1, 2])?;
    Ok((method, params))
}

/// A claim; an empty payload is one without secret (PB-034).
pub(crate) fn claim(payload: &[u8]) -> Result<Claim<'_>, Reject> {
    let part = Part::of(payload);
    let [secret] = texts(part, [1])?;
    let duration = number(part, 2)?;
    Ok(Claim { secret, duration_ms: u64::try_from(duration).ok().filter(|ms| *ms > 0) })
}

/// The texts with these numbers; of several the last counts, none is empty.
pub(super) fn texts<'a, const N: usize>(
    part: Part<'a>,
    numbers: [u32; N],
) -> Result<[&'a str; N], Reject> {
    let mut found = [""; N];
    let mut wire = Wire::new(part);
    while let Some(tag) = wire.tag()? {
        let raw = wire.value(tag)?;
        let wanted = numbers.iter().position(|number| WireType::Bytes.tag(*number) == tag);
        if let Some(place) = wanted.and_then(|at| found.get_mut(at)) {
            *place = part.sub(raw).text()?;
        }
    }
    Ok(found)
}

/// The number with this field number; 0 when there is none.
pub(super) fn number(part: Part<'_>, number: u32) -> Result<i64, Reject> {
    let mut found = 0;
    let mut wire = Wire::new(part);
    while let Some(tag) = wire.tag()? {
        let raw = wire.value(tag)?;
        if WireType::Varint.tag(number) == tag {
            found = raw.bits().cast_signed();
        }
    }
    Ok(found)
}

/// `AttributeUpdate` with what was set (PB-032).
pub(crate) fn attributes_set(attributes: &[Attribute]) -> Vec<u8> {
    AttributeUpdate { updated: list(attributes), deleted: Vec::new() }.encode_to_vec()
}

/// `AttributeUpdate` with what was deleted (PB-032).
pub(crate) fn attributes_deleted(keys: &[String]) -> Vec<u8> {
    AttributeUpdate { updated: Vec::new(), deleted: keys.to_vec() }.encode_to_vec()
}

/// `AttributesResponse` (PB-031).
pub(crate) fn attributes_found(id: u32, found: &FoundAttributes) -> Vec<u8> {
    let response = AttributesResponse {
        request_id: id.cast_signed(),
        client: list(&found.client),
        shared: list(&found.shared),
        multiple: found.client.len() + found.shared.len() > 1,
        error: String::new(),
        shared_state: false,
    };
    response.encode_to_vec()
}

/// `ClientRpcResponse` with JSON text, or an error in words (CR-009).
pub(crate) fn client_answer(id: u32, payload: &str, error: &str) -> Vec<u8> {
    let response = ClientRpcResponse {
        request_id: id.cast_signed(),
        payload: payload.to_owned(),
        error: error.to_owned(),
    };
    response.encode_to_vec()
}

pub(super) fn list(attributes: &[Attribute]) -> Vec<TsKv> {
    attributes.iter().map(TsKv::of).collect()
}

impl TsKv {
    /// An attribute and when it was last written.
    pub(crate) fn of(attribute: &Attribute) -> Self {
        let kv = KeyValue::of(&attribute.key, &attribute.value);
        Self { ts: attribute.updated_at.ms(), kv: Some(kv) }
    }
}

impl KeyValue {
    /// A key and its value.
    pub(crate) fn of(key: &str, value: &Value) -> Self {
        let mut it = Self { key: key.to_owned(), ..Self::default() };
        match value {
            Value::Bool(value) => (it.kind, it.bool_v) = (0, *value),
            Value::Long(value) => (it.kind, it.long_v) = (1, *value),
            Value::Double(value) => (it.kind, it.double_v) = (2, *value),
            Value::String(value) => (it.kind, it.string_v) = (3, value.clone()),
            Value::Json(value) => (it.kind, it.json_v) = (4, value.clone()),
        }
        it
    }
}

/// `KeyValue`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    /// 0 BOOL, 1 LONG, 2 DOUBLE, 3 STRING, 4 JSON: which of the following counts.
    #[prost(int32, tag = "2")]
    pub(crate) kind: i32,
    #[prost(bool, tag = "3")]
    pub(crate) bool_v: bool,
    #[prost(int64, tag = "4")]
    pub(crate) long_v: i64,
    #[prost(double, tag = "5")]
    pub(crate) double_v: f64,
    #[prost(string, tag = "6")]
    pub(crate) string_v: String,
    #[prost(string, tag = "7")]
    pub(crate) json_v: String,
}

/// `TsKv`; towards devices without its version.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TsKv {
    #[prost(int64, tag = "1")]
    pub(crate) ts: i64,
    #[prost(message, optional, tag = "2")]
    pub(crate) kv: Option<KeyValue>,
}

/// `AttributeUpdate`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AttributeUpdate {
    #[prost(message, repeated, tag = "1")]
    pub(crate) updated: Vec<TsKv>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) deleted: Vec<String>,
}

/// `AttributesResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AttributesResponse {
    #[prost(int32, tag = "1")]
    pub(crate) request_id: i32,
    #[prost(message, repeated, tag = "2")]
    pub(crate) client: Vec<TsKv>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) shared: Vec<TsKv>,
    #[prost(bool, tag = "4")]
    pub(crate) multiple: bool,
    #[prost(string, tag = "5")]
    pub(crate) error: String,
    #[prost(bool, tag = "6")]
    pub(crate) shared_state: bool,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct ClientRpcResponse {
    #[prost(int32, tag = "1")]
    request_id: i32,
    #[prost(string, tag = "2")]
    payload: String,
    #[prost(string, tag = "3")]
    error: String,
}
