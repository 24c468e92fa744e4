//! Going down in good order (D-4): stop accepting, let each connection finish what it received, close.

use core::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A switch that can only be turned on.
#[derive(Debug, Default)]
pub struct Drain {
    begun: AtomicBool,
    notify: Notify,
}

impl Drain {
    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Begins; tells everybody who waits in [`Self::begun`].
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Returns once it has begun.
    pub async fn begun(&self) {
        let notified = self.notify.notified();
        if !self.has_begun() {
            notified.await;
        }
    }
}
