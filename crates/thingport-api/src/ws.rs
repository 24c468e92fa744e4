//! Live updates (REST API section 17): the handshake, the two paths and the life of a session.
//!
//! A session is one task that reads commands and keeps time, one that writes, and one per subscription.
//! They meet in the outbox, whose bound ends the session of a reader that is too slow.

mod client_rpc;
mod command;
mod end;
mod entities;
mod entry;
mod feed;
mod outbox;
mod trace;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use thingport_core::allowance::{NoPlace, Place, UpdateAllowance};
use thingport_core::client_calls::applications::Terms;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::api::Api;
use crate::auth::still_signed_in;
use crate::dto::client_rpc::TakeInput;
use crate::error::Refusal;
use crate::extract::Params;
use crate::route::{Route, Who, optional};
use client_rpc::Application;
use command::{BAD_REQUEST, Command, Incoming, NO_SUBSCRIPTION, Subscription, error};
use end::{End, NO_PONG, POLICY, RESTART, TOO_LONG, UNEXPECTED, broken, end};
use entities::command::{EntityCommand, RawCommand};
use entities::wire::{self, Kind};
use entities::{Desk, ENTITIES_WATCHED_MAX};
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
        Route::get("/api/thingport/client-rpc", open_for_application)
            .who(Who::Public)
            .about("WebSocket: an application takes what devices ask, and answers it.")
            .query(&[
                optional("token", "Access token; else the first message carries authCmd."),
                optional("max", "Most requests held at once: 16 if absent, at most 256."),
                optional("leaseMs", "How long they are held: 10000 if absent, 100 to 60000."),
                optional("deviceProfileId", "Only requests of devices of this profile."),
            ]),
    ]
}

/// What a session is for.
#[derive(Clone, Copy)]
enum Purpose {
    /// Live updates for people.
    Feeds,
    /// Client calls for an application.
    ClientCalls(Terms),
}

type Upgrade = Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>;

async fn open(
    State(api): State<Arc<Api>>,
    params: Params,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    begin(api, params, upgrade, Purpose::Feeds).await
}

async fn open_for_application(
    State(api): State<Arc<Api>>,
    params: Params,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let terms = TakeInput::of(&params)?.terms(true)?;
    begin(api, params, upgrade, Purpose::ClientCalls(terms)).await
}

async fn begin(
    api: Arc<Api>,
    params: Params,
    upgrade: Upgrade,
    purpose: Purpose,
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
    Ok(upgrade.on_upgrade(move |socket| Box::pin(converse(api, socket, entry, purpose))))
}

