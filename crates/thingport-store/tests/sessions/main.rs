//! Kept sessions over real stores: what a device is owed is there when it comes back, whatever happened to
//! the process, and no longer than it may be.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

use thingport_core::access::Caller;
use thingport_core::clock::{Clock, Entropy};
use thingport_core::node::{Node, NodeConfig};
use thingport_core::presence::{Letter, MAILBOX_MAX, Mailbox, Wants};
use thingport_core::registry::DeviceLogin;
use thingport_core::registry::devices::DeviceDraft;
use thingport_core::registry::first_run::FirstPeople;
use thingport_core::sessions::{KEYS_OWED_MAX, Leaving, Opened, SessionRules, SessionWish};
use thingport_model::attribute::Scope;
use thingport_model::downlink::Downlink;
use thingport_model::id::DeviceId;
use thingport_model::page::PageLink;
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::session::{About, KeptMessage, KeptSubscription, SessionState};
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;
use thingport_store::config::LedgerConfig;
use thingport_store::entities::SqliteEntities;
use thingport_store::ledger::LogLedger;

#[tokio::test]
async fn what_changed_while_a_device_was_away_is_told_once_with_the_newest_values() {
    for kills in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Invented::default());
        let mut house = House::start(dir.path(), &clock).await;
        let link = house.connect(KEEP).await;
        house.subscribe(&link).await;
        house.leave(&link, SessionState { told: link.opened.told, ..state() }).await;
        house.set(&[("a", 1), ("c", 1)]).await;
        house.set(&[("a", 2)]).await;
        house.delete(&["c", "never"]).await;
        house.set(&[("b", 3)]).await;
        if kills {
            house = house.restart(dir.path()).await;
        }
        let link = house.connect(KEEP).await;
        let opened = link.opened.state.clone().unwrap();
        assert_eq!(opened.subscriptions, state().subscriptions);
        house.remind(&link, opened.told).await;
        let (told, mark) = link.told();
        assert_eq!(told, ["a=2 b=3", "-c -never"], "killed: {kills}");

        house.node.attributes.settle(house.device, link.number(), mark).await.unwrap();
        assert_eq!(house.owed().await, 0);
        house.leave(&link, SessionState { told: mark, ..state() }).await;
        let link = house.connect(KEEP).await;
        house.remind(&link, mark).await;
        assert_eq!(link.told().0, [""; 0]);
        house.end().await;
    }
}

/// The durable truth while a connection lasts: whatever was not acknowledged is told again after a kill.
#[tokio::test]
async fn what_was_told_and_not_acknowledged_is_owed_until_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), &Arc::default()).await;
    let link = house.connect(KEEP).await;
    house.subscribe(&link).await;
    house.set(&[("a", 1)]).await;
    let (told, mark) = link.told();
    assert_eq!(told, ["a=1"]);

    // It left with the message on its way: that is repeated, and nothing else is told.
    let update = KeptMessage {
        packet_id: 1,
        topic: "v2/a".to_owned(),
        payload: b"{}".as_slice().into(),
        about: About::Update,
        expires_ms: None,
    };
    let left = SessionState { told: mark, messages: vec![update.clone()], ..state() };
    house.leave(&link, left.clone()).await;
    let link = house.connect(KEEP).await;
    assert_eq!(link.opened.state, Some(left));
    house.remind(&link, mark).await;
    assert_eq!(link.told().0, [""; 0]);

    // A kill takes the message along; what it told is owed.
    let house = house.restart(dir.path()).await;
    let link = house.connect(KEEP).await;
    let opened = link.opened.state.clone().unwrap();
    assert_eq!(opened.messages, []);
    house.remind(&link, opened.told).await;
    let (told, mark) = link.told();
    assert_eq!(told, ["a=1"]);

    // A newer change of the key stays owed when the older one is acknowledged.
    house.set(&[("a", 2)]).await;
    house.node.attributes.settle(house.device, link.number(), mark).await.unwrap();
    assert_eq!(house.owed().await, 1);
    let (told, mark) = link.told();
    assert_eq!(told, ["a=2"]);
    house.node.attributes.settle(house.device, link.number(), mark).await.unwrap();
    assert_eq!(house.owed().await, 0);
    house.end().await;
}

