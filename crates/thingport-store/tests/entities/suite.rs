//! The promises of the port, as functions over any engine.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::device::{Among, Device, DeviceFilter};
use thingport_model::id::{
    CredentialsId, CustomerId, DeviceId, DeviceProfileId, TenantId, TenantProfileId, UserId,
    ordered_id,
};
use thingport_model::limit::{LimitKind, LimitScope, RateLimit, RateLimits};
use thingport_model::page::{PageLink, Sort};
use thingport_model::port::entities::{Entities, Write};
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::profile::{DeviceProfile, Provisioning, TransportType};
use thingport_model::tenant::{Address, Customer, Tenant, TenantProfile};
use thingport_model::time::Timestamp;
use thingport_model::user::{Authority, FormerPassword, User, UserCredentials};
use uuid::Uuid;

mod accounts;
mod calls;
mod packages;
mod relations;
mod sessions;

use accounts::{
    a_login_is_changed_in_place, a_tenant_has_at_most_so_many,
    api_keys_are_found_by_hash_and_go_with_their_user,
    ended_sessions_are_kept_until_their_tokens_expire,
};

use packages::{
    announcements_wait_until_they_are_made, packages_are_listed, packages_are_read_back_and_unique,
    packages_go_with_their_profile_and_tenant, packages_in_use_stay,
    the_bytes_of_a_tenant_are_bounded_exactly,
};

use calls::{calls_are_read_back_and_come_to_an_end, calls_go_with_their_device_and_their_time};

use relations::{
    relations_are_read_back_by_either_end, relations_go_with_their_ends,
    relations_have_versions_and_lead_somewhere,
};

use sessions::{
    sessions_are_kept_until_they_are_forgotten, sessions_go_with_their_device_and_tenant,
};

type Subject = Arc<dyn Entities>;
type Promise = fn(Subject) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! promises {
    ($($name:ident,)*) => { &[$((stringify!($name), |subject| Box::pin($name(subject))),)*] };
}

/// Every promise with its name.
pub(crate) const PROMISES: &[(&str, Promise)] = promises![
    what_is_written_is_read_back,
    a_write_is_all_or_none,
    versions_go_up_by_one,
    unique_things_are_unique,
    references_lead_somewhere,
    the_default_flag_moves,
    a_renamed_profile_renames_the_type_of_its_devices,
    deleting_takes_along_what_belongs,
    deletions_leave_notes_until_purged,
    text_search_is_contains_without_wildcards,
    pages_are_cut_in_order,
    lists_are_filtered,
    a_login_is_changed_in_place,
    api_keys_are_found_by_hash_and_go_with_their_user,
    ended_sessions_are_kept_until_their_tokens_expire,
    a_tenant_has_at_most_so_many,
    calls_are_read_back_and_come_to_an_end,
    calls_go_with_their_device_and_their_time,
    packages_are_read_back_and_unique,
    packages_are_listed,
    the_bytes_of_a_tenant_are_bounded_exactly,
    packages_in_use_stay,
    packages_go_with_their_profile_and_tenant,
    announcements_wait_until_they_are_made,
    relations_are_read_back_by_either_end,
    relations_have_versions_and_lead_somewhere,
    relations_go_with_their_ends,
    sessions_are_kept_until_they_are_forgotten,
    sessions_go_with_their_device_and_tenant,
];

/// A tenant with one of everything.
pub(crate) struct House {
    pub(crate) tenant_profile: TenantProfile,
    pub(crate) tenant: Tenant,
    pub(crate) customer: Customer,
    pub(crate) user: User,
    pub(crate) login: UserCredentials,
    pub(crate) profile: DeviceProfile,
    pub(crate) device: Device,
    pub(crate) credentials: DeviceCredentials,
}

impl House {
    pub(crate) async fn build(entities: &dyn Entities) -> Self {
        let house = Self::plan("Default", "1");
        entities.write(house.writes()).await.unwrap();
        house
    }

