//! What a gateway is told of its devices, as topic and payload (device API 8.5, 8.6).

use thingport_model::attribute::Attribute;
use thingport_model::downlink::{Downlink, FoundAttributes};
use thingport_model::rpc::Call;

use super::Link;
use super::downlink::{Page, Publication, write, write_attributes, write_call, write_deleted};
use crate::dialect::BodyForm;
use crate::payload::json::way;
use crate::payload::protobuf::gateway as protobuf;
use crate::payload::write::{write_string, write_value};
use crate::reject::Reject;
use crate::topic::{
    Form, GATEWAY_ATTRIBUTES, GATEWAY_ATTRIBUTES_ANSWER, GATEWAY_DISCONNECT, GATEWAY_RPC,
};

impl Link {
    /// How the gateway is told something of the device that it knows by this name; none when there is no
    /// way to. Whether it subscribed does not matter (GW-006).
    ///
    /// # Errors
    /// `DownlinkFormat`: it cannot be written in the form of the gateway's profile.
    pub fn child_downlink<'a>(
        &self,
        child: &str,
        downlink: &'a Downlink,
        page: &'a mut Page,
    ) -> Result<Option<Publication<'a>>, Reject> {
        page.clear();
        // GW-003: one form, both ways; the flags for JSON beside Protobuf do not count.
        let form = match self.dialect.up(Form::Profile) {
            BodyForm::Either(schemas) => BodyForm::Protobuf(Some(schemas)),
            form => form,
        };
        match downlink {
            Downlink::AttributesSet(attributes) => {
                page.begin(format_args!("{GATEWAY_ATTRIBUTES}"));
                let json = |out: &mut String| {
                    write_wrapped(out, child, |out| write_attributes(out, attributes));
                };
                page.fill(form, json, |_| Ok(protobuf::attributes_set(child, attributes)))?;
            }
            Downlink::AttributesDeleted(keys) => {
                page.begin(format_args!("{GATEWAY_ATTRIBUTES}"));
                let json =
                    |out: &mut String| write_wrapped(out, child, |out| write_deleted(out, keys));
                page.fill(form, json, |_| Ok(protobuf::attributes_deleted(child, keys)))?;
            }
            Downlink::AttributesAnswer { reply_to, found } => {
                page.begin(format_args!("{GATEWAY_ATTRIBUTES_ANSWER}"));
                let is_one = reply_to.way == way::ONE;
                let json = |out: &mut String| write_answer(out, child, reply_to.id, is_one, found);
                page.fill(form, json, |_| {
                    Ok(protobuf::attributes_found(child, reply_to.id, is_one, found))
                })?;
            }
            Downlink::Call { call, expires_ms: _, token: _ } => {
                page.begin(format_args!("{GATEWAY_RPC}"));
                let json = |out: &mut String| {
                    write_wrapped(out, child, |out| write_numbered_call(out, call));
                };
                page.fill(form, json, |_| Ok(protobuf::call(child, call)))?;
            }
            Downlink::Close(_)
            | Downlink::ClientAnswer { .. }
            | Downlink::PackageChunk { .. }
            | Downlink::PackageError { .. } => return Ok(None),
        }
        Ok(Some(page.publication()))
    }
}

impl Link {
    /// Tells a gateway that something it said of this device was refused, where no acknowledgement can
    /// (GW-080). The device stays connected.
    pub fn child_refused<'a>(
        &self,
        child: &str,
        is_rate_limited: bool,
        page: &'a mut Page,
    ) -> Result<Publication<'a>, Reject> {
        page.clear();
        page.begin(format_args!("{GATEWAY_DISCONNECT}"));
        let reason = if is_rate_limited { RATE_LIMITED } else { REFUSED };
        let form = match self.dialect.up(Form::Profile) {
            BodyForm::Either(schemas) => BodyForm::Protobuf(Some(schemas)),
            form => form,
        };
        let json = |out: &mut String| {
            out.push_str("{\"device\":");
            write_string(out, child);
            write(out, format_args!(",\"reason\":{reason}}}"));
        };
        page.fill(form, json, |_| Ok(protobuf::refused(child, reason)))?;
        Ok(page.publication())
    }
}

/// Why something was refused, in the numbers that gateways know (GW-080): those of MQTT 5.
const RATE_LIMITED: i32 = 150;
const REFUSED: i32 = 128;

/// GW-046, GW-052
fn write_wrapped(out: &mut String, child: &str, data: impl FnOnce(&mut String)) {
    out.push_str("{\"device\":");
    write_string(out, child);
    out.push_str(",\"data\":");
    data(out);
    out.push('}');
}

/// GW-052
fn write_numbered_call(out: &mut String, call: &Call) {
    write(out, format_args!("{{\"id\":{},", call.id));
    let begun = out.len();
    write_call(out, call);
    // Its brace stands there already.
    out.remove(begun);
}

/// GW-043 to GW-045
fn write_answer(out: &mut String, child: &str, id: u32, is_one: bool, found: &FoundAttributes) {
    write(out, format_args!("{{\"id\":{},\"device\":", id.cast_signed()));
    write_string(out, child);
    let all: Vec<&Attribute> = found.client.iter().chain(&found.shared).collect();
    match (is_one, all.first()) {
        (true, None) => {}
        (true, Some(only)) => {
            out.push_str(",\"value\":");
            write_value(out, only.value.borrowed());
        }
        (false, _) => {
            out.push_str(",\"values\":{");
            let mut separator = "";
            for attribute in all {
                out.push_str(separator);
                write_string(out, &attribute.key);
                out.push(':');
                write_value(out, attribute.value.borrowed());
                separator = ",";
            }
            out.push('}');
        }
    }
    out.push('}');
}
