//! Plays the transcripts of `testdata/` against a session, once in whole reads and once byte by
//! byte: both must give the same output and the same events.
//!
//! A file holds cases. Each line is one of:
//!
//! ```text
//! case ROW words         a new case, named after the row of the conformance table it keeps
//! ! name=value           a bound, or how the caller behaves: decide=manual, acks=manual, deny=filter:8F
//! ! whole                bytes arrive at once: the answer depends on how much has come
//! open 3|4|5             CONNECT of that level is accepted; its CONNACK is not looked at
//! > 30 05 0001 "a" "hi"  the client sends; (...) is a string with its length in front
//! < 40 02 0001           the server has written exactly this since the last such line
//! @ 1500                 the clock shows so many milliseconds
//! * accept ...           the caller acts
//! . publish a 1 "hi"     the next event is this; `. none` means there is no further one
//! x F-4                  the session ended because that row was broken
//! closed                 the session ended in peace
//! ```

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is wrong")]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use thingport_mqtt::client;
use thingport_mqtt::limits::Bounds;
use thingport_mqtt::reason::{ReasonCode, ReturnCode};
use thingport_mqtt::session::{Acceptance, Delivery, Event, Message, Refusal, Session};
use thingport_mqtt::topic::TopicName;
use thingport_mqtt::version::{Qos, Version};

#[test]
fn every_transcript_plays_as_written() {
    let mut cases = 0;
    for (file, text) in FILES {
        for split in [usize::MAX, 1, 3] {
            cases += play_file(file, text, split);
        }
    }
    assert!(cases > 300, "the transcripts were found: {cases}");
}

/// Every row the protocol layer decides has a transcript, or a test in the sources named below.
#[test]
fn every_row_has_a_transcript_or_a_test() {
    let sources = [
        include_str!("../src/topic.rs"),
        include_str!("../src/session/tests.rs"),
        include_str!("pair.rs"),
    ];
    for row in ROWS {
        let named = |line: &&str| line.split([' ', ',']).any(|word| word == *row);
        let in_transcripts = FILES.iter().any(|(_, text)| {
            text.lines().filter(|line| line.starts_with("case ")).any(|line| named(&line))
        });
        let snake = format!("_{}_", row.to_lowercase().replace('-', "_"));
        let in_sources = sources.iter().any(|text| {
            text.lines()
                .filter(|line| line.contains("fn "))
                .any(|line| line.replace('(', "_").contains(&snake))
        });
        assert!(in_transcripts || in_sources, "{row} is not tested");
    }
}

/// Each rule a client can break is broken by some transcript, or needs no bytes to break.
#[test]
fn every_violation_row_appears_in_a_transcript() {
    for violation in thingport_mqtt::violation::Violation::ALL {
        let line = format!("x {}", violation.row());
        let found = FILES.iter().any(|(_, text)| text.lines().any(|other| other == line));
        assert!(found, "no transcript ends with {line}");
    }
}

/// Plays all cases of a file, so that one failure does not hide the next.
fn play_file(file: &str, text: &str, split: usize) -> usize {
    let numbered: Vec<_> = text.lines().map(str::trim).enumerate().collect();
    let cases: Vec<_> = numbered
        .chunk_by(|_, (_, line)| !line.starts_with("case "))
        .filter(|case| case.iter().any(|(_, line)| line.starts_with("case ")))
        .collect();
    let failures = cases
        .iter()
        .filter(|case| std::panic::catch_unwind(|| play_case(file, case, split)).is_err());
    assert_eq!(failures.count(), 0, "failed cases of {file}, each reported above");
    cases.len()
}

fn play_case(file: &str, case: &[(usize, &str)], split: usize) {
    let name = case[0].1.trim_start_matches("case ");
    let mut play = Play::new(name, split);
    for (number, line) in &case[1..] {
        if !line.is_empty() && !line.starts_with('#') {
            play.line(line, &format!("{file}:{} in pieces of {split}", number + 1));
        }
    }
    play.end(&format!("{file}:{}", case[0].0 + 1));
}