    pub(crate) fn plan(tenant_profile: &str, suffix: &str) -> Self {
        let tenant_profile = tenant_profile_of(tenant_profile);
        let tenant = tenant_of(&tenant_profile);
        let customer = customer_of(&tenant, &format!("Customer {suffix}"));
        let user = user_of(&customer, &format!("User{suffix}@example.org"));
        let profile = profile_of(&tenant, "thermostat");
        let device = Device {
            customer_id: Some(customer.id),
            ..device_of(&profile, &format!("Pump {suffix}"))
        };
        let login = UserCredentials {
            user_id: user.id,
            enabled: true,
            password_hash: Some("hash".to_owned()),
            tokens_valid_from: Timestamp(5),
            last_login_at: Some(Timestamp(6)),
            password_set_at: Some(Timestamp(5)),
            former_passwords: vec![former("older", 5)],
        };
        let credentials = credentials_of(&device, &format!("token{suffix}"));
        Self { tenant_profile, tenant, customer, user, login, profile, device, credentials }
    }

    pub(crate) fn writes(&self) -> Vec<Write> {
        vec![
            Write::TenantProfile(self.tenant_profile.clone()),
            Write::Tenant(self.tenant.clone()),
            Write::Customer(self.customer.clone()),
            Write::User(self.user.clone()),
            Write::UserCredentials(self.login.clone()),
            Write::DeviceProfile(self.profile.clone()),
            Write::Device(self.device.clone()),
            Write::DeviceCredentials(self.credentials.clone()),
            Write::Setting("key".to_owned(), "value".to_owned()),
        ]
    }

    pub(crate) fn new_device(&self, name: &str, token: &str) -> Vec<Write> {
        let device = device_of(&self.profile, name);
        let credentials = credentials_of(&device, token);
        vec![Write::Device(device), Write::DeviceCredentials(credentials)]
    }

    fn filter(&self) -> DeviceFilter {
        DeviceFilter {
            tenant_id: self.tenant.id,
            customer_id: None,
            profile_name: None,
            profile_id: None,
            active: None,
            gateway: None,
            certificate_before: None,
            among: None,
        }
    }
}

async fn what_is_written_is_read_back(subject: Subject) {
    let house = House::build(&*subject).await;
    let all = || link(0, 10);
    assert_eq!(subject.tenant(house.tenant.id).await, Ok(Some(house.tenant.clone())));
    assert_eq!(subject.tenants(all()).await.unwrap().rows[0], house.tenant);
    let profile = house.tenant_profile.clone();
    assert_eq!(subject.tenant_profile(profile.id).await, Ok(Some(profile.clone())));
    assert_eq!(subject.default_tenant_profile().await, Ok(Some(profile.clone())));
    assert_eq!(subject.tenant_profiles(all()).await.unwrap().rows, [profile]);
    let customer = house.customer.clone();
    assert_eq!(subject.customer(customer.id).await, Ok(Some(customer.clone())));
    let by_title = subject.customer_by_title(house.tenant.id, &customer.title).await;
    assert_eq!(by_title, Ok(Some(customer.clone())));
    assert_eq!(subject.customers(house.tenant.id, all()).await.unwrap().rows[0], customer);
    let user = house.user.clone();
    assert_eq!(subject.user(user.id).await, Ok(Some(user.clone())));
    assert_eq!(subject.user_by_email("uSER1@EXAMPLE.org").await, Ok(Some(user.clone())));
    let users = subject.users(house.tenant.id, Some(customer.id), all()).await.unwrap();
    assert_eq!((users.rows, users.total), (vec![user.clone()], 1));
    assert_eq!(subject.user_credentials(user.id).await, Ok(Some(house.login.clone())));
    what_devices_need_is_read_back(&*subject, &house).await;
    assert_eq!(subject.setting("key").await, Ok(Some("value".to_owned())));
    assert_eq!(subject.setting("other").await, Ok(None));
}

