//! Messages that wait for a reader of a WebSocket: bounded by count and bytes (W-7).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::ws::Message;
use tokio::sync::{Notify, mpsc};

/// The way to the socket for feeds and the session; clones share the bounds.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Message>,
    shared: Arc<Shared>,
}

/// The socket's end of an [`Outbox`].
#[derive(Debug)]
pub(crate) struct Waiting {
    queue: mpsc::Receiver<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    messages: AtomicUsize,
    /// Messages that may wait; 0 for as many as the queue holds.
    messages_max: AtomicUsize,
    overflow: Notify,
    /// Somebody may have room again.
    drained: Notify,
}

/// An empty outbox for at most `messages_max` messages.
pub(crate) fn outbox(messages_max: usize) -> (Outbox, Waiting) {
    let (sender, receiver) = mpsc::channel(messages_max.max(1));
    let shared = Arc::new(Shared::default());
    (Outbox { queue: sender, shared: Arc::clone(&shared) }, Waiting { queue: receiver, shared })
}

impl Outbox {
    /// Lets at most `messages` wait from now on, if that is less than the queue holds; 0 stands for what
    /// the queue holds.
    pub(crate) fn narrow(&self, messages: u64) {
        let messages = usize::try_from(messages).unwrap_or(usize::MAX);
        self.shared.messages_max.store(messages, Ordering::Relaxed);
    }

    /// Puts a text in line.
    pub(crate) fn send(&self, text: String) {
        self.push(Message::text(text));
    }

    /// Puts a ping in line.
    pub(crate) fn ping(&self) {
        self.push(Message::Ping(axum::body::Bytes::new()));
    }

    /// Tells the session that its reader is too slow.
    pub(crate) fn overflow(&self) {
        self.shared.overflow.notify_one();
    }

    /// Returns once the reader has turned out to be too slow.
    pub(crate) async fn overflowed(&self) {
        self.shared.overflow.notified().await;
    }

    /// Returns once fewer than so many bytes wait, and few messages.
    pub(crate) async fn room(&self, bytes: usize) {
        loop {
            // Before the look, so that no room is missed that is made meanwhile.
            let drained = self.shared.drained.notified();
            let max = match self.shared.messages_max.load(Ordering::Relaxed) {
                0 => FEW_MESSAGES,
                max => max.min(FEW_MESSAGES),
            };
            let few = self.shared.messages.load(Ordering::Relaxed) < max;
            if few && self.shared.bytes.load(Ordering::Relaxed) < bytes {
                return;
            }
            drained.await;
        }
    }

    fn push(&self, message: Message) {
        let length = bytes(&message);
        // One message of any size always fits an empty line.
        let waiting = self.shared.bytes.fetch_add(length, Ordering::Relaxed);
        let before = self.shared.messages.fetch_add(1, Ordering::Relaxed);
        let max = self.shared.messages_max.load(Ordering::Relaxed);
        let full = waiting > BYTES_MAX || (max > 0 && before >= max);
        if full || self.queue.try_send(message).is_err() {
            self.shared.bytes.fetch_sub(length, Ordering::Relaxed);
            self.shared.messages.fetch_sub(1, Ordering::Relaxed);
            self.overflow();
        }
    }
}

impl Waiting {
    /// The next message; none once every outbox is gone.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        let message = self.queue.recv().await?;
        self.shared.bytes.fetch_sub(bytes(&message), Ordering::Relaxed);
        self.shared.messages.fetch_sub(1, Ordering::Relaxed);
        self.shared.drained.notify_waiters();
        Some(message)
    }
}

fn bytes(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        _ => 0,
    }
}

/// Messages that may wait for one reader that is to have room.
const FEW_MESSAGES: usize = 4;
/// Bytes that may wait for one reader before the next message is one too many.
const BYTES_MAX: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn messages_come_out_in_order_and_their_room_is_given_back() {
        let (outbox, mut waiting) = outbox(2);
        for _ in 0..10 {
            outbox.send("a".repeat(BYTES_MAX));
            outbox.send("b".into());
            assert!(waiting.next().await.is_some_and(|it| bytes(&it) == BYTES_MAX));
            assert_eq!(waiting.next().await, Some(Message::text("b")));
        }
        assert!(outbox.overflowed().now_or_never().is_none());
    }

    #[tokio::test]
    async fn room_is_waited_for() {
        let (outbox, mut waiting) = outbox(10);
        assert!(outbox.room(1).now_or_never().is_some());
        outbox.send("ab".into());
        outbox.send("c".into());
        let room = outbox.room(2);
        tokio::pin!(room);
        assert!(room.as_mut().now_or_never().is_none());
        assert!(waiting.next().await.is_some());
        assert!(room.now_or_never().is_some());
    }

    #[tokio::test]
    async fn too_many_messages_or_bytes_overflow() {
        let (few, _waiting) = outbox(2);
        for expected in [None, None, Some(())] {
            few.send("a".into());
            assert_eq!(few.overflowed().now_or_never(), expected);
        }
        let (narrow, mut waiting) = outbox(10);
        narrow.narrow(1);
        for expected in [None, Some(())] {
            narrow.send("a".into());
            assert_eq!(narrow.overflowed().now_or_never(), expected);
        }
        assert!(waiting.next().await.is_some());
        narrow.send("b".into());
        assert_eq!(narrow.overflowed().now_or_never(), None, "there is room again");
        let (large, _waiting) = outbox(10);
        for expected in [None, Some(())] {
            large.send("a".repeat(BYTES_MAX + 1));
            assert_eq!(large.overflowed().now_or_never(), expected);
        }
    }
}
