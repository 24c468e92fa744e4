//! A link keeps the promises of topics, subscriptions and profiles.

mod forms;
mod gateway;

use thingport_model::downlink::Downlink;
use thingport_model::id::{DeviceProfileId, NIL, TenantId};
use thingport_model::profile::{DeviceProfile, MqttTransport, Provisioning, TransportType};

use thingport_model::uplink::WantedKeys;

use super::*;
use crate::reject::Class;

#[test]
fn every_topic_of_the_device_api_is_known() {
    for line in rows(include_str!("../../testdata/topics.tsv")) {
        let [topic, device, gateway] = columns(line);
        let gateway = if gateway == "=" { device } else { gateway };
        for (is_gateway, expected) in [(false, device), (true, gateway)] {
            let mut link = Link::open(Arc::new(Dialect::default()), is_gateway);
            assert_eq!(said(&mut link, topic), expected, "{topic} gateway: {is_gateway}");
        }
    }
}

#[test]
fn every_filter_has_one_verdict() {
    for line in rows(include_str!("../../testdata/filters.tsv")) {
        let [filter, expected] = columns(line);
        for is_gateway in [false, true] {
            let mut link = Link::open(Arc::new(Dialect::default()), is_gateway);
            assert_eq!(verdict(&mut link, filter), expected, "{filter}");
            assert_eq!(link.unsubscribe(filter), expected == "granted", "{filter}");
            assert!(!link.unsubscribe(filter), "{filter} taken back twice");
        }
    }
}

#[test]
fn each_filter_is_granted_and_taken_back_alone() {
    let mut link = Link::open(Arc::new(Dialect::default()), false);
    for (filter, _) in Subscription::ALL {
        assert_eq!(link.subscribe(filter), Ok(()));
        assert_eq!(link.subscribe(filter), Ok(()), "again replaces");
    }
    for (filter, _) in Subscription::ALL {
        assert!(link.unsubscribe(filter), "{filter}");
        assert!(!link.unsubscribe(filter), "{filter}");
    }
}

#[test]
fn the_latest_subscription_says_the_form_and_any_unsubscribe_ends_it() {
    let mut link = Link::open(Arc::new(Dialect::default()), false);
    assert_eq!((link.attribute_updates(), link.rpc_requests()), (None, None));
    link.subscribe("v1/devices/me/attributes").unwrap();
    link.subscribe("v2/a/j").unwrap();
    link.subscribe("v2/r/req/p/+").unwrap();
    assert_eq!(link.attribute_updates(), Some(Family::V2Json));
    assert_eq!(link.rpc_requests(), Some(Family::V2Proto));
    // Not one of the kind: nothing changes.
    assert!(!link.unsubscribe("v2/a"));
    assert!(!link.unsubscribe("v2/a/res/+"));
    assert_eq!(link.attribute_updates(), Some(Family::V2Json));
    // LS-092: the other filter is still subscribed, updates are off all the same.
    assert!(link.unsubscribe("v1/devices/me/attributes"));
    assert_eq!((link.attribute_updates(), link.rpc_requests()), (None, Some(Family::V2Proto)));
    assert!(link.unsubscribe("v2/a/j"));
    assert!(link.unsubscribe("v2/r/req/p/+"));
    assert_eq!(link.rpc_requests(), None);
}

#[test]
fn own_topics_replace_the_first_family_and_keep_the_second() {
    let rows = [
        ("plant/+/telemetry", "telemetry"),
        ("plant/7/telemetry", "telemetry"),
        ("plant//telemetry", "publish.topic_unknown"),
        ("plant/7/telemetry/x", "publish.topic_unknown"),
        ("plant/attrs", "attributes"),
        ("plant/attrs/deep/er", "attributes"),
        ("v1/devices/me/telemetry", "publish.topic_unknown"),
        ("v1/devices/me/attributes", "publish.topic_unknown"),
        ("v2/t", "telemetry"),
        ("v2/a/j", "attributes"),
        ("v1/devices/me/claim", "claim"),
    ];
    let profile = own_topics("plant/+/telemetry", "plant/attrs/#", "plant/+/updates");
    for (topic, expected) in rows {
        assert_eq!(said(&mut open(&profile), topic), expected, "{topic}");
    }
}