async fn what_devices_need_is_read_back(subject: &dyn Entities, house: &House) {
    let (tenant, profile, device) = (house.tenant.id, &house.profile, &house.device);
    assert_eq!(subject.profile(profile.id).await, Ok(Some(profile.clone())));
    assert_eq!(subject.profile_by_name(tenant, "thermostat").await, Ok(Some(profile.clone())));
    assert_eq!(subject.default_profile(tenant).await, Ok(Some(profile.clone())));
    assert_eq!(subject.profiles(tenant, link(0, 10)).await.unwrap().rows[0], *profile);
    assert_eq!(subject.profile_use(profile.id).await, Ok(1));
    assert_eq!(subject.device(device.id).await, Ok(Some(device.clone())));
    assert_eq!(subject.device_by_name(tenant, "Pump 1").await, Ok(Some(device.clone())));
    assert_eq!(subject.device_by_name(tenant, "pump 1").await, Ok(None));
    let page = subject.devices(house.filter(), link(0, 10)).await.unwrap();
    assert_eq!(page.rows[0].device, *device);
    assert_eq!(page.rows[0].customer_title.as_ref(), Some(&house.customer.title));
    assert!(page.rows[0].customer_is_public);
    let ids = vec![device.id, DeviceId(new_id()), device.id];
    assert_eq!(subject.devices_by_ids(ids).await, Ok(vec![device.clone()]));
    assert_eq!(subject.device_types(tenant).await, Ok(vec!["thermostat".to_owned()]));
    assert_eq!(subject.device_count(tenant).await, Ok(1));
    let credentials = Ok(Some(house.credentials.clone()));
    assert_eq!(subject.credentials_of(device.id).await, credentials);
    assert_eq!(subject.credentials_by_id("token1").await, credentials);
    assert_eq!(subject.credentials_by_id("TOKEN1").await, Ok(None));
}

async fn a_write_is_all_or_none(subject: Subject) {
    let house = House::build(&*subject).await;
    let mut writes = house.new_device("Pump 2", "token2");
    writes.extend(house.new_device("Pump 3", "token1"));
    assert_eq!(subject.write(writes).await, conflict(Conflict::CredentialsId));
    assert_eq!(subject.device_count(house.tenant.id).await, Ok(1));
    assert_eq!(subject.credentials_by_id("token2").await, Ok(None));
}

async fn versions_go_up_by_one(subject: Subject) {
    let house = House::build(&*subject).await;
    let device = |version| Write::Device(Device { version, ..house.device.clone() });
    for (version, answer) in [
        (1, conflict(Conflict::Version)),
        (3, conflict(Conflict::Version)),
        (2, Ok(())),
        (2, conflict(Conflict::Version)),
        (3, Ok(())),
    ] {
        assert_eq!(subject.write(vec![device(version)]).await, answer, "{version}");
    }
    let gone = Device { id: DeviceId(new_id()), version: 2, ..house.device.clone() };
    assert_eq!(subject.write(vec![Write::Device(gone)]).await, conflict(Conflict::Missing));
    let second = credentials_of(&house.device, "another");
    let second = vec![Write::DeviceCredentials(second)];
    assert_eq!(subject.write(second).await, conflict(Conflict::Version), "one record per device");
}

async fn unique_things_are_unique(subject: Subject) {
    let house = House::build(&*subject).await;
    let other = House::plan("Other", "9");
    subject.write(other.writes()).await.unwrap();
    let mut key_of_other = profile_of(&house.tenant, "keyed");
    key_of_other.is_default = false;
    key_of_other.provisioning =
        Provisioning::AllowCreate { key: "key".to_owned(), secret: "s".to_owned() };
    subject.write(vec![Write::DeviceProfile(key_of_other.clone())]).await.unwrap();
    assert_eq!(subject.profile_by_provision_key("key").await, Ok(Some(key_of_other.clone())));
    assert_eq!(subject.profile_by_provision_key("KEY").await, Ok(None));
    let same_key =
        DeviceProfile { id: DeviceProfileId(new_id()), tenant_id: other.tenant.id, ..key_of_other };
    let rows = [
        (Write::TenantProfile(tenant_profile_of("Default")), Conflict::TenantProfileName),
        (Write::Customer(customer_of(&house.tenant, "Customer 1")), Conflict::CustomerTitle),
        (Write::User(user_of(&other.customer, "USER1@EXAMPLE.ORG")), Conflict::UserEmail),
        (Write::DeviceProfile(profile_of(&house.tenant, "thermostat")), Conflict::ProfileName),
        (Write::DeviceProfile(same_key), Conflict::ProvisionKey),
        (Write::Device(device_of(&house.profile, "Pump 1")), Conflict::DeviceName),
    ];
    for (write, expected) in rows {
        assert_eq!(subject.write(vec![write]).await, conflict(expected), "{expected:?}");
    }
    let same_token = other.new_device("x", "token1");
    assert_eq!(subject.write(same_token).await, conflict(Conflict::CredentialsId));
    let elsewhere = [
        Write::Customer(customer_of(&other.tenant, "Customer 1")),
        Write::Device(device_of(&other.profile, "Pump 1")),
    ];
    assert_eq!(subject.write(elsewhere.into()).await, Ok(()), "names are unique per tenant only");
}

