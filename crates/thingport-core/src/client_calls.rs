//! Client calls: what devices ask the server (device API 6.6, 6.7).
//!
//! Two questions are answered here; everything else goes to a handler, where there is one. A device that
//! asks what nobody handles is told so: silence would have to be waited for.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use thingport_model::downlink::{ClientAnswer, SessionLimits};
use thingport_model::limit::{LimitScope, RateLimits};
use thingport_model::reason::Reason;
use thingport_model::uplink::ClientCall;

use crate::clock::Clock;
use crate::registry::DeviceLogin;

/// Answers client calls.
pub struct ClientCalls {
    clock: Arc<dyn Clock>,
    handler: OnceLock<Arc<dyn ClientCallHandler>>,
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

/// Whoever answers what the server itself does not: a webhook, an application.
#[async_trait]
pub trait ClientCallHandler: Send + Sync {
    /// The answer to a device's question; none when nobody handles this method for this device. The
    /// caller waits a minute (CR-007) and drops the answer that comes later (CR-008).
    async fn answer(&self, login: &DeviceLogin, question: Question) -> Option<ClientAnswer>;
}

impl ClientCalls {
    /// Answers with the server's time; everything else is nobody's yet.
    #[must_use]
    pub const fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, handler: OnceLock::new() }
    }

    /// Sets who answers what the server itself does not. Called once, before the first device.
    pub fn set_handler(&self, handler: Arc<dyn ClientCallHandler>) {
        let is_first = self.handler.set(handler).is_ok();
        debug_assert!(is_first, "the handler is set once");
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

    /// The answer of whoever handles such questions.
    ///
    /// # Errors
    /// `ClientCallUnhandled`: nobody does.
    pub async fn ask(
        &self,
        login: &DeviceLogin,
        question: Question,
    ) -> Result<ClientAnswer, Reason> {
        let answer = match self.handler.get() {
            Some(handler) => handler.answer(login, question).await,
            None => None,
        };
        answer.ok_or(Reason::ClientCallUnhandled)
    }
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

#[cfg(test)]
mod tests;
