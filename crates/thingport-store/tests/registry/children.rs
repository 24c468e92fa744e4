//! Devices that speak through the connection of another (device API section 8).

use std::sync::Arc;

use thingport_core::children::{CHILDREN_MAX, ChildErrand, ChildTask, Children, Finished, Step};
use thingport_core::metrics::Bound;
use thingport_core::presence::{Letter, Mailbox, Wants};
use thingport_core::registry::accounts::TenantProfileDraft;
use thingport_core::registry::devices::DeviceDraft;
use thingport_core::registry::{ChildWish, DeviceLogin, FoundChild};
use thingport_model::child::{ChildBatch, ChildSaid, ChildUplink, Unread};
use thingport_model::device::Device;
use thingport_model::downlink::Downlink;
use thingport_model::id::DeviceId;
use thingport_model::limit::{LimitKind, LimitScope, RateLimit};
use thingport_model::port::ledger::AppendError;
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::relation::{RelationEnd, RelationFilter, RelationGroup};
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use crate::home::Home;
use crate::house::link;

/// A gateway that is connected, and what its connection owns.
struct Hall {
    home: Home,
    login: Arc<DeviceLogin>,
    mailbox: Arc<Mailbox>,
    children: Children,
}

impl Hall {
    async fn of(home: Home) -> Self {
        let draft = DeviceDraft { is_gateway: true, ..DeviceDraft::new("gateway") };
        Self::with(home, draft).await
    }

    async fn with(home: Home, draft: DeviceDraft) -> Self {
        let token = format!("token of {}", draft.name);
        let name = draft.name.clone();
        home.node.registry.save_device(&home.admin, draft, Some(&token)).await.unwrap();
        let login = home.login(&name).await;
        let mailbox = home.node.presence.open(login.device_id);
        let children = Children::new(&home.node, Arc::clone(&login), Arc::clone(&mailbox));
        Self { home, login, mailbox, children }
    }

    /// Does with a batch what a connection does.
    async fn say(&mut self, said: Vec<ChildSaid>) -> Finished {
        let mut task = ChildTask::new(ChildBatch { said, passages: Vec::new() });
        loop {
            match self.children.proceed(&self.home.node, &mut task) {
                Step::Done => return task.finish(),
                Step::Busy => {}
                Step::Strangers => {
                    let wishes = self.children.strangers(&task);
                    assert!(!wishes.is_empty(), "somebody is to be looked up");
                    let found = self.home.node.registry.find_children(&self.login, wishes).await;
                    self.children.adopt(&self.home.node, found, &mut task);
                }
            }
        }
    }

    /// What was refused, and of whom.
    async fn refused(&mut self, said: Vec<ChildSaid>) -> Vec<(String, Reason)> {
        let faults = self.say(said).await.faults;
        faults.into_iter().map(|it| (it.name.into(), it.reason)).collect()
    }

    async fn device(&self, name: &str) -> Option<Device> {
        let tenant = self.login.tenant_id;
        self.home.entities.device_by_name(tenant, name).await.unwrap()
    }

    async fn id(&self, name: &str) -> DeviceId {
        self.device(name).await.unwrap().id
    }

    /// Devices that the gateway made known.
    async fn created(&self) -> Vec<DeviceId> {
        let filter = RelationFilter {
            entity: self.login.device_id.entity(),
            end: RelationEnd::From,
            group: RelationGroup::Common,
            name: Some("Created".to_owned()),
        };
        let found = self.home.entities.relations(filter, 100).await.unwrap();
        found.into_iter().map(|it| DeviceId(it.key.to.id)).collect()
    }

    async fn readings(&self, name: &str) -> Vec<String> {
        self.home.ledger.readings(self.id(name).await.entity())
    }

    /// Children whose bells rang since the last look.
    fn rings(&self) -> Vec<String> {
        let cx = core::task::Context::from_waker(core::task::Waker::noop());
        let letters = self.mailbox.poll_mail(&cx).map(|it| *it).unwrap_or_default();
        let rang = letters.into_iter().filter_map(|letter| match letter {
            Letter::Rang(place) => self.children.child(place).map(|(name, _)| name.to_string()),
            other => unreachable!("{other:?}"),
        });
        let mut rang: Vec<_> = rang.collect();
        rang.sort();
        rang
    }

    fn mail(&self, name: &str) -> Vec<Letter> {
        self.children.poll_mail(self.children.place(name).unwrap())
    }
}