async fn references_lead_somewhere(subject: Subject) {
    let house = House::build(&*subject).await;
    let nowhere = House::plan("Nowhere", "0");
    let stray = Device { customer_id: Some(nowhere.customer.id), ..house.device.clone() };
    let stray = Device { id: DeviceId(new_id()), name: "stray".to_owned(), ..stray };
    let orphan = Device { profile_id: nowhere.profile.id, customer_id: None, ..stray.clone() };
    for write in [
        Write::Tenant(nowhere.tenant.clone()),
        Write::Customer(nowhere.customer.clone()),
        Write::User(nowhere.user.clone()),
        Write::UserCredentials(nowhere.login.clone()),
        Write::DeviceProfile(nowhere.profile.clone()),
        Write::Device(stray),
        Write::Device(orphan),
        Write::DeviceCredentials(nowhere.credentials.clone()),
    ] {
        let text = format!("{write:?}");
        assert_eq!(subject.write(vec![write]).await, conflict(Conflict::Reference), "{text}");
    }
    for entity in [house.profile.id.entity(), house.tenant_profile.id.entity()] {
        let answer = subject.write(vec![Write::Delete(entity)]).await;
        assert_eq!(answer, conflict(Conflict::InUse), "{entity:?}");
    }
    let gone = nowhere.device.id.entity();
    assert_eq!(subject.write(vec![Write::Delete(gone)]).await, conflict(Conflict::Missing));
}

async fn the_default_flag_moves(subject: Subject) {
    let house = House::build(&*subject).await;
    let second = profile_of(&house.tenant, "second");
    let tenants_second = tenant_profile_of("second");
    let writes =
        vec![Write::DeviceProfile(second.clone()), Write::TenantProfile(tenants_second.clone())];
    subject.write(writes).await.unwrap();
    assert_eq!(subject.default_profile(house.tenant.id).await, Ok(Some(second)));
    assert_eq!(subject.default_tenant_profile().await, Ok(Some(tenants_second)));
    let former = subject.profile(house.profile.id).await.unwrap().unwrap();
    assert!(!former.is_default);
    assert!(!subject.tenant_profile(house.tenant_profile.id).await.unwrap().unwrap().is_default);
}

async fn a_renamed_profile_renames_the_type_of_its_devices(subject: Subject) {
    let house = House::build(&*subject).await;
    let name = "boiler".to_owned();
    let renamed = DeviceProfile { name: name.clone(), version: 2, ..house.profile.clone() };
    subject.write(vec![Write::DeviceProfile(renamed)]).await.unwrap();
    assert_eq!(subject.device(house.device.id).await.unwrap().unwrap().profile_name, name);
    assert_eq!(subject.device_types(house.tenant.id).await, Ok(vec![name.clone()]));
    let by_name = DeviceFilter { profile_name: Some(name), ..house.filter() };
    assert_eq!(subject.devices(by_name, link(0, 1)).await.unwrap().total, 1);
}

async fn deleting_takes_along_what_belongs(subject: Subject) {
    let house = House::build(&*subject).await;
    subject.write(vec![Write::Delete(house.customer.id.entity())]).await.unwrap();
    assert_eq!(subject.user(house.user.id).await, Ok(None));
    assert_eq!(subject.user_credentials(house.user.id).await, Ok(None));
    let device = subject.device(house.device.id).await.unwrap().unwrap();
    assert_eq!((device.customer_id, device.version), (None, 2));
    assert!(subject.credentials_of(house.device.id).await.unwrap().is_some());

    subject.write(vec![Write::Delete(house.device.id.entity())]).await.unwrap();
    assert_eq!(subject.device(house.device.id).await, Ok(None));
    assert_eq!(subject.credentials_by_id("token1").await, Ok(None));
    assert_eq!(subject.write(house.new_device("Pump 1", "token1")).await, Ok(()), "all free again");

    let other = House::plan("Other", "2");
    subject.write(other.writes()).await.unwrap();
    subject.write(vec![Write::Delete(house.tenant.id.entity())]).await.unwrap();
    assert_eq!(subject.tenant(house.tenant.id).await, Ok(None));
    assert_eq!(subject.device_count(house.tenant.id).await, Ok(0));
    assert_eq!(subject.profile(house.profile.id).await, Ok(None));
    assert_eq!(subject.credentials_by_id("token1").await, Ok(None));
    assert!(subject.device(other.device.id).await.unwrap().is_some(), "the other tenant stays");
    assert!(subject.user(other.user.id).await.unwrap().is_some(), "the other tenant stays");
}

