//! Live updates (REST API section 17): the handshake, the two paths and the life of a session.
//!
//! A session is one task that reads commands and keeps time, one that writes, and one per subscription.
//! They meet in the outbox, whose bound ends the session of a reader that is too slow.

mod command;
mod end;
mod entry;
mod feed;
mod outbox;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use thingport_core::allowance::{NoPlace, Place, UpdateAllowance};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::api::Api;
use crate::auth::still_signed_in;
use crate::error::Refusal;
use crate::extract::Params;
use crate::route::{Route, Who, optional};
use command::{BAD_REQUEST, Command, Incoming, NO_SUBSCRIPTION, Subscription, error};
use end::{End, NO_PONG, POLICY, RESTART, TOO_LONG, UNEXPECTED, broken, end};
use entry::{Entry, told_to_drain};
use feed::Feed;
use outbox::{Outbox, Waiting, outbox};

pub(crate) fn routes() -> Vec<Route> {
    let path = |path, about| {
        Route::get(path, open)
            .who(Who::Public)
            .about(about)
            .query(&[optional("token", "Access token; else the first message carries authCmd.")])
    };
    vec![
        path("/api/ws", "WebSocket: live readings and attributes, general format."),
        path("/api/ws/plugins/telemetry", "WebSocket: live readings and attributes, older format."),
    ]
}

async fn open(
    State(api): State<Arc<Api>>,
    params: Params,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|rejection| {
        Refusal::bad_request(format!("this path speaks WebSocket only: {rejection}"))
    })?;
    let entry = match params.text("token") {
        Some(token) => Some(Entry::by_token(&api, token).await),
        None => None,
    };
    // More than allowed is read, so that a message too long can be answered with a proper close.
    let read_max = api.config().ws.message_max * READ_FACTOR;
    let upgrade = upgrade
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .max_message_size(read_max)
        .max_frame_size(read_max);
    Ok(upgrade.on_upgrade(move |socket| Box::pin(converse(api, socket, entry))))
}

/// The whole life of a session.
async fn converse(api: Arc<Api>, socket: WebSocket, entry: Option<Result<Entry, End>>) {
    let (sink, mut stream) = socket.split();
    let (outbox, waiting) = outbox(api.config().ws.messages_max);
    let (close, closed) = oneshot::channel();
    let writer = tokio::spawn(write(sink, waiting, closed));
    let entered = match entry {
        Some(entry) => entry.map(|entry| (entry, Vec::new())).map_err(Some),
        None => Entry::by_message(&api, &mut stream).await,
    };
    let ended = match entered {
        Ok((entry, commands)) => Session::open(api, entry, outbox, commands).run(&mut stream).await,
        Err(ended) => ended,
    };
    // The writer is gone already when the client hung up.
    let _ = close.send(ended);
    let _ = writer.await;
    // What is left unread would make the system reset the connection, and the client might lose the
    // close frame: read on until the client has closed its side too.
    let rest = async { while let Some(Ok(_)) = stream.next().await {} };
    let _ = timeout(GOODBYE, rest).await;
}

struct Session {
    api: Arc<Api>,
    outbox: Outbox,
    entry: Entry,
    feeds: HashMap<i64, Running>,
    allowance: Arc<UpdateAllowance>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.api.node().metrics.websockets.sub(1);
    }
}

/// A subscription's task, ended when dropped, and its place among those of the tenant.
struct Running {
    task: AbortHandle,
    /// None for a question that is answered and over.
    _place: Option<Place>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// Begins with the commands that came with the credential.
    fn open(api: Arc<Api>, entry: Entry, outbox: Outbox, commands: Vec<Command>) -> Self {
        outbox.narrow(entry.rules.queue_max);
        let now_ms = api.node().clock.monotonic_ms();
        let allowance = Arc::new(UpdateAllowance::of(&entry.rules.updates, now_ms));
        api.node().metrics.websockets.add(1);
        let mut session = Self { api, outbox, entry, feeds: HashMap::new(), allowance };
        commands.into_iter().for_each(|command| session.obey(command));
        session
    }

