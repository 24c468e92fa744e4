//! Promises about persistent calls.

use thingport_model::id::RpcId;
use thingport_model::page::{PageLink, Sort};
use thingport_model::port::entities::{Entities, Write};
use thingport_model::port::error::Conflict;
use thingport_model::rpc::{
    Call, CallFilter, CallResponse, CallStatus, CallWay, KeptProgress, PersistentCall,
};
use thingport_model::time::Timestamp;

use super::{House, Subject, conflict, device_of, link, new_id, tick};

pub(super) async fn calls_are_read_back_and_come_to_an_end(subject: Subject) {
    let house = House::build(&*subject).await;
    let calls = [
        call(&house, 0, "setValve", CallWay::TwoWay),
        call(&house, 1, "blink", CallWay::OneWay),
        call(&house, 2, "100%", CallWay::TwoWay),
    ];
    let writes = calls.iter().cloned().map(Write::Call).collect();
    subject.write(writes).await.unwrap();
    for one in &calls {
        assert_eq!(subject.call(one.id).await, Ok(Some(one.clone())));
    }
    assert_eq!(subject.write(vec![Write::Call(calls[0].clone())]).await, conflict(Conflict::RpcId));
    assert_eq!(subject.open_calls(10).await.unwrap(), calls);
    assert_eq!(subject.open_calls(2).await.unwrap(), calls[..2]);
    ends_are_kept(&*subject, &calls).await;
    lists_show_what_was_asked_for(&*subject, &house, &calls).await;
}

async fn ends_are_kept(subject: &dyn Entities, calls: &[PersistentCall]) {
    let (valve, blink) = (&calls[0], &calls[1]);
    let response = |response| Some(response);
    // Status, response, and whether a one-way and a two-way call are open then.
    let rows = [
        (CallStatus::Sent, None, true, true),
        (CallStatus::Timeout, None, true, true),
        (CallStatus::Failed, response(CallResponse::NotAcknowledged(3)), false, false),
        (CallStatus::Failed, response(CallResponse::NotAnswered), false, false),
        (CallStatus::Failed, response(CallResponse::Impossible), false, false),
        (CallStatus::Expired, None, false, false),
        (CallStatus::Successful, response(CallResponse::Answer("{\"a\":1}".into())), false, false),
        (CallStatus::Delivered, None, false, true),
    ];
    for (status, response, one_way_open, two_way_open) in rows {
        for (call, is_open) in [(blink, one_way_open), (valve, two_way_open)] {
            let progress = KeptProgress { status, misses: 2, response: response.clone() };
            subject.write(vec![Write::CallProgress(call.id, progress.clone())]).await.unwrap();
            let read = subject.call(call.id).await.unwrap().unwrap();
            assert_eq!(read.progress, progress);
            let open = subject.open_calls(10).await.unwrap();
            assert_eq!(open.iter().any(|it| it.id == call.id), is_open, "{status:?}");
        }
    }
    // A call that is gone does not come back.
    let gone = Write::CallProgress(RpcId(new_id()), KeptProgress::of(CallStatus::Sent));
    subject.write(vec![gone]).await.unwrap();
}