async fn deletions_leave_notes_until_purged(subject: Subject) {
    let house = House::build(&*subject).await;
    assert_eq!(subject.outbox().await, Ok(vec![]));
    subject.write(vec![Write::Delete(house.tenant.id.entity())]).await.unwrap();
    let mut notes = vec![
        house.tenant.id.entity(),
        house.customer.id.entity(),
        house.user.id.entity(),
        house.device.id.entity(),
        house.profile.id.entity(),
    ];
    assert_eq!(subject.outbox().await, Ok(notes.clone()), "in order of kind and id");
    subject.write(vec![Write::Purged(notes.remove(3))]).await.unwrap();
    assert_eq!(subject.outbox().await, Ok(notes));
}

async fn text_search_is_contains_without_wildcards(subject: Subject) {
    let house = House::build(&*subject).await;
    for (number, name) in ["50% off", "a_b", "a\\b", "\u{dc}ber", "axb"].into_iter().enumerate() {
        let mut writes = house.new_device(name, &format!("t{number}"));
        if let Write::Device(device) = &mut writes[0] {
            device.label = Some(format!("Label{number}"));
            device.customer_id = (number == 4).then_some(house.customer.id);
        }
        subject.write(writes).await.unwrap();
    }
    let rows: &[(&str, &[&str])] = &[
        ("%", &["50% off"]),
        ("_", &["a_b"]),
        ("\\", &["a\\b"]),
        ("\u{fc}BER", &["\u{dc}ber"]),
        ("bel3", &["\u{dc}ber"]),
        ("MOSTAT", &["Pump 1", "50% off", "a_b", "a\\b", "\u{dc}ber", "axb"]),
        ("omer 1", &["Pump 1", "axb"]),
        ("offlabel", &[]),
        ("nothing", &[]),
        ("", &["Pump 1", "50% off", "a_b", "a\\b", "\u{dc}ber", "axb"]),
    ];
    for (text, names) in rows {
        let link = PageLink { text_search: Some((*text).to_owned()), ..link(0, 10) };
        let page = subject.devices(house.filter(), link.clone()).await.unwrap();
        let found: Vec<_> = page.rows.iter().map(|row| row.device.name.as_str()).collect();
        assert_eq!((&found[..], page.total), (*names, names.len() as u64), "{text}");
        assert!(subject.tenants(link.clone()).await.is_ok());
        assert!(subject.users(house.tenant.id, None, link).await.is_ok());
    }
    let by_name = PageLink { text_search: Some("Ada".to_owned()), ..link(0, 10) };
    assert_eq!(subject.users(house.tenant.id, None, by_name).await.unwrap().total, 1);
}

async fn pages_are_cut_in_order(subject: Subject) {
    let house = House::build(&*subject).await;
    for (name, label) in [("c", Some("x")), ("a", None), ("b", Some("x"))] {
        let mut writes = house.new_device(name, &format!("token of {name}"));
        if let Write::Device(device) = &mut writes[0] {
            device.label = label.map(str::to_owned);
        }
        subject.write(writes).await.unwrap();
    }
    let rows: &[(&str, bool, u32, u32, &[&str])] = &[
        ("", false, 0, 2, &["Pump 1", "c"]),
        ("", false, 1, 2, &["a", "b"]),
        ("", false, 2, 2, &[]),
        ("name", false, 0, 10, &["Pump 1", "a", "b", "c"]),
        ("name", true, 0, 3, &["c", "b", "a"]),
        ("createdTime", true, 0, 10, &["b", "a", "c", "Pump 1"]),
        ("label", false, 0, 10, &["Pump 1", "a", "c", "b"]),
        ("label", true, 0, 10, &["c", "b", "Pump 1", "a"]),
        ("customerTitle", true, 0, 2, &["Pump 1", "c"]),
        ("deviceProfileName", true, 0, 10, &["Pump 1", "c", "a", "b"]),
        ("type", false, 1, 3, &["b"]),
    ];
    for (property, descending, page, size, names) in rows {
        let sort = (!property.is_empty())
            .then(|| Sort { property: (*property).to_owned(), descending: *descending });
        let link = PageLink { sort, ..link(*page, *size) };
        let page = subject.devices(house.filter(), link).await.unwrap();
        let found: Vec<_> = page.rows.iter().map(|row| row.device.name.as_str()).collect();
        assert_eq!((&found[..], page.total), (*names, 4), "{property} {descending}");
    }
    for property in ["createdTime", "title", "name", "email", "country", "city"] {
        let link = sorted(property);
        assert_eq!(subject.tenants(link.clone()).await.unwrap().total, 1);
        assert_eq!(subject.customers(house.tenant.id, link).await.unwrap().total, 1);
    }
    for property in ["createdTime", "name", "description", "isDefault", "type", "transportType"] {
        assert_eq!(subject.profiles(house.tenant.id, sorted(property)).await.unwrap().total, 1);
        assert_eq!(subject.tenant_profiles(sorted(property)).await.unwrap().total, 1);
    }
    for property in ["createdTime", "email", "name", "firstName", "lastName", "phone", "authority"]
    {
        assert_eq!(subject.users(house.tenant.id, None, sorted(property)).await.unwrap().total, 1);
    }
}

