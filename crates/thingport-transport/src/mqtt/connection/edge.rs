//! An edge node of Sparkplug B: what it says, what it is told, and its death.
//!
//! The state machine in `thingport-device` says what is to be done, step by step; here each step is carried
//! out before the next: kept, looked up, sent. Its devices are children, as those of a gateway. Nothing is
//! read while a step waits, so what the edge node says is kept in the order in which it is meant.

mod telling;

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use thingport_core::children::{ChildTask, Children, Finished, Step as Progress};
use thingport_core::edge_nodes::{EdgeNodeHold, mark, unmark};
use thingport_core::node::Node;
use thingport_core::registry::{DeviceLogin, FoundChild};
use thingport_device::sparkplug::topic::{Wish, is_ours};
use thingport_device::sparkplug::{
    Certificate, EdgeNode, Life, Moment, Said, Settings, Step, Whom,
};
use thingport_model::child::{ChildBatch, ChildSaid, ChildUplink};
use thingport_model::id::DeviceId;
use thingport_model::port::ledger::{AppendError, LedgerState, Receipt};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::uplink::Uplink;
use thingport_mqtt::session::Delivery;
use thingport_mqtt::version::Qos;
use tokio::task::JoinHandle;

use super::downlinks::UNTOLD;
use super::{Connection, Open, Stage, Stalled, Then};
use crate::mqtt::answer;
use crate::mqtt::login::EdgeStart;
use crate::mqtt::scratch::Desk;

/// The conversation with an edge node.
pub(super) struct Edge {
    node: EdgeNode<Delivery>,
    /// Let go when its death is in line for the ledger.
    hold: EdgeNodeHold,
    /// The step that is being carried out.
    work: Option<Work>,
    /// Whose birth the step is.
    newborn: Option<Whom>,
    /// Those that were born in this connection: they are marked until it ends.
    marked: BTreeMap<Whom, DeviceId>,
    /// What was refused of the publication at hand.
    fault: Option<(Reason, String)>,
    /// Steps are left that something has to happen before.
    is_halted: bool,
    /// Its device was deleted: nothing more is kept of it.
    is_deleted: bool,
    /// When it is looked whether storage is well again; none while it is, as far as is known.
    storage_check_ms: Option<u64>,
}

enum Work {
    /// What the edge node says of itself.
    Own(VecDeque<ChildUplink>),
    /// What a device says, and the search for it.
    Child(Box<ChildTask>, Option<JoinHandle<Vec<FoundChild>>>),
}

impl Edge {
    /// Begins with what login found; see [`Connection::open_edge`].
    pub(super) fn open(start: EdgeStart, settings: Arc<Settings>, now: Timestamp) -> Box<Self> {
        let EdgeStart { certificate, hold } = start;
        let node = EdgeNode::open(&certificate, settings, now);
        let Certificate { readings, .. } = *certificate;
        let work = Some(Work::Own([ChildUplink::Telemetry(readings)].into()));
        Box::new(Self {
            node,
            hold,
            work,
            newborn: None,
            marked: BTreeMap::new(),
            fault: None,
            is_halted: true,
            is_deleted: false,
            storage_check_ms: None,
        })
    }

    /// When time has to be noticed.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.node.poll_timeout().into_iter().chain(self.storage_check_ms).min()
    }

    /// Whether it takes commands.
    pub(super) fn is_born(&self) -> bool {
        self.node.is_born(None)
    }

    /// What a filter asks for; none when it may not.
    pub(super) fn wish(&self, filter: &str, host_id: &str) -> Option<Wish> {
        self.node.place().wish(filter, host_id)
    }

    /// What the names of its devices begin with.
    pub(super) fn prefix(&self) -> String {
        self.node.place().child("")
    }
}

/// What it says.
impl Connection {
    /// Whether a publication is for the edge node's own conversation.
    pub(super) fn is_for_edge(&self, topic: &str) -> bool {
        matches!(&self.stage, Stage::Open(Open { edge: Some(_), .. })) && is_ours(topic)
    }

