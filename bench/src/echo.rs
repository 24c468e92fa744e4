//! The do-nothing server: the least work that still speaks QoS 1, and so the physical limit.
//!
//! One thread, edge-triggered readiness, one read and one write for each. It stores nothing, checks
//! nothing, knows no topic; what a real server spends above it is that server's own doing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use clap::Args;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::packet::{self, CONNACK, PINGRESP, kind};

/// Options of `thingport-bench echo`.
#[derive(Args)]
pub(crate) struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:1884")]
    bind: SocketAddr,
}

/// Serves until killed.
///
/// # Errors
/// When the address cannot be bound or the poller fails; a failing connection is only closed.
pub(crate) fn serve(options: &Options) -> io::Result<()> {
    let mut server = Server::bind(options.bind)?;
    let mut events = Events::with_capacity(1024);
    loop {
        server.turn(&mut events)?;
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Shared by all connections, so that an idle one keeps no buffer.
    input: Vec<u8>,
    output: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// The beginning of a packet whose end has not arrived; nearly always empty.
    unread: Vec<u8>,
    /// Answers the socket had no room for; nearly always empty.
    unsent: Vec<u8>,
}

/// Why a connection ends; the echo server tells nobody.
struct Close;

impl Server {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            input: vec![0; INPUT_BYTES],
            output: Vec::with_capacity(INPUT_BYTES),
        })
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        match self.poll.poll(events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in events.iter() {
            if event.token() == LISTENER { self.accept() } else { self.serve(event) }
        }
        Ok(())
    }

    fn accept(&mut self) {
        // Any error ends the round: an aborted peer costs at most a wait for the next connection.
        while let Ok((mut stream, _)) = self.listener.accept() {
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let _ = stream.set_nodelay(true);
            if self.poll.registry().register(&mut stream, Token(slot), Interest::READABLE).is_ok() {
                let connection = Connection { stream, unread: Vec::new(), unsent: Vec::new() };
                self.connections[slot] = Some(connection);
            } else {
                self.free.push(slot);
            }
        }
    }

    fn serve(&mut self, event: &Event) {
        let slot = event.token().0;
        let Some(connection) = self.connections[slot].as_mut() else { return };
        let registry = self.poll.registry();
        let flushed = if event.is_writable() { connection.flush(registry, slot) } else { Ok(()) };
        let served = flushed.and_then(|()| {
            if connection.receive(event.is_read_closed(), &mut self.input, &mut self.output)? {
                connection.wait_for_room(registry, slot)?;
            }
            Ok(())
        });
        if served.is_err() {
            self.connections[slot] = None;
            self.free.push(slot);
        }
    }
}

impl Connection {
    /// Reads and answers what has arrived; true when answers are left that the socket refused.
    fn receive(
        &mut self,
        peer_closed: bool,
        input: &mut [u8],
        output: &mut Vec<u8>,
    ) -> Result<bool, Close> {
        let was_waiting = !self.unsent.is_empty();
        loop {
            let kept = self.unread.len();
            input[..kept].copy_from_slice(&self.unread);
            let end = match self.stream.read(&mut input[kept..]) {
                Ok(0) => return Err(Close),
                Ok(count) => kept + count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err(Close),
            };
            let consumed = answer(&input[..end], output)?;
            self.unread.clear();
            self.unread.extend_from_slice(&input[consumed..end]);
            self.send(output)?;
            // A short read has emptied the socket: whatever comes next raises a new edge. Only a
            // peer that has already closed raises none, so then the end is read to the end.
            if (end < input.len() && !peer_closed) || self.unread.len() == input.len() {
                break;
            }
        }
        let full = self.unread.len() == input.len() || self.unsent.len() > UNSENT_BYTES;
        if full { Err(Close) } else { Ok(!was_waiting && !self.unsent.is_empty()) }
    }

    fn send(&mut self, output: &mut Vec<u8>) -> Result<(), Close> {
        if output.is_empty() {
            return Ok(());
        }
        let sent = if self.unsent.is_empty() { write(&mut self.stream, output)? } else { 0 };
        self.unsent.extend_from_slice(&output[sent..]);
        output.clear();
        Ok(())
    }

    fn flush(&mut self, registry: &mio::Registry, slot: usize) -> Result<(), Close> {
        let sent = write(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            let readable = Interest::READABLE;
            registry.reregister(&mut self.stream, Token(slot), readable).map_err(|_| Close)?;
        }
        Ok(())
    }

    fn wait_for_room(&mut self, registry: &mio::Registry, slot: usize) -> Result<(), Close> {
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.reregister(&mut self.stream, Token(slot), both).map_err(|_| Close)
    }
}

fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize, Close> {
    match stream.write(bytes) {
        Ok(count) => Ok(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(_) => Err(Close),
    }
}

/// Appends the answers to all whole packets in `bytes`; returns how many bytes those were.
fn answer(bytes: &[u8], output: &mut Vec<u8>) -> Result<usize, Close> {
    output.clear();
    let mut consumed = 0;
    while let Some(frame) = packet::frame(bytes, consumed).map_err(|_| Close)? {
        consumed = frame.body.end;
        match frame.kind() {
            kind::PUBLISH if frame.first & QOS_BITS == QOS_1 => {
                let [high, low] = packet::publish_id(&bytes[frame.body]).ok_or(Close)?;
                output.extend_from_slice(&[0x40, 2, high, low]);
            }
            kind::PUBLISH => {}
            kind::CONNECT => output.extend_from_slice(&CONNACK),
            kind::PINGREQ => output.extend_from_slice(&PINGRESP),
            _ => return Err(Close),
        }
    }
    Ok(consumed)
}

const LISTENER: Token = Token(usize::MAX);
/// Read at once at most, and the largest packet understood.
const INPUT_BYTES: usize = 64 * 1024;
/// Answers kept for one peer that does not read them, before it is closed.
const UNSENT_BYTES: usize = 1024 * 1024;
const QOS_BITS: u8 = 0x06;
const QOS_1: u8 = 0x02;

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
        let mut output = Vec::new();
        answer(bytes, &mut output).ok().map(|consumed| (consumed, output))
    }

    #[test]
    fn each_packet_has_its_answer() {
        let connect = packet::connect("t", 0);
        let (mut numbered, id_at) = packet::publish("a", b"{}");
        numbered[id_at..id_at + 2].copy_from_slice(&[3, 4]);
        let mut unacknowledged = b"\x30\x05\x00\x01a{}".to_vec();
        assert_eq!(answered(&connect), Some((connect.len(), CONNACK.to_vec())));
        assert_eq!(answered(&numbered), Some((numbered.len(), vec![0x40, 2, 3, 4])));
        assert_eq!(answered(&unacknowledged), Some((7, vec![])));
        assert_eq!(answered(&[0xC0, 0]), Some((2, PINGRESP.to_vec())));
        assert_eq!(answered(&packet::DISCONNECT), None);
        unacknowledged[0] = 0x32;
        assert_eq!(answered(&unacknowledged), Some((7, b"\x40\x02{}".to_vec())));
    }

    #[test]
    fn what_is_not_whole_waits() {
        let (publish, _) = packet::publish("a", b"{}");
        let two = [&publish[..], &publish[..5]].concat();
        assert_eq!(answered(&two), Some((publish.len(), vec![0x40, 2, 0, 0])));
    }
}
