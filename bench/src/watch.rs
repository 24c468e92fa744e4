//! Many people who watch one device over WebSocket, while another device publishes: what the watchers cost the others.
//!
//! One thread reads all WebSockets, one publishes as the watched device at fixed times, and one publishes as the other
//! device, one message after the other, and times each until its PUBACK. The same is measured before anybody watches.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::TcpStream as Stream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::histogram::Histogram;
use crate::packet::{self, CONNACK, kind};
use crate::process;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// MQTT port of the server on this machine.
    #[arg(long)]
    port: u16,
    /// Its HTTP port.
    #[arg(long)]
    http_port: u16,
    /// Access token of a person who may see the device.
    #[arg(long)]
    bearer: String,
    /// Id of the device that is watched.
    #[arg(long)]
    device: String,
    /// Access token of that device.
    #[arg(long)]
    token: String,
    /// Access token of the device whose messages are timed.
    #[arg(long)]
    other: String,
    /// How many watch.
    #[arg(long, default_value_t = 2_000)]
    watchers: usize,
    /// Messages of the watched device in a second.
    #[arg(long, default_value_t = 10)]
    rate: u32,
    /// How long each of the two parts is measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Process id of the server, for its CPU time and memory.
    #[arg(long)]
    pid: u32,
}

/// Measures without and with watchers.
///
/// # Errors
/// When somebody is refused or a connection is lost.
pub(crate) fn run(options: &Options) -> io::Result<Value> {
    let mut watched = Device::connect(options, &options.token)?;
    let mut other = Device::connect(options, &options.other)?;
    measure(options, &mut watched, &mut other, 1.0)?;
    let alone = measure(options, &mut watched, &mut other, options.seconds)?;
    let before = process::resident(options.pid)?;
    let crowd = Crowd::gather(options)?;
    // What the handshakes left behind is not what watchers cost.
    thread::sleep(Duration::from_secs(2));
    let bytes = process::resident(options.pid)?.saturating_sub(before);
    measure(options, &mut watched, &mut other, 1.0)?;
    crowd.settle();
    let told_before = crowd.told.load(Ordering::Relaxed);
    let watched_by_all = measure(options, &mut watched, &mut other, options.seconds)?;
    crowd.settle();
    let told = crowd.told.load(Ordering::Relaxed) - told_before;
    crowd.disperse()?;
    let sent = watched_by_all["published"].as_u64().unwrap_or_default();
    Ok(json!({
        "watchers": options.watchers, "rate": options.rate,
        "alone": alone, "watched": watched_by_all,
        "updates": told, "updates_due": sent * options.watchers as u64,
        "bytes_per_watcher": bytes / options.watchers.max(1) as u64,
    }))
}

/// The watched device publishes at its rate, the other one as often as it is acknowledged.
fn measure(
    options: &Options,
    watched: &mut Device,
    other: &mut Device,
    seconds: f64,
) -> io::Result<Value> {
    let stop = AtomicBool::new(false);
    let begun = process::cpu_time(options.pid)?;
    let (published, times) = thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut times = Histogram::new();
            while !stop.load(Ordering::Relaxed) {
                let sent = Instant::now();
                other.publish()?;
                times.record(sent.elapsed().as_nanos() as u64);
            }
            Ok::<_, io::Error>(times)
        });
        let started = Instant::now();
        let every = Duration::from_secs(1) / options.rate.max(1);
        let mut published = 0_u32;
        let mut outcome = Ok(());
        while outcome.is_ok() && started.elapsed().as_secs_f64() < seconds {
            let due = started + every * published;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            outcome = watched.publish();
            published += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let times = other.join().map_err(|_| io::Error::other("the other device panicked"))??;
        outcome.map(|()| (published, times))
    })?;
    let cpu = process::cpu_time(options.pid)?.since(begun).total();
    let us = |share| times.quantile(share) as f64 / 1_000.0;
    Ok(json!({
        "published": published,
        "other_messages": times.total(),
        "other_p50_us": us(0.5), "other_p99_us": us(0.99), "other_p999_us": us(0.999),
        "cpu_seconds": cpu.as_secs_f64(),
    }))
}

/// A device with one message under way.
struct Device {
    stream: TcpStream,
    packet: Vec<u8>,
    number: u64,
}

impl Device {
    fn connect(options: &Options, token: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(at(options.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&packet::connect(token, 0))?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        if answer != CONNACK {
            return Err(io::Error::other("a device is refused"));
        }
        Ok(Self { stream, packet: Vec::new(), number: 0 })
    }

    /// Publishes three readings and waits until they are acknowledged.
    fn publish(&mut self) -> io::Result<()> {
        self.number += 1;
        let payload = format!(
            r#"{{"temperature":{}.5,"humidity":{},"pressure":{}}}"#,
            self.number % 100,
            self.number % 90,
            self.number
        );
        let (packet, id_at) = packet::publish("v1/devices/me/telemetry", payload.as_bytes());
        self.packet = packet;
        self.packet[id_at..id_at + 2].copy_from_slice(&[0, 1]);
        self.stream.write_all(&self.packet)?;
        let mut answer = [0; 4];
        self.stream.read_exact(&mut answer)?;
        if answer[0] >> 4 == kind::PUBACK { Ok(()) } else { Err(io::Error::other("no PUBACK")) }
    }
}

/// Everybody who watches, and the thread that reads for them.
struct Crowd {
    told: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    reader: JoinHandle<io::Result<()>>,
}

impl Crowd {
    /// Opens the sessions; each has had the first answer to its command when this returns.
    fn gather(options: &Options) -> io::Result<Self> {
        let mut watchers = Vec::with_capacity(options.watchers);
        for _ in 0..options.watchers {
            watchers.push(Watcher::subscribe(options)?);
        }
        let (told, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ended) = (Arc::clone(&told), Arc::clone(&stop));
        let reader = thread::spawn(move || read_all(watchers, &count, &ended));
        Ok(Self { told, stop, reader })
    }

