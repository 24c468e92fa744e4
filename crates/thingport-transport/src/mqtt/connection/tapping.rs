//! What a traced connection shows of itself. One that is not traced has no tap, and does nothing here.

use std::sync::Arc;

use thingport_core::admit::Refused;
use thingport_core::presence::Mailbox;
use thingport_core::registry::DeviceLogin;
use thingport_core::trace::{Shown, Trace, Why};
use thingport_model::port::ledger::Receipt;
use thingport_model::reason::Reason;
use thingport_mqtt::session::Event;

use super::{Connection, Open, Stage};
use crate::mqtt::login::{self, Caller};
use crate::mqtt::scratch::Desk;
use crate::mqtt::tap::{ConnectFields, Tap};

impl Connection {
    /// The tap for this turn. While nothing is traced anywhere, one relaxed load.
    pub(super) fn tap(&self) -> Option<Box<Tap>> {
        if !self.shared.node.traces.any() {
            return None;
        }
        let open = self.open().filter(|open| open.mailbox.is_traced())?;
        let trace = self.shared.node.traces.running(open.login.device_id)?;
        Some(Box::new(self.new_tap(trace, Some(open.mailbox.number().0))))
    }

    /// Shows what is written, and what happened besides.
    pub(super) fn finish_tap(&self, desk: &mut Desk) {
        if let Some(tap) = desk.tap.take() {
            tap.left(&desk.out, self.shared.node.clock.now());
        }
    }

    /// A device is let in.
    pub(super) fn show_login(
        &self,
        caller: &mut Caller,
        login: &DeviceLogin,
        mailbox: &Mailbox,
        desk: &mut Desk,
    ) {
        let node = &self.shared.node;
        let Some(trace) = node.traces.opened(login.device_id, mailbox) else { return };
        let tap = self.new_tap(trace, Some(mailbox.number().0));
        let fields = self.connect_fields(caller);
        tap.connected(&caller.shown(login.kind), fields, node.clock.now(), None);
        desk.tap = Some(Box::new(tap));
    }

    /// A client is not let in; shown where its device was found.
    pub(super) fn show_refusal(&self, caller: &mut Caller, refused: &Refused, desk: &mut Desk) {
        let (node, Some(login)) = (&self.shared.node, &refused.device) else { return };
        let Some(trace) = node.traces.running(login.device_id) else { return };
        let tap = self.new_tap(trace, None);
        let fields = self.connect_fields(caller);
        let why = Why { reason: refused.reason, detail: refused.detail.clone() };
        tap.connected(&caller.shown(login.kind), fields, node.clock.now(), Some(why));
        desk.tap = Some(Box::new(tap));
    }

    /// A packet is about to be handled.
    pub(super) fn show_event(&self, event: &Event<'_>, desk: &mut Desk) {
        let Some(tap) = &mut desk.tap else { return };
        tap.begin(self.shared.node.clock.now());
        if let (Event::Publish(publish), Some(open)) = (event, self.open()) {
            let topic = publish.topic.as_str();
            tap.publication(topic, open.link.carries_secrets(topic));
        }
    }

    /// A packet is handled; `bytes` are what was read since the one before.
    pub(super) fn show_packets(&self, bytes: &[u8], is_violation: bool, desk: &mut Desk) {
        if let Some(tap) = &mut desk.tap {
            tap.arrived(bytes, is_violation, self.shared.node.clock.now());
        }
    }

    /// Packets were handled that nobody had to hear of.
    pub(super) fn show_silent_packets(&self, bytes: &[u8], desk: &Desk) {
        if let Some(tap) = &desk.tap {
            tap.arrived_silently(bytes, self.shared.node.clock.now());
        }
    }

    /// A publication is durable, or will never be.
    pub(super) fn show_commit(&self, receipt: Receipt, ok: bool, desk: &Desk) {
        if let Some(tap) = &desk.tap {
            tap.committed(receipt, self.shared.node.clock.now(), ok);
        }
    }

    /// An incident of a connection is kept: its trace shows it, too.
    pub(super) fn show_reason(&self, open: &Open, reason: Reason, detail: &str) {
        if open.mailbox.is_traced()
            && let Some(trace) = self.shared.node.traces.running(open.login.device_id)
        {
            let number = Some(open.mailbox.number().0);
            trace.give_reason(number, login::protocol(self.session.version()), reason, detail);
        }
    }

    fn open(&self) -> Option<&Open> {
        match &self.stage {
            Stage::Open(open) => Some(open),
            Stage::Refreshing(refreshing) => Some(&refreshing.open),
            _ => None,
        }
    }

    fn new_tap(&self, trace: Arc<Trace>, connection: Option<u64>) -> Tap {
        Tap::new(trace, connection, self.version(), login::protocol(self.session.version()))
    }

    /// What a CONNECT said besides, and how the client is connected.
    fn connect_fields(&self, caller: &mut Caller) -> ConnectFields {
        let text = |text: &str| Shown::Text(text.to_owned());
        let mut fields = caller.take_fields();
        fields.push(("transport", text(self.carrier().name())));
        fields.push(("remote", text(&self.remote.to_string())));
        if let Some((version, cipher)) = caller.tls() {
            fields.push(("tls", text(&format!("{version} {cipher}"))));
        }
        fields
    }
}
