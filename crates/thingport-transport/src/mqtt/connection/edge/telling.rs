//! What an edge node and its devices are told: commands, and whether the host is there.

use std::sync::Arc;

use thingport_core::metrics::Bound;
use thingport_device::sparkplug::{Command, state};
use thingport_model::downlink::Downlink;
use thingport_model::id::DeviceId;
use thingport_model::reason::Reason;
use thingport_model::rpc::{Call, CallProgress, CallToken};
use thingport_mqtt::session::{Message, Sent};
use thingport_mqtt::topic::TopicName;
use thingport_mqtt::version::Qos;

use crate::mqtt::connection::downlinks::UNTOLD;
use crate::mqtt::connection::questions::After;
use crate::mqtt::connection::{Connection, Open, Stage};
use crate::mqtt::scratch::Desk;

/// What it is told.
impl Connection {
    /// Tells the edge node, or the device with this name, what becomes a command. False when it is for
    /// the topics of the device API.
    pub(in crate::mqtt::connection) fn tell_edge(
        &mut self,
        child: Option<(&str, DeviceId)>,
        downlink: &Downlink,
        desk: &mut Desk,
    ) -> bool {
        let Stage::Open(Open { edge: Some(edge), link, login, .. }) = &self.stage else {
            return false;
        };
        let (wants_calls, wants_updates) =
            (link.rpc_requests().is_some(), link.attribute_updates().is_some());
        let place = edge.node.place();
        let whom = child.map(|(name, _)| name.strip_prefix(&*place.child("")).unwrap_or(name));
        let device = child.map_or(login.device_id, |(_, device)| device);
        let now = self.shared.node.clock.now();
        match downlink {
            Downlink::AttributesSet(attributes) => {
                let (commands, rejects) = edge.node.updates(whom, attributes, now);
                for reject in rejects {
                    self.record(reject.reason, &reject.detail);
                }
                for command in commands {
                    self.send_command(&command, UNTOLD, desk);
                }
                child.is_some() || !wants_updates
            }
            Downlink::Call { call, .. }
                if wants_calls && child.is_none() && call.method != NCMD =>
            {
                false
            }
            Downlink::Call { call, token, .. } => {
                let told = edge.node.call(whom, call, now);
                let sent = told.command.map(|it| self.send_command(&it, token.0.get(), desk));
                let progress = sent.map_or(CallProgress::Impossible, progress_of);
                if child.is_some()
                    && progress == CallProgress::Sent
                    && let Some(children) = self.children()
                {
                    children.note_sent(*token, device);
                }
                self.answer_call((device, *token), call, (progress, told.answer), desk);
                true
            }
            _ => child.is_some(),
        }
    }

    /// The caller is answered as soon as the command was sent: nothing else will ever be heard of it
    /// (SP-090). One that cannot be sent is answered too, and has failed if nobody waits for answers.
    fn answer_call(
        &mut self,
        (device, token): (DeviceId, CallToken),
        call: &Call,
        (progress, answer): (CallProgress, String),
        desk: &mut Desk,
    ) {
        let node = Arc::clone(&self.shared.node);
        let id = call.id;
        match progress {
            CallProgress::NotNow => return node.calls.progress(device, token, progress),
            CallProgress::Sent | CallProgress::Delivered => {
                node.calls.progress(device, token, progress);
            }
            CallProgress::Impossible => {}
        }
        let answered = async move {
            node.calls.answered(device, id, answer).await?;
            if progress == CallProgress::Impossible {
                node.calls.progress(device, token, progress);
            }
            Ok(None)
        };
        self.run(After::Tell, Box::pin(answered), desk);
    }

    pub(super) fn send_command(&mut self, command: &Command, token: u64, desk: &mut Desk) -> Sent {
        let is_confirmed = self.shared.config.sparkplug.confirms_commands;
        let qos = if is_confirmed { Qos::AtLeastOnce } else { Qos::AtMostOnce };
        self.send_to_edge(command, (qos, false), token, desk)
    }

    /// Whether the host is there, if the edge node asked to be told: retained, as a state is
    /// (tck-id-host-topic-phid-birth-retain).
    pub(in crate::mqtt::connection) fn send_state(&mut self, is_online: bool, desk: &mut Desk) {
        if !matches!(&self.stage, Stage::Open(Open { edge: Some(_), .. })) {
            return;
        }
        let node = &self.shared.node;
        let since = node.edge_nodes.since();
        let at = if is_online { since } else { node.clock.now().max(since) };
        let command = state(&self.shared.config.sparkplug.host_id, is_online, at);
        let topic = TopicName::parse(&command.topic);
        if topic.is_ok_and(|topic| self.session.granted(topic).is_some()) {
            self.send_to_edge(&command, (Qos::AtLeastOnce, true), UNTOLD, desk);
        }
    }

    fn send_to_edge(
        &mut self,
        command: &Command,
        (qos, retain): (Qos, bool),
        token: u64,
        desk: &mut Desk,
    ) -> Sent {
        // Made of ids that were topic levels before.
        let Ok(topic) = TopicName::parse(&command.topic) else { return Sent::Closed };
        let (payload, qos) = (command.payload.as_slice(), Some(qos));
        let message = Message { topic, payload, qos, token, expires_ms: None, retain };
        let now_ms = self.shared.node.clock.monotonic_ms();
        let sent = self.session.publish(now_ms, &message, &mut desk.out);
        let metrics = &self.shared.node.metrics;
        match sent {
            Sent::Unacknowledged | Sent::InFlight | Sent::Waiting => metrics.downlinks.add(1),
            Sent::Full => metrics.count_bound(Bound::Downlinks),
            Sent::TooLarge | Sent::Closed => {}
        }
        match sent {
            Sent::Full => self.record(Reason::TooManyDownlinks, &command.topic),
            Sent::TooLarge => self.record(Reason::DownlinkTooLarge, &command.topic),
            _ => {}
        }
        sent
    }
}

const fn progress_of(sent: Sent) -> CallProgress {
    match sent {
        Sent::Unacknowledged => CallProgress::Delivered,
        Sent::InFlight | Sent::Waiting => CallProgress::Sent,
        Sent::TooLarge => CallProgress::Impossible,
        Sent::Full | Sent::Closed => CallProgress::NotNow,
    }
}

/// The call that is a command whatever else the edge node subscribed to.
const NCMD: &str = "NCMD";
