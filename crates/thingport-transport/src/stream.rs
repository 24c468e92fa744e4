//! The byte stream below a connection.
//!
//! A plain TCP stream lies in place, because there are many of them. Any other stream is boxed and
//! brings along what is known of its security; MQTT over WebSocket is one.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use thingport_model::security::Security;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a connection needs of a stream that is not TCP.
///
/// A writer may take bytes that it passes on only when it is flushed, but must bound them: only what
/// it did not take counts against the bound on unsent bytes.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + ?Sized> Bytes for S {}

/// The byte stream below a connection.
pub(crate) enum Stream {
    /// TCP as it is.
    Plain(TcpStream),
    /// Any other.
    Other(Box<Other<dyn Bytes>>),
}

/// A stream that somebody else opened.
pub(crate) struct Other<S: ?Sized> {
    security: Option<Box<Security>>,
    bytes: S,
}

impl Stream {
    /// Any stream of bytes.
    pub(crate) fn other(bytes: impl Bytes + 'static, security: Option<Box<Security>>) -> Self {
        Self::Other(Box::new(Other { security, bytes }))
    }

    /// What is known of its security. Handed out once, so that nobody keeps the certificates.
    pub(crate) fn take_security(&mut self) -> Option<Box<Security>> {
        match self {
            Self::Plain(_) => None,
            Self::Other(other) => other.security.take(),
        }
    }

    /// Reads what is there; 0 bytes mean that the peer has closed.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        match self {
            Self::Plain(tcp) => ready!(Pin::new(tcp).poll_read(cx, &mut buffer))?,
            Self::Other(other) => ready!(Pin::new(&mut other.bytes).poll_read(cx, &mut buffer))?,
        }
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Registers for the next bytes after a short read. `Ready`: reading on may find some.
    pub(crate) fn poll_more(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx).map(|_| ()),
            // It registers when it is read to its end, and in no other way.
            Self::Other(_) => Poll::Ready(()),
        }
    }

    /// Writes what the stream takes at once.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Other(other) => Pin::new(&mut other.bytes).poll_write(cx, bytes),
        }
    }

    /// Passes on what the stream took but still holds.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // TCP holds nothing back.
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Other(other) => Pin::new(&mut other.bytes).poll_flush(cx),
        }
    }

    /// Tells the peer that nothing follows.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Other(other) => Pin::new(&mut other.bytes).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_stream_costs_no_more_than_its_socket() {
        assert!(size_of::<Stream>() <= size_of::<TcpStream>() + 8, "{}", size_of::<Stream>());
    }
}
