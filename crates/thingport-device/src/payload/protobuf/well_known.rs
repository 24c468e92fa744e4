//! Types of `google.protobuf` that have a JSON form of their own: a `Timestamp` is a text such as
//! "2026-01-01T00:00:00Z", a `DoubleValue` a number, a `Struct` an object. They take the slow way.

use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use thingport_model::reason::Reason;

use super::wire::Part;
use crate::reject::Reject;

/// Whether a message is such a type.
pub(super) fn has_form_of_its_own(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf" && NAMES.contains(&message.name())
}

/// Appends the JSON of a message.
pub(super) fn write(
    descriptor: &MessageDescriptor,
    part: Part<'_>,
    text: &mut String,
) -> Result<(), Reject> {
    let fault = |why: String| {
        let name = descriptor.full_name();
        Reject::new(Reason::PayloadNotProtobuf, format!("a {name} cannot be read: {why}"))
    };
    let message = DynamicMessage::decode(descriptor.clone(), part.bytes())
        .map_err(|error| fault(error.to_string()))?;
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    message
        .serialize_with_options(&mut serializer, &options)
        .map_err(|error| fault(error.to_string()))?;
    text.push_str(str::from_utf8(&json).unwrap_or("null"));
    Ok(())
}

const NAMES: [&str; 16] = [
    "Any",
    "BoolValue",
    "BytesValue",
    "DoubleValue",
    "Duration",
    "FieldMask",
    "FloatValue",
    "Int32Value",
    "Int64Value",
    "ListValue",
    "StringValue",
    "Struct",
    "Timestamp",
    "UInt32Value",
    "UInt64Value",
    "Value",
];