#[tokio::test]
async fn only_who_waits_for_changes_is_owed_them_and_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), &Arc::default()).await;
    let link = house.connect(KEEP).await;
    house.set(&[("before", 1)]).await;
    assert_eq!(house.owed().await, 0);
    house.subscribe(&link).await;
    house.set(&[("a", 1)]).await;
    assert_eq!(house.owed().await, 1);
    // With quality of service 0, or not at all.
    house.note(&link, false).await;
    house.set(&[("b", 1)]).await;
    assert_eq!(house.owed().await, 1);
    // It subscribes again: what was before is not for it (JS-095).
    house.subscribe(&link).await;
    house.set(&[("c", 1)]).await;
    house.leave(&link, SessionState { told: 0, ..state() }).await;
    let clean = house.connect(CLEAN).await;
    assert_eq!(clean.opened, Opened::default());
    house.node.keep_sessions().await.unwrap();
    assert_eq!(house.owed().await, 0, "the session ended with all it was owed");
    house.set(&[("d", 1)]).await;
    assert_eq!(house.owed().await, 0);
    house.end().await;
}

/// A change that finds the mailbox full is told when there is room.
#[tokio::test]
async fn what_finds_no_room_is_told_later() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), &Arc::default()).await;
    let link = house.connect(KEEP).await;
    house.subscribe(&link).await;
    for n in 0..MAILBOX_MAX + 3 {
        house.set(&[("a", n)]).await;
    }
    let (told, mark) = link.told();
    assert_eq!(told.len(), MAILBOX_MAX);
    house.node.attributes.settle(house.device, link.number(), mark).await.unwrap();
    let (told, mark) = link.told();
    assert_eq!(told, [format!("a={}", MAILBOX_MAX + 2)]);
    house.node.attributes.settle(house.device, link.number(), mark).await.unwrap();
    assert_eq!(house.owed().await, 0);
    house.end().await;
}

#[tokio::test]
async fn a_session_that_is_owed_too_many_keys_is_owed_all() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), &Arc::default()).await;
    let link = house.connect(KEEP).await;
    house.set(&[("old", 7)]).await;
    house.subscribe(&link).await;
    house.leave(&link, SessionState { told: link.opened.told, ..state() }).await;
    let keys: Vec<_> = (0..KEYS_OWED_MAX).map(|n| format!("k{n:04}")).collect();
    let all: Vec<_> = keys.iter().map(|key| (&**key, 1)).collect();
    // The same keys again and again need no more room.
    for _ in 0..3 {
        house.set(&all).await;
    }
    assert_eq!(house.owed().await, KEYS_OWED_MAX);
    house.set(&[("one more", 1)]).await;
    assert_eq!(house.owed().await, 1);
    house.set(&[("another", 1)]).await;
    assert_eq!(house.owed().await, 1);
    assert_eq!(house.reasons().await, ["session.too_many_changes"]);

    let house = house.restart(dir.path()).await;
    let link = house.connect(KEEP).await;
    house.remind(&link, link.opened.told).await;
    let (told, mark) = link.told();
    assert!(told.len() > 1, "in messages of a few attributes each");
    let told: Vec<_> = told.iter().flat_map(|it| it.split(' ')).collect();
    assert_eq!(told.len(), KEYS_OWED_MAX + 4, "a key with a blank counts twice");
    assert!(told.contains(&"old=7"), "what did not change is among it");
    house.node.attributes.settle(house.device, link.number(), mark).await.unwrap();
    assert_eq!(house.owed().await, 0);
    house.end().await;
}

/// Who finds what of a session that "pump" opened, and whether it is there afterwards.
#[tokio::test]
async fn a_session_belongs_to_a_device_and_a_client_id() {
    let other = |wish| Wish { client_id: "other", ..wish };
    // Who comes, whether the session is present, whether it is kept, and whether pump finds it afterwards.
    let rows = [
        (KEEP, true, true, true),
        (CLEAN, false, false, false),
        (Wish { clean: true, ..KEEP }, false, true, true),
        (Wish { expiry_s: 0, ..KEEP }, true, true, false),
        (other(CLEAN), false, false, true),
        (other(Wish { expiry_s: 0, ..KEEP }), false, false, true),
        (other(KEEP), false, true, false),
    ];
    for (wish, is_present, is_kept, stays) in rows {
        let dir = tempfile::tempdir().unwrap();
        let house = House::start(dir.path(), &Arc::default()).await;
        let link = house.connect(KEEP).await;
        house.subscribe(&link).await;
        house.leave(&link, state()).await;
        let link = house.connect(wish).await;
        assert_eq!(link.opened.state.is_some(), is_present, "{wish:?}");
        assert_eq!(link.opened.is_kept, is_kept, "{wish:?}");
        let left = link.opened.state.clone().unwrap_or_default();
        house.leave(&link, left).await;
        let house = house.restart(dir.path()).await;
        let link = house.connect(KEEP).await;
        assert_eq!(link.opened.state.is_some(), stays, "{wish:?}");
        house.end().await;
    }
}

