//! Everything a device may say. A closed list: MQTT, HTTP, gateways and Sparkplug all translate to it.

use crate::reading::Readings;

/// One thing a device says.
///
/// Bodies of readings stay in the batch the caller handed to the decoder, so this is a small value.
#[derive(Clone, Copy, Debug)]
pub enum Uplink<'a> {
    /// Readings to be kept (device API 4.2). May be empty: acknowledged, nothing stored (JS-018).
    Telemetry(&'a Readings),
    /// Client-scope attributes (device API 4.5). Times in the batch are the receive time (JS-054).
    Attributes(&'a Readings),
}
