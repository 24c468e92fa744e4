//! Device profiles (REST API section 7).

use thingport_core::registry::devices::{DeviceDraft, ProfileChoice};
use thingport_core::registry::profiles::{ProfileDraft, ProfileTransport};
use thingport_model::profile::{MqttTransport, Provisioning, TransportType};

use crate::house::{House, is_denied, is_invalid, is_missing, is_stale, link};

pub(crate) async fn the_default_profile_and_profiles_in_use_stay(house: House) {
    let (registry, admin) = (&house.registry, &house.admin);
    let first = registry.default_profile(admin).await.unwrap();
    assert!(is_invalid(&registry.delete_profile(admin, first.id).await));
    let draft = ProfileDraft { is_default: true, ..ProfileDraft::new("second") };
    let second = registry.save_profile(admin, draft).await.unwrap();
    assert_eq!(registry.default_profile(admin).await.unwrap(), second);
    assert!(!registry.profile(admin, first.id).await.unwrap().is_default);
    let plain = ProfileDraft { id: Some(second.id), ..ProfileDraft::new("second") };
    let saved = registry.save_profile(admin, plain.clone()).await.unwrap();
    assert!(saved.is_default, "a save without the flag does not take it away");
    let stale = ProfileDraft { version: Some(1), ..plain };
    assert!(is_stale(&registry.save_profile(admin, stale).await));
    let draft = DeviceDraft { profile: ProfileChoice::Id(first.id), ..DeviceDraft::new("pump") };
    let device = registry.save_device(admin, draft, None).await.unwrap();
    assert!(is_invalid(&registry.delete_profile(admin, first.id).await), "in use");
    registry.delete_device(admin, device.id).await.unwrap();
    assert!(is_missing(&registry.delete_profile(&house.stranger, first.id).await));
    assert!(is_denied(&registry.delete_profile(&house.customer_user, first.id).await));
    registry.delete_profile(admin, first.id).await.unwrap();
    assert!(is_missing(&registry.profile(admin, first.id).await));
    assert!(is_invalid(&registry.save_profile(admin, ProfileDraft::new("second")).await));
}

pub(crate) async fn the_transport_of_a_used_profile_stays(house: House) {
    let (registry, admin) = (&house.registry, &house.admin);
    let profile = registry.save_profile(admin, ProfileDraft::new("p")).await.unwrap();
    let to_mqtt = || ProfileDraft {
        id: Some(profile.id),
        transport: ProfileTransport::Mqtt(MqttTransport::default()),
        ..ProfileDraft::new("p")
    };
    let draft = DeviceDraft { profile: ProfileChoice::Id(profile.id), ..DeviceDraft::new("d") };
    let device = registry.save_device(admin, draft, None).await.unwrap();
    assert!(is_invalid(&registry.save_profile(admin, to_mqtt()).await));
    registry.delete_device(admin, device.id).await.unwrap();
    let saved = registry.save_profile(admin, to_mqtt()).await.unwrap();
    assert_eq!(saved.transport, TransportType::Mqtt);
    assert_eq!(registry.profile(admin, profile.id).await.unwrap(), saved);
}

pub(crate) async fn infos_are_filtered_by_transport(house: House) {
    let (registry, user) = (&house.registry, &house.customer_user);
    for (name, transport) in [
        ("m", ProfileTransport::Mqtt(MqttTransport::default())),
        ("c", ProfileTransport::Opaque(TransportType::Coap, "{}".to_owned())),
    ] {
        let draft = ProfileDraft { transport, ..ProfileDraft::new(name) };
        registry.save_profile(&house.admin, draft).await.unwrap();
    }
    for (transport, names) in [
        (None, vec!["default", "m", "c"]),
        (Some(TransportType::Mqtt), vec!["m"]),
        (Some(TransportType::Snmp), vec![]),
    ] {
        let page = registry.profile_infos(user, transport, link()).await.unwrap();
        let found: Vec<_> = page.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(found, names);
    }
    assert!(is_denied(&registry.profiles(user, link()).await));
    let names = registry.profile_names(user, false).await.unwrap();
    let names: Vec<_> = names.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["c", "default", "m"]);
    assert_eq!(registry.profile_names(user, true).await.unwrap(), []);
    let ids = [registry.default_profile(&house.stranger).await.unwrap().id];
    assert_eq!(registry.profiles_by_ids(user, &ids).await.unwrap(), []);
}

pub(crate) async fn a_provisioning_key_is_free_again_after_it_was_removed(house: House) {
    let (registry, admin) = (&house.registry, &house.admin);
    let keyed = |id, name| ProfileDraft {
        id,
        provisioning: Provisioning::AllowCreate { key: "k".to_owned(), secret: "s".to_owned() },
        ..ProfileDraft::new(name)
    };
    let first = registry.save_profile(admin, keyed(None, "a")).await.unwrap();
    assert!(is_invalid(&registry.save_profile(admin, keyed(None, "b")).await));
    assert!(is_invalid(&registry.save_profile(&house.stranger, keyed(None, "b")).await));
    let off = ProfileDraft { id: Some(first.id), ..ProfileDraft::new("a") };
    registry.save_profile(admin, off).await.unwrap();
    registry.save_profile(&house.stranger, keyed(None, "b")).await.unwrap();
    assert!(is_invalid(&registry.save_profile(admin, keyed(Some(first.id), "a")).await));
}
