use thingport_model::id::TenantId;
use thingport_model::rpc::ReplyTo;
use thingport_model::uplink::KeyList;

use super::*;

#[test]
fn a_device_is_answered_what_it_named_once_each() {
    let rows: [(WantedKeys<'_>, Option<Keys>); 4] = [
        (WantedKeys::None, None),
        (WantedKeys::All, Some(Keys::All)),
        (WantedKeys::Named(KeyList("b,a,b")), Some(Keys::Named(vec!["a".into(), "b".into()]))),
        (WantedKeys::Named(KeyList(" a")), Some(Keys::Named(vec![" a".into()]))),
    ];
    for (client, expected) in rows {
        let reply_to = ReplyTo { way: 0, id: 1 };
        let request = AttributeRequest { reply_to, client, shared: WantedKeys::None };
        let wanted = AttributesWanted::from(request);
        assert_eq!(wanted, AttributesWanted { client: expected, shared: None });
    }
}

#[test]
fn only_shared_attributes_of_devices_are_heard_of() {
    let device = DeviceId(uuid::Uuid::from_u128(7));
    assert_eq!(listener(device.entity(), Scope::Shared), Some(device));
    assert_eq!(listener(device.entity(), Scope::Server), None);
    assert_eq!(listener(device.entity(), Scope::Client), None);
    assert_eq!(listener(TenantId::SYSTEM.entity(), Scope::Shared), None);
}