fn telemetry(name: &str, keys: &[&str]) -> ChildSaid {
    let mut readings = Readings::default();
    keys.iter().for_each(|key| readings.push(Timestamp(1), key, ValueRef::Long(1)));
    ChildSaid::new(name, ChildUplink::Telemetry(readings))
}

fn connected(name: &str, kind: Option<&str>) -> ChildSaid {
    ChildSaid { kind: kind.map(Into::into), ..ChildSaid::new(name, ChildUplink::Connected) }
}

fn bound(hall: &Hall, bound: Bound) -> u64 {
    let counts = hall.home.node.metrics.bounds();
    counts.filter(|(it, _)| *it == bound).map(|(_, n)| n).sum()
}

/// GW-010, GW-011, GW-016 to GW-018, GW-021, GW-022, L-1
pub(crate) async fn a_gateway_makes_its_devices_known(home: Home) {
    let customer = home.customer;
    let draft = DeviceDraft {
        is_gateway: true,
        customer_id: Some(customer),
        ..DeviceDraft::new("gateway")
    };
    let mut hall = Hall::with(home, draft).await;
    let old = hall.home.device("old").await;
    let said = vec![
        connected("a", Some("pump")),
        connected("A", Some("")),
        telemetry("old", &["t"]),
        telemetry("a", &["t"]),
        telemetry(" a", &["t"]),
    ];
    let finished = hall.say(said).await;
    assert!(finished.faults.is_empty() && finished.receipt.is_some());
    let gateway = hall.login.device_id;
    let info = Some(format!(r#"{{"lastConnectedGateway":"{}"}}"#, gateway.0));
    for (name, kind) in [("a", "pump"), ("A", "default"), (" a", "default")] {
        let device = hall.device(name).await.unwrap();
        assert_eq!((&*device.profile_name, device.customer_id), (kind, Some(customer)), "{name}");
        assert_eq!(device.additional_info, info);
        assert!(hall.home.node.presence.is_connected(device.id));
        let credentials = hall.home.entities.credentials_of(device.id).await.unwrap().unwrap();
        assert_eq!(credentials.credentials_id.len(), 20, "a random token");
    }
    let kept = hall.device("old").await.unwrap();
    assert_eq!((kept.id, kept.customer_id, kept.additional_info), (old.id, None, info));
    assert_eq!(hall.created().await.len(), 3, "one that existed has no such relation");
    assert_eq!(hall.readings("a").await, ["t"]);
    assert_eq!(hall.children.len(), 4);
    // Known now: nobody is looked up, and nothing is written.
    let version = hall.device("a").await.unwrap().version;
    assert!(
        hall.say(vec![connected("a", Some("other")), telemetry("a", &["u"])])
            .await
            .faults
            .is_empty()
    );
    assert_eq!(hall.device("a").await.unwrap().version, version);
    // Another connection of the same gateway finds them as they are.
    hall.children.end_all(&hall.home.node);
    assert!(hall.say(vec![telemetry("a", &["v"])]).await.faults.is_empty());
    assert_eq!(hall.device("a").await.unwrap().version, version);
    assert_eq!(hall.created().await.len(), 3);
}

/// GW-023, GW-036
pub(crate) async fn a_bad_part_costs_no_other_child_anything(home: Home) {
    let mut hall = Hall::of(home).await;
    let unread = Unread { reason: Reason::PayloadTimestamp, detail: "\"soon\"".to_owned() };
    let bad = ChildSaid { said: Err(unread), ..telemetry("bad", &[]) };
    let long = "x".repeat(256);
    let said = vec![
        telemetry("a", &["t"]),
        bad.clone(),
        telemetry("", &["t"]),
        telemetry(&long, &["t"]),
        telemetry("gateway", &["t"]),
        telemetry("b", &["t"]),
    ];
    let expected = [
        ("bad", Reason::PayloadTimestamp),
        ("", Reason::ChildName),
        (&*long, Reason::ChildName),
        ("gateway", Reason::ChildName),
    ];
    assert_eq!(hall.refused(said).await, expected.map(|(name, why)| (name.to_owned(), why)));
    assert_eq!([hall.readings("a").await, hall.readings("b").await], [["t"], ["t"]]);
    assert!(hall.device("bad").await.is_none(), "nothing readable was said of it");
    // One that is known gets the incident, so its device is named.
    hall.say(vec![telemetry("bad", &["t"])]).await;
    let known = hall.id("bad").await;
    assert_eq!(hall.say(vec![bad]).await.faults[0].device, Some(known));
}

/// GW-024: those for whom there is room come to be; the others' words are refused alone.
pub(crate) async fn a_tenant_has_no_more_children_than_it_may_have_devices(home: Home) {
    let mut hall = Hall::of(home).await;
    limit(&hall.home, 3, &[]).await;
    let said = ["a", "b", "c", "d"].map(|name| telemetry(name, &["t"]));
    let refused = hall.refused(said.into()).await;
    assert_eq!(refused, ["c", "d"].map(|name| (name.to_owned(), Reason::ChildLimit)));
    assert_eq!(hall.readings("a").await, ["t"]);
    // One that exists already is no new device.
    assert_eq!(hall.refused(vec![telemetry("b", &["u"])]).await, []);
    assert_eq!(hall.created().await.len(), 2);
}

/// GW-027
pub(crate) async fn of_two_gateways_that_name_the_same_child_one_makes_it(home: Home) {
    let hall = Hall::of(home).await;
    let draft = DeviceDraft { is_gateway: true, ..DeviceDraft::new("other") };
    hall.home
        .node
        .registry
        .save_device(&hall.home.admin, draft, Some("token of other"))
        .await
        .unwrap();
    let other = hall.home.login("other").await;
    let wishes = || {
        ["a", "b", "c"]
            .map(|name| ChildWish { name: name.into(), kind: Some("pump".into()), label: None })
            .into()
    };
    let registry = &hall.home.node.registry;
    let (one, two) = tokio::join!(
        registry.find_children(&hall.login, wishes()),
        registry.find_children(&other, wishes())
    );
    assert_eq!(one, two);
    assert!(one.iter().all(|it| it.device.is_ok()));
    let page = registry.devices(&hall.home.admin, Default::default(), link()).await.unwrap();
    assert_eq!(page.total, 5);
}

/// What a full ledger refuses is taken when there is room, once.
pub(crate) async fn a_full_ledger_stops_a_batch_and_nothing_is_doubled(home: Home) {
    let mut hall = Hall::of(home).await;
    hall.say(["a", "b", "c"].map(|name| connected(name, None)).into()).await;
    let mut task = ChildTask::new(ChildBatch {
        said: ["a", "b", "c"].map(|name| telemetry(name, &["t"])).into(),
        passages: Vec::new(),
    });
    hall.home.ledger.refuse(&[AppendError::Busy]);
    assert_eq!(hall.children.proceed(&hall.home.node, &mut task), Step::Busy);
    assert!(hall.readings("a").await.is_empty());
    assert_eq!(hall.children.proceed(&hall.home.node, &mut task), Step::Done);
    for name in ["a", "b", "c"] {
        assert_eq!(hall.readings(name).await, ["t"], "{name}");
    }
    // What fails for good is one child's loss.
    hall.home.ledger.refuse(&[AppendError::TooLarge]);
    let said = ["a", "b"].map(|name| telemetry(name, &["u"])).into();
    assert_eq!(hall.refused(said).await, [("a".to_owned(), Reason::MessageTooLarge)]);
}

/// GW-007, RL-005 to RL-008: one child's part may pass, and the next one's not.
pub(crate) async fn all_children_of_a_gateway_share_its_limit(home: Home) {
    limit(
        &home,
        0,
        &[
            (LimitScope::Gateway, LimitKind::TelemetryPoints, "4:60"),
            (LimitScope::Device, LimitKind::TelemetryPoints, "1:60"),
            (LimitScope::GatewayDevice, LimitKind::TelemetryPoints, "1:60"),
        ],
    )
    .await;
    let mut hall = Hall::of(home).await;
    let said = ["a", "b", "c"].map(|name| telemetry(name, &["t", "u"])).into();
    let faults = hall.say(said).await.faults;
    let [fault] = &*faults else { unreachable!("{faults:?}") };
    assert_eq!((&*fault.name, fault.reason), ("c", Reason::RateLimited));
    assert!(fault.detail.contains("4:60"), "{}", fault.detail);
    assert_eq!(hall.readings("b").await, ["t", "u"]);
    assert!(hall.readings("c").await.is_empty());
    // RL-029: what is refused is no sign of life.
    hall.home.clock.advance(1_000);
    assert_eq!(hall.refused(vec![telemetry("c", &["t", "u", "v", "w", "x"])]).await.len(), 1);
    let now_ms = thingport_core::clock::Clock::monotonic_ms(&*hall.home.clock);
    assert_ne!(hall.home.node.presence.heard(hall.id("c").await, now_ms), Some(0));
    hall.home.clock.advance(60_000);
    assert_eq!(hall.refused(vec![telemetry("c", &["t"])]).await, []);
}

/// GW-019, GW-060: a child is told like any device, and each rings once.
pub(crate) async fn mail_for_a_child_rings_at_its_gateway(home: Home) {
    let mut hall = Hall::of(home).await;
    hall.say(["a", "b"].map(|name| connected(name, None)).into()).await;
    hall.rings();
    let (a, b) = (hall.id("a").await, hall.id("b").await);
    assert!(hall.mail("a").is_empty() && hall.mail("b").is_empty());
    let presence = &hall.home.node.presence;
    assert_eq!(presence.wants(a), Wants { attributes: true, calls: true });
    let update = |key: &str| Downlink::AttributesDeleted(Arc::from([key.to_owned()]));
    assert!(presence.tell(a, update("k")) && presence.tell(a, update("l")));
    assert!(presence.tell(b, update("m")));
    assert_eq!(hall.rings(), ["a", "b"]);
    assert_eq!(hall.mail("a"), [Letter::Told(update("k")), Letter::Told(update("l"))]);
    // Not looked into, it rings no more; looked into, it does again.
    assert!(presence.tell(b, update("n")));
    assert_eq!(hall.rings(), [""; 0]);
    assert_eq!(hall.mail("b").len(), 2);
    assert!(hall.mail("b").is_empty());
    assert!(presence.tell(b, update("o")));
    assert_eq!(hall.rings(), ["b"]);
    // However many children ring, the gateway's own mail has its place.
    hall.say((0..100).map(|n| connected(&format!("c{n}"), None)).collect()).await;
    assert!(presence_tells(&hall, hall.login.device_id));
    // A child's own mailbox is bounded like a device's.
    let told = (0..1_000).filter(|_| hall.home.node.presence.tell(a, update("p"))).count();
    assert_eq!(told, thingport_core::presence::MAILBOX_MAX);
    assert_eq!(bound(&hall, Bound::Mailbox), 1_000 - told as u64);
}

fn presence_tells(hall: &Hall, device: DeviceId) -> bool {
    let answer = Downlink::Close(Reason::TakenOver);
    hall.home.node.presence.tell(device, answer)
}

/// LS-046, GW-060, GW-061
pub(crate) async fn a_child_and_its_own_connection_take_each_others_place(home: Home) {
    let mut hall = Hall::of(home).await;
    hall.say(vec![connected("a", None)]).await;
    hall.rings();
    hall.mail("a");
    let a = hall.id("a").await;
    let direct = hall.home.node.presence.open(a);
    assert_eq!(hall.rings(), ["a"]);
    assert_eq!(hall.mail("a"), [Letter::Told(Downlink::Close(Reason::TakenOver))]);
    let place = hall.children.place("a").unwrap();
    assert!(hall.children.end(&hall.home.node, place));
    assert!(hall.home.node.presence.is_connected(a), "the newer connection stays");
    assert_eq!(hall.home.ledger.count("lastDisconnectTime"), 0, "AC-004");
    // Its next word takes it in again.
    hall.say(vec![telemetry("a", &["t"])]).await;
    assert_eq!(hall.children.len(), 1);
    let cx = core::task::Context::from_waker(core::task::Waker::noop());
    let told = direct.poll_mail(&cx).unwrap();
    assert_eq!(*told, [Letter::Told(Downlink::Close(Reason::TakenOver))]);
    // GW-013: gone, whether it was there or not.
    let gone = |name| ChildSaid::new(name, ChildUplink::Disconnected);
    assert_eq!(hall.refused(vec![gone("a"), gone("a"), gone("nobody")]).await, []);
    assert!(!hall.home.node.presence.is_connected(a) && hall.children.is_empty());
    assert!(hall.device("nobody").await.is_none());
    // Gone and back within one message.
    assert_eq!(hall.refused(vec![gone("a"), telemetry("a", &["u"])]).await, []);
    assert!(hall.home.node.presence.is_connected(a));
    assert_eq!(hall.home.node.metrics.children.value(), 1);
    hall.children.end_all(&hall.home.node);
    assert_eq!(hall.home.node.metrics.children.value(), 0);
    assert!(!hall.home.node.presence.is_connected(a));
}

/// GW-063, GW-064
pub(crate) async fn children_are_active_by_their_own_word_or_their_gateways(home: Home) {
    let keeps = r#"{"gateway":true,"overwriteActivityTime":true}"#;
    for (info, expected) in [(None, false), (Some(keeps.to_owned()), true)] {
        let draft = DeviceDraft {
            is_gateway: true,
            additional_info: info,
            ..DeviceDraft::new(&format!("gateway {expected}"))
        };
        let token = format!("token of {}", draft.name);
        home.node.registry.save_device(&home.admin, draft.clone(), Some(&token)).await.unwrap();
        let login = home.login(&draft.name).await;
        assert_eq!(login.keeps_children_active, expected);
        let mailbox = home.node.presence.open(login.device_id);
        let mut children = Children::new(&home.node, login, mailbox);
        let child = home.device(&format!("child {expected}")).await;
        let found = FoundChild { name: "a".into(), device: Ok(child.id) };
        children.adopt(&home.node, vec![found], &mut ChildTask::new(ChildBatch::default()));
        home.clock.advance(10_000);
        let now_ms = thingport_core::clock::Clock::monotonic_ms(&*home.clock);
        children.refresh_activity(now_ms);
        let heard = home.node.presence.heard(child.id, now_ms);
        assert_eq!(heard == Some(0), expected, "{heard:?}");
    }
}

pub(crate) async fn a_gateway_speaks_for_so_many_at_once_and_no_more(home: Home) {
    let mut hall = Hall::of(home).await;
    let found = |n: usize| FoundChild {
        name: format!("c{n}").into(),
        device: Ok(DeviceId(uuid::Uuid::from_u128(n as u128 + 1))),
    };
    let mut task = ChildTask::new(ChildBatch {
        said: vec![telemetry(&format!("c{CHILDREN_MAX}"), &["t"])],
        passages: Vec::new(),
    });
    hall.children.adopt(&hall.home.node, (0..=CHILDREN_MAX).map(found).collect(), &mut task);
    assert_eq!(hall.children.len(), CHILDREN_MAX);
    assert_eq!(bound(&hall, Bound::Children), 1);
    assert_eq!(hall.children.proceed(&hall.home.node, &mut task), Step::Done);
    assert_eq!(task.finish().faults[0].reason, Reason::TooManyChildren);
    // One that leaves makes room.
    let place = hall.children.place("c0").unwrap();
    assert!(hall.children.end(&hall.home.node, place));
    let mut task = ChildTask::new(ChildBatch::default());
    hall.children.adopt(&hall.home.node, vec![found(CHILDREN_MAX)], &mut task);
    assert_eq!(hall.children.place(&format!("c{CHILDREN_MAX}")), Some(place));
}

/// Questions, answers and claims are handed on with the device they concern.
pub(crate) async fn what_children_ask_is_handed_on(home: Home) {
    let mut hall = Hall::of(home).await;
    let answer = ChildUplink::CallAnswer { id: 3, body: "1".to_owned() };
    let claim = ChildUplink::Claim { secret: "s".to_owned(), duration_ms: None };
    let said = vec![ChildSaid::new("a", answer), ChildSaid::new("b", claim)];
    let errands = hall.say(said).await.errands;
    let of: Vec<_> =
        errands.iter().map(|ChildErrand { name, device, .. }| (&**name, *device)).collect();
    assert_eq!(of, [("a", hall.id("a").await), ("b", hall.id("b").await)]);
    let shown = format!("{errands:?}");
    assert!(!shown.contains("\"s\"") && !shown.contains("\"1\""), "{shown}");
}

async fn limit(home: &Home, devices_max: u64, rates: &[(LimitScope, LimitKind, &str)]) {
    let (registry, system) = (&home.node.registry, thingport_core::access::Caller::system());
    let profile = registry.default_tenant_profile(&system).await.unwrap();
    let mut rate_limits = profile.rate_limits;
    for (scope, kind, text) in rates {
        rate_limits.set(*scope, *kind, RateLimit::parse(text).unwrap());
    }
    let draft = TenantProfileDraft {
        id: Some(profile.id),
        name: profile.name,
        description: None,
        isolated_rule_engine: false,
        profile_data: profile.profile_data,
        storage_ttl_days: 0,
        rpc_ttl_days: 0,
        devices_max,
        customers_max: 0,
        users_max: 0,
        package_bytes_max: 0,
        rate_limits,
    };
    registry.save_tenant_profile(&system, draft).await.unwrap();
}
