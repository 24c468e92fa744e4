//! The byte stream below a connection.
//!
//! A plain TCP stream lies in place, because there are many of them; TLS is boxed. Any other stream
//! brings along what is known of its security; MQTT over WebSocket is one.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use thingport_model::security::Security;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::tls::{Broken, Room, Tls};

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
    /// TCP with TLS of ours.
    Tls(Box<Tls>),
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
            Self::Tls(tls) => tls.take_security(),
            Self::Other(other) => other.security.take(),
        }
    }

    /// TLS of ours, if that is what carries the bytes.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::Plain(_) | Self::Other(_) => None,
        }
    }

    /// Reads what is there; 0 bytes mean that the peer has closed. What TLS has to answer is added to
    /// `room.wire`.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        room: &mut Room,
    ) -> Poll<Result<usize, Broken>> {
        match self {
            Self::Plain(tcp) => Self::read(tcp, cx, into).map_err(Broken::from),
            Self::Tls(tls) => tls.poll_read(cx, into, room),
            Self::Other(other) => Self::read(&mut other.bytes, cx, into).map_err(Broken::from),
        }
    }

    /// Reads what is there, only to throw it away.
    pub(crate) fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        bin: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Self::read(tcp, cx, bin),
            Self::Tls(tls) => Self::read(&mut tls.tcp, cx, bin),
            Self::Other(other) => Self::read(&mut other.bytes, cx, bin),
        }
    }

    fn read(
        from: &mut (impl AsyncRead + Unpin + ?Sized),
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Registers for the next bytes after a short read. `Ready`: reading on may find some.
    pub(crate) fn poll_more(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx).map(|_| ()),
            Self::Tls(tls) => tls.tcp.poll_read_ready(cx).map(|_| ()),
            // It registers when it is read to its end, and in no other way.
            Self::Other(_) => Poll::Ready(()),
        }
    }

    /// The bytes to be written in place of `plain`, behind what TLS had to answer. With `is_last` the
    /// peer is told that nothing follows.
    ///
    /// # Errors
    /// When TLS cannot encrypt any more.
    pub(crate) fn seal<'a>(
        &mut self,
        plain: &'a [u8],
        wire: &'a mut Vec<u8>,
        is_last: bool,
    ) -> io::Result<&'a [u8]> {
        let Self::Tls(tls) = self else { return Ok(plain) };
        tls.seal(plain, wire)?;
        if is_last {
            tls.seal_end(wire);
        }
        Ok(wire)
    }

    /// Writes what the stream takes at once of sealed bytes.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(&mut tls.tcp).poll_write(cx, bytes),
            Self::Other(other) => Pin::new(&mut other.bytes).poll_write(cx, bytes),
        }
    }

    /// Whether its end is a message of its own, which the peer waits for.
    pub(crate) const fn says_goodbye(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// Passes on what the stream took but still holds.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // TCP holds nothing back.
            Self::Plain(_) | Self::Tls(_) => Poll::Ready(Ok(())),
            Self::Other(other) => Pin::new(&mut other.bytes).poll_flush(cx),
        }
    }

    /// Tells the peer that nothing follows.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut tls.tcp).poll_shutdown(cx),
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
