//! Which device is connected, and the way to its connection.
//!
//! A device has one connection: a second login replaces the first, whatever client id it used
//! (device API LS-043). A connection's [`Mailbox`] is small on purpose: it is part of what an idle
//! connection costs. It knows what the device subscribed to, so that nobody is told what it does not want.
//! Requests over HTTP that wait for something listen beside the connection ([`Ear`]) and displace nothing.

mod bell;
mod errand;
mod hearing;
mod line;
mod listening;

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use core::task::{Context, Waker};
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::downlink::Downlink;
use thingport_model::id::DeviceId;
use thingport_model::reason::Reason;

use crate::metrics::{Bound, Metrics};
pub(crate) use bell::Bell;
pub use errand::{Errand, Failure, Outcome};
use hearing::Hearing;
pub use line::{Carrier, Inquiry, Line};
use listening::Listening;
pub use listening::{Ear, EarBounds};

/// Every connection, held still.
pub(crate) type Everybody<'a> = papaya::HashMapRef<
    'a,
    DeviceId,
    Arc<Mailbox>,
    foldhash::fast::RandomState,
    papaya::OwnedGuard<'a>,
>;

/// Every connected device of this process.
#[derive(Debug)]
pub struct Presence {
    connected: papaya::HashMap<DeviceId, Arc<Mailbox>, foldhash::fast::RandomState>,
    opened: AtomicU64,
    epoch: AtomicU64,
    posts: AtomicU64,
    /// Who listens beside the connections.
    listening: Listening,
    ears: EarBounds,
    metrics: Arc<Metrics>,
}

/// What waits for one connection's task.
#[derive(Debug)]
pub struct Mailbox {
    number: ConnectionNumber,
    wants: AtomicU8,
    traced: AtomicBool,
    hearing: Hearing,
    mail: Mutex<Mail>,
}

/// Tells the connections of a device apart: no two connections of this process have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionNumber(pub u64);

/// What a connection finds in its mailbox.
#[derive(Debug, PartialEq)]
pub enum Letter {
    /// Somebody tells the device something.
    Told(Downlink),
    /// The same, of a change that the connection's session is owed until it is acknowledged.
    Owed {
        /// What.
        downlink: Downlink,
        /// The number of the change, or of the newest of several.
        mark: u64,
    },
    /// Somebody asks how the device is connected.
    Asked(Inquiry),
    /// There is mail for the child of this number, in a mailbox of its own.
    Rang(u32),
    /// An errand of the connection's own has ended.
    Done {
        /// By which the connection knows the errand.
        ticket: u32,
        /// What came of it.
        outcome: Outcome,
    },
}

/// What a device subscribed to, as far as the server waits for it to (LS-075). Everything else is told
/// whether it subscribed or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Changes of shared attributes.
    pub attributes: bool,
    /// Calls.
    pub calls: bool,
}

#[derive(Debug, Default)]
struct Mail {
    waker: Option<Waker>,
    // Boxed on purpose: one word in the many mailboxes that never get mail.
    #[allow(clippy::box_collection)]
    waiting: Option<Box<Vec<Letter>>>,
}

