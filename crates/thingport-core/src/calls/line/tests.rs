//! The stories of `testdata/calls.txt`, and whatever happens from a seed.

use std::collections::BTreeMap;

use thingport_model::id::{DeviceId, NIL, TenantId};
use thingport_model::rpc::CallStatus;
use thingport_model::time::Timestamp;
use uuid::Uuid;

use super::*;

/// A line, an invented clock and a connection that takes whatever it is told.
struct World {
    line: Line<u32>,
    rules: CallRules,
    now_ms: u64,
    connection: Option<ConnectionNumber>,
    connections: u64,
    listens: bool,
    tokens: Tokens,
    /// Newest attempt per number.
    attempts: BTreeMap<u32, CallToken>,
    /// How many more calls the mailbox takes.
    room: usize,
    callers: u32,
}

impl World {
    fn new(rules: CallRules) -> Self {
        Self {
            line: Line::default(),
            rules,
            now_ms: 1_000_000,
            connection: None,
            connections: 0,
            listens: false,
            tokens: Tokens::default(),
            attempts: BTreeMap::new(),
            room: usize::MAX,
            callers: 0,
        }
    }

    /// Does one step and shows the effects.
    fn step(&mut self, step: &str) -> Vec<String> {
        let words: Vec<_> = step.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|it| it.parse::<u32>().ok());
        let mut out = Vec::new();
        match words[0] {
            "connect" => {
                self.connections += 1;
                self.connection = Some(ConnectionNumber(self.connections));
                self.listens = false;
            }
            "subscribe" => {
                self.listens = true;
                self.visit(&mut out, |line, present, tokens, out| {
                    line.wanted(present, tokens, out);
                });
            }
            "resume" | "renew" => self.take_up(&words, &mut out),
            "poll" | "polled" => self.poll(words[0] == "poll", &mut out),
            "unsubscribe" | "leave" => {
                self.listens = false;
                self.connection = self.connection.filter(|_| words[0] == "unsubscribe");
                self.visit(&mut out, |line, present, _, _| line.unwanted(present));
            }
            "room" => self.room = number(1).unwrap_or_default() as usize,
            "one" | "two" | "keep-one" | "keep-two" => self.call(&words, &mut out),
            "saved" => {
                let number = number(1).unwrap_or_default();
                self.visit(&mut out, |line, present, tokens, out| {
                    line.saved((number, rpc(number)), present, tokens, out);
                });
            }
            "sent" | "ack" | "cannot" | "later" => {
                let progress = match words[0] {
                    "sent" => CallProgress::Sent,
                    "ack" => CallProgress::Delivered,
                    "cannot" => CallProgress::Impossible,
                    _ => CallProgress::NotNow,
                };
                let token = self.attempts[&number(1).unwrap_or_default()];
                self.visit(&mut out, |line, present, tokens, out| {
                    line.progress((token, progress), present, tokens, out);
                });
            }
            "answer" => {
                let number = number(1).unwrap_or_default();
                self.visit(&mut out, |line, present, tokens, out| {
                    line.answered((number, "yes".to_owned()), present, tokens, out);
                });
            }
            "delete" => {
                let number = number(1).unwrap_or_default();
                self.visit(&mut out, |line, present, tokens, out| {
                    line.withdraw((number, rpc(number)), present, tokens, out);
                });
            }
            "wait" => {
                self.now_ms += u64::from(number(1).unwrap_or_default());
                if self.line.due_ms().is_some_and(|due_ms| due_ms <= self.now_ms) {
                    self.visit(&mut out, |line, present, tokens, out| {
                        line.tick(present, tokens, out);
                    });
                }
            }
            other => unreachable!("no such step: {other}"),
        }
        self.carry_out(out)
    }

    /// A session is taken up whose connection repeats these attempts by itself; or it is subscribed again.
    fn take_up(&mut self, words: &[&str], out: &mut Vec<Effect<u32>>) {
        if words[0] == "renew" {
            return self
                .visit(out, |line, present, tokens, out| line.renewed(present, tokens, out));
        }
        self.listens = true;
        let again = words[1..].iter().map(|it| self.attempts[&it.parse().unwrap()]);
        let again: Vec<_> = again.collect();
        self.visit(out, |line, present, tokens, out| line.resumed(&again, present, tokens, out));
    }

    /// Over HTTP, for one call: a connection of its own each time.
    fn poll(&mut self, begins: bool, out: &mut Vec<Effect<u32>>) {
        self.connections += 1;
        self.listens = begins;
        self.connection = begins.then_some(ConnectionNumber(self.connections));
        self.visit(out, |line, present, tokens, out| line.polled(present, tokens, out));
    }

    /// `two 60 r0`: lives for a minute and is not tried again.
    fn call(&mut self, words: &[&str], out: &mut Vec<Effect<u32>>) {
        let life_s: u64 = words.get(1).and_then(|it| it.parse().ok()).unwrap_or(60);
        let retries = words.get(2).and_then(|it| it.strip_prefix('r')?.parse().ok());
        let number = self.line.next;
        let owner = if words[0].starts_with("keep") {
            Owner::Kept(rpc(number))
        } else {
            self.callers += 1;
            Owner::Waits(self.callers - 1)
        };
        let new = NewCall {
            method: "m".to_owned(),
            params: "1".to_owned(),
            way: if words[0].ends_with("one") { CallWay::OneWay } else { CallWay::TwoWay },
            expires_ms: self.now_ms + life_s * 1_000,
            retries_max: retries.unwrap_or(5),
            owner,
        };
        self.visit(out, |line, present, tokens, out| drop(line.add(new, present, tokens, out)));
    }

    fn visit(
        &mut self,
        out: &mut Vec<Effect<u32>>,
        visit: impl FnOnce(&mut Line<u32>, &Present<'_>, &mut Tokens, &mut Vec<Effect<u32>>),
    ) {
        let present = Present {
            now_ms: self.now_ms,
            connection: self.connection,
            listens: self.listens,
            rules: &self.rules,
        };
        visit(&mut self.line, &present, &mut self.tokens, out);
    }

    fn carry_out(&mut self, effects: Vec<Effect<u32>>) -> Vec<String> {
        let mut done = Vec::new();
        let mut is_refused = false;
        for effect in effects {
            match effect {
                Effect::Tell { call, token, .. } => match self.connection {
                    Some(connection) if self.room > 0 && !is_refused => {
                        self.room -= 1;
                        self.attempts.insert(call.id, token);
                        self.line.told(token, connection);
                        done.push(format!("tell {}", call.id));
                    }
                    _ => {
                        is_refused = true;
                        self.line.refused(token, self.now_ms);
                    }
                },
                Effect::Answer(caller, outcome) => done.push(format!("{caller}: {outcome:?}")),
                Effect::Keep(id, progress) => {
                    let response = progress.response.map(|it| format!(" {it:?}"));
                    let response = response.unwrap_or_default();
                    let status = progress.status.name();
                    done.push(format!("{status} {}{response}", id.0.as_u128()));
                }
                Effect::Close => done.push("close".to_owned()),
                Effect::Lost(reason, _) => done.push(reason.id().to_owned()),
                Effect::Ended(_) => {}
            }
        }
        done
    }
}

