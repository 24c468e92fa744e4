//! TLS below a connection.
//!
//! A device that is connected says nothing most of the time, so what counts is the memory of an idle
//! stream. The library's buffered connection keeps a read buffer of 4 KiB for each; here all streams of
//! a thread share one buffer for records that came in and one for those that go out. Only the beginning
//! of a record whose end has not arrived stays with its stream, within a bound, until it is whole.
//!
//! What always holds: `kept` lies before the bytes that are read next, because the library remembers
//! places in it.

mod client;
mod failure;
mod server;

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use thingport_model::security::Security;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

pub use self::client::AnyClient;
pub(crate) use self::failure::{Broken, speaks_tls};
pub use self::server::{SESSIONS_CACHED_MAX, security, server_config};

/// What a thread lends to the stream it is running.
#[derive(Default)]
pub(crate) struct Room {
    /// Records as they came in.
    input: Vec<u8>,
    /// Records on their way out; emptied before each turn.
    pub(crate) wire: Vec<u8>,
}

/// The TLS server's side of one TCP stream.
pub(crate) struct Tls {
    pub(crate) tcp: TcpStream,
    session: UnbufferedServerConnection,
    /// The beginning of a record, or of a handshake message of several, whose end has not arrived.
    kept: Vec<u8>,
    /// Something was heard, so that it is not a mere probe of the port.
    heard: bool,
    /// The peer sends nothing any more.
    ended: bool,
    /// We send nothing any more.
    closed: bool,
}

/// Reading.
impl Tls {
    pub(crate) const fn new(tcp: TcpStream, session: UnbufferedServerConnection) -> Self {
        Self { tcp, session, kept: Vec::new(), heard: false, ended: false, closed: false }
    }

    /// Whether the handshake is still under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether an earlier handshake was taken up again, which spares both ends most of the work.
    pub(crate) fn is_resumed(&self) -> bool {
        self.session.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// What the handshake told.
    pub(crate) fn security(&self) -> Box<Security> {
        security(&self.session)
    }

    /// Reads and decrypts what is there; 0 bytes mean that the peer has closed. Answers of the
    /// handshake, and the alert that goes with a refusal, are added to `room.wire`.
    ///
    /// `into` must be at least as long as a read.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        room: &mut Room,
    ) -> Poll<Result<usize, Broken>> {
        let Room { input, wire } = room;
        input.resize(into.len(), 0);
        for _ in 0..READS_MAX {
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            let filled = match ready!(self.poll_input(cx, input)) {
                Ok(filled) => filled,
                Err(error) => return Poll::Ready(self.lost(Some(&error))),
            };
            if filled == self.kept.len() {
                return Poll::Ready(self.lost(None));
            }
            let plain = self.take(input.get_mut(..filled).unwrap_or_default(), into, wire)?;
            if plain > 0 {
                return Poll::Ready(Ok(plain));
            }
        }
        // Records without content; others want to run, too.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads behind what was kept; how many bytes there are now.
    fn poll_input(&mut self, cx: &mut Context<'_>, input: &mut [u8]) -> Poll<io::Result<usize>> {
        let (before, behind) = input.split_at_mut(self.kept.len().min(input.len()));
        before.copy_from_slice(&self.kept);
        let mut buffer = ReadBuf::new(behind);
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(before.len() + buffer.filled().len()))
    }

    /// Takes what was read; how much of it was decrypted for the reader.
    fn take(
        &mut self,
        input: &mut [u8],
        into: &mut [u8],
        wire: &mut Vec<u8>,
    ) -> Result<usize, Broken> {
        if !self.heard {
            failure::check_first(input)?;
            self.heard = true;
        }
        let mut used = 0;
        let plain = match self.process(input, &mut used, into, wire) {
            Ok(plain) => plain,
            Err(error) => {
                let broken = failure::refused(&error, self.is_handshaking());
                self.give_up(input.get_mut(used..).unwrap_or_default(), wire);
                return Err(broken);
            }
        };
        let rest = input.get(used..).unwrap_or_default();
        if rest.len() > KEPT_MAX {
            self.forget();
            return Err(failure::too_long(KEPT_MAX));
        }
        // A new allocation each time, so that a stream which is idle again owns none.
        self.kept = rest.to_vec();
        Ok(plain)
    }

    /// Lets the library go through the records and counts the bytes it used up; how many were
    /// decrypted.
    fn process(
        &mut self,
        input: &mut [u8],
        used: &mut usize,
        into: &mut [u8],
        wire: &mut Vec<u8>,
    ) -> Result<usize, rustls::Error> {
        let mut plain = 0;
        loop {
            let rest = input.get_mut(*used..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(rest);
            *used += discard;
            let mut goes_on = true;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        *used += record.discard;
                        plain += put(record.payload, into, plain)?;
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, wire)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                // Nothing further until more comes; early data is not offered.
                _ => goes_on = false,
            }
            if !goes_on {
                return Ok(plain);
            }
        }
    }

    /// The end of the TCP stream.
    fn lost(&mut self, error: Option<&io::Error>) -> Result<usize, Broken> {
        let was_begun = self.is_handshaking() && self.heard;
        self.forget();
        if was_begun {
            return Err(failure::left(error));
        }
        error.map_or(Ok(0), |error| Err(Broken::Lost(error.to_string())))
    }
}

