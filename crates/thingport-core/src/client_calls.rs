//! Client calls: what devices ask the server (device API 6.6, 6.7).
//!
//! Two questions are answered here; everything else goes to whoever the device's profile names: a webhook,
//! which the roof lends because it touches the network, or the tenant's [`applications`]. A device that
//! asks what nobody handles is told so: silence would have to be waited for.

pub mod applications;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use thingport_model::downlink::{ClientAnswer, SessionLimits};
use thingport_model::limit::{LimitScope, RateLimits};
use thingport_model::profile::extension::{ClientRpc, RpcWebhook};
use thingport_model::reason::Reason;
use thingport_model::uplink::ClientCall;

use self::applications::Applications;
use crate::clock::Clock;
use crate::presence::Failure;
use crate::registry::DeviceLogin;

/// Answers client calls.
pub struct ClientCalls {
    clock: Arc<dyn Clock>,
    /// Those that take requests.
    pub applications: Arc<Applications>,
    webhook: OnceLock<Arc<dyn AskWebhook>>,
}

/// A question for a handler, with texts of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked for.
    pub method: String,
    /// Compact JSON text.
    pub params: String,
}

/// What the listener grants each session; part of `getSessionLimits` (CR-025).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionBounds {
    /// Largest packet in bytes.
    pub packet_size_max: u32,
    /// Publications in work at once.
    pub receive_maximum: u16,
}

/// Asks the webhook of a profile.
#[async_trait]
pub trait AskWebhook: Send + Sync {
    /// The receiver's answer to a device's question. The caller waits a minute (CR-007) and drops the
    /// answer that comes later (CR-008).
    ///
    /// # Errors
    /// Why there is none; the detail names neither the secret nor what was asked.
    async fn ask(
        &self,
        login: &DeviceLogin,
        webhook: &RpcWebhook,
        question: Question,
    ) -> Result<ClientAnswer, Failure>;
}

impl ClientCalls {
    /// Asks `applications`, and nobody else yet.
    #[must_use]
    pub const fn new(clock: Arc<dyn Clock>, applications: Arc<Applications>) -> Self {
        Self { clock, applications, webhook: OnceLock::new() }
    }

    /// Sets who asks webhooks. Called once, before the first device.
    pub fn set_webhook(&self, webhook: Arc<dyn AskWebhook>) {
        let is_first = self.webhook.set(webhook).is_ok();
        debug_assert!(is_first, "it is set once");
    }

    /// The answer to a question that the server answers itself, at once and uncounted (CR-021).
    #[must_use]
    pub fn built_in(
        &self,
        login: &DeviceLogin,
        call: ClientCall<'_>,
        bounds: SessionBounds,
    ) -> Option<ClientAnswer> {
        match call.method {
            "getSessionLimits" => Some(ClientAnswer::Limits(Box::new(limits(login, bounds)))),
            "getCurrentTime" => Some(ClientAnswer::Time(self.clock.now())),
            _ => None,
        }
    }

    /// The answer of whoever handles such questions for the device's profile.
    ///
    /// # Errors
    /// Nobody does (`ClientCallUnhandled`), or nobody did.
    pub async fn ask(
        &self,
        login: &DeviceLogin,
        question: Question,
    ) -> Result<ClientAnswer, Failure> {
        match (&login.profile.extension.client_rpc, self.webhook.get()) {
            (Some(ClientRpc::Application), _) => self.applications.ask(login, question).await,
            (Some(ClientRpc::Webhook(webhook)), Some(ask)) => {
                ask.ask(login, webhook, question).await
            }
            (None, _) | (Some(ClientRpc::Webhook(_)), None) => {
                Err(Reason::ClientCallUnhandled.into())
            }
        }
    }
}

/// What a device is told instead of an answer.
#[must_use]
pub fn words(reason: Reason) -> ClientAnswer {
    let words = match reason {
        // CR-007: the word that devices know.
        Reason::ClientCallNotAnswered | Reason::WebhookTimedOut => "timeout",
        reason => reason.sentence(),
    };
    ClientAnswer::Error(words.to_owned())
}

/// What an incident says about a question that was not answered.
#[must_use]
pub fn about(method: &str, failure: &Failure) -> String {
    let method: String = method.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if failure.detail.is_empty() {
        return format!("method {method}");
    }
    format!("method {method}: {}", failure.detail)
}

/// CR-022 to CR-025: the limits as they are configured.
fn limits(login: &DeviceLogin, bounds: SessionBounds) -> SessionLimits {
    let none = RateLimits::default();
    let limits = login.limits.as_deref().unwrap_or(&none);
    let (own, children) = if login.is_gateway {
        (LimitScope::GatewayDevice, Some(LimitScope::Gateway))
    } else {
        (LimitScope::Device, None)
    };
    SessionLimits {
        max_payload_size: bounds.packet_size_max,
        max_inflight_messages: bounds.receive_maximum,
        rates: limits.scope(own).clone(),
        gateway_rates: children.map(|scope| limits.scope(scope).clone()),
    }
}

impl core::fmt::Debug for Question {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // What a device asks with is its own business.
        f.debug_struct("Question").field("method", &self.method).finish_non_exhaustive()
    }
}

impl From<ClientCall<'_>> for Question {
    fn from(call: ClientCall<'_>) -> Self {
        Self { method: call.method.to_owned(), params: call.params.to_owned() }
    }
}

/// Most characters of a method that an incident shows.
const SHOWN_MAX: usize = 48;

#[cfg(test)]
mod tests;
