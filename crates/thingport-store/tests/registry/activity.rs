//! Which devices report: AC-001 to AC-014, T-6.

use std::future::ready;
use std::sync::Arc;

use thingport_core::activity::{
    ACTIVE, ActivityConfig, INACTIVITY_ALARM_TIME, INACTIVITY_TIMEOUT, LAST_ACTIVITY_TIME,
    LAST_CONNECT_TIME, LAST_DISCONNECT_TIME,
};
use thingport_core::clock::Clock;
use thingport_core::node::NodeConfig;
use thingport_core::presence::Mailbox;
use thingport_core::registry::devices::DeviceChoice;
use thingport_model::activity::DeviceActivity;
use thingport_model::id::DeviceId;
use thingport_model::page::{PageLink, Sort};
use thingport_model::port::entities::Write;
use thingport_model::port::ledger::AppendError;
use thingport_model::value::{Value, ValueRef};

use crate::home::Home;
use crate::house::link;

pub(crate) fn config() -> NodeConfig {
    NodeConfig { activity: ActivityConfig::default(), ..NodeConfig::default() }
}

pub(crate) async fn a_device_that_says_nothing_raises_one_alarm(home: Home) {
    let device = home.device("pump").await.id;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(false)));
    home.clock.advance(600_000);
    home.round().await;
    assert_eq!(home.of(device, INACTIVITY_ALARM_TIME), None, "its time is not over");
    home.clock.advance(1_000);
    let alarm_at = home.now();
    for _ in 0..3 {
        home.round().await;
        home.clock.advance(600_000);
    }
    assert_eq!(home.of(device, INACTIVITY_ALARM_TIME), Some(alarm_at));
    assert_eq!(home.ledger.count(INACTIVITY_ALARM_TIME), 1);
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(false)));
    assert_eq!(home.indexed(device).await, DeviceActivity::Inactive);
}

pub(crate) async fn a_word_makes_active_and_silence_inactive(home: Home) {
    let device = home.device("pump").await.id;
    let mailbox = home.connect(device);
    home.clock.advance(1_234);
    mailbox.hear(home.clock.monotonic_ms());
    let heard_at = home.now();
    home.clock.advance(1_500);
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)));
    assert_eq!(home.of(device, LAST_ACTIVITY_TIME), Some(heard_at), "not that of the report");
    assert_eq!(home.shown(true).await, ["pump"]);
    assert!(home.shown(false).await.is_empty());
    assert_eq!(home.node.metrics.devices_active.value(), 1);

    home.clock.advance(590_000);
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)));
    home.clock.advance(10_500);
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(false)), "though it is connected");
    assert!(home.node.presence.is_connected(device));
    assert_eq!(home.of(device, INACTIVITY_ALARM_TIME), Some(home.now()));
    assert_eq!(home.shown(false).await, ["pump"]);
    assert_eq!(home.node.metrics.devices_active.value(), 0);

    let alarm_at = home.of(device, INACTIVITY_ALARM_TIME);
    home.clock.advance(50);
    mailbox.hear(home.clock.monotonic_ms());
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)));
    assert_eq!(home.of(device, INACTIVITY_ALARM_TIME), alarm_at, "it is older than the word");
    assert_eq!(home.ledger.count(ACTIVE), 4, "told only when it changes (AC-009)");
}

pub(crate) async fn a_newcomer_need_not_wait_for_the_next_round(home: Home) {
    let device = home.device("pump").await.id;
    home.write(device, INACTIVITY_TIMEOUT, ValueRef::Long(1_000)).await;
    let mailbox = home.connect(device);
    home.node.activity.newcomers().await;
    home.node.activity.welcome(|| ready(())).await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)));
    assert_eq!(home.of(device, LAST_ACTIVITY_TIME), Some(home.now()));
    home.round().await;
    assert_eq!(home.ledger.count(LAST_ACTIVITY_TIME), 1, "nothing was heard since");
    mailbox.hear(home.clock.monotonic_ms());
    home.node.activity.welcome(|| ready(())).await;
    assert_eq!(home.ledger.count(LAST_ACTIVITY_TIME), 1, "whoever is active waits for the round");
}