async fn lists_are_filtered(subject: Subject) {
    let house = House::build(&*subject).await;
    let other = House::plan("Other", "2");
    subject.write(other.writes()).await.unwrap();
    subject.write(house.new_device("unassigned", "token3")).await.unwrap();
    let ending = DeviceCredentials {
        expires_at: Some(Timestamp(5_000)),
        version: 2,
        ..house.credentials.clone()
    };
    subject.write(vec![Write::DeviceCredentials(ending)]).await.unwrap();
    let (all, both) = (house.filter(), [house.device.id, other.device.id]);
    let rows = [
        (all.clone(), 2),
        (DeviceFilter { customer_id: Some(house.customer.id), ..all.clone() }, 1),
        (DeviceFilter { customer_id: Some(other.customer.id), ..all.clone() }, 0),
        (DeviceFilter { profile_id: Some(house.profile.id), ..all.clone() }, 2),
        (DeviceFilter { profile_id: Some(other.profile.id), ..all.clone() }, 0),
        (DeviceFilter { profile_name: Some("thermostat".to_owned()), ..all.clone() }, 2),
        (DeviceFilter { profile_name: Some("Thermostat".to_owned()), ..all.clone() }, 0),
        (DeviceFilter { gateway: Some(house.device.is_gateway), ..all.clone() }, 2),
        (DeviceFilter { gateway: Some(!house.device.is_gateway), ..all.clone() }, 0),
        (DeviceFilter { certificate_before: Some(Timestamp(5_000)), ..all.clone() }, 0),
        (DeviceFilter { certificate_before: Some(Timestamp(5_001)), ..all.clone() }, 1),
        (DeviceFilter { among: Some(among(&both, true)), ..all.clone() }, 1),
        (DeviceFilter { among: Some(among(&both, false)), ..all.clone() }, 1),
        (DeviceFilter { among: Some(among(&[], true)), ..all.clone() }, 0),
        (DeviceFilter { among: Some(among(&[], false)), ..all }, 2),
    ];
    for (filter, total) in rows {
        let link = PageLink { text_search: Some("s".to_owned()), ..link(0, 10) };
        let page = subject.devices(filter.clone(), link).await.unwrap();
        assert_eq!((page.total, page.rows.len() as u64), (total, total), "{filter:?}");
    }
    assert_eq!(subject.customers(other.tenant.id, link(0, 10)).await.unwrap().total, 1);
    assert_eq!(subject.users(other.tenant.id, None, link(0, 10)).await.unwrap().total, 1);
    assert_eq!(subject.profiles(other.tenant.id, link(0, 10)).await.unwrap().total, 1);
    assert_eq!(subject.tenants(link(0, 10)).await.unwrap().total, 2);
}

fn among(ids: &[DeviceId], wanted: bool) -> Among {
    Among { ids: ids.to_vec(), wanted }
}

fn former(hash: &str, used_until: i64) -> FormerPassword {
    FormerPassword { hash: hash.to_owned(), used_until: Timestamp(used_until) }
}

fn conflict(which: Conflict) -> Result<(), PortError> {
    Err(PortError::Conflict(which))
}

fn link(page: u32, size: u32) -> PageLink {
    PageLink { page, size, text_search: None, sort: None }
}

fn sorted(property: &str) -> PageLink {
    let sort = Sort { property: property.to_owned(), descending: true };
    PageLink { sort: Some(sort), ..link(0, 10) }
}