#[tokio::test]
async fn a_session_lives_as_long_as_it_may_also_over_a_restart() {
    let rules = SessionRules { expiry_max_s: 100, kept_max: 10, ..SessionRules::default() };
    // Asked for, what is granted, seconds it is away before a restart and after, whether it is there.
    let rows = [
        (100, 100, 99, 0, true),
        (100, 100, 100, 0, false),
        (u32::MAX, 100, 99, 0, true),
        (u32::MAX, 100, 101, 0, false),
        (50, 50, 30, 19, true),
        (50, 50, 30, 21, false),
    ];
    for (asked, granted, before, after, is_there) in rows {
        for chore in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let mut house = House::start_with(dir.path(), &Arc::default(), rules).await;
            let link = house.connect(Wish { expiry_s: asked, ..KEEP }).await;
            assert_eq!(link.opened.expiry_s, granted);
            // A connection may last longer than its session outlives it.
            house.clock.advance(1_000_000);
            house.leave(&link, state()).await;
            house.clock.advance(before * 1_000);
            if after > 0 {
                house = house.restart(dir.path()).await;
                house.clock.advance(after * 1_000);
            }
            if chore {
                house.node.keep_sessions().await.unwrap();
                assert_eq!(house.node.metrics.kept_sessions.value(), u64::from(is_there));
            }
            let link = house.connect(KEEP).await;
            let row = (asked, before, after, chore);
            assert_eq!(link.opened.state.is_some(), is_there, "{row:?}");
            let expected: &[&str] = if is_there { &[] } else { &["session.expired"] };
            assert_eq!(house.reasons().await, expected, "{row:?}");
            house.end().await;
        }
    }
}

/// A client may change its mind when it leaves (MQTT 5, 3.14.2.2.2).
#[tokio::test]
async fn the_last_word_of_a_client_says_how_long_its_session_lives() {
    for (said, is_there) in [(None, true), (Some(0), false), (Some(1), false), (Some(60), true)] {
        let dir = tempfile::tempdir().unwrap();
        let house = House::start(dir.path(), &Arc::default()).await;
        let link = house.connect(KEEP).await;
        let leaving = Leaving { state: Some(state()), expiry_s: said, lost: 0 };
        house.node.sessions.left(house.device, link.number(), leaving);
        house.clock.advance(30_000);
        let link = house.connect(KEEP).await;
        assert_eq!(link.opened.state.is_some(), is_there, "{said:?}");
        house.end().await;
    }
}

#[tokio::test]
async fn sessions_are_bounded_and_go_with_their_device() {
    let dir = tempfile::tempdir().unwrap();
    let rules = SessionRules { expiry_max_s: 100, kept_max: 1, ..SessionRules::default() };
    let house = House::start_with(dir.path(), &Arc::default(), rules).await;
    let link = house.connect(KEEP).await;
    house.leave(&link, state()).await;
    let second = house.new_device("second").await;
    let login = house.node.registry.login_by_credentials_id("second").await.unwrap().unwrap();
    let mailbox = house.node.presence.open(second);
    let wish = SessionWish { clean_start: false, expiry_s: 100 };
    let open = || house.node.sessions.open(&login, "pump", wish, mailbox.number());
    assert_eq!(open(), Opened::default());
    assert_eq!(house.reasons_of(second).await, ["session.not_kept"]);

    house.node.registry.delete_device(&house.admin, house.device).await.unwrap();
    assert_eq!(house.node.metrics.kept_sessions.value(), 0);
    assert!(open().is_kept);
    house.end().await;

    // No session is kept where none may be.
    let dir = tempfile::tempdir().unwrap();
    let rules = SessionRules { expiry_max_s: 0, kept_max: 10, ..SessionRules::default() };
    let house = House::start_with(dir.path(), &Arc::default(), rules).await;
    assert_eq!(house.connect(KEEP).await.opened, Opened::default());
    house.end().await;
}

