//! How devices become a customer's: CL-001 to CL-010, REST API section 10.

use thingport_core::claims::{ClaimRules, Claimed, ClaimingData};
use thingport_core::clock::Clock;
use thingport_core::node::NodeConfig;
use thingport_core::registry::accounts::CustomerDraft;
use thingport_core::registry::devices::DeviceChoice;
use thingport_model::reason::Reason;
use thingport_model::value::{Value, ValueRef};

use crate::home::{Home, user_of};
use crate::house::{is_denied, is_missing, link};

pub(crate) async fn a_claimed_device_is_the_customers_and_only_theirs(home: Home) {
    let device = home.device("pump").await;
    home.device("other").await;
    let acme = &home.customer_user;
    let epoch = home.node.presence.epoch();
    assert!(is_denied(&home.node.registry.device(acme, device.id).await), "not yet");
    home.offer("pump", "s", None).await;
    let claimed = home.claim("pump", "s").await;
    let Claimed::Success(claimed) = claimed else { unreachable!("{claimed:?}") };
    assert_eq!((claimed.id, claimed.customer_id), (device.id, Some(home.customer)));
    assert_ne!(home.node.presence.epoch(), epoch, "its connection hears of it (CL-010)");

    let draft = CustomerDraft::new("Rival");
    let rival = home.node.registry.save_customer(&home.admin, draft).await.unwrap();
    let rival = user_of(home.admin, rival.id, 2);
    let seen = async |caller| {
        let choice = DeviceChoice::default();
        let page = home.node.registry.devices(&caller, choice, link()).await.unwrap();
        page.rows.into_iter().map(|row| row.device.name).collect::<Vec<_>>()
    };
    assert_eq!(seen(*acme).await, ["pump"]);
    assert!(seen(rival).await.is_empty());
    assert!(is_denied(&home.node.registry.device(&rival, device.id).await));

    assert_eq!(home.claim("pump", "s").await, Claimed::Taken);
    assert_eq!(home.reasons(device.id).await, [Reason::ClaimTaken]);
    home.offer("pump", "s", None).await;
    assert_eq!(home.reasons(device.id).await[0], Reason::ClaimOwned, "CL-007");
}

pub(crate) async fn every_row_of_the_claim_table_is_answered(home: Home) {
    // What the device says: secret and duration; how long until the user comes, and with what.
    let day = 86_400_000;
    let rows = [
        (Some(("", None)), 0, "", None),
        (Some(("", None)), day - 1, "", None),
        (Some(("", None)), day, "", Some(Reason::ClaimExpired)),
        (Some(("", Some(0))), day - 1, "", None),
        (Some(("s", Some(60_000))), 59_999, "s", None),
        (Some(("s", Some(60_000))), 60_000, "s", Some(Reason::ClaimExpired)),
        (Some(("s", Some(1))), 5, "s", Some(Reason::ClaimExpired)),
        (Some(("s", Some(2 * day))), day + 1, "s", None),
        (Some(("s", None)), 0, "S", Some(Reason::ClaimWrongSecret)),
        (Some(("s", None)), 0, "", Some(Reason::ClaimWrongSecret)),
        (Some(("", None)), 0, "s", Some(Reason::ClaimWrongSecret)),
        (None, 0, "", Some(Reason::ClaimNotOffered)),
    ];
    for (number, (offered, wait_ms, given, refused)) in rows.into_iter().enumerate() {
        let name = format!("d{number}");
        let device = home.device(&name).await.id;
        if let Some((secret, duration_ms)) = offered {
            home.offer(&name, secret, duration_ms).await;
        }
        home.clock.advance(wait_ms);
        let answer = home.claim(&name, given).await;
        assert_eq!(answer == Claimed::Failure, refused.is_some(), "{name}: {answer:?}");
        assert_eq!(home.reasons(device).await.first().copied(), refused, "{name}");
        if offered.is_some() && refused.is_some() {
            let (secret, _) = offered.unwrap_or_default();
            assert_eq!(home.claim(&name, secret).await, Claimed::Failure, "{name}: it is over");
        }
    }
}

pub(crate) async fn a_devices_newest_word_counts(home: Home) {
    home.device("pump").await;
    home.offer("pump", "old", Some(1)).await;
    home.offer("pump", "new", None).await;
    home.clock.advance(10);
    assert!(matches!(home.claim("pump", "new").await, Claimed::Success(_)), "CL-006, replaced");
}

pub(crate) async fn names_and_roles_are_checked_before_anything_is_told(home: Home) {
    home.device("pump").await;
    home.offer("pump", "s", None).await;
    let (claims, acme) = (&home.node.claims, home.customer_user);
    assert!(is_missing(&claims.claim(&acme, "nothing", "s", read).await));
    assert!(is_denied(&claims.claim(&home.admin, "pump", "s", read).await));
    let guest = thingport_core::access::Caller { read_only: true, ..acme };
    assert!(is_denied(&claims.claim(&guest, "pump", "s", read).await));
    assert!(is_missing(&claims.reclaim(&home.admin, "nothing").await));
    assert!(is_denied(&claims.reclaim(&acme, "pump").await), "it is not theirs");
    assert!(matches!(home.claim("pump", "s").await, Claimed::Success(_)), "nothing was used up");
}

