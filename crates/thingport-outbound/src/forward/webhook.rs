//! A receiver of requests: each holds a few messages as a JSON array, signed like every other request.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thingport_core::forwarding::Message;
use thingport_model::profile::forwarding::ForwardWebhook;
use uuid::Uuid;

use super::body::objects;
use super::{Outlet, Trouble, Undelivered};
use crate::webhook::{Post, PostError, Webhooks};

pub(super) struct WebhookOutlet {
    webhooks: Arc<Webhooks>,
    lane: Uuid,
    spec: ForwardWebhook,
}

impl WebhookOutlet {
    pub(super) const fn new(webhooks: Arc<Webhooks>, lane: Uuid, spec: ForwardWebhook) -> Self {
        Self { webhooks, lane, spec }
    }

    async fn post(&self, body: String) -> Result<(), PostError> {
        let timeout = Duration::from_millis(self.spec.timeout_ms.into());
        let post = Post {
            lane: self.lane,
            url: &self.spec.url,
            secret: self.spec.secret.as_ref(),
            content_type: "application/json",
            body: Bytes::from(body),
            timeout,
            retries: 0,
            // For waiting in line when all places for requests are taken.
            within: timeout + PATIENCE,
            answer_max: ANSWER_MAX,
        };
        match self.webhooks.post(post).await {
            // It was taken; what the receiver says besides is of no interest.
            Ok(_) | Err(PostError::TooLarge) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Outlet for WebhookOutlet {
    async fn deliver(&mut self, messages: &[Message]) -> Result<(), Undelivered> {
        let mut done = 0;
        while done < messages.len() {
            let (body, count) = array(messages.get(done..).unwrap_or_default());
            if let Err(error) = self.post(body).await {
                let trouble = match is_final(&error) {
                    true if count == 1 => Trouble::ThisOne,
                    true => Trouble::Someone,
                    false => Trouble::Later,
                };
                return Err(Undelivered { done, trouble, why: error.to_string() });
            }
            done += count;
        }
        Ok(())
    }
}

/// As many messages as fit into one body, at least one, and how many these are.
fn array(messages: &[Message]) -> (String, usize) {
    let (mut body, mut count) = ("[".to_owned(), 0);
    for message in messages {
        if count > 0 && body.len() >= BODY_BYTES {
            break;
        }
        for object in objects(message) {
            if body.len() > 1 {
                body.push(',');
            }
            body += &object;
        }
        count += 1;
    }
    body.push(']');
    (body, count)
}

/// Whether the receiver spoke of what it was given. Any other refusal is about the receiver or its
/// settings: it moved, it wants another secret, it is not set up yet. What was said meanwhile must
/// not be lost by that.
const fn is_final(error: &PostError) -> bool {
    matches!(error, PostError::Status(400 | 409 | 413 | 415 | 422))
}

const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a body after which another one is begun.
const BODY_BYTES: usize = 512 * 1024;
/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::super::body::tests::{message, reading};
    use super::*;
    use thingport_model::port::ledger::Committed;
    use thingport_model::value::Value;

    #[test]
    fn a_body_is_an_array_and_has_an_end() {
        let small = message(Committed::Telemetry(vec![reading(1, "a", Value::Long(1))]));
        let (body, count) = array(&[small.clone(), small.clone()]);
        let read: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((read.as_array().map(Vec::len), count), (Some(2), 2));
        let text = Value::String("x".repeat(BODY_BYTES));
        let large = message(Committed::Telemetry(vec![reading(1, "a", text)]));
        assert_eq!(array(&[small.clone(), large.clone(), small]).1, 2);
        assert_eq!(array(&[large.clone(), large]).1, 1, "one always goes");
    }

    #[test]
    fn only_what_is_said_of_the_message_is_final() {
        for (error, expected) in [
            (PostError::Status(400), true),
            (PostError::Status(413), true),
            (PostError::Status(422), true),
            (PostError::Status(401), false),
            (PostError::Status(403), false),
            (PostError::Status(404), false),
            (PostError::Status(408), false),
            (PostError::Status(429), false),
            (PostError::Status(500), false),
            (PostError::TimedOut, false),
            (PostError::Unresolved, false),
        ] {
            assert_eq!(is_final(&error), expected, "{error:?}");
        }
    }
}
