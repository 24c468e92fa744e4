//! A stream on which the head of each request must arrive in time, and answers must be read.
//!
//! The library under us counts the pause between two requests and the head of the next one as one
//! time. Pauses may be long and heads may not, so heads are timed here: from their first byte, or from
//! the beginning of the connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use thingport_core::metrics::{Bound, Metrics};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How many requests of a connection have begun to be answered, and how many are.
#[derive(Debug, Default)]
pub(super) struct Progress {
    begun: AtomicU32,
    answered: AtomicU32,
}

impl Progress {
    /// A head has arrived.
    pub(super) fn begin(self: &Arc<Self>) -> Began {
        self.begun.fetch_add(1, Ordering::AcqRel);
        Began(Arc::clone(self))
    }

    fn is_answering(&self) -> bool {
        self.begun.load(Ordering::Acquire) != self.answered.load(Ordering::Acquire)
    }
}

/// A request that is being answered.
pub(super) struct Began(Arc<Progress>);

impl Began {
    /// The answer is known. After an upgrade no head is due any more.
    pub(super) fn answered(self, is_upgrade: bool) {
        if !is_upgrade {
            self.0.answered.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// A stream with deadlines.
pub(super) struct Paced<S> {
    stream: S,
    /// How long the head of a request may take.
    head_max: Duration,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
    /// Requests begun when the head that is timed was not.
    begun: u32,
    /// Runs while a head arrives.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    /// The first head is due from now on.
    pub(super) fn new(
        stream: S,
        head_max: Duration,
        progress: Arc<Progress>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let head = Some(Box::pin(tokio::time::sleep(head_max)));
        Self { stream, head_max, progress, metrics, begun: 0, head, stalled: None }
    }

    /// Nothing arrived: whether a head takes too long.
    fn wait_for_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(head) = &mut self.head else { return Poll::Pending };
        if head.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.metrics.count_bound(Bound::HttpHeadTime);
        Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut)))
    }

    /// Forgets the time of a head that has arrived.
    fn look_at_progress(&mut self) {
        let begun = self.progress.begun.load(Ordering::Acquire);
        if begun != self.begun {
            self.begun = begun;
            self.head = None;
        }
    }

    fn in_time<T>(&mut self, cx: &mut Context<'_>, it: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if it.is_ready() {
            self.stalled = None;
            return it;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_MAX)));
        match stalled.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut))),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.look_at_progress();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_pending() {
            return this.wait_for_head(cx);
        }
        let is_head = buffer.filled().len() > before && !this.progress.is_answering();
        if is_head && this.head.is_none() {
            this.head = Some(Box::pin(tokio::time::sleep(this.head_max)));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.in_time(cx, shut)
    }
}

/// How long somebody may leave an answer unread.
const STALL_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
