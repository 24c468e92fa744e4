//! Everything a device may say. A closed list: MQTT, HTTP, gateways and Sparkplug all translate to it.

use core::fmt;

use crate::child::ChildBatch;
use crate::ota::PackageKind;
use crate::reading::Readings;
use crate::rpc::ReplyTo;

/// One thing a device says.
///
/// Bodies of readings stay in the batch the caller handed to the decoder and texts in the payload or
/// in the decoder, so this is a small value. Whoever needs it longer makes it his own.
#[derive(Clone, Copy, Debug)]
pub enum Uplink<'a> {
    /// Readings to be kept (device API 4.2). May be empty: acknowledged, nothing stored (JS-018).
    Telemetry(&'a Readings),
    /// Client-scope attributes (device API 4.5). Times in the batch are the receive time (JS-054).
    Attributes(&'a Readings),
    /// The device asks for attributes (device API 4.6).
    AttributeRequest(AttributeRequest<'a>),
    /// The device answers a call of the server (RP-005 to RP-010).
    CallAnswer(CallAnswer<'a>),
    /// The device asks the server, or an application behind it, something (device API 6.6).
    ClientCall(ClientCall<'a>),
    /// The device may be claimed (device API 7.1).
    Claim(Claim<'a>),
    /// The device asks for a part of its firmware or software (OT-010).
    PackageRequest(PackageRequest),
    /// Others speak through this device: children of a gateway or an edge node (device API section 8).
    Children(&'a ChildBatch),
}

/// Which attributes a device wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeRequest<'a> {
    /// Where the answer goes.
    pub reply_to: ReplyTo,
    /// Those it wrote itself.
    pub client: WantedKeys<'a>,
    /// Those people wrote for it.
    pub shared: WantedKeys<'a>,
}

/// Which attributes of one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedKeys<'a> {
    /// None: only the other scope was named (JS-061, JS-062).
    None,
    /// All of them: no scope was named (JS-063).
    All,
    /// These.
    Named(KeyList<'a>),
}

/// Keys with commas between them, not trimmed (JS-070). A key that holds a comma cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyList<'a>(pub &'a str);

/// What a device says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallAnswer<'a> {
    /// The number the call was sent with (RP-003).
    pub id: u32,
    /// Any text; not interpreted, may be empty (RP-006).
    pub body: &'a str,
}

/// A question of a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientCall<'a> {
    /// Where the answer goes.
    pub reply_to: ReplyTo,
    /// What is asked for.
    pub method: &'a str,
    /// Compact JSON text; `null` when absent (CR-003).
    pub params: &'a str,
}

/// A device that may be claimed by whoever knows its secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The user must give the same; empty when absent (CL-004).
    pub secret: &'a str,
    /// For how many milliseconds; none when absent, 0 or negative: the server decides (CL-005).
    pub duration_ms: Option<u64>,
}

/// A device asks for a part of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageRequest {
    /// Which package.
    pub kind: PackageKind,
    /// Chosen by the device, one per update; the first request with it pins the package (OT-015).
    pub request: u32,
    /// Which part, from 0 (OT-013).
    pub chunk: u32,
    /// How large parts are in bytes; none when the payload names no size above 0: that of an earlier
    /// request with the same number, else the whole package is one part (OT-011).
    pub size: Option<u32>,
}

impl<'a> KeyList<'a> {
    /// The keys in the order they were named. Empty ones are left out: no key is empty (JS-070).
    pub fn iter(self) -> impl Iterator<Item = &'a str> + Clone {
        self.0.split(',').filter(|key| !key.is_empty())
    }
}

impl fmt::Debug for ClientCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a device asks with is its own business.
        let Self { reply_to, method, .. } = self;
        f.debug_struct("ClientCall")
            .field("reply_to", reply_to)
            .field("method", method)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret is not printed.
        f.debug_struct("Claim").field("duration_ms", &self.duration_ms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_keys_are_split_at_commas_and_not_trimmed() {
        let rows: [(&str, &[&str]); 6] = [
            ("a", &["a"]),
            ("a, b", &["a", " b"]),
            ("a,b,,", &["a", "b"]),
            ("a,,b", &["a", "b"]),
            ("", &[]),
            (",", &[]),
        ];
        for (text, expected) in rows {
            assert_eq!(KeyList(text).iter().collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn an_uplink_is_small_and_tells_no_secret() {
        assert!(size_of::<Uplink<'_>>() <= 64);
        let claim = Claim { secret: "do-not-print", duration_ms: None };
        assert!(!format!("{:?}", Uplink::Claim(claim)).contains("do-not-print"));
    }
}
