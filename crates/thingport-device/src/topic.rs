//! The device API on one page: which topic means what, which filters may be subscribed.
//!
//! Topics of a profile's own come before this table (see [`crate::dialect`]). Topics are compared byte
//! by byte, as a whole or as a prefix and a number, never by pattern (T-1, TP-021).

pub mod filter;

use thingport_model::ota::PackageKind;
use thingport_model::profile::{ATTRIBUTES_TOPIC, TELEMETRY_TOPIC};
use thingport_model::reason::Reason;

use crate::reject::{Reject, quoted};

/// What a publish topic stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Readings.
    Telemetry(Form),
    /// Client attributes.
    Attributes(Form),
    /// The device asks for attributes.
    AttributesRequest {
        /// Names the topic and form of the answer.
        family: Family,
        /// Chosen by the device.
        id: u32,
    },
    /// The device answers a call.
    RpcResponse {
        /// Names the form of the body.
        family: Family,
        /// Chosen by the server.
        id: u32,
    },
    /// The device asks the server.
    RpcRequest {
        /// Names the topic and form of the answer.
        family: Family,
        /// Chosen by the device.
        id: u32,
    },
    /// The device may be claimed; the form of the body (DD-004).
    Claim(Form),
    /// The device asks for a part of a package.
    Package {
        /// Which package.
        kind: PackageKind,
        /// Chosen by the device, one per update.
        request: u32,
        /// Which part, from 0.
        chunk: u32,
    },
    /// What a gateway says about others.
    Gateway(Gateway),
    /// Edge nodes of Sparkplug B.
    Sparkplug,
    /// A connection that wants to become a device.
    Provision,
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Whatever the profile says (TP-001, TP-002).
    Profile,
    /// JSON, whatever the profile says (TP-005).
    Json,
    /// Protobuf, whatever the profile says (TP-005).
    Protobuf,
}

/// A set of topic names; also says the form of bodies (3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `v1/devices/me/...`
    V1,
    /// `v2/...`
    V2,
    /// `v2/.../j`
    V2Json,
    /// `v2/.../p`
    V2Proto,
}

impl Family {
    /// Every family, in order of declaration.
    pub const ALL: [Self; 4] = [Self::V1, Self::V2, Self::V2Json, Self::V2Proto];

    /// The form of bodies on topics of this family.
    #[must_use]
    pub const fn form(self) -> Form {
        match self {
            Self::V1 | Self::V2 => Form::Profile,
            Self::V2Json => Form::Json,
            Self::V2Proto => Form::Protobuf,
        }
    }

    /// Where changes of shared attributes go.
    pub(crate) const fn attribute_updates(self) -> &'static str {
        match self {
            Self::V1 => ATTRIBUTES_TOPIC,
            Self::V2 => "v2/a",
            Self::V2Json => "v2/a/j",
            Self::V2Proto => "v2/a/p",
        }
    }

    /// Where answers to attribute requests go; the number follows.
    pub(crate) const fn attribute_answers(self) -> &'static str {
        match self {
            Self::V1 => "v1/devices/me/attributes/response/",
            Self::V2 => "v2/a/res/",
            Self::V2Json => "v2/a/res/j/",
            Self::V2Proto => "v2/a/res/p/",
        }
    }

    /// Where calls go; the number follows.
    pub(crate) const fn calls(self) -> &'static str {
        match self {
            Self::V1 => "v1/devices/me/rpc/request/",
            Self::V2 => "v2/r/req/",
            Self::V2Json => "v2/r/req/j/",
            Self::V2Proto => "v2/r/req/p/",
        }
    }

    /// Where answers to client calls go; the number follows.
    pub(crate) const fn client_answers(self) -> &'static str {
        match self {
            Self::V1 => "v1/devices/me/rpc/response/",
            Self::V2 => "v2/r/res/",
            Self::V2Json => "v2/r/res/j/",
            Self::V2Proto => "v2/r/res/p/",
        }
    }
}

/// What a gateway says, by topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// A device has come.
    Connect,
    /// A device has gone.
    Disconnect,
    /// Readings of devices.
    Telemetry,
    /// Attributes of devices.
    Attributes,
    /// A question for a device's attributes.
    AttributesRequest,
    /// A device's answer to a call.
    Rpc,
    /// Devices may be claimed.
    Claim,
    /// A topic that begins like these and means nothing.
    Unknown,
}

/// What a filter of the table asks to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Changes of shared attributes.
    AttributeUpdates(Family),
    /// Answers to attribute requests.
    AttributeResponses(Family),
    /// Calls.
    RpcRequests(Family),
    /// Answers to requests of the device.
    RpcResponses(Family),
    /// What concerns devices behind a gateway; granted to every device (TP-017).
    Gateway,
    /// Parts of packages, and what went wrong with them.
    Package(PackageKind),
}