pub(crate) async fn a_device_is_given_back_by_its_customer_or_the_tenant(home: Home) {
    let device = home.device("pump").await.id;
    for caller in [home.admin, home.customer_user] {
        home.offer("pump", "s", None).await;
        assert!(matches!(home.claim("pump", "s").await, Claimed::Success(_)));
        home.node.claims.reclaim(&caller, "pump").await.unwrap();
        let stored = home.node.registry.device(&home.admin, device).await.unwrap();
        assert_eq!(stored.customer_id, None);
        assert_eq!(home.claim("pump", "s").await, Claimed::Failure, "it must say so again");
    }
    home.node.claims.reclaim(&home.admin, "pump").await.unwrap();
}

pub(crate) async fn people_may_write_what_a_device_would_say(home: Home) {
    let device = home.device("pump").await.id;
    let data = |secret: &str, ms: i64| format!("{secret} {}", home.clock.now().plus_ms(ms).ms());
    home.write(device, "claimingData", ValueRef::Json(&data("s", 1_000))).await;
    assert_eq!(home.claim("pump", "x").await, Claimed::Failure);
    home.clock.advance(1_000);
    assert_eq!(home.claim("pump", "s").await, Claimed::Failure);
    assert_eq!(home.reasons(device).await[0], Reason::ClaimExpired);
    home.write(device, "claimingData", ValueRef::String(&data("s", 1_000))).await;
    home.write(device, "claimingAllowed", ValueRef::Bool(true)).await;
    assert!(matches!(home.claim("pump", "s").await, Claimed::Success(_)));
    assert_eq!(home.of(device, "claimingData"), None, "used up");
    assert_eq!(home.of(device, "claimingAllowed"), None);
}

pub(crate) async fn of_two_who_claim_at_once_one_succeeds(home: Home) {
    home.device("pump").await;
    home.offer("pump", "s", None).await;
    let draft = CustomerDraft::new("Rival");
    let rival = home.node.registry.save_customer(&home.admin, draft).await.unwrap();
    let rival = user_of(home.admin, rival.id, 2);
    let claims = &home.node.claims;
    let (one, other) = tokio::join!(
        claims.claim(&home.customer_user, "pump", "s", read),
        claims.claim(&rival, "pump", "s", read)
    );
    let answers = [one.unwrap(), other.unwrap()];
    let won = answers.iter().filter(|it| matches!(it, Claimed::Success(_))).count();
    assert_eq!(won, 1, "{answers:?}");
}

/// Where claiming must be allowed for each device.
pub(crate) async fn claiming_may_need_the_operators_word(home: Home) {
    let device = home.device("pump").await.id;
    home.offer("pump", "s", None).await;
    assert_eq!(home.reasons(device).await, [Reason::ClaimNotAllowed], "CL-008");
    assert_eq!(home.claim("pump", "s").await, Claimed::Failure);
    home.write(device, "claimingAllowed", ValueRef::Bool(true)).await;
    home.offer("pump", "s", None).await;
    home.clock.advance(59_999);
    assert!(matches!(home.claim("pump", "s").await, Claimed::Success(_)));
    assert_eq!(home.of(device, "claimingAllowed"), None);
    home.node.claims.reclaim(&home.admin, "pump").await.unwrap();
    assert_eq!(home.of(device, "claimingAllowed"), Some(Value::Bool(true)), "claimable again");
    home.offer("pump", "s", None).await;
    home.clock.advance(60_000);
    assert_eq!(home.claim("pump", "s").await, Claimed::Failure, "the default time of this house");
}

pub(crate) fn strict() -> NodeConfig {
    let claims = ClaimRules { allowed_by_default: false, duration_ms: 60_000 };
    NodeConfig { claims, ..NodeConfig::default() }
}

impl Home {
    async fn offer(&self, name: &str, secret: &str, duration_ms: Option<u64>) {
        let login = self.login(name).await;
        self.node
            .claims
            .offer((login.device_id, login.tenant_id), secret.to_owned(), duration_ms)
            .await
            .unwrap();
    }

    async fn claim(&self, name: &str, secret: &str) -> Claimed {
        self.node.claims.claim(&self.customer_user, name, secret, read).await.unwrap()
    }
}

/// The form of the attribute is not core's affair: here it is a secret, a space and a moment.
fn read(text: &str) -> Option<ClaimingData> {
    let (secret, at) = text.split_once(' ')?;
    let expires_at = thingport_model::time::Timestamp(at.parse().ok()?);
    Some(ClaimingData { secret: secret.to_owned(), expires_at })
}
