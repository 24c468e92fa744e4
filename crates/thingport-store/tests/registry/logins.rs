//! The devices' way in, and what changes it (AU-005 to AU-034, C-1 to C-8).

use thingport_core::access::Caller;
use thingport_core::registry::accounts::{ApiKeyDraft, TenantProfileDraft};
use thingport_core::registry::credentials::{CredentialsDraft, Secret, hash_one, hash_two};
use thingport_core::registry::devices::{DeviceDraft, ProfileChoice};
use thingport_core::registry::profiles::ProfileDraft;
use thingport_model::credentials::CredentialsType;
use thingport_model::id::CredentialsId;
use thingport_model::user::KeyHash;
use uuid::Uuid;

use crate::house::{Event, House, is_denied, is_invalid, is_missing, is_stale, link};

pub(crate) async fn absence_is_remembered_until_a_device_is_saved(house: House) {
    assert_eq!(house.login("T").await, None);
    assert_eq!(house.registry.logins_remembered(), 1);
    let device = house.device("pump", "T").await;
    assert_eq!(house.login("T").await, Some(device.id));
    assert_eq!(house.login("NEW").await, None);
    let draft = CredentialsDraft::access_token("NEW");
    house.registry.save_credentials(&house.admin, device.id, &draft).await.unwrap();
    assert_eq!(house.login("NEW").await, Some(device.id));
    assert_eq!(house.login("T").await, None, "the old token is nobody's");
    house.registry.delete_device(&house.admin, device.id).await.unwrap();
    assert_eq!(house.login("NEW").await, None);
    house.device("pump", "NEW").await;
    assert!(house.login("NEW").await.is_some(), "a token of a deleted device is free");
}

/// Strangers send user names of up to 64 KiB, and what is remembered is bounded by number.
pub(crate) async fn an_id_that_nobody_can_have_is_not_remembered(house: House) {
    for length in [256, 65_535] {
        assert_eq!(house.login(&"T".repeat(length)).await, None);
    }
    assert_eq!(house.registry.logins_remembered(), 0);
    house.login(&"T".repeat(255)).await;
    assert_eq!(house.registry.logins_remembered(), 1);
}

pub(crate) async fn a_login_follows_every_change(house: House) {
    let (registry, admin) = (&house.registry, &house.admin);
    let device = house.device("pump", "T").await;
    let login = async || registry.login_by_credentials_id("T").await.unwrap().unwrap();
    let before = login().await;
    assert_eq!((before.tenant_id, before.customer_id), (admin.tenant_id, None));
    assert_eq!((before.profile.name.as_str(), before.ttl_s), ("default", 0));
    assert!(std::sync::Arc::ptr_eq(&before, &login().await), "remembered, not read again");

    let gateway = DeviceDraft {
        id: Some(device.id),
        is_gateway: true,
        profile: ProfileChoice::Name("boiler".to_owned()),
        ..DeviceDraft::new("pump")
    };
    registry.save_device(admin, gateway, None).await.unwrap();
    let changed = login().await;
    assert!(changed.is_gateway && changed.profile.name == "boiler");

    registry.assign_device(admin, device.id, house.customer).await.unwrap();
    assert_eq!(login().await.customer_id, Some(house.customer));
    registry.delete_customer(admin, house.customer).await.unwrap();
    assert_eq!(login().await.customer_id, None);

    let renamed = ProfileDraft { id: Some(changed.profile.id), ..ProfileDraft::new("heater") };
    registry.save_profile(admin, renamed).await.unwrap();
    assert_eq!(login().await.profile.name, "heater");

    keep_for_days(&house, 3).await;
    assert_eq!(login().await.ttl_s, 3 * 86_400);
    assert_eq!(registry.storage_ttl_s(admin.tenant_id).await.unwrap(), 3 * 86_400);

    registry.delete_tenant(&Caller::system(), admin.tenant_id).await.unwrap();
    assert_eq!(house.login("T").await, None);
    assert_eq!(registry.login_of(device.id).await.unwrap(), None);
}

async fn keep_for_days(house: &House, days: u32) {
    let profile = house.registry.default_tenant_profile(&Caller::system()).await.unwrap();
    let draft = TenantProfileDraft {
        id: Some(profile.id),
        name: profile.name,
        description: None,
        isolated_rule_engine: false,
        profile_data: profile.profile_data,
        storage_ttl_days: days,
        rpc_ttl_days: 0,
        devices_max: 0,
        customers_max: 0,
        users_max: 0,
        package_bytes_max: 0,
        rate_limits: profile.rate_limits,
    };
    house.registry.save_tenant_profile(&Caller::system(), draft).await.unwrap();
}