/// The connection before lets go of the session first, so that nothing of it is lost.
#[tokio::test]
async fn a_session_is_handed_from_one_connection_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), &Arc::default()).await;
    let first = house.connect(KEEP).await;
    let sessions = &house.node.sessions;
    assert!(sessions.is_held(house.device, "pump") && !sessions.is_held(house.device, "other"));
    let mut waiting = Box::pin(sessions.let_go(house.device, "pump"));
    let early = tokio::time::timeout(std::time::Duration::ZERO, &mut waiting).await;
    assert!(early.is_err());
    house.leave(&first, state()).await;
    waiting.as_mut().await;
    drop(waiting);
    let second = house.connect(KEEP).await;
    assert!(second.opened.state.is_some());
    // The first one has nothing more to say.
    house.leave(&first, SessionState::default()).await;
    assert!(sessions.is_held(house.device, "pump"));
    assert!(sessions.subscribed(house.device, first.number(), Vec::new(), true).is_none());
    house.end().await;
}

/// One life of the process, with a device.
struct House {
    node: Node,
    clock: Arc<Invented>,
    rules: SessionRules,
    admin: Caller,
    device: DeviceId,
    login: Arc<DeviceLogin>,
}

/// A connection of the device.
struct Link {
    mailbox: Arc<Mailbox>,
    opened: Opened,
}

#[derive(Clone, Copy, Debug)]
struct Wish {
    client_id: &'static str,
    clean: bool,
    expiry_s: u32,
}

const KEEP: Wish = Wish { client_id: "pump", clean: false, expiry_s: 1_000 };
const CLEAN: Wish = Wish { client_id: "pump", clean: true, expiry_s: 0 };

impl House {
    async fn start(dir: &Path, clock: &Arc<Invented>) -> Self {
        Self::start_with(dir, clock, SessionRules::default()).await
    }

    async fn start_with(dir: &Path, clock: &Arc<Invented>, rules: SessionRules) -> Self {
        let config =
            LedgerConfig { dir: dir.to_owned(), reserve_bytes: 0, ..LedgerConfig::default() };
        let now = Arc::new(|| Timestamp(START_MS));
        let ledger = LogLedger::open_dir(config, now, &mut |_| {}).unwrap();
        let entities = SqliteEntities::open(dir).unwrap();
        let settings = NodeConfig { sessions: rules, ..NodeConfig::default() };
        let chance = Arc::new(Chance::default());
        let node = Node::new(entities, ledger, clock.clone(), chance, settings);
        node.registry.found(&people(), &|text| format!("hash of {text}")).await.unwrap();
        let link = PageLink { page: 0, size: 10, text_search: None, sort: None };
        let tenants = node.registry.tenants(&Caller::system(), link).await.unwrap();
        let admin = Caller::tenant(tenants.rows[0].id);
        let device = match node.registry.device_by_name(&admin, "token").await {
            Ok(device) => device.id,
            Err(_) => {
                let draft = DeviceDraft::new("token");
                node.registry.save_device(&admin, draft, Some("token")).await.unwrap().id
            }
        };
        let login = node.registry.login_by_credentials_id("token").await.unwrap().unwrap();
        node.sessions.recall().await.unwrap();
        Self { node, clock: Arc::clone(clock), rules, admin, device, login }
    }

    /// The process is gone, with everything that is not durable, and another one begins.
    async fn restart(self, dir: &Path) -> Self {
        self.node.ledger.close().await.unwrap();
        let (clock, rules) = (Arc::clone(&self.clock), self.rules);
        drop(self);
        Self::start_with(dir, &clock, rules).await
    }

    async fn end(self) {
        self.node.ledger.close().await.unwrap();
    }

    async fn new_device(&self, name: &str) -> DeviceId {
        let draft = DeviceDraft::new(name);
        self.node.registry.save_device(&self.admin, draft, Some(name)).await.unwrap().id
    }

    async fn connect(&self, wish: Wish) -> Link {
        let mailbox = self.node.presence.open(self.device);
        let asked = SessionWish { clean_start: wish.clean, expiry_s: wish.expiry_s };
        let number = mailbox.number();
        let opened = self.node.sessions.open(&self.login, wish.client_id, asked, number);
        if opened.state.as_ref().is_some_and(|it| it.wants_updates) {
            mailbox.set_wants(Wants { attributes: true, calls: false });
        }
        self.node.keep_sessions().await.unwrap();
        Link { mailbox, opened }
    }

    async fn subscribe(&self, link: &Link) {
        link.mailbox.set_wants(Wants { attributes: true, calls: false });
        self.note(link, true).await;
    }

    async fn note(&self, link: &Link, wants_updates: bool) {
        let kept = state().subscriptions;
        let noted = self.node.sessions.subscribed(self.device, link.number(), kept, wants_updates);
        let (_, saved) = noted.unwrap();
        self.node.keep_sessions().await.unwrap();
        assert_eq!(saved.await, Ok(true));
    }