/// One case being played.
struct Play {
    name: String,
    split: usize,
    bounds: Bounds,
    session: Option<Session>,
    now_ms: u64,
    out: Vec<u8>,
    events: VecDeque<String>,
    violation: Option<&'static str>,
    violation_seen: bool,
    closed_seen: bool,
    caller: Caller,
}

/// How the caller behaves.
#[derive(Default)]
struct Caller {
    decides: bool,
    acknowledges: bool,
    denied: Vec<(String, ReasonCode)>,
    deliveries: Vec<Delivery>,
}

impl Play {
    fn new(name: &str, split: usize) -> Self {
        Self {
            name: name.to_owned(),
            split,
            bounds: Bounds { reason_strings: false, ..Bounds::default() },
            session: None,
            now_ms: 0,
            out: Vec::new(),
            events: VecDeque::new(),
            violation: None,
            violation_seen: false,
            closed_seen: false,
            caller: Caller { decides: true, acknowledges: true, ..Caller::default() },
        }
    }

    fn line(&mut self, line: &str, place: &str) {
        let place = format!("{place} ({})", self.name);
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "!" => self.set(rest, &place),
            "open" => self.open(rest),
            ">" => self.send(&bytes_of(rest, &place)),
            "<" => self.expect_output(&bytes_of(rest, &place), &place),
            "@" => self.wait(rest.parse().unwrap()),
            "*" => self.act(rest, &place),
            "." => self.expect_event(rest, &place),
            "x" => self.expect_violation(rest, &place),
            "closed" => {
                assert!(self.session().is_closed(), "{place}: still open");
                assert_eq!(self.violation, None, "{place}");
                self.closed_seen = true;
            }
            _ => panic!("{place}: what is {line:?}?"),
        }
    }

    fn end(mut self, place: &str) {
        let place = format!("end of {place} ({})", self.name);
        assert!(self.out.is_empty(), "{place}: unexpected output {:02x?}", self.out);
        let ended = self.violation_seen || self.closed_seen;
        assert_eq!(self.session().is_closed(), ended, "{place}: closed {:?}", self.violation);
    }

    fn session(&mut self) -> &mut Session {
        let bounds = &self.bounds;
        self.session.get_or_insert_with(|| Session::new(Arc::new(bounds.clone()), 0))
    }

    fn set(&mut self, rest: &str, place: &str) {
        let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
        let number = || value.parse::<u32>().unwrap_or_else(|_| panic!("{place}: {value:?}"));
        let short = || u16::try_from(number()).unwrap();
        match name {
            "whole" => self.split = usize::MAX,
            "decide" => self.caller.decides = value != "manual",
            "acks" => self.caller.acknowledges = value != "manual",
            "deny" => {
                let (filter, code) = value.split_once(':').unwrap();
                self.caller.denied.push((filter.to_owned(), reason(code)));
            }
            "packet_size_max" => self.bounds.packet_size_max = number(),
            "receive_maximum" => self.bounds.receive_maximum = short(),
            "topic_alias_maximum" => self.bounds.topic_alias_maximum = short(),
            "inflight_max" => self.bounds.inflight_max = short(),
            "waiting_max" => self.bounds.waiting_max = short(),
            "waiting_bytes_max" => self.bounds.waiting_bytes_max = number(),
            "keep_alive_max" => self.bounds.keep_alive_max = short(),
            "inactivity_timeout_ms" => self.bounds.inactivity_timeout_ms = u64::from(number()),
            "pipelined_packets_max" => self.bounds.pipelined_packets_max = short(),
            "pipelined_bytes_max" => self.bounds.pipelined_bytes_max = number(),
            "filters_max" => self.bounds.filters_max = short(),
            "open_ids_max" => self.bounds.open_ids_max = short(),
            "client_id_max" => self.bounds.client_id_max = short(),
            "reason_strings" => self.bounds.reason_strings = value == "on",
            "disconnect_after_refusal" => self.bounds.disconnect_after_refusal = value == "on",
            "bare_connack" => self.bounds.bare_connack = value == "on",
            _ => panic!("{place}: no such setting {name}"),
        }
    }

    fn open(&mut self, level: &str) {
        let version = match level {
            "3" => Version::V31,
            "4" => Version::V311,
            _ => Version::V5,
        };
        let mut bytes = Vec::new();
        client::connect(&mut bytes, &client::plain_connect(version, "c"));
        let decides = std::mem::replace(&mut self.caller.decides, true);
        self.send(&bytes);
        self.caller.decides = decides;
        self.out.clear();
        self.events.clear();
    }

    fn send(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.split.min(bytes.len().max(1))) {
            self.poll(piece);
        }
    }

    fn poll(&mut self, bytes: &[u8]) {
        self.session();
        let Self { session, now_ms, out, events, violation, caller, .. } = self;
        let session = session.as_mut().unwrap();
        let mut input = session.input(bytes);
        while let Some(event) = session.poll_event(*now_ms, &mut input, out) {
            events.push_back(words_of(&event));
            *violation = caller.answer(session, *now_ms, event, out).or(*violation);
        }
        session.keep(*now_ms, input);
        assert!(session.unacknowledged() <= 100);
    }

    fn wait(&mut self, now_ms: u64) {
        assert!(now_ms >= self.now_ms, "time runs forward");
        self.now_ms = now_ms;
        let mut out = std::mem::take(&mut self.out);
        if let Some(violation) = self.session().handle_timeout(now_ms, &mut out) {
            self.violation = Some(violation.row());
        }
        self.out = out;
    }

    fn act(&mut self, rest: &str, place: &str) {
        let words: Vec<&str> = rest.split(' ').collect();
        self.session();
        let session = self.session.as_mut().unwrap();
        let (now_ms, out) = (self.now_ms, &mut self.out);
        match words.as_slice() {
            ["accept"] => accept(session, now_ms, None, out, &mut self.violation),
            ["accept", id] => accept(session, now_ms, Some(id), out, &mut self.violation),
            ["accept-present"] => {
                let terms = Acceptance { session_present: true, ..Acceptance::default() };
                session.accept(now_ms, &terms, out).unwrap();
            }
            ["refuse", code] => session.refuse(&Refusal::new(reason(code)), out),
            ["refuse", code, "4"] => {
                let return_code = Some(ReturnCode::BadUserNameOrPassword);
                let refusal = Refusal { return_code, ..Refusal::new(reason(code)) };
                session.refuse(&refusal, out);
            }
            ["refuse-because", code, sentence] => {
                session.refuse(&Refusal::because(reason(code), sentence), out);
            }
            ["ack", which] => self.caller.acknowledge(session, which, "00", None, out),
            ["ack", which, code] => self.caller.acknowledge(session, which, code, None, out),
            ["ack", which, code, sentence] => {
                self.caller.acknowledge(session, which, code, Some(sentence), out);
            }
            ["publish", topic, payload, qos, token] => {
                let qos = qos.parse().ok().and_then(Qos::from_bits);
                let topic = TopicName::parse(topic).unwrap();
                let token = token.parse().unwrap();
                let message = Message {
                    topic,
                    payload: payload.as_bytes(),
                    qos,
                    token,
                    expires_ms: None,
                    retain: false,
                };
                let sent = session.publish(0, &message, out);
                self.events.push_back(format!("sent {sent:?}"));
            }
            ["disconnect", code] => session.disconnect(reason(code), None, out),
            ["disconnect", code, sentence] => {
                session.disconnect(reason(code), Some(sentence), out);
            }
            ["slow"] => {
                let violation = thingport_mqtt::violation::Violation::SlowReader;
                self.violation = Some(session.fail(violation, out).row());
            }
            _ => panic!("{place}: the caller cannot {rest:?}"),
        }
        if self.session.as_ref().unwrap().is_ready() {
            self.poll(&[]);
        }
    }

    fn expect_output(&mut self, expected: &[u8], place: &str) {
        let written = std::mem::take(&mut self.out);
        assert_eq!(hex(&written), hex(expected), "{place}");
    }

    fn expect_event(&mut self, expected: &str, place: &str) {
        let event = self.events.pop_front();
        assert_eq!(event.as_deref().unwrap_or("none"), expected, "{place}");
    }

    fn expect_violation(&mut self, row: &str, place: &str) {
        assert_eq!(self.violation, Some(row), "{place}: {:?}", self.events);
        assert!(self.session().is_closed(), "{place}");
        self.violation_seen = true;
    }
}