    /// Returns when nothing more arrives.
    fn settle(&self) {
        let mut told = self.told.load(Ordering::Relaxed);
        loop {
            thread::sleep(Duration::from_millis(300));
            let now = self.told.load(Ordering::Relaxed);
            if now == told {
                return;
            }
            told = now;
        }
    }

    fn disperse(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.reader.join().map_err(|_| io::Error::other("the reader panicked"))?
    }
}

struct Watcher {
    stream: Stream,
    unread: Vec<u8>,
}

impl Watcher {
    fn subscribe(options: &Options) -> io::Result<Self> {
        let mut stream = TcpStream::connect(at(options.http_port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!(
            "GET /api/ws/plugins/telemetry?token={} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            options.bearer
        );
        stream.write_all(request.as_bytes())?;
        let mut unread = Vec::new();
        let head = loop {
            if let Some(end) = unread.windows(4).position(|it| it == b"\r\n\r\n") {
                break end + 4;
            }
            more(&mut stream, &mut unread)?;
        };
        if !unread.starts_with(b"HTTP/1.1 101 ") {
            let said = String::from_utf8_lossy(&unread).into_owned();
            return Err(io::Error::other(format!("a watcher is answered with: {said}")));
        }
        unread.drain(..head);
        let command = format!(
            r#"{{"tsSubCmds":[{{"cmdId":1,"entityType":"DEVICE","entityId":"{}","scope":"LATEST_TELEMETRY"}}]}}"#,
            options.device
        );
        stream.write_all(&masked(0x81, command.as_bytes()))?;
        while frames(&mut unread).texts == 0 {
            more(&mut stream, &mut unread)?;
        }
        stream.set_nonblocking(true)?;
        Ok(Self { stream: Stream::from_std(stream), unread })
    }

    /// How many messages arrived.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<u64> {
        let mut texts = 0;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::Error::other("the server closed a WebSocket")),
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(texts),
                Err(error) => return Err(error),
            }
            let found = frames(&mut self.unread);
            texts += found.texts;
            if found.is_closed {
                return Err(io::Error::other("the server ended a session"));
            }
            if found.is_pinged {
                self.stream.write_all(&masked(0x8A, b""))?;
            }
        }
    }
}

fn read_all(mut watchers: Vec<Watcher>, told: &AtomicU64, stop: &AtomicBool) -> io::Result<()> {
    let mut poll = Poll::new()?;
    for (number, watcher) in watchers.iter_mut().enumerate() {
        poll.registry().register(&mut watcher.stream, Token(number), Interest::READABLE)?;
    }
    let mut events = Events::with_capacity(1_024);
    let mut buffer = vec![0; 64 * 1_024];
    while !stop.load(Ordering::Relaxed) {
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            if let Some(watcher) = watchers.get_mut(event.token().0) {
                told.fetch_add(watcher.read(&mut buffer)?, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Found {
    texts: u64,
    is_pinged: bool,
    is_closed: bool,
}

/// Takes whole frames of a server off the buffer.
fn frames(unread: &mut Vec<u8>) -> Found {
    let (mut found, mut at) = (Found::default(), 0);
    while let Some((opcode, end)) = frame(&unread[at..]) {
        match opcode {
            0x1 => found.texts += 1,
            0x8 => found.is_closed = true,
            0x9 => found.is_pinged = true,
            _ => {}
        }
        at += end;
    }
    unread.drain(..at);
    found
}

/// Opcode and length of the frame that a buffer begins with, if it is whole.
fn frame(bytes: &[u8]) -> Option<(u8, usize)> {
    let (&first, &short) = (bytes.first()?, bytes.get(1)?);
    let (head, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            (10, usize::try_from(length).ok()?)
        }
        short => (2, usize::from(short)),
    };
    let end = head + length;
    (bytes.len() >= end).then_some((first & 0x0F, end))
}

/// A frame of a client, whose mask of zeros leaves the payload as it is.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ ..126) => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            frame.extend((payload.len() as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<()> {
    let mut bytes = [0; 4_096];
    match stream.read(&mut bytes)? {
        0 => Err(io::Error::other("the server closed a connection")),
        count => {
            unread.extend_from_slice(&bytes[..count]);
            Ok(())
        }
    }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_whole_and_counted() {
        let mut text = vec![0x81, 2, b'o', b'k'];
        let mut long = vec![0x81, 126, 0, 200];
        long.extend([b'x'; 200]);
        let mut unread: Vec<u8> = [&text[..], &long, &[0x89, 0], &long[..100]].concat();
        let found = frames(&mut unread);
        assert_eq!((found.texts, found.is_pinged, found.is_closed), (2, true, false));
        assert_eq!(unread.len(), 100, "the rest waits for more");
        text[0] = 0x88;
        assert!(frames(&mut text).is_closed && text.is_empty());
    }

    #[test]
    fn what_a_client_sends_is_masked() {
        assert_eq!(masked(0x81, b"ab"), [0x81, 0x82, 0, 0, 0, 0, b'a', b'b']);
        let long = masked(0x81, &[b'x'; 300]);
        assert_eq!((&long[..4], long.len()), (&[0x81, 0x80 | 126, 1, 44][..], 308));
    }
}