#[test]
fn a_profile_that_takes_everything_takes_all_but_gateway_topics() {
    let profile = own_topics("#", " ", "");
    let rows = [
        ("anything/at/all", "telemetry"),
        ("v1/devices/me/attributes", "attributes"),
        ("v1/devices/me/rpc/request/1", "telemetry"),
        ("v2/a", "telemetry"),
        ("v1/gateway/telemetry", "publish.not_a_gateway"),
    ];
    for (topic, expected) in rows {
        assert_eq!(said(&mut open(&profile), topic), expected, "{topic}");
    }
    let attributes_first = own_topics("#", "#", "");
    assert_eq!(said(&mut open(&attributes_first), "v1/devices/me/telemetry"), "attributes");
}

#[test]
fn filters_that_overlap_with_the_table_come_first() {
    // Telemetry and attributes of the profile, the topic, what it means (3.5, TP-011, TP-015, TP-020).
    let documented = ("v1/devices/me/#", "+/devices/+/attributes");
    let rows = [
        (documented, "v1/devices/me/attributes", "attributes"),
        (documented, "v1/devices/me/telemetry", "telemetry"),
        (documented, "v1/devices/me", "telemetry"),
        (documented, "v1/devices/me/", "telemetry"),
        (documented, "v1/devices/me/attributes/request/1", "telemetry"),
        (documented, "v1/devices/me/claim", "telemetry"),
        (documented, "v1/devices/mee", "publish.topic_unknown"),
        (documented, "v1/devices//attributes", "publish.topic_unknown"),
        (documented, "v2/a", "attributes"),
        (documented, "v2/t/j", "telemetry"),
        (documented, "v2/a/req/1", "attribute request"),
        (("v2/#", "a"), "v2/t", "telemetry"),
        (("v2/#", "a"), "v2/a", "telemetry"),
        (("v2/#", "a"), "v2/a/req/1", "telemetry"),
        (("v2/#", "a"), "v2/fw/request/1/chunk/0", "telemetry"),
        (("v2/+", "a"), "v2/a", "telemetry"),
        (("v2/+", "a"), "v2/a/j", "attributes"),
        (("t", "v2/t"), "v2/t", "attributes"),
        (("t", "v2/t"), "v2/t/j", "telemetry"),
        (("+", "+/+"), "v2", "telemetry"),
        (("+", "+/+"), "v2/t", "attributes"),
        (("+", "+/+"), "", "publish.topic_unknown"),
        (("+/#", "a"), "v1/gateway/connect", "publish.not_a_gateway"),
        (("+/#", "a"), "v1/gatewayX", "publish.not_a_gateway"),
    ];
    for ((telemetry, attributes), topic, expected) in rows {
        let profile = own_topics(telemetry, attributes, "");
        assert_eq!(said(&mut open(&profile), topic), expected, "{telemetry} {attributes} {topic}");
    }
}

#[test]
fn own_subscribe_topics_are_granted_besides_the_standard_ones() {
    let profile = own_topics("", "", "plant/+/updates");
    let rows = [
        ("plant/+/updates", "granted"),
        ("plant/7/updates", "granted"),
        ("plant/#", "subscribe.filter_unknown"),
        ("plant/#/updates", "subscribe.filter_invalid"),
        ("plant//updates", "subscribe.filter_unknown"),
        ("v1/devices/me/attributes", "granted"),
        ("v2/a/p", "granted"),
    ];
    for (filter, expected) in rows {
        assert_eq!(verdict(&mut open(&profile), filter), expected, "{filter}");
    }
    let mut link = open(&profile);
    link.subscribe("v2/a/j").unwrap();
    link.subscribe("plant/7/updates").unwrap();
    assert_eq!(link.attribute_updates(), Some(Family::V1), "TP-013");
    assert!(link.unsubscribe("plant/7/updates"));
    assert_eq!(link.attribute_updates(), None, "LS-090");
}

