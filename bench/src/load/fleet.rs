//! All connections on one thread and one poller.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;
use socket2::{Domain, Socket, Type};

use super::Options;
use super::connection::Connection;
use super::meter::Meter;
use super::wire::{self, Wire};
use crate::histogram::Histogram;
use crate::packet;

/// The devices. An error on any of them ends the run.
pub(crate) struct Fleet {
    options: Options,
    tls: Option<Arc<ClientConfig>>,
    poll: Poll,
    events: Events,
    epoch: Instant,
    connections: Vec<Connection>,
    /// Connections whose CONNACK has arrived.
    connected: usize,
    /// Filled by [`Self::turn`], emptied by [`Self::next_acknowledged`].
    acknowledged: Vec<(usize, u16)>,
    acknowledged_total: u64,
    latencies: Histogram,
    record_from: u64,
    meter: Meter,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Fleet {
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        Ok(Self {
            options: options.clone(),
            tls: wire::tls(options)?,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            epoch: Instant::now(),
            connections: Vec::new(),
            connected: 0,
            acknowledged: Vec::new(),
            acknowledged_total: 0,
            latencies: Histogram::new(),
            record_from: u64::MAX,
            meter: Meter::new(&options.topic),
            input: vec![0; INPUT_BYTES],
            output: Vec::new(),
        })
    }

    /// Nanoseconds since the fleet was made.
    pub(crate) fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Messages acknowledged so far.
    pub(crate) fn acknowledged_total(&self) -> u64 {
        self.acknowledged_total
    }

    /// Messages sent and not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.connections.iter().map(Connection::unacknowledged).sum()
    }

    /// Latencies of what started at or after the time given to [`Self::record_from`].
    pub(crate) fn latencies(&self) -> &Histogram {
        &self.latencies
    }

    /// Records latencies of what starts at `time` or later.
    pub(crate) fn record_from(&mut self, time: u64) {
        self.record_from = time;
    }

    /// Opens connections until there are `count`, all with their CONNACK.
    pub(crate) fn connect_to(&mut self, count: usize) -> io::Result<()> {
        let end = Instant::now() + CONNECT_ALL;
        while self.connected < count {
            while self.len() < count
                && self.len() - self.connected < usize::from(self.options.in_flight)
            {
                self.connect()?;
            }
            self.turn(Duration::from_millis(100))?;
            if Instant::now() > end {
                let text = format!("{} of {count} CONNACKs came in time", self.connected);
                return Err(io::Error::new(ErrorKind::TimedOut, text));
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> io::Result<()> {
        let index = self.len();
        let started = self.now();
        let mut stream = open(self.options.server(), index)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(index), interest)?;
        let connect = packet::connect(&self.options.token(index), self.options.keep_alive);
        let stream = Wire::new(stream, self.tls.as_ref())?;
        self.connections.push(Connection::new(stream, &connect, started)?);
        Ok(())
    }

    /// Sends `count` messages in one write; `started` is where their latency counts from.
    pub(crate) fn publish(&mut self, index: usize, count: u16, started: u64) -> io::Result<()> {
        let connection = &mut self.connections[index];
        self.output.clear();
        for _ in 0..count {
            self.meter.append(connection.next_id(started)?, &mut self.output);
        }
        connection.send(&self.output)
    }

    /// Waits at most `timeout` and reads what has arrived.
    pub(crate) fn turn(&mut self, timeout: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in self.events.iter() {
            let index = event.token().0;
            let connection = &mut self.connections[index];
            if event.is_writable() {
                connection.flush()?;
            }
            if !event.is_readable() {
                continue;
            }
            let now = self.epoch.elapsed().as_nanos() as u64;
            let received =
                connection.receive(&mut self.input, event.is_read_closed(), |started| {
                    if started >= self.record_from {
                        self.latencies.record(now - started);
                    }
                })?;
            self.connected += usize::from(received.connected);
            if received.acknowledged > 0 {
                self.acknowledged_total += u64::from(received.acknowledged);
                self.acknowledged.push((index, received.acknowledged));
            }
        }
        Ok(())
    }

    /// A connection and how many of its messages were acknowledged in the last turn.
    pub(crate) fn next_acknowledged(&mut self) -> Option<(usize, u16)> {
        self.acknowledged.pop()
    }

    /// Says good-bye on every connection.
    pub(crate) fn disconnect(mut self) {
        for connection in &mut self.connections {
            // The figures are taken; a server that is gone by now changes none of them.
            let _ = connection.send(&packet::DISCONNECT);
        }
    }
}

/// A connected socket. Blocking until then: the handshakes under way are fewer than the backlog.
fn open(server: SocketAddr, index: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source(server, index) {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.connect_timeout(&server.into(), CONNECT_ONE)?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}

/// The loopback address to connect from, when there are many connections.
fn source(server: SocketAddr, index: usize) -> Option<Ipv4Addr> {
    let block = index / CONNECTIONS_PER_ADDRESS;
    (server.ip().is_loopback() && block > 0)
        .then(|| Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + block as u32))
}

const CONNECT_ALL: Duration = Duration::from_secs(120);
const CONNECT_ONE: Duration = Duration::from_secs(5);
const INPUT_BYTES: usize = 64 * 1024;
/// Linux has about 28,000 ports for one pair of addresses and one port of the server, and looks for
/// a free one longer and longer: half a millisecond for the 19,000th.
const CONNECTIONS_PER_ADDRESS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_ports_come_from_more_addresses() {
        let server = "127.0.0.1:1883".parse().unwrap();
        for (index, expected) in [(0, None), (999, None), (1_000, Some(2)), (2_999, Some(3))] {
            let expected = expected.map(|last| Ipv4Addr::new(127, 0, 0, last));
            assert_eq!(source(server, index), expected, "{index}");
        }
        assert_eq!(source("192.0.2.1:1883".parse().unwrap(), 60_000), None);
    }
}
