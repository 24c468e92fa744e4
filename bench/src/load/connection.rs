//! One device: what it has sent, what it waits for.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use super::wire::Wire;
use crate::packet::{self, CONNACK, kind};

/// A connection and its unacknowledged messages, oldest first.
pub(crate) struct Connection {
    stream: Wire,
    /// The beginning of a packet whose end has not arrived.
    unread: Vec<u8>,
    /// What the socket had no room for.
    unsent: Vec<u8>,
    connected: bool,
    last_id: u16,
    /// Packet id and start time, nanoseconds on the fleet's clock, of CONNECT (id 0) and messages.
    waiting: VecDeque<(u16, u64)>,
}

/// What one round of reading brought.
#[derive(Default)]
pub(crate) struct Received {
    /// CONNACK has arrived.
    pub connected: bool,
    /// Messages acknowledged.
    pub acknowledged: u16,
}

impl Connection {
    /// Sends CONNECT; `started` is when the TCP connection was asked for.
    pub(crate) fn new(stream: Wire, connect: &[u8], started: u64) -> io::Result<Self> {
        let mut connection = Self {
            stream,
            unread: Vec::new(),
            unsent: Vec::new(),
            connected: false,
            last_id: 0,
            waiting: VecDeque::from([(0, started)]),
        };
        connection.send(connect)?;
        Ok(connection)
    }

    /// The packet id of the next message, started at `started`.
    pub(crate) fn next_id(&mut self, started: u64) -> io::Result<u16> {
        if self.waiting.len() >= WAITING {
            return Err(io::Error::other("the server leaves too many messages unacknowledged"));
        }
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.waiting.push_back((self.last_id, started));
        Ok(self.last_id)
    }

    /// Messages not yet acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.waiting.len()
    }

    /// Sends `bytes`, keeping what the socket has no room for.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unsent.extend_from_slice(bytes);
        self.flush()
    }

    /// Tries again to send what was kept.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.stream.flush()
    }

    /// Reads once (more only when `input` was filled or the peer has closed) and calls `answered` with the start time of
    /// each packet that was answered.
    pub(crate) fn receive(
        &mut self,
        input: &mut [u8],
        peer_closed: bool,
        mut answered: impl FnMut(u64),
    ) -> io::Result<Received> {
        let mut received = Received::default();
        loop {
            let kept = self.unread.len();
            input[..kept].copy_from_slice(&self.unread);
            let end = match self.stream.read(&mut input[kept..]) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(count) => kept + count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let consumed = self.take(&input[..end], &mut received, &mut answered)?;
            self.unread.clear();
            self.unread.extend_from_slice(&input[consumed..end]);
            if end < input.len() && !peer_closed && !self.stream.must_be_emptied() {
                break;
            }
        }
        Ok(received)
    }

    fn take(
        &mut self,
        bytes: &[u8],
        received: &mut Received,
        answered: &mut impl FnMut(u64),
    ) -> io::Result<usize> {
        let mut consumed = 0;
        while let Some(frame) = packet::frame(bytes, consumed).map_err(|_| unexpected(bytes))? {
            let whole = &bytes[consumed..frame.body.end];
            let id = match (frame.kind(), whole) {
                (kind::CONNACK, _) if !self.connected && whole == CONNACK => {
                    self.connected = true;
                    received.connected = true;
                    0
                }
                (kind::PUBACK, &[_, 2, high, low]) if self.connected => {
                    received.acknowledged += 1;
                    u16::from_be_bytes([high, low])
                }
                _ => return Err(unexpected(whole)),
            };
            match self.waiting.pop_front() {
                // [MQTT-4.6.0-2]: acknowledgements come in the order of the messages.
                Some((expected, started)) if expected == id => answered(started),
                _ => return Err(unexpected(whole)),
            }
            consumed = frame.body.end;
        }
        Ok(consumed)
    }
}

fn unexpected(bytes: &[u8]) -> io::Error {
    let shown = &bytes[..bytes.len().min(8)];
    io::Error::other(format!("the server sent what was not expected: {shown:02x?}"))
}

/// Fewer than there are packet ids, so that none is in use twice.
const WAITING: usize = 60_000;
