//! The fixed messages of the gateway API (5.4): what a gateway says about its devices and is told of them.
//!
//! What comes up is read from the wire without building anything in between.

use prost::Message;
use thingport_model::attribute::Attribute;
use thingport_model::child::{ChildBatch, ChildSaid, ChildUplink, Unread};
use thingport_model::downlink::FoundAttributes;
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::rpc::Call;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use super::fixed::{AttributeUpdate, AttributesResponse, list, number, texts};
use super::wire::{Part, Raw, Wire, WireType};
use crate::payload::Typing;
use crate::payload::json::question;
use crate::payload::sink::{Plain, Sink};
use crate::reject::Reject;

/// What the parts of a message are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// `GwTelemetry`
    Telemetry,
    /// `GwAttributes`
    Attributes,
    /// `GwClaim`
    Claims,
}

/// `GwConnect`, `GwDisconnect`: a device that has come or gone.
pub(crate) fn itself(
    payload: &[u8],
    said: ChildUplink,
    batch: &mut ChildBatch,
) -> Result<(), Reject> {
    let [name, kind] = texts(Part::of(payload), [1, 2])?;
    let kind = (!kind.is_empty()).then(|| kind.into());
    batch.said.push(ChildSaid { name: named(name)?, kind, said: Ok(said) });
    Ok(())
}

/// `GwRpcResponse`: a device's answer to a call (GW-058).
pub(crate) fn answer(payload: &[u8], batch: &mut ChildBatch) -> Result<(), Reject> {
    let part = Part::of(payload);
    let [name, body] = texts(part, [1, 3])?;
    let id = u32::try_from(number(part, 2)?).unwrap_or(u32::MAX);
    let said = ChildUplink::CallAnswer { id, body: body.to_owned() };
    batch.said.push(ChildSaid { name: named(name)?, kind: None, said: Ok(said) });
    Ok(())
}

/// `GwAttributesRequest`: a question for a device's attributes (GW-051).
pub(crate) fn asked(payload: &[u8], batch: &mut ChildBatch) -> Result<(), Reject> {
    let part = Part::of(payload);
    let [name] = texts(part, [2])?;
    let (id, is_client) = (number(part, 1)?, number(part, 3)? != 0);
    let mut keys = Vec::new();
    fields(part, |tag, value| {
        if tag == WireType::Bytes.tag(4) {
            keys.push(part.sub(value).text()?.to_owned());
        }
        Ok(())
    })?;
    // An int32 is sign-extended on the wire; its low half is it.
    #[allow(clippy::cast_possible_truncation)]
    let said = question(id as u32, is_client, keys);
    batch.said.push(ChildSaid { name: named(name)?, kind: None, said: Ok(said) });
    Ok(())
}

/// `GwTelemetry`, `GwAttributes` and `GwClaim`: parts of devices, by name.
pub(crate) fn parts(
    payload: &[u8],
    of: Of,
    (now, typing): (Timestamp, &Typing),
    batch: &mut ChildBatch,
) -> Result<(), Reject> {
    let whole = Part::of(payload);
    let body = if of == Of::Telemetry { 3 } else { 2 };
    fields(whole, |tag, value| {
        if tag != WireType::Bytes.tag(1) {
            return Ok(());
        }
        let part = whole.sub(value);
        let (mut name, mut inner) = ("", None);
        fields(part, |tag, value| {
            if tag == WireType::Bytes.tag(1) {
                name = part.sub(value).text()?;
            } else if tag == WireType::Bytes.tag(body) {
                inner = Some(part.sub(value));
            }
            Ok(())
        })?;
        let inner = inner.unwrap_or(Part::of(&[]));
        let said = read(inner, of, (now, typing))?;
        batch.said.push(ChildSaid { name: name.into(), kind: None, said });
        Ok(())
    })?;
    if batch.said.is_empty() {
        // GW-040
        return Err(Reject::new(Reason::PayloadNotProtobuf, "the message has no parts"));
    }
    Ok(())
}

/// One device's part: what is wrong with its values is its own affair, what is no Protobuf everybody's.
fn read(
    part: Part<'_>,
    of: Of,
    (now, typing): (Timestamp, &Typing),
) -> Result<Result<ChildUplink, Unread>, Reject> {
    let mut out = Readings::default();
    let mut plain = Plain::default();
    plain.begin();
    let read = match of {
        Of::Claims => {
            let [secret] = texts(part, [1])?;
            let duration_ms = u64::try_from(number(part, 2)?).ok().filter(|ms| *ms > 0);
            return Ok(Ok(ChildUplink::Claim { secret: secret.to_owned(), duration_ms }));
        }
        Of::Attributes => {
            let mut sink = Sink { at: now, typing, plain: &mut plain, out: &mut out };
            // Whether they are shared attributes does not count: devices do not write those (GW-039).
            key_values(part, 1, &mut sink)
        }
        Of::Telemetry => fields(part, |tag, value| {
            if tag != WireType::Bytes.tag(1) {
                return Ok(());
            }
            let list = part.sub(value);
            // GW-040
            let at = Some(number(list, 1)?).filter(|ms| *ms != 0).map_or(now, Timestamp);
            let mut sink = Sink { at, typing, plain: &mut plain, out: &mut out };
            key_values(list, 2, &mut sink)
        }),
    };
    let read = read.and_then(|()| {
        // PB-036
        let is_empty = out.is_empty();
        let empty = || Reject::new(Reason::PayloadShape, "there is no value");
        if is_empty { Err(empty()) } else { Ok(()) }
    });
    match read {
        Ok(()) if of == Of::Telemetry => Ok(Ok(ChildUplink::Telemetry(out))),
        Ok(()) => Ok(Ok(ChildUplink::Attributes(out))),
        Err(reject) if reject.reason == Reason::PayloadNotProtobuf => Err(reject),
        Err(Reject { reason, detail }) => Ok(Err(Unread { reason, detail })),
    }
}