impl Caller {
    /// Answers an event; gives the row when the answer could not be sent.
    fn answer(
        &mut self,
        session: &mut Session,
        now_ms: u64,
        event: Event<'_>,
        out: &mut Vec<u8>,
    ) -> Option<&'static str> {
        let answered = match event {
            Event::Connect(_) if self.decides => {
                session.accept(now_ms, &Acceptance::default(), out)
            }
            Event::Publish(publish) if self.acknowledges => {
                session.acknowledge(publish.delivery, ReasonCode::Success, None, out);
                Ok(())
            }
            Event::Publish(publish) => {
                self.deliveries.push(publish.delivery);
                Ok(())
            }
            Event::Subscribe(packet) => {
                session.answer_subscribe(&packet, out, |one| self.judge(one.filter))
            }
            Event::Unsubscribe(packet) => {
                session.answer_unsubscribe(&packet, out, |filter| self.judge(filter))
            }
            Event::Violation(violation) => Err(violation),
            _ => Ok(()),
        };
        answered.err().map(thingport_mqtt::violation::Violation::row)
    }

    fn judge(&self, filter: &str) -> Result<(), ReasonCode> {
        let denial = self.denied.iter().find(|(denied, _)| denied == filter);
        denial.map_or(Ok(()), |(_, reason)| Err(*reason))
    }

    fn acknowledge(
        &self,
        session: &mut Session,
        which: &str,
        code: &str,
        sentence: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let which: usize = which.parse().unwrap();
        session.acknowledge(self.deliveries[which - 1], reason(code), sentence, out);
    }
}