async fn lists_show_what_was_asked_for(
    subject: &dyn Entities,
    house: &House,
    calls: &[PersistentCall],
) {
    let all = CallFilter { device_id: house.device.id, status: None };
    let queued = CallFilter { status: Some(CallStatus::Queued), ..all };
    let failed = CallFilter { status: Some(CallStatus::Failed), ..all };
    let elsewhere = CallFilter { device_id: device_of(&house.profile, "x").id, ..all };
    let sorted = |property: &str, descending| PageLink {
        sort: Some(Sort { property: property.to_owned(), descending }),
        ..link(0, 10)
    };
    let searched = |text: &str| PageLink { text_search: Some(text.to_owned()), ..link(0, 10) };
    let rows: [(CallFilter, PageLink, &[usize]); 11] = [
        (all, link(0, 10), &[0, 1, 2]),
        (all, link(1, 2), &[2]),
        (queued, link(0, 10), &[2]),
        (failed, link(0, 10), &[]),
        (elsewhere, link(0, 10), &[]),
        (all, searched("VALVE"), &[0]),
        (all, searched("0%"), &[2]),
        (all, searched("\"open\""), &[0, 1, 2]),
        (all, sorted("createdTime", true), &[2, 1, 0]),
        (all, sorted("expirationTime", false), &[2, 1, 0]),
        (all, sorted("request", false), &[2, 1, 0]),
    ];
    for (filter, link, expected) in rows {
        let page = subject.calls(filter, link.clone()).await.unwrap();
        let found: Vec<_> = page.rows.iter().map(|row| row.id).collect();
        let expected: Vec<_> = expected.iter().map(|at| calls[*at].id).collect();
        assert_eq!(found, expected, "{filter:?} {link:?}");
    }
    assert_eq!(subject.calls(all, sorted("response", true)).await.unwrap().total, 3);
}

pub(super) async fn calls_go_with_their_device_and_their_time(subject: Subject) {
    let house = House::build(&*subject).await;
    let stray = PersistentCall {
        device_id: device_of(&house.profile, "nowhere").id,
        ..call(&house, 0, "a", CallWay::OneWay)
    };
    assert_eq!(subject.write(vec![Write::Call(stray)]).await, conflict(Conflict::Reference));
    let ended = |number| PersistentCall {
        progress: KeptProgress::of(CallStatus::Successful),
        ..call(&house, number, "a", CallWay::TwoWay)
    };
    let calls = [ended(0), call(&house, 1, "a", CallWay::TwoWay), ended(2), ended(3), ended(4)];
    subject.write(calls.iter().cloned().map(Write::Call).collect()).await.unwrap();
    let there = || async {
        let mut there = Vec::new();
        for one in &calls {
            there.push(u8::from(subject.call(one.id).await.unwrap().is_some()));
        }
        there
    };
    let (tenant, before) = (house.tenant.id, calls[3].created_at);
    let elsewhere = House::plan("Other", "2").tenant.id;
    subject.write(vec![Write::ForgetCalls(elsewhere, before, 10)]).await.unwrap();
    assert_eq!(there().await, [1, 1, 1, 1, 1]);
    subject.write(vec![Write::ForgetCalls(tenant, before, 1)]).await.unwrap();
    assert_eq!(there().await, [0, 1, 1, 1, 1]);
    subject.write(vec![Write::ForgetCalls(tenant, before, 10)]).await.unwrap();
    assert_eq!(there().await, [0, 1, 0, 1, 1]);
    subject.write(vec![Write::DeleteCall(calls[3].id)]).await.unwrap();
    assert_eq!(there().await, [0, 1, 0, 0, 1]);
    assert_eq!(
        subject.write(vec![Write::DeleteCall(calls[3].id)]).await,
        conflict(Conflict::Missing)
    );
    subject.write(vec![Write::Delete(house.device.id.entity())]).await.unwrap();
    assert_eq!(there().await, [0, 0, 0, 0, 0]);
}

/// A call that waits; later ones expire sooner.
fn call(house: &House, number: u32, method: &str, way: CallWay) -> PersistentCall {
    PersistentCall {
        id: RpcId(new_id()),
        created_at: Timestamp(tick()),
        tenant_id: house.tenant.id,
        device_id: house.device.id,
        call: Call { id: number, method: method.to_owned(), params: "{\"open\":true}".to_owned() },
        way,
        expires_at: Timestamp(1_000 - i64::from(number)),
        retries: (number == 0).then_some(2),
        additional_info: (number == 1).then(|| "{\"by\":\"x\"}".to_owned()),
        progress: KeptProgress::of(CallStatus::Queued),
    }
}
