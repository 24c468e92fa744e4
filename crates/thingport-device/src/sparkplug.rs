//! Sparkplug B: the conversation with one edge node, as its host.
//!
//! # Contract
//!
//! [`EdgeNode::open`] takes the certificate that was read from the will. Then each publication goes to
//! [`EdgeNode::handle_publish`], the passing of time to [`EdgeNode::handle_timeout`], the end of the
//! connection to [`EdgeNode::handle_end`]; after each, all of [`EdgeNode::poll_step`] is drained, in
//! order, before the next. Time never runs backwards and [`EdgeNode::poll_timeout`] says when to come
//! back. What belongs to one publication carries the tag that came with it.
//!
//! Nothing here knows MQTT packets, ids or a store. A message that comes too early is held back until
//! those before it have come, or a timeout has passed; a gap is answered by asking for a rebirth.
//!
//! Rules are named by the ids of Sparkplug 3.0 (`tck-id-...`) and of the device API (SP-001...).

mod certificate;
mod collect;
mod command;
mod compound;
pub mod datatype;
mod model;
mod order;
mod payload;
mod settings;
pub mod topic;
mod value;

use std::collections::VecDeque;
use std::sync::Arc;

use thingport_model::edge_node::{OFFLINE, ONLINE, STATE_KEY};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use crate::reject::Reject;
use certificate::BD_SEQ;
pub use certificate::{Certificate, Will};
pub use command::{Command, Told, state};
use datatype::DataType;
pub use model::Whom;
use model::{Birth, Model, refused};
use order::{Asking, Order, Rebirths, Turn};
use payload::Payload;
pub use settings::Settings;
use topic::{Kind, Place};

/// The conversation with one edge node. `T` names a publication.
#[derive(Debug)]
pub struct EdgeNode<T> {
    place: Place,
    bd_seq: u8,
    settings: Arc<Settings>,
    model: Model,
    order: Order<Early<T>>,
    rebirths: Rebirths,
    steps: VecDeque<Step<T>>,
    /// When the connection was opened, or the edge node died in it the last time.
    floor: Timestamp,
}

/// What is to be done because of what an edge node said.
#[derive(Debug)]
pub enum Step<T> {
    /// Readings to be kept.
    Said(Box<Said>),
    /// All that this publication said has been told: it is answered when that is kept.
    Done(T),
    /// The publication is of no use: it is answered as any other of its kind.
    Refused(T, Reject),
    /// The publication was understood and does not count; the edge node stays, whatever its version.
    Declined(T, Reject),
    /// The edge node is told something.
    Send(Command),
    /// Something to be known of, that needs no answer.
    Noted(Reject),
}

/// What one publication says about the edge node or one device.
#[derive(Debug, Default)]
pub struct Said {
    /// About whom.
    pub whom: Whom,
    /// Whether it was born or died with this.
    pub life: Option<Life>,
    /// Telemetry.
    pub telemetry: Readings,
    /// Attributes of the shared scope (SP-043).
    pub shared: Readings,
    /// Attributes of the client scope: properties of metrics.
    pub client: Readings,
}

/// A birth or a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is there from now on, and takes commands.
    Born,
    /// It is not there any more.
    Dead,
}

/// What the clocks say: the time of day, and milliseconds that only move forward.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time of day.
    pub now: Timestamp,
    /// For durations.
    pub now_ms: u64,
}

/// A publication that is held back.
#[derive(Debug)]
struct Early<T> {
    kind: Kind,
    device: Option<Box<str>>,
    payload: Box<[u8]>,
    now: Timestamp,
    tag: T,
}

/// A publication that is read.
struct Publication<'a, T> {
    kind: Kind,
    device: Option<&'a str>,
    payload: Payload<'a>,
    /// Bytes of the payload.
    size: usize,
    moment: Moment,
    tag: T,
}

impl<T> EdgeNode<T> {
    /// Begins with the certificate in the will of a connection that was opened `now`.
    #[must_use]
    pub fn open(certificate: &Certificate, settings: Arc<Settings>, now: Timestamp) -> Self {
        Self {
            place: certificate.place.clone(),
            bd_seq: certificate.bd_seq,
            order: Order::new(settings.reorder_timeout_ms),
            settings,
            model: Model::default(),
            rebirths: Rebirths::default(),
            steps: VecDeque::new(),
            floor: now,
        }
    }

