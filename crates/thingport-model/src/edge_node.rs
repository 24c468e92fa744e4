//! How it is kept whether an edge node of Sparkplug B, or a device behind it, is there.

/// The key, of telemetry.
pub const STATE_KEY: &str = "sparkplugConnectionState";
/// It was born, and did not die since.
pub const ONLINE: &str = "ONLINE";
/// It died.
pub const OFFLINE: &str = "OFFLINE";