/// Writing.
impl Tls {
    /// Encrypts.
    ///
    /// # Errors
    /// When the session cannot encrypt any more: its keys are used up, which takes exabytes.
    pub(crate) fn seal(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> io::Result<()> {
        if plain.is_empty() || self.closed {
            return Ok(());
        }
        self.with_traffic(wire, |traffic, wire| {
            append(wire, plain.len(), |room| traffic.encrypt(plain, room))
        })
    }

    /// Says goodbye, once; nothing can be sent afterwards.
    pub(crate) fn seal_end(&mut self, wire: &mut Vec<u8>) {
        if self.closed || self.is_handshaking() {
            return;
        }
        // The stream is closed next, whether or not this works.
        let _ = self.with_traffic(wire, |traffic, wire| {
            append(wire, 0, |room| traffic.queue_close_notify(room))
        });
        self.closed = true;
    }

    /// Works in the state in which the library writes.
    fn with_traffic(
        &mut self,
        wire: &mut Vec<u8>,
        work: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            // What is kept was seen before: it is not looked at again, but the places remembered in
            // it must exist.
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut self.kept);
            match state.map_err(io::Error::other)? {
                ConnectionState::EncodeTlsData(mut data) => {
                    encode(&mut data, wire).map_err(io::Error::other)?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                ConnectionState::WriteTraffic(mut traffic) => return work(&mut traffic, wire),
                _ => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    /// After an error: sends the alert that tells the peer about it, and nothing else. `rest` is what
    /// was not used up, in which the library still remembers places.
    fn give_up(&mut self, mut rest: &mut [u8], wire: &mut Vec<u8>) {
        self.forget();
        // It must not look at the rest again.
        while self.session.wants_write() {
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(rest);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { return };
            if encode(&mut data, wire).is_err() {
                return;
            }
            rest = rest.get_mut(discard..).unwrap_or_default();
        }
    }

    /// Neither reads nor writes any more.
    fn forget(&mut self) {
        (self.ended, self.closed) = (true, true);
        self.kept = Vec::new();
    }
}

fn put(payload: &[u8], into: &mut [u8], at: usize) -> Result<usize, rustls::Error> {
    // Records shrink when they are decrypted, and a read is not longer than `into`.
    let Some(place) = into.get_mut(at..at + payload.len()) else {
        return Err(rustls::Error::General("more was decrypted than was read".to_owned()));
    };
    place.copy_from_slice(payload);
    Ok(payload.len())
}

fn encode(
    data: &mut EncodeTlsData<'_, ServerConnectionData>,
    wire: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let at = wire.len();
    let mut size = FLIGHT;
    loop {
        wire.resize(at + size, 0);
        match data.encode(wire.get_mut(at..).unwrap_or_default()) {
            Ok(written) => {
                wire.truncate(at + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(needed)) if needed.required_size > size => {
                size = needed.required_size;
            }
            Err(error) => {
                wire.truncate(at);
                return Err(rustls::Error::General(error.to_string()));
            }
        }
    }
}

/// Appends what `write` makes of `size` bytes, asking again with the room it wants.
fn append(
    wire: &mut Vec<u8>,
    size: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> io::Result<()> {
    let at = wire.len();
    let mut room = size + (size / RECORD + 1) * OVERHEAD;
    loop {
        wire.resize(at + room, 0);
        match write(wire.get_mut(at..).unwrap_or_default()) {
            Ok(written) => {
                wire.truncate(at + written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(needed)) if needed.required_size > room => {
                room = needed.required_size;
            }
            Err(error) => {
                wire.truncate(at);
                return Err(io::Error::other(error));
            }
        }
    }
}

/// Bytes of an unfinished record or handshake message that are kept. A record has at most 18 KiB; a
/// `ClientHello` that brings back a ticket with a long chain of certificates is the longest message.
pub const KEPT_MAX: usize = 32 * 1024;
/// Rounds of reading that yield nothing to the reader before other connections run.
const READS_MAX: usize = 4;
/// Room that holds most messages of a handshake.
const FLIGHT: usize = 1024;
/// Content of one record.
const RECORD: usize = 16 * 1024;
/// What a record adds to its content: header, nonce, tag and type; also room for an alert.
const OVERHEAD: usize = 64;

#[cfg(test)]
mod tests;