#[test]
fn updates_come_on_a_topic_that_was_subscribed() {
    // The profile's filter, the device's, where updates go (O-2).
    let rows = [
        ("plant/+/updates", "plant/7/updates", "plant/7/updates"),
        ("plant/+/updates", "plant/+/updates", "plant/me/updates"),
        ("plant/#", "plant/#", "plant/attributes"),
        ("#", "#", "v1/devices/me/attributes"),
        ("v1/devices/+/attributes", "v1/devices/+/attributes", "v1/devices/me/attributes"),
        ("v1/devices/+/attributes", "v1/devices/7/attributes", "v1/devices/7/attributes"),
        ("plant/+/updates", "v1/devices/me/attributes", "v1/devices/me/attributes"),
        ("plant/+/updates", "v2/a", "v2/a"),
    ];
    let update = Downlink::AttributesDeleted(Arc::from(["k".to_owned()]));
    for (own, filter, expected) in rows {
        let mut link = open(&own_topics("", "", own));
        link.subscribe(filter).unwrap();
        let mut page = Page::default();
        let told = link.downlink(&update, &mut page).unwrap().unwrap();
        assert_eq!(told.topic, expected, "{own} {filter}");
        assert!(Filter::new(filter).matches(told.topic), "{filter}");
        // The latest subscription counts (LS-089).
        link.subscribe("v2/a/j").unwrap();
        assert_eq!(link.downlink(&update, &mut page).unwrap().unwrap().topic, "v2/a/j");
        assert!(link.unsubscribe("v2/a/j"));
        assert_eq!(link.downlink(&update, &mut page), Ok(None), "LS-092");
    }
}

#[test]
fn every_question_is_read() {
    for line in rows(include_str!("../../testdata/questions.tsv")) {
        let [topic, payload, expected] = columns(line);
        let mut link = Link::open(Arc::new(Dialect::default()), false);
        let (mut reader, mut readings) = (Reader::new(), Readings::default());
        let (now, typing) = (Timestamp(1), Typing::default());
        // Twice, since the reader is used for one message after the other.
        for _ in 0..2 {
            let bytes = payload.as_bytes();
            let said = link.uplink(topic, bytes, now, &mut reader, &mut readings, &typing);
            let said = said.map_or_else(|it| it.reason.id().to_owned(), question);
            assert_eq!(said, expected, "{topic} {payload}");
        }
    }
}

#[test]
fn bad_utf8_is_no_reason_to_refuse_an_answer() {
    let mut link = Link::open(Arc::new(Dialect::default()), false);
    let (mut reader, mut readings) = (Reader::new(), Readings::default());
    let (now, typing) = (Timestamp(1), Typing::default());
    let bytes = b"a\xff";
    let said = link.uplink("v2/r/res/1", bytes, now, &mut reader, &mut readings, &typing);
    assert_eq!(question(said.unwrap()), "answer 1 a\u{fffd}");
}