fn accept(
    session: &mut Session,
    now_ms: u64,
    assigned_client_id: Option<&str>,
    out: &mut Vec<u8>,
    violation: &mut Option<&'static str>,
) {
    let terms = Acceptance { assigned_client_id, ..Acceptance::default() };
    if let Err(broken) = session.accept(now_ms, &terms, out) {
        *violation = Some(broken.row());
    }
}

fn words_of(event: &Event<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match event {
        Event::Connect(connect) => {
            let mut words = format!("connect {:?} id={}", connect.version, connect.client_id);
            if let Some(user_name) = connect.user_name {
                write!(words, " user={user_name}").unwrap();
            }
            if let Some(password) = connect.password {
                write!(words, " password={}", text(password)).unwrap();
            }
            if let Some(will) = &connect.will {
                write!(words, " will={}:{}", will.topic.as_str(), text(will.payload)).unwrap();
            }
            words
        }
        Event::Publish(publish) => {
            let mut words = format!(
                "publish {} {} \"{}\"",
                printable(publish.topic.as_str()),
                publish.delivery.qos().bits(),
                printable(&text(publish.payload))
            );
            if publish.breaks_its_format() {
                words.push_str(" not-text");
            }
            words
        }
        Event::Subscribe(packet) => {
            let filters: Vec<_> =
                packet.requests().map(|one| format!("{}:{}", one.filter, one.qos.bits())).collect();
            format!("subscribe {}", filters.join(" "))
        }
        Event::Unsubscribe(packet) => {
            format!("unsubscribe {}", packet.filters().collect::<Vec<_>>().join(" "))
        }
        Event::Delivered(delivered) => {
            format!("delivered {} {:02x}", delivered.token, delivered.reason.byte())
        }
        Event::Ping => "ping".to_owned(),
        Event::Answered(notice) => format!("answered {notice:?}"),
        Event::Disconnect(packet) => {
            format!("disconnect {:02x} keeps_will={}", packet.reason.byte(), packet.keeps_will())
        }
        Event::Violation(violation) => format!("violation {}", violation.row()),
    }
}

