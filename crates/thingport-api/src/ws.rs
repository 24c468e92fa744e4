//! Live updates (REST API section 17): the handshake, the two paths and the life of a session.
//!
//! A session is one task that reads commands and keeps time, one that writes, and one per subscription.
//! They meet in the outbox, whose bound ends the session of a reader that is too slow.

mod command;
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
use thingport_core::allowance::{NoPlace, PeopleRules, Place, UpdateAllowance, Whom};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::api::Api;
use crate::auth::{Presented, SignedIn, sign_in, still_signed_in};
use crate::error::Refusal;
use crate::extract::Params;
use crate::route::{Route, Who, optional};
use command::{BAD_REQUEST, Command, Incoming, NO_SUBSCRIPTION, Subscription, error};
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
    let token = params.text("token").map(str::to_owned);
    // More than allowed is read, so that a message too long can be answered with a proper close.
    let read_max = api.config().ws.message_max * READ_FACTOR;
    let upgrade = upgrade
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .max_message_size(read_max)
        .max_frame_size(read_max);
    Ok(upgrade.on_upgrade(move |socket| Box::pin(converse(api, socket, token))))
}

/// Why a session ends: a close code and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    code: u16,
    text: &'static str,
}

const fn end(code: u16, text: &'static str) -> End {
    End { code, text }
}

