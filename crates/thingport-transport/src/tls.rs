//! TLS below a connection.
//!
//! A device that is connected says nothing most of the time, so what counts is the memory of an idle
//! stream. The library's buffered connection keeps a read buffer of 4 KiB for each; here all streams of
//! a thread share one buffer for records that came in and one for those that go out. Only the beginning
//! of a record whose end has not arrived stays with its stream, within a bound, until it is whole. And
//! what only a handshake needs is given back when it is over.
//!
//! What always holds: `kept` lies before the bytes that are read next.

mod client;
mod failure;
mod handshake;
mod records;
mod server;

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use thingport_model::security::Security;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

pub use self::client::AnyClient;
pub(crate) use self::failure::{Broken, speaks_tls};
use self::handshake::Handshake;
use self::records::Records;
pub use self::records::check as check_records;
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
    layer: Layer,
    /// The beginning of a record, or of a handshake message of several, whose end has not arrived.
    kept: Vec<u8>,
    /// What the handshake told, until somebody takes it.
    security: Option<Box<Security>>,
    is_resumed: bool,
    /// Something was heard, so that it is not a mere probe of the port.
    heard: bool,
    /// The peer sends nothing any more.
    ended: bool,
    /// We send nothing any more.
    closed: bool,
}

enum Layer {
    Handshake(Box<Handshake>),
    Open(Records),
}

/// What was read.
#[derive(Default)]
struct Read {
    /// Bytes decrypted for the reader.
    plain: usize,
    /// The peer said goodbye.
    ended: bool,
}

/// Reading.
impl Tls {
    /// A stream whose handshake is to come.
    ///
    /// # Errors
    /// When the library finds no randomness.
    pub(crate) fn new(tcp: TcpStream, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            tcp,
            layer: Layer::Handshake(Box::new(Handshake::new(config)?)),
            kept: Vec::new(),
            security: None,
            is_resumed: false,
            heard: false,
            ended: false,
            closed: false,
        })
    }

    /// Whether the handshake is not completed; that of a stream that failed never will be.
    pub(crate) const fn is_handshaking(&self) -> bool {
        matches!(self.layer, Layer::Handshake(_))
    }

    /// Whether an earlier session was taken up again, which spares both ends most of the work.
    pub(crate) const fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// What the handshake told. Handed out once, so that nobody keeps the certificates.
    pub(crate) fn take_security(&mut self) -> Option<Box<Security>> {
        self.security.take()
    }

    /// Reads and decrypts what is there; 0 bytes mean that the peer has closed. Answers of the
    /// handshake, and the alert that goes with a refusal, are added to `room.wire`.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        room: &mut Room,
    ) -> Poll<Result<usize, Broken>> {
        let Room { input, wire } = room;
        // Records shrink when they are decrypted, so all of them fit.
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
        let read = match self.process(input, &mut used, into, wire) {
            Ok(read) => read,
            Err(error) => {
                self.tell(&error, input.get_mut(used..).unwrap_or_default(), wire);
                self.forget();
                return Err(failure::refused(&error, self.is_handshaking()));
            }
        };
        self.ended = read.ended;
        let rest = input.get(used..).unwrap_or_default();
        if rest.len() > KEPT_MAX {
            self.forget();
            return Err(failure::too_long(KEPT_MAX));
        }
        // A new allocation each time, so that a stream which is idle again owns none.
        self.kept = rest.to_vec();
        Ok(read.plain)
    }

    /// Goes through the records and counts the bytes it used up.
    fn process(
        &mut self,
        input: &mut [u8],
        used: &mut usize,
        into: &mut [u8],
        wire: &mut Vec<u8>,
    ) -> Result<Read, rustls::Error> {
        let handshake = match &mut self.layer {
            Layer::Open(records) => return records.open(input, used, into, wire),
            Layer::Handshake(handshake) => handshake,
        };
        let read = handshake.process(input, used, into, wire)?;
        if let Some(done) = handshake.finish()? {
            self.layer = Layer::Open(done.records);
            (self.security, self.is_resumed) = (Some(done.security), done.is_resumed);
        }
        Ok(read)
    }

    /// The end of the TCP stream.
    fn lost(&mut self, error: Option<&io::Error>) -> Result<usize, Broken> {
        self.forget();
        if self.is_handshaking() && self.heard {
            return Err(failure::left(error));
        }
        error.map_or(Ok(0), |error| Err(Broken::Lost(error.to_string())))
    }

    /// Sends the alert that goes with an error. `rest` is what was not used up.
    fn tell(&mut self, error: &rustls::Error, rest: &mut [u8], wire: &mut Vec<u8>) {
        match &mut self.layer {
            Layer::Handshake(handshake) => handshake.tell(rest, wire),
            Layer::Open(records) => records.tell(error, wire),
        }
    }

    /// Neither reads nor writes any more.
    fn forget(&mut self) {
        (self.ended, self.closed) = (true, true);
        self.kept = Vec::new();
    }
}

/// Writing.
impl Tls {
    /// Encrypts.
    ///
    /// # Errors
    /// When the keys are used up, which takes millions of records of TLS 1.2.
    pub(crate) fn seal(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.layer {
            Layer::Open(records) if !self.closed => {
                records.seal(plain, wire).map_err(io::Error::other)
            }
            // There is nobody yet, or no more, to be told anything.
            _ => Ok(()),
        }
    }

    /// Says goodbye, once; nothing can be sent afterwards.
    pub(crate) fn seal_end(&mut self, wire: &mut Vec<u8>) {
        if let Layer::Open(records) = &mut self.layer
            && !self.closed
        {
            records.say_goodbye(wire);
            self.closed = true;
        }
    }
}

/// Copies what was decrypted; how much that is.
fn put(payload: &[u8], into: &mut [u8], at: usize) -> Result<usize, rustls::Error> {
    // It always fits: records shrink when they are decrypted, and a read is not longer than `into`.
    let Some(place) = into.get_mut(at..at + payload.len()) else {
        return Err(rustls::Error::General("more was decrypted than was read".to_owned()));
    };
    place.copy_from_slice(payload);
    Ok(payload.len())
}

/// Bytes of an unfinished record or handshake message that are kept. A record has at most 18 KiB; a
/// `ClientHello` that brings back a ticket with a long chain of certificates is the longest message.
pub const KEPT_MAX: usize = 32 * 1024;
/// Rounds of reading that yield nothing to the reader before other connections run.
const READS_MAX: usize = 4;

#[cfg(test)]
mod tests;