impl Endpoint {
    /// What `topic` stands for by the table, in the order of 3.5.
    ///
    /// # Errors
    /// `TopicUnknown` when it is not in the table, `TopicInvalid` when its number is not 0 to
    /// 2^31 - 1 in decimal digits (T-1, JS-079).
    pub fn of(topic: &str) -> Result<Self, Reject> {
        if topic.starts_with(GATEWAY_PREFIX) {
            return Ok(Self::Gateway(Gateway::of(topic)));
        }
        match topic {
            "v2/t" => return Ok(Self::Telemetry(Form::Profile)),
            "v2/t/j" => return Ok(Self::Telemetry(Form::Json)),
            "v2/t/p" => return Ok(Self::Telemetry(Form::Protobuf)),
            "v2/a" => return Ok(Self::Attributes(Form::Profile)),
            "v2/a/j" => return Ok(Self::Attributes(Form::Json)),
            "v2/a/p" => return Ok(Self::Attributes(Form::Protobuf)),
            TELEMETRY_TOPIC => return Ok(Self::Telemetry(Form::Profile)),
            ATTRIBUTES_TOPIC => return Ok(Self::Attributes(Form::Profile)),
            "v1/devices/me/claim" | "v2/c" => return Ok(Self::Claim(Form::Profile)),
            "v2/c/j" => return Ok(Self::Claim(Form::Json)),
            "v2/c/p" => return Ok(Self::Claim(Form::Protobuf)),
            PROVISION_REQUEST_TOPIC => return Ok(Self::Provision),
            _ => {}
        }
        if topic.starts_with("spBv1.0/") {
            return Ok(Self::Sparkplug);
        }
        numbered(topic)
    }
}

impl Gateway {
    fn of(topic: &str) -> Self {
        match topic {
            "v1/gateway/connect" => Self::Connect,
            GATEWAY_DISCONNECT => Self::Disconnect,
            "v1/gateway/telemetry" => Self::Telemetry,
            GATEWAY_ATTRIBUTES => Self::Attributes,
            "v1/gateway/attributes/request" => Self::AttributesRequest,
            GATEWAY_RPC => Self::Rpc,
            "v1/gateway/claim" => Self::Claim,
            _ => Self::Unknown,
        }
    }
}

impl Subscription {
    /// Every filter of the table with its meaning (3.4).
    pub const ALL: [(&'static str, Self); 23] = {
        use Family::{V1, V2, V2Json, V2Proto};
        [
            (ATTRIBUTES_TOPIC, Self::AttributeUpdates(V1)),
            ("v2/a", Self::AttributeUpdates(V2)),
            ("v2/a/j", Self::AttributeUpdates(V2Json)),
            ("v2/a/p", Self::AttributeUpdates(V2Proto)),
            ("v1/devices/me/attributes/response/+", Self::AttributeResponses(V1)),
            ("v2/a/res/+", Self::AttributeResponses(V2)),
            ("v2/a/res/j/+", Self::AttributeResponses(V2Json)),
            ("v2/a/res/p/+", Self::AttributeResponses(V2Proto)),
            ("v1/devices/me/rpc/request/+", Self::RpcRequests(V1)),
            ("v2/r/req/+", Self::RpcRequests(V2)),
            ("v2/r/req/j/+", Self::RpcRequests(V2Json)),
            ("v2/r/req/p/+", Self::RpcRequests(V2Proto)),
            ("v1/devices/me/rpc/response/+", Self::RpcResponses(V1)),
            ("v2/r/res/+", Self::RpcResponses(V2)),
            ("v2/r/res/j/+", Self::RpcResponses(V2Json)),
            ("v2/r/res/p/+", Self::RpcResponses(V2Proto)),
            (GATEWAY_ATTRIBUTES, Self::Gateway),
            (GATEWAY_ATTRIBUTES_ANSWER, Self::Gateway),
            (GATEWAY_RPC, Self::Gateway),
            ("v2/fw/response/+/chunk/+", Self::Package(PackageKind::Firmware)),
            ("v2/fw/error", Self::Package(PackageKind::Firmware)),
            ("v2/sw/response/+/chunk/+", Self::Package(PackageKind::Software)),
            ("v2/sw/error", Self::Package(PackageKind::Software)),
        ]
    };

    /// Position in the table and meaning of a filter, compared as a whole string (U-6).
    #[must_use]
    pub fn of(filter: &str) -> Option<(usize, Self)> {
        let at = Self::ALL.iter().position(|(known, _)| *known == filter)?;
        Self::ALL.get(at).map(|(_, meaning)| (at, *meaning))
    }
}

/// The part of the table whose topics end in a number.
fn numbered(topic: &str) -> Result<Endpoint, Reject> {
    let unknown = || Reject::new(Reason::TopicUnknown, quoted(topic));
    if let Some((kind, rest)) = package(topic) {
        let (request, chunk) = rest.split_once("/chunk/").ok_or_else(unknown)?;
        let (request, chunk) = (number(topic, request)?, number(topic, chunk)?);
        return Ok(Endpoint::Package { kind, request, chunk });
    }
    for (prefix, family, make) in NUMBERED {
        if let Some(rest) = topic.strip_prefix(prefix) {
            let (family, rest) = with_form_behind(*family, rest);
            return Ok(make(family, number(topic, rest)?));
        }
    }
    Err(unknown())
}

/// ThingsBoard's newer documents put the form behind the number: `v2/a/req/7/p` (DD-005). The answer goes
/// to the topic that has it before.
fn with_form_behind(family: Family, rest: &str) -> (Family, &str) {
    let split = rest.rsplit_once('/').filter(|_| family == Family::V2);
    match split {
        Some((number, "j")) => (Family::V2Json, number),
        Some((number, "p")) => (Family::V2Proto, number),
        _ => (family, rest),
    }
}

fn package(topic: &str) -> Option<(PackageKind, &str)> {
    let firmware = topic.strip_prefix("v2/fw/request/").map(|rest| (PackageKind::Firmware, rest));
    firmware.or_else(|| Some((PackageKind::Software, topic.strip_prefix("v2/sw/request/")?)))
}

/// The number in a topic: decimal digits without sign, at most 2^31 - 1 (T-1).
fn number(topic: &str, text: &str) -> Result<u32, Reject> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value| is_digits && *value <= i32::MAX.unsigned_abs());
    value.ok_or_else(|| {
        let what = format!("{} needs a number from 0 to 2147483647", quoted(topic));
        Reject::new(Reason::TopicInvalid, what)
    })
}