/// The whole life of a session.
async fn converse(api: Arc<Api>, socket: WebSocket, token: Option<String>) {
    let (sink, mut stream) = socket.split();
    let (outbox, waiting) = outbox(api.config().ws.messages_max);
    let (close, closed) = oneshot::channel();
    let writer = tokio::spawn(write(sink, waiting, closed));
    let ended = match Session::admit(&api, &mut stream, outbox, token).await {
        Ok(session) => session.run(&mut stream).await,
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
    signed_in: SignedIn,
    feeds: HashMap<i64, Running>,
    /// What the tenant profile says about people.
    rules: Arc<PeopleRules>,
    allowance: Arc<UpdateAllowance>,
    /// Held for the bounds on sessions: the server's and the tenant's.
    _places: (crate::api::FeedPlace, Place),
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
    /// Waits for a credential (W-1, W-2) and obeys the commands that came with it.
    async fn admit(
        api: &Arc<Api>,
        stream: &mut SplitStream<WebSocket>,
        outbox: Outbox,
        token: Option<String>,
    ) -> Result<Self, Option<End>> {
        let stranger = api.take_stranger().ok_or(Some(end(POLICY, "too many sessions")))?;
        let (signed_in, commands) = match token {
            Some(token) => {
                let bad = |_| Some(end(UNEXPECTED, "the token is not valid or has expired"));
                (sign_in(api, Presented::Token(&token)).await.map_err(bad)?, Vec::new())
            }
            None => first_message(api, stream).await?,
        };
        let place = api.take_feed().ok_or(Some(end(POLICY, "too many sessions")))?;
        drop(stranger);
        let caller = signed_in.caller;
        let failed = |_| Some(end(UNEXPECTED, "the limits of the tenant cannot be read"));
        let rules = api.rules_of(caller.tenant_id).await.map_err(failed)?;
        let own = api.allowances.session(&caller, &rules);
        let own = own.map_err(|refused| Some(end(POLICY, no_session(refused.whom))))?;
        outbox.narrow(rules.queue_max);
        let now_ms = api.node().clock.monotonic_ms();
        let allowance = Arc::new(UpdateAllowance::of(&rules.updates, now_ms));
        let (api, feeds, _places) = (Arc::clone(api), HashMap::new(), (place, own));
        api.node().metrics.websockets.add(1);
        let mut session = Self { api, outbox, signed_in, feeds, rules, allowance, _places };
        commands.into_iter().for_each(|command| session.obey(command));
        Ok(session)
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
                    if still_signed_in(&self.api, &self.signed_in).await.is_err() {
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
        if let Ok(rules) = self.api.rules_of(self.signed_in.caller.tenant_id).await {
            self.rules = rules;
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
        let caller = self.signed_in.caller;
        let take = |session: &Self| session.api.allowances.subscription(&caller, &session.rules);
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
        let (api, caller) = (Arc::clone(&self.api), self.signed_in.caller);
        let (outbox, allowance) = (self.outbox.clone(), Arc::clone(&self.allowance));
        let task = start(Feed { api, caller, outbox, allowance, command }).abort_handle();
        self.feeds.insert(id, Running { task, _place: place });
    }
}

/// The first message: it must carry a credential and may carry commands.
async fn first_message(
    api: &Arc<Api>,
    stream: &mut SplitStream<WebSocket>,
) -> Result<(SignedIn, Vec<Command>), Option<End>> {
    let deadline = Instant::now() + api.config().ws.auth_timeout;
    let mut draining = api.draining();
    let text = loop {
        let message = tokio::select! {
            message = stream.next() => message,
            () = sleep_until(deadline) => {
                return Err(Some(end(POLICY, "no credential arrived in time")));
            }
            () = told_to_drain(&mut draining) => {
                return Err(Some(end(RESTART, "the server is going down")));
            }
        };
        match message {
            Some(Ok(Message::Text(text))) => break text,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => {}
            Some(Ok(Message::Close(_))) | None => return Err(None),
            Some(Err(fault)) => return Err(Some(broken(&fault))),
        }
    };
    if text.len() > api.config().ws.message_max {
        return Err(Some(TOO_LONG));
    }
    let missing = || Some(end(POLICY, "the first message must carry authCmd"));
    let incoming = Incoming::parse(&text).map_err(|_| missing())?;
    let auth = incoming.auth.ok_or_else(missing)?;
    let bad = || Some(end(INVALID, "the credential is not valid"));
    let presented = match (&auth.token, &auth.api_key) {
        (Some(token), _) => Presented::Token(token),
        (None, Some(key)) => Presented::Key(key),
        (None, None) => return Err(bad()),
    };
    let signed_in = sign_in(api, presented).await.map_err(|_| bad())?;
    Ok((signed_in, incoming.commands))
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

/// What a client is told that is one session too many (W-6).
const fn no_session(whom: Whom) -> &'static str {
    match whom {
        Whom::Tenant(_) => "the tenant has as many sessions as its profile allows",
        Whom::Customer(_) => "the customer has as many sessions as the tenant profile allows",
        Whom::User(_) => "you have as many sessions as the tenant profile allows",
        Whom::Guest(_) => "there are as many guests as the tenant profile allows",
    }
}

/// Returns once the server is going down.
async fn told_to_drain(draining: &mut watch::Receiver<bool>) {
    // The session keeps the sender alive, so waiting cannot fail.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// What to tell a client whose message could not be read.
fn broken(fault: &axum::Error) -> End {
    let mut source: Option<&dyn std::error::Error> = Some(fault);
    while let Some(it) = source {
        // The protocol library tells a message too long from a broken one in words only.
        if it.to_string().contains("too long") {
            return TOO_LONG;
        }
        source = it.source();
    }
    end(PROTOCOL, "the message breaks the WebSocket protocol")
}

const PROTOCOL: u16 = 1002;
const INVALID: u16 = 1007;
const POLICY: u16 = 1008;
const TOO_BIG: u16 = 1009;
const UNEXPECTED: u16 = 1011;
const RESTART: u16 = 1012;
const NO_PONG: u16 = 4500;
const TOO_LONG: End = end(TOO_BIG, "the message is too long");

/// How much longer than allowed a message may be and still be read to its end.
const READ_FACTOR: usize = 4;
/// Read and write buffers of a connection; the library's own default is 128 KiB.
const BUFFER_BYTES: usize = 4 * 1024;
/// The largest message to a client with what may lie before it in the buffer.
const WRITE_BYTES_MAX: usize = 16 * 1024 * 1024;
const GOODBYE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
