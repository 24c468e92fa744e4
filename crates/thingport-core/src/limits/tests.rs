use super::*;
use thingport_model::credentials::CredentialsType;
use thingport_model::id::{DeviceId, DeviceProfileId, TenantId};
use thingport_model::limit::RateLimits;
use thingport_model::profile::{DeviceProfile, Provisioning, TransportType};
use thingport_model::time::Timestamp;
use uuid::Uuid;

use LimitKind::{Messages, TelemetryMessages, TelemetryPoints};
use LimitScope::{Device, Gateway, GatewayDevice, Tenant};

type Texts = [(LimitScope, LimitKind, &'static str)];

fn login(device: u128, is_gateway: bool, texts: &Texts) -> DeviceLogin {
    let mut limits = RateLimits::default();
    for (scope, kind, text) in texts {
        limits.set(*scope, *kind, RateLimit::parse(text).expect("a limit"));
    }
    DeviceLogin {
        device_id: DeviceId(Uuid::from_u128(device)),
        tenant_id: TenantId(Uuid::from_u128(1)),
        customer_id: None,
        profile: Arc::new(profile()),
        basic: None,
        ttl_s: 0,
        limits: (!limits.is_unlimited()).then(|| Arc::new(limits)),
        kind: CredentialsType::AccessToken,
        is_gateway,
        keeps_children_active: false,
    }
}

fn profile() -> DeviceProfile {
    DeviceProfile {
        id: DeviceProfileId(Uuid::from_u128(2)),
        created_at: Timestamp(0),
        tenant_id: TenantId(Uuid::from_u128(1)),
        name: "default".to_owned(),
        description: None,
        image: None,
        is_default: true,
        transport: TransportType::Default,
        mqtt: None,
        opaque_transport: None,
        provisioning: Provisioning::Disabled { configured: false },
        alarms: None,
        queue_name: None,
        packages: thingport_model::ota::AssignedPackages::default(),
        extension: thingport_model::profile::extension::ProfileExtension::default(),
        version: 1,
    }
}

fn limits() -> Limits {
    Limits::new(Arc::new(Metrics::default()))
}

fn window(bite: &Bite) -> RateWindow {
    match bite.rule {
        Rule::Rate(window) => window,
        Rule::Month(max) => panic!("a quota of {max} a month"),
    }
}

/// How many messages with `points` values pass at `now_ms`, and the limit that stops the next one.
fn passing(quota: &Quota, points: usize, now_ms: u64) -> (usize, String) {
    for n in 0..100_000 {
        match quota.charge(points, now_ms) {
            Ok(None) => {}
            Ok(Some(_)) => return (n, "slowed".to_owned()),
            Err(bite) => return (n, format!("{:?} {:?} {}", bite.scope, bite.kind, window(&bite))),
        }
    }
    (100_000, String::new())
}

#[test]
fn without_a_limit_there_is_no_quota() {
    let limits = limits();
    assert!(limits.of_device(&login(1, false, &[]), 0).is_none());
    let other_scope = login(1, false, &[(GatewayDevice, Messages, "1:1")]);
    assert!(limits.of_device(&other_scope, 0).is_none());
    assert!(limits.table.lock().buckets.is_empty());
}

/// RL-005, RL-006, RL-008, RL-009: what a message takes, and which limit is named.
#[test]
fn each_kind_of_message_takes_its_own_tokens() {
    type Row = (&'static Texts, usize, usize, &'static str);
    let rows: &[Row] = &[
        (&[(Device, TelemetryMessages, "10:3600")], 1, 10, "Device TelemetryMessages 10:3600"),
        (&[(Device, TelemetryMessages, "10:3600")], 0, 100_000, ""),
        (&[(Device, Messages, "10:3600")], 0, 10, "Device Messages 10:3600"),
        (&[(Device, Messages, "10:3600")], 5, 100_000, ""),
        (&[(Device, TelemetryPoints, "10:3600")], 4, 2, "Device TelemetryPoints 10:3600"),
        (&[(Device, TelemetryPoints, "10:3600")], 11, 0, "Device TelemetryPoints 10:3600"),
        (&[(Tenant, TelemetryPoints, "10:3600")], 2, 5, "Tenant TelemetryPoints 10:3600"),
        (
            &[(Tenant, TelemetryMessages, "7:3600"), (Device, TelemetryMessages, "8:3600")],
            1,
            7,
            "Tenant TelemetryMessages 7:3600",
        ),
        (&[(Device, TelemetryMessages, "50:1,7:3600")], 1, 7, "Device TelemetryMessages 7:3600"),
    ];
    for (texts, points, expected, named) in rows {
        let quota = limits().of_device(&login(1, false, texts), 0).expect("a quota");
        assert_eq!(passing(&quota, *points, 0), (*expected, (*named).to_owned()), "{texts:?}");
    }
}

#[test]
fn a_sender_is_slowed_first_and_refused_only_when_it_would_wait_too_long() {
    let quota = limits().of_device(&login(1, false, &[(Device, Messages, "10:1")]), 0);
    let quota = quota.expect("a quota");
    let waits: Vec<_> = (0..25)
        .map(|_| quota.charge(0, 0).map(|bite| bite.map_or(0, |it| it.wait_ms.expect("a time"))))
        .collect();
    assert!(waits[..10].iter().all(|it| *it == Ok(0)), "RL-009: exactly ten at once");
    let slowed: Vec<_> = waits[10..20].iter().flatten().copied().collect();
    assert_eq!(slowed, [100, 200, 300, 400, 500, 600, 700, 800, 900, PATIENCE_MS]);
    assert!(waits[20..].iter().all(Result::is_err));
    let bite = quota.charge(0, 1_000).expect("in time").expect("slowed");
    assert_eq!(bite.to_string(), "10:1 messages for one device");
}

#[test]
fn tokens_taken_before_a_refusal_stay_taken() {
    let texts: &Texts =
        &[(Tenant, TelemetryMessages, "5:3600"), (Device, TelemetryPoints, "1:3600")];
    let limits = limits();
    let greedy = limits.of_device(&login(1, false, texts), 0).expect("a quota");
    for _ in 0..5 {
        assert!(greedy.charge(2, 0).is_err(), "RL-007: more than the bucket holds");
    }
    let other = limits.of_device(&login(2, false, texts), 0).expect("a quota");
    assert_eq!(other.charge(1, 0).expect_err("RL-006").scope, Tenant);
}

#[test]
fn devices_share_the_tenants_limit_and_have_their_own() {
    let texts: &Texts = &[(Tenant, Messages, "3:3600"), (Device, Messages, "2:3600")];
    let limits = limits();
    let one = limits.of_device(&login(1, false, texts), 0).expect("a quota");
    let two = limits.of_device(&login(2, false, texts), 0).expect("a quota");
    assert_eq!(passing(&one, 0, 0), (2, "Device Messages 2:3600".to_owned()));
    assert_eq!(passing(&two, 0, 0).1, "Tenant Messages 3:3600", "the third took the tenant's last");
}

#[test]
fn a_gateway_has_one_limit_for_itself_and_one_for_its_children() {
    let texts: &Texts = &[
        (Device, Messages, "1:3600"),
        (GatewayDevice, Messages, "2:3600"),
        (Gateway, Messages, "3:3600"),
    ];
    let (limits, gateway) = (limits(), login(1, true, texts));
    let own = limits.of_device(&gateway, 0).expect("a quota");
    let children = limits.of_children(&gateway, 0).expect("a quota");
    assert_eq!(passing(&own, 0, 0), (2, "GatewayDevice Messages 2:3600".to_owned()));
    assert_eq!(passing(&children, 0, 0), (3, "Gateway Messages 3:3600".to_owned()));
}

#[test]
fn reconnecting_brings_no_tokens() {
    let (limits, login) = (limits(), login(1, false, &[(Device, Messages, "2:60")]));
    let first = limits.of_device(&login, 0).expect("a quota");
    assert_eq!(passing(&first, 0, 0).0, 2);
    drop(first);
    let second = limits.of_device(&login, 0).expect("a quota");
    assert_eq!(passing(&second, 0, 0).0, 0);
    assert_eq!(passing(&second, 0, 30_000).0, 1);
}

/// RL-004: a limit whose text changed restarts full, the others keep their fill.
#[test]
fn a_changed_limit_begins_full_and_an_unchanged_one_keeps_its_fill() {
    let limits = limits();
    let before: &Texts = &[(Device, Messages, "2:3600"), (Device, TelemetryMessages, "3:3600")];
    let quota = limits.of_device(&login(1, false, before), 0).expect("a quota");
    assert_eq!((passing(&quota, 0, 0).0, passing(&quota, 1, 0).0), (2, 3));
    let after: &Texts = &[(Device, Messages, "5:3600"), (Device, TelemetryMessages, "3:3600")];
    let quota = limits.of_device(&login(1, false, after), 0).expect("a quota");
    assert_eq!((passing(&quota, 0, 0).0, passing(&quota, 1, 0).0), (5, 0));
    assert!(limits.of_device(&login(1, false, &[]), 0).is_none(), "a limit taken away");
}

#[test]
fn the_memory_of_devices_that_are_away_is_bounded() {
    let metrics = Arc::new(Metrics::default());
    let limits = Limits::new(Arc::clone(&metrics));
    let texts: &Texts = &[(Device, Messages, "1:3600")];
    let held = limits.of_device(&login(0, false, texts), 0).expect("a quota");
    assert_eq!(held.charge(0, 0), Ok(None));
    for device in 1..=4 * IDLE_MAX as u128 {
        let quota = limits.of_device(&login(device, false, texts), 0).expect("a quota");
        assert_eq!(quota.charge(0, 0), Ok(None));
    }
    assert!(limits.table.lock().buckets.len() <= 2 * IDLE_MAX + 2);
    assert!(metrics.bounds().any(|(bound, n)| bound == Bound::LimitBuckets && n > 0));
    assert!(held.charge(0, 0).is_err(), "who is connected is not forgotten");
    for device in 1..=3 * IDLE_MAX as u128 {
        drop(limits.of_device(&login(device, false, texts), 3_600_000));
    }
    let full = limits.table.lock().buckets.len();
    assert!(full <= 2 * IDLE_MAX + 2, "{full}");
}

#[test]
fn a_bite_says_which_limit_and_when_it_would_pass() {
    let quota = limits().of_device(&login(1, false, &[(Device, TelemetryMessages, "10:60")]), 0);
    let quota = quota.expect("a quota");
    assert_eq!(passing(&quota, 1, 0).0, 10);
    let bite = quota.charge(1, 0).expect_err("empty");
    assert_eq!(
        bite.to_string(),
        "10:60 telemetry messages for one device; it would have passed in 6 s"
    );
}