pub(crate) async fn credentials_change_only_by_the_rules(house: House) {
    let (registry, admin) = (&house.registry, &house.admin);
    let (first, second) = (house.device("a", "A").await, house.device("b", "B").await);
    let save =
        async |draft: CredentialsDraft| registry.save_credentials(admin, first.id, &draft).await;
    let token = CredentialsDraft::access_token;
    assert!(is_invalid(&save(token("B")).await), "used by another device");
    assert!(is_invalid(&save(token("")).await), "blank");
    let basic =
        Secret::MqttBasic { client_id: None, user_name: Some("B".to_owned()), password: None };
    assert!(is_invalid(&save(CredentialsDraft { secret: basic, ..token("") }).await), "C-8");
    let of_second = registry.credentials(admin, second.id).await.unwrap().id;
    assert!(is_invalid(&save(CredentialsDraft { id: Some(of_second), ..token("C") }).await));
    let nobody = CredentialsId(Uuid::from_u128(7));
    assert!(is_invalid(&save(CredentialsDraft { id: Some(nobody), ..token("C") }).await));
    assert!(is_stale(&save(CredentialsDraft { version: Some(2), ..token("C") }).await));
    let saved = save(CredentialsDraft { version: Some(1), ..token("C") }).await.unwrap();
    assert_eq!((saved.version, saved.credentials_id.as_str()), (2, "C"));
    let draft = token("D");
    assert!(is_missing(&registry.save_credentials(&house.stranger, first.id, &draft).await));
    registry.assign_device(admin, first.id, house.customer).await.unwrap();
    assert!(is_denied(&registry.save_credentials(&house.customer_user, first.id, &draft).await));
}

pub(crate) async fn basic_credentials_are_found_by_their_hash(house: House) {
    let secret = Secret::MqttBasic {
        client_id: Some("c".to_owned()),
        user_name: Some("u".to_owned()),
        password: Some("p\"".to_owned()),
    };
    let draft = CredentialsDraft { id: None, version: None, secret };
    let device = DeviceDraft::new("pump");
    let device = house.registry.save_device_with_credentials(&house.admin, device, draft).await;
    let device = device.unwrap();
    let found = house.registry.login_by_credentials_id(&hash_two("c", "u")).await.unwrap();
    let login = found.unwrap();
    assert_eq!((login.device_id, login.kind), (device.id, CredentialsType::MqttBasic));
    assert_eq!(login.basic.as_ref().unwrap().password.as_deref(), Some("p\""));
    assert_eq!(house.login(&hash_one("c")).await, None);
    assert_eq!(house.login("u").await, None);
}

pub(crate) async fn whoever_listens_hears_what_changed(house: House) {
    let (registry, admin) = (&house.registry, &house.admin);
    let heard = || std::mem::take(&mut *house.heard.0.lock());
    let id = house.device("pump", "T").await.id;
    assert_eq!(heard(), [], "nobody can have a session with a new device");
    let same = CredentialsDraft::access_token("T");
    registry.save_credentials(admin, id, &same).await.unwrap();
    assert_eq!(heard(), [], "the same credentials again close no session");
    let draft = CredentialsDraft::access_token("U");
    registry.save_credentials(admin, id, &draft).await.unwrap();
    assert_eq!(heard(), [Event::CredentialsChanged(id)]);
    let renamed = DeviceDraft { id: Some(id), ..DeviceDraft::new("renamed") };
    registry.save_device_with_credentials(admin, renamed, same).await.unwrap();
    assert_eq!(heard(), [Event::DeviceChanged(id), Event::CredentialsChanged(id)]);
    let profile = registry.default_profile(admin).await.unwrap().id;
    registry.make_profile_default(admin, profile).await.unwrap();
    assert_eq!(heard(), [], "it was the default already");
    registry.delete_device(admin, id).await.unwrap();
    assert_eq!(heard(), [Event::DeviceDeleted(id)]);
    assert_eq!(registry.outbox().await.unwrap(), [id.entity()]);
    registry.purged(id.entity()).await.unwrap();
    assert_eq!(registry.outbox().await.unwrap(), []);
    let refused = registry.save_credentials(admin, id, &draft).await;
    assert!(is_missing(&refused) && heard().is_empty());
}

pub(crate) async fn what_another_hand_changed_is_forgotten_when_it_is_repeated(house: House) {
    let (registry, admin, other) = (&house.registry, &house.admin, house.forgetful());
    let (pump, valve) = (house.device("pump", "OLD").await, house.device("valve", "V").await);
    for token in ["OLD", "V"] {
        assert!(house.login(token).await.is_some());
    }
    let new = CredentialsDraft::access_token("NEW");
    other.save_credentials(admin, pump.id, &new).await.unwrap();
    assert_eq!(house.login("OLD").await, Some(pump.id), "it is remembered");
    registry.save_credentials(admin, pump.id, &new).await.unwrap();
    assert_eq!(house.login("OLD").await, None);
    assert_eq!(house.login("NEW").await, Some(pump.id));

    other.delete_device(admin, valve.id).await.unwrap();
    assert_eq!(house.login("V").await, Some(valve.id), "it is remembered");
    house.heard.0.lock().clear();
    assert!(is_missing(&registry.delete_device(admin, valve.id).await));
    assert_eq!(house.login("V").await, None);
    assert_eq!(*house.heard.0.lock(), [Event::DeviceDeleted(valve.id)], "its sessions end");

    let draft = ApiKeyDraft { description: "key".to_owned(), enabled: true, expires_at: None };
    let user = registry.users(admin, link()).await.unwrap().rows.remove(0).id;
    let hash: KeyHash = [7; 32];
    let key = registry.create_api_key(admin, user, draft, hash).await.unwrap();
    assert!(registry.api_key_by_hash(&hash).await.unwrap().is_some());
    other.delete_api_key(admin, key.id).await.unwrap();
    assert!(registry.api_key_by_hash(&hash).await.unwrap().is_some(), "it is remembered");
    assert!(is_missing(&registry.delete_api_key(admin, key.id).await));
    assert!(registry.api_key_by_hash(&hash).await.unwrap().is_none());
}