    pub(super) fn handle_edge_publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        delivery: Delivery,
        desk: &mut Desk,
    ) {
        if let Some(tap) = &mut desk.tap {
            tap.means(&Uplink::Children(&ChildBatch::default()), payload);
        }
        let moment = self.moment();
        let Some(edge) = self.edge() else { return };
        edge.node.handle_publish(topic, payload, moment, delivery);
        self.proceed_edge(desk);
    }

    /// Begins the conversation with what login found in the will; it goes on after CONNACK.
    pub(super) fn open_edge(&mut self, start: Option<EdgeStart>) {
        let Some(start) = start else { return };
        if let Some(reject) = &start.certificate.remark {
            self.record(reject.reason, &reject.detail);
        }
        let (now, config) = (self.shared.node.clock.now(), &self.shared.config);
        let Stage::Open(open) = &mut self.stage else { return };
        let mqtt = open.login.profile.mqtt.as_ref();
        let attributes = mqtt.and_then(|it| it.sparkplug_attribute_metrics.clone());
        let settings = Settings {
            attribute_metrics: attributes.unwrap_or_default(),
            requires_bd_seq: config.sparkplug.requires_bd_seq,
            reorder_timeout_ms: config.sparkplug.reorder_timeout_ms,
            metrics_max: config.sparkplug.metrics_max,
            text_max: config.typing.max_string_value_length,
        };
        open.edge = Some(Edge::open(start, Arc::new(settings), now));
    }

    pub(super) fn handle_edge_timeout(&mut self, now_ms: u64, desk: &mut Desk) {
        let moment = self.moment();
        let is_stalled = self.stalled.is_some();
        let Some(edge) = self.edge() else { return };
        if edge.storage_check_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            return self.watch_storage(desk);
        }
        if edge.poll_timeout().is_some_and(|at_ms| at_ms <= now_ms) {
            edge.node.handle_timeout(moment);
            if is_stalled {
                edge.is_halted = true;
            } else {
                self.proceed_edge(desk);
            }
        }
    }

    /// Goes on with what is left, once nothing has to happen first.
    pub(super) fn resume_edge(&mut self, desk: &mut Desk) {
        if self.stalled.is_none() && self.edge().is_some_and(|edge| edge.is_halted) {
            self.proceed_edge(desk);
        }
    }

    /// What is waited for: a search, or room in the ledger's line.
    pub(super) fn poll_edge(&mut self, cx: &mut Context<'_>) {
        let node = Arc::clone(&self.shared.node);
        let Some(edge) = self.edge() else { return };
        let found = match &mut edge.work {
            Some(Work::Child(_, Some(finding))) => match Pin::new(finding).poll(cx) {
                Poll::Pending => return,
                Poll::Ready(found) => Some(found.unwrap_or_default()),
            },
            _ if node.ledger.poll_ready(cx).is_pending() => return,
            _ => None,
        };
        self.stalled = None;
        if let Some(found) = found {
            self.adopt(found);
        }
    }

    fn adopt(&mut self, found: Vec<FoundChild>) {
        let node = Arc::clone(&self.shared.node);
        let Some(mut work) = self.edge().and_then(|edge| edge.work.take()) else { return };
        if let Work::Child(task, finding) = &mut work
            && let Some(children) = self.children()
        {
            *finding = None;
            if found.is_empty() {
                // Nobody was found because the search itself came to nothing.
                let wishes = children.strangers(task).into_iter();
                let lost = wishes.map(|wish| FoundChild {
                    name: wish.name,
                    device: Err(Reason::ChildNotMade.into()),
                });
                children.adopt(&node, lost.collect(), task);
            } else {
                children.adopt(&node, found, task);
            }
        }
        if let Some(edge) = self.edge() {
            edge.work = Some(work);
        }
    }

    /// Carries out steps until none is left or one has to wait.
    fn proceed_edge(&mut self, desk: &mut Desk) {
        loop {
            self.settle_edge();
            let is_stalled = self.stalled.is_some();
            let Some(edge) = self.edge() else { return };
            edge.is_halted = is_stalled;
            if is_stalled {
                return;
            }
            let Some(step) = edge.node.poll_step() else { return };
            match step {
                Step::Said(said) => self.begin_said(*said),
                Step::Done(delivery) => self.finish_said(delivery, desk),
                Step::Refused(delivery, reject) | Step::Declined(delivery, reject) => {
                    self.refuse_in_turn((reject.reason, reject.detail), delivery, desk);
                }
                Step::Send(command) => {
                    self.send_command(&command, UNTOLD, desk);
                }
                Step::Noted(reject) => self.record(reject.reason, &reject.detail),
            }
        }
    }

    fn begin_said(&mut self, said: Said) {
        let points = said.telemetry.len() + said.shared.len() + said.client.len();
        let Said { whom, life, telemetry, shared, client } = said;
        let newborn = (life == Some(Life::Born)).then(|| whom.clone());
        let mut parts = VecDeque::new();
        for (readings, part) in [
            (telemetry, ChildUplink::Telemetry as fn(Readings) -> ChildUplink),
            (shared, ChildUplink::SharedAttributes),
            (client, ChildUplink::Attributes),
        ] {
            if !readings.is_empty() {
                parts.push_back(part(readings));
            }
        }
        let work = match whom {
            Some(device) => self.of_device(&device, life, parts),
            None => {
                self.live(life);
                self.of_itself(life, points, parts)
            }
        };
        if let Some(edge) = self.edge() {
            edge.newborn = newborn.filter(|_| work.is_some());
            edge.work = work;
        }
    }

    fn of_device(
        &self,
        device: &str,
        life: Option<Life>,
        mut parts: VecDeque<ChildUplink>,
    ) -> Option<Work> {
        let Stage::Open(Open { edge: Some(edge), login, .. }) = &self.stage else { return None };
        let name: Box<str> = edge.node.place().child(device).into();
        // GW-021, section 7: made on demand with a profile of this name.
        let kind: Box<str> = format!("{} device", login.profile.name).into();
        if life == Some(Life::Dead) {
            parts.push_back(ChildUplink::Disconnected);
        }
        let said = parts.into_iter().map(|said| ChildSaid {
            name: name.clone(),
            kind: Some(kind.clone()),
            said: Ok(said),
        });
        let batch = ChildBatch { said: said.collect(), passages: Vec::new() };
        Some(Work::Child(Box::new(ChildTask::new(batch)), None))
    }

    /// What the edge node says of itself takes its own tokens; its death needs none.
    fn of_itself(
        &mut self,
        life: Option<Life>,
        points: usize,
        parts: VecDeque<ChildUplink>,
    ) -> Option<Work> {
        if life != Some(Life::Dead) {
            match self.charge(points) {
                Ok(None) => {}
                Ok(Some(bite)) => self.slow(bite),
                Err(bite) => {
                    let (reason, detail) = (bite.reason(), bite.to_string());
                    self.edge()?.fault = Some((reason, detail));
                    return None;
                }
            }
        }
        Some(Work::Own(parts))
    }

    /// It takes commands from its birth to its death (section 9).
    fn live(&self, life: Option<Life>) {
        let Stage::Open(open) = &self.stage else { return };
        let device = open.login.device_id;
        open.note_wants();
        match life {
            Some(Life::Born) => self.shared.node.calls.wanted(device),
            Some(Life::Dead) if !open.mailbox.wants().calls => {
                self.shared.node.calls.unwanted(device);
            }
            _ => {}
        }
    }

    /// Goes on with the step at hand, as far as it goes.
    fn settle_edge(&mut self) {
        if self.stalled.is_some() {
            return;
        }
        let Some(work) = self.edge().and_then(|edge| edge.work.take()) else { return };
        let left = match work {
            Work::Own(parts) => self.settle_own(parts),
            Work::Child(task, _) => self.settle_child(task),
        };
        let Some(edge) = self.edge() else { return };
        if let Some(left) = left {
            edge.work = Some(left);
            self.stalled = Some(Box::new(Stalled { turn: None, then: Then::Edge }));
        } else if let Some(whom) = edge.newborn.take() {
            self.mark(whom);
        }
    }

    /// Marks who was born as one that shows as online, once in a connection.
    fn mark(&mut self, whom: Whom) {
        let node = Arc::clone(&self.shared.node);
        let Stage::Open(Open { edge: Some(edge), login, children, .. }) = &mut self.stage else {
            return;
        };
        let device = match &whom {
            None => Some(login.device_id),
            Some(id) => child_of(edge, children.as_deref(), id),
        };
        let Some(device) = device.filter(|it| edge.marked.get(&whom) != Some(it)) else { return };
        edge.marked.insert(whom, device);
        let now = node.clock.now();
        match mark(&*node.ledger, device, now) {
            Ok(receipt) => self.pending.note(receipt),
            Err(AppendError::Busy) => {
                tokio::spawn(async move {
                    while mark(&*node.ledger, device, now) == Err(AppendError::Busy) {
                        core::future::poll_fn(|cx| node.ledger.poll_ready(cx)).await;
                    }
                });
            }
            // Nothing of the birth was kept either.
            Err(_) => {}
        }
    }

    fn settle_own(&mut self, mut parts: VecDeque<ChildUplink>) -> Option<Work> {
        let Stage::Open(Open { login, .. }) = &self.stage else { return None };
        let login = Arc::clone(login);
        while let Some(part) = parts.front() {
            match append(&self.shared.node, (login.device_id, login.ttl_s), part) {
                Ok(receipt) => {
                    if let Some(receipt) = receipt {
                        self.pending.note(receipt);
                    }
                }
                Err(AppendError::Busy) => return Some(Work::Own(parts)),
                Err(error) => {
                    let fault = (answer::append(error), String::new());
                    self.edge()?.fault = Some(fault);
                }
            }
            parts.pop_front();
        }
        None
    }

    fn settle_child(&mut self, mut task: Box<ChildTask>) -> Option<Work> {
        let node = Arc::clone(&self.shared.node);
        let children = self.children()?;
        match children.proceed(&node, &mut task) {
            Progress::Done => {
                self.finish_child(task.finish());
                None
            }
            Progress::Busy => Some(Work::Child(task, None)),
            Progress::Strangers => {
                let wishes = children.strangers(&task);
                let Stage::Open(Open { login, .. }) = &self.stage else { return None };
                let login = Arc::<DeviceLogin>::clone(login);
                // Devices that are being made are made to the end, whatever becomes of the connection.
                let finding =
                    tokio::spawn(async move { node.registry.find_children(&login, wishes).await });
                Some(Work::Child(task, Some(finding)))
            }
        }
    }

    fn finish_child(&mut self, finished: Finished) {
        let Finished { receipt, faults, slowed, .. } = finished;
        self.record_faults(&faults);
        if let Some(receipt) = receipt {
            self.pending.note(receipt);
        }
        if let Some(fault) = faults.into_iter().next()
            && let Some(edge) = self.edge()
        {
            let detail = format!("{}: {}", fault.name, fault.detail);
            edge.fault = Some((fault.reason, detail));
        }
        if let Some(bite) = slowed {
            self.slow(bite);
        }
    }

    /// All that a publication said is in line: it is answered when the last of it is kept.
    fn finish_said(&mut self, delivery: Delivery, desk: &mut Desk) {
        let Some(edge) = self.edge() else { return };
        let fault = edge.fault.take();
        if fault.as_ref().is_some_and(|(reason, _)| is_of_storage(*reason)) {
            self.watch_storage(desk);
        }
        match fault {
            None => {
                let newest = self.pending.newest();
                self.wait_for(newest, delivery, desk);
            }
            Some((reason, detail)) if delivery.qos() == Qos::AtMostOnce => {
                self.record(reason, &detail);
            }
            Some(fault) => self.refuse_in_turn(fault, delivery, desk),
        }
    }

    /// Whether wills of edge nodes with quality of service 0 are refused.
    pub(super) fn strict_wills(&self) -> bool {
        self.shared.config.sparkplug.strict_wills
    }

    fn moment(&self) -> Moment {
        let clock = &self.shared.node.clock;
        Moment { now: clock.now(), now_ms: clock.monotonic_ms() }
    }

    fn edge(&mut self) -> Option<&mut Edge> {
        match &mut self.stage {
            Stage::Open(open) => open.edge.as_deref_mut(),
            _ => None,
        }
    }
}

