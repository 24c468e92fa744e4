//! The session that a connection takes up from an earlier one and leaves for a later one (S-1).

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use thingport_core::sessions::{Leaving, Opened};
use thingport_model::downlink::Downlink;
use thingport_model::reason::Reason;
use thingport_model::rpc::CallToken;
use thingport_model::session::{About, KeptMessage, KeptSubscription, OpenPacketId, SessionState};
use thingport_mqtt::session::{self as mqtt, Sent};
use thingport_mqtt::topic::TopicName;
use thingport_mqtt::version::Qos;
use tokio::sync::oneshot::Receiver;

use super::downlinks::{UNTOLD, UPDATE};
use super::{Connection, Open, Stage, Stalled, Then};
use crate::mqtt::scratch::Desk;

/// What a connection knows of the session it will leave.
pub(super) struct Keeping {
    /// The newest change of shared attributes that was told.
    told: u64,
    /// Changes that were told and not acknowledged.
    unacknowledged: usize,
    /// What the client said to its life when it left.
    expiry_s: Option<u32>,
    /// Whether it was taken up from an earlier connection.
    pub(super) is_resumed: bool,
}

impl Keeping {
    /// None when the session ends with its connection.
    pub(super) fn of(opened: &Opened) -> Option<Box<Self>> {
        let is_resumed = opened.state.is_some();
        let keeping = Self { told: opened.told, unacknowledged: 0, expiry_s: None, is_resumed };
        opened.is_kept.then(|| Box::new(keeping))
    }
}

/// Taking up.
impl Connection {
    /// Goes on where the device's last connection ended.
    pub(super) fn resume(&mut self, state: SessionState, desk: &mut Desk) {
        let Stage::Open(open) = &mut self.stage else { return };
        let node = Arc::clone(&self.shared.node);
        let device = open.login.device_id;
        node.metrics.sessions_resumed.add(1);
        let attempts = state.messages.iter().filter_map(attempt).collect();
        let attempts = node.calls.open_attempts(device, attempts);
        // Filters that mean nothing any more are gone, and calls that ended are not made again.
        let link = &mut open.link;
        let means = |it: &KeptSubscription| link.restore(&it.filter, it.is_chosen);
        let subscriptions = state.subscriptions.into_iter().filter(means).map(subscription);
        let is_due = |it: &KeptMessage| attempt(it).is_none_or(|it| attempts.contains(&it));
        let messages: Vec<_> = state.messages.into_iter().filter(is_due).map(message).collect();
        let told = state.told;
        if let Some(keeping) = &mut open.keeping {
            keeping.unacknowledged = messages.iter().filter(|it| it.token == UPDATE).count();
        }
        let state = mqtt::SessionState {
            subscriptions: subscriptions.collect(),
            messages,
            open_ids: state.open_ids.into_iter().map(open_id).collect(),
            last_packet_id: state.last_packet_id,
            lost: 0,
        };
        self.session.resume(state, &mut desk.out);
        // Whatever happens from here on is told.
        open.note_wants();
        let wants = open.mailbox.wants();
        if wants.calls {
            node.calls.resumed(&open.login, &attempts);
        }
        if wants.attributes {
            tokio::spawn(async move {
                // What could not be read is still owed, and told with the next connection.
                let _ = node.attributes.remind(device, told).await;
            });
        }
    }
}

/// While it lasts.
impl Connection {
    /// Tells the device of a change that its session is owed.
    pub(super) fn tell_owed(&mut self, downlink: &Downlink, mark: u64, desk: &mut Desk) {
        let Stage::Open(open) = &self.stage else { return };
        let device = open.login.device_id;
        let sent = match open.link.downlink(downlink, &mut desk.page) {
            Ok(Some(publication)) => self.place(publication, (UPDATE, None), &mut desk.out),
            // It unsubscribed meanwhile.
            Ok(None) => return,
            Err(reject) => {
                self.record(reject.reason, &reject.detail);
                Sent::Unacknowledged
            }
        };
        match sent {
            Sent::InFlight | Sent::Waiting => self.note_told(mark, 1),
            // There is nothing to wait for.
            Sent::Unacknowledged | Sent::TooLarge => {
                self.note_told(mark, 0);
                self.settle();
            }
            // It is told when there is room.
            Sent::Full | Sent::Closed => self.shared.node.sessions.missed(device),
        }
    }

    /// The device acknowledged such a change.
    pub(super) fn update_delivered(&mut self) {
        if let Some(keeping) = self.keeping() {
            keeping.unacknowledged = keeping.unacknowledged.saturating_sub(1);
        }
        self.settle();
    }

    fn note_told(&mut self, mark: u64, unacknowledged: usize) {
        if let Some(keeping) = self.keeping() {
            keeping.told = keeping.told.max(mark);
            keeping.unacknowledged += unacknowledged;
        }
    }

    /// When all that was told is acknowledged, it is not owed any more.
    fn settle(&self) {
        let Stage::Open(open) = &self.stage else { return };
        let Some(keeping) = open.keeping.as_ref().filter(|it| it.unacknowledged == 0) else {
            return;
        };
        let node = Arc::clone(&self.shared.node);
        let (device, number, told) = (open.login.device_id, open.mailbox.number(), keeping.told);
        tokio::spawn(async move {
            // What could not be removed is told again, with the next connection.
            let _ = node.attributes.settle(device, number, told).await;
        });
    }

