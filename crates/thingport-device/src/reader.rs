//! Reads bodies of every form a profile may ask for, and says the same of each.

use thingport_model::child::{ChildBatch, ChildUplink};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::uplink::Claim;

use crate::dialect::{BodyForm, Protobuf};
use crate::payload::json::{Asked, Decoder, Part, Wanted};
use crate::payload::protobuf::gateway::{self, Of};
use crate::payload::protobuf::{Schema, SchemaKind, Walk, fixed};
use crate::payload::{Typing, cbor, messagepack};
use crate::reject::Reject;
use crate::topic::Gateway;

/// Reads bodies. Owned by one thread and used for one payload after the other; what it keeps in
/// between is memory, a small multiple of the largest payload so far.
#[derive(Debug, Default)]
pub struct Reader {
    json: Decoder,
    walk: Walk,
    /// What a body of a compact form says, as JSON.
    text: String,
    /// What the last message about children said.
    children: ChildBatch,
}

/// One body, how it is read, and what becomes of its values.
#[derive(Clone, Copy)]
pub(crate) struct Body<'b> {
    pub(crate) form: BodyForm<'b>,
    pub(crate) payload: &'b [u8],
    pub(crate) now: Timestamp,
    pub(crate) typing: &'b Typing,
}

/// Where a body is to be had.
enum Place<'p, 'd> {
    /// As JSON.
    Json(&'p [u8]),
    /// As Protobuf.
    Protobuf(Option<&'d Protobuf>),
    /// As Protobuf, and if it is none as JSON.
    Either(&'d Protobuf),
}

impl Reader {
    /// A reader that has not grown any buffer yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills `out` with the readings of a telemetry body.
    #[inline]
    pub(crate) fn telemetry(&mut self, body: Body<'_>, out: &mut Readings) -> Result<(), Reject> {
        let Body { form, payload, now, typing } = body;
        if let BodyForm::Json = form {
            return self.json.telemetry(payload, now, typing, out);
        }
        let Self { json, walk, text, .. } = self;
        match place(form, payload, text)? {
            Place::Json(body) => json.telemetry(body, now, typing, out),
            Place::Protobuf(it) => {
                walk.telemetry(schema(it, SchemaKind::Telemetry)?, payload, now, typing, out)
            }
            Place::Either(it) => {
                let schema = it.schema(SchemaKind::Telemetry)?;
                walk.telemetry(schema, payload, now, typing, out).or_else(|first| {
                    json.telemetry(payload, now, typing, out).map_err(|it| either(first, it))
                })
            }
        }
    }

    /// Fills `out` with the attributes of a body.
    pub(crate) fn attributes(&mut self, body: Body<'_>, out: &mut Readings) -> Result<(), Reject> {
        let Body { form, payload, now, typing } = body;
        let Self { json, walk, text, .. } = self;
        match place(form, payload, text)? {
            Place::Json(body) => json.attributes(body, now, typing, out),
            Place::Protobuf(it) => {
                walk.attributes(schema(it, SchemaKind::Attributes)?, payload, now, typing, out)
            }
            Place::Either(it) => {
                let schema = it.schema(SchemaKind::Attributes)?;
                walk.attributes(schema, payload, now, typing, out).or_else(|first| {
                    json.attributes(payload, now, typing, out).map_err(|it| either(first, it))
                })
            }
        }
    }

    /// Which attributes a device asks for.
    pub(crate) fn attribute_request<'a>(
        &'a mut self,
        form: BodyForm<'_>,
        payload: &'a [u8],
    ) -> Result<Wanted<'a>, Reject> {
        let Self { json, text, .. } = self;
        match place(form, payload, text)? {
            Place::Json(body) => json.attribute_request(body),
            Place::Protobuf(_) => fixed::attribute_request(payload),
            Place::Either(_) => match fixed::attribute_request(payload) {
                Ok(wanted) => Ok(wanted),
                Err(first) => json.attribute_request(payload).map_err(|it| either(first, it)),
            },
        }
    }

    /// What a device asks the server; its parameters as JSON.
    pub(crate) fn client_call<'a>(
        &'a mut self,
        form: BodyForm<'_>,
        payload: &'a [u8],
    ) -> Result<Asked<'a>, Reject> {
        let Self { json, text, .. } = self;
        match place(form, payload, text)? {
            Place::Json(body) => json.client_call(body),
            Place::Protobuf(_) => asked(fixed::client_call(payload)?, json),
            Place::Either(_) => match fixed::client_call(payload) {
                Ok(found) => asked(found, json),
                Err(first) => json.client_call(payload).map_err(|it| either(first, it)),
            },
        }
    }

    /// What a device answers to a call, as text: JSON, unless a JSON body was none (RP-006, PB-023).
    pub(crate) fn call_answer<'a>(
        &'a mut self,
        form: BodyForm<'_>,
        payload: &'a [u8],
    ) -> Result<&'a str, Reject> {
        let Self { json, walk, text, .. } = self;
        match form {
            BodyForm::Json => Ok(json.text(payload)),
            BodyForm::Protobuf(it) => walk.text(schema(it, SchemaKind::RpcResponse)?, payload),
            BodyForm::Either(it) => match walk.text(it.schema(SchemaKind::RpcResponse)?, payload) {
                Ok(text) => Ok(text),
                Err(_) => Ok(json.text(payload)),
            },
            BodyForm::Cbor | BodyForm::MessagePack => {
                place(form, payload, text)?;
                Ok(text)
            }
        }
    }

    /// What a gateway says about its devices (device API section 8).
    pub(crate) fn gateway(
        &mut self,
        topic: Gateway,
        body: Body<'_>,
    ) -> Result<&ChildBatch, Reject> {
        let Body { form, payload, now, typing } = body;
        self.children = ChildBatch::default();
        let Self { json, text, children, .. } = self;
        let by = (now, typing);
        match (place(form, payload, text)?, topic) {
            (Place::Json(body), topic) => match topic {
                Gateway::Connect => json.child_itself(body, ChildUplink::Connected, children),
                Gateway::Disconnect => json.child_itself(body, ChildUplink::Disconnected, children),
                Gateway::Telemetry => json.of_children(body, Part::Telemetry, by, children),
                Gateway::Attributes => json.of_children(body, Part::Attributes, by, children),
                Gateway::AttributesRequest => json.child_question(body, children),
                Gateway::Rpc => json.child_answer(body, children),
                Gateway::Claim => json.child_claims(body, children),
                Gateway::Unknown => Err(Reject::new(Reason::TopicUnknown, "")),
            },
            // There is no second try as JSON (GW-003).
            (Place::Protobuf(_) | Place::Either(_), topic) => match topic {
                Gateway::Connect => gateway::itself(payload, ChildUplink::Connected, children),
                Gateway::Disconnect => {
                    gateway::itself(payload, ChildUplink::Disconnected, children)
                }
                Gateway::Telemetry => gateway::parts(payload, Of::Telemetry, by, children),
                Gateway::Attributes => gateway::parts(payload, Of::Attributes, by, children),
                Gateway::AttributesRequest => gateway::asked(payload, children),
                Gateway::Rpc => gateway::answer(payload, children),
                Gateway::Claim => gateway::parts(payload, Of::Claims, by, children),
                Gateway::Unknown => Err(Reject::new(Reason::TopicUnknown, "")),
            },
        }?;
        Ok(children)
    }

    /// What [`Uplink::Children`](thingport_model::uplink::Uplink::Children) pointed to, to be kept.
    pub fn take_children(&mut self) -> ChildBatch {
        core::mem::take(&mut self.children)
    }

    /// A claim.
    pub(crate) fn claim<'a>(
        &'a mut self,
        form: BodyForm<'_>,
        payload: &'a [u8],
    ) -> Result<Claim<'a>, Reject> {
        if payload.is_empty() {
            return Ok(Claim { secret: "", duration_ms: None });
        }
        let Self { json, text, .. } = self;
        match place(form, payload, text)? {
            Place::Json(body) => json.claim(body),
            Place::Protobuf(_) => fixed::claim(payload),
            Place::Either(_) => match fixed::claim(payload) {
                Ok(claim) => Ok(claim),
                Err(first) => json.claim(payload).map_err(|it| either(first, it)),
            },
        }
    }
}

