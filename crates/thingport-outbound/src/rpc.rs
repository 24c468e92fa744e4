//! Asking a webhook what a device asked (device API 6.6).
//!
//! The receiver is posted a JSON object: `id`, the same for all sendings; `tenantId`, `deviceId`,
//! `deviceProfileId`, `customerId` (null when the device is nobody's) and `deviceProfileName`; `method` and
//! `params`; and `ts`, when it was asked. What it answers with 200 is given to the device as it is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use thingport_core::client_calls::{AskWebhook, Question};
use thingport_core::presence::Failure;
use thingport_core::registry::DeviceLogin;
use thingport_model::downlink::ClientAnswer;
use thingport_model::profile::extension::RpcWebhook;
use thingport_model::reason::Reason;
use uuid::Uuid;

use crate::webhook::{Post, PostError, Webhooks};

/// Asks webhooks for devices.
#[derive(Debug)]
pub struct RpcWebhooks {
    webhooks: Arc<Webhooks>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: Uuid,
    ts: i64,
    tenant_id: Uuid,
    device_id: Uuid,
    device_profile_id: Uuid,
    device_profile_name: &'a str,
    customer_id: Option<Uuid>,
    method: &'a str,
    params: &'a RawValue,
}

impl RpcWebhooks {
    /// Asks by posting with `webhooks`.
    #[must_use]
    pub const fn new(webhooks: Arc<Webhooks>) -> Self {
        Self { webhooks }
    }

    fn body(&self, login: &DeviceLogin, question: &Question) -> Option<Bytes> {
        let body = Body {
            id: self.webhooks.new_id(),
            ts: self.webhooks.clock().now().ms(),
            tenant_id: login.tenant_id.0,
            device_id: login.device_id.0,
            device_profile_id: login.profile.id.0,
            device_profile_name: &login.profile.name,
            customer_id: login.customer_id.map(|it| it.0),
            method: &question.method,
            params: serde_json::from_str(&question.params).ok()?,
        };
        serde_json::to_vec(&body).ok().map(Bytes::from)
    }
}

#[async_trait]
impl AskWebhook for RpcWebhooks {
    async fn ask(
        &self,
        login: &DeviceLogin,
        webhook: &RpcWebhook,
        question: Question,
    ) -> Result<ClientAnswer, Failure> {
        // The device's parameters were JSON when they were read.
        let body = self.body(login, &question).ok_or(Reason::Internal)?;
        let post = Post {
            lane: login.profile.id.0,
            url: &webhook.url,
            secret: webhook.secret.as_ref(),
            content_type: "application/json",
            body,
            timeout: Duration::from_millis(u64::from(webhook.timeout_ms)),
            retries: u32::from(webhook.retries),
            within: ALL_ATTEMPTS,
            answer_max: ANSWER_MAX,
        };
        let failed = |reason, why: &dyn std::fmt::Display| Failure {
            reason,
            detail: format!("{}: {why}", webhook.url.origin()),
        };
        let answer = self.webhooks.post(post).await.map_err(|it| failed(reason(&it), &it))?;
        match json(&answer) {
            Some(text) => Ok(ClientAnswer::Json(text)),
            None => Err(failed(Reason::WebhookAnswer, &"the answer is not JSON")),
        }
    }
}

/// CR-005: the answer as it was written, if it is JSON.
fn json(answer: &[u8]) -> Option<String> {
    let value: &RawValue = serde_json::from_slice(answer).ok()?;
    Some(value.get().to_owned())
}

const fn reason(error: &PostError) -> Reason {
    match error {
        PostError::Busy => Reason::WebhookBusy,
        PostError::Unresolved | PostError::Unreachable(_) | PostError::Broken(_) => {
            Reason::WebhookUnreachable
        }
        PostError::OutOfReach(_) => Reason::WebhookNotAllowed,
        PostError::Tls(_) => Reason::WebhookUntrusted,
        PostError::TimedOut => Reason::WebhookTimedOut,
        PostError::TooLarge => Reason::WebhookAnswer,
        PostError::Status(_) => Reason::WebhookStatus,
    }
}

/// How long all attempts may take: a device gives up after a minute (CR-007).
const ALL_ATTEMPTS: Duration = Duration::from_secs(58);
/// Most bytes of an answer to a device.
const ANSWER_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_or_none() {
        let rows: [(&[u8], Option<&str>); 8] = [
            (b" {\"a\": 1.50}\n", Some("{\"a\": 1.50}")),
            (b"null", Some("null")),
            (b"\"text\"", Some("\"text\"")),
            (b"", None),
            (b"ok", None),
            (b"{} {}", None),
            (b"{\"a\":", None),
            (b"\"\xff\"", None),
        ];
        for (body, expected) in rows {
            assert_eq!(json(body).as_deref(), expected, "{body:?}");
        }
    }
}