    /// Group and edge node.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Whether there was a birth and no death since: commands can be sent (section 9).
    #[must_use]
    pub fn is_born(&self, whom: Option<&str>) -> bool {
        self.model.subject(whom).is_some_and(|it| it.born_at.is_some())
    }

    /// The next thing to do.
    pub fn poll_step(&mut self) -> Option<Step<T>> {
        self.steps.pop_front()
    }

    /// When to come back, if nothing comes before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.order.poll_timeout().into_iter().chain(self.rebirths.poll_timeout()).min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, moment: Moment) {
        if self.order.poll_timeout().is_some_and(|at_ms| at_ms <= moment.now_ms) {
            // tck-id-operational-behavior-host-reordering-rebirth
            self.catch_up(moment);
            self.want_rebirth(Reason::SparkplugOrder, "messages are missing", moment);
        }
        if self.rebirths.ask(moment.now_ms) == Asking::Now {
            self.ask_for_rebirth(moment.now);
        }
    }

    /// The connection has ended, for whatever reason: the edge node and its devices are dead.
    pub fn handle_end(&mut self, moment: Moment) {
        self.catch_up(moment);
        self.die(moment.now);
    }

    /// A publication in the name space of Sparkplug.
    pub fn handle_publish(&mut self, topic: &str, payload: &[u8], moment: Moment, tag: T) {
        let (kind, device) = match self.place.read(topic) {
            Ok(found) => found,
            Err(reject) => return self.steps.push_back(Step::Refused(tag, reject)),
        };
        let size = payload.len();
        match Payload::read(payload, self.settings.metrics_max) {
            Ok(payload) => {
                self.arrange(Publication { kind, device, payload, size, moment, tag });
            }
            Err(reject) => {
                if matches!(kind, Kind::NodeBirth | Kind::DeviceBirth) {
                    self.want_rebirth_for(None, "a birth cannot be read", moment);
                }
                self.steps.push_back(Step::Refused(tag, reject));
            }
        }
    }
}

/// Order.
impl<T> EdgeNode<T> {
    /// Finds out whose turn it is.
    fn arrange(&mut self, said: Publication<'_, T>) {
        match said.kind {
            Kind::NodeBirth => {
                self.catch_up(said.moment);
                return self.handle_node_birth(said);
            }
            Kind::NodeDeath => {
                self.catch_up(said.moment);
                return self.handle_node_death(said);
            }
            _ => {}
        }
        let moment = said.moment;
        if !self.is_born(None) {
            let why = "the edge node sent data before its birth";
            self.want_rebirth(Reason::SparkplugNotBorn, why, moment);
            return self.handle(said);
        }
        let Some(seq) = said.payload.seq.and_then(|seq| u8::try_from(seq).ok()) else {
            // tck-id-payloads-sequence-num-always-included
            self.want_rebirth(Reason::SparkplugOrder, "a message has no number", moment);
            return self.handle(said);
        };
        match self.order.place(seq, said.size) {
            Turn::Now => {
                self.handle(said);
                while let Some(early) = self.order.next_held() {
                    self.handle_early(early, moment);
                }
            }
            Turn::Held => {
                let Publication { kind, device, payload, size, moment, tag } = said;
                let (device, payload) = (device.map(Into::into), payload.bytes().into());
                let early = Early { kind, device, payload, now: moment.now, tag };
                self.order.hold(seq, size, early, moment.now_ms);
            }
            Turn::Gap => {
                self.catch_up(moment);
                self.order.skip_to(seq);
                self.handle(said);
                self.want_rebirth(Reason::SparkplugOrder, "messages are missing", moment);
            }
        }
    }

    /// What was held back is handled in order of arrival: nothing is thrown away.
    fn catch_up(&mut self, moment: Moment) {
        for early in self.order.give_up() {
            self.handle_early(early, moment);
        }
    }

    fn handle_early(&mut self, early: Early<T>, moment: Moment) {
        let Early { kind, device, payload, now, tag } = early;
        let (size, moment) = (payload.len(), Moment { now, ..moment });
        match Payload::read(&payload, self.settings.metrics_max) {
            Ok(payload) => {
                let device = device.as_deref();
                self.handle(Publication { kind, device, payload, size, moment, tag });
            }
            // It could be read when it came.
            Err(reject) => self.steps.push_back(Step::Refused(tag, reject)),
        }
    }