/// Ids and moments that go up, so that order of id is order of creation.
fn tick() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1_767_225_600_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn new_id() -> Uuid {
    ordered_id(Timestamp(tick()), &[7; 10])
}

fn tenant_profile_of(name: &str) -> TenantProfile {
    TenantProfile {
        id: TenantProfileId(new_id()),
        created_at: Timestamp(tick()),
        name: name.to_owned(),
        description: Some("d".to_owned()),
        is_default: true,
        isolated_rule_engine: true,
        profile_data: "{}".to_owned(),
        storage_ttl_days: 3,
        rpc_ttl_days: 9,
        devices_max: 4,
        customers_max: 5,
        users_max: 6,
        package_bytes_max: 0,
        rate_limits: rate_limits(),
    }
}

fn rate_limits() -> RateLimits {
    let mut limits = RateLimits::default();
    for (scope, kind, text) in [
        (LimitScope::Tenant, LimitKind::Messages, "1000:1,20000:60"),
        (LimitScope::GatewayDevice, LimitKind::TelemetryPoints, ""),
    ] {
        limits.set(scope, kind, RateLimit::parse(text).unwrap());
    }
    limits
}

fn tenant_of(profile: &TenantProfile) -> Tenant {
    Tenant {
        id: TenantId(new_id()),
        created_at: Timestamp(tick()),
        title: "Tenant".to_owned(),
        region: Some("Global".to_owned()),
        tenant_profile_id: profile.id,
        address: address(),
        additional_info: Some("{}".to_owned()),
        version: 1,
    }
}

fn customer_of(tenant: &Tenant, title: &str) -> Customer {
    Customer {
        id: CustomerId(new_id()),
        created_at: Timestamp(tick()),
        tenant_id: tenant.id,
        title: title.to_owned(),
        address: address(),
        additional_info: Some(r#"{"isPublic":true}"#.to_owned()),
        is_public: true,
        version: 1,
    }
}

fn address() -> Address {
    let text = |text: &str| Some(text.to_owned());
    Address {
        country: text("c"),
        state: text("s"),
        city: text("t"),
        address: text("a"),
        address2: None,
        zip: text("z"),
        phone: text("p"),
        email: text("a@example.org"),
    }
}

fn user_of(customer: &Customer, email: &str) -> User {
    User {
        id: UserId(new_id()),
        created_at: Timestamp(tick()),
        tenant_id: customer.tenant_id,
        customer_id: Some(customer.id),
        email: email.to_owned(),
        authority: Authority::CustomerUser,
        first_name: Some("Ada".to_owned()),
        last_name: None,
        phone: Some("1".to_owned()),
        additional_info: None,
        version: 1,
    }
}

fn profile_of(tenant: &Tenant, name: &str) -> DeviceProfile {
    DeviceProfile {
        id: DeviceProfileId(new_id()),
        created_at: Timestamp(tick()),
        tenant_id: tenant.id,
        name: name.to_owned(),
        description: Some("d".to_owned()),
        image: None,
        is_default: true,
        transport: TransportType::Default,
        mqtt: None,
        opaque_transport: None,
        provisioning: Provisioning::Disabled { configured: true },
        alarms: None,
        queue_name: None,
        packages: thingport_model::ota::AssignedPackages::default(),
        extension: thingport_model::profile::extension::ProfileExtension::default(),
        version: 1,
    }
}

fn device_of(profile: &DeviceProfile, name: &str) -> Device {
    Device {
        id: DeviceId(new_id()),
        created_at: Timestamp(tick()),
        tenant_id: profile.tenant_id,
        customer_id: None,
        profile_id: profile.id,
        name: name.to_owned(),
        profile_name: profile.name.clone(),
        label: None,
        is_gateway: true,
        additional_info: Some(r#"{"gateway":true}"#.to_owned()),
        device_data: "{}".to_owned(),
        packages: thingport_model::ota::AssignedPackages::default(),
        version: 1,
    }
}

fn credentials_of(device: &Device, token: &str) -> DeviceCredentials {
    DeviceCredentials {
        id: CredentialsId(new_id()),
        created_at: Timestamp(tick()),
        device_id: device.id,
        kind: CredentialsType::AccessToken,
        credentials_id: token.to_owned(),
        value: None,
        expires_at: None,
        version: 1,
    }
}