fn rpc(number: u32) -> RpcId {
    RpcId(Uuid::from_u128(number.into()))
}

const BURST: SubmitStrategy = SubmitStrategy::Burst;
const ON_ACK: SubmitStrategy = SubmitStrategy::OnAcknowledgement;
const ON_ANSWER: SubmitStrategy = SubmitStrategy::OnAnswer;

/// One story of `testdata/calls.txt`.
struct Story {
    name: &'static str,
    strategies: Vec<SubmitStrategy>,
    closes: bool,
    is_here: bool,
    lines: Vec<(&'static str, Vec<&'static str>)>,
}

fn stories() -> Vec<Story> {
    let mut stories: Vec<Story> = Vec::new();
    let text = include_str!("../../../testdata/calls.txt");
    for line in text.lines().filter(|it| !it.is_empty() && !it.starts_with('#')) {
        if let Some(head) = line.strip_prefix("= ") {
            let (name, words) = head.split_once(" | ").expect("a name, then words");
            let strategies = words.split(' ').filter_map(|word| match word {
                "BURST" => Some(BURST),
                "ON_ACK" => Some(ON_ACK),
                "ON_ANSWER" => Some(ON_ANSWER),
                _ => None,
            });
            let says = |word: &str| words.split(' ').any(|it| it == word);
            let (strategies, closes) = (strategies.collect(), says("close"));
            let is_here = says("here");
            stories.push(Story { name, strategies, closes, is_here, lines: Vec::new() });
        } else {
            let (step, effects) = line.split_once(" -> ").unwrap_or((line, ""));
            let effects = effects.split("; ").filter(|it| !it.is_empty()).collect();
            stories.last_mut().expect("a head first").lines.push((step, effects));
        }
    }
    stories
}

#[test]
fn every_story_goes_as_it_is_told() {
    let stories = stories();
    assert!(stories.len() >= 35 && stories.iter().all(|it| !it.strategies.is_empty()));
    for story in stories {
        for strategy in story.strategies {
            let close_on_timeout = story.closes;
            let rules = CallRules { strategy, close_on_timeout, ..CallRules::default() };
            let mut world = World::new(rules);
            if story.is_here {
                world.step("connect");
                world.step("subscribe");
            }
            for (step, expected) in &story.lines {
                assert_eq!(world.step(step), *expected, "{}, {strategy:?}: {step}", story.name);
            }
        }
    }
}

