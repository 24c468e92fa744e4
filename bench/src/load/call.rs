//! One person who calls one device again and again, the device answering: REST to MQTT and back.
//!
//! Both ends are this one thread, which waits for what must come next. So a round trip is measured from before the
//! request is written until the whole answer is read, and no other thread's wake-up is in it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Options;
use crate::histogram::Histogram;
use crate::packet::{self, CONNACK, kind};

/// A device that listens for calls, and the keep-alive connection of whoever makes them.
pub(crate) struct Pair {
    device: Buffered,
    person: Buffered,
    request: Vec<u8>,
    pause: Duration,
}

impl Pair {
    /// Connects both ends; the device has subscribed to calls when this returns.
    ///
    /// # Errors
    /// When an option is missing or an end is refused.
    pub(crate) fn connect(options: &Options) -> io::Result<Self> {
        let (Some(port), Some(bearer), Some(id)) =
            (options.http_port, &options.bearer, &options.device)
        else {
            return Err(io::Error::other("rpc needs --http-port, --bearer and --device"));
        };
        let person = SocketAddr::new(options.host.into(), port);
        let request = format!(
            "POST /api/rpc/twoway/{id} HTTP/1.1\r\nHost: {person}\r\nX-Authorization: Bearer {bearer}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{CALL}",
            CALL.len()
        );
        let mut pair = Self {
            device: Buffered::connect(options.server())?,
            person: Buffered::connect(person)?,
            request: request.into_bytes(),
            pause: Duration::from_secs_f64(options.pause),
        };
        pair.subscribe(&options.token(options.connections))?;
        Ok(pair)
    }

    fn subscribe(&mut self, token: &str) -> io::Result<()> {
        self.device.stream.write_all(&packet::connect(token, 0))?;
        if self.device.packet()? != CONNACK {
            return Err(io::Error::other("the device that is called is refused"));
        }
        self.device.stream.write_all(&packet::subscribe(CALLS))?;
        match self.device.packet()?[..] {
            [first, _, _, _, 0 | 1] if first >> 4 == kind::SUBACK => Ok(()),
            _ => Err(io::Error::other("the device may not subscribe to calls")),
        }
    }

    /// Calls until `stop`; how long each call took but the first ones, and how many there were in all.
    ///
    /// # Errors
    /// When a call is not answered with 200 and what the device said.
    pub(crate) fn call_until(&mut self, stop: &AtomicBool) -> io::Result<(Histogram, u64)> {
        let mut times = Histogram::new();
        let mut calls = 0;
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            self.call()?;
            calls += 1;
            if calls > UNMEASURED {
                times.record(started.elapsed().as_nanos() as u64);
            }
            if !self.pause.is_zero() {
                std::thread::sleep(self.pause);
            }
        }
        Ok((times, calls))
    }

    fn call(&mut self) -> io::Result<()> {
        self.person.stream.write_all(&self.request)?;
        let call = self.device.publish().map_err(no_call)?;
        let answer =
            answer_to(&call).ok_or_else(|| io::Error::other("no call but something else"))?;
        self.device.stream.write_all(&answer)?;
        let response = self.person.response()?;
        if response.starts_with(b"HTTP/1.1 200 ") && response.ends_with(ANSWER.as_bytes()) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&response).into_owned();
        Err(io::Error::other(format!("a call was answered with: {said}")))
    }
}

/// What is wrong most likely when no call comes.
fn no_call(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => io::Error::other(
            "no call came: is --device the id of the device whose token follows those of the \
             connections, and --bearer a session token of its tenant?",
        ),
        _ => error,
    }
}

/// PUBACK for the call and the PUBLISH with its answer, both with the packet id of the call.
fn answer_to(call: &[u8]) -> Option<Vec<u8>> {
    let frame = packet::frame(call, 0).ok()??;
    let body = &call[frame.body];
    let id = packet::publish_id(body)?;
    let length = usize::from(u16::from_be_bytes(body.first_chunk().copied()?));
    let topic = std::str::from_utf8(body.get(2..2 + length)?).ok()?;
    let number = topic.rsplit('/').next()?;
    let mut out = vec![kind::PUBACK << 4, 2, id[0], id[1]];
    let (mut publish, id_at) = packet::publish(&format!("{ANSWERS}{number}"), ANSWER.as_bytes());
    publish[id_at..id_at + 2].copy_from_slice(&id);
    out.extend(publish);
    Some(out)
}

/// A blocking socket and what was read beyond the last message.
struct Buffered {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Buffered {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::Error::other("the server closed a connection")),
            count => {
                self.unread.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }

    /// The next MQTT packet.
    fn packet(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let frame = packet::frame(&self.unread, 0)
                .map_err(|_| io::Error::other("the server sent a packet without end"))?;
            if let Some(frame) = frame {
                return Ok(self.unread.drain(..frame.body.end).collect());
            }
            self.fill()?;
        }
    }

    /// The next PUBLISH; acknowledgements before it are nothing to act upon.
    fn publish(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let packet = self.packet()?;
            if packet[0] >> 4 == kind::PUBLISH {
                return Ok(packet);
            }
        }
    }

    /// The next HTTP response, head and body.
    fn response(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = response_end(&self.unread).filter(|end| *end <= self.unread.len()) {
                return Ok(self.unread.drain(..end).collect());
            }
            self.fill()?;
        }
    }
}

/// Where the first response in `bytes` ends, once its head is whole.
fn response_end(bytes: &[u8]) -> Option<usize> {
    let body = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..body]).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some(body + length.unwrap_or(0_usize))
}

const CALLS: &str = "v1/devices/me/rpc/request/+";
const ANSWERS: &str = "v1/devices/me/rpc/response/";
const CALL: &str = r#"{"method":"getValue","params":{"pin":7},"timeout":5000}"#;
const ANSWER: &str = r#"{"pin":7,"value":21.5}"#;
/// Longer than the call's own timeout, so that the server's word is heard.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls that warm both ends up.
const UNMEASURED: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_acknowledged_and_answered_under_its_number() {
        let (mut call, id_at) = packet::publish("v1/devices/me/rpc/request/42", b"{}");
        call[id_at + 1] = 9;
        let answer = answer_to(&call).unwrap();
        assert_eq!(answer[..4], [0x40, 2, 0, 9]);
        let (mut expected, id_at) =
            packet::publish("v1/devices/me/rpc/response/42", ANSWER.as_bytes());
        expected[id_at + 1] = 9;
        assert_eq!(answer[4..], expected);
    }

    #[test]
    fn a_response_ends_where_its_length_says() {
        for (bytes, end) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", Some(41)),
            ("HTTP/1.1 200 OK\r\nContent-Length:3\r\n\r\n", Some(40)),
            ("HTTP/1.1 200 OK\r\n\r\n", Some(19)),
            ("HTTP/1.1 200 OK\r\n", None),
        ] {
            assert_eq!(response_end(bytes.as_bytes()), end, "{bytes:?}");
        }
    }
}