/// The whole life of a session.
async fn converse(
    api: Arc<Api>,
    socket: WebSocket,
    entry: Option<Result<Entry, End>>,
    purpose: Purpose,
) {
    let (sink, mut stream) = socket.split();
    let (outbox, waiting) = outbox(api.config().ws.messages_max);
    let (close, closed) = oneshot::channel();
    let writer = tokio::spawn(write(sink, waiting, closed));
    let entered = match entry {
        Some(entry) => entry.map(|entry| (entry, Vec::new())).map_err(Some),
        None => Entry::by_message(&api, &mut stream).await,
    };
    let ended = match entered {
        Ok((entry, commands)) => match purpose {
            Purpose::Feeds => Session::open(api, entry, outbox, commands).run(&mut stream).await,
            Purpose::ClientCalls(terms) => {
                Application::open(api, entry, outbox).run(terms, &mut stream).await
            }
        },
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
    /// Entities that commands of the second generation may still watch.
    room: Arc<Semaphore>,
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
    /// What it does, if it is of the second generation.
    entities: Option<Arc<EntityCommand>>,
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
        let (feeds, room) = (HashMap::new(), Arc::new(Semaphore::new(ENTITIES_WATCHED_MAX)));
        let mut session = Self { api, outbox, entry, feeds, allowance, room };
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
            Command::Entities(it) => self.watch_entities(&it),
            Command::Count(it) => self.count_entities(&it),
            Command::EndEntities(id) => drop(self.feeds.remove(&id)),
            Command::Series(it)
            | Command::Attributes(it)
            | Command::History(it)
            | Command::Trace(it)
                if it.unsubscribes() =>
            {
                self.unsubscribe(&it);
            }
            Command::Series(it) => self.subscribe(it, |feed| tokio::spawn(feed.series())),
            Command::Attributes(it) => self.subscribe(it, |feed| tokio::spawn(feed.attributes())),
            Command::Trace(it) => self.subscribe(it, |feed| tokio::spawn(feed.trace())),
            Command::History(it) => match self.room_for_one(it.cmd_id) {
                Ok(()) => self.begin(it, None, |feed| tokio::spawn(feed.history())),
                Err(text) => self.outbox.send(error(it.cmd_id, BAD_REQUEST, &text)),
            },
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
        match self.place(command.cmd_id) {
            Ok(place) => self.begin(command, Some(place), start),
            Err(text) => self.outbox.send(error(command.cmd_id, BAD_REQUEST, &text)),
        }
    }

    /// A page of entities, in place of the command with the same id (W-17); without a query of its own
    /// it changes what that one does.
    fn watch_entities(&mut self, command: &RawCommand) {
        let (id, kind) = (command.cmd_id, Kind::Entities);
        let running = self.feeds.get(&id).and_then(|running| running.entities.clone());
        let input = command.input().and_then(|input| input.command(running.as_deref()));
        let place = input.map_err(|refusal| wire::refusal(id, kind, &refusal)).and_then(|it| {
            let place =
                self.place(id).map_err(|text| wire::refused(id, kind, BAD_REQUEST, &text))?;
            Ok((Arc::new(it), place))
        });
        match place {
            Err(refused) => self.outbox.send(refused),
            Ok((command, place)) => {
                let task = tokio::spawn(self.desk(id).entities(Arc::clone(&command)));
                let (task, place) = (task.abort_handle(), Some(place));
                self.feeds.insert(id, Running { task, _place: place, entities: Some(command) });
            }
        }
    }

    /// How many entities there are, in place of the command with the same id.
    fn count_entities(&mut self, command: &RawCommand) {
        let (id, kind) = (command.cmd_id, Kind::Count);
        let begun = self.place(id).map_err(|text| wire::refused(id, kind, BAD_REQUEST, &text));
        let begun = begun.and_then(|place| {
            let task = command.input().and_then(|input| self.desk(id).count(&input));
            let task = task.map_err(|refusal| wire::refusal(id, kind, &refusal))?;
            Ok(Running { task: task.abort_handle(), _place: Some(place), entities: None })
        });
        match begun {
            Ok(running) => drop(self.feeds.insert(id, running)),
            Err(refused) => self.outbox.send(refused),
        }
    }

    fn desk(&self, cmd_id: i64) -> Desk {
        Desk {
            api: Arc::clone(&self.api),
            caller: self.entry.signed_in.caller,
            outbox: self.outbox.clone(),
            allowance: Arc::clone(&self.allowance),
            room: Arc::clone(&self.room),
            cmd_id,
        }
    }

    /// Ends the command with this id and finds a place for another, within the bounds of the session
    /// and of the tenant; or what is to be told.
    fn place(&mut self, id: i64) -> Result<Place, String> {
        self.room_for_one(id)?;
        let caller = self.entry.signed_in.caller;
        let take =
            |session: &Self| session.api.allowances.subscription(&caller, &session.entry.rules);
        let mut place = take(self);
        if place.is_err() {
            // Those that ended by themselves still hold theirs.
            self.feeds.retain(|_, running| !running.task.is_finished());
            place = take(self);
        }
        place.map_err(|NoPlace { whom, max }| {
            format!(
                "the tenant profile allows this {} {max} subscriptions, and there are as many",
                whom.name()
            )
        })
    }

    /// Ends the command with this id, if there are not too many others.
    fn room_for_one(&mut self, id: i64) -> Result<(), String> {
        self.feeds.remove(&id);
        let max = self.api.config().ws.subscriptions_max;
        if self.feeds.len() >= max {
            self.feeds.retain(|_, running| !running.task.is_finished());
        }
        if self.feeds.len() < max {
            return Ok(());
        }
        Err(format!("this session has {max} subscriptions already"))
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
        self.feeds.insert(id, Running { task, _place: place, entities: None });
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
