//! Changes that come while a login is under way.

use thingport_core::access::Caller;
use thingport_core::registry::accounts::TenantProfileDraft;
use thingport_core::registry::credentials::CredentialsDraft;
use thingport_core::registry::devices::DeviceDraft;
use thingport_model::id::DeviceId;
use thingport_model::limit::{LimitKind, LimitScope, RateLimit};
use thingport_model::page::PageLink;
use thingport_model::tenant::OpaqueJson;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{House, TOKEN, connect_packet};

enum Change {
    Nothing,
    AnotherDevice,
    Credentials,
    CredentialsAndBack,
    Deletion,
}

/// A login that a limit delays was looked up before it waits, and its mailbox is open only afterwards.
#[tokio::test]
async fn a_login_that_waits_for_its_turn_does_not_outlive_its_credentials() {
    let rows = [
        (Change::Nothing, 0),
        (Change::AnotherDevice, 0),
        (Change::Credentials, 5),
        (Change::CredentialsAndBack, 0),
        (Change::Deletion, 5),
    ];
    for (row, (change, expected)) in rows.into_iter().enumerate() {
        let house = House::open().await;
        let (admin, device) = limited(&house, "5:5").await;
        for _ in 0..5 {
            let mut peer = connecting(&house).await;
            assert_eq!(answer(&mut peer).await, 0);
        }
        let mut sixth = connecting(&house).await;
        let registry = &house.node.registry;
        let save = async |token: &str| {
            let draft = CredentialsDraft::access_token(token);
            registry.save_credentials(&admin, device, &draft).await.unwrap();
        };
        match change {
            Change::Nothing => {}
            Change::AnotherDevice => {
                registry.save_device(&admin, DeviceDraft::new("valve"), None).await.unwrap();
            }
            Change::Credentials => save("another").await,
            Change::CredentialsAndBack => {
                save("another").await;
                save(TOKEN).await;
            }
            Change::Deletion => registry.delete_device(&admin, device).await.unwrap(),
        }
        assert_eq!(answer(&mut sixth).await, expected, "row {row}");
        assert_eq!(house.node.presence.is_connected(device), expected == 0, "row {row}");
    }
}

/// Sends CONNECT; once it was read the login waits for its turn, if there is one to wait for: all until
/// then happens in the same turn of the connection.
async fn connecting(house: &House) -> TcpStream {
    let mut stream = TcpStream::connect(house.plain).await.unwrap();
    let before = house.node.metrics.bytes_in.value();
    stream.write_all(&connect_packet(TOKEN)).await.unwrap();
    house.until("it is read", |it| it.node.metrics.bytes_in.value() > before).await;
    stream
}

/// The return code of CONNACK.
async fn answer(stream: &mut TcpStream) -> u8 {
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await.unwrap();
    connack[3]
}

/// Sets a tenant's limit of messages; tells its administrator and the device.
async fn limited(house: &House, limit: &str) -> (Caller, DeviceId) {
    let registry = &house.node.registry;
    let login = registry.login_by_credentials_id(TOKEN).await.unwrap().unwrap();
    let link = PageLink { page: 0, size: 1, text_search: None, sort: None };
    let system = Caller::system();
    let profile = registry.tenant_profiles(&system, link).await.unwrap().rows.remove(0);
    let mut rate_limits = profile.rate_limits;
    rate_limits.set(LimitScope::Tenant, LimitKind::Messages, RateLimit::parse(limit).unwrap());
    let draft = TenantProfileDraft {
        id: Some(profile.id),
        name: profile.name,
        description: None,
        isolated_rule_engine: false,
        profile_data: OpaqueJson::from("{}"),
        storage_ttl_days: 0,
        rpc_ttl_days: 0,
        devices_max: 0,
        customers_max: 0,
        users_max: 0,
        package_bytes_max: 0,
        rate_limits,
    };
    registry.save_tenant_profile(&system, draft).await.unwrap();
    (Caller::tenant(login.tenant_id), login.device_id)
}