/// Unusual characters as `\u{...}`.
fn printable(text: &str) -> String {
    text.chars()
        .map(|one| {
            if one.is_ascii_graphic() { one.to_string() } else { one.escape_unicode().to_string() }
        })
        .collect()
}

fn reason(code: &str) -> ReasonCode {
    ReasonCode::from_byte(u8::from_str_radix(code, 16).unwrap()).unwrap()
}

/// Reads bytes: hexadecimal digits, `"text"`, `(text)` with two bytes of length in front,
/// `(61*300)` for a string of 300 such bytes, `61*300` for the bytes alone.
fn bytes_of(text: &str, place: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '"' => rest[1..].split_once('"').map(|(token, after)| (plain(token), after)),
            '(' => rest[1..].split_once(')').map(|(token, after)| (string(token), after)),
            _ => Some(rest.split_once(' ').unwrap_or((rest, "")))
                .map(|(token, after)| (numbers(token, place), after)),
        }
        .unwrap_or_else(|| panic!("{place}: {rest:?} does not end"));
        bytes.extend(token);
        rest = after.trim_start();
    }
    bytes
}

fn plain(token: &str) -> Vec<u8> {
    token.as_bytes().to_vec()
}

fn string(token: &str) -> Vec<u8> {
    let bytes = match token.split_once('*') {
        Some((unit, times)) => unit.as_bytes().repeat(times.parse().unwrap()),
        None => plain(token),
    };
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], &bytes].concat()
}

fn numbers(token: &str, place: &str) -> Vec<u8> {
    if let Some((unit, times)) = token.split_once('*') {
        return numbers(unit, place).repeat(times.parse().unwrap());
    }
    assert!(token.len().is_multiple_of(2), "{place}: half a byte in {token:?}");
    let pairs = token.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("{place}: {pair:?}")))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const FILES: &[(&str, &str)] = &[
    ("framing.txt", include_str!("../testdata/framing.txt")),
    ("connect.txt", include_str!("../testdata/connect.txt")),
    ("session.txt", include_str!("../testdata/session.txt")),
    ("publish.txt", include_str!("../testdata/publish.txt")),
    ("subscribe.txt", include_str!("../testdata/subscribe.txt")),
    ("outbound.txt", include_str!("../testdata/outbound.txt")),
    ("limits.txt", include_str!("../testdata/limits.txt")),
];

/// The rows that the protocol layer decides alone, or for which it offers the caller the means.
const ROWS: &[&str] = &[
    "F-1", "F-2", "F-3", "F-4", "F-5", "F-6", "F-7", "F-8", "F-9", "F-10", "F-11", "F-12", "F-13",
    "F-14", "F-15", "F-16", "C-1", "C-2", "C-3", "C-4", "C-5", "C-6", "C-7", "C-8", "C-9", "C-10",
    "C-11", "C-12", "C-13", "C-14", "C-15", "C-16", "C-18", "C-19", "C-20", "C-21", "C-22", "S-1",
    "S-3", "S-5", "P-1", "P-2", "P-3", "P-4", "P-5", "P-6", "P-7", "P-8", "P-9", "P-11", "P-13",
    "P-14", "P-15", "P-16", "P-17", "P-18", "P-19", "P-20", "P-21", "P-22", "U-1", "U-2", "U-3",
    "U-4", "U-5", "U-6", "U-7", "U-8", "U-9", "U-10", "U-11", "U-13", "O-1", "O-3", "O-4", "O-5",
    "O-6", "O-7", "O-8", "K-1", "K-2", "K-3", "K-4", "D-1", "D-2", "D-3", "D-4", "L-1", "L-2",
    "L-3", "L-4", "L-5", "L-6", "L-7", "L-9", "L-13",
];