    fn want_rebirth(&mut self, reason: Reason, why: &str, moment: Moment) {
        self.want_rebirth_for(Some(reason), why, moment);
    }

    /// Without a reason: the refusal that follows tells it.
    fn want_rebirth_for(&mut self, reason: Option<Reason>, why: &str, moment: Moment) {
        match self.rebirths.want(moment.now_ms) {
            Asking::Now => {
                if let Some(reason) = reason {
                    self.note(reason, why);
                }
                self.ask_for_rebirth(moment.now);
            }
            Asking::GivenUp => self.note(Reason::SparkplugNoRebirth, why),
            Asking::Later | Asking::Never => {}
        }
    }

    /// tck-id-operational-behavior-data-commands-ncmd-rebirth-name
    fn ask_for_rebirth(&mut self, now: Timestamp) {
        let command = command::rebirth(&self.place, now);
        self.steps.push_back(Step::Send(command));
    }

    fn note(&mut self, reason: Reason, what: impl Into<String>) {
        self.steps.push_back(Step::Noted(Reject::new(reason, what)));
    }
}

/// Births and deaths.
impl<T> EdgeNode<T> {
    fn handle(&mut self, said: Publication<'_, T>) {
        match said.kind {
            Kind::NodeBirth => self.handle_node_birth(said),
            Kind::NodeDeath => self.handle_node_death(said),
            Kind::NodeData => self.handle_data(said),
            Kind::DeviceData => {
                let is_born = said.device.is_some_and(|device| self.is_born(Some(device)));
                if !is_born {
                    let why = "a device sent data before its birth";
                    self.want_rebirth(Reason::SparkplugNotBorn, why, said.moment);
                }
                self.handle_data(said);
            }
            Kind::DeviceBirth => self.handle_device_birth(said),
            Kind::DeviceDeath => self.handle_device_death(said),
        }
    }

    fn handle_node_birth(&mut self, said: Publication<'_, T>) {
        let born = self.check_bd_seq(said.payload).and_then(|()| {
            self.model.bear_node(Birth::read(said.payload, true)?, self.settings.metrics_max)
        });
        let devices = match born {
            Ok(devices) => devices,
            Err(reject) => return self.decline(said, reject),
        };
        // Offline until they are born, too.
        let reborn_at = said.payload.at.unwrap_or(said.moment.now);
        for (id, born_at) in devices {
            let dead = Said::dead(Some(id), born_at.max(reborn_at));
            self.steps.push_back(Step::Said(Box::new(dead)));
        }
        let seq = said.payload.seq.and_then(|seq| u8::try_from(seq).ok());
        self.order.skip_to(seq.unwrap_or(0));
        let rebirth = self.model.node.metric(command::REBIRTH);
        self.rebirths.born(rebirth.is_some_and(|it| it.kind == DataType::Boolean));
        self.bear(None, said, "NBIRTH");
    }

    /// tck-id-topics-nbirth-bdseq-matching, tck-id-payloads-nbirth-bdseq-repeat
    fn check_bd_seq(&self, payload: Payload<'_>) -> Result<(), Reject> {
        let metric = payload.metrics().find(|metric| metric.name == Some(BD_SEQ));
        match metric.map(|metric| certificate::bd_seq(&metric)) {
            None if self.settings.requires_bd_seq => Err(refused("there is no metric bdSeq")),
            None => Ok(()),
            Some(found) if found == Some(self.bd_seq) => Ok(()),
            Some(_) => Err(refused(format!("bdSeq is not {}, as in the will", self.bd_seq))),
        }
    }

    fn handle_device_birth(&mut self, said: Publication<'_, T>) {
        let Some(device) = said.device else { return };
        // tck-id-message-flow-device-birth-publish-nbirth-wait
        if !self.is_born(None) {
            let what = "a device was born before its edge node";
            let reject = Reject::new(Reason::SparkplugNotBorn, what);
            return self.steps.push_back(Step::Declined(said.tag, reject));
        }
        let born = Birth::read(said.payload, false)
            .and_then(|birth| self.model.bear_device(device, birth, self.settings.metrics_max));
        match born {
            Ok(device) => self.bear(Some(device), said, "DBIRTH"),
            Err(reject) => self.decline(said, reject),
        }
    }

