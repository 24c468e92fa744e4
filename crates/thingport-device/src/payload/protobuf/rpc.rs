//! Calls to a device as messages of the profile's request schema (PB-020 to PB-022).

use prost_reflect::prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Number, Value};
use thingport_model::reason::Reason;
use thingport_model::rpc::Call;

use super::schema::Schema;
use crate::reject::{Reject, quoted};

/// A call as a message of the request schema. What the schema does not know is left out (PB-020).
///
/// # Errors
/// `DownlinkFormat` when a value does not fit its field (PB-021, RP-060).
pub(crate) fn write(schema: &Schema, call: &Call) -> Result<Vec<u8>, Reject> {
    let params = serde_json::from_str(&call.params).map_err(|error| unfit(&error.to_string()))?;
    let members = [
        ("method".to_owned(), Value::String(call.method.clone())),
        ("requestId".to_owned(), Value::from(call.id)),
        ("params".to_owned(), params),
    ];
    let mut value = Value::Object(Map::from_iter(members));
    prepare_message(schema.root(), &mut value, 0)?;
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(schema.root().clone(), &value, &options)
        .map_err(|error| unfit(&error.to_string()))?;
    Ok(message.encode_to_vec())
}

/// Gives values the forms that the reader of JSON wants: texts for texts, numbers without trailing
/// zeros. ThingsBoard takes numbers and booleans for texts too (PB-022).
fn prepare_message(
    descriptor: &MessageDescriptor,
    value: &mut Value,
    depth: usize,
) -> Result<(), Reject> {
    if depth > DEPTH_MAX {
        return Err(unfit("more than 16 messages in each other"));
    }
    let Value::Object(members) = value else {
        // A type with a form of its own, or an error that its reader explains.
        plain_numbers(value);
        return Ok(());
    };
    for (name, member) in members.iter_mut() {
        let field = descriptor.get_field_by_json_name(name);
        match field.or_else(|| descriptor.get_field_by_name(name)) {
            Some(field) => prepare_field(&field, member, depth)?,
            None => plain_numbers(member),
        }
    }
    Ok(())
}

fn prepare_field(field: &FieldDescriptor, value: &mut Value, depth: usize) -> Result<(), Reject> {
    let kind = field.kind();
    match value {
        Value::Array(elements) if field.is_list() => {
            elements.iter_mut().try_for_each(|it| prepare(&kind, field.name(), it, depth))
        }
        Value::Object(members) if field.is_map() => {
            let Kind::Message(entry) = kind else { return Ok(()) };
            let kind = entry.map_entry_value_field().kind();
            members.values_mut().try_for_each(|it| prepare(&kind, field.name(), it, depth))
        }
        _ => prepare(&kind, field.name(), value, depth),
    }
}

fn prepare(kind: &Kind, name: &str, value: &mut Value, depth: usize) -> Result<(), Reject> {
    match (kind, &mut *value) {
        (Kind::Message(descriptor), _) => return prepare_message(descriptor, value, depth + 1),
        (Kind::String, Value::Number(number)) => *value = Value::String(number.to_string()),
        (Kind::String, Value::Bool(it)) => *value = Value::String(it.to_string()),
        (Kind::String, Value::Object(_) | Value::Array(_)) => {
            let what = format!("the field {} takes a text, not an object or a list", quoted(name));
            return Err(unfit(&what));
        }
        _ => plain_numbers(value),
    }
    Ok(())
}

/// Numbers as they print: `1.50` would not be taken for one.
fn plain_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let is_whole = number.is_i64() || number.is_u64();
            let double = number.as_f64().filter(|_| !is_whole);
            if let Some(plain) = double.and_then(Number::from_f64) {
                *number = plain;
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(plain_numbers),
        Value::Object(members) => members.values_mut().for_each(plain_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn unfit(what: &str) -> Reject {
    let short: String = what.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    Reject::new(Reason::DownlinkFormat, short)
}

/// Deepest nesting of messages.
const DEPTH_MAX: usize = 16;
/// Most characters of a reader's words that a detail repeats.
const SHOWN_MAX: usize = 100;
