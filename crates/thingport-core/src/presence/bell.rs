//! Mail for a child: it lies in the child's own mailbox, and a bell rings at the connection that the child
//! speaks through. So each child has the bounds of a device, a gateway's mailbox holds at most one ring of
//! each, and a connection without children pays for none of it.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Wake, Waker};

use super::{Letter, Mailbox, Presence};

/// Rings once, until the child's mailbox is looked into.
pub(crate) struct Bell {
    presence: Arc<Presence>,
    connection: Arc<Mailbox>,
    child: u32,
    has_rung: AtomicBool,
}

impl Bell {
    /// A bell at the connection with the mailbox `connection`, which finds [`Letter::Rang`] with the number
    /// `child`.
    pub(crate) fn new(
        presence: &Arc<Presence>,
        connection: &Arc<Mailbox>,
        child: u32,
    ) -> Arc<Self> {
        let (presence, connection) = (Arc::clone(presence), Arc::clone(connection));
        Arc::new(Self { presence, connection, child, has_rung: AtomicBool::new(false) })
    }

    /// Takes what waits for the child; when nothing does, the next mail rings.
    pub(crate) fn poll_mail(self: &Arc<Self>, mailbox: &Mailbox) -> Vec<Letter> {
        // Before looking: what comes behind the look rings.
        self.has_rung.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(self));
        let mail = mailbox.poll_mail(&core::task::Context::from_waker(&waker));
        mail.map(|mail| *mail).unwrap_or_default()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.has_rung.swap(true, Ordering::AcqRel) {
            self.presence.put(&self.connection, Letter::Rang(self.child), usize::MAX);
        }
    }
}
