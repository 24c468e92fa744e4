//! Everything the server may tell a connected device or do to its connection. A closed list.

use crate::reason::Reason;

/// One thing told to a device's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Downlink {
    /// Close the connection for this reason (take-over, credentials changed, device deleted).
    Close(Reason),
}
