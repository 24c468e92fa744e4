//! First run, login, roles, customers.

use thingport_core::access::Caller;
use thingport_core::error::Error;
use thingport_core::registry::accounts::{ApiKeyDraft, CustomerDraft, UserDraft};
use thingport_core::registry::devices::DeviceChoice;
use thingport_model::id::UserId;
use thingport_model::page::PageLink;
use thingport_model::user::Authority;

use crate::house::{House, is_denied, is_invalid, is_missing, link, people};

pub(crate) async fn the_first_run_may_run_again(house: House) {
    let registry = &house.registry;
    registry.found_demo(&|text| format!("hash of {text}")).await.unwrap();
    let user = registry.user_by_email("TENANT@thingsboard.org").await.unwrap().unwrap();
    let caller = Caller::of(&user);
    let states = async || {
        let devices = registry.devices(&caller, DeviceChoice::default(), link()).await.unwrap();
        let users = registry.users(&caller, link()).await.unwrap();
        let customers = registry.customers(&caller, link()).await.unwrap();
        let tenants = registry.tenants(&Caller::system(), link()).await.unwrap();
        let profiles = registry.profiles(&caller, link()).await.unwrap();
        (devices, users, customers, tenants, profiles)
    };
    let before = states().await;
    let counts = (before.0.total, before.1.total, before.2.total, before.4.total);
    assert_eq!(counts, (9, 5, 3, 2));
    registry.set_password(user.id, "changed", None).await.unwrap();
    let own = registry.user_credentials(user.id).await.unwrap().unwrap();
    registry.found_demo(&|text| format!("hash of {text}")).await.unwrap();
    assert_eq!(states().await, before, "again changes nothing");
    assert!(registry.user_credentials(user.id).await.unwrap() == Some(own), "nor a password");
    for (token, name, profile, customer) in [
        ("A1_TEST_TOKEN", "Test Device A1", "default", Some("Customer A")),
        ("B1_TEST_TOKEN", "Test Device B1", "default", Some("Customer B")),
        ("DHT11_DEMO_TOKEN", "DHT11 Demo Device", "default", None),
        ("T2_TEST_TOKEN", "Thermostat T2", "thermostat", None),
    ] {
        let id = house.login(token).await.unwrap();
        let row = registry.device_overview(&caller, id).await.unwrap();
        assert_eq!((row.device.name.as_str(), row.device.profile_name.as_str()), (name, profile));
        assert_eq!(row.customer_title.as_deref(), customer);
    }
}

pub(crate) async fn a_production_house_begins_with_two_people(house: House) {
    let registry = &house.registry;
    assert!(!registry.is_fresh().await.unwrap());
    let rows = [
        ("root@example.org", Authority::SysAdmin, "hash of one"),
        ("admin@example.org", Authority::TenantAdmin, "hash of two"),
    ];
    for (email, authority, hash) in rows {
        let user = registry.user_by_email(email).await.unwrap().unwrap();
        assert_eq!(user.authority, authority);
        let credentials = registry.user_credentials(user.id).await.unwrap().unwrap();
        assert!(credentials.enabled);
        assert_eq!(credentials.password_hash.as_deref(), Some(hash));
    }
    let tenants = registry.tenants(&Caller::system(), link()).await.unwrap().total;
    registry.found(&people(), &|_| "another".to_owned()).await.unwrap();
    assert_eq!(registry.tenants(&Caller::system(), link()).await.unwrap().total, tenants);
    assert_eq!(registry.setting("jwt").await.unwrap(), None);
    registry.put_setting("jwt", "key").await.unwrap();
    assert_eq!(registry.setting("jwt").await.unwrap().as_deref(), Some("key"));
    let name = registry.tenant_profile_name(&house.admin, house.admin.tenant_id).await;
    assert_eq!(name.as_deref(), Ok("Default"));
}

pub(crate) async fn passwords_and_tokens_follow_the_person(house: House) {
    let (registry, admin) = (&house.registry, &house.admin);
    let draft = UserDraft::new("new@example.org", Authority::TenantAdmin);
    let user = registry.save_user(admin, draft).await.unwrap();
    let record = async || registry.user_credentials(user.id).await.unwrap().unwrap();
    assert!(!record().await.enabled && record().await.password_hash.is_none(), "not active yet");
    registry.set_password(user.id, "h1", None).await.unwrap();
    let first = record().await;
    assert!(first.enabled && first.password_hash.as_deref() == Some("h1"));
    registry.record_login(user.id).await.unwrap();
    assert!(record().await.last_login_at > first.last_login_at);
    assert_eq!(record().await.tokens_valid_from, first.tokens_valid_from);
    registry.end_tokens(user.id).await.unwrap();
    assert!(record().await.tokens_valid_from > first.tokens_valid_from);
    registry.set_user_enabled(admin, user.id, false).await.unwrap();
    assert!(!record().await.enabled);
    registry.delete_user(admin, user.id).await.unwrap();
    assert!(registry.user_credentials(user.id).await.unwrap().is_none());
    assert!(is_missing(&registry.set_password(user.id, "h2", None).await));
}