type Make = fn(Family, u32) -> Endpoint;

fn attributes_request(family: Family, id: u32) -> Endpoint {
    Endpoint::AttributesRequest { family, id }
}

fn rpc_response(family: Family, id: u32) -> Endpoint {
    Endpoint::RpcResponse { family, id }
}

fn rpc_request(family: Family, id: u32) -> Endpoint {
    Endpoint::RpcRequest { family, id }
}

/// Prefixes in the order of 3.5: of two that both fit, the longer one stands first.
const NUMBERED: &[(&str, Family, Make)] = &[
    ("v1/devices/me/attributes/request/", Family::V1, attributes_request),
    ("v1/devices/me/rpc/response/", Family::V1, rpc_response),
    ("v1/devices/me/rpc/request/", Family::V1, rpc_request),
    ("v2/r/res/j/", Family::V2Json, rpc_response),
    ("v2/r/res/p/", Family::V2Proto, rpc_response),
    ("v2/r/res/", Family::V2, rpc_response),
    ("v2/r/req/j/", Family::V2Json, rpc_request),
    ("v2/r/req/p/", Family::V2Proto, rpc_request),
    ("v2/r/req/", Family::V2, rpc_request),
    ("v2/a/req/j/", Family::V2Json, attributes_request),
    ("v2/a/req/p/", Family::V2Proto, attributes_request),
    ("v2/a/req/", Family::V2, attributes_request),
];

/// What begins like this is for gateways, whatever follows: a plain prefix without a slash (3.5, 1).
pub(crate) const GATEWAY_PREFIX: &str = "v1/gateway";

/// Attributes of devices behind a gateway, both ways.
pub(crate) const GATEWAY_ATTRIBUTES: &str = "v1/gateway/attributes";
/// Where a gateway's questions for attributes are answered.
pub(crate) const GATEWAY_ATTRIBUTES_ANSWER: &str = "v1/gateway/attributes/response";
/// A device has gone, or something said of it was refused.
pub(crate) const GATEWAY_DISCONNECT: &str = "v1/gateway/disconnect";
/// Calls of devices behind a gateway, and their answers.
pub(crate) const GATEWAY_RPC: &str = "v1/gateway/rpc";

/// Where a peer asks to be provisioned; with a slash in front, unlike any other.
pub const PROVISION_REQUEST_TOPIC: &str = "/provision/request";

/// Where it is answered.
pub const PROVISION_RESPONSE_TOPIC: &str = "/provision/response";