/// The values of a repeated `KeyValue` (PB-036).
fn key_values(part: Part<'_>, field: u32, sink: &mut Sink<'_>) -> Result<(), Reject> {
    fields(part, |tag, value| {
        if tag == WireType::Bytes.tag(field) { key_value(part.sub(value), sink) } else { Ok(()) }
    })
}

fn key_value(part: Part<'_>, sink: &mut Sink<'_>) -> Result<(), Reject> {
    let [key, string, json] = texts(part, [1, 6, 7])?;
    let mut double = 0.0;
    fields(part, |tag, value| {
        if tag == WireType::Fixed64.tag(5) {
            double = f64::from_bits(value.bits());
        }
        Ok(())
    })?;
    match number(part, 2)? {
        0 => sink.put(key, ValueRef::Bool(number(part, 3)? != 0)),
        1 => sink.put(key, ValueRef::Long(number(part, 4)?)),
        2 => sink.double(key, double),
        3 => sink.put(key, ValueRef::String(string)),
        4 => match serde_json::from_str::<serde_json::Value>(json) {
            Ok(value) => sink.put(key, ValueRef::Json(&value.to_string())),
            Err(error) => Err(Reject::new(Reason::PayloadShape, error.to_string())),
        },
        _ => Err(Reject::new(Reason::PayloadShape, "a value of a kind that does not exist")),
    }
}

/// Reads the fields of a part one after the other.
fn fields(
    part: Part<'_>,
    mut field: impl FnMut(u32, Raw) -> Result<(), Reject>,
) -> Result<(), Reject> {
    let mut wire = Wire::new(part);
    while let Some(tag) = wire.tag()? {
        let value = wire.value(tag)?;
        field(tag, value)?;
    }
    Ok(())
}

/// GW-015: an empty name is one that is not there.
fn named(name: &str) -> Result<Box<str>, Reject> {
    if name.is_empty() {
        return Err(Reject::new(Reason::PayloadNotProtobuf, "the device's name is missing"));
    }
    Ok(name.into())
}

/// `GwAttributeUpdate` with what was set.
pub(crate) fn attributes_set(child: &str, attributes: &[Attribute]) -> Vec<u8> {
    update(child, AttributeUpdate { updated: list(attributes), deleted: Vec::new() })
}

/// `GwAttributeUpdate` with what was deleted.
pub(crate) fn attributes_deleted(child: &str, keys: &[String]) -> Vec<u8> {
    update(child, AttributeUpdate { updated: Vec::new(), deleted: keys.to_vec() })
}

fn update(child: &str, update: AttributeUpdate) -> Vec<u8> {
    GwAttributeUpdate { device: child.to_owned(), update: Some(update) }.encode_to_vec()
}

/// `GwAttributesResponse`
pub(crate) fn attributes_found(
    child: &str,
    id: u32,
    is_one: bool,
    found: &FoundAttributes,
) -> Vec<u8> {
    let response = AttributesResponse {
        request_id: id.cast_signed(),
        client: list(&found.client),
        shared: list(&found.shared),
        multiple: !is_one,
        error: String::new(),
        shared_state: false,
    };
    GwAttributesResponse { device: child.to_owned(), response: Some(response) }.encode_to_vec()
}

/// `GwRpcRequest` with the fixed `RpcRequest` (GW-058).
pub(crate) fn call(child: &str, call: &Call) -> Vec<u8> {
    let rpc = RpcRequest {
        request_id: call.id.cast_signed(),
        method: call.method.clone(),
        params: call.params.clone(),
    };
    GwRpcRequest { device: child.to_owned(), rpc: Some(rpc) }.encode_to_vec()
}

/// That something said of a device was refused (GW-080).
pub(crate) fn refused(child: &str, reason: i32) -> Vec<u8> {
    GwRefused { device: child.to_owned(), reason }.encode_to_vec()
}

#[derive(Clone, PartialEq, Message)]
struct GwRefused {
    #[prost(string, tag = "1")]
    device: String,
    #[prost(int32, tag = "2")]
    reason: i32,
}

#[derive(Clone, PartialEq, Message)]
struct GwAttributeUpdate {
    #[prost(string, tag = "1")]
    device: String,
    #[prost(message, optional, tag = "2")]
    update: Option<AttributeUpdate>,
}

#[derive(Clone, PartialEq, Message)]
struct GwAttributesResponse {
    #[prost(string, tag = "1")]
    device: String,
    #[prost(message, optional, tag = "2")]
    response: Option<AttributesResponse>,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct RpcRequest {
    #[prost(int32, tag = "1")]
    request_id: i32,
    #[prost(string, tag = "2")]
    method: String,
    #[prost(string, tag = "3")]
    params: String,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct GwRpcRequest {
    #[prost(string, tag = "1")]
    device: String,
    #[prost(message, optional, tag = "2")]
    rpc: Option<RpcRequest>,
}