    /// Reads commands until something ends the session; the answer is what to tell the client.
    async fn run(mut self, stream: &mut SplitStream<WebSocket>) -> Option<End> {
        let config = self.api.config().ws.clone();
        let mut pings = interval(config.ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        let mut bell = self.api.ended.bell();
        let mut draining = self.api.draining();
        let outbox = self.outbox.clone();
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(Message::Pong(_))) => heard_at = Instant::now(),
                    Some(Ok(Message::Text(text))) => match self.read(&text).await {
                        Ok(()) => {}
                        Err(ended) => return Some(ended),
                    },
                    Some(Ok(Message::Ping(_) | Message::Binary(_))) => {}
                    Some(Ok(Message::Close(_))) | None => return None,
                    Some(Err(fault)) => return Some(broken(&fault)),
                },
                _ = pings.tick() => {
                    if heard_at.elapsed() > config.pong_timeout {
                        return Some(end(NO_PONG, "no pong arrived in time"));
                    }
                    outbox.ping();
                }
                () = outbox.overflowed() => {
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

    /// Obeys the commands of a message.
    async fn read(&mut self, text: &Utf8Bytes) -> Result<(), End> {
        if text.len() > self.api.config().ws.message_max {
            return Err(TOO_LONG);
        }
        // They may have changed; if nobody can tell, the former ones hold.
        if let Ok(rules) = self.api.rules_of(self.entry.signed_in.caller.tenant_id).await {
            self.entry.rules = rules;
        }
        match Incoming::parse(text) {
            Ok(incoming) => incoming.commands.into_iter().for_each(|command| self.obey(command)),
            Err(fault) => {
                let text = format!("the message is not understood: {fault}");
                self.outbox.send(error(NO_SUBSCRIPTION, BAD_REQUEST, &text));
            }
        }
        Ok(())
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Unknown(unknown) => self.outbox.send(unknown.answer()),
            Command::Series(it) | Command::Attributes(it) | Command::History(it)
                if it.unsubscribes() =>
            {
                self.unsubscribe(&it);
            }
            Command::Series(it) => self.subscribe(it, |feed| tokio::spawn(feed.series())),
            Command::Attributes(it) => self.subscribe(it, |feed| tokio::spawn(feed.attributes())),
            Command::History(it) => {
                if self.make_room(it.cmd_id) {
                    self.begin(it, None, |feed| tokio::spawn(feed.history()));
                }
            }
        }
    }

    /// Ends one subscription, or all when no entity is named (W-18).
    fn unsubscribe(&mut self, command: &Subscription) {
        match command.entity() {
            Some(_) => drop(self.feeds.remove(&command.cmd_id)),
            None => self.feeds.clear(),
        }
    }

    /// Starts a subscription in place of the one with the same id (W-17), if the tenant may have one
    /// more.
    fn subscribe(
        &mut self,
        command: Subscription,
        start: impl FnOnce(Feed) -> tokio::task::JoinHandle<()>,
    ) {
        if !self.make_room(command.cmd_id) {
            return;
        }
        let caller = self.entry.signed_in.caller;
        let take =
            |session: &Self| session.api.allowances.subscription(&caller, &session.entry.rules);
        let mut place = take(self);
        if place.is_err() {
            // Those that ended by themselves still hold theirs.
            self.feeds.retain(|_, running| !running.task.is_finished());
            place = take(self);
        }
        match place {
            Ok(place) => self.begin(command, Some(place), start),
            Err(NoPlace { whom, max }) => {
                let text = format!(
                    "the tenant profile allows this {} {max} subscriptions, and there are as many",
                    whom.name()
                );
                self.outbox.send(error(command.cmd_id, BAD_REQUEST, &text));
            }
        }
    }

    /// Ends the command with this id. False, and the client is told, when there are too many others.
    fn make_room(&mut self, id: i64) -> bool {
        self.feeds.remove(&id);
        let max = self.api.config().ws.subscriptions_max;
        if self.feeds.len() >= max {
            self.feeds.retain(|_, running| !running.task.is_finished());
        }
        if self.feeds.len() < max {
            return true;
        }
        let text = format!("this session has {max} subscriptions already");
        self.outbox.send(error(id, BAD_REQUEST, &text));
        false
    }

    fn begin(
        &mut self,
        command: Subscription,
        place: Option<Place>,
        start: impl FnOnce(Feed) -> tokio::task::JoinHandle<()>,
    ) {
        let id = command.cmd_id;
        let (api, caller) = (Arc::clone(&self.api), self.entry.signed_in.caller);
        let (outbox, allowance) = (self.outbox.clone(), Arc::clone(&self.allowance));
        let task = start(Feed { api, caller, outbox, allowance, command }).abort_handle();
        self.feeds.insert(id, Running { task, _place: place });
    }
}

/// Writes what waits until told to close.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut waiting: Waiting,
    mut closed: oneshot::Receiver<Option<End>>,
) {
    let ended = loop {
        let message = tokio::select! {
            biased;
            ended = &mut closed => break ended,
            message = waiting.next() => message,
        };
        // The session holds an outbox as long as it has not said how it ended.
        let Some(message) = message else { continue };
        tokio::select! {
            sent = sink.send(message) => if sent.is_err() { return },
            ended = &mut closed => break ended,
        }
    };
    if let Ok(Some(ended)) = ended {
        let frame = CloseFrame { code: ended.code, reason: Utf8Bytes::from_static(ended.text) };
        // A reader that is too slow for the rest is too slow for this as well.
        let _ = timeout(GOODBYE, sink.send(Message::Close(Some(frame)))).await;
    }
}

/// How much longer than allowed a message may be and still be read to its end.
const READ_FACTOR: usize = 4;
/// Read and write buffers of a connection; the library's own default is 128 KiB.
const BUFFER_BYTES: usize = 4 * 1024;
/// The largest message to a client with what may lie before it in the buffer.
const WRITE_BYTES_MAX: usize = 16 * 1024 * 1024;
const GOODBYE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