pub(crate) async fn leaving_makes_nobody_inactive(home: Home) {
    let device = home.device("pump").await.id;
    let mailbox = home.connect(device);
    home.clock.advance(700);
    home.disconnect(device, &mailbox);
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)), "it was there for a moment");
    home.clock.advance(599_000);
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)));
    home.clock.advance(2_000);
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(false)));
}

pub(crate) async fn connecting_and_leaving_are_noted_and_a_takeover_is_no_end(home: Home) {
    let device = home.device("pump").await.id;
    let first = home.connect(device);
    assert_eq!(home.of(device, LAST_CONNECT_TIME), Some(home.now()));
    home.clock.advance(1_000);
    let second = home.connect(device);
    home.disconnect(device, &first);
    assert_eq!(home.of(device, LAST_CONNECT_TIME), Some(home.now()));
    assert_eq!(home.of(device, LAST_DISCONNECT_TIME), None);
    home.clock.advance(1_000);
    home.disconnect(device, &second);
    assert_eq!(home.of(device, LAST_DISCONNECT_TIME), Some(home.now()));
}

pub(crate) async fn a_changed_timeout_takes_effect_at_once_in_both_directions(home: Home) {
    let device = home.device("pump").await.id;
    home.connect(device);
    home.round().await;
    home.clock.advance(20_000);
    // Each row after the other: what is written, whether the device is active then.
    let rows = [
        (ValueRef::Long(19_000), false),
        (ValueRef::Long(30_000), true),
        (ValueRef::String("5000"), false),
        (ValueRef::Long(0), true),
        (ValueRef::Double(1.0), false),
        (ValueRef::Long(-1), true),
    ];
    for (value, expected) in rows {
        home.write(device, INACTIVITY_TIMEOUT, value).await;
        assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(expected)), "{value:?}");
        assert_eq!(home.shown(true).await.len(), usize::from(expected), "{value:?}");
        home.round().await;
        assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(expected)), "{value:?}");
    }
    home.write(device, INACTIVITY_TIMEOUT, ValueRef::Long(1_000)).await;
    let keys = [INACTIVITY_TIMEOUT.to_owned()];
    let scope = thingport_model::attribute::Scope::Server;
    home.node.attributes.delete(&home.admin, device.entity(), scope, &keys).await.unwrap();
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)), "the default again");
}

pub(crate) async fn a_new_device_keeps_its_own_timeout(home: Home) {
    let device = home.device("pump").await.id;
    home.write(device, INACTIVITY_TIMEOUT, ValueRef::Long(5_000)).await;
    home.clock.advance(6_000);
    home.round().await;
    assert_eq!(home.of(device, INACTIVITY_ALARM_TIME), Some(home.now()));
}

pub(crate) async fn who_was_active_before_a_restart_becomes_inactive_in_time(mut home: Home) {
    let (gone, back, new) =
        (home.device("gone").await.id, home.device("back").await.id, home.device("new").await.id);
    home.write(gone, INACTIVITY_TIMEOUT, ValueRef::Long(60_000)).await;
    home.connect(gone);
    home.connect(back);
    home.round().await;
    home.restart(10_000);
    home.node.activity.recall(|| ready(())).await;
    home.round().await;
    assert_eq!(home.node.metrics.devices_active.value(), 2);
    assert_eq!(home.of(gone, ACTIVE), Some(Value::Bool(true)));
    home.connect(back);
    home.clock.advance(51_000);
    home.round().await;
    assert_eq!(home.of(gone, ACTIVE), Some(Value::Bool(false)), "60 s since its last word");
    home.clock.advance(541_000);
    home.round().await;
    assert_eq!(home.of(new, INACTIVITY_ALARM_TIME), Some(home.now()), "since it was created");
    assert_eq!(home.of(back, ACTIVE), Some(Value::Bool(true)));
    // A long absence counts.
    home.restart(3_600_000);
    home.node.activity.recall(|| ready(())).await;
    home.round().await;
    assert_eq!(home.of(back, ACTIVE), Some(Value::Bool(false)));
    assert!(home.shown(true).await.is_empty());
}

