//! Promises about people's logins, API keys, ended sessions and limits.

use thingport_model::id::{ApiKeyId, EntityKind, UserId};
use thingport_model::page::PageLink;
use thingport_model::port::entities::Write;
use thingport_model::port::error::Conflict;
use thingport_model::time::Timestamp;
use thingport_model::user::{ApiKey, EndedSession, LoginChange, User, UserCredentials};

use super::{House, Subject, conflict, customer_of, former, link, new_id, sorted, tick, user_of};

pub(super) async fn a_login_is_changed_in_place(subject: Subject) {
    let house = House::build(&*subject).await;
    let user = house.user.id;
    let change = |change| vec![Write::ChangeLogin(user, change)];
    let at = |ms| LoginChange { last_login_at: Some(Timestamp(ms)), ..LoginChange::default() };
    let password = LoginChange {
        password: Some(("new".to_owned(), Timestamp(9))),
        tokens_valid_from: Some(Timestamp(9)),
        only_if_valid_from: Some(Timestamp(5)),
        ..LoginChange::default()
    };
    subject.write(change(password.clone())).await.unwrap();
    subject.write(change(at(10))).await.unwrap();
    let expected = UserCredentials {
        password_hash: Some("new".to_owned()),
        tokens_valid_from: Timestamp(9),
        last_login_at: Some(Timestamp(10)),
        password_set_at: Some(Timestamp(9)),
        former_passwords: vec![former("hash", 9), former("older", 5)],
        ..house.login.clone()
    };
    assert!(subject.user_credentials(user).await == Ok(Some(expected.clone())));
    assert_eq!(subject.write(change(password)).await, conflict(Conflict::Version));
    assert!(subject.user_credentials(user).await == Ok(Some(expected)), "all or none");
    let nobody = vec![Write::ChangeLogin(UserId(new_id()), at(1))];
    assert_eq!(subject.write(nobody).await, conflict(Conflict::Missing));
}

pub(super) async fn api_keys_are_found_by_hash_and_go_with_their_user(subject: Subject) {
    let house = House::build(&*subject).await;
    let key = |user: &User, byte: u8, description: &str| ApiKey {
        id: ApiKeyId(new_id()),
        created_at: Timestamp(tick()),
        tenant_id: user.tenant_id,
        user_id: user.id,
        description: description.to_owned(),
        enabled: true,
        expires_at: (byte == 1).then_some(Timestamp(7)),
        hash: [byte; 32],
        version: 1,
    };
    let (one, two) = (key(&house.user, 1, "Backup"), key(&house.user, 2, "Dashboard"));
    subject.write(vec![Write::ApiKey(one.clone()), Write::ApiKey(two.clone())]).await.unwrap();
    assert_eq!(subject.api_key(one.id).await, Ok(Some(one.clone())));
    assert_eq!(subject.api_key_by_hash([2; 32]).await, Ok(Some(two.clone())));
    assert_eq!(subject.api_key_by_hash([3; 32]).await, Ok(None));
    let named = PageLink { text_search: Some("dash".to_owned()), ..link(0, 10) };
    assert_eq!(
        subject.api_keys(house.user.id, named).await.unwrap().rows,
        std::slice::from_ref(&two)
    );
    for property in ["createdTime", "description", "enabled", "expirationTime"] {
        assert_eq!(subject.api_keys(house.user.id, sorted(property)).await.unwrap().total, 2);
    }
    let same = vec![Write::ApiKey(key(&house.user, 2, "again"))];
    assert_eq!(subject.write(same).await, conflict(Conflict::ApiKeyHash));
    let stranger = user_of(&house.customer, "nobody@example.org");
    let stray = vec![Write::ApiKey(key(&stranger, 4, "stray"))];
    assert_eq!(subject.write(stray).await, conflict(Conflict::Reference));
    let off = ApiKey { enabled: false, version: 2, ..one.clone() };
    subject.write(vec![Write::ApiKey(off.clone())]).await.unwrap();
    let stale = ApiKey { description: "old view".to_owned(), version: 2, ..one.clone() };
    assert_eq!(subject.write(vec![Write::ApiKey(stale)]).await, conflict(Conflict::Version));
    assert_eq!(subject.api_key(one.id).await, Ok(Some(off)));
    subject.write(vec![Write::DeleteApiKey(one.id)]).await.unwrap();
    assert_eq!(subject.api_key(one.id).await, Ok(None));
    let again = subject.write(vec![Write::DeleteApiKey(one.id)]).await;
    assert_eq!(again, conflict(Conflict::Missing));

    let settings = Write::UserSettings(house.user.id, "{}".to_owned());
    subject.write(vec![settings]).await.unwrap();
    assert_eq!(subject.user_settings(house.user.id).await, Ok(Some("{}".to_owned())));
    subject.write(vec![Write::Delete(house.user.id.entity())]).await.unwrap();
    assert_eq!(subject.api_key_by_hash([2; 32]).await, Ok(None), "gone with its user");
    assert_eq!(subject.user_settings(house.user.id).await, Ok(None), "gone with its user");
    for entity in [house.customer.id.entity(), house.tenant.id.entity()] {
        let user = user_of(&house.customer, "next@example.org");
        let next = key(&user, 5, "next");
        let settings = Write::UserSettings(user.id, "{}".to_owned());
        let writes = vec![Write::User(user), Write::ApiKey(next.clone()), settings];
        if subject.customer(house.customer.id).await.unwrap().is_none() {
            subject.write(vec![Write::Customer(house.customer.clone())]).await.unwrap();
        }
        subject.write(writes).await.unwrap();
        subject.write(vec![Write::Delete(entity)]).await.unwrap();
        assert_eq!(subject.api_key(next.id).await, Ok(None), "{entity:?}");
    }
}

pub(super) async fn ended_sessions_are_kept_until_their_tokens_expire(subject: Subject) {
    let ended = |expires_at| EndedSession { session: new_id(), expires_at: Timestamp(expires_at) };
    let (first, second, third) = (ended(20), ended(10), ended(30));
    let end = |it: &EndedSession, now| vec![Write::EndSession(*it, Timestamp(now))];
    for it in [&first, &second, &second] {
        subject.write(end(it, 5)).await.unwrap();
    }
    assert_eq!(subject.ended_sessions().await, Ok(vec![second, first]));
    subject.write(end(&third, 10)).await.unwrap();
    assert_eq!(subject.ended_sessions().await, Ok(vec![first, third]));
}

pub(super) async fn a_tenant_has_at_most_so_many(subject: Subject) {
    let house = House::build(&*subject).await;
    let other = House::plan("Other", "2");
    subject.write(other.writes()).await.unwrap();
    let tenant = house.tenant.id;
    let customer = Write::Customer(customer_of(&house.tenant, "Second"));
    let rows = [
        (house.new_device("Pump 2", "token 2"), EntityKind::Device),
        (vec![customer], EntityKind::Customer),
        (vec![Write::User(user_of(&house.customer, "b@example.org"))], EntityKind::User),
    ];
    for (writes, kind) in rows {
        let with = |max| {
            let mut writes = writes.clone();
            writes.push(Write::AtMost(tenant, kind, max));
            writes
        };
        assert_eq!(subject.write(with(1)).await, conflict(Conflict::TooMany), "{kind:?}");
        assert_eq!(subject.write(with(2)).await, Ok(()), "{kind:?}");
    }
}