impl Presence {
    /// Nobody is connected yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            connected: papaya::HashMap::default(),
            opened: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            posts: AtomicU64::new(0),
            listening: Listening::default(),
            ears: EarBounds::default(),
            metrics,
        }
    }

    /// Lets so many listen beside the connections.
    #[must_use]
    pub fn with_ears(mut self, ears: EarBounds) -> Self {
        self.ears = ears;
        self
    }

    /// Registers a connection of `device` and tells the one it replaces to close.
    #[must_use]
    pub fn open(&self, device: DeviceId) -> Arc<Mailbox> {
        let number = ConnectionNumber(self.opened.fetch_add(1, Ordering::Relaxed));
        let mailbox = Arc::new(Mailbox::new(number, Wants::default()));
        let connected = self.connected.pin();
        if let Some(older) = connected.insert(device, Arc::clone(&mailbox)) {
            self.post(older, Downlink::Close(Reason::TakenOver));
        }
        mailbox
    }

    /// Forgets a connection of `device` that ended. False when another has taken its place already.
    pub fn close(&self, device: DeviceId, mailbox: &Arc<Mailbox>) -> bool {
        let connected = self.connected.pin();
        let removed = connected.remove_if(&device, |_, kept| Arc::ptr_eq(kept, mailbox));
        matches!(removed, Ok(Some(_)))
    }

    /// Tells a device's connection something. False when it is not connected, did not subscribe to such
    /// things, or its mailbox is full.
    pub fn tell(&self, device: DeviceId, downlink: Downlink) -> bool {
        self.tell_whom(device, downlink).is_some()
    }

    /// The same, and says which connection was told. Of a device that listens in several ways, one is
    /// given a call, and all are told everything else.
    pub fn tell_whom(&self, device: DeviceId, downlink: Downlink) -> Option<ConnectionNumber> {
        let ears = self.listening.of(device);
        let connected = self.connected.pin();
        let mut whom = connected.get(&device).into_iter().chain(&ears);
        if matches!(downlink, Downlink::Call { .. }) {
            let mailbox = whom.find(|mailbox| mailbox.wants().includes(&downlink))?;
            return self.post(mailbox, downlink).then_some(mailbox.number);
        }
        let wanting = whom.filter(|mailbox| mailbox.wants().includes(&downlink));
        let told = wanting.filter(|mailbox| self.post(mailbox, downlink.clone()));
        told.map(|mailbox| mailbox.number).reduce(|first, _| first)
    }

    /// Tells everybody who wants to know of a change that a session is owed, under its number. Whether the
    /// connection of the session was told, if there is one.
    pub(crate) fn tell_owed(
        &self,
        device: DeviceId,
        (holder, mark): (Option<ConnectionNumber>, u64),
        downlink: Downlink,
    ) -> bool {
        let ears = self.listening.of(device);
        let connected = self.connected.pin();
        let mut is_told = false;
        for mailbox in connected.get(&device).into_iter().chain(&ears) {
            if !mailbox.wants().includes(&downlink) {
                continue;
            }
            let downlink = downlink.clone();
            if holder == Some(mailbox.number) {
                is_told = self.put(mailbox, Letter::Owed { downlink, mark }, MAILBOX_MAX);
            } else {
                self.post(mailbox, downlink);
            }
        }
        is_told
    }

    /// The connection of a device, if there is one, and what the device subscribed to. When it does not
    /// want calls and somebody listens for them beside it, that one.
    #[must_use]
    pub fn connection(&self, device: DeviceId) -> Option<(ConnectionNumber, Wants)> {
        let ears = self.listening.of(device);
        let connected = self.connected.pin();
        let all = || connected.get(&device).into_iter().chain(&ears);
        let found = all().find(|mailbox| mailbox.wants().calls).or_else(|| all().next());
        found.map(|mailbox| (mailbox.number, mailbox.wants()))
    }

    /// Forgets the connection of a device that was deleted, so that nothing is noted of it any more, and
    /// tells it to close.
    pub fn evict(&self, device: DeviceId) {
        if let Some(mailbox) = self.connected.pin().remove(&device) {
            self.post(mailbox, Downlink::Close(Reason::DeviceDeleted));
        }
    }

    /// Every connection, to be looked at one after the other; may be held while waiting.
    pub(crate) fn everybody(&self) -> Everybody<'_> {
        self.connected.pin_owned()
    }

    /// How many milliseconds ago a device was heard, if its connection was heard since somebody took
    /// note of that.
    #[must_use]
    pub fn heard(&self, device: DeviceId, now_ms: u64) -> Option<u64> {
        self.connected.pin().get(&device)?.hearing.peek(now_ms)
    }

    /// Forgets when a device was heard: somebody took note.
    pub(crate) fn forget_heard(&self, device: DeviceId, now_ms: u64) {
        if let Some(mailbox) = self.connected.pin().get(&device) {
            mailbox.take_heard(now_ms);
        }
    }

    /// Lets the connection of a device know whether it is traced.
    pub(crate) fn set_traced(&self, device: DeviceId, traced: bool) {
        if let Some(mailbox) = self.connected.pin().get(&device) {
            mailbox.set_traced(traced);
        }
    }

    /// Whether a device is connected.
    #[must_use]
    pub fn is_connected(&self, device: DeviceId) -> bool {
        self.connected.pin().contains_key(&device)
    }

    /// What a device subscribed to; nothing when it is not connected. A device that wants calls has an
    /// active connection (RP-021).
    #[must_use]
    pub fn wants(&self, device: DeviceId) -> Wants {
        let ears = self.listening.of(device);
        let connected = self.connected.pin();
        let all = connected.get(&device).into_iter().chain(&ears);
        all.map(|mailbox| mailbox.wants()).fold(Wants::default(), Wants::or)
    }

    /// A number that changes whenever a device or profile changed in a way that live connections must
    /// notice (device API LS-051); they compare it with the one they last saw.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Lets every live connection look at its device and profile again.
    pub fn bump_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Lets connections that are idle notice at once that the epoch changed; otherwise they do with the
    /// next that they hear or are told.
    pub fn wake_everybody(&self) {
        for mailbox in self.connected.pin().values() {
            // It stays: who finds no mail does not leave a waker anew.
            if let Some(waker) = &mailbox.mail.lock().waker {
                waker.wake_by_ref();
            }
        }
    }

    /// How much mail was posted to anybody so far. A connection that sees the number it saw last has no
    /// new mail and need not look into its mailbox, which is one cache miss less per message.
    #[must_use]
    pub fn posts(&self) -> u64 {
        self.posts.load(Ordering::Acquire)
    }

    fn post(&self, mailbox: &Mailbox, downlink: Downlink) -> bool {
        // That a connection must end is told however much waits for it.
        let max = if matches!(downlink, Downlink::Close(_)) { usize::MAX } else { MAILBOX_MAX };
        self.put(mailbox, Letter::Told(downlink), max)
    }

    fn put(&self, mailbox: &Mailbox, letter: Letter, max: usize) -> bool {
        let mut mail = mailbox.mail.lock();
        let waiting = mail.waiting.get_or_insert_default();
        // Children ring once each, beside the bound.
        let is_full = |waiting: &[Letter]| {
            waiting.iter().filter(|it| !matches!(it, Letter::Rang(_))).count() >= max
        };
        if waiting.len() >= max && is_full(waiting) {
            self.metrics.count_bound(Bound::Mailbox);
            return false;
        }
        waiting.push(letter);
        let waker = mail.waker.take();
        drop(mail);
        // Before the wake: the woken connection must see that there is mail.
        self.posts.fetch_add(1, Ordering::AcqRel);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl Mailbox {
    fn new(number: ConnectionNumber, wants: Wants) -> Self {
        let (wants, traced) = (wants.bits().into(), AtomicBool::new(false));
        Self { number, wants, traced, hearing: Hearing::default(), mail: Mutex::default() }
    }

    /// Tells this connection apart from every other one.
    #[must_use]
    pub const fn number(&self) -> ConnectionNumber {
        self.number
    }

    /// Whether somebody traces the device. One relaxed load.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.traced.load(Ordering::Relaxed)
    }

    pub(crate) fn set_traced(&self, traced: bool) {
        self.traced.store(traced, Ordering::Relaxed);
    }

    /// Takes what waits; when nothing does, the task of `cx` is woken by the next mail.
    #[allow(clippy::box_collection)] // handed over as it lies in the mailbox
    pub fn poll_mail(&self, cx: &Context<'_>) -> Option<Box<Vec<Letter>>> {
        let mut mail = self.mail.lock();
        let waiting = mail.waiting.take();
        if waiting.is_none() && mail.waker.as_ref().is_none_or(|it| !it.will_wake(cx.waker())) {
            mail.waker = Some(cx.waker().clone());
        }
        waiting
    }

    /// Notes that the device was heard: what counts as activity (LS-061). One relaxed store.
    pub fn hear(&self, now_ms: u64) {
        self.hearing.hear(now_ms);
    }

    /// How many milliseconds ago the device was heard, once.
    pub(crate) fn take_heard(&self, now_ms: u64) -> Option<u64> {
        self.hearing.take(now_ms)
    }

    /// The moment could not be noted: it is there to be taken again.
    pub(crate) fn give_back_heard(&self, heard_ms: u64) {
        self.hearing.give_back(heard_ms);
    }

    /// What the device subscribed to.
    #[must_use]
    pub fn wants(&self) -> Wants {
        Wants::from_bits(self.wants.load(Ordering::Acquire))
    }

    /// Notes what the device subscribed to. To be called before the subscription is acknowledged, so
    /// that nothing is missed that happens after (U-12).
    pub fn set_wants(&self, wants: Wants) {
        self.wants.store(wants.bits(), Ordering::Release);
    }
}

impl Wants {
    /// Whether a device with these subscriptions is to be told this.
    #[must_use]
    pub const fn includes(self, downlink: &Downlink) -> bool {
        match downlink {
            Downlink::AttributesSet(_) | Downlink::AttributesDeleted(_) => self.attributes,
            Downlink::Call { .. } => self.calls,
            _ => true,
        }
    }

    const fn or(self, other: Self) -> Self {
        Self::from_bits(self.bits() | other.bits())
    }

    const fn bits(self) -> u8 {
        self.attributes as u8 | (self.calls as u8) << 1
    }

    const fn from_bits(bits: u8) -> Self {
        Self { attributes: bits & 1 != 0, calls: bits & 2 != 0 }
    }
}

/// Downlinks that may wait for one connection.
pub const MAILBOX_MAX: usize = 64;

#[cfg(test)]
mod tests;
