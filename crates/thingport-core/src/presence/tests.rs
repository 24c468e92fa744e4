use std::sync::Arc;

use thingport_model::id::NIL;
use thingport_model::rpc::{Call, CallToken};

use super::*;

fn mail(mailbox: &Mailbox) -> Vec<Letter> {
    let cx = Context::from_waker(Waker::noop());
    mailbox.poll_mail(&cx).map(|it| *it).unwrap_or_default()
}

fn close(reason: Reason) -> Letter {
    Letter::Told(Downlink::Close(reason))
}

fn update() -> Downlink {
    Downlink::AttributesDeleted(Arc::from(["a".to_owned()]))
}

fn call() -> Downlink {
    let call = Call { id: 0, method: "m".to_owned(), params: "null".to_owned() };
    let token = CallToken(core::num::NonZeroU64::MIN);
    Downlink::Call { call: Arc::new(call), token, expires_ms: 0 }
}

#[test]
fn a_second_login_replaces_the_first_and_its_end_does_not_remove_the_second() {
    let presence = Presence::new(Arc::new(Metrics::default()));
    let device = DeviceId(NIL);
    let first = presence.open(device);
    let second = presence.open(device);
    assert_eq!(mail(&first), [close(Reason::TakenOver)]);
    assert!(!presence.close(device, &first));
    assert!(presence.is_connected(device));
    assert_eq!(presence.posts(), 1);
    assert!(presence.tell(device, Downlink::Close(Reason::DeviceDeleted)));
    assert_eq!(mail(&second), [close(Reason::DeviceDeleted)]);
    assert!(presence.close(device, &second));
    assert!(!presence.is_connected(device));
    assert!(!presence.tell(device, Downlink::Close(Reason::DeviceDeleted)));
}

#[test]
fn a_full_mailbox_refuses_and_counts_but_takes_the_end_and_answers() {
    let metrics = Arc::new(Metrics::default());
    let presence = Arc::new(Presence::new(Arc::clone(&metrics)));
    let device = DeviceId(NIL);
    let mailbox = presence.open(device);
    mailbox.set_wants(Wants { attributes: true, calls: false });
    for _ in 0..MAILBOX_MAX {
        assert!(presence.tell(device, update()));
    }
    assert!(!presence.tell(device, update()));
    assert_eq!(metrics.bounds().map(|(_, n)| n).sum::<u64>(), 1);
    assert!(presence.tell(device, Downlink::Close(Reason::DeviceDeleted)));
    Errand::new(Arc::clone(&presence), Arc::clone(&mailbox), 7).done(Ok(None));
    let mail = mail(&mailbox);
    assert_eq!(mail.len(), MAILBOX_MAX + 2);
    assert_eq!(mail.last(), Some(&Letter::Done { ticket: 7, outcome: Ok(None) }));
}

#[test]
fn nobody_is_told_what_he_did_not_subscribe_to() {
    let presence = Presence::new(Arc::new(Metrics::default()));
    let device = DeviceId(NIL);
    assert_eq!(presence.wants(device), Wants::default());
    let mailbox = presence.open(device);
    for (attributes, calls) in [(false, false), (true, false), (false, true), (true, true)] {
        let wants = Wants { attributes, calls };
        mailbox.set_wants(wants);
        assert_eq!(presence.wants(device), wants);
        assert_eq!(presence.tell(device, update()), attributes);
        assert_eq!(presence.tell(device, call()), calls);
        assert_eq!(mail(&mailbox).len(), usize::from(attributes) + usize::from(calls));
    }
}

#[test]
fn ears_listen_beside_the_connection_and_displace_nothing() {
    let presence = Arc::new(Presence::new(Arc::new(Metrics::default())));
    let device = DeviceId(NIL);
    let attributes = Wants { attributes: true, calls: false };
    let calls = Wants { attributes: false, calls: true };
    let ear = presence.listen(device, calls).expect("room");
    // Whoever polls is not connected, but hears.
    assert!(!presence.is_connected(device));
    assert_eq!(presence.wants(device), calls);
    assert_eq!(presence.connection(device), Some((ear.mailbox().number, calls)));
    let mailbox = presence.open(device);
    assert!(mail(ear.mailbox()).is_empty());
    mailbox.set_wants(attributes);
    let second = presence.listen(device, attributes).expect("room");
    // Changes are told to all who want them, a call to one.
    assert!(presence.tell(device, update()));
    assert_eq!([&mailbox, second.mailbox(), ear.mailbox()].map(|it| mail(it).len()), [1, 1, 0]);
    assert_eq!(presence.tell_whom(device, call()), Some(ear.mailbox().number));
    mailbox.set_wants(Wants { attributes: true, calls: true });
    assert_eq!(presence.tell_whom(device, call()), Some(mailbox.number));
    assert_eq!(presence.connection(device).map(|(number, _)| number), Some(mailbox.number));
    assert_eq!([&mailbox, second.mailbox(), ear.mailbox()].map(|it| mail(it).len()), [1, 0, 1]);
    // H-8
    presence.tell(device, Downlink::Close(Reason::DeviceDeleted));
    assert_eq!(mail(second.mailbox()), [close(Reason::DeviceDeleted)]);
    drop((ear, second));
    presence.close(device, &mailbox);
    assert_eq!(presence.wants(device), Wants::default());
    assert_eq!(presence.connection(device), None);
}

#[test]
fn a_device_has_few_ears_and_gets_them_back() {
    let metrics = Arc::new(Metrics::default());
    let presence = Arc::new(Presence::new(Arc::clone(&metrics)));
    let listen = || presence.listen(DeviceId(NIL), Wants::default());
    let mut ears: Vec<_> =
        (0..EarBounds::default().per_device).map(|_| listen().expect("room")).collect();
    assert!(listen().is_none());
    assert_eq!(metrics.bounds().map(|(_, n)| n).sum::<u64>(), 1);
    ears.pop();
    assert!(listen().is_some());
    let few = Presence::new(metrics).with_ears(EarBounds { all: 3, per_device: 2 });
    let few = Arc::new(few);
    let listen = |n| few.listen(DeviceId(uuid::Uuid::from_u128(n)), Wants::default());
    let ears = [1, 1, 1, 2, 3].map(listen);
    assert_eq!(ears.each_ref().map(Option::is_some), [true, true, false, true, false]);
}

#[test]
fn an_errand_that_is_lost_is_told_too() {
    let presence = Arc::new(Presence::new(Arc::new(Metrics::default())));
    let mailbox = presence.open(DeviceId(NIL));
    drop(Errand::new(Arc::clone(&presence), Arc::clone(&mailbox), 3));
    let lost = Letter::Done { ticket: 3, outcome: Err(Reason::Internal.into()) };
    assert_eq!(mail(&mailbox), [lost]);
}

#[test]
fn a_mailbox_and_its_counts_take_64_bytes() {
    // Every connection pays for it, and the allocator's next size is 80.
    assert!(size_of::<Mailbox>() + 2 * size_of::<usize>() <= 64, "{}", size_of::<Mailbox>());
}
