//! Children: devices that speak through the connection of another, of a gateway or an edge node (device API
//! section 8).
//!
//! # How a connection uses this
//!
//! The task that owns a gateway's connection owns its [`Children`] too, so nothing here is locked. What a
//! dialect made of one message, a [`ChildBatch`], becomes a [`ChildTask`]:
//!
//! 1. [`Children::proceed`] takes what each child says in its turn: tokens of the rate limits, then readings
//!    in line for the ledger. When that is full it stops and goes on from there later.
//! 2. It stops, too, before a child that nobody spoke for yet on this connection. [`Children::strangers`]
//!    names all of those; they are looked up or made by
//!    [`Registry::find_children`](crate::registry::Registry::find_children), beside the connection, whose
//!    socket is not read meanwhile, and [`Children::adopt`] takes them in.
//! 3. [`ChildTask::finish`] says what the connection still has to do: wait for the newest receipt, which is
//!    that of all parts; look up what was asked ([`ChildErrand`]); report what was refused ([`ChildFault`]).
//!    What one child said wrong costs no other anything.
//!
//! # What a child is
//!
//! For the rest of the house a child is a connected device: it has a place in [`Presence`] and a mailbox of
//! its own, so whoever tells devices something need not know of gateways. Mail for it rings at its
//! gateway's connection ([`Letter::Rang`]), which reads it with
//! [`Children::poll_mail`] and writes it in the gateway's dialect. A child takes the place of a connection of
//! its own and loses it to one (LS-046); the gateway is told of neither (GW-061) and its next word for that
//! child takes it in again.
//!
//! A child costs its mailbox, its name and a place here, some 300 bytes; it has no task.

mod task;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::Wake as _;

use thingport_model::child::{ChildSaid, ChildUplink};
use thingport_model::id::DeviceId;
use thingport_model::reason::Reason;
use thingport_model::rpc::CallToken;

use crate::limits::Quota;
use crate::metrics::Bound;
use crate::node::Node;
use crate::presence::{Bell, Failure, Letter, Mailbox, Wants};
use crate::registry::{ChildWish, DeviceLogin, FoundChild};
pub use task::{ChildErrand, ChildFault, ChildTask, Finished, Question, Step};

#[cfg(doc)]
use crate::presence::Presence;
#[cfg(doc)]
use thingport_model::child::ChildBatch;

/// The children of one connection.
pub struct Children {
    gateway: Arc<DeviceLogin>,
    connection: Arc<Mailbox>,
    /// What they are held to together; none where nothing is limited.
    quota: Option<Box<Quota>>,
    places: HashMap<Arc<str>, u32, foldhash::fast::RandomState>,
    children: Vec<Option<Child>>,
    free: Vec<u32>,
    /// Calls that were sent and not acknowledged, and to whom.
    sent: VecDeque<(CallToken, DeviceId)>,
    /// When all were last said to be active because their gateway is.
    refreshed_ms: u64,
    /// Of an edge node: what the names of its devices begin with (SP-033).
    prefix: Option<Box<str>>,
}

struct Child {
    name: Arc<str>,
    device: DeviceId,
    mailbox: Arc<Mailbox>,
    /// Makes mail for it ring at the connection.
    bell: Arc<Bell>,
}

impl Children {
    /// None yet, of the connection of `gateway` with this mailbox.
    #[must_use]
    pub fn new(node: &Node, gateway: Arc<DeviceLogin>, connection: Arc<Mailbox>) -> Self {
        let quota = node.limits.of_children(&gateway, node.clock.monotonic_ms());
        Self {
            gateway,
            connection,
            quota,
            places: HashMap::default(),
            children: Vec::new(),
            free: Vec::new(),
            sent: VecDeque::new(),
            refreshed_ms: 0,
            prefix: None,
        }
    }

    /// They are the devices of an edge node, whose names begin so: each is labelled with the rest of its
    /// name, takes over an older one of that short name (SP-034), and is active when its node is (SP-037).
    #[must_use]
    pub fn of_edge_node(mut self, prefix: &str) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The gateway or its tenant's limits changed; a limit that stayed the same keeps its fill (RL-004).
    pub fn refresh(&mut self, node: &Node, gateway: Arc<DeviceLogin>) {
        self.quota = node.limits.of_children(&gateway, node.clock.monotonic_ms());
        self.gateway = gateway;
    }

    /// Who has to be looked up before the rest of a batch can be taken: those that say something readable
    /// and were not spoken for yet, each once.
    #[must_use]
    pub fn strangers(&self, task: &ChildTask) -> Vec<ChildWish> {
        let mut seen: HashSet<&str> = HashSet::new();
        let is_new = |name: &str| !self.places.contains_key(name) && !task.is_refused(name);
        let speaks = |said: &ChildUplink| !matches!(said, ChildUplink::Disconnected);
        let wanted = task.left().filter(|it| it.said.as_ref().is_ok_and(speaks));
        let wanted = wanted.filter(|it| is_new(&it.name) && seen.insert(&it.name));
        let wish = |it: &ChildSaid| ChildWish {
            name: it.name.clone(),
            kind: it.kind.clone(),
            label: self.label(&it.name),
        };
        wanted.map(wish).collect()
    }

