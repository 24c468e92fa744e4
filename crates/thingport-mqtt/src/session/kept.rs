//! What a session leaves behind when its connection ends, and takes up again on the next one, as plain
//! values (S-1). Who keeps it meanwhile, and for how long, is the caller's business.

use crate::limits::Bounds;
use crate::session::outbound::Waiting;
use crate::session::subscriptions::Subscriptions;
use crate::session::{Phase, Session};
use crate::version::Qos;

/// The state of a session without a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionState {
    /// What the client holds, in the order in which it was first subscribed.
    pub subscriptions: Vec<KeptSubscription>,
    /// What the client did not acknowledge, in the order in which it is sent again.
    pub messages: Vec<KeptMessage>,
    /// Publications of quality of service 2 that wait for PUBREL (P-4).
    pub open_ids: Vec<OpenPacketId>,
    /// The packet identifier given last.
    pub last_packet_id: u16,
    /// Messages that were on their way and are not among the above, because all together were more
    /// than [`Bounds::waiting_bytes_max`].
    pub lost: u32,
}

/// A filter the client holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSubscription {
    /// The filter.
    pub filter: Box<str>,
    /// The quality of service that was granted.
    pub qos: Qos,
    /// The subscription identifier; 0 for none (U-9).
    pub id: u32,
}

/// A message of quality of service 1 that the client did not acknowledge.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptMessage {
    /// Where.
    pub topic: Box<str>,
    /// What.
    pub payload: Box<[u8]>,
    /// Comes back when the client acknowledges.
    pub token: u64,
    /// When it is of no use any more.
    pub expires_ms: Option<u64>,
    /// Under which it was sent, and will be again with DUP (v4 4.4.0-1); 0 when it never was.
    pub packet_id: u16,
}

/// A publication of the client that was acknowledged and not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenPacketId {
    /// Its packet identifier.
    pub packet_id: u16,
    /// Tells a repetition from another publication.
    pub fingerprint: u64,
}

impl Session {
    /// Takes up what an earlier connection left: subscriptions are in force again, and what was not
    /// acknowledged is sent again, within the client's window and in order. To be called right behind
    /// [`accept`](Self::accept).
    pub fn resume(&mut self, state: SessionState, out: &mut Vec<u8>) {
        debug_assert_eq!(self.phase, Phase::Open, "a session is resumed once it is accepted");
        if self.phase != Phase::Open {
            return;
        }
        let Bounds { filters_max, .. } = *self.bounds;
        let SessionState { subscriptions, messages, open_ids, last_packet_id, .. } = state;
        if !subscriptions.is_empty() {
            let mut held = Subscriptions::default();
            for it in &subscriptions {
                held.set(&it.filter, it.qos, it.id, filters_max);
            }
            self.subscriptions = Some(Box::new(held));
        }
        for it in open_ids {
            self.open_ids.get_or_insert_default().restore(it.packet_id, it.fingerprint);
        }
        self.last_packet_id = last_packet_id;
        for it in messages {
            self.outbound.get_or_insert_default().push_waiting(it.into());
        }
        self.send_restored(out);
    }

    /// The filters the client holds, with what was granted.
    pub fn kept_subscriptions(&self) -> Vec<KeptSubscription> {
        let each = self.subscriptions.iter().flat_map(|held| held.each());
        each.map(|(filter, qos, id)| KeptSubscription { filter: filter.into(), qos, id }).collect()
    }

    /// What outlives the connection, once; none when the session is not kept. It may be asked for when
    /// the session is closed.
    pub fn take_state(&mut self) -> Option<SessionState> {
        if !core::mem::replace(&mut self.is_kept, false) {
            return None;
        }
        let subscriptions = self.kept_subscriptions();
        self.subscriptions = None;
        let open_ids = self.open_ids.take().map_or_else(Vec::new, |ids| {
            let open = ids.acknowledged();
            open.map(|(packet_id, fingerprint)| OpenPacketId { packet_id, fingerprint }).collect()
        });
        let (messages, lost) = self.outbound.take().unwrap_or_default().into_messages();
        Some(SessionState {
            subscriptions,
            messages: messages.into_iter().map(KeptMessage::from).collect(),
            open_ids,
            last_packet_id: self.last_packet_id,
            lost,
        })
    }
}

impl From<Waiting> for KeptMessage {
    fn from(it: Waiting) -> Self {
        let Waiting { topic, payload, token, expires_ms, packet_id, .. } = it;
        Self { topic, payload, token, expires_ms, packet_id }
    }
}

impl From<KeptMessage> for Waiting {
    fn from(it: KeptMessage) -> Self {
        let KeptMessage { topic, payload, token, expires_ms, packet_id } = it;
        Self { topic, payload, token, expires_ms, packet_id, retain: false }
    }
}

/// Without the payload, which is nobody's business.
impl core::fmt::Debug for KeptMessage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeptMessage")
            .field("topic", &self.topic)
            .field("packet_id", &self.packet_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
