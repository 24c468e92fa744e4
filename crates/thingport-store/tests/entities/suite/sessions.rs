//! Promises about kept sessions.

use core::num::NonZeroU64;

use thingport_model::device::Device;
use thingport_model::port::entities::Write;
use thingport_model::rpc::CallToken;
use thingport_model::session::{
    About, KeptMessage, KeptSession, KeptSubscription, OpenPacketId, SessionState,
};
use thingport_model::time::Timestamp;

use super::{House, Subject, device_of};

pub(super) async fn sessions_are_kept_until_they_are_forgotten(subject: Subject) {
    let house = House::build(&*subject).await;
    let others: Vec<_> = ["a", "b"].map(|name| device_of(&house.profile, name)).into();
    subject.write(others.iter().cloned().map(Write::Device).collect()).await.unwrap();
    let mut devices = [core::slice::from_ref(&house.device), &others[..]].concat();
    devices.sort_by_key(|it| it.id);
    let kept: Vec<_> = devices.iter().map(|it| session(it, Some(Timestamp(7)))).collect();
    subject.write(kept.iter().cloned().map(Write::KeepSession).collect()).await.unwrap();
    assert_eq!(subject.kept_sessions(None, 10).await.unwrap(), kept);
    assert_eq!(subject.kept_sessions(None, 2).await.unwrap(), kept[..2]);
    assert_eq!(subject.kept_sessions(Some(kept[0].device_id), 10).await.unwrap(), kept[1..]);

    // The newest replaces; calls are not stored, nor is what only they have.
    let mut newest = KeptSession { client_id: "other".to_owned(), ..session(&devices[1], None) };
    let expected = newest.clone();
    let call = About::Call(CallToken(NonZeroU64::MIN));
    newest.state.messages.push(message(call, Some(9)));
    subject.write(vec![Write::KeepSession(newest)]).await.unwrap();
    assert_eq!(subject.kept_sessions(Some(kept[0].device_id), 1).await.unwrap(), [expected]);

    let forget = || subject.write(vec![Write::ForgetSession(kept[0].device_id)]);
    forget().await.unwrap();
    assert_eq!(subject.kept_sessions(None, 10).await.unwrap().len(), 2);
    forget().await.unwrap();
}

pub(super) async fn sessions_go_with_their_device_and_tenant(subject: Subject) {
    let house = House::build(&*subject).await;
    let second = device_of(&house.profile, "second");
    subject.write(vec![Write::Device(second.clone())]).await.unwrap();
    for device in [&house.device, &second] {
        subject.write(vec![Write::KeepSession(session(device, None))]).await.unwrap();
    }
    subject.write(vec![Write::Delete(second.id.entity())]).await.unwrap();
    assert_eq!(subject.kept_sessions(None, 10).await.unwrap().len(), 1);
    // One whose device is gone is nobody's.
    subject.write(vec![Write::KeepSession(session(&second, None))]).await.unwrap();
    assert_eq!(subject.kept_sessions(None, 10).await.unwrap().len(), 1);
    subject.write(vec![Write::Delete(house.tenant.id.entity())]).await.unwrap();
    assert_eq!(subject.kept_sessions(None, 10).await.unwrap(), []);
}

fn session(device: &Device, left_at: Option<Timestamp>) -> KeptSession {
    KeptSession {
        device_id: device.id,
        tenant_id: device.tenant_id,
        client_id: "pump".to_owned(),
        expiry_s: u32::MAX,
        left_at,
        state: SessionState {
            told: u64::MAX,
            wants_updates: true,
            subscriptions: vec![KeptSubscription {
                filter: "v2/a".to_owned(),
                is_acknowledged: true,
                is_chosen: true,
                id: 3,
            }],
            messages: vec![message(About::Update, None), message(About::Other, None)],
            open_ids: vec![OpenPacketId { packet_id: 1, fingerprint: u64::MAX }],
            last_packet_id: 2,
        },
    }
}

fn message(about: About, expires_ms: Option<u64>) -> KeptMessage {
    let payload = b"\xff\0".as_slice().into();
    KeptMessage { packet_id: 2, topic: "v2/a".to_owned(), payload, about, expires_ms }
}
