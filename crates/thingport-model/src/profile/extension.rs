//! What a device profile says beyond ThingsBoard's (`profileData.thingport`).

use super::forwarding::ForwardTarget;
use crate::webhook::{Secret, WebhookUrl};

/// Our own part of a device profile. Empty for every profile that ThingsBoard could have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileExtension {
    /// Who answers what devices ask and the server itself does not; nobody when absent.
    pub client_rpc: Option<ClientRpc>,
    /// Who else gets what devices say; at most a few.
    pub forwarding: Vec<ForwardTarget>,
}

/// Who answers client calls of a profile's devices (device API 6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRpc {
    /// `WEBHOOK`: a receiver that is posted to.
    Webhook(RpcWebhook),
    /// `APP`: whichever application of the tenant takes requests at `/api/thingport/client-rpc`.
    Application,
}

/// A receiver of client calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcWebhook {
    /// Where to.
    pub url: WebhookUrl,
    /// What requests are signed with; without one they are not signed.
    pub secret: Option<Secret>,
    /// How long one attempt may take, 100 to 55,000 ms.
    pub timeout_ms: u32,
    /// How often it is tried again, 0 to 5 times.
    pub retries: u8,
}

impl ProfileExtension {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
