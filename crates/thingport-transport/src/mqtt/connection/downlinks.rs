//! What the server sends to a client: publications, and what becomes of them.

use core::num::NonZeroU64;

use thingport_core::metrics::Bound;
use thingport_device::link::Publication;
use thingport_device::reject::Reject;
use thingport_model::downlink::Downlink;
use thingport_model::ota::PackageError;
use thingport_model::reason::Reason;
use thingport_model::rpc::{CallProgress, CallToken};
use thingport_mqtt::session::{Delivered, Message, Sent};
use thingport_mqtt::topic::TopicName;

use super::{Connection, Stage};
use crate::mqtt::scratch::Desk;

/// Downlinks.
impl Connection {
    /// Tells the device something, or does it to its connection.
    pub(super) fn tell(&mut self, downlink: &Downlink, desk: &mut Desk) {
        let Stage::Open(open) = &self.stage else { return };
        if let Downlink::Close(reason) = downlink {
            return self.close(*reason, desk);
        }
        if open.edge.is_some() && self.tell_edge(None, downlink, desk) {
            return;
        }
        let Stage::Open(open) = &self.stage else { return };
        let (token, expires_ms) = match downlink {
            // A session that is not kept needs no life: a call that waits so long has ended.
            Downlink::Call { token, expires_ms, .. } => {
                (Some(*token), open.keeping.as_ref().map(|_| *expires_ms))
            }
            _ => (None, None),
        };
        let about = (token.map_or(UNTOLD, |token| token.0.get()), expires_ms);
        let progress = match open.link.downlink(downlink, &mut desk.page) {
            Ok(Some(publication)) => self.publish(publication, about, &mut desk.out),
            // It unsubscribed meanwhile.
            Ok(None) => CallProgress::NotNow,
            Err(Reject { reason, detail }) => {
                self.record(reason, &detail);
                CallProgress::Impossible
            }
        };
        if let Some(token) = token {
            self.progress(token, progress);
        }
        if let Downlink::PackageError { error, .. } = downlink {
            self.close(reason_of(*error), desk);
        }
    }

    fn publish(
        &mut self,
        publication: Publication<'_>,
        about: (u64, Option<u64>),
        out: &mut Vec<u8>,
    ) -> CallProgress {
        match self.place(publication, about, out) {
            Sent::Unacknowledged => CallProgress::Delivered,
            Sent::InFlight | Sent::Waiting => CallProgress::Sent,
            Sent::TooLarge => CallProgress::Impossible,
            Sent::Full => {
                self.record(Reason::TooManyDownlinks, publication.topic);
                CallProgress::NotNow
            }
            Sent::Closed => CallProgress::NotNow,
        }
    }

    /// Sends what the link wrote, with its token and when it is of no use any more.
    pub(super) fn place(
        &mut self,
        publication: Publication<'_>,
        about: (u64, Option<u64>),
        out: &mut Vec<u8>,
    ) -> Sent {
        let Publication { topic, payload } = publication;
        let sent = match TopicName::parse(topic) {
            Ok(_) if payload.len() > DOWNLINK_MAX => Sent::TooLarge,
            Ok(topic) => self.send(topic, payload, about, out),
            // Such as the own topic of a profile that nobody could subscribe to.
            Err(_) => Sent::Closed,
        };
        if sent == Sent::TooLarge {
            let detail = format!("{} bytes to {topic}", payload.len());
            self.record(Reason::DownlinkTooLarge, &detail);
        }
        sent
    }

    /// Sends a publication, or lets it wait for the client's window. Its quality of service is that
    /// of the subscription that matches, and 1 when none does (LS-073). `token` comes back in
    /// [`Self::handle_delivered`] when the client acknowledges.
    ///
    /// What is too large for the client counts as sent, as the standard demands (O-5). What finds the
    /// line full is counted and lost: [`Sent::Full`] tells the caller.
    pub(super) fn send(
        &mut self,
        topic: TopicName<'_>,
        payload: &[u8],
        (token, expires_ms): (u64, Option<u64>),
        out: &mut Vec<u8>,
    ) -> Sent {
        let message = Message { topic, payload, qos: None, token, expires_ms, retain: false };
        let now_ms = self.shared.node.clock.monotonic_ms();
        let sent = self.session.publish(now_ms, &message, out);
        let metrics = &self.shared.node.metrics;
        match sent {
            Sent::Unacknowledged | Sent::InFlight | Sent::Waiting => metrics.downlinks.add(1),
            Sent::Full => metrics.count_bound(Bound::Downlinks),
            Sent::TooLarge | Sent::Closed => {}
        }
        sent
    }

    /// The client has a publication, whatever it says to it (LS-094); those that waited for its place
    /// are in the output already.
    pub(super) fn handle_delivered(&mut self, delivered: Delivered) {
        self.shared.node.metrics.downlinks_delivered.add(1);
        if delivered.token == UPDATE {
            return self.update_delivered();
        }
        if let Some(token) = NonZeroU64::new(delivered.token) {
            let token = CallToken(token);
            let of_child = match &mut self.stage {
                Stage::Open(open) => open.children.as_mut().and_then(|it| it.take_sent(token)),
                _ => None,
            };
            if let Some(child) = of_child {
                // The child itself said nothing (GW-064).
                self.shared.node.calls.progress(child, token, CallProgress::Delivered);
                return;
            }
            self.progress(token, CallProgress::Delivered);
            // AC-013: that the device has a call is a word of its own.
            if let Stage::Open(open) = &self.stage {
                open.mailbox.hear(self.shared.node.clock.monotonic_ms());
            }
        }
    }

    /// Tells whoever called the device what became of that.
    fn progress(&self, token: CallToken, progress: CallProgress) {
        let Stage::Open(open) = &self.stage else { return };
        self.shared.node.calls.progress(open.login.device_id, token, progress);
    }
}

const fn reason_of(error: PackageError) -> Reason {
    match error {
        PackageError::PayloadTooLarge => Reason::PackageChunkTooLarge,
        PackageError::NotFound => Reason::PackageNotFound,
        PackageError::Failure => Reason::PackageFailed,
    }
}

/// The token of messages nobody asks after.
pub(super) const UNTOLD: u64 = 0;
/// The token of changes that a kept session is owed until they are acknowledged; calls count up from 1.
pub(super) const UPDATE: u64 = u64::MAX;
/// Largest message to a device in bytes, so that one that does not read cannot hold more (L-17).
const DOWNLINK_MAX: usize = 1024 * 1024;