#[test]
fn so_many_calls_are_under_way_at_once() {
    let mut world = World::new(CallRules::default());
    (0..100).for_each(|_| drop(world.step("two 600")));
    world.step("connect");
    assert_eq!(world.step("subscribe").len(), IN_FLIGHT_MAX);
    for number in 0..68 {
        assert_eq!(world.step(&format!("ack {number}")), [format!("tell {}", number + 32)]);
    }
    assert_eq!(world.step("ack 68"), Vec::<String>::new());
}

#[test]
fn calls_kept_over_a_restart_have_their_numbers_back() {
    use CallStatus::{Delivered, Queued, Sent, Timeout};
    let rules = CallRules::default();
    let mut world = World::new(rules);
    let statuses = [(7, Sent), (3, Queued), (5, Timeout), (9, Delivered)];
    for (number, status) in statuses {
        let kept = PersistentCall {
            id: rpc(number),
            created_at: Timestamp(0),
            tenant_id: TenantId(NIL),
            device_id: DeviceId(NIL),
            call: Call { id: number, method: "m".to_owned(), params: "1".to_owned() },
            way: CallWay::TwoWay,
            expires_at: Timestamp(0),
            retries: None,
            additional_info: None,
            progress: KeptProgress { misses: 1, ..KeptProgress::of(status) },
        };
        world.line.restore(kept, world.now_ms + 60_000, 1);
    }
    assert_eq!(world.step("answer 7"), ["SUCCESSFUL 7 Answer"]);
    assert_eq!(world.step("two"), Vec::<String>::new());
    world.step("connect");
    assert_eq!(world.step("subscribe"), ["tell 3", "tell 5", "tell 9", "tell 10"]);
    world.step("sent 5");
    let missed = world.step("wait 10000");
    assert_eq!(missed, ["call.not_acknowledged", "FAILED 5 NotAcknowledged"]);
    assert_eq!(world.step("answer 9"), ["SUCCESSFUL 9 Answer"]);
}

#[test]
fn every_call_ends_once_whatever_happens() {
    let steps = [
        "connect",
        "subscribe",
        "subscribe",
        "unsubscribe",
        "leave",
        "room 0",
        "room 2",
        "room 99",
        "one 5",
        "two 5",
        "one 30",
        "two 30 r0",
        "two 30 r1",
        "keep-one 5",
        "keep-one 30 r0",
        "keep-two 30",
        "keep-two 30 r1",
        "wait 1",
        "wait 999",
        "wait 5000",
        "wait 10000",
    ];
    let about = ["sent", "sent", "ack", "ack", "cannot", "later", "answer", "delete", "saved"];
    for seed in 0..600_u64 {
        let strategy = [BURST, ON_ACK, ON_ANSWER][usize::try_from(seed % 3).unwrap()];
        let close_on_timeout = seed % 2 == 0;
        let rules = CallRules { strategy, close_on_timeout, ..CallRules::default() };
        let mut world = World::new(rules);
        let mut random = seed;
        let mut choose = |most: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).unwrap() % most
        };
        let mut log = Vec::new();
        for _ in 0..120 {
            let known = world.line.next as usize;
            let step = if choose(2) == 0 || known == 0 {
                steps[choose(steps.len())].to_owned()
            } else {
                format!("{} {}", about[choose(about.len())], choose(known))
            };
            let number = step.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
            let needs_attempt = ["sent", "ack", "cannot", "later"];
            let is_about = needs_attempt.iter().any(|it| step.starts_with(it));
            if is_about && !world.attempts.contains_key(&number) {
                continue;
            }
            log.extend(world.step(&step));
        }
        // Whatever was not kept yet is kept now; then everybody's time is over.
        (0..world.line.next).for_each(|number| log.extend(world.step(&format!("saved {number}"))));
        for _ in 0..8 {
            log.extend(world.step("wait 30001"));
        }
        assert_eq!((world.line.len(), world.line.bytes()), (0, 0), "seed {seed}");
        check_log(&log, world.callers, seed);
    }
}

/// Every caller is answered exactly once; nothing is kept of a call behind its end.
fn check_log(log: &[String], callers: u32, seed: u64) {
    for caller in 0..callers {
        let answers = log.iter().filter(|it| it.starts_with(&format!("{caller}: "))).count();
        assert_eq!(answers, 1, "seed {seed}, caller {caller}");
    }
    let mut ended = std::collections::BTreeSet::new();
    for line in log {
        let mut words = line.split(' ');
        let (status, call) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if let Some(status) = CallStatus::from_name(status) {
            assert!(!ended.contains(call), "seed {seed}: {line} behind the end");
            // DELIVERED is not known to be an end here.
            if !status.is_open(CallWay::TwoWay) {
                ended.insert(call.to_owned());
            }
        }
    }
}