    /// Lets the answer to SUBSCRIBE or UNSUBSCRIBE wait until the session is durable as it is now.
    pub(super) fn answer_when_kept(&mut self, bytes: Vec<u8>, desk: &mut Desk) {
        let Stage::Open(open) = &mut self.stage else { return };
        let (subscriptions, wants_updates) = open.subscriptions(&self.session);
        let (device, number) = (open.login.device_id, open.mailbox.number());
        let sessions = &self.shared.node.sessions;
        let noted = sessions.subscribed(device, number, subscriptions, wants_updates);
        let Some((told, saved)) = noted else {
            // Another connection has taken the session over; this one ends.
            return desk.out.extend_from_slice(&bytes);
        };
        if let Some(keeping) = &mut open.keeping {
            keeping.told = keeping.told.max(told);
        }
        // A rate limit may have given it a turn.
        let turn = self.stalled.take().and_then(|stalled| stalled.turn);
        self.stalled = Some(Box::new(Stalled { turn, then: Then::Answer { saved, bytes } }));
    }

    /// Answers once the session is durable; closes when it cannot be.
    pub(super) fn poll_kept(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        let Some(Then::Answer { saved, .. }) = self.stalled.as_mut().map(|it| &mut it.then) else {
            return;
        };
        let Poll::Ready(is_kept) = poll(saved, cx) else { return };
        let Some(Then::Answer { bytes, .. }) = self.stalled.take().map(|it| it.then) else {
            return;
        };
        if is_kept {
            desk.out.extend_from_slice(&bytes);
        } else {
            self.close(Reason::StorageBusy, desk);
        }
    }

    /// The client said goodbye, and perhaps for how long.
    pub(super) fn note_expiry(&mut self, expiry_s: Option<u32>) {
        if let (Some(keeping), Some(expiry_s)) = (self.keeping(), expiry_s) {
            keeping.expiry_s = Some(expiry_s);
        }
    }

    fn keeping(&mut self) -> Option<&mut Keeping> {
        match &mut self.stage {
            Stage::Open(open) => open.keeping.as_deref_mut(),
            _ => None,
        }
    }
}

/// Leaving.
impl Connection {
    /// Leaves the session for the next connection, if it is kept.
    pub(super) fn leave_session(&mut self) {
        let open = match &self.stage {
            Stage::Open(open) => open,
            Stage::Refreshing(refreshing) => &refreshing.open,
            _ => return,
        };
        let Some(keeping) = &open.keeping else { return };
        let (subscriptions, wants_updates) = open.subscriptions(&self.session);
        let left = self.session.take_state();
        let lost = left.as_ref().map_or(0, |it| it.lost);
        let state = left.map(|it| SessionState {
            told: keeping.told,
            wants_updates,
            subscriptions,
            messages: it.messages.into_iter().map(kept_message).collect(),
            open_ids: it.open_ids.into_iter().map(kept_id).collect(),
            last_packet_id: it.last_packet_id,
        });
        let leaving = Leaving { state, expiry_s: keeping.expiry_s, lost };
        let (device, number) = (open.login.device_id, open.mailbox.number());
        self.shared.node.sessions.left(device, number, leaving);
    }
}

impl Open {
    /// What the client holds, and whether it waits for changes of shared attributes to acknowledge them.
    fn subscriptions(&self, session: &mqtt::Session) -> (Vec<KeptSubscription>, bool) {
        let kept = session.kept_subscriptions().into_iter().map(|it| KeptSubscription {
            is_chosen: self.link.is_chosen(&it.filter),
            filter: it.filter.into(),
            is_acknowledged: it.qos != Qos::AtMostOnce,
            id: it.id,
        });
        let topic = self.link.updates_topic().and_then(|topic| TopicName::parse(topic).ok());
        let granted = topic.and_then(|topic| session.granted(topic));
        (kept.collect(), granted.is_some_and(|qos| qos != Qos::AtMostOnce))
    }
}

fn poll(saved: &mut Receiver<bool>, cx: &mut Context<'_>) -> Poll<bool> {
    // The sender is dropped when the writer has ended.
    Pin::new(saved).poll(cx).map(|saved| saved.unwrap_or(false))
}

fn attempt(message: &KeptMessage) -> Option<CallToken> {
    match message.about {
        About::Call(token) => Some(token),
        About::Other | About::Update => None,
    }
}

fn subscription(it: KeptSubscription) -> mqtt::KeptSubscription {
    let qos = if it.is_acknowledged { Qos::AtLeastOnce } else { Qos::AtMostOnce };
    mqtt::KeptSubscription { filter: it.filter.into(), qos, id: it.id }
}

fn message(it: KeptMessage) -> mqtt::KeptMessage {
    let token = match it.about {
        About::Other => UNTOLD,
        About::Update => UPDATE,
        About::Call(token) => token.0.get(),
    };
    let KeptMessage { packet_id, topic, payload, expires_ms, .. } = it;
    mqtt::KeptMessage { packet_id, topic: topic.into(), payload, token, expires_ms }
}

fn kept_message(it: mqtt::KeptMessage) -> KeptMessage {
    let about = match core::num::NonZeroU64::new(it.token) {
        None => About::Other,
        Some(_) if it.token == UPDATE => About::Update,
        Some(token) => About::Call(CallToken(token)),
    };
    let mqtt::KeptMessage { packet_id, topic, payload, expires_ms, .. } = it;
    KeptMessage { packet_id, topic: topic.into(), payload, about, expires_ms }
}

const fn open_id(it: OpenPacketId) -> mqtt::OpenPacketId {
    mqtt::OpenPacketId { packet_id: it.packet_id, fingerprint: it.fingerprint }
}

const fn kept_id(it: mqtt::OpenPacketId) -> OpenPacketId {
    OpenPacketId { packet_id: it.packet_id, fingerprint: it.fingerprint }
}