pub(crate) async fn a_crash_between_index_and_attribute_is_mended(mut home: Home) {
    let (early, late) = (home.device("early").await.id, home.device("late").await.id);
    // The index was written and the attribute not.
    let active = Write::DeviceActivity(early, DeviceActivity::Active);
    home.entities.write(vec![active]).await.unwrap();
    // The device was created and its attribute not.
    home.ledger.put(late.entity(), ACTIVE, None);
    assert_eq!(home.shown(true).await, ["early"]);
    home.restart(0);
    home.node.activity.recall(|| ready(())).await;
    assert!(home.shown(true).await.is_empty());
    assert_eq!(home.indexed(early).await, DeviceActivity::Inactive);
    assert_eq!(home.of(late, ACTIVE), Some(Value::Bool(false)));
}

pub(crate) async fn what_the_ledger_refuses_is_not_lost(home: Home) {
    let device = home.device("pump").await.id;
    // Without room for the moment of connecting, and then of a word.
    home.ledger.refuse(&[AppendError::Full]);
    let mailbox = home.connect(device);
    let connected_at = home.now();
    assert_eq!(home.of(device, LAST_CONNECT_TIME), None);
    home.clock.advance(10);
    home.ledger.refuse(&[AppendError::Full, AppendError::Busy, AppendError::Full]);
    home.round().await;
    assert_eq!(home.of(device, LAST_CONNECT_TIME), None);
    home.clock.advance(10);
    home.round().await;
    assert_eq!(home.of(device, LAST_CONNECT_TIME), Some(connected_at));
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)));
    // An active device's word.
    home.clock.advance(10);
    mailbox.hear(home.clock.monotonic_ms());
    let heard_at = home.now();
    home.ledger.refuse(&[AppendError::Full]);
    home.round().await;
    assert_ne!(home.of(device, LAST_ACTIVITY_TIME), Some(heard_at.clone()));
    home.clock.advance(10);
    home.round().await;
    assert_eq!(home.of(device, LAST_ACTIVITY_TIME), Some(heard_at));
    // Its silence.
    home.clock.advance(601_000);
    home.ledger.refuse(&[AppendError::Full]);
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)));
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(false)));
}

pub(crate) async fn nothing_is_noted_of_a_device_that_was_deleted(home: Home) {
    let device = home.device("pump").await.id;
    let mailbox = home.connect(device);
    home.round().await;
    mailbox.hear(home.clock.monotonic_ms());
    home.node.activity.heard(device);
    home.node.registry.delete_device(&home.admin, device).await.unwrap();
    home.node.purge_deleted().await.unwrap();
    home.disconnect(device, &mailbox);
    home.node.activity.heard(device);
    for _ in 0..2 {
        home.round().await;
        home.clock.advance(700_000);
    }
    assert!(!home.ledger.knows(device.entity()));
    assert_eq!(home.node.metrics.devices_active.value(), 0);
}

pub(crate) async fn a_device_is_heard_without_a_connection_of_its_own(home: Home) {
    let device = home.device("pump").await.id;
    for _ in 0..3 {
        home.node.activity.heard(device);
        home.clock.advance(100);
    }
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)));
    assert_eq!(home.ledger.count(LAST_ACTIVITY_TIME), 1, "once a round");
    assert_eq!(home.of(device, LAST_CONNECT_TIME), None);
}

pub(crate) async fn what_people_write_counts_until_its_time_is_over(home: Home) {
    let device = home.device("pump").await.id;
    home.write(device, ACTIVE, ValueRef::Bool(true)).await;
    assert_eq!(home.shown(true).await, ["pump"]);
    home.write(device, ACTIVE, ValueRef::Bool(false)).await;
    assert!(home.shown(true).await.is_empty());
    home.write(device, ACTIVE, ValueRef::Bool(true)).await;
    home.clock.advance(601_000);
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(false)));
}

pub(crate) async fn a_clock_that_is_set_makes_nobody_inactive(home: Home) {
    let device = home.device("pump").await.id;
    let mailbox = home.connect(device);
    home.round().await;
    for by_ms in [3_600_000, -7_200_000] {
        home.clock.set(by_ms);
        home.clock.advance(3_000);
        home.round().await;
        assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)), "{by_ms}");
        mailbox.hear(home.clock.monotonic_ms());
        home.round().await;
        assert_eq!(home.of(device, LAST_ACTIVITY_TIME), Some(home.now()), "{by_ms}");
    }
    home.clock.advance(601_000);
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(false)));
}

