//! Rules D-1 to D-7, G-30 to G-32, G-51 to G-53.

use thingport_core::access::Caller;
use thingport_core::error::Error;
use thingport_core::registry::accounts::TenantProfileDraft;
use thingport_core::registry::devices::{DeviceChoice, DeviceDraft, NamePolicy, ProfileChoice};
use thingport_core::registry::profiles::{ProfileDraft, ProfileTransport};
use thingport_model::id::{CustomerId, DeviceId, DeviceProfileId, EntityKind};
use thingport_model::page::{PageLink, Sort};
use thingport_model::profile::MqttTransport;
use uuid::Uuid;

use crate::house::{House, is_denied, is_invalid, is_missing, is_stale, link};

pub(crate) async fn a_new_device_has_a_random_token_unless_one_is_given(house: House) {
    let save =
        |name, token| house.registry.save_device(&house.admin, DeviceDraft::new(name), token);
    let given = save("given", Some("MY_TOKEN")).await.unwrap();
    assert_eq!(house.token_of(given.id).await, "MY_TOKEN");
    let mut seen = Vec::new();
    for (name, token) in [("absent", None), ("empty", Some("")), ("blank", Some(" "))] {
        let device = save(name, token).await.unwrap();
        let token = house.token_of(device.id).await;
        assert_eq!(token.len(), 20, "{token}");
        assert!(token.chars().all(|letter| letter.is_ascii_alphanumeric()), "{token}");
        assert!(!seen.contains(&token));
        seen.push(token);
    }
    let renamed = DeviceDraft { id: Some(given.id), ..DeviceDraft::new("renamed") };
    let saved = house.registry.save_device(&house.admin, renamed, Some("OTHER")).await.unwrap();
    assert_eq!((saved.name.as_str(), saved.version), ("renamed", 2));
    assert_eq!(house.token_of(given.id).await, "MY_TOKEN", "the token of an old device stays");
}

pub(crate) async fn a_token_in_use_leaves_no_device(house: House) {
    house.device("first", "TAKEN").await;
    let draft = DeviceDraft::new("second");
    assert!(is_invalid(&house.registry.save_device(&house.admin, draft, Some("TAKEN")).await));
    assert!(is_missing(&house.registry.device_by_name(&house.admin, "second").await));
    let elsewhere =
        house.registry.save_device(&house.stranger, DeviceDraft::new("x"), Some("TAKEN"));
    assert!(is_invalid(&elsewhere.await), "in whatever tenant");
}

pub(crate) async fn names_are_unique_or_made_so(house: House) {
    let first = house.device("pump", "t1").await;
    let save = |draft| house.registry.save_device(&house.admin, draft, None);
    assert!(is_invalid(&save(DeviceDraft::new("pump")).await));
    let named = |on_conflict| DeviceDraft { on_conflict, ..DeviceDraft::new("pump") };
    let counted = || named(NamePolicy::Incremental("-".to_owned()));
    assert_eq!(save(counted()).await.unwrap().name, "pump-1");
    assert_eq!(save(counted()).await.unwrap().name, "pump-2");
    let random = save(named(NamePolicy::Random("_".to_owned()))).await.unwrap().name;
    assert!(random.starts_with("pump_") && random.len() > "pump_".len(), "{random}");
    let again = DeviceDraft { id: Some(first.id), ..counted() };
    assert_eq!(save(again).await.unwrap().name, "pump", "its own name is no conflict");
    let other = house.registry.save_device(&house.stranger, DeviceDraft::new("pump"), None).await;
    assert!(other.is_ok(), "unique per tenant");
}

pub(crate) async fn the_profile_is_chosen_by_id_name_or_default(house: House) {
    let registry = &house.registry;
    let save = |name: &str, profile| {
        let draft = DeviceDraft { profile, ..DeviceDraft::new(name) };
        registry.save_device(&house.admin, draft, None)
    };
    let default = save("a", ProfileChoice::Default).await.unwrap();
    assert_eq!(default.profile_name, "default");
    let named = save("b", ProfileChoice::Name("thermostat".to_owned())).await.unwrap();
    assert_eq!(named.profile_name, "thermostat");
    let by_id = save("c", ProfileChoice::Id(named.profile_id)).await.unwrap();
    assert_eq!(by_id.profile_name, "thermostat");
    let again = save("d", ProfileChoice::Name("thermostat".to_owned())).await.unwrap();
    assert_eq!(again.profile_id, named.profile_id, "created once");
    assert_eq!(registry.device_types(&house.admin).await.unwrap(), ["default", "thermostat"]);
    let foreign = registry.default_profile(&house.stranger).await.unwrap().id;
    for wrong in [
        ProfileChoice::Id(DeviceProfileId(Uuid::from_u128(9))),
        ProfileChoice::Id(foreign),
        ProfileChoice::Name(String::new()),
        ProfileChoice::Name("<b>".to_owned()),
    ] {
        assert!(is_invalid(&save("e", wrong.clone()).await), "{wrong:?}");
    }
}

