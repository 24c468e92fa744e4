//! Promises about relations.

use thingport_model::id::EntityRef;
use thingport_model::port::entities::Write;
use thingport_model::port::error::Conflict;
use thingport_model::relation::{
    CONTAINS, CREATED, Relation, RelationEnd, RelationFilter, RelationGroup, RelationKey,
};

use super::{House, Subject, conflict, device_of};

pub(super) async fn relations_are_read_back_by_either_end(subject: Subject) {
    let house = House::build(&*subject).await;
    let (device, customer) = (house.device.id.entity(), house.customer.id.entity());
    let contains = relation(&house, customer, CONTAINS, device);
    let created = relation(&house, customer, CREATED, device);
    let rule = RelationKey { group: RelationGroup::RuleChain, ..contains.key.clone() };
    let rule = Relation { key: rule, additional_info: None, ..contains.clone() };
    let back = relation(&house, device, CONTAINS, customer);
    let all = [&created, &contains, &rule, &back];
    subject.write(all.map(|it| Write::Relation(it.clone())).to_vec()).await.unwrap();
    for one in all {
        assert_eq!(subject.relation(one.key.clone()).await, Ok(Some(one.clone())));
    }
    let from = RelationFilter {
        entity: customer,
        end: RelationEnd::From,
        group: RelationGroup::Common,
        name: None,
    };
    let named = RelationFilter { name: Some(CREATED.to_owned()), ..from.clone() };
    let to = RelationFilter { entity: device, end: RelationEnd::To, ..from.clone() };
    let rules = RelationFilter { group: RelationGroup::RuleChain, ..to.clone() };
    let none = RelationFilter { entity: house.user.id.entity(), ..from.clone() };
    let rows: [(_, &[&Relation]); 5] = [
        (from.clone(), &[&contains, &created]),
        (named, &[&created]),
        (to, &[&contains, &created]),
        (rules, &[&rule]),
        (none, &[]),
    ];
    for (filter, expected) in rows {
        let found = subject.relations(filter.clone(), 10).await.unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
    assert_eq!(subject.relations(from, 1).await.unwrap(), [contains]);
    let ends =
        vec![device, customer, house.user.id.entity(), device_of(&house.profile, "x").id.entity()];
    let mut names = subject.entity_names(ends).await.unwrap();
    names.sort();
    let expected = [
        (customer, house.customer.title),
        (house.user.id.entity(), house.user.email),
        (device, house.device.name),
    ];
    assert_eq!(names, expected);
}

pub(super) async fn relations_have_versions_and_lead_somewhere(subject: Subject) {
    let house = House::build(&*subject).await;
    let (device, customer) = (house.device.id.entity(), house.customer.id.entity());
    let first = relation(&house, customer, CONTAINS, device);
    let second = Relation { version: 2, additional_info: Some("{}".into()), ..first.clone() };
    let nowhere = relation(&house, customer, CONTAINS, device_of(&house.profile, "x").id.entity());
    let from_nowhere = relation(&house, nowhere.key.to, CONTAINS, device);
    let rows = [
        (Write::Relation(second.clone()), conflict(Conflict::Missing)),
        (Write::DeleteRelation(first.key.clone()), conflict(Conflict::Missing)),
        (Write::Relation(nowhere), conflict(Conflict::Reference)),
        (Write::Relation(from_nowhere), conflict(Conflict::Reference)),
        (Write::Relation(first.clone()), Ok(())),
        (Write::Relation(first.clone()), conflict(Conflict::Version)),
        (Write::Relation(second.clone()), Ok(())),
        (Write::Relation(second.clone()), conflict(Conflict::Version)),
    ];
    for (row, (write, expected)) in rows.into_iter().enumerate() {
        assert_eq!(subject.write(vec![write]).await, expected, "row {row}");
    }
    assert_eq!(subject.relation(first.key.clone()).await, Ok(Some(second)));
    subject.write(vec![Write::DeleteRelation(first.key.clone())]).await.unwrap();
    assert_eq!(subject.relation(first.key).await, Ok(None));
}

pub(super) async fn relations_go_with_their_ends(subject: Subject) {
    let house = House::build(&*subject).await;
    let (device, customer) = (house.device.id.entity(), house.customer.id.entity());
    let (user, profile) = (house.user.id.entity(), house.profile.id.entity());
    let of = |from, to| relation(&house, from, CONTAINS, to);
    let every = [of(customer, device), of(device, user), of(profile, user), of(profile, customer)];
    let rule = RelationKey { group: RelationGroup::Edge, ..every[0].key.clone() };
    let rule = Relation { key: rule, ..every[0].clone() };
    let left = |gone: Vec<Write>| {
        let (subject, every, rule) = (&subject, &every, &rule);
        async move {
            subject.write(gone).await.unwrap();
            let mut left = Vec::new();
            for (number, one) in every.iter().chain([rule]).enumerate() {
                let is_left = subject.relation(one.key.clone()).await.unwrap().is_some();
                left.extend(is_left.then_some(number));
            }
            left
        }
    };
    let all = every.iter().chain([&rule]).cloned().map(Write::Relation).collect();
    assert_eq!(left(all).await, [0, 1, 2, 3, 4]);
    let common = Write::DeleteRelations(device, RelationGroup::Common);
    assert_eq!(left(vec![common.clone()]).await, [2, 3, 4], "of one group alone");
    assert_eq!(left(vec![common]).await, [2, 3, 4], "no error when there is none");
    assert_eq!(left(vec![Write::Delete(device)]).await, [2, 3], "of every group");
    // With the customer goes its user.
    assert_eq!(left(vec![Write::Delete(customer)]).await, Vec::<usize>::new());

    let other = House::plan("Other", "2");
    subject.write(other.writes()).await.unwrap();
    let key = relation(&other, other.customer.id.entity(), CONTAINS, other.device.id.entity());
    subject.write(vec![Write::Relation(key.clone())]).await.unwrap();
    subject.write(vec![Write::Delete(other.tenant.id.entity())]).await.unwrap();
    assert_eq!(subject.relation(key.key).await, Ok(None));
}

fn relation(house: &House, from: EntityRef, name: &str, to: EntityRef) -> Relation {
    Relation {
        key: RelationKey { from, group: RelationGroup::Common, name: name.to_owned(), to },
        tenant_id: house.tenant.id,
        additional_info: Some(format!(r#"{{"how":"{name}"}}"#)),
        version: 1,
    }
}