/// Where a body is to be had; bodies of compact forms are written as JSON into `text`.
fn place<'p, 'd>(
    form: BodyForm<'d>,
    payload: &'p [u8],
    text: &'p mut String,
) -> Result<Place<'p, 'd>, Reject> {
    text.shrink_to(KEPT_MAX);
    match form {
        BodyForm::Json => return Ok(Place::Json(payload)),
        BodyForm::Protobuf(it) => return Ok(Place::Protobuf(it)),
        BodyForm::Either(it) => return Ok(Place::Either(it)),
        BodyForm::Cbor => cbor::to_json(payload, text)?,
        BodyForm::MessagePack => messagepack::to_json(payload, text)?,
    }
    Ok(Place::Json(text.as_bytes()))
}

/// The schema of a profile that may have none (PB-018).
fn schema(protobuf: Option<&Protobuf>, kind: SchemaKind) -> Result<&Schema, Reject> {
    protobuf
        .map_or_else(|| Err(Reject::new(Reason::SchemaMissing, kind.name())), |it| it.schema(kind))
}

/// Which of two complaints to tell: what looks like JSON was meant to be JSON.
#[cold]
fn either(protobuf: Reject, json: Reject) -> Reject {
    // JSON that is not even text with structure was none.
    if json.reason == Reason::PayloadNotJson { protobuf } else { json }
}

/// A client call whose parameters are to be JSON or base64 (PB-033).
fn asked<'a>(
    (method, params): (&'a str, &'a str),
    json: &'a mut Decoder,
) -> Result<Asked<'a>, Reject> {
    if method.is_empty() {
        return Err(Reject::new(Reason::PayloadShape, "the member method is missing"));
    }
    Ok((method, json.params(params)?))
}

/// Most bytes of text that are kept from one payload to the next.
const KEPT_MAX: usize = 64 * 1024;
