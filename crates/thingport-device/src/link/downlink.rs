//! What a device is told, as topic and payload (device API 3.1, 4.6, 4.7, 6, 7.3).

use core::fmt::Write as _;

use thingport_model::attribute::Attribute;
use thingport_model::downlink::{ClientAnswer, Downlink, FoundAttributes, SessionLimits};
use thingport_model::limit::{LimitKind, RateLimit};
use thingport_model::ota::PackageKind;
use thingport_model::reason::Reason;
use thingport_model::rpc::{Call, ReplyTo};

use super::Link;
use crate::dialect::{BodyForm, Protobuf};
use crate::payload::protobuf::{SchemaKind, fixed, rpc};
use crate::payload::write::{write_string, write_value};
use crate::payload::{cbor, messagepack};
use crate::reject::Reject;
use crate::topic::Family;

/// A message for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication<'a> {
    /// Where.
    pub topic: &'a str,
    /// What.
    pub payload: &'a [u8],
}

/// Room to write one message after the other. Keeps its buffers, unless one has grown large.
#[derive(Debug, Default)]
pub struct Page {
    topic: String,
    body: String,
    /// The body, when it is no text.
    bytes: Vec<u8>,
    is_text: bool,
}

impl Link {
    /// How the device is told something; none when it did not subscribe to it, or when it is nothing to
    /// be told but something to be done. Parts of packages are not copied.
    ///
    /// # Errors
    /// `SchemaMissing` or `DownlinkFormat`: it cannot be written in the form that this device wants
    /// (RP-060).
    pub fn downlink<'a>(
        &self,
        downlink: &'a Downlink,
        page: &'a mut Page,
    ) -> Result<Option<Publication<'a>>, Reject> {
        page.clear();
        match downlink {
            Downlink::Close(_) => return Ok(None),
            Downlink::AttributesSet(attributes) => {
                let Some(family) = self.attribute_updates else { return Ok(None) };
                let form = self.begin_update(family, page);
                let json = |json: &mut String| write_attributes(json, attributes);
                page.fill(form, json, |_| Ok(fixed::attributes_set(attributes)))?;
            }
            Downlink::AttributesDeleted(keys) => {
                let Some(family) = self.attribute_updates else { return Ok(None) };
                let form = self.begin_update(family, page);
                let json = |json: &mut String| write_deleted(json, keys);
                page.fill(form, json, |_| Ok(fixed::attributes_deleted(keys)))?;
            }
            Downlink::AttributesAnswer { reply_to, found } => {
                let form = self.begin_answer(*reply_to, Family::attribute_answers, page);
                let json = |json: &mut String| write_found(json, found);
                page.fill(form, json, |_| Ok(fixed::attributes_found(reply_to.id, found)))?;
            }
            Downlink::Call { call, .. } => {
                let Some(family) = self.rpc_requests else { return Ok(None) };
                let form = self.dialect.down(family);
                page.begin(format_args!("{}{}", family.calls(), call.id));
                let json = |json: &mut String| write_call(json, call);
                page.fill(form, json, |schemas| {
                    rpc::write(schemas.ok_or_else(no_schema)?.schema(SchemaKind::RpcRequest)?, call)
                })?;
            }
            Downlink::ClientAnswer { reply_to, answer } => {
                let form = self.begin_answer(*reply_to, Family::client_answers, page);
                let json = |json: &mut String| write_client_answer(json, answer);
                page.fill(form, json, |_| Ok(client_answer(reply_to.id, answer)))?;
            }
            Downlink::PackageChunk { kind, request, chunk, bytes } => {
                let kind = kind.prefix();
                page.begin(format_args!("v2/{kind}/response/{request}/chunk/{chunk}"));
                return Ok(Some(Publication { topic: &page.topic, payload: bytes }));
            }
            Downlink::PackageError { kind, error } => {
                // The topic of firmware for software too, as devices expect it (OT-018).
                let expected = PackageKind::Firmware;
                let kind = if self.tells_software_errors_apart { *kind } else { expected };
                page.begin(format_args!("v2/{}/error", kind.prefix()));
                page.body.push_str(error.name());
            }
        }
        Ok(Some(page.publication()))
    }

    /// Changes of attributes go where the latest subscription wants them (LS-089).
    fn begin_update(&self, family: Family, page: &mut Page) -> BodyForm<'_> {
        let own = self.own_topic.as_ref().map(|it| it.as_str());
        page.topic.push_str(own.unwrap_or_else(|| family.attribute_updates()));
        self.dialect.down(family)
    }

    /// Answers go where their question came from, whatever was asked since (TP-009).
    fn begin_answer(
        &self,
        reply_to: ReplyTo,
        topic: fn(Family) -> &'static str,
        page: &mut Page,
    ) -> BodyForm<'_> {
        let family = Family::ALL.get(usize::from(reply_to.way)).copied().unwrap_or(Family::V1);
        page.begin(format_args!("{}{}", topic(family), reply_to.id));
        self.dialect.down(family)
    }
}