pub(crate) async fn roles_decide_who_creates_whom(house: House) {
    use Authority::{CustomerUser, SysAdmin, TenantAdmin};
    let system = Caller::system();
    let (tenant, customer) = (Some(house.admin.tenant_id), Some(house.customer));
    let rows = [
        (&system, SysAdmin, None, None, "yes"),
        (&system, TenantAdmin, tenant, None, "yes"),
        (&system, TenantAdmin, None, None, "invalid"),
        (&system, CustomerUser, tenant, customer, "denied"),
        (&system, SysAdmin, tenant, None, "invalid"),
        (&house.admin, TenantAdmin, None, None, "yes"),
        (&house.admin, CustomerUser, None, customer, "yes"),
        (&house.admin, CustomerUser, None, None, "invalid"),
        (&house.admin, TenantAdmin, None, customer, "invalid"),
        (&house.admin, SysAdmin, None, None, "denied"),
        (&house.stranger, CustomerUser, None, customer, "invalid"),
        (&house.customer_user, CustomerUser, None, customer, "denied"),
    ];
    for (row, (caller, authority, tenant_id, customer_id, expected)) in rows.into_iter().enumerate()
    {
        let email = format!("user{row}@example.org");
        let draft = UserDraft { tenant_id, customer_id, ..UserDraft::new(&email, authority) };
        let saved = house.registry.save_user(caller, draft).await;
        let answer = if is_denied(&saved) {
            "denied"
        } else if is_invalid(&saved) {
            "invalid"
        } else {
            saved.map(|_| "yes").unwrap()
        };
        assert_eq!(answer, expected, "row {row}");
    }
    for email in ["", "x", "ADMIN@example.org"] {
        let draft = UserDraft::new(email, TenantAdmin);
        assert!(is_invalid(&house.registry.save_user(&house.admin, draft).await), "{email}");
    }
}

pub(crate) async fn the_last_administrator_stays(house: House) {
    let (registry, admin) = (&house.registry, &house.admin);
    let first = registry.user_by_email("admin@example.org").await.unwrap().unwrap();
    assert!(is_invalid(&registry.delete_user(admin, first.id).await));
    let draft = UserDraft::new("second@example.org", Authority::TenantAdmin);
    registry.save_user(admin, draft).await.unwrap();
    registry.delete_user(admin, first.id).await.unwrap();
    let one = PageLink { text_search: Some("SECOND@".to_owned()), ..link() };
    let rest = registry.tenant_admins(&Caller::system(), admin.tenant_id, one).await.unwrap();
    assert_eq!(rest.total, 1);
    assert!(is_missing(&registry.user(admin, UserId(first.id.0)).await));
}

pub(crate) async fn the_public_customer_is_the_servers_own(house: House) {
    let (registry, admin) = (&house.registry, &house.admin);
    let save = |draft| registry.save_customer(admin, draft);
    assert!(is_invalid(&save(CustomerDraft::new("Public")).await));
    assert!(is_invalid(&save(CustomerDraft::new("Acme")).await), "titles are unique");
    let public = registry.public_customer(admin).await.unwrap();
    assert!(public.is_public && public.title == "Public");
    assert_eq!(registry.public_customer(admin).await.unwrap(), public);
    let renamed = CustomerDraft { id: Some(public.id), ..CustomerDraft::new("Mine") };
    assert!(is_invalid(&save(renamed).await));
    assert_eq!(registry.public_customer_by_id(public.id).await.unwrap(), public);
    assert!(is_missing(&registry.public_customer_by_id(house.customer).await));
    assert!(is_missing(&registry.customer(&house.stranger, public.id).await));
    assert!(is_denied(&registry.customer(&house.customer_user, public.id).await));
}

pub(crate) async fn a_key_is_gone_for_everybody_at_once(house: House) {
    let (registry, admin) = (&house.registry, &house.admin);
    let user = registry.user_by_email("admin@example.org").await.unwrap().unwrap();
    let draft =
        |text: &str| ApiKeyDraft { description: text.to_owned(), enabled: true, expires_at: None };
    let key = registry.create_api_key(admin, user.id, draft("backup"), [1; 32]).await.unwrap();
    let found = async || registry.api_key_by_hash(&[1; 32]).await.unwrap();
    // The second look-up is answered from memory.
    assert_eq!((found().await, found().await), (Some(key.clone()), Some(key.clone())));
    assert_eq!(registry.api_key_by_hash(&[2; 32]).await.unwrap(), None);
    let off = registry.change_api_key(admin, key.id, |it| it.enabled = false).await.unwrap();
    assert_eq!(found().await, Some(off.clone()));
    let on = |it: &mut ApiKeyDraft| it.description = "again".to_owned();
    let (one, two) = tokio::join!(
        registry.change_api_key(admin, key.id, on),
        registry.change_api_key(admin, key.id, |it| it.enabled = true),
    );
    assert!(one.is_ok() && two.is_ok());
    let both = found().await.unwrap();
    assert!(
        both.enabled && both.description == "again",
        "two changes at once both count: {both:?}"
    );
    assert!(is_missing(&registry.change_api_key(&house.stranger, key.id, on).await));
    assert!(is_denied(&registry.delete_api_key(&house.customer_user, key.id).await));
    assert!(is_invalid(&registry.create_api_key(admin, user.id, draft(" "), [3; 32]).await));
    let second = UserDraft::new("second@example.org", Authority::TenantAdmin);
    registry.save_user(admin, second).await.unwrap();
    registry.delete_user(admin, user.id).await.unwrap();
    assert_eq!(found().await, None, "gone with its user");
}

pub(crate) async fn a_login_changes_in_one_step(house: House) {
    let registry = &house.registry;
    let user = registry.user_by_email("admin@example.org").await.unwrap().unwrap().id;
    let record = async || registry.user_credentials(user).await.unwrap().unwrap();
    let before = record().await;
    let (login, password) =
        tokio::join!(registry.record_login(user), registry.set_password(user, "h", None));
    assert!(login.is_ok() && password.is_ok());
    let after = record().await;
    assert!(
        after.last_login_at > before.last_login_at && after.password_hash.as_deref() == Some("h")
    );
    let late = registry.set_password(user, "late", Some(&before)).await;
    assert!(matches!(late, Err(Error::VersionConflict(_))), "{late:?}");
    registry.set_password(user, "in time", Some(&after)).await.unwrap();
}