pub(crate) async fn active_devices_are_filtered_sorted_and_counted_by_the_store(home: Home) {
    for name in ["a", "b", "c", "d", "e"] {
        let device = home.device(name).await.id;
        home.clock.advance(1);
        if ["b", "d", "e"].contains(&name) {
            home.connect(device);
        }
    }
    home.round().await;
    let page = async |active, number, property: &str, descending| {
        let sort = Some(Sort { property: property.to_owned(), descending });
        let link = PageLink { page: number, size: 2, text_search: None, sort };
        let choice = DeviceChoice { active, ..DeviceChoice::default() };
        let page = home.node.registry.devices(&home.admin, choice, link).await.unwrap();
        let names: Vec<_> = page.rows.into_iter().map(|row| row.device.name).collect();
        (names.join(""), page.total)
    };
    let rows = [
        (Some(true), 0, "name", true, "ed", 3),
        (Some(true), 1, "name", true, "b", 3),
        (Some(false), 0, "name", false, "ac", 2),
        (Some(false), 1, "name", false, "", 2),
        (None, 0, "active", true, "bd", 5),
        (None, 1, "active", true, "ea", 5),
        (None, 0, "active", false, "ac", 5),
    ];
    for (active, number, property, descending, names, total) in rows {
        let found = page(active, number, property, descending).await;
        assert_eq!(found, (names.to_owned(), total), "{active:?} {number} {property}");
    }
}

/// Where reports are less frequent than rounds.
pub(crate) async fn reports_are_as_rare_as_was_asked_and_lose_nothing(home: Home) {
    let device = home.device("pump").await.id;
    home.write(device, INACTIVITY_TIMEOUT, ValueRef::Long(20_000)).await;
    let mailbox = home.connect(device);
    home.round().await;
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(true)), "at once nonetheless");
    let before = home.ledger.count(LAST_ACTIVITY_TIME);
    for _ in 0..20 {
        home.clock.advance(3_000);
        mailbox.hear(home.clock.monotonic_ms());
        home.round().await;
    }
    assert_eq!(home.ledger.count(LAST_ACTIVITY_TIME) - before, 1, "60 s in one report");
    home.clock.advance(3_000);
    mailbox.hear(home.clock.monotonic_ms());
    let last_word = home.now();
    for _ in 0..40 {
        home.clock.advance(3_000);
        home.round().await;
    }
    assert_eq!(home.of(device, ACTIVE), Some(Value::Bool(false)), "and it stays so");
    assert_eq!(home.of(device, LAST_ACTIVITY_TIME), Some(last_word));
}

pub(crate) fn rare_reports() -> NodeConfig {
    let activity = ActivityConfig { report_interval_ms: 60_000, ..ActivityConfig::default() };
    NodeConfig { activity, ..NodeConfig::default() }
}

impl Home {
    async fn round(&self) {
        self.node.activity.round(|| ready(())).await;
    }

    fn now(&self) -> Value {
        Value::Long(self.clock.now().ms())
    }

    /// As a connection does when CONNECT was accepted.
    fn connect(&self, device: DeviceId) -> Arc<Mailbox> {
        let mailbox = self.node.presence.open(device);
        self.node.activity.opened(device, &mailbox);
        mailbox
    }

    /// As a connection does when it ends.
    fn disconnect(&self, device: DeviceId, mailbox: &Arc<Mailbox>) {
        if self.node.presence.close(device, mailbox) {
            self.node.activity.closed(device, mailbox);
        }
    }

    async fn indexed(&self, device: DeviceId) -> DeviceActivity {
        self.entities.device_activity(device).await.unwrap().unwrap()
    }

    /// Names of the devices in the list of active ones, or of the others.
    async fn shown(&self, active: bool) -> Vec<String> {
        let choice = DeviceChoice { active: Some(active), ..DeviceChoice::default() };
        let page = self.node.registry.devices(&self.admin, choice, link()).await.unwrap();
        assert!(page.rows.iter().all(|row| row.is_active == active));
        page.rows.into_iter().map(|row| row.device.name).collect()
    }
}