fn question(said: Uplink<'_>) -> String {
    let to = |ReplyTo { way, id }| format!("{:?} {id}", Family::ALL[usize::from(way)]);
    let keys = |wanted| match wanted {
        WantedKeys::None => "none".to_owned(),
        WantedKeys::All => "all".to_owned(),
        WantedKeys::Named(list) => list.iter().map(|key| format!("[{key}]")).collect(),
    };
    match said {
        Uplink::Telemetry(_) | Uplink::Attributes(_) | Uplink::Children(_) => "readings".to_owned(),
        Uplink::AttributeRequest(it) => {
            format!("{} client {} shared {}", to(it.reply_to), keys(it.client), keys(it.shared))
        }
        Uplink::CallAnswer(it) => format!("answer {} {}", it.id, it.body),
        Uplink::ClientCall(it) => format!("{} calls {} {}", to(it.reply_to), it.method, it.params),
        Uplink::Claim(it) => {
            let duration = it.duration_ms.map_or_else(|| "default".to_owned(), |ms| ms.to_string());
            format!("claim [{}] {duration}", it.secret)
        }
        Uplink::PackageRequest(it) => {
            let size = it.size.map_or_else(|| "as before".to_owned(), |size| size.to_string());
            format!("{} {} {} {size}", it.kind.prefix(), it.request, it.chunk)
        }
    }
}

/// What is subscribed on one link and taken up on another is in force as it was.
#[test]
fn the_latest_of_each_kind_is_in_force_again_on_the_next_connection() {
    let own = "plant/+/updates";
    // What is subscribed, what is unsubscribed, where updates go, and the filter for calls in force.
    type Row<'a> = (&'a [&'a str], &'a [&'a str], Option<&'a str>, Option<&'a str>);
    let rows: [Row<'_>; 7] = [
        (&[], &[], None, None),
        (&[ATTRIBUTES_TOPIC, "v2/a"], &[], Some("v2/a"), None),
        (&["v2/a", ATTRIBUTES_TOPIC], &[], Some(ATTRIBUTES_TOPIC), None),
        (&["v2/a/j", own], &[], Some("plant/me/updates"), None),
        (&[own, "v2/a/j"], &[], Some("v2/a/j"), None),
        (&["v2/r/req/+", "v2/a", "v2/r/req/j/+"], &[], Some("v2/a"), Some("v2/r/req/j/+")),
        (&["v2/r/req/+", ATTRIBUTES_TOPIC, "v2/a"], &["v2/a"], None, Some("v2/r/req/+")),
    ];
    let profile = own_topics("", "", own);
    for (filters, unsubscribed, updates, calls) in rows {
        let mut link = open(&profile);
        filters.iter().for_each(|it| link.subscribe(it).unwrap());
        unsubscribed.iter().for_each(|it| assert!(link.unsubscribe(it)));
        let held = filters.iter().filter(|it| !unsubscribed.contains(it));
        let kept: Vec<_> = held.map(|it| (*it, link.is_chosen(it))).collect();
        let mut again = open(&profile);
        // In another order, since that does not matter.
        kept.iter().rev().for_each(|(filter, chosen)| assert!(again.restore(filter, *chosen)));
        assert_eq!(link.granted, again.granted, "{filters:?}");
        for link in [&link, &again] {
            assert_eq!(link.updates_topic(), updates, "{filters:?}");
            let chosen = filters.iter().find(|it| it.contains("/r/") && link.is_chosen(it));
            assert_eq!(chosen.copied(), calls, "{filters:?}");
        }
    }
    assert!(!open(&profile).restore("gone/+", true));
}

#[test]
fn own_topics_count_for_transport_type_mqtt_only() {
    let profile = DeviceProfile { transport: TransportType::Default, ..own_topics("x", "y", "z") };
    assert_eq!(said(&mut open(&profile), "v1/devices/me/telemetry"), "telemetry");
    assert_eq!(said(&mut open(&profile), "x"), "publish.topic_unknown");
    assert_eq!(verdict(&mut open(&profile), "z"), "subscribe.filter_unknown");
}

#[test]
fn the_profile_says_whether_invalid_bodies_are_acknowledged() {
    for ack_on_validation_exception in [false, true] {
        let mqtt = MqttTransport { ack_on_validation_exception, ..MqttTransport::default() };
        assert_eq!(open(&mqtt_profile(mqtt)).acks_invalid(), ack_on_validation_exception);
    }
    assert!(!Link::open(Arc::new(Dialect::default()), false).acks_invalid());
}

#[test]
fn each_refusal_is_answered_by_its_class() {
    let rows = [
        ("v1/devices/me/telemetry", "[1]", Class::Format),
        ("v1/devices/me/telemetry", "{", Class::Format),
        ("v2/t/p", "{}", Class::Format),
        ("v1/devices/me/attributes/request/x", "{}", Class::Format),
        ("v1/devices/me/attributes/request/1", "[]", Class::Format),
        ("v1/devices/me/rpc/request/1", "{}", Class::Format),
        ("v2/fw/request/1/chunk/0", "{}", Class::Format),
        ("spBv1.0/G/NDATA/E", "{}", Class::Topic),
        ("wrong/topic/", "{}", Class::Topic),
        ("v1/gateway/telemetry", "{}", Class::NotAllowed),
    ];
    for (topic, payload, expected) in rows {
        let mut link = Link::open(Arc::new(Dialect::default()), false);
        assert_eq!(uplink(&mut link, topic, payload).unwrap_err().class(), expected, "{topic}");
    }
    let mut link = Link::open(Arc::new(Dialect::default()), false);
    assert_eq!(link.subscribe("wrong/topic/+").unwrap_err().class(), Class::Filter);
}

#[test]
fn a_link_is_small() {
    assert!(size_of::<Link>() <= 24, "{} bytes per connection", size_of::<Link>());
}

/// The kind of uplink an empty object makes on a topic, or the reason why it makes none.
fn said(link: &mut Link, topic: &str) -> &'static str {
    uplink(link, topic, "{}").unwrap_or_else(|reject| reject.reason.id())
}

fn uplink(link: &mut Link, topic: &str, payload: &str) -> Result<&'static str, Reject> {
    let (mut reader, mut readings) = (Reader::new(), Readings::default());
    let (now, typing) = (Timestamp(1), Typing::default());
    let said = link.uplink(topic, payload.as_bytes(), now, &mut reader, &mut readings, &typing)?;
    Ok(match said {
        Uplink::Telemetry(_) => "telemetry",
        Uplink::Attributes(_) => "attributes",
        Uplink::AttributeRequest(_) => "attribute request",
        Uplink::CallAnswer(_) => "call answer",
        Uplink::ClientCall(_) => "client call",
        Uplink::Claim(_) => "claim",
        Uplink::PackageRequest(_) => "package request",
        Uplink::Children(_) => "children",
    })
}

