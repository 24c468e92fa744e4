//! Calls: what the server asks a device, and what became of it; and where answers to a device go.
//!
//! ThingsBoard says RPC. A *call* goes to the device; a *client call* comes from it.

use core::fmt;
use core::num::NonZeroU64;

use crate::id::{DeviceId, RpcId, TenantId};
use crate::tenant::OpaqueJson;
use crate::time::Timestamp;

/// Where the answer to a device's question goes: which of the ways to ask it used, and the number it
/// chose. Remembered per question, so that questions in different forms do not mix up (TP-009).
///
/// Made and understood by the room that reads what devices say; everybody else hands it back unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyTo {
    /// Which way to ask; the maker's own code.
    pub way: u8,
    /// Chosen by the device.
    pub id: u32,
}

/// A call as it goes to a device.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// Counted per device, from 0 (RP-003). At most 2^31 - 1, as devices read it as a signed number.
    pub id: u32,
    /// What is asked for.
    pub method: String,
    /// JSON text as the caller wrote it, numbers included; `null` when absent (RP-002).
    pub params: String,
}

/// Names one attempt to deliver one call. Comes back with each [`CallProgress`]; nobody but the
/// maker knows what the number means. Never 0, which stands for messages nobody asks after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallToken(pub NonZeroU64);

/// What became of one attempt to deliver a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallProgress {
    /// Written to the socket, or next in line for it; the device will acknowledge (SENT).
    Sent,
    /// The device acknowledged, or nothing is to be heard of it: quality of service 0 (DELIVERED,
    /// RP-054).
    Delivered,
    /// It cannot be put in the form this device wants, or is larger than the device takes (RP-060,
    /// O-5). Another attempt would end the same.
    Impossible,
    /// Too much waits for this connection already, or it does not want calls any more. Another
    /// attempt may succeed (RP-039).
    NotNow,
}

/// Whether the caller waits for an answer of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallWay {
    /// Delivered is done.
    OneWay,
    /// The answer is waited for.
    TwoWay,
}

/// How far a call has come (device API 6.3). The numbers are part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallStatus {
    /// Kept, not handed to a connection.
    Queued = 1,
    /// Written with quality of service 1, not acknowledged.
    Sent = 2,
    /// The device has it. The end of a one-way call (RP-033).
    Delivered = 3,
    /// The device answered.
    Successful = 4,
    /// Not acknowledged in time; may be sent again (RP-036).
    Timeout = 5,
    /// Its time passed before it came to an end.
    Expired = 6,
    /// It cannot be delivered.
    Failed = 7,
    /// Removed by a person.
    Deleted = 8,
}

impl CallStatus {
    /// Every status, in stored order.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Sent,
        Self::Delivered,
        Self::Successful,
        Self::Timeout,
        Self::Expired,
        Self::Failed,
        Self::Deleted,
    ];

    /// ThingsBoard's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Sent => "SENT",
            Self::Delivered => "DELIVERED",
            Self::Successful => "SUCCESSFUL",
            Self::Timeout => "TIMEOUT",
            Self::Expired => "EXPIRED",
            Self::Failed => "FAILED",
            Self::Deleted => "DELETED",
        }
    }

    /// The status with ThingsBoard's word `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The status with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as u8 == number)
    }
}

/// A call that is kept until it ends, and its end until it is forgotten (REST API 15.1).
#[derive(Clone, PartialEq, Eq)]
pub struct PersistentCall {
    /// Identity.
    pub id: RpcId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whose device is called.
    pub tenant_id: TenantId,
    /// Which device is called.
    pub device_id: DeviceId,
    /// What is asked, under the number the device sees.
    pub call: Call,
    /// Whether an answer is waited for.
    pub way: CallWay,
    /// When it is of no use any more.
    pub expires_at: Timestamp,
    /// How often it may be tried again, as the caller wrote it.
    pub retries: Option<u32>,
    /// `additionalInfo` as sent.
    pub additional_info: Option<OpaqueJson>,
    /// How far it has come.
    pub progress: KeptProgress,
}

/// How far a persistent call has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptProgress {
    /// The word for it.
    pub status: CallStatus,
    /// How often it was not acknowledged (RP-036).
    pub misses: u32,
    /// What it came to; none before it ended.
    pub response: Option<CallResponse>,
}

/// What a persistent call came to.
#[derive(Clone, PartialEq, Eq)]
pub enum CallResponse {
    /// What the device answered, as it wrote it (RP-006).
    Answer(String),
    /// It was not acknowledged, and all attempts were used (RP-036): how many more there might be.
    NotAcknowledged(u32),
    /// It was delivered and not answered in time, while others waited behind it.
    NotAnswered,
    /// It could not be sent to this device (RP-060).
    Impossible,
}

/// Which persistent calls a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFilter {
    /// Calls of this device only.
    pub device_id: DeviceId,
    /// Calls that have come so far.
    pub status: Option<CallStatus>,
}

impl PersistentCall {
    /// Whether it may still be sent or answered.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.progress.status.is_open(self.way)
    }
}

impl KeptProgress {
    /// A status without anything else to tell.
    #[must_use]
    pub const fn of(status: CallStatus) -> Self {
        Self { status, misses: 0, response: None }
    }
}

impl CallStatus {
    /// Whether a call that has come so far may still be sent or answered (RP-033 to RP-035).
    #[must_use]
    pub fn is_open(self, way: CallWay) -> bool {
        match self {
            Self::Queued | Self::Sent | Self::Timeout => true,
            Self::Delivered => way == CallWay::TwoWay,
            Self::Successful | Self::Expired | Self::Failed | Self::Deleted => false,
        }
    }
}

impl fmt::Debug for PersistentCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, device_id, call, way, progress, .. } = self;
        f.debug_struct("PersistentCall")
            .field("id", id)
            .field("device_id", device_id)
            .field("call", call)
            .field("way", way)
            .field("progress", progress)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CallResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a device answers is its owner's business.
        f.write_str(match self {
            Self::Answer(_) => "Answer",
            Self::NotAcknowledged(_) => "NotAcknowledged",
            Self::NotAnswered => "NotAnswered",
            Self::Impossible => "Impossible",
        })
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parameters may hold secrets.
        let Self { id, method, .. } = self;
        f.debug_struct("Call").field("id", id).field("method", method).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_found_by_its_name_and_number() {
        for status in CallStatus::ALL {
            assert_eq!(CallStatus::from_name(status.name()), Some(status));
            assert_eq!(CallStatus::from_number(status as u8), Some(status));
        }
        assert_eq!(CallStatus::from_name("queued"), None);
        assert_eq!(CallStatus::from_number(0), None);
    }
}
