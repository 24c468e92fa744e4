//! JSON that is stored and returned unchanged (G-24).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use thingport_model::tenant::OpaqueJson;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::Refusal;

/// One JSON document, kept as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opaque(OpaqueJson);

impl Opaque {
    /// The text of the document.
    pub(crate) fn into_text(self) -> OpaqueJson {
        self.0
    }

    /// The text of the document.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl From<OpaqueJson> for Opaque {
    fn from(text: OpaqueJson) -> Self {
        Self(text)
    }
}

/// A stored document, if there is one.
pub(crate) fn stored(text: Option<&OpaqueJson>) -> Option<Opaque> {
    text.cloned().map(Opaque)
}

/// The text to be stored, if there is one.
pub(crate) fn text(opaque: Option<Opaque>) -> Option<OpaqueJson> {
    opaque.map(Opaque::into_text)
}

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(<Box<RawValue>>::deserialize(deserializer)?.get().to_owned()))
    }
}

impl PartialSchema for Opaque {
    fn schema() -> RefOr<Schema> {
        utoipa::openapi::schema::empty().into()
    }
}

impl ToSchema for Opaque {
    fn name() -> std::borrow::Cow<'static, str> {
        "AnyJson".into()
    }
}

/// The text to be stored of a member that must be an object, if it is there at all.
pub(crate) fn object(opaque: Option<Opaque>) -> Result<Option<OpaqueJson>, Refusal> {
    match opaque {
        // A parsed document has no blanks in front.
        Some(it) if !it.0.starts_with('{') => {
            Err(Refusal::bad_request("additionalInfo must be a JSON object or null"))
        }
        other => Ok(text(other)),
    }
}