impl Page {
    pub(super) fn clear(&mut self) {
        self.topic.clear();
        self.body.clear();
        self.body.shrink_to(KEPT_MAX);
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_MAX);
        self.is_text = true;
    }

    /// Writes a body in the form that is wanted; the compact forms say what JSON would say.
    pub(super) fn fill(
        &mut self,
        form: BodyForm<'_>,
        json: impl FnOnce(&mut String),
        protobuf: impl FnOnce(Option<&Protobuf>) -> Result<Vec<u8>, Reject>,
    ) -> Result<(), Reject> {
        self.is_text = matches!(form, BodyForm::Json);
        let write = match form {
            BodyForm::Protobuf(schemas) => {
                self.bytes = protobuf(schemas)?;
                return Ok(());
            }
            BodyForm::Either(schemas) => {
                self.bytes = protobuf(Some(schemas))?;
                return Ok(());
            }
            BodyForm::Json => {
                json(&mut self.body);
                return Ok(());
            }
            BodyForm::Cbor => cbor::from_json,
            BodyForm::MessagePack => messagepack::from_json,
        };
        json(&mut self.body);
        let value = serde_json::from_str(&self.body)
            .map_err(|error| Reject::new(Reason::DownlinkFormat, error.to_string()))?;
        write(&value, &mut self.bytes);
        Ok(())
    }

    pub(super) fn publication(&self) -> Publication<'_> {
        let payload = if self.is_text { self.body.as_bytes() } else { &self.bytes };
        Publication { topic: &self.topic, payload }
    }

    pub(super) fn begin(&mut self, topic: core::fmt::Arguments<'_>) {
        write(&mut self.topic, topic);
    }
}

/// What a device is told that asked over HTTP, where no topic says what it is about (REST API section 16);
/// none for what is told over MQTT alone.
#[must_use]
pub fn body_for_http(downlink: &Downlink) -> Option<String> {
    let mut out = String::new();
    match downlink {
        Downlink::AttributesSet(attributes) => write_attributes(&mut out, attributes),
        Downlink::AttributesDeleted(keys) => write_deleted(&mut out, keys),
        Downlink::AttributesAnswer { found, .. } => write_found(&mut out, found),
        Downlink::Call { call, .. } => {
            write(&mut out, format_args!("{{\"id\":{},", call.id));
            write_call_members(&mut out, call);
        }
        Downlink::ClientAnswer { answer, .. } => write_client_answer(&mut out, answer),
        Downlink::Close(_) | Downlink::PackageChunk { .. } | Downlink::PackageError { .. } => {
            return None;
        }
    }
    Some(out)
}

/// The answer to a client call in Protobuf: JSON text, or an error in words (CR-009, CR-026).
fn client_answer(id: u32, answer: &ClientAnswer) -> Vec<u8> {
    if let ClientAnswer::Error(words) = answer {
        return fixed::client_answer(id, "", words);
    }
    let mut text = String::new();
    write_client_answer(&mut text, answer);
    fixed::client_answer(id, &text, "")
}

#[cold]
fn no_schema() -> Reject {
    Reject::new(Reason::SchemaMissing, SchemaKind::RpcRequest.name())
}

/// JS-091
pub(super) fn write_attributes(out: &mut String, attributes: &[Attribute]) {
    let mut separator = '{';
    for attribute in attributes {
        out.push(separator);
        write_string(out, &attribute.key);
        out.push(':');
        write_value(out, attribute.value.borrowed());
        separator = ',';
    }
    out.push_str(if separator == '{' { "{}" } else { "}" });
}

/// JS-093
pub(super) fn write_deleted(out: &mut String, keys: &[String]) {
    out.push_str("{\"deleted\":");
    let mut separator = '[';
    for key in keys {
        out.push(separator);
        write_string(out, key);
        separator = ',';
    }
    out.push_str(if separator == '[' { "[]}" } else { "]}" });
}

/// A scope without hits is left out (JS-074).
fn write_found(out: &mut String, found: &FoundAttributes) {
    let mut separator = '{';
    for (name, attributes) in [("\"client\":", &found.client), ("\"shared\":", &found.shared)] {
        if !attributes.is_empty() {
            out.push(separator);
            out.push_str(name);
            write_attributes(out, attributes);
            separator = ',';
        }
    }
    out.push_str(if separator == '{' { "{}" } else { "}" });
}

/// Exactly two members in this order (RP-001).
pub(super) fn write_call(out: &mut String, call: &Call) {
    out.push('{');
    write_call_members(out, call);
}

fn write_call_members(out: &mut String, call: &Call) {
    out.push_str("\"method\":");
    write_string(out, &call.method);
    out.push_str(",\"params\":");
    out.push_str(&call.params);
    out.push('}');
}

fn write_client_answer(out: &mut String, answer: &ClientAnswer) {
    match answer {
        ClientAnswer::Json(text) => out.push_str(text),
        ClientAnswer::Error(words) => {
            out.push_str("{\"error\":");
            write_string(out, words);
            out.push('}');
        }
        ClientAnswer::Limits(limits) => write_limits(out, limits),
        ClientAnswer::Time(now) => write(out, format_args!("{{\"time\":{}}}", now.ms())),
    }
}

/// CR-022, CR-023
fn write_limits(out: &mut String, limits: &SessionLimits) {
    write(
        out,
        format_args!(
            "{{\"maxPayloadSize\":{},\"maxInflightMessages\":{},\"rateLimits\":",
            limits.max_payload_size, limits.max_inflight_messages
        ),
    );
    write_rates(out, &limits.rates);
    if let Some(rates) = &limits.gateway_rates {
        out.push_str(",\"gatewayRateLimits\":");
        write_rates(out, rates);
    }
    out.push('}');
}

/// A limit that is not configured is null (CR-024).
fn write_rates(out: &mut String, rates: &[RateLimit; LimitKind::ALL.len()]) {
    let mut separator = '{';
    for (kind, rate) in LimitKind::ALL.into_iter().zip(rates) {
        out.push(separator);
        out.push_str(match kind {
            LimitKind::Messages => "\"messages\":",
            LimitKind::TelemetryMessages => "\"telemetryMessages\":",
            LimitKind::TelemetryPoints => "\"telemetryDataPoints\":",
        });
        match rate.text() {
            Some(text) => write_string(out, text),
            None => out.push_str("null"),
        }
        separator = ',';
    }
    out.push('}');
}

pub(super) fn write(out: &mut String, text: core::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}

/// Most bytes of a body's buffer that are kept from one message to the next.
const KEPT_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
