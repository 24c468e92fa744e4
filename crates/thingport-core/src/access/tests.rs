use super::*;
use thingport_model::device::Device;
use thingport_model::id::{DeviceId, DeviceProfileId};
use thingport_model::tenant::Address;
use thingport_model::time::Timestamp;
use uuid::Uuid;

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    Denied,
    NotFound,
}
use Answer::{Denied, NotFound, Yes};

fn answer(result: Result<(), Error>) -> Answer {
    match result {
        Ok(()) => Yes,
        Err(Error::Denied(_)) => Denied,
        Err(Error::NotFound(_)) => NotFound,
        Err(other) => panic!("{other:?}"),
    }
}

fn callers() -> [(&'static str, Caller); 6] {
    let customer_user = Caller {
        authority: Authority::CustomerUser,
        customer_id: Some(CustomerId(Uuid::from_u128(10))),
        ..Caller::tenant(tenant(1))
    };
    let stranger = CustomerId(Uuid::from_u128(11));
    [
        ("system", Caller::system()),
        ("tenant", Caller::tenant(tenant(1))),
        ("other tenant", Caller::tenant(tenant(2))),
        ("customer", customer_user),
        ("other customer", Caller { customer_id: Some(stranger), ..customer_user }),
        ("guest", Caller { read_only: true, ..customer_user }),
    ]
}

#[test]
fn devices_are_for_their_tenant_and_their_customer() {
    // Read, read secrets, write, administer.
    let rows = [
        [Denied, Denied, Denied, Denied],
        [Yes, Yes, Yes, Yes],
        [NotFound, NotFound, NotFound, NotFound],
        [Yes, Yes, Yes, Denied],
        [Denied, Denied, Denied, Denied],
        [Yes, Denied, Denied, Denied],
    ];
    let device = device();
    for ((name, caller), expected) in callers().into_iter().zip(rows) {
        let answers = [
            answer(caller.may_read_device(&device)),
            answer(caller.may_read_secrets(&device)),
            answer(caller.may_write_device(&device)),
            answer(caller.may_administer_device(&device)),
        ];
        assert_eq!(answers, expected, "{name}");
    }
}

#[test]
fn an_unassigned_device_is_for_its_tenant_only() {
    let device = Device { customer_id: None, ..device() };
    let rows = [Denied, Yes, NotFound, Denied, Denied, Denied];
    for ((name, caller), expected) in callers().into_iter().zip(rows) {
        assert_eq!(answer(caller.may_read_device(&device)), expected, "{name}");
    }
}

#[test]
fn users_of_a_customer_claim_and_its_people_give_back() {
    // Claim a device, give back one of the customer, give back one that nobody has.
    let rows = [
        [Denied, Denied, Denied],
        [Denied, Yes, Yes],
        [Denied, NotFound, NotFound],
        [Yes, Yes, Denied],
        [Yes, Denied, Denied],
        [Denied, Denied, Denied],
    ];
    let unassigned = Device { customer_id: None, ..device() };
    for ((name, caller), expected) in callers().into_iter().zip(rows) {
        let answers = [
            answer(caller.must_claim().map(drop)),
            answer(caller.may_reclaim_device(&device())),
            answer(caller.may_reclaim_device(&unassigned)),
        ];
        assert_eq!(answers, expected, "{name}");
    }
}

#[test]
fn customers_and_tenants_are_for_their_own_people() {
    // Customer, tenant.
    let rows = [
        [Denied, Yes],
        [Yes, Yes],
        [NotFound, NotFound],
        [Yes, Denied],
        [Denied, Denied],
        [Yes, Denied],
    ];
    let customer = customer();
    for ((name, caller), expected) in callers().into_iter().zip(rows) {
        let answers = [
            answer(caller.may_read_customer(&customer)),
            answer(caller.may_read_tenant(tenant(1))),
        ];
        assert_eq!(answers, expected, "{name}");
    }
}

#[test]
fn people_are_for_those_above_them() {
    let administrator = User {
        authority: Authority::TenantAdmin,
        customer_id: None,
        ..user(Authority::TenantAdmin)
    };
    // Read and write of a tenant administrator, of a customer user.
    let rows = [
        [Yes, Yes, Denied, Denied],
        [Yes, Yes, Yes, Yes],
        [NotFound, NotFound, NotFound, NotFound],
        [Denied, Denied, Yes, Denied],
        [Denied, Denied, Denied, Denied],
        [Denied, Denied, Yes, Denied],
    ];
    let customer_user = user(Authority::CustomerUser);
    for ((name, caller), expected) in callers().into_iter().zip(rows) {
        let answers = [
            answer(caller.may_read_user(&administrator)),
            answer(caller.may_write_user(&administrator)),
            answer(caller.may_read_user(&customer_user)),
            answer(caller.may_write_user(&customer_user)),
        ];
        assert_eq!(answers, expected, "{name}");
    }
    let itself = Caller::of(&customer_user);
    assert_eq!(answer(itself.may_write_user(&customer_user)), Yes);
    assert_eq!(Caller::guest(&customer()).customer_id, Some(customer().id));
}

fn tenant(number: u128) -> TenantId {
    TenantId(Uuid::from_u128(number))
}

fn customer() -> Customer {
    Customer {
        id: CustomerId(Uuid::from_u128(10)),
        created_at: Timestamp(0),
        tenant_id: tenant(1),
        title: "c".to_owned(),
        address: Address::default(),
        additional_info: None,
        is_public: false,
        version: 1,
    }
}

fn user(authority: Authority) -> User {
    User {
        id: UserId(Uuid::from_u128(20)),
        created_at: Timestamp(0),
        tenant_id: tenant(1),
        customer_id: Some(customer().id),
        email: "a@b".to_owned(),
        authority,
        first_name: None,
        last_name: None,
        phone: None,
        additional_info: None,
        version: 1,
    }
}

fn device() -> Device {
    Device {
        id: DeviceId(Uuid::from_u128(30)),
        created_at: Timestamp(0),
        tenant_id: tenant(1),
        customer_id: Some(customer().id),
        profile_id: DeviceProfileId(Uuid::from_u128(40)),
        name: "d".to_owned(),
        profile_name: "default".to_owned(),
        label: None,
        is_gateway: false,
        additional_info: None,
        device_data: "{}".to_owned(),
        packages: thingport_model::ota::AssignedPackages::default(),
        version: 1,
    }
}