/// Storage.
impl Connection {
    /// While storage takes nothing the edge node is told that its host is away: one that waits for it keeps
    /// what it has until the host is back, which nothing else in Sparkplug could bring about.
    fn watch_storage(&mut self, desk: &mut Desk) {
        let node = Arc::clone(&self.shared.node);
        let (is_well, now) = (node.ledger.state() == LedgerState::Healthy, self.moment());
        let Some(edge) = self.edge() else { return };
        let was_told = edge.storage_check_ms.is_some();
        edge.storage_check_ms = (!is_well).then(|| now.now_ms + STORAGE_CHECK_MS);
        match (is_well, was_told) {
            (false, false) => self.send_state(false, desk),
            (true, true) => {
                node.edge_nodes.renew(now.now);
                self.send_state(true, desk);
            }
            _ => {}
        }
    }
}

/// Its death.
impl Connection {
    /// Its device was deleted: its devices die, and of itself nothing more is kept.
    pub(super) fn forget_edge(&mut self) {
        if let Some(edge) = self.edge() {
            edge.is_deleted = true;
        }
    }

    /// The connection ends: the edge node and its devices are dead. That is put in line before anybody
    /// else may speak for it.
    pub(super) fn leave_edge(&mut self) {
        let moment = self.moment();
        let open = match &mut self.stage {
            Stage::Open(open) => open,
            Stage::Refreshing(refreshing) => &mut refreshing.open,
            _ => return,
        };
        let Some(mut edge) = open.edge.take() else { return };
        edge.node.handle_end(moment);
        let mut late = VecDeque::new();
        while let Some(step) = edge.node.poll_step() {
            let Step::Said(said) = step else { continue };
            let device = match &said.whom {
                None => Some(open.login.device_id).filter(|_| !edge.is_deleted),
                Some(device) => child_of(&edge, open.children.as_deref(), device),
            };
            let Some(device) = device else { continue };
            let Said { telemetry, shared, client, .. } = *said;
            late.push_back((device, ChildUplink::Telemetry(telemetry)));
            late.push_back((device, ChildUplink::SharedAttributes(shared)));
            late.push_back((device, ChildUplink::Attributes(client)));
        }
        let (node, ttl_s) = (Arc::clone(&self.shared.node), open.login.ttl_s);
        while let Some((device, part)) = late.front() {
            if append(&node, (*device, ttl_s), part) == Err(AppendError::Busy) {
                break;
            }
            late.pop_front();
        }
        let (hold, mut marked) = (edge.hold, edge.marked.into_values().collect::<Vec<_>>());
        // What stays marked is looked at by the next start.
        let is_busy =
            !late.is_empty() || unmark(&*node.ledger, &mut marked) == Err(AppendError::Busy);
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && is_busy
        {
            runtime.spawn(async move {
                for (device, part) in late {
                    while append(&node, (device, ttl_s), &part) == Err(AppendError::Busy) {
                        core::future::poll_fn(|cx| node.ledger.poll_ready(cx)).await;
                    }
                }
                while unmark(&*node.ledger, &mut marked) == Err(AppendError::Busy) {
                    core::future::poll_fn(|cx| node.ledger.poll_ready(cx)).await;
                }
                drop(hold);
            });
        }
    }
}

/// The device of this Sparkplug id, if it is there.
fn child_of(edge: &Edge, children: Option<&Children>, id: &str) -> Option<DeviceId> {
    let name = edge.node.place().child(id);
    children.and_then(|it| Some(it.child(it.place(&name)?)?.1))
}

const fn is_of_storage(reason: Reason) -> bool {
    matches!(reason, Reason::StorageFull | Reason::StorageFailed)
}

/// Puts in line what an edge node says of itself, or one of its devices.
fn append(
    node: &Node,
    (device, ttl_s): (DeviceId, u32),
    part: &ChildUplink,
) -> Result<Option<Receipt>, AppendError> {
    match part {
        ChildUplink::Telemetry(readings) => {
            node.reception.receive_of(device, ttl_s, Uplink::Telemetry(readings))
        }
        ChildUplink::Attributes(readings) => {
            node.reception.receive_of(device, ttl_s, Uplink::Attributes(readings))
        }
        ChildUplink::SharedAttributes(readings) => node.reception.receive_shared(device, readings),
        _ => Ok(None),
    }
}

/// How often it is looked whether storage is well again.
const STORAGE_CHECK_MS: u64 = 1_000;