    async fn leave(&self, link: &Link, state: SessionState) {
        let leaving = Leaving { state: Some(state), ..Leaving::default() };
        self.node.presence.close(self.device, &link.mailbox);
        self.node.sessions.left(self.device, link.number(), leaving);
        self.node.keep_sessions().await.unwrap();
    }

    async fn remind(&self, link: &Link, told: u64) {
        assert!(self.node.presence.is_connected(self.device), "{}", link.number().0);
        self.node.attributes.remind(self.device, told).await.unwrap();
    }

    async fn set(&self, attributes: &[(&str, usize)]) {
        let mut readings = Readings::default();
        for (key, value) in attributes {
            let value = ValueRef::Long(i64::try_from(*value).unwrap());
            readings.push(self.clock.now(), key, value);
        }
        let entity = self.device.entity();
        self.node.attributes.set(entity, Scope::Shared, &readings).await.unwrap();
    }

    async fn delete(&self, keys: &[&str]) {
        let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
        let entity = self.device.entity();
        self.node.attributes.remove(entity, Scope::Shared, &keys).await.unwrap();
    }

    /// How many keys the device is owed, in the store.
    async fn owed(&self) -> usize {
        let all = thingport_model::port::ledger::Keys::All;
        let owed = self.node.ledger.attributes(self.device.entity(), Scope::Owed, all);
        owed.await.unwrap().len()
    }

    async fn reasons(&self) -> Vec<&'static str> {
        self.reasons_of(self.device).await
    }

    async fn reasons_of(&self, device: DeviceId) -> Vec<&'static str> {
        // Incidents are kept when what is put in line behind them is.
        let entity = device.entity();
        self.node.attributes.remove(entity, Scope::Server, &["x".to_owned()]).await.unwrap();
        let kept = self.node.ledger.incidents(entity, 10).await.unwrap();
        kept.iter().map(|it| Reason::id(it.reason)).collect()
    }
}

impl Link {
    fn number(&self) -> thingport_core::presence::ConnectionNumber {
        self.mailbox.number()
    }

    /// What it was told of its attributes since it last looked, and the newest mark.
    fn told(&self) -> (Vec<String>, u64) {
        let (mut told, mut newest) = (Vec::new(), 0);
        let letters = self.mailbox.poll_mail(&Context::from_waker(Waker::noop()));
        for letter in letters.map(|it| *it).unwrap_or_default() {
            let Letter::Owed { downlink, mark } = letter else { panic!("{letter:?}") };
            newest = newest.max(mark);
            told.push(match downlink {
                Downlink::AttributesSet(set) => {
                    let each = set.iter().map(|it| format!("{}={}", it.key, value(&it.value)));
                    each.collect::<Vec<_>>().join(" ")
                }
                Downlink::AttributesDeleted(keys) => {
                    keys.iter().map(|key| format!("-{key}")).collect::<Vec<_>>().join(" ")
                }
                other => panic!("{other:?}"),
            });
        }
        (told, newest)
    }
}

fn value(value: &thingport_model::value::Value) -> i64 {
    match value.borrowed() {
        ValueRef::Long(number) => number,
        other => panic!("{other:?}"),
    }
}

fn state() -> SessionState {
    SessionState {
        wants_updates: true,
        subscriptions: vec![KeptSubscription {
            filter: "v2/a".to_owned(),
            is_acknowledged: true,
            is_chosen: true,
            id: 0,
        }],
        ..SessionState::default()
    }
}

fn people() -> FirstPeople {
    FirstPeople {
        system_email: "root@example.org".to_owned(),
        system_password: "one".to_owned(),
        tenant_title: "First".to_owned(),
        tenant_email: "admin@example.org".to_owned(),
        tenant_password: "two".to_owned(),
    }
}

/// Both clocks stand still until they are moved.
#[derive(Default)]
struct Invented(AtomicU64);

impl Invented {
    fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for Invented {
    fn now(&self) -> Timestamp {
        Timestamp(START_MS + i64::try_from(self.monotonic_ms()).unwrap())
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bytes that do not repeat within a test.
struct Chance(AtomicU64);

impl Default for Chance {
    fn default() -> Self {
        // Each life of the process draws others.
        static LIVES: AtomicU64 = AtomicU64::new(1);
        Self(AtomicU64::new(LIVES.fetch_add(1, Ordering::Relaxed) << 32))
    }
}

impl Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        for part in out.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed);
            let drawn = next.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
            part.copy_from_slice(&drawn[..part.len()]);
        }
    }
}

const START_MS: i64 = 1_767_225_600_000;
