//! What the server sends to a client: publications, and what becomes of them.

use thingport_core::metrics::Bound;
use thingport_mqtt::session::{Delivered, Message, Sent};
use thingport_mqtt::topic::TopicName;

use super::Connection;
use crate::mqtt::scratch::Desk;

/// Downlinks.
impl Connection {
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
        token: u64,
        desk: &mut Desk,
    ) -> Sent {
        let message = Message { topic, payload, qos: None, token };
        let sent = self.session.publish(&message, &mut desk.out);
        let metrics = &self.shared.node.metrics;
        match sent {
            Sent::Unacknowledged | Sent::InFlight | Sent::Waiting => metrics.downlinks.add(1),
            Sent::Full => metrics.count_bound(Bound::Downlinks),
            Sent::TooLarge | Sent::Closed => {}
        }
        sent
    }

    /// The client has a publication; those that waited for its place are in the output already.
    pub(super) fn handle_delivered(&self, _delivered: Delivered) {
        self.shared.node.metrics.downlinks_delivered.add(1);
    }
}
