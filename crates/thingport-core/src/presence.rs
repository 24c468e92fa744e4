//! Which device is connected, and the way to its connection.
//!
//! A device has one connection: a second login replaces the first, whatever client id it used
//! (device API LS-043). A connection's [`Mailbox`] is small on purpose: it is part of what an idle
//! connection costs.

use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Waker};
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::downlink::Downlink;
use thingport_model::id::DeviceId;
use thingport_model::reason::Reason;

use crate::metrics::{Bound, Metrics};

/// Every connected device of this process.
#[derive(Debug)]
pub struct Presence {
    connected: papaya::HashMap<DeviceId, Arc<Mailbox>, foldhash::fast::RandomState>,
    epoch: AtomicU64,
    posts: AtomicU64,
    metrics: Arc<Metrics>,
}

/// What waits for one connection's task.
#[derive(Debug)]
pub struct Mailbox {
    device: DeviceId,
    mail: Mutex<Mail>,
}

#[derive(Debug, Default)]
struct Mail {
    waker: Option<Waker>,
    // Boxed on purpose: one word in the many mailboxes that never get mail.
    #[allow(clippy::box_collection)]
    waiting: Option<Box<Vec<Downlink>>>,
}

impl Presence {
    /// Nobody is connected yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            connected: papaya::HashMap::default(),
            epoch: AtomicU64::new(0),
            posts: AtomicU64::new(0),
            metrics,
        }
    }

    /// Registers a connection of `device` and tells the one it replaces to close.
    #[must_use]
    pub fn open(&self, device: DeviceId) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox { device, mail: Mutex::default() });
        let connected = self.connected.pin();
        if let Some(older) = connected.insert(device, Arc::clone(&mailbox)) {
            self.post(older, Downlink::Close(Reason::TakenOver));
        }
        mailbox
    }

    /// Forgets a connection that ended, unless another has taken its place already.
    pub fn close(&self, mailbox: &Arc<Mailbox>) {
        let connected = self.connected.pin();
        let _ = connected.remove_if(&mailbox.device, |_, kept| Arc::ptr_eq(kept, mailbox));
    }

    /// Tells a device's connection something. False when it is not connected or its mailbox is full.
    pub fn tell(&self, device: DeviceId, downlink: Downlink) -> bool {
        let connected = self.connected.pin();
        connected.get(&device).is_some_and(|mailbox| self.post(mailbox, downlink))
    }

    /// Whether a device is connected.
    #[must_use]
    pub fn is_connected(&self, device: DeviceId) -> bool {
        self.connected.pin().contains_key(&device)
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

    /// How much mail was posted to anybody so far. A connection that sees the number it saw last has no
    /// new mail and need not look into its mailbox, which is one cache miss less per message.
    #[must_use]
    pub fn posts(&self) -> u64 {
        self.posts.load(Ordering::Acquire)
    }

    fn post(&self, mailbox: &Mailbox, downlink: Downlink) -> bool {
        let mut mail = mailbox.mail.lock();
        let waiting = mail.waiting.get_or_insert_default();
        if waiting.len() >= MAILBOX_MAX {
            self.metrics.count_bound(Bound::Mailbox);
            return false;
        }
        waiting.push(downlink);
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
    /// Takes what waits; when nothing does, the task of `cx` is woken by the next mail.
    #[allow(clippy::box_collection)] // handed over as it lies in the mailbox
    pub fn poll_mail(&self, cx: &Context<'_>) -> Option<Box<Vec<Downlink>>> {
        let mut mail = self.mail.lock();
        let waiting = mail.waiting.take();
        if waiting.is_none() && mail.waker.as_ref().is_none_or(|it| !it.will_wake(cx.waker())) {
            mail.waker = Some(cx.waker().clone());
        }
        waiting
    }
}

/// Downlinks that may wait for one connection.
pub const MAILBOX_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::id::NIL;

    fn mail(mailbox: &Mailbox) -> Vec<Downlink> {
        let cx = Context::from_waker(Waker::noop());
        mailbox.poll_mail(&cx).map(|it| *it).unwrap_or_default()
    }

    #[test]
    fn a_second_login_replaces_the_first_and_its_end_does_not_remove_the_second() {
        let presence = Presence::new(Arc::new(Metrics::default()));
        let device = DeviceId(NIL);
        let first = presence.open(device);
        let second = presence.open(device);
        assert_eq!(mail(&first), [Downlink::Close(Reason::TakenOver)]);
        presence.close(&first);
        assert!(presence.is_connected(device));
        assert_eq!(presence.posts(), 1);
        assert!(presence.tell(device, Downlink::Close(Reason::DeviceDeleted)));
        assert_eq!(mail(&second), [Downlink::Close(Reason::DeviceDeleted)]);
        presence.close(&second);
        assert!(!presence.is_connected(device));
        assert!(!presence.tell(device, Downlink::Close(Reason::DeviceDeleted)));
    }

    #[test]
    fn a_full_mailbox_refuses_and_counts() {
        let metrics = Arc::new(Metrics::default());
        let presence = Presence::new(Arc::clone(&metrics));
        let device = DeviceId(NIL);
        let mailbox = presence.open(device);
        for _ in 0..MAILBOX_MAX {
            assert!(presence.tell(device, Downlink::Close(Reason::DeviceDeleted)));
        }
        assert!(!presence.tell(device, Downlink::Close(Reason::DeviceDeleted)));
        assert_eq!(metrics.bounds().map(|(_, n)| n).sum::<u64>(), 1);
        assert_eq!(mail(&mailbox).len(), MAILBOX_MAX);
    }
}
