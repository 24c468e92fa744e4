//! What is noted of a connection: that it is there, that something was heard, that it is gone; and what it
//! says of itself when somebody asks.

use thingport_core::presence::{Carrier, Line};
use thingport_mqtt::session::Event;

use super::{Connection, Stage};
use crate::mqtt::login;
use crate::stream::Stream;

impl Connection {
    /// Notes what counts as activity (LS-061): one relaxed store per packet.
    pub(super) fn hear(&mut self, event: &Event<'_>, now_ms: u64) {
        let is_activity = matches!(
            event,
            Event::Publish(_) | Event::Subscribe(_) | Event::Unsubscribe(_) | Event::Ping
        );
        if let Stage::Open(open) = &mut self.stage
            && is_activity
        {
            if let Some(children) = &mut open.children {
                children.refresh_activity(now_ms);
            }
            open.mailbox.hear(now_ms);
        }
    }

    /// How the device is connected.
    pub(super) fn line(&self) -> Option<Line> {
        let Stage::Open(open) = &self.stage else { return None };
        Some(Line {
            protocol: login::protocol(self.session.version()),
            carrier: self.carrier(),
            remote: self.remote.to_string(),
            client_id: open.greeting.client_id.to_string(),
            tls: open.greeting.tls.as_deref().copied(),
        })
    }

    pub(super) const fn carrier(&self) -> Carrier {
        match &self.stream {
            Stream::Plain(_) => Carrier::Tcp,
            Stream::Tls(_) => Carrier::Tls,
            Stream::Other(_) => Carrier::WebSocket,
        }
    }
}