fn verdict(link: &mut Link, filter: &str) -> &'static str {
    link.subscribe(filter).map_or_else(|reject| reject.reason.id(), |()| "granted")
}

fn open(profile: &DeviceProfile) -> Link {
    Link::open(Arc::new(Dialect::compile(profile)), false)
}

fn own_topics(telemetry: &str, attributes: &str, attributes_subscribe: &str) -> DeviceProfile {
    mqtt_profile(MqttTransport {
        telemetry_topic: telemetry.to_owned(),
        attributes_topic: attributes.to_owned(),
        attributes_subscribe_topic: attributes_subscribe.to_owned(),
        ..MqttTransport::default()
    })
}

fn mqtt_profile(mqtt: MqttTransport) -> DeviceProfile {
    DeviceProfile {
        id: DeviceProfileId(NIL),
        created_at: Timestamp::EPOCH,
        tenant_id: TenantId::SYSTEM,
        name: "default".to_owned(),
        description: None,
        image: None,
        is_default: false,
        transport: TransportType::Mqtt,
        mqtt: Some(mqtt),
        opaque_transport: None,
        provisioning: Provisioning::Disabled { configured: false },
        alarms: None,
        queue_name: None,
        packages: thingport_model::ota::AssignedPackages::default(),
        extension: thingport_model::profile::extension::ProfileExtension::default(),
        version: 1,
    }
}

fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with("# "))
}

fn columns<const N: usize>(line: &str) -> [&str; N] {
    line.split('\t').collect::<Vec<_>>().try_into().expect("a row has all columns")
}