pub(crate) async fn missing_parts_of_device_data_are_filled_in(house: House) {
    let profile = ProfileDraft {
        transport: ProfileTransport::Mqtt(MqttTransport::default()),
        ..ProfileDraft::new("mqtt")
    };
    let profile = house.registry.save_profile(&house.admin, profile).await.unwrap();
    let own = r#"{"type":"MQTT","x":1}"#;
    let rows = [
        (
            None,
            None,
            r#"{"configuration":{"type":"DEFAULT"},"transportConfiguration":{"type":"MQTT"}}"#,
        ),
        (
            Some(r#"{"type":"DEFAULT","y":2}"#),
            Some(("MQTT", own)),
            r#"{"configuration":{"type":"DEFAULT","y":2},"transportConfiguration":{"type":"MQTT","x":1}}"#,
        ),
        (
            None,
            Some(("DEFAULT", r#"{"type":"DEFAULT"}"#)),
            r#"{"configuration":{"type":"DEFAULT"},"transportConfiguration":{"type":"MQTT"}}"#,
        ),
    ];
    for (row, (configuration, transport, stored)) in rows.into_iter().enumerate() {
        let draft = DeviceDraft {
            profile: ProfileChoice::Id(profile.id),
            configuration: configuration.map(str::to_owned),
            transport: transport.map(|(kind, json)| (kind.to_owned(), json.to_owned())),
            ..DeviceDraft::new(&format!("d{row}"))
        };
        let device = house.registry.save_device(&house.admin, draft, None).await.unwrap();
        assert_eq!(device.device_data, stored);
    }
}

pub(crate) async fn versions_guard_against_lost_changes(house: House) {
    let device = house.device("pump", "t").await;
    assert_eq!(device.version, 1);
    let save = |version| {
        let draft = DeviceDraft { id: Some(device.id), version, ..DeviceDraft::new("pump") };
        house.registry.save_device(&house.admin, draft, None)
    };
    assert_eq!(save(Some(1)).await.unwrap().version, 2);
    assert!(is_stale(&save(Some(1)).await));
    assert!(is_stale(&save(Some(3)).await));
    assert_eq!(save(None).await.unwrap().version, 3, "without a version it overwrites");
    let race = Box::pin(futures_of_five(&house, device.id)).await;
    assert!(race.iter().all(Result::is_ok), "nobody loses without a version: {race:?}");
    let stored = house.registry.device(&house.admin, device.id).await.unwrap();
    assert_eq!(stored.version, 8);
}

async fn futures_of_five(house: &House, id: DeviceId) -> Vec<Result<i64, Error>> {
    let save = async || {
        let draft = DeviceDraft { id: Some(id), ..DeviceDraft::new("pump") };
        house.registry.save_device(&house.admin, draft, None).await.map(|saved| saved.version)
    };
    let (a, b, c, d, e) = tokio::join!(save(), save(), save(), save(), save());
    vec![a, b, c, d, e]
}

pub(crate) async fn the_limit_of_the_tenant_profile_holds(house: House) {
    let system = Caller::system();
    let profile = house.registry.default_tenant_profile(&system).await.unwrap();
    let limited = TenantProfileDraft {
        id: Some(profile.id),
        name: profile.name,
        description: None,
        isolated_rule_engine: false,
        profile_data: profile.profile_data,
        storage_ttl_days: 0,
        rpc_ttl_days: 0,
        devices_max: 2,
        customers_max: 0,
        users_max: 0,
        package_bytes_max: 0,
        rate_limits: profile.rate_limits,
    };
    house.registry.save_tenant_profile(&system, limited).await.unwrap();
    let first = house.device("a", "1").await;
    house.device("b", "2").await;
    let third = house.registry.save_device(&house.admin, DeviceDraft::new("c"), None).await;
    assert_eq!(third, Err(Error::EntityLimit { kind: EntityKind::Device, limit: 2 }));
    let change = DeviceDraft { id: Some(first.id), ..DeviceDraft::new("a2") };
    assert!(house.registry.save_device(&house.admin, change, None).await.is_ok());
    house.registry.delete_device(&house.admin, first.id).await.unwrap();
    let create = async |name: &str| {
        house.registry.save_device(&house.admin, DeviceDraft::new(name), None).await.is_ok()
    };
    let (c, d, e) = tokio::join!(create("c"), create("d"), create("e"));
    assert_eq!([c, d, e].iter().filter(|made| **made).count(), 1, "however many ask at once");
}

pub(crate) async fn another_tenants_device_is_not_there(house: House) {
    let device = house.device("pump", "t").await;
    let (registry, stranger) = (&house.registry, &house.stranger);
    assert!(is_missing(&registry.device(stranger, device.id).await));
    assert!(is_missing(&registry.device_by_name(stranger, "pump").await));
    assert!(is_missing(&registry.credentials(stranger, device.id).await));
    assert!(is_missing(&registry.delete_device(stranger, device.id).await));
    assert!(is_missing(&registry.assign_device(&house.stranger, device.id, house.customer).await));
    let draft = DeviceDraft { id: Some(device.id), ..DeviceDraft::new("stolen") };
    assert!(is_missing(&registry.save_device(stranger, draft, None).await));
    assert_eq!(registry.devices_by_ids(stranger, vec![device.id]).await.unwrap(), []);
    let page = registry.devices(stranger, DeviceChoice::default(), link()).await.unwrap();
    assert_eq!(page.total, 0);
    let system = Caller::system();
    assert!(is_denied(&registry.device(&system, device.id).await));
    assert!(is_denied(&registry.devices(&system, DeviceChoice::default(), link()).await));
    assert!(is_denied(&registry.device_types(&system).await));
    assert!(is_missing(&registry.device(&house.admin, DeviceId(Uuid::from_u128(5))).await));
}

pub(crate) async fn customer_users_save_for_their_own_customer(house: House) {
    let (registry, user) = (&house.registry, &house.customer_user);
    let own = registry.save_device(user, DeviceDraft::new("own"), None).await.unwrap();
    assert_eq!(own.customer_id, Some(house.customer));
    let of_tenant = house.device("of tenant", "t").await;
    assert!(is_denied(&registry.device(user, of_tenant.id).await));
    assert!(registry.credentials(user, own.id).await.is_ok());
    assert!(is_denied(&registry.delete_device(user, own.id).await));
    assert!(is_denied(&registry.unassign_device(user, own.id).await));
    let page = registry.devices(user, DeviceChoice::default(), link()).await.unwrap();
    assert_eq!((page.total, page.rows[0].device.id), (1, own.id));
    let guest = Caller { read_only: true, ..*user };
    assert!(registry.device(&guest, own.id).await.is_ok());
    assert!(registry.credentials(user, own.id).await.is_ok());
    assert!(registry.connectivity(user, own.id).await.is_ok());
    assert!(is_denied(&registry.credentials(&guest, own.id).await), "secrets are not for guests");
    assert!(is_denied(&registry.connectivity(&guest, own.id).await));
    assert!(is_denied(&registry.save_device(&guest, DeviceDraft::new("g"), None).await));
}

pub(crate) async fn devices_are_assigned_and_taken_back(house: House) {
    let (registry, admin) = (&house.registry, &house.admin);
    let device = house.device("pump", "t").await;
    assert!(is_invalid(&registry.unassign_device(admin, device.id).await));
    let assigned = registry.assign_device(admin, device.id, house.customer).await.unwrap();
    assert_eq!((assigned.customer_id, assigned.version), (Some(house.customer), 2));
    let overview = registry.device_overview(admin, device.id).await.unwrap();
    assert_eq!(overview.customer_title.as_deref(), Some("Acme"));
    assert!(!overview.customer_is_public);
    let public = registry.assign_device_to_public(admin, device.id).await.unwrap();
    let overview = registry.device_overview(admin, device.id).await.unwrap();
    assert!(overview.customer_is_public && public.customer_id != Some(house.customer));
    assert_eq!(registry.unassign_device(admin, device.id).await.unwrap().customer_id, None);
    let nobody = CustomerId(Uuid::from_u128(3));
    assert!(is_missing(&registry.assign_device(admin, device.id, nobody).await));
    assert_eq!(house.token_of(device.id).await, "t", "assignment leaves credentials alone");
}

pub(crate) async fn broken_texts_and_pages_are_refused(house: House) {
    let long = "x".repeat(256);
    let base = || DeviceDraft::new("fine");
    let drafts = [
        DeviceDraft::new(""),
        DeviceDraft::new(" "),
        DeviceDraft::new(&long),
        DeviceDraft::new("<script>"),
        DeviceDraft::new("a\0b"),
        DeviceDraft { label: Some(long.clone()), ..base() },
        DeviceDraft { label: Some("<b>".to_owned()), ..base() },
        DeviceDraft { additional_info: Some(r#"{"a":"\u0000"}"#.to_owned()), ..base() },
    ];
    for (row, draft) in drafts.into_iter().enumerate() {
        let saved = house.registry.save_device(&house.admin, draft, None).await;
        assert!(is_invalid(&saved), "row {row}");
    }
    let sort = |property: &str| Some(Sort { property: property.to_owned(), descending: true });
    let pages = [
        PageLink { size: 0, ..link() },
        PageLink { size: 10_001, ..link() },
        PageLink { sort: sort("id; DROP"), ..link() },
        PageLink { sort: sort("unknown"), ..link() },
        PageLink { text_search: Some("\0".to_owned()), ..link() },
    ];
    for page in pages {
        let text = format!("{page:?}");
        let listed = house.registry.devices(&house.admin, DeviceChoice::default(), page).await;
        assert!(is_invalid(&listed), "{text}");
    }
}
