//! An application that takes what devices ask over a WebSocket, and answers it there. Our own.
//!
//! It is told `{"request":{...}}`, says `{"id":...,"answer":...}` or `{"id":...,"error":"..."}`, and is told
//! `{"refused":{"id":...,"message":"..."}}` when an answer was not taken. What it holds when it hangs up is
//! given to another application.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use thingport_core::client_calls::applications::{Taker, Terms};
use thingport_core::error::Error;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::end::{End, NO_PONG, POLICY, RESTART, UNEXPECTED, broken, end};
use super::entry::{Entry, told_to_drain};
use super::outbox::Outbox;
use crate::api::Api;
use crate::auth::still_signed_in;
use crate::dto::client_rpc::{AnswerMessage, RequestBody, ToldMessage};
use crate::error::Refusal;
use crate::rest::client_rpc::more;

/// The session of an application.
pub(super) struct Application {
    api: Arc<Api>,
    outbox: Outbox,
    entry: Entry,
}

impl Drop for Application {
    fn drop(&mut self) {
        self.api.node().metrics.websockets.sub(1);
    }
}

impl Application {
    pub(super) fn open(api: Arc<Api>, entry: Entry, outbox: Outbox) -> Self {
        api.node().metrics.websockets.add(1);
        Self { api, outbox, entry }
    }

    /// Gives requests and takes answers until something ends the session.
    pub(super) async fn run(
        self,
        terms: Terms,
        stream: &mut SplitStream<WebSocket>,
    ) -> Option<End> {
        let applications = Arc::clone(&self.api.node().client_calls.applications);
        let taker = match applications.open(&self.entry.signed_in.caller, terms) {
            Ok(taker) => taker,
            Err(Error::Denied(_)) => return Some(end(POLICY, "only for tenant administrators")),
            Err(_) => return Some(end(POLICY, "too many applications take requests")),
        };
        let config = self.api.config().ws.clone();
        let mut pings = interval(config.ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        let mut bell = self.api.ended.bell();
        let mut draining = self.api.draining();
        loop {
            self.give(&taker);
            tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(Message::Pong(_))) => heard_at = Instant::now(),
                    Some(Ok(Message::Text(text))) => self.answered(&text),
                    Some(Ok(Message::Ping(_) | Message::Binary(_))) => {}
                    Some(Ok(Message::Close(_))) | None => return None,
                    Some(Err(fault)) => return Some(broken(&fault)),
                },
                () = more(&taker) => {}
                _ = pings.tick() => {
                    if heard_at.elapsed() > config.pong_timeout {
                        return Some(end(NO_PONG, "no pong arrived in time"));
                    }
                    self.outbox.ping();
                }
                () = self.outbox.overflowed() => {
                    return Some(end(POLICY, "too many messages wait for you"));
                }
                Ok(()) = bell.changed() => {
                    if still_signed_in(&self.api, &self.entry.signed_in).await.is_err() {
                        return Some(end(UNEXPECTED, "the session has ended"));
                    }
                }
                () = told_to_drain(&mut draining) => {
                    return Some(end(RESTART, "the server is going down"));
                }
            }
        }
    }

    fn give(&self, taker: &Taker) {
        for request in taker.fetch() {
            self.outbox.send(ToldMessage::Request(RequestBody::from(&*request)).text());
        }
    }

    fn answered(&self, text: &str) {
        let message: AnswerMessage = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(fault) => {
                let message = format!("the message is not understood: {fault}");
                return self.outbox.send(ToldMessage::Refused { id: None, message }.text());
            }
        };
        let id = message.id;
        let applications = &self.api.node().client_calls.applications;
        let caller = &self.entry.signed_in.caller;
        let taken = message
            .into_answer()
            .and_then(|answer| applications.answer(caller, id, answer).map_err(Refusal::from));
        if let Err(refusal) = taken {
            let message = refusal.message().to_owned();
            self.outbox.send(ToldMessage::Refused { id: Some(id), message }.text());
        }
    }
}