    /// A birth that breaks the rules does not count; another one may be better.
    fn decline(&mut self, said: Publication<'_, T>, reject: Reject) {
        self.want_rebirth_for(None, &reject.detail, said.moment);
        self.steps.push_back(Step::Declined(said.tag, reject));
    }

    /// Keeps a birth. The state is kept at its own time; where the clock of the edge node is behind, at
    /// the server's too, since an older death would outshine it.
    fn bear(&mut self, whom: Whom, said: Publication<'_, T>, kind: &'static str) {
        let Moment { now, .. } = said.moment;
        let born_at = said.payload.at.unwrap_or(now);
        let mut heard = Said { whom, life: Some(Life::Born), ..Said::default() };
        if let Some(subject) = self.model.subject_mut(heard.whom.as_deref()) {
            subject.born_at = Some(born_at);
        }
        heard.telemetry.push(born_at, STATE_KEY, ValueRef::String(ONLINE));
        if born_at < self.floor {
            heard.telemetry.push(now.max(self.floor), STATE_KEY, ValueRef::String(ONLINE));
        }
        if let (Kind::DeviceBirth, Some(seq)) = (said.kind, said.payload.seq) {
            let seq = i64::try_from(seq).unwrap_or(i64::MAX);
            heard.telemetry.push(born_at, "DBIRTH seq", ValueRef::Long(seq));
        }
        self.collect(&said, kind, &mut heard);
        self.finish(heard, said.tag);
    }

    /// A published death counts with the number of this session alone
    /// (tck-id-payloads-ndeath-bdseq).
    fn handle_node_death(&mut self, said: Publication<'_, T>) {
        let metric = said.payload.metrics().find(|metric| metric.name == Some(BD_SEQ));
        if metric.and_then(|metric| certificate::bd_seq(&metric)) == Some(self.bd_seq) {
            self.die(said.moment.now);
        } else {
            self.note(Reason::SparkplugRemark, "a death certificate of another session came");
        }
        self.steps.push_back(Step::Done(said.tag));
    }

    /// tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline
    fn die(&mut self, now: Timestamp) {
        let model = core::mem::take(&mut self.model);
        if model.node.born_at.is_none() {
            return;
        }
        let mut all = vec![(None, &model.node)];
        all.extend(model.devices.iter().map(|(id, it)| (Some(Arc::clone(id)), it)));
        for (whom, subject) in all.into_iter().filter(|(_, it)| it.born_at.is_some()) {
            // Not before the birth, by whatever clock: the newest word counts.
            let died_at = subject.born_at.map_or(now, |born_at| born_at.max(now));
            self.steps.push_back(Step::Said(Box::new(Said::dead(whom, died_at))));
        }
        self.floor = now;
    }

    /// tck-id-operational-behavior-device-ddeath, by the id or by the whole name (SP-035).
    fn handle_device_death(&mut self, said: Publication<'_, T>) {
        let Some(level) = said.device else { return };
        let full = self.place.bare_id(level).filter(|_| !self.model.devices.contains_key(level));
        let device = full.unwrap_or(level);
        let died_at = said.payload.at.unwrap_or(said.moment.now);
        if let Some((id, subject)) = self.model.devices.get_key_value(device)
            && let Some(born_at) = subject.born_at
        {
            let dead = Said::dead(Some(Arc::clone(id)), died_at.max(born_at));
            self.steps.push_back(Step::Said(Box::new(dead)));
            if let Some(subject) = self.model.devices.get_mut(device) {
                subject.born_at = None;
            }
        }
        self.steps.push_back(Step::Done(said.tag));
    }
}

impl Said {
    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.telemetry.is_empty() && self.shared.is_empty() && self.client.is_empty()
    }

    fn dead(whom: Whom, at: Timestamp) -> Self {
        let mut it = Self { whom, life: Some(Life::Dead), ..Self::default() };
        it.telemetry.push(at, STATE_KEY, ValueRef::String(OFFLINE));
        it
    }
}

#[cfg(test)]
mod tests;