    /// The Sparkplug id in the name of a child of an edge node; none when it holds a colon (SP-034).
    fn label(&self, name: &str) -> Option<Box<str>> {
        let id = name.strip_prefix(self.prefix.as_deref()?)?;
        (!id.contains(':')).then(|| id.into())
    }

    /// Takes in those that were found; of the others the task notes why not.
    pub fn adopt(&mut self, node: &Node, found: Vec<FoundChild>, task: &mut ChildTask) {
        for FoundChild { name, device } in found {
            match device {
                Ok(_) if self.len() >= CHILDREN_MAX => {
                    node.metrics.count_bound(Bound::Children);
                    let detail = format!("more than {CHILDREN_MAX}");
                    task.refuse_child(name, Failure { reason: Reason::TooManyChildren, detail });
                }
                Ok(device) => self.open(node, name.into(), device),
                Err(failure) => task.refuse_child(name, failure),
            }
        }
    }

    fn open(&mut self, node: &Node, name: Arc<str>, device: DeviceId) {
        let mailbox = node.presence.open(device);
        // It hears of everything without asking (GW-019).
        mailbox.set_wants(Wants { attributes: true, calls: true });
        let place = self.free.pop().unwrap_or_else(|| {
            self.children.push(None);
            // There are at most `CHILDREN_MAX`.
            u32::try_from(self.children.len() - 1).unwrap_or(u32::MAX)
        });
        let bell = Bell::new(&node.presence, &self.connection, place);
        node.activity.opened(device, &mailbox);
        node.metrics.children.add(1);
        // Somebody may have told it something already.
        bell.wake_by_ref();
        let child = Child { name: Arc::clone(&name), device, mailbox, bell };
        if let Some(free) = self.children.get_mut(place as usize) {
            *free = Some(child);
        }
        self.places.insert(name, place);
        node.calls.wanted(device);
    }

    /// The child of this number, as its gateway calls it and as the house does.
    #[must_use]
    pub fn child(&self, place: u32) -> Option<(&Arc<str>, DeviceId)> {
        self.at(place).map(|child| (&child.name, child.device))
    }

    /// The number of the child with this name, if it is there.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<u32> {
        self.places.get(name).copied()
    }

    /// Takes what waits for a child; when nothing does, the next mail rings at the connection.
    #[must_use]
    pub fn poll_mail(&self, place: u32) -> Vec<Letter> {
        self.at(place).map(|it| it.bell.poll_mail(&it.mailbox)).unwrap_or_default()
    }

    /// Notes that an attempt to deliver a call to a child waits for an acknowledgement.
    pub fn note_sent(&mut self, token: CallToken, device: DeviceId) {
        // More cannot be on their way: the session holds fewer.
        if self.sent.len() >= SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((token, device));
    }

    /// Whose call an acknowledged attempt was; none when it was the gateway's own.
    pub fn take_sent(&mut self, token: CallToken) -> Option<DeviceId> {
        let at = self.sent.iter().position(|(sent, _)| *sent == token)?;
        self.sent.remove(at).map(|(_, device)| device)
    }

    /// The gateway said something: its children count as active if that is wanted (GW-063), which is noted
    /// once a second at most.
    pub fn refresh_activity(&mut self, now_ms: u64) {
        let keeps_active = self.gateway.keeps_children_active || self.prefix.is_some();
        if keeps_active && now_ms >= self.refreshed_ms + REFRESH_MS {
            self.refreshed_ms = now_ms;
            self.children.iter().flatten().for_each(|child| child.mailbox.hear(now_ms));
        }
    }

    /// A child speaks no more through this connection; whether it was there.
    pub fn end(&mut self, node: &Node, place: u32) -> bool {
        let Some(child) = self.children.get_mut(place as usize).and_then(Option::take) else {
            return false;
        };
        self.places.remove(&child.name);
        self.free.push(place);
        child.leave(node);
        true
    }

    /// The connection ends, and with it the children's (GW-060).
    pub fn end_all(&mut self, node: &Node) {
        self.places.clear();
        self.free.clear();
        self.children.drain(..).flatten().for_each(|child| child.leave(node));
    }

    fn at(&self, place: u32) -> Option<&Child> {
        self.children.get(place as usize)?.as_ref()
    }

    fn named(&self, name: &str) -> Option<&Child> {
        self.at(self.place(name)?)
    }
}

impl Child {
    fn leave(self, node: &Node) {
        node.metrics.children.sub(1);
        // Another connection may have taken its place.
        if node.presence.close(self.device, &self.mailbox) {
            node.activity.closed(self.device, &self.mailbox);
            node.calls.unwanted(self.device);
        }
    }
}

/// Devices that may speak through one connection (`children_max`); a further one is refused.
pub const CHILDREN_MAX: usize = 10_000;
/// Calls to children that may wait for an acknowledgement; more than a session lets be on their way.
const SENT_MAX: usize = 256;
/// How often all children are said to be active.
const REFRESH_MS: u64 = 1_000;
